# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a 2-D classification: rings, mask, range of shifts, noise and contrast, measured on the images."""

import dataclasses

import numpy as np
import torch

from ...contract import Classify2DConfig
from ...io.particle_sets import ParticleSet
from .polar import PolarGrid
from .polar_ctf import polar_ctf
from .records import NOISE_SAMPLE, SampleScale, class_images, noise_power

RINGS, MAX_RINGS, MIN_RINGS = 22, 40, 6  # RINGS: by default
NYQUIST = 0.75  # of it at most by default; 0.9 where a resolution is asked for
MASK = 0.45  # of the box: radius of the mask, where none is given
WIDEST_MASK = 0.47  # of the box: outside of it the noise is measured
REACH = 1 / 12  # of the box
SURE = 5.0  # standard errors: then the contrast is told


@dataclasses.dataclass(frozen=True)
class ClassSettings:
    """What the classification of a set is made with.

    particles : ParticleSet, without its CTF if that is not to be corrected. scale: see records. resolution: Å, finest
    detail that is compared. reach_px: px of the working images. mask_px: radius, px of the particles' images. notes:
    sentences for the user.
    """

    particles: ParticleSet
    scale: SampleScale
    resolution: float
    reach_px: float
    mask_px: float
    notes: tuple[str, ...]


def class_settings(config: Classify2DConfig, particles: ParticleSet) -> ClassSettings:
    """Settings of a run. Raises ValueError for a mask or shift larger than the box, and for images without content."""
    width, box = particles.box * particles.pixel_size, particles.box
    if config.mask_diameter and config.mask_diameter > width:
        raise ValueError(
            f"Mask diameter (--mask-diameter) is {config.mask_diameter:g} Å, but the images are only "
            f"{width:g} Å wide ({box} px x {particles.pixel_size:g} Å/px). Give a smaller one, or "
            "extract larger boxes."
        )
    if config.max_shift and config.max_shift > width / 4:
        raise ValueError(
            f"Maximum shift (--max-shift) is {config.max_shift:g} Å; it must be at most a quarter of the "
            f"box, {width / 4:g} Å."
        )
    used, notes = _with_ctf(config, particles)
    grid, more = _grid(config, particles)
    images = _sample(used, grid)
    scale = SampleScale(grid, noise_power(images[0], grid), 1.0)
    sign, said = _sign(config, used, scale, *images)
    mask_px = grid.mask_px * box / grid.box
    reach = REACH * grid.box if config.max_shift is None else config.max_shift / width * grid.box
    return ClassSettings(
        used, dataclasses.replace(scale, sign=sign), width / grid.rings, reach, mask_px, tuple(notes + more + said)
    )


def _with_ctf(config: Classify2DConfig, particles: ParticleSet) -> tuple[ParticleSet, list[str]]:
    """The particles, without a CTF if it is not to be used, and sentences about that."""
    if particles.optics is None:
        return particles, [
            f"{particles.path} has no CTF (rlnDefocusU, and rlnVoltage, rlnSphericalAberration, "
            "rlnAmplitudeContrast): the averages are not CTF-corrected and have the contrast of the microscope."
        ]
    if not config.correct_ctf:
        return dataclasses.replace(particles, optics=None), []
    if particles.ctf_state == "flipped":
        return particles, ["The phases of the images were flipped with their CTF; its amplitudes are corrected here."]
    return particles, []


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
    radius = MASK * side if config.mask_diameter is None else config.mask_diameter / 2 / width * side
    return PolarGrid(side, rings, max(48, 4 * -(-rings // 2)), min(radius, WIDEST_MASK * side)), notes


def _sample(particles: ParticleSet, grid: PolarGrid) -> tuple[torch.Tensor, np.ndarray]:
    """Working images of some particles, and the rows that they are of."""
    count = len(particles)
    rows = np.unique(np.linspace(0, count - 1, min(count, NOISE_SAMPLE)).astype(int))
    images, keep = class_images(particles, rows, grid)
    if not len(images):
        raise ValueError(
            f"{particles.path}: the images are empty (all pixels the same, or not finite numbers). Extract them again."
        )
    return images, rows[keep]


def _sign(
    config: Classify2DConfig, particles: ParticleSet, scale: SampleScale, images: torch.Tensor, rows: np.ndarray
) -> tuple[float, list[str]]:
    """1 for bright protein, -1 for dark, and sentences if it could not be told."""
    if config.contrast != "auto":
        return (1.0 if config.contrast == "bright" else -1.0), []
    grid = scale.grid
    samples = grid.sample(images) / torch.from_numpy(scale.noise)[:, None]
    if particles.optics is not None:
        width = particles.box * particles.pixel_size
        samples = samples * polar_ctf(grid, particles.optics[rows], width, particles.ctf_state, samples.device)
    axis = torch.arange(grid.box) - grid.box // 2
    ball = ((0.65 * grid.mask_px) ** 2 - (axis[:, None] ** 2 + axis[None] ** 2)).clamp(min=0).sqrt()
    template = grid.sample(ball[None])[0] * grid.weights[:, None]
    matches = (samples.conj() * template).real.sum((1, 2))
    error = float(matches.std()) / len(matches) ** 0.5 if len(matches) > 1 else float("inf")
    value = float(matches.mean())
    if abs(value) <= SURE * error:
        return 1.0, [
            "The contrast could not be determined from the images; protein is assumed to be bright, as after "
            "RELION's extraction. If it is dark, set --contrast dark."
        ]
    print(f"Protein is {'bright' if value > 0 else 'dark'} in the images ({abs(value) / error:.0f} standard errors).")
    return (1.0 if value > 0 else -1.0), []
