# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles as samples on rings, kept in a file, so that each image is read and transformed once.

A record holds the samples times their CTF over the noise's amplitude, in half precision, and the squared CTF of each
ring. It is all that the classification sees of a particle."""

import contextlib
import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import Classify2DConfig, say_if, write_json
from ...core.boxes import STEEP, cooled, normalised
from ...core.fourier import circle, fourier_resize, radial_mean
from ...io import files, stacks
from ...io.particle_sets import ParticleSet
from ...likelihood import observed, reference
from ...reconstruction.halves import mask_diameter_px
from .polar import PolarGrid, polar_ctf

KEPT = "passes.npz"  # what a stopped run goes on from
CHUNK = 512  # images that are read at a time
NOISE_SAMPLE = 1024  # particles whose surroundings tell the noise
LARGEST = 250.0  # of a record's values: single hot pixels must not become infinite in half precision


@dataclasses.dataclass(frozen=True)
class SampleScale:
    """How images become samples. grid: PolarGrid of the working images. noise: (rings,) power of the noise, where it
    has variance 1 outside of the mask. sign: 1 for bright protein, -1 for dark."""

    grid: PolarGrid
    noise: np.ndarray
    sign: float


class Records:
    """The records of a folder: `samples.f16`, `ctf2.f32` and `rows.npy`, those of the particles that they are of.
    images: (n,) numbers of their images, of which copies have the same."""

    def __init__(self, folder: Path, grid: PolarGrid, particles: ParticleSet) -> None:
        self.folder, self.grid = Path(folder), grid
        self.rows = np.load(self.folder / "rows.npy")
        self.images = particles.same_images()[self.rows]

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
    """Images of the grid's box, see core.boxes.normalised, and which of the rows they are of. Images with values that
    are no finite numbers, and images without contrast or with nothing around the particle, are left out. Multiplied
    ones come divided: the CTF, twice, carries more of a particle out of the mask (purity 0.71 for 0.75)."""
    images = stacks.read_as_stored(particles.files[rows], particles.numbers[rows])
    around = images[:, ~circle(particles.box, 2 * grid.mask_px * particles.box / grid.box)]
    keep = stacks.usable_images(images) & stacks.usable_images(around[:, None])
    if not keep.any():
        return torch.zeros(0, grid.box, grid.box), keep
    small = fourier_resize(particles.as_read(cooled(torch.from_numpy(images[keep])), rows[keep]), grid.box)
    return normalised(small, grid.mask_px, dark_protein=False, slope=STEEP)[0], keep


def times_ctf(
    samples: torch.Tensor, particles: ParticleSet, rows: np.ndarray, grid: PolarGrid, state: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (n, rings, half) of the particles of some rows times their CTF, once, and its squares (n, rings); 1
    without. state: as ParticleSet.ctf_state, of the samples."""
    if particles.optics is None:
        return samples, torch.ones(len(samples), grid.rings)
    ctf = polar_ctf(grid, particles.optics[rows], particles.box * particles.pixel_size, state, samples.device)
    return samples * ctf, ctf.square().mean(-1)


def noise_power(images: torch.Tensor, grid: PolarGrid) -> np.ndarray:
    """(rings,) mean power of masked noise at the samples, from outside of the mask of (n, box, box) images."""
    outside = 1 - grid.mask
    rings = radial_mean(torch.fft.rfft2(images * outside).abs().square().mean(0), grid.box)[1 : grid.rings + 1]
    smooth = torch.nn.functional.avg_pool1d(rings[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    scaled = smooth * grid.mask.square().sum() / outside.square().sum()
    return scaled.clamp(min=1e-3 * float(scaled.mean())).numpy()


def make_records(folder: Path, particles: ParticleSet, scale: SampleScale, tick: typing.Callable[[int], None]) -> None:
    """Write the records of all particles that can be used. tick: called with numbers of images."""
    parts, noise = list[np.ndarray](), torch.from_numpy(scale.noise).sqrt()[:, None]
    with open(folder / "samples.f16", "wb") as samples_file, open(folder / "ctf2.f32", "wb") as ctf_file:
        for chunk in particles.parts(CHUNK):
            images, keep = class_images(particles, chunk, scale.grid)
            tick(len(chunk))
            if not keep.any():
                continue
            samples = scale.grid.sample(images) * scale.sign / noise
            samples, squared = times_ctf(samples, particles, chunk[keep], scale.grid, particles.ctf_state)
            samples_file.write(torch.view_as_real(samples).clamp(-LARGEST, LARGEST).half().contiguous().numpy().data)
            ctf_file.write(squared.contiguous().numpy().data)
            parts.append(chunk[keep])
    np.save(folder / "rows.npy", np.concatenate([np.zeros(0, int), *parts]))


def load_or_make(
    folder: Path, particles: ParticleSet, scale: SampleScale, tick: typing.Callable[[int], None]
) -> Records:
    """The Records of a folder, made there unless a stopped run has made them with this scale."""
    said = folder / "records.json"
    mine = dict(grid=dataclasses.asdict(scale.grid), sign=scale.sign, count=len(particles))
    if particles.ctf_state in ("multiplied", "divided"):  # those of earlier versions had another scale
        mine[particles.ctf_state] = True
    with contextlib.suppress(ValueError, OSError, EOFError):  # what there is not, or a power cut has cut
        if files.read_kept(said) == mine:
            kept = Records(folder, scale.grid, particles)
            kept.read(np.zeros(1, int), torch.device("cpu"))
            return kept
        (folder / KEPT).unlink(missing_ok=True)
    said.unlink(missing_ok=True)
    make_records(folder, particles, scale, tick)
    write_json(said, mine)
    return Records(folder, scale.grid, particles)


RINGS, MAX_RINGS, MIN_RINGS = 22, 40, 6  # RINGS: by default
NYQUIST = 0.75  # of it at most by default; 0.9 where a resolution is asked for
WIDEST_MASK = 0.47  # of the box: outside of it the noise is measured
REACH = 1 / 12  # of the box


@dataclasses.dataclass(frozen=True)
class ClassSettings:
    """What the classification of a set is made with.

    particles : ParticleSet, without its CTF if that is not to be corrected. scale: see records. resolution: Å, finest
    detail that is compared. reach_px: px of the working images. mask_px: radius, px of the particles' images. notes:
    sentences for the user. shown: whether the images show anything brighter or darker than around it."""

    particles: ParticleSet
    scale: SampleScale
    resolution: float
    reach_px: float
    mask_px: float
    notes: tuple[str, ...]
    shown: bool = True


def class_settings(config: Classify2DConfig, particles: ParticleSet) -> ClassSettings:
    """Settings of a run. Raises ValueError for a mask or shift larger than the box, and for images without content."""
    width, box = particles.box * particles.pixel_size, particles.box
    if config.max_shift and config.max_shift > width / 4:
        raise ValueError(
            f"Maximum shift (--max-shift) is {config.max_shift:g} Å; it must be at most a quarter of the "
            f"box, {width / 4:g} Å."
        )
    used, notes = _with_ctf(config, particles)
    grid, more = _grid(config, particles)
    images = usable_sample(used, grid)
    sample, noise = used.subset(images[1]), noise_power(images[0], grid)
    mask_px = grid.mask_px * box / grid.box
    sign, shown, said = _sign(config, sample, mask_px)
    return ClassSettings(
        used,
        SampleScale(grid, noise, sign),
        width / grid.rings,
        REACH * grid.box if config.max_shift is None else config.max_shift / width * grid.box,
        mask_px,
        tuple(notes + more + said + observed.smoothed_notes(sample) + reference.group_notes(sample)),
        shown,
    )


def _with_ctf(config: Classify2DConfig, particles: ParticleSet) -> tuple[ParticleSet, list[str]]:
    """The particles, without a CTF if it is not to be used, and sentences about that."""
    if particles.optics is None:
        return particles, [
            "The particles have no CTF (rlnDefocusU, rlnVoltage, rlnSphericalAberration, rlnAmplitudeContrast): the "
            "averages are not corrected. Estimate it (CTFFIND), and extract particles with it."
        ]
    if not config.correct_ctf:
        return dataclasses.replace(particles, optics=None), []
    flipped = "The phases of the images were flipped with their CTF; its amplitudes are corrected here."
    return particles.divided(), say_if(particles.ctf_state == "flipped", flipped)


def _grid(config: Classify2DConfig, particles: ParticleSet) -> tuple[PolarGrid, list[str]]:
    box, width, notes = particles.box, particles.box * particles.pixel_size, []
    rings = min(RINGS, int(NYQUIST * box / 2))
    if config.resolution:
        asked = round(width / config.resolution)
        rings = max(MIN_RINGS, min(asked, MAX_RINGS, int(0.9 * box / 2)))
        if rings < asked:
            notes.append(
                f"Particles are compared to {width / rings:.1f} Å, not to {config.resolution:g} Å (--resolution): "
                "finer detail does not help to distinguish classes. The averages are not limited."
            )
    side = min(box, 2 * -(-int(2.7 * rings) // 2))
    radius = mask_diameter_px(particles, config.mask_diameter) / 2 / particles.box * side
    return PolarGrid(side, rings, max(48, 4 * -(-rings // 2)), min(radius, WIDEST_MASK * side)), notes


def usable_sample(particles: ParticleSet, grid: PolarGrid) -> tuple[torch.Tensor, np.ndarray]:
    """Images of the grid's box, and rows, of particles that can be used. Raises ValueError if none can."""
    for rows in (
        observed.sample_rows(len(particles), NOISE_SAMPLE),
        *np.array_split(np.arange(len(particles)), -(-len(particles) // CHUNK)),
    ):
        images, keep = class_images(particles, rows, grid)
        if len(images):
            return images, rows[keep]
    raise ValueError(
        f"{particles.path}: the images are empty (all pixels the same, or not finite numbers) or masked. Extract again."
    )


def _sign(config: Classify2DConfig, particles: ParticleSet, mask_px: float) -> tuple[float, bool, list[str]]:
    """1 for bright protein, -1 for dark; whether the images tell; and sentences if they had to and do not."""
    contrast, shown, sentence = reference.find_contrast(particles, 1.3 * mask_px)
    if config.contrast != "auto":
        return (1.0 if config.contrast == "bright" else -1.0), shown, []
    if shown:
        print(sentence)
    return (1.0 if contrast == "bright" else -1.0), shown, say_if(not shown, sentence)
