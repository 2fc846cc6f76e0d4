# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking, from the form to the set of coordinates, with a fake engine."""

import contextlib
import dataclasses
import os
import shutil
import sqlite3
from types import SimpleNamespace
from unittest import mock

from pyworkflow.protocol import MODE_RESTART

from ...convert.micrographs.picks import boxSizeFor, foundDiameter, pickLines, thresholdsInWords
from ...engine.cryodl import contract
from ...protocols import CryodlProtImportModel, CryodlProtPick
from ...protocols.model_field import firstModel
from .. import synthetic
from ..base import picksOf
from ..fake_model import writeModel
from ..picking import ABOVE_04, EVERYTHING, PickTest


class TestCryodlPick(PickTest):
    def test_picks_arrive_rounded_with_scores_and_box(self):
        protocol = self.pick()
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        coordinates = protocol.outputCoordinates
        self.assertEqual(picksOf(coordinates), {f"mic_{i:03d}.mrc": sorted(ABOVE_04) for i in range(1, 5)})
        self.assertEqual(coordinates.getBoxSize(), boxSizeFor(120, synthetic.PIXEL_SIZE))
        scores = sorted({round(c._cryodlScore.get(), 3) for c in coordinates.iterItems()})
        self.assertEqual(scores, [0.5, 0.7, 0.8, 0.9])
        self.assertFalse(coordinates.isStreamOpen())
        self.assertEqual(coordinates.getMicrographs().getObjId(), self.imported.outputMicrographs.getObjId())

    def test_summary_names_device_threshold_and_numbers(self):
        protocol = self.pick(threshold=0.75)
        text = "\n".join(protocol.summary())
        self.assertIn("Model: fake (network unet, validation F1 0.900)", text)
        self.assertEqual(protocol._methods(), ["pick was used."])
        for words in ("*8 particles* on 4 micrographs", "2.0 per micrograph", "0.75", "CPU (fake)", "120 Å"):
            self.assertIn(words, text)

    def test_micrographs_that_a_continued_run_picks_in_another_batch_are_told_once(self):
        protocol = self.pick()
        before, (path,) = protocol.summary(), protocol._engineResultFiles()
        self.assertIn("According to the scores", " ".join(before))
        first = shutil.copytree(os.path.dirname(path), protocol._getExtraPath("batches", "000001_000002_2"))
        os.utime(os.path.join(first, os.path.basename(path)), (0, 0))
        self.assertEqual(len(protocol._engineResultFiles()), 2)
        self.assertEqual(protocol.summary(), before)

    def test_an_f1_that_does_not_hold_is_not_stated_of_a_model(self):
        protocol = self.pick()
        card = protocol._modelCard()
        for labels, told in {"complete": ", validation F1 0.900", "sparse": "", "boxes": "", "own picks": ""}.items():
            with mock.patch.object(CryodlProtPick, "_modelCard", return_value=dict(card, labels=labels)):
                self.assertIn(f"Model: fake (network unet{told})", protocol.summary(), labels)
        with mock.patch.object(CryodlProtPick, "_modelCard", return_value=dict(card, validation=None)):
            self.assertIn("Model: fake (network unet)", protocol.summary())

    def test_the_form_tells_of_micrographs_that_were_unticked_since_a_run_began(self):
        imported = self.importMicrographs(self.micFolder)
        inputs = dict(self.inputs, inputMicrographs=(imported, "outputMicrographs"))
        protocol = self.runProtocol(CryodlProtPick, inputs, useGpu=False)
        self.assertEqual(protocol.warnings(), [])
        with contextlib.closing(sqlite3.connect(imported.outputMicrographs.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 2")
        self.assertIn("Input: 1 item unticked in Scipion's table since this run began", protocol.warnings()[0])

    def test_of_warnings_that_differ_in_what_was_measured_the_last_is_told(self):
        protocol, told = self.pick(), "%d px of %s lie outside; measured on %d confident particles in %d micrographs."
        said = [told % (5, "mic 061", 1480, 1), told % (5, "mic 062", 1480, 1), told % (6, "mic 061", 2130, 3)]
        results = [dataclasses.replace(one, warnings=(w,)) for w in said for one in protocol._engineResults()[:1]]
        with mock.patch.object(CryodlProtPick, "_engineResults", return_value=results):
            warned = [line for line in protocol.summary() if line.startswith("Warning: ")]
        last = f"Warning: {said[2]} (The last of several that say so.)"  # it seemed to be of this one alone
        self.assertEqual(warned, [last, f"Warning: {said[1]}"])

    def test_the_mean_is_of_the_micrographs_that_are_picked_and_in_the_set(self):
        coordinates, made = self.pick().outputCoordinates, contract.COMMANDS["pick"].outputs
        result = lambda **counts: contract.Result("pick", contract.outputs_of(made, dict(counts=counts), old=True))
        own, empty = {f"mic_00{i}": 4 for i in range(1, 5)}, dict(mic_005=0)
        again, waiting = result(mic_001=4, mic_006=7), result(mic_007=9)  # picked, and not in the set by now
        (line,) = {pickLines(coordinates, [result(**own), *others])[0] for others in ([], [again], [again, waiting])}
        self.assertEqual(line, "*16 particles* on 4 micrographs, 4.0 per micrograph")
        self.assertIn("on 5 micrographs, 3.2 per", pickLines(coordinates, [result(**own), result(**empty)])[0])

    def test_a_batch_without_picks_makes_no_box_smaller(self):
        protocol, made = self.pick(), contract.COMMANDS["pick"].outputs
        for found in (dict(picked_diameter=300), {}):
            protocol._append({}, contract.outputs_of(made, found, old=True))
        self.assertEqual(protocol.outputCoordinates.getBoxSize(), boxSizeFor(300, synthetic.PIXEL_SIZE))

    def test_what_was_typed_for_another_method_does_not_act(self):
        protocol = self.makeProtocol(CryodlProtPick, self.inputs, useGpu=False, expectedParticles=50, border=30)
        self.assertEqual((protocol._config().expected_particles, protocol._config().border), (50, 30))
        protocol.method.set(2)  # its rounds know no border; the batches after them had one
        protocol.particleDiameter.set(120)
        self.assertEqual((protocol._config().expected_particles, protocol._config().border), (None, 0))
        protocol.method.set(1)
        self.assertEqual(protocol.validate(), [])

    def test_picks_and_box_follow_the_form(self):
        protocol = self.pick(threshold=0.0, boxSize=50, particleDiameter=100)
        self.assertEqual(picksOf(protocol.outputCoordinates)["mic_001.mrc"], EVERYTHING)
        self.assertEqual(protocol.outputCoordinates.getBoxSize(), 50)
        protocol.boxSize.set(60)  # what is picked keeps its box
        self.assertIn("with another box size; continuing would mix", " ".join(protocol.validate()))

    def test_no_picks_is_a_set_of_none_and_says_what_to_do(self):
        protocol = self.pick(threshold=1.0)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(protocol.outputCoordinates.getSize(), 0)
        self.assertIn("Lower it", "\n".join(protocol.summary()))

    def test_an_absent_gpu_stops_the_run_with_the_engines_sentence(self):
        protocol = self.runProtocol(CryodlProtPick, self.inputs, useGpu=True, gpuList="3")
        self.assertTrue(protocol.isFailed())
        self.assertIn("GPU 3 was asked for, but there is none", protocol.getErrorMessage())
        self.assertIn('In the form: set "GPU IDs" to No.', protocol.getErrorMessage())

    def test_batches_after_one_without_picks_arrive(self):
        folder = os.path.join(self.data, "first_empty")
        synthetic.writeMicrographs(folder, 3)
        with open(os.path.join(folder, "mic_001.mrc.truth.json"), "w") as file:
            file.write("[]")
        imported = self.importMicrographs(folder)
        with mock.patch.dict(os.environ, FAKE_ENGINE_SLEEP="1"):  # so long that the first is noted before the second
            inputs = dict(self.inputs, inputMicrographs=(imported, "outputMicrographs"))
            protocol = self.runProtocol(CryodlProtPick, inputs, useGpu=False, streamingBatchSize=1)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(sorted(picksOf(protocol.outputCoordinates)), ["mic_002.mrc", "mic_003.mrc"])

    def test_one_bad_micrograph_is_left_out_and_named(self):
        folder = os.path.join(self.data, "with_bad")
        synthetic.writeMicrographs(folder, 3)
        imported = self.importMicrographs(folder)
        synthetic.writeDamaged(os.path.join(folder, "mic_002.mrc"))
        # Batches of one: the bad micrograph is all that its batch has.
        for batch in (1, 16):
            inputs = dict(self.inputs, inputMicrographs=(imported, "outputMicrographs"))
            protocol = self.runProtocol(CryodlProtPick, inputs, useGpu=False, streamingBatchSize=batch)
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            self.assertEqual(sorted(picksOf(protocol.outputCoordinates)), ["mic_001.mrc", "mic_003.mrc"])
            text = "\n".join(protocol.summary())
            self.assertIn("*1 skipped:*", text)
            self.assertIn("mic_002: the file is shorter", text)

    def test_only_bad_micrographs_are_a_failure(self):
        folder = os.path.join(self.data, "all_bad")
        paths = synthetic.writeMicrographs(folder, 2)
        imported = self.importMicrographs(folder)
        for path in paths:
            synthetic.writeDamaged(path)
        protocol = self.runProtocol(
            CryodlProtPick, dict(self.inputs, inputMicrographs=(imported, "outputMicrographs")), useGpu=False
        )
        self.assertTrue(protocol.isFailed())
        self.assertIn("Of 2 micrographs, none could be picked", protocol.getErrorMessage())
        self.assertEqual(protocol.getErrorMessage().count(".mrc"), 1)

    def test_a_killed_run_continues_without_loss_or_repetition(self):
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "2"
        try:
            protocol = self.pick(streamingBatchSize=3)
            self.assertTrue(protocol.isFailed())
            self.assertIn("signal 9", protocol.getErrorMessage())
            self.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(
            picksOf(protocol.outputCoordinates), {f"mic_{i:03d}.mrc": sorted(ABOVE_04) for i in range(1, 5)}
        )
        with open(protocol._getExtraPath("picks", "picked.log")) as log:
            self.assertEqual(sorted(log.read().split()), ["mic_001", "mic_002", "mic_003", "mic_004"])

    def test_a_run_that_died_before_it_noted_its_output_adds_nothing_twice(self):
        protocol = self.pick()
        size = protocol.outputCoordinates.getSize()
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(protocol.outputCoordinates.getSize(), size)
        self.assertEqual(len(list(protocol.outputCoordinates.iterItems())), size)

    def test_a_continued_run_must_keep_its_parameters(self):
        protocol = self.pick()
        protocol.threshold.set(0.2)
        self.assertIn("another threshold", " ".join(protocol.validate()))
        protocol.threshold.set(None)
        self.assertEqual(protocol.validate(), [])
        other = self.importMicrographs(self.micFolder)
        protocol.inputMicrographs.set(other)
        protocol.inputMicrographs.setExtended("outputMicrographs")
        self.assertIn("another set of micrographs", " ".join(protocol.validate()))
        protocol.runMode.set(MODE_RESTART)
        self.assertEqual(protocol.validate(), [])

    def test_a_set_of_other_content_is_another_one_and_one_that_grew_or_was_made_again_is_not(self):
        source = self.importMicrographs(self.micFolder, copyFiles=True)
        given = dict(self.inputs, inputMicrographs=(source, "outputMicrographs"))
        protocol = self.runProtocol(CryodlProtPick, given, useGpu=False)

        def wrong(change):
            with contextlib.closing(sqlite3.connect(source.outputMicrographs.getFileName())) as file, file:
                file.execute(f"UPDATE Objects SET creation = {change}")
            return " ".join(protocol.validate())

        self.assertEqual(wrong("'2999-01-01 00:00:00' WHERE id = 1"), "")  # the last that came has the lowest id
        self.assertEqual(wrong("'2999-01-01 00:00:00'"), "")  # as a run does whose outputs were lost
        self.assertIn("another content of Input micrographs", wrong("'2999-01-01 00:00:00', enabled = id > 1"))
        self.assertEqual(wrong("'2999-01-01 00:00:00', enabled = 1"), "")
        with open(source.outputMicrographs.getFirstItem().getFileName(), "r+b") as image:
            image.seek(-4, os.SEEK_END)
            image.write(b"1234")
        self.assertIn("another content of Input micrographs", wrong("'2999-01-01 00:00:00'"))

    def test_mistakes_are_named_before_the_run(self):
        def errors(pointers=None, **values):
            return " ".join(
                self.makeProtocol(
                    CryodlProtPick, dict(self.inputs, **(pointers or {})), useGpu=False, **values
                ).validate()
            )

        self.assertEqual(errors(), "")
        self.assertIn("The particle diameter of 5 Å is only 1.7 px at 3 Å/px", errors(particleDiameter=5))
        self.assertIn("Score threshold is 2; it must be between 0 and 1", errors(threshold=2))
        self.assertIn(
            "1000 Å is more than half of the micrograph's shorter side (256 px", errors(particleDiameter=1000)
        )
        self.assertIn("more than half", errors(particleDiameter=400))
        self.assertIn("20 Å is only 6.7 px", errors(particleDiameter=20))
        self.assertIn("Box size (px) is 1", errors(boxSize=1))
        self.assertIn(
            "Shipped model is 'riboso', which does not exist. Shipped models: general, ribosome",
            errors(modelFrom=1, shippedModel="riboso"),
        )
        self.assertIn("Trained model is empty", errors(dict(inputModel=(None, ""))))
        self.assertIn("EMPTY", errors(dict(inputMicrographs=(None, ""))))

    def test_micrographs_unlike_those_of_the_training_are_only_a_warning(self):
        protocol = self.makeProtocol(CryodlProtPick, self.inputs, useGpu=False)
        self.assertEqual(protocol.warnings(), [])
        protocol.particleDiameter.set(300)
        self.assertEqual(protocol.validate(), [])
        self.assertIn("far from the model's 120 Å", " ".join(protocol.warnings()))

    def test_a_general_model_that_finds_the_size_needs_no_diameter(self):
        general = self.runProtocol(
            CryodlProtImportModel,
            modelFolder=writeModel(
                self.data + "/finder", dict(name="finder", general=True, particle_diameter=80, tells_size=True)
            ),
        )
        picked = self.runProtocol(CryodlProtPick, dict(self.inputs, inputModel=(general, "outputModel")), useGpu=False)
        self.assertTrue(picked.isFinished(), picked.getErrorMessage())
        # the engine of these tests finds the card's
        self.assertEqual(picked.outputCoordinates.getBoxSize(), boxSizeFor(80, synthetic.PIXEL_SIZE))
        self.assertIn("Particle diameter: 80", " ".join(picked.summary()))

    def test_a_general_model_that_cannot_find_the_size_needs_the_diameter(self):
        general = self.runProtocol(
            CryodlProtImportModel,
            modelFolder=writeModel(
                self.data + "/everything", dict(name="everything", general=True, particle_diameter=20)
            ),
        )
        inputs = dict(self.inputs, inputModel=(general, "outputModel"))
        protocol = self.makeProtocol(CryodlProtPick, inputs, useGpu=False)
        self.assertIn(
            "Particle diameter is missing. The model everything is for particles of every size",
            " ".join(protocol.validate()),
        )
        self.assertEqual(protocol.warnings(), [])
        picked = self.runProtocol(CryodlProtPick, inputs, useGpu=False, particleDiameter=90)
        self.assertTrue(picked.isFinished(), picked.getErrorMessage())
        self.assertEqual(picked.outputCoordinates.getBoxSize(), boxSizeFor(90, synthetic.PIXEL_SIZE))
        self.assertEqual(picked.warnings(), [])

    def test_the_box_fits_particles_that_are_larger_than_was_stated(self):
        def result(stated, used):
            return SimpleNamespace(outputs=SimpleNamespace(particle_diameter=stated, picked_diameter=used))

        self.assertEqual(foundDiameter([result(20, 190), result(20, 190)]), 190)
        self.assertEqual(foundDiameter([result(200, 190)]), 200)
        self.assertEqual(foundDiameter([result(None, None), result(None, 175)]), 175)
        self.assertIsNone(foundDiameter([result(None, None)]))

    def test_rule_and_contrast_reach_the_engine(self):
        protocol = self.pick(thresholdRule=2, contrast=2)
        paths = protocol._engineResultFiles()
        config = contract.Request.read(os.path.join(os.path.dirname(paths[0]), "request.json")).config
        self.assertEqual((config.threshold, config.threshold_rule, config.contrast), (None, "count", "bright"))
        protocol.threshold.set(0.5)
        self.assertFalse(protocol.evalParamCondition("thresholdRule"))

    def test_thresholds_and_expectations_in_words(self):
        made = contract.COMMANDS["pick"].outputs
        result = lambda **outputs: contract.Result("pick", contract.outputs_of(made, outputs, old=True))
        self.assertEqual(thresholdsInWords([result(threshold=0.4), result(threshold=0.5)]), "0.4 and 0.5")
        both = [
            result(
                threshold=0.4,
                thresholds={"a": 0.3, "b": 0.5},
                counts={"a": 3, "b": 4},
                expected_particles=dict(number=40.0, deviation=3.0),
                expected=dict(precision=0.8, recall=0.5, f1=0.6),
            ),
            result(
                threshold=0.6,
                thresholds={"c": 0.6},
                counts={"c": 1},
                contrast="bright",
                expected_particles=dict(number=20.0, deviation=4.0),
                expected=dict(precision=0.4, recall=0.5, f1=0.4),
            ),
        ]
        self.assertEqual(thresholdsInWords(both), "0.3 to 0.6, chosen for each micrograph")
        text = "\n".join(pickLines(self.pick().outputCoordinates, both))
        self.assertIn("about 60 particles (standard deviation 5)", text)
        self.assertIn("About 75% of the picks should be particles", text)
        low = result(threshold=0.3, thresholds={"a": 0.3, "b": 0.00002}, counts={"a": 3})
        self.assertEqual(thresholdsInWords([low]), "2e-05 to 0.3, chosen for each micrograph")
        self.assertNotIn("should be", "\n".join(pickLines(self.pick().outputCoordinates, [low, both[0]])))
        nothing = result(threshold=0.3, counts={"d": 0}, expected_particles=dict(number=7.0, deviation=9.0))
        # killed before its output, a batch (a, b) is picked again without what was unticked; b was counted twice
        for more in (
            nothing,
            dataclasses.replace(both[1], outputs=dataclasses.replace(both[1].outputs, counts={"b": 1})),
        ):
            text = "\n".join(pickLines(self.pick().outputCoordinates, [*both, more]))
            self.assertIn(f"about {60 if more is nothing else 40} particles", text)
        self.assertIn("Protein is bright in these micrographs", text)

    def test_an_unsure_run_says_so_and_states_no_number(self):
        made = contract.COMMANDS["pick"].outputs
        values = dict(
            state="unsure", questions="q.json", counts={"a": 9}, expected_particles=dict(number=315.0, deviation=144.0)
        )
        summary = ("9 picks in 2 micrographs: p/<micrograph>.star. Precision and recall are not stated.",)
        told = contract.Result("pick", contract.outputs_of(made, values, old=True), summary=summary)
        text = "\n".join(pickLines(self.pick().outputCoordinates, [told]))
        self.assertIn("Precision and recall are not stated.\n*Answer questions*", text)
        self.assertNotIn("315", text)

    def test_the_general_model_is_the_first_choice_where_there_is_one(self):
        self.assertEqual([firstModel(names) for names in (["a", "general", "z"], ["b", "c"], [])], ["general", "b", ""])

    def test_a_damaged_model_is_refused_before_the_run(self):
        model = self.runProtocol(CryodlProtImportModel, modelFolder=os.path.join(self.data, "model"))
        with open(os.path.join(model.outputModel.getFolder(), "weights.safetensors"), "ab") as file:
            file.write(b"!")
        protocol = self.makeProtocol(CryodlProtPick, dict(self.inputs, inputModel=(model, "outputModel")), useGpu=False)
        self.assertIn("damaged: its checksum", " ".join(protocol.validate()))
