# SPDX-License-Identifier: GPL-3.0-or-later
"""The template of a search: its density at the working pixel size, its spherical mask, its orientations."""

import dataclasses
import math
import typing

import numpy as np
import torch

from ...core.healpix_grid import directions, in_plane_angles
from ...core.volumes import cube_crop
from ...io.mrc import read_header
from ...simulate.micrographs import particle_diameter
from ...simulate.rotations import finer
from ...simulate.structures import dark_notes, is_model, load_density, structure_names

FINER = 2  # times that the density is sampled as finely as the tomogram, so that turning blurs less
PART = 0.25  # of the diameter that is the usual resolution
NYQUIST = 2.5  # working px per resolution: the low-pass has room to fall
EDGE = 2.0  # working px of the sphere's soft edge
CONTRADICTS = 0.02  # relative difference of two pixel sizes
ROTATION = 2.1  # of resolution / diameter: the usual angular step in radians; what wins a place is refined


@dataclasses.dataclass(frozen=True)
class Template:
    """A structure ready to be rotated. name: of its file. density: (FINER d, ...) tensor. mask: (b, b, b) tensor, 1 in
    the sphere, soft at its edge, b even is the box of what is compared. diameter: Å. pixel_size: Å/px it works at.
    resolution: Å. angles: (n, 3) rot, tilt, psi in degrees. step: degrees."""

    name: str
    density: torch.Tensor
    mask: torch.Tensor
    diameter: float
    pixel_size: float
    resolution: float
    angles: np.ndarray
    step: float

    @property
    def box(self) -> int:
        """px of its side."""
        return self.mask.shape[0]


def load_template(config: typing.Any, pixel_size: float) -> tuple[Template, list[str]]:
    """The Template of a DetectParticlesConfig for tomograms of a pixel size (Å/px), and sentences for the user."""
    path = config.template
    scale = _scale(config)
    notes = dark_notes(path)
    coarse = load_density(path, 4 * scale) if not is_model(path) else load_density(path, 4.0)
    diameter = config.diameter or particle_diameter(coarse, 4.0)
    if diameter < 4 * pixel_size:
        raise ValueError(
            f"The template {path} is {diameter:.0f} Å wide, less than 4 px of the tomograms ({pixel_size:g} Å/px). "
            "It cannot be distinguished from noise. Check its pixel size (--template-pixel-size), or use tomograms "
            "with a smaller pixel size."
        )
    resolution = config.resolution or max(PART * diameter, NYQUIST * pixel_size)
    if resolution < 2 * pixel_size:
        raise ValueError(
            f"Resolution (--resolution) is {resolution:g} Å; the Nyquist limit of tomograms of {pixel_size:g} Å/px "
            f"is {2 * pixel_size:g} Å. Give a lower resolution."
        )
    working = max(pixel_size, resolution / NYQUIST)
    density = load_density(path, working * scale)
    box = 2 * math.ceil((diameter / working + 2 * EDGE + 2) / 2)
    step = config.angular_step or min(60.0, math.degrees(ROTATION * resolution / diameter))
    template = Template(
        structure_names([str(path)])[0],
        finer(cube_crop(density, max(box, density.shape[-1])), FINER),
        template_sphere(box, diameter / working / 2),
        diameter,
        working,
        resolution,
        orientations(step, config.symmetry),
        step,
    )
    return template, notes


def _scale(config: typing.Any) -> float:
    """Å of the map's header for each true Å. Raises ValueError for a header that contradicts the request, and an
    image."""
    path, given = config.template, config.template_pixel_size
    if is_model(path):
        if given is not None:
            raise ValueError(f"{path} is an atomic model and has no pixel size: leave out --template-pixel-size.")
        return 1.0
    record = read_header(path).record
    shape = tuple(int(record[n]) for n in ("nx", "ny", "nz"))
    if min(shape) < 4:
        raise ValueError(
            f"{path} has {shape[0]} x {shape[1]} x {shape[2]} voxels: it is an image, not a map. "
            "Give a map of the particle, or an atomic model."
        )
    if given is None:
        return 1.0
    size = float(record["cella"]["x"]) / max(1, int(record["mx"]))
    if size > 0 and abs(size / given - 1) > CONTRADICTS:
        raise ValueError(
            f"The header of {path} says {size:g} Å/px, but Template pixel size (--template-pixel-size) is "
            f"{given:g} Å/px. Leave it out, or correct the header."
        )
    return (size if size > 0 else 1.0) / given


def template_sphere(box: int, radius: float) -> torch.Tensor:
    """(box, box, box): 1 within a radius (px) of voxel box // 2, falling over EDGE px."""
    axis = torch.arange(box) - box // 2
    distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).float().sqrt()
    return (0.5 + (radius + 0.5 * EDGE - distance) / EDGE).clamp(0, 1)


def orientations(step: float, symmetry: str) -> np.ndarray:
    """(n, 3) rot, tilt, psi in degrees of all orientations, about a step apart, those that a symmetry leaves."""
    positions, rotations = directions(step, symmetry), in_plane_angles(step)
    return np.concatenate([np.column_stack([positions, np.full(len(positions), psi)]) for psi in rotations])
