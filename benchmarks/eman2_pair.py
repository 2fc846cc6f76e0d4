#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network `eman2` with one and with both of its networks, on simulated micrographs with known contamination.

    PYTHON benchmarks/eman2_pair.py --output FILE

PYTHON is the engine's; structures are found by CRYODL_DATA. For each structure `cryodl train-picker --network eman2`
learns from four micrographs of 640 x 640 px (particles of 40 px; SNR 0.3; a carbon edge, ice, aggregates) with boxes on
particles, on clean ice and on contamination (150 steps; the default is 100). Its scores are those of both networks (the
lower one), and of the first one alone (particles against background). The threshold is that of the best F1 on two
further micrographs; figures are of six others.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import cryodl
from general_panel import structures
from parts import engine_path

SIDE, PARTICLE_PX, SNR, BOXES = 640, 40, 0.3, 15
TRAINED, CHOSEN, TESTED, STEPS = 4, 2, 6, 150
NAMES = ("2CAS",)


def simulated(member, rng):
    """A micrograph with a carbon edge, ice and aggregates."""
    from cryodl.core.optics import Optics
    from cryodl.simulate.micrographs import Surroundings, simulate_micrograph

    around = Surroundings(minimum_distance=0.9, ice=3.0, carbon=1.0, gradient=1.0, aggregates=1.5)
    defocus = rng.uniform(10000, 25000)
    optics = Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
    field = ((SIDE, SIDE), 45, SNR, optics, rng, PARTICLE_PX, around)
    return simulate_micrograph(member.density, member.extent / PARTICLE_PX, *field)


def boxes(made, rng):
    """{kind: (n, 2) yx} of particles, clean ice and contamination."""
    from scipy.ndimage import distance_transform_edt

    on = made.contaminated.numpy()
    far = np.ones(on.shape, bool)
    far[tuple(np.rint(made.centres_yx).astype(int).T)] = False
    clean = ~on & (distance_transform_edt(far) > PARTICLE_PX) & (distance_transform_edt(~on) > PARTICLE_PX / 2)
    some = lambda mask: rng.permutation(np.argwhere(mask[20:-20, 20:-20]) + 20)[:BOXES].astype(float)
    return dict(coordinates=made.centres_yx, background=some(clean), contamination=some(on))


def train(member, folder, rng):
    """CPU seconds of the training; the model is in folder/model."""
    from cryodl.io.coordinates import write_coordinates
    from cryodl.io.micrographs import write_micrograph

    pixel_size = member.extent / PARTICLE_PX
    for number in range(TRAINED):
        made = simulated(member, rng)
        write_micrograph(folder / f"m{number}.mrc", made.image.numpy().astype(np.float32), pixel_size)
        for kind, yx in boxes(made, rng).items():
            (folder / kind).mkdir(exist_ok=True)
            write_coordinates(folder / kind / f"m{number}.star", yx, np.ones(len(yx)), kind)
    given = [part for kind in ("coordinates", "background", "contamination") for part in (f"--{kind}", folder / kind)]
    given += ["--pixel-size", pixel_size, "--particle-diameter", member.extent, "--output", folder / "model"]
    paths = sorted(folder.glob("m?.mrc"))
    given += ["--steps", STEPS, "--threads", 1]
    return cryodl("train-picker", "--network", "eman2", "--micrographs", *paths, *given)[1]


def candidates(picker, member, fields):
    """For each micrograph: scores, right or not, on contamination or not; and the number of particles of all."""
    from cryodl.core.matching import match_picks

    found = []
    for made in fields:
        image = made.image.numpy().astype(np.float32)
        yx, scores = picker.candidates(image, member.extent / PARTICLE_PX, member.extent, 0.5)
        right = np.array(match_picks(yx, made.centres_yx, PARTICLE_PX / 4), bool)
        on = made.contaminated.numpy()[tuple(np.clip(np.rint(yx), 0, SIDE - 1).astype(int).T)]
        found.append((np.asarray(scores), right, on & ~right))
    return [np.concatenate(part) for part in zip(*found)], sum(len(made.centres_yx) for made in fields)


def measure(name, member, index):
    """One row for each way to score."""
    import torch

    from cryodl.core.matching import score_matched
    from cryodl.io.model import read_model
    from cryodl.micrographs.pickers import load_network, picker_method
    from cryodl.micrographs.pickers.predict import Picker

    rng, rows = np.random.default_rng((58, index)), []
    with tempfile.TemporaryDirectory() as work:
        cpu = train(member, Path(work), rng)
        _, weights = read_model(Path(work) / "model", "picker")
        chosen, tested = ([simulated(member, rng) for _ in range(count)] for count in (CHOSEN, TESTED))
        for way in ("first", "both"):
            method = picker_method("eman2")
            if way == "first":
                method.scores = lambda output: output.float().clamp(0, 1)[:, :1]
            picker = Picker(method, load_network(method, weights, Path(work) / "model"), torch.device("cpu"))
            (scores, right, _), total = candidates(picker, member, chosen)
            threshold = score_matched(right, scores, total).best_threshold
            (scores, right, on), total = candidates(picker, member, tested)
            kept, agreement = scores >= threshold, score_matched(right, scores, total)
            counts = dict(picks=kept.sum(), contaminated=(on & kept).sum(), right=(right & kept).sum(), particles=total)
            row = dict(structure=name, way=way, cpu=round(cpu), best_f1=round(float(agreement.best_f1), 4))
            rows.append({**row, **{key: int(value) for key, value in counts.items()}})
            print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    engine_path()
    import torch

    from cryodl.simulate.pool import load_member

    torch.set_num_threads(1)
    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    for index, name in enumerate(NAMES):
        if name not in {row["structure"] for row in rows}:
            rows += measure(name, load_member(structures("general")[name], PARTICLE_PX), index)
            command = "PYTHON benchmarks/eman2_pair.py --output FILE"
            options.output.write_text(json.dumps(dict(command=command, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
