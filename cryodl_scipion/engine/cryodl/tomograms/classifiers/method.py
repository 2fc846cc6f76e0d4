# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface of a classifier of subtomograms. Networks learn by steps: they give build, default_steps and optimizer. The
others learn in one go from the examples: they give learn and predictor. Calibration of the probabilities, the unknown
class and the card are the same for all (run.py, rejection.py, train.py)."""

import dataclasses
import typing

import numpy as np
import torch

from ...contract import TrainClassifierConfig
from ...io.subtomograms import SubtomogramSet
from .examples import Examples


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a classifier says of n subtomograms. logits: (n, k) tensor on the CPU: logarithm of each class's
    probability, up to a constant of each row and a factor common to all (calibration finds it). confidence: (n,) tensor
    on the CPU, the higher the surer that the subtomogram is of one of the classes at all; of any scale: only its order
    is used. angles: (n, 3) rot, tilt, psi in degrees, and shifts_zyx: (n, 3) px of the subtomograms as they are in the
    files, arrays in terms of SubtomogramSet, or None if the method finds none."""

    logits: torch.Tensor
    confidence: torch.Tensor
    angles: np.ndarray | None = None
    shifts_zyx: np.ndarray | None = None


class ClassifierMethod:
    """A way of classifying. A subclass gives at least name. name: word on the command line. weak: a sentence about a
    known weakness, or "". learns_by_steps: whether a network is trained by learning.training.fit; if not, `learn` does
    it all. box: px of the network's input. minimum_steps: that patience does not end. learning_rate: peak. decay: as
    schedule.Schedule's. ema: decay of the running mean of the weights. batch_size: subtomograms per step. These are of
    networks only."""

    name: str
    weak = ""
    learns_by_steps, box, minimum_steps = True, 40, 0
    learning_rate, decay, ema, batch_size = 1e-3, None, 0.97, 32

    def grid(self, subtomograms: SubtomogramSet, diameter: float, resolution: float | None) -> tuple[float, int]:
        """Pixel size (Å/px) and box (px) that the method works at; both stand in the card. diameter: Å, of the sphere
        that holds every particle. resolution: Å, or None."""
        raise NotImplementedError

    def build(self, classes: int, box: int) -> torch.nn.Module:
        """The untrained network, an nn.Sequential: (b, 1, box, box, box) prepared volumes to (b, classes) logits. What
        its last layer is given are its features (rejection.py)."""
        raise NotImplementedError

    def default_steps(self, training: int) -> int:
        """Training steps where the user asks for none. training: number of subtomograms to learn from."""
        raise NotImplementedError

    def optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """Of a network that learns by steps."""
        raise NotImplementedError

    def learn(self, examples: Examples, config: TrainClassifierConfig, device: torch.device) -> dict[str, torch.Tensor]:
        """Weights, {name: tensor}, of a method that does not learn by steps. examples: examples.Examples: the set, the
        rows to learn from and those to validate with, labels, contrast, diameter, pixel size and box."""
        raise NotImplementedError

    def cross_validated(
        self,
        examples: Examples,
        parts: typing.Sequence[np.ndarray],
        weights: dict[str, torch.Tensor],
        config: TrainClassifierConfig,
        device: torch.device,
    ) -> tuple[dict[str, torch.Tensor], Prediction]:
        """Weights that also know what is usual in all parts, and the Prediction of all examples, each by what was
        learnt without its part; of a method that does not learn by steps. parts: rows, of examples.folds. weights: of
        learn."""
        raise NotImplementedError

    def validated(self, predictor: typing.Any, examples: Examples, batch_size: int) -> Prediction:
        """Prediction of the validation subtomograms, of a predictor that has the weights that were learnt. A method
        that learnt what is usual from them judges each by the others, so that its confidences are as low as those of
        subtomograms that it never saw."""
        return predictor.predict(examples.subtomograms, examples.validation, examples.contrast, batch_size)

    def completed(
        self, weights: dict[str, torch.Tensor], examples: Examples, config: TrainClassifierConfig, device: torch.device
    ) -> dict[str, torch.Tensor]:
        """The weights of the model, once its probabilities and limits were fitted with the weights that were learnt. A
        method may now learn from the validation part as well. Networks do not: their weights stay as they are."""
        return weights

    def predictor(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> typing.Any:
        """An object that classifies, with predict(subtomograms, rows, contrast, batch_size): a Prediction of some rows
        of a SubtomogramSet. card: of the model; at least network, classes (names), class_numbers, pixel_size, box,
        particle_diameter. weights: {name: tensor} as learnt. contrast: 'bright' or 'dark', of protein in the set's
        volumes. The set may have another box and pixel size than the card: the predictor resamples. Raises ValueError
        for weights that do not fit."""
        raise NotImplementedError
