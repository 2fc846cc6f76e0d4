# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs of which everything is known: positions, orientations, CTF."""
import dataclasses

import numpy as np
import torch

from ..ctf import ctf_rfft
from .projections import project, random_angles

CLOSEST = 1.15  # particle diameters between centres: single particles side by side, hardly overlapping


@dataclasses.dataclass(frozen=True)
class Optics:
    """CTF of one micrograph: Å, degrees, kV, mm, fraction. defocus_angle as in ctf.ctf_rfft."""
    defocus_u: float
    defocus_v: float
    defocus_angle: float
    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float


@dataclasses.dataclass(frozen=True)
class SimulatedMicrograph:
    """image: (h, w) float32 tensor, protein dark. centres_yx: (n, 2) px. angles: (n, 3) rot, tilt, psi in degrees."""
    image: torch.Tensor
    centres_yx: np.ndarray
    angles: np.ndarray
    optics: Optics


def particle_diameter(density, pixel_size):
    """Diameter in Å of the sphere around the middle that holds 99 % of the density."""
    d = density.shape[-1]
    grid = torch.arange(d) - d // 2
    radius = (grid[:, None, None] ** 2 + grid[None, :, None] ** 2 + grid[None, None, :] ** 2).float().sqrt()
    order = torch.argsort(radius.flatten())
    mass = density.flatten().clamp(min=0)[order].double().cumsum(0)
    index = int(torch.searchsorted(mass, 0.99 * mass[-1]))
    return 2 * float(radius.flatten()[order[min(index, len(order) - 1)]] + 1) * pixel_size


def random_optics(config, rng):
    """Optics within the ranges of a SimulateMicrographsConfig."""
    mean = rng.uniform(config.defocus_min, config.defocus_max)
    half = rng.uniform(0, config.astigmatism) / 2
    return Optics(mean + half, mean - half, rng.uniform(0, 180), config.voltage, config.spherical_aberration,
                  config.amplitude_contrast)


def random_centres(shape, count, distance, margin, rng):
    """(n, 2) yx positions at least `distance` px apart and `margin` px from the edge; n is smaller if they do not fit."""
    centres = np.zeros((0, 2))
    for _ in range(60 * count):
        if len(centres) == count:
            break
        new = rng.uniform(margin, np.array(shape) - 1 - margin)
        if not len(centres) or np.linalg.norm(centres - new, axis=1).min() >= distance:
            centres = np.vstack([centres, new])
    return centres


def simulate_micrograph(density, pixel_size, shape, count, snr, optics, rng, diameter_px):
    """One micrograph of randomly turned and placed particles.

    density: (d, d, d) tensor, protein positive. shape: (h, w) px. count: particles wanted. snr: variance of the
    particles without noise, within their diameter, over the variance of the noise. rng: numpy Generator.
    diameter_px: particle diameter. Returns SimulatedMicrograph.
    """
    centres = random_centres(shape, count, CLOSEST * diameter_px, 0.75 * diameter_px, rng)
    angles = random_angles(len(centres), rng)
    clean = apply_ctf(_place(density, centres, angles, shape), pixel_size, optics)
    sigma = (_variance_at(clean, centres, diameter_px) / snr) ** 0.5 if len(centres) else 1.0
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    image = -(clean - clean.mean()) / sigma + noise
    return SimulatedMicrograph(image, centres, angles, optics)


def apply_ctf(image, pixel_size, optics):
    """A projection as the microscope sees it, protein still bright. (h, w) tensor."""
    transfer = ctf_rfft(image.shape[-2:], pixel_size, optics.defocus_u, optics.defocus_v, optics.defocus_angle,
                        optics.voltage_kv, optics.cs_mm, optics.amplitude_contrast).to(image.device)
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=image.shape[-2:])


def _place(density, centres, angles, shape):
    """Sum of the projections at their positions, sub-pixel parts by a phase shift. (h, w)."""
    d = density.shape[-1]
    canvas = torch.zeros((shape[0] + 2 * d, shape[1] + 2 * d))
    for start in range(0, len(centres), 64):
        part = slice(start, start + 64)
        whole = np.floor(centres[part]).astype(int)
        for image, (y, x) in zip(project(density, angles[part], centres[part] - whole), whole + d - d // 2):
            canvas[y:y + d, x:x + d] += image.cpu()
    return canvas[d:-d, d:-d]


def _variance_at(clean, centres, diameter_px):
    """Mean square of the clean image within the particles' circles, about the image's mean."""
    yy, xx = np.mgrid[:clean.shape[0], :clean.shape[1]]
    from scipy.spatial import cKDTree
    nearest = cKDTree(centres).query(np.stack([yy, xx], -1).reshape(-1, 2), distance_upper_bound=diameter_px / 2)[0]
    inside = torch.from_numpy(np.isfinite(nearest).reshape(clean.shape))
    return float((clean - clean.mean())[inside].square().mean())
