# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain cross-correlation with projections of a template, the baseline of orientations and of denoising.

Normalised, CTF-weighted, directions CC_STEP apart, to CC_RESOLUTION, whole-pixel shifts to CC_SHIFT.
"""

import numpy as np
import torch

from cryodl.core import healpix_grid, volumes
from cryodl.core.half_transforms import HalfDisc
from cryodl.likelihood.reference import Reference
from cryodl.likelihood.search import Grid

CC_STEP, CC_RESOLUTION, CC_SHIFT = 7.33, 11.0, 3  # degrees, Å, px


def matched(images, transfer, reference, grid):
    """(n,) highest correlation of images with projections times their CTF, and the (n,) orientation of the grid.

    images: (n, d) complex coefficients of the reference's disc, times their CTF. transfer: (n, d) the CTF.
    """
    ramp = _ramps(reference.disc)
    best, numbers = torch.full((len(images),), -torch.inf), torch.zeros(len(images), dtype=torch.long)
    for start in range(0, len(grid), 512):
        slices = reference.at_angles(grid.angles(np.arange(start, min(start + 512, len(grid)))))
        flat, power = volumes.side_by_side(slices), slices.abs().square()
        for first in range(0, len(images), 64):
            part = slice(first, first + 64)
            value = (volumes.side_by_side(images[part, None] * ramp) @ flat.T).amax(1)
            value, position = (value / (transfer[part].square() @ power.T).sqrt()).max(1)
            better = value > best[part]
            best[part] = torch.where(better, value, best[part])
            numbers[part] = torch.where(better, position + start, numbers[part])
    return best, numbers


def _ramps(disc):
    return disc.ramp(-torch.from_numpy(healpix_grid.ball_of_points(CC_SHIFT, 1, 2)).float())


def resolution_for(pixel_size):
    """Å: what the correlation goes to, coarser where the pixels cannot hold CC_RESOLUTION."""
    return max(CC_RESOLUTION, 2.2 * pixel_size)


class TemplateProjection:
    """Used as a denoiser: each image becomes the projection of the likeliest template at the likeliest orientation."""

    def __init__(self, projectors, box, pixel_size):
        self.disc, self.grid = HalfDisc(box, box * pixel_size / resolution_for(pixel_size)), Grid(CC_STEP)
        self.projectors = projectors
        self.references = [Reference(projector, self.disc) for projector in projectors]

    def denoise(self, images, ctf, pixel_size):
        """(n, box, box) projections. pixel_size: that of the templates."""
        transfer = self.disc.on_grid(ctf)
        seen = self.disc.coefficients(images) * transfer
        found = [matched(seen, transfer, reference, self.grid) for reference in self.references]
        kind = torch.stack([value for value, _ in found]).argmax(0)
        shown, shifts = torch.empty_like(images), healpix_grid.ball_of_points(CC_SHIFT, 1, 2)
        for number, (projector, reference) in enumerate(zip(self.projectors, self.references)):
            rows = (kind == number).nonzero()[:, 0]
            if not len(rows):
                continue
            angles = self.grid.angles(found[number][1][rows].numpy())
            agreement = (reference.at_angles(angles).conj()[:, None] * seen[rows, None] * _ramps(self.disc)).real.sum(2)
            shown[rows] = projector.project(angles, shifts[agreement.argmax(1).numpy()], images.shape[-1]).cpu()
        return shown
