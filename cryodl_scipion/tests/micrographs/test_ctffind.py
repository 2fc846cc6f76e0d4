# SPDX-License-Identifier: GPL-3.0-or-later
"""CTFFIND's protocol in our chains: chosen where it can run, its CTFs taken; by a stand-in where CTFFIND is missing."""

import os
import shutil
import unittest
from unittest import mock

import mrcfile
from pwem import Domain

from ... import workflow_templates
from ...protocols import CryodlProtExtractParticles, CryodlProtPick
from .. import ctffind, synthetic
from ..base import CryodlTest
from ..scheduling import standIns

PROTOCOL = Domain.getProtocols().get("CistemProtCTFFind")
NOT_THERE = "" if PROTOCOL else "The plugin scipion-em-cistem is not installed."
ANSWERS = ["mic_002.mrc", "out.mrc", "3", "300", "2.7", "0.1", "64", "30", "7", "5000", "50000", "500"] + (
    "no no yes 200 no no no no".split()
)


def workflow(answer="auto", pattern="*.mrc"):
    """Runs of a template whose answer is filled in."""
    return [
        {"object.className": "ProtImportMicrographs", "filesPattern": pattern},
        {
            "object.className": "CTF by " + answer,
            "object.id": "2",
            "object.label": "estimate CTF",
            "inputMicrographs": "1.outputMicrographs",
            "micrographsToPick": "1.dose",
        },
        {"object.className": "CryodlProtPick", "inputMicrographs": "2.outputMicrographs"},
    ]


@unittest.skipIf(NOT_THERE, NOT_THERE)
class TestCryodlCtffind(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.plugin = PROTOCOL.getClassPackage().Plugin
        cls.variables = standIns(cls.data)
        paths = synthetic.writeMicrographs(cls.data + "/mics", 3)
        for path in (paths[2], paths[2] + ".truth.json"):
            shutil.move(path, path.replace("003", "009"))  # the stand-in cannot fit it
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        with mock.patch.dict(os.environ, cls.variables), mock.patch.dict(cls.plugin._vars, cls.variables):
            cls.ctf = cls.runProtocol(PROTOCOL, dict(inputMicrographs=(cls.imported, "outputMicrographs")))

    def chosen(self, variables, answer="auto", pattern="*.mrc"):
        """(protocol, reason) of the CTF's run."""
        runs = workflow(answer, pattern)
        with mock.patch.dict(self.plugin._vars, variables):
            (why,) = workflow_templates.chooseCtf(runs)
        return runs[1]["object.className"], why

    def test_its_ctfs_are_those_that_the_program_wrote(self):
        self.assertTrue(self.ctf.isFinished(), self.ctf.getErrorMessage())
        found = {ctf.getMicrograph().getMicName(): ctf.clone() for ctf in self.ctf.outputCTF.iterItems()}
        self.assertEqual(sorted(found), ["mic_001.mrc", "mic_002.mrc", "mic_009.mrc"])
        for name, ctf in found.items():
            with mrcfile.open(os.path.join(self.proj.path, ctf.getPsdFile())) as spectrum:
                self.assertEqual(spectrum.data.shape[-2:], (512, 512), name)
        if self.variables:  # the stand-in's own values
            self.assertEqual(found["mic_002.mrc"].getDefocus(), (12000, 11800, 30))
            self.assertEqual(found["mic_002.mrc"].getResolution(), 2.5 * synthetic.PIXEL_SIZE)

    def test_particles_get_its_ctfs_and_a_micrograph_without_one_is_left_out_by_name(self):
        picked = self.runProtocol(
            CryodlProtPick,
            dict(inputMicrographs=(self.imported, "outputMicrographs")),
            modelFrom=1,
            particleDiameter=synthetic.DIAMETER,
            threshold=0.2,
            useGpu=False,
        )
        extracted = self.runProtocol(
            CryodlProtExtractParticles,
            dict(inputCoordinates=(picked, "outputCoordinates"), inputCTF=(self.ctf, "outputCTF")),
            box=32,
            streamingSleepOnWait=1,
        )
        self.assertTrue(extracted.isFinished(), extracted.getErrorMessage())
        defoci = {ctf.getMicrograph().getMicName(): ctf.getDefocusU() for ctf in self.ctf.outputCTF.iterItems()}
        fitted = {name for name, defocus in defoci.items() if defocus > 0}
        items = [item.clone() for item in extracted.outputParticles.iterItems()]
        self.assertEqual({item.getCoordinate().getMicName() for item in items}, fitted)
        for item in items:
            self.assertAlmostEqual(item.getCTF().getDefocusU(), defoci[item.getCoordinate().getMicName()], 2)
        if self.variables:
            self.assertEqual(fitted, {"mic_001.mrc", "mic_002.mrc"})
            self.assertRegex("\n".join(extracted.summary()), r"mic_009: .*no CTF")

    def test_the_template_takes_ctffind_where_plugin_and_program_are_there(self):
        self.assertEqual(
            self.chosen(self.variables), ("CistemProtCTFFind", "CTF by CTFFIND: plugin and program are there.")
        )
        self.assertEqual(self.chosen(self.variables, "cryodl")[0], "CryodlProtEstimateCTF")

    def test_picking_takes_the_micrographs_with_a_ctf_where_a_run_sorts_them(self):
        for answer, picked in (("cryodl", "2.outputMicrographs"), ("ctffind", "1.dose")):
            runs = workflow(answer)
            workflow_templates.chooseCtf(runs)
            self.assertEqual(runs[2]["inputMicrographs"], picked)
            self.assertEqual("micrographsToPick" in runs[1], answer == "cryodl")

    def test_the_template_says_why_it_takes_our_own(self):
        protocol, why = self.chosen({"CTFFIND_HOME": "/nowhere/ctffind-5.0.2"})
        self.assertEqual(protocol, "CryodlProtEstimateCTF")
        self.assertIn("CTFFIND_HOME: /nowhere/ctffind-5.0.2", why)
        empty = os.path.join(self.data, "empty", "ctffind-5.0.2")
        os.makedirs(empty)
        why = self.chosen({"CTFFIND_HOME": empty, "CISTEM_HOME": self.data})[1]
        self.assertEqual(why, f"CTF by cryodl: CTFFIND cannot run here. There is no program {empty}/bin/ctffind.")
        with mock.patch.object(workflow_templates.importlib.util, "find_spec", return_value=None):
            self.assertIn("the pattern is *.tif", self.chosen(self.variables, pattern="*.tif")[1])
        with mock.patch.object(Domain, "getProtocols", return_value={}):
            self.assertIn("scipion-em-cistem, which runs it, is not installed", self.chosen({})[1])

    def test_an_answer_decides_and_a_missing_program_is_named_before_anything_runs(self):
        missing = {"CTFFIND_HOME": "/nowhere/ctffind-5.0.2"}
        runs = workflow("ctffind")
        with mock.patch.dict(self.plugin._vars, missing):
            workflow_templates.chooseCtf(runs)
            self.assertEqual(runs[1]["object.className"], "CistemProtCTFFind")
            self.assertIn("/nowhere/ctffind-5.0.2", " ".join(workflow_templates.missingPrograms(runs)["estimate CTF"]))
        with self.assertRaisesRegex(SystemExit, "CTF by gctf .ctf=gctf.: the answers are auto, ctffind and cryodl"):
            workflow_templates.chooseCtf(workflow("gctf"))

    def test_the_stand_in_takes_only_what_ctffind_would(self):
        self.assertEqual(ctffind.asked(ANSWERS)["maximum"], 50000)
        for wrong in (ANSWERS[:-1], ANSWERS + ["no"], ANSWERS[:2] + ["small"] + ANSWERS[3:]):
            with self.assertRaisesRegex(SystemExit, "Error"):
                ctffind.asked(wrong)
