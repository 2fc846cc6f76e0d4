# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl latent-volumes`: particles of fit-heterogeneity in; maps at points of the latent space out. Reconstruct the
maps; the command begins anew when it was stopped."""

import typing
from pathlib import Path

import numpy as np

from ...contract import LatentVolumesConfig, LatentVolumesOutputs, counted, say_if, span, write_json
from ...core import devices
from ...io import mrc, particle_sets
from ...latent.record import LATENT, latent_column, whole_numbers
from ...likelihood.reference import find_contrast
from ...reconstruction.halves import resolved, split_halves
from ...running.runner import PROGRAM, Run, command
from ..heterogeneity import coefficients, focus, paths

AT_POINTS = 20  # maps at given points rest on this part of all particles, however many points there are
WORSE = 1.03  # times the resolution before, from which a domain's own orientations are worse


@command
def latent_volumes(config: LatentVolumesConfig, run: Run) -> LatentVolumesOutputs:
    devices.set_threads()
    axes, particles = _axes(config.axes), particle_sets.read_particles(config.particles, ("angles", "ctf", "raw"))
    asked = None if config.points is None else _points(config.points, len(axes))
    wanted = len(asked) if asked else config.maps
    particles = particle_sets.usable(paths.with_room(particles, wanted, bool(config.domain)), run.skip)
    latent = np.stack([latent_column(particles, f"{LATENT}{axis}") for axis in axes], axis=1)
    points = paths.trajectory(latent, config.maps) if asked is None else np.array(asked)
    per_map = config.per_map or max(1, len(particles) // (2 * len(points) if asked is None else AT_POINTS))
    if per_map > len(particles):
        raise ValueError(
            f"Particles per map (--per-map) is {per_map}, but {config.particles} has only {len(particles)}. Give a "
            "smaller number."
        )
    folder = run.folder(*(f for f in (config.particles, config.domain) if f), continues=False)
    record, domain = _write_maps(config, particles, points, paths.near_points(latent, points, per_map), folder, run)
    write_json(folder / "volumes.json", dict(axes=axes, volumes=record, **(dict(domain=domain) if domain else {})))
    resolutions = [entry["resolution"] or 0.0 for entry in record]
    _tell(run, config, counted(len(record), "map"), len(particles), [r for r in resolutions if r], domain)
    return LatentVolumesOutputs(
        volumes=[run.at(entry["map"]) for entry in record],
        record=run.at("volumes.json"),
        coordinates=[entry["coordinates"] for entry in record],
        resolutions=resolutions,
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        particles=run.at("particles.star") if domain else None,
        domain=run.at("domain.mrc") if domain else None,
    )


def _tell(
    run: Run, config: LatentVolumesConfig, maps: str, count: int, resolved: list[float], domain: dict[str, typing.Any]
) -> None:
    run.summary(f"{maps} of {counted(count, 'particle')}, with half-maps: {config.output}")
    if resolved:
        run.summary(f"Resolutions (FSC 0.143): {span(resolved, '.1f')} Å.")
    run.methods(
        f"{maps} of the latent space were reconstructed with {PROGRAM} from nearby particles, with Gaussian "
        "weights in the latent coordinates."
    )
    if not domain:
        return
    run.methods("A moving domain and the rest were reconstructed in turn (Nakane et al. 2018).")
    before, after = (domain[f"resolution_{when}"] for when in ("before", "after"))
    words = [f"{value:.1f} Å" if value else "nothing" for value in (before, after)]
    run.summary(
        f"The domain is resolved to {words[1]} at its own orientations, and to {words[0]} at the original ones (FSC "
        "0.143 in its mask; the blurred map against the other half of the sharp one)."
    )
    if before and not (after and after <= WORSE * before):
        run.warn(
            f"The domain is resolved to {words[1]} at its own orientations, and to {words[0]} at the original "
            "ones: use the original particles. The domain may not move as a rigid body, or the mask may contain "
            "another part."
        )


def _write_maps(
    config: LatentVolumesConfig,
    particles: particle_sets.ParticleSet,
    points: np.ndarray,
    weights: np.ndarray,
    folder: Path,
    run: Run,
) -> tuple[list[dict[str, typing.Any]], dict[str, typing.Any]]:
    """Write maps and half-maps. Returns what volumes.json says of each, and of the domain, if there is one."""
    diameter_px = 0.9 * particles.box  # of the sphere within which half-maps are compared
    contrast, sure, said = (config.contrast, True, "") if config.contrast != "auto" else find_contrast(particles)
    run.warn(*say_if(not sure, said))
    halves, record, whole = split_halves(particles, run.seed), [], list[np.ndarray]()
    with run.progress(0, "particle", title="maps") as bar:
        poses = particles, coefficients.particle_views(particles), halves
        for number, (maps, curve) in enumerate(paths.weighted_maps(*poses, weights, diameter_px, contrast, bar.update)):
            name, weight = f"map_{number + 1:02d}.mrc", weights[:, number].astype(float)
            whole.extend(maps[:1] if config.domain else ())
            mrc.write_halves(folder / name, maps, particles.pixel_size)
            record.append(
                dict(
                    map=name,
                    coordinates=[float(v) for v in points[number]],
                    particles=float(weight.sum() ** 2 / (weight**2).sum()),
                    resolution=resolved(curve, diameter_px, particles.pixel_size, particles.box),
                    fsc=[round(float(v), 4) for v in curve],
                )
            )
    return record, (
        config.domain and focus.focus_on_domain(particles, whole, weights, halves, config.domain, contrast, folder)
    ) or {}


def _axes(words: str) -> list[int]:
    found = whole_numbers(words, "Axes (--axes)")
    if not found or min(found) < 1 or len(set(found)) < len(found):
        raise ValueError(f"Axes (--axes) is {words!r}; numbers of latent coordinates such as 1 or 1,2 are expected.")
    return found


def _points(words: str, count: int) -> list[list[float]]:
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
    return points
