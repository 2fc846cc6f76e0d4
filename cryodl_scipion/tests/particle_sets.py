# SPDX-License-Identifier: GPL-3.0-or-later
"""Small sets of particles and maps with known values, for tests of the Scipion side."""

import glob
import os

import mrcfile
import numpy as np
from pwem.objects import Acquisition, Coordinate, CTFModel, Particle, SetOfParticles, Transform, Volume
from pwem.protocols import EMProtocol
from pyworkflow.object import Integer, Pointer, String

from ..convert.particles.denoised import RAW_IMAGE, markSet
from ..convert.particles.particles import nameOf
from ..convert.relion_star import matrixOf
from ..engine.cryodl import contract
from ..objects import CryodlModel
from ..protocols import CryodlProtDenoise, CryodlProtTrainDenoiser
from .base import CryodlTest
from .fake_model import denoiserCard, writeModel

# Poses, CTF and positions in RELION's tables, which its own converter writes as well.
COLUMNS = (
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnCoordinateX",
    "rlnCoordinateY",
)
BOX, PIXEL_SIZE, COUNT = 32, 4.0, 12
ORIGIN = (0.5, -1.25)  # px


def angles(i):
    return 3.0 * i - 10, 5.0 * i + 20, 40.0 - 7 * i


def writeStack(path, count=COUNT, box=BOX, bad=()):
    """A stack of noise; `bad`: numbers, from 0, of images with a NaN."""
    images = np.random.RandomState(len(path)).normal(size=(count, box, box)).astype(np.float32)
    for number in bad:
        images[number, 3, 4] = np.nan
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(images)
        mrc.voxel_size = PIXEL_SIZE
    return path


def writeMap(path, box=BOX, pixelSize=PIXEL_SIZE):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ones((box, box, box), np.float32))
        mrc.voxel_size = pixelSize
    return path


def fill(particles, stack, count=COUNT, ctf=True, aligned=True, halves=True, pixelSize=PIXEL_SIZE, firstId=10):
    """Append particles 1 ... count of a stack to a set; every third is of another micrograph; ids are 10, 12, 14 ..."""
    particles.setSamplingRate(pixelSize)
    particles.setAcquisition(
        Acquisition(voltage=300.0, sphericalAberration=2.7, amplitudeContrast=0.1, magnification=50000)
    )
    particles.setHasCTF(ctf)
    if aligned:
        particles.setAlignmentProj()
    for i in range(count):
        item = Particle()
        item.setObjId(firstId + 2 * i)
        item.setLocation(i + 1, stack)
        item.setSamplingRate(pixelSize)
        item.setAcquisition(particles.getAcquisition())
        item.setCoordinate(coordinate(i))
        item.setMicId(i // 3 + 1)
        if ctf:
            model = CTFModel()
            model.setStandardDefocus(12000.0 + i, 11000.0 + i, 30.0)
            item.setCTF(model)
        if aligned:
            item.setTransform(Transform(matrixOf(angles(i), ORIGIN)))
        if halves:
            item._rlnRandomSubset = Integer(1 + i % 2)
        particles.append(item)
    particles.write()
    return particles


def coordinate(i):
    made = Coordinate(x=100 + i, y=200 + i)
    made.setMicName(f"mic {i // 3}.mrc")
    made.setMicId(i // 3 + 1)
    return made


def finishedWith(test, make):
    """A finished protocol of a CryodlTest without any run. make(protocol) gives {output's name: object}."""
    protocol = test.newProtocol(EMProtocol)
    test.proj.saveProtocol(protocol)
    protocol.makePathsAndClean()
    protocol._defineOutputs(**make(protocol))
    protocol.setFinished()
    test.proj._storeProtocol(protocol)
    return protocol


def makeParticles(test, name, change=None, **values):
    """A finished protocol with `outputParticles`. change: called with the set before it is stored."""

    def make(protocol):
        stack = writeStack(os.path.join(protocol._getExtraPath(), name + ".mrcs"), values.get("count") or COUNT)
        particles = fill(SetOfParticles.create(protocol._getPath()), stack, **values)
        if change is not None:
            change(particles)
            particles.write()
        return dict(outputParticles=particles)

    return finishedWith(test, make)


def makeDenoised(test, raw, name):
    """A finished protocol with `outputParticles`: those of another one, denoised by a model of that name."""

    def make(protocol):
        stack = writeStack(os.path.join(protocol._getExtraPath(), "denoised.mrcs"))
        particles = SetOfParticles.create(protocol._getPath())
        particles.copyInfo(raw.outputParticles)
        for item in raw.outputParticles:
            copy = item.clone()
            setattr(copy, RAW_IMAGE, String(nameOf(item)))
            copy.setFileName(stack)
            particles.append(copy)
        markSet(particles, name)
        return dict(outputParticles=particles)

    return finishedWith(test, make)


class ParticlesTest(CryodlTest):
    """Two sets of raw particles, two maps, a denoiser and denoised particles; none of them takes a run."""

    @classmethod
    def prepare(cls):
        cls.volume, cls.other = cls.makeMap("map", PIXEL_SIZE), cls.makeMap("other", 2.0, box=48)
        cls.raw, cls.raw2 = makeParticles(cls, "raw"), makeParticles(cls, "raw2", firstId=501)
        cls.model = cls.makeModel("a_denoiser", denoiserCard())
        cls.denoised = makeDenoised(cls, cls.raw, "a_denoiser")

    @classmethod
    def finished(cls, protocol):
        assert protocol.isFinished(), f"{protocol.getClassName()}: {protocol.getErrorMessage()}"
        return protocol

    @classmethod
    def killedOnce(cls, run, after=0, made=False):
        """A finished protocol that run() gives, after its engine was killed once and it was continued. made: killed
        when all of its files were there, but its result was not."""
        variable, value = ("FAKE_ENGINE_DIE_ONCE", "after") if made else ("FAKE_ENGINE_DIE_AFTER", str(after))
        os.environ[variable] = value
        try:
            protocol = run()
            assert protocol.isFailed(), f"{protocol.getClassName()} was not killed"
            cls.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ[variable]
        return cls.finished(protocol)

    @classmethod
    def makeMap(cls, name, pixelSize, box=BOX, kind=Volume):
        def make(protocol):
            volume = kind(location=writeMap(protocol._getExtraPath(name + ".mrc"), box, pixelSize))
            volume.setSamplingRate(pixelSize)
            return dict(outputVolume=volume)

        return finishedWith(cls, make)

    @classmethod
    def makeModel(cls, name, values):
        """values: of the card; {} makes a picker."""
        return finishedWith(
            cls,
            lambda protocol: dict(
                outputModel=CryodlModel.fromFolder(writeModel(protocol._getExtraPath(name), dict(values, name=name)))
            ),
        )

    @classmethod
    def training(cls, sets, structures, pointers=None, network="swinconv", **values):
        """A training that has not run. sets, structures: protocols."""
        protocol = cls.makeProtocol(
            CryodlProtTrainDenoiser, pointers, useGpu=False, network=contract.DENOISER_NETWORKS.index(network), **values
        )
        addTo(protocol.inputSets, sets, "outputParticles")
        addTo(protocol.inputStructures, structures, "outputVolume")
        return protocol

    @classmethod
    def train(cls, *inputs, **values):
        protocol = cls.training(*inputs, **values)
        cls.proj.launchProtocol(protocol, wait=True)
        return protocol

    def trainErrors(self, *inputs, **values):
        return " ".join(self.training(*inputs, **values).validate())

    @classmethod
    def denoise(cls, particles, **values):
        return cls.runProtocol(
            CryodlProtDenoise,
            dict(inputParticles=(particles, "outputParticles"), inputModel=(cls.model, "outputModel")),
            useGpu=False,
            **values,
        )

    def request(self, protocol):
        """Of the run's only start of the engine, or of its first batch."""
        path = protocol._getExtraPath("request.json")
        return contract.Request.read(path if os.path.exists(path) else batchFile(protocol, "request.json")).config


def batchFile(protocol, name):
    """Path of a file of the first batch of particles of a run."""
    return sorted(glob.glob(os.path.join(glob.escape(protocol._getExtraPath("batches")), "*", name)))[0]


def addTo(pointers, protocols, output):
    """Fill a list of pointers with an output of each protocol."""
    for protocol in protocols:
        pointers.append(Pointer(protocol, extended=output))
