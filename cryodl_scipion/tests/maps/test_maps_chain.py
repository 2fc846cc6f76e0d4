# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps with the real engine, where the ground truth is known: simulate, train some steps, improve, measure, compare.

About a minute; skipped with a sentence where the engine's environment is missing.
"""

import unittest

import mrcfile
import numpy as np
from pwem.objects import AtomStruct

from ...convert.maps import headerOrigin, scipionOrigin
from ...protocols import (
    CryodlProtCompareModels,
    CryodlProtEvaluateMap,
    CryodlProtImproveMap,
    CryodlProtSimulateHalfMaps,
    CryodlProtTrainMapImprover,
)
from ...protocols.model_field import FROM_PROJECT
from ..map_sets import MapsTest, makeVolume
from ..particle_sets import addTo
from ..simulated import missingEngine

PIXEL_SIZE, RESOLUTION = 1.5, 5.0
# radius (Å), angle (degrees) and height (Å) about the axis of an alpha helix
_RESIDUE = {
    "N": (1.55, 0.0, 0.0),
    "CA": (2.28, 28.0, 0.9),
    "C": (1.68, 55.0, 1.9),
    "O": (2.0, 60.0, 3.1),
    "CB": (3.3, 18.0, 0.2),
}
_HELICES = ((0, 0, 0, 14), (9, 2, 3, 12), (4, 9, -2, 9), (13, 11, 6, 6))  # x, y, z Å, residues: a lopsided bundle


def writeBundle(path, residues=("ALA", "GLY", "SER")):
    """A PDB file of a bundle of helices that is unlike its mirror image, about (80, -30, 55) Å."""
    lines, number = [], 0
    for x, y, z, count in _HELICES:
        for k in range(count):
            number += 1
            for name, (radius, angle, height) in _RESIDUE.items():
                rotation = np.radians(angle + 100.0 * k)
                position = (
                    80 + x + radius * np.cos(rotation),
                    -30 + y + radius * np.sin(rotation),
                    55 + z + 1.5 * k + height,
                )
                lines.append(
                    f"ATOM  {len(lines) + 1:5d}  {name:<3} {residues[k % len(residues)]:>3} A{number:4d}    "
                    f"{position[0]:8.3f}{position[1]:8.3f}{position[2]:8.3f}  1.00 20.00          {name[0]:>2}\n"
                )
    with open(path, "w") as file:
        file.writelines(lines + ["END\n"])
    return path


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlMapsChain(MapsTest):
    _REAL_ENGINE = _SLOW = True

    @classmethod
    def prepare(cls):
        cls.bundle = cls.outputs(outputPdb=AtomStruct(writeBundle(cls.data + "/bundle.pdb")))
        writeBundle(cls.data + "/other.pdb", ("TRP", "LYS", "HIS", "PHE", "ASP"))
        cls.simulated = cls.runProtocol(
            CryodlProtSimulateHalfMaps,
            dict(inputStructure=(cls.bundle, "outputPdb")),
            resolution=RESOLUTION,
            pixelSize=PIXEL_SIZE,
            box=32,
        )
        # Scipion's own origin is wrong on purpose, as of an imported map: the header's is that of the model
        made = cls.simulated.outputVolume
        cls.imported = cls.outputs(
            outputVolume=makeVolume(
                made.getFileName(), (-24.0, -24.0, -24.0), made.getHalfMaps().split(","), PIXEL_SIZE
            )
        )
        cls.trained = cls.makeProtocol(
            CryodlProtTrainMapImprover,
            useGpu=False,
            pairsFrom=2,
            simulated=1,
            steps=2,
            structureFiles=cls.data + "/*.pdb",
            batchSize=2,
        )
        addTo(cls.trained.simulateFrom, [], "outputPdb")
        cls.proj.launchProtocol(cls.trained, wait=True)
        cls.improved = cls.runProtocol(
            CryodlProtImproveMap,
            dict(
                inputVolume=(cls.imported, "outputVolume"),
                inputModel=(cls.trained, "outputModel"),
                inputMask=(cls.bundle, "outputPdb"),
            ),
            modelFrom=FROM_PROJECT,
            useGpu=False,
        )
        cls.evaluated = cls.runProtocol(
            CryodlProtEvaluateMap,
            dict(
                inputVolume=(cls.improved, "outputVolume"),
                inputBefore=(cls.imported, "outputVolume"),
                inputStructure=(cls.bundle, "outputPdb"),
            ),
        )
        cls.compared = cls.runProtocol(
            CryodlProtCompareModels,
            dict(inputStructure=(cls.simulated, "outputStructure"), inputReference=(cls.bundle, "outputPdb")),
        )

    def test_all_runs_finish(self):
        for run in (self.simulated, self.trained, self.improved, self.evaluated, self.compared):
            self.assertTrue(self.finished(run).isFinished(), run.getObjLabel())

    def test_the_improved_map_lies_where_the_map_and_its_model_do(self):
        improved, before = (v.outputVolume for v in (self.improved, self.imported))
        self.assertEqual(
            headerOrigin(improved.getFileName(), PIXEL_SIZE), headerOrigin(before.getFileName(), PIXEL_SIZE)
        )
        self.assertEqual(scipionOrigin(improved), scipionOrigin(before))
        self.assertEqual(improved.getDim(), before.getDim())
        one, two = (mrcfile.read(v.getFileName()) for v in (improved, before))
        ours = np.corrcoef(one.ravel(), two.ravel())[0, 1]
        self.assertGreater(ours, 0.5)
        for rotated in (two[::-1], two[:, ::-1], two[:, :, ::-1], two.transpose(2, 1, 0)):
            self.assertLess(np.corrcoef(one.ravel(), rotated.ravel())[0, 1], ours - 0.1)

    def test_the_measures_find_map_and_model_in_one_frame(self):
        evaluation = self.evaluated.getEvaluation()
        for metrics in (evaluation, evaluation["before"]):
            self.assertLess(metrics["fsc05_angstrom"], 1.6 * RESOLUTION)
            self.assertGreater(metrics["local_correlation"], 0.5)
        self.assertAlmostEqual(evaluation["half_maps"]["resolution_angstrom"], RESOLUTION, delta=1.0)
        self.assertIn("higher density at the atoms", " ".join(self.evaluated.summary()))

    def test_the_half_map_test_is_in_the_summary(self):
        self.assertIn("improved with the control of the other half", " ".join(self.improved.summary()))

    def test_the_simulated_model_is_the_given_one(self):
        made = self.compared._made()
        self.assertEqual((made.coverage, made.false_residues), (1.0, 0))
        self.assertLess(made.rmsd_angstrom, 0.01)
