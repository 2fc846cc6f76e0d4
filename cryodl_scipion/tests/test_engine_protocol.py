# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of protocols: what follows from the contract, and what it refuses."""

import dataclasses
import os

from pyworkflow.tests import BaseTest, setupTestProject

from ..engine.cryodl import contract
from ..protocols.batches import noteAllSkipped
from ..protocols.engine_protocol import OneRun
from ..protocols.kinds import Flag, MapOrModel, Options, Section


@dataclasses.dataclass(frozen=True)
class WeighConfig:
    """A command that exists here alone."""

    structure: str = contract.param("A structure.", label="Structure", path="file")
    output: str = contract.param("A folder.", label="Folder", path="folder")
    scale: float = contract.param("A scale.", default=1.0, label="Scale")
    unit: str = contract.param("A unit.", default="kDa", label="Unit", choices=("Da", "kDa"))
    repeats: int = contract.param("How often.", default=2, label="Repeats")


@dataclasses.dataclass(frozen=True, eq=False)
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
        self.assertEqual(made.OTHER_DEFAULTS, {"unit": "Da"})
        self.assertFalse(protocol.evalParamCondition("repeats"))
        self.assertTrue(protocol.getParam("unit").getHelp().startswith("A unit. As you like."))

    def test_a_misspelt_field_cannot_be_imported(self):
        for part in (Options("scael"), MapOrModel("inputStructure", "Of what.", to=("struct",))):
            with self.assertRaisesRegex(TypeError, "WeighConfig has no field (scael|struct)"):
                self._subclass(part)

    def test_a_batch_of_which_all_was_skipped_has_empty_outputs_of_their_types(self):
        config = contract.PickConfig(
            micrographs=("a.mrc",), names=("a",), pixel_size=1.0, model="m", output=self.getOutputPath()
        )
        os.makedirs(self.getOutputPath(), exist_ok=True)
        noteAllSkipped(config, self.getOutputPath(), contract.AllSkipped("damaged"), config.micrographs)
        made = contract.Result.read(self.getOutputPath("result.json"))
        self.assertEqual((made.outputs.counts, made.outputs.coordinates, made.outputs.picks), ({}, {}, None))
        self.assertEqual([(s.item, s.reason) for s in made.skipped], [("a", "damaged")])

    def _subclass(self, *parts):
        class Weigh(OneRun[WeighConfig, WeighOutputs]):
            """A protocol that exists here alone."""

            _label = "weigh"
            FORM = parts

        return Weigh
