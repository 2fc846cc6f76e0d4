# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a project, with the real page and the fake engine's results."""

import json
import os
import shutil
import unittest
from unittest import mock

from pyworkflow.protocol import STATUS_FAILED, STATUS_RUNNING

from .. import Plugin
from ..protocols import CryodlProtEstimateCTF, CryodlProtModels, CryodlProtReport
from ..protocols.protocol_report import _texts, wordsOfRuns
from ..viewers.model_window import CryodlModelViewer
from ..viewers.viewer_simulate import CryodlReportViewer
from . import synthetic
from .base import CryodlTest, fakePython, usePython


class TestCryodlReport(CryodlTest):
    _REAL_ENGINE = True

    @classmethod
    def prepare(cls):
        if Plugin.validateInstallation():
            raise unittest.SkipTest(Plugin.validateInstallation()[0])
        synthetic.writeMicrographs(cls.data + "/mics", 2)
        imported = cls.importMicrographs(cls.data + "/mics")
        before = Plugin.getPython()
        usePython(fakePython(cls.data))
        cls.estimated = cls.runProtocol(
            CryodlProtEstimateCTF,
            dict(inputMicrographs=(imported, "outputMicrographs")),
            streamingSleepOnWait=1,
            objLabel="<i>my CTFs</i>",
        )
        usePython(before)
        shutil.rmtree(cls.proj.getPath("Runs", "999999_Broken"), ignore_errors=True)
        os.makedirs(cls.proj.getPath("Runs", "999999_Broken", "logs"))
        with open(cls.proj.getPath("Runs", "999999_Broken", "logs", "run.db"), "w") as file:
            file.write("no database")
        cls.report = cls.runProtocol(CryodlProtReport, every=1)

    def test_the_page_tells_of_the_other_runs_in_scipions_words(self):
        self.assertTrue(self.report.isFinished(), self.report.getErrorMessage())
        with open(self.report.getPage(), encoding="utf-8") as file:
            page = file.read()
        self.assertIn("&lt;i&gt;my CTFs&lt;/i&gt;", page)
        self.assertNotIn("<i>my CTFs</i>", page)
        self.assertIn("estimate-ctf was used.", page)  # what the engine says for a paper
        self.assertNotIn("write report", page)  # itself
        self.assertIn("999999_Broken", page)  # a damaged run is named and ends nothing
        self.assertIn("Report on 3 runs", self.report.summary()[0])

    def test_the_words_of_runs_are_read_and_nothing_is_changed(self):
        database = self.estimated._getLogsPath("run.db")
        before = os.stat(database).st_mtime_ns
        words = wordsOfRuns(self.proj.path)
        name = os.path.basename(self.estimated._getPath())
        self.assertEqual(words[name]["label"], "<i>my CTFs</i>")
        self.assertIn("cannot be read", words["999999_Broken"]["summary"][0])
        self.assertEqual(os.stat(database).st_mtime_ns, before)
        json.dumps(words)

    def test_scipions_marks_are_not_in_the_words(self):
        lines = ["*12* of a/*.mrc, b/*.mrc, in [[sci-open:477][set 2]].", " ", "[[https://doi.org/10.1][A, 2016]]"]
        self.assertEqual(_texts(lambda: lines), ["12 of a/*.mrc, b/*.mrc, in set 2.", "A, 2016 https://doi.org/10.1"])

    def test_a_report_that_will_not_come_is_not_waited_for(self):
        for run, viewer in (
            (self.newProtocol(CryodlProtReport), CryodlReportViewer),
            (self.newProtocol(CryodlProtModels), CryodlModelViewer),
        ):
            for status, said in ((STATUS_FAILED, "The run failed: No room"), (STATUS_RUNNING, "yet. Wait until it is")):
                run.setStatus(status)
                run._error.set("No room")
                (message,) = viewer(project=self.proj, protocol=run)._visualize(run)
                self.assertIn(said, message.getMessage())

    def test_the_viewer_opens_the_browser(self):
        with mock.patch("webbrowser.open", return_value=True) as opened:
            viewer = CryodlReportViewer(project=self.proj, protocol=self.report)
            (message,) = viewer._visualize(self.report)
        self.assertTrue(opened.call_args[0][0].endswith("/report.html"))
        # what opens files may find no browser, and says that it did
        self.assertIn(os.path.abspath(self.report.getPage()), message.getMessage())
