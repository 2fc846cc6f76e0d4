# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles found in a simulated copy of the CZII contest: six species, seven tomograms of 10 Å voxels.

A detector learns from tomograms of some settings of the simulator (tilts, SNR, defocus, dose) and is judged on
tomograms of another. The score is the contest's: F-beta with beta 4 of each species, all tomograms together, a match
within half the radius; the mean weighs the species as the contest does. Two species are searched for with templates,
too. What is there in the output folder is not made again: `python benchmarks/tomogram_detection.py --output FOLDER`.
"""

import argparse
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, data_folder

PIXEL_SIZE, BETA = 10.0, 4.0
# file of the structure, radius (Å) and weight of the species of the contest that it stands for, copies in a training
# and in a test tomogram
SPECIES = {
    "rubisco": ("complexes/1BXN.pdb.gz", 60.0, 1, 20, 12),  # apo-ferritin
    "cand1": ("complexes/1U6G.pdb.gz", 65.0, 0, 16, 8),  # beta-amylase
    "betagal": ("complexes/8BK7.cif.gz", 90.0, 2, 16, 8),  # beta-galactosidase
    "ribosome": ("maps/SIM_4V4R_70S_10A.mrc.gz", 150.0, 1, 14, 8),  # ribosome
    "mtorc1": ("complexes/5H64.pdb.gz", 130.0, 2, 14, 8),  # thyroglobulin
    "capsid": ("small/1BMV.cif.gz", 135.0, 1, 7, 5),  # virus-like particle
}
TRAINING = {
    "train_a": dict(snr=0.06, tilt=66, tilt_step=2, defocus=25000, dose=130, filaments=3, seed=11),
    "train_b": dict(snr=0.2, tilt=51, tilt_step=3, defocus=55000, dose=70, filaments=0, seed=12),
    "train_c": dict(snr=0.4, tilt=54, tilt_step=2, defocus=35000, dose=160, filaments=6, seed=13),
    "train_d": dict(snr=0.1, tilt=57, tilt_step=4, defocus=48000, dose=100, filaments=2, seed=14),
}
TRAINING_CELL = dict(size=320, thickness=128, count=2, vesicles=2, membranes=1, defocus_spread=8000)
TEST = dict(snr=0.1, tilt=60, tilt_step=3, defocus=40000, dose=100, filaments=2, seed=1)
TEST_CELL = dict(size=256, thickness=128, count=7, vesicles=1, membranes=0, defocus_spread=5000)
TEMPLATES = ("ribosome", "mtorc1")  # searched for in the first tomograms


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--steps", default=2500, type=int, help="of the training (default 2500)")
    parser.add_argument("--templates", default=1, type=int, help="tomograms searched with templates (default 1)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    structures = {name: structure(options.output, name) for name in SPECIES}
    figures = dict(
        command="python benchmarks/tomogram_detection.py --output FOLDER",
        training=TRAINING,
        test=dict(TEST, **TEST_CELL),
        detector=detector(options, structures),
    )
    for name in TEMPLATES if options.templates else ():
        figures.setdefault("templates", {})[name] = template(options, structures, name)
    path = ROOT / "benchmarks" / "figures" / "tomogram_detection.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


def structure(output, name):
    """Path of a structure under its species' name; maps are unpacked."""
    source = data_folder() / "structures" / SPECIES[name][0]
    folder = output / "structures"
    folder.mkdir(exist_ok=True)
    packed_map = source.name.endswith(".mrc.gz")
    path = folder / (name + (".mrc" if packed_map else "".join(source.suffixes[-2:])))
    if not path.exists():
        with (gzip.open if packed_map else open)(source, "rb") as packed, open(path, "wb") as file:
            shutil.copyfileobj(packed, file)
    return path


def cells(output, structures, name, cell, values, position):
    """Folder of simulated tomograms, made if it is not there. position: of the copies in SPECIES."""
    folder = output / "cells" / name
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        values = dict(cell, **values)
        tilt = values.pop("tilt")
        given = dict(values, tilt_min=-tilt, tilt_max=tilt, microtubules=0, fiducials=0, pixel_size=PIXEL_SIZE)
        words = [w for key, value in given.items() for w in ("--" + key.replace("_", "-"), value)]
        copies = [SPECIES[species][position] for species in SPECIES]
        cryodl(
            "simulate-tomograms",
            "--structures",
            *structures.values(),
            "--copies",
            *copies,
            *words,
            *("--device", "cpu", "--threads", 1, "--output", folder),
        )
    return folder


def labelled(output, folders):
    """Tomograms and STAR files of several folders under names of their own. Returns both lists."""
    from cryodl.io.star import read_tables, write_tables

    linked = output / "labelled"
    linked.mkdir(exist_ok=True)
    tomograms, stars = [], []
    for folder in folders:
        for path in sorted((folder / "tomograms").glob("*.mrc")):
            name = f"{folder.name}_{path.stem}"
            tomograms.append(linked / f"{name}.mrc")
            stars.append(linked / f"{name}.star")
            if not tomograms[-1].exists():
                tomograms[-1].symlink_to(path.resolve())
            table = read_tables(folder / "coordinates" / f"{path.stem}.star")["particles"]
            table["rlnTomoName"] = [name] * len(table["rlnTomoName"])
            write_tables(stars[-1], {"particles": table})
    return tomograms, stars


def ground_truth(folder, name, species):
    """(n, 3) zyx px and (n, 3) angles of a species in a simulated tomogram."""
    from cryodl.io.star import read_tables

    table = read_tables(folder / "coordinates" / f"{name}.star")["particles"]
    rows = [n for n, one in enumerate(table["cryodlStructure"]) if one == species]
    number = lambda names: np.array([[float(table[key][n]) for key in names] for n in rows]).reshape(-1, 3)
    return number([f"rlnCoordinate{a}" for a in "ZYX"]), number([f"rlnAngle{a}" for a in ("Rot", "Tilt", "Psi")])


def found_in(path, species):
    """(n, 3) zyx px and (n, 3) angles (zeros where there are none) of a species in a STAR file of detections."""
    from cryodl.io.star import read_tables

    table = read_tables(path)["particles"]
    rows = [n for n, one in enumerate(table.get("cryodlSpecies", ())) if one == species]
    number = lambda names: np.array([[float(table[key][n]) if key in table else 0 for key in names] for n in rows])
    return (
        number([f"rlnCoordinate{a}" for a in "ZYX"]).reshape(-1, 3),
        number([f"rlnAngle{a}" for a in ("Rot", "Tilt", "Psi")]).reshape(-1, 3),
    )


def detector(options, structures):
    """Figures of a detector that learnt from TRAINING, on TEST."""
    output, model = options.output, options.output / "model"
    train = [cells(output, structures, name, TRAINING_CELL, values, 3) for name, values in TRAINING.items()]
    test = cells(output, structures, "test7", TEST_CELL, TEST, 4)
    import_engine()
    if not model.exists():
        tomograms, stars = labelled(output, train)
        diameters = [f"{name}={2 * row[1]:g}" for name, row in SPECIES.items()]
        given = ("--diameter", *diameters, "--beta", BETA, "--steps", options.steps, "--seed", 1)
        words = ("--tomograms", *tomograms, "--coordinates", *stars, *given, "--device", "cpu", "--threads", 1)
        _, cpu, _, memory = cryodl("train-detector", *words, "--output", model)
        (output / "training.json").write_text(json.dumps(dict(cpu_seconds=round(cpu), memory_mb=round(memory))))
    found = output / "detected"
    shutil.rmtree(found, ignore_errors=True)
    tomograms = sorted((test / "tomograms").glob("*.mrc"))
    words = ("--tomograms", *tomograms, "--model", model, "--device", "cpu", "--threads", 1)
    _, cpu, _, memory = cryodl("detect-particles", *words, "--output", found, "--result", output / "detected.json")
    made = json.loads((output / "detected.json").read_text())["outputs"]
    card = json.loads((model / "card.json").read_text())
    draw(tomograms[0], made["files"][tomograms[0].stem])
    figures = {name: contest(test, made, name) for name in SPECIES}
    weights = [SPECIES[name][2] for name in SPECIES]
    voxels = len(tomograms) * TEST_CELL["size"] ** 2 * TEST_CELL["thickness"] / 1e6
    return dict(
        steps=card["training"]["steps"],
        training=json.loads(notes.read_text()) if (notes := output / "training.json").exists() else {},
        held_out={name: card["validation"][name]["f_beta"] for name in SPECIES},
        f_beta=round(float(np.average([f["f_beta"] for f in figures.values()], weights=weights)), 3),
        mean_without_weights=round(float(np.mean([f["f_beta"] for f in figures.values()])), 3),
        species=figures,
        by_chance={
            name: round(sum(each[name] for each in made["expected_false_detections"].values()), 1) for name in SPECIES
        },
        cpu_seconds_per_mvoxel=round(cpu / voxels, 3),
        memory_mb=round(memory),
    )


def contest(folder, made, species):
    """The contest's figures of a species over all tomograms."""
    from cryodl.core.matching import f_beta, match_picks

    hit = picks = there = 0
    for name, path in made["files"].items():
        true, _ = ground_truth(folder, name, species)
        positions, _ = found_in(path, species)
        hit += int(match_picks(positions, true, SPECIES[species][1] / 2 / PIXEL_SIZE).sum())
        picks, there = picks + len(positions), there + len(true)
    return dict(
        particles=there,
        found=hit,
        false=picks - hit,
        recall=round(hit / there, 3),
        precision=round(hit / max(picks, 1), 3),
        f_beta=round(f_beta(hit, picks - hit, there - hit, BETA), 3),
    )


def template(options, structures, species):
    """Figures of a search with a template in the first tomograms of TEST."""
    from scipy.spatial.transform import Rotation

    from cryodl.core.matching import match_picks
    from cryodl.core.projections import rotation_matrices

    test, output = options.output / "cells" / "test7", options.output
    tomograms = sorted((test / "tomograms").glob("*.mrc"))[: options.templates]
    found = output / f"template_{species}"
    shutil.rmtree(found, ignore_errors=True)
    words = ("--tomograms", *tomograms, "--template", structures[species], "--device", "cpu", "--threads", 1)
    more = ("--angular-step", 20, "--defocus", TEST["defocus"])
    result = output / f"template_{species}.json"
    _, cpu, _, memory = cryodl("detect-particles", *words, *more, "--output", found, "--result", result)
    made = json.loads(result.read_text())["outputs"]
    hits, rotations = [], []
    there = 0
    for name, path in made["files"].items():
        (true, angles), (positions, rotated) = ground_truth(test, name, species), found_in(path, species)
        hit = match_picks(positions, true, SPECIES[species][1] / 2 / PIXEL_SIZE)
        hits, there = hits + hit.tolist(), there + len(true)
        for row in np.flatnonzero(hit):
            own = int(np.linalg.norm(true - positions[row], axis=1).argmin())
            a, b = rotation_matrices(rotated[[row]])[0], rotation_matrices(angles[[own]])[0]
            rotations.append(np.degrees(Rotation.from_matrix(a.T @ b).magnitude()))
    voxels = len(tomograms) * TEST_CELL["size"] ** 2 * TEST_CELL["thickness"] / 1e6
    return dict(
        particles=there,
        found=int(sum(hits)),
        false=len(hits) - int(sum(hits)),
        thresholds={name: round(each[species], 3) for name, each in made["thresholds"].items()},
        median_angle_error=round(float(np.median(rotations)), 1) if rotations else None,
        orientations=made["orientations"],
        angular_step=made["angular_step"],
        cpu_seconds=round(cpu, 1),
        cpu_seconds_per_mvoxel_and_orientation=float(f"{cpu / voxels / made['orientations']:.3g}"),
        memory_mb=round(memory),
    )


def draw(tomogram, star):
    """docs/images/detected_particles.png: the middle slices of a tomogram, and what was detected in them."""
    from matplotlib.patches import Circle

    from cryodl.io.plots import new_figure, save_figure
    from cryodl.io.tomograms import Tomogram

    volume = Tomogram(tomogram)
    middle = volume.shape[0] // 2
    image = volume.part((middle - 2, middle + 3)).mean(axis=0)
    figure, axes = new_figure(1, 2, (9.6, 5))
    for panel in axes[0]:
        panel.imshow(image, cmap="gray", origin="lower", vmin=np.percentile(image, 1), vmax=np.percentile(image, 99))
        panel.set_axis_off()
    for number, (species, row) in enumerate(SPECIES.items()):
        colour, radius = f"C{number}", row[1] / PIXEL_SIZE
        axes[0, 1].plot([], [], "o", markerfacecolor="none", color=colour, label=species)
        for z, y, x in found_in(star, species)[0]:
            if abs(z - middle) < radius:
                size = (radius**2 - (z - middle) ** 2) ** 0.5
                axes[0, 1].add_patch(Circle((x, y), size, fill=False, color=colour, linewidth=1.5))
    axes[0, 1].legend(loc="upper right", fontsize=7)
    save_figure(figure, ROOT / "docs" / "images" / "detected_particles.png")


def import_engine():
    from parts import engine_path

    engine_path()


if __name__ == "__main__":
    main()
