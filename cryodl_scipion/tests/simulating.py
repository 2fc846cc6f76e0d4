# SPDX-License-Identifier: GPL-3.0-or-later
"""A map, and small simulations of it by the fake engine, for tests."""

import mrcfile
import numpy as np
from pwem.protocols import ProtImportVolumes

from ..engine.cryodl import contract
from ..protocols import CryodlProtSimulate
from .base import CryodlTest

SMALL = dict(useGpu=False, count=3, size=256, particles=3, pixelSize=2.0)


def writeMap(path, pixelSize):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ones((16, 16, 16), np.float32))
        mrc.voxel_size = pixelSize
    return path


class SimulateTest(CryodlTest):
    """A project with an imported map, `inputs` for protocols."""

    @classmethod
    def prepare(cls):
        writeMap(cls.data + "/map.mrc", 9.0)
        cls.volume = cls.newProtocol(
            ProtImportVolumes, filesPath=cls.data, filesPattern="map.mrc", samplingRate=2.0, setOrigCoord=False
        )
        cls.launchProtocol(cls.volume)
        cls.inputs = dict(inputStructure=(cls.volume, "outputVolume"))

    @classmethod
    def simulate(cls, pointers=None, protocolClass=CryodlProtSimulate, **values):
        return cls.runProtocol(protocolClass, dict(cls.inputs, **(pointers or {})), **dict(SMALL, **values))

    def request(self, protocol, folder=""):
        return contract.Request.read(protocol._getExtraPath(folder, "request.json")).config
