# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of protocols: what follows from the contract, and what it refuses."""

import os

from pyworkflow.tests import BaseTest, setupTestProject

from .. import protocols
from ..convert.form import readConfig
from ..engine.cryodl import contract
from ..protocols import CryodlProtModels, CryodlProtPick
from ..protocols.engine_protocol import OneRun
from ..protocols.kinds import Flag, MapOrModel, Options, Section
from ..protocols.one_of import OneOf, Way


class WeighConfig(contract.Config):
    """A command that exists here alone."""

    structure: str = contract.param("A structure.", label="Structure", path="file")
    output: str = contract.param("A folder.", label="Folder", path="folder")
    scale: float = contract.param("A scale.", default=1.0, label="Scale")
    unit: str = contract.param("A unit.", default="kDa", label="Unit", choices=("Da", "kDa"))
    repeats: int = contract.param("How often.", default=2, label="Repeats")


class WeighOutputs(contract.Outputs):
    """What it makes."""

    weight: float = contract.output("The weight.")


class TestCryodlEngineProtocol(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)
        row = contract.Command("weigh", WeighConfig, WeighOutputs, gpu=True)
        contract.COMMANDS["weigh"] = row
        cls.addClassCleanup(contract.COMMANDS.pop, "weigh")

    def fields(self, protocolClass):
        return [name for name, _ in self.newProtocol(protocolClass).getDefinition().iterParams()]

    def test_fields_that_no_part_names_follow_in_the_contracts_order(self):
        made = self._subclass(MapOrModel("inputStructure", "Of what."), Flag("dry", "Dry", "Dry?"))
        ours = [n for n in self.fields(made) if n in ("inputStructure", "dry", "scale", "unit", "repeats")]
        self.assertEqual(ours, ["inputStructure", "dry", "scale", "unit", "repeats"])
        self.assertEqual(set(made.NOT_ON_FORM), {"structure", "output"})
        self.assertIn("useGpu", self.fields(made))

    def test_a_part_places_options_and_changes_their_default(self):
        made = self._subclass(
            Section("Input"),
            MapOrModel("inputStructure", "Of what."),
            Flag("dry", "Dry", "Dry?"),
            Options("repeats", when="dry"),
            Options("unit", default="Da", more=" As you like."),
        )
        ours = [n for n in self.fields(made) if n in ("scale", "unit", "repeats")]
        self.assertEqual(ours, ["repeats", "unit", "scale"])
        protocol = self.newProtocol(made)
        self.assertEqual(protocol._config().unit, "Da")
        self.assertFalse(protocol.evalParamCondition("repeats"))
        self.assertTrue(protocol.getParam("unit").getHelp().startswith("A unit. As you like."))

    def test_a_misspelt_field_cannot_be_imported(self):
        for part in (Options("scael"), MapOrModel("inputStructure", "Of what.", to=("struct",))):
            with self.assertRaisesRegex(TypeError, "WeighConfig has no field (scael|struct)"):
                self._subclass(part)

    def test_a_value_that_is_no_field_of_the_config_is_found_when_the_form_is_read(self):
        class Misspelt(MapOrModel):
            def values(self, protocol):
                return dict(structur="map.mrc")

        given = self.newProtocol(self._subclass(MapOrModel("inputStructure", "Of what.")))
        self.assertEqual(given._config(scale=2.0, names=("a",), seed=1).scale, 2.0)  # the request has names and seed
        with self.assertRaisesRegex(TypeError, "WeighConfig.*scael"):
            given._config(scael=2.0)
        with self.assertRaisesRegex(TypeError, "WeighConfig.*structur'"):
            self.newProtocol(self._subclass(Misspelt("inputStructure", "Of what.")))._config()

    def test_a_field_that_neither_form_nor_caller_gives_is_named(self):
        with self.assertRaisesRegex(KeyError, r"SelectClassesConfig: neither on the form .* \['classes', 'output'\]"):
            readConfig(self.newProtocol(CryodlProtModels), contract.SelectClassesConfig)

    def test_a_batch_of_which_all_was_skipped_has_empty_outputs_of_their_types(self):
        config = contract.PickConfig(micrographs=("a.mrc",), pixel_size=1.0, model="m", output=self.getOutputPath())
        os.makedirs(self.getOutputPath(), exist_ok=True)
        error = contract.AllSkipped("Of 2 micrographs, none could be picked. The first: damaged")
        error.reasons, error.warnings = {"a": "damaged"}, ["The header says 3 Å/px."]
        CryodlProtPick()._noteAllSkipped(config, self.getOutputPath(), error, ["a"])
        made = contract.Result.read(self.getOutputPath("result.json"))
        self.assertEqual((made.outputs.counts, made.outputs.coordinates, made.outputs.picks), ({}, {}, None))
        self.assertEqual([(s.item, s.reason) for s in made.skipped], [("a", "damaged")])
        self.assertEqual(made.warnings, ("The header says 3 Å/px.",))

    def test_a_protocol_of_two_ways_has_each_field_once_and_does_what_is_chosen(self):
        class Weigh(Way[WeighConfig, WeighOutputs]):
            """Weigh it."""

            WORD, CITES = "weigh", ("Cicek2016",)
            FORM = (MapOrModel("inputStructure", "Of what."), Options("scale"), Options("unit", when="scale > 1"))

            def problems(self, protocol):
                return ["too heavy"] if protocol.scale.get() > 9 else []

        class Drop(Way):
            """Let it fall."""

            WORD = "drop"
            FORM = (Flag("far", "Far", "Far?"), MapOrModel("inputStructure", "Of what.", empty="nothing falls"))

            def tell(self, protocol, results):
                return ["It fell far." if protocol.far.get() else "It fell."]

        class Either(OneOf):
            """A protocol that exists here alone."""

            _label = "either"
            WAYS = (Weigh(), Drop())
            WHAT = ("What", "One of them.")

        protocol = self.newProtocol(Either)
        ours = [n for n in self.fields(Either) if n in ("what", "inputStructure", "scale", "unit", "repeats", "far")]
        self.assertEqual(ours, ["what", "inputStructure", "scale", "unit", "repeats", "far"])
        shown = lambda: [name for name in ours if protocol.evalParamCondition(name)]
        self.assertEqual(shown(), ["what", "inputStructure", "scale", "repeats"])
        self.assertEqual((protocol._config().scale, protocol._row().name), (1.0, "weigh"))
        protocol.scale.set(10.0)
        self.assertEqual(shown(), ["what", "inputStructure", "scale", "unit", "repeats"])
        self.assertEqual((protocol._checkTogether(), protocol._citations()), (["too heavy"], ["cryodl", "Cicek2016"]))
        protocol.what.set(1)
        self.assertEqual(shown(), ["what", "inputStructure", "far"])
        self.assertEqual((protocol._checkTogether(), protocol._summary()), ([], ["It fell."]))
        self.assertFalse(protocol.usesGpu())

    def test_a_protocol_of_0_1_0_becomes_one_of_the_ways_of_another(self):
        made = self.newProtocol(protocols.CryodlProtExportModel, targetFolder="there")
        self.assertEqual((type(made), made.what.get(), made.targetFolder.get()), (CryodlProtModels, 1, "there"))
        self.assertTrue(protocols.CryodlProtExportModel.isBase())  # so that Scipion does not list it

    def _subclass(self, *parts):
        class Weigh(OneRun[WeighConfig, WeighOutputs]):
            """A protocol that exists here alone."""

            _label = "weigh"
            FORM = parts

        return Weigh
