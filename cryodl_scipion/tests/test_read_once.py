# SPDX-License-Identifier: GPL-3.0-or-later
"""Growing sets of which each item is read once."""

import shutil
import tempfile
import unittest
from unittest import mock

from pwem.objects import Micrograph, SetOfMicrographs
from pyworkflow.object import Set

from ..convert.arriving import ArrivingMicrographs
from ..convert.growing import opened


class TestCryodlReadOnce(unittest.TestCase):
    def grow(self, ids, state=Set.STREAM_OPEN):
        for objId in ids:
            micrograph = Micrograph(location=f"{objId}.mrc")
            micrograph.setMicName(f"{objId}.mrc")
            micrograph.setObjId(objId)
            self.micrographs.append(micrograph)
        self.micrographs.setStreamState(state)
        self.micrographs.write()

    def looked(self):
        """Names that are there, and how many items the look cloned."""
        clones, clone = [], Micrograph.clone
        with mock.patch.object(Micrograph, "clone", lambda item: clones.append(1) or clone(item)):
            self.arriving.update()
        return self.arriving.ready(set()), len(clones)

    def test_a_look_reads_the_new_items_alone_whatever_their_ids(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.micrographs = SetOfMicrographs(filename=folder + "/micrographs.sqlite")
        self.grow([4, 5])
        self.arriving = ArrivingMicrographs(self.micrographs, None)
        self.assertEqual(self.looked(), (["4.mrc", "5.mrc"], 2))
        self.assertEqual(self.looked()[1], 0)
        self.grow([7])
        self.assertEqual(self.looked(), (["4.mrc", "5.mrc", "7.mrc"], 1))
        self.assertFalse(self.arriving.closed)
        self.grow([2, 9], Set.STREAM_CLOSED)  # of a run whose batches ended in another order
        self.assertEqual(sorted(self.looked()[0]), ["2.mrc", "4.mrc", "5.mrc", "7.mrc", "9.mrc"])
        self.assertTrue(self.arriving.closed)
        self.assertEqual(opened(SetOfMicrographs, self.micrographs).getSize(), 5)
