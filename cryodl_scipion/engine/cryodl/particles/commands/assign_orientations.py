# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assign-orientations`: particles and a structure in; the same particles with angles, shifts, score and margin
out.

Result.outputs: particles (STAR file), count, mean_score, mean_probability, directions (their number), symmetry,
contrast, resolution (Å, finest detail of the search).
"""

import shutil
from pathlib import Path

from ...contract import Result
from ...io.unfinished import check_output, working_folder
from ...io.warn import warn

# columns of our own, beside RELION's
SCORE, MARGIN = "cryodlScore", "cryodlMargin"
UNCLEAR = 0.5  # mean probability of the answers below which the user is warned


def run(config):
    """Find the orientations, chunk by chunk; a stopped run continues. The STAR file is written last."""
    if not config.output.endswith(".star"):
        raise ValueError(f"Output (--output) is {config.output}; it must end with .star.")
    check_output(config.output, "Particles")
    from ...core.devices import choose_device, device_name, set_threads
    from ...core.symmetry import operations
    from ..orientations.assign import Search
    from ..orientations.readings import readings
    from ..orientations.structure import load_structure

    operations(config.symmetry)  # an unknown one is an error before the work
    particles = _particles(config)
    device = choose_device(config.device)
    set_threads(config.threads)
    Path(config.output).parent.mkdir(parents=True, exist_ok=True)
    files = [config.particles, config.structure]
    structure = load_structure(config, particles, device)
    folder = working_folder(config, files)
    sources = readings(particles, structure.settings.diameter, config.contrast)
    search = Search(sources[0], structure.projector, structure.pixel_size, structure.settings, device)
    print(
        f"Comparing {len(particles)} particles with {len(search.grid.directions)} directions x "
        f"{len(search.grid.psi)} angles in the "
        f"plane, to {structure.settings.search_resolution():.1f} Å, on {device_name(device)}."
    )
    warnings = list(structure.notes) + _prepare(search, sources, config, device)
    for warning in warnings:
        warn(warning)
    found = _orient(search, folder)
    _write(config.output, particles, found)
    shutil.rmtree(folder)
    warnings += _doubts(found, config)
    print(f"Orientations: {config.output} (mean probability of the answers {found.probability.mean():.2f})")
    outputs = dict(
        particles=config.output,
        count=len(particles),
        mean_score=float(found.score.mean()),
        mean_probability=float(found.probability.mean()),
        directions=len(search.grid.directions),
        symmetry=config.symmetry,
        contrast=search.source.contrast,
        resolution=float(structure.settings.search_resolution()),
    )
    return Result("assign-orientations", outputs, device=device_name(device), warnings=tuple(warnings))


def _particles(config):
    """ParticleSet. Raw ones must have a CTF; denoised ones need none, but cannot be denoised again."""
    from ...io.particle_sets import read_particles

    if config.model:
        return read_particles(config.particles, need=("raw", "ctf"))
    particles = read_particles(config.particles)
    return particles if particles.denoiser else read_particles(config.particles, need=("ctf",))


def _prepare(search, sources, config, device):
    """Settle how the images are read, and learn their strength and noise. Returns warnings."""
    from ..orientations.readings import choose_reading, with_denoiser

    said, warnings = choose_reading(search, sources, config.particles)
    print(said)
    if config.model:
        search.source, notes = with_denoiser(search.source, config.model, device)
        warnings += notes
    if search.source.particles.denoiser:
        warnings.append(
            f"{config.particles} holds denoised images, and so does the STAR file written. Refine with "
            "the raw ones: give them here, with the denoiser as --model."
        )
    search.learn()
    return warnings


def _orient(search, folder):
    from tqdm import tqdm

    with tqdm(total=len(search.source.particles), unit="particle", mininterval=1.0) as bar:
        return search.run(lambda done: bar.update(done - bar.n), folder)


def _write(path, particles, found):
    from ...io.particle_sets import write_particles_star
    from ...io.particles import ANGLES

    origins = -found.shifts_yx * particles.pixel_size  # RELION: the shift that brings the particle to the box's centre
    changes = {
        **dict(zip(ANGLES, found.angles.T)),
        "rlnOriginXAngst": origins[:, 1],
        "rlnOriginYAngst": origins[:, 0],
        "rlnMaxValueProbDistribution": found.probability,
        SCORE: found.score,
        MARGIN: found.margin,
    }
    write_particles_star(path, particles, changes)


def _doubts(found, config):
    mean = float(found.probability.mean())
    if mean >= UNCLEAR:
        return []
    hint = "" if config.symmetry.upper() != "C1" else " If the structure has a symmetry, give it (--symmetry)."
    return [
        f"On average only {100 * mean:.0f} % of the probability lies at the answers: many orientations will be "
        f"wrong. Keep particles with a large {MARGIN} or rlnMaxValueProbDistribution.{hint}"
    ]
