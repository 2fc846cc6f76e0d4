# SPDX-License-Identifier: GPL-3.0-or-later
"""Our orientations, map and mask as RELION's Refine3D and Postprocess take them, on simulated particles."""

import os
import unittest
from unittest import mock

import numpy as np
from emtable import Table

from ...protocols import CryodlProtAssignOrientations, CryodlProtBackProject, CryodlProtSimulateParticles
from ..particle_sets import ParticlesTest
from ..scheduling import SEVERAL
from ..simulated import importedBody, missing
from .test_denoising_chain import angleBetween, clones

PIXEL_SIZE, BOX, COUNT = 6.0, 32, 300  # Å/px, px


@unittest.skipIf(missing(), missing())
class TestCryodlRefinement(ParticlesTest):
    _REAL_ENGINE = _SLOW = True

    @classmethod
    def prepare(cls):
        from relion.protocols import ProtRelionPostprocess, ProtRelionRefine3D

        cls.volume = importedBody(cls)
        structure = dict(inputStructure=(cls.volume, "outputVolume"))
        sizes = dict(pixelSize=PIXEL_SIZE, box=BOX, count=COUNT, snr=0.2, perMicrograph=10)
        cls.simulated = cls.good(CryodlProtSimulateParticles, structure, useGpu=False, **sizes)
        raw = dict(structure, inputParticles=(cls.simulated, "outputParticles"))
        cls.oriented = cls.good(CryodlProtAssignOrientations, raw, useGpu=False, angularStep=15)
        particles = dict(inputParticles=(cls.oriented, "outputParticles"))
        cls.map = cls.good(CryodlProtBackProject, particles, useGpu=False)
        with mock.patch.dict(os.environ, SEVERAL):
            cls.refined = cls.good(
                ProtRelionRefine3D,
                dict(particles, referenceVolume=(cls.map, "outputVolume")),
                copyAlignment=True,
                initialLowPassFilterA=30,
                angularSamplingDeg=3,
                localSearchAutoSamplingDeg=3,
                doGpu=False,
                numberOfMpi=3,
            )
        cls.post = cls.good(
            ProtRelionPostprocess, dict(protRefine=(cls.refined, ""), solventMask=(cls.map, "outputMask"))
        )

    @classmethod
    def good(cls, kind, pointers, **values):
        return cls.finished(cls.runProtocol(kind, pointers, **values))

    def test_every_particle_is_refined_and_stays_near_the_truth(self):
        found, truth = clones(self.refined.outputParticles), clones(self.simulated.outputParticles)
        self.assertEqual([item.getObjId() for item in found], [item.getObjId() for item in truth])
        matrices = [(one.getTransform().getMatrix(), two.getTransform().getMatrix()) for one, two in zip(found, truth)]
        # RELION draws its halves anew each time: 8 and 14 were seen, 125 where it had not taken our orientations
        self.assertLess(np.median([angleBetween(*pair) for pair in matrices]), 30)

    def test_the_halves_agree_in_the_mask(self):
        (row,) = Table(fileName=self.post._getExtraPath("postprocess.star"), tableName="general")
        self.assertLess(row.rlnFinalResolution, 40)
