# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes cut out of images around positions, and their normalisation."""

import math

import numpy as np
import torch
import torch.nn.functional as F

_FLAT = 1e-12  # standard deviation below which a background is a constant
# standard deviations of a box, or of the micrograph where phases are flipped: no noise, protein or film lies beyond
_HOT = 10.0
_AROUND, _ALONE = 5, 3.0  # px; times the mean over so wide a square, as up to eight of its pixels may have
STEEP = 0.25  # of the background's deviation, of planes; 99 % of boxes of 64 px have less than 0.13 in coloured noise


def box_corners(centres_yx: np.ndarray, box: int) -> tuple[np.ndarray, np.ndarray]:
    """Where boxes begin. centres_yx: (n, 2) px. box: side in px; a box's centre is its pixel box // 2. Returns corners,
    centres: (n, 2) each, whole px."""
    positions = np.rint(centres_yx).astype(int).reshape(-1, 2)
    return positions - box // 2, positions


def boxes_inside(corners: np.ndarray, box: int, shape: tuple[int, ...]) -> np.ndarray:
    """Which boxes lie inside an image, (n,) bool. corners: (n, 2) px, yx. box: side, px. shape: (h, w) of the image."""
    return np.asarray((corners >= 0) & (corners + box <= np.array(shape))).all(axis=1).reshape(-1)


def cut_boxes(image: torch.Tensor, corners: np.ndarray, box: int) -> torch.Tensor:
    """Cut boxes; beyond the image the nearest pixel of its edge is repeated. image: (h, w). corners: (n, 2) whole px.
    box: side in px. Returns (n, box, box) float32."""
    axis = np.arange(box)
    height, width = image.shape
    boxes = [image[np.clip(y + axis, 0, height - 1)[:, None], np.clip(x + axis, 0, width - 1)] for y, x in corners]
    return torch.stack(boxes).float() if boxes else torch.zeros((0, box, box))


def normalised(
    images: torch.Tensor, radius: float, dark_protein: bool = True, slope: float = math.inf
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as RELION normalises them: background of mean 0 and standard deviation 1, protein bright.

    images: (n, box, box). radius: px, of the circle that holds the particle; the background lies outside. dark_protein:
    whether protein is dark in the images given. slope: of the background's deviation: planes through it with more are
    taken away. Returns images: (n, box, box). sound: (n,) bool, whose background is finite and no constant."""
    box = images.shape[-1]
    axis = torch.arange(box, device=images.device) - box // 2
    outside = axis[:, None] ** 2 + axis**2 > radius**2
    if slope < math.inf:
        planes = _planes(images, outside, axis / box)
        steep = planes.std((1, 2)) > slope * images[:, outside].std(1)
        images = torch.where(steep[:, None, None], images - planes, images)
    background = images[:, outside]
    deviation = background.std(1)
    usable = torch.isfinite(images).all(dim=(1, 2)) & (deviation > _FLAT)
    images = (images - background.mean(1)[:, None, None]) / deviation.clamp(min=_FLAT)[:, None, None]
    return (-images if dark_protein else images), usable


def _planes(images: torch.Tensor, outside: torch.Tensor, axis: torch.Tensor) -> torch.Tensor:
    """(n, box, box) least-squares planes through the background of each image. axis: (box,) coordinates."""
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    terms = torch.stack([y, x, torch.ones_like(x)], -1).double()
    known = terms[outside]
    fit = torch.linalg.solve(known.T @ known, known.T @ images[:, outside].double().T)
    return torch.einsum("yxt,tn->nyx", terms.float(), fit.float())


def cooled(images: torch.Tensor) -> torch.Tensor:
    """Images (n, h, w) whose hot pixels have the mean of their image. They stand out of their surroundings, too, as no
    compact particle does in images without noise."""
    for _ in range(2):  # a very hot pixel hides others
        spread, middle = torch.std_mean(images, dim=(1, 2), keepdim=True)
        height = (images - middle).abs()
        around = F.avg_pool2d(height[:, None], _AROUND, 1, _AROUND // 2, count_include_pad=False)[:, 0]
        images = torch.where((height > _HOT * spread) & (height > _ALONE * around), middle, images)
    return images
