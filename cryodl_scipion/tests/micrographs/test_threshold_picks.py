# SPDX-License-Identifier: GPL-3.0-or-later
"""Another threshold for picks that are there, without picking again."""

import os
import shutil
from unittest import mock

from pwem.objects import SetOfCoordinates
from pyworkflow.object import Set

from ...convert.arriving import reopened
from ...protocols import CryodlProtThresholdPicks
from ...viewers import panels_viewer
from ...viewers.micrographs.viewer_picks import CryodlPicksViewer, CryodlPickViewer, PicksData
from ..base import picksOf
from ..picking import EVERYTHING, PickTest
from ..streams import waitFor


class TestCryodlThresholdPicks(PickTest):
    def test_threshold_goes_down_and_up_without_picking(self):
        picked = self.pick()
        for threshold, wanted in ((0.0, EVERYTHING), (0.75, [(40, 50), (121, 60)])):
            protocol = self.runProtocol(
                CryodlProtThresholdPicks, dict(inputCoordinates=(picked, "outputCoordinates")), threshold=threshold
            )
            self.assertEqual(PicksData.ofSet(protocol.outputCoordinates, protocol).threshold, threshold)
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            self.assertEqual(picksOf(protocol.outputCoordinates)["mic_002.mrc"], wanted)
            self.assertEqual(protocol.outputCoordinates.getBoxSize(), picked.outputCoordinates.getBoxSize())
            self.assertEqual(protocol.outputCoordinates._cryodlDiameter.get(), 120)
        # and once more from its own output, which still knows the candidates
        again = self.runProtocol(
            CryodlProtThresholdPicks, dict(inputCoordinates=(protocol, "outputCoordinates")), threshold=0.2
        )
        self.assertEqual(len(picksOf(again.outputCoordinates)["mic_002.mrc"]), 5)

    def test_a_lost_file_of_candidates_costs_no_pick_of_the_set(self):
        picked = self.pick()
        os.remove(picked._getExtraPath("picks", "candidates", "mic_002.star"))
        protocol = self.runProtocol(
            CryodlProtThresholdPicks, dict(inputCoordinates=(picked, "outputCoordinates")), threshold=0.75
        )
        self.assertEqual(picksOf(protocol.outputCoordinates)["mic_002.mrc"], [(40, 50), (121, 60)])

    def test_picks_are_filtered_while_they_arrive(self):
        picked = self.pick()
        self.setState(picked.outputCoordinates, Set.STREAM_OPEN)
        protocol = self.makeProtocol(
            CryodlProtThresholdPicks,
            dict(inputCoordinates=(picked, "outputCoordinates")),
            threshold=0.0,
            streamingSleepOnWait=1,
            batchSize=1,
        )
        self.proj.launchProtocol(protocol, wait=False)
        waitFor(self, protocol, lambda: protocol.hasAttribute("outputCoordinates"))
        self.assertTrue(protocol.isActive() and protocol.outputCoordinates.isStreamOpen())
        self.setState(picked.outputCoordinates, Set.STREAM_CLOSED)
        waitFor(self, protocol, lambda: not protocol.isActive())
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertFalse(protocol.outputCoordinates.isStreamOpen())
        self.assertEqual(picksOf(protocol.outputCoordinates)["mic_002.mrc"], EVERYTHING)

    def setState(self, coordinates, state):
        """Open or close a set in its file."""
        growing = reopened(SetOfCoordinates, coordinates)
        growing.setStreamState(state)
        growing.write()
        growing.close()

    def test_without_candidates_the_threshold_only_goes_up_and_the_form_says_so(self):
        picked = self.pick()
        shutil.rmtree(picked._getExtraPath("picks", "candidates"))
        protocol = self.makeProtocol(
            CryodlProtThresholdPicks, dict(inputCoordinates=(picked, "outputCoordinates")), threshold=0.6
        )
        self.assertEqual(protocol.validate(), [])
        self.assertIn("picks of lower score cannot be added", " ".join(protocol.warnings()))
        self.launchProtocol(protocol)
        self.assertEqual(len(picksOf(protocol.outputCoordinates)["mic_001.mrc"]), 3)

    def test_the_window_of_picks_makes_a_set_of_what_its_slider_shows(self):
        picked = self.pick()
        self.proj.getRunsGraph(refresh=True)
        scipion = mock.Mock()  # its window
        viewer = CryodlPicksViewer(project=self.proj, protocol=picked, parent=scipion)
        *_, subset, _ = viewer.show(picked.outputCoordinates)._arguments
        self.assertIn("The set of picks with a score of at least 0.65 is made by the run", subset(0.65))
        with mock.patch.object(panels_viewer, "ResultsWindow") as results:  # of Analyze results
            CryodlPickViewer(project=self.proj, protocol=picked).visualize(picked, windows=scipion)
        (view,) = results.call_args[0][3]("showPicks", None)
        *_, subset, _ = view._arguments
        subset(0.65)
        self.assertEqual(scipion.viewWidget.refreshRuns.call_count, 2)  # so that the new run is seen
        made = [p for p in self.proj.getRuns() if isinstance(p, CryodlProtThresholdPicks)][-1]
        self.assertEqual(made.inputCoordinates.getUniqueId(), f"{picked.getObjId()}.outputCoordinates")
        self.assertEqual(made.threshold.get(), 0.65)

    def test_unscored_coordinates_and_wrong_thresholds_are_refused(self):
        manual = self.makeCoordinates(self.imported, {1: [(10, 20)]})
        protocol = self.makeProtocol(CryodlProtThresholdPicks, dict(inputCoordinates=(manual, "outputCoordinates")))
        self.assertIn("Score threshold is empty", " ".join(protocol.validate()))
        protocol.threshold.set(0.5)
        self.assertIn("no scores", " ".join(protocol.validate()))
        protocol.threshold.set(1.5)
        self.assertIn("from 0 to 1", " ".join(protocol.validate()))
