# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewers and wizards of subtomograms show, with a fake engine and without windows."""

import pyworkflow as pw
from pyworkflow.object import Pointer
from pyworkflow.viewer import DESKTOP_TKINTER

from ...protocols import (
    CryodlProtClassifySubtomograms,
    CryodlProtClusterSubtomograms,
    CryodlProtSimulateSubtomograms,
    CryodlProtTrainClassifier,
)
from ...viewers.tomograms.viewer_subtomograms import CONFIDENCE, CryodlSubtomogramsViewer, SubtomogramGallery
from ...viewers.tomograms.viewer_tomograms import CryodlSimulateTomogramsViewer
from ...wizards import tomograms as wizards_tomograms
from ..fake_ground_truth import classOf
from ..tomogram_panels import ViewersTest
from ..tomogram_sets import BOX, PIXEL_SIZE, makeClassifier, makeSubtomograms

COUNT = 10


class TestCryodlSubtomogramViewers(ViewersTest):
    @classmethod
    def prepare(cls):
        cls.items = makeSubtomograms(cls, count=COUNT)
        source, good = (cls.items, "outputSubtomograms"), lambda protocol: cls.finished(cls.launch(protocol))
        model = makeClassifier(cls, ["large", "small"])
        cls.classified = good(
            cls.makeProtocol(
                CryodlProtClassifySubtomograms,
                dict(inputSubtomograms=source, inputModel=(model, "outputModel")),
                useGpu=False,
            )
        )
        cls.grouped = good(
            cls.makeProtocol(CryodlProtClusterSubtomograms, dict(inputSubtomograms=source), useGpu=False, classes=2)
        )

    def test_subtomograms_of_each_class_are_seen_alone_and_sorted(self):
        gallery = SubtomogramGallery.ofClasses(self.classified.outputClasses)
        expected = [classOf(row, 2) for row in range(COUNT)]
        self.assertEqual(
            [(gallery.groups == number).sum() for number in (1, 2)], [expected.count(1), expected.count(2)]
        )
        self.assertEqual((gallery.groupNames, list(gallery.metrics)), (["large", "small"], [CONFIDENCE]))
        self.assertEqual([image.shape for image in gallery.images(0)], [(BOX, BOX)] * 3)
        self.assertIn("rotated to the average", "\n".join(gallery.lines(0)))
        self.assertIn("Class: large", gallery.lines(int(gallery.order(None, 1)[0])))

    def test_simulated_subtomograms_are_seen_by_their_true_class(self):
        simulated = self.makeProtocol(CryodlProtSimulateSubtomograms, None, useGpu=False, count=3, box=BOX)
        for source in (self.makeMap("proteasome", 4.0), self.makeMap("ribosome", 4.0)):
            simulated.inputStructures.append(Pointer(source, extended="outputVolume"))
        output = self.finished(self.launch(simulated)).outputSubtomograms
        gallery = SubtomogramGallery.ofSimulated(output)
        self.assertEqual((gallery.groupNames, len(gallery)), (["proteasome", "ribosome"], output.getSize()))
        self.assertEqual([len(gallery.order(None, group)) for group in (1, 2)], [3, 3])
        self.assertIn("rotated to the structure", "\n".join(gallery.lines(0)))
        found = lambda opened: pw.Config.getDomain().findViewers(opened, DESKTOP_TKINTER)[0]
        self.assertIs(found(output), CryodlSubtomogramsViewer)
        self.assertIs(found(simulated), CryodlSimulateTomogramsViewer)
        self.assertEqual(len(self.panel(simulated, "showGallery")._arguments[1]), output.getSize())

    def test_averages_are_drawn(self):
        self.assertEqual([len(a.images) for a in self.axes(self.classified, "showAverages")], [1] * 6)

    def test_the_confusion_needs_classes_to_compare_with(self):
        self.assertIn("Compare with", self.panel(self.classified, "showConfusion").getMessage())

    def test_a_lost_embedding_is_named(self):
        message = self.panel(self.grouped, "showEmbedding").getMessage()
        self.assertIn("classified_embedding.csv", message)
        path = self.grouped._made().embedding
        with open(path, "w") as file:
            file.write("name,class,component 1,component 2\n" + "".join(f"x,{1 + i % 2},{i},0\n" for i in range(6)))
        axes = self.axes(self.grouped, "showEmbedding")
        self.assertEqual([t.get_text() for t in axes[0].get_legend().get_texts()], ["cluster 1 (3)", "cluster 2 (3)"])

    def test_the_diameter_is_measured_on_the_mean_and_on_subtomograms(self):
        protocol = self.makeProtocol(
            CryodlProtTrainClassifier, dict(inputSubtomograms=(self.items, "outputSubtomograms"))
        )
        measured = wizards_tomograms.toMeasure(protocol)
        self.assertEqual((measured.names[0], len(measured.names)), (f"mean of {COUNT} subtomograms", COUNT + 1))
        self.assertEqual((measured.largest, measured.preview(0).pixels.shape), (BOX * PIXEL_SIZE, (BOX, BOX)))
