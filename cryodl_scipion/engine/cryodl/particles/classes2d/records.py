# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles as samples on rings, kept in a file, so that each image is read and transformed once.

A record holds the samples times their CTF over the noise's amplitude, in half precision, and the squared CTF of each
ring. It is all that the classification sees of a particle.
"""

import dataclasses
import json
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract.result import write_json
from ...core.fourier import fourier_resize, radial_mean
from ...io.particle_sets import ParticleSet
from ...io.stacks import read_finite
from .polar import PolarGrid
from .polar_ctf import polar_ctf

CHUNK = 512  # images that are read at a time
NOISE_SAMPLE = 1024  # particles whose surroundings tell the noise
LARGEST = 250.0  # of a record's values: single hot pixels must not become infinite in half precision


@dataclasses.dataclass(frozen=True)
class SampleScale:
    """How images become samples.

    grid : PolarGrid of the working images. noise: (rings,) power of the noise at the samples, of images whose noise has
    variance 1 outside of the mask. sign: 1 for bright protein, -1 for dark.
    """

    grid: PolarGrid
    noise: np.ndarray
    sign: float


class Records:
    """The records of a folder: `samples.f16`, `ctf2.f32` and `rows.npy`, the particles that they are of."""

    def __init__(self, folder: Path, grid: PolarGrid) -> None:
        self.folder, self.grid = Path(folder), grid
        self.rows = np.load(self.folder / "rows.npy")

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(m, rings, half) complex samples and (m, rings) squared CTF of records. positions: (m,) int."""
        shape = (len(self), self.grid.rings, self.grid.half, 2)
        stored = np.memmap(self.folder / "samples.f16", np.float16, "r", shape=shape)
        samples = torch.from_numpy(stored[positions].astype(np.float32)).to(device)
        squared = np.memmap(self.folder / "ctf2.f32", np.float32, "r", shape=shape[:2])
        return torch.view_as_complex(samples), torch.from_numpy(squared[positions]).to(device)


def class_images(particles: ParticleSet, rows: np.ndarray, grid: PolarGrid) -> tuple[torch.Tensor, np.ndarray]:
    """Images of the grid's box with background 0 and noise 1, and which of the rows they are of.

    Images with values that are no finite numbers, and images without contrast, are left out.
    """
    read, finite = read_finite(particles.files[rows], particles.numbers[rows])
    images = torch.from_numpy(read)
    spread = images.std(dim=(1, 2)) > 1e-6 * images.abs().amax(dim=(1, 2)).clamp(min=1e-30)
    keep = finite & spread.numpy()
    if not keep.any():
        return torch.zeros(0, grid.box, grid.box), keep
    small = fourier_resize(images[torch.from_numpy(keep)], grid.box)
    outside = grid.mask < 0.5
    background = small[:, outside]
    level, scale = background.mean(1), background.std(1).clamp(min=1e-12)
    return (small - level[:, None, None]) / scale[:, None, None], keep


def noise_power(images: torch.Tensor, grid: PolarGrid) -> np.ndarray:
    """(rings,) mean power of masked noise at the samples, from outside of the mask of (n, box, box) images."""
    outside = 1 - grid.mask
    power = torch.fft.rfft2(images * outside).abs().square().mean(0)
    rings = radial_mean(power, grid.box)[1 : grid.rings + 1]
    smooth = torch.nn.functional.avg_pool1d(rings[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    scaled = smooth * grid.mask.square().sum() / outside.square().sum()
    return scaled.clamp(min=1e-3 * float(scaled.mean())).numpy()


def make_records(
    folder: Path, particles: ParticleSet, scale: SampleScale, tick: typing.Callable[[int], None]
) -> np.ndarray:
    """Write the records of all particles that can be used. Returns their rows. tick: called with numbers of images."""
    parts, noise = list[np.ndarray](), torch.from_numpy(scale.noise).sqrt()[:, None]
    width = particles.box * particles.pixel_size
    with open(folder / "samples.f16", "wb") as samples_file, open(folder / "ctf2.f32", "wb") as ctf_file:
        for start in range(0, len(particles), CHUNK):
            chunk = np.arange(start, min(start + CHUNK, len(particles)))
            images, keep = class_images(particles, chunk, scale.grid)
            tick(len(chunk))
            if not keep.any():
                continue
            samples = scale.grid.sample(images) * scale.sign / noise
            if particles.optics is None:
                squared = torch.ones(len(samples), scale.grid.rings)
            else:
                ctf = polar_ctf(
                    scale.grid, particles.optics[chunk[keep]], width, particles.ctf_state, torch.device("cpu")
                )
                samples, squared = samples * ctf, ctf.square().mean(-1)
            limited = torch.view_as_real(samples).clamp(-LARGEST, LARGEST)
            samples_file.write(limited.half().contiguous().numpy().data)
            ctf_file.write(squared.contiguous().numpy().data)
            parts.append(chunk[keep])
    rows = np.concatenate([np.zeros(0, int), *parts])
    np.save(folder / "rows.npy", rows)
    return rows


def load_or_make(
    folder: Path, particles: ParticleSet, scale: SampleScale, tick: typing.Callable[[int], None]
) -> Records:
    """The Records of a folder, made there unless a stopped run has made them with this scale."""
    said = folder / "records.json"
    mine = dict(grid=dataclasses.asdict(scale.grid), sign=scale.sign, count=len(particles))
    if not said.exists() or json.loads(said.read_text()) != mine:
        said.unlink(missing_ok=True)
        make_records(folder, particles, scale, tick)
        write_json(said, mine)
    return Records(folder, scale.grid)
