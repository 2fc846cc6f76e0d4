# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assign-orientations`: particles and a structure in; the same particles with angles, shifts, score and margin
out.

Result.outputs are the contract's AssignOrientationsOutputs.
"""

from __future__ import annotations

import os
import shutil
import typing
from pathlib import Path

from ...contract import AssignOrientationsConfig, Result
from ...contract.particles.orienting import AssignOrientationsOutputs
from ...io.reference_columns import NOISE, SUBSTITUTED
from ...io.unfinished import star_stem, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import numpy as np
    import torch

    from ...io.particle_sets import ParticleSet
    from ...likelihood.observed import Source
    from ..orientations.assign import Orientations, Search

# columns of our own, beside RELION's
SCORE, MARGIN, EXPLAINED = "cryodlScore", "cryodlMargin", "cryodlExplained"
UNCLEAR = 0.5  # mean probability of the answers below which the user is warned


def run(config: AssignOrientationsConfig) -> Result:
    """Find the orientations, chunk by chunk; a stopped run continues. The STAR file is written last."""
    # the controls of an earlier run under this name are not replaced; denoised images get none
    star_stem(config.output, "Particles", *_beside(config))
    from ...core.devices import choose_device, device_name, set_threads
    from ...core.symmetry import operations
    from ..orientations.assign import Search
    from ..orientations.calibrate import RIGHT
    from ..orientations.hypotheses import hypotheses
    from ..orientations.structure import prepare_structure

    operations(config.symmetry)  # an unknown one is an error before the work
    particles = _particles(config)
    device = choose_device()
    set_threads()
    files = [config.particles, config.structure]
    structure = prepare_structure(config, particles, device)
    sources = hypotheses(particles, structure.settings.diameter, config.contrast)
    search = Search(sources[0], structure.projector, structure.pixel_size, structure.settings, device)
    print(
        f"Comparing {len(particles)} particles with {len(search.grid.directions)} directions x "
        f"{len(search.grid.psi)} in-plane angles, to {structure.settings.search_resolution():.1f} Å, on "
        f"{device_name(device)}."
    )
    warnings = list(structure.notes) + _prepare(search, sources, config, device)
    for warning in warnings:
        warn(warning)
    folder = working_folder(config, files)  # what is refused before leaves none behind
    found = _orient(search, folder)
    trust, doubts = _trust(search, found, config)
    noise, substituted = _controls(search, config, folder)
    _write(
        config.output,
        particles,
        found,
        dict(trust, **{k: [v] * len(particles) for k, v in _origin(search, config).items()}),
    )
    shutil.rmtree(folder)
    warnings += doubts
    for doubt in doubts:
        warn(doubt)
    probability = trust["rlnMaxValueProbDistribution"]
    print(
        f"Orientations: {config.output}, assigned with the reference {config.structure}. "
        f"{100 * probability.mean():.0f} % are expected to be correct (within {RIGHT:g}°)."
    )
    outputs = AssignOrientationsOutputs(
        particles=config.output,
        count=len(particles),
        mean_score=float(found.score.mean()),
        mean_probability=float(probability.mean()),
        reference=str(config.structure),
        noise_control=noise,
        substituted=substituted,
        directions=len(search.grid.directions),
        symmetry=config.symmetry,
        contrast=search.source.contrast,
        resolution=float(structure.settings.search_resolution()),
        pixel_size=particles.pixel_size,
    )
    return Result("assign-orientations", outputs, device=device_name(device), warnings=tuple(warnings))


def _particles(config: AssignOrientationsConfig) -> ParticleSet:
    """ParticleSet. Raw ones must have a CTF; denoised ones need none, but cannot be denoised again."""
    from ...io.particle_sets import read_particles
    from ..orientations.control import check_substitution

    if config.model:
        particles = read_particles(config.particles, need=("raw", "ctf"))
    else:
        particles = read_particles(config.particles)
        particles = particles if particles.denoiser else read_particles(config.particles, need=("ctf",))
    check_substitution(config, particles)
    return particles


def _prepare(
    search: Search, sources: typing.Sequence[Source], config: AssignOrientationsConfig, device: torch.device
) -> list[str]:
    """Settle how the images are read, and learn their strength and noise. Returns warnings."""
    from ..orientations.hypotheses import choose_hypothesis, with_denoiser
    from ..orientations.scale import size_notes

    said, warnings = choose_hypothesis(search, sources, config.particles)
    print(said)
    if config.model:
        search.source, notes = with_denoiser(search.source, config.model, device)
        warnings += notes
    if search.source.particles.denoiser:
        warnings.append(
            f"{config.particles} has denoised images, and so has the output. For a refinement with raw images, give "
            "the raw particles, and the denoiser as --model."
        )
    elif search.source.denoise is None:
        warnings += size_notes(search, config.particles, config.structure)
    search.learn()
    return warnings


def _orient(search: Search, folder: Path) -> Orientations:
    from tqdm import tqdm

    with tqdm(total=len(search.source.particles), unit="particle", mininterval=1.0) as bar:
        return search.run(lambda done: bar.update(done - bar.n), folder)


def _trust(
    search: Search, found: Orientations, config: AssignOrientationsConfig
) -> tuple[dict[str, typing.Any], list[str]]:
    """Columns that say how far the answers can be trusted, and sentences for the user."""
    from ..orientations.calibrate import calibrated
    from ..orientations.explained import explained

    if search.source.denoise is not None or search.source.ctf_state == "denoised":
        return {"rlnMaxValueProbDistribution": found.probability}, [
            "The images are denoised, so probabilities are not calibrated and too high, and it was not tested "
            "whether the structure explains the particles. Both need raw images."
        ]
    calibration, _ = calibrated(search)
    explanation = explained(search, found.evidence)
    probability = calibration.probability(found)
    doubts = explanation.warnings(config.particles, config.structure) + _doubts(probability, config)
    share = (
        f"The structure explains {100 * explanation.whole:.0f} % of the evidence that particles of this structure "
        "with as much signal would give"
        if explanation.can_be_told
        else "Whether the structure explains the particles cannot be told from particles made up with as much signal"
    )
    print(f"{share}; {100 * calibration.right:.0f} % of such particles were oriented correctly.")
    return {"rlnMaxValueProbDistribution": probability, EXPLAINED: explanation.particle}, doubts


def _origin(search: Search, config: AssignOrientationsConfig) -> dict[str, typing.Any]:
    """Columns that say which reference the angles come from, one value for all particles."""
    from ...contract import sha256
    from ...io.reference_columns import COMPARED, DIGEST, DIGITS, REFERENCE

    resolution = search.settings.fine_resolution() if config.refine else search.settings.search_resolution()
    return {
        REFERENCE: Path(config.structure).name.replace(" ", "_"),
        DIGEST: sha256(config.structure)[:DIGITS],
        COMPARED: round(float(resolution), 3),
    }


def _beside(config: AssignOrientationsConfig) -> list[str]:
    """Ends of the names of the controls that will be written beside the particles."""
    kinds = [] if config.model else [NOISE] + [SUBSTITUTED] * (config.noise_substitution is not None)
    return [f"{kind}{ending}" for kind in kinds for ending in (".star", ".mrcs")]


def _controls(search: Search, config: AssignOrientationsConfig, folder: Path) -> tuple[str | None, str | None]:
    """Paths of the oriented noise and of the particles with noise beyond some detail; None where there is none:
    denoised images have no noise to make up."""
    if search.source.denoise is not None or search.source.ctf_state == "denoised":
        return None, None
    from ..orientations.control import write_noise_control, write_substituted

    origin, beyond = _origin(search, config), config.noise_substitution
    noise = write_noise_control(search, config.output, origin)
    if beyond is None:
        return noise, None
    return noise, write_substituted(search, config.output, origin, beyond, folder / "substituted")


def _write(
    path: str | os.PathLike[str], particles: ParticleSet, found: Orientations, trust: typing.Mapping[str, typing.Any]
) -> None:
    from ...io.particle_sets import write_particles_star
    from ...io.particles import ANGLES

    origins = -found.shifts_yx * particles.pixel_size  # RELION: the shift that brings the particle to the box's centre
    changes = {
        **dict(zip(ANGLES, found.angles.T)),
        "rlnOriginXAngst": origins[:, 1],
        "rlnOriginYAngst": origins[:, 0],
        SCORE: found.score,
        MARGIN: found.margin,
        **trust,
    }
    write_particles_star(path, particles, changes)


def _doubts(probability: np.ndarray, config: AssignOrientationsConfig) -> list[str]:
    from ..orientations.calibrate import RIGHT

    mean = float(probability.mean())
    if mean >= UNCLEAR:
        return []
    hint = "" if config.symmetry.upper() != "C1" else " If the structure has a symmetry, give it (--symmetry)."
    return [
        f"Only {100 * mean:.0f} % of the orientations are expected to be correct (within {RIGHT:g}°): the others "
        "cannot be determined from single images at this signal-to-noise ratio. Keep particles with a large "
        f"{MARGIN} or rlnMaxValueProbDistribution.{hint}"
    ]
