# SPDX-License-Identifier: GPL-3.0-or-later
"""Our coordinates and subtomograms as the plugins of other programs take them, where these plugins are installed."""

import importlib.util
import inspect
import os
import subprocess
import unittest

import mrcfile
import numpy as np
import pytest
from pwem import Domain
from pwem.convert import transformations
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import SetOfCoordinates3D, SetOfTomograms

from ... import Plugin
from ...convert.relion_star import anglesOf, originOf, readColumns
from ...convert.tomograms.tomograms import POSITION, appendCoordinates3D, readCoordinates3D
from ...protocols import CryodlProtSimulateSubtomograms
from ..particle_sets import addTo
from ..simulated import missingEngine
from ..tomogram_sets import tomogramAt
from .test_tomogram_chain import BODIES, Chain

ANGLES = np.array([[10, 20, 30], [-40, 50, 60], [170, 90, -80], [-120, 135, 5], [33, 66, 99]], float)
DEGREE = 0.01


@pytest.fixture
def coordinates(tmp_path):
    """A set of coordinates with the angles, written to its file and read again."""
    columns = (*POSITION, "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    rows = "".join(f"{5.25 + n} 9.5 3 {rot} {tilt} {psi}\n" for n, (rot, tilt, psi) in enumerate(ANGLES))
    head = "data_particles\n\nloop_\n" + "".join(f"_{name} #{n}\n" for n, name in enumerate(columns, 1))
    (tmp_path / "p.star").write_text(head + rows)
    tomogram = tomogramAt(str(tmp_path / "t1.mrc"), "t1")
    tomograms = SetOfTomograms(filename=str(tmp_path / "t.sqlite"))
    tomograms.setSamplingRate(10)
    tomograms.append(tomogram)
    tomograms.write()
    made = SetOfCoordinates3D(filename=os.path.join(str(tmp_path), "coordinates.sqlite"))
    made.setSamplingRate(10)
    made.setPrecedents(tomograms)
    appendCoordinates3D(made, tomogram, readCoordinates3D(str(tmp_path / "p.star")))
    made.write()
    made.close()
    read = SetOfCoordinates3D(filename=os.path.join(str(tmp_path), "coordinates.sqlite"))
    read.setSamplingRate(10)
    read.setPrecedents(tomograms)
    return read


def relionsPlugin():
    """Its module convert; the test is skipped where it is not installed."""
    Domain.getPlugins()  # only now does it know its home
    return pytest.importorskip("reliontomo.convert", reason="scipion-em-reliontomo is not installed here")


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


def test_dynamo_s_plugin_reads_a_table_turned_round_also_its_own(coordinates):
    # as the page says; when this fails, its import may be recommended
    dynamo = pytest.importorskip("dynamo.convert", reason="scipion-em-dynamo is not installed here")
    for item in coordinates.iterItems():
        read = dynamo.eulerAngles2matrix(*dynamo.matrix2eulerAngles(item.getMatrix()))
        assert np.allclose(read[:3, :3], item.getMatrix()[:3, :3].T, atol=1e-6)


@pytest.mark.skipif(bool(missingEngine()), reason=missingEngine())
def test_coordinates_go_to_relion_s_plugin_to_our_command_and_back(coordinates, tmp_path):
    theirs, tomograms = relionsPlugin(), coordinates.getPrecedents()
    theirs.writeSetOfCoordinates(coordinates, str(tmp_path / "theirs.star"), ["t1"])
    words = ["--tomograms", "t1.mrc", "--coordinates", "theirs.star", "--no-volumes", "--output", "ours"]
    command = [Plugin.getPython(), "-m", "cryodl", "export-tomograms", *words]
    subprocess.run(command, env=Plugin.getEnviron(), cwd=str(tmp_path), check=True, capture_output=True)
    columns = readColumns(str(tmp_path / "ours" / "particles.star"), POSITION, (float,) * 3, "particles")
    for star in ("theirs.star", "ours/particles.star"):
        again = SetOfCoordinates3D(filename=str(tmp_path / f"from {star[:4]}.sqlite"))
        again.setSamplingRate(10)
        again.setPrecedents(tomograms)
        since4 = "isRelion5" in inspect.signature(theirs.createReaderTomo).parameters  # of the plugin
        how = dict(isRelion5=False) if since4 else {}
        theirs.createReaderTomo(str(tmp_path / star), **how)[0].starFile2Coords3D(again, tomograms, 1)
        found = [(item.getPosition(BOTTOM_LEFT_CORNER), item.getMatrix()) for item in again.iterCoordinates()]
        wanted = [(item.getPosition(BOTTOM_LEFT_CORNER), item.getMatrix()) for item in coordinates.iterCoordinates()]
        assert len(found) == len(wanted) == len(columns) == len(ANGLES)
        for (place, matrix), (right, truth), column in zip(found, wanted, columns):
            assert np.allclose(place, right, atol=0.01) and np.allclose(column, right, atol=0.01)
            turn = np.trace(matrix[:3, :3] @ truth[:3, :3].T)
            assert np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1))) < DEGREE


def _noAverage():
    there = importlib.util.find_spec("reliontomo") and os.path.exists(os.environ.get("RELIONTOMO_HOME", ""))
    return missingEngine() or ("" if there else "scipion-em-reliontomo or RELIONTOMO_HOME is missing")


@unittest.skipIf(_noAverage(), _noAverage())
class TestCryodlRelionAverage(Chain):
    """Our subtomograms, averaged by RELION through its plugin's protocol."""

    _SLOW, _PIXEL, _BOX = False, 16.0, 24

    def test_the_average_of_subtomograms_with_our_orientations_is_the_structure(self):
        made = self.make(CryodlProtSimulateSubtomograms, subtomogramPixelSize=self._PIXEL, box=self._BOX)
        made.subtomogramCount.set(60)
        made.subtomogramSnr.set(1.0)
        addTo(made.inputStructures, [self.imported("body")], "outputVolume")
        self.good(made)
        average = self.newProtocol(Domain.getProtocols()["ProtRelionSubTomoReconstructAvg"])
        average.inputSubtomos.set(made)
        average.inputSubtomos.setExtended("outputSubtomograms")
        self.good(average)
        pose = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginX", "rlnOriginY", "rlnOriginZ")
        rows = readColumns(average._getExtraPath("input_particles.star"), pose, (float,) * 6, "")
        matrices = [item.getTransform().getMatrix() for item in made.outputSubtomograms.iterItems()]
        self.assertEqual(len(rows), 60)
        for row, matrix in zip(rows, matrices):
            self.assertTrue(np.allclose(row, [*anglesOf(matrix), *originOf(matrix, 3)], atol=0.01), row)
        with mrcfile.open(average.average.getFileName()) as found:
            density = found.data.copy()
        axis = (np.arange(self._BOX) - self._BOX // 2) * self._PIXEL
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        blobs = [
            weight * np.exp(-2 * ((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2) / width**2)
            for bx, by, bz, width, weight in BODIES["body"]
        ]
        alike = lambda truth: abs(np.corrcoef(truth.ravel(), density.ravel())[0, 1])
        self.assertGreater(alike(sum(blobs)), 0.88)  # mirrored 0.62, without the arms 0.72
