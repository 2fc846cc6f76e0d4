# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels from a model's own picks: confident particles, confident background, and uncertain areas that are left out.
After DeepPicker (Wang et al. 2016), whose second iteration learns from the first one's confident picks, and DeepEM (Zhu
et al. 2017), whose false positives come back as negatives. Ours: what is neither sure is left out of loss and
validation, and picks that stand out as ice and carbon do teach as contamination."""

import dataclasses
import typing

import numpy as np
from scipy.spatial import cKDTree

from ...contract import AutoPickConfig
from ...core.geometry import map_positions, values_at
from ..assess.contamination import find_contamination
from .crops import LabelledImage
from .fill_in import appearance_of, proposed_boxes
from .labels import Labels, load_labelled
from .method import PickerMethod
from .train import MATCH_RADII
from .uncertain import Uncertain

PROPOSED = 15  # contamination boxes per micrograph, for methods that cannot do without


class Picked(typing.NamedTuple):
    """Candidates of one micrograph, all of them: yx (n, 2) in px of the file of shape (h, w), and scores (n,)."""

    name: str
    path: str
    shape: tuple[int, ...]
    yx: np.ndarray
    scores: np.ndarray


def labels_of(picked: Picked, confident: float, earlier: np.ndarray, reach: float) -> typing.Any:
    """Labels of one micrograph from its candidates. picked: Picked. confident: minimum score of a particle; background
    scores below 1 minus it. earlier: (n, 2) positions that the round before was confident of; those that now are
    background are its false positives. reach: px of the file within which two picks are the same. Returns Labels whose
    negatives are the false positives first, then the other background candidates; and how many of the former."""
    sure, not_sure = picked.scores >= confident, picked.scores > 1 - confident
    false = earlier[cKDTree(picked.yx[not_sure]).query(earlier)[0] >= reach]
    background = picked.yx[~not_sure]
    background = background[cKDTree(false).query(background)[0] >= reach]
    return Labels(
        picked.name,
        picked.path,
        picked.yx[sure],
        np.concatenate([false, background]),
        uncertain=Uncertain(picked.yx[not_sure & ~sure]),
    ), len(false)


def load_images(
    labels: typing.Sequence[typing.Any], method: PickerMethod, config: AutoPickConfig, contrast: str
) -> list[LabelledImage]:
    """LabelledImages with complete labels, but uncertain positions and contaminated picks left out of the particles.
    labels: of labels_of. config: AutoPickConfig. contrast: 'dark' or 'bright'. ValueError names a bad file."""
    diameter = typing.cast("float", config.particle_diameter)  # stated, or the one that was picked at
    images = [load_labelled(item, method, config.pixel_size, diameter, "complete") for item in labels]
    if contrast == "bright":
        images = [dataclasses.replace(image, image=-image.image) for image in images]
    if not any(len(image.positives) for image in images):
        return images
    images = [_without_contamination(image, method.working_diameter) for image in images]
    if method.needs_contamination and not any(len(image.contamination) for image in images):
        look = appearance_of(images, method.working_diameter)
        images = [
            dataclasses.replace(image, contamination=proposed_boxes(image, look, PROPOSED, always=True).contamination)
            for image in images
        ]
    return images


def _without_contamination(image: LabelledImage, diameter: float) -> LabelledImage:
    """The image with particles that lie on ice crystals, dirt or aggregates as contamination. diameter: working px."""
    if not len(image.positives):
        return image
    area = find_contamination(-image.image.numpy(), image.valid.numpy(), diameter)  # there, particles are dark
    dirty = values_at(area, image.positives)
    return dataclasses.replace(image, positives=image.positives[~dirty], contamination=image.positives[dirty])


def teacher_probabilities(
    images: typing.Sequence[LabelledImage],
    found: typing.Sequence[np.ndarray],
    teachers: typing.Sequence[Picked],
    diameter: float,
) -> list[np.ndarray]:
    """What the round before thought of positions that a new network found. images: LabelledImages. found: for each, (n,
    2) candidates in working px. teachers: Picked of the round before, in the same order. diameter: working px. Returns
    for each image (n,) the teacher's score at its candidate of the same particle, 0 where it had none."""
    probabilities = []
    for image, yx, teacher in zip(images, found, teachers):
        distance, index = cKDTree(map_positions(teacher.yx, teacher.shape, image.image.shape)).query(yx)
        known = np.r_[teacher.scores, 0.0][index]  # the last of what is found nowhere
        probabilities.append(np.where(distance < MATCH_RADII * diameter / 2, known, 0.0))
    return probabilities
