# SPDX-License-Identifier: GPL-3.0-or-later
"""What the general model sees on labelled micrographs: it tells complete labels from sparse ones, and keeps proposed
boxes away from unlabelled particles."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import TrainPickerConfig
from ...core.geometry import map_positions, resampled_shape
from ...io.model import find_model, read_model
from ..normalize import Prepared
from .contrast import ContrastFound, compare_contrasts
from .crops import LabelledImage
from .labels import label_kind, load_labelled

if typing.TYPE_CHECKING:
    from .labels import Labels
    from .method import PickerMethod

MODEL = "general"
LOOKS_LIKE = 0.3  # score from which a position is left alone when boxes are proposed
MICROGRAPHS = 3  # looked at to judge the labels
# Labels that cover this part of a close packing need no look; fewer than this part of the surely seen particles are
# only some of them, if so many are missing.
DENSE, SOME, MISSING = 0.25, 0.5, 20
FEW = 200  # labels up to which they are taken for boxes, and beyond for a sparse sample


def general_candidates(images: typing.Sequence[LabelledImage], diameter: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Candidates of the general model on prepared images of bright protein.

    diameter: working px of the images. Returns for each (n, 2) yx px of the image and (n,) scores.
    """
    from . import load_network, picker_method
    from .predict import Picker

    folder = find_model(MODEL, "picker")
    card, weights = read_model(folder, "picker")
    method = picker_method(card["network"])
    picker = Picker(method, load_network(method, weights, folder), torch.device("cpu"), tuple(card["calibration"]))
    found = []
    for image in images:
        scaled = _scaled(image, method.working_diameter / diameter)
        yx, scores = picker.candidates_prepared(scaled, card["minimum_distance"] * method.working_diameter)
        found.append((map_positions(yx, scaled.image.shape, image.image.shape), scores))
    return found


def _scaled(image: Prepared | LabelledImage, factor: float) -> Prepared | LabelledImage:
    if abs(factor - 1) < 0.01:
        return image
    shape = resampled_shape(image.image.shape, factor)
    resize = lambda x: F.interpolate(
        x[None, None].float(), size=shape, mode="bilinear", antialias=True, align_corners=False
    )[0, 0]
    return Prepared(resize(image.image), resize(image.valid) > 0.5, shape)


def seen_particles(images: typing.Sequence[LabelledImage], diameter: float) -> list[np.ndarray]:
    """(n, 2) places of each image that the general model takes for particles, perhaps. diameter: working px."""
    return [yx[scores >= LOOKS_LIKE] for yx, scores in general_candidates(images, diameter)]


def seen_contrast(images: typing.Sequence[LabelledImage], diameter: float) -> ContrastFound:
    """The contrast with which the general model finds more particles on images prepared for dark protein. diameter:
    working px."""
    some = list(images)[:MICROGRAPHS]
    turned = {"dark": some, "bright": [dataclasses.replace(image, image=-image.image) for image in some]}
    return compare_contrasts({c: [s for _, s in general_candidates(part, diameter)] for c, part in turned.items()})


def decide_labels(
    config: TrainPickerConfig, items: typing.Sequence[Labels], method: PickerMethod
) -> tuple[TrainPickerConfig, list[str]]:
    """A TrainPickerConfig whose labels are not "auto", and sentences about what they were taken for.

    items: Labels of the micrographs. Labels that leave out most of what the general model surely sees are taken for
    some of the particles, not for all.
    """
    kind = label_kind(config)
    decided = dataclasses.replace(config, labels=kind)
    if config.labels != "auto" or kind != "complete":
        return decided, []
    labelled, seen, looked = 0, 0.0, 0
    for item in sorted(items, key=lambda item: -len(item.positives))[:MICROGRAPHS]:
        try:
            image = load_labelled(item, method, config.pixel_size, config.particle_diameter, kind)
        except (ValueError, FileNotFoundError):
            continue  # reported when it is loaded to learn from
        if len(image.positives) * method.working_diameter**2 >= DENSE * float(image.valid.sum()):
            return decided, []
        labelled, seen, looked = labelled + len(image.positives), seen + _surely_seen(image, method, config), looked + 1
    if labelled >= SOME * seen or seen - labelled < MISSING:
        return decided, []
    kind = "boxes" if sum(len(item.positives) for item in items) <= FEW else "sparse"
    return dataclasses.replace(config, labels=kind), [
        f"{labelled} particles are labelled on {looked} micrographs, on which the general model finds {seen:.0f} "
        f"with confidence. The labels are therefore regarded as incomplete (--labels {kind}), and unlabelled areas "
        "are not used for training. If all particles are labelled, set --labels complete."
    ]


def _surely_seen(image: LabelledImage, method: PickerMethod, config: TrainPickerConfig) -> float:
    """Sum of squared scores of the general model's candidates; of the better sign where contrast is not given."""
    signs = {"dark": (1,), "bright": (-1,)}.get(config.contrast, (1, -1))
    images = [dataclasses.replace(image, image=sign * image.image) for sign in signs]
    return max(float((scores**2).sum()) for _, scores in general_candidates(images, method.working_diameter))
