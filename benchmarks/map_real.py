# SPDX-License-Identifier: GPL-3.0-or-later
"""Real maps with their fitted models: small parts, cut out about one chain of large maps.

The model is that of the entry, which was built into this map or refined against it. The pieces are zero beyond 3 to 4 Å
from the atoms: they came masked by their model, so that the mask of the comparison changes next to nothing, and there
is no solvent.
"""

from map_cases import case_of, compared, model_name, removed
from map_tables import comparison, cut_off, not_reached, real_floors

# file: resolution in Å by the entry of the map
MAPS = {
    "EMD-5185_3J06": 3.3,
    "EMD-2566_3J6B_chain9": 3.2,
    "EMD-5830_3J63_chainA": 3.8,
    "EMD-30342_7CEC_chainA": 3.9,
    "EMD-6770_5XSY_chainB": 4.0,
    "EMD-5137_3LOS_chainA": 4.3,
    "EMD-6187_3J8X_chainA": 5.0,
    "EMD-6187_3J8X_chainK": 5.0,
}
# Outside of what the floors are asked of: 2.3 Å; the pore of 1OED, 4 Å by its entry; a coarse map, about 20 Å
OTHERS = {"EMD-4413_6I5A": 2.3, "EMD-1044_1OED": 4.0, "EMD-1883_1WCM": 20.0}
RESOLUTION = {**MAPS, **OTHERS}


def run(bench):
    for name in bench.options.real_maps:
        bench.once(key(model_name(bench), name), lambda: measure(bench, name))


def key(model, name):
    return f"maps real/{model}/{name}"


def files(bench, name):
    """The map's file and its model's."""
    folder = bench.data / "structures" / "maps"
    structure = next(iter(sorted(folder.glob(f"{name}.model.*"))), None)
    if structure is None:
        raise ValueError(f"There is no model {name}.model.* in {folder}.")
    return folder / f"{name}.mrc.gz", structure


def measure(bench, name, model=None):
    work = bench.folder(f"map {name}")
    work.mkdir()
    path, structure = files(bench, name)
    figures = compared(bench, case_of(path, structure, RESOLUTION[name]), path, work, model)
    removed(work)
    return figures


def tables(bench):
    found = {name: bench.figures.get(key(model_name(bench), name)) for name in bench.options.real_maps}
    rows = lambda names: [
        ((name.replace("_", " "), f"{RESOLUTION[name]:g} Å"), [f] if f else [])
        for name, f in found.items()
        if name in names
    ]
    inside = {name.replace("_", " "): f for name, f in found.items() if f and name in MAPS}
    every, head = list(inside.values()), ["map", "resolution"]
    lines = [comparison(head, [*rows(MAPS), (("mean", ""), every)]), ""]
    if inside:
        lines += [*real_floors(inside), "", *cut_off(every), *not_reached(every), ""]
    return "\n".join([*lines, "Outside of that range:", "", comparison(head, rows(OTHERS))])
