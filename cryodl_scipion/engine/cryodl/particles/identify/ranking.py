# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranking of structures: all of them coarsely, the best in full detail, those that matter against decoys.

Shares among particles. What is said of structures: q-values from look-alikes and rivals, and sentences."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
from scipy.stats import norm, t

from ...contract import say_if
from ...io.files import write_csv
from ...io.messages import doing
from ..orientations import amplitude, assign
from ..orientations.explained import MAXIMUM
from .candidates import Candidate, ParticleComparison

ROUNDS = 150  # of expectation maximisation
DRAWS = 100  # of particles with replacement, for the intervals
INTERVAL = (5.0, 95.0)  # percentiles
# of the logarithmic evidence: models, CTFs and orientations are not exact. Of known particles of another generator, in
# two states at SNR 0.05, 0.5 to 0.8 was right between these; shares of all of it lie nearer to equal ones than the true
TRUST, TRUSTED = 0.7, (0.5, 1.0)
SEED = 50
INEXACT = 0.002  # of the evidence: maps of one molecule added up to 0.0015, states that differ by 4 % 0.0042 and more


@dataclasses.dataclass(frozen=True)
class Shares:
    """share: (k + 1,) of each structure, the last of what shows none. low, high: (k + 1,), of the interval. evidence:
    (n,) logarithmic, of each particle for the mixture. needed: (k,) of all particles, lost without each structure, less
    INEXACT of all."""

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    evidence: np.ndarray
    needed: np.ndarray

    @property
    def several(self) -> list[int]:
        """Structures of some share that no other can replace."""
        return [k for k, lost in enumerate(self.needed) if self.share[k] >= MIXED and rival_chance(lost) < SURE]


def shares_of(evidence: np.ndarray, weights: np.ndarray | None = None) -> Shares:
    """The likeliest Shares. evidence: (n, k), logarithmic, of each particle for each structure, against none. weights:
    (n,), how many particles each of them stands for; None: one."""
    table = np.pad(evidence, ((0, 0), (0, 1)))  # and that there is no particle
    whole = np.ones((1, len(table))) if weights is None else weights[None]
    drawn = np.random.default_rng(SEED).multinomial(len(table), [1 / len(table)] * len(table), DRAWS) * whole
    ends = [np.percentile(_likeliest(part * table, drawn), INTERVAL, axis=0) for part in TRUSTED]
    share, (low, high) = _likeliest(TRUST * table, whole)[0], (np.min(ends, 0)[0], np.max(ends, 0)[1])
    found = mixture_evidence(evidence)
    without = [mixture_evidence(np.delete(evidence, k, axis=1)).sum() for k in range(evidence.shape[1])]
    most = np.minimum(share, 1 - min(3 / len(table), 1))  # none of n with something else allows 3 / n of these
    return Shares(share, np.minimum(low, most), np.maximum(high, share), found, (1 - INEXACT) * found.sum() - without)


def mixture_evidence(evidence: np.ndarray) -> np.ndarray:
    """(n,) logarithmic evidence of particles (n, k), for the likeliest mixture of structures and of none."""
    table = np.pad(evidence, ((0, 0), (0, 1)))
    top, share = table.max(1), _likeliest(table, np.ones((1, len(table))))[0]
    return typing.cast(np.ndarray, top + np.log(_chance(table) @ share))


def _chance(table: np.ndarray) -> np.ndarray:
    """(n, k) chances over that of the best, of logarithms; never 0, or a share that has become 0 divides by 0."""
    return np.exp(np.maximum(table - table.max(1, keepdims=True), -80.0))


def _likeliest(table: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(b, k) likeliest shares of samples that hold each particle so many times, counts (b, n)."""
    chance = _chance(table)
    share = np.full((len(counts), table.shape[1]), 1 / table.shape[1])
    for _ in range(ROUNDS):
        share = share * ((counts / (share @ chance.T)) @ chance) / counts.sum(1, keepdims=True)
    return share


SURE = 0.05  # q
LEAST = 0.001  # q that is stated: smaller ones would rest on the shape of a tail that two dozen decoys do not show
MODEL_ERROR = 2.0  # over chance: structures and CTFs are never exact, so a rival may win by more than noise allows
# of the evidence that particles of the structure would give. Other generators' and real particles: at least 0.75;
# foreign ones up to 0.81. How much would be expected is known to some 10 %, so below CLEAR held-out particles are asked
MINIMUM, CLEAR = 0.7, 0.9
# of the evidence, see held_out_gain. Right structures: -0.015 to -0.004, a real first map of half the particles 0.013;
# wrong ones 0.019 to 0.086, a ribosome of another species 0.056
GAIN = 0.015
SIGNAL = 3.0  # standard errors of the images' power above the noise
STRANGE = " Particles made up with this signal have far less: ice, gradients or filters, and the share may be wrong."
FEWEST_DECOYS = 5  # of a kind, that have a middle of their own
EFFICIENCY = 0.37  # of the median deviation: it knows the spread as well as the standard deviation of so many would
COLUMNS = tuple("structure q share share_low share_high explained evidence decoys coarse_evidence file".split())


@dataclasses.dataclass
class Compared:
    """A structure and what was found of it. coarse: evidence of a particle, mean. full: the same in full detail; None
    where it was not compared so. decoys: (m,) means of its decoys' coarse evidence; empty where these were not asked.
    alike: q against them. explained: evidence of its own particles over that of simulated ones; NaN where not asked.
    gain: of these, held out, where explained is no clear answer. q: against decoys and rivals. share, low, high: of the
    particles. each: (n,) coarse evidence of each particle. fit: AmplitudeFit, how strongly they show it, coarsely."""

    candidate: Candidate
    coarse: float
    full: float | None = None
    decoys: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    alike: float = 1.0
    explained: float = np.nan
    gain: float = 0.0
    q: float = 1.0
    share: float = 0.0
    low: float = 0.0
    high: float = 0.0
    each: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    fit: typing.Any = None

    @property
    def fits(self) -> bool:
        """Whether it beats its decoys, and explains its particles."""
        return self.alike < SURE and self.explained >= MINIMUM and self.gain <= GAIN

    @property
    def order(self) -> tuple[float, ...]:
        """To sort by: what is found by its share, the rest by evidence."""
        return (self.q < SURE, self.share * (self.q < SURE), self.full is not None, self.full or self.coarse)

    def against_decoys(
        self, kinds: typing.Sequence[np.ndarray], tried: int, own: np.ndarray, beside: typing.Sequence[np.ndarray]
    ) -> float:
        """Test it against decoys, if `tried` structures could have come out best. Returns the probability that a decoy
        fits as well, as if only this one had been tried.

        Where other structures are there, it is also asked how much it adds to these: particles of theirs tell nothing
        between it and decoys made of them. kinds: (m, n), of each kind of decoys, their evidence of n particles. own:
        (n,), its own evidence. beside: (n,) each, that of the other structures that are there."""
        self.decoys = np.concatenate([kind.mean(1) for kind in kinds])
        added = lambda values: mixture_evidence(np.stack([*beside, values], 1)).mean()
        chance = lambda test: look_alike_chance(test(own), [np.array([test(one) for one in kind]) for kind in kinds])
        found = 2 * min(chance(np.mean), chance(added)) if beside else chance(np.mean)
        self.alike = min(1.0, tried * found)
        return found


def look_alike_chance(value: float, kinds: typing.Sequence[np.ndarray]) -> float:
    """Probability that a decoy fits as well as a structure does.

    Fewer decoys than one over the wanted q cannot give it by their number; so the tail is taken from their spread:
    median and mean deviation, as some decoys may be made of relatives of the target. Kinds differ (some have the
    target's own envelope), and that is no spread: each is taken about its own middle, and the best kind counts.

    value: how well the structure fits. kinds: (m,) of each kind, how well decoys do."""
    kinds = kinds if min(map(len, kinds)) >= FEWEST_DECOYS else [np.concatenate(kinds)]
    middles = [float(np.median(kind)) for kind in kinds]
    apart = np.concatenate([np.abs(kind - middle) for kind, middle in zip(kinds, middles)])
    spread = max(1.4826 * float(np.median(apart)), 1e-3)
    return float(t.sf((value - max(middles)) / spread, EFFICIENCY * (len(apart) - len(kinds))))


def rival_chance(needed: float) -> float:
    """Probability of losing so much logarithmic evidence without a structure that is not there."""
    return float(norm.sf(np.sqrt(2 * max(needed, 0.0)) / MODEL_ERROR))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """found: structures that are there. alike: of these one is there, but which cannot be told. sentences: to say."""

    found: tuple[Compared, ...]
    alike: tuple[Compared, ...]
    sentences: tuple[str, ...]


def judge(compared: typing.Sequence[Compared], signal: float, joint: float, particles: str) -> Verdict:
    """What the particles show. compared: the best first. signal: standard errors, of the images' power above the noise.
    joint: logarithmic evidence that is lost without all that beat their decoys and are not needed alone. particles:
    their file, for the sentences."""
    best = max(compared, key=lambda one: (one.alike < SURE, one.order))
    if signal < SIGNAL:
        return _none(
            f"{particles} shows none of these, as far as can be told: its images have no signal above the noise around "
            f"the particles ({signal:.1f} standard errors), like noise alone, or like raw images after a strong filter."
        )
    if not best.alike < SURE:
        beyond = best.decoys.size and best.coarse > best.decoys.max()
        why = f"not far enough beyond its decoys (q = {best.alike:.2g})" if beyond else "its decoys do as well"
        return _none(f"{particles} shows none of these: {best.candidate.name} fits best, but {why}.")
    passed = [one for one in compared if one.fits]
    if not passed:
        return _none(
            f"{particles} shows none of these as it is: {best.candidate.name} is nearest and fits better than decoys, "
            f"but explains {100 * best.explained:.0f} % of the evidence that its particles would give ("
            + (
                f"at least {100 * MINIMUM:.0f} % are expected"
                if best.gain <= GAIN
                else f"and {100 * best.gain:.1f} % more if it is changed as other particles ask"
            )
            + "). It may be another state, a relative, a part, as a membrane protein without its lipid or detergent "
            "is, or a mixture with what is not in the folder."
        )
    found = tuple(one for one in passed if one.q < SURE)
    alike = () if rival_chance(joint) >= SURE else tuple(one for one in passed if one.q >= SURE and one.high > SURE)
    if not found and not alike:
        alike = tuple(passed)
    said = [
        f"{one.candidate.name}: {_percent(one)} of the particles, q = {one.q:.2g}; evidence in coarse detail "
        f"{one.coarse:.1f}, that for its decoys {np.median(one.decoys):.1f}." + STRANGE * (one.explained > MAXIMUM)
        for one in found
    ]
    said += say_if(
        alike,
        f"{', '.join(one.candidate.name for one in alike)} cannot be told apart with these particles: they show one of "
        "them, or several.",
    )
    said += [
        f"{_percent(one)} of the particles fit {one.candidate.name} best, which explains only "
        f"{100 * one.explained:.0f} % of their evidence: they show what is not in the folder, or are too few to tell."
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
    write_csv(
        path,
        COLUMNS,
        (
            (
                one.candidate.name,
                f"{one.q:.3g}",
                *(f"{value:.4f}" if one.q < SURE else "" for value in (one.share, one.low, one.high)),
                "" if np.isnan(one.explained) else f"{one.explained:.3f}",
                "" if one.full is None else f"{one.full:.3f}",
                f"{np.median(one.decoys):.3f}" if one.decoys.size else "",
                f"{one.coarse:.3f}",
                one.candidate.path,
            )
            for one in compared
        ),
    )


BEST, SURELY = 10, 3  # structures that are compared in full detail, at most, and, with their likes, whatever shares
MATTERS = 0.02  # share from which a structure is compared further: in full detail, and with its decoys
HOPELESS = 0.1  # chance to be a look-alike by a third of the decoys, from which the others are not asked
MIXED = 0.1  # share from which a structure's strength is learnt from its own particles alone ...
FEWEST = 30  # ... if these are as many


@dataclasses.dataclass(frozen=True)
class Ranking:
    """compared: all structures, the best first. signal: standard errors of the images' power above the noise. joint:
    logarithmic evidence, lost without all that beat their decoys and are not needed alone. search: of the best."""

    compared: list[Compared]
    signal: float
    joint: float
    search: assign.Search


def rank(comparison: ParticleComparison, candidates: typing.Sequence[Candidate], done: typing.Callable) -> Ranking:
    """The Ranking of candidates. done: called after each candidate's coarse comparison."""
    comparison.choose_reading(candidates)
    compared = []
    for candidate in candidates:
        fit, each = comparison.coarse(candidate)
        compared.append(Compared(candidate, float(each.mean()), fit=fit, each=each))
        done()
    compared.sort(key=lambda one: -one.coarse)
    share = shares_of(np.stack([one.each for one in compared[:BEST]], 1), comparison.weights).high
    # the coarse search may favour one of several copies of a molecule, which leaves no share for the others
    like = (1 - INEXACT) * compared[:SURELY][-1].coarse
    best = [one for k, one in enumerate(compared[:BEST]) if k < SURELY or share[k] >= MATTERS or one.coarse >= like]
    doing("comparing the best in full detail")
    for k, one in enumerate(best[1:], 1):
        one.candidate = comparison.turned(one.candidate, [other.candidate for other in best[:k]])
    searches, evidence, shares = _full(comparison, best)
    first, several, sole = int(evidence.mean(0).argmax()), shares.several, sole_shares(evidence, shares)
    for k, one in enumerate(best):
        one.full = float(evidence[:, k].mean())
        one.share, one.low, one.high = (
            float(v[k]) for v in (shares.share, shares.low, np.maximum(shares.high[:-1], sole))
        )
        if one.share >= MATTERS or sole[k] or k == first:
            doing(f"comparing {one.candidate.name}, {k + 1} of the best {len(best)}, with its decoys")
            beside = [best[i].each for i in several if k in several and i != k]
            others = [other.candidate for other in compared if other is not one]
            for decoys in comparison.decoy_evidence(one.candidate, one.fit, others, one.coarse):
                chance = one.against_decoys(decoys, len(compared), one.each, beside)
                if chance > HOPELESS and len(one.decoys) > FEWEST_DECOYS:
                    break
    # particles are shared out only among these: chosen from all, those that fit a look-alike best would speak for it
    there = [k for k, one in enumerate(best) if one.alike < SURE and (one.share >= MIXED or sole[k])]
    among = {k: [i for i in there if i == k or {i, k} & {*several}] for k in there}
    own = {k: own_particles(evidence[:, some], some.index(k), comparison.fewest) for k, some in among.items()}
    asked = [k for k, one in enumerate(best) if one.alike < SURE or k == first]
    signals = [_explain(comparison, best[k], searches[k].fit, own.get(k, np.full(len(evidence), True))) for k in asked]
    for one, needed in zip(best, shares.needed):
        one.q = max(one.alike, rival_chance(needed), LEAST) if one.fits else 1.0
    # particles of what is not in the folder are shared out among look-alikes: chosen few fit better than all would
    foreign = max((one.share for one in best if one.alike < SURE and not one.fits), default=0.0)
    for one in (one for one in best if one.share < foreign and one.fits and one.explained < CLEAR):
        one.q = one.alike = 1.0
    beaten = [k for k, one in enumerate(best) if one.alike < SURE <= one.q]
    joint = float(shares.evidence.sum() - mixture_evidence(np.delete(evidence, beaten, axis=1)).sum())
    compared.sort(key=lambda one: one.order, reverse=True)
    return Ranking(compared, max(0.0, *signals), joint, searches[first])


def sole_shares(evidence: np.ndarray, shares: Shares) -> list[float]:
    """Of likes, of which one may be there alone beside what is needed, the likeliest mixture may lack that one: the
    largest share that each may have, 0 of others. evidence: (n, k)."""
    kept = shares.several
    rest = 1 - float(shares.low[kept].sum())
    least = mixture_evidence(evidence[:, kept]).sum()
    gained = [mixture_evidence(evidence[:, [*kept, k]]).sum() - least for k in range(evidence.shape[1])]
    enough = max(gained) - INEXACT * shares.evidence.sum()
    return [rest * (rival_chance(enough - gain) >= SURE > rival_chance(gain)) for gain in gained]


def _explain(comparison: ParticleComparison, one: Compared, fit: amplitude.AmplitudeFit, own: np.ndarray) -> float:
    """Learn how well a structure explains its own particles, (n,) bool. Returns the signal of these."""
    found = comparison.explained(one.candidate, fit, own)
    one.explained = found.whole
    if one.alike < SURE and MINIMUM <= one.explained < CLEAR:
        one.gain = comparison.held_out_gain(one.candidate, fit, own)
    return found.signal


def own_particles(evidence: np.ndarray, k: int, fewest: int = FEWEST) -> np.ndarray:
    """(n,) bool: particles with evidence (n, k) that fit the k-th structure best, and better than that nothing is
    there, as junk does not; all of them if these are fewer than `fewest`."""
    rows = (evidence.argmax(1) == k) & (evidence[:, k] > 0)
    return rows if rows.sum() >= fewest else np.full(len(rows), True)


def _full(
    comparison: ParticleComparison, best: typing.Sequence[Compared]
) -> tuple[list[assign.Search], np.ndarray, Shares]:
    """Searches in full detail, (n, k) evidence of each particle, and shares.

    Where several structures are there, each is compared again with the strength that its own particles show it with;
    not those that others can replace, which would only differ by the particles that chance gave them."""
    searches, columns = map(list, zip(*(comparison.full(one.candidate, one.fit) for one in best)))
    shares = shares_of(np.stack(columns, 1), comparison.weights)
    for k in shares.several if len(shares.several) > 1 else ():
        rows = own_particles(np.stack(columns, 1), k, comparison.fewest)
        searches[k], columns[k] = comparison.full(best[k].candidate, searches[k].fit, rows)
    evidence = np.stack(columns, 1)
    return searches, evidence, shares_of(evidence, comparison.weights)
