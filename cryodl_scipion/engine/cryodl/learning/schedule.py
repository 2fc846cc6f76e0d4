# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedule of a training, and the report of how it ended."""

import dataclasses
import math
import typing


@dataclasses.dataclass(frozen=True)
class Schedule:
    """steps: most steps. every: steps between validations. patience: validations without gain before stopping.
    learning_rate: peak; rises for 5 % of the steps, then falls as a cosine, or by the factor `decay` after each
    validation.
    seed: of every random choice.
    ema: decay of the running mean of the weights that is validated and kept. tolerance: later weights count as the best
    while their metric is within this of the highest: small validation parts are noisy, and longer training with a
    falling rate is better than they can tell.
    """

    steps: int
    every: int
    patience: int
    learning_rate: float
    seed: int
    ema: float = 0.97
    tolerance: float = 0.01
    decay: float | None = None

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.decay:
            return self.learning_rate * self.decay ** (step // self.every)
        rotation = math.pi * (step - warm) / max(1, self.steps - warm)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(rotation)))


@dataclasses.dataclass(frozen=True)
class FitReport:
    """How a training ended. best: the validation columns of the best weights, which the networks now hold."""

    steps: int
    best_step: int
    best: dict[str, float]
    stop_reason: str
    seconds: float

    def record(self, seconds: float, device: str, seed: int) -> dict[str, typing.Any]:
        """What a model card says of how the training ended.

        Parameters
        ----------
        seconds : float
            Wall time of the whole command.
        device : str
            In words.

        Returns
        -------
        dict
            steps, best_step, stop_reason, seconds, device and seed.
        """
        return dict(
            steps=self.steps,
            best_step=self.best_step,
            stop_reason=self.stop_reason,
            seconds=round(seconds, 1),
            device=device,
            seed=seed,
        )
