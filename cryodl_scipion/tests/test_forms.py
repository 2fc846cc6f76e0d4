# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms against the contract: nothing is typed twice, nothing is on a form that is never sent."""

import ast
import dataclasses
import os
import re
import subprocess
import sys
import typing
import unittest
from unittest import mock

from pyworkflow.protocol import params
from pyworkflow.tests import BaseTest, setupTestProject

from .. import Plugin, bibtex, protocols
from ..convert.form import addConfigParams, formName, readConfig
from ..engine.cryodl import contract
from ..protocols import CryodlProtPick, CryodlProtTrainPicker
from ..protocols.kinds import Options
from ..protocols.micrographs.protocol_train_picker import LIKE_REAL

_SCIPIONS = ("General", "Parallelization", "Streaming")  # tabs that look alike on every form


def ourProtocols():
    """All protocol classes of the plugin that stand in the tree."""
    found = [value for name, value in sorted(vars(protocols).items()) if name.startswith("CryodlProt")]
    return [value for value in found if "_label" in vars(value)]  # others are names of 0.1.0


def waysOf(protocolClass):
    """(protocol, or way of it, values of the form that choose it) of all that run the engine."""
    ways = [(way, {protocolClass.CHOICE: n}) for n, way in enumerate(getattr(protocolClass, "WAYS", ()))]
    return [(way, given) for way, given in ways or [(protocolClass, {})] if getattr(way, "_CONFIG", None)]


def ofWay(protocolClass, way, param):
    """Whether a field of a form is of a way of its protocol (its position); of other protocols all are."""
    chosen = rf"{getattr(protocolClass, 'CHOICE', None)} (?:== (\d)|in \(([\d, ]+)\))"
    ways = "".join("".join(found) for found in re.findall(chosen, param.condition.get() or "True"))
    return not ways or str(way) in ways


# Protocols, each with every config that its form fills, what says which fields are not on it, and what chooses it.
ENGINE_PROTOCOLS = [(one, way._CONFIG, way, given) for one in ourProtocols() for way, given in waysOf(one)]


class OfSimulation:
    """The simulation before a training on a structure."""

    NOT_ON_FORM = dict(
        structure="the input structure",
        output="the run's folder",
        noise_from="the own micrographs",
        orientations="all orientations are needed",
        box_size="no particles are cut out",
        contrast="a field with a name of its own",
        frames="no movies",
        drift="no movies",
    )
    OTHER_DEFAULTS = LIKE_REAL


def otherDefaults(way):
    """{field: word} where the default of a form is said to be another one than the contract's."""
    options = [part for part in getattr(way, "FORM", ()) if isinstance(part, Options) and "default" in part._others]
    given = {name: part._others["default"] for part in options for name in part.options}
    return dict(given, **getattr(way, "OTHER_DEFAULTS", {}))


ENGINE_PROTOCOLS += [(CryodlProtTrainPicker, contract.SimulateMicrographsConfig, OfSimulation, {"what": 1})]


class AllKinds(contract.Config):
    """One field of each kind."""

    folder: str = contract.param("A folder.", label="Folder", path="folder")
    count: int = contract.param("A number.", 3, limits=(1, 9))
    some_size: typing.Optional[float] = contract.param(
        "A size.", default=None, label="Size", unit="Å", none_means="the usual"
    )
    word: str = contract.param("A word.", default="two", label="Word", choices=("one", "two"), expert=True)
    flag: bool = contract.param("A flag.", default=True, label="Flag")
    words: typing.Tuple[str, ...] = contract.param("Words.", default=("a", "b c"), label="Words")


class Form:
    """Takes what addConfigParams gives to a form."""

    def __init__(self):
        self.params = {}

    def addParam(self, name, paramClass, **arguments):
        return self.params.setdefault(name, paramClass(**arguments))


class TestCryodlFormBuilder(unittest.TestCase):
    def setUp(self):
        self.form = Form()
        addConfigParams(
            self.form, AllKinds, ["count", "some_size", "word", "flag", "folder", "words"], count=dict(condition="flag")
        )
        self.params = self.form.params

    def test_types_labels_units_and_levels(self):
        classes = {name: type(param) for name, param in self.params.items()}
        self.assertEqual(
            classes,
            dict(
                count=params.IntParam,
                someSize=params.FloatParam,
                word=params.EnumParam,
                flag=params.BooleanParam,
                folder=params.FolderParam,
                words=params.StringParam,
            ),
        )
        self.assertEqual(self.params["someSize"].getLabel(), "Size (Å)")
        self.assertTrue(self.params["word"].isExpert())
        self.assertFalse(self.params["count"].isExpert())

    def test_several_words_stand_on_one_line_with_commas(self):
        self.assertEqual(self.params["words"].getDefault(), "a, b c")
        self.assertIn("Separated by commas.", self.params["words"].getHelp())

    def test_choices_default_by_word(self):
        self.assertEqual((self.params["word"].choices, self.params["word"].getDefault()), (["one", "two"], "1"))

    def test_help_says_range_and_what_empty_means(self):
        self.assertIn("From 1 to 9.", self.params["count"].getHelp())
        self.assertIn("Empty: the usual.", self.params["someSize"].getHelp())

    def test_overrides_go_to_the_param(self):
        self.assertEqual(self.params["count"].condition.get(), "flag")

    def test_an_unknown_field_is_an_error(self):
        with self.assertRaises(KeyError):
            addConfigParams(self.form, AllKinds, ["colour"])

    def test_empty_numbers_get_our_sentence_not_pyworkflows(self):
        self.assertEqual(self.params["count"].validate(None), [])
        self.assertIn("Count (--count) is missing", " ".join(contract.check(AllKinds(count=None, folder="x"))))


class TestCryodlForms(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)

    def test_a_run_that_has_nothing_to_say_is_not_called_one_without_results(self):
        run, silent = self.newProtocol(protocols.CryodlProtBackProject), contract.Result("reconstruct", {}, "", 0.0)
        self.assertEqual((run._tell([]), run._tell([silent])), ([run.NOTHING_YET], []))

    def test_what_was_done_after_all_is_not_said_to_be_skipped(self):
        run, said = self.newProtocol(protocols.CryodlProtPick), ("1 was skipped, for the reasons above.", "Ice.")
        run._tell = lambda results: []
        run._engineResults = lambda: [contract.Result("pick", {}, warnings=said)]
        self.assertEqual(run.summary(), ["Warning: Ice."])

    def test_the_command_lines_options_are_called_by_the_forms_labels(self):
        run, engine = self.newProtocol(protocols.CryodlProtDetectParticles), "False discovery rate (--fdr): give --fdr "
        engine += "or other particles (--others, with another --output), `cryodl segment --label`, /a--fdr/--device cpu"
        words = "False discovery rate: give *False discovery rate* or other particles (Other particles, with a copy "
        words += "of this run), `cryodl segment --label`, /a--fdr/--device cpu"
        engine += ", all with --overwrite, no CTF (rlnDefocusU, and rlnVoltage): not corrected"
        words += ", all with *Restart*, no CTF: not corrected"
        run._summary = run._validate = run._warnings = lambda: [engine]
        self.assertEqual((run.summary()[-1], run.validate()[-1]), (words, words))
        self.assertEqual(run.warnings()[-1], words)
        run.setFailed(f"\x1b[31mProtocol failed: {engine}\x1b[0m")  # as pyworkflow colours it
        self.assertEqual(run.getErrorMessage(), words)

    def test_an_empty_field_is_named_once(self):
        for protocolClass in ourProtocols():
            protocol = self.newProtocol(protocolClass)
            for number, _ in enumerate(getattr(protocolClass, "WAYS", [None])):
                if number:
                    getattr(protocol, protocolClass.CHOICE).set(number)
                wrong = protocol.validate()
                for name, param in protocol.getDefinition().iterParams():
                    label = re.compile(rf"\*?{re.escape(param.getLabel() or name)}\b")
                    self.assertLess(sum(bool(label.match(one)) for one in wrong), 2, (protocolClass, wrong))

    def test_letters_in_a_number_are_named_and_not_taken_for_an_empty_field(self):
        for protocolClass in ourProtocols():
            protocol = self.newProtocol(protocolClass)
            self.assertEqual(protocol._mistyped(), [])
            for name, param in protocol.getDefinition().iterParams():
                if type(param) not in (params.IntParam, params.FloatParam) or not protocol.evalParamCondition(name):
                    continue
                field, whole = getattr(protocol, name), "whole " * (type(param) is params.IntParam)
                self.assertEqual(field.getClassName(), "Integer" if whole else "Float")  # what databases know
                before = field.get()
                for text in ("0,5", "", "7"):
                    try:  # as Scipion's form does
                        field.set(text)
                    except ValueError:
                        field.set(None)
                    said = [f"{param.getLabel()} is '0,5'; it must be a {whole}number."] if text == "0,5" else []
                    self.assertEqual(protocol._mistyped(), said)
                field.set(before)
        protocol = self.newProtocol(CryodlProtPick)
        with self.assertRaises(ValueError):
            protocol.boxSize.set("many")
        self.assertEqual(protocol.validate(), ["Box size (px) is 'many'; it must be a whole number."])

    def test_numbers_that_are_not_the_contracts_are_refused_below_their_least(self):
        filled = dict(batchSize=0, streamingBatchSize=0, smallestBatch=0, firstParticles=0, boxSize=1)
        for protocolClass in ourProtocols():
            protocol = self.newProtocol(protocolClass)
            self.assertEqual(protocol._tooSmall(), [])
            for name, param in protocol.getDefinition().iterParams():
                if type(param) not in (params.IntParam, params.FloatParam) or hasattr(param, "formerNames"):
                    continue
                before, wrong = getattr(protocol, name).get(), filled.get(name, -1)
                getattr(protocol, name).set(wrong)
                said = [f"{param.getLabel()} is {wrong}; it must be at least {wrong + 1}."]
                self.assertEqual(protocol._tooSmall(), said if protocol.evalParamCondition(name) else [])
                getattr(protocol, name).set(before)

    def test_every_contract_field_is_on_the_form_or_excused(self):
        for protocolClass, config, way, given in ENGINE_PROTOCOLS:
            form = self.newProtocol(protocolClass, **given).getDefinition()
            for info in contract.describe_all(config):
                positions = [form.hasParam(formName(info.name)), info.name in way.NOT_ON_FORM]
                # one that another way has on the form may be excused by this one
                count = 1 if hasattr(protocolClass, "WAYS") and all(positions) else sum(positions)
                self.assertEqual(count, 1, f"{info.name} of {protocolClass.__name__}")

    def test_excuses_name_real_fields_and_give_reasons(self):
        for way in {way for _, _, way, _ in ENGINE_PROTOCOLS}:
            fields = {
                f.name for _, config, one, _ in ENGINE_PROTOCOLS if one is way for f in dataclasses.fields(config)
            }
            self.assertLessEqual(set(way.NOT_ON_FORM), fields | {"device", "threads", "names"})  # of every command
            self.assertTrue(all(way.NOT_ON_FORM.values()))

    def test_form_defaults_equal_contract_defaults_or_are_said_to_differ(self):
        for protocolClass, configClass, way, given in ENGINE_PROTOCOLS:
            values = {name: None for name in way.NOT_ON_FORM}
            config = readConfig(
                self.newProtocol(protocolClass, **given),
                configClass,
                **{n: v for n, v in values.items() if n in fieldsOf(configClass)},
            )
            for info in contract.describe_all(configClass):
                if info.name not in values:
                    default = None if info.required else info.default
                    default = otherDefaults(way).get(info.name, default)
                    value = getattr(config, info.name)
                    self.assertEqual(None if value == () and info.required else value, default, info.name)

    def test_each_field_that_the_form_shows_reaches_the_request(self):
        other = {"int": 7, "float": 12.5, "bool": True, "str": "C4", "paths": " one,the other , "}
        for protocolClass, configClass, way, given in ENGINE_PROTOCOLS:
            protocol = self.newProtocol(protocolClass, **given)
            values = {name: None for name in way.NOT_ON_FORM if name in fieldsOf(configClass)}
            for info in contract.describe_all(configClass):
                if info.name in values:
                    continue
                value = len(info.choices) - 1 if info.choices else other[info.kind]
                getattr(protocol, formName(info.name)).set(value)
                wanted = info.choices[-1] if info.choices else value if info.kind != "paths" else ("one", "the other")
                if not protocol.evalParamCondition(formName(info.name)):  # it was meant for other choices
                    wanted = None if info.required else info.default
                self.assertEqual(getattr(readConfig(protocol, configClass, **values), info.name), wanted)

    def test_positions_of_choices_are_frozen(self):
        # Saved workflows hold positions: new choices go to the end.
        self.assertEqual(contract.PICKER_NETWORKS[:6], ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2"))
        self.assertEqual(contract.LABEL_KINDS[:4], ("auto", "complete", "boxes", "sparse"))
        self.assertEqual(contract.CONTRASTS, ("auto", "dark", "bright"))
        self.assertEqual(contract.THRESHOLD_RULES[:3], ("model", "f1", "count"))
        self.assertEqual(contract.SEGMENTER_NETWORKS[:4], ("unet", "unet2d", "unet3d", "eman2"))
        self.assertEqual(contract.CLASSIFIER_NETWORKS[:4], ("likelihood", "dsrf3d", "rb3d", "cb3d"))
        self.assertEqual(contract.IMPROVER_NETWORKS[:2], ("fast", "swinconv"))
        self.assertEqual(contract.FEATURE_SHAPES[:4], ("centres", "particles", "filaments", "membranes"))
        self.assertEqual(contract.describe(contract.SegmentConfig, "scores").choices[:2], ("float16", "int8"))

    def test_every_param_has_a_label_and_a_help(self):
        for protocolClass in ourProtocols():
            for name, param in self.newProtocol(protocolClass).getDefinition().iterParams():
                if isinstance(param, params.LabelParam) or param.condition.get() == "False":
                    continue
                self.assertTrue(param.getLabel() and param.getHelp(), f"{protocolClass.__name__}.{name}")

    def test_the_selected_run_fills_neither_what_a_form_hides_nor_the_mask_of_its_own_map(self):
        from pyworkflow.gui.form import FormWindow

        filled, hidden = set(), set()
        for protocolClass in ourProtocols():
            for name, param in self.newProtocol(protocolClass).getDefinition().iterParams():
                # what modelFrom shows is asked for
                if type(param) is params.PointerParam and "modelFrom" not in str(param.condition.get()):
                    offered = param.pointerClass.get().split(",")
                    outputs = [(one, mock.Mock(**{"getClassName.return_value": one.strip()})) for one in offered]
                    form, pointer = mock.Mock(**{"getPreviousProtOutput.return_value": outputs}), mock.Mock()
                    FormWindow.suggestValueFromPreviousProt(form, param, pointer)
                    field = f"{protocolClass.__name__[len('CryodlProt') :]}.{name}"
                    filled |= {field} if pointer.set.called else set()
                    hidden |= {field} if param.isExpert() else set()
        self.assertEqual(filled & hidden, set())
        self.assertLessEqual({"Denoise.rawParticles", "ExtractParticles.inputMicrographs"}, hidden)
        wrong = {"ImproveMap.inputMask", "EvaluateMap.inputMask", "EvaluateMap.inputBefore"}
        self.assertEqual(filled & wrong, set())
        right = {
            "ImproveMap.inputVolume",
            "FitHeterogeneity.inputVolume",
            "Pick.inputStructure",
            "Pick.inputMicrographs",
        }
        self.assertLessEqual(right, filled)

    def test_no_two_fields_of_a_form_have_one_label(self):
        twice = []
        for protocolClass, way in [(p, n) for p in ourProtocols() for n in range(len(getattr(p, "WAYS", "1")))]:
            seen = {}
            for name, param in self.newProtocol(protocolClass).getDefinition().iterParams():
                if isinstance(param, params.LabelParam) or param.condition.get() == "False":
                    continue
                if not ofWay(protocolClass, way, param):
                    continue
                first = seen.setdefault(param.getLabel(), name)
                if first != name:
                    twice.append(f"{protocolClass.__name__}: {first} and {name} are both {param.getLabel()!r}")
        self.assertEqual(twice, [])

    def test_a_form_shows_at_most_twelve_fields_before_expert_and_no_empty_tab(self):
        for protocolClass in ourProtocols():
            field = "method" if protocolClass is CryodlProtPick else getattr(protocolClass, "CHOICE", None)
            for way in range(3 if field == "method" else len(getattr(protocolClass, "WAYS", "1"))):
                protocol = self.newProtocol(protocolClass, **({field: way} if field else {}))
                tabs = [tab for tab in protocol.getDefinition()._sectionList if tab.label.get() not in _SCIPIONS]
                shown = [
                    [n for n, p in tab.iterParams() if not p.isExpert() and protocol.evalParamCondition(n)]
                    for tab in tabs
                ]
                self.assertTrue(all(shown), f"{protocolClass.__name__} {way} has an empty tab")
                self.assertLessEqual(sum(map(len, shown)), 12, f"{protocolClass.__name__} {way}: {shown}")
                # Execute is below: 14 lines of 30 px, with Advanced, fit on a screen of 800 px. Threads of batches are
                # one, and a list of inputs is as high as four
                every = [[n for n, _ in tab.iterParams() if protocol.evalParamCondition(n)] for tab in tabs]
                lists = [sum(isinstance(protocol.getParam(n), params.MultiPointerParam) for n in tab) for tab in every]
                lines = max(len(tab) + 3 * many for tab, many in zip(every, lists))
                batches = protocol.hasAttribute("binThreads")
                self.assertLessEqual(lines, 14 - batches, f"{protocolClass.__name__} {way}: {every}")

    def test_information_of_runs_that_have_not_run(self):
        for protocolClass in ourProtocols():
            protocol = self.newProtocol(protocolClass)
            self.assertRegex(protocol.summary()[0], r"\byet\.", protocolClass.__name__)
            self.assertEqual(protocol._methods(), [], protocolClass.__name__)
            self.assertIn("cryodl", protocol._citations())

    def test_gpus_limit_steps_only_when_they_are_used(self):
        protocol = self.newProtocol(CryodlProtPick, useGpu=False, gpuList="0")
        self.assertEqual(protocol.getGpuList(), [])
        protocol.useGpu.set(True)
        self.assertEqual(protocol.getGpuList(), [0])
        self.assertFalse(protocol.requiresGpu())

    def test_a_required_field_that_nobody_gives_is_an_error(self):
        with self.assertRaises(KeyError):
            readConfig(self.newProtocol(CryodlProtPick), contract.PickConfig)


class TestCryodlTwoSides(unittest.TestCase):
    def test_the_contract_needs_nothing_but_the_standard_library(self):
        code = "import sys; sys.path.insert(0, sys.argv[1]); from cryodl import contract; print(len(contract.COMMANDS))"
        answer = subprocess.run(
            [sys.executable, "-S", "-I", "-c", code, Plugin.getEngineFolder()], env={}, capture_output=True, text=True
        )
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertGreater(int(answer.stdout), 3)

    def test_each_network_is_a_class_of_its_file_and_its_papers_are_in_the_bibliography(self):
        # The classes import torch, which is not here: the sources are read.
        for network in contract.NETWORKS:
            path = os.path.join(Plugin.getEngineFolder(), "cryodl", *network.module.split(".")) + ".py"
            with open(path, encoding="utf-8") as file:
                classes = {node.name: node for node in ast.parse(file.read()).body if isinstance(node, ast.ClassDef)}
            names = [
                ast.literal_eval(line.value)
                for line in classes[network.method].body
                if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "name"
            ]
            self.assertEqual(names, [network.name], network)
            self.assertTrue(network.words and network.citations, network)
            for key in network.citations:
                self.assertIn(f"{{{key},", bibtex.__doc__)

    def test_the_scipion_side_does_not_import_torch(self):
        modules = ", ".join(f"cryodl_scipion.{name}" for name in ("protocols", "wizards", "viewers"))
        code = f"import sys; import {modules}; sys.exit('torch' in sys.modules)"
        answer = subprocess.run(
            [sys.executable, "-c", code], env=dict(os.environ, MPLBACKEND="Agg"), capture_output=True, text=True
        )
        self.assertEqual(answer.returncode, 0, answer.stderr)


def fieldsOf(configClass):
    return {field.name for field in dataclasses.fields(configClass)}
