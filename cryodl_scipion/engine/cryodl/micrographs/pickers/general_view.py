# SPDX-License-Identifier: GPL-3.0-or-later
"""What the general model sees on labelled micrographs: it tells complete labels from sparse ones, and keeps proposed
boxes away from unlabelled particles. Contrast of protein in micrographs: the wrong sign hides most particles."""

import dataclasses
import typing

import numpy as np
import torch

from ...contract import TrainPickerConfig, counted
from ...core.geometry import map_positions
from ...io.model import find_model
from .crops import LabelledImage
from .labels import Labels, label_kind, load_labelled
from .method import PickerMethod
from .predict import at_scale, load_picker
from .thresholds import Expectation, expected_counts

# Noise and the gaps between crowded particles look a little like particles of the other sign, to middling scores. So
# sure particles are counted (Expectation.sure): on three real sets the right sign has at least 1.7 times as many, while
# the plain expected number of the general model on EMPIAR-10028 is 227 to 180. The winner must be this much better ...
CLEAR_RATIO = 1.4
# ... and by more than chance: standard deviations of the difference, and particles in all.
CLEAR_DEVIATIONS, MINIMUM = 3.0, 5.0


@dataclasses.dataclass(frozen=True)
class ContrastFound:
    """What the comparison found. contrast: 'dark' or 'bright'. clear: False if it only is the usual one, for want of a
    clear difference. dark, bright: Expectation with either sign. micrographs: how many were looked at."""

    contrast: str
    clear: bool
    dark: Expectation
    bright: Expectation
    micrographs: int

    def sentence(self) -> str:
        """For the log and the result's warnings."""
        found = (
            f"with dark protein {self.dark.particles:.0f} particles are expected, {self.dark.confident:.0f} of them "
            f"with confidence; with bright protein {self.bright.particles:.0f} and {self.bright.confident:.0f} "
            f"({counted(self.micrographs, 'micrograph')} compared)"
        )
        if self.clear:
            return f"Protein is {self.contrast}: {found}."
        return (
            f"Contrast is not clear: {found}. Protein is assumed to be {self.contrast}, as in the model's training. "
            "Check the picks, and give the contrast (--contrast) if this is wrong."
        )


def compare_contrasts(scores: typing.Mapping[str, list[np.ndarray]], typical: str = "dark") -> ContrastFound:
    """ContrastFound from {'dark', 'bright': [(n,) calibrated scores of each micrograph]}. typical: the contrast that is
    taken if there is no clear difference."""
    dark, bright = (sum((expected_counts(s, 1.0) for s in scores[c]), Expectation()) for c in ("dark", "bright"))
    more, less = (dark, bright) if dark.confident >= bright.confident else (bright, dark)
    difference, deviation = more.confident - less.confident, float(np.hypot(more.deviation, less.deviation))
    clear = (
        more.confident >= MINIMUM
        and more.confident >= CLEAR_RATIO * less.confident
        and difference >= CLEAR_DEVIATIONS * deviation
    )
    return ContrastFound(
        ("dark" if more is dark else "bright") if clear else typical, clear, dark, bright, len(scores["dark"])
    )


MODEL = "general"
LOOKS_LIKE = 0.3  # score from which a position is left alone when boxes are proposed
MICROGRAPHS = 3  # looked at to judge the labels
# Labels that cover this part of a close packing need no look; fewer than this part of the surely seen particles are
# only some of them, if so many are missing.
DENSE, SOME, MISSING = 0.25, 0.5, 20
BOXES = 40  # labels that teach the general model and are never taken for all particles: it may see few of faint ones
FEW = 200  # labels up to which they are taken for boxes, and beyond for a sparse sample


def general_candidates(images: typing.Sequence[LabelledImage], diameter: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Candidates of the general model on prepared images of bright protein. diameter: working px of the images. Returns
    for each (n, 2) yx px of the image and (n,) scores."""
    picker, card = load_picker(find_model(MODEL, "picker"), torch.device("cpu"), spares_outliers=True)
    wide, found = picker.method.working_diameter, []
    for image in images:
        scaled = at_scale(image, wide / diameter)
        yx, scores = picker.candidates_prepared(scaled, card["minimum_distance"] * wide)
        found.append((map_positions(yx, scaled.image.shape, image.image.shape), scores))
    return found


def seen_contrast(images: typing.Sequence[LabelledImage], diameter: float) -> ContrastFound:
    """The contrast with which the general model finds more, on images prepared for dark protein. diameter: px."""
    some = list(images)[:MICROGRAPHS]
    turned = {"dark": some, "bright": [dataclasses.replace(image, image=-image.image) for image in some]}
    return compare_contrasts({c: [s for _, s in general_candidates(part, diameter)] for c, part in turned.items()})


def decide_labels(
    config: TrainPickerConfig, items: typing.Sequence[Labels], method: PickerMethod
) -> tuple[TrainPickerConfig, list[str]]:
    """A TrainPickerConfig whose labels are not "auto", and sentences about what they were taken for. items: Labels of
    the micrographs. Labels that leave out most of what the general model surely sees are taken for some of the
    particles, not for all."""
    kind = label_kind(config)
    decided = dataclasses.replace(config, labels=kind)
    if config.labels != "auto" or kind != "complete":
        return decided, []
    marked = sum(len(item.positives) for item in items)
    if config.start_from == MODEL and marked <= BOXES:
        return dataclasses.replace(config, labels="boxes"), [
            f"{counted(marked, 'label')} to learn from beside the general model are taken for some of the particles, "
            "not for all. If all particles are labelled, use train-picker --labels complete."
        ]
    labelled, seen, looked = 0, 0.0, 0
    for item in sorted(items, key=lambda item: -len(item.positives))[:MICROGRAPHS]:
        try:
            image = load_labelled(item, method, config.pixel_size, config.particle_diameter, kind)
        except (ValueError, FileNotFoundError):
            continue  # reported when it is loaded to learn from
        if len(image.positives) * method.working_diameter**2 >= DENSE * float(image.valid.sum()):
            return decided, []
        found = seen_contrast([image], method.working_diameter)
        signs = {"dark": [found.dark], "bright": [found.bright]}.get(config.contrast, [found.dark, found.bright])
        labelled, seen, looked = labelled + len(image.positives), seen + max(s.confident for s in signs), looked + 1
    if labelled >= SOME * seen or seen - labelled < MISSING:
        return decided, []
    kind = "boxes" if marked <= FEW else "sparse"
    return dataclasses.replace(config, labels=kind), [
        f"{labelled} particles are labelled on {looked} micrographs, on which the general model finds {seen:.0f} "
        "with confidence. The labels are therefore regarded as incomplete, and unlabelled areas are not used for "
        "training. If all particles are labelled, use train-picker --labels complete."
    ]
