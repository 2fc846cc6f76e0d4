# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations of our coordinates as the plugins of other programs read them, where these plugins are installed."""

import os

import numpy as np
import pytest
from pwem.convert import transformations
from tomo.objects import SetOfCoordinates3D

from ...convert.tomograms.coordinates3d import appendCoordinates3D, readCoordinates3D
from ..tomogram_sets import tomogramAt

ANGLES = np.array([[10, 20, 30], [-40, 50, 60], [170, 90, -80], [-120, 135, 5], [33, 66, 99]], float)
DEGREE = 0.01


@pytest.fixture
def coordinates(tmp_path):
    """A set of coordinates with the angles, written to its file and read again."""
    columns = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    rows = "".join(f"{10 + n} 20 30 {rot} {tilt} {psi}\n" for n, (rot, tilt, psi) in enumerate(ANGLES))
    head = "data_particles\n\nloop_\n" + "".join(f"_{name} #{n}\n" for n, name in enumerate(columns, 1))
    (tmp_path / "p.star").write_text(head + rows)
    tomogram = tomogramAt(str(tmp_path / "t1.mrc"), "t1")
    made = SetOfCoordinates3D(filename=os.path.join(str(tmp_path), "coordinates.sqlite"))
    made.setSamplingRate(10)
    appendCoordinates3D(made, tomogram, readCoordinates3D(str(tmp_path / "p.star")))
    made.write()
    made.close()
    return SetOfCoordinates3D(filename=os.path.join(str(tmp_path), "coordinates.sqlite"))


def between(angles, others):
    """Degrees between rotations of fixed z, x, z axes."""
    turns = [transformations.euler_matrix(*np.radians(each), axes="szxz")[:3, :3] for each in (angles, others)]
    return np.degrees(np.arccos(np.clip((np.trace(turns[0] @ turns[1].T) - 1) / 2, -1, 1)))


def test_the_matrix_of_a_coordinate_is_that_of_scipion_s_relion_plugins(coordinates):
    # reliontomo reads rot, tilt, psi as the inverse of the matrix of their negatives about fixed z, y, z axes
    for item, angles in zip(coordinates.iterItems(), ANGLES):
        theirs = np.linalg.inv(transformations.euler_matrix(*-np.radians(angles), axes="szyz"))
        assert np.allclose(item.getMatrix(), theirs, atol=1e-6)


def test_dynamo_s_plugin_writes_the_angles_that_our_own_table_has(coordinates):
    dynamo = pytest.importorskip("dynamo.convert", reason="scipion-em-dynamo is not installed here")
    for item, (rot, tilt, psi) in zip(coordinates.iterItems(), ANGLES):
        theirs = dynamo.matrix2eulerAngles(item.getMatrix())[:3]
        assert between(theirs, (psi - 90, tilt, rot + 90)) < DEGREE  # tdrot, tilt, narot of export-tomograms
