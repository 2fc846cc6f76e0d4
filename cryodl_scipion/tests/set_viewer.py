# SPDX-License-Identifier: GPL-3.0-or-later
"""A double click on a set of Scipion, on a display of its own: does its viewer draw anything?"""

import os
import subprocess
import time
from unittest import mock

import pyworkflow as pw
from PIL import ImageGrab
from pyworkflow.viewer import DESKTOP_TKINTER

LONGEST = 90  # s until a slow machine has drawn the window
FEW_COLOURS = 8  # what an empty grey window has; a drawn one has hundreds


def problemOfDoubleClick(project, protocol, items):
    """What hinders Scipion's own viewer from showing an output, '' if it draws it.

    Parameters
    ----------
    project : pyworkflow.project.Project
        Loaded, and the working folder.
    protocol : pyworkflow.protocol.Protocol
        Whose output it is.
    items : pwem.objects.EMSet
        Of a kind that Scipion's viewer of sets opens: micrographs, particles, classes.
    """
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1200x900x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        display = ":" + server.stdout.readline().decode().strip()
        project.port = 1  # where the project window would wait for a new subset
        with mock.patch.dict(os.environ, DISPLAY=display, QT_QPA_PLATFORM="xcb"):
            viewer = _opened(project, protocol, items)
            colours, end = 0, time.monotonic() + LONGEST
            while colours <= FEW_COLOURS and viewer.poll() is None and time.monotonic() < end:
                time.sleep(0.5)
                colours = len(ImageGrab.grab(xdisplay=display).getcolors(1 << 24))
        died = viewer.poll() is not None
        viewer.kill()
        said = viewer.communicate()[0]
    finally:
        server.terminate()
        server.wait()
    return "" if colours > FEW_COLOURS and not died else said or f"nothing was drawn in {LONGEST} s"


def _opened(project, protocol, items):
    """The process that a double click starts."""
    viewer = pw.Config.getDomain().findViewers(items, DESKTOP_TKINTER)[0]
    started, popen = [], subprocess.Popen
    told = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (view,) = viewer(project=project, protocol=protocol)._visualize(items)
    with mock.patch("subprocess.Popen", lambda *words, **more: started.append(popen(*words, **told, **more))):
        view.show()
    return started[0]
