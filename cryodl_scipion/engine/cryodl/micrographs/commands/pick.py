# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick`: micrographs and a model in, one <micrograph>.star each out.

Result.outputs: folder, coordinates {name: path}, candidates {name: path}, counts {name: picks}, picks, threshold (the
median, where each micrograph has its own), threshold_uncertainty (standard deviation of the model's threshold; None for
another one, or if the model does not know), thresholds {name: threshold}, particle_diameter (Å), contrast ('dark' or
'bright' protein), expected_particles {number, deviation}, expected {precision, recall, f1} of the picks, model. Bad
micrographs are in Result.skipped.
"""

import dataclasses
from pathlib import Path

import numpy as np

from ...contract import AllSkipped, Result, Skipped, counted, in_words, read_card, said_skipped
from ...io.coordinates import read_coordinates, write_coordinates
from ...io.files import expand_paths, name_micrographs
from ...io.memory import one_item
from ...io.micrographs import pixel_size_warnings
from ...io.model import find_model, read_model
from ...io.warn import warn
from ..pickers.pick_record import (
    CANDIDATES,
    agree_with_folder,
    input_words,
    is_picked,
    record_settings,
    settle,
    usual_contrast,
)
from ..pickers.thresholds import Expectation, expect, threshold_of


def run(config):
    """Pick all micrographs; those whose candidates are there already are only thresholded anew."""
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    model = find_model(config.model, "picker")
    card = read_card(model, "picker")
    settings = settle(config, card, model)
    folder = Path(config.output)
    (folder / CANDIDATES).mkdir(parents=True, exist_ok=True)
    if config.overwrite:  # first of all, so that a killed run does not leave old and new candidates side by side
        for name, _ in named:
            (folder / CANDIDATES / f"{name}.star").unlink(missing_ok=True)
    settings = agree_with_folder(folder, settings, config.overwrite)
    todo = [(n, p) for n, p in named if not is_picked(folder, n, p)]
    notes = list(pixel_size_warnings([path for _, path in todo], config.pixel_size))
    for warning in notes:
        warn(warning)
    picks = Picks(folder, config, card, settings)
    print(
        f"{counted(len(named), 'micrograph')}, {len(named) - len(todo)} of them picked before; particle diameter "
        f"{settings.particle_diameter:g} Å."
    )
    new = {n for n, _ in todo}
    for name in (n for n, _ in named if n not in new):
        ((yx, scores),) = read_coordinates(folder / CANDIDATES / f"{name}.star").values()
        picks.write(name, yx, scores)
    device, skipped = "none: no network was run", []
    if todo:
        device, settings = _pick_new(todo, config, model, settings, picks, skipped, notes)
    if named and len(skipped) == len(named):
        raise AllSkipped(f"None of the {len(named)} micrographs could be picked. The first: {in_words(skipped[0])}")
    settings = dataclasses.replace(settings, contrast=settings.contrast or usual_contrast(card))
    outputs = dict(
        picks.outputs([n for n, _ in named]),
        model=str(model),
        particle_diameter=settings.particle_diameter,
        contrast=settings.contrast,
        pictures={},
    )
    print(picks.in_words(outputs))
    if config.pictures:
        from ..pickers.pictures import draw_first

        good = [(n, p) for n, p in named if n in picks.counts]
        outputs["pictures"] = draw_first(good, folder, config.pictures, config.pixel_size, settings.particle_diameter)
        print(f"Pictures of {counted(len(outputs['pictures']), 'micrograph')}: {folder}/pictures")
    return Result(
        "pick",
        outputs,
        device=device,
        skipped=tuple(skipped),
        warnings=tuple(notes + list(_warnings(picks, skipped, settings))),
    )


class Picks:
    """Writes the picks of one micrograph after the other, and sums up what was written and what is expected.

    folder: Path. config: PickConfig. card: the model's. settings: PickSettings.
    """

    def __init__(self, folder, config, card, settings):
        self.folder, self.card = folder, card
        self.given, self.rule = config.threshold, config.threshold_rule
        self.counts, self.thresholds, self.expected = {}, {}, Expectation()
        self.take_threshold(settings)

    def take_threshold(self, settings):
        """The model's threshold and its uncertainty, or those of its scores on these micrographs."""
        known = settings.adapted or dict(
            threshold=self.card["threshold"], uncertainty=self.card.get("threshold_uncertainty")
        )
        self.model_threshold = known["threshold"]
        self.uncertainty = known["uncertainty"] if self.given is None and self.rule == "model" else None

    def write(self, name, yx, scores):
        """Write <name>.star: the candidates whose score reaches the threshold. yx: (n, 2) px; scores: (n,)."""
        threshold = threshold_of(self.rule, scores, self.model_threshold) if self.given is None else self.given
        keep = scores >= threshold
        write_coordinates(
            self.folder / f"{name}.star",
            yx[keep],
            scores[keep],
            f"cryodl: picks of {name} with a score of at least {threshold:.4g}",
        )
        self.counts[name], self.thresholds[name] = int(keep.sum()), threshold
        self.expected += expect(scores, threshold)

    def rule_in_words(self):
        """How the threshold is chosen."""
        if self.given is None and self.rule != "model":
            return "a threshold for each micrograph " + (
                "with the largest expected F1"
                if self.rule == "f1"
                else "that keeps as many picks as particles are expected"
            )
        threshold = self.model_threshold if self.given is None else self.given
        return f"threshold {threshold:.3g}" + (f" ± {self.uncertainty:.2g} (the model's)" if self.uncertainty else "")

    def outputs(self, order):
        """Result.outputs of what was written. order: all micrographs' names."""
        names = [n for n in order if n in self.counts]
        ranked = sorted(self.thresholds.values())
        return dict(
            folder=str(self.folder),
            picks=sum(self.counts.values()),
            threshold=ranked[len(ranked) // 2] if ranked else self.model_threshold,
            threshold_uncertainty=self.uncertainty,
            thresholds={n: self.thresholds[n] for n in names},
            counts={n: self.counts[n] for n in names},
            coordinates={n: str(self.folder / f"{n}.star") for n in names},
            candidates={n: str(self.folder / CANDIDATES / f"{n}.star") for n in names},
            expected_particles=dict(number=self.expected.particles, deviation=self.expected.deviation),
            expected=self.expected.figures(),
        )

    def in_words(self, outputs):
        """The end of the log: what was written, and what the scores let expect of it."""
        figures = outputs["expected"]
        return (
            f"{counted(outputs['picks'], 'pick')} in {counted(len(self.counts), 'micrograph')}: "
            f"{self.folder}/<micrograph>.star. Expected particles: {self.expected.particles:.0f} ± "
            f"{self.expected.deviation:.0f}; expected of the picks: precision {figures['precision']:.2f}, recall "
            f"{figures['recall']:.2f}, F1 {figures['f1']:.2f}"
        )


def _pick_new(todo, config, model, settings, picks, skipped, notes):
    """Write candidates and picks of each micrograph as it is done. Returns the device in words, and the settings that
    hold.

    picks: Picks. skipped, notes: filled here, so that nothing is lost on the way.
    """
    from tqdm import tqdm

    from ...core.devices import choose_device, device_name, set_threads
    from ...core.geometry import inside
    from ...io.micrographs import read_micrograph
    from ..pickers import load_network, picker_method
    from ..pickers.predict import Picker

    device = choose_device(config.device)
    set_threads(config.threads)
    card, weights = read_model(model, "picker")
    method = picker_method(card["network"])
    picker = Picker(
        method, load_network(method, weights, model), device, tuple(card.get("calibration", (1.0, 0.0))), config.memory
    )
    settings = _ask_some_micrographs(settings, todo, picker, card, picks.folder, notes)
    picker.contrast = settings.contrast
    if settings.adapted:
        picker.calibration = tuple(settings.adapted["calibration"])
        print(f"Scores are calibrated on {settings.adapted['candidates']} candidates of some of the micrographs.")
    picks.take_threshold(settings)
    print(f"Picking {settings.contrast} protein on {device_name(device)} with {model}: {picks.rule_in_words()}.")
    for name, path in tqdm(todo, unit="micrograph", mininterval=1.0):
        try:
            with one_item(path):
                image = read_micrograph(path)
                yx, scores = picker.candidates(
                    image, config.pixel_size, settings.particle_diameter, settings.minimum_distance
                )
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
            (picks.folder / f"{name}.star").unlink(missing_ok=True)
            continue
        # the nearest pixel must exist too: Scipion's coordinates are whole numbers
        keep = inside(yx, image.shape, config.border / config.pixel_size) & inside(np.rint(yx), image.shape)
        write_coordinates(
            picks.folder / CANDIDATES / f"{name}.star",
            yx[keep],
            scores[keep],
            f"cryodl: every candidate of {name}, whatever its score; {input_words(path)}",
        )
        picks.write(name, yx[keep], scores[keep])
    notes += picker.notes
    return device_name(device), settings


def _ask_some_micrographs(settings, todo, picker, card, folder, notes):
    """The settings with what some micrographs tell of contrast and scores, agreed with other runs on the folder."""
    if not settings.open:
        return record_settings(folder, settings)
    from ...core.calibration import calibrate
    from ..pickers.adapt import adapt
    from ..pickers.contrast import compare_contrasts, scores_of_some

    own, picker.calibration = picker.calibration, (1.0, 0.0)  # raw scores

    def candidates(image, contrast):
        picker.contrast = contrast
        return picker.candidates(image, settings.pixel_size, settings.particle_diameter, settings.minimum_distance)

    raw = scores_of_some(
        candidates, [path for _, path in todo], ("dark", "bright") if settings.contrast_open else (settings.contrast,)
    )
    picker.calibration, mine = own, settings
    if settings.contrast_open:
        found = compare_contrasts(
            {c: [calibrate(part, own) for part in parts] for c, parts in raw.items()}, usual_contrast(card)
        )
        print(found.sentence())
        notes += [] if found.clear and found.contrast == usual_contrast(card) else [found.sentence()]
        mine = dataclasses.replace(settings, contrast=found.contrast, assumed=not found.clear)
    if mine.general:
        adapted = adapt(np.concatenate([np.zeros(0), *raw[mine.contrast]]), own)
        mine = dataclasses.replace(mine, adapted=adapted and dataclasses.asdict(adapted))
    agreed = record_settings(folder, mine)
    if settings.contrast not in (None, agreed.contrast):
        notes.append(
            f"The first micrographs of {folder} did not show their contrast and were picked as "
            f"{settings.contrast}; these are picked as {agreed.contrast}. To have all alike, pick again with "
            f"--contrast {agreed.contrast} --overwrite."
        )
    return agreed


def _warnings(picks, skipped, settings):
    yield from said_skipped(skipped, "micrograph")
    if picks.counts and not any(picks.counts.values()):
        yield (
            f"There is not a single pick, with protein taken to be {settings.contrast} (--contrast). Check "
            "pixel size and particle diameter, or lower the threshold."
        )
