# SPDX-License-Identifier: GPL-3.0-or-later
"""All metrics of a segmentation beside its labels. Voxels in common, and what scores are worth at every threshold."""

import collections
import dataclasses
import functools
import itertools
import typing

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ...contract import UNANNOTATED
from ..features.components import BYTES, ComponentFinder
from .pairs import LabelledPair

BINS = 1000  # of scores; int8 scores are hundredths
RELIABILITY_BINS = 10


Shared = collections.Counter[tuple[int, int]]  # voxels by their values in the segmentation and in the labels
OTHERWISE = 0.1  # Dice by which another value must fit better before that is said
UNLIKE, LIKE = 0.7, 0.5  # Dice below which labels are compared turned and moved, and which they must have so
SAMPLED = 4  # one of so many rows and columns is looked at for that
MOVED = 2  # px by which labels must be moved before that is said: outlines of features are drawn wider or narrower
BETTER = 1.25  # times the Dice where they are that labels must have so
STEPS = (1, 2, 4, 8, 16)  # px by which labels are moved


class Summed:
    """What is counted in parts: a sum has the sums of all its numbers."""

    def __add__(self, other: typing.Self) -> typing.Self:
        return type(self)(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values())))


def overlap(shared: Shared, mine: int, theirs: int) -> collections.Counter[str]:
    """Numbers of voxels: in the segmentation (found), in the labels (ground_truth), both."""
    found = sum(count for (value, _), count in shared.items() if value == mine)
    ground_truth = sum(count for (_, value), count in shared.items() if value == theirs)
    return collections.Counter(both=shared[mine, theirs], found=found, ground_truth=ground_truth)


def overlap_metrics(voxels: collections.Counter[str]) -> dict[str, float | None]:
    """dice, iou, precision, recall; None where there is nothing to divide by. voxels: of overlap."""
    both, found, ground_truth = (voxels[name] for name in ("both", "found", "ground_truth"))
    return dict(
        dice=ratio(2 * both, found + ground_truth),
        iou=ratio(both, found + ground_truth - both),
        precision=ratio(both, found),
        recall=ratio(both, ground_truth),
        voxels_found=found,
        voxels_true=ground_truth,
    )


def ratio(part: float, whole: float) -> float | None:
    """part / whole, None if there is no whole."""
    return part / whole if whole else None


class ScoreCurve(Summed):
    """Histograms of scores where the feature is (yes) and is not (no), (BINS,) voxels; sums: (BINS,) of scores."""

    def __init__(self, *counts: np.ndarray) -> None:
        self.yes, self.no, self.sums = counts or tuple[np.ndarray, ...](np.zeros((3, BINS)))

    def add(self, scores: np.ndarray, ground_truth: np.ndarray) -> None:
        """scores: (n,) float32 in [0, 1]. ground_truth: (n,) bool."""
        # a hundredth times a thousand may end a little below a whole number
        bins = np.clip((scores * BINS + 1e-3).astype(np.int32), 0, BINS - 1)
        self.yes += np.bincount(bins[ground_truth], minlength=BINS)
        self.no += np.bincount(bins[~ground_truth], minlength=BINS)
        self.sums += np.bincount(bins, scores, BINS)

    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """(precision, recall) of all voxels that score at least b / BINS, for b from BINS - 1 down to 0."""
        both, found = np.cumsum(self.yes[::-1]), np.cumsum((self.yes + self.no)[::-1])
        return both / np.maximum(found, 1), both / max(self.yes.sum(), 1)

    def reliability(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean score, share of true voxels and number of voxels, in RELIABILITY_BINS bins of equal width."""
        binned = lambda values: values.reshape(RELIABILITY_BINS, -1).sum(axis=1)
        count = binned(self.yes + self.no)
        return binned(self.sums) / np.maximum(count, 1), binned(self.yes) / np.maximum(count, 1), count

    def metrics(self) -> dict[str, float | None]:
        """Numbers of the curve, calibration_error as Guo et al. 2017; None without voxels of both kinds."""
        if not self.yes.any() or not self.no.any():
            return dict(average_precision=None, best_threshold=None, best_dice=None, calibration_error=None)
        precision, recall = self.precision_recall()
        dice = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        mean, fraction, count = self.reliability()
        return dict(
            average_precision=float((np.diff(recall, prepend=0) * precision).sum()),
            best_threshold=float((BINS - 1 - dice.argmax()) / BINS),
            best_dice=float(dice.max()),
            calibration_error=float((count * np.abs(mean - fraction)).sum() / count.sum()),
        )


# ----- Distance between the surfaces of a segmentation and of the labels, measured block by block. An outline is
# made of the voxels of a feature that have a face in common with a voxel that is not of it. From each voxel of one
# outline the distance to the nearest one of the other is measured, both ways (mean symmetric surface distance).
FARTHEST = 48  # px: what has nothing nearer than this counts with this distance, so that blocks bound the memory
# voxels of a mask all six neighbours of which are in it, as far as they are in the array
eroded = functools.partial(binary_erosion, border_value=True)


@dataclasses.dataclass
class Distances(Summed):
    """counts: how many voxels of the outlines have each squared distance in px. alone: how many of them have nothing
    within FARTHEST. sides: voxels of the outline of the segmentation, and of the labels."""

    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(FARTHEST**2 + 1, np.int64))
    alone: int = 0
    sides: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2, np.int64))

    def add(self, found: np.ndarray, ground_truth: np.ndarray, annotated: np.ndarray, core: tuple[slice, ...]) -> None:
        """found, ground_truth, annotated: (z, y, x) bool of a block, FARTHEST + 1 voxels around its core (three
        slices)."""
        outlines, annotated = [mask & ~eroded(mask) for mask in (found, ground_truth)], eroded(annotated)
        for side, (one, other) in enumerate(((0, 1), (1, 0))):
            own = (outlines[one] & annotated)[core]
            self.sides[side] += own.sum()
            self._measure(own, outlines[other], core)

    def _measure(self, own: np.ndarray, other: np.ndarray, core: tuple[slice, ...]) -> None:
        for distance in (0, 1):  # most are there, and need no search
            near = (other if distance == 0 else ~eroded(~other))[core]
            self.counts[distance] += (own & near).sum()
            own = own & ~near
        if own.any():
            tree = cKDTree(np.argwhere(other), balanced_tree=False, compact_nodes=False)  # built in half the time
            places = np.argwhere(own) + [part.start for part in core]
            nearest, _ = tree.query(places, distance_upper_bound=FARTHEST + 1e-6)  # infinite beyond
            self.alone += int(np.isinf(nearest).sum())
            self.counts += np.bincount(
                np.rint(np.minimum(nearest, FARTHEST) ** 2).astype(np.int64), minlength=len(self.counts)
            )


def boundary_metrics(measured: typing.Iterable[tuple[Distances, float]]) -> dict[str, typing.Any]:
    """boundary_error and boundary_error_95 (95th percentile) in Å, and boundary_alone, the part of the outlines that
    has nothing of the other within FARTHEST px; of tomograms with pixel sizes (Å/px). None if the feature is missing on
    a side."""
    each, sizes = zip(*measured)
    counts, sides = np.concatenate([one.counts for one in each]), sum(one.sides for one in each)
    if not np.all(sides):
        return dict(boundary_error=None, boundary_error_95=None, boundary_alone=None)
    distances, total = np.outer(sizes, np.sqrt(np.arange(FARTHEST**2 + 1))).ravel(), counts.sum()
    order = np.argsort(distances, kind="stable")
    return dict(
        boundary_error=float((distances * counts).sum() / total),
        boundary_error_95=float(distances[order][np.searchsorted(np.cumsum(counts[order]), 0.95 * total)]),
        boundary_alone=sum(one.alone for one in each) / int(total),
    )


# ----- Connected components of the labels that were found, and components of the segmentation that are correct.
HALF = 0.5  # part of a component that must be covered
SLAB_BYTES = 6e8


@dataclasses.dataclass
class ComponentCounts(Summed):
    """true: components of the labels; detected: those at least half of which was found. found: components of the
    segmentation; right: those at least half of which is true."""

    true: int = 0
    detected: int = 0
    found: int = 0
    right: int = 0

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
    found, ground_truth, _ = pair.read((z, min(z + slices, pair.shape[0])))
    annotated = ground_truth != UNANNOTATED
    return found * annotated, ground_truth * annotated


SIDE = 160  # px of a block, beside what is around it
MAX_LABELS = 32


@dataclasses.dataclass
class FeatureMeasures(Summed):
    """What was counted of one feature; sums of several tomograms are those of their voxels and components together."""

    voxels: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    distances: Distances = dataclasses.field(default_factory=Distances)
    components: ComponentCounts = dataclasses.field(default_factory=ComponentCounts)

    def metrics(self, pixel_size: float) -> dict[str, typing.Any]:
        """Dict of numbers, None where something is missing. pixel_size: Å/px."""
        boundary = boundary_metrics([(self.distances, pixel_size)])
        return dict(overlap_metrics(self.voxels), **boundary, **self.components.metrics())


def measure_labelled_pair(
    pair: LabelledPair,
) -> tuple[dict[int, FeatureMeasures], dict[int, int], ScoreCurve | None, Shared]:
    """{label: FeatureMeasures} of a pair, {label: slice to look at}, a ScoreCurve, None for labels, and Shared."""
    found = {} if pair.label is None else {pair.label: FeatureMeasures()}
    curve, shared = None if pair.label is None else ScoreCurve(), Shared()
    for core in itertools.product(*([(a, min(a + SIDE, n)) for a in range(0, n, SIDE)] for n in pair.shape)):
        around = [(max(0, a - FARTHEST - 1), min(n, b + FARTHEST + 1)) for (a, b), n in zip(core, pair.shape)]
        inner = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(core, around))
        mine, theirs, scores = pair.read(*around)
        annotated = theirs != UNANNOTATED
        here = annotated[inner]
        if curve is not None and scores is not None:
            curve.add(scores[inner][here], (theirs[inner] == pair.label)[here])
        # both values of a voxel as one number, which is quicker to sort
        both = np.stack([mine[inner][here], theirs[inner][here]], 1).astype(np.int32).view(np.int64)
        values, times = np.unique(both, return_counts=True)
        told = [(one, other) for one, other in values[:, None].view(np.int32).tolist()]
        shared.update(dict(zip(told, times.tolist())))
        present = {value for pair_of in told for value in pair_of} - {0, UNANNOTATED}
        if pair.label is not None:
            present &= {pair.label}
        elif len({*found, *present}) > MAX_LABELS:
            raise ValueError(
                f"{pair.segmentation} and its labels have more than {MAX_LABELS} different values, so they are not "
                "label volumes. For score volumes, give the value of the feature in the labels (--label)."
            )
        for label in sorted(present):
            found.setdefault(label, FeatureMeasures()).distances.add(mine == label, theirs == label, annotated, inner)
    components, slices = count_components(pair, sorted(found))
    for label, counts in components.items():
        found[label].voxels, found[label].components = overlap(shared, label, label), counts
    return dict(sorted(found.items())), slices, curve, shared


def other_numbers(shared: Shared, names: typing.Mapping[int, str], scores: bool) -> typing.Iterator[str]:
    """Sentences about values that fit others of the labels better. names: {value: name}. scores: not of labels."""
    values = [{pair[side] for pair in shared} - {0} for side in (0, 1)]
    pairs = [*itertools.product(*values), *((value, value) for value in values[0])]
    dice = {pair: overlap_metrics(overlap(shared, *pair))["dice"] or 0.0 for pair in pairs}
    for (mine, theirs), there in dice.items():
        rivals = [d for pair, d in dice.items() if pair[0] == mine or pair[1] == theirs]
        if there > dice[mine, mine] + OTHERWISE and there == max(rivals):
            yield (
                f"{names.get(mine, mine)} of the segmentations agrees best with the value {theirs} of the labels: Dice "
                f"{there:.2f}, and {dice[mine, mine]:.2f} with the value {mine}, which it was compared with. If they "
                f"are one feature, {'give that value (--label)' if scores else 'change one of the values'}."
            )


def misplaced(
    pair: LabelledPair, measured: typing.Mapping[int, FeatureMeasures], shared: Shared
) -> typing.Iterator[str]:
    """Sentences about labels that a segmentation fits much better inverted, mirrored, moved or with other axes."""
    dice = lambda mine, theirs: overlap_metrics(overlap(shared, mine, theirs))["dice"] or 0.0
    for label, one in measured.items():
        agreement = dice(label, label)
        # unlike that of inverted labels, the background of those that merely lie elsewhere is largely the same
        if min(dice(label, 0), dice(0, label)) > max(agreement, dice(0, 0)) + OTHERWISE:
            yield (
                f"The labels of {pair.name} look inverted: where the segmentation {pair.segmentation} has {label}, "
                f"most of them are 0, and {label} elsewhere. In labels 0 is background; invert them."
            )
        elif agreement < UNLIKE and min(one.voxels["found"], one.voxels["ground_truth"]):
            sampled = _sampled(pair, label)
            fits = _turned_dice(*sampled)
            (usual, _), (better, seen) = fits[len(fits) * 3 // 4], fits[-1]
            moved, (z, y, x) = _moved_dice(*sampled)
            # some way of many fits the labels of a small area well by chance: then others fit nearly as well
            if better > max(LIKE, 2 * max(agreement, usual) + OTHERWISE):
                yield (
                    f"The labels of {pair.name} look mirrored or turned: Dice of {label} is {agreement:.2f}, "
                    f"and would be {better:.2f} where x, y, z of the segmentation {pair.segmentation} are "
                    f"{seen} of the labels (-: reversed). Write one with the other's axes."
                )
            # labels of a small area fit well somewhere
            elif (
                sampled[2].mean() > HALF and max(map(abs, (x, y, z))) >= MOVED and moved > max(LIKE, BETTER * agreement)
            ):
                yield (
                    f"The labels of {pair.name} look moved: Dice of {label} is {agreement:.2f}, and would be "
                    f"{moved:.2f} if they were moved by {x}, {y}, {z} px along x, y, z. Check the origins of the "
                    f"labels and of the segmentation {pair.segmentation}."
                )


def _sampled(pair: LabelledPair, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(z, y, x) bool: where a segmentation has a label; and, of one of SAMPLED rows and columns, where its labels have
    it, and where they are annotated."""
    found, sampled = np.zeros(pair.shape, bool), []
    for z in range(pair.shape[0]):
        mine, theirs, _ = pair.read((z, z + 1))
        found[z] = mine[0] == label
        sampled.append(theirs[:, ::SAMPLED, ::SAMPLED].copy())
    ground_truth = np.concatenate(sampled)
    return found, ground_truth == label, ground_truth != UNANNOTATED


def _dice(mine: np.ndarray, theirs: np.ndarray) -> float:
    return 2 * float((mine & theirs).sum()) / max(1, int(mine.sum()) + int(theirs.sum()))


def _turned_dice(found: np.ndarray, there: np.ndarray, annotated: np.ndarray) -> list[tuple[float, str]]:
    """Dice for all orders and directions of the axes that keep the shape, lowest first, each with the axes of the
    labels that are x, y, z of the segmentation then. What is given: of _sampled."""
    fits = []
    for axes in itertools.permutations(range(3)):
        if tuple(found.shape[axis] for axis in axes) != found.shape:
            continue
        for signs in itertools.product((1, -1), repeat=3):
            turned = found[tuple(slice(None, None, sign) for sign in signs)].transpose(np.argsort(axes))
            dice = _dice(turned[:, ::SAMPLED, ::SAMPLED] & annotated, there)
            seen = [("-" if sign < 0 else "") + "zyx"[axis] for axis, sign in zip(axes, signs)]
            fits.append((dice, ", ".join(seen[::-1])))
    return sorted(fits)


def _moved_dice(found: np.ndarray, there: np.ndarray, annotated: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """Highest Dice of labels that are moved, and by how many px along z, y, x: uphill from where they are, in STEPS.

    What is given: of _sampled.
    """

    @functools.cache
    def dice(move: tuple[int, ...]) -> float:
        at = [np.arange(0, n, step) + d for n, step, d in zip(found.shape, (1, SAMPLED, SAMPLED), move)]
        inside = [(0 <= place) & (place < n) for place, n in zip(at, found.shape)]
        mine = found[np.ix_(*(place[known] for place, known in zip(at, inside)))]
        return _dice(mine & annotated[np.ix_(*inside)], there[np.ix_(*inside)])

    best, far = (0, 0, 0), np.array(found.shape) // 4
    ways = [step * axis for step in STEPS for axis in (*np.eye(3, dtype=int), *-np.eye(3, dtype=int))]
    while dice(move := max((tuple(np.clip(best + way, -far, far).tolist()) for way in ways), key=dice)) > dice(best):
        best = move
    return dice(best), best
