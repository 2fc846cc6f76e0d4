# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes with the real engine: simulated particles that arrive, classes, choice. Skipped with a sentence without
an engine."""

import time
import unittest

import mrcfile
import numpy as np
from pwem.objects import Volume

from ...convert.particles.classes2d import SCORE
from ...protocols import CryodlProtClassify2D, CryodlProtSelectClasses, CryodlProtSimulateParticles
from ..particle_sets import ParticlesTest, finishedWith
from ..simulated import missingEngine, writeStructure
from ..streams import updateRun
from .test_particle_streams import growingParticles

PIXEL_SIZE, BOX, COUNT = 6.0, 32, 60  # Å/px, px


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlClasses2DChain(ParticlesTest):
    _REAL_ENGINE = _SLOW = True

    @classmethod
    def prepare(cls):
        def make(protocol):
            writeStructure(protocol._getExtraPath("body.mrc"))
            volume = Volume(location=protocol._getExtraPath("body.mrc"))
            volume.setSamplingRate(4.0)
            return dict(outputVolume=volume)

        structure = finishedWith(cls, make)
        cls.simulated = cls.finished(
            cls.runProtocol(
                CryodlProtSimulateParticles,
                dict(inputStructure=(structure, "outputVolume")),
                useGpu=False,
                pixelSize=PIXEL_SIZE,
                box=BOX,
                count=COUNT,
                snr=0.5,
                perMicrograph=10,
            )
        )
        cls.classified = cls.arrived()

    @classmethod
    def arrived(cls):
        """A finished classification of particles of which the last third arrives when the others are classified."""
        _, more, close = growingParticles(cls, "", COUNT * 2 // 3, cls.simulated)
        run = cls.makeProtocol(
            CryodlProtClassify2D,
            dict(inputParticles=(cls.simulated, "outputParticles")),
            useGpu=False,
            classes=4,
            epochs=2,
            firstParticles=COUNT // 2,
            streamingSleepOnWait=1,
        )
        cls.proj.launchProtocol(run, wait=False)
        cls._waitOutput(run, "outputAverages", sleepTime=0.1, timeOut=300)
        more()
        close()
        while run.isActive():
            time.sleep(0.1)
            updateRun(cls.proj, run)
        return cls.finished(run)

    def test_later_particles_were_assigned_and_all_classified_again(self):
        results = self.classified._engineResults()
        self.assertEqual([r.outputs.assigned for r in results], [0, COUNT - COUNT * 2 // 3, 0])
        self.assertEqual([r.outputs.count for r in results], [COUNT * 2 // 3, COUNT, COUNT])

    def test_every_particle_is_in_a_class_and_averages_show_bright_protein(self):
        classes, averages = self.classified.outputClasses, self.classified.outputAverages
        self.assertEqual(sum(made.getSize() for made in classes.iterItems()), COUNT)
        for average in averages:
            with mrcfile.open(average.getFileName(), permissive=True) as stack:
                image = np.array(stack.data[average.getIndex() - 1])
            self.assertGreater(image[BOX // 4 : -BOX // 4, BOX // 4 : -BOX // 4].mean(), image[:4].mean())
            self.assertTrue(0 <= average.getAttributeValue(SCORE) <= 1)

    def test_the_best_class_can_be_kept(self):
        best = max(average.getAttributeValue(SCORE) for average in self.classified.outputAverages)
        selected = self.finished(
            self.runProtocol(
                CryodlProtSelectClasses, dict(inputClasses=(self.classified, "outputClasses")), threshold=best
            )
        )
        self.assertGreaterEqual(selected.outputClasses.getSize(), 1)
        self.assertEqual(
            selected.outputParticles.getSize(), sum(made.getSize() for made in selected.outputClasses.iterItems())
        )
