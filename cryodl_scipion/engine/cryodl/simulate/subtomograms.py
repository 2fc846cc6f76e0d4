# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms of a structure: rotated and moved, seen in a tilt series, reconstructed."""

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ..contract import SimulateSubtomogramsConfig, SimulateTomogramsConfig
from ..core.fourier import from_middle
from ..core.optics import Optics
from ..core.projections import random_angles
from ..core.volumes import cube_crop
from ..io.structures import load_density
from .micrographs import particle_diameter
from .rotations import finer, rotated
from .tilt_series import back_projected, image_width, imaged, noise, tilt_images

SPREAD = 0.125  # of the mean defocus: the largest deviation of a tomogram's
SPHERICAL_ABERRATION = 2.7  # mm
FINER = 2  # densities are sampled so much finer before they are rotated
SAMPLE = 16  # subtomograms that strengths of signal and noise are measured on
PER_TOMOGRAM = 10  # subtomograms of each structure that share the defocus of one tomogram
CHUNK_VALUES = 2**23  # pixels of tilt images made at a time
GROUND_TRUTH_OF, SAMPLE_OF, NOISE_OF, OPTICS_OF = range(4)  # each has random numbers of its own


@dataclasses.dataclass(frozen=True)
class Structure:
    """A density to simulate, sampled FINER times, and its diameter in px."""

    density: torch.Tensor
    diameter_px: float


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """Of n subtomograms: angles (n, 3) degrees, shifts_zyx (n, 3) px from voxel box // 2, optics: n, or None."""

    angles: np.ndarray
    shifts_zyx: np.ndarray
    optics: list | None


def load_structure(path: str, config: SimulateSubtomogramsConfig) -> Structure:
    """The Structure of a file. Raises ValueError if it does not fit into the box."""
    density = load_density(path, config.pixel_size)
    diameter = particle_diameter(density, config.pixel_size)
    if diameter > (config.box - 2) * config.pixel_size:
        raise ValueError(
            f"{path} is {diameter:.0f} Å wide, but the box (--box) is {config.box} px x "
            f"{config.pixel_size:g} Å/px = {config.box * config.pixel_size:.0f} Å. A box of 1.5 times the "
            "particle's diameter is usual."
        )
    diameter_px = diameter / config.pixel_size
    return Structure(finer(cube_crop(density, 2 * int(np.ceil(diameter_px / 2)) + 4), FINER), diameter_px)


class SubtomogramSimulator:
    """Makes the subtomograms of one structure with the strengths of signal and noise that the SNR asks for. config:
    SimulateSubtomogramsConfig. tilts: degrees. number: of the class, 1, 2, ...; it seeds the random numbers."""

    def __init__(
        self,
        structure: Structure,
        config: SimulateSubtomogramsConfig,
        tilts: typing.Sequence[float],
        number: int,
        device: torch.device,
    ) -> None:
        self.structure = dataclasses.replace(structure, density=structure.density.to(device))
        self.config, self.tilts, self.number, self.device = config, tilts, number, device
        # of the cube that holds the moved particle
        self.side = 2 * int(np.ceil(structure.diameter_px / 2 + config.max_shift / config.pixel_size)) + 4
        largest = max(self.side, config.box)
        self.rows, self.width = largest, image_width(largest, largest, tilts)
        self.signal, self.noise = self._strengths()

    @property
    def at_a_time(self) -> int:
        """Subtomograms that are made in one piece."""
        return max(1, CHUNK_VALUES // (len(self.tilts) * self.rows * self.width))

    def ground_truth(self, indices: range) -> GroundTruth:
        """Ground truth of subtomograms; the same whatever their number and order."""
        reach, angles, shifts = self.config.max_shift / self.config.pixel_size, [], []
        for index in indices:
            rng = self._rng(GROUND_TRUTH_OF, index)
            angles.append(random_angles(1, rng)[0])
            shifts.append(rng.uniform(-reach, reach, 3))
        return GroundTruth(np.array(angles), np.array(shifts), self._optics(indices))

    def volumes(self, indices: range) -> torch.Tensor:
        """(n, box, box, box) float32 tensor; noise of variance 1, protein bright or dark as the config says."""
        images = self.signal * self._clean(self.ground_truth(indices))
        for image, index in zip(images, indices):
            image += self.noise * noise(image.shape, self._rng(NOISE_OF, index), self.device)
        volumes = self._reconstructed(images)
        return volumes if self.config.contrast == "bright" else -volumes

    def _strengths(self) -> tuple[float, float]:
        """Factors of the projections and of the tilt images' white noise."""
        rng = self._rng(SAMPLE_OF, 0)
        ground_truth = GroundTruth(random_angles(SAMPLE, rng), np.zeros((SAMPLE, 3)), self._optics(range(SAMPLE)))
        inside = ball(self.config.box, self.structure.diameter_px, self.device)
        signal = self._reconstructed(self._clean(ground_truth))[:, inside].var(dim=1).mean()
        empty = self._reconstructed(noise((SAMPLE, len(self.tilts), self.rows, self.width), rng, self.device)).var()
        return float((self.config.snr / signal).sqrt()), float(1 / empty.sqrt())

    def _clean(self, ground_truth: GroundTruth) -> torch.Tensor:
        """(n, tilts, rows, width) projections as the microscope shows them, without noise."""
        cubes = rotated(self.structure.density, ground_truth.angles, ground_truth.shifts_zyx, self.side, FINER)
        count, side = cubes.shape[:2]
        # cubes one behind the other along y, whose rows are independent of each other
        images = tilt_images(cubes.transpose(0, 1).reshape(side, -1, side), self.tilts, self.width)
        images = images.reshape(len(self.tilts), count, side, self.width).transpose(0, 1)
        before = self.rows // 2 - side // 2
        images = F.pad(images, (0, 0, before, self.rows - side - before))
        return imaged(images, self.config.pixel_size, ground_truth.optics)

    def _reconstructed(self, images: torch.Tensor) -> torch.Tensor:
        """(n, box, box, box) back-projections of (n, tilts, rows, width)."""
        box, start = self.config.box, self.rows // 2 - self.config.box // 2
        images = images[:, :, start : start + box].transpose(0, 1)
        volume = back_projected(images.reshape(len(self.tilts), -1, self.width), self.tilts, box, box)
        return volume.reshape(box, -1, box, box).transpose(0, 1).contiguous()

    def _optics(self, indices: range) -> list[Optics] | None:
        return None if not self.config.defocus else [optics_of(self.config, index) for index in indices]

    def _rng(self, purpose: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, self.number, purpose, index))


def ball(box: int, diameter_px: float, device: torch.device | None = None) -> torch.Tensor:
    """(box, box, box) bool: within half a diameter of voxel box // 2."""
    return from_middle(box, 3, device) <= diameter_px / 2


def optics_of(config: SimulateSubtomogramsConfig, index: int) -> Optics:
    """Optics of the subtomogram `index` of each structure."""
    return random_defocus(config, np.random.default_rng((config.seed, 0, OPTICS_OF, index // PER_TOMOGRAM)))


def random_defocus(
    config: SimulateSubtomogramsConfig | SimulateTomogramsConfig,
    rng: np.random.Generator,
    voltage: float = 300.0,
    amplitude_contrast: float = 0.1,
) -> Optics:
    """Optics with a defocus near the config's, without astigmatism. voltage: kV."""
    defocus = config.defocus * (1 + rng.uniform(-SPREAD, SPREAD))
    return Optics(defocus, defocus, 0.0, voltage, SPHERICAL_ABERRATION, amplitude_contrast)
