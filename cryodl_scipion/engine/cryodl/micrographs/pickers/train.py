# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of pickers: batches from labelled micrographs, validation by picking, threshold and calibration."""

import dataclasses
import functools
import typing

import numpy as np
import torch
from scipy.spatial import cKDTree

from ...core.geometry import values_at
from ...core.matching import match_picks, score_matched
from ...learning.task import NetworkTask, keep_statistics
from .corrected_calibration import CorrectedCandidates
from .crops import LabelledImage
from .method import CRITERIA, PickerMethod
from .predict import MINIMUM_DISTANCE, Picker
from .thresholds import Narrow

FEW_PARTICLES = 20
# Parts of the usual steps and learning rate with which boxes teach a network that was trained before: the usual ones
# make it forget what it knew.
GENTLE_STEPS, GENTLE_RATE = 0.4, 1 / 3
MATCH_RADII = 0.5  # strict: mirrored picks match by chance at a full radius (docs/compare_picks.md)


@dataclasses.dataclass(frozen=True)
class Hits:
    """hit (n,) bool and raw scores (n,) of judged places; reference: number of labelled particles. sizes: (n,) widths
    over that of the particles, NaN from a network that tells none; None where nobody asked. ranks: of particles among
    all candidates by networks that had not learnt from them. counts: numbers of particles, see held_back.py."""

    hit: np.ndarray
    raw: np.ndarray
    reference: int
    sizes: np.ndarray | None = None
    ranks: typing.Sequence[float] = ()
    counts: tuple[float, ...] = ()


class PickerTask(NetworkTask):
    """One picker network on labelled micrographs, validated by picking the held-out ones. training, validation: lists
    of LabelledImage with one kind of labels. batch_size: crops per step, times the method's factor. pu_criterion: for
    sparse labels, one of contract.PU_CRITERIA. trained_before: whether the network knows particles already. Few boxes
    then teach it gently: its batch norm keeps the statistics of the micrographs it came from, which crops around boxes
    do not have. minimum_distance: between two picks, in particle diameters. scales: as Picker's. narrow: for
    lower_narrow, once it is fitted."""

    example_name = "crops"
    narrow: Narrow | None = None

    def __init__(
        self,
        method: PickerMethod,
        network: torch.nn.Module,
        training: typing.Sequence[LabelledImage],
        validation: typing.Sequence[LabelledImage],
        batch_size: int,
        device: torch.device,
        pu_criterion: str = "ge-binomial",
        trained_before: bool = False,
    ) -> None:
        self.keeps_statistics = trained_before and training[0].labels == "boxes"
        self.rate = GENTLE_RATE if self.keeps_statistics else 1.0
        self.scales = method.scales if self.keeps_statistics else (1.0,)
        self.method, self.training, self.validation, self.device = method, training, validation, device
        self.labels = training[0].labels
        # without held-out images the curve shows that something is learnt
        self.shown = validation or [max(training, key=lambda image: len(image.positives))]
        self.validates_poorly = sum(len(im.positives) for im in validation) < FEW_PARTICLES
        self.batch_size = batch_size * method.batch_factor(self.labels)
        if self.labels == "sparse":
            method.unlabelled_loss = functools.partial(CRITERIA[pu_criterion], method.prior(training))
        self.minimum_distance = closest_neighbours([*training, *validation], method.working_diameter)
        self.learn("picker", network, method.optimizer, torch.channels_last)
        counts = np.array([1.0 + len(im.positives) + len(im.negatives) + len(im.contamination) for im in training])
        self.chances = counts / counts.sum()

    @property
    def default_steps(self) -> int:
        """Training steps where the user asks for none."""
        usual = self.method.default_steps(sum(len(im.positives) for im in self.training), self.labels)
        return round(GENTLE_STEPS * usual) if self.keeps_statistics else usual

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        examples = []
        for index in rng.choice(len(self.training), self.batch_size, p=self.chances):
            item = self.training[index]
            image, target, weight = self.method.example(item, rng)
            examples.append((self.method.augment(image, rng)[None] * self.method.gain(item), target, weight))
        return [torch.stack(x) for x in zip(*examples)]

    def prepare(self, network: torch.nn.Module) -> None:
        """Batch norm that keeps its statistics is used as in picking."""
        if self.keeps_statistics:
            keep_statistics(network)

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """The method's loss on crops."""
        return self.method.loss(output, *batch[1:])

    def validate(self) -> dict[str, float]:
        hits = self.hits(self.shown)
        metrics = score_matched(hits.hit, hits.raw, hits.reference)
        return {
            "metric": 0.5 * (metrics.average_precision + metrics.best_f1),
            "loss": self._validation_loss(),
            "f1": metrics.best_f1,
            "average_precision": metrics.average_precision,
        }

    def _validation_loss(self) -> float:
        rng, losses = np.random.default_rng(12345), []
        for _ in range(16):
            item = self.shown[int(rng.integers(len(self.shown)))]
            image, target, weight = self.method.example(item, rng)
            output = self.networks["picker"](image[None, None].to(self.device) * self.method.gain(item)).float().cpu()
            losses.append(float(self.method.loss(output, target[None], weight[None])))
        return float(np.mean(losses))

    def candidates(self, items: typing.Sequence[LabelledImage]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each image all candidates: yx (n, 2) working px, raw scores (n,), and widths (n,) as those of Hits."""
        picker, found = self._picker(), []
        for item in items:
            picker.typical_size, own = item.size, item.size or 1.0
            yx, raw, wide = picker.sized_candidates(item, self.minimum_distance * self.method.working_diameter * own)
            found.append((yx, raw, wide / own))
        return found

    def hits(self, items: typing.Sequence[LabelledImage], found: typing.Sequence[typing.Any] = ()) -> Hits:
        """Candidates on labelled images, and which of them are particles. found: these candidates, where known."""
        parts, reference = [], 0
        for item, (yx, raw, wide) in zip(items, found or self.candidates(items)):
            matched, judged = judge_candidates(yx, item, self.method.working_diameter * (item.size or 1.0))
            parts.append((matched[judged], raw[judged], wide[judged]))
            reference += int(values_at(item.usable.numpy(), item.positives).sum())
        hit, scores, sizes = map(np.concatenate, zip(*parts))
        return Hits(hit, scores, reference, sizes)

    def corrected_candidates(self, items: typing.Sequence[LabelledImage]) -> CorrectedCandidates:
        """All candidates on images, and what a user who corrected picks said of them."""
        reach, parts = MATCH_RADII * self.method.working_diameter / 2, [(np.zeros(0), *np.zeros((3, 0), bool))]
        for item, (yx, raw, _) in zip(items, self.candidates(items)):
            left = match_picks(yx, item.machine, reach)
            certain = match_picks(yx, item.certain, reach) & ~left
            boxes = np.concatenate([item.negatives, item.contamination])
            wrong = (cKDTree(boxes).query(yx)[0] < reach) & ~certain & ~left
            judged = values_at(item.usable.numpy(), yx)
            parts.append((raw[judged], certain[judged], left[judged], wrong[judged]))
        return CorrectedCandidates(*map(np.concatenate, zip(*parts)))

    def box_hits(self, items: typing.Sequence[LabelledImage]) -> Hits:
        """Hits of the labelled boxes themselves: the highest raw score within the match distance of each."""
        picker = self._picker()
        stride, reach = picker.network.stride, MATCH_RADII * self.method.working_diameter / 2
        hit, raw = [], []
        for item in items:
            scores = picker.score_map(item).numpy()
            for boxes, particle in ((item.positives, True), (item.negatives, False), (item.contamination, False)):
                for low, high in zip(
                    ((boxes - reach) // stride).astype(int), ((boxes + reach) // stride).astype(int) + 1
                ):
                    hit.append(particle)
                    raw.append(scores[max(low[0], 0) : high[0], max(low[1], 0) : high[1]].max())
        return Hits(np.array(hit, bool), np.array(raw, float), sum(hit))

    def box_ranks(self, items: typing.Sequence[LabelledImage], found: list[typing.Any]) -> tuple[np.ndarray, int]:
        """(n,) rank, the last of equals, of the best candidate at each particle, then at each background box by image,
        among all on usable parts; infinite where there is none. And the number of these. found: of `candidates`."""
        best, every = [], []
        for item, (yx, raw, _) in zip(items, found):
            usable, boxes = values_at(item.usable.numpy(), yx), np.concatenate([item.positives, item.negatives])
            yx, raw = yx[usable], raw[usable]
            near = np.linalg.norm(boxes[:, None] - yx[None], axis=2) < MATCH_RADII * self.method.working_diameter / 2
            best.append(np.where(near, raw, -np.inf).max(1, initial=-np.inf))
            every.append(raw)
        scores, own = np.concatenate(every), np.concatenate(best)
        return np.where(np.isinf(own), np.inf, (scores[None] >= own[:, None]).sum(1)), len(scores)

    def _picker(self) -> Picker:
        return Picker(self.method, self.networks["picker"], self.device, narrow=self.narrow, scales=self.scales)


def closest_neighbours(images: typing.Sequence[LabelledImage], diameter: float) -> float:
    """How near to each other particles of these labels lie, in diameters: the distance to ask of picks. Nearly the 2 %
    closest pairs of neighbours, between 0.35 and 0.7; MINIMUM_DISTANCE if there are few labels, or if they leave
    particles out, whose nearest neighbour may be one without a label. diameter: working px."""
    distances = [
        cKDTree(im.positives).query(im.positives, 2)[0][:, 1]
        for im in images
        if im.labels == "complete" and len(im.positives) > 1
    ]
    nearest = np.concatenate(distances) if distances else np.zeros(0)
    if len(nearest) < 100:
        return MINIMUM_DISTANCE
    return float(np.clip(0.95 * np.percentile(nearest, 2) / diameter, 0.35, 0.7))


def judge_candidates(yx: np.ndarray, item: LabelledImage, diameter: float) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates match a labelled particle, and which can be judged at all. yx: (n, 2) working px. Where only
    boxes are labelled, those on a labelled box are judged; else all on usable ground. With sparse labels that counts
    unlabelled particles as mistakes: it ranks networks, but is no precision. Returns two (n,) bool arrays."""
    matched = match_picks(yx, item.positives, MATCH_RADII * diameter / 2)
    if item.labels != "boxes":
        return matched, values_at(item.usable.numpy(), yx)
    on_negative = np.zeros(len(yx), bool)
    negatives = np.concatenate([item.negatives, item.contamination])
    if len(negatives) and len(yx):
        on_negative = np.linalg.norm(yx[:, None] - negatives[None], axis=2).min(1) < diameter / 2
    return matched, (matched | on_negative) & values_at(item.usable.numpy(), yx)
