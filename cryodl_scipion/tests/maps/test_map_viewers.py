# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewers and wizards of maps show, with a fake engine and without windows."""

import dataclasses
import os
from unittest import mock

import numpy as np
from matplotlib.figure import Figure
from pwem import Domain
from pyworkflow.viewer import DESKTOP_TKINTER

from ...engine.cryodl.contract import doubt_script
from ...protocols import (
    CryodlProtCompareModels,
    CryodlProtEvaluateMap,
    CryodlProtImproveMap,
    CryodlProtSimulate,
    CryodlProtSimulateHalfMaps,
    CryodlProtTrainMapImprover,
)
from ...protocols.model_field import FROM_PROJECT
from ...viewers import panels_viewer
from ...viewers.maps import viewer_evaluate_map
from ...viewers.maps.viewer_evaluate_map import CryodlEvaluateMapViewer
from ...viewers.maps.viewer_improve_map import CryodlImproveMapViewer
from ...viewers.maps.viewer_map import LinkedSlices
from ...viewers.model_window import CryodlTrainViewer
from ...viewers.viewer_simulate import CryodlSimulateViewer
from ..map_sets import ATOMS, SHAPE, MapsTest, writeMap
from ..viewer_panels import PanelsTest

PANELS = {
    CryodlProtImproveMap: CryodlImproveMapViewer,
    CryodlProtEvaluateMap: CryodlEvaluateMapViewer,
    CryodlProtSimulate: CryodlSimulateViewer,
}


class TestCryodlMapViewers(PanelsTest, MapsTest):
    _PANELS = PANELS

    @classmethod
    def prepare(cls):
        super().prepare()
        model, structure = (
            dict(inputModel=(cls.model, "outputModel")),
            dict(inputStructure=(cls.structure, "outputPdb")),
        )
        run = lambda protocolClass, pointers, **values: cls.runProtocol(protocolClass, pointers, **values)
        cls.improved = run(
            CryodlProtImproveMap,
            dict(model, inputVolume=(cls.volume, "outputVolume")),
            modelFrom=FROM_PROJECT,
            useGpu=False,
        )
        cls.evaluated = run(
            CryodlProtEvaluateMap,
            dict(
                dict(structure, inputVolume=(cls.improved, "outputVolume"), inputBefore=(cls.volume, "outputVolume")),
                **{f"inputProcessed{n}": (one, "outputVolume") for n, one in ((1, cls.volume), (2, cls.improved))},
            ),
            useGpu=False,
        )
        cls.compared = run(CryodlProtCompareModels, dict(structure, inputReference=(cls.structure, "outputPdb")))
        cls.simulated = run(CryodlProtSimulateHalfMaps, structure, resolution=4.0)

    # ----- slices
    def test_maps_before_and_after_are_moved_together(self):
        figure, maps = Figure(), {"before": self.data + "/map.mrc", "after": self.data + "/half2.mrc"}
        slices = LinkedSlices(figure, maps, pixelSize=2.5)
        self.assertEqual([[t.get_text() for t in axes.texts] for axes in figure.axes], 2 * [[], [], ["20 Å"]])
        x, y, z = ATOMS[0]
        slices.move((z, y, x))
        for (name, axis), image in slices._images.items():
            up, right = ((y, x), (z, x), (z, y))[axis]
            self.assertEqual(image.get_array()[up, right], 1, (name, axis))  # the atom, on every slice of both
        self.assertEqual(slices._images["before", 0].get_array().shape, SHAPE[1:])

    def test_a_click_moves_the_other_two_slices(self):
        slices = LinkedSlices(Figure(), {"map": self.data + "/map.mrc"})
        axes = [slices._images["map", axis].axes for axis in range(3)]
        slices.move((1, 2, 3))
        self.assertEqual([slices.positionOf(a, 7.2, 5.9) for a in axes], [(1, 6, 7), (6, 2, 7), (6, 7, 3)])
        self.assertIsNone(slices.positionOf(object(), 1, 1))
        slices.move((99, -3, 5))
        self.assertEqual(slices.position, (SHAPE[0] - 1, 0, 5))

    def test_maps_of_unlike_size_are_refused_with_their_sizes(self):
        other = writeMap(self.data + "/turned.mrc", order=(2, 1, 0))
        with self.assertRaisesRegex(ValueError, "turned.mrc has 20 x 24 x 28 voxels, the first map 28 x 24 x 20"):
            LinkedSlices(Figure(), {"map": self.data + "/map.mrc", "turned": other})

    def test_doubt_stands_below_with_its_own_scale(self):
        group = self.panel(self.improved, "showSlices")._arguments[1]
        (paths,) = group.values()
        self.assertEqual(list(paths), ["before", "improved", "doubt"])
        self.assertTrue(all(os.path.exists(path) for path in paths.values()))
        self.assertEqual(self.panel(self.improved, "showSlices")._arguments[4], {"doubt": (0, 1)})
        before = self.panel(self.evaluated, "showSlices")._arguments[1]["map"]
        self.assertEqual(list(before), ["before", "map"])

    def test_a_map_that_was_not_changed_says_so_above_its_slices(self):
        viewer = self.viewer(self.improved)
        self.assertIn("map of doubt", viewer.showSlices(viewer._data())._arguments[3][0])
        why = dict(unchanged="It is not changed. Give the resolution (--resolution).", doubt=None, half_map_test={})
        made = {n: (v, dataclasses.replace(o, **why)) for n, (v, o) in viewer._data().items()}
        self.assertEqual(viewer.showSlices(made)._arguments[3], ["It is not changed. Give the resolution."])
        self.assertEqual(viewer.showTest(made).getMessage(), "It is not changed. Give the resolution.")

    # ----- metrics
    def test_the_half_map_test_is_told_in_words_and_figures(self):
        _, _, _, sentences, good, (titles, rows) = self.panel(self.improved, "showTest")._arguments
        self.assertIsNone(good)  # no green beside what was added
        self.assertIn("of the improvement is supported by the data", sentences[0])
        self.assertEqual(rows[0][1:], ("4.50 Å", "4.40 Å", "3.80 Å", "4.10 Å", "2 %"))
        self.assertEqual(len(titles), len(rows[0]))

    def test_figures_of_both_maps_stand_side_by_side(self):
        good, sentences = viewer_evaluate_map.mapVerdictOf(self.evaluated.getEvaluation())
        self.assertTrue(good and "by the data" in sentences[1])
        titles, rows = viewer_evaluate_map.tableOf(self.evaluated.getEvaluation())
        self.assertEqual(titles, ("Measure", "Map", "Original map"))
        self.assertIn(("Map-model FSC 0.5", "4.2 Å", "5.5 Å"), rows)
        self.assertEqual(
            rows[-2:],
            [
                ("Half-maps, FSC 0.143", "4.5 Å", ""),
                ("Local resolution, median (10 % to 90 %)", "4.60 Å (4.00 to 6.00)", ""),
            ],
        )

    def test_residues_are_drawn_chain_by_chain_with_their_names(self):
        chains = viewer_evaluate_map.readResidues(self.evaluated.getEvaluationFolder())
        self.assertEqual(
            {name: chain["names"] for name, chain in chains.items()}, {"A": ["1 ALA", "2 GLY"], "B": ["7A TRP"]}
        )
        axes = Figure().add_subplot()
        viewer_evaluate_map.drawResidues(axes, chains["A"], "Q-score")
        np.testing.assert_allclose([line.get_ydata() for line in axes.lines[:2]], [[0.51, 0.42], [0.61, 0.52]])
        self.assertIn("mean 0.565", axes.get_legend().get_texts()[1].get_text())
        viewer_evaluate_map.drawResidues(Figure().add_subplot(), chains["B"], "Local correlation")  # one residue

    def test_matched_residues_are_listed(self):
        _, _, _, lines, good, (titles, rows) = self.panel(self.compared, "showResidues")._arguments
        self.assertIsNone(good)
        self.assertEqual(lines[0], "compare-models told this.")
        self.assertEqual((titles[0], titles[-1], rows[0][-1]), ("Chain", "Distance (Å)", "0.500"))

    def test_the_script_is_given_to_chimerax(self):
        with mock.patch.object(panels_viewer.Chimera, "getProgram", return_value="/absent/ChimeraX"):
            self.assertIn("show.cxc", self.panel(self.evaluated, "showInChimera").getMessage())
        with mock.patch.object(panels_viewer.Chimera, "getProgram", return_value=os.path.abspath(__file__)):
            for protocol in (self.improved, self.simulated, self.evaluated):
                self.assertTrue(self.panel(protocol, "showInChimera")._cmd)

    def test_chimerax_colours_every_improved_map_by_its_doubt(self):
        lines = doubt_script([("a.mrc", "b.mrc"), ("c.mrc", None), ("d.mrc", "e.mrc")]).splitlines()
        self.assertEqual(lines[0], 'open "a.mrc"')
        self.assertEqual(
            [line for line in lines if not line.startswith("open")],
            [
                "volume #2 hide",
                "color sample #1 map #2 palette blue:white:red range 0,1",
                "volume #3 hide",
                "volume #5 hide",
                "color sample #4 map #5 palette blue:white:red range 0,1",
                "volume #4 hide",
            ],
        )

    # ----- which viewer a click opens, and runs without results
    def test_the_viewers_are_found_and_wait_for_results(self):
        found = lambda target: Domain.findViewers(target, DESKTOP_TKINTER)
        for protocolClass, viewerClass in PANELS.items():
            new = self.newProtocol(protocolClass)
            self.assertEqual(found(new), [viewerClass])
            for name in self.viewer(new)._getVisualizeDict():
                self.assertIn("yet", self.panel(new, name).getMessage())
        self.assertEqual(found(self.newProtocol(CryodlProtTrainMapImprover)), [CryodlTrainViewer])
