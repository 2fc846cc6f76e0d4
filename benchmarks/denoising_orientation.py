# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations from raw and from denoised particles, and what RELION's refinement makes of them.

The measuring is orientations.py's: beta-galactosidase (D2), median angular error and part of the particles within 15°
of the truth.
"""

from pathlib import Path

import orientations
from denoising_sets import Sets
from parts import table

MOLECULE = "beta-galactosidase"
# row of orientations.accuracy: what it is
WAYS = {
    "correlation, raw": "plain cross-correlation of raw images",
    "correlation, CTF-weighted": "plain cross-correlation of CTF-weighted images",
    "unrefined": "assign-orientations, search alone",
    "C1": "assign-orientations, symmetry not told",
    "default": "**assign-orientations**",
    "denoised": "assign-orientations --model (denoised images)",
}
FLOOR = {"0.1": 94, "0.05": 88, "0.02": 49}  # % within 15° of CTF-weighted cross-correlation, as the project was told


def run(bench):
    network = bench.options.networks[0]
    folder = bench.output / "orientations"

    def accuracy():
        models = {snr: Path(Sets(bench).model([MOLECULE], network, snr)[0]) for snr in orientations.SNRS}
        return orientations.accuracy(folder / f"{bench.options.count}", bench.options.count, models)

    bench.once("orientation", accuracy)
    bench.once("refinement", lambda: orientations.refinement(folder, bench.options.refine))


def tables(bench):
    found, rows = bench.figures.get("orientation", {}), []
    for way, text in WAYS.items():
        cells = [_cell(found.get(str(snr), {}).get(way)) for snr in orientations.SNRS]
        cost = found.get(str(orientations.SNRS[0]), {}).get(way, {}).get("ms")
        rows.append([text, *cells, f"{cost:.0f}" if cost else "-" if found else None])
    floor = [f"{right} %" for right in FLOOR.values()]
    rows.append(["the floor (CTF-weighted cross-correlation, measured elsewhere)", *floor, "-"])
    head = ["median error, part within 15°", *(f"SNR {snr:g}" for snr in orientations.SNRS), "CPU ms per particle"]
    refined, starts = bench.figures.get("refinement", {}), []
    for name, start in (("truth", "true orientations"), ("found", "assigned orientations")):
        f = refined.get(name)
        starts.append([start, *([None] * 2 if f is None else [f"{f['before']:.1f}", f"{f['after']:.1f}"])])
    return (
        f"{table(head, rows)}\n\nRELION, {orientations.ITERATIONS} iterations of local searches, two halves apart, "
        f"{bench.options.refine} particles, SNR {orientations.REFINE_SNR:g}, references filtered to "
        f"{orientations.START} Å; FSC = 0.5 with the true map, Å:\n\n"
        + table(["started from", "back-projected", "refined by RELION"], starts)
    )


def _cell(figures):
    return None if figures is None else f"{figures['median']:.1f}°, {figures['right']:g} %"
