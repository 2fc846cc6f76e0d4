# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the general model should learn from some boxes: boxes that it has not learnt from decide."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainPickerConfig
from ...learning.run_training import fit_task
from .crops import LabelledImage
from .train import PickerTask

FOLDS = ("fold_1", "fold_2")  # folders of their trainings
MOST_STEPS, MOST_IMAGES = 100, 16  # bounds that keep both within four minutes of a CPU core


@dataclasses.dataclass(frozen=True)
class HeldBack:
    """boxes: how many were held back, one half after the other. gain: by how much the logarithm of a particle's rank
    among all candidates falls (of background: grows) when the general model learns from the other half, on average.
    error: its standard error."""

    boxes: int
    gain: float
    error: float

    @property
    def learns(self) -> bool:
        """Whether the trained network is taken. Where chance might have decided, the two are nearly as good."""
        return self.gain >= 0

    def sentence(self) -> str:
        """For the log and the result."""
        is_it = "has learnt from them all" if self.learns else "is the general model"
        better = "equally well" if abs(self.gain) <= self.error else "better" if self.learns else "worse"
        return (
            f"{self.boxes} boxes were held back, one half after the other. What the general model learns from the "
            f"other half ranks them {better} among all candidates, compared with the model as it is: the logarithm of "
            f"the rank gains {self.gain:.2f} ± {self.error:.2f}. This model {is_it}."
        )


def hold_back(
    task_of: typing.Callable[..., PickerTask],
    images: typing.Sequence[LabelledImage],
    given: typing.Mapping[str, int],
    config: TrainPickerConfig,
    folder: Path,
    device: torch.device,
    seed: int,
) -> HeldBack:
    """Train on one half of the boxes after the other. task_of: makes the task of images to learn from and to validate
    on, from the weights to start from. images: with all boxes. given: {name: boxes on background that the user gave};
    proposed ones follow them, and are never held back. folder: in which those of the
    trainings are made."""
    images = sorted(images, key=lambda image: -len(image.positives))[:MOST_IMAGES]
    counts = [n for image in images for n in (len(image.positives), given[image.name])]
    fold = np.random.default_rng((seed, len(FOLDS))).permutation(sum(counts)) % len(FOLDS)
    parts = np.split(fold, np.cumsum(counts)[:-1])
    config = dataclasses.replace(config, steps=min(config.steps or MOST_STEPS, MOST_STEPS))
    gains = []
    for number, name in enumerate(FOLDS):
        held, taught = [], []
        for image, particles, background in zip(images, parts[::2], parts[1::2]):
            own, proposed = np.split(image.negatives, [len(background)])
            out, gone = particles == number, background == number
            held.append(dataclasses.replace(image, positives=image.positives[out], negatives=own[gone]))
            rest = np.concatenate([own[~gone], proposed])
            taught.append(dataclasses.replace(image, positives=image.positives[~out], negatives=rest))
        task = task_of(taught, [max(taught, key=lambda image: len(image.positives))])
        before, less = task.box_ranks(held)
        (folder / name).mkdir(exist_ok=True)
        print(f"Training on one half of the boxes, {number + 1} of {len(FOLDS)}: is it better than the general model?")
        fit_task(task, config, folder / name, device)
        after, more = task.box_ranks(held)
        first, second = (np.log(np.minimum(ranks, 1 + max(less, more))) for ranks in (before, after))
        sign = np.concatenate([np.repeat([1, -1], [len(im.positives), len(im.negatives)]) for im in held])
        gains.append(sign * (first - second))
    gain = np.concatenate(gains)
    return HeldBack(len(gain), *(round(float(x), 3) for x in (gain.mean(), gain.std(ddof=1) / len(gain) ** 0.5)))
