# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of picks of several imports: one order of micrographs, one scale, one name each."""

from pyworkflow.object import Float, Pointer

from ...convert.micrographs import picks as pick_sets
from .. import synthetic
from ..pick_sets import PickSetsTest


class TestCryodlPickSets(PickSetsTest):
    def test_positions_of_binned_micrographs_lie_at_the_same_places(self):
        picks = pick_sets.scaledPicks(self.c.outputCoordinates, ["mic_001.mrc"], synthetic.PIXEL_SIZE)
        self.assertEqual(picks, {"mic_001.mrc": [(40.5, 50.5, None)]})

    def test_ids_do_not_matter_names_do(self):
        rotated = mockSet({1: "mic_002.mrc", 2: "mic_001.mrc"})
        self.assertEqual(
            pick_sets.commonMicrographs([self.a.outputCoordinates, rotated]), ["mic_001.mrc", "mic_002.mrc"]
        )
        self.assertEqual(
            pick_sets.commonMicrographs([rotated, self.a.outputCoordinates]), ["mic_002.mrc", "mic_001.mrc"]
        )

    def test_scores_of_other_programs_are_found(self):
        item = self.a.outputCoordinates.getFirstItem().clone()
        self.assertIsNone(pick_sets.anyScoreOf(item))
        item._cryoloScore = Float(0.7)
        self.assertEqual(pick_sets.anyScoreOf(item), 0.7)
        item._cryodlScore = Float(0.2)
        self.assertEqual(pick_sets.anyScoreOf(item), 0.2)

    def test_sets_of_one_name_are_told_apart(self):
        labels = pick_sets.setLabels([Pointer(p, extended="outputCoordinates") for p in (self.a, self.a, self.b)])
        self.assertEqual(len(set(labels)), 3)
        self.assertFalse([label for label in labels if "=" in label or "+" in label])


def mockSet(names):
    """Something with micrographs of these ids and names."""
    from unittest import mock

    micrographs = [mock.Mock(getObjId=lambda i=i: i, getMicName=lambda n=n: n) for i, n in names.items()]
    return mock.Mock(getMicrographs=lambda: micrographs)
