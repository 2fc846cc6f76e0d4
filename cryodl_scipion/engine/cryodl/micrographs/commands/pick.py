# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick`: micrographs and a model in, one <micrograph>.star each out.

Result.outputs are declared in contract.PickOutputs. Bad micrographs are in Result.skipped.
"""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import AllSkipped, PickConfig, Result, Skipped, counted, in_words, read_card, said_skipped, score_text
from ...contract.micrographs.picking import PickOutputs
from ...io.coordinates import DECIMALS, read_coordinates, write_coordinates
from ...io.files import expand_paths, name_micrographs
from ...io.memory import one_item
from ...io.micrographs import pixel_size_warnings
from ...io.model import find_model, read_model
from ...io.warn import warn
from ..pickers.asked import are_asked, earlier_notes, note_asked
from ..pickers.kept import FEATURE_MAPS, forget_picks, has_changed, head_words, made_otherwise
from ..pickers.pick_files import Picks
from ..pickers.pick_record import AVOIDED, CANDIDATES, agree_with_folder, record_settings, settle, typical_contrast

if typing.TYPE_CHECKING:
    from ..pickers.pick_record import PickSettings
    from ..pickers.predict import Picker


def run(config: PickConfig) -> Result:
    """Pick all micrographs; those whose candidates are there already are only thresholded anew."""
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    model = find_model(config.model, "picker")
    card = read_card(model, "picker")
    settings = settle(config, card, model)
    folder = Path(config.output)
    (folder / CANDIDATES).mkdir(parents=True, exist_ok=True)
    notes = list[str]()
    settings, todo = _to_pick(config, named, settings, notes)
    notes += pixel_size_warnings([path for _, path in named], config.pixel_size)
    for warning in notes:
        warn(warning)
    notes += earlier_notes(folder / CANDIDATES, named)
    picks = Picks(folder, config, card, settings)
    print(
        f"{counted(len(named), 'micrograph')}, {len(named) - len(todo)} of them already picked; particle diameter "
        + (f"{settings.particle_diameter:g} Å." if settings.particle_diameter else "to be estimated.")
    )
    new = {n for n, _ in todo}
    for name in (n for n, _ in named if n not in new):
        ((yx, scores),) = read_coordinates(folder / CANDIDATES / f"{name}.star").values()
        picks.write(name, yx, scores)
    device, skipped = "none: no network was run", list[Skipped]()
    if todo:
        device, settings = _pick_new(todo, config, model, settings, picks, skipped, notes)
    elif config.feature_maps:
        notes.append(
            "No further feature maps (--feature-maps) were drawn: they are drawn while micrographs are picked, and "
            "these were picked before. Give --overwrite to pick them again."
        )
        warn(notes[-1])
    if named and len(skipped) == len(named):
        raise AllSkipped(f"None of the {len(named)} micrographs could be picked. The first: {in_words(skipped[0])}")
    contrast = settings.contrast or typical_contrast(card)
    settings = dataclasses.replace(settings, contrast=contrast)
    found = picks.outputs([n for n, _ in named])
    print(picks.in_words(found))
    pictures: dict[str, str] = {}
    if config.pictures:
        from ..pickers.pictures import draw_first

        good = [(n, p) for n, p in named if n in picks.counts]
        pictures = draw_first(good, folder, config.pictures, config.pixel_size, settings.scale or 0.0)
        print(f"Pictures of {counted(len(pictures), 'micrograph')}: {folder}/pictures")
    outputs = PickOutputs(
        **found,
        model=str(model),
        contrast=contrast,
        particle_diameter=settings.particle_diameter or settings.scale,
        picked_diameter=settings.scale,
        size=settings.size,
        pictures=pictures,
        pixel_size=config.pixel_size,
    )
    return Result(
        "pick",
        outputs,
        device=device,
        skipped=tuple(skipped),
        warnings=tuple(notes + list(_warnings(picks, skipped, settings))),
    )


def _to_pick(
    config: PickConfig, named: typing.Sequence[tuple[str, str]], settings: PickSettings, notes: list[str]
) -> tuple[PickSettings, list[tuple[str, str]]]:
    """The settings agreed with earlier runs on the folder, and the micrographs without candidates that hold still.

    Candidates that do not hold go before anything is picked, so that a killed run does not leave old and new ones side
    by side. notes: sentences for the user are added.
    """
    folder, contrast = Path(config.output), settings.contrast
    changed = {name for name, path in named if has_changed(folder, name, path)}
    replaced = {n for n, _ in named if (folder / CANDIDATES / f"{n}.star").exists()} if config.overwrite else changed
    if config.overwrite:
        for name, _ in named:
            forget_picks(folder, name)
    settings = agree_with_folder(folder, settings, config.overwrite, replaced, notes)
    for name, path in named:
        if name in changed:
            print(f"{path} has changed since it was picked; it is picked again.")
    otherwise = {name for name, _ in named if made_otherwise(folder, name, settings, contrast)} - replaced
    if otherwise:
        notes.append(
            f"{counted(len(otherwise), 'micrograph')} had been picked with other parameters and "
            f"{'is' if len(otherwise) == 1 else 'are'} picked again."
        )
    for name in replaced | otherwise:
        forget_picks(folder, name)
    todo = [(n, p) for n, p in named if not (folder / CANDIDATES / f"{n}.star").exists()]
    for name, _ in todo:  # areas of an earlier run, which may have avoided what this one does not
        (folder / AVOIDED / f"{name}.json").unlink(missing_ok=True)
    return settings, todo


def _pick_new(
    todo: typing.Sequence[tuple[str, str]],
    config: PickConfig,
    model: Path,
    settings: PickSettings,
    picks: Picks,
    skipped: list[Skipped],
    notes: list[typing.Any],
) -> tuple[str, PickSettings]:
    """Write candidates and picks of each micrograph as it is done. Returns the device in words, and the settings that
    hold.

    picks: Picks. skipped, notes: filled here, so that nothing is lost on the way.
    """
    from tqdm import tqdm

    from ...core.devices import choose_device, device_name, set_threads
    from ...core.geometry import inside
    from ...io.micrographs import read_micrograph
    from ..pickers import load_network, picker_method
    from ..pickers.avoid import avoided_areas
    from ..pickers.feature_maps import draw_feature_maps, feature_maps
    from ..pickers.predict import Picker

    device = choose_device(config.device)
    set_threads(config.threads)
    card, weights = read_model(model, "picker")
    method = picker_method(card["network"])
    picker = Picker(
        method, load_network(method, weights, model), device, tuple(card.get("calibration", (1.0, 0.0))), config.memory
    )
    settings = _ask_some_micrographs(settings, todo, picker, card, picks.folder, notes)
    if settings.scale is None:
        _pick_nothing(todo, config.pixel_size, picks, skipped, notes)
        return device_name(device), settings
    picker.contrast = typing.cast("str", settings.contrast)  # the micrographs have been asked
    settings.tell(picker)
    if settings.adapted:
        picker.calibration = tuple(settings.adapted["calibration"])
        print(f"Scores are calibrated on {settings.adapted['candidates']} candidates of some micrographs.")
    picks.take_threshold(settings)
    print(f"Picking {settings.contrast} protein on {device_name(device)} with {model}: {picks.rule_in_words()}.")
    drawn = 0 if config.overwrite else len(list((picks.folder / FEATURE_MAPS).glob("*.png")))
    before, left_out = drawn, 0
    level = picks.model_threshold if config.threshold is None else config.threshold
    for name, path in tqdm(todo, unit="micrograph", mininterval=1.0):
        try:
            with one_item(path):
                image = read_micrograph(path)
                yx, scores = picker.candidates(image, config.pixel_size, settings.scale, settings.distance)
                # the nearest pixel must exist too: Scipion's coordinates are whole numbers
                keep = inside(yx, image.shape, config.border / config.pixel_size) & inside(np.rint(yx), image.shape)
                if drawn < config.feature_maps:
                    maps = feature_maps(picker, image, config.pixel_size, settings.scale)
                    draw_feature_maps(maps, picks.folder / FEATURE_MAPS / f"{name}.png", name)
                    drawn += 1
                if config.avoid != "nothing":
                    dark = image if settings.contrast == "dark" else -image  # what is looked for is darker than ice
                    areas = avoided_areas(dark, config.pixel_size, settings.scale, config.avoid)
                    outside = areas.outside(yx)
                    left_out += int((keep & ~outside & (scores >= level)).sum())
                    keep &= outside
                    areas.write(picks.folder / AVOIDED / f"{name}.json")
        except (ValueError, FileNotFoundError) as error:
            _skip(name, path, error, picks, skipped)
            continue
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
    notes += picker.notes
    return device_name(device), settings


def _ask_some_micrographs(
    settings: PickSettings,
    todo: typing.Sequence[tuple[str, str]],
    picker: Picker,
    card: typing.Mapping[str, typing.Any],
    folder: Path,
    notes: list[typing.Any],
) -> PickSettings:
    """The settings with what some micrographs tell of size, contrast and scores, agreed with other runs on the
    folder."""
    if not settings.open:
        return record_settings(folder, settings)
    if settings.scale is not None and settings.contrast is not None and are_asked(folder / CANDIDATES, todo):
        return settings  # by the same run before it was stopped
    from ..pickers.ask import ask_micrographs

    said: list[str] = []
    mine = ask_micrographs(settings, [path for _, path in todo], picker, card, said)
    if mine.scale is None:
        notes += said
        return mine
    agreed = record_settings(folder, mine)
    if settings.contrast not in (None, agreed.contrast):
        said.append(
            f"The contrast of the first micrographs of {folder} was unclear and they were picked with "
            f"{settings.contrast} protein; these micrographs are picked with {agreed.contrast} protein. To pick all "
            f"with the same contrast, repeat the command with --contrast {agreed.contrast} --overwrite."
        )
    note_asked(folder / CANDIDATES, todo, said)
    notes += said
    return agreed


def _skip(name: str, path: str, error: Exception, picks: Picks, skipped: list[typing.Any]) -> None:
    """Note a micrograph that cannot be picked; picks of an earlier run do not stay beside the others."""
    from tqdm import tqdm

    skipped.append(Skipped(name, str(path), str(error)))
    tqdm.write(f"Skipped {in_words(skipped[-1])}")
    forget_picks(picks.folder, name)


def _pick_nothing(
    todo: typing.Sequence[tuple[str, str]], pixel_size: float, picks: Picks, skipped: list[Skipped], notes: list[str]
) -> None:
    """No pick for micrographs that show no particle of any size; they are asked again when the run is repeated. Those
    that cannot be used are skipped, as ever."""
    from ...io.micrographs import read_micrograph
    from ..normalize import rescale_micrograph
    from ..pickers.size import scale_grid

    sides: list[int] = []
    for name, path in todo:
        try:
            with one_item(path):
                image = read_micrograph(path)
                rescale_micrograph(image, min(1.0, 512 / max(image.shape)))
        except (ValueError, FileNotFoundError) as error:
            _skip(name, path, error, picks, skipped)
            continue
        sides.append(min(image.shape))
        picks.write(name, np.zeros((0, 2)), np.zeros(0))
    if len(skipped) < len(todo):
        sizes = scale_grid(pixel_size, min(sides))
        sought = f"from {sizes[0]:.0f} to {sizes[-1]:.0f} Å" if sizes else "that would fit"
        notes.append(
            f"No particles were found in {counted(len(sides), 'micrograph')}, at any size {sought}. They may show "
            "empty ice, carbon or dirt alone, or have too low contrast. They have no picks. Give --particle-diameter "
            "to get the candidates nevertheless."
        )
        print(notes[-1])


def _warnings(picks: Picks, skipped: typing.Sequence[Skipped], settings: PickSettings) -> typing.Iterator[str]:
    yield from said_skipped(skipped, "micrograph")
    if settings.scale is not None and picks.counts and not any(picks.counts.values()):
        yield (
            f"There are no picks, assuming {settings.contrast} protein (--contrast). Check pixel size and particle "
            "diameter, or lower the threshold."
        )
