# SPDX-License-Identifier: GPL-3.0-or-later
"""Connected components of the labels that were found, and components of the segmentation that are correct."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ..features.components import BYTES, ComponentFinder
from .overlap import ratio
from .pairs import annotated_voxels

if typing.TYPE_CHECKING:
    from .pairs import LabelledPair

HALF = 0.5  # part of a component that must be covered
SLAB_BYTES = 6e8


@dataclasses.dataclass
class ComponentCounts:
    """true: components of the labels; detected: those at least half of which was found. found: components of the
    segmentation; right: those at least half of which is true."""

    true: int = 0
    detected: int = 0
    found: int = 0
    right: int = 0

    def __add__(self, other: ComponentCounts) -> ComponentCounts:
        return ComponentCounts(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other))))

    def metrics(self) -> dict[str, typing.Any]:
        """The counts, and recall and precision of components; None where nothing is counted."""
        return dict(
            components_true=self.true,
            components_detected=self.detected,
            components_found=self.found,
            components_right=self.right,
            component_recall=ratio(self.detected, self.true),
            component_precision=ratio(self.right, self.found),
        )


def count_components(
    pair: LabelledPair, labels: typing.Sequence[int]
) -> tuple[dict[int, ComponentCounts], dict[int, int]]:
    """{label: ComponentCounts} of a LabelledPair; and {label: slice with most of it in the labels, or in the
    segmentation if there is nothing in the labels}. Voxels that nobody knows are in no component."""
    slices = max(1, int(SLAB_BYTES / (2 * BYTES * pair.shape[1] * pair.shape[2])))
    starts = range(0, pair.shape[0], slices)
    finders = ComponentFinder(labels), ComponentFinder(labels)
    maximum: dict[int, tuple[float, int]] = dict.fromkeys(labels, (-1.0, 0))
    for z in starts:
        found, ground_truth = _slab(pair, z, slices)
        for label in labels:
            amounts = (ground_truth == label).sum(axis=(1, 2)) + 1e-9 * (found == label).sum(axis=(1, 2))
            maximum[label] = max(maximum[label], (float(amounts.max()), z + int(amounts.argmax())))
        finders[0].add(z, found)
        finders[1].add(z, ground_truth)
    components = [finder.components() for finder in finders]
    covered = [np.zeros(len(p)) for p in components]
    for z in starts:
        slabs = _slab(pair, z, slices)
        for own, other, sums, which in zip(slabs, slabs[::-1], covered, components):
            for label, position, numbers in which.numbered(z, own, labels):
                sums += np.bincount(numbers[other[position] == label], minlength=len(sums) + 1)[1:]
    good = [c >= HALF * p.voxels for c, p in zip(covered, components)]

    def counts(side: int, label: int) -> tuple[int, int]:
        own = components[side].labels == label
        return int(own.sum()), int((own & good[side]).sum())

    return (
        {label: ComponentCounts(*counts(1, label), *counts(0, label)) for label in labels},
        {label: z for label, (_, z) in maximum.items()},
    )


def _slab(pair: LabelledPair, z: int, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """(found, ground truth) labels of slices from z on, 0 where nobody knows."""
    found, ground_truth, _ = pair.read((z, min(z + slices, pair.shape[0])))
    annotated = annotated_voxels(ground_truth)
    return found * annotated, ground_truth * annotated
