# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs as Scipion's sets, with a fake engine."""

import contextlib
import os
import sqlite3
import unittest
from pathlib import Path

import mrcfile
import numpy as np
from pwem.objects import CTFModel, SetOfParticles, Transform, Volume
from pwem.protocols import EMProtocol

from ...convert.maps import structureForEngine
from ...convert.micrographs.simulated import simulatedFiles
from ...convert.relion_star import anglesOf, matrixOf
from ...engine.cryodl import contract
from ...protocols import CryodlProtSimulate
from ...protocols.simulating import OwnCtfs, likeOwn
from .. import fake_simulator, synthetic
from ..particle_sets import COLUMNS
from ..simulating import SMALL, SimulateTest, writeMap


class TestCryodlAlignment(unittest.TestCase):
    def test_a_quarter_turn_by_hand(self):
        # rot 0, tilt 0, psi 90: the matrix that RELION's plugin writes for it turns x into -y ...
        self.assertTrue(np.allclose(matrixOf((0, 0, 90))[:2, :2], [[0, -1], [1, 0]]), matrixOf((0, 0, 90)))
        # ... and an origin alone is a shift by it
        self.assertTrue(np.allclose(matrixOf((0, 0, 0), (3, -2))[:3, 3], [3, -2, 0]))

    def test_angles_go_there_and_back(self):
        for angles in ((10, 20, 30), (-170, 95, 3), (0, 0, 0)):
            self.assertTrue(np.allclose(anglesOf(matrixOf(angles, (1, 2))), angles))


class TestCryodlLikeOwn(unittest.TestCase):
    def test_failed_ctfs_do_not_move_the_range_of_defocus(self):
        ctfs = [CTFModel(defocusU=u + 200, defocusV=u, defocusAngle=0) for u in range(10000, 20000, 500)]
        config = contract.SimulateMicrographsConfig(structure="map.mrc", pixel_size=2.0, count=1, output="simulated")
        good = likeOwn(config, None, None, ctfs)
        failed = CTFModel()
        failed.setWrongDefocus()
        self.assertEqual(likeOwn(config, None, None, [failed, failed, *ctfs]), good)
        self.assertEqual((good.minimum_defocus, good.astigmatism), (10575, 200))
        self.assertEqual(OwnCtfs().check(None, ctfs), [])
        self.assertIn("all have failed", OwnCtfs().check(None, [failed])[0])


class TestCryodlSimulate(SimulateTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.imported = cls.importMicrographs(os.path.dirname(synthetic.writeMicrographs(cls.data + "/mics", 4)[0]))
        cls.simulated = cls.simulate(boxSize=48)

    def errors(self, pointers=None, **values):
        protocol = self.makeProtocol(CryodlProtSimulate, dict(self.inputs, **(pointers or {})), **dict(SMALL, **values))
        return " ".join(protocol.validate())

    # ----- sets
    def test_micrographs_with_pixel_size_and_microscope(self):
        self.assertTrue(self.simulated.isFinished(), self.simulated.getErrorMessage())
        micrographs = self.simulated.outputMicrographs
        self.assertEqual((micrographs.getSize(), micrographs.getSamplingRate()), (3, 2.0))
        self.assertEqual(micrographs.getDim()[:2], (256, 256))
        acquisition = micrographs.getAcquisition()
        self.assertEqual(
            (
                acquisition.getVoltage(),
                acquisition.getSphericalAberration(),
                acquisition.getAmplitudeContrast(),
                acquisition.getDosePerFrame(),
            ),
            (300, 2.7, 0.1, 40),
        )
        self.assertEqual([m.getMicName() for m in micrographs], [f"simulated_{i:04d}.mrc" for i in (1, 2, 3)])

    def test_coordinates_with_their_angles(self):
        coordinates = self.simulated.outputCoordinates
        self.assertEqual((coordinates.getSize(), coordinates.getBoxSize()), (6, 48))
        item = coordinates.getFirstItem()
        # the fake simulator's first particle of the second micrograph: 60.25, 71.5; angles 10, 20, -50
        self.assertEqual((item.getMicName(), item.getPosition()), ("simulated_0002.mrc", (60, 72)))
        self.assertEqual([item.getAttributeValue("_rlnAngle" + a) for a in ("Rot", "Tilt", "Psi")], [10, 20, -50])
        self.assertEqual(coordinates._cryodlDiameter.get(), fake_simulator.DIAMETER)

    def test_ctfs_also_of_a_micrograph_without_particles(self):
        ctfs = [c.clone() for c in self.simulated.outputCTF]
        self.assertEqual(
            [(c.getDefocusU(), c.getDefocusV(), c.getDefocusAngle()) for c in ctfs],
            [(8050 + 100 * i, 7950 + 100 * i, 15 + i) for i in range(3)],
        )
        self.assertEqual([c.getMicrograph().getMicName() for c in ctfs], [f"simulated_{i:04d}.mrc" for i in (1, 2, 3)])
        self.assertEqual(self.simulated.outputCTF.getMicrographs().getSize(), 3)

    def test_particles_have_alignment_ctf_and_place(self):
        particles = self.simulated.outputParticles
        self.assertTrue(particles.hasAlignmentProj() and particles.hasCTF())
        self.assertEqual((particles.getSize(), particles.getXDim(), particles.getSamplingRate()), (6, 48, 2.0))
        item = particles.getFirstItem()
        self.assertEqual(
            (item.getMicId(), item.getCoordinate().getPosition(), item.getCTF().getDefocusU()), (2, (60, 72), 8150)
        )
        self.assertTrue(np.allclose(anglesOf(item.getTransform().getMatrix()), (10, 20, -50)))
        # the particle is at 60.25, 71.5 and its box at 60, 72: the shift that centres it is (-0.25, 0.5)
        self.assertTrue(np.allclose(np.linalg.inv(item.getTransform().getMatrix())[:2, 3], (0.25, -0.5)))

    def test_relion_reads_what_the_engine_meant(self):
        try:
            from relion.convert import writeSetOfParticles
        except ImportError:
            self.skipTest("The plugin relion is not installed.")
        from ...convert.relion_star import readColumns

        path = os.path.join(self.data, "exported.star")
        writeSetOfParticles(self.simulated.outputParticles, path, outputDir=self.data)
        theirs, ours = (
            readColumns(p, COLUMNS, (float,) * len(COLUMNS), "particles")
            for p in (path, os.path.join(self.simulated._output(), "particles.star"))
        )
        self.assertTrue(np.allclose(theirs, ours, atol=1e-3), (theirs, ours))

    def test_without_a_box_there_are_no_particles(self):
        protocol = self.simulate()
        self.assertFalse(hasattr(protocol, "outputParticles"))
        # 1.5 diameters of 60 Å at 2 Å/px
        self.assertEqual(protocol.outputCoordinates.getBoxSize(), 44)

    # ----- inputs
    def test_the_maps_pixel_size_is_scipions_and_its_file_is_not_touched(self):
        with mrcfile.open(self.request(self.simulated).structure) as mrc:
            self.assertAlmostEqual(float(mrc.voxel_size.x), 2.0)
        with mrcfile.open(self.data + "/map.mrc") as mrc:
            self.assertAlmostEqual(float(mrc.voxel_size.x), 9.0)
        self.assertEqual(self.request(self.simulate(pixelSize=None)).pixel_size, 2.0)

    def test_own_micrographs_and_ctfs_decide_what_the_simulated_ones_are_like(self):
        protocol = self.simulate(
            dict(inputMicrographs=(self.imported, "outputMicrographs"), inputCTF=(self.simulated, "outputCTF")),
            voltage=200,
            maximumDefocus=50000,
        )
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        config = self.request(protocol)
        self.assertEqual((config.pixel_size, config.voltage, len(config.noise_from)), (synthetic.PIXEL_SIZE, 300, 4))
        self.assertEqual((config.minimum_defocus, config.maximum_defocus, config.astigmatism), (8010, 8190, 100))
        own = self.imported.outputMicrographs
        for unticked, count in (("id = 2", 3), ("1", 0), ("0", 4)):  # all: of a run that is under way
            own.close()
            with contextlib.closing(sqlite3.connect(own.getFileName())) as file, file:
                file.execute(f"UPDATE Objects SET enabled = NOT {unticked}")
            self.assertEqual(len(likeOwn(config, None, own, None).noise_from), count)  # the noise of unticked ones, too

    def test_orientations_of_particles_reach_the_engine(self):
        protocol = self.simulate(dict(inputParticles=(self.simulated, "outputParticles")))
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        with open(self.request(protocol).orientations) as file:
            rows = [line.split() for line in file if line[0] in "-0123456789"]
        self.assertEqual((len(rows), [float(v) for v in rows[0]]), (6, [10, 20, -50]))

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(), "")
        self.assertIn("EMPTY", self.errors(dict(inputStructure=(None, ""))))
        self.assertIn("Number of micrographs is missing", self.errors(count=None))
        self.assertIn("below the minimum defocus", self.errors(minimumDefocus=9000, maximumDefocus=8000))
        self.assertIn("Maximum SNR is 0.01, below", self.errors(snrMax=0.01))
        self.assertIn("Size is 10 px", self.errors(size=10))
        bare = self.bareParticles()
        self.assertIn("without projection alignment", self.errors(dict(inputParticles=(bare, "outputParticles"))))
        strange = Volume(location=self.data + "/map.xyz")
        strange.setSamplingRate(2.0)
        from ...convert.maps import structureProblem

        self.assertIn("does not exist", structureProblem(strange)[0])
        os.rename(writeMap(self.data + "/other.mrc", 2.0), self.data + "/map.xyz")
        self.assertIn("must end in one of .mrc, .map", structureProblem(strange)[0])
        strange.setLocation(self.data + "/notes.mrc")
        Path(strange.getFileName()).write_text("my notes\n" * 200)
        self.assertIn("notes.mrc begins with text, not with an MRC header.", structureProblem(strange)[0])

    def bareParticles(self):
        protocol = self.newProtocol(EMProtocol)
        self.proj.saveProtocol(protocol)
        protocol.makePathsAndClean()
        particles = SetOfParticles.create(protocol._getPath())
        particles.setSamplingRate(2.0)
        for source in self.simulated.outputParticles:
            item = source.clone()
            item.setTransform(Transform())
            particles.append(item)
        particles.write()
        protocol._defineOutputs(outputParticles=particles)
        protocol.setFinished()
        self.proj._storeProtocol(protocol)
        return protocol

    def test_a_copy_of_a_map_is_made_once_and_read_from_many_kinds_of_names(self):
        volume = Volume(location=self.data + "/map.mrc:mrc")
        volume.setSamplingRate(3.5)
        volume.setObjId(77)
        copy = structureForEngine(volume, self.data)
        stamp = os.stat(copy).st_mtime_ns
        self.assertEqual((structureForEngine(volume, self.data), os.stat(copy).st_mtime_ns), (copy, stamp))
        os.rename(self.data + "/map.mrc", self.data + "/import_map.mrc")
        volume.setLocation(self.data + "/import_map.mrc")
        named = structureForEngine(volume, self.data, named=True)
        os.rename(self.data + "/import_map.mrc", self.data + "/map.mrc")
        self.assertEqual(os.path.basename(named), "map.mrc", "as the user knows it, without Scipion's prefix")

    # ----- runs
    def test_a_killed_run_continues_and_a_changed_one_begins_anew(self):
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "0"
        try:
            protocol = self.simulate()
            self.assertTrue(protocol.isFailed())
            self.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        protocol.count.set(2)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(
            (protocol.outputMicrographs.getSize(), len(simulatedFiles(self.request(protocol).output + "/micrographs"))),
            (2, 2),
        )

    def test_summary_and_methods(self):
        text = "\n".join(self.simulated.summary())
        for words in ("simulate-micrographs told this", "6 of the particles were extracted", "CPU (fake)"):
            self.assertIn(words, text)
        self.assertEqual(self.simulated._methods(), ["simulate-micrographs was used."])
        protocol = self.newProtocol(CryodlProtSimulate)
        self.assertEqual((protocol.summary(), protocol._methods()), (["No micrographs yet."], []))
