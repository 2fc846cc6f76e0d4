# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking while micrographs arrive, and stopped by the user, with a fake engine."""

import contextlib
import os
import shutil
import sqlite3
from unittest import mock

import psutil
from pyworkflow.protocol import STATUS_FAILED

from ...protocols import CryodlProtImportModel, CryodlProtPick, inputs
from .. import synthetic
from ..base import CryodlTest, picksOf
from ..fake_model import writeModel
from ..launching import realProcesses
from ..streams import endImport, startImport, stopRun, waitFor

PICKS_EACH = 4  # of the synthetic particles, those that score above the fake model's threshold


class TestCryodlPickStreaming(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.model = cls.runProtocol(CryodlProtImportModel, modelFolder=writeModel(cls.data + "/model", {}))

    def test_micrographs_that_arrive_while_it_runs_are_picked_once(self):
        folder, waiting = os.path.join(self.data, "stream"), os.path.join(self.data, "waiting")
        paths = synthetic.writeMicrographs(folder, 6)
        os.makedirs(waiting)
        for path in paths[2:]:
            for end in ("", ".truth.json"):
                shutil.move(path + end, waiting)
        imported = startImport(self, folder)
        protocol = self.makePick(imported, streamingBatchSize=2)
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=False)
        for path in paths[2:]:
            for end in (".truth.json", ""):
                shutil.move(os.path.join(waiting, os.path.basename(path)) + end, path + end)
                os.utime(path + end)
        endImport(self, imported, 6)
        waitFor(self, protocol, lambda: not protocol.isActive())
        self.check(protocol, 6)

    def test_a_set_that_is_unticked_while_it_grows_does_not_give_a_run_without_picks(self):
        """Such a run finished, and its window said that its output had been lost."""
        synthetic.writeMicrographs(os.path.join(self.data, "unticked"), 2)
        imported = startImport(self, os.path.join(self.data, "unticked"))
        waitFor(self, imported, lambda: imported.outputMicrographs.getSize() == 2)
        with contextlib.closing(sqlite3.connect(imported.outputMicrographs.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0")
        protocol = self.makePick(imported, streamingSleepOnWait=1)
        self.proj.launchProtocol(protocol, wait=False)
        endImport(self, imported, 2)
        waitFor(self, protocol, lambda: not protocol.isActive())
        self.assertIn("No micrograph came that could be picked", protocol.getErrorMessage())

    def test_a_run_that_the_user_stops_continues_where_it_was(self):
        protocol = self.atWork("stopped")
        stopRun(self.proj, protocol)
        waitFor(self, protocol, lambda: not protocol.isActive())
        before = self.log(protocol)
        self.assertTrue(3 <= len(before) < 8, before)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(self.log(protocol)[: len(before)], before)
        self.check(protocol, 8)

    def test_micrographs_without_picks_are_not_picked_again(self):
        """They are in no output: a continued run picked them again, and told of them twice."""
        protocol = self.atWork("without_picks", empty=("002.mrc",))
        waitFor(self, protocol, lambda: len(self.log(protocol)) >= 6)
        stopRun(self.proj, protocol)
        waitFor(self, protocol, lambda: not protocol.isActive())
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        told = [name for result in protocol._engineResults() for name in result.outputs.counts]
        self.assertEqual(sorted(told), [f"mic_{number:03d}" for number in range(1, 9)])
        self.assertEqual(self.log(protocol).count("mic_002"), 1)

    def test_a_run_that_is_called_failed_but_works_is_ended_before_it_continues(self):
        with realProcesses():
            protocol = self.atWork("called_failed")
            works = psutil.Process(protocol.getPid())
            protocol.setStatus(STATUS_FAILED)  # as a window does that misses the process
            protocol.setPid(0)
            self.proj._storeProtocol(protocol)
            self.assertTrue(works.is_running())
            with mock.patch.object(inputs, "killWithChilds"), mock.patch.object(inputs, "_LONGEST_END", 0.1):
                with self.assertRaisesRegex(RuntimeError, r"still at work \(process \d+\).*End it"):
                    self.proj.launchProtocol(protocol, wait=True)
            self.assertTrue(works.is_running())
            before = self.log(protocol)
            self.assertLess(len(before), 8)
            self.proj.launchProtocol(protocol, wait=True)
        self.assertFalse(works.is_running() and works.status() != psutil.STATUS_ZOMBIE)
        self.assertEqual(self.log(protocol)[: len(before)], before)
        self.check(protocol, 8)

    # ----- what the tests share
    def atWork(self, name, empty=()):
        """A run that has picked three of eight micrographs. empty: ends of those without particles."""
        for path in synthetic.writeMicrographs(os.path.join(self.data, name), 8):
            if path.endswith(empty):
                synthetic.writeMicrograph(path, 1, [])
        protocol = self.makePick(self.importMicrographs(os.path.join(self.data, name)), streamingBatchSize=2)
        os.environ["FAKE_ENGINE_SLEEP"] = "1"
        try:
            self.proj.launchProtocol(protocol, wait=False)
            waitFor(self, protocol, lambda: len(self.log(protocol)) >= 3)
        finally:
            del os.environ["FAKE_ENGINE_SLEEP"]
        return protocol

    def makePick(self, imported, **values):
        return self.makeProtocol(
            CryodlProtPick,
            dict(inputMicrographs=(imported, "outputMicrographs"), inputModel=(self.model, "outputModel")),
            useGpu=False,
            **values,
        )

    def check(self, protocol, count):
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        picks = picksOf(protocol.outputCoordinates)
        self.assertEqual(
            {name: len(positions) for name, positions in picks.items()},
            {f"mic_{i:03d}.mrc": PICKS_EACH for i in range(1, count + 1)},
        )
        self.assertFalse(protocol.outputCoordinates.isStreamOpen())
        self.assertEqual(sorted(self.log(protocol)), [f"mic_{i:03d}" for i in range(1, count + 1)])

    def log(self, protocol):
        """Names of the micrographs in the order in which the engine picked them."""
        path = protocol._getExtraPath("picks", "picked.log")
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return file.read().split()
