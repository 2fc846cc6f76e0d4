# SPDX-License-Identifier: GPL-3.0-or-later
"""All metrics of a segmentation beside its labels."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ...contract import UNANNOTATED
from .found_components import ComponentCounts, count_components
from .outlines import FARTHEST, Distances
from .overlap import Overlap, ScoreCurve
from .pairs import annotated_voxels, blocks

if typing.TYPE_CHECKING:
    from .pairs import LabelledPair

SIDE = 160  # px of a block, beside what is around it
MAX_LABELS = 32


@dataclasses.dataclass
class FeatureMeasures:
    """What was counted of one feature; sums of several tomograms are those of their voxels and components together."""

    overlap: Overlap = dataclasses.field(default_factory=Overlap)
    distances: Distances = dataclasses.field(default_factory=Distances)
    components: ComponentCounts = dataclasses.field(default_factory=ComponentCounts)

    def __add__(self, other: FeatureMeasures) -> FeatureMeasures:
        return FeatureMeasures(
            self.overlap + other.overlap, self.distances + other.distances, self.components + other.components
        )

    def metrics(self, pixel_size: float) -> dict[str, typing.Any]:
        """Dict of numbers, None where something is missing. pixel_size: Å/px."""
        return dict(self.overlap.metrics(), **self.distances.metrics(pixel_size), **self.components.metrics())


def measure_labelled_pair(pair: LabelledPair) -> tuple[dict[int, FeatureMeasures], dict[int, int], ScoreCurve | None]:
    """{label: FeatureMeasures} of a pairs.LabelledPair, {label: slice to look at}, and a ScoreCurve, None for label
    volumes."""
    found = {} if pair.label is None else {pair.label: FeatureMeasures()}
    curve = None if pair.label is None else ScoreCurve()
    for core in blocks(pair.shape, SIDE):
        _measure_block(pair, core, found, curve)
        if len(found) > MAX_LABELS:
            raise ValueError(
                f"{pair.segmentation} and its labels have more than {MAX_LABELS} different values, so they are not "
                "label volumes. For score volumes, give the value of the feature in the labels (--label)."
            )
    components, slices = count_components(pair, sorted(found))
    for label, counts in components.items():
        found[label].components = counts
    return dict(sorted(found.items())), slices, curve


def _measure_block(
    pair: LabelledPair,
    core: typing.Sequence[tuple[int, int]],
    measured: dict[int, FeatureMeasures],
    curve: ScoreCurve | None,
) -> None:
    """Add a block to {label: FeatureMeasures} and to the ScoreCurve, if there is one. core: three (start, stop)."""
    around = [(max(0, a - FARTHEST - 1), min(n, b + FARTHEST + 1)) for (a, b), n in zip(core, pair.shape)]
    inner = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(core, around))
    found, ground_truth, scores = pair.read(*around)
    annotated = annotated_voxels(ground_truth)
    here = annotated[inner]
    if curve is not None and scores is not None:
        curve.add(scores[inner][here], (ground_truth[inner] == pair.label)[here])
    present = set(np.unique(found[inner]).tolist()) | set(np.unique(ground_truth[inner]).tolist())
    if pair.label is not None:
        present &= {pair.label}
    for label in sorted(present - {0, UNANNOTATED}):
        one = measured.setdefault(label, FeatureMeasures())
        masks = found == label, ground_truth == label
        one.overlap.add(masks[0][inner] & here, masks[1][inner])
        one.distances.add(*masks, annotated, inner)
