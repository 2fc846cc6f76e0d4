# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on simulated micrographs of a structure, from the form to the model, with a fake engine."""

import os

from ... import Plugin
from ...engine.cryodl import contract
from ...protocols import CryodlProtTrainFromStructure
from ..fake_model import writeModel
from ..simulating import SMALL, SimulateTest


class TestCryodlTrainFromStructure(SimulateTest):
    def train(self, pointers=None, **values):
        return self.simulate(pointers, CryodlProtTrainFromStructure, **values)

    def test_a_structure_becomes_a_model(self):
        protocol = self.train(steps=7, contrast=1, network=4)  # as a workflow of 0.1.0 says it
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual((protocol.outputModel.getNetwork(), protocol.outputModel.getParticleDiameter()), ("topaz", 60))
        config = self.request(protocol, "training")
        self.assertEqual(
            (config.labels, config.contrast, config.steps, config.pixel_size, config.start_from),
            ("complete", "bright", 7, 2.0, None),
        )
        asked = contract.Request.read(protocol._getExtraPath("training", "request.json"))
        self.assertEqual(asked.names, ("simulated_0001", "simulated_0002", "simulated_0003"))
        text = "\n".join(protocol.summary())
        for words in ("simulate-micrographs told this", "train-picker told this", "started from random weights"):
            self.assertIn(words, text)
        self.assertEqual(protocol._methods(), ["simulate-micrographs was used.", "train-picker was used."])
        self.assertIn("Bepler2019", protocol._citations())

    def test_it_starts_from_the_general_model_of_the_same_network(self):
        engine = os.path.join(self.data, "engine")
        general = writeModel(os.path.join(engine, "cryodl", "models", "general"), dict(general=True))
        protocol = self.makeProtocol(CryodlProtTrainFromStructure, self.inputs, **SMALL)
        self.addCleanup(setattr, Plugin, "getEngineFolder", Plugin.getEngineFolder)
        Plugin.getEngineFolder = classmethod(lambda cls: engine)
        self.assertEqual(protocol._config().start_from, general)
        protocol.network.set(1)
        self.assertIsNone(protocol._config().start_from)
        protocol.network.set(0)
        protocol.startGeneral.set(False)
        self.assertIsNone(protocol._config().start_from)

    def test_a_killed_training_continues_and_other_micrographs_train_anew(self):
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "3"
        try:
            protocol = self.train()
            self.assertTrue(protocol.isFailed())
            simulated = os.stat(protocol._getExtraPath("simulated")).st_mtime_ns
            self.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(os.stat(protocol._getExtraPath("simulated")).st_mtime_ns, simulated)
        protocol.snr.set(0.1)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        folders = protocol.getModelFolder(), protocol._getExtraPath("simulated")
        trained, simulated = (os.stat(folder).st_mtime_ns for folder in folders)
        self.assertGreater(trained, simulated)
        self.assertEqual(self.request(protocol, "simulation").snr, 0.1)

    def test_a_stop_before_the_training_leaves_no_figures_of_the_model_before(self):
        protocol = self.train()
        protocol.snr.set(0.1)
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "3"
        try:
            self.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        self.assertTrue(protocol.isFailed())
        self.assertEqual(self.request(protocol, "simulation").snr, 0.1)
        self.assertNotIn("train-picker told this", "\n".join(protocol.summary()))

    def test_wrong_values_of_both_halves_are_named(self):
        def errors(**values):
            return " ".join(
                self.makeProtocol(CryodlProtTrainFromStructure, self.inputs, **dict(SMALL, **values)).validate()
            )

        self.assertEqual(errors(), "")
        self.assertIn("Training steps is 0", errors(steps=0))
        self.assertIn("Number of micrographs is 0", errors(count=0))
        protocol = self.newProtocol(CryodlProtTrainFromStructure)
        self.assertEqual((protocol.summary(), protocol._methods()), (["No model yet."], []))
