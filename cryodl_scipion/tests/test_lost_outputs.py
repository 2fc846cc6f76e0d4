# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed in the moment in which it notes what it made. Other losses: last_second.py, in all tests."""

import importlib
import os
from unittest import mock

from pyworkflow.protocol import Protocol

from ..protocols import CryodlProtImportModel
from .base import CryodlTest
from .fake_model import writeModel


class TestCryodlLostOutputs(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.folder = writeModel(cls.data + "/model", {})

    def test_outputs_are_there_before_their_step_counts_as_done(self):
        if importlib.import_module("pyworkflow.protocol.launch")._run.__name__ != "_fork":
            self.skipTest("Runs are processes of their own here, into which nothing can be put.")
        run = self.makeProtocol(CryodlProtImportModel, modelFolder=self.folder)
        with mock.patch.object(Protocol, "_stepFinished", lambda *_: os._exit(9)):
            self.proj.launchProtocol(run, wait=True)
        self.assertTrue(run.isFailed())
        self.assertEqual([name for name, _ in run.iterOutputAttributes()], ["outputModel"])
        self.proj.launchProtocol(run, wait=True)
        self.assertTrue(run.isFinished(), run.getErrorMessage())
        self.assertEqual([name for name, _ in run.iterOutputAttributes()], ["outputModel"])
        self.assertEqual(run.outputModel.getNetwork(), "unet")
