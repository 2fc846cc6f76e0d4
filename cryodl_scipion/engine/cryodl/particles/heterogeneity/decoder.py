# SPDX-License-Identifier: GPL-3.0-or-later
"""From latent coordinates to changes of Gaussians, which a few anchors carry."""

import numpy as np
import torch
from torch import nn

from . import modes
from .gaussians import Gaussians, inverse_width, width_of

HIDDEN = 32  # width of the network's layers
PARTS = 8  # of an anchor: rotation vector (3), shift (3), changes of amplitude and of log width
ANGLE, WIDTH, STRENGTH = 0.3, 0.1, 0.3  # radians and fractions that are expected


class Decoder(nn.Module):
    """Gaussians at latent coordinates between -1 and 1.

    Every anchor has a rotation about itself, a shift, and changes of amplitude and width, in units of what is expected;
    a Gaussian takes the mean of the anchors' changes, weighted by their distance. The neutral Gaussians are learned
    along.

    factors: (4 a, D), changes for each latent dimension that it begins with, see Basis. voxel: Å."""

    start: torch.Tensor
    amplitudes: torch.Tensor
    anchors: torch.Tensor
    share: torch.Tensor
    stiffness: torch.Tensor
    units: torch.Tensor

    def __init__(self, basis: modes.Basis, factors: np.ndarray, voxel: float) -> None:
        super().__init__()
        count, latent = len(basis.anchors), factors.shape[1]
        neutral, shift = basis.gaussians, modes.SHIFT / voxel
        self.latent, self.voxel = latent, voxel
        self.centres = nn.Parameter(neutral.centres.clone())
        self.strength = nn.Parameter(torch.ones_like(neutral.amplitudes))
        self.raw_width = nn.Parameter(inverse_width(neutral.widths))
        self.register_buffer("start", torch.cat([neutral.centres, self.raw_width.detach()[:, None]], dim=1))
        self.register_buffer("amplitudes", neutral.amplitudes.clone())
        self.register_buffer("anchors", basis.anchors.clone())
        self.register_buffer("share", modes.anchor_weights(neutral.centres, basis.anchors))
        self.register_buffer(
            "stiffness", torch.as_tensor(np.linalg.inv(modes.anchor_correlations(basis.anchors, voxel))).float()
        )
        self.register_buffer("units", torch.tensor([ANGLE] * 3 + [shift] * 3 + [modes.CHANGE, WIDTH]))
        self.layers = nn.Sequential(
            nn.Linear(latent, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN)
        )
        self.carried = nn.Linear(HIDDEN + latent, PARTS * count)
        first = torch.zeros(count, PARTS, latent)
        first[:, 3:7] = torch.as_tensor(factors.reshape(count, modes.PARTS, latent)) / self.units[3:7, None]
        with torch.no_grad():
            self.carried.weight.mul_(0.1)
            self.carried.weight[:, HIDDEN:] = first.flatten(0, 1)
            self.carried.bias.zero_()

    def neutral(self) -> Gaussians:
        """The Gaussians that are changed."""
        return Gaussians(self.centres, self.amplitudes * self.strength, width_of(self.raw_width))

    def changes(self, latent: torch.Tensor) -> torch.Tensor:
        """(m, a, 8) of the anchors at latent coordinates (m, D), in units of what is expected."""
        values = self.carried(torch.cat([self.layers(latent), latent], dim=1))
        return values.reshape(len(latent), len(self.anchors), PARTS)

    def forward(self, latent: torch.Tensor) -> Gaussians:
        """Gaussians (m, N) at latent coordinates (m, D)."""
        start, changes = self.neutral(), self.changes(latent) * self.units
        matrices = rotations(changes[..., :3])
        # the mean over anchors of R (c - anchor) + anchor + shift
        matrix = (self.share @ matrices.flatten(2)).reshape(len(latent), -1, 3, 3)
        moved = self.anchors - (matrices @ self.anchors[..., None])[..., 0] + changes[..., 3:6]
        centres = (matrix @ start.centres[..., None])[..., 0] + self.share @ moved
        strength, width = (self.share @ changes[..., 6:]).unbind(-1)
        return Gaussians(centres, start.amplitudes * (1 + strength), start.widths * torch.exp(width))

    def negative_log_prior(self, latent: torch.Tensor) -> torch.Tensor:
        """Negative logarithm of the prior of the changes, their mean over latent coordinates (m, D), and of the
        neutral Gaussians: neighbouring anchors change alike."""
        changes = self.changes(latent)
        value = (
            torch.einsum("map,ab,mbp->", changes, self.stiffness, changes) / len(latent)
            + ((self.centres - self.start[:, :3]) * (self.voxel / modes.SHIFT)).square().sum()
            + ((self.strength - 1) / STRENGTH).square().sum()
        )
        return 0.5 * (value + (self.raw_width - self.start[:, 3]).square().sum() / STRENGTH)


def rotations(vectors: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) matrices of rotation vectors (..., 3), radians (Rodrigues)."""
    angle = vectors.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    x, y, z = (vectors / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*vectors.shape, 3)
    sine, cosine = torch.sin(angle)[..., None], torch.cos(angle)[..., None]
    return torch.eye(3, device=vectors.device) + sine * cross + (1 - cosine) * (cross @ cross)
