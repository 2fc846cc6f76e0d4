# SPDX-License-Identifier: GPL-3.0-or-later
"""Small atomic models and maps of the tests of map improvement."""

import gemmi
import numpy as np

from cryodl.maps.measures.volume import Volume


def helix(path, residues=12, chain="A", shift=(0.0, 0.0, 0.0), name="ALA"):
    """A PDB file of a poly-alanine alpha helix (N, CA, C, O, CB by rise and turn). Returns the path."""
    structure, model, built = gemmi.Structure(), gemmi.Model("1"), gemmi.Chain(chain)
    atoms = {
        "N": (1.55, 0.0, 0.0),
        "CA": (2.28, 28.0, 0.9),
        "C": (1.68, 55.0, 1.9),
        "O": (2.0, 60.0, 3.1),
        "CB": (3.3, 18.0, 0.2),
    }  # radius (Å), angle (degrees), height (Å) about the helix's axis
    for k in range(residues):
        residue = gemmi.Residue()
        residue.name, residue.seqid = name, gemmi.SeqId(k + 1, " ")
        for label, (radius, angle, height) in atoms.items():
            rotation = np.radians(angle + 100.0 * k)
            atom = gemmi.Atom()
            atom.name, atom.element, atom.b_iso = label, gemmi.Element(label[0]), 20.0
            atom.pos = gemmi.Position(
                radius * np.cos(rotation) + shift[0], radius * np.sin(rotation) + shift[1], 1.5 * k + height + shift[2]
            )
            residue.add_atom(atom)
        built.add_residue(residue)
    model.add_chain(built)
    structure.add_model(model)
    structure.setup_entities()
    structure.write_pdb(str(path))
    return path


def empty_grid(shape=(40, 40, 48), voxels=1.0, origin=(-20.0, -18.0, -16.0)):
    """A Volume of zeros that holds a helix. origin: zyx Å."""
    return Volume("grid.mrc", np.zeros(shape, np.float32), np.broadcast_to(voxels, 3).astype(float), np.array(origin))
