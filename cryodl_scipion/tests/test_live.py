# SPDX-License-Identifier: GPL-3.0-or-later
"""What *Analyze results* shows of runs that are under way: picks as they come, a training's curve, classes as they
form."""

import os
import time
from unittest import mock

from ..protocols import CryodlProtClassify2D, CryodlProtPick, CryodlProtTrainPicker
from ..viewers.micrographs.viewer_picks import CryodlPickViewer
from ..viewers.model_window import CryodlTrainViewer, metricsPath
from ..viewers.particles.viewer_classes2d import CryodlClasses2DViewer
from ..viewers.plots import readMetrics
from ..viewers.window import WindowView
from . import synthetic
from .base import CryodlTest
from .fake_model import writeModel
from .particle_sets import makeParticles

_LONGEST = 120  # s until a run has something to show


class TestCryodlLive(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 3)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.labels = cls.makeCoordinates(cls.imported, {2: [(40 + 50 * i, 60) for i in range(5)]})
        cls.raw = makeParticles(cls, "raw")
        cls.micrographs = dict(inputMicrographs=(cls.imported, "outputMicrographs"))

    def begun(self, protocolClass, pointers, **values):
        """A run that works while the test looks; its engine takes its time."""
        protocol = self.makeProtocol(protocolClass, pointers, useGpu=False, **values)
        with mock.patch.dict(os.environ, FAKE_ENGINE_SLEEP="3"):
            self.proj.launchProtocol(protocol, wait=False)
        return protocol

    def until(self, look):
        """What a look gives at last."""
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(0.2)
        self.fail("The run has shown nothing.")

    def panel(self, viewerClass, protocol, name):
        """The window of a panel, None while there is a message."""
        viewer = viewerClass(project=self.proj, protocol=protocol)
        viewer.setProtocol(protocol)
        (view,) = viewer._viewsIn(name, None)
        return view if isinstance(view, WindowView) else None

    def ended(self, protocol):
        self.until(lambda: self.proj._updateProtocol(protocol) and not protocol.isActive() or not protocol.isActive())
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())

    def test_picks_are_seen_as_they_come(self):
        writeModel(self.data + "/model", {})
        run = self.begun(
            CryodlProtPick, self.micrographs, modelFrom=1, shippedModel="general", streamingBatchSize=1, avoid=0
        )
        seen = lambda: self.panel(CryodlPickViewer, run, "showPicks")
        first = self.until(seen)
        self.assertTrue(run.isActive())
        counts = lambda picks: picks.counts(picks.threshold).tolist()
        come, every = first._arguments[1], self.micrographs["inputMicrographs"][0].outputMicrographs.getSize()
        self.assertEqual(len(counts(come)) + come.notPicked, every)
        self.assertGreater(come.notPicked, 0)
        self.assertGreater(sum(counts(come)), 0)
        self.ended(run)
        shown = seen()._arguments[1]
        self.assertEqual((len(counts(shown)), shown.notPicked), (every, 0))
        self.assertNotIn(0, counts(shown))

    def test_the_curve_of_a_training_grows(self):
        pointers = dict(inputCoordinates=(self.labels, "outputCoordinates"))
        run = self.begun(CryodlProtTrainPicker, pointers, particleDiameter=90)
        (view,) = CryodlTrainViewer(project=self.proj, protocol=run)._visualize(run)
        steps = lambda: len(readMetrics(metricsPath(view._arguments[1])).get("step", ()))
        begun = self.until(steps)
        self.until(lambda: steps() > begun)
        self.proj._updateProtocol(run)
        self.assertTrue(run.isActive())
        self.ended(run)
        self.assertEqual(steps(), 5)

    def test_classes_are_seen_as_they_form(self):
        pointers = dict(inputParticles=(self.raw, "outputParticles"))
        run = self.begun(CryodlProtClassify2D, pointers, classes=3)
        seen = lambda: self.panel(CryodlClasses2DViewer, run, "showClasses")
        forming = self.until(seen)._arguments[1]
        self.assertTrue(run.isActive())
        self.assertEqual((forming.ids, forming.counts.tolist(), forming.hasScores), ([1, 2], [8, 4], False))
        self.assertEqual(forming.picture(1).shape, (32, 32))
        self.assertIsNone(self.panel(CryodlClasses2DViewer, run, "showParticles"))
        self.ended(run)
        self.assertTrue(seen()._arguments[1].hasScores)
