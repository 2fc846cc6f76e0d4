# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the structures: q-values from their look-alikes and from their rivals, and sentences."""

from __future__ import annotations

import csv
import dataclasses
import typing
from pathlib import Path

import numpy as np
from scipy.stats import norm, t

from ...io.files import whole_file

if typing.TYPE_CHECKING:
    from .candidates import Candidate
    from .shares import Shares

SURE = 0.05  # q
LEAST = 0.001  # q that is stated: smaller ones would rest on the shape of a tail that two dozen decoys do not show
MODEL_ERROR = 2.0  # over chance: structures and CTFs are never exact, so a rival may win by more than noise allows
# of the evidence that particles of the structure would give. Other generators' particles: at least 0.8; foreign: 0.4
MINIMUM = 0.6
SIGNAL = 3.0  # standard errors of the images' power above the noise
COLUMNS = (
    "structure",
    "q",
    "share",
    "share_low",
    "share_high",
    "explained",
    "evidence",
    "decoys",
    "coarse_evidence",
    "file",
)


@dataclasses.dataclass
class Compared:
    """A structure and what was found of it. coarse: evidence of a particle, mean. full: the same in full detail; None
    where it was not compared so. decoys: (m,) means of its decoys' coarse evidence; empty where these were not asked.
    alike: q against them. explained: evidence of its own particles over that of simulated ones. q: against decoys and
    rivals. share, low, high: fraction of the particles."""

    candidate: Candidate
    coarse: float
    full: float | None = None
    decoys: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    alike: float = 1.0
    explained: float = 0.0
    q: float = 1.0
    share: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether it beats its decoys, and explains its particles."""
        return self.alike < SURE and self.explained >= MINIMUM

    @property
    def order(self) -> tuple[float, ...]:
        """To sort by: what is found by its share, the rest by evidence."""
        found = self.q < SURE
        return (found, self.share if found else 0.0, self.full is not None, self.full or self.coarse)

    def against_decoys(self, decoys: np.ndarray, tried: int) -> None:
        """Test it against decoys, (m,) means of their evidence, if `tried` structures could have come out best.

        Fewer decoys than one over the wanted q cannot give it by their number; so the tail is taken from their spread.
        Median and mean deviation: some decoys may be made of relatives of the target.
        """
        middle = np.median(decoys)
        spread = max(1.4826 * float(np.median(np.abs(decoys - middle))), 1e-3)
        self.decoys = decoys
        self.alike = min(1.0, tried * float(t.sf((self.coarse - middle) / spread, len(decoys) - 1)))

    def against_rivals(self, shares: Shares, k: int) -> None:
        """Take its shares, the k-th, and test it against all other structures."""
        self.share, self.low, self.high = (float(v[k]) for v in (shares.share, shares.low, shares.high))
        self.q = max(self.alike, rival_chance(shares.needed[k]), LEAST) if self.fits else 1.0


def rival_chance(needed: float) -> float:
    """Probability of losing so much logarithmic evidence without a structure that is not there."""
    return float(norm.sf(np.sqrt(2 * max(needed, 0.0)) / MODEL_ERROR))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """found: structures that are there. alike: those of which one is there, but which cannot be told apart. sentences:
    for the user."""

    found: tuple[Compared, ...]
    alike: tuple[Compared, ...]
    sentences: tuple[str, ...]


def judge(compared: typing.Sequence[Compared], signal: float, joint: float, particles: str) -> Verdict:
    """What the particles show.

    Parameters
    ----------
    compared : sequence of Compared
        The best first.
    signal : float, standard errors
        Of the images' power above the noise.
    joint : float
        Logarithmic evidence that is lost without all that beat their decoys and are not needed alone.
    particles : str
        Their file, for the sentences.
    """
    best = max(compared, key=lambda one: (one.alike < SURE, one.order))
    if signal < SIGNAL:
        return _none(
            f"{particles} shows none of these: its images have no signal above the noise ({signal:.1f} standard "
            "errors)."
        )
    if not best.alike < SURE:
        better = best.decoys.size and best.coarse > best.decoys.max()
        return _none(
            f"{particles} shows none of these: {best.candidate.name} fits best, "
            + (
                f"but not far enough beyond its decoys (q = {best.alike:.2g})."
                if better
                else "but its decoys do as well."
            )
        )
    passed = [one for one in compared if one.fits]
    if not passed:
        return _none(
            f"{particles} shows none of these as it is: {best.candidate.name} is nearest and fits better than decoys, "
            f"but explains {100 * best.explained:.0f} % of the evidence that its particles would give (at least "
            f"{100 * MINIMUM:.0f} % are expected). It may be another state, a relative, a part, or a mixture with what "
            "is not in the folder."
        )
    found = tuple(one for one in passed if one.q < SURE)
    alike = () if rival_chance(joint) >= SURE else tuple(one for one in passed if one.q >= SURE and one.high > SURE)
    if not found and not alike:
        alike = tuple(passed)
    said = [
        f"{one.candidate.name}: {_percent(one)} of the particles, q = {one.q:.2g}, evidence {one.full:.1f} for each "
        f"(decoys {np.median(one.decoys):.1f} in coarse detail, itself {one.coarse:.1f})."
        for one in found
    ]
    if alike:
        names = ", ".join(one.candidate.name for one in alike)
        said.append(f"{names} cannot be told apart with these particles: they show one of them, or several.")
    said += [
        f"{_percent(one)} of the particles fit {one.candidate.name} best, which explains only "
        f"{100 * one.explained:.0f} % of their evidence: they show something that is not in the folder."
        for one in compared
        if one.alike < SURE and not one.fits and one.low > SURE
    ]
    return Verdict(found, alike, tuple(said))


def _none(sentence: str) -> Verdict:
    return Verdict((), (), (sentence,))


def _percent(one: Compared) -> str:
    return f"{100 * one.share:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f} %)"


def write_ranking(path: Path, compared: typing.Sequence[Compared]) -> None:
    """ranking.csv, in the order given."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in compared:
            decoys = f"{np.median(one.decoys):.3f}" if one.decoys.size else ""
            full = "" if one.full is None else f"{one.full:.3f}"
            shares = (f"{value:.4f}" for value in (one.share, one.low, one.high))
            candidate = one.candidate
            writer.writerow(
                (
                    candidate.name,
                    f"{one.q:.3g}",
                    *shares,
                    f"{one.explained:.3f}",
                    full,
                    decoys,
                    f"{one.coarse:.3f}",
                    candidate.path,
                )
            )
