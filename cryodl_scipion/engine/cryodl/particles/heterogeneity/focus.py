# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with the orientations of a moving domain, and the domain's map before and after.

Maps of a domain and of the rest of a molecule, each from images from which the other one was subtracted.
Poses of a domain in the maps along a motion, and the resulting orientations and shifts of the particles' domains."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from ...core.fourier import frequencies
from ...core.frc import fsc
from ...core.projections import Projector, euler_angles
from ...io.mrc import write_halves
from ...io.particle_sets import ParticleSet, write_particles_star
from ...io.particles import ANGLES, MARGIN, SCORE
from ...io.structures import read_focus_mask
from ...latent.cube import PADDING, Views
from ...reconstruction.halves import resolved, wiener_constants
from .coefficients import particle_views
from .paths import ShownPart, weighted_maps

TURNS = 2  # of domain and rest in turn
WIDEST = 0.9  # of the box: diameter outside of which images are normalised


def _padded(volume: np.ndarray) -> Projector:
    """Of a volume (box, box, box), for ShownPart."""
    return Projector(torch.from_numpy(volume), PADDING * len(volume))


@dataclasses.dataclass(frozen=True)
class Halves:
    """A map and its half-maps, (box, box, box) each."""

    whole: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def times(self, mask: np.ndarray) -> "Halves":
        """Each of them times a mask."""
        return Halves(*(volume * mask for volume in (self.whole, self.first, self.second)))

    def plus(self, other: "Halves") -> "Halves":
        """Sums with those of another one."""
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return Halves(*(one + two for one, two in zip(mine, others)))

    def curve(self) -> np.ndarray:
        """(box // 2 + 1,) FSC of the half-maps."""
        return fsc(torch.from_numpy(self.first), torch.from_numpy(self.second)).numpy()

    def power(self) -> float:
        """What both half-maps show."""
        return float((self.first * self.second).sum())

    def damped(self) -> "Halves":
        """Half-maps damped shell by shell by what they agree on, and their mean."""
        constants, box = wiener_constants(torch.from_numpy(self.curve())), len(self.first)
        frequency = torch.fft.fftshift(frequencies((PADDING * box,) * 3, 1 / box), (0, 1))
        keep = (frequency <= box / 2 - 1) / (1 + constants[frequency.round().long().clamp(max=len(constants) - 1)])
        halves = [_padded(half).density(keep).numpy() for half in (self.first, self.second)]
        return Halves((halves[0] + halves[1]) / 2, *halves)


@dataclasses.dataclass(frozen=True)
class TwoBodies:
    """Reconstructs a domain and the rest of a molecule, each from images without projections of the other one.

    views: orientations and shifts of the rest. halves: (n,), 1 or 2; they are kept apart. mask: (box, box, box), of the
    domain in the middle state. contrast: 'bright' or 'dark'. Source: Nakane et al., eLife 7, e36861 (2018): multi-body
    refinement."""

    particles: ParticleSet
    views: Views
    halves: np.ndarray
    mask: np.ndarray
    contrast: str

    def made(self, views: Views, without: tuple[ShownPart, ShownPart] | None = None) -> Halves:
        """Maps of all particles."""
        every, width = np.ones((len(self.particles), 1), np.float32), WIDEST * self.particles.box
        found = weighted_maps(self.particles, views, self.halves, every, width, self.contrast, without=without)
        return Halves(*next(iter(found))[0])

    def domain(self, focused: Views, rest: Halves) -> Halves:
        """The domain's maps. focused : its orientations and shifts, as it lies in the middle state."""
        return self.made(focused, _shown(rest, self.views)).times(self.mask)

    def middle(self, focused: Views, rest: Halves) -> Halves:
        """The molecule in its middle state. rest : to begin with."""
        domain = self.domain(focused, rest)
        for _ in range(TURNS - 1):
            found = self.made(self.views, _shown(domain.damped(), focused))
            rest = found.times(1 - self.mask).damped().plus(found.times(self.mask).damped())
            domain = self.domain(focused, rest)
        return domain.damped().plus(rest)


def crossed(before: Halves, after: Halves) -> tuple[np.ndarray, np.ndarray]:
    """(box // 2 + 1,) of two maps of a domain each: FSC of its half-maps, that of the one that shows less of it against
    the other one.

    Half-maps of a smeared domain agree, since both are smeared alike. Smearing takes power away, so the map with more
    power is the sharper one; each half of the other is compared with the opposite half of that, and what the noise of
    the sharp half takes from it is given back."""
    curves = [before.curve(), after.curve()]
    sharp, other = (1, 0) if after.power() >= before.power() else (0, 1)
    pairs = Halves(before.whole, before.first, after.second), Halves(before.whole, after.first, before.second)
    cross = np.mean([np.maximum(pair.curve(), 0) for pair in pairs], axis=0)
    curves[other] = np.minimum(curves[other], cross**2 / np.maximum(curves[sharp], 1e-3))
    return curves[0], curves[1]


def _shown(volumes: Halves, views: Views) -> tuple[ShownPart, ShownPart]:
    """What the images of each half show of a part."""
    return ShownPart(_padded(volumes.first), views), ShownPart(_padded(volumes.second), views)


MASKED = 0.5  # of the mask, from which a voxel belongs to the domain
EDGE = 0.1  # of the mask, where its surroundings begin
REACH = 0.4  # of the domain's radius: how far around the mask maps are compared
MAX_VOXELS = 4000  # that are compared
MAX_STEPS = 10  # of the fit of one map in each round
ROUNDS, PARTS = 6, 3  # of positions, and of rest and domain within each
OWN = 0.1  # of the density within the mask that is taken from the rest to the domain in each part of a round
BLUR = 1.0  # px, of the maps when they are compared
MIN_VOXELS = 30


@dataclasses.dataclass(frozen=True)
class DomainMotion:
    """Where a domain lies in maps, relative to one of them: x becomes rotation (x - centre) + centre + shift.

    rotations : (k, 3) rotation vectors, radians, xyz. shifts : (k, 3) px, xyz. centre : (3,) px from the middle of the
    box, xyz. alike : (k,) correlation of the domain with itself after that."""

    rotations: np.ndarray
    shifts: np.ndarray
    centre: np.ndarray
    alike: np.ndarray


def follow_domain(maps: list[np.ndarray], mask: np.ndarray) -> DomainMotion:
    """Fit the domain of the middle map, as a rigid body, to each of the maps, beside a rest that stays.

    Each map is a rest that all maps share plus the domain, which lies within the mask in the middle map. In turn the
    domain's position in each map, and rest and domain by least squares, are found: density beside the domain that stays
    comes into the rest, although it lies within the mask.

    maps: (box, box, box), in their order along the motion. mask: (box, box, box), where the domain is in the middle
    map. Raises ValueError: the mask holds hardly any voxels."""
    positions = np.argwhere(mask > MASKED)
    if len(positions) < MIN_VOXELS:
        raise ValueError(
            f"The mask of the domain has {len(positions)} voxels above {MASKED:g}; at least {MIN_VOXELS} are "
            "needed. Give a mask that is 1 in the domain."
        )
    xyz = (positions - mask.shape[0] // 2)[:, ::-1].astype(float)
    centre = xyz.mean(0)
    radius = max(1.0, float(np.sqrt(((xyz - centre) ** 2).sum(1).mean())))
    smooth, middle = np.stack([gaussian_filter(m.astype(float), BLUR) for m in maps]), len(maps) // 2
    rest = smooth.mean(0) * (1 - mask) + np.maximum(smooth.min(0), 0) * mask
    body = _Body(mask * (smooth[middle] - rest), centre, radius, mask)
    found, alike = np.zeros((len(maps), 6)), np.ones(len(maps))
    for _ in range(ROUNDS):
        for way in (range(middle + 1, len(maps)), range(middle - 1, -1, -1)):
            last = np.zeros(6)
            for number in way:
                last, alike[number] = body.fit(smooth[number] - rest, found[number] if found[number].any() else last)
                found[number] = last
        rest = _separate(smooth, rest, body, found)
    return DomainMotion(found[:, :3] / radius, found[:, 3:], centre, alike)


class _Body:
    """The domain's density, and where it may come to lie. density : (box, box, box), within the mask. centre : (3,) px,
    xyz. radius : px. positions: of voxels, (v, 3)."""

    def __init__(self, density: np.ndarray, centre: np.ndarray, radius: float, mask: np.ndarray) -> None:
        self.density, self.centre, self.radius, self.mask = density, centre, radius, mask
        self.positions = np.argwhere(binary_dilation(mask > EDGE, iterations=max(2, round(REACH * radius))))
        self.xyz = (self.positions - mask.shape[0] // 2)[:, ::-1].astype(float)
        self.step = -(-len(self.positions) // MAX_VOXELS)

    def shown(self, values: np.ndarray, step: int = 1) -> np.ndarray:
        """(v,) the density at the places, once it was moved. values : (6,) rotation vector times radius, and shift."""
        rotation = Rotation.from_rotvec(values[:3] / self.radius).as_matrix()
        return _sampled(self.density, (self.xyz[::step] - self.centre - values[3:]) @ rotation + self.centre)

    def brought_back(self, volume: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(v,) a volume at the positions, moved the other way."""
        rotation = Rotation.from_rotvec(values[:3] / self.radius).as_matrix()
        return _sampled(volume, (self.xyz - self.centre) @ rotation.T + self.centre + values[3:])

    def fit(self, volume: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Rotation vector times radius and shift, (6,) px, at which the density is most like a volume; correlation."""
        wanted = volume[tuple(self.positions[:: self.step].T)]
        found = least_squares(
            lambda values: wanted - self.shown(values, self.step), start, diff_step=0.02, max_nfev=MAX_STEPS
        )
        seen = self.shown(found.x, self.step)
        return found.x, float(np.corrcoef(seen, wanted)[0, 1] if np.ptp(seen) > 0 and np.ptp(wanted) > 0 else 0.0)


def _sampled(volume: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """(v,) values of a volume at (v, 3) px from its middle."""
    return map_coordinates(volume, (xyz[:, ::-1] + volume.shape[0] // 2).T, order=1)


def _separate(maps: np.ndarray, rest: np.ndarray, body: _Body, found: np.ndarray) -> np.ndarray:
    """The rest (box, box, box), once it and the body's density were fitted in turn to the maps."""
    index, rest = tuple(body.positions.T), rest.copy()
    for _ in range(PARTS):
        rest[index] = np.mean([m[index] - body.shown(values) for m, values in zip(maps, found)], axis=0)
        rest *= 1 - OWN * body.mask
        density = np.zeros_like(rest)
        density[index] = np.mean([body.brought_back(m - rest, values) for m, values in zip(maps, found)], axis=0)
        body.density = density * body.mask
    return rest


def domain_poses(
    motion: DomainMotion, weights: np.ndarray, matrices: np.ndarray, shifts_yx: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Orientations and shifts at which the particles' images show the domain as it lies in the middle map. weights:
    (n, k), of each particle in each map. matrices: (n, 3, 3), from image to density. shifts_yx: (n, 2) px. Returns
    angles: (n, 3), rot, tilt, psi in degrees. shifts_yx: (n, 2) px."""
    along = weights @ np.arange(weights.shape[1]) / np.maximum(weights.sum(1), 1e-30)
    # a map shows the mean of its particles, which lies nearer to the middle than its own position
    maps = np.maximum.accumulate(weights.T @ along / np.maximum(weights.sum(0), 1e-30))
    values = np.concatenate([motion.rotations, motion.shifts], axis=1)
    each = np.stack([np.interp(along, maps, column) for column in values.T], axis=1)
    rotation = Rotation.from_rotvec(each[:, :3]).as_matrix()
    # in the frame of the image
    offset = np.einsum("nji,nj->ni", matrices, motion.centre + each[:, 3:] - rotation @ motion.centre)
    return euler_angles(np.einsum("nji,njk->nik", rotation, matrices)), shifts_yx + offset[:, [1, 0]]


PARTICLES, DOMAIN = "particles.star", "domain.mrc"


def focus_on_domain(
    particles: ParticleSet,
    maps: list[np.ndarray],
    weights: np.ndarray,
    halves: np.ndarray,
    mask: str,
    contrast: str,
    folder: Path,
) -> dict[str, typing.Any]:
    """Write particles.star with the orientations of the domain, and domain.mrc, the middle state, with half-maps. maps:
    (box, box, box), along the motion. weights: (n, k), of the particles in them. halves: (n,), 1 or 2. mask: file of a
    mask of the domain in the middle map. contrast: 'bright' or 'dark'. Returns what volumes.json says of it."""
    values = read_focus_mask(mask, particles.pixel_size, particles.box)
    size, diameter_px = particles.pixel_size, 2 * (3 * float(values.sum()) / (4 * np.pi)) ** (1 / 3)
    motion, views = follow_domain(maps, values), particle_views(particles)
    bodies = TwoBodies(particles, views, halves, values, contrast)
    consensus = bodies.made(views)
    rest = consensus.damped().times(1 - values)
    angles, shifts_yx = domain_poses(motion, weights, views.matrices, views.shifts)
    focused = particle_views(dataclasses.replace(particles, angles=angles, shifts_yx=shifts_yx))
    # what is said of the molecule's own angles does not hold for these
    changes = {
        **dict.fromkeys((SCORE, MARGIN, "rlnMaxValueProbDistribution")),
        **dict(zip(ANGLES, angles.T)),
        "rlnOriginXAngst": -shifts_yx[:, 1] * size,
        "rlnOriginYAngst": -shifts_yx[:, 0] * size,
    }
    write_particles_star(str(folder / PARTICLES), particles, changes)
    middle = bodies.middle(focused, rest)
    curves = crossed(consensus.damped().times(values), middle.times(values))
    resolutions = [resolved(torch.from_numpy(curve), diameter_px, size, particles.box) for curve in curves]
    write_halves(folder / DOMAIN, dataclasses.astuple(middle), size)
    return dict(
        rotations_degrees=[float(v) for v in np.degrees(np.linalg.norm(motion.rotations, axis=1))],
        shifts_angstrom=[float(v) for v in np.linalg.norm(motion.shifts, axis=1) * size],
        correlations=[float(v) for v in motion.alike],
        resolution_before=resolutions[0],
        resolution_after=resolutions[1],
        fsc_before=[round(float(v), 4) for v in curves[0]],
        fsc_after=[round(float(v), 4) for v in curves[1]],
    )
