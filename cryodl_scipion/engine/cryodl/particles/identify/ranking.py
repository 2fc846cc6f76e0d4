# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranking of structures: all of them coarsely, the best in full detail, those that matter against decoys."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from .evidence import ParticleComparison
from .shares import Shares, mixture_evidence, shares_of
from .verdict import SURE, Compared, rival_chance

if typing.TYPE_CHECKING:
    from ..orientations.amplitude import AmplitudeFit
    from ..orientations.assign import Search
    from .candidates import Candidate

BEST, SURELY = 10, 3  # structures that are compared in full detail, at most, and whatever their shares seem to be
MATTERS = 0.02  # share from which a structure is compared further: in full detail, and with its decoys
HOPELESS = 0.5  # chance to be a look-alike by a third of the decoys, from which the others are not asked
MIXED = 0.1  # share from which a structure's strength is learnt from its own particles alone ...
FEWEST = 30  # ... if these are as many
Progress = typing.Callable[[], typing.Any]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """compared: all structures, the best first. signal: standard errors of the images' power above the noise. joint:
    logarithmic evidence that is lost without all that beat their decoys and are not needed alone. search: of the best
    structure."""

    compared: list[Compared]
    signal: float
    joint: float
    search: Search


def rank(comparison: ParticleComparison, candidates: typing.Sequence[Candidate], done: Progress) -> Ranking:
    """The Ranking of candidates. done: called after each candidate's coarse comparison."""
    comparison.choose_reading(candidates)
    fits: dict[str, AmplitudeFit] = {}
    coarse: dict[str, np.ndarray] = {}
    for candidate in candidates:
        fits[candidate.name], coarse[candidate.name] = comparison.coarse(candidate)
        done()
    compared = [Compared(candidate, float(coarse[candidate.name].mean())) for candidate in candidates]
    compared.sort(key=lambda one: -one.coarse)
    share = shares_of(np.stack([coarse[one.candidate.name] for one in compared[:BEST]], 1)).high
    best = [one for k, one in enumerate(compared[:BEST]) if k < SURELY or share[k] >= MATTERS]
    searches, evidence, shares = _full(comparison, best, fits)
    first, signal = int(evidence.mean(0).argmax()), 0.0
    for k, one in enumerate(best):
        one.full = float(evidence[:, k].mean())
        if shares.share[k] >= MATTERS or k == first:
            others = [other.candidate for other in compared if other is not one]
            for decoys in comparison.decoy_evidence(one.candidate, fits[one.candidate.name], others):
                one.against_decoys(decoys, len(compared))
                if one.alike > HOPELESS:
                    break
        if one.alike < SURE or k == first:
            own = own_particles(evidence, k) if shares.share[k] >= MIXED else np.full(len(evidence), True)
            found = comparison.explained(one.candidate, searches[k].fit, own)
            one.explained, signal = found.whole, max(signal, found.signal)
        one.against_rivals(shares, k)
    beaten = [k for k, one in enumerate(best) if one.alike < SURE <= one.q]
    joint = float(shares.evidence.sum() - mixture_evidence(np.delete(evidence, beaten, axis=1)).sum())
    return Ranking(sorted(compared, key=lambda one: one.order, reverse=True), signal, joint, searches[first])


def own_particles(evidence: np.ndarray, k: int) -> np.ndarray:
    """(n,) bool: particles with evidence (n, k) that fit the k-th structure best; all of them if these are too few."""
    rows = evidence.argmax(1) == k
    return rows if rows.sum() >= FEWEST else np.full(len(rows), True)


def _full(
    comparison: ParticleComparison, best: typing.Sequence[Compared], fits: typing.Mapping[str, AmplitudeFit]
) -> tuple[list[Search], np.ndarray, Shares]:
    """Searches in full detail, (n, k) evidence of each particle, and shares.

    Where several structures are there, each is compared again with the strength that its own particles show it with;
    not those that others can replace, which would only differ by the particles that chance gave them.
    """
    found = [comparison.full(one.candidate, fits[one.candidate.name]) for one in best]
    searches, columns = [search for search, _ in found], [values for _, values in found]
    shares = shares_of(np.stack(columns, 1))
    several = [k for k in range(len(best)) if shares.share[k] >= MIXED and rival_chance(shares.needed[k]) < SURE]
    for k in several if len(several) > 1 else ():
        rows = own_particles(np.stack(columns, 1), k)
        searches[k], columns[k] = comparison.full(best[k].candidate, searches[k].fit, rows)
    evidence = np.stack(columns, 1)
    return searches, evidence, shares_of(evidence)
