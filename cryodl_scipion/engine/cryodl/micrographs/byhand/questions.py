# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about picks: a few places where a human's word tells most, and what the answers tell of all picks.
questions.json beside the picks: parts (ranges of scores, with the number of candidates in each), and the places that
were drawn from them. answers.json beside the corrected picks: the same, with an answer each."""

import dataclasses
import json
import os
import typing
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ...contract import reader, write_json
from ...core.calibration import best_threshold, logit
from ...io.coordinates import read_coordinates
from ...io.files import evenly_spaced

QUESTIONS, ANSWERS = "questions.json", "answers.json"
COUNT, MICROGRAPHS = 24, 4  # at most: two minutes for a person, and few pictures to get used to
# Parts of the candidates, best first, in numbers of picks: where particles are faint, most of them score below any
# threshold, and a number of particles that left them out would keep the threshold too high.
ENDS = (0.5, 1.0, 3.0, 7.0)
APART = 1.5  # diameters between two places that are asked
YES, NO, UNCLEAR = "yes", "no", "unclear"
INTERVAL, DRAWS, WRONG = 0.9, 2000, 0.05  # WRONG: answers that a person gets wrong
# Log slope and shift, downwards and upwards, of the curve between log odds of scores and those of particles, on which
# the answers tell more: deviations of what they are before. On 20 unsure sets of another generator, asked 3 times each,
# intervals of precision hold in 0.92 and those of recall in 0.87; thresholds need a surer start upwards, where a wrong
# answer among very many low scores makes too many particles. Downwards there are few to be lost: dirt has high scores.
THRESHOLD_PRIOR, INTERVAL_PRIOR = (0.3, 2.0, 0.8), (0.5, 2.0, 2.0)
LIKELY = 1e-4  # of the likeliest curve: others are left out
SAME_PLACE, SAME_SCORE = 0.5, 0.01  # px, and score: another device or number of threads changes far less


@dataclasses.dataclass(frozen=True)
class Question:
    """A place, px of its micrograph; the part of the scores that it was drawn from; the answer, and where the particle
    is if it is not at the place."""

    micrograph: str
    y: float
    x: float
    score: float
    part: int
    answer: str = ""
    at: tuple[float, float] | None = None


class ScorePart(typing.NamedTuple):
    """Candidates of a range of scores on the micrographs that are asked about. picked: whether they are picks."""

    lowest: float
    picked: bool
    candidates: int


@dataclasses.dataclass(frozen=True)
class AnswerEstimate:
    """What answers tell of the micrographs that were asked about, each with the ends of its interval: the part of the
    picks that are particles, the part of the particles among the candidates that are picks, and their number."""

    precision: tuple[float, float, float]
    recall: tuple[float, float, float]
    particles: tuple[float, float, float]
    answered: int

    def in_words(self) -> str:
        """For the log."""
        right, found = ([100 * part for part in parts] for parts in (self.precision, self.recall))
        count, fewest, most = self.particles
        return (
            f"By {self.answered} answers {right[0]:.0f} % of the picks are particles (between {right[1]:.0f} and "
            f"{right[2]:.0f} %), and they are {found[0]:.0f} % (between {found[1]:.0f} and {found[2]:.0f} %) of the "
            f"{count:.0f} particles (between {fewest:.0f} and {most:.0f}) among the candidates of the micrographs "
            f"that were asked about (others are not counted); {100 * INTERVAL:.0f} % intervals."
        )


class Answered(typing.NamedTuple):
    """What answers make of a picker's scores. threshold: of these. asked: the questions with the answers."""

    threshold: float
    asked: "Questions"


@dataclasses.dataclass(frozen=True)
class Questions:
    """parts: from the highest scores down. places: what is asked, in the order of the micrographs. scores: of all
    candidates on these. model: checksum of the weights that gave them."""

    parts: tuple[ScorePart, ...]
    places: tuple[Question, ...]
    scores: tuple[float, ...]
    model: str

    @property
    def micrographs(self) -> list[str]:
        """Names of those that are asked about."""
        return list(dict.fromkeys(q.micrograph for q in self.places))

    @property
    def threshold(self) -> float:
        """Score from which a candidate was a pick."""
        return min((p.lowest for p in self.parts if p.picked), default=np.inf)

    def found_in(self, folder: Path) -> list[bool | None]:
        """For each place whether it is a candidate with the same score; None for one whose micrograph has no file.
        folder: of <micrograph>.star with candidates. Raises ValueError for a file that cannot be read."""
        stars = {name: folder / f"{name}.star" for name in self.micrographs}
        known = {n: value for n, path in stars.items() if path.exists() for value in read_coordinates(path).values()}
        found: list[bool | None] = []
        for q in self.places:
            yx, scores = known.get(q.micrograph, (np.zeros((0, 2)), np.zeros(0)))
            off = np.c_[np.abs(yx - (q.y, q.x)) / SAME_PLACE, np.abs(scores - q.score) / SAME_SCORE]
            found.append(bool(np.any(np.all(off < 1, axis=1))) if q.micrograph in known else None)
        return found

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises OSError."""
        write_json(path, dict(dataclasses.asdict(self), parts=[part._asdict() for part in self.parts]))

    @property
    def told(self) -> list[Question]:
        """Those that are answered with yes or no."""
        return [q for q in self.places if q.answer in (YES, NO)]

    def curves(self, prior: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
        """Curves that the answers leave possible: (k,) their weights, and (k, n) each candidate's probability of being
        a particle. prior: deviations of log slope, and of shift below and above the scores as they are."""
        steps = np.linspace(-3, 3, 41)  # deviations
        slope, move = (x.reshape(-1, 1) for x in np.meshgrid(steps, steps))
        of_slope, below, above = prior
        steep, shift = of_slope * slope, np.where(move < 0, below, above) * move
        curve = lambda s, which: 1 / (1 + np.exp(-np.exp(steep[which]) * logit(np.array(s)) - shift[which]))
        yes = WRONG + (1 - 2 * WRONG) * curve([q.score for q in self.told], slice(None))
        right = np.where([q.answer == YES for q in self.told], yes, 1 - yes)
        fits = np.log(right).sum(1) - (slope**2 + move**2)[:, 0] / 2
        weights = np.exp(fits - fits.max())
        kept = weights > LIKELY
        return weights[kept] / weights[kept].sum(), curve(self.scores, kept)

    def estimate(self, threshold: float | None = None) -> AnswerEstimate | None:
        """What the answers tell of the candidates that score at least `threshold` (None: of the picks that were asked
        about); None without picks, or if a part of the scores with candidates has no answer."""
        picked = np.array(self.scores) >= (self.threshold if threshold is None else threshold)
        if not picked.any() or {n for n, p in enumerate(self.parts) if p.candidates} - {q.part for q in self.told}:
            return None
        rng, (weights, probable) = np.random.default_rng(0), self.curves(INTERVAL_PRIOR)
        drawn = rng.choice(len(weights), DRAWS, p=weights)

        def number(part: np.ndarray) -> np.ndarray:
            deviation = np.sqrt((probable * (1 - probable))[:, part].sum(1))[drawn]
            return np.clip(probable[:, part].sum(1)[drawn] + deviation * rng.standard_normal(DRAWS), 0, part.sum())

        def told(values: np.ndarray) -> tuple[float, float, float]:
            low, middle, high = np.quantile(values, [(1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2])
            return float(middle), float(low), float(high)

        right, missed = number(picked), number(~picked)
        recall = right / np.maximum(right + missed, 1e-9)
        return AnswerEstimate(told(right / picked.sum()), told(recall), told(right + missed), len(self.told))


def learn_threshold(asked: Questions) -> Answered:
    """The threshold of the largest expected F1 by the probabilities that answers give to the candidates of the
    micrographs asked about. Raises ValueError if too few questions are answered."""
    if asked.estimate() is None:
        raise ValueError(
            f"too few questions are answered: {len(asked.told)} of {len(asked.places)} with yes or no; each of the "
            f"{len(asked.parts)} ranges of scores needs one. Answer more: Answer questions in the window of "
            "these picks (pick-by-hand --ask)"
        )
    if all(q.answer == NO for q in asked.told):
        raise ValueError(
            f"none of the {len(asked.told)} answers is yes, so no threshold finds particles. Check pixel size and "
            "particle diameter, or train on your own picks (train-picker)"
        )
    weights, curves = asked.curves(THRESHOLD_PRIOR)
    # the mean log odds: a mean of probabilities would count the tails of unlikely curves over very many low scores
    probable, scores = 1 / (1 + np.exp(-weights @ logit(curves))), np.array(asked.scores)
    return Answered(float(scores[probable >= min(best_threshold(probable), probable.max())].min()), asked)


@reader
def read_questions(path: str | os.PathLike[str]) -> Questions:
    """Questions of a file. Raises FileNotFoundError, and ValueError for another kind of file."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    parts = tuple(ScorePart(float(p["lowest"]), p["picked"] is True, int(p["candidates"])) for p in found["parts"])
    places = tuple(
        Question(
            str(q["micrograph"]),
            float(q["y"]),
            float(q["x"]),
            float(q["score"]),
            int(q["part"]),
            str(q["answer"]),
            None if q["at"] is None else (float(q["at"][0]), float(q["at"][1])),
        )
        for q in found["places"]
    )
    if not places or not all(0 <= q.part < len(parts) and q.answer in ("", YES, NO, UNCLEAR) for q in places):
        raise ValueError("it has no questions, or answers that are none of yes, no and unclear")
    scores = tuple(float(score) for score in found["scores"])
    if not np.isfinite([*(p.lowest for p in parts), *(v for q in places for v in (q.y, q.x, *(q.at or ())))]).all():
        raise ValueError("it has positions or scores that are no numbers")
    if not all(0 <= v <= 1 for v in (*scores, *(q.score for q in places))):
        raise ValueError("it has scores that are not between 0 and 1")
    if min(p.candidates for p in parts) < 0 or sum(p.candidates for p in parts) > len(scores):
        raise ValueError(f"its parts have other numbers of candidates than its list of {len(scores)} scores")
    return Questions(parts, places, scores, str(found["model"]))


def choose_questions(
    candidates: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    threshold: float,
    diameter: float,
    model: str,
    seed: int = 0,
) -> Questions | None:
    """Places to ask about; None with hardly any candidates. candidates: by micrograph, yx (n, 2) px and scores (n,).
    threshold: score from which a candidate is a pick; without any pick the best candidates stand for them. diameter: px
    of the micrographs. As many places each are drawn at random from the better half of the picks, from the other half,
    and from two further parts that score less (ENDS); on micrographs with many, few and middling numbers of picks."""
    rng = np.random.default_rng(seed)
    best = np.sort(np.concatenate([np.zeros(0), *(s for _, s in candidates.values())]))
    threshold = threshold if len(best) < COUNT or best[-1] >= threshold else float(best[-COUNT])
    counts = {name: int((scores >= threshold).sum()) for name, (_, scores) in candidates.items()}
    names = evenly_spaced(sorted((name for name in counts if counts[name]), key=lambda name: counts[name]), MICROGRAPHS)
    scores = np.concatenate([np.zeros(0), *(candidates[n][1] for n in names)])
    ranked, picked = np.sort(scores)[::-1], int((scores >= threshold).sum())
    if not picked or len(scores) < COUNT:
        return None
    parts, places, high = [], list[Question](), np.inf
    for number, end in enumerate(ENDS):
        low = threshold if end == 1 else float(ranked[min(len(ranked), max(1, round(end * picked))) - 1])
        inside = {n: (candidates[n][1] >= low) & (candidates[n][1] < high) for n in names}
        parts.append(ScorePart(low, end <= 1, int(sum(map(np.sum, inside.values())))))
        drawn = [(n, i) for n in names for i in np.flatnonzero(inside[n])]
        wanted, high = COUNT // len(ENDS), low
        for apart in (APART, 0.0):  # rather near places than a part without any, of which no answer would tell
            for pick in rng.permutation(len(drawn)) if wanted == COUNT // len(ENDS) else ():
                name, index = drawn[pick]
                (y, x), score = candidates[name][0][index], candidates[name][1][index]
                near = [(q.y, q.x) for q in places if q.micrograph == name]
                if wanted and (not near or cKDTree(near).query((y, x))[0] >= apart * diameter):
                    places.append(Question(name, float(y), float(x), float(score), number))
                    wanted -= 1
    places.sort(key=lambda q: names.index(q.micrograph))
    return Questions(tuple(parts), tuple(places), tuple(map(float, ranked)), model)
