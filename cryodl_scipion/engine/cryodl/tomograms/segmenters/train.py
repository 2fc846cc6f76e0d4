# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of segmenters: batches of rotated tiles, validation on tiles that were kept apart. A training that begins
with a model keeps to what that model answers wherever nothing is drawn: around the tiles, and in the slices beside
theirs. A few tiles would else be all that it knows."""

import copy
import os
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...core import augment, devices
from ...io.files import evenly_spaced
from ...io.plots import new_figure, save_figure
from ...learning.task import NetworkTask, keep_statistics
from ..evaluation.pictures import grey_picture
from .calibrate import Counted
from .examples import Example
from .method import SegmenterMethod

FURTHER = 0.1  # of the learning rate, where a model is refined: what it knows is not forgotten
JITTER = 10  # working px that crops are moved by, so that tiles do not always lie in the middle
FEW_POSITIVE = 4  # validation tiles with the feature, below which they cannot tell good weights from bad ones
MAX_VALIDATED = (48, 96)  # tiles with and without the feature
KEPT = (
    1.0  # weight of the loss where nobody drew, beside that of what was drawn, in a training that begins with a model
)


class SegmenterTask(NetworkTask):
    """A segmenter's network on Examples. batch_size: tiles per step, or None. further: the network holds the weights of
    a model. In each batch half of the tiles have the feature."""

    example_name, patience = "tiles", 6

    def __init__(
        self,
        method: SegmenterMethod,
        network: torch.nn.Module,
        training: typing.Sequence[Example],
        validation: typing.Sequence[Example],
        batch_size: int | None = None,
        further: bool = False,
    ) -> None:
        self.method, self.training = method, training
        self.rate = FURTHER if further else 1.0
        self.begun_with = copy.deepcopy(network).eval().requires_grad_(False) if further else None
        self.batch_size = batch_size or method.batch_size
        self.kinds = [k for k in ([e for e in training if e.positive], [e for e in training if not e.positive]) if k]
        self.validation = [
            e
            for kind, maximum in zip((True, False), MAX_VALIDATED)
            for e in [v for v in validation if v.positive is kind][:maximum]
        ]
        self.validates_poorly = sum(e.positive for e in self.validation) < FEW_POSITIVE
        self.default_steps = method.default_steps(len(training))
        self.learn("segmenter", network, method.optimizer, method.memory_format)

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        chosen = [self.kinds[k % len(self.kinds)] for k in range(self.batch_size)]
        views = [augmented_tile(kind[rng.integers(len(kind))], self.method, rng) for kind in chosen]
        return [torch.stack(part) for part in zip(*views)]

    def prepare(self, network: torch.nn.Module) -> None:
        if self.begun_with is not None:
            keep_statistics(network)  # half of the tiles in a batch hold the feature, far more than tomograms do

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """The method's loss on tiles, and the distance from the model to begin with where nobody drew."""
        image, target, labelled = batch
        # the mean of what each output of the network stands for
        target, labelled = (F.avg_pool2d(part, self.method.stride) for part in (target, labelled))
        loss = self.method.loss(output, target, labelled)
        return loss if self.begun_with is None else loss + KEPT * self._forgotten(image, output, labelled)

    def penalty(self) -> typing.Any:
        return self.method.penalty(self.networks["segmenter"])

    def _forgotten(self, image: torch.Tensor, output: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy between the output and what the model to begin with answers, where nobody drew."""
        with torch.no_grad(), devices.autocast(image.device):
            before = self.begun_with.to(image.device)(image)  # type: ignore[union-attr]  # the caller looked
        apart = F.binary_cross_entropy_with_logits(output, before.float().sigmoid(), reduction="none")
        return (apart * (labelled == 0)).sum() / (labelled == 0).sum().clamp(min=1)

    def validate(self) -> dict[str, float]:
        outputs = self.answers(self.validation)
        targets, labelled = zip(*[middle_slice(e) for e in self.validation])
        loss = self.method.loss(*(torch.stack(part)[:, None].float() for part in (outputs, targets, labelled)))
        raw, hit = (
            np.concatenate([part[k].numpy() for part, k in zip(parts, labelled)])
            for parts in (outputs, [t >= 0.5 for t in targets])
        )
        counted = Counted.of(hit, raw)
        return {
            "metric": 0.5 * (counted.average_precision + counted.best_dice),
            "loss": float(loss),
            "dice": counted.best_dice,
            "average_precision": counted.average_precision,
        }

    @torch.no_grad()
    def answers(self, examples: typing.Sequence[Example]) -> list[torch.Tensor]:
        """Raw scores (s, s) of the annotated slice of each example, at the size of its image."""
        network = self.networks["segmenter"]
        device = next(network.parameters()).device
        network.eval()
        result = []
        for start in range(0, len(examples), self.batch_size):
            images = torch.stack([window(e, self.method)[0] for e in examples[start : start + self.batch_size]])
            padding = -images.shape[-1] % self.method.granularity
            images = F.pad(images, (0, padding, 0, padding), mode="replicate")
            with devices.autocast(device):
                output = network(images.to(device)).float()
            if self.method.stride > 1:
                output = F.interpolate(output, scale_factor=float(self.method.stride), mode="bilinear")
            side = images.shape[-1] - padding
            result += list(output[:, self.method.slices_out // 2, :side, :side].cpu())
        return result


def middle_slice(example: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """Target (s, s) float and known (s, s) bool of the annotated slice."""
    middle = len(example.target) // 2
    return example.target[middle].float(), example.labelled[middle]


def window(
    example: Example, method: SegmenterMethod, position: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image (slices_in, s, s), target and known (slices_out, s, s), float, in which the annotated slice has a position
    among those that are answered: the middle one if None."""
    position = method.slices_out // 2 if position is None else position
    first = method.slices_out - 1 - position
    answered = slice(first, first + method.slices_out)
    return (
        example.image[first : first + method.slices_in].float(),
        example.target[answered].float(),
        example.labelled[answered].float(),
    )


def augmented_tile(
    example: Example, method: SegmenterMethod, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A random view of an example: image (slices_in, c, c), target and known (slices_out, c, c). Another position of
    the annotated slice, rotated, mirrored, a little moved, with another contrast and some noise."""
    image, target, labelled = window(example, method, int(rng.integers(method.slices_out)))
    if rng.random() < 0.5:
        image, target, labelled = (part.flip(0) for part in (image, target, labelled))
    grid = view_grid(image.shape[-1], method.crop, augment.random_rotation(rng), rng.integers(-JITTER, JITTER + 1, 2))
    look = lambda part, mode, padding: F.grid_sample(part[None], grid, mode, padding, align_corners=False)[0]
    labelled, target = look(labelled, "nearest", "zeros"), look(target, "bilinear", "zeros").clamp(0, 1)
    return augment.vary_contrast(look(image, "bicubic", "reflection"), rng), target, labelled


def view_grid(side: int, crop: int, matrix: np.ndarray, shift: np.ndarray) -> torch.Tensor:
    """(1, crop, crop, 2) places of a crop in an image, for grid_sample. matrix: from crop yx to image yx."""
    step = torch.arange(crop, dtype=torch.float32) - (crop - 1) / 2
    yy, xx = torch.meshgrid(step, step, indexing="ij")
    (a, b), (c, d) = matrix.tolist()
    # counted from the image's middle; whole turns fall on pixels if both sides are even
    y, x = a * yy + b * xx + float(shift[0]), c * yy + d * xx + float(shift[1])
    return torch.stack([x, y], -1)[None] * (2 / side)


SHOWN, PER_ROW = 12, 3
COLUMNS = ("slice", "drawing", "score")
NOT_KNOWN = (0.55, 0.55, 0.75)
GAP = 4  # px between pictures


def draw_tiles(
    task: SegmenterTask,
    examples: typing.Sequence[Example],
    score: typing.Callable[[np.ndarray], np.ndarray],
    path: str | os.PathLike[str],
) -> None:
    """A PNG of some examples side by side, those with the feature first. score: function that makes scores in [0, 1] of
    raw ones. What nobody annotated is bluish in the drawings."""
    kinds = [[e for e in examples if e.positive is kind] for kind in (True, False)]
    with_feature = evenly_spaced(kinds[0], SHOWN - min(SHOWN // 4, len(kinds[1])))
    chosen = with_feature + evenly_spaced(kinds[1], SHOWN - len(with_feature))
    triplets = [_triplet(e, score(raw.numpy())) for e, raw in zip(chosen, task.answers(chosen))]
    rows = [triplets[start : start + PER_ROW] for start in range(0, len(triplets), PER_ROW)]
    height, width = triplets[0].shape[:2]
    picture = np.ones((len(rows) * (height + GAP), min(PER_ROW, len(triplets)) * (width + 3 * GAP), 3))
    for number, row in enumerate(rows):
        for position, triplet in enumerate(row):
            top, left = number * (height + GAP), position * (width + 3 * GAP)
            picture[top : top + height, left : left + width] = triplet
    figure, axes = new_figure(1, 1, (picture.shape[1] / 80, picture.shape[0] / 80 + 0.3))
    axis = np.ravel(axes)[0]
    axis.set_axis_off()
    axis.imshow(picture, interpolation="nearest")
    for position in range(min(PER_ROW, len(triplets)) * len(COLUMNS)):
        middle = position // 3 * (width + 3 * GAP) + (position % 3 + 0.5) * width / 3
        axis.text(middle, -GAP, COLUMNS[position % 3], ha="center", va="bottom", fontsize=9)
    save_figure(figure, path)


def _triplet(example: Example, scores: np.ndarray) -> np.ndarray:
    """(s, 3 s + 2 GAP, 3) picture in [0, 1] of an example: slice, drawing, score; their first row is the last."""
    from matplotlib import colormaps

    image = example.image[len(example.image) // 2].float().numpy()
    target, labelled = (part.numpy() for part in middle_slice(example))
    drawing = np.where(labelled[..., None], target[..., None].repeat(3, -1), NOT_KNOWN)
    gap = np.ones((len(image), GAP, 3))
    return np.concatenate([grey_picture(image), gap, drawing, gap, colormaps["magma"](scores)[..., :3]], 1)[::-1]
