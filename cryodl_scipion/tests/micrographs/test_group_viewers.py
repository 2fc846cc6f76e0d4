# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewers of comparisons, consensus and assessments show, with a fake engine and without windows."""

import os

import numpy as np
from matplotlib.figure import Figure
from pwem import Domain
from pyworkflow.object import Pointer
from pyworkflow.viewer import DESKTOP_TKINTER

from ...engine.cryodl import contract
from ...protocols import CryodlProtAssess, CryodlProtCompare, CryodlProtConsensus
from ...viewers.micrographs import viewer_compare
from ...viewers.micrographs.viewer_assess import AssessedMicrographs, CryodlAssessViewer
from ...viewers.micrographs.viewer_compare import (
    ComparedPicks,
    CryodlCompareViewer,
    CryodlConsensusViewer,
    FoundTogether,
    comparisonRows,
    matched,
)
from .. import synthetic
from ..base import CryodlTest
from ..particle_sets import finishedWith

A, B = [(40, 50), (120, 60), (200, 70)], [(42, 51), (280, 200)]


class TestCryodlGroupViewers(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 3)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        sets = [cls.makeCoordinates(cls.imported, {2: positions, 3: positions}) for positions in (A, B)]
        reference = cls.makeCoordinates(cls.imported, {2: A, 3: A})
        cls.compared = cls.run_(CryodlProtCompare, sets, dict(referenceCoordinates=(reference, "outputCoordinates")))
        cls.together = cls.run_(CryodlProtConsensus, sets)
        cls.assessed = cls.runProtocol(
            CryodlProtAssess,
            dict(inputMicrographs=(cls.imported, "outputMicrographs"), inputCoordinates=(sets[0], "outputCoordinates")),
            particleDiameter=60,
            maximumCarbon=25,
        )

    @classmethod
    def run_(cls, protocolClass, sets, pointers=None):
        protocol = cls.makeProtocol(protocolClass, pointers, particleDiameter=60)
        protocol.inputSets.set([Pointer(source, extended="outputCoordinates") for source in sets])
        cls.proj.launchProtocol(protocol, wait=True)
        if not protocol.isFinished():
            raise AssertionError(protocol.getErrorMessage() + "\n".join(protocol.getLogsLastLines(30, logFile=1)))
        return protocol

    def panels(self, viewerClass, protocol):
        viewer = viewerClass(project=self.proj, protocol=protocol)
        viewer.setProtocol(protocol)
        return viewer._getVisualizeDict()

    def test_each_set_of_a_comparison_is_a_group(self):
        data = ComparedPicks(self.compared)
        self.assertEqual(len(data.labels), 3)
        self.assertEqual(data.names, ["mic_002.mrc", "mic_003.mrc"])  # the reference has nothing on the first
        counts = []
        for off in (set(), {2, 3}, {1, 3}, {1, 2}):
            data.off = off
            counts.append(data.counts(0).tolist())
        self.assertEqual(counts, [[8, 8], [3, 3], [3, 3], [2, 2]])
        self.assertEqual(data.picks(0, 0).tolist(), [[42, 51, 3], [280, 200, 3]])
        self.assertEqual(data.words(0), "of " + data.labels[2])
        data.off = set()
        self.assertEqual((data.diameter, data.first, data.words(0)), (20, 0, "of all sets"))

    def test_a_set_is_judged_by_the_reference(self):
        data = ComparedPicks(self.compared)
        first, second = data.modes[1:]
        verdicts = {}
        for mode in (first, second):
            data.choose(mode)
            verdicts[mode] = [data.picks(0, 0)[:, 2].tolist().count(verdict) for verdict in (1, 2, 3)]
        # A is the reference itself; of B one of two lies near one of its three
        self.assertEqual(verdicts, {first: [3, 0, 0], second: [1, 1, 2]})
        self.assertEqual(
            (data.labels, data.words(0)), (("true", "false", "missed"), "2 true, 2 false, 4 missed in all")
        )
        data.choose(data.modes[0])
        self.assertEqual((len(data.labels), data.colours, data.counts(0).tolist()), (3, None, [8, 8]))

    def test_picks_are_matched_one_to_one(self):
        picks, reference = np.array([[0.0, 0], [4, 0], [50, 0]]), np.array([[3.0, 0], [90, 0]])
        found, met = matched(picks, reference, 10)
        self.assertEqual((found.tolist(), met.tolist()), ([False, True, False], [True, False]))

    def test_a_particle_has_the_colour_of_how_many_sets_found_it(self):
        data = FoundTogether(self.together)
        self.assertEqual(data.labels, ["1 set", "2 sets"])
        self.assertEqual(data.threshold, 2)
        self.assertEqual([data.counts(v).tolist() for v in (1, 2)], [[0, 3, 3], [0, 2, 2]])
        self.assertEqual(data.first, 1)
        axes = Figure().add_subplot()
        viewer_compare.drawGroups(axes, data.picks(1, 2), data.labels, data.diameter)
        (circles,) = axes.collections
        self.assertEqual(len(circles.get_paths()), 2)
        self.assertEqual([t.get_text() for t in axes.get_legend().get_texts()], data.labels)
        viewer_compare.drawGroups(axes, np.zeros((0, 3)), data.labels, data.diameter)
        self.assertEqual(len(axes.collections[1].get_paths()), 0)

    def test_the_table_has_the_best_first_and_no_figures_without_a_reference(self):
        comparison = self.compared.comparison()
        rows = comparisonRows(comparison)
        self.assertEqual([len(row) for row in rows], [6, 6])
        self.assertGreater(rows[0][4], rows[1][4])
        self.assertEqual([len(row) for row in comparisonRows(dict(comparison, metrics={}))], [2, 2])

    def test_agreement_and_curves_are_drawn(self):
        figure = Figure(figsize=(11, 5))
        viewer_compare.drawComparison(figure, self.compared.comparison(), self.compared.curvesFile())
        left, right = figure.axes
        self.assertEqual([t.get_text() for t in left.texts[:1]], ["1.00"])
        self.assertEqual(len(right.images), 1)
        viewer_compare.drawComparison(figure, self.compared.comparison(), None)
        self.assertEqual(len(figure.axes), 1)
        self.assertEqual(viewer_compare.shortened("a" * 30), "a" * 19 + "...")

    def test_assessed_micrographs_come_in_their_order_with_figures_and_verdict(self):
        data = AssessedMicrographs(self.assessed.goodMicrographs, self.assessed.badMicrographs)
        self.assertEqual(data.names, [f"mic_{i:03d}.mrc" for i in (1, 2, 3)])
        self.assertEqual([good for _, good in data.metrics], [True, True, False])
        self.assertEqual(data.first, 2)
        self.assertRegex(data.inWords(2), r"^particles 3, contaminated area \(%\) 7.5, carbon area")
        self.assertEqual(data.verdict(2), "bad (carbon 30 %)")
        self.assertEqual(data.verdict(0), "good")
        self.assertEqual(AssessedMicrographs(None, None).names, [])

    def test_areas_are_those_of_the_micrograph_though_the_first_of_two_names_is_in_no_output(self):
        other, micrograph = [each.clone() for each in self.assessed.goodMicrographs]  # a.mrc could not be read
        for objId, (one, name) in enumerate(((other, "a.mrc"), (micrograph, "a.tif")), 1):
            one.setObjId(objId)
            one.setMicName(name)
        folder = os.path.join(self.data, "records")
        os.makedirs(folder)
        contract.write_json(os.path.join(folder, "a_000002.json"), dict(areas=["012"]))
        data = AssessedMicrographs([micrograph], None, records=folder, named=[other, micrograph])
        self.assertEqual(data.areas(0).tolist(), [[0, 1, 2]])

    def test_picks_of_a_binned_set_with_other_ids_lie_on_their_micrograph(self):
        def make(protocol):
            binned = protocol._createSetOfMicrographs()
            binned.setSamplingRate(2 * synthetic.PIXEL_SIZE)
            for micrograph in self.imported.outputMicrographs:
                copy = micrograph.clone()
                copy.setObjId(4 - copy.getObjId())
                binned.append(copy)
            return dict(outputMicrographs=binned)

        picked = self.makeCoordinates(finishedWith(self, make), {1: [(20, 25)]}).outputCoordinates  # mic_003.mrc
        data = AssessedMicrographs(self.assessed.goodMicrographs, self.assessed.badMicrographs, picked, 60)
        self.assertEqual([[pick[:2] for pick in picks] for picks in data.picks], [[], [], [(40, 50)]])

    def test_histograms_hold_all_micrographs_and_show_the_limits(self):
        (plotter,) = self.panels(CryodlAssessViewer, self.assessed)["showMetrics"]("showMetrics")
        panels = {axes.get_xlabel(): axes for axes in plotter.getFigure().axes if axes.get_xlabel()}
        carbon = [a for a in plotter.getFigure().axes if a.get_xlabel() == "Carbon area (%)"][0]
        self.assertEqual(sum(p.get_height() for p in carbon.patches), 3)
        self.assertIn("limit 25", [t.get_text() for t in carbon.get_legend().get_texts()])
        self.assertNotIn("Mean score", panels)  # nobody measured it
        path = os.path.join(self.data, "metrics.png")
        plotter.getFigure().savefig(path)
        self.assertGreater(os.path.getsize(path), 10000)

    def test_runs_without_results_have_a_message(self):
        for viewerClass, protocolClass in (
            (CryodlCompareViewer, CryodlProtCompare),
            (CryodlAssessViewer, CryodlProtAssess),
            (CryodlConsensusViewer, CryodlProtConsensus),
        ):
            for panel, show in self.panels(viewerClass, self.newProtocol(protocolClass)).items():
                self.assertIn("yet", show(panel)[0].getMessage())

    def test_the_viewers_are_found(self):
        for viewerClass, protocol in (
            (CryodlCompareViewer, self.compared),
            (CryodlAssessViewer, self.assessed),
            (CryodlConsensusViewer, self.together),
        ):
            self.assertEqual(Domain.findViewers(protocol, DESKTOP_TKINTER), [viewerClass])
