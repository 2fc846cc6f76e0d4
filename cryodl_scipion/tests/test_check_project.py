# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that finds runs which lost their outputs, and mends them."""

import contextlib
import io
import os

from pyworkflow.protocol import Protocol

from ..protocols import CryodlProtImportModel, check_project
from .base import CryodlTest
from .fake_model import writeModel
from .last_second import forget

FAILED = "Process 1 not found running on the machine."


class TestCryodlCheckProject(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.folder = writeModel(cls.data + "/model", {})

    def finishedRun(self, label):
        run = self.runProtocol(CryodlProtImportModel, modelFolder=self.folder, objLabel=label)
        self.assertTrue(run.isFinished(), run.getErrorMessage())
        return run

    def check(self, *words):
        """(exit code, lines) of the command."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = check_project.main([self.projName, *words])
        return code, [line for line in said.getvalue().splitlines() if line]

    def test_what_is_lost_is_found_said_and_mended(self):
        whole, failed, untold, lost = map(self.finishedRun, ("whole", "failed", "untold", "lost"))
        self.assertEqual(self.check(), (0, ["No run lost its outputs, and none counts as failed that finished."]))
        for run in (failed, untold, lost):
            forget(self.proj, run)
        Protocol.setFailed(failed, FAILED)
        for run in (failed, untold, lost):
            self.proj._storeProtocol(run)
        os.remove(lost.getDbPath())
        self.proj.mapper.store(lost)
        self.proj.mapper.commit()
        with open(self.proj.getDbPath(), "rb") as source, open(lost.getDbPath(), "wb") as copy:
            copy.write(source.read())  # as Continue does
        said = [
            "failed: counts as failed, and its own database says: finished.",
            "untold: finished, and the project does not know its outputModel.",
            "lost: finished, and has lost outputModel; its files are there.",
        ]
        self.assertEqual(self.check(), (1, [*said, "--mend puts 3 right."]))
        self.assertEqual(self.check("--mend"), (0, [line + " Mended." for line in said]))
        self.assertEqual(self.check()[0], 0)
        for run in self.proj.getRuns():
            self.assertTrue(run.isFinished(), run)
            self.assertEqual(run.outputModel.getNetwork(), whole.outputModel.getNetwork())

    def test_what_a_user_deletes_is_not_lost_and_a_damaged_note_stops_nothing(self):
        run = self.finishedRun("deleted")
        run.deleteOutput(run.outputModel)
        self.assertEqual(run.lostOutputs(), [])
        open(run._getPath("outputs.json"), "w").close()
        self.assertEqual(run.lostOutputs(), ["its outputs"])
        self.proj.deleteProtocol(run)

    def test_a_project_that_there_is_not_is_named(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(check_project.main(["no such project"]), 2)
        self.assertIn("There is no project 'no such project'", said.getvalue())
