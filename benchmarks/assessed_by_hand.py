#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-micrographs` beside one person's sorting of the same micrographs.

    PYTHON benchmarks/assessed_by_hand.py --draw FOLDER      pictures to sort; simulated ones in random order
    PYTHON benchmarks/assessed_by_hand.py --output FILE      compares, once FILE holds the sorting

PYTHON is the engine's; the real micrographs and the structure are found by CRYODL_DATA. The sorting is `by_hand` of
FILE, {name: [good or bad, why]}, and was done on the pictures, before the first run of the command. Its limits are the
defaults; on the simulated micrographs it runs once more with picks of the general model and --minimum-particles 10.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from common import SETS, cryodl, data_folder
from parts import engine_path

SEED, SIDE, PARTICLE_PX, STRUCTURE, PICTURE = 2711, 1024, 60, "1IGY", 340
EXAMPLE_PX = 30  # diameter of a particle of contamination_example, whose pixel size is not known
# how the simulated ones are made, and how many
CASES = {"good": 5, "empty": 3, "thick ice": 3, "little carbon": 1, "much carbon": 1, "all carbon": 1, "drift": 3}
CASES["dirt"] = 3


def simulated(folder):
    """Write sim01.mrc ...; returns the pixel size (Å/px), the diameter (Å) and {name: how it was made}."""
    from general_panel import structures

    from cryodl.io.micrographs import write_micrograph
    from cryodl.simulate.pool import load_member

    member, rng = load_member(structures("general")[STRUCTURE], PARTICLE_PX), np.random.default_rng(SEED)
    pixel_size = member.extent / PARTICLE_PX
    cases = rng.permutation([case for case, count in CASES.items() for _ in range(count)])
    for number, case in enumerate(cases, 1):
        write_micrograph(folder / f"sim{number:02}.mrc", one_case(case, member, pixel_size, rng), pixel_size)
    return pixel_size, member.extent, {f"sim{n:02}": str(case) for n, case in enumerate(cases, 1)}


def one_case(case, member, pixel_size, rng):
    """(h, w) float32 micrograph of one kind."""
    import torch
    from scipy.ndimage import map_coordinates

    from cryodl.core.optics import Optics
    from cryodl.simulate.artefacts import add_carbon
    from cryodl.simulate.micrographs import Surroundings, simulate_micrograph

    around = dict(minimum_distance=1.0, ice=1.0, gradient=float(rng.uniform(0, 1)))
    around.update({"thick ice": dict(gradient=6.0), "dirt": dict(ice=30.0, aggregates=6.0)}.get(case, {}))
    count = 0 if case == "empty" else int(rng.uniform(40, 90))
    snr = 0.01 if case == "thick ice" else float(rng.uniform(0.07, 0.2))
    defocus = rng.uniform(10000, 25000)
    optics = Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
    made = simulate_micrograph(
        member.density, pixel_size, (SIDE, SIDE), count, snr, optics, rng, PARTICLE_PX, Surroundings(**around)
    )
    image = made.image
    film = {"little carbon": 0.15, "much carbon": 0.65, "all carbon": 0.999}.get(case)
    if film:
        image = add_carbon(image, PARTICLE_PX, rng, film)[0]
    image = image.numpy() if isinstance(image, torch.Tensor) else image
    if case == "drift":  # all moves along a line while it is exposed; what the detector adds does not
        y, x = np.mgrid[:SIDE, :SIDE].astype(float)
        angle, reach = rng.uniform(0, np.pi), rng.uniform(0.4, 0.7) * PARTICLE_PX
        steps = np.arange(-reach / 2, reach / 2, 1.5)
        moved = [
            map_coordinates(image, (y + s * np.sin(angle), x + s * np.cos(angle)), order=1, mode="reflect")
            for s in steps
        ]
        image = np.mean(moved, 0)
        image = image / image.std() + rng.normal(0, 1, image.shape)
    return np.asarray(image, np.float32)


def real():
    """{name of a set: (paths, pixel size Å/px, diameter Å)}."""
    found = {}
    for name, (folder, pixel_size, diameter_px, *_) in SETS.items():
        paths = sorted((data_folder() / folder / "micrographs").glob("*.mrc"))
        found[name] = (paths, pixel_size, pixel_size * diameter_px)
    example = data_folder() / "contamination_example" / "Ucsf_stack_1142_DW.mrc"
    return {**found, "contamination example": ([example], 1.0, 1.0 * EXAMPLE_PX)}


def draw(folder):
    """Pictures of 340 px, 12 to a sheet, and nothing else."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from scipy.ndimage import gaussian_filter, zoom

    from cryodl.io.micrographs import read_micrograph

    with tempfile.TemporaryDirectory() as made:
        simulated(Path(made))
        paths = [p for one in real().values() for p in one[0]] + sorted(Path(made).glob("*.mrc"))
        for start in range(0, len(paths), 12):
            figure, axes = plt.subplots(3, 4, figsize=(16, 12.6))
            for axis, path in zip(axes.flat, paths[start : start + 12]):
                image = read_micrograph(path).astype(float)
                factor = PICTURE / max(image.shape)
                small = gaussian_filter(zoom(gaussian_filter(image, 0.5 / factor), factor, order=1), 0.7)
                low, high = np.percentile(small, (0.5, 99.5))
                axis.imshow(small, cmap="gray", vmin=low, vmax=high)
                axis.set_title(path.stem[-22:], fontsize=11)
            for axis in axes.flat:
                axis.axis("off")
            figure.tight_layout()
            figure.savefig(folder / f"sheet{start // 12}.png", dpi=90)
            plt.close(figure)


def assessed(paths, pixel_size, diameter, work, *more):
    """{name: the command's verdict, reason and areas}."""
    given = ("--micrographs", *paths, "--pixel-size", pixel_size, "--particle-diameter", diameter, "--threads", 1)
    cryodl("assess-micrographs", *given, *more, "--output", work)
    with open(work / "micrographs.csv", newline="") as file:
        keys = ("verdict", "reason", "contaminated_percent", "carbon_percent")
        return {row["name"]: [row[key] for key in keys] for row in csv.DictReader(file)}


def compare(figures):
    """The figures with one row for each micrograph."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work, made = Path(folder), Path(folder) / "made"
        made.mkdir()
        for name, (paths, pixel_size, diameter) in real().items():
            found = assessed(paths, pixel_size, diameter, work / name)
            rows += [dict(set=name, name=n, assessed=verdict) for n, verdict in found.items()]
        pixel_size, diameter, cases = simulated(made)
        paths = sorted(made.glob("*.mrc"))
        given = ("--micrographs", *paths, "--pixel-size", pixel_size, "--particle-diameter", diameter)
        cryodl("pick", *given, "--model", "general", "--output", work / "picks", "--threads", 1, "--pictures", 0)
        found = assessed(paths, pixel_size, diameter, work / "simulated")
        picks = ("--coordinates", work / "picks", "--minimum-particles", 10)
        with_picks = assessed(paths, pixel_size, diameter, work / "with picks", *picks)
        rows += [
            dict(set="simulated", name=n, made_as=cases[n], assessed=verdict, with_picks=with_picks[n])
            for n, verdict in found.items()
        ]
    for row in rows:
        row["by_hand"] = figures["by_hand"][row["name"]]
    return dict(figures, command="PYTHON benchmarks/assessed_by_hand.py --output FILE", rows=rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    engine_path()
    if options.draw:
        draw(options.draw)
    if options.output:
        figures = compare(json.loads(options.output.read_text()))
        options.output.write_text(json.dumps(figures, indent=1) + "\n")
        for row in figures["rows"]:
            print(row)


if __name__ == "__main__":
    main()
