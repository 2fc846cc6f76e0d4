# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes in label volumes, and the coordinates that are picked in them."""

import numpy as np
from scipy.spatial import cKDTree
from synthetic import write_mrc

from cryodl.contract import Result
from cryodl.core.projections import rotation_matrices
from cryodl.io.star import read_tables
from cryodl.running.cli import main

PIXEL = 10.0


def ball(shape, centre, radius):
    return sum((i - c) ** 2 for i, c in zip(np.indices(shape), centre)) <= radius**2


def tube(axis, shape, radius, lumen=-1):
    """Mask of a tube around a line (n, 3) zyx."""
    distance = cKDTree(axis).query(np.indices(shape).reshape(3, -1).T)[0].reshape(shape)
    return (distance <= radius) & (distance > lumen)


def arc(radius=50, z=12):
    rotation = np.linspace(0.15, 1.4, 300)
    return np.stack([z + 10 * rotation, 5 + radius * np.sin(rotation), 8 + radius * np.cos(rotation)], axis=1)


def pick(folder, volume, *arguments, names=("t1",), label=True, output="picked"):
    """Columns of the STAR file, and the Result."""
    for name, values in zip(names, [volume] if len(names) == 1 else volume):
        write_mrc(folder / f"{name}.mrc", values.astype(np.int8) if values.dtype == bool else values, PIXEL)
    files = [str(folder / f"{name}.mrc") for name in names]
    code = main(
        [
            "pick-features",
            "--segmentations",
            *files,
            "--output",
            str(folder / output),
            "--result",
            str(folder / "result.json"),
            *(["--label", "1"] if label else []),
            *arguments,
        ]
    )
    assert code == 0
    return table(folder / output / f"{names[0]}.star"), Result.read(folder / "result.json")


def table(path):
    columns = read_tables(path)["particles"]
    return {k: v if k == "rlnTomoName" else np.array(v, float) for k, v in columns.items()}


def positions(columns):
    return np.stack([columns[f"rlnCoordinate{axis}"] for axis in "ZYX"], axis=1)


def z_axes(columns):
    """(n, 3) zyx: where the reference's z axis lies in the tomogram, by the matrices of the project's projections."""
    angles = np.stack([columns[f"rlnAngle{a}"] for a in ("Rot", "Tilt", "Psi")], axis=1)
    return rotation_matrices(angles)[:, 2, ::-1]  # they take the tomogram's frame to the reference's


def degrees_between(a, b):
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))
