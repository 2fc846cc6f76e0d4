# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion found in simulated subtomograms of hinges, and in rigid ones.

    PYTHON benchmarks/subtomogram_heterogeneity.py OUTPUT [--rigid 14] [--only WORDS]

PYTHON is the engine's. Moving: a domain of 1U6G, 2CG9 or 1WCM in 13 states of a rotation of 45 degrees in all, 25
subtomograms of each. Rigid: 300 subtomograms of one structure, each set of its own seed. Box 32, tilts of -60 to 60
degrees, defocus of 3.5 to 4.5 µm, uncorrected; SNR over the whole box: variance of the noise-free subtomogram over
that of its noise. Orientations are exact or wrong by 3 degrees about random axes. Structures are found in CRYODL_DATA.
OUTPUT/subtomogram_heterogeneity.json has a row for each run; those in the file are not made again.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from common import ROOT, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
COMPLEXES = {
    "1U6G": dict(domain="C:900-1210", pixel_size=8.0),
    "2CG9": dict(domain="A:2-215", pixel_size=7.0),
    "1WCM": dict(domain="D,G", pixel_size=7.6),
}
RIGID = {"1U6G": 8.0, "2CG9": 7.0, "1WCM": 7.6, "6RN3": 8.4}  # Å/px
BOX, STATES, PER_STATE, RANGE = 32, 13, 25, 45.0
SNRS, ERRORS = (0.1, 0.02), (0.0, 3.0)
KNOWN = 100.0  # SNR within the particle's sphere at which that over the box is measured


def structure_file(name):
    """File of a complex."""
    return str(next((data_folder() / "structures" / "complexes").glob(f"{name}.*")))


def hinge_maps(folder, name):
    """Files of the states of a hinge."""
    from cryodl.contract import SimulateParticlesConfig
    from cryodl.io.maps import write_map
    from cryodl.simulate.states import load_states

    settings = dict(structure=structure_file(name), box=BOX, count=1, output=str(folder / "unused.star"))
    config = SimulateParticlesConfig(
        **settings, **COMPLEXES[name], hinge_range=RANGE, hinge_states=STATES, snr=1.0, threads=1
    )
    paths = [folder / f"{name}_{number:02d}.mrc" for number in range(1, STATES + 1)]
    if not paths[-1].exists():
        for path, density in zip(paths, load_states(config).densities):
            write_map(path, density, config.pixel_size)
    return [str(path) for path in paths]


def simulated(folder, structures, pixel_size, count, snr, seed):
    """STAR file of subtomograms with an SNR over the whole box."""
    from cryodl.contract import SimulateSubtomogramsConfig
    from cryodl.io.subtomograms import read_subtomograms
    from cryodl.tomograms.commands import simulate_subtomograms

    def made(name, **changes):
        common = dict(structures=tuple(structures), pixel_size=pixel_size, box=BOX, max_shift=10.0, seed=seed)
        common.update(device="cpu", threads=1, output=str(folder / name), **changes)
        simulate_subtomograms.run(SimulateSubtomogramsConfig(**common))
        return folder / name

    if (folder / "set.star").exists():  # with other orientations
        return folder / "set.star"
    clean = read_subtomograms(made("clean.star", count=max(1, 6 // len(structures)), snr=KNOWN))
    over_box = float(clean.volumes(slice(None)).var(dim=(1, 2, 3)).mean()) - 1  # the noise has a variance of 1
    return made("set.star", count=count, snr=snr * KNOWN / over_box)


def with_errors(path, degrees, seed):
    """The set with orientations rotated by that angle about random axes."""
    from scipy.spatial.transform import Rotation

    from cryodl.io.subtomograms import read_subtomograms, write_subtomograms_star

    if not degrees:
        return path
    found, rng = read_subtomograms(path), np.random.default_rng(seed)
    axes = rng.standard_normal((len(found), 3))
    axes *= np.radians(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    rotated = Rotation.from_euler("ZYZ", found.angles, degrees=True) * Rotation.from_rotvec(axes)
    angles = dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), rotated.as_euler("ZYZ", degrees=True).T))
    write_subtomograms_star(path.with_name("wrong.star"), found, angles)
    return path.with_name("wrong.star")


def measured(path, folder, **options):
    """Row of a fit, and its columns."""
    from cryodl.contract import FitSubtomogramHeterogeneityConfig
    from cryodl.io.subtomograms import read_subtomograms
    from cryodl.tomograms.commands import fit_subtomogram_heterogeneity

    begun = time.process_time()
    made = fit_subtomogram_heterogeneity.run(
        FitSubtomogramHeterogeneityConfig(subtomograms=str(path), output=str(folder / "fit"), threads=1, **options)
    ).outputs
    row = dict(p_value=made.p_value, variability=made.variability, verdict=made.verdict, count=made.count)
    said = json.loads(Path(made.heterogeneity).read_text())
    row.update(cpu_seconds=round(time.process_time() - begun, 1), error_found=said["orientation_error_degrees"])
    return row, read_subtomograms(made.subtomograms).columns


def moving(folder, name, snr, error):
    """Row of a moving set."""
    from scipy.stats import spearmanr

    maps, both = hinge_maps(folder.parent, name), folder.parent / f"{name}_{snr:g}"
    if not (both / "set.star").exists():  # nothing, or what a stopped run left
        shutil.rmtree(both, ignore_errors=True)
        both.mkdir()
    path = simulated(both, maps, COMPLEXES[name]["pixel_size"], PER_STATE, snr, seed=1)
    row, columns = measured(with_errors(path, error, 1), folder, latent=2, maps=5)
    true = np.array(columns["rlnClassNumber"], float)
    row["spearman"] = abs(float(spearmanr(np.array(columns["cryodlLatent1"], float), true)[0]))
    return row


def rigid(folder, number):
    """Row of a rigid set."""
    name = list(RIGID)[number % len(RIGID)]
    snr, error = SNRS[number // 2 % 2], ERRORS[number // 4 % 2]
    path = simulated(folder, [structure_file(name)], RIGID[name], 300, snr, seed=100 + number)
    row, _ = measured(with_errors(path, error, number), folder, latent=2, axes=0)
    return dict(row, molecule=name, snr=snr, error=error)


def main():
    """Fill OUTPUT/subtomogram_heterogeneity.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rigid", type=int, default=14)
    parser.add_argument("--only", default="", help="only runs whose name has these words")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    record = options.output / "subtomogram_heterogeneity.json"
    rows = json.loads(record.read_text()) if record.exists() else {}
    runs = {f"rigid {number + 1}": (rigid, number) for number in range(options.rigid)}
    for snr, name in itertools.product(SNRS, COMPLEXES):
        runs.update({f"hinge {name} SNR {snr:g} error {e:g}": (moving, name, snr, e) for e in ERRORS})
    for name, (function, *arguments) in runs.items():
        if name in rows or options.only not in name:
            continue
        folder = options.output / name.replace(" ", "_")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        rows[name] = function(folder, *arguments)
        record.write_text(json.dumps(rows, indent=1) + os.linesep)
        shutil.rmtree(folder)
        print(name, rows[name], flush=True)


if __name__ == "__main__":
    main()
