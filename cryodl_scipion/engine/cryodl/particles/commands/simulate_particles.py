# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-particles`: a structure in; particles with true angles, shifts and CTF, and clean projections out.

Result.outputs are the contract's SimulateParticlesOutputs.
"""

from __future__ import annotations

import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import Result, SimulateParticlesConfig, counted
from ...contract.particles.simulating import SimulateParticlesOutputs
from ...io.unfinished import RECORD, check_output, working_folder

if typing.TYPE_CHECKING:
    import torch

    from ...simulate.states import States

CHUNK = 256  # particles that are made, and written, at a time
MEASURED = 256  # particles, or a few more, that the strength of the signal is measured on
OPTICS_OF, VIEWS_OF, NOISE_OF, STATES_OF = range(1, 5)  # each has random numbers of its own


def run(config: SimulateParticlesConfig) -> Result:
    """Simulate into <output>.partial, chunk by chunk, then move the files to the output, the STAR file last."""
    if not config.output.endswith(".star"):
        raise ValueError(f"Output (--output) is {config.output}; it must end with .star.")
    check_output(config.output, "Particles")
    from ...core.devices import choose_device, device_name, set_threads
    from ...io.particles import read_orientations
    from ...simulate.states import load_states

    device = choose_device()
    set_threads()
    states = load_states(config)
    orientations = read_orientations(config.orientations) if config.orientations else None
    Path(config.output).parent.mkdir(parents=True, exist_ok=True)
    folder = _working_folder(config)
    scale = _make_chunks(config, folder, states, device, orientations)
    made = _finish(config, folder, states, scale, orientations)
    print(f"{counted(config.count, 'particle')} of {states.diameter:.0f} Å: {config.output}")
    outputs = SimulateParticlesOutputs(
        **files_of(config.output),
        particles=config.output,
        count=config.count,
        box=config.box,
        pixel_size=config.pixel_size,
        particle_diameter=states.diameter,
        states=made,
    )
    return Result("simulate-particles", outputs, device=device_name(device), warnings=states.notes)


def files_of(output: str) -> dict[str, str]:
    """What is written beside the STAR file: {name of the output: path}."""
    stem = output[: -len(".star")]
    return {"stack": f"{stem}.mrcs", "clean": f"{stem}_clean.mrcs", "map": f"{stem}_map.mrc"}


def _working_folder(config: SimulateParticlesConfig) -> Path:
    """<output>.partial; files beside the output that are not of this unfinished run are an error."""
    begun = (Path(config.output + ".partial") / RECORD).exists()
    there = [path for path in files_of(config.output).values() if os.path.exists(path)]
    if there and not begun:
        raise FileExistsError(f"{there[0]} exists already; it is not replaced. Choose another --output or remove it.")
    others = [path for path in (config.orientations, config.ctf_from) if path]
    return working_folder(config, [config.structure, *config.structures, *others])


def _make_chunks(
    config: SimulateParticlesConfig, folder: Path, states: States, device: torch.device, orientations: np.ndarray | None
) -> float:
    """Noisy and clean stacks of all chunks that are not there yet. Returns the density's factor for the SNR."""
    from tqdm import tqdm

    from ...io.particles import write_stack
    from ...simulate.particle_images import particle_images, signal_scale
    from ...simulate.states import Ensemble

    ensemble = Ensemble(states, device)
    sample = _sample(config, states, orientations)
    scale = signal_scale(
        ensemble.of(sample["states"]),
        sample["angles"],
        sample["optics"],
        config.pixel_size,
        config.snr,
        states.diameter / config.pixel_size if config.snr_area == "particle" else None,
    )
    for start in tqdm(range(0, config.count, CHUNK), unit="chunk", mininterval=1.0):
        noisy, clean = _stacks_of(folder, start)
        if clean.exists():
            continue
        ground_truth = _ground_truth(config, start, states, orientations)
        views = scale * ensemble.of(ground_truth["states"]).project(ground_truth["angles"], ground_truth["shifts_yx"])
        rng = np.random.default_rng((config.seed, NOISE_OF, start))
        images = particle_images(views, ground_truth["optics"], config.pixel_size, rng)
        write_stack(noisy, (images if config.contrast == "bright" else -images).cpu(), config.pixel_size)
        write_stack(clean, views.cpu(), config.pixel_size)  # second: it says that the chunk is whole
    return scale


def _sample(config: SimulateParticlesConfig, states: States, orientations: np.ndarray | None) -> dict[str, typing.Any]:
    """What is known of some of the particles, from all over the set, so that all defoci are among them."""
    starts = range(0, config.count, CHUNK)
    rows = [
        _ground_truth(config, start, states, orientations)
        for start in starts[:: max(1, len(starts) // (MEASURED // 16))]
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
    config: SimulateParticlesConfig, start: int, states: States, orientations: np.ndarray | None
) -> dict[str, typing.Any]:
    """All that is known of a chunk's particles, the same at each call, whatever their number."""
    from ...core.projections import random_angles
    from ...simulate.drawn_optics import draw_optics

    rng = np.random.default_rng((config.seed, VIEWS_OF, start))
    count = min(CHUNK, config.count - start)
    angles = (
        random_angles(CHUNK, rng) if orientations is None else orientations[rng.integers(len(orientations), size=CHUNK)]
    )
    reach = config.max_shift / config.pixel_size
    shifts, halves = rng.uniform(-reach, reach, (CHUNK, 2)), rng.integers(1, 3, CHUNK)
    micrographs = (start + np.arange(count)) // config.per_micrograph
    optics = {
        m: draw_optics(config, np.random.default_rng((config.seed, OPTICS_OF, m))) for m in set(micrographs.tolist())
    }
    numbers = states.draw(CHUNK, np.random.default_rng((config.seed, STATES_OF, start)))
    return dict(
        states=numbers[:count],
        angles=angles[:count],
        shifts_yx=shifts[:count],
        halves=halves[:count],
        micrographs=micrographs,
        optics=[optics[m] for m in micrographs.tolist()],
    )


def _finish(
    config: SimulateParticlesConfig, folder: Path, states: States, scale: float, orientations: np.ndarray | None
) -> list[str]:
    """Write the files of all particles, and remove the working folder. Returns the list of true maps."""
    from ...io.maps import write_map
    from ...io.particle_sets import StackWriter
    from ...io.stacks import read_images
    from ...io.star import write_tables
    from ...simulate.state_files import write_states

    paths, starts = files_of(config.output), range(0, config.count, CHUNK)
    for number, name in enumerate(("stack", "clean")):
        with StackWriter(paths[name], config.count, config.box, config.pixel_size) as stack:
            for start in starts:
                part = str(_stacks_of(folder, start)[number])
                count = min(CHUNK, config.count - start)
                stack.add(read_images([part] * count, np.arange(count)))
    write_map(paths["map"], scale * states.mean(), config.pixel_size)
    made = write_states(config, states, scale)
    rows = [_ground_truth(config, start, states, orientations) for start in starts]
    write_tables(config.output, _tables(config, os.path.basename(paths["stack"]), rows, states))
    shutil.rmtree(folder)
    return made


def _tables(
    config: SimulateParticlesConfig, stack: str, rows: typing.Sequence[dict[str, typing.Any]], states: States
) -> dict[str, typing.Any]:
    """Optics and particle table of the STAR file. stack: its path relative to the file. rows: of _truth."""
    from ...io.particles import ANGLES, CTF, OPTICS
    from ...simulate.state_files import state_columns

    together = lambda name: np.concatenate([np.asarray(row[name]) for row in rows])
    optics, shifts = [o for row in rows for o in row["optics"]], together("shifts_yx")
    group = (
        "opticsGroup1",
        1,
        optics[0].voltage_kv,
        optics[0].cs_mm,
        optics[0].amplitude_contrast,
        config.pixel_size,
        config.pixel_size,
        config.box,
        2,
    )
    particles = {
        "rlnImageName": [f"{number:06d}@{stack}" for number in range(1, config.count + 1)],
        "rlnMicrographName": [f"simulated_{m + 1:06d}.mrc" for m in together("micrographs")],
        **dict(zip(ANGLES, together("angles").T)),
        # RELION's origin is the shift that brings the particle to the box's centre
        "rlnOriginXAngst": -shifts[:, 1] * config.pixel_size,
        "rlnOriginYAngst": -shifts[:, 0] * config.pixel_size,
        **dict(zip(CTF, zip(*((o.defocus_u, o.defocus_v, o.defocus_angle) for o in optics)))),
        "rlnRandomSubset": together("halves"),
        "rlnOpticsGroup": np.ones(config.count, int),
        **state_columns(states, together("states")),
    }
    return {"optics": {name: [value] for name, value in zip(OPTICS, group)}, "particles": particles}
