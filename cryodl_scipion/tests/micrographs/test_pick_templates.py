# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking by templates, from the form to the set, with a fake engine."""

from pwem.objects import SetOfCoordinates

from ...protocols import CryodlProtPickTemplates
from .. import synthetic
from ..base import CryodlTest


class TestCryodlPickTemplates(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 3)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.picked = cls.runProtocol(
            CryodlProtPickTemplates, dict(inputMicrographs=(cls.imported, "outputMicrographs")), particleDiameter=60
        )

    def make(self, **values):
        return self.makeProtocol(
            CryodlProtPickTemplates, dict(inputMicrographs=(self.imported, "outputMicrographs")), **values
        )

    def test_picks_keep_their_correlation_as_score(self):
        self.assertTrue(self.picked.isFinished(), self.picked.getErrorMessage())
        output = self.picked.outputCoordinates
        self.assertIsInstance(output, SetOfCoordinates)
        self.assertEqual([(c.getPosition(), c._cryodlScore.get()) for c in output.iterItems()], [((20, 30), 0.62)] * 3)
        self.assertEqual(output._cryodlDiameter.get(), 60.0)
        self.assertGreater(output.getBoxSize(), 1)
        self.assertEqual(output.getMicrographs().getObjId(), self.imported.outputMicrographs.getObjId())

    def test_the_summary_says_what_was_compared(self):
        summary = "\n".join(self.picked.summary())
        self.assertIn("*3 particles* on 3 micrographs", summary)
        self.assertIn("Score threshold: 0.5", summary)
        self.assertIn("Particle diameter: 60 Å", summary)

    def test_micrographs_that_come_after_a_failure_are_picked_with_the_same_threshold(self):
        config, folder = self.picked._config(), self.picked._getExtraPath("batches")
        self.assertEqual(self.picked._ofBatch(config, [], folder).threshold, 0.5)
        self.assertIsNone(self.make(particleDiameter=60)._ofBatch(config, [], folder).threshold)
        self.assertEqual(self.make(particleDiameter=60, threshold=0.3)._config().threshold, 0.3)

    def test_what_does_not_fit_is_named(self):
        self.assertIn("Give a Structure, whose", " ".join(self.make().validate()))
        self.assertIn("Box size (px) is 1", " ".join(self.make(boxSize=1, particleDiameter=60).validate()))
