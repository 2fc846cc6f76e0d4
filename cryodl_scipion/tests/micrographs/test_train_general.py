# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of a general picker, from the form to the model, with a fake engine."""

import csv
import os
from unittest import mock

import mrcfile
from pwem.objects import AtomStruct, SetOfAtomStructs, Volume

from ...convert.micrographs.picks import readPicks
from ...engine.cryodl import contract
from ...protocols import CryodlProtTrainGeneral
from ...protocols.micrographs import train_many_kinds
from .. import synthetic
from ..base import CryodlTest
from ..fake_model import writeModel
from ..particle_sets import finishedWith, writeMap

TEN = [(30 + 25 * i, 60 + 10 * i) for i in range(10)]


class TestCryodlTrainGeneral(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.imported = cls.importMicrographs(os.path.dirname(synthetic.writeMicrographs(cls.data + "/mics", 3)[0]))
        cls.picked = [cls.makeCoordinates(cls.imported, chosen) for chosen in ({1: TEN, 3: TEN[:6]}, {2: TEN})]

    def made(self, several=True, **values):
        protocol = self.newProtocol(CryodlProtTrainGeneral, **dict(dict(useGpu=False, procedural=3), **values))
        if several:
            protocol.inputSets.set([self.pointer(run, "outputCoordinates") for run in self.picked])
        return protocol

    def pointer(self, run, output):
        from pyworkflow.object import Pointer

        return Pointer(run, extended=output)

    def errors(self, **values):
        return " ".join(self.made(**values).validate())

    def test_labelled_sets_become_the_table_of_the_engine(self):
        protocol = self.made(diameters="90, 120", network=4, steps=7)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual((config.network, config.steps, config.start_from), ("topaz", 7, None))
        with open(config.sets, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([float(row["particle_diameter"]) for row in rows], [90, 120])
        first = os.path.join(os.path.dirname(config.sets), "set_1")
        self.assertEqual(sorted(os.listdir(first + "/micrographs")), ["mic_001.mrc", "mic_003.mrc"])
        self.assertTrue(all(os.path.exists(os.path.join(first, "micrographs", n)) for n in ("mic_001.mrc",)))
        self.assertEqual(len(list(readPicks(first + "/coordinates/mic_003.star", ("rlnCoordinateX",)))), 6)
        self.assertEqual(protocol.outputModel.getNetwork(), "topaz")
        self.assertIn("train-general-picker told this", "\n".join(protocol.summary()))

    def test_simulated_micrographs_alone_need_no_set(self):
        protocol = self.made(several=False)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertIsNone(contract.Request.read(protocol._getExtraPath("request.json")).config.sets)

    def test_each_structure_of_a_set_is_simulated_and_maps_with_the_pixel_size_of_scipion(self):
        def make(protocol):
            structures, volume = SetOfAtomStructs.create(protocol._getPath()), Volume()
            for name in ("one", "two"):
                path = protocol._getExtraPath(name + ".pdb")
                with open(path, "w") as file:
                    file.write("ATOM      1  CA  ALA A   1       1.000   2.000   3.000  1.00  0.00           C\n")
                structures.append(AtomStruct(filename=path))
            volume.setFileName(writeMap(protocol._getExtraPath("three.mrc"), pixelSize=9.0))
            volume.setSamplingRate(2.5)
            return dict(outputAtomStructs=structures, outputVolume=volume)

        run, protocol = finishedWith(self, make), self.made(several=False, procedural=0)
        chosen = [self.pointer(run, output) for output in ("outputAtomStructs", "outputVolume")]
        protocol.simulateFrom.set(chosen)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        paths = contract.Request.read(protocol._getExtraPath("request.json")).config.structures
        self.assertEqual([os.path.basename(path) for path in paths], ["one.pdb", "two.pdb", "three.mrc"])
        with mrcfile.open(paths[2]) as mrc:
            self.assertEqual(float(mrc.voxel_size.x), 2.5)

    def test_what_is_wrong_is_said(self):
        self.assertEqual(self.errors(several=False), "")
        self.assertIn("nothing to simulate from", self.errors(several=False, procedural=0))
        self.assertIn("2 labelled sets and 1 particle diameter", self.errors(diameters="90"))
        self.assertIn("'ninety'", self.errors(diameters="ninety"))
        self.assertIn("No file matches", self.errors(several=False, structureFiles="/nowhere/*.cif"))

    def test_a_model_of_one_kind_of_particle_is_no_start(self):
        protocol = self.made(several=False, startGeneral=True)
        one = writeModel(os.path.join(self.data, "one"), {})
        with mock.patch.object(train_many_kinds, "shippedModels", lambda: {"general": one}):
            self.assertIn("model of one kind of particle", " ".join(protocol.validate()))
