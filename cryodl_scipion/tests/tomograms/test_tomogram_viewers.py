# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewers and wizards of tomograms and subtomograms show, with a fake engine and without windows."""

import os
from unittest import mock

import numpy as np
from pwem import Domain
from pyworkflow.viewer import DESKTOP_TKINTER

from ... import wizards
from ...protocols import (
    CryodlProtAnnotate,
    CryodlProtEvaluateSegmentation,
    CryodlProtMeasureMembranes,
    CryodlProtMergeFeatures,
    CryodlProtPickFeatures,
    CryodlProtSimulateTomograms,
    CryodlProtTrainClassifier,
    CryodlProtTrainSegmenter,
    CryodlProtTrainTomograms,
)
from ...viewers import panels_viewer
from ...viewers.gallery_window import Gallery
from ...viewers.micrograph_window import MicrographWindow
from ...viewers.micrographs.diameter_window import micrographsMeasured, particlesMeasured
from ...viewers.model_window import CryodlTrainViewer
from ...viewers.tomograms import viewer_tomograms
from ...viewers.tomograms.slices_window import SCORES, SlicesWindow
from ...viewers.tomograms.viewer_annotations import TileGallery
from ...viewers.tomograms.viewer_subtomograms import SubtomogramGallery, subtomogramsMeasured
from ...viewers.tomograms.viewer_tomograms import featuresIn
from ...wizards import tomograms as wizards_tomograms
from ..tomogram_panels import PANELS, ViewersTest
from ..tomogram_sets import PIXEL_SIZE, SHAPE, makeAnnotations, makeSubtomograms


class TestCryodlTomogramViewers(ViewersTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        good = lambda protocol: cls.finished(cls.launch(protocol))
        cls.segmented = good(cls.segmentation())
        cls.merged = good(cls.merging(cls.segmented))
        cls.picked = good(
            cls.picking(
                cls.labels,
                "outputMasks",
                label=2,
                boxSize=12,
                pointers=dict(inputTomograms=(cls.tomograms, "outputTomograms")),
            )
        )
        cls.judged = good(
            cls.makeProtocol(
                CryodlProtEvaluateSegmentation,
                dict(inputMasks=(cls.merged, "outputLabels"), inputTruth=(cls.labels, "outputMasks")),
            )
        )
        cls.measured = good(
            cls.makeProtocol(CryodlProtMeasureMembranes, dict(inputMasks=(cls.labels, "outputMasks")), label=1)
        )
        cls.simulated = good(cls.makeProtocol(CryodlProtSimulateTomograms, useGpu=False, count=1))

    def test_scores_of_all_features_lie_over_the_tomograms(self):
        data = self.slices(self.segmented, "showScores")
        self.assertEqual((data.names, data.pixelSize), (["TS_01", "TS_02"], PIXEL_SIZE))
        self.assertEqual(
            [(layer.name, layer.kind, layer.threshold) for layer in data.layers],
            [("membrane", SCORES, 0.5), ("ribosome", SCORES, 0.45)],
        )
        self.assertEqual(data.shape("TS_01"), SHAPE)
        scores = [data.overlay("TS_02", layer, 0, 4) for layer in data.layers]
        np.testing.assert_allclose(scores[0].max(), 0.6, atol=0.02)  # the fake's scores are the tomogram's values
        np.testing.assert_allclose(np.clip(scores[0] - 0.1, 0, 1), scores[1], atol=0.011)

    def test_labels_stand_beside_the_scores_that_they_come_of(self):
        data = self.slices(self.merged, "showLabels")
        self.assertEqual([layer.name for layer in data.layers], ["features", "membrane", "ribosome"])
        self.assertEqual(data.layers[0].names, ["membrane", "ribosome"])
        labels = data.overlay("TS_01", data.layer("features"), 0, 4)
        scores = data.overlay("TS_01", data.layer("membrane"), 0, 4)
        self.assertTrue((labels[scores >= 0.5] == 1).all())

    def test_the_table_tells_what_was_found(self):
        _, _, _, _, _, (titles, rows), _, _, note = self.panel(self.merged, "showTable")._arguments
        self.assertEqual(len(titles), len(rows[0]))
        found = featuresIn(self.merged._getExtraPath("merged"))["TS_01"]["membrane"]
        self.assertEqual(
            rows[0],
            ("TS_01", "membrane", f"{found['volume_nm3']:.3g}", f"{found['components']}", "2.5", f"{found['voxels']}"),
        )
        self.assertEqual(note, "All values: extra/merged/features.csv, in the folder of the run.")

    def test_a_run_without_surfaces_says_how_to_get_them(self):
        self.assertIn("Set *Surfaces*", self.panel(self.merged, "showSurfaces").getMessage())

    def test_without_chimerax_it_is_said_where_the_script_lies(self):
        viewer = self.viewer(self.merged)
        with mock.patch.object(panels_viewer.Chimera, "getProgram", return_value="/absent/ChimeraX"):
            message = viewer.chimera("some/script.cxc", "script")
        self.assertIn(os.path.abspath("some/script.cxc"), message.getMessage())
        with mock.patch.object(panels_viewer.Chimera, "getProgram", return_value=os.path.abspath(__file__)):
            self.assertIn("script.cxc", viewer.chimera("some/script.cxc")._cmd)

    def test_places_lie_in_their_tomograms(self):
        data = self.slices(self.picked, "showCoordinates")
        self.assertEqual(
            {name: len(positions) for name, positions in data.points.items()},
            dict.fromkeys(data.names, SHAPE[1] * SHAPE[2]),
        )  # all of slice 1 has the label 2
        self.assertEqual((data.diameter, set(data.points["TS_01"][:, 2])), (12, {1.0}))
        self.assertEqual(sorted(map(tuple, data.points["TS_01"]))[-1], (SHAPE[2] - 1, SHAPE[1] - 1, 1))
        self.assertEqual(os.path.basename(data.files["TS_01"]), "TS_01.mrc")

    def test_membranes_are_seen_in_3d_with_their_table(self):
        _, data, _ = self.panel(self.measured, "showMeshes")._arguments
        self.assertEqual(data.names, ["TS_01", "TS_02"])
        mesh = data.drawn("TS_01")
        self.assertEqual((len(mesh.faces), set(mesh.number)), (4, {1}))
        index = int(30 / PIXEL_SIZE)  # a slice through the middle of the fake's tetrahedron
        self.assertAlmostEqual(data.position("TS_01", 0, index), index * PIXEL_SIZE, 3)
        lines, near = data.outline("TS_01", 0, index)
        self.assertEqual((lines.shape, near.shape), ((3, 2, 2), (3,)))
        self.assertGreaterEqual(lines.min(), 10 / PIXEL_SIZE - 1e-3)
        titles, rows = self.panel(self.measured, "showTable")._arguments[5]
        self.assertEqual([row[:3] for row in rows], [("TS_01", "1", "-"), ("TS_02", "1", "-")])
        self.assertEqual([len(row) for row in rows], [len(titles)] * 2)

    def test_the_meshes_themselves_open_the_same_window(self):
        viewer = viewer_tomograms.CryodlMeshesViewer(project=self.proj, protocol=self.measured)
        (view,) = viewer._visualize(self.measured.outputMeshes)
        data = view._arguments[1]
        self.assertEqual((data.names, len(data.whole("TS_02").faces)), (["TS_01", "TS_02"], 4))
        self.assertEqual(data.slices.shape("TS_01"), SHAPE)

    def test_segmentation_and_truth_are_compared(self):
        data = self.slices(self.judged, "showSlices")
        self.assertEqual([layer.name for layer in data.layers], ["segmentation", "ground truth"])
        self.assertTrue((data.overlay("TS_01", data.layer("ground truth"), 0, 1) == 2).all())
        table = self.panel(self.judged, "showMetrics")._arguments[5]
        self.assertEqual([len(row) for row in table[1]], [len(table[0])] * 2)

    def test_simulated_tomograms_have_their_truth_over_them(self):
        data = self.slices(self.simulated, "showTomograms")
        self.assertEqual([layer.names for layer in data.layers], [["membrane"]])
        self.assertTrue((data.overlay("tomo_001", data.layers[0], 0, 2)[:2] == 1).all())

    def test_annotated_tiles_stand_beside_their_drawings(self):
        made = makeAnnotations(self, dict(membrane=(2, 3)))
        gallery = TileGallery(made.outputAnnotations.getFolder())
        self.assertEqual((len(gallery), gallery.groupNames), (5, ["membrane: with", "membrane: without"]))
        self.assertEqual(gallery.order(None, 1).tolist(), [0, 1])
        image, drawing = gallery.images(0)
        self.assertEqual((image.shape, set(drawing.ravel())), ((16, 16), {1.0}))
        np.testing.assert_array_equal(gallery.pictures(0)[0], image[::-1])  # drawn with the first row at the bottom
        protocol = self.newProtocol(CryodlProtAnnotate)
        protocol.outputAnnotations = made.outputAnnotations
        self.assertIn("from stacks", self.panel(protocol, "showCoordinates").getMessage())

    def test_all_windows_on_volumes_have_the_first_row_at_the_bottom(self):
        """As 3dmod shows them (engine/cryodl/contract/frames.py); micrographs and particles have it on top."""
        subtomograms = makeSubtomograms(self, count=2).outputSubtomograms
        volumes = wizards_tomograms.toMeasure(self.picked), subtomogramsMeasured(subtomograms)
        self.assertTrue(SlicesWindow._UPWARDS and TileGallery.UPWARDS and SubtomogramGallery.UPWARDS)
        self.assertTrue(all(measured.upwards for measured in volumes))
        self.assertFalse(MicrographWindow._UPWARDS or Gallery.UPWARDS)
        flat = mock.MagicMock(getSamplingRate=lambda: 1.0, getDim=lambda: (4, 4, 1), getXDim=lambda: 4)
        flat.__iter__.return_value, flat.iterItems.return_value = [mock.Mock()], iter(())
        self.assertFalse(micrographsMeasured(flat).upwards or particlesMeasured(flat).upwards)

    # ----- which viewer a click opens, and what it says before there is anything
    def test_runs_without_results_have_a_message(self):
        for protocolClass in PANELS:
            new = self.newProtocol(protocolClass)
            for name in self.viewer(new)._getVisualizeDict():
                view = self.panel(new, name)
                if name == "showModel":  # a window, which shows the curves as soon as there are any
                    window = view._windowClass(*view._arguments)
                    self.assertIn("The model is not finished", window._text.get("1.0", "end"))
                    window.root.destroy()
                else:
                    self.assertIn("yet", view.getMessage())

    def test_the_viewers_are_found(self):
        found = lambda target: Domain.findViewers(target, DESKTOP_TKINTER)
        for protocolClass, viewerClass in PANELS.items():
            self.assertEqual(found(self.newProtocol(protocolClass)), [viewerClass])
        for protocolClass in (CryodlProtTrainSegmenter, CryodlProtTrainClassifier):
            self.assertEqual(found(self.newProtocol(protocolClass)), [CryodlTrainViewer])
        masks, positions = viewer_tomograms.CryodlMasksViewer, viewer_tomograms.CryodlCoordinates3DViewer
        for output in (self.merged.outputLabels, self.segmented.scores_membrane):
            self.assertIs(found(output)[0], masks)
        self.assertIs(found(self.picked.outputCoordinates)[0], positions)
        self.assertNotIn(masks, found(self.tomograms.outputTomograms))
        self.assertIs(found(self.measured.outputMeshes)[0], viewer_tomograms.CryodlMeshesViewer)
        self.assertNotIn(viewer_tomograms.CryodlMeshesViewer, found(self.measured.outputCoordinates))
        (view,) = masks(project=self.proj, protocol=self.merged)._visualize(self.merged.outputLabels)
        self.assertEqual([layer.name for layer in view._arguments[1].layers], ["labels"])

    # ----- wizards
    def test_labels_are_listed_with_names_and_numbers(self):
        lines = wizards_tomograms.labelLines(self.labels.outputMasks)
        self.assertEqual(lines, [(1, "1 membrane: 960 voxels"), (2, "2 ribosome: 960 voxels")])

    def test_forms_find_the_wizards(self):
        for protocolClass, fields in (
            (CryodlProtMergeFeatures, {"threshold", "label", "evaluationThreshold"}),
            (CryodlProtTrainTomograms, {"label", "shippedModels", "diameter", "particleDiameter"}),
            (CryodlProtPickFeatures, {"label", "threshold", "diameter", "boxSize"}),
        ):
            protocol = self.newProtocol(protocolClass)
            onForm = {name for name, _ in protocol.getDefinition().iterParams()}  # a child has no field of its parent's
            self.assertEqual(onForm & set(Domain.findWizards(protocol, DESKTOP_TKINTER)), fields)

    def test_scores_have_no_labels_to_choose(self):
        protocol = self.picking(self.segmented, "scores_membrane")
        with self.assertRaisesRegex(ValueError, "are scores of membrane"):
            wizards_tomograms.labelledMasks(protocol)
        self.assertEqual(wizards_tomograms.scoreSets(protocol), [protocol.inputMasks.get()])

    def test_thresholds_of_all_features_go_into_one_field(self):
        self.assertEqual(
            wizards_tomograms.thresholdText(dict(membrane=0.4, ribosome=0.456)), "membrane=0.4, ribosome=0.46"
        )
        self.assertEqual(len(wizards_tomograms.scoreSets(self.merging(self.segmented))), 2)

    def test_wizards_say_what_has_to_be_chosen_first(self):
        for protocolClass, wizard in (
            (CryodlProtPickFeatures, wizards.CryodlLabelWizard),
            (CryodlProtEvaluateSegmentation, wizards.CryodlLabelWizard),
            (CryodlProtPickFeatures, wizards.CryodlScoreThresholdWizard),
            (CryodlProtMergeFeatures, wizards.CryodlScoreThresholdWizard),
            (CryodlProtPickFeatures, wizards.CryodlBoxWizard),
            (CryodlProtPickFeatures, wizards.CryodlSubtomogramDiameterWizard),
            (CryodlProtTrainClassifier, wizards.CryodlSubtomogramDiameterWizard),
        ):
            form = self.form(self.newProtocol(protocolClass))
            wizard().show(form)
            self.assertIn("first", form.showError.call_args[0][0])

    def test_the_box_is_measured_on_the_tomograms(self):
        measured = wizards_tomograms.toMeasure(self.picked)
        self.assertEqual((measured.names, measured.largest), (["TS_01", "TS_02"], int(20 * PIXEL_SIZE / 2)))
        self.assertEqual(measured.preview(0).pixels.shape, SHAPE[1:])
        self.assertEqual([wizards_tomograms.boxOf(diameter, 10.0) for diameter in (100, 101, 121, 5)], [10, 12, 14, 2])
