# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with the orientations of a moving domain, and the domain's map before and after: maps of a domain and of
the rest of a molecule, each from images without the other one; poses of the domain in the maps along a motion."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.spatial.transform import Rotation

from ...core import fourier, projections
from ...io import mrc, structures
from ...io.particle_sets import ParticleSet, pose_columns, write_particles_star
from ...io.particles import MARGIN, SCORE
from ...latent.cube import PADDING, Views
from ...reconstruction.halves import resolved, wiener_constants
from .coefficients import particle_views
from .paths import ShownPart, weighted_maps

TURNS = 2  # of domain and rest in turn
WIDEST = 0.9  # of the box: diameter outside of which images are normalised
# Of the power of the molecule, that a domain may hold: beside it there must be a rest. A tight mask of a spike's moving
# receptor-binding domain holds 0.02, a mask beside the molecule 0.0002 at most.
LEAST, MOST = 0.005, 0.9


def _padded(volume: np.ndarray) -> projections.Projector:
    """Of a volume (box, box, box), for ShownPart."""
    return projections.Projector(torch.from_numpy(volume), PADDING * len(volume))


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
        return fourier.fsc(torch.from_numpy(self.first), torch.from_numpy(self.second)).numpy()

    def power(self) -> float:
        """What both half-maps show."""
        return float((self.first * self.second).sum())

    def damped(self) -> "Halves":
        """Half-maps damped shell by shell by what they agree on, and their mean."""
        constants, box = wiener_constants(torch.from_numpy(self.curve())), len(self.first)
        frequency = torch.fft.fftshift(fourier.frequencies((PADDING * box,) * 3, 1 / box), (0, 1))
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
MAX_VOXELS = 12000  # that are compared; where there are more, the maps are made coarser
STEPS = 300  # of the fit
STAYS = 0.01  # weight of what the rest has within the mask, beside the misfit
BLUR = 1.0  # px, of the maps when they are compared
MIN_VOXELS = 30


@dataclasses.dataclass(frozen=True)
class DomainMotion:
    """Where a domain lies in maps, relative to the middle one: x becomes rotation (x - centre) + centre + shift.

    rotations : (k, 3) rotation vectors, radians, xyz. shifts : (k, 3) px, xyz. centre : (3,) px from the middle of the
    box, xyz. alike : (k,) correlation of the domain after that with what the map holds beside the rest."""

    rotations: np.ndarray
    shifts: np.ndarray
    centre: np.ndarray
    alike: np.ndarray


def follow_domain(maps: list[np.ndarray], mask: np.ndarray) -> DomainMotion:
    """Fit the domain of the middle map, as a rigid body, to each of the maps, beside a rest that stays.

    Each map is a rest that all maps share plus the domain, which lies within the mask in the middle map. The domain's
    density and its positions in all maps are found at once by least squares; the rest that fits best is what the maps
    hold beside it in the mean. So density that stays comes into the rest, although it lies within the mask; where noise
    hides which it is, it is the domain's: a fainter domain that turns further changes the maps nearly alike.

    maps: (box, box, box), in their order along the motion. mask: (box, box, box), where the domain is in the middle
    map. Raises ValueError: the mask holds hardly any voxels."""
    positions, box, middle = np.argwhere(mask > MASKED), len(mask), len(maps) // 2
    if len(positions) < MIN_VOXELS:
        raise ValueError(
            f"The mask of the domain has {len(positions)} voxels above {MASKED:g}; at least {MIN_VOXELS} are "
            "needed. Give a mask that is 1 in the domain."
        )
    centre = positions.mean(0)
    radius = max(1.0, float(np.sqrt(((positions - centre) ** 2).sum(1).mean())))
    around = np.argwhere(binary_dilation(mask > EDGE, iterations=max(2, round(REACH * radius))))
    if len(around) > MAX_VOXELS:
        side = int(box * (MAX_VOXELS / len(around)) ** (1 / 3))
        coarse = [fourier.fourier_resize(torch.from_numpy(one).float(), side, 3).numpy() for one in (mask, *maps)]
        found = follow_domain(coarse[1:], coarse[0])
        return dataclasses.replace(found, shifts=found.shifts * box / side, centre=found.centre * box / side)
    smooth = np.stack([gaussian_filter(one.astype(float), BLUR) for one in maps])
    values, fits = torch.from_numpy(smooth[(slice(None), *around.T)]), []
    # to begin with, all of the density is the domain's, or what no map lacks is the rest's: the better end counts
    for stays in (0.0, np.maximum(smooth.min(0), 0)):
        body = _Body(smooth[middle] - stays, mask, around, centre, radius)
        fits.append((*_fitted(body, values, torch.from_numpy(mask[tuple(around.T)].astype(float)), middle), body))
    _, poses, body = min(fits, key=lambda fit: fit[0])
    with torch.no_grad():
        seen = body.shown(poses)
        wanted = values - (values - seen).mean(0)
    alike = [float(np.nan_to_num(np.corrcoef(*pair)[0, 1])) for pair in zip(seen.numpy(), wanted.numpy())]
    rotations, shifts = poses.numpy().reshape(-1, 2, 3).swapaxes(0, 1)
    return DomainMotion(rotations / radius, shifts, (centre - box // 2)[::-1], np.array(alike))


def _fitted(body: "_Body", values: torch.Tensor, within: torch.Tensor, middle: int) -> tuple[float, torch.Tensor]:
    """Fit a body's density and its poses to maps: misfit and (k, 6) poses. values: (k, v) of the maps at its places.
    within: (v,) of the mask. middle: number of the map in which the body stays."""
    poses = torch.zeros(len(values), 6, dtype=values.dtype, requires_grad=True)
    moves = (torch.arange(len(values)) != middle)[:, None]
    power = float((values - values.mean(0)).square().sum()) or 1.0  # 0 of one map
    search = torch.optim.LBFGS(
        [poses, body.density], max_iter=STEPS, history_size=20, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def misfit() -> torch.Tensor:
        search.zero_grad()
        left = values - body.shown(poses * moves)
        rest = left.mean(0)
        loss = ((left - rest).square().sum() + STAYS * (rest * within).square().sum()) / power
        loss.backward()
        return loss

    search.step(misfit)
    return float(misfit().detach()), (poses * moves).detach()


# the matrix of the cross product with each axis, xyz
_TURNS = torch.tensor(
    [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]]
).double()


class _Body:
    """The domain's density, and where it may come to lie. density, mask: (box, box, box); the first to begin with.
    around: (v, 3) px, zyx, the places. centre: (3,) px, zyx. radius: px."""

    def __init__(
        self, density: np.ndarray, mask: np.ndarray, around: np.ndarray, centre: np.ndarray, radius: float
    ) -> None:
        low, high = around.min(0), around.max(0) + 1
        window = tuple(slice(*ends) for ends in zip(low, high))
        unit = float(density[mask > MASKED].std()) or 1.0  # the steps in density and pose are alike
        self.mask = torch.from_numpy(mask[window].astype(float)) * unit
        self.density = torch.from_numpy(density[window] / unit).requires_grad_()
        self.radius, self.xyz = radius, torch.from_numpy((around - centre)[:, ::-1].copy())
        # of grid_sample: -1 and 1 are the middles of the first and the last voxel
        self.middle, self.half = (torch.from_numpy(v[::-1].copy()) for v in (centre - low, (high - 1 - low) / 2))

    def shown(self, poses: torch.Tensor) -> torch.Tensor:
        """(k, v) the density at the places, once moved. poses: (k, 6) rotation vectors x radius, shifts, px, xyz."""
        turned = torch.linalg.matrix_exp(torch.einsum("ka,aij->kij", poses[:, :3] / self.radius, _TURNS))
        places = ((self.xyz - poses[:, None, 3:]) @ turned + self.middle) / self.half - 1
        volume = (self.density * self.mask).expand(len(poses), 1, *self.mask.shape)
        return F.grid_sample(volume, places[:, None, None], align_corners=True)[:, 0, 0, 0]


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
    return projections.euler_angles(np.einsum("nji,njk->nik", rotation, matrices)), shifts_yx + offset[:, [1, 0]]


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
    values = structures.read_focus_mask(mask, particles.pixel_size, particles.box)
    size, diameter_px = particles.pixel_size, 2 * (3 * float(values.sum()) / (4 * np.pi)) ** (1 / 3)
    motion, views = follow_domain(maps, values), particle_views(particles)
    bodies = TwoBodies(particles, views, halves, values, contrast)
    consensus = bodies.made(views)
    rest = consensus.damped()
    held = max(0.0, rest.times(values).power() / (rest.power() or 1.0))
    if rest.power() > 0 and not LEAST <= held <= MOST:
        raise ValueError(
            f"The mask {mask} (--domain) holds {held:.1%} of the power that both half-maps of the particles show; "
            f"{LEAST:.1%} to {MOST:.0%} are expected. Give a mask of the domain alone, where the middle map has it."
        )
    rest = rest.times(1 - values)
    angles, shifts_yx = domain_poses(motion, weights, views.matrices, views.shifts)
    focused = particle_views(dataclasses.replace(particles, angles=angles, shifts_yx=shifts_yx))
    # what is said of the molecule's own angles does not hold for these
    changes = {**dict.fromkeys((SCORE, MARGIN, "rlnMaxValueProbDistribution")), **pose_columns(angles, shifts_yx, size)}
    write_particles_star(str(folder / PARTICLES), particles, changes)
    middle = bodies.middle(focused, rest)
    curves = crossed(consensus.damped().times(values), middle.times(values))
    resolutions = [resolved(torch.from_numpy(curve), diameter_px, size, particles.box) for curve in curves]
    mrc.write_halves(folder / DOMAIN, dataclasses.astuple(middle), size)
    return dict(
        rotations_degrees=[float(v) for v in np.degrees(np.linalg.norm(motion.rotations, axis=1))],
        shifts_angstrom=[float(v) for v in np.linalg.norm(motion.shifts, axis=1) * size],
        correlations=[float(v) for v in motion.alike],
        resolution_before=resolutions[0],
        resolution_after=resolutions[1],
        fsc_before=[round(float(v), 4) for v in curves[0]],
        fsc_after=[round(float(v), 4) for v in curves[1]],
    )
