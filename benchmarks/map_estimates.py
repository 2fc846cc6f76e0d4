# SPDX-License-Identifier: GPL-3.0-or-later
"""What improve-map takes for the resolution of maps of known resolution, without half-maps.

Molecules other than those that the estimate was made with: some cut to spheres, some whole; random pixel sizes,
B-factors and solvent around them. Each map as it is deposited (sharpened and filtered by the FSC of the half-maps), as
it comes out of a refinement, and masked.
"""

import numpy as np
from map_cases import find_structure
from map_nucleic import cut_out
from parts import engine_path

WHOLE, CUT = ("3ENL", "5GJV", "6VXX"), ("1EJ9", "4V4R_30S", "1U6G", "4GXY")
RESOLUTIONS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0)
SOLVENTS = (8.0, 8.0, 15.0, 25.0)  # Å on each side
FINEST, COARSEST = 1.0, 1.4  # Å/px, or a third of the resolution
SIDE = 120  # px at most: larger molecules have larger voxels
KINDS = ("deposited", "as refined", "masked")


def run(bench):
    for molecule in (*CUT, *WHOLE):
        for resolution in RESOLUTIONS:
            bench.once(f"maps estimates/{molecule}/{resolution:g}", lambda: measure(bench, molecule, resolution))


def measure(bench, molecule, resolution):
    """dict: what each kind of map is taken for (Å or None), pixel_size, box."""
    engine_path()
    from cryodl.maps.measures.atoms import read_atoms
    from cryodl.maps.measures.density import soft_mask
    from cryodl.maps.measures.resolution import estimated_resolution
    from cryodl.maps.measures.simulated import Faults, deposited, grid_around, simulate

    rng = np.random.default_rng([sum(map(ord, molecule)), int(10 * resolution)])
    (bench.output / "parts").mkdir(exist_ok=True)
    source = find_structure(bench, molecule)
    atoms = read_atoms(cut_out(source, bench.output / "parts" / f"{molecule}.cif") if molecule in CUT else source)
    width = float(np.ptp(atoms.xyz, axis=0).max()) + 2 * float(rng.choice(SOLVENTS))
    coarse = resolution / 3
    pixel_size = min(coarse, rng.uniform(FINEST, COARSEST)) if rng.random() < 0.5 else coarse
    pixel_size = round(min(coarse, max(pixel_size, width / SIDE)), 3)
    grid = grid_around(atoms, pixel_size, 2 * int(np.ceil(width / 2 / pixel_size)))
    maps = simulate(atoms, grid, Faults(resolution, b_factor=rng.uniform(12, 30) * resolution), rng)
    full = deposited(maps, resolution)[0]
    kinds = dict(zip(KINDS, (full, maps.full, full * soft_mask(atoms.xyz, grid, 4.0, 4.0))))
    found = {kind: estimated_resolution(data, grid.voxels_zyx) for kind, data in kinds.items()}
    return dict(found, pixel_size=pixel_size, box=grid.data.shape[0])


def tables(bench):
    from parts import table

    names = [f"{molecule}/{resolution:g}" for molecule in (*CUT, *WHOLE) for resolution in RESOLUTIONS]
    found = {name: bench.figures.get(f"maps estimates/{name}") for name in names}
    taken = lambda figures, kind: "not measured" if figures is None else str(figures[kind])
    return table(
        ["map", *KINDS], [[name, *(taken(figures, kind) for kind in KINDS)] for name, figures in found.items()]
    )
