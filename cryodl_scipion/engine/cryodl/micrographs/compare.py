# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of picks compared with a reference and with each other, and combined.

A group holds at most one pick of each set, and any two of its picks are nearer than the distance m. Of all ways to
group them the one is taken with the smallest sum, over all pairs of picks in one group, of d^2 - m^2: for two sets this
is the rule that picks are scored with (matching.py). Picks that hang together in a chain are few on real micrographs;
up to LARGEST_EXACT of them all ways are tried, beyond it groups grow by the closest pair first."""

import dataclasses
import functools
import itertools
import os
import typing

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..contract import ComparePicksConfig, ConsensusPicksConfig, EvaluatePicksConfig, some_names
from ..core.geometry import inside
from ..core.matching import f1_score, match_picks, score_matched
from ..io import messages
from ..io.coordinates import align_keys, coordinate_files
from ..io.files import expand_paths, name_micrographs
from ..io.micrographs import micrograph_shape
from ..io.particle_positions import read_centred
from ..io.pick_sets import in_a_corner
from .pickers.pick_record import CANDIDATES

Positions = typing.Mapping[str, tuple[np.ndarray, np.ndarray]]  # {micrograph: (yx, scores)}
Shapes = typing.Mapping[str, tuple[int, int]] | None
NOTHING = (np.zeros((0, 2)), np.zeros(0))
TURNED, ASKED = 20, 10  # matches from which another frame is told of; micrographs that tell
SOME = 500  # positions of a micrograph that tell where an axis ends
AS_READ = "as they are"
FRAMES = {
    AS_READ: np.array([[1, 0], [0, 1]]),
    "with x and y exchanged": np.array([[0, 1], [1, 0]]),
    "with y counted from the other end": np.array([[-1, 0], [0, 1]]),
    "with x counted from the other end": np.array([[1, 0], [0, -1]]),
}


def within_border(coordinates: Positions, shapes: Shapes, border: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same coordinates without those nearer than `border` px to the edge. coordinates: {micrograph: (yx, scores)}.
    shapes: {micrograph: (h, w)}, all that are left; None keeps everything."""
    if shapes is None:
        return dict(coordinates)
    kept = {name: coordinates[name] for name in coordinates if name in shapes}
    inner = {name: inside(yx, shapes[name], border) if border else slice(None) for name, (yx, _) in kept.items()}
    return {name: (yx[inner[name]], scores[inner[name]]) for name, (yx, scores) in kept.items()}


def match_micrographs(
    picks: Positions, reference: Positions, names: typing.Sequence[str], distance: float
) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """(hit (n,) bool, scores (n,), number of reference points) of each micrograph, picks matched one to one. picks,
    reference: {micrograph: (yx, scores)}; a micrograph that one of them lacks counts as empty. distance: px."""
    pairs = {name: (*picks.get(name, NOTHING), reference.get(name, NOTHING)[0]) for name in names}
    return {n: (match_picks(yx, truth, distance), scores, len(truth)) for n, (yx, scores, truth) in pairs.items()}


def pooled(matches: typing.Mapping[str, tuple[np.ndarray, np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray, int]:
    """The same three of all micrographs together."""
    parts = list(matches.values())
    return (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), sum(p[2] for p in parts))


def agreement_matrix(sets: typing.Mapping[str, typing.Any], names: typing.Sequence[str], distance: float) -> np.ndarray:
    """(n, n) F1 of each pair of sets, picks matched one to one within `distance` px over the micrographs `names`. sets:
    {set: {micrograph: (yx, scores)}}. The F1 of two sets is the same whichever is taken for the reference: twice the
    pairs over all picks of both. A set without any pick agrees with nothing, itself included."""
    matrix = np.zeros((len(sets), len(sets)))
    for (i, first), (j, second) in itertools.combinations_with_replacement(enumerate(sets.values()), 2):
        hit, _, other = pooled(match_micrographs(first, second, names, distance))
        pairs = int(hit.sum())
        matrix[i, j] = matrix[j, i] = f1_score(pairs / max(len(hit), 1), pairs / max(other, 1))
    return matrix


COLUMNS = ("precision", "recall", "f1", "average_precision", "best_f1", "best_threshold", "picks", "reference")


def match_distance(config: ComparePicksConfig | ConsensusPicksConfig | EvaluatePicksConfig) -> float:
    """Largest distance of a matched pair in px, of a config with tolerance, particle_diameter and pixel_size."""
    return config.tolerance * config.particle_diameter / 2 / config.pixel_size


def micrograph_shapes(config: ComparePicksConfig | EvaluatePicksConfig) -> Shapes:
    """{name: (h, w)} of the config's micrographs; None if it names none."""
    if not config.micrographs:
        return None
    return {n: micrograph_shape(p) for n, p in name_micrographs(expand_paths(config.micrographs))}


def read_reference(config: ComparePicksConfig | EvaluatePicksConfig, shapes: Shapes) -> Positions:
    """The reference under the micrographs' names, without its border and without other micrographs."""
    # only asked for where there is one
    reference = read_centred(typing.cast("str", config.reference), config.pixel_size, config.particle_diameter)
    return within_border(align_keys(reference, shapes) if shapes else reference, shapes, config.border)


def check_common(
    source: str, picks: Positions, config: ComparePicksConfig | EvaluatePicksConfig, reference: Positions
) -> None:
    """Raises ValueError if picks and reference have no micrograph in common."""
    if not set(reference) & set(picks):
        raise ValueError(
            f"{source} and {config.reference} have no micrograph in common: the picks are on "
            f"{some_names(picks)}, the reference on {some_names(reference)}. Names are compared without folder and "
            "extension; what another program put before or behind them has to be removed."
        )


def turned_in_words(sets: typing.Mapping[str, Positions], distance: float) -> typing.Iterator[str]:
    """A sentence for each of the sets that lies on the first one only once x and y are exchanged, or one of them is
    counted from its other end: half of it, and twice as many as without. distance: px, of a matched pair."""
    (first, known), *others = sets.items()
    for name, picks in others:
        pairs = [(known[n][0], yx) for n, (yx, _) in picks.items() if len(yx) and len(known.get(n, NOTHING)[0])][:ASKED]
        ends = np.array([_end(pairs, axis, distance) for axis in (0, 1)])
        found = {
            words: sum(match_picks(yx @ turn + ends * (turn.sum(0) < 0), one, distance).sum() for one, yx in pairs)
            for words, turn in FRAMES.items()
        }
        best, half = max(found, key=found.__getitem__), min((sum(map(len, s)) for s in zip(*pairs)), default=0) / 2
        if found[best] >= max(TURNED, half, 2 * found[AS_READ]):
            yield (
                f"{found[best]} positions of {name} lie on those of {first} {best}, {found[AS_READ]} {AS_READ}. One of "
                "the two is not in the frame of the micrographs' files: look at both (pick-by-hand), and turn the one "
                "that is beside the particles."
            )


def _end(pairs: typing.Sequence[tuple[np.ndarray, np.ndarray]], axis: int, distance: float) -> float:
    """The height (axis 0) or width at which most of the second positions, counted from there, lie on the first ones."""
    pairs = [(one, yx[:: len(yx) // SOME + 1]) for one, yx in pairs]  # ten thousand picks would take gigabytes
    near = [np.abs(one[:, None, 1 - axis] - yx[:, 1 - axis]) < distance for one, yx in pairs]
    sums = np.concatenate([np.zeros(1), *((one[:, None, axis] + yx[:, axis])[n] for n, (one, yx) in zip(near, pairs))])
    places, counts = np.unique(sums // distance, return_counts=True)  # a position may be absurdly far away
    return float(np.median(sums[np.abs(sums - (places[counts.argmax()] + 0.5) * distance) < distance]))


def candidates_beside(picks: str) -> str | None:
    """The folder of all candidates beside picks. None where there are none: picks of another program, or of a run that
    found no particles of any size."""
    folder = os.path.join(picks, CANDIDATES)
    return folder if os.path.isdir(folder) and coordinate_files(folder) else None


def pick_metrics(config: EvaluatePicksConfig, picks: str | None = None) -> dict[str, typing.Any]:
    """Metrics of picks against a reference: pooled at the top, per micrograph under 'micrographs'. picks: others than
    the config's, all of them whatever their score. Micrographs without a reference are left out, and counted in
    'picks_elsewhere'. 'missing' names micrographs that have a reference and no picks. Raises ValueError if the config's
    picks and the reference have no micrograph in common."""
    shapes, distance = micrograph_shapes(config), match_distance(config)
    reference = read_reference(config, shapes)
    read = read_centred(picks or config.coordinates, config.pixel_size, config.particle_diameter)
    found = align_keys(read, reference)
    if picks is None:
        check_common(config.coordinates, found, config, reference)
        both = {"the reference": reference, config.coordinates: found}
        for sentence in (*in_a_corner(both), *turned_in_words(both, distance)):
            messages.warn(sentence)
    matches = match_micrographs(within_border(found, shapes, config.border), reference, list(reference), distance)
    missing, whole = [n for n in reference if n not in found], pooled(matches)
    threshold = config.threshold
    if threshold is None or picks is not None:  # all: scores of other programs may be below 0, as log odds
        threshold = float(whole[1].min(initial=0.0))
    return dict(
        dataclasses.asdict(score_matched(*whole, threshold)),
        tolerance=config.tolerance,
        match_distance_px=distance,
        micrographs_without_picks=len(missing),
        missing=missing,
        picks_elsewhere=sum(len(v[1]) for k, v in found.items() if k not in reference),
        micrographs={n: dataclasses.asdict(score_matched(*m, threshold)) for n, m in matches.items()},
    )


def print_table(rows: typing.Sequence[tuple[str, dict[str, float]]], what: str) -> None:
    """rows: (name, metrics) pairs; what: the word over the names."""
    print("  ".join(f"{c:>17}" for c in COLUMNS) + f"  {what}")
    for name, row in rows:
        values = (f"{row[c]:17.4f}" if isinstance(row[c], float) else f"{row[c]:17d}" for c in COLUMNS)
        print("  ".join(values) + f"  {name}")


LARGEST_EXACT = 10


def group_picks(
    sets: typing.Sequence[tuple[np.ndarray, list[float] | np.ndarray]], distance: float
) -> list[list[tuple[int, int]]]:
    """Groups of picks that are the same particle. sets: list of (yx (n, 2), scores (n,)), one per set. distance: m, in
    the unit of the positions. Returns a list of groups, each a list of (set, pick) index pairs; every pick is in one
    group. Neither the groups nor their order depend on the order of picks in a set. The order of sets decides only
    between picks of two sets that are equal in position and score."""
    rows = sorted(
        (*position, -score, which, index)
        for which, (yx, scores) in enumerate(sets)
        for index, (position, score) in enumerate(zip(np.asarray(yx, float).tolist(), np.asarray(scores).tolist()))
    )
    if not rows:
        return []
    positions, sets_of = np.array([row[:2] for row in rows]), [row[3] for row in rows]
    gain = _gains(positions, sets_of, distance)
    count, component = connected_components(gain, directed=False)
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    groups = sorted(sorted(int(i) for i in group) for part in parts for group in _divide(part, gain))
    return [sorted((rows[i][3], rows[i][4]) for i in group) for group in groups]


def _gains(positions: np.ndarray, which: typing.Sequence[int], distance: float) -> csr_matrix:
    """(n, n) sparse d^2 - m^2 of picks of different sets that are nearer than m; nothing elsewhere."""
    pairs = cKDTree(positions).query_pairs(distance, output_type="ndarray")
    squared = ((positions[pairs[:, 0]] - positions[pairs[:, 1]]) ** 2).sum(1)
    of = np.asarray(which)
    use = (squared < distance**2) & (of[pairs[:, 0]] != of[pairs[:, 1]])
    (a, b), value = pairs[use].T, squared[use] - distance**2
    return csr_matrix((np.r_[value, value], (np.r_[a, b], np.r_[b, a])), shape=(len(positions),) * 2)


def _divide(part: np.ndarray, gain: csr_matrix) -> list[list[int]]:
    if len(part) == 1:
        return [list(part)]
    gain = gain[part][:, part].toarray()
    if (gain < 0).sum() == len(part) * (len(part) - 1):  # all of them fit together, as nearly always
        return [list(part)]
    groups = _best_groups(gain) if len(part) <= LARGEST_EXACT else _closest_first(gain)
    return [[part[i] for i in group] for group in groups]


def _best_groups(gain: np.ndarray) -> list[list[int]]:
    """The grouping with the smallest sum, all ways tried. gain: (n, n), below 0 where two picks may share a group."""
    fits = [sum(1 << int(j) for j in np.flatnonzero(row < 0)) for row in gain]

    @functools.cache
    def best(left: int) -> tuple[float, tuple[int, ...]]:
        """Smallest sum and groups (bit masks) of the picks whose bits are set."""
        if not left:
            return 0.0, ()
        first = (left & -left).bit_length() - 1
        return min(
            (value + rest, (group,) + others)
            for group, value in _groups_with(first, left & fits[first])
            for rest, others in [best(left & ~group)]
        )

    def _groups_with(first: int, candidates: int) -> typing.Iterator[tuple[int, float]]:
        """All groups that hold `first` and some of the candidates, with their sums."""
        open_groups = [(1 << first, 0.0, candidates)]
        while open_groups:
            group, value, allowed = open_groups.pop()
            yield group, value
            while allowed:
                lowest = allowed & -allowed
                allowed ^= lowest
                new = lowest.bit_length() - 1
                more = sum(gain[new, i] for i in range(len(gain)) if group >> i & 1)
                open_groups.append((group | lowest, value + more, allowed & fits[new]))

    return [[i for i in range(len(gain)) if group >> i & 1] for group in best((1 << len(gain)) - 1)[1]]


def _closest_first(gain: np.ndarray) -> list[list[int]]:
    """Groups that grow by the closest pair first, as long as all their picks fit together."""
    owner = {i: [i] for i in range(len(gain))}
    a, b = np.nonzero(np.triu(gain < 0))
    for _, i, j in sorted(zip(gain[a, b], a.tolist(), b.tolist())):
        if owner[i] is not owner[j] and (gain[np.ix_(owner[i], owner[j])] < 0).all():
            merged = owner[i] + owner[j]
            owner.update((k, merged) for k in merged)
    return [group for i, group in owner.items() if min(group) == i]


def merge_group(
    group: typing.Sequence[tuple[int, int]], sets: typing.Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, float]:
    """One pick for a group: its position, the mean weighted by score, and its score, the sum over the number of sets.
    group: (set, pick) pairs. sets: as for group_picks, scores in [0, 1]. Returns yx (2,) and the score."""
    positions = np.array([sets[s][0][i] for s, i in group], float)
    scores = np.array([sets[s][1][i] for s, i in group], float)
    weights = scores if scores.sum() > 0 else np.ones(len(scores))
    return weights @ positions / weights.sum(), float(scores.sum() / len(sets))


def comparable_scores(picks: Positions) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """The scores of one set in [0, 1], so that they can be added to another's. picks: {micrograph: (yx, scores)}.
    Scores within [0, 1] stay. If all are equal to 0 the set has none, and every pick counts 1. Others (log odds,
    correlations) become the part of the set's picks that score no better. Returns picks, and what was done."""
    scores = np.concatenate([s for _, s in picks.values()]) if picks else np.zeros(0)
    if len(scores) and not scores.any():
        return {
            n: (yx, np.ones(len(s))) for n, (yx, s) in picks.items()
        }, "has no scores; each of its picks counts as 1"
    if not len(scores) or (scores.min() >= 0 and scores.max() <= 1):
        return dict(picks), ""
    ordered = np.sort(scores)
    return {n: (yx, np.searchsorted(ordered, s, side="right") / len(ordered)) for n, (yx, s) in picks.items()}, (
        f"has scores from {ordered[0]:.4g} to {ordered[-1]:.4g}, which are not probabilities; they were replaced by "
        "ranks (the fraction of its picks that do not score higher)"
    )
