# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranking of structures: all of them coarsely, the best in full detail, those that matter against decoys."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ..orientations.explained import Explained, explained
from .evidence import Comparison
from .shares import Shares, mixture_evidence, shares_of
from .verdict import SURE, Compared

if typing.TYPE_CHECKING:
    from ..orientations.amplitude import AmplitudeFit
    from ..orientations.assign import Search
    from .candidates import Candidate

BEST = 10  # structures that are compared in full detail
MATTERS = 0.02  # share from which a structure is compared with its decoys
MIXED = 0.1  # share from which a structure's strength is learnt from its own particles alone ...
FEWEST = 30  # ... if these are as many
Progress = typing.Callable[[], typing.Any]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """compared: all structures, the best first. explained: of the mixture of the best. joint: logarithmic evidence that
    is lost without all that beat their decoys and are not needed alone. search: of the best structure."""

    compared: list[Compared]
    explained: Explained
    joint: float
    search: Search


def rank(comparison: Comparison, candidates: typing.Sequence[Candidate], done: Progress) -> Ranking:
    """The Ranking of candidates. done: called after each candidate's coarse comparison."""
    comparison.choose_reading(candidates)
    fits: dict[str, AmplitudeFit] = {}
    compared = []
    for candidate in candidates:
        fits[candidate.name], values = comparison.coarse(candidate)
        compared.append(Compared(candidate, float(values.mean())))
        done()
    compared.sort(key=lambda one: -one.coarse)
    best = compared[:BEST]
    searches, evidence, shares = _full(comparison, best, fits)
    first = int(evidence.mean(0).argmax())
    for k, one in enumerate(best):
        one.full = float(evidence[:, k].mean())
        if shares.share[k] >= MATTERS or k == first:
            others = [other.candidate for other in compared if other is not one]
            decoys = comparison.decoy_evidence(one.candidate, fits[one.candidate.name], others)
            one.against_decoys(decoys, len(compared))
        one.against_rivals(shares, k)
    beaten = [k for k, one in enumerate(best) if one.alike < SURE <= one.q]
    joint = float(shares.evidence.sum() - mixture_evidence(np.delete(evidence, beaten, axis=1)).sum())
    return Ranking(
        sorted(compared, key=lambda one: one.order, reverse=True),
        explained(searches[first], shares.evidence),
        joint,
        searches[first],
    )


def _full(
    comparison: Comparison, best: typing.Sequence[Compared], fits: typing.Mapping[str, AmplitudeFit]
) -> tuple[list[Search], np.ndarray, Shares]:
    """Searches in full detail, (n, k) evidence of each particle, and shares.

    Where several structures are there, each is compared again with the strength that its own particles show it with.
    """
    found = [comparison.full(one.candidate, fits[one.candidate.name]) for one in best]
    searches, columns = [search for search, _ in found], [values for _, values in found]
    shares = shares_of(np.stack(columns, 1))
    several = np.nonzero(shares.share[:-1] >= MIXED)[0]
    for k in several if len(several) > 1 else ():
        rows = np.stack(columns, 1).argmax(1) == k
        if rows.sum() >= FEWEST:
            searches[k], columns[k] = comparison.full(best[k].candidate, searches[k].fit, rows)
    evidence = np.stack(columns, 1)
    return searches, evidence, shares_of(evidence)
