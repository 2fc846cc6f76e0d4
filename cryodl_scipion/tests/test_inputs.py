# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for the inputs and outputs of every protocol, as Scipion's scheduler needs them."""

import ast
import enum
import glob
import itertools
import os
import re
import unittest
from unittest import mock

from pwem.objects import SetOfParticles
from pwem.protocols import EMProtocol
from pyworkflow.object import Pointer, PointerList
from pyworkflow.protocol import STATUS_SCHEDULED, params
from pyworkflow.tests import BaseTest, setupTestProject

import cryodl_scipion

from ..convert.names import checksum, inputName, withoutChecksum
from ..protocols import (
    CryodlProtBackProject,
    CryodlProtClassify2D,
    CryodlProtImproveMap,
    CryodlProtPick,
    CryodlProtSegment,
    CryodlProtTrainSegmenter,
)
from .particle_sets import ParticlesTest
from .run_states import deadProcess, writeRunState
from .synthetic import writeMicrographs
from .test_forms import ourProtocols

FOLDER = os.path.dirname(os.path.abspath(cryodl_scipion.__file__))
_TEXT_CALLS = ("join", "format", "_getExtraPath", "_getPath", "_getTmpPath", "_insertFunctionStep")


def test_names_with_a_checksum_reach_the_user_without_it():
    name = f"ribosome_{checksum('Runs/a.mrc', 3.5)}.mrc"
    assert withoutChecksum(f"Angles from Runs/1_P/extra/input/{name}.") == "Angles from ribosome.mrc."
    assert withoutChecksum("map_20240101a.mrc") == "map_20240101a.mrc"
    assert withoutChecksum(f"in Runs/1_P/extra/input/map_import_a_2_{checksum('a')}.mrc") == "in a_2.mrc"
    known = "2 of these 9 particles are in /a/Runs/1_P/extra/input/particles_d585e700_1000.star, which"
    assert withoutChecksum(known) == "2 of these 9 particles are in a set of 1000 particles, which"


class TestCryodlPointers(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)
        cls.unfinished = cls.newProtocol(EMProtocol)
        cls.unfinished.setObjLabel("a run before")
        cls.proj.saveProtocol(cls.unfinished)

    def test_a_chosen_input_that_is_still_to_come_is_named_and_never_taken_for_an_empty_one(self):
        seen = 0
        for protocolClass in ourProtocols():
            for name, param in self.newProtocol(protocolClass).getDefinition().iterParams():
                if isinstance(param, (params.PointerParam, params.MultiPointerParam)):
                    protocol = self.newProtocol(protocolClass)
                    self.choose(protocol, name)
                    self.show(protocol, name)
                    sentence = f"{param.label.get()}: the run 'a run before' has no output outputToCome yet."
                    self.assertIn(sentence, " ".join(protocol.validate()), f"{protocolClass.__name__} {name}")
                    seen += 1
        self.assertGreater(seen, 60)

    def test_a_scheduled_run_waits_for_one_that_died_whose_set_pyworkflow_has_closed(self):
        source = self.newProtocol(EMProtocol)
        self.proj.saveProtocol(source)
        source.makePathsAndClean()
        particles = SetOfParticles.create(source._getPath())
        source._defineOutputs(outputParticles=particles)
        protocol = self.newProtocol(CryodlProtBackProject)  # it needs the whole set
        protocol.inputParticles.set(source)
        protocol.inputParticles.setExtended("outputParticles")
        source.setFailed("killed")
        protocol.setStatus(STATUS_SCHEDULED)
        self.assertIn("stopped before it finished", " ".join(protocol.validate()))
        self.assertIn("Waits for the run", protocol.summary()[0])
        source.setFinished()
        self.assertNotIn("stopped before it finished", " ".join(protocol.validate() + protocol.summary()))
        # killed a moment ago: closed by another process, and Scipion's own record is not up to date here
        for pid, status, waits in (
            (deadProcess(), "running", True),
            (os.getpid(), "running", True),
            (0, "finished", False),
        ):
            writeRunState(source.getDbPath(), source.getObjId(), status, pid)
            self.assertEqual("stopped before it finished" in " ".join(protocol.validate()), waits, (status, pid))
        writeRunState(source.getDbPath(), source.getObjId(), "running", deadProcess())
        self.assertIn("Waits for the run", protocol.summary()[0])
        protocol.setFinished()
        self.assertNotIn("Waits for the run", " ".join(protocol.summary()))

    def test_a_run_that_waits_names_the_first_one_that_failed_and_why(self):
        runs = [self.newProtocol(c) for c in (EMProtocol, CryodlProtClassify2D, CryodlProtBackProject)]
        for source, run in zip(runs, runs[1:]):
            self.proj.saveProtocol(source)
            run.inputParticles.set(source)
            run.inputParticles.setExtended("outputParticles")
        for run in runs[1:]:
            run.setStatus(STATUS_SCHEDULED)
        runs[0].setObjLabel("extraction")
        self.assertNotIn("Waits", " ".join(runs[2].summary()))
        runs[0].setFailed("\x1b[31mProtocol failed: The micrographs have no pixel size.\x1b[0m")  # pyworkflow's
        for run in runs[1:]:
            self.assertIn("the run 'extraction', which stopped", run.summary()[0])
            self.assertIn("The micrographs have no pixel size.\nContinue that run, or change", run.summary()[0])
        why = (
            "outputParticles yet: the run 'extraction' stopped before it finished. The micrographs have no pixel size."
        )
        self.assertIn(f"{why} Continue it, or choose another input.", " ".join(runs[2].validate()))

    def test_an_error_without_a_sentence_is_called_a_fault_of_the_program(self):
        """Of a KeyError(3) the window said '3'."""
        for told in ("3", "'mic 7'", ""):
            run = self.newProtocol(CryodlProtClassify2D)
            run.setFailed(f"\x1b[31mProtocol failed: {told}\x1b[0m")
            self.assertIn(f"at a fault of the program ({told or 'no message'}). Its log says", run.getErrorMessage())
        run.setFailed("\x1b[31mProtocol failed: No GPU.\x1b[0m")
        self.assertEqual(run.getErrorMessage(), "No GPU.")

    def test_an_input_whose_run_failed_before_it_had_an_output_is_to_be_continued(self):
        failed = self.newProtocol(EMProtocol)
        self.proj.saveProtocol(failed)
        failed.setFailed("no disk")
        protocol = self.newProtocol(CryodlProtClassify2D)
        protocol.inputParticles.set(failed)
        protocol.inputParticles.setExtended("outputParticles")
        self.assertIn("yet: it stopped before it finished. no disk. Continue it, or", " ".join(protocol.validate()))

    def test_a_scheduled_run_fails_if_its_input_s_run_finished_without_it_and_waits_otherwise(self):
        source = self.newProtocol(EMProtocol)
        self.proj.saveProtocol(source)
        protocol = self.newProtocol(CryodlProtClassify2D)
        protocol.inputParticles.set(source)
        protocol.inputParticles.setExtended("outputParticles")
        protocol.setStatus(STATUS_SCHEDULED)
        protocol._readEndedInputsAgain = lambda: None  # the run has no files
        for status in ("saved", "scheduled", "running", "failed"):
            source.setStatus(status)
            self.assertIn("outputParticles yet", " ".join(protocol.validate()), status)
        self.assertIn("*Waits for the run", protocol.summary()[0])
        source.setStatus("running")
        self.assertRegex(
            protocol.summary()[0], r"\*Not started yet:\* Input particles: .* no output outputParticles yet"
        )
        protocol.firstParticles.set(-5)  # nothing that comes makes it right
        self.assertEqual(protocol.validate(), [])  # it is started, and fails
        protocol.setStatus("launched")
        self.assertIn("First particles is -5; it must be at least 1.", protocol.validate())
        protocol.firstParticles.set(5000)
        protocol.setStatus(STATUS_SCHEDULED)
        source.setFinished()
        self.assertEqual(protocol.validate(), [])  # it is started
        protocol.setStatus("launched")
        told = ["Protein is bright.", "Nothing was found, because 8 are too few."]  # the reason is not always the first
        with mock.patch.object(source, "summary", lambda: told):
            (said,) = protocol.validate()
        self.assertIn(f"outputParticles, though it has finished. {' '.join(told)} Start it with other values", said)
        self.assertIn("(Restart, if it was deleted), or choose another input.", said)

    def test_a_chain_of_failures_names_the_first_run_and_tells_its_reason_once(self):
        runs = [self.newProtocol(kind) for kind in (EMProtocol, *[CryodlProtClassify2D] * 3)]
        for number, run in enumerate(runs):
            run.setObjLabel(f"run {number}")
        self.proj.saveProtocol(runs[0])
        runs[0].setFinished()
        for source, run in zip(runs, runs[1:]):
            run.inputParticles.set(source)
            run.inputParticles.setExtended("outputParticles")
            with mock.patch.object(runs[0], "summary", lambda: ["8 are too few."]):
                (said,) = run.validate()
            self.proj.saveProtocol(run)
            run.setFailed(said)
            self.assertEqual(said.count("8 are too few"), run is runs[1])
            self.assertIn("the run 'run 0'", said)
        self.assertIn(
            "the run 'run 2' has no output outputParticles, though it has failed, because the run 'run 0' made none. "
            "Start that with other values, or choose another input.",
            said,
        )

    def test_of_two_inputs_that_will_never_come_one_run_is_named(self):
        """What stood between the two names was taken for one."""
        source, run = (self.newProtocol(CryodlProtClassify2D) for _ in range(2))
        self.proj.saveProtocol(source)
        never = "the run '{}' has no output it, though it has failed, because the run '{}' made none. Start that"
        source.setFailed(" ".join(never.format(*names) for names in (("b", "a"), ("d", "c"))))
        run.inputParticles.set(source)
        run.inputParticles.setExtended("outputParticles")
        self.assertIn("failed, because the run 'a' made none. Start that with", " ".join(run.validate()))

    def choose(self, protocol, name):
        field, pointer = getattr(protocol, name), Pointer(self.unfinished, extended="outputToCome")
        if isinstance(field, PointerList):
            field.append(pointer)
        else:
            field.copy(pointer)

    def show(self, protocol, name):
        """Fill the fields that the condition of a field names until it is shown."""
        condition, values = str(protocol.getParam(name).condition), {}
        for other, param in protocol.getDefinition().iterParams():
            if re.search(rf"\b{other}\b", condition) and other != name:
                values[other] = (
                    range(len(param.choices))
                    if isinstance(param, params.EnumParam)
                    else (False, True)
                    if isinstance(param, params.BooleanParam)
                    else [self.unfinished]
                )
        for combination in itertools.product(*values.values()):
            for other, value in zip(values, combination):
                getattr(protocol, other).set(value)
            if protocol.evalParamCondition(name):
                return
        self.fail(f"{name} of {protocol} is never shown")

    def test_outputs_are_announced_in_one_style_in_which_none_hides_another(self):
        for protocolClass in ourProtocols():
            self.assertNotIsInstance(
                self.newProtocol(protocolClass).getPossibleOutputs(), enum.EnumMeta, protocolClass.__name__
            )

    def test_segmentation_announces_the_features_of_trainings_that_have_not_run(self):
        trainings = [self.newProtocol(CryodlProtTrainSegmenter, feature=name) for name in ("particle", "a membrane")]
        segmentation = self.newProtocol(CryodlProtSegment)
        for training in trainings:
            self.proj.saveProtocol(training)
            segmentation.inputModels.append(Pointer(training, extended="outputModel"))
        self.assertEqual(
            [name for name, _ in segmentation.iterOutputAttributes(includePossible=True)],
            ["scores_particle", "scores_a_membrane"],
        )

    def test_map_improvement_announces_one_map_or_a_set_of_them_as_its_input_will_be(self):
        first = self.newProtocol(CryodlProtImproveMap)
        self.proj.saveProtocol(first)
        second = self.newProtocol(CryodlProtImproveMap)
        second.inputVolume.set(first)
        second.inputVolume.setExtended("outputVolume")
        self.assertEqual(list(second.getPossibleOutputs()), ["outputVolume", "outputDoubt"])

    def test_the_package_of_every_protocol_is_called_cryodl(self):
        self.assertEqual({c.getClassPackageName() for c in ourProtocols()}, {"cryodl"})


class TestCryodlInputNames(ParticlesTest):
    def test_a_scheduled_run_does_not_wait_for_an_output_that_was_written_while_its_run_was_read(self):
        writeMicrographs(self.data + "/mics", 1)
        source = self.importMicrographs(self.data + "/mics")
        protocol = self.newProtocol(CryodlProtPick)
        protocol.inputMicrographs.set(source)
        protocol.inputMicrographs.setExtended("outputMicrographs")
        protocol.setStatus(STATUS_SCHEDULED)
        delattr(source, "outputMicrographs")  # as pyworkflow has it when it reads a moment too early
        source.setFailed("Process 1 not found running on the machine.")
        source.lastUpdateTimeStamp.set("2100-01-01 00:00:00")
        self.assertNotIn("has no output", " ".join(protocol.validate()))
        self.assertEqual(protocol.inputMicrographs.get().getSize(), 1)
        source.setFailed("Process 1 not found running on the machine.")  # and when its output is there in part
        source.lastUpdateTimeStamp.set("2100-01-01 00:00:00")
        self.assertNotIn("stopped before it finished", " ".join(protocol.validate()))
        self.assertTrue(source.isFinished())

    def test_names_of_files_stay_when_a_refreshed_project_gives_outputs_new_ids(self):
        before = inputName("particles", self.raw.outputParticles)
        self.raw.outputParticles.setObjId(self.raw.outputParticles.getObjId() + 1000)
        self.assertEqual(inputName("particles", self.raw.outputParticles), before)
        self.assertNotEqual(inputName("particles", self.raw2.outputParticles), before)


class TestCryodlObjectIds(unittest.TestCase):
    def test_no_name_of_a_file_or_step_is_made_of_the_object_id_of_an_input(self):
        found = []
        for path in sorted(
            glob.glob(os.path.join(FOLDER, "protocols", "**", "*.py"), recursive=True)
            + glob.glob(os.path.join(FOLDER, "convert", "**", "*.py"), recursive=True)
        ):
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            found += [f"{os.path.basename(path)}:{line}" for line in namedByObjectIds(tree)]
        self.assertEqual(found, [])

    def test_the_rule_finds_the_ways_to_make_such_a_name(self):
        for code in (
            "'map_%s' % volume.getObjId()",
            "f'map_{volume.getObjId()}'",
            "'{}'.format(volume.strId())",
            "os.path.join(folder, str(volume.getObjId()))",
            "self._insertFunctionStep(self.step, volume.getObjId())",
        ):
            self.assertTrue(namedByObjectIds(ast.parse(code)), code)
        for code in ("names[micrograph.getObjId()] + '%d' % number", "'model_%s' % self.getObjId()"):
            self.assertEqual(namedByObjectIds(ast.parse(code)), set(), code)


def namedByObjectIds(tree):
    """Lines where a text or a step is made of the object id of something else than the run or an item of a set, whose
    ids stay. Looking an item up by its id is no name."""
    keys = {
        id(node)
        for position in ast.walk(tree)
        if isinstance(position, ast.Subscript)
        for node in ast.walk(position.slice)
    }
    return {
        node.lineno
        for text in ast.walk(tree)
        if isText(text)
        for node in ast.walk(text)
        if isObjectId(node) and id(node) not in keys
    }


def isText(node):
    """True for what makes a text or a step: '...' % ..., f'...', and calls such as join."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Mod)
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) in _TEXT_CALLS
    return isinstance(node, ast.JoinedStr)


def isObjectId(node):
    """True for a call of getObjId or strId, but of the run itself, or of an item of a set, which is called so."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("getObjId", "strId", "getUniqueId")
        and getattr(node.func.value, "id", "") not in ("self", "item")
    )
