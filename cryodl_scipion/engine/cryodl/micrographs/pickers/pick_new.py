# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that were not picked before, with a network: their candidates and picks, one after the other."""

import os
import typing
from pathlib import Path

import numpy as np

from ...contract import PickConfig, counted, say_if, score_text, some_names, write_json
from ...core.calibration import calibrate
from ...core.geometry import inside
from ...io.coordinates import DECIMALS, write_coordinates
from ...io.micrographs import read_micrograph
from ...running.runner import Named, Run
from .. import normalize
from ..assess.assessment import area_rows, areas_of
from . import adaptation, pick_files, predict, size
from .feature_maps import draw_feature_maps, feature_maps
from .pick_record import AVOIDED, CANDIDATES, PickSettings, are_asked, note_asked, record_of, record_settings
from .pictures import FEATURE_MAPS, forget_picks, head_words


def pick_new(
    todo: Named, config: PickConfig, model: Path, settings: PickSettings, picks: pick_files.Picks, run: Run
) -> PickSettings:
    """Write candidates and picks of each micrograph as it is done. Returns the settings that hold."""
    picker, card = predict.load_picker(model, run.device, settings.general)
    if picks.answered is None or settings.adapted is None:  # answers hold for scores as they were
        settings = _ask_some_micrographs(settings, todo, picker, card, picks.folder, run)
    if settings.scale is None:
        _pick_nothing(todo, config.pixel_size, picks, run)
        return settings
    picker.contrast = typing.cast("str", settings.contrast)  # the micrographs have been asked
    settings.tell(picker)
    if settings.adapted:
        picker.calibration = tuple(settings.adapted["calibration"])
    picks.take_threshold(settings)
    protein = f"{settings.contrast} protein" if settings.contrast else "protein"  # no micrograph could be asked
    print(f"Picking {protein} on {run.device_name} with {model}: {picks.rule_in_words()}.")
    before = drawn = 0 if config.overwrite else len(list((picks.folder / FEATURE_MAPS).glob("*.png")))
    gaps, left_out, level = list[str](), 0, picks.model_threshold if config.threshold is None else config.threshold
    for name, path in run.items(todo, "micrograph"):
        with run.item(name, path, lambda skipped: forget_picks(picks.folder, skipped)):
            image = read_micrograph(path)
            gaps += [f"{path} ({part:.1%})" for part in [1 - np.isfinite(image).mean()] if part]
            areas = None
            # a general model is told of dirt whatever is avoided: of what is darker than ice, as what is looked for
            if config.avoid != "nothing" or picker.spares_outliers:
                areas = areas_of(image if settings.contrast == "dark" else -image, config.pixel_size, settings.scale)
            dirt = areas.contaminated if areas and picker.spares_outliers else None
            if (found := picker.seen.get((path, settings.contrast, settings.scale))) is None:
                prepared = picker.prepared(image, config.pixel_size, settings.scale, dirt)
                yx, scores = picker.candidates(prepared, config.pixel_size, settings.scale, settings.distance)
            else:  # it was asked about contrast or size
                yx, scores = found[0], calibrate(found[1], picker.calibration)
            # the nearest pixel must exist too: Scipion's coordinates are whole numbers
            keep = inside(yx, image.shape, config.border / config.pixel_size) & inside(np.rint(yx), image.shape)
            if drawn < config.feature_maps:
                maps = feature_maps(picker, image, config.pixel_size, settings.scale, dirt)
                draw_feature_maps(maps, picks.folder / FEATURE_MAPS / f"{name}.png", name)
                drawn += 1
            if areas and config.avoid != "nothing":
                avoided = pick_files.avoided_areas(areas, image.shape, config.pixel_size, settings.scale, config.avoid)
                outside = pick_files.outside_areas(avoided, yx, image.shape)
                left_out += int((keep & ~outside & (scores >= level)).sum())
                keep &= outside
                (picks.folder / AVOIDED).mkdir(exist_ok=True)
                write_json(picks.folder / AVOIDED / f"{name}.json", dict(areas=area_rows(avoided)))  # for windows
            write_coordinates(
                picks.folder / CANDIDATES / f"{name}.star",
                yx[keep],
                scores[keep],
                f"cryodl: all candidates of {name}, whatever their score; {head_words(path, settings)}",
            )
            # as they are read back by a run that is continued: what is expected of them must not differ
            picks.write(name, yx[keep], np.round(np.asarray(scores[keep], float), DECIMALS))
    if left_out:
        print(
            f"{counted(left_out, 'candidate')} above {score_text(level)} on {config.avoid} "
            f"{'is' if left_out == 1 else 'are'} left out (--avoid nothing keeps them)."
        )
    if drawn > before:
        print(f"Feature maps of {counted(drawn - before, 'micrograph')}: {picks.folder / FEATURE_MAPS}")
    missing = f"{some_names(gaps, 3)} of the pixels are not finite numbers (NaN or infinite). Large gaps get no picks."
    run.warn(*picker.notes, *say_if(gaps, missing))
    return settings


def _ask_some_micrographs(
    settings: PickSettings,
    todo: Named,
    picker: predict.Picker,
    card: typing.Mapping[str, typing.Any],
    folder: Path,
    run: Run,
) -> PickSettings:
    """The settings with what some micrographs tell of size, contrast and scores, agreed with other runs there."""
    if not settings.open:
        if todo and (against := adaptation.ask_contrast(settings, [path for _, path in todo], picker, card)):
            note_asked(folder / CANDIDATES, todo, against)
            run.warn(*against)
        return record_settings(folder, settings)
    if settings.scale is not None and settings.contrast is not None and are_asked(folder / CANDIDATES, todo):
        return settings  # by the same run before it was stopped
    said, paths = list[str](), [path for _, path in todo]
    before = set(settings.asked or ()) - {os.path.abspath(path) for path in paths}
    mine = adaptation.ask_micrographs(settings, [*sorted(before), *paths], picker, card, said)
    known = settings.with_found(record_of(str(folder)))
    if known.of_few and not (mine.scale and mine.adapted):  # what these do not show holds as it is known
        return known
    if mine.scale is None:
        run.warn(*said)
        return mine
    agreed = record_settings(folder, mine)
    if settings.contrast not in (None, agreed.contrast):
        said.append(
            f"The contrast of the first micrographs was unclear and they were picked with "
            f"{settings.contrast} protein; these micrographs are picked with {agreed.contrast} protein. To pick all "
            f"with the same contrast, repeat the command with --contrast {agreed.contrast} --overwrite."
        )
    note_asked(folder / CANDIDATES, todo, said)
    run.warn(*said)
    return agreed


def _pick_nothing(todo: Named, pixel_size: float, picks: pick_files.Picks, run: Run) -> None:
    """No pick for micrographs that show no particle of any size; they are asked again when the run is repeated. Those
    that cannot be used are skipped, as ever."""
    sides: list[int] = []
    for name, path in todo:
        with run.item(name, path, lambda skipped: forget_picks(picks.folder, skipped)):
            image = read_micrograph(path)
            normalize.rescale_micrograph(image, min(1.0, 512 / max(image.shape)))
            sides.append(min(image.shape))
            picks.write(name, np.zeros((0, 2)), np.zeros(0))
    if sides:
        sizes = size.scale_grid(pixel_size, min(sides))
        sought = f"from {sizes[0]:.0f} to {sizes[-1]:.0f} Å" if sizes else "that would fit"
        run.warn(
            f"No particles were found in {counted(len(sides), 'micrograph')}, at any size {sought}. They may show "
            "empty ice, carbon or dirt, or have low contrast. Give --particle-diameter to get candidates all the same. "
            "If you see particles, label all on a few micrographs (cryodl pick-by-hand), and learn them (train-picker)."
        )
