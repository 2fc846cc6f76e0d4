# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-particles`: a structure in; particles with true angles, shifts and CTF, and clean projections out.
Simulate chunk by chunk, then move the files to the output, the STAR file last."""

import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import SimulateParticlesConfig, SimulateParticlesOutputs, counted, say_if
from ...core.optics import optics_values
from ...core.projections import random_angles
from ...io import mrc, particle_sets, progress, relion_tables, stacks, unfinished
from ...io.particles import CTF, PARTICLE_CTF, optics_group, write_stack
from ...io.star import write_tables
from ...running.runner import PROGRAM, Run, command
from ...simulate.particle_images import draw_optics, particle_images
from ...simulate.states import Ensemble, States, load_states, signal_scale, state_columns, write_states

CHUNK = 256  # particles that are made, and written, at a time
MEASURED = 256  # particles, or a few more, that the strength of the signal is measured on
OPTICS_OF, VIEWS_OF, NOISE_OF, STATES_OF = range(1, 5)  # each has random numbers of its own


@command
def simulate_particles(config: SimulateParticlesConfig, run: Run) -> SimulateParticlesOutputs:
    stem = unfinished.star_stem(config.output, "Particles", ".mrcs", "_clean.mrcs", "_map.mrc")
    files, states = [f"{stem}.mrcs", f"{stem}_clean.mrcs", f"{stem}_map.mrc"], load_states(config)
    run.warn(*states.notes)
    orientations = relion_tables.read_orientations(config.orientations) if config.orientations else None
    others = [path for path in (config.orientations, config.ctf_from) if path]
    folder = run.folder(config.structure, *config.structures, *others)
    made = _finish(run, folder, files, states, _make_chunks(run, folder, states, orientations), orientations)
    strength = f"a signal-to-noise ratio of {config.snr:g}"
    run.summary(
        f"{counted(config.count, 'particle')} of {config.box} px and {states.diameter:.0f} Å, at {config.pixel_size:g} "
        f"Å/px and {strength}: {config.output}",
        *_differing(config),
        "Angles, shifts, CTF and noise-free images are exact.",
    )
    run.methods(
        f"{PROGRAM} simulated {counted(config.count, 'particle')} of {Path(config.structure).name} at "
        f"{config.pixel_size:g} Å/px and {config.voltage:g} kV, with defoci from {config.minimum_defocus:.0f} to "
        f"{config.maximum_defocus:.0f} Å and {strength}.",
        *_differing(config),
    )
    return SimulateParticlesOutputs(
        stack=files[0],
        clean=files[1],
        map=files[2],
        particles=config.output,
        count=config.count,
        box=config.box,
        pixel_size=config.pixel_size,
        particle_diameter=states.diameter,
        states=made,
    )


def _differing(config: SimulateParticlesConfig) -> list[str]:
    hinge, lost = config.domain, config.missing_chains
    return say_if(
        hinge, f"The domain {hinge} rotates by {config.hinge_range:g}° in {config.hinge_states} states."
    ) + say_if(lost, f"Some particles lack parts: {lost}.")


def _make_chunks(
    run: Run[SimulateParticlesConfig], folder: Path, states: States, orientations: np.ndarray | None
) -> float:
    """Noisy and clean stacks of all chunks that are not there yet. Returns the density's factor for the SNR."""
    config, ensemble = run.config, Ensemble(states, run.device)
    sample = _sample(run, states, orientations)
    scale = signal_scale(
        ensemble.of(sample["states"]),
        sample["angles"],
        sample["optics"],
        config.pixel_size,
        config.snr,
        states.diameter / config.pixel_size if config.snr_area == "particle" else None,
    )
    for start in progress.ProgressBar(range(0, config.count, CHUNK), unit="chunk", mininterval=1.0):
        noisy, clean = _stacks_of(folder, start)
        if clean.exists():
            continue
        ground_truth = _ground_truth(run, start, states, orientations)
        views = scale * ensemble.of(ground_truth["states"]).project(ground_truth["angles"], ground_truth["shifts_yx"])
        rng = np.random.default_rng((run.seed, NOISE_OF, start))
        images = particle_images(views, ground_truth["optics"], config.pixel_size, rng)
        write_stack(noisy, (images if config.contrast == "bright" else -images).cpu(), config.pixel_size)
        write_stack(clean, views.cpu(), config.pixel_size)  # second: it says that the chunk is whole
    return scale


def _sample(
    run: Run[SimulateParticlesConfig], states: States, orientations: np.ndarray | None
) -> dict[str, typing.Any]:
    """What is known of some of the particles, from all over the set, so that all defoci are among them."""
    starts = range(0, run.config.count, CHUNK)
    rows = [
        _ground_truth(run, start, states, orientations) for start in starts[:: max(1, len(starts) // (MEASURED // 16))]
    ]
    step = max(1, sum(len(row["optics"]) for row in rows) // MEASURED)
    return dict(
        angles=np.concatenate([row["angles"] for row in rows])[::step],
        states=np.concatenate([row["states"] for row in rows])[::step],
        optics=[o for row in rows for o in row["optics"]][::step],
    )


def _stacks_of(folder: Path, start: int) -> tuple[Path, Path]:
    return folder / f"{start:09d}.mrcs", folder / f"{start:09d}_clean.mrcs"


def _ground_truth(
    run: Run[SimulateParticlesConfig], start: int, states: States, orientations: np.ndarray | None
) -> dict[str, typing.Any]:
    """All that is known of a chunk's particles, the same at each call, whatever their number."""
    config = run.config
    rng, count = np.random.default_rng((run.seed, VIEWS_OF, start)), min(CHUNK, config.count - start)
    angles = (
        random_angles(CHUNK, rng) if orientations is None else orientations[rng.integers(len(orientations), size=CHUNK)]
    )
    reach = config.max_shift / config.pixel_size
    shifts, halves = rng.uniform(-reach, reach, (CHUNK, 2)), rng.integers(1, 3, CHUNK)
    micrographs = (start + np.arange(count)) // config.per_micrograph
    optics = {
        m: draw_optics(config, np.random.default_rng((run.seed, OPTICS_OF, m))) for m in set(micrographs.tolist())
    }
    return dict(
        states=states.draw(CHUNK, np.random.default_rng((run.seed, STATES_OF, start)))[:count],
        angles=angles[:count],
        shifts_yx=shifts[:count],
        halves=halves[:count],
        micrographs=micrographs,
        optics=[optics[m] for m in micrographs.tolist()],
    )


def _finish(
    run: Run[SimulateParticlesConfig],
    folder: Path,
    files: typing.Sequence[str],
    states: States,
    scale: float,
    orientations: np.ndarray | None,
) -> list[str]:
    """Write the files of all particles, and remove the working folder. Returns the list of true maps."""
    config = run.config
    starts = range(0, config.count, CHUNK)
    for number, path in enumerate(files[:2]):
        with particle_sets.StackWriter(path, config.count, config.box, config.pixel_size) as stack:
            for start in starts:
                count = min(CHUNK, config.count - start)
                stack.add(stacks.read_images([str(_stacks_of(folder, start)[number])] * count, np.arange(count)))
    mrc.write_map(files[2], scale * states.mean(), config.pixel_size)
    made = write_states(config, states, scale)
    rows = [_ground_truth(run, start, states, orientations) for start in starts]
    write_tables(config.output, _tables(config, os.path.basename(files[0]), rows, states))
    shutil.rmtree(folder)
    return made


def _tables(
    config: SimulateParticlesConfig, stack: str, rows: typing.Sequence[dict[str, typing.Any]], states: States
) -> dict[str, typing.Any]:
    """Optics and particle table of the STAR file. stack: its path relative to the file. rows: of _ground_truth."""
    together = lambda name: np.concatenate([np.asarray(row[name]) for row in rows])
    optics = [o for row in rows for o in row["optics"]]
    particles = {
        "rlnImageName": [f"{number:06d}@{stack}" for number in range(1, config.count + 1)],
        "rlnMicrographName": [f"simulated_{m + 1:06d}.mrc" for m in together("micrographs")],
        **particle_sets.pose_columns(together("angles"), together("shifts_yx"), config.pixel_size),
        **dict(zip((*CTF, *PARTICLE_CTF), optics_values(optics)[:, [0, 1, 2, 6, 7, 8]].T)),
        "rlnRandomSubset": together("halves"),
        "rlnOpticsGroup": np.ones(config.count, int),
        **state_columns(states, together("states")),
    }
    group = optics_group(optics[0], config.pixel_size, config.box)
    return {"optics": {name: [value] for name, value in group.items()}, "particles": particles}
