# SPDX-License-Identifier: GPL-3.0-or-later
"""Small sets of particles and maps with known values, for tests of the Scipion side."""
import os

import mrcfile
import numpy as np
from pwem.objects import Acquisition, Coordinate, CTFModel, Particle, SetOfParticles, Transform
from pwem.protocols import EMProtocol
from pyworkflow.object import Integer

from ..convert.alignment import matrixOf

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


def fill(particles, stack, count=COUNT, ctf=True, aligned=True, halves=True, pixelSize=PIXEL_SIZE):
    """Append particles 1 ... count of a stack to a set; every third is of another micrograph; ids are not 1, 2, 3."""
    particles.setSamplingRate(pixelSize)
    particles.setAcquisition(Acquisition(voltage=300.0, sphericalAberration=2.7, amplitudeContrast=0.1, magnification=50000))
    particles.setHasCTF(ctf)
    if aligned:
        particles.setAlignmentProj()
    for i in range(count):
        item = Particle()
        item.setObjId(10 + 2 * i)
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
    made.setMicName('mic %d.mrc' % (i // 3))
    made.setMicId(i // 3 + 1)
    return made


def makeParticles(test, name, change=None, **values):
    """A finished protocol of a CryodlTest with `outputParticles`. change: called with the set before it is stored."""
    protocol = test.newProtocol(EMProtocol)
    test.proj.saveProtocol(protocol)
    protocol.makePathsAndClean()
    stack = writeStack(os.path.join(protocol._getExtraPath(), name + '.mrcs'), values.get('count', COUNT))
    particles = fill(SetOfParticles.create(protocol._getPath()), stack, **values)
    if change is not None:
        change(particles)
        particles.write()
    protocol._defineOutputs(outputParticles=particles)
    protocol.setFinished()
    test.proj._storeProtocol(protocol)
    return protocol
