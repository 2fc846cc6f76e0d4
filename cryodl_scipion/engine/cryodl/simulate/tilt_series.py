# SPDX-License-Identifier: GPL-3.0-or-later
"""Tilt images of a volume, and volumes back from them. The tilt axis is y; contract/frames.py has the convention.

The rows y of a volume are independent of each other, so several volumes may lie behind one another along y.
Images of a tilt series from projections: CTF, radiation damage, noise."""

import dataclasses
import math
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ..contract import SimulateSubtomogramsConfig, SimulateTomogramsConfig
from ..core import fourier, projections
from ..core.optics import Optics, ctf_of_optics

MARGIN_PX = 16  # of empty solvent around images, into which the CTF may spread what it moves
REACH_PX = 48  # that strips of one defocus see beyond themselves
DEFOCUS_STEP = 600.0  # Å of height that a strip of one defocus may span
# Critical exposure in e/Å² at 300 kV over the frequency in 1/Å: Grant & Grigorieff 2015 (eLife 4:e06980)
CRITICAL = (0.245, -1.665, 2.81)


def exposures(tilts: typing.Sequence[float], dose: float, voltage: float = 300.0) -> torch.Tensor:
    """e/Å² at 300 kV that damage the specimen as what it has seen in the middle of each image; the smallest tilts are
    taken first. Damage falls as the electrons' squared speed rises: at 200 kV 1.25 times (0.8 of the critical exposure,
    as in Grant and Grigorieff). dose: e/Å², of all. voltage: kV."""
    dose *= (1 - (1 + 300 / 511) ** -2) / (1 - (1 + voltage / 511) ** -2)  # 511 keV: the electron's rest energy
    order = sorted(range(len(tilts)), key=lambda i: (abs(tilts[i]), tilts[i]))
    each, seen = dose / len(tilts), torch.zeros(len(tilts))
    seen[order] = (torch.arange(len(tilts)) + 0.5) * each
    return seen


def dose_filter(shape: tuple[int, ...], pixel_size: float, exposure: torch.Tensor) -> torch.Tensor:
    """(n, h, w // 2 + 1) part of the amplitude left after exposures (n,) in e/Å² at 300 kV, on the grid of rfft2."""
    frequency = fourier.frequencies(shape, pixel_size, exposure.device).clamp(min=1e-6)
    scale, power, rest = CRITICAL
    return torch.exp(-exposure[:, None, None] / (2 * (scale * frequency**power + rest)))


def imaged(
    images: torch.Tensor,
    pixel_size: float,
    optics: typing.Sequence[Optics] | None,
    exposure: torch.Tensor | None = None,
) -> torch.Tensor:
    """Projections as the microscope shows them, protein still bright.

    images: (n, m, h, w) tensor of n volumes' m tilts. pixel_size: Å/px. optics: n Optics, one for all tilts of a
    volume, or None for no CTF. exposure: (m,) e/Å² of the tilts, or None for no damage. Returns the like of images."""
    if optics is None and exposure is None:
        return images
    height, width = images.shape[-2:]
    shape = tuple(2 * ((side + 2 * MARGIN_PX + 1) // 2) for side in (height, width))
    transform = torch.fft.rfft2(F.pad(images, (0, shape[1] - width, 0, shape[0] - height)))
    if optics is not None:
        if shape[0] == shape[1]:
            transfers = ctf_of_optics(optics, shape[0], pixel_size, images.device)
        else:
            transfers = torch.stack([one.transfer(shape, pixel_size, images.device) for one in optics])
        transform = transform * transfers[:, None]
    if exposure is not None:
        transform = transform * dose_filter(shape, pixel_size, exposure.to(images.device))
    return torch.fft.irfft2(transform, s=shape)[..., :height, :width]


def seen_on_slope(
    image: torch.Tensor, pixel_size: float, optics: typing.Sequence[Optics], exposure: torch.Tensor | None, tilt: float
) -> torch.Tensor:
    """A projection as `seen` shows it, its defocus that of the tilted specimen: less by the height above the tilt axis.

    image: (h, w) tensor, its tilt axis the column w // 2; optics: one Optics in a list, of the tilt axis; exposure:
    (1,) e/Å² or None; tilt: degrees. The image is put together of strips of one defocus each. Returns (h, w)."""
    width = image.shape[1]
    slope = -pixel_size * math.tan(math.radians(tilt))  # Å of height for each column
    strip = int(min(width, max(MARGIN_PX, DEFOCUS_STEP / max(abs(slope), 1e-6))))
    result = torch.empty_like(image)
    for start in range(0, width, strip):
        stop = min(start + strip, width)
        first, last = max(0, start - REACH_PX), min(width, stop + REACH_PX)
        height = slope * ((start + stop - 1) / 2 - width // 2)
        u, v = (max(0.0, d - height) for d in (optics[0].defocus_u, optics[0].defocus_v))
        here = dataclasses.replace(optics[0], defocus_u=u, defocus_v=v)
        part = imaged(image[None, None, :, first:last], pixel_size, [here], exposure)[0, 0]
        result[:, start:stop] = part[:, start - first : stop - first]
    return result


def moved(images: torch.Tensor, shifts_yx: np.ndarray) -> torch.Tensor:
    """Images (n, h, w) moved by shifts (n, 2) px; what leaves on one side comes back on the other."""
    ramp = projections.phase_ramp(images.shape[1:], shifts_yx, images.device)
    return torch.fft.irfft2(torch.fft.rfft2(images) * ramp, s=images.shape[1:])


def noise(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> torch.Tensor:
    """White noise of variance 1, the same on every device."""
    return torch.from_numpy(rng.standard_normal(shape, dtype="float32")).to(device)


CHUNK_VALUES = 2**24  # samples of rays, or voxels, computed at a time
PASSED, STOPPED = 0.4, 0.5  # cycles per px between which the ramp filter falls to nothing


def tilt_angles(config: SimulateSubtomogramsConfig | SimulateTomogramsConfig) -> list[float]:
    """Tilts from the least to the largest, both included where the step allows. Degrees."""
    number = int(math.floor((config.tilt_max - config.tilt_min) / config.tilt_step + 1e-6)) + 1
    return [config.tilt_min + i * config.tilt_step for i in range(number)]


def image_width(thickness: int, width: int, tilts: typing.Sequence[float]) -> int:
    """px that images need, so that every voxel of a volume is in all of them; even."""
    needed = max(width * abs(math.cos(t)) + thickness * abs(math.sin(t)) for t in map(math.radians, tilts))
    return 2 * math.ceil(max(width, needed) / 2)


def tilt_images(volume: torch.Tensor, tilts: typing.Sequence[float], width: int | None = None) -> torch.Tensor:
    """Projections of a volume along the beam, at each tilt.

    volume: (z, y, x) tensor, zero around; its voxel (z // 2, x // 2) lies in the images' column width // 2. tilts:
    degrees. width: px, that of the volume if None. Returns (tilts, y, width) float32: sums of voxels along rays."""
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
            # without the mean damping that linear interpolation along x and z means: the squares of sinc
            frequency = torch.fft.rfftfreq(images.shape[2], device=images.device)
            damping = torch.sinc(frequency * math.cos(tilt)) ** 2 * torch.sinc(frequency * math.sin(tilt)) ** 2
            images[position] = torch.fft.irfft(torch.fft.rfft(images[position]) / damping, n=images.shape[2])
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


def back_projected(
    images: torch.Tensor, tilts: typing.Sequence[float], thickness: int, width: int | None = None
) -> torch.Tensor:
    """Weighted back-projection: the volume that the images are projections of, without what no tilt has measured.

    images: (tilts, y, w) tensor. tilts: degrees, in steps of equal width. thickness, width: px of the volume, width
    that of the images if None. Returns (thickness, y, width) float32 tensor. Values are those of the projected volume,
    as far as its frequencies were measured (the ramp falls to zero between PASSED and STOPPED cycles per px)."""
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
    taper = ((STOPPED - torch.fft.rfftfreq(padded, device=images.device)) / (STOPPED - PASSED)).clamp(0, 1)
    ramp = ramp * torch.sin(taper * torch.pi / 2) ** 2
    transform = torch.fft.rfft(images, n=padded) * ramp
    return 2 * torch.fft.irfft(F.pad(transform, (0, padded - transform.shape[-1] + 1)), n=2 * padded)[..., : 2 * width]
