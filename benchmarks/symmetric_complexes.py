# SPDX-License-Identifier: GPL-3.0-or-later
"""Atoms of complexes with a symmetry, their axes where RELION has them.

No octahedral complex is among the shared structures, so one is made: 24 copies of tobacco mosaic virus coat protein, a
four-helix bundle as ferritin is, in a shell of ferritin's size.
"""

import numpy as np
from common import data_folder
from map_sizes import atoms_of, read_structure

# name: file, point group, pixel size (Å) at which 64 px hold it
SYMMETRIC = {
    "8BK7": ("complexes/8BK7.cif.gz", "D2", 3.5),
    "1EXB": ("complexes/1EXB.cif.gz", "C4", 3.5),
    "cage": ("small/6I5A.pdb.gz", "O", 3.5),
    "1BMV": ("small/1BMV.cif.gz", "I1", 6.0),
}
SHELL = (18.0, 8.0, 48.0)  # Å, the middle of a coat protein of the cage: off all axes, radius 52 Å


def body_of(name):
    """(n, 3) xyz in Å from the point where all axes meet, and (n,) weights, of the whole complex."""
    from cryodl.core.symmetry import operations

    file, symmetry, _ = SYMMETRIC[name]
    path = data_folder() / "structures" / file
    if name == "cage":
        xyz, weight = atoms_of(path)
        copies = [(xyz + np.array(SHELL)) @ rotation.T for rotation in operations(symmetry)]
        return np.concatenate(copies), np.tile(weight, len(copies))
    return assembly(path)


def assembly(path):
    """Atoms of the first assembly of a file, all copies that its operators make, from their centre of mass."""
    structure = read_structure(path)
    found = np.array([(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ) for a in structure[0].all()])
    copies = [operator.transform for part in structure.assemblies[0].generators for operator in part.operators]
    xyz = np.concatenate([found[:, :3] @ np.array(c.mat.tolist()).T + np.array(c.vec.tolist()) for c in copies])
    weight = np.tile(found[:, 3], len(copies))
    return xyz - np.average(xyz, axis=0, weights=weight), weight
