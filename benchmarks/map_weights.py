# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of its input an improved map should keep (--input-weight), on real pieces and on simulated maps."""

import statistics

from map_cases import angstrom, case_of, improve, measured, model_name, removed, simulate
from map_real import MAPS, RESOLUTION, files
from parts import table

MOLECULES = ("1S3X", "1FDO", "2XHE")  # of the validation of the shipped model
RESOLUTIONS = (3.0, 4.0, 5.0, 6.0)
WEIGHTS = (0, 0.3, 0.4, 0.5)
INPUT = "input itself"


def run(bench):
    for name in MAPS:
        bench.once(_key(bench, name), lambda: _measure(bench, *files(bench, name), RESOLUTION[name]))
    for molecule in MOLECULES:
        for resolution in RESOLUTIONS:
            bench.once(_key(bench, f"{molecule} {resolution:g}"), lambda: _simulated(bench, molecule, resolution))


def _key(bench, name):
    return f"map weights/{model_name(bench)}/{name}"


def _simulated(bench, molecule, resolution):
    work = bench.folder(f"map weight {molecule} {resolution:g}")
    structure = simulate(bench, molecule, resolution, work / "map")
    figures = _measure(bench, work / "map_full.mrc", structure, resolution)
    removed(work)
    return figures


def _measure(bench, path, structure, resolution):
    """{weight: figures} of a map, the input itself included."""
    from cryodl.maps.measures.volume import read_volume

    case, work = case_of(path, structure, resolution), bench.folder(f"map weights {path.name}")
    work.mkdir()
    figures = {INPUT: measured(case.volume.data, case)}
    for weight in WEIGHTS:
        improved, _ = improve(bench, path, work / f"{weight}.mrc", None, "--input-weight", weight)
        figures[f"{weight:g}"] = measured(read_volume(improved).data, case)
    removed(work)
    return figures


def tables(bench):
    simulated = [f"{molecule} {resolution:g}" for molecule in MOLECULES for resolution in RESOLUTIONS]
    rows = []
    for weight in (INPUT, *(f"{w:g}" for w in WEIGHTS)):
        row = [weight]
        for names in (MAPS, simulated):
            found = [f[weight] for f in (bench.figures.get(_key(bench, name)) for name in names) if f]
            row += [f"{statistics.mean(map(angstrom, found)):.2f}" if found else None]
            row += [f"{statistics.mean(f['q'] for f in found):.3f}" if found else None]
        rows.append(row)
    fsc = "FSC 0.5 in the mask (Å)"
    return table(["weight of the input", f"real pieces: {fsc}", "Q-score", f"simulated maps: {fsc}", "Q-score"], rows)
