# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms from simulation to coordinates, and subtomograms to classes, with the real engine and a known truth.

A minute on one core; skipped with a sentence where the engine's environment is missing.
"""

import os
import unittest

import mrcfile
import numpy as np
from pwem.protocols import ProtImportVolumes
from tomo.objects import SetOfClassesSubTomograms

from ...convert.tomograms.subtomograms import fileOf
from ...engine.cryodl import contract
from ...protocols import (
    CryodlProtClassifySubtomograms,
    CryodlProtEvaluateSegmentation,
    CryodlProtMergeFeatures,
    CryodlProtPickFeatures,
    CryodlProtSegment,
    CryodlProtSimulateSubtomograms,
    CryodlProtSimulateTomograms,
    CryodlProtTrainClassifier,
    CryodlProtTrainSegmenter,
)
from ...protocols.tomograms.protocol_train_tomograms import LABELLED
from ...viewers.tomograms.slices_window import pointsOf
from ...viewers.tomograms.viewer_subtomograms import SubtomogramGallery, middleSlices, readCube
from ...viewers.tomograms.viewer_tomograms import featuresIn
from ..particle_sets import ParticlesTest, addTo
from ..simulated import missingEngine

PIXEL_SIZE, STRUCTURE_PIXEL = 16.0, 8.0  # Å/px
SIZE, THICKNESS, COPIES, BOX = 96, 48, 14, 24  # px
BODY = "body"  # as the structure is called; features of one name are compared
STEPS = {BODY: 50, "membrane": 30}
NEAR = 100  # Å between a particle and the position picked for it
# x, y, z, width (Å) and weight of blobs; both are lopsided, unlike their mirror images
BODIES = {
    "body": [
        (0, 0, 0, 90, 1.0),
        (90, 0, 18, 50, 1.0),
        (-50, 76, 0, 50, 0.9),
        (-22, -45, 86, 46, 1.1),
        (22, 68, -68, 40, 0.8),
    ],
    "rod": [(24 * k, 0, 0, 44, 1.0) for k in range(-3, 4)] + [(60, 36, 0, 36, 1.0), (-40, 0, 30, 30, 0.8)],
}


def writeBody(path, blobs, side=48):
    axis = (np.arange(side) - side // 2) * STRUCTURE_PIXEL
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = sum(
        weight * np.exp(-((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2) / (2 * (width / 2) ** 2))
        for bx, by, bz, width, weight in blobs
    )
    with mrcfile.new(path) as mrc:
        mrc.set_data(density.astype(np.float32))
        mrc.set_volume()
        mrc.voxel_size = STRUCTURE_PIXEL


class Chain(ParticlesTest):
    """Runs that must end well, with the real engine on the CPU."""

    _REAL_ENGINE = _SLOW = True

    @classmethod
    def make(cls, protocolClass, pointers=None, **values):
        protocol = cls.makeProtocol(protocolClass, pointers, **values)
        for name, value in (("useGpu", False), ("numberOfThreads", 1)):
            if protocol.hasAttribute(name) and not isinstance(protocol, CryodlProtSegment):
                getattr(protocol, name).set(value)
        return protocol

    @classmethod
    def good(cls, protocol):
        cls.proj.launchProtocol(protocol, wait=True)
        return cls.finished(protocol)

    @classmethod
    def imported(cls, name):
        writeBody(os.path.join(cls.data, name + ".mrc"), BODIES[name])
        volume = cls.newProtocol(
            ProtImportVolumes,
            filesPath=cls.data,
            filesPattern=name + ".mrc",
            setOrigCoord=False,
            samplingRate=STRUCTURE_PIXEL,
        )
        cls.launchProtocol(volume)
        return volume


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlTomogramChain(Chain):
    @classmethod
    def prepare(cls):
        cls.bodies = {name: cls.imported(name) for name in BODIES}
        cls.simulated = cls.make(
            CryodlProtSimulateTomograms,
            copies=str(COPIES),
            pixelSize=PIXEL_SIZE,
            size=SIZE,
            thickness=THICKNESS,
            vesicles=1,
            membranes=1,
            microtubules=0,
            filaments=0,
            snr=0.5,
            boxSize=BOX,
        )
        addTo(cls.simulated.inputStructures, [cls.bodies["body"]], "outputVolume")
        cls.good(cls.simulated)
        cls.models = [cls.train(label, name) for label, name in enumerate(STEPS, 1)]
        tomograms = dict(inputTomograms=(cls.simulated, "outputTomograms"))
        cls.segmented = cls.make(CryodlProtSegment, tomograms, streamingSleepOnWait=1)
        addTo(cls.segmented.inputModels, cls.models, "outputModel")
        cls.good(cls.segmented)
        cls.merged = cls.make(CryodlProtMergeFeatures, surfaces=True)
        for name in STEPS:
            addTo(cls.merged.inputScores, [cls.segmented], "scores_" + name)
        cls.good(cls.merged)
        masks = dict(inputMasks=(cls.merged, "outputLabels"))
        cls.picked = cls.good(
            cls.make(
                CryodlProtPickFeatures,
                dict(masks, **tomograms),
                label=1,
                boxSize=BOX,
                shape=contract.FEATURE_SHAPES.index("particles"),
                diameter=220,
                minimumSize=500,
            )
        )
        cls.judged = cls.good(
            cls.make(CryodlProtEvaluateSegmentation, dict(masks, inputTruth=(cls.simulated, "outputLabels")))
        )

    @classmethod
    def train(cls, label, name):
        return cls.good(
            cls.make(
                CryodlProtTrainSegmenter,
                dict(inputTomograms=(cls.simulated, "outputTomograms"), inputMasks=(cls.simulated, "outputLabels")),
                labelsFrom=LABELLED,
                label=label,
                feature=name,
                steps=STEPS[name],
            )
        )

    # ----- features
    def test_models_learn_the_feature_that_the_labels_name(self):
        self.assertEqual([model.outputModel.getFeature() for model in self.models], [BODY, "membrane"])

    def test_what_was_segmented_is_near_the_truth(self):
        metrics = self.judged._made().features
        dice = {each["label"]: each["dice"] for each in metrics.values()}
        self.assertGreater(dice[1], 0.5)
        self.assertGreater(dice[2], 0.6)

    def test_the_table_and_the_surfaces_are_of_the_same_features(self):
        found = featuresIn(self.merged._getExtraPath("merged"))["tomo_001"]
        self.assertGreater(found["membrane"]["area_nm2"], found[BODY]["area_nm2"])
        made = self.merged._made()
        self.assertEqual(set(made.surfaces["tomo_001"]), {BODY, "membrane"})
        self.assertTrue(all(os.path.exists(path) for path in made.surfaces["tomo_001"].values()))

    # ----- positions
    def recall(self, picked, true):
        """Part of the true positions near which one was picked. (n, 3) px each."""
        distances = np.linalg.norm(true[:, None] - picked[None], axis=2) * PIXEL_SIZE
        return np.mean(distances.min(axis=1) < NEAR)

    def test_places_are_those_of_the_particles_and_not_their_mirror_images(self):
        picked, true = (
            pointsOf(protocol.outputCoordinates)[0]["tomo_001"] for protocol in (self.picked, self.simulated)
        )
        self.assertEqual(len(true), COPIES)
        right = self.recall(picked, true)
        self.assertGreater(right, 0.7)
        self.assertGreater(self.recall(true, picked), 0.7)  # and few others
        for axis, length in enumerate((SIZE, SIZE, THICKNESS)):
            mirrored = true.copy()
            mirrored[:, axis] = length - 1 - mirrored[:, axis]
            self.assertLess(self.recall(picked, mirrored), right - 0.3)

    def test_coordinates_belong_to_the_tomograms(self):
        coordinates = self.picked.outputCoordinates
        self.assertEqual((coordinates.getBoxSize(), coordinates.getSamplingRate()), (BOX, PIXEL_SIZE))
        self.assertEqual(
            coordinates.getPrecedents().getFirstItem().getFileName(),
            self.simulated.outputTomograms.getFirstItem().getFileName(),
        )


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlSubtomogramChain(Chain):
    COUNT = 16  # of each class

    @classmethod
    def prepare(cls):
        cls.simulated = cls.make(
            CryodlProtSimulateSubtomograms, pixelSize=PIXEL_SIZE, box=BOX, snr=0.5, count=cls.COUNT
        )
        addTo(cls.simulated.inputStructures, [cls.imported(name) for name in BODIES], "outputVolume")
        cls.good(cls.simulated)
        source = dict(inputSubtomograms=(cls.simulated, "outputSubtomograms"))
        cls.trained = cls.good(cls.make(CryodlProtTrainClassifier, source))
        cls.classified = cls.good(
            cls.make(
                CryodlProtClassifySubtomograms, dict(source, inputModel=(cls.trained, "outputModel")), groundTruth=True
            )
        )

    def test_classes_are_the_true_ones_with_their_names(self):
        classes = self.classified.outputClasses
        self.assertIsInstance(classes, SetOfClassesSubTomograms)
        true = {item.getObjId(): item.getClassId() for item in self.simulated.outputSubtomograms}
        found = {}
        for number in [item.getObjId() for item in classes.iterItems()]:
            found.update({item.getObjId(): number for item in classes[number].iterItems()})
        right = np.mean([found.get(key) == number for key, number in true.items()])
        self.assertGreater(right, 0.9)
        self.assertEqual([item.getObjLabel() for item in classes.iterItems()], list(BODIES))
        self.assertAlmostEqual(self.classified._made().accuracy, right, places=2)

    def test_subtomograms_turned_by_their_transforms_look_like_the_average(self):
        gallery = SubtomogramGallery.ofClasses(self.classified.outputClasses)
        for group, average in enumerate([a.clone() for a in self.classified.outputAverages], 1):
            expected = middleSlices(readCube(fileOf(average)))
            rotated = self.meanOf(gallery, gallery.order(None, group))
            gallery._transforms, kept = None, gallery._transforms
            asTheyAre = self.meanOf(gallery, gallery.order(None, group))
            gallery._transforms = kept
            for plane in range(3):
                self.assertGreater(correlation(rotated[plane], expected[plane]), 0.8)
                self.assertGreater(
                    correlation(rotated[plane], expected[plane]), correlation(asTheyAre[plane], expected[plane]) + 0.1
                )

    def meanOf(self, gallery, positions):
        return np.mean([gallery.images(int(position)) for position in positions], axis=0)


def correlation(one, other):
    return np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]
