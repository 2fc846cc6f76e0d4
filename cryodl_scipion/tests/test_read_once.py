# SPDX-License-Identifier: GPL-3.0-or-later
"""Growing sets of which each item is read once."""

import contextlib
import shutil
import sqlite3
import tempfile
import unittest
from unittest import mock

from pwem.objects import Micrograph, SetOfMicrographs
from pyworkflow.object import Set

from ..convert.arriving import ArrivingMicrographs, ColumnOnce, firstOf, reopened
from ..convert.names import NamesOnce, namesForEngine


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
        with mock.patch.object(Micrograph, "clone", lambda item, **how: clones.append(1) or clone(item, **how)):
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
        self.assertEqual(reopened(SetOfMicrographs, self.micrographs).getSize(), 5)
        self.micrographs.close()
        with contextlib.closing(sqlite3.connect(self.micrographs.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled=0 WHERE id=7")  # as a tick taken away in a table
        self.arriving = ArrivingMicrographs(self.micrographs, None)
        self.assertEqual(self.looked()[0], ["2.mrc", "4.mrc", "5.mrc", "9.mrc"])

    def test_who_reads_the_first_item_of_an_open_set_leaves_no_lock_on_it(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.micrographs = SetOfMicrographs(filename=folder + "/micrographs.sqlite")
        self.assertIsNone(firstOf(self.micrographs))
        self.grow([4, 5, 7])
        current = reopened(SetOfMicrographs, self.micrographs)
        self.assertEqual(firstOf(current).getMicName(), "4.mrc")
        with contextlib.closing(sqlite3.connect(current.getFileName(), timeout=0)) as another:
            another.execute("UPDATE Objects SET enabled=0")
            another.commit()
        self.assertFalse(firstOf(current).isEnabled())

    def test_a_column_is_read_in_the_new_rows_alone_and_anew_in_another_file_of_the_name(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.micrographs = SetOfMicrographs(filename=folder + "/micrographs.sqlite")
        column = ColumnOnce("_micName")
        self.assertEqual(column.update(self.micrographs), set())
        self.grow([4, 5])
        self.assertEqual(column.update(reopened(SetOfMicrographs, self.micrographs)), {"4.mrc", "5.mrc"})
        self.grow([7])
        reads = []
        with mock.patch.object(
            SetOfMicrographs,
            "getUniqueValues",
            lambda items, names, where: reads.append(where) or dict(id=[7], _micName=["7.mrc"]),
        ):
            column.update(reopened(SetOfMicrographs, self.micrographs))
            self.assertEqual(len(column.update(reopened(SetOfMicrographs, self.micrographs))), 3)
        self.assertEqual(reads, ["id>5"])
        self.grow([2])  # of a run whose batches ended in another order
        self.assertEqual(len(column.update(reopened(SetOfMicrographs, self.micrographs))), 4)
        shutil.move(folder + "/micrographs.sqlite", folder + "/before.sqlite")
        self.micrographs = SetOfMicrographs(filename=folder + "/micrographs.sqlite")
        self.grow([9])
        self.assertEqual(column.update(reopened(SetOfMicrographs, self.micrographs)), {"9.mrc"})

    def test_names_for_the_engine_are_those_of_the_whole_set_however_it_grew(self):
        named = {"a/b.mrc": 3, "a_b.mrc": 7, "c.mrc": 9, "a b.mrc": 5}
        for order in (["a/b.mrc", "a_b.mrc", "c.mrc", "a b.mrc"], ["a b.mrc", "c.mrc", "a/b.mrc", "a_b.mrc"]):
            once, grown = NamesOnce(), {}
            for name in order:
                grown[name] = named[name]
                self.assertEqual(once.of(grown), namesForEngine((objId, one) for one, objId in grown.items()))
