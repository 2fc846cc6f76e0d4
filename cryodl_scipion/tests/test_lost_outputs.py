# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed in the moment in which it notes what it made. Other losses: last_second.py, in all tests."""

import contextlib
import importlib
import os
import sqlite3
import subprocess
import sys
from unittest import mock

import psutil
import pyworkflow.utils as pwutils
from pyworkflow.protocol import STATUS_RUNNING, Protocol

from ..protocols import CryodlProtImportModel
from .base import CryodlTest
from .fake_model import writeModel


class TestCryodlLostOutputs(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.folder = writeModel(cls.data + "/model", {})

    def killed(self):
        """A run whose process ended when its first step was done."""
        if importlib.import_module("pyworkflow.protocol.launch")._run.__name__ != "_fork":
            self.skipTest("Runs are processes of their own here, into which nothing can be put.")
        run = self.makeProtocol(CryodlProtImportModel, modelFolder=self.folder)
        with mock.patch.object(Protocol, "_stepFinished", lambda *_: os._exit(9)):
            self.proj.launchProtocol(run, wait=True)
        self.assertTrue(run.isFailed())
        return run

    def test_a_list_of_steps_that_is_partly_or_wholly_cleared_is_begun_anew(self):
        for cleared in (("Properties", "Classes"), ("Classes", "Objects")):
            run = self.killed()
            with contextlib.closing(sqlite3.connect(run.getStepsFile())) as steps:
                for table in cleared:
                    steps.execute(f"DROP TABLE {table}")
            self.proj.launchProtocol(run, wait=True)
            self.assertTrue(run.isFinished(), run.getErrorMessage())
            self.assertEqual(run.outputModel.getNetwork(), "unet")

    def test_a_run_that_is_deleted_while_it_works_is_ended_first(self):
        """Its process would make the folder anew, and compute on, unseen."""
        run = self.runProtocol(CryodlProtImportModel, modelFolder=self.folder)
        words = ["-c", "import time; time.sleep(60)", "pw_protocol_run.py", self.proj.path, run.getDbPath()]
        works = subprocess.Popen([sys.executable, *words])
        self.addCleanup(works.kill)
        self.proj.deleteProtocol(run)
        works.wait(1)
        self.assertFalse(os.path.exists(run._getPath()))

    def test_a_run_that_ends_just_before_it_is_stopped_is_finished(self):
        run = self.runProtocol(CryodlProtImportModel, modelFolder=self.folder)
        run.setStatus(STATUS_RUNNING)  # as an open window knows it
        run.lastUpdateTimeStamp.set(None)
        with contextlib.suppress(psutil.NoSuchProcess):  # pyworkflow looks for its process all the same
            self.proj.stopProtocol(run)
        self.assertTrue(run.isFinished() and run.hasAttribute("outputModel"))

    def test_a_run_at_work_that_is_scheduled_anew_does_not_count_as_failed(self):
        """As Continue, All does with those that work on the set of the run that was stopped."""
        run = self.runProtocol(CryodlProtImportModel, modelFolder=self.folder)
        words = ["-c", "import time; time.sleep(60)", "pw_protocol_run.py", self.proj.path, run.getDbPath()]
        works = subprocess.Popen([sys.executable, *words])
        self.addCleanup(works.kill)
        run.setStatus(STATUS_RUNNING)
        run.setPid(works.pid)
        self.proj._storeProtocol(run)
        with mock.patch("pyworkflow.protocol.schedule", lambda run, **_: run.setPid(os.getpid())):
            self.proj.scheduleProtocol(run)
        works.wait(1)
        run.lastUpdateTimeStamp.set(None)
        self.proj._updateProtocol(run)
        self.assertTrue(run.isScheduled(), run.getErrorMessage())

    def test_outputs_are_there_before_their_step_counts_as_done(self):
        run = self.killed()
        self.assertEqual([name for name, _ in run.iterOutputAttributes()], ["outputModel"])
        self.proj.launchProtocol(run, wait=True)
        self.assertTrue(run.isFinished(), run.getErrorMessage())
        self.assertEqual([name for name, _ in run.iterOutputAttributes()], ["outputModel"])
        self.assertEqual(run.outputModel.getNetwork(), "unet")

    def test_a_scheduler_that_missed_the_end_of_a_run_reads_it_again(self):
        """Its object of an input's run has no project, was read while the run worked, and is as new as run.db."""
        run = self.runProtocol(CryodlProtImportModel, modelFolder=self.folder)
        seen, ended = self.proj.mapper.selectById(run.getObjId()), subprocess.Popen(["true"])
        ended.wait()
        self.assertIsNone(seen.getProject())
        seen.setStatus(STATUS_RUNNING)
        seen.setPid(ended.pid)
        seen.lastUpdateTimeStamp.set(pwutils.getFileLastModificationDate(run.getDbPath()))
        self.proj._updateProtocol(seen)
        self.assertIn(f"Process {ended.pid} not found", seen.getErrorMessage())
        self.proj._updateProtocol(seen)  # at the next look
        self.assertTrue(seen.isFinished(), seen.getErrorMessage())
