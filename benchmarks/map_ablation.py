# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast network trained for equally few steps, in full and with one of its parts left out.

Through scripts/train-map-improver, so with the structures and the left-out names of the shipped model.
"""

import os
import sys

import map_real
import map_simulated
from common import ROOT
from common import measure as run_command
from map_tables import mean
from parts import table

VARIANTS = {
    "full": (),
    "without SSIM": ("--ssim-weight", "0"),
    "without the loss of FSC": ("--fsc-weight", "0"),
    "without the loss of atoms": ("--q-score-weight", "0"),
    "without attention": ("--no-attention",),
    "without local effects": ("--no-local-effects",),
}
MOLECULES, RESOLUTION = ("1U6G", "1OEL"), 4.0
REAL = ("EMD-30342_7CEC_chainA", "EMD-6770_5XSY_chainB")


def run(bench):
    for name in bench.options.ablation_variants:
        for test, measure in tests(bench):
            bench.once(key(bench, name, test), lambda: measure(trained(bench, name)))


def tests(bench):
    """(word, function of a model folder) of all test maps."""
    for molecule in bench.options.ablation_molecules:
        yield molecule, lambda model, m=molecule: map_simulated.measure(bench, m, RESOLUTION, model)
    for name in REAL:
        yield name, lambda model, n=name: map_real.measure(bench, n, model)


def key(bench, variant, test):
    return f"maps ablation/{bench.options.ablation_steps}/{variant}/{test}"


def trained(bench, variant):
    """Folder of the variant's model; trained if it is not there. A stopped training goes on."""
    model = bench.output / "models" / f"ablation-{bench.options.ablation_steps}-{variant.replace(' ', '-')}"
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ, CRYODL_PYTHON=sys.executable, CRYODL_DATA=str(bench.data))
        _, cpu, wall, _ = run_command(
            [
                "bash",
                ROOT / "scripts" / "train-map-improver",
                model,
                "--steps",
                bench.options.ablation_steps,
                "--simulated",
                bench.options.ablation_maps,
                "--patience",
                1000,
                "--device",
                "cpu",
                "--threads",
                1,
                *VARIANTS[variant],
            ],
            environment,
        )
        print(f"{variant}: trained in {cpu:.0f} CPU s, {wall:.0f} s.", flush=True)
    return model


def tables(bench):
    rows, parts = [], (bench.options.ablation_molecules, REAL)
    for variant in bench.options.ablation_variants:
        row = [variant]
        for part in parts:
            found = [bench.figures.get(key(bench, variant, test)) for test in part]
            row += [None] * 2 if None in found else _figures(found, "improved")
        rows.append(row)
    found = [[bench.figures.get(key(bench, "full", test)) for test in part] for part in parts]
    if not any(None in part for part in found):
        for word, kind in (("input", "input"), ("best sharpening", "sharpened")):
            rows.append([word, *[cell for part in found for cell in _figures(part, kind)]])
    return table(
        [
            "",
            f"simulated at {RESOLUTION:g} Å: FSC 0.5 in the mask (Å)",
            "Q-score",
            "real: FSC 0.5 in the mask (Å)",
            "Q-score",
        ],
        rows,
    )


def _figures(found, kind):
    """Cells of the mean of some comparisons."""
    return [f"{mean(found, kind, 'fsc05'):.2f}", mean(found, kind, "q")]
