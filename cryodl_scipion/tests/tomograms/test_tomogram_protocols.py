# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulating tomograms and training segmenters, from the form to the sets, with a fake engine."""

import os

import mrcfile
import numpy as np
from tomo.constants import BOTTOM_LEFT_CORNER

from ...convert.relion_star import anglesOf
from ...convert.tomograms.tomograms import featuresOf
from ...protocols import (
    CryodlProtExportModel,
    CryodlProtImportModel,
    CryodlProtSimulateTomograms,
    CryodlProtTrainSegmenter,
)
from ...protocols.tomograms.protocol_train_tomograms import LABELLED
from .. import fake_ground_truth
from ..particle_sets import addTo
from ..tomogram_runs import TomogramsTest
from ..tomogram_sets import PIXEL_SIZE, SHAPE, makeAnnotations, makeMasks, makeTomograms


class TestCryodlSimulateTomograms(TomogramsTest):
    @classmethod
    def prepare(cls):
        cls.volume = cls.makeMap("proteasome", 4.0)
        cls.simulated = cls.killedOnce(cls.simulate)

    @classmethod
    def simulate(cls, **values):
        protocol = cls.makeProtocol(
            CryodlProtSimulateTomograms,
            None,
            useGpu=False,
            **dict(dict(count=2, tiltMin=-48.0, tiltMax=52.0, copies="7"), **values),
        )
        addTo(protocol.inputStructures, [cls.volume], "outputVolume")
        return cls.launch(protocol)

    def test_tomograms_labels_and_coordinates_with_the_truth(self):
        tomograms, labels = self.simulated.outputTomograms, self.simulated.outputLabels
        self.assertEqual((tomograms.getSize(), labels.getSize(), tomograms.getSamplingRate()), (2, 2, 13.0))
        self.assertEqual([t.getTsId() for t in labels], ["tomo_001", "tomo_002"])
        self.assertEqual(tomograms.getFirstItem().getDim(), fake_ground_truth.SHAPE[::-1])
        acquisition = tomograms.getFirstItem().getAcquisition()
        self.assertEqual((acquisition.getAngleMin(), acquisition.getAngleMax()), (-48, 52))
        self.assertEqual(labels.getFirstItem().getVolName(), tomograms.getFirstItem().getFileName())
        # the map's copy has the map's name, since the engine calls the feature by it
        self.assertEqual(featuresOf(labels), ["proteasome", "membrane"])
        self.assertEqual(self.request(self.simulated).copies, ("7",))

    def test_a_coordinate_is_the_voxel_of_its_label_and_has_its_angles(self):
        coordinates, tomograms = self.simulated.outputCoordinates, self.simulated.outputTomograms
        self.assertEqual((coordinates.getSize(), coordinates.getBoxSize()), (6, 32))
        labels = {m.getTsId(): mrcfile.read(m.getFileName()) for m in self.simulated.outputLabels}
        for number, tomogram in enumerate([t.clone() for t in tomograms]):
            found = [c.clone() for c in coordinates.iterCoordinates(volume=tomogram)]
            for item, (x, y, z, *angles) in zip(found, fake_ground_truth.positionsOf(number)):
                position = item.getPosition(BOTTOM_LEFT_CORNER)
                self.assertTrue(np.allclose(position, (x, y, z)), position)
                self.assertTrue(np.allclose(anglesOf(item.getMatrix()), angles))
                column, row, section = (int(round(v)) for v in position)
                self.assertEqual((labels[tomogram.getTsId()][section, row, column], item.getGroupId()), (1, 1))

    def test_summary_and_methods(self):
        self.assertIn("simulate-tomograms told this.", self.simulated.summary())
        self.assertEqual(self.simulated._methods(), ["simulate-tomograms was used."])

    def test_without_structures_there_are_no_coordinates_and_mistakes_are_named(self):
        protocol = self.launch(self.makeProtocol(CryodlProtSimulateTomograms, None, useGpu=False))
        self.finished(protocol)
        self.assertFalse(protocol.hasAttribute("outputCoordinates"))
        wrong = self.makeProtocol(CryodlProtSimulateTomograms, None, useGpu=False, copies="many", boxSize=0)
        self.assertIn("Box size (px) is 0", " ".join(wrong.validate()))
        wrong.boxSize.set(20)
        self.assertIn("Copies is many", " ".join(wrong.validate()))


class TestCryodlTrainSegmenter(TomogramsTest):
    def make(self, masks=None, **values):
        return self.makeProtocol(
            CryodlProtTrainSegmenter,
            dict(inputTomograms=(self.tomograms, "outputTomograms"), inputMasks=(masks or self.labels, "outputMasks")),
            **dict(dict(useGpu=False, labelsFrom=LABELLED, label=2), **values),
        )

    def test_a_model_of_one_label_continues_after_a_kill(self):
        protocol = self.killedOnce(lambda: self.launch(self.make()), after=2)
        config, model = self.request(protocol), protocol.outputModel
        self.assertEqual([os.path.basename(p) for p in config.tomograms], ["TS_01.mrc", "TS_02.mrc"])
        self.assertEqual([os.path.basename(p) for p in config.labels], ["TS_01.mrc", "TS_02.mrc"])
        self.assertEqual((config.pixel_size, config.label, config.feature), (PIXEL_SIZE, 2, "ribosome"))
        self.assertEqual(
            (model.getKind(), model.getFeature(), model._annotator.get()), ("segmenter", "ribosome", "annotator")
        )
        self.assertIn("train-segmenter told this.", protocol.summary())
        self.assertEqual(protocol._citations(), ["cryodl", "Ronneberger2015", "Chen2017"])

    def test_wrong_labels_are_named(self):
        self.assertEqual(self.make().validate(), [])
        self.assertIn(
            "Label is empty. Give the value of the feature in the masks: 1 membrane, 2 ribosome",
            " ".join(self.make(label=None).validate()),
        )
        self.assertIn(
            "Label is 7, which the masks do not have. Give the value of the feature in the masks: 1 membrane, 2 ribos",
            " ".join(self.make(label=7).validate()),
        )
        small = makeMasks(self, self.tomograms, dict(TS_01=np.zeros((3, 4, 5), np.int8)))
        self.assertIn(
            "The label volumes of TS_01 have 5 x 4 x 3 px and the tomograms 20 x 24 x 10",
            " ".join(self.make(small).validate()),
        )
        other = makeTomograms(self, ("TS_77",))
        strange = makeMasks(self, other, dict(TS_77=np.zeros(SHAPE, np.int8)))
        self.assertIn("of TS_77 match none of the tomograms: TS_01, TS_02", " ".join(self.make(strange).validate()))

    def test_a_model_to_start_from_must_be_of_the_same_network(self):
        protocol = self.make(network=1)
        protocol.inputModel.set(self.models[0])
        protocol.inputModel.setExtended("outputModel")
        self.assertIn("has the network unet, but Network is unet2d", " ".join(protocol.validate()))

    def drawn(self, annotations=None, **values):
        """A training on annotations that has not run."""
        return self.makeProtocol(
            CryodlProtTrainSegmenter,
            annotations and dict(inputAnnotations=(annotations, "outputAnnotations")),
            useGpu=False,
            **values,
        )

    def test_annotations_of_one_feature_and_annotator_are_learned_from(self):
        annotations = makeAnnotations(self, dict(membrane=(2, 1), ribosome=(1, 0)))
        protocol = self.drawn(annotations, feature="membrane", annotator="anna")
        self.assertEqual((protocol.validate(), protocol.warnings()), ([], []))
        self.finished(self.launch(protocol))
        config = self.request(protocol)
        self.assertEqual(
            (config.annotations, config.feature, config.annotator, config.labels, config.label),
            (annotations.outputAnnotations.getFolder(), "membrane", "anna", (), None),
        )
        self.assertEqual(protocol.outputModel.getFeature(), "membrane")

    def test_annotations_that_cannot_be_learned_from_are_named(self):
        annotations = makeAnnotations(self, dict(membrane=(2, 1), ribosome=(1, 0), actin=(0, 2)))
        self.assertIn("Annotations", " ".join(self.drawn().validate()))
        self.assertIn(
            "Feature is empty; the annotations have tiles of: membrane, ribosome, actin. Choose one of them",
            " ".join(self.drawn(annotations).validate()),
        )
        self.assertIn(
            "Annotator is bob", " ".join(self.drawn(annotations, feature="membrane", annotator="bob").validate())
        )
        self.assertIn(
            "There is no tile with the feature actin", " ".join(self.drawn(annotations, feature="actin").validate())
        )
        self.assertIn(
            "There are no tiles without ribosome", " ".join(self.drawn(annotations, feature="ribosome").warnings())
        )

    def test_the_model_goes_in_and_out_of_a_project(self):
        target = os.path.join(self.data, "segmenter")
        exported = self.runProtocol(
            CryodlProtExportModel, dict(inputModel=(self.models[0], "outputModel")), targetFolder=target
        )
        self.finished(exported)
        imported = self.finished(self.runProtocol(CryodlProtImportModel, modelFolder=target))
        self.assertEqual((imported.outputModel.getKind(), imported.outputModel.getFeature()), ("segmenter", "membrane"))
        self.assertIn("segmenter seg_membrane (membrane, unet", str(imported.outputModel))
