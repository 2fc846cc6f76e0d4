# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake engine returns what the real one documents, no more and no less; it checks that itself at each call."""

import unittest

from .documented import checkOutputs, documentedOutputs


class TestFakeEngine(unittest.TestCase):
    def test_the_documented_keys_are_read_without_their_remarks(self):
        self.assertEqual(
            documentedOutputs("propose-boxes"),
            {"folder", "background", "contamination", "background_boxes", "contamination_boxes"},
        )
        self.assertEqual(
            documentedOutputs("consensus-picks"), {"folder", "coordinates", "counts", "picks", "sets", "groups"}
        )

    def test_what_a_command_takes_over_from_another_counts(self):
        self.assertEqual(
            documentedOutputs("auto-pick") - documentedOutputs("pick"), {"rounds", "best_round", "stop_reason"}
        )
        self.assertLess(documentedOutputs("pick"), documentedOutputs("auto-pick"))

    def test_a_command_without_outputs_has_none(self):
        self.assertIsNone(documentedOutputs("doctor"))

    def test_missing_and_undocumented_keys_are_named(self):
        whole = dict.fromkeys(documentedOutputs("assess-micrographs"))
        checkOutputs("assess-micrographs", whole)
        del whole["table"]
        with self.assertRaisesRegex(
            KeyError, "assess-micrographs: .'table'. are documented and missing, none are there"
        ):
            checkOutputs("assess-micrographs", whole)
        with self.assertRaisesRegex(KeyError, "none are documented and missing, .'spare'. are there"):
            checkOutputs("assess-micrographs", dict(whole, table=None, spare=1))
