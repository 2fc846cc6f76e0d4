# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking without labels, from the form to coordinates and model, with a fake engine."""

import dataclasses
import os
import shutil

from matplotlib.figure import Figure
from pwem import Domain
from pyworkflow.viewer import DESKTOP_TKINTER

from ...convert.micrographs.picks import boxSizeFor, readRounds
from ...engine.cryodl import contract
from ...protocols import CryodlProtAutoPick, CryodlProtImportModel, CryodlProtPick
from ...viewers.micrographs.viewer_picks import CryodlPickViewer
from ...viewers.plots import drawRounds
from ...wizards import single_particles
from .. import synthetic
from ..base import CryodlTest, picksOf
from ..fake_model import writeModel
from ..streams import endImport, startImport, stopRun, waitFor

ABOVE_04 = [(40, 50), (121, 60), (200, 70), (280, 200)]


def moveBoth(path, folder):
    """Move a micrograph that has just been written, and what the fake engine knows of it."""
    shutil.move(path + ".truth.json", folder)
    os.utime(path)
    shutil.move(path, folder)


class TestCryodlAutoPick(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.imported = cls.importMicrographs(os.path.dirname(synthetic.writeMicrographs(cls.data + "/mics", 4)[0]))
        cls.model = cls.runProtocol(
            CryodlProtImportModel, modelFolder=writeModel(cls.data + "/model", dict(name="everything", general=True))
        )
        cls.inputs = dict(inputMicrographs=(cls.imported, "outputMicrographs"), inputModel=(cls.model, "outputModel"))
        cls.finished = cls.pick()

    @classmethod
    def pick(cls, pointers=None, **values):
        values = dict(dict(useGpu=False, particleDiameter=90, modelFrom=0, trainingMicrographs=2), **values)
        return cls.runProtocol(CryodlProtAutoPick, dict(cls.inputs, **(pointers or {})), **values)

    def errors(self, pointers=None, **values):
        return " ".join(
            self.makeProtocol(
                CryodlProtAutoPick,
                dict(self.inputs, **(pointers or {})),
                **dict(dict(useGpu=False, particleDiameter=90, modelFrom=0), **values),
            ).validate()
        )

    def test_coordinates_and_a_model_come_out(self):
        self.assertTrue(self.finished.isFinished(), self.finished.getErrorMessage())
        coordinates, model = self.finished.outputCoordinates, self.finished.outputModel
        self.assertEqual(picksOf(coordinates), {f"mic_{i:03d}.mrc": sorted(ABOVE_04) for i in range(1, 5)})
        self.assertEqual(coordinates.getBoxSize(), boxSizeFor(90, synthetic.PIXEL_SIZE))
        self.assertEqual(
            sorted({round(c._cryodlScore.get(), 1) for c in coordinates.iterItems()}), [0.5, 0.7, 0.8, 0.9]
        )
        self.assertEqual((model.getModelName(), model.getParticleDiameter()), ("retrained", 90))
        self.assertTrue(model.getFolder().startswith(self.finished._getExtraPath()))
        request = contract.Request.read(self.finished._getExtraPath("request.json"))
        config = request.config
        self.assertEqual(
            (config.model, request.names[0], config.training_micrographs),
            (self.model.outputModel.getFolder(), "mic_001", 2),
        )

    def test_its_model_picks_with_the_answers_to_its_questions(self):
        self.finished.setAttributesFromDict(dict(thresholdRule=1, expectedParticles=30.0, threshold=0.3))
        again = self.finished.pickingWith(self.finished)  # any run: its output is not read here
        self.finished.setAttributesFromDict(dict(thresholdRule=0, expectedParticles=None, threshold=None))
        again.answeredCoordinates.set(None)
        config = dataclasses.replace(again._config(), answers="answers")
        self.assertEqual((config.model, config.avoid), (self.finished.outputModel.getFolder(), "nothing"))
        self.assertEqual((again._learns(), config.check_together()), (False, []))

    def test_its_model_picks_more_micrographs(self):
        picked = self.runProtocol(
            CryodlProtPick,
            dict(inputMicrographs=(self.imported, "outputMicrographs"), inputModel=(self.finished, "outputModel")),
            useGpu=False,
        )
        self.assertEqual(picked.outputCoordinates.getSize(), 16)

    def test_summary_and_methods_tell_of_the_rounds(self):
        text = "\n".join(self.finished.summary())
        for words in (
            "*16 particles* on 4 micrographs",
            "3 rounds of training; the best was round 3",
            "CPU (fake)",
            "stopped: 3 rounds were asked for",
            "round 1: 6 picks, 3 confident, separation 0.70",
            "Protein is dark",
        ):
            self.assertIn(words, text)
        self.assertEqual(self.finished._methods(), ["auto-pick was used."])
        self.assertIn("Wang2016", self.finished._citations())

    def test_rounds_are_read_and_drawn_while_the_table_grows(self):
        folder = self.finished.getPicksFolder()
        rounds = readRounds(folder)
        self.assertEqual([(r["round"], r["separation"]) for r in rounds], [(0, 0.6), (1, 0.7), (2, 0.8), (3, 0.9)])
        growing = os.path.join(self.data, "growing")
        os.makedirs(growing)
        self.assertEqual(readRounds(growing), [])
        with open(os.path.join(growing, "rounds.csv"), "w") as file:
            file.write("round,separation,picks,threshold\n0,0.6,,0.5\n1,0.")
        self.assertEqual(readRounds(growing), [dict(round=0, separation=0.6, picks=None, threshold=0.5)])
        figure = Figure()
        axes = figure.subplots()
        drawRounds(axes, rounds)
        self.assertEqual(axes.lines[0].get_ydata().tolist(), [0.6, 0.7, 0.8, 0.9])
        self.assertEqual([t.get_text() for t in axes.texts], ["4 picks", "6 picks", "8 picks", "10 picks"])

    def test_analyze_results_shows_the_rounds(self):
        self.assertIs(Domain.findViewers(self.finished, DESKTOP_TKINTER)[0], CryodlPickViewer)

    def test_a_killed_run_goes_on_with_its_next_round(self):
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "2"
        try:
            protocol = self.pick()
            self.assertTrue(protocol.isFailed())
            self.assertEqual(len(readRounds(protocol.getPicksFolder())), 2)
            self.assertIn("round 1: 6 picks", "\n".join(protocol.summary()))
            self.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual([r["round"] for r in readRounds(protocol.getPicksFolder())], [0, 1, 2, 3])

    def test_more_rounds_keep_those_that_are_there_other_settings_begin_anew(self):
        protocol = self.pick(rounds=1)
        mark = os.path.join(protocol.getPicksFolder(), "rounds", "1", "mark")
        open(mark, "w").close()
        for name, value, kept in (("rounds", 2, True), ("threshold", 0.6, True), ("seed", 5, False)):
            getattr(protocol, name).set(value)
            self.proj.launchProtocol(protocol, wait=True)
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            self.assertEqual(os.path.exists(mark), kept, name)
            self.assertEqual([r["round"] for r in readRounds(protocol.getPicksFolder())], [0, 1, 2])
        os.remove(protocol.outputCoordinates.getFileName())  # as the window sees it until picks are registered again
        self.assertIn("No coordinates yet", protocol.summary()[0])
        open(protocol.outputCoordinates.getFileName(), "w").close()
        self.assertIn("No coordinates yet", protocol.summary()[0])
        self.assertIn("round 1: 6 picks", "\n".join(protocol.summary()))

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(), "")
        self.assertIn("Particle diameter is missing", self.errors(particleDiameter=None))
        self.assertIn("The particle diameter of 5 Å is only", self.errors(particleDiameter=5))
        self.assertIn("Shipped model is 'none such'", self.errors(modelFrom=1, shippedModel="none such"))
        self.assertIn("Rounds is 30; it must be between", self.errors(rounds=30))
        self.assertIn("Box size (px) is 1", self.errors(boxSize=1))
        self.assertIn("Trained model is empty", self.errors(dict(inputModel=(None, ""))))
        corrected = self.makeProtocol(CryodlProtAutoPick)
        shown = lambda: [
            corrected.evalParamCondition(n) for n in ("rounds", "trainingMicrographs", "confident", "steps")
        ]
        self.assertEqual(shown(), [True] * 4)
        corrected.correctedCoordinates.set(self.finished.outputCoordinates)
        self.assertEqual(shown(), [False] * 3 + [True])
        one = self.importMicrographs(os.path.dirname(synthetic.writeMicrographs(self.data + "/one", 1)[0]))
        alone = dict(inputMicrographs=(one, "outputMicrographs"))
        self.assertIn("only one micrograph", self.errors(alone))
        self.assertEqual(self.errors(alone, rounds=0), "")

    def test_what_arrives_after_the_first_micrographs_is_picked_once_by_their_model_though_the_run_is_stopped(self):
        folder, waiting = os.path.join(self.data, "stream"), os.path.join(self.data, "waiting")
        paths = synthetic.writeMicrographs(waiting, 5)
        os.makedirs(folder)
        for path in paths[:2]:
            moveBoth(path, folder)
        imported = startImport(self, folder)
        protocol = self.makeProtocol(
            CryodlProtAutoPick,
            dict(self.inputs, inputMicrographs=(imported, "outputMicrographs")),
            **dict(useGpu=False, particleDiameter=90, modelFrom=0, trainingMicrographs=12, learningWait=1),
            **dict(streamingSleepOnWait=1, batchSize=1),
        )
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=False)
        waitFor(self, protocol, lambda: protocol.hasAttribute("outputModel"))
        self.assertTrue(protocol.outputCoordinates.isStreamOpen())
        stopRun(self.proj, protocol)
        mark = os.path.join(protocol.getPicksFolder(), "rounds", "1", "mark")
        open(mark, "w").close()
        stamp = os.stat(protocol._getExtraPath("result.json")).st_mtime_ns
        for path in paths[2:]:
            moveBoth(path, folder)
        endImport(self, imported, 5)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertFalse(protocol.outputCoordinates.isStreamOpen())
        wanted = {f"mic_{number:03d}.mrc": sorted(ABOVE_04) for number in range(1, 6)}
        self.assertEqual(picksOf(protocol.outputCoordinates), wanted)
        self.assertTrue(os.path.exists(mark))
        self.assertEqual(os.stat(protocol._getExtraPath("result.json")).st_mtime_ns, stamp)
        with open(os.path.join(protocol.getPicksFolder(), "picked.log")) as log:
            self.assertEqual(sorted(log.read().split()), [f"mic_{number:03d}" for number in range(1, 6)])
        self.assertEqual(contract.Request.read(protocol._getExtraPath("request.json")).names, ("mic_001", "mic_002"))
        self.assertIn("20 particles* on 5 micrographs", " ".join(protocol.summary()))

    def test_a_model_for_other_particles_is_a_warning(self):
        protocol = self.makeProtocol(CryodlProtAutoPick, self.inputs, useGpu=False, particleDiameter=90, modelFrom=0)
        self.assertEqual(protocol.warnings(), [])
        special = self.runProtocol(CryodlProtImportModel, modelFolder=writeModel(self.data + "/special", {}))
        protocol = self.makeProtocol(
            CryodlProtAutoPick, dict(self.inputs, inputModel=(special, "outputModel")), modelFrom=0
        )
        self.assertIn("is not a general model", " ".join(protocol.warnings()))

    def test_wizards_know_the_form(self):
        protocol = self.makeProtocol(CryodlProtAutoPick, self.inputs, modelFrom=0)
        measured = single_particles.micrographsToMeasure(protocol)
        self.assertEqual((len(measured.names), single_particles.firstDiameter(protocol, measured)), (4, 150))
        with self.assertRaisesRegex(ValueError, "no picks yet"):
            single_particles.picksToFilter(protocol)
        self.assertEqual(single_particles.picksToFilter(self.finished).getSize(), 16)
