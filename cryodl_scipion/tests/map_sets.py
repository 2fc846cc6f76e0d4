# SPDX-License-Identifier: GPL-3.0-or-later
"""Small maps and atomic models of one asymmetric object, for tests of the Scipion side."""

import mrcfile
import numpy as np
from pwem.objects import AtomStruct, SetOfVolumes, Transform, Volume
from pwem.protocols import EMProtocol

from ..objects import CryodlModel
from .base import CryodlTest
from .fake_model import improverCard, writeModel

PIXEL_SIZE = 2.0
SHAPE = (20, 24, 28)  # z, y, x
# x, y, z px of the atoms; unlike in every direction
ATOMS = np.array([(6, 5, 4), (7, 5, 4), (8, 6, 4), (9, 8, 5), (9, 9, 6), (10, 9, 8), (20, 6, 5)])


def writeMap(path, origin=(0, 0, 0), pixelSize=PIXEL_SIZE, starts=(0, 0, 0), order=(0, 1, 2), scale=1.0):
    """A map with a 1 at each atom. origin: x, y, z Å; starts: of columns, rows, sections; order: axes z, y, x in the
    file."""
    data = np.zeros(SHAPE, np.float32)
    for x, y, z in ATOMS:
        data[z, y, x] = scale
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(data.transpose(order)))
        mrc.set_volume()
        mrc.header.maps, mrc.header.mapr, mrc.header.mapc = [3 - axis for axis in order]
        mrc.voxel_size = pixelSize
        mrc.header.origin = origin
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = starts
    return path


def writeModelOf(path, origin, pixelSize=PIXEL_SIZE, cif=False):
    """The atoms' model, in a frame where the map begins at `origin` (x, y, z Å)."""
    positions = ATOMS * pixelSize + np.array(origin)
    with open(path, "w") as file:
        if cif:
            names = ["group_PDB", "id", "type_symbol", "label_atom_id", "Cartn_x", "Cartn_y", "Cartn_z"]
            file.write("data_x\nloop_\n" + "".join(f"_atom_site.{name}\n" for name in names))
            file.writelines(f"ATOM {i} C CA {x:.3f} {y:.3f} {z:.3f}\n" for i, (x, y, z) in enumerate(positions, 1))
        else:
            file.writelines(
                f"ATOM  {i:5d}  CA  ALA A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           C\n"
                for i, (x, y, z) in enumerate(positions, 1)
            )
            file.write("END\n")
    return path


def makeVolume(path, origin=None, halves=(), pixelSize=PIXEL_SIZE):
    volume = Volume(location=path)
    volume.setSamplingRate(pixelSize)
    if origin is not None:
        transform = Transform()
        transform.setShifts(*origin)
        volume.setOrigin(transform)
    if halves:
        volume.setHalfMaps(list(halves))
    return volume


class MapsTest(CryodlTest):
    """A map with half-maps, its model and a fake improver."""

    @classmethod
    def prepare(cls):
        halves = [writeMap(cls.data + f"/half{n}.mrc", scale=n) for n in (1, 2)]
        cls.volume = cls.outputs(outputVolume=makeVolume(writeMap(cls.data + "/map.mrc"), halves=halves))
        cls.bare = cls.outputs(outputVolume=makeVolume(writeMap(cls.data + "/bare.mrc"), (-10.0, -20.0, -30.0)))
        cls.structure = cls.outputs(outputPdb=AtomStruct(writeModelOf(cls.data + "/model.pdb", (0, 0, 0))))
        cls.model = cls.outputs(
            outputModel=CryodlModel.fromFolder(writeModel(cls.data + "/better", improverCard(name="better")))
        )

    @classmethod
    def outputs(cls, **outputs):
        """A finished protocol with these outputs."""
        protocol = cls.newProtocol(EMProtocol)
        cls.proj.saveProtocol(protocol)
        protocol.makePathsAndClean()
        protocol._defineOutputs(**outputs)
        protocol.setFinished()
        cls.proj._storeProtocol(protocol)
        return protocol

    @classmethod
    def setOf(cls, *paths):
        """A finished protocol with a set of maps, the first of which has half-maps."""
        protocol = cls.newProtocol(EMProtocol)
        cls.proj.saveProtocol(protocol)
        protocol.makePathsAndClean()
        volumes = SetOfVolumes.create(protocol._getPath())
        volumes.setSamplingRate(PIXEL_SIZE)
        for number, path in enumerate(paths):
            volumes.append(
                makeVolume(path, halves=() if number else [cls.data + "/half1.mrc", cls.data + "/half2.mrc"])
            )
        volumes.write()
        protocol._defineOutputs(outputVolumes=volumes)
        protocol.setFinished()
        cls.proj._storeProtocol(protocol)
        return protocol

    def finished(self, protocol):
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage() or protocol.validate())
        return protocol
