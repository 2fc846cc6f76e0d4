# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-subtomograms`: structures in; subtomograms with missing wedge, CTF and noise, and their ground
truth out. Simulate into <output>.partial, a few at a time, then move the volumes to the output, the STAR file last."""

import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import SimulateSubtomogramsConfig, SimulateSubtomogramsOutputs, counted
from ...io import mrc
from ...io.files import expand_paths, rename_folder
from ...io.particles import ANGLES, optics_group
from ...io.star import write_tables
from ...io.structures import dark_notes, structure_names
from ...running.runner import PROGRAM, Run, command
from ...simulate import subtomograms, tilt_series

VOLUMES = "volumes"  # folder in the working folder
DEFOCI = ("U", "V", "Angle")  # ends of RELION's columns
HALVES_OF = 4  # after the purposes of simulate.subtomograms


@command
def simulate_subtomograms(config: SimulateSubtomogramsConfig, run: Run) -> SimulateSubtomogramsOutputs:
    if not config.output.endswith(".star"):
        raise ValueError(f"Output (--output) is {config.output}; it must end with .star.")
    device, tilts, paths = run.device, tilt_series.tilt_angles(config), expand_paths(config.structures)
    names, structures = structure_names(paths), [subtomograms.load_structure(path, config) for path in paths]
    run.warn(*(note for path in paths for note in dark_notes(path)))
    beside, moved = _volumes_of(config), Path(config.output + ".partial", "moved")
    taken = FileExistsError(f"{beside} exists already; it is not replaced. Choose another --output or remove it.")
    if beside.exists() and not moved.exists():
        raise taken
    folder = run.folder(*paths)  # it is emptied if any parameter has changed: those volumes are then others'
    if beside.exists() and not moved.exists():
        raise taken
    if beside.exists():  # stopped between the renaming and the STAR file
        rename_folder(beside, folder / VOLUMES)
    (folder / VOLUMES).mkdir(exist_ok=True)
    simulators = [
        subtomograms.SubtomogramSimulator(structure, config, tilts, number, device)
        for number, structure in enumerate(structures, 1)
    ]
    with run.progress(config.count * len(simulators), "volume") as progress:
        for number, simulator in enumerate(simulators, 1):
            for start in range(0, config.count, simulator.at_a_time):
                indices = range(start, min(start + simulator.at_a_time, config.count))
                files = [folder / VOLUMES / _file_name(number, index) for index in indices]
                if not all(file.exists() for file in files):
                    for file, volume in zip(files, simulator.volumes(indices).cpu()):
                        mrc.write_map(file, volume, config.pixel_size)
                progress.update(len(files))
    tables = _tables(config, names, [s.ground_truth(range(config.count)) for s in simulators], tilts)
    moved.touch()
    rename_folder(folder / VOLUMES, beside)
    write_tables(config.output, tables)
    shutil.rmtree(folder)
    total = config.count * len(names)
    run.summary(
        f"{counted(total, 'subtomogram')} of {config.box} px, at {config.pixel_size:g} Å/px, SNR {config.snr:g}: "
        f"{config.output}",
        "Classes: " + ", ".join(f"{number} {name}" for number, name in enumerate(names, 1)) + ".",
        "Classes, transforms and half sets are exact.",
    )
    run.methods(
        f"{counted(total, 'subtomogram')} of {', '.join(names)} were simulated with {PROGRAM} at "
        f"{config.pixel_size:g} Å/px, with tilts from {config.tilt_min:g} to {config.tilt_max:g}° in steps of "
        f"{config.tilt_step:g}° and a signal-to-noise ratio of {config.snr:g}."
    )
    return SimulateSubtomogramsOutputs(
        subtomograms=config.output, count=total, box=config.box, pixel_size=config.pixel_size, classes=names
    )


def _volumes_of(config: SimulateSubtomogramsConfig) -> Path:
    return Path(config.output[: -len(".star")])


def _file_name(number: int, index: int) -> str:
    return f"{number:03d}_{index + 1:06d}.mrc"


def _tables(
    config: SimulateSubtomogramsConfig,
    names: typing.Sequence[str],
    ground_truths: typing.Sequence[subtomograms.GroundTruth],
    tilts: typing.Sequence[float],
) -> dict[str, typing.Any]:
    optics = [o for ground_truth in ground_truths for o in ground_truth.optics or ()]
    total, rng = len(names) * config.count, np.random.default_rng((config.seed, 0, HALVES_OF, 0))
    index, number = np.tile(np.arange(config.count), len(names)), np.repeat(np.arange(1, len(names) + 1), config.count)
    angles, shifts = (np.concatenate([getattr(t, field) for t in ground_truths]) for field in ("angles", "shifts_zyx"))
    # a made-up position in a tomogram: beside each other along x, one row per structure
    positions = (np.stack([index % subtomograms.PER_TOMOGRAM, number - 1, np.zeros(total, int)]) + 0.5) * config.box
    tomograms = [f"simulated_{i // subtomograms.PER_TOMOGRAM + 1:04d}" for i in index]
    particles = {
        "rlnImageName": [
            os.path.join(_volumes_of(config).name, _file_name(int(n), int(i))) for n, i in zip(number, index)
        ],
        "rlnMicrographName": tomograms,
        "rlnTomoName": tomograms,
        **{f"rlnCoordinate{axis}": position for axis, position in zip("XYZ", positions)},
        **dict(zip(ANGLES, angles.T)),
        # RELION's origin is the shift that brings the particle to the box's centre
        **{
            f"rlnOrigin{axis}Angst": -shifts[:, position] * config.pixel_size
            for axis, position in zip("XYZ", (2, 1, 0))
        },
        "rlnClassNumber": number,
        "rlnRandomSubset": rng.integers(1, 3, (config.count, len(names))).T.ravel(),
        **{f"rlnDefocus{end}": [getattr(o, f"defocus_{end.lower()}") for o in optics] for end in DEFOCI if optics},
        "cryodlTiltMin": np.full(total, float(tilts[0])),
        "cryodlTiltMax": np.full(total, float(tilts[-1])),
        "cryodlStructure": [names[int(n) - 1] for n in number],
        "rlnOpticsGroup": np.ones(total, int),
    }
    group = optics_group(subtomograms.optics_of(config, 0), config.pixel_size, config.box, 3)
    return {"optics": {name: [value] for name, value in group.items()}, "particles": particles}
