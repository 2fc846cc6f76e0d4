# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of picks of several imports: one order of micrographs, one scale, one name each."""

import contextlib
import os
import sqlite3

from pwem.objects import Micrograph
from pyworkflow.object import Float, Pointer

from ...convert.arriving import coordinatesOn
from ...convert.micrographs import picks as pick_sets
from .. import synthetic
from ..pick_sets import A, PickSetsTest


class TestCryodlPickSets(PickSetsTest):
    def test_positions_of_binned_micrographs_lie_at_the_same_places(self):
        """relion_image_handler --rescale_angpix brings a spot at (300, 200) to (75, 50): not (74.6, 49.6)."""
        picks = pick_sets.scaledPicks(self.c.outputCoordinates, ["mic_001.mrc"], synthetic.PIXEL_SIZE)
        self.assertEqual(picks, {"mic_001.mrc": [(40, 50, None)]})

    def test_coordinates_that_were_taken_out_in_a_table_are_not_worked_on(self):
        coordinates = self.makeCoordinates(self.imported, {1: A}).outputCoordinates
        coordinates.close()
        with contextlib.closing(sqlite3.connect(coordinates.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 2")
        left = [A[0], A[2]]
        self.assertEqual(pick_sets.positionsByMicrograph(coordinates), {1: left})
        self.assertEqual(pick_sets.picksByMicrograph(coordinates, [1]), {1: [(*place, None) for place in left]})
        self.assertEqual([item.getPosition() for item in coordinatesOn(coordinates, [1])[1]], left)
        scaled = pick_sets.scaledPicks(coordinates, ["mic_001.mrc"], coordinates.getMicrographs().getSamplingRate())
        self.assertEqual([place[:2] for place in scaled["mic_001.mrc"]], left)

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

    def test_candidates_keep_their_micrograph_where_names_differ_by_their_ending(self):
        """A name for the engine depends on all micrographs of the set, of which some alone are compared."""
        from unittest import mock

        micrographs, folder = Frame([Micrograph(objId=1), Micrograph(objId=2)]), self.getOutputPath("alike")
        names = pick_sets.micrographNames(micrographs.named("mic.mrc", "mic.tif"))
        os.makedirs(os.path.join(folder, "found"), exist_ok=True)
        for objId, name in names.items():
            pick_sets.writePicks(os.path.join(folder, "found", name + ".star"), [(10.0 * objId, 5.0, 0.9)])
        coordinates = mock.Mock(getMicrographs=lambda: micrographs)
        coordinates.getAttributeValue = lambda name, default=None: os.path.join(folder, "found")
        with mock.patch.object(pick_sets, "scaledPicks", lambda *given: {}):
            [written] = pick_sets.writeSet(os.path.join(folder, "set"), coordinates, micrographs, ["mic.tif"]).values()
        [(x, _, _)] = pick_sets.readPicks(os.path.join(folder, "set", "candidates", written + ".star"))
        self.assertEqual(x, 20)


class Frame(list):
    """Micrographs of one pixel size."""

    def named(self, *names):
        for micrograph, name in zip(self, names):
            micrograph.setMicName(name)
        return self

    def getSamplingRate(self):
        return 1.0


def mockSet(names):
    """Something with micrographs of these ids and names."""
    from unittest import mock

    micrographs = [mock.Mock(getObjId=lambda i=i: i, getMicName=lambda n=n: n) for i, n in names.items()]
    return mock.Mock(getMicrographs=lambda: micrographs)
