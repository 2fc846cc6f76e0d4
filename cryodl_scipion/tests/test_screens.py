# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form, wizard and viewer opens on a display, by the calls that a click makes, under the real launcher.

Skipped where there is no Xvfb or tk. screens.py does the work in a process of its own.
"""

import os
import shutil
import subprocess
import sys
import unittest

from PIL import Image
from pwem.protocols import ProtImportVolumes
from pyworkflow.object import Pointer

from ..protocols import (
    CryodlProtAssess,
    CryodlProtAssignOrientations,
    CryodlProtAutoPick,
    CryodlProtBackProject,
    CryodlProtCompare,
    CryodlProtConsensus,
    CryodlProtDenoise,
    CryodlProtEvaluateDenoiser,
    CryodlProtImportModel,
    CryodlProtIntegrity,
    CryodlProtPick,
    CryodlProtSimulate,
    CryodlProtSimulateParticles,
    CryodlProtThresholdPicks,
    CryodlProtTrainDenoiser,
    CryodlProtTrainFromStructure,
    CryodlProtTrainPicker,
)
from . import synthetic
from .base import CryodlTest
from .fake_model import writeModel
from .particle_sets import addTo
from .processes import runToEnd
from .set_viewer import FEW_COLOURS
from .simulated import writeStructure


def missing():
    """Why windows cannot be tested here, '' if they can."""
    if shutil.which("Xvfb") is None:
        return "Xvfb is not installed (Debian: xvfb)."
    if subprocess.run([sys.executable, "-c", "import tkinter"], capture_output=True).returncode:
        return "this Python has no tkinter (Debian: python3-tk)."
    return ""


def openAll(test, folder, names=()):
    """Run screens.py on a test's project, on a display of its own. names: of the pictures, () for all."""
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        display = ":" + server.stdout.readline().decode().strip()
        words = [sys.executable, "-m", "scipion", "python", "-m", "cryodl_scipion.tests.screens", test.projName, folder]
        return runToEnd(words + list(names), 500, env=dict(os.environ, DISPLAY=display))
    finally:
        server.terminate()
        server.wait()


def linesOf(test, module):
    """What a module of the tests prints on a screen of its own."""
    run = runToEnd(["xvfb-run", "-a", sys.executable, "-m", f"cryodl_scipion.tests.{module}"], 100)
    test.assertEqual(run.returncode, 0, run.stdout + run.stderr)
    return run.stdout.splitlines()


@unittest.skipIf(missing(), missing())
class TestCryodlHand(unittest.TestCase):
    def test_a_picture_is_zoomed_moved_hidden_and_its_contrast_changed(self):
        lines = linesOf(self, "hand")
        self.assertEqual(
            lines,
            [
                "at first [0, 320] 1.00 2 200 Å",
                "zoomed [60, 140] 1.00 2 100 Å",
                "contrast [60, 140] 0.77 2 100 Å",
                "hidden [60, 140] 0.77 0 100 Å",
                "still hidden when drawn again [60, 140] 0.77 0 100 Å",
                "shown [60, 140] 0.77 2 100 Å",
                "without the first set [60, 140] 0.77 1 100 Å",
                "moved by a quarter [39, 119] 0.77 1 100 Å",
                "all of it [0, 320] 0.77 1 200 Å",
            ],
        )


@unittest.skipIf(missing(), missing())
class TestCryodlScreens(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 2)
        imported = cls.importMicrographs(cls.data + "/mics")
        model = cls.runProtocol(CryodlProtImportModel, modelFolder=writeModel(cls.data + "/model", {}))
        inputs = dict(inputMicrographs=(imported, "outputMicrographs"), inputModel=(model, "outputModel"))
        manual = cls.makeCoordinates(imported, {2: [(40 + 50 * i, 60) for i in range(5)]})
        cls.runProtocol(
            CryodlProtTrainPicker,
            dict(inputCoordinates=(manual, "outputCoordinates")),
            useGpu=False,
            particleDiameter=90,
        )
        picked = cls.runProtocol(CryodlProtPick, inputs, useGpu=False)
        cls.runProtocol(CryodlProtPick, inputs, useGpu=False, threshold=1.0)
        cls.runProtocol(CryodlProtThresholdPicks, dict(inputCoordinates=(picked, "outputCoordinates")), threshold=0.6)
        cls.runProtocol(
            CryodlProtAutoPick, inputs, useGpu=False, modelFrom=0, particleDiameter=90, trainingMicrographs=2
        )
        writeStructure(cls.data + "/body.mrc")
        volume = cls.newProtocol(ProtImportVolumes, filesPath=cls.data, filesPattern="body.mrc", samplingRate=4.0)
        cls.launchProtocol(volume)
        for protocolClass in (CryodlProtSimulate, CryodlProtTrainFromStructure):
            cls.runProtocol(
                protocolClass,
                dict(inputStructure=(volume, "outputVolume")),
                useGpu=False,
                count=2,
                size=256,
                particles=3,
            )
        for protocolClass in (CryodlProtCompare, CryodlProtConsensus):
            protocol = cls.makeProtocol(protocolClass, particleDiameter=90)
            protocol.inputSets.set([Pointer(source, extended="outputCoordinates") for source in (picked, manual)])
            cls.proj.launchProtocol(protocol, wait=True)
        cls.prepareDenoising(volume)
        cls.runProtocol(
            CryodlProtAssess,
            dict(inputMicrographs=(imported, "outputMicrographs"), inputCoordinates=(picked, "outputCoordinates")),
            maximumCarbon=15,
        )

    @classmethod
    def prepareDenoising(cls, volume):
        """Runs of all that is done with particles. volume: a finished import of a map."""
        structure = dict(inputStructure=(volume, "outputVolume"))
        raw = cls.runProtocol(CryodlProtSimulateParticles, structure, useGpu=False, box=32, count=20, pixelSize=4.0)
        trained = cls.makeProtocol(CryodlProtTrainDenoiser, useGpu=False)
        addTo(trained.inputSets, [raw], "outputParticles")
        addTo(trained.inputStructures, [volume], "outputVolume")
        cls.proj.launchProtocol(trained, wait=True)
        particles, model = dict(inputParticles=(raw, "outputParticles")), dict(inputModel=(trained, "outputModel"))
        cls.runProtocol(CryodlProtDenoise, dict(particles, **model), useGpu=False)
        cls.runProtocol(CryodlProtEvaluateDenoiser, dict(particles, **dict(structure, **model)), useGpu=False)
        oriented = cls.runProtocol(CryodlProtAssignOrientations, dict(particles, **structure), useGpu=False)
        cls.runProtocol(CryodlProtBackProject, dict(inputParticles=(oriented, "outputParticles")), useGpu=False)
        integrity = cls.makeProtocol(CryodlProtIntegrity, particles, useGpu=False, compositionNames="whole, part")
        addTo(integrity.inputStructures, [volume, raw], "outputVolume")
        cls.proj.launchProtocol(integrity, wait=True)

    def test_wrong_numbers_in_the_box_beside_a_slider_are_reset_and_named(self):
        lines = linesOf(self, "entry_box")
        for typed, line in zip(("abc", "1.5", "", "nan", "0,3"), lines):
            self.assertEqual(
                line, f"{typed!r} taken=False value=0.5 message={typed!r} was typed; it must be a number from 0 to 1."
            )
        taken = "'0.25' taken=True value=0.25 message=There are no micrographs."
        self.assertEqual(lines[5:], [taken, "accepted [0.25]"])

    def test_the_main_picture_is_seen_at_once_and_the_rest_in_tabs(self):
        lines = linesOf(self, "results_tabs")
        self.assertEqual(
            lines,
            [
                "opened ['showFirst']",
                "!tab2 hears h",  # the tab that is seen, and no other
                "!tab hears h",
                "after all were seen ['showFirst', 'showPlot', 'showLater']",
                "['What does not exist yet.', 'Wait.']",  # a message is read in its tab
                "looked again ['showLater']",
                "The run is still active; these are its results so far. ['Wait.']",
                "The run has ended. Refresh shows its last results. ['Field is wrong.']",
                "['Results']",  # no other window
            ],
        )

    def test_all_windows_open(self):
        folder = os.path.join(self.data, "screens")
        os.makedirs(folder)
        run = openAll(self, folder)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for name in (
            "click_outputCoordinates",
            "click_empty",
            "click_outputModel",
            "analyze_CryodlProtPick",
            "form_CryodlProtTrainPicker",
            "wizard_threshold",
            "wizard_diameter_pick",
            "showRounds_CryodlProtAutoPick",
            "analyze_CryodlProtSimulate",
            "analyze_CryodlProtTrainFromStructure",
            "form_CryodlProtTrainFromStructure_Training",
            "showMetrics_CryodlProtCompare",
            "showPicks_CryodlProtCompare",
            "showPicks_CryodlProtConsensus",
            "showMicrographs_CryodlProtAssess",
            "analyze_CryodlProtDenoise",
            "analyze_CryodlProtTrainDenoiser",
            "analyze_CryodlProtSimulateParticles",
            "showParticles_CryodlProtAssignOrientations",
            "showSlices_CryodlProtBackProject",
            "particle",
            "showParticles_CryodlProtIntegrity",
            "showVerdict_CryodlProtEvaluateDenoiser",
            "wizard_mask",
            "wizard_resolution",
            "live_training",
        ):
            with Image.open(os.path.join(folder, name + ".png")) as picture:
                colours = picture.convert("RGB").getcolors(1 << 24)
            self.assertGreater(len(colours), FEW_COLOURS, name)
        self.assertIn("is opened by CryodlPicksViewer", run.stdout)
