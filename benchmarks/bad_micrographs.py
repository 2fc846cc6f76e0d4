#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl pick --model general` does with micrographs that hold no particles, or unusual ones; nothing is given.

    PYTHON benchmarks/bad_micrographs.py --output FILE [--seeds 0,1] [--folder DIR] [--cases NAME ...]

PYTHON is the engine's (`cryodl doctor` names it); structures are found by CRYODL_DATA. Two micrographs of 1024 x 1024
px at 2 Å/px for each case and seed; noise with Thon rings in all of them. The lumps of "dirt" are made here, not by the
simulator of the training: thresholded smooth noise of random strength. What is measured is kept in FILE: a stopped run
goes on.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import cryodl, data_folder
from parts import engine_path

SIDE, PIXEL_SIZE, COUNT = 1024, 2.0, 2
LARGE, SMALL = "structures/complexes/8BK7.cif.gz", "structures/small/1U19.pdb.gz"  # 177 Å and 75 Å
WITHOUT = ("ice", "clouds", "carbon", "carbon edge", "crystals", "dirt", "much dirt", "crystals and dirt", "specks")
PARTICLES = ("particles", "inverted", "low-passed", "denoised", "grey levels", "other sizes", "diameter x 10", "dirty")
ODD = ("two molecules", "larger than a third", "below 8 px")


class Scenes:
    """Micrographs of each case: [(image (h, w), centres (n, 2) yx px)], their pixel size and particle diameter."""

    def __init__(self, seed):
        import torch

        self.rng, self.torch = np.random.default_rng((91, seed)), torch
        self.pixel_size, self.diameter, self.options = PIXEL_SIZE, None, ()

    def noise(self, shape=(SIDE, SIDE)):
        from cryodl.simulate.noise import MicroscopeNoise

        return MicroscopeNoise()(shape, self.pixel_size, self.optics(), self.rng)

    def optics(self):
        from cryodl.core.optics import Optics

        defocus = float(self.rng.uniform(10000, 25000))
        return Optics(defocus + 100, defocus - 100, float(self.rng.uniform(0, 180)), 300.0, 2.7, 0.1)

    def without(self, case):
        from cryodl.simulate.artefacts import add_carbon, add_gradient, add_ice, smooth_noise

        rng, image = self.rng, self.noise()
        if case == "clouds":
            for scale in (20, 60, 200):
                image = image + 0.5 * smooth_noise(tuple(image.shape), scale, rng)
            image = add_gradient(image, 4.0, rng)
        if case.startswith("carbon"):
            image, _ = add_carbon(image, 80.0, rng, 1.0 if case == "carbon" else 0.4)
        if "crystals" in case:
            image, _ = add_ice(image, 25, 80.0, rng)
        if case == "specks":
            image = self.lumps(image, 250, (6, 14), (1, 6))
        if "dirt" in case:
            image = self.lumps(image, 150 if case == "much dirt" else 30, (6, 160), (0.7, 6))
        return image

    def lumps(self, image, count, widths, strengths):
        """Dark lumps of irregular outline."""
        from cryodl.simulate.artefacts import smooth_noise

        rng, torch = self.rng, self.torch
        layer = torch.zeros(image.shape)
        for _ in range(count):
            wide, strength = (float(np.exp(rng.uniform(*np.log(pair)))) for pair in (widths, strengths))
            side = int(2 * wide) + 4
            grid = torch.arange(side) - side / 2
            inside = 1 - (grid[:, None] ** 2 + grid**2).sqrt() / (wide / 2)
            shape = inside + 0.35 * smooth_noise((side, side), max(3.0, wide / 3), rng)
            y, x = (int(v) for v in rng.integers(0, np.array(image.shape) - side))
            layer[y : y + side, x : x + side] += strength * torch.sigmoid(6 * shape)
        return image - layer

    def of_structure(self, file, number, pixel_size, side=SIDE, snr=0.1):
        """An image of a structure's particles, noise included, and their centres."""
        from cryodl.simulate.micrographs import Surroundings, particle_diameter, simulate_micrograph
        from cryodl.simulate.structures import load_density

        density = load_density(data_folder() / file, pixel_size)
        self.diameter = particle_diameter(density, pixel_size)
        made = simulate_micrograph(
            density,
            pixel_size,
            (side, side),
            number,
            snr,
            self.optics(),
            self.rng,
            self.diameter / pixel_size,
            Surroundings(minimum_distance=0.9),
        )
        return made.image, made.centres_yx

    def of_particles(self, case, index):
        from scipy.ndimage import gaussian_filter

        side = SIDE if case != "other sizes" else (SIDE, 720)[index % 2]
        image, centres = self.of_structure(LARGE, int(40 * (side / SIDE) ** 2), PIXEL_SIZE, side)
        if case == "inverted":
            image = -image
        if case == "low-passed":
            image = self.torch.from_numpy(gaussian_filter(image.numpy(), 5.0))
        if case == "denoised":  # as strongly as a median and a mean of a neighbourhood do
            image = self.torch.nn.functional.avg_pool2d(image[None, None], 13, 1, 6)[0, 0]
            image = image + 0.02 * self.torch.from_numpy(self.rng.standard_normal(image.shape, dtype=np.float32))
        if case == "grey levels":
            image = (image * 8).round().clamp(-40, 40) / 8
        if case == "dirty":
            image = self.lumps(image, 30, (6, 160), (0.7, 6))
        if case == "diameter x 10":
            self.options = ("--particle-diameter", round(10 * self.diameter))
        return image, centres

    def odd(self, case):
        if case == "two molecules":
            large, _ = self.of_structure("structures/maps/SIM_4V4R_70S_10A.mrc.gz", 12, PIXEL_SIZE, snr=0.1)
            small, centres = self.of_structure(SMALL, 150, PIXEL_SIZE, snr=0.3)
            return small + large, centres
        if case == "larger than a third":
            return self.of_structure(LARGE, 4, PIXEL_SIZE, 200)
        self.pixel_size = 25.0
        return self.of_structure(LARGE, 900, 25.0, 512, 0.3)

    def of(self, case):
        if case in WITHOUT:
            return [(self.without(case), np.zeros((0, 2))) for _ in range(COUNT)]
        made = self.of_particles if case in PARTICLES else lambda case, _: self.odd(case)
        return [made(case, index) for index in range(COUNT)]


def measure(case, seed, work):
    """What the command does with a case."""
    from cryodl.core.matching import match_picks, score_matched
    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.micrographs import write_micrograph

    folder = Path(work) / f"{case.replace(' ', '_')}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    scenes = Scenes(seed)
    made = scenes.of(case)
    for index, (image, _) in enumerate(made):
        write_micrograph(folder / f"m{index}.mrc", image.numpy().astype(np.float32), scenes.pixel_size)
    given = ("--micrographs", *sorted(folder.glob("m?.mrc")), "--pixel-size", scenes.pixel_size, "--model", "general")
    record = folder / "result.json"
    options = ("--output", folder / "picks", "--overwrite", "--result", record, "--threads", 1, "--device", "cpu")
    row = dict(case=case, seed=seed)
    try:
        row["cpu"] = round(cryodl("pick", *given, *scenes.options, *options)[1], 1)
    except RuntimeError as error:
        return dict(row, picks=None, error=str(error).strip().splitlines()[-1])
    result = json.loads(record.read_text())
    outputs = result["outputs"]
    row.update(
        picks=outputs["picks"],
        diameter=outputs["picked_diameter"] and round(outputs["picked_diameter"]),
        true_diameter=scenes.diameter and round(scenes.diameter),
        expected=(outputs["expected"] or {}).get("f1"),
        warnings=result["warnings"],
    )
    if scenes.diameter:
        hit, scores, number = [], [], 0
        for index, (_, centres) in enumerate(made):
            file = folder / "picks" / f"m{index}.star"
            yx, score = read_coordinates(file)[f"m{index}"] if file.exists() else (np.zeros((0, 2)), np.zeros(0))
            hit.append(match_picks(yx, centres, scenes.diameter / scenes.pixel_size / 4))
            scores, number = [*scores, score], number + len(centres)
        figures = score_matched(np.concatenate(hit), np.concatenate(scores), number)
        row.update(particles=number, f1=round(float(figures.f1), 3))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0])
    parser.add_argument("--cases", nargs="+", default=[*WITHOUT, *PARTICLES, *ODD])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    engine_path()
    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    done = {(row["case"], row["seed"]) for row in rows}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            for case in options.cases:
                if (case, seed) in done:
                    continue
                rows.append(measure(case, seed, options.folder or temporary))
                print(rows[-1], flush=True)
                command = "PYTHON benchmarks/bad_micrographs.py --output FILE --seeds " + ",".join(
                    map(str, sorted({row["seed"] for row in rows}))
                )
                options.output.write_text(json.dumps(dict(command=command, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
