# SPDX-License-Identifier: GPL-3.0-or-later
"""A small molecule with a domain that moves, and particles of it."""

from pathlib import Path

import numpy as np
from particle_data import simulate_particles

from cryodl.contract import Failure, Result
from cryodl.running.cli import main


def write_model(path="model.pdb"):
    """An atomic model: a lopsided body (chain A) and a domain beside it (chain B)."""
    rng = np.random.default_rng(1)
    body = rng.uniform(-1, 1, (500, 3)) * [24, 18, 14] + rng.uniform(-1, 1, (500, 1)) * [0, 6, 9]
    domain = rng.uniform(-1, 1, (160, 3)) * [8, 9, 20] + [28, 8, 22]
    write_atoms(path, dict(A=body, B=domain))
    return path


def write_atoms(path, chains):
    """A PDB file of {chain: (n, 3) places, Å}."""
    lines = []
    for chain, atoms in chains.items():
        for number, (x, y, z) in enumerate(atoms, 1):
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  CA  ALA {chain}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
                "  1.00 20.00           C"
            )
    Path(path).write_text("\n".join(lines) + "\nEND\n")


def moving_particles(output="p.star", **options):
    """Result of simulate-particles of the model, its domain rotated by up to 60 degrees in all."""
    if not Path("model.pdb").exists():
        write_model()
    return simulate_particles(
        output,
        **dict(
            dict(
                structure="model.pdb",
                pixel_size=5.0,
                box=32,
                count=400,
                snr=0.5,
                domain="B",
                hinge_range=60,
                hinge_states=7,
            ),
            **options,
        ),
    )


def command(name, code=0, **options):
    """The Result of a command, or the failure's message if `code` is not 0."""
    words = [name]
    for option, value in dict(options, result="result.json").items():
        words += ["--" + option.replace("_", "-"), str(value)]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message
