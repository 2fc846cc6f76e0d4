# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the atoms of a model are. Only this is needed on Scipion's side; the engine reads models in full."""

import gzip
from typing import Iterator, List, Optional, TextIO

import numpy as np


def positionsOf(path: str, maximum: Optional[int] = None) -> np.ndarray:
    """(n, 3) x, y, z in Å of the atoms of a .pdb or .cif file (also .gz). maximum: of them, evenly spaced.

    Raises ValueError if the file has no atoms.
    """
    with gzip.open(path, "rt", errors="replace") if path.endswith(".gz") else open(path, errors="replace") as file:
        name = path[:-3] if path.endswith(".gz") else path
        positions = list(_ofCif(file) if name.lower().endswith((".cif", ".mmcif")) else _ofPdb(file))
    if not positions:
        raise ValueError(f"{path} contains no atoms. Import the atomic model again.")
    return np.array(positions[:: max(1, -(-len(positions) // maximum))] if maximum else positions)


def _ofPdb(lines: TextIO) -> Iterator[List[float]]:
    for line in lines:
        if line.startswith(("ATOM  ", "HETATM")):
            yield [float(line[first : first + 8]) for first in (30, 38, 46)]
        elif line.startswith("ENDMDL"):
            return


def _ofCif(lines: TextIO) -> Iterator[List[float]]:
    columns = []
    for line in lines:
        if line.startswith("_atom_site."):
            columns.append(line.split()[0])
        elif columns and line.startswith(("ATOM", "HETATM")):
            words = line.split()
            if len(words) == len(columns):  # a name with a blank in it: one atom more or less tells nothing
                yield [float(words[columns.index("_atom_site.Cartn_" + axis)]) for axis in "xyz"]
