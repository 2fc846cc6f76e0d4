# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with the orientations of a moving domain, and the domain's map before and after."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...core.frc import resolution_at
from ...io.mrc import write_halves
from ...io.particle_sets import write_particles_star
from ...latent.masks import read_focus_mask
from .bodies import TwoBodies
from .domain import domain_poses, follow_domain
from .views import ParticleViews

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet

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
    """Write particles.star with the orientations of the domain, and domain.mrc, the middle state, with half-maps.

    Parameters
    ----------
    maps : list of ndarray, (box, box, box)
        Along the motion.
    weights : ndarray, (n, k)
        Of the particles in them.
    halves : ndarray, (n,)
        1 or 2.
    mask : str
        File of a mask of the domain in the middle map.
    contrast : str
        'bright' or 'dark'.

    Returns
    -------
    dict
        What volumes.json says of it.
    """
    size, box = particles.pixel_size, particles.box
    values = read_focus_mask(mask, size, box)
    motion = follow_domain(maps, values)
    views = ParticleViews.of(particles)
    bodies = TwoBodies(particles, views, halves, values, contrast)
    consensus = bodies.made(views)
    rest = consensus.damped().times(1 - values)
    angles, shifts_yx = domain_poses(motion, weights, views.matrices, views.shifts_yx)
    focused = ParticleViews.of(dataclasses.replace(particles, angles=angles, shifts_yx=shifts_yx))
    changes = dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T))
    changes.update(rlnOriginXAngst=-shifts_yx[:, 1] * size, rlnOriginYAngst=-shifts_yx[:, 0] * size)
    write_particles_star(str(folder / PARTICLES), particles, changes)
    middle = bodies.middle(focused, rest)
    curves = [made.times(values).curve() for made in (consensus, middle)]
    resolutions = [resolution_at(curve, 0.143, size, box) for curve in curves]
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
