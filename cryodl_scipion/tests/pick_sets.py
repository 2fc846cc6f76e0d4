# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sets of picks of the same micrographs for tests: imported anew, in another order, binned."""

import os

from pyworkflow.object import Pointer

from . import synthetic
from .base import CryodlTest

A = [(40, 50), (120, 60), (200, 70)]
B = [(42, 51), (121, 61), (280, 200)]  # two of A's particles, and another
C = [(41, 50)]


class PickSetsTest(CryodlTest):
    """Three sets on three micrographs, two of them on other imports: another order, and binned by 2 with one less."""

    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 3)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        other = os.path.join(cls.data, "other")
        os.makedirs(other)
        # Links whose names sort the same give the same order; the ids are turned around below.
        for number in (1, 2, 3):
            os.symlink(cls.data + f"/mics/mic_{number:03d}.mrc", other + f"/mic_{number:03d}.mrc")
        cls.other = cls.importMicrographs(other)
        cls.binned = cls.importMicrographs(cls.writeBinned(cls.data + "/binned"), pixelSize=2 * synthetic.PIXEL_SIZE)
        cls.a = cls.makeCoordinates(cls.imported, {1: A, 2: A, 3: A})
        cls.b = cls.makeCoordinates(cls.other, {1: B, 2: B, 3: B}, boxSize=60)
        cls.c = cls.makeCoordinates(cls.binned, {1: [(x // 2, y // 2) for x, y in C], 2: []}, boxSize=20)

    @classmethod
    def writeBinned(cls, folder):
        import mrcfile

        os.makedirs(folder)
        for number in (1, 2):
            with mrcfile.open(cls.data + f"/mics/mic_{number:03d}.mrc") as mrc:
                image = mrc.data[::2, ::2].copy()
            with mrcfile.new(folder + f"/mic_{number:03d}.mrc") as mrc:
                mrc.set_data(image)
        return folder

    @classmethod
    def make(cls, protocolClass, sources, pointers=None, **values):
        protocol = cls.makeProtocol(protocolClass, pointers, **values)
        protocol.inputSets.set([Pointer(source, extended="outputCoordinates") for source in sources])
        return protocol

    def run_(self, protocol):
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        return protocol
