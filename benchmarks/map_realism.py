# SPDX-License-Identifier: GPL-3.0-or-later
"""How like real maps the simulated ones are: the FSC of both with their models at some resolutions, and Q-scores.

Each real piece is simulated from its own model, on its own grid, at the resolution of its entry, and masked as the
piece is; with the usual faults, and without those that are inside of the molecule.
"""

import dataclasses

import numpy as np
from map_cases import SEED, case_of
from map_real import MAPS, files
from parts import table

AT = (15.0, 10.0, 8.0, 7.0, 6.0, 5.0, 4.0)  # Å
MASKED = 3.5  # Å beyond the atoms, as the real pieces came
VARIANTS = {
    "usual faults": {},
    "no side chains, solvent, carboxylates": dict(side_chains=0.0, solvent=0.0, carboxylates=1.0),
}


def run(bench):
    for name in maps(bench):
        bench.once(key(name), lambda: measure(bench, name))


def maps(bench):
    return [name for name in bench.options.real_maps if name in MAPS]


def key(name):
    return f"maps realism/{name}"


def measure(bench, name):
    """{"real" or a variant: dict(fsc: FSC at AT, q: mean Q-score)} of one piece."""
    path, structure = files(bench, name)
    case = case_of(path, structure, MAPS[name])
    found = {"real": figures(case.volume.data, case)}
    for variant, faults in VARIANTS.items():
        found[variant] = figures(simulated(case, faults), case)
    return found


def simulated(case, faults):
    from cryodl.maps.measures.density import soft_mask
    from cryodl.maps.measures.simulated import Faults, deposited, simulate

    atoms = case.reference.atoms
    maps = simulate(atoms, case.volume, Faults(case.resolution, **faults), np.random.default_rng(SEED))
    return deposited(maps, case.resolution)[0] * soft_mask(atoms.xyz, case.volume, MASKED)


def figures(data, case):
    from cryodl.maps.measures.qscore import q_scores
    from cryodl.maps.measures.shells import shell_correlation

    mask, voxels = case.reference.mask, case.volume.voxels_zyx
    curve = shell_correlation(data * mask, case.reference.density * mask, voxels)
    scores = q_scores(dataclasses.replace(case.volume, data=data), case.reference.atoms, case.points)
    return dict(fsc=[float(np.interp(1 / r, curve.frequency, curve.value)) for r in AT], q=float(scores.mean()))


def tables(bench):
    found = {name: bench.figures.get(key(name)) for name in maps(bench)}
    rows = []
    for name, parts in found.items():
        for kind in ("real", *VARIANTS):
            start = [f"{name.replace('_', ' ')}, {MAPS[name]:g} Å" if kind == "real" else "", kind]
            rows.append(start + (cells(parts[kind]) if parts else [None] * (len(AT) + 1)))
    every = [parts for parts in found.values() if parts]
    for kind in ("real", *VARIANTS) if every else ():
        mean = dict(
            fsc=np.mean([parts[kind]["fsc"] for parts in every], axis=0),
            q=np.mean([parts[kind]["q"] for parts in every]),
        )
        rows.append(["mean" if kind == "real" else "", kind, *cells(mean)])
    return table(["map", "", *[f"FSC at {r:g} Å" for r in AT], "Q-score"], rows)


def cells(part):
    return [*[f"{value:.2f}" for value in part["fsc"]], float(part["q"])]
