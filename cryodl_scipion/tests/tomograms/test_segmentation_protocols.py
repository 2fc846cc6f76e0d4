# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenting, merging, picking in segmentations and judging them, from the form to the sets, with a fake engine."""

import os
from unittest import mock

import mrcfile
import numpy as np
from pyworkflow.object import Pointer
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import MeshPoint

from ...convert.relion_star import anglesOf
from ...convert.tomograms.tomograms import clonesOf, featureOf, featuresOf, markScores
from ...engine.cryodl import contract
from ...protocols import (
    CryodlProtEvaluateSegmentation,
    CryodlProtMeasureMembranes,
    CryodlProtMergeFeatures,
    model_field,
)
from ...protocols.model_field import shippedModels
from ...protocols.tomograms import protocol_segment
from ...protocols.tomograms.tomogram_kinds import checkTomograms
from ..fake_model import segmenterCard, writeModel
from ..particle_sets import addTo
from ..tomogram_runs import TomogramsTest
from ..tomogram_sets import PIXEL_SIZE, SHAPE, makeMasks, makeSegmenter, makeTomograms


class TestCryodlSegmentAndMerge(TomogramsTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.segmented = cls.launch(cls.segmentation())

    def scores(self, protocol, feature):
        return getattr(protocol, "scores_" + feature)

    def test_a_set_of_scores_for_each_feature_in_the_place_of_the_tomograms(self):
        self.finished(self.segmented)
        self.assertFalse(self.scores(self.segmented, "membrane").isStreamOpen())
        for feature, threshold in (("membrane", 0.5), ("ribosome", 0.45)):
            scores = self.scores(self.segmented, feature)
            self.assertEqual((featureOf(scores), scores._cryodlThreshold.get()), (feature, threshold))
            masks = {m.getTsId(): m.clone() for m in scores}  # in the order in which they were ready
            for tomogram in [t.clone() for t in self.tomograms.outputTomograms]:
                mask = masks.pop(tomogram.getTsId())
                self.assertEqual((mask.getSamplingRate(), mask.getDim()), (PIXEL_SIZE, SHAPE[::-1]))
                self.assertEqual(mask.getShiftsFromOrigin(), tomogram.getShiftsFromOrigin())
                self.assertEqual(mask.getVolName(), tomogram.getFileName())
                self.assertEqual(mask.getAcquisition().getAngleMax(), 54)
            self.assertEqual(masks, {})
        config = contract.Request.read(
            self.segmented._getExtraPath("batches", "000001_000001_1", "request.json")
        ).config
        self.assertEqual((config.scores, config.names, config.pixel_size), ("int8", ("TS_01",), PIXEL_SIZE))
        self.assertEqual(set(self.segmented._possibleOutputs), {"scores_membrane", "scores_ribosome"})
        self.assertEqual(self.segmented.summary()[:2], ["*2 tomograms* segmented", "segment told this."])
        self.assertEqual(self.segmented._methods(), ["segment was used."])

    def test_a_model_that_comes_with_the_plugin_is_taken_by_its_name(self):
        card = segmenterCard("membrane", name="membrane")
        shipped = {"membrane": writeModel(os.path.join(self.getOutputPath(), "shipped_membrane"), card)}
        with mock.patch.object(model_field, "shippedModels", return_value=shipped):
            protocol = self.segmentation(models=[], shippedModels="membrane, membrane")
            self.assertEqual(protocol.validate(), [])
            self.assertEqual(protocol._engineValues()["model"], (shipped["membrane"],))
            self.assertEqual(list(protocol._possibleOutputs), ["scores_membrane"])

    def test_without_any_choice_all_shipped_models_are_taken_and_beside_own_ones_none(self):
        shipped = [folder for _, folder in shippedModels("segmenter").items()]
        protocol = self.segmentation(models=[])
        self.assertEqual(protocol.validate(), [])
        self.assertEqual((len(shipped), list(protocol._engineValues()["model"])), (4, shipped))
        self.assertFalse(set(shipped) & set(self.segmentation()._engineValues()["model"]))

    def test_damaged_tomograms_are_left_out_and_named(self):
        broken = makeTomograms(self)
        with open(broken._getExtraPath("TS_02.mrc"), "r+b") as file:
            file.truncate(2000)
        protocol = self.finished(self.launch(self.segmentation(broken)))
        self.assertEqual([m.getTsId() for m in protocol.scores_membrane], ["TS_01"])
        self.assertRegex("\n".join(protocol.summary()), r"1 skipped:\*\n +TS_02: .*the file is shorter")

    def test_a_run_that_was_killed_between_its_sets_is_completed(self):
        protocol = self.killedOnce(lambda: self.launch(self.segmentation(batchSize=2)), after=1)
        with open(protocol._getExtraPath("scores", "segmented.log")) as file:
            self.assertEqual(file.read().split(), ["TS_01", "TS_02"])
        self.assertEqual([m.getTsId() for m in protocol.scores_ribosome], ["TS_01", "TS_02"])

    def test_what_does_not_fit_is_named(self):
        with mock.patch.object(protocol_segment, "shippedModels", return_value={}):
            self.assertIn("There is no model. Choose", " ".join(self.segmentation(models=[]).validate()))
        unknown = self.segmentation(models=[], shippedModels="membrain")
        self.assertIn("Shipped model is 'membrain', which does not exist", " ".join(unknown.validate()))
        self.assertIn(
            "Scipion threads is 2; at least 3 are needed: one starts the steps, one looks for new tomograms",
            " ".join(self.segmentation(numberOfThreads=2).validate()),
        )
        picker = self.makeModel("a_picker", {})
        self.assertIn("kind 'picker'; a segmenter is needed", " ".join(self.segmentation(models=[picker]).validate()))
        alike = [makeSegmenter(self, feature) for feature in ("outer wall", "outer_wall")] + self.models
        self.assertIn(
            "the features 'outer wall', 'outer_wall' would all go to the output scores_outer_wall",
            " ".join(self.segmentation(models=alike).validate()),
        )
        lost = makeTomograms(self)
        os.remove(lost._getExtraPath("TS_01.mrc"))
        self.assertEqual(self.segmentation(lost).validate(), [])  # the others are segmented
        self.assertIn("TS_01.mrc does not exist", " ".join(checkTomograms(lost.outputTomograms)))
        for tomogram in clonesOf(lost.outputTomograms):
            with open(tomogram.getFileName(), "w") as file:
                file.write("not a tomogram\n" * 100)
        self.assertIn(
            "TS_01.mrc begins with text, not with an MRC header", " ".join(self.segmentation(lost).validate())
        )
        # Scipion cannot make a set of such files without the package that reads them, so the items are given alone
        tomogram = lost.outputTomograms.getFirstItem().clone()
        tomogram.setFileName("TS_01.hdf")
        with mock.patch.object(lost.outputTomograms, "iterItems", lambda **_: [tomogram]):
            self.assertIn(
                "TS_01.hdf does not have the name of an MRC file (.mrc", " ".join(checkTomograms(lost.outputTomograms))
            )
        self.assertEqual(self.segmentation(makeTomograms(self, pixelSize=14.0)).warnings(), [])  # resampled, and said

    def test_features_compete_and_the_table_is_told(self):
        protocol = self.finished(self.launch(self.merging(self.segmented, threshold="0.4", minimumSize=3.0)))
        labels = protocol.outputLabels
        self.assertEqual(
            (featuresOf(labels), labels.getSize(), labels.getSamplingRate()), (["membrane", "ribosome"], 2, PIXEL_SIZE)
        )
        first = {label.getTsId(): label.clone() for label in labels}["TS_01"]  # in the order of the scores
        self.assertEqual(first.getDim(), SHAPE[::-1])
        self.assertEqual(first.getVolName(), self.tomograms.outputTomograms.getFirstItem().getFileName())
        # feature 1 scores a tomogram's own value, feature 2 less: wherever it is above 0.5, feature 1 wins
        values = np.round(100 * mrcfile.read(self.tomograms.outputTomograms.getFirstItem().getFileName()))
        self.assertTrue(np.array_equal(mrcfile.read(first.getFileName()) == 1, values >= 50))
        config = self.request(protocol)
        self.assertEqual((config.threshold, config.minimum_size), (("0.4",), 3.0))
        self.assertIn("merge-features told this.", protocol.summary())

    def test_another_order_of_the_scores_makes_other_labels_when_the_run_is_continued(self):
        protocol = self.finished(self.launch(self.merging(self.segmented)))
        order = ("ribosome", "membrane")
        protocol.inputScores.set([Pointer(self.segmented, extended=f"scores_{feature}") for feature in order])
        self.assertEqual(featuresOf(self.finished(self.launch(protocol)).outputLabels), [*order])

    def test_scores_that_cannot_compete_are_named(self):
        def errors(protocol):
            return " ".join(protocol.validate())

        self.assertIn("Scores is empty", errors(self.merging(self.segmented, ())))
        self.assertIn("the same feature: membrane", errors(self.merging(self.segmented, ("membrane", "membrane"))))
        strange = self.makeProtocol(CryodlProtMergeFeatures)
        addTo(strange.inputScores, [self.labels], "outputMasks")
        self.assertIn("have no scores", errors(strange))
        one = self.launch(self.segmentation(makeTomograms(self, ("TS_01",))))
        mixed = self.merging(self.segmented, ("membrane",))
        addTo(mixed.inputScores, [one], "scores_ribosome")
        self.assertIn("these are in only one of them: TS_02", errors(mixed))

    def test_a_killed_merging_continues(self):
        protocol = self.killedOnce(lambda: self.launch(self.merging(self.segmented)))
        self.assertEqual(protocol.outputLabels.getSize(), 2)


class TestCryodlPickAndEvaluate(TomogramsTest):
    def test_places_are_those_of_the_label_with_score_group_and_direction(self):
        volumes = {name: np.zeros(SHAPE, np.int8) for name in ("TS_01", "TS_02")}
        positions = {"TS_01": [(3, 5, 7), (18, 22, 8)], "TS_02": [(0, 23, 9)]}  # x, y, z in the order of the volume
        for name, found in positions.items():
            for x, y, z in found:
                volumes[name][z, y, x] = 2
        masks = makeMasks(self, self.tomograms, volumes)
        protocol = self.killedOnce(
            lambda: self.launch(
                self.picking(
                    masks,
                    "outputMasks",
                    label=2,
                    boxSize=20,
                    shape=3,
                    pointers=dict(inputTomograms=(self.tomograms, "outputTomograms")),
                )
            )
        )
        coordinates = protocol.outputCoordinates
        self.assertEqual(
            (coordinates.getSize(), coordinates.getBoxSize(), coordinates.getSamplingRate()), (3, 20, PIXEL_SIZE)
        )
        self.assertEqual(
            coordinates.getPrecedents().getFirstItem().getFileName(),
            self.tomograms.outputTomograms.getFirstItem().getFileName(),
        )
        for tomogram in [t.clone() for t in self.tomograms.outputTomograms]:
            items = [c.clone() for c in coordinates.iterCoordinates(volume=tomogram)]
            self.assertEqual(
                [tuple(map(round, c.getPosition(BOTTOM_LEFT_CORNER))) for c in items], positions[tomogram.getTsId()]
            )
            self.assertEqual(
                [(c.getGroupId(), c.getScore()) for c in items], [(n, 0.75) for n in range(1, len(items) + 1)]
            )
        self.assertTrue(np.allclose(anglesOf(items[0].getMatrix()), (0, 5, 10)))
        self.assertEqual(items[0]._cryodlVolume.get(), 1.5)
        self.assertIn("pick-features told this.", protocol.summary())

    def test_membranes_give_coordinates_and_meshes_of_the_same_points(self):
        protocol = self.launch(
            self.makeProtocol(CryodlProtMeasureMembranes, dict(inputMasks=(self.labels, "outputMasks")), label=1)
        )
        meshes, count = protocol.outputMeshes, 2 * SHAPE[1] * SHAPE[2]
        self.assertEqual((meshes.getSize(), protocol.outputCoordinates.getSize()), (count, count))
        self.assertEqual((meshes.getNumberOfMeshes(), meshes.getSamplingRate()), (2, PIXEL_SIZE))
        point = meshes.getFirstItem()
        self.assertIsInstance(point, MeshPoint)
        self.assertEqual(point.getTomoId(), "TS_01")
        self.assertIn("measure-membranes told this.", protocol.summary())

    def test_coordinates_are_scaled_to_tomograms_of_another_binning(self):
        volume = np.zeros(SHAPE, np.int8)
        volume[7, 5, 3] = 1
        masks = makeMasks(self, self.tomograms, dict(TS_01=volume))
        fine = makeTomograms(self, ("TS_01",), pixelSize=PIXEL_SIZE / 2)
        protocol = self.finished(
            self.launch(
                self.picking(masks, "outputMasks", label=1, pointers=dict(inputTomograms=(fine, "outputTomograms")))
            )
        )
        item = protocol.outputCoordinates.getFirstItem()
        # the middle of the two fine voxels that a coarse one covers
        self.assertTrue(np.allclose(item.getPosition(BOTTOM_LEFT_CORNER), (6.5, 10.5, 14.5)))
        self.assertEqual(protocol.outputCoordinates.getSamplingRate(), PIXEL_SIZE / 2)

    def test_scores_need_no_label_and_labels_do(self):
        scores = makeMasks(
            self,
            self.tomograms,
            dict(TS_01=np.full(SHAPE, 70, np.int8)),
            lambda masks: markScores(masks, "membrane", 0.6, "a model"),
        )
        protocol = self.picking(scores, "outputMasks", threshold=0.6, label=3)
        self.assertEqual(protocol.validate(), [])
        self.assertIsNone(protocol._config(**protocol._engineValues()).label)
        self.assertIn(
            "for the model of membrane, 0.6 was best", " ".join(self.picking(scores, "outputMasks").warnings())
        )
        self.assertIn("Label is empty", " ".join(self.picking(self.labels, "outputMasks").validate()))
        other = makeTomograms(self, ("TS_09",))
        lonely = self.picking(
            self.labels, "outputMasks", label=1, pointers=dict(inputTomograms=(other, "outputTomograms"))
        )
        self.assertIn("no matching tomogram: TS_01, TS_02", " ".join(lonely.validate()))

    def test_segmentations_are_judged_against_labels_of_the_same_tomograms(self):
        half = mrcfile.read(self.labels.outputMasks.getFirstItem().getFileName()).copy()
        half[1] = 0
        found = makeMasks(self, self.tomograms, dict(TS_01=half))
        protocol = self.makeProtocol(
            CryodlProtEvaluateSegmentation,
            dict(inputMasks=(found, "outputMasks"), inputTruth=(self.labels, "outputMasks")),
        )
        self.assertEqual(
            (protocol.validate(), protocol.warnings()),
            ([], ["Only tomograms in both sets are compared; these are left out: TS_02."]),
        )
        self.killedOnce(lambda: self.launch(protocol))
        request = contract.Request.read(protocol._getExtraPath("request.json")).config
        tomogram = self.tomograms.outputTomograms.getFirstItem().getFileName()
        self.assertEqual([os.path.realpath(path) for path in request.tomograms], [os.path.realpath(tomogram)])
        self.assertIn("evaluate-segmentation told this.", protocol.summary())
        self.assertEqual(set(protocol._made().features), {"1", "2"})

    def test_masks_without_their_tomograms_are_judged_without_them(self):
        def forget(masks):
            for mask in [item.clone() for item in masks]:
                mask.setVolName("gone.mrc")
                masks.update(mask)

        found = makeMasks(self, self.tomograms, dict(TS_01=np.ones(SHAPE, np.int8)), forget)
        protocol = self.finished(
            self.launch(
                self.makeProtocol(
                    CryodlProtEvaluateSegmentation,
                    dict(inputMasks=(found, "outputMasks"), inputTruth=(self.labels, "outputMasks")),
                )
            )
        )
        self.assertEqual(contract.Request.read(protocol._getExtraPath("request.json")).config.tomograms, ())

    def test_scores_are_judged_by_one_label(self):
        scores = makeMasks(
            self,
            self.tomograms,
            dict(TS_01=np.zeros(SHAPE, np.int8)),
            lambda masks: markScores(masks, "membrane", 0.6, "a model"),
        )
        pointers = dict(inputMasks=(scores, "outputMasks"), inputTruth=(self.labels, "outputMasks"))
        self.assertIn(
            "scores of membrane. Set Label to the value of this feature in the true labels (1 membrane, 2 rib",
            " ".join(self.makeProtocol(CryodlProtEvaluateSegmentation, pointers).validate()),
        )
        other = makeMasks(self, makeTomograms(self, ("TS_05",)), dict(TS_05=np.zeros(SHAPE, np.int8)))
        pointers["inputMasks"] = (other, "outputMasks")
        self.assertIn(
            "no tomogram in common: TS_05, and TS_01, TS_02",
            " ".join(self.makeProtocol(CryodlProtEvaluateSegmentation, pointers).validate()),
        )
