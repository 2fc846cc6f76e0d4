# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking filaments, from the form to the set, with a fake engine."""

import dataclasses
import shutil

from pwem.objects import SetOfCoordinates

from ...convert.micrographs.picks import filamentLines
from ...protocols import CryodlProtPickFilaments
from .. import synthetic
from ..base import CryodlTest


class TestCryodlPickFilaments(CryodlTest):
    @classmethod
    def prepare(cls):
        paths = synthetic.writeMicrographs(cls.data + "/mics", 3)
        shutil.move(paths[2], cls.data + "/mics/mic_009.mrc")
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.picked = cls.runProtocol(
            CryodlProtPickFilaments,
            dict(inputMicrographs=(cls.imported, "outputMicrographs")),
            filamentDiameter=60,
            batchSize=2,
            streamingSleepOnWait=1,
        )

    def make(self, **values):
        return self.makeProtocol(
            CryodlProtPickFilaments,
            dict(inputMicrographs=(self.imported, "outputMicrographs")),
            **dict(dict(filamentDiameter=60), **values),
        )

    def test_segments_keep_tube_number_and_angle(self):
        self.assertTrue(self.picked.isFinished(), self.picked.getErrorMessage())
        output = self.picked.outputCoordinates
        self.assertIsInstance(output, SetOfCoordinates)
        self.assertFalse(output.isStreamOpen())
        rows = [
            (c.getMicName(), c.getPosition(), c._rlnHelicalTubeID.get(), c._rlnAnglePsiPrior.get())
            for c in output.iterItems()
        ]
        self.assertEqual(len(rows), 9)
        self.assertIn(("mic_002.mrc", (30, 60), 2, -45.0), rows)
        self.assertGreater(output.getBoxSize(), 1)
        self.assertEqual(output.getMicrographs().getObjId(), self.imported.outputMicrographs.getObjId())

    def test_the_summary_counts_filaments(self):
        summary = "\n".join(self.picked.summary())
        self.assertIn("*3 filaments* on 3 micrographs", summary)
        self.assertIn("One segment every 40 Å", summary)
        self.assertEqual(self.picked._methods(), ["pick-filaments was used."])

    def test_a_micrograph_that_was_picked_again_after_a_stop_is_counted_once(self):
        made = self.picked._engineResults()[0]
        again = dataclasses.replace(made, outputs=dataclasses.replace(made.outputs, at_edges={"mic_001": 2}))
        both = filamentLines([again, again])
        self.assertEqual(both[:2], filamentLines([made])[:2])
        self.assertEqual(both[2], "2 traces left out along edges of film, margins or the field")

    def test_other_settings_are_not_mixed_into_a_run(self):
        self.picked.filamentDiameter.set(90)
        self.assertIn("another filament diameter", " ".join(self.picked.validate()))

    def test_what_does_not_fit_is_named(self):
        self.assertIn("Batch size is 0", " ".join(self.make(batchSize=0).validate()))
        self.assertIn("Box size (px) is 1", " ".join(self.make(boxSize=1).validate()))
        self.assertTrue(self.make(filamentDiameter=3000).validate())
