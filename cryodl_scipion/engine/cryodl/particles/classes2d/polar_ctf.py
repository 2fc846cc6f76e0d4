# SPDX-License-Identifier: GPL-3.0-or-later
"""The contrast transfer function at the samples of a polar grid."""

import math
import typing

import torch

from ...core.optics import Optics, optics_values
from ...io.particle_sets import treated_ctf
from .polar import PolarGrid

PLANCK_LENGTH = 12.2642596  # Å * sqrt(V): h / sqrt(2 m e)
RELATIVISTIC = 0.97845e-6  # 1/V: e / (2 m c^2)


def wavelength(voltage_kv: torch.Tensor) -> torch.Tensor:
    """Wavelength of electrons in Å. voltage_kv: kV."""
    volts = 1e3 * voltage_kv
    return PLANCK_LENGTH / (volts + RELATIVISTIC * volts**2).sqrt()


def polar_ctf(
    grid: PolarGrid, optics: typing.Sequence[Optics], width: float, state: str, device: torch.device
) -> torch.Tensor:
    """CTF of particles at the samples of a grid, as `ctf.ctf_rfft` gives it on the grid of an FFT.

    Parameters
    ----------
    width : float
        Side of the box, Å.
    state : str
        What was done to the images with their CTF, see ParticleSet.ctf_state.

    Returns
    -------
    Tensor, (n, rings, half)
    """
    columns = torch.as_tensor(optics_values(optics)[:, :7], dtype=torch.float64, device=device).reshape(-1, 7, 1, 1)
    u, v, angle, voltage, cs, amplitude, phase = columns.unbind(1)
    squared = (grid.radii.to(device).double() / width).square()[:, None]
    rotation = grid.theta.to(device).double() - torch.deg2rad(angle)
    defocus = (u + v) / 2 + (u - v) / 2 * (2 * rotation).cos()
    length = wavelength(voltage)
    chi = math.pi * length * squared * (defocus - 5e6 * cs * length.square() * squared)
    return treated_ctf((chi + amplitude.asin() + torch.deg2rad(phase)).sin().float(), state)
