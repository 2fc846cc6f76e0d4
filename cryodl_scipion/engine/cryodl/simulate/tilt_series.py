# SPDX-License-Identifier: GPL-3.0-or-later
"""Tilt images of a volume, and volumes back from them. The tilt axis is y; contract/frames.py has the convention.

The rows y of a volume are independent of each other, so several volumes may lie behind one another along y.
"""

import math
import typing

import torch
import torch.nn.functional as F

from ..contract import SimulateSubtomogramsConfig, SimulateTomogramsConfig

CHUNK_VALUES = 2**24  # samples of rays, or voxels, computed at a time
PASSED, STOPPED = 0.4, 0.5  # cycles per px between which the ramp filter falls to nothing


def tilt_angles(config: SimulateSubtomogramsConfig | SimulateTomogramsConfig) -> list[float]:
    """Tilts from the least to the largest, both included where the step allows.

    Returns
    -------
    list of float
        Degrees.
    """
    number = int(math.floor((config.tilt_max - config.tilt_min) / config.tilt_step + 1e-6)) + 1
    return [config.tilt_min + i * config.tilt_step for i in range(number)]


def image_width(thickness: int, width: int, tilts: typing.Sequence[float]) -> int:
    """px that images need, so that every voxel of a volume is in all of them; even."""
    needed = max(width * abs(math.cos(t)) + thickness * abs(math.sin(t)) for t in map(math.radians, tilts))
    return 2 * math.ceil(max(width, needed) / 2)


def tilt_images(volume: torch.Tensor, tilts: typing.Sequence[float], width: int | None = None) -> torch.Tensor:
    """Projections of a volume along the beam, at each tilt.

    volume: (z, y, x) tensor, zero around; its voxel (z // 2, x // 2) lies in the images' column width // 2. tilts:
    degrees. width: px, that of the volume if None. Returns (tilts, y, width) float32 tensor: sums of voxels along rays.
    """
    width = width or volume.shape[2]
    images = torch.empty((len(tilts), volume.shape[1], width), device=volume.device)
    rows = volume.float().transpose(0, 1)
    for position, tilt in enumerate(map(math.radians, tilts)):
        grid = _rays(volume.shape, tilt, width, volume.device)
        step = max(1, CHUNK_VALUES // grid[..., 0].numel())
        for start in range(0, len(rows), step):
            part = rows[start : start + step][None]
            images[position, start : start + step] = F.grid_sample(part, grid, align_corners=True)[0].sum(1)
        if abs(math.sin(tilt)) * min(volume.shape[0], volume.shape[2]) > 1:  # else the rays hit the voxels' middles
            images[position] = _undamped(images[position], tilt)
    return images


def _rays(shape: tuple[int, ...], tilt: float, width: int, device: torch.device) -> torch.Tensor:
    """(1, steps, width, 2) positions x, z of grid_sample, one voxel apart along the ray of each column."""
    depth, _, across = shape
    column = torch.arange(width, device=device) - width // 2
    diagonal, through = math.hypot(depth, across), depth / max(abs(math.cos(tilt)), 1e-9)
    steps = math.ceil(min(diagonal, through)) + 2
    along = (torch.arange(steps, device=device) - (steps - 1) / 2)[:, None]
    if through < diagonal:  # steps are counted from where the ray crosses the middle plane
        along = along - column * math.tan(tilt)
    x = column * math.cos(tilt) - along * math.sin(tilt) + across // 2
    z = column * math.sin(tilt) + along * math.cos(tilt) + depth // 2
    return torch.stack([_normal(x, across), _normal(z, depth)], -1)[None]


def _normal(position: torch.Tensor, side: int) -> torch.Tensor:
    return position * (2 / max(side - 1, 1)) - 1


def _undamped(image: torch.Tensor, tilt: float) -> torch.Tensor:
    """An image without the mean damping that linear interpolation along x and z means: the squares of sinc."""
    frequency = torch.fft.rfftfreq(image.shape[1], device=image.device)
    damping = torch.sinc(frequency * math.cos(tilt)) ** 2 * torch.sinc(frequency * math.sin(tilt)) ** 2
    return torch.fft.irfft(torch.fft.rfft(image) / damping, n=image.shape[1])


def back_projected(
    images: torch.Tensor, tilts: typing.Sequence[float], thickness: int, width: int | None = None
) -> torch.Tensor:
    """Weighted back-projection: the volume that the images are projections of, without what no tilt has measured.

    images: (tilts, y, w) tensor. tilts: degrees, in steps of equal width. thickness, width: px of the volume, width
    that of the images if None. Returns (thickness, y, width) float32 tensor. Values are those of the projected volume,
    as far as its frequencies were measured (the ramp falls to zero between PASSED and STOPPED cycles per px).
    """
    rows, across = images.shape[1], width or images.shape[2]
    step = math.radians(abs(tilts[-1] - tilts[0]) / max(len(tilts) - 1, 1)) if len(tilts) > 1 else math.pi
    fine = _ramped(images) * step
    volume = torch.zeros((rows, thickness, across), device=images.device)
    chunk = max(1, CHUNK_VALUES // (thickness * across))
    x = torch.arange(across, device=images.device) - across // 2
    z = (torch.arange(thickness, device=images.device) - thickness // 2)[:, None]
    for image, tilt in zip(fine, map(math.radians, tilts)):
        position = 2 * (x * math.cos(tilt) + z * math.sin(tilt) + images.shape[2] // 2)
        grid = torch.stack([_normal(position, image.shape[1]), torch.zeros_like(position)], -1)[None]
        for start in range(0, rows, chunk):
            part = image[None, start : start + chunk, None]
            volume[start : start + chunk] += F.grid_sample(part, grid, align_corners=True)[0]
    return volume.transpose(0, 1).contiguous()


def _ramped(images: torch.Tensor) -> torch.Tensor:
    """Images (..., w) through the ramp filter, at half the pixel size: (..., 2 w), column i becoming column 2 i."""
    width = images.shape[-1]
    padded = 2 * width
    # the ramp's kernel (Ramachandran and Lakshminarayanan 1971) is cut in real space: so its zero frequency is right
    position = torch.fft.fftfreq(padded, 1 / padded, device=images.device).round()
    kernel = torch.where(
        position % 2 != 0,
        -1 / (torch.pi * position.where(position != 0, torch.ones_like(position))) ** 2,
        torch.zeros_like(position),
    )
    kernel[0] = 0.25
    ramp = torch.fft.rfft(kernel).real
    frequency = torch.fft.rfftfreq(padded, device=images.device)
    taper = ((STOPPED - frequency) / (STOPPED - PASSED)).clamp(0, 1)
    ramp = ramp * torch.sin(taper * torch.pi / 2) ** 2
    transform = torch.fft.rfft(images, n=padded) * ramp
    finer = F.pad(transform, (0, padded - transform.shape[-1] + 1))
    return 2 * torch.fft.irfft(finer, n=2 * padded)[..., : 2 * width]
