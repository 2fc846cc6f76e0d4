# SPDX-License-Identifier: GPL-3.0-or-later
"""Small sets of tomograms, masks and subtomograms with known values, for tests of the Scipion side."""

import os

import mrcfile
import numpy as np
from pwem.objects import Transform
from pyworkflow.object import Set
from tomo.objects import (
    SetOfClassesSubTomograms,
    SetOfSubTomograms,
    SetOfTomograms,
    SetOfTomoMasks,
    SubTomogram,
    TomoAcquisition,
    Tomogram,
)

from ..convert.relion_star import matrixOf
from ..convert.tomograms.tomograms import maskOf
from ..engine.cryodl.tomograms.annotations.store import AnnotationStore
from ..objects import CryodlAnnotations, CryodlModel
from .fake_model import classifierCard, segmenterCard, writeModel
from .particle_sets import finishedWith

PIXEL_SIZE, SHAPE = 10.0, (10, 24, 20)  # z, y, x: no two are equal, so that no axis can be taken for another
BOX = 16


def writeVolume(path, data, pixelSize=PIXEL_SIZE):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_volume()
        mrc.voxel_size = pixelSize
    return path


def tomogramAt(path, tsId, pixelSize=PIXEL_SIZE, origin=None, data=None, tilts=None):
    """A Tomogram in a new file. origin: (x, y, z) Å of its first voxel, None: its middle is the origin."""
    least, largest = tilts or (-50.0, 54.0)
    values = np.random.RandomState(len(tsId)).uniform(0, 0.6, SHAPE).astype(np.float32) if data is None else data
    tomogram = Tomogram()
    tomogram.setFileName(writeVolume(path, values))
    tomogram.setSamplingRate(pixelSize)
    tomogram.setTsId(tsId)
    tomogram.setAcquisition(TomoAcquisition(angleMin=least, angleMax=largest, step=2.0, voltage=300.0))
    tomogram.setOrigin()
    if origin:
        tomogram.setShiftsInOrigin(*origin)
    return tomogram


def setOfTomograms(protocol, names, pixelSize=PIXEL_SIZE, **values):
    """values: of tomogramAt, {name: value} each."""
    tomograms = SetOfTomograms.create(protocol._getPath())
    tomograms.setSamplingRate(pixelSize)
    for name in names:
        tomograms.append(
            tomogramAt(
                protocol._getExtraPath(name + ".mrc"),
                name,
                pixelSize,
                **{key: value.get(name) for key, value in values.items()},
            )
        )
    tomograms.setStreamState(Set.STREAM_CLOSED)
    tomograms.write()
    return tomograms


def makeTomograms(test, names=("TS_01", "TS_02"), **values):
    """A finished protocol with `outputTomograms`."""
    return finishedWith(test, lambda protocol: dict(outputTomograms=setOfTomograms(protocol, names, **values)))


def makeMasks(test, tomograms, volumes, change=None):
    """A finished protocol with `outputMasks`: masks of a protocol's tomograms. volumes: {tsId: array}.

    change: called with the set before it is stored.
    """

    def make(protocol):
        masks = SetOfTomoMasks.create(protocol._getPath(), prefix="masks")
        masks.copyInfo(tomograms.outputTomograms)
        for tomogram in [t.clone() for t in tomograms.outputTomograms]:
            if tomogram.getTsId() in volumes:
                path = protocol._getExtraPath(tomogram.getTsId() + "_mask.mrc")
                masks.append(maskOf(tomogram, writeVolume(path, volumes[tomogram.getTsId()])))
        if change is not None:
            change(masks)
        masks.write()
        return dict(outputMasks=masks)

    return finishedWith(test, make)


def makeAnnotations(test, tiles, annotator="anna", size=16):
    """A finished protocol with `outputAnnotations`. tiles: {feature: (with it, without it)}."""

    def make(protocol):
        store = AnnotationStore(protocol._getExtraPath("annotations"))
        for feature, (positive, negative) in tiles.items():
            for number in range(positive + negative):
                store.add(
                    "tiles",
                    PIXEL_SIZE,
                    (0, 0, 0),
                    size,
                    feature,
                    annotator,
                    np.full((size, size), int(number < positive), np.int16),
                    np.ones((size, size), np.float32),
                )
        store.save()
        return dict(outputAnnotations=CryodlAnnotations.fromFolder(store.folder))

    return finishedWith(test, make)


def makeSegmenter(test, feature, **values):
    """A finished protocol with `outputModel`."""
    return finishedWith(
        test,
        lambda protocol: dict(
            outputModel=CryodlModel.fromFolder(
                writeModel(
                    protocol._getExtraPath("seg_" + feature), segmenterCard(feature, name="seg_" + feature, **values)
                )
            )
        ),
    )


def makeClassifier(test, classes, **values):
    return finishedWith(
        test,
        lambda protocol: dict(
            outputModel=CryodlModel.fromFolder(
                writeModel(protocol._getExtraPath("classifier"), classifierCard(classes, name="a_classifier", **values))
            )
        ),
    )


def poseOf(i):
    """(rot, tilt, psi, x, y, z): degrees, and px of the shift that centres."""
    return (3.0 * i - 10, 5.0 * i + 20, 40.0 - 7 * i), (0.5, -1.25, 2.0 - i)


def fillSubtomograms(subtomograms, folder, count=10, classes=2, aligned=True, tilts=True):
    """Append cubes with ids 10, 12, ... to a set; item i is of class 1 + i % classes; none with classes=0.

    tilts: (minimum, maximum) degrees of the set, True for some."""
    subtomograms.setSamplingRate(PIXEL_SIZE)
    if tilts:
        least, largest = (-48.0, 52.0) if tilts is True else tilts
        subtomograms.setAcquisition(TomoAcquisition(angleMin=least, angleMax=largest))
    for i in range(count):
        item = SubTomogram()
        item.setObjId(10 + 2 * i)
        cube = np.random.RandomState(i).normal(size=(BOX,) * 3).astype(np.float32)
        item.setFileName(writeVolume(os.path.join(folder, f"sub_{i:02d}.mrc"), cube))
        item.setSamplingRate(PIXEL_SIZE)
        item.setVolName(f"TS_{i // 5:02d}")
        item.setTransform(Transform(matrixOf(*poseOf(i)) if aligned else np.eye(4)))
        if classes:
            item.setClassId(1 + i % classes)
        subtomograms.append(item)
    subtomograms.write()
    return subtomograms


def makeSubtomograms(test, **values):
    """A finished protocol with `outputSubtomograms`."""
    return finishedWith(
        test,
        lambda protocol: dict(
            outputSubtomograms=fillSubtomograms(
                SetOfSubTomograms.create(protocol._getPath()), protocol._getExtraPath(), **values
            )
        ),
    )


def makeClasses(test, source, names=("large", "small")):
    """A finished protocol with `outputClasses` of a protocol's subtomograms, by their class ids."""

    def make(protocol):
        classes = SetOfClassesSubTomograms.create(protocol._getPath())
        classes.setImages(source.outputSubtomograms)
        classes.classifyItems(updateClassCallback=lambda item: item.setObjLabel(names[item.getObjId() - 1]))
        classes.write()
        return dict(outputClasses=classes)

    return finishedWith(test, make)
