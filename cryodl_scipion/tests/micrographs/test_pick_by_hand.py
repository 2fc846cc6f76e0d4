# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks that are made or corrected by hand, and what learns from them."""

import os
from unittest import mock

from pwem.objects import SetOfMicrographs
from pyworkflow.protocol import STATUS_INTERACTIVE, STATUS_RUNNING

from ...convert.arriving import ALIVE
from ...convert.micrographs.picks import correctionsFolder, picksByMicrograph
from ...engine.cryodl import contract
from ...protocols import CryodlProtAutoPick, CryodlProtPick, CryodlProtPickByHand, CryodlProtTrainPicker
from ...viewers.micrographs.viewer_picks import PicksData, correctPicks
from ..picking import PickTest
from ..streams import waitFor

ADDED = [(20 * number, 30) for number in range(1, 6)]


class TestCryodlPickByHand(PickTest):
    def correct(self, picked, **values):
        pointers = dict(inputCoordinates=(picked, "outputCoordinates"))
        protocol = self.runProtocol(CryodlProtPickByHand, pointers, particleDiameter=120, **values)
        self.assertEqual(protocol.getErrorMessage(), "")
        return protocol

    def test_corrected_picks_are_an_output_and_others_stay_as_they_were(self):
        picked = self.pick()
        before = picksByMicrograph(picked.outputCoordinates)
        protocol = self.correct(picked)
        after = picksByMicrograph(protocol.outputCoordinates)
        self.assertEqual([p[:2] for p in after[1]], ADDED + [p[:2] for p in before[1][1:]])
        self.assertEqual([p[:2] for p in after[2]], [p[:2] for p in before[2]])
        self.assertAlmostEqual(after[2][0][2], before[2][0][2], 4, "scores stay")
        self.assertEqual(protocol.outputCoordinates._cryodlDiameter.get(), 120)
        self.assertIn("By hand", " ".join(protocol.summary()))
        self.assertEqual(protocol._methods(), ["pick-by-hand was used."])

    def test_picks_of_a_program_without_scores_get_none(self):
        picked = self.makeCoordinates(self.imported, {1: [(50, 60), (90, 40)], 2: [(70, 80)]})
        after = picksByMicrograph(self.correct(picked).outputCoordinates)
        self.assertEqual(after[2], [(70, 80, None)])
        self.assertEqual({score for picks in after.values() for *_, score in picks}, {None})

    def test_the_window_of_a_continued_run_starts_from_the_picks_of_the_form(self):
        protocol, fewer = self.correct(self.pick()), self.pick(threshold=0.75)
        protocol.inputCoordinates.set(fewer)
        protocol.inputCoordinates.setExtended("outputCoordinates")
        self.proj.launchProtocol(protocol, wait=True)
        after, theirs = (picksByMicrograph(run.outputCoordinates) for run in (protocol, fewer))
        self.assertEqual([p[:2] for p in after[2]], [p[:2] for p in theirs[2]])

    def test_picks_can_begin_with_nothing_and_an_empty_form_says_what_is_missing(self):
        protocol = self.makeProtocol(CryodlProtPickByHand, particleDiameter=120)
        self.assertIn("Choose the picks to correct, or the micrographs", " ".join(protocol.validate()))
        pointers = dict(inputMicrographs=(self.imported, "outputMicrographs"))
        protocol = self.runProtocol(CryodlProtPickByHand, pointers, particleDiameter=120)
        self.assertEqual([p[:2] for p in picksByMicrograph(protocol.outputCoordinates)[1]], ADDED)
        protocol.particleDiameter.set(None)
        self.assertIn("Particle diameter", " ".join(protocol.validate()))

    def test_training_takes_the_corrections_as_they_are(self):
        corrected = self.correct(self.pick())
        pointers = dict(inputCoordinates=(corrected, "outputCoordinates"))
        protocol = self.makeProtocol(CryodlProtTrainPicker, pointers, particleDiameter=120, useGpu=False)
        self.assertEqual(protocol.validate(), [])
        self.assertIn("Start from shipped model", " ".join(protocol.warnings()))
        self.assertEqual(protocol._config().coordinates, corrected._getExtraPath("picks"))
        protocol.shippedModel.set("general")
        self.assertEqual(protocol.warnings() + protocol.validate(), [])
        self.assertEqual(os.path.basename(protocol._config().start_from), "general")
        protocol.shippedModel.set("nonsense")
        self.assertIn("'nonsense', which does not exist", " ".join(protocol.validate()))
        self.proj.launchProtocol(corrected, wait=True)  # continued: the window opens again
        self.assertEqual(correctionsFolder(corrected.outputCoordinates), corrected._getExtraPath("picks"))

    def test_auto_pick_takes_corrections_of_its_own_micrographs_alone(self):
        picked = self.pick()
        corrected = self.correct(picked)
        pointers = dict(
            inputMicrographs=(self.imported, "outputMicrographs"), correctedCoordinates=(corrected, "outputCoordinates")
        )
        protocol = self.makeProtocol(CryodlProtAutoPick, pointers, particleDiameter=120, useGpu=False)
        with mock.patch.object(SetOfMicrographs, "getSize", return_value=1):
            self.assertEqual(protocol.validate(), [], "corrections teach on one micrograph, too: there are no rounds")
            protocol.correctedCoordinates.set(None)
            self.assertIn("Set Rounds to 0", " ".join(protocol.validate()))
        protocol.correctedCoordinates.set(corrected)
        protocol.correctedCoordinates.setExtended("outputCoordinates")
        self.assertEqual(protocol.validate(), [])
        self.assertEqual(protocol._autoConfig().corrections, corrected._getExtraPath("picks"))
        protocol.correctedCoordinates.set(picked)
        self.assertIn("contains no corrections", " ".join(protocol.validate()))

    def test_the_window_of_picks_starts_the_corrections_in_the_project(self):
        picked = self.pick()
        data = PicksData.ofSet(picked.outputCoordinates)
        self.proj.getRunsGraph(refresh=True)
        with mock.patch.object(self.proj, "openedAsReadOnly", return_value=True):
            self.assertIn("for reading only", correctPicks(picked, "outputCoordinates", data))
        said = correctPicks(picked, "outputCoordinates", data)
        self.assertIn("All picks of the set open in a window", said)
        made = [p for p in self.proj.getRuns() if isinstance(p, CryodlProtPickByHand)][-1]
        self.assertEqual(made.inputCoordinates.getUniqueId(), f"{picked.getObjId()}.outputCoordinates")
        self.assertEqual(made.particleDiameter.get(), 120)
        self.assertEqual(contract.check(made._config()), [])
        before = len(self.proj.getRuns())
        with mock.patch.object(CryodlProtPickByHand, "getStatus", return_value=STATUS_RUNNING):
            self.assertIn("has been started for this", correctPicks(picked, "outputCoordinates", data))
        self.assertEqual(len(self.proj.getRuns()), before)
        waitFor(self, made, lambda: made.getStatus() == STATUS_INTERACTIVE)  # its window has been closed
        self.assertTrue(made.isActive())
        self.assertIn("All picks of the set open in a window", correctPicks(picked, "outputCoordinates", data))

    def test_questions_of_an_unsure_run_are_asked_and_their_answers_picked_with(self):
        picked = self.pick()
        answers = self.correct(picked)
        wrong = CryodlProtPickByHand(askQuestions=True, particleDiameter=120)
        wrong.inputCoordinates.set(picked)
        wrong.inputCoordinates.setExtended("outputCoordinates")
        self.assertIn("has no questions", " ".join(wrong._checkTogether()))
        questions = os.path.join(picked.getPicksFolder(), "questions.json")
        with open(questions, "w") as file:
            file.write("{}")
        self.proj.getRunsGraph(refresh=True)
        said = correctPicks(picked, "outputCoordinates", PicksData.ofSet(picked.outputCoordinates), askQuestions=True)
        self.assertIn("questions opens", said)
        asked = [p for p in self.proj.getRuns() if isinstance(p, CryodlProtPickByHand)][-1]
        config = asked._config()
        self.assertEqual((config.ask, config.start_from), (questions, None))
        waiting = max((p for p in self.proj.getRuns() if isinstance(p, CryodlProtPick)), key=lambda p: p.getObjId())
        self.assertEqual(waiting.answeredCoordinates.getUniqueId(), f"{asked.getObjId()}.outputCoordinates")
        waitFor(self, waiting, waiting.isFinished, 450)  # by itself, once the window has been closed
        requests = os.path.join(os.path.dirname(waiting._engineResultFiles()[0]), "request.json")
        self.assertEqual(contract.Request.read(requests).config.answers, asked.getPicksFolder())
        # a closed window goes on in its run, whose answers are not read before it is closed again
        before = [p.getObjId() for p in self.proj.getRuns() if isinstance(p, CryodlProtPickByHand)]
        # read anew: pyworkflow notes the time of run.db after it has read it, and may have missed the last words
        asked = next(p for p in self.proj.getRuns() if p.getObjId() == asked.getObjId())
        self.assertEqual(asked.getStatus(), STATUS_INTERACTIVE)
        with mock.patch("pyworkflow.protocol.launch"), mock.patch("pyworkflow.protocol.schedule"):
            correctPicks(picked, "outputCoordinates", PicksData.ofSet(picked.outputCoordinates), askQuestions=True)
        self.assertEqual([p.getObjId() for p in self.proj.getRuns() if isinstance(p, CryodlProtPickByHand)], before)
        # closed and opened again before the run that waits for the answers has looked: no other one waits, too
        picks = [p.getObjId() for p in self.proj.getRuns() if isinstance(p, CryodlProtPick)]
        asked = next(p for p in self.proj.getRuns() if p.getObjId() == asked.getObjId())
        asked.setStatus(STATUS_INTERACTIVE)
        self.proj.mapper.store(asked)
        with mock.patch("pyworkflow.protocol.launch") as launch, mock.patch("pyworkflow.protocol.schedule"):
            correctPicks(picked, "outputCoordinates", PicksData.ofSet(picked.outputCoordinates), askQuestions=True)
        launch.assert_called_once()
        self.assertEqual([p.getObjId() for p in self.proj.getRuns() if isinstance(p, CryodlProtPick)], picks)
        with mock.patch.object(type(waiting), "isFailed", lambda run: run.getObjId() == waiting.getObjId()):
            self.assertEqual(picked.pickingWith(asked).getObjId(), waiting.getObjId())
        waiting.answeredCoordinates.set(asked)  # what it knows of that run may be of a time when the window was open
        waiting.answeredCoordinates.setExtended("outputCoordinates")
        with mock.patch("cryodl_scipion.protocols.micrographs.protocol_pick.stateOfRun", return_value=ALIVE):
            self.assertIn("are being answered", " ".join(waiting.validate()))
        pointers = dict(self.inputs, answeredCoordinates=(answers, "outputCoordinates"))
        again = self.runProtocol(CryodlProtPick, pointers, useGpu=False)
        self.assertEqual(again._config().answers, answers.getPicksFolder())
