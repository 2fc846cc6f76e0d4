# SPDX-License-Identifier: GPL-3.0-or-later
"""A structure becomes micrographs, a model and picks, by the real engine and without any picked particle.

Skipped where the engine's environment is missing.
"""

import os
import unittest

import numpy as np
from pwem.protocols import ProtImportVolumes

from ...convert.relion_star import readColumns
from ...engine.cryodl import contract
from ...protocols import CryodlProtAutoPick, CryodlProtPick, CryodlProtSimulate, CryodlProtTrainFromStructure
from ..base import CryodlTest
from ..particle_sets import COLUMNS
from ..simulated import DIAMETER, PIXEL_SIZE, missingEngine, writeStructure

BOX = 56  # px
FIELD = dict(useGpu=False, pixelSize=PIXEL_SIZE, size=640, particles=32, snr=0.2, snrMax=None)


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlFromStructure(CryodlTest):
    _REAL_ENGINE = _SLOW = True

    @classmethod
    def prepare(cls):
        writeStructure(os.path.join(cls.data, "body.mrc"))
        cls.volume = cls.newProtocol(
            ProtImportVolumes, filesPath=cls.data, filesPattern="body.mrc", samplingRate=PIXEL_SIZE
        )
        cls.launchProtocol(cls.volume)
        structure = dict(inputStructure=(cls.volume, "outputVolume"))
        # other noise and orientations than those of the training
        cls.simulated = cls.good(CryodlProtSimulate, structure, count=3, boxSize=BOX, seed=7, **FIELD)
        own = dict(
            structure, inputMicrographs=(cls.simulated, "outputMicrographs"), inputCTF=(cls.simulated, "outputCTF")
        )
        cls.trained = cls.good(
            CryodlProtTrainFromStructure,
            own,
            count=4,
            steps=60,
            startGeneral=False,
            ice=0,
            aggregates=0,
            carbon=0,
            gradient=0,
            **FIELD,
        )
        cls.inputs = dict(
            inputMicrographs=(cls.simulated, "outputMicrographs"), inputModel=(cls.trained, "outputModel")
        )
        cls.picked = cls.good(CryodlProtPick, cls.inputs, useGpu=False)

    @classmethod
    def good(cls, protocolClass, pointers, **values):
        protocol = cls.runProtocol(protocolClass, pointers, **values)
        if not protocol.isFinished():
            lines = "\n".join(protocol.getLogsLastLines(40, logFile=0))
            raise AssertionError(f"{protocolClass.__name__}: {protocol.getErrorMessage()}\n{lines}")
        return protocol

    def found(self, picked):
        """Parts of the true particles that were found, and of the picks that are particles."""
        ground_truth, picks = ({}, {})
        for positions, coordinates in (
            (ground_truth, self.simulated.outputCoordinates),
            (picks, picked.outputCoordinates),
        ):
            for item in coordinates.iterItems():
                positions.setdefault(item.getMicId(), []).append(item.getPosition())
        near = sum(
            int(
                (
                    np.linalg.norm(
                        np.array(ground_truth[i])[:, None] - np.array(picks.get(i, [(-999, -999)]))[None], axis=2
                    ).min(axis=1)
                    < DIAMETER / PIXEL_SIZE / 4
                ).sum()
            )
            for i in ground_truth
        )
        return near / sum(map(len, ground_truth.values())), near / max(1, sum(map(len, picks.values())))

    def test_particles_that_nobody_picked_are_found(self):
        recall, precision = self.found(self.picked)
        self.assertGreater(recall, 0.8)
        self.assertGreater(precision, 0.8)
        # farthest blobs' centres are 87 Å apart; twice the width of each around them makes it 113 Å
        self.assertLess(abs(self.trained.outputModel.getParticleDiameter() - 113), 15)

    def test_simulated_sets_agree_with_the_files_as_relion_reads_them(self):
        try:
            from relion.convert import writeSetOfParticles
        except ImportError:
            self.skipTest("The plugin relion is not installed.")
        path = os.path.join(self.data, "exported.star")
        particles = self.simulated.outputParticles
        writeSetOfParticles(particles, path, outputDir=self.data)
        theirs, ours = (
            np.array(readColumns(p, COLUMNS, (float,) * len(COLUMNS), "particles"))
            for p in (path, os.path.join(self.simulated._output(), "particles.star"))
        )
        self.assertGreater(len(theirs), 20)
        rotation = (theirs[:, :3] - ours[:, :3] + 180) % 360 - 180
        self.assertLess(abs(rotation).max(), 0.01)
        self.assertLess(abs(theirs[:, 3:] - ours[:, 3:]).max(), 0.01)
        self.assertEqual((particles.getXDim(), self.simulated.outputCTF.getSize()), (BOX, 3))

    def test_automatic_picking_goes_through_its_rounds(self):
        protocol = self.good(
            CryodlProtAutoPick,
            self.inputs,
            useGpu=False,
            modelFrom=0,
            particleDiameter=DIAMETER,
            rounds=1,
            trainingMicrographs=3,
            steps=15,
            confident=0.6,
        )
        self.assertGreater(min(self.found(protocol)), 0.7)
        contract.check_model(protocol.outputModel.getFolder())
        text = "\n".join(protocol.summary())
        for words in ("1 round of training", "round 0:", "round 1:", "separation"):
            self.assertIn(words, text)
