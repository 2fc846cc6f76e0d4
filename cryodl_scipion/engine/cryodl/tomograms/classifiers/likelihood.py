# SPDX-License-Identifier: GPL-3.0-or-later
"""The classifier that compares with averages: one of each class, learnt from subtomograms in unknown orientations.

A subtomogram belongs to the class whose average makes it most probable, all orientations and shifts taken together,
looking at nothing but what was measured of it (observed.py has the formula). The averages are learnt by
expectation-maximisation (em.py), so that the wedge of one subtomogram is filled by the others. Nothing is
learnt by gradients: tens of subtomograms of a class are enough.
The out-of-distribution score compares what a class average explains of a subtomogram, and what it leaves over, with
what it explains and leaves of subtomograms of that class."""

import dataclasses
import typing

import numpy as np
import torch

from ...contract import TrainClassifierConfig
from ...core.projections import euler_angles
from ...io.subtomograms import SubtomogramSet
from ..subtomograms.averages import Estimate
from ..subtomograms.em import MAX_SHIFT, Grids, find_poses, learn_average, refined
from ..subtomograms.observed import Frame, ObservedSubtomograms, Rotated, frame_of, observe
from ..subtomograms.search import Poses
from .examples import Examples
from .method import ClassifierMethod, Prediction

MANY = 5  # subtomograms of a class from which on its deviations are its own


def class_statistics(explained: torch.Tensor, left: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Mean and standard deviation of the two measures, for each class. explained, left: (n,), evidence of subtomograms
    under the average of their class, and remainder. labels: (n,) int, their classes. Returns Tensor (classes, 4): mean
    and deviation of the evidence, then of the remainder. Of classes with fewer than MANY, deviations are those of all
    subtomograms."""
    return torch.stack([_explained_of_class(explained, left, labels == label) for label in range(classes)])


def _explained_of_class(explained: torch.Tensor, left: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    metrics = []
    for every in (explained, left):
        one = every[members]
        metrics += [one.mean(), (one if len(one) >= MANY else every).std(correction=0)]
    return torch.stack(metrics)


def held_out_statistics(explained: torch.Tensor, left: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What `class_statistics` gives for the class of each subtomogram if that subtomogram is left out, so that it is
    judged as a new one is; for the only one of its class it is left in. explained, left: (n,). labels: (n,) int.
    Returns Tensor (n, 4)."""
    rows, kept = [], torch.ones(len(labels), dtype=torch.bool)
    for number, label in enumerate(labels.tolist()):
        kept[number] = int((labels == label).sum()) < 2
        rows.append(_explained_of_class(explained[kept], left[kept], labels[kept] == label))
        kept[number] = True
    return torch.stack(rows)


def confidences(explained: torch.Tensor, left: torch.Tensor, typical: torch.Tensor) -> torch.Tensor:
    """The lesser of two numbers of standard deviations: by which the evidence is above its mean, and by which the
    remainder is below its mean. explained, left: (n,). typical: (n, 4), of the class of each. Returns Tensor (n,)."""
    mean, deviation, mean_left, spread = typical.unbind(1)
    above = (explained - mean) / deviation.clamp(min=1e-6)
    return torch.minimum(above, (mean_left - left) / spread.clamp(min=1e-6)).float()


# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    (
        "classifier",
        0,
        "likelihood",
        "Likelihood",
        "by their likelihood given the class averages, over all orientations and at the measured Fourier coefficients",
        ("Scheres2012",),
    ),
)

MODES = 3  # orientations of each class that are looked at closely
KEPT = 1.5e9  # bytes of rotated averages that are kept; beyond, they are made anew for each batch
CHUNK = 64  # subtomograms in memory at a time
STARTS = 3  # random beginnings of each average
ROUNDS = 2  # of local refinement with all subtomograms, after three with those to learn from


class Likelihood(ClassifierMethod):
    """Averages of the classes, compared in all orientations where something was measured."""

    name = "likelihood"
    weak = (
        "Each class is one average: of a class with several shapes, only their common part is learnt. Use a "
        "separate class for each shape."
    )
    learns_by_steps = False

    def grid(self, subtomograms: SubtomogramSet, diameter: float, resolution: float | None) -> tuple[float, int]:
        frame = frame_of(subtomograms, diameter, resolution)
        return frame.pixel_size, frame.box

    def learn(self, examples: Examples, config: TrainClassifierConfig, device: torch.device) -> dict[str, torch.Tensor]:
        frame, grids = _grids(examples, config.resolution, device)
        weights = self._averages(examples, config, frame, grids, device)
        rows, predictor = examples.validation, AveragesPredictor(frame, weights, grids, device)
        labels = torch.as_tensor(examples.labels[rows])
        compared = predictor.compared(examples.subtomograms, rows, examples.contrast)
        evidence, power = (found.double() for found in compared[:2])
        mine = evidence[torch.arange(len(labels)), labels]
        weights["usual"] = class_statistics(mine, power - mine, labels, len(examples.numbers)).float()
        return {name: value.cpu().contiguous() for name, value in weights.items()}

    def _averages(
        self,
        examples: Examples,
        config: TrainClassifierConfig,
        frame: Frame,
        grids: Grids,
        device: torch.device,
        starts: int = STARTS,
    ) -> dict[str, torch.Tensor]:
        estimates = []
        for label, name in enumerate(examples.names):
            observed, rows = _of_class(examples, examples.training, label, frame, device)
            one = examples.subtomograms
            known = one.angles is not None and np.ptp(one.angles[rows], axis=0).any()
            estimates.append(
                learn_average(
                    observed,
                    grids,
                    config.seed + label,
                    starts - known,
                    angles=one.angles[rows] if known and one.angles is not None else None,
                    shifts=one.shifts_zyx[rows] * one.pixel_size / frame.pixel_size,
                )
            )
            _say(name, rows, estimates[-1], frame)
        return dict(_weights(estimates), radius=torch.tensor([frame.radius]), usual=torch.zeros(len(estimates), 4))

    def cross_validated(
        self,
        examples: Examples,
        parts: typing.Sequence[np.ndarray],
        weights: dict[str, torch.Tensor],
        config: TrainClassifierConfig,
        device: torch.device,
    ) -> tuple[dict[str, torch.Tensor], Prediction]:
        frame, grids = _grids(examples, config.resolution, device)
        labels, count = torch.as_tensor(examples.labels), len(examples.names)
        evidence, power = torch.zeros(len(labels), count), torch.zeros(len(labels))
        for number, rows in enumerate(parts, 1):
            print(f"Cross-validation, part {number} of {len(parts)}: {len(rows)} subtomograms.")
            part = dataclasses.replace(examples, training=np.setdiff1d(np.arange(len(labels)), rows), validation=rows)
            learnt = self._averages(part, config, frame, grids, device, starts=1)
            predictor = AveragesPredictor(frame, learnt, grids, device)
            evidence[rows], power[rows] = predictor.compared(examples.subtomograms, rows, examples.contrast)[:2]
        mine = evidence.double().gather(1, labels[:, None])[:, 0]
        usual = class_statistics(mine, power.double() - mine, labels, count)
        weights = dict(weights, usual=usual.float().contiguous())
        return weights, Prediction(evidence, _confidences(evidence, power, usual, labels))

    def validated(self, predictor: "AveragesPredictor", examples: Examples, batch_size: int) -> Prediction:
        rows = examples.validation
        return predictor.predict(examples.subtomograms, rows, examples.contrast, batch_size, examples.labels[rows])

    def completed(
        self, weights: dict[str, torch.Tensor], examples: Examples, config: TrainClassifierConfig, device: torch.device
    ) -> dict[str, torch.Tensor]:
        """The averages, refined with all examples. What is usual was learnt from averages that had not seen the
        validation part, and stays."""
        frame, grids = _grids(examples, config.resolution, device)
        noise, estimates = weights["noise"].to(device), []
        for label, name in enumerate(examples.names):
            observed, rows = _of_class(examples, np.arange(len(examples.labels)), label, frame, device)
            estimates.append(refined(observed, Estimate(weights["volumes"][label].to(device), noise), grids, ROUNDS))
            _say(name, rows, estimates[-1], frame)
        return dict(weights, **{name: value.cpu().contiguous() for name, value in _weights(estimates).items()})

    def predictor(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> "AveragesPredictor":
        names = ("volumes", "noise", "fsc", "radius", "usual")
        box, count = card["box"], len(card["classes"])
        if set(weights) != set(names) or tuple(weights["volumes"].shape) != (count, box, box, box):
            raise ValueError(
                f"The weights of {card['name']} do not fit the network {self.name} with {count} "
                f"classes and a box of {box} px in this version of cryodl. Train the model again, or use "
                "the version that its card.json names."
            )
        frame = Frame(box, card["pixel_size"], card["particle_diameter"], float(weights["radius"]))
        return AveragesPredictor(frame, weights, Grids(frame, MAX_SHIFT * box, device), device)


def _grids(examples: Examples, resolution: float | None, device: torch.device) -> tuple[Frame, Grids]:
    wanted = frame_of(examples.subtomograms, examples.diameter, resolution)
    frame = Frame(examples.box, examples.pixel_size, examples.diameter, wanted.radius)
    return frame, Grids(frame, MAX_SHIFT * frame.box, device)


def _of_class(
    examples: Examples, rows: np.ndarray, label: int, frame: Frame, device: torch.device
) -> tuple[ObservedSubtomograms, np.ndarray]:
    rows = rows[examples.labels[rows] == label]
    return observe(examples.subtomograms, rows, frame, examples.contrast, device), rows


def _weights(estimates: typing.Sequence[Estimate]) -> dict[str, torch.Tensor]:
    volumes, fsc, noise = (torch.stack([getattr(e, name) for e in estimates]) for name in ("volume", "fsc", "noise"))
    return dict(volumes=volumes, fsc=fsc, noise=noise.mean(0))


def _say(name: str, rows: np.ndarray, estimate: Estimate, frame: Frame) -> None:
    evidence, detail = float(estimate.evidence.mean()), frame.width / max(1, int((estimate.fsc > 0.5).sum()))
    print(f"{name}: average of {len(rows)} subtomograms, evidence {evidence:.1f} each, detail to {detail:.0f} Å.")


class AveragesPredictor:
    """Classifies with learnt averages. weights: as Likelihood.learn gives them."""

    def __init__(
        self, frame: Frame, weights: typing.Mapping[str, torch.Tensor], grids: Grids, device: torch.device
    ) -> None:
        self.frame, self.grids, self.device = frame, grids, device
        self.noise = weights["noise"].to(device)
        self.volumes, self.typical = weights["volumes"].to(device), weights["usual"].double()
        bank_bytes = 8 * len(grids.search.grid) * len(grids.search.ball)
        self.banks: list[tuple[torch.Tensor, Rotated] | None] = [None] * len(self.volumes)
        self.keeps = bank_bytes * len(self.volumes) <= KEPT

    def predict(
        self,
        subtomograms: SubtomogramSet,
        rows: np.ndarray,
        contrast: str = "bright",
        batch_size: int | None = None,
        labels: np.ndarray | None = None,
    ) -> Prediction:
        """Prediction of rows of a SubtomogramSet, see ClassifierMethod.predictor. labels: (n,) true classes of rows
        that taught what is usual: each is judged by the others."""
        rows = np.asarray(rows).reshape(-1)
        evidence, power, matrices, shifts = self.compared(subtomograms, rows, contrast)
        angles = euler_angles(matrices.double().numpy())
        moved = shifts.double().numpy() * self.frame.pixel_size / subtomograms.pixel_size
        return Prediction(evidence.float(), _confidences(evidence, power, self.typical, labels), angles, moved)

    def compared(self, subtomograms: SubtomogramSet, rows: np.ndarray, contrast: str) -> tuple[torch.Tensor, ...]:
        """Evidence (n, k) of the classes, power (n,) of the subtomograms over the noise, matrices (n, 3, 3) and shifts
        (n, 3) with the best class; float32 on the CPU."""
        parts = [
            self._compare(observe(subtomograms, rows[start : start + CHUNK], self.frame, contrast, self.device))
            for start in range(0, len(rows), CHUNK)
        ]
        return tuple(torch.cat(found) for found in zip(*parts))

    @torch.no_grad()
    def _compare(self, observed: ObservedSubtomograms) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        found = [self._poses(observed, label) for label in range(len(self.volumes))]
        evidence = torch.stack([poses.evidence for poses in found], 1)
        best = evidence.argmax(1)
        rows = torch.arange(len(best), device=best.device)
        matrices, shifts = (torch.stack(parts, 1)[rows, best] for parts in zip(*(poses.best() for poses in found)))
        power = (observed.weights * observed.values.abs().square() / self.noise[observed.ball.ring]).sum(1)
        return evidence.cpu(), power.cpu(), matrices.cpu(), shifts.cpu()

    def _poses(self, observed: ObservedSubtomograms, label: int) -> Poses:
        volume = self.volumes[label]
        bank, rotated = self.banks[label] or (self.grids.search.bank(volume), Rotated(volume, observed.ball))
        if self.keeps:
            self.banks[label] = bank, rotated
        return find_poses(observed, Estimate(volume, self.noise), self.grids, MODES, bank, rotated)


def _confidences(
    evidence: torch.Tensor, power: torch.Tensor, usual: torch.Tensor, labels: np.ndarray | torch.Tensor | None
) -> torch.Tensor:
    """(n,) confidences that subtomograms are of a class at all. labels: as for AveragesPredictor.predict."""
    best, label = evidence.double().max(1)
    typical = usual.double()[label]
    if labels is not None:
        ground_truth = torch.as_tensor(labels)
        mine = evidence.double().gather(1, ground_truth[:, None])[:, 0]
        others = held_out_statistics(mine, power.double() - mine, ground_truth)
        typical = torch.where((label == ground_truth)[:, None], others, typical)
    return confidences(best, power.double() - best, typical)
