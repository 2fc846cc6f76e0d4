# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl latent-volumes`: particles of fit-heterogeneity in; maps at points of the latent space out.

Result.outputs are the contract's LatentVolumesOutputs.
"""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...contract import LatentVolumesConfig, Result, counted
from ...contract.particles.latent import LatentVolumesOutputs
from ...contract.result import write_json
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn
from ...latent.record import LATENT
from .select_latent import latent_column

AT_POINTS = 20  # maps at given points rest on this part of all particles, however many points there are
WORSE = 1.03  # times the resolution before, from which a domain's own orientations are worse

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet


def run(config: LatentVolumesConfig) -> Result:
    """Reconstruct into <output>.partial, then rename."""
    check_output(config.output)
    from ...core.devices import set_threads
    from ...io.particle_sets import read_particles
    from ..heterogeneity.trajectories import near_points, trajectory

    set_threads()
    particles = read_particles(config.particles, need=("angles", "ctf", "raw"))
    latent = np.stack([latent_column(particles, f"{LATENT}{axis}") for axis in _axes(config.axes)], axis=1)
    points = trajectory(latent, config.maps) if config.points is None else _points(config.points, latent.shape[1])
    per_map = config.per_map or max(1, len(particles) // (2 * len(points) if config.points is None else AT_POINTS))
    if per_map > len(particles):
        raise ValueError(
            f"Particles per map (--per-map) is {per_map}, but {config.particles} has only {len(particles)}. Give a "
            "smaller number."
        )
    folder = working_folder(config, [f for f in (config.particles, config.domain) if f], continues=False)
    weights = near_points(latent, points, per_map)
    record, said, notes = _write_maps(config, particles, points, weights, folder)
    write_json(str(folder / "volumes.json"), dict(axes=_axes(config.axes), volumes=record, **said))
    finish_folder(folder, config.output)
    final = lambda name: str(Path(config.output) / name)
    outputs = LatentVolumesOutputs(
        volumes=[final(entry["map"]) for entry in record],
        record=final("volumes.json"),
        coordinates=[entry["coordinates"] for entry in record],
        resolutions=[entry["resolution"] or 0.0 for entry in record],
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        particles=final("particles.star") if said else None,
        domain=final("domain.mrc") if said else None,
    )
    for note in notes:
        warn(note)
    print(f"{counted(len(record), 'map')} of {counted(len(particles), 'particle')}: {config.output}")
    return Result("latent-volumes", outputs, device="CPU", warnings=tuple(notes))


def _write_maps(
    config: LatentVolumesConfig, particles: ParticleSet, points: np.ndarray, weights: np.ndarray, folder: Path
) -> tuple[list[dict[str, typing.Any]], dict[str, typing.Any], list[str]]:
    """Write maps and half-maps. Returns what volumes.json says of each, and of the domain, and sentences."""
    from tqdm import tqdm

    from ...core.frc import resolution_at
    from ...io.maps import write_map
    from ...likelihood.signal import find_contrast
    from ...reconstruction.halves import split_halves
    from ..heterogeneity.focus import focus_on_domain
    from ..heterogeneity.paths import weighted_maps
    from ..heterogeneity.views import ParticleViews

    width = particles.box * particles.pixel_size
    diameter_px = (config.mask_diameter or 0.9 * width) / particles.pixel_size
    contrast = config.contrast if config.contrast != "auto" else find_contrast(particles, None, diameter_px)[0]
    halves, record, whole = split_halves(particles, config.seed), [], []
    with tqdm(unit="particle", mininterval=1.0, desc="maps") as bar:
        found = weighted_maps(
            particles, ParticleViews.of(particles), halves, weights, diameter_px, contrast, bar.update
        )
        for number, (maps, curve) in enumerate(found):
            name = f"map_{number + 1:02d}.mrc"
            whole.append(maps[0])
            for ending, volume in zip(("", "_half1", "_half2"), maps):
                write_map(folder / name.replace(".mrc", f"{ending}.mrc"), volume, particles.pixel_size)
            weight = weights[:, number].astype(float)
            record.append(
                dict(
                    map=name,
                    coordinates=[float(v) for v in points[number]],
                    particles=float(weight.sum() ** 2 / (weight**2).sum()),
                    resolution=resolution_at(curve, 0.143, particles.pixel_size, particles.box),
                    fsc=[round(float(v), 4) for v in curve],
                )
            )
    if config.domain is None:
        return record, {}, []
    found = focus_on_domain(particles, whole, weights, halves, config.domain, contrast, folder)
    return record, dict(domain=found), _domain_notes(found)


def _domain_notes(found: dict[str, typing.Any]) -> list[str]:
    """A sentence, in a list, if the domain's map is no better than before."""
    before, after = (found[f"resolution_{when}"] for when in ("before", "after"))
    words = [f"{value:.1f} Å" if value else "nothing" for value in (before, after)]
    print(
        f"The domain is resolved to {words[1]} at its own orientations, and to {words[0]} at the original ones (FSC "
        "0.143 in its mask)."
    )
    if not before or (after and after <= WORSE * before):
        return []
    return [
        f"The domain's half-maps agree to {words[1]} at its own orientations, and to {words[0]} at the original "
        "ones: use the original particles. The domain may not move as a rigid body, or the mask may contain another "
        "part."
    ]


def _axes(words: str) -> list[int]:
    """[number] of the option --axes."""
    try:
        found = [int(word) for word in words.replace(",", " ").split()]
    except ValueError:
        found = []
    if not found or min(found) < 1 or len(set(found)) < len(found):
        raise ValueError(f"Axes (--axes) is {words!r}; numbers of latent coordinates such as 1 or 1,2 are expected.")
    return found


def _points(words: str, count: int) -> np.ndarray:
    """(m, count) of the option --points."""
    try:
        points = [[float(value) for value in word.split(":")] for word in words.replace(" ", "").split(",") if word]
    except ValueError:
        points = []
    if not points or any(len(point) != count for point in points):
        raise ValueError(
            f"Points (--points) is {words!r}; points separated by commas are expected, each with "
            f"{counted(count, 'coordinate')} (--axes) separated by colons: "
            f"{':'.join(['-1.5'] * count)},{':'.join(['0.5'] * count)}."
        )
    return np.array(points)
