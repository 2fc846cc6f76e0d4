#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolution of the maps of each picker's particles, beside that of the true positions.

    PYTHON benchmarks/picked_maps.py --output FILE --work FOLDER [--structures 8BK7 ...] [--pickers general ...]

PYTHON is the engine's (`cryodl doctor` names it); data are found by CRYODL_DATA. For each structure, from none of which
the general model learned: 50 simulated micrographs of 1024 x 1024 px with 110 particles each, SNR 0.1 within the
particle's diameter, with ice, aggregates, carbon edges and gradients. The general model is given nothing, blobs the
diameter. Positions at random are the control: as many as there are particles. `cryodl compare-maps-of-picks` orients
the particles by the structure with 10 degrees between directions and makes the maps; what is made in FOLDER is not made
again.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from common import cryodl, data_folder, evaluate
from parts import engine_path

SIDE, COUNT, PARTICLES, BOX, STEP = 1024, 50, 110, 64, 10
STRUCTURES = {  # file, symmetry and pixel size (Å); none of them taught the general model
    "8BK7": ("complexes/8BK7.cif.gz", "D2", 4.0),
    "2YKR_30S": ("complexes/2YKR_30S.pdb.gz", "C1", 5.0),
}
PICKERS = ("general", "blobs", "random")
KEYS = ("picks", "particles", "resolution", "loss", "structure_resolution")


def simulated(name, work):
    """The case of a structure: micrographs, reference, pixel size, box and CTF."""
    from cryodl.contract import Result

    file, symmetry, pixel_size = STRUCTURES[name]
    folder, structure = work / "simulated", data_folder() / "structures" / file
    if not folder.exists():
        options = f"--count {COUNT} --size {SIDE} --particles {PARTICLES} --pixel-size {pixel_size} --snr 0.1 --ice 3"
        options += " --minimum-distance 0.9 --aggregates 1 --carbon 0.2 --gradient 1 --threads 1"
        record = ("--result", work / "simulated.json")
        cryodl("simulate-micrographs", "--structure", structure, "--output", folder, *options.split(), *record)
        write_ctf(folder)
    return dict(
        micrographs=sorted((folder / "micrographs").glob("*.mrc")),
        reference=folder / "coordinates",
        pixel_size=pixel_size,
        diameter=Result.read(str(work / "simulated.json")).outputs.particle_diameter,
        border=BOX / 2,
        structure=structure,
        maps=("--box", BOX, "--symmetry", symmetry, "--ctf", folder / "ctf.star"),
    )


def write_ctf(folder):
    """ctf.star of simulated micrographs, from the lists of their particles."""
    from cryodl.io.star import read_tables, write_tables

    defocus = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    columns = {name: [] for name in ("rlnMicrographName", "rlnOpticsGroup", *defocus)}
    for file in sorted((folder / "coordinates").glob("*.star")):
        table = next(iter(read_tables(file).values()))
        for key, value in zip(columns, (f"{file.stem}.mrc", 1, *(table[name][0] for name in defocus))):
            columns[key].append(value)
    microscope = dict(rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    optics = dict(rlnOpticsGroupName=["simulated"], rlnOpticsGroup=[1], **microscope)
    write_tables(folder / "ctf.star", dict(optics=optics, micrographs=columns))


def picked(case, work, pickers):
    """{picker: folder of its picks}."""
    given = ("--micrographs", *case["micrographs"], "--pixel-size", case["pixel_size"], "--threads", 1, "--pictures", 0)
    sets = {name: work / name for name in pickers}
    todo = [name for name, folder in sets.items() if not folder.exists()]
    if "general" in todo:
        cryodl("pick", *given, "--model", "general", "--output", sets["general"], "--avoid", "nothing")
    if "blobs" in todo:
        cryodl("pick-templates", *given, "--particle-diameter", case["diameter"], "--output", sets["blobs"])
    if "random" in todo:
        write_random(sets["random"], case)
    return sets


def write_random(folder, case):
    """As many positions on each micrograph as the reference has, anywhere."""
    from cryodl.io.coordinates import align_keys, read_coordinates, write_coordinates
    from cryodl.io.micrographs import micrograph_shape

    rng, paths = np.random.default_rng(7), {Path(path).stem: path for path in case["micrographs"]}
    folder.mkdir()
    for name, (yx, _) in align_keys(read_coordinates(case["reference"]), list(paths)).items():
        positions = rng.uniform(0, micrograph_shape(paths[name]), yx.shape)
        write_coordinates(folder / f"{name}.star", positions, np.zeros(len(yx)))


def measure(name, work, pickers):
    """The rows of a structure, one for each set, and what they have in common."""
    work.mkdir(parents=True, exist_ok=True)
    case = simulated(name, work)
    sets, record = picked(case, work, pickers), work / "maps.json"
    if not record.exists():
        given = ("--micrographs", *case["micrographs"], "--pixel-size", case["pixel_size"], "--structure")
        options = ("--reference", case["reference"], "--angular-step", STEP, "--threads", 1, "--result", record)
        sources = [f"{picker}={folder}" for picker, folder in sets.items()]
        cpu = cryodl(
            "compare-maps-of-picks",
            *("--picks", *sources, *given, case["structure"], *options, *case["maps"], "--output", work / "maps"),
        )[1]
        print(f"{name}: {cpu:.0f} CPU s", flush=True)
    made = json.loads(record.read_text())["outputs"]
    rows = []
    for one in made["sets"]:
        values = {key: made[key][one] for key in KEYS}
        if one in sets:
            files = (case["pixel_size"], case["diameter"], case["border"], case["micrographs"])
            figures = evaluate(sets[one], case["reference"], *files)
            values.update(precision=round(figures["precision"], 3), recall=round(figures["recall"], 3))
        rows.append(dict(data=name, set=one, **values, fsc=made["fsc"][one]))
        print({key: value for key, value in rows[-1].items() if key != "fsc"}, flush=True)
    return dict(rows=rows, search_resolution=made["search_resolution"], notes=made["notes"], box=made["box"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for micrographs, picks and maps")
    parser.add_argument("--structures", nargs="*", default=list(STRUCTURES))
    parser.add_argument("--pickers", nargs="*", default=PICKERS, choices=PICKERS)
    options = parser.parse_args()
    engine_path()
    found = json.loads(options.output.read_text()) if options.output.exists() else dict(cases={})
    for name in options.structures:
        if name not in found["cases"]:
            command = f"PYTHON benchmarks/picked_maps.py --structures {name} --pickers {' '.join(options.pickers)}"
            case = measure(name, options.work / name, options.pickers)
            found["cases"][name] = dict(command=f"{command} --output FILE --work FOLDER", **case)
            options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
