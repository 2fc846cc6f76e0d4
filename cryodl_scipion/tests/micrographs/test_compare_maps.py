# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of sets of coordinates by maps, from the form to the set of volumes, with a fake engine."""

import json
import os

from pwem.objects import SetOfVolumes

from ...protocols import CryodlProtCompareMapsOfPicks, CryodlProtEstimateCTF
from ...viewers.micrographs.viewer_compare import drawFscsOfSets, resolutionRows
from ..pick_sets import A, PickSetsTest
from ..simulated import importedBody


class TestCryodlCompareMapsOfPicks(PickSetsTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.volume = importedBody(cls)
        micrographs = dict(inputMicrographs=(cls.imported, "outputMicrographs"))
        cls.ctf = cls.runProtocol(CryodlProtEstimateCTF, micrographs, streamingSleepOnWait=1)

    def compare(self, *sources, ctf=True, reference=None, **values):
        pointers = dict(inputStructure=(self.volume, "outputVolume"))
        if ctf:
            pointers["inputCTF"] = (self.ctf, "outputCTF")
        if reference is not None:
            pointers["referenceCoordinates"] = (reference, "outputCoordinates")
        return self.make(CryodlProtCompareMapsOfPicks, sources, pointers, **dict(dict(useGpu=False), **values))

    def test_each_set_gives_a_volume_with_its_half_maps(self):
        protocol = self.run_(self.compare(self.b, reference=self.a, particleDiameter=60))
        volumes = protocol.outputVolumes
        self.assertIsInstance(volumes, SetOfVolumes)
        self.assertEqual((volumes.getSize(), volumes.getSamplingRate()), (2, 3.0))
        for volume in volumes.iterItems():
            files = [volume.getFileName(), *volume.getHalfMaps().split(",")]
            self.assertEqual(len({os.path.realpath(file) for file in files if os.path.exists(file)}), 3)
        self.assertIn("compare-maps-of-picks told this.", protocol.summary())
        self.assertEqual(protocol._methods(), ["compare-maps-of-picks was used."])
        made = protocol._made()
        rows = resolutionRows(made)
        self.assertEqual([row[1:4] for row in rows], [(9, "10 Å", "+0.0 %"), (9, "11 Å", "+10.0 %")])
        from matplotlib.figure import Figure

        figure = Figure()
        drawFscsOfSets(figure, made)
        self.assertEqual([len(axes.get_lines()) for axes in figure.axes], [4, 4])

    def test_the_engine_gets_the_common_micrographs_their_ctfs_and_the_microscope(self):
        protocol = self.run_(self.compare(self.a, self.b, maximumParticles=50, symmetry="D2"))
        with open(protocol._getExtraPath("request.json")) as file:
            asked = json.load(file)
        request = asked["config"]
        self.assertEqual(len(request["micrographs"]), 3)
        self.assertEqual((request["voltage"], request["spherical_aberration"]), (300.0, 2.7))
        self.assertEqual((request["maximum_particles"], request["symmetry"]), (50, "D2"))
        self.assertTrue(os.path.basename(request["structure"]).startswith("body_"))
        with open(request["ctf"]) as file:
            text = file.read()
        for name in asked["names"]:
            self.assertRegex(text, rf'(?m)^"?{name}\.mrc"? ')
        for number in (1, 2):
            self.assertEqual(len(os.listdir(protocol._setFolder(number))), 3)

    def test_a_run_that_is_called_reference_gets_another_name_than_the_reference(self):
        name = self.b.getObjLabel()
        self.b.setObjLabel("reference")
        try:
            labels = [label for label, _ in self.compare(self.b, reference=self.a)._labelledSets()]
            alone = [label for label, _ in self.compare(self.b, self.a)._labelledSets()]
        finally:
            self.b.setObjLabel(name)
        self.assertEqual((labels, alone[0]), (["reference (2)"], "reference"))

    def test_without_ctfs_the_engine_estimates_them(self):
        protocol = self.run_(self.compare(self.a, self.b, ctf=False))
        with open(protocol._getExtraPath("request.json")) as file:
            self.assertIsNone(json.load(file)["config"]["ctf"])

    def test_a_set_without_map_is_named_and_the_others_are_there(self):
        few = self.makeCoordinates(self.imported, {1: A[:1], 2: A[:1]})
        protocol = self.run_(self.compare(self.a, self.b, few))
        self.assertEqual(protocol.outputVolumes.getSize(), 2)
        self.assertIn("too few particles", "\n".join(protocol.summary()))

    def test_what_does_not_fit_is_named(self):
        def errors(*sources, **values):
            return " ".join(self.compare(*sources, **values).validate())

        self.assertIn("has 1; at least 2 are needed, or one and Reference", errors(self.a))
        self.assertIn("Symmetry is 'Q1'", errors(self.a, self.b, symmetry="Q1"))
        self.assertIn("it must be even. Give 52", errors(self.a, self.b, box=51))
        one = self.makeCoordinates(self.imported, {1: A})
        self.assertIn("1 micrograph common to all sets has particles of the reference", errors(self.b, reference=one))
