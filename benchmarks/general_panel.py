#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""General pickers on simulated micrographs of structures that no training saw: F1 by size and SNR, model beside model.

    PYTHON benchmarks/general_panel.py --models OLD NEW [--count 2] --output FILE [--plot FILE]
    PYTHON benchmarks/general_panel.py --table FILE                     the table of docs/general_model.md

PYTHON is the engine's (`cryodl doctor` names it). Structures are those that the first model's card says were left out
or held back for validation; data are found by CRYODL_DATA. SNR = variance of the noise-free, CTF-filtered images over
the whole box / variance of the noise. The fields are as dense as chance has it, and the diameter is stated 0.85 to 1.25
times the true one: the search for the size is not part of this. What is measured is kept in FILE: a stopped run
goes on.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
from common import data_folder
from parts import engine_path

SNRS = (0.03, 0.1, 0.3)
SIDE = 640  # px of a micrograph, in which a particle is 40 px wide
SIZES = ((0, 120), (120, 200), (200, 1000))  # Å


def structures(model):
    """{name: path} of what a general model did not learn from."""
    from cryodl.contract import read_card
    from cryodl.io.model import find_model

    training = read_card(find_model(model, "picker"), "picker")["training"]
    unseen = set(training["validation_structures"]) | set(training["left_out"])
    found = {p.name.split(".")[0]: p for p in sorted((data_folder() / "structures").glob("*/*.gz"))}
    return {name: found[name] for name in sorted(unseen) if name in found}


def simulated(member, snr, index, count):
    """[LabelledImage] of one set: one microscope, one density of the field."""
    from cryodl.core.geometry import inside, map_positions
    from cryodl.core.optics import Optics
    from cryodl.core.projections import Projector
    from cryodl.micrographs.normalize import prepare_micrograph
    from cryodl.micrographs.pickers.crops import LabelledImage
    from cryodl.simulate.micrographs import Surroundings, simulate_micrograph
    from cryodl.simulate.pool import EXTENT_PX

    rng, images = np.random.default_rng((78, index, int(1000 * snr))), []
    share, defocus = rng.uniform(0.05, 0.7), rng.uniform(8000, 25000)
    stated = float(np.exp(rng.uniform(math.log(0.85), math.log(1.25))))
    around = Surroundings(
        minimum_distance=float(rng.choice([0.6, 0.8, 1.0])), ice=3.0, carbon=0.15, gradient=1.0, aggregates=0.3
    )
    for _ in range(count):
        made = simulate_micrograph(
            Projector(member.density),
            member.extent / EXTENT_PX,
            (SIDE, SIDE),
            int(share * (SIDE / EXTENT_PX) ** 2),
            snr,
            Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1),
            rng,
            EXTENT_PX,
            around,
        )
        prepared = prepare_micrograph(made.image.numpy(), 32 / (EXTENT_PX * stated), 32)
        positions = map_positions(made.centres_yx, (SIDE, SIDE), prepared.image.shape)
        positions = positions[inside(positions, prepared.image.shape)]
        images.append(
            LabelledImage(member.name, prepared.image, prepared.valid, positions, np.zeros((0, 2)), size=1 / stated)
        )
    return images


def measure(model, images):
    """{best_f1, average_precision, f1 (at the default threshold), expected (F1; None where none is promised)}."""
    import torch

    from cryodl.core.calibration import calibrate
    from cryodl.core.matching import score_matched
    from cryodl.io.model import find_model, read_model
    from cryodl.micrographs.pickers import load_network, picker_method
    from cryodl.micrographs.pickers.adapt import adapt
    from cryodl.micrographs.pickers.narrow import Narrow
    from cryodl.micrographs.pickers.pick_files import TRUSTED_F1
    from cryodl.micrographs.pickers.predict import Picker
    from cryodl.micrographs.pickers.train import judge_candidates

    card, weights = read_model(find_model(model, "picker"), "picker")
    method = picker_method(card["network"])
    narrow = Narrow(*card["narrow"]) if "narrow" in card else None
    picker = Picker(method, load_network(method, weights, model), torch.device("cpu"), narrow=narrow)
    hit, raw, reference = [], [], 0
    for image in images:
        own, picker.typical_size = method.working_diameter * image.size, image.size
        yx, scores = picker.candidates_prepared(image, card["minimum_distance"] * own)
        matched, judged = judge_candidates(yx, image, own)
        hit, raw, reference = [*hit, matched[judged]], [*raw, scores[judged]], reference + len(image.positives)
    hit, raw = np.concatenate(hit), np.concatenate(raw)
    found = adapt(raw, tuple(card["calibration"]))
    calibration, threshold = (found.calibration, found.threshold) if found else (card["calibration"], card["threshold"])
    figures = score_matched(hit, calibrate(raw, tuple(calibration)), reference, threshold)
    promised = found and (not found.own or found.expected_f1 >= TRUSTED_F1)
    return dict(
        best_f1=round(figures.best_f1, 4),
        average_precision=round(figures.average_precision, 4),
        f1=round(figures.f1, 4),
        expected=found.expected_f1 if promised else None,
    )


def run(options):
    from cryodl.simulate.pool import load_member

    path = Path(options.output)
    rows = json.loads(path.read_text()) if path.exists() else []
    done = {(row["structure"], row["snr"]) for row in rows}
    for index, (name, file) in enumerate(structures(options.models[-1]).items()):
        if all((name, snr) in done for snr in SNRS):
            continue
        member = load_member(file)
        for snr in SNRS:
            images = simulated(member, snr, index, options.count)
            figures = {Path(model).name: measure(model, images) for model in options.models}
            rows.append(dict(structure=name, diameter=round(member.extent), snr=snr, **figures))
        path.write_text(json.dumps(rows, indent=1) + "\n")
        print(
            name,
            round(member.extent),
            [rows[-3 + i][Path(options.models[-1]).name]["f1"] for i in range(3)],
            flush=True,
        )
    return rows


def table(rows):
    """Markdown: means over sets, by SNR and by size."""
    names = [key for key in rows[0] if key not in ("structure", "diameter", "snr")]
    groups = [(f"SNR {snr:g}", [r for r in rows if r["snr"] == snr]) for snr in SNRS]
    for low, high in SIZES:
        groups.append(
            (f"{low} to {high} Å" if low else f"below {high} Å", [r for r in rows if low <= r["diameter"] < high])
        )
    groups.append(("all", rows))
    lines = ["| sets | number | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for title, part in groups:
        if part:
            means = [[np.mean([r[n][k] for r in part]) for k in ("best_f1", "average_precision", "f1")] for n in names]
            cells = [f"{best:.3f} / {ap:.3f} ({f1:.3f})" for best, ap, f1 in means]
            lines.append(f"| {title} | {len(part)} | " + " | ".join(cells) + " |")
    for name in names:
        promised = [r[name] for r in rows if r[name]["expected"] is not None]
        off = sum(abs(r["expected"] - r["f1"]) > 0.1 for r in promised)
        lines.append(f"\n{name}: F1 promised for {len(promised)} of {len(rows)} sets, {off} of them more than 0.1 off.")
    return "\n".join(lines)


def plot(rows, path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names = [key for key in rows[0] if key not in ("structure", "diameter", "snr")]
    figure, axes = plt.subplots(1, len(SNRS), figsize=(10, 3.2), sharey=True, layout="constrained")
    for axis, snr in zip(axes, SNRS):
        chosen = sorted((r for r in rows if r["snr"] == snr), key=lambda r: r["diameter"])
        for name in names:
            axis.plot([r["diameter"] for r in chosen], [r[name]["f1"] for r in chosen], "o-", ms=4, label=name)
        axis.set(title=f"SNR {snr:g}", xlabel="diameter (Å)", ylim=(0, 1), xscale="log")
    axes[0].set_ylabel("F1 at the default threshold")
    axes[-1].legend()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["general"])
    parser.add_argument("--count", type=int, default=2, help="micrographs of each set")
    parser.add_argument("--output", default="general_panel.json")
    parser.add_argument("--plot")
    parser.add_argument("--table", metavar="FILE", help="print the table of measured figures")
    options = parser.parse_args()
    engine_path()
    rows = json.loads(Path(options.table).read_text()) if options.table else run(options)
    print(table(rows))
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
