# SPDX-License-Identifier: GPL-3.0-or-later
"""A density as a sum of Gaussians: its maps, its projections, and its fit to a map from coarse to fine."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

NARROWEST = 0.7  # voxels: the least standard deviation, which a grid still samples
STEPS = 60  # of the fit at each number of Gaussians
LEVELS = 3  # times that each Gaussian becomes two
RATE = 0.03  # of the optimiser; centres and widths in voxels
APART = 0.5  # standard deviations by which the two lie off the middle of the one
BODY = 0.05  # of the map's highest density, above which the first Gaussians lie


@dataclasses.dataclass
class Gaussians:
    """N isotropic Gaussians, or as many for each of m particles. centres: (..., N, 3), xyz, voxels from the middle
    (voxel box // 2) of a volume. amplitudes: (..., N), sum of the density over all voxels. widths: (..., N), standard
    deviations, voxels."""

    centres: torch.Tensor
    amplitudes: torch.Tensor
    widths: torch.Tensor

    def __len__(self) -> int:
        return self.amplitudes.shape[-1]

    def subset(self, rows: torch.Tensor) -> "Gaussians":
        """Those of some rows (indices or bool)."""
        return Gaussians(self.centres[..., rows, :], self.amplitudes[..., rows], self.widths[..., rows])

    def render(self, box: int) -> torch.Tensor:
        """(..., box, box, box) volumes, zyx."""
        grid = torch.arange(box, device=self.centres.device) - box // 2
        square = (grid - self.centres[..., None]).square() / (2 * self.widths.square())[..., None, None]  # ..., N, 3, b
        x, y, z = (torch.exp(-square.clamp(max=28)) / (self.widths * (2 * torch.pi) ** 0.5)[..., None, None]).unbind(-2)
        plane = (y[..., :, None] * x[..., None, :]).flatten(-2)  # ..., N, b b
        return ((z * self.amplitudes[..., None]).transpose(-1, -2) @ plane).unflatten(-1, (box, box))

    def project(self, matrices: torch.Tensor, y: torch.Tensor, x: torch.Tensor, box: int) -> torch.Tensor:
        """Central slices of the volumes' transforms, the middle being the origin; differentiable. matrices: (m, 3, 3),
        from image to density, as core.projections.rotation_matrices gives them. y, x: LongTensor, (d,), frequencies,
        waves per box; x is not negative. box: side of the volumes, voxels. Returns (m, d) complex64."""
        flat = self.centres @ matrices[:, :, :2]  # m, N, xy
        high = int(max(y.abs().max(), x.max()))
        rows, columns = torch.arange(-high, high + 1, device=y.device), torch.arange(high + 1, device=y.device)
        along_y = self._waves(flat[..., 1], rows, box) * self.amplitudes[..., None]
        return (along_y.transpose(-1, -2) @ self._waves(flat[..., 0], columns, box))[:, y + high, x]

    def _waves(self, positions: torch.Tensor, frequencies: torch.Tensor, box: int) -> torch.Tensor:
        """(m, N, f) factors of one axis of the transform."""
        angles = positions[..., None] * (frequencies * (-2 * torch.pi / box))
        envelope = torch.exp(-0.5 * (self.widths[..., None] * (frequencies * (2 * torch.pi / box))).square())
        return torch.polar(envelope.expand(angles.shape), angles)


def fit_gaussians(volume: np.ndarray, count: int, seed: int) -> Gaussians:
    """Gaussians that make up a volume.

    The first lie at the means of clusters of the dense voxels; each becomes two until there are `count`, and all are
    optimised in between, as EMAN2 and e2gmm go from coarse to fine (Chen and Ludtke 2021).

    volume: (box, box, box). count: Gaussians wanted; there are fewer if the volume has fewer dense voxels."""
    target = torch.as_tensor(np.asarray(volume, np.float32))
    scale = float(target.abs().max()) or 1.0
    found = _first(target / scale, max(1, count // 2**LEVELS), seed)
    generator = torch.Generator().manual_seed(seed)
    for level in range(LEVELS + 1):
        found = _optimised(found, target / scale)
        if level < LEVELS:
            found = _split(found, generator)
    return dataclasses.replace(found, amplitudes=found.amplitudes * scale)


def _first(target: torch.Tensor, count: int, seed: int) -> Gaussians:
    """Gaussians at weighted means of clusters of dense voxels."""
    from sklearn.cluster import KMeans

    dense = (target > BODY * target.max()).nonzero()
    weight = target[tuple(dense.T)].numpy()
    found = KMeans(min(count, len(dense)), n_init=1, random_state=seed).fit(dense.numpy(), sample_weight=weight)
    mass = torch.as_tensor(np.bincount(found.labels_, weight), dtype=torch.float32)
    size = torch.as_tensor(np.bincount(found.labels_), dtype=torch.float32)
    centres = torch.as_tensor(found.cluster_centers_, dtype=torch.float32).flip(1) - len(target) // 2
    return Gaussians(centres, mass, (0.5 * size ** (1 / 3)).clamp(min=1.2 * NARROWEST))


def _optimised(found: Gaussians, target: torch.Tensor) -> Gaussians:
    """The Gaussians that fit the target best after STEPS."""
    centres, strength = found.centres.clone().requires_grad_(), torch.ones_like(found.amplitudes).requires_grad_()
    raw = inverse_width(found.widths).requires_grad_()
    optimiser = torch.optim.Adam([centres, strength, raw], lr=RATE)
    current = lambda: Gaussians(centres, found.amplitudes * strength, width_of(raw))
    for _ in range(STEPS):
        optimiser.zero_grad()
        (current().render(len(target)) - target).square().sum().backward()
        optimiser.step()
    return Gaussians(*(part.detach() for part in vars(current()).values()))


def _split(found: Gaussians, generator: torch.Generator) -> Gaussians:
    """Each Gaussian as two, to either side of its middle."""
    step = APART * found.widths[:, None] * F.normalize(torch.randn(found.centres.shape, generator=generator), dim=-1)
    return Gaussians(
        torch.cat([found.centres - step, found.centres + step]),
        torch.cat([found.amplitudes / 2] * 2),
        torch.cat([found.widths * (1 - APART**2 / 3) ** 0.5] * 2).clamp(min=1.05 * NARROWEST),
    )


def width_of(raw: torch.Tensor) -> torch.Tensor:
    """Widths, at least NARROWEST, of free numbers."""
    return NARROWEST + F.softplus(raw)


def inverse_width(widths: torch.Tensor) -> torch.Tensor:
    """Free numbers of widths; the inverse of width_of."""
    return torch.log(torch.expm1((widths - NARROWEST).clamp(min=1e-3)))
