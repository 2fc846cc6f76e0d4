# SPDX-License-Identifier: GPL-3.0-or-later
"""What the general model should learn from few clicks (boxes, answers, corrections): clicks held back decide."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import MIN_PARTICLES, TrainPickerConfig
from ...core.calibration import best_threshold, calibrate
from ...learning.recipe import fit_task
from .card import merge
from .corrected_calibration import missed_particles
from .crops import LabelledImage
from .train import MATCH_RADII, Hits, PickerTask

MOST_STEPS, MOST_IMAGES = 100, 16  # bounds that keep both trials within four minutes of a CPU core
# Mean confidence of what the general model finds, from which it is sure of it: 0.88 to 0.99 on clear micrographs, 0.48
# to 0.81 on faint or dirty ones.
SURE = 0.85
CHANCE, FEWEST = 2.0, 10  # standard errors by which so many boxes must rank higher than places drawn at random
LEFT, CLICKS = "the labels and the picks left alone", "the labels"  # what it may learn from
TRIALS = "half_0", "half_1"  # folders of the trials on either half of the clicks


@dataclasses.dataclass(frozen=True)
class HeldBack:
    """clicks: how many were held back, one half after the other. way: LEFT or CLICKS. gain, error: by how much the
    logarithm of a particle's rank among all candidates falls (of background: grows) when the general model learns from
    the other half, on average, and the standard error. learns: whether it is to learn. unchanged: if not, whether
    its threshold stays, too. elsewhere: a warning of boxes that seem not to be on particles, if so."""

    clicks: int
    way: str
    gain: float
    error: float
    learns: bool
    unchanged: bool
    elsewhere: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For the log and the result."""
        times, low, high = np.exp([self.gain, self.gain - self.error, self.gain + self.error])
        if self.learns:
            made = "has learnt from all of them" + " even so, since that may be chance" * (self.gain < 0)
        else:
            clearly = "that is not clearly better" if self.way == LEFT else "that is clearly worse"
            made = f"is the general model, since {'they seem not to be on particles' if self.elsewhere else clearly}"
            made += ", with a threshold from the labels" * (not self.unchanged)
            made += ". Twenty labels or more would tell more" * (self.clicks < 20)
        return (
            f"{self.clicks} labels were held back, one half after the other. With what it learns from the other half "
            f"of {self.way}, the general model ranks them {times:.1f} times as high among all candidates ({low:.1f} to "
            f"{high:.1f} within one standard error; below 1 is worse). This model {made}."
        )


def taught(image: LabelledImage, way: str) -> LabelledImage:
    """The image as it teaches in this way; picks that do not teach tell the threshold."""
    return image if way == LEFT else dataclasses.replace(image, positives=image.certain)


def hold_back(
    task_of: typing.Callable[..., PickerTask],
    images: typing.Sequence[LabelledImage],
    given: typing.Mapping[str, int],
    general: typing.Mapping[str, typing.Any],
    config: TrainPickerConfig,
    folder: Path,
    device: torch.device,
    seed: int,
) -> tuple[HeldBack, Hits]:
    """Teach the general model one half of the clicks after the other, and compare how it ranks the other half. Picks
    that the user left alone count as particles only where the model is sure of its picks; elsewhere half of them may be
    wrong. task_of: makes the task of images to learn from, from the weights to start from. images: with all clicks.
    given: {name: boxes on background that the user gave}; proposed ones follow them, and are never held back. general:
    card of that model. folder: in which those of the trials are made. Returns also the hits on held-back clicks of what
    is chosen, with the ranks of particles as if all images were looked at: those with most clicks are."""
    every, images = len(images), sorted(images, key=lambda image: -len(image.positives))[:MOST_IMAGES]
    alone = task_of(images)
    alone.scales = one = (1.0,)  # as the general model picks
    scores = calibrate(alone.corrected_candidates(images).raw, general["calibration"])
    few = sum(len(image.certain) for image in images) < 2 * MIN_PARTICLES  # clicks alone would say little
    keeps = few or bool((scores**2).sum() > SURE * scores.sum())
    way = LEFT if keeps and any(len(image.machine) for image in images) else CLICKS
    images = [taught(image, way) for image in images]
    # of each click: 0 a particle that the user is certain of, 1 a pick that he left alone, 2 background
    kinds = [np.r_[~image.is_certain, np.full(given[image.name], 2)].astype(int) for image in images]
    kind = np.concatenate(kinds)
    half = np.empty(len(kind), int)
    half[np.lexsort((np.random.default_rng((seed, 2)).random(len(kind)), kind))] = np.arange(len(kind)) % 2
    halves = np.split(half, np.cumsum([len(part) for part in kinds])[:-1])
    # as it is, taught, and taught as it would pick: whether to learn, those tell that look at one scale alike
    ranks, among, hits = *np.empty((2, 3, len(kind))), (list[Hits](), list[Hits](), list[Hits]())
    for number, name in enumerate(TRIALS):
        held, rest = _halved(images, halves, number)
        task = task_of(rest)
        (folder / name).mkdir(exist_ok=True)
        print(f"Learning from one half of {way}, {number + 1} of 2: is it better than the general model?")
        steps = min(config.steps or task.default_steps, MOST_STEPS)
        fit_task(task, dataclasses.replace(config, steps=steps), folder / name, device, seed=seed)
        for learnt, (judged, scales) in enumerate(((alone, one), (task, one), (task, task.scales))):
            judged.scales = scales
            found = judged.candidates(held)
            ranks[learnt, half == number], among[learnt, half == number] = judged.box_ranks(held, found)
            hits[learnt].append(judged.hits(held, found))
    # which of its picks come first says nothing: they were corrected because they are picks
    floor, sign = max(1, (way == LEFT) * sum(len(image.machine) for image in images)), np.where(kind == 2, -1, 1)
    before, after = sign * np.log(np.clip(ranks[:2], floor, 1 + among[:2].max()))
    gain, error = _mean_and_error(before - after, _weights(alone, images, kind))
    boxes = alone.box_hits(images if way == CLICKS else [])
    marked = calibrate(boxes.raw[boxes.hit], general["calibration"])
    # Picks left alone teach beyond an error. Clicks teach unless half of them clearly harm: each of 16 simulated sets
    # with 20 boxes has a larger F1 at its best threshold after them, six of these with a gain below 0.
    ground = sum(int(image.usable.sum()) for image in images)
    near = np.pi * (MATCH_RADII * alone.method.working_diameter / 2) ** 2 / ground
    enough = int((kind == 0).sum()) >= FEWEST and not any(len(image.machine) for image in images)
    wrong = enough and all(
        _beyond_chance(rank[kind == 0], count[kind == 0], near) < CHANCE for rank, count in zip(ranks[:2], among)
    )
    learns = not wrong and (gain > error if way == LEFT else gain >= -2 * error)
    warning = (
        "The boxes are not found clearly better than places drawn at random, by the general model or by what it "
        "learns from half of them: nothing was learnt. Check the pixel size, and that the boxes are on particles of "
        "these micrographs, and not upside down; to learn from them nevertheless, train without --start-from."
    )
    told = HeldBack(len(kind), way, gain, error, learns, not learns and (wrong or keeps), (warning,) * wrong)
    part, counts, chosen = every / len(images), _counts(scores, marked), 2 * int(learns)
    return told, dataclasses.replace(
        merge(hits[chosen]), ranks=part * ranks[chosen, kind == 0], counts=tuple(part * count for count in counts)
    )


def _beyond_chance(ranks: np.ndarray, among: np.ndarray, near: float) -> float:
    """By how many standard errors boxes rank higher than places drawn at random would. ranks: (n,) among all
    candidates. among: (n,) how many there are. near: the part of the ground that lies within the match distance of one
    candidate."""
    # at random, near * rank is uniform up to the part that all candidates cover, and 1 beyond
    covered = np.clip(near * among, 1e-9, 0.999)
    mean, square = covered * (np.log(covered) - 1), covered * ((np.log(covered) - 1) ** 2 + 1)
    return float((mean - np.log(np.minimum(near * ranks, 1))).sum() / np.sqrt((square - mean**2).sum()))


def _halved(
    images: typing.Sequence[LabelledImage], halves: typing.Sequence[np.ndarray], number: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """The images with the clicks of one half alone, and with all others and the proposed boxes. halves: of each image,
    (n,) halves of its particles and then of its background boxes."""
    held, rest = [], []
    for image, half in zip(images, halves):
        out, gone = np.split(half == number, [len(image.positives)])
        own, proposed = np.split(image.negatives, [len(gone)])
        held.append(dataclasses.replace(image, positives=image.positives[out], negatives=own[gone]))
        others = np.concatenate([own[~gone], proposed])
        rest.append(dataclasses.replace(image, positives=image.positives[~out], negatives=others))
    return held, rest


def _counts(scores: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """How many particles the general model picks, and how many there are by its precision, which its scores tell, and
    its recall, which boxes do. scores: (n,) of its candidates. found: (m,) of the labelled boxes."""
    level = best_threshold(scores)
    picked = scores[scores >= level]
    return len(picked), picked.sum() * (len(found) + 1) / ((found >= level).sum() + 0.5)


def _weights(task: PickerTask, images: typing.Sequence[LabelledImage], kind: np.ndarray) -> np.ndarray:
    """(n,) how many places each click stands for. task: of the picker that was corrected. Picks that were left stand
    for all of these, and added ones for what it missed: else corrections, which are where it errs, would tell nothing
    but its errors. Where no picks were left, particles alone tell: any other network ranks removed picks lower."""
    count = np.bincount(kind, minlength=3)
    if not count[1]:
        return (kind == (0 if count[0] else 2)).astype(float)
    stands = missed_particles(task.corrected_candidates(images)), sum(len(image.machine) for image in images), count[2]
    return (np.array(stands) / np.maximum(count, 1))[kind]


def _mean_and_error(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    part = weights / weights.sum()
    mean = float((part * values).sum())
    error = float(np.sqrt(((part * (values - mean)) ** 2).sum() * len(values) / (len(values) - 1)))
    return round(mean, 3), round(error, 3)
