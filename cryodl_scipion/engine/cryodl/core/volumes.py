# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes cropped. The missing wedge: which Fourier coefficients a tilt series measured (frames.py has the convention
of tilts). Noise that is like a volume: the same amplitudes of its transform, phases drawn at random."""

import numpy as np
import torch
import torch.nn.functional as F


def side_by_side(values: torch.Tensor) -> torch.Tensor:
    """Real parts, then imaginary parts, of complex values: the product of two such is Re sum conj(a) b. values: (...,
    d) complex. Returns (..., 2 d)."""
    return torch.cat([values.real, values.imag], dim=-1)


def wedge(box: int, tilt_min: float, tilt_max: float, device: torch.device | None = None) -> torch.Tensor:
    """1 where a tilt series measured, 0 in the missing wedge. A series is taken to be without gaps. Frequencies on the
    y axis (kx = kz = 0) are in every image. box: px. tilt_min, tilt_max: degrees, about the y axis. Returns
    (box, box, box // 2 + 1) float32, on the grid of rfftn (z, y, x)."""
    kz = torch.fft.fftfreq(box, device=device)[:, None, None]
    kx = torch.fft.rfftfreq(box, device=device)[None, None, :]
    tilt = torch.rad2deg(torch.atan2(kz, kx))  # kx >= 0: between -90 and 90 degrees
    measured = (tilt >= tilt_min - 1e-4) & (tilt <= tilt_max + 1e-4)
    # at kx = 0 and at its Nyquist frequency a coefficient stands for both signs
    both = measured | ((-tilt >= tilt_min - 1e-4) & (-tilt <= tilt_max + 1e-4))
    measured = torch.where((kx == 0) | (kx == 0.5), both, measured) | ((kz == 0) & (kx == 0))
    return measured.float().expand(box, box, box // 2 + 1).contiguous()


def rotated_wedge(
    box: int, tilt_min: float, tilt_max: float, axes: tuple[int, ...], flips: tuple[int, ...]
) -> torch.Tensor:
    """`wedge` of a cube that was rotated: of volume.permute(axes).flip(flips). box: px. tilt_min, tilt_max: degrees,
    about the y axis. axes: of the cube (z, y, x), in their new order. flips: axes of the rotated cube that are
    reversed. Returns (box, box, box // 2 + 1) float32."""
    half, opposite = wedge(box, tilt_min, tilt_max), -torch.arange(box) % box
    whole = half.new_empty(box, box, box)
    whole[..., : half.shape[-1]] = half
    whole[..., half.shape[-1] :] = half[opposite][:, opposite][..., box - torch.arange(half.shape[-1], box)]
    rotated = whole.permute(axes)
    for axis in flips:
        rotated = rotated.index_select(axis, opposite)
    return rotated[..., : half.shape[-1]].contiguous()


def phases_at_random(volume: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A copy of a volume with its amplitudes and random phases: nothing that has a position is left. The phases are
    those of white noise, so that the copy is real; the mean stays. volume: (z, y, x). Returns (z, y, x)."""
    noise = torch.from_numpy(rng.standard_normal(tuple(volume.shape), dtype=np.float32)).to(volume.device)
    phases = torch.fft.rfftn(noise)
    phases /= phases.abs().clamp_(min=1e-12)
    transform = torch.fft.rfftn(volume)
    mean = transform[0, 0, 0].clone()
    phases *= transform.abs()
    phases[0, 0, 0] = mean
    return torch.fft.irfftn(phases, s=volume.shape)


def cube_crop(volumes: torch.Tensor, box: int) -> torch.Tensor:
    """Volumes cut, or surrounded by zeros, so that voxel d // 2 becomes box // 2, (..., box, box, box).
    volumes: (..., d, d, d). box: px."""
    before = box // 2 - volumes.shape[-1] // 2
    return F.pad(volumes, (before, box - volumes.shape[-1] - before) * 3)
