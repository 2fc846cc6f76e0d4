# SPDX-License-Identifier: GPL-3.0-or-later
"""crYOLO (Wagner et al. 2019): boxes of a grid of cells, in one pass (YOLO, Redmon & Farhadi 2017).

From the paper: 16 convolutions of 32/64/128/64/128/256/128/256/512/256/512/256/512/1024/512/1024 kernels of 3x3, with
1x1 as the 4th, 7th, 10th, 12th and 15th; max-pooling after the 1st, 2nd, 5th and 8th; batch norm and leaky ReLU (0.1);
dropout 0.2 and a 1x1 convolution that predicts confidence, centre and size of a box for each cell of 16 px; the YOLO
loss with weights 5 (cells with a particle), 1 (cells without) and 1 (centre and size), the confidence's target being
the overlap of predicted and labelled box; flips, blur, noise and contrast changes.
Ours: the particle's diameter is 40 px, so that hardly ever two share a cell, where the original scales whole
micrographs to 1024 px; boxes are as wide as the diameter, and one anchor of that size is used; no class output, as
there is one class; crops are rotated by any angle; AdamW; where only boxes are labelled or labels are sparse, cells
within half a diameter of a label teach, and the confidences of the others count as in method.py."""

import typing

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...core.augment import vary_contrast
from ...core.peaks import separate
from ...learning.networks import Dropout
from .crops import LabelledImage, sample_crop
from .method import PickerMethod

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("picker", 3, "cryolo", "CrYOLO", "a crYOLO-type network", ("Wagner2019", "Redmon2017")),)

WIDTHS = (32, 64, 128, 64, 128, 256, 128, 256, 512, 256, 512, 256, 512, 1024, 512, 1024)
SMALL_KERNELS, POOLED = (4, 7, 10, 12, 15), (1, 2, 5, 8)
CELL = 16
OBJECT, NO_OBJECT, COORDINATES = 5.0, 1.0, 1.0
LABELLED_RADIUS = 0.5  # diameters from a label within which cells are known


class GridOfCells(nn.Sequential):
    """(b, 1, h, w) -> (b, 5, h/16, w/16): logit of confidence, centre in the cell (y, x, logits), log size (h, w)."""

    stride = multiple = CELL
    receptive_radius = 116  # px; (230 px seen) / 2

    def __init__(self) -> None:
        layers, before = [], 1
        for number, width in enumerate(WIDTHS, 1):
            kernel = 1 if number in SMALL_KERNELS else 3
            layers += [
                nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.1, inplace=True),
            ]
            layers += [nn.MaxPool2d(2)] if number in POOLED else []
            before = width
        head = nn.Conv2d(before, 5, 1)
        nn.init.normal_(head.weight, std=0.01)
        bias = typing.cast("torch.Tensor", head.bias)
        nn.init.zeros_(bias)
        nn.init.constant_(bias[:1], -3.0)  # most cells are empty: start by saying so
        super().__init__(*layers, Dropout(0.2), head)


class CrYOLO(PickerMethod):
    """Boxes of a grid of cells, in one pass."""

    name = "cryolo"
    weak = (
        "15 million weights: slow to train without a GPU, and poor with few labels. Each cell of 16 px (0.4 "
        "diameters) can have one particle at most."
    )
    working_diameter = 40.0
    learning_rate, bytes_per_pixel = 0.0005, 200
    spot_area = CELL**2

    def build(self) -> nn.Module:
        return GridOfCells()

    def default_steps(self, particles: int, labels: str) -> int:
        return 200

    def crop_side(self, labels: str) -> int:
        return 96 if labels == "boxes" else 160

    def batch_factor(self, labels: str) -> int:
        return 2 if labels == "boxes" else 1

    def example(self, item: LabelledImage, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image, target (5, h, w) of cells: 1 with a particle, its centre in the cell (y, x), log size (h, w); weight
        (1, h, w), or (2, h, w) with the unlabelled cells as second."""
        side = self.crop_side(item.labels)
        view, cells = sample_crop(item, side, rng), side // CELL
        target = torch.zeros(5, cells, cells)
        for position in (view.positives + 0.5) / CELL:
            row, column = int(position[0].floor()), int(position[1].floor())
            if 0 <= row < cells and 0 <= column < cells:
                target[:, row, column] = torch.tensor([1.0, position[0] - row, position[1] - column, 0.0, 0.0])
        labelled = self._known(item, torch.cat(view[2:5]), cells, target[0])
        weight = labelled[None] if item.labels != "sparse" else torch.stack([labelled, 1 - labelled])
        return view.image, target, weight * F.avg_pool2d(view.usable[None], CELL)

    def _known(self, item: LabelledImage, labels: torch.Tensor, cells: int, occupied: torch.Tensor) -> torch.Tensor:
        if item.dense or not len(labels):
            return torch.full((cells, cells), float(item.dense))
        middle = torch.arange(cells) * CELL + (CELL - 1) / 2
        distance = torch.hypot(
            middle[None, :, None] - labels[:, 0, None, None], middle[None, None] - labels[:, 1, None, None]
        )
        return ((distance < LABELLED_RADIUS * self.working_diameter).any(0) | (occupied > 0)).float()

    def augment(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Blur by up to 1 px, noise and contrast."""
        sigma = float(rng.uniform(0, 1))
        if rng.random() < 0.5 and sigma > 0.2:
            kernel = torch.exp(-0.5 * (torch.arange(-3, 4.0) / sigma) ** 2)
            kernel = kernel / kernel.sum()
            padded = F.pad(image[None, None], (3, 3, 3, 3), mode="reflect")
            image = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 7)), kernel.view(1, 1, 7, 1))[0, 0]
        return vary_contrast(image, rng)

    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """output, target: (b, 5, h, w), see GridOfCells and example. weight: (b, 1 or 2, h, w)."""
        labelled, occupied = weight[:, :1], target[:, :1] * weight[:, :1]
        confidence, centre, size = output[:, :1].sigmoid(), output[:, 1:3].sigmoid(), output[:, 3:]
        overlap = self.overlap(centre.detach() - target[:, 1:3], size.detach() - target[:, 3:])
        boxes = (occupied * ((centre - target[:, 1:3]) ** 2 + (size - target[:, 3:]) ** 2)).sum()
        right = (occupied * (confidence - overlap) ** 2).sum()
        empty = ((labelled - occupied) * confidence**2).sum()
        value = (COORDINATES * boxes + OBJECT * right + NO_OBJECT * empty) / occupied.sum().clamp(min=1.0)
        return self.whole_loss(value, output[:, :1], target[:, :1], labelled, weight[:, 1:])

    def overlap(self, shift: torch.Tensor, log_ratio: torch.Tensor) -> torch.Tensor:
        """(b, 1, h, w) intersection over union of two boxes: centres differ by shift (cells), sizes by a factor. shift,
        log_ratio: (b, 2, h, w); the second box is as wide as a diameter."""
        side = self.working_diameter / CELL
        other = side * log_ratio.clamp(-4, 4).exp()
        common = ((side + other) / 2 - shift.abs()).clamp(min=0).minimum(other).clamp(max=side).prod(1, keepdim=True)
        return common / (side**2 + other.prod(1, keepdim=True) - common)

    def scores(self, output: torch.Tensor) -> torch.Tensor:
        return output[:, :1].float().sigmoid()

    def peaks(
        self, output: torch.Tensor, distance: float, threshold: float, cells: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """As PickerMethod's; every cell is a candidate, at the position that it predicts."""
        score = self.scores(output[None])[0, 0]
        yx = ((score >= threshold) & cells).nonzero()
        raw, order = score[yx[:, 0], yx[:, 1]].sort(descending=True, stable=True)
        yx = yx[order]
        positions = (yx + output[1:3, yx[:, 0], yx[:, 1]].float().sigmoid().T - 0.5).double().numpy()
        keep = separate(positions, distance)
        return positions[keep], raw.double().numpy()[keep]
