# SPDX-License-Identifier: GPL-3.0-or-later
"""A double click on micrographs opens Scipion's own viewer of sets, which needs Qt's libraries (scripts/setup.sh).

Particles and classes are opened by the same program.
"""

import os
import subprocess
import time
import unittest
from unittest import mock

import pyworkflow as pw
from PIL import ImageGrab
from pyworkflow.viewer import DESKTOP_TKINTER

from . import synthetic
from .base import CryodlTest
from .test_screens import FEW_COLOURS, missing

LONGEST = 90  # s until a slow machine has drawn the window


@unittest.skipIf(missing(), missing())
class TestCryodlSets(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 2)
        cls.imported = cls.importMicrographs(cls.data + "/mics")

    def opened(self, obj):
        """The process that a double click on an output starts; it draws on this test's display."""
        viewer = pw.Config.getDomain().findViewers(obj, DESKTOP_TKINTER)[0]
        started, popen = [], subprocess.Popen
        keep = lambda *words, **more: started.append(popen(*words, stderr=subprocess.STDOUT, **self.quiet, **more))
        (view,) = viewer(project=self.proj, protocol=self.imported)._visualize(obj)
        with mock.patch("subprocess.Popen", keep):
            view.show()
        return started[0]

    def test_micrographs_are_shown(self):
        self.quiet = dict(stdout=subprocess.PIPE, text=True)
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "1200x900x24", "-nolisten", "tcp"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        display = ":" + server.stdout.readline().decode().strip()
        environment = dict(DISPLAY=display, QT_QPA_PLATFORM="xcb")
        self.proj.port = 1  # where the project window would wait for a new subset
        with mock.patch.dict(os.environ, environment):
            viewer, colours, end = self.opened(self.imported.outputMicrographs), 0, time.monotonic() + LONGEST
            while colours <= FEW_COLOURS and viewer.poll() is None and time.monotonic() < end:
                time.sleep(0.5)
                colours = len(ImageGrab.grab(xdisplay=display).getcolors(1 << 24))
        died = viewer.poll()
        viewer.kill()
        said = viewer.communicate()[0]
        server.terminate()
        server.wait()
        self.assertIsNone(died, said)
        self.assertGreater(colours, FEW_COLOURS, said)
