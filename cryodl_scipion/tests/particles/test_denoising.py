# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a denoiser, denoising and the way back to raw images, with a fake engine."""

import contextlib
import os
import sqlite3

import numpy as np

from ...convert.particles.denoised import denoiserOf
from ...convert.relion_star import columnsOf
from ...protocols import (
    CryodlProtDenoise,
    CryodlProtExportModel,
    CryodlProtImportModel,
    CryodlProtPick,
    CryodlProtTrainDenoiser,
)
from .. import synthetic
from ..fake_model import denoiserCard, writeModel
from ..particle_sets import COUNT, PIXEL_SIZE, ParticlesTest, batchFile, makeParticles, writeStack


class TestCryodlTrainDenoiser(ParticlesTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.trained = cls.killedOnce(lambda: cls.train([cls.raw], [cls.volume]), after=2)

    def test_a_model_of_one_set_and_one_structure(self):
        protocol = self.trained
        model = protocol.outputModel
        self.assertEqual(
            (model.getKind(), model.getNetwork(), float(model._pixelSizes.get())), ("denoiser", "swinconv", PIXEL_SIZE)
        )
        self.assertTrue(os.path.basename(model.getFolder()).startswith("denoiser_"))
        config = self.request(protocol)
        self.assertEqual((len(config.particles), len(config.structure), config.simulated_fraction), (1, 1, 0.5))
        self.assertIn("rlnAngleRot", columnsOf(config.particles[0], "particles"))
        self.assertEqual(protocol.summary()[0], "train-denoiser told this.")
        self.assertEqual(protocol._methods(), ["train-denoiser was used."])
        self.assertEqual(protocol._citations()[:2], ["cryodl", "Zhang2023SCUNet"])

    def test_several_sets_with_one_structure_or_one_each(self):
        for structures in ([self.volume], [self.volume, self.other]):
            protocol = self.train([self.raw, self.raw2], structures)
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            config = self.request(protocol)
            self.assertEqual((len(set(config.particles)), len(config.structure)), (2, len(structures)))
        self.assertEqual(len(set(config.structure)), 2)

    def test_wrong_numbers_of_inputs_are_named(self):
        self.assertIn("*Input particles* cannot be EMPTY", self.trainErrors([], [self.volume]))
        self.assertIn("*Structures* cannot be EMPTY", self.trainErrors([self.raw], []))
        self.assertIn("1 sets of particles and 2 structures", self.trainErrors([self.raw], [self.volume, self.other]))

    def test_wrong_particles_are_named(self):
        self.assertEqual(self.trainErrors([self.raw], [self.volume]), "")
        bare = makeParticles(self, "bare", aligned=False, halves=False)
        self.assertIn("no alignment; angles", self.trainErrors([bare], [self.volume]))
        self.assertIn("particles of set 2 have no alignment", self.trainErrors([self.raw, bare], [self.volume]))
        self.assertIn("have no CTF", self.trainErrors([makeParticles(self, "noctf", ctf=False)], [self.volume]))
        self.assertIn("at least 10", self.trainErrors([makeParticles(self, "few", count=4)], [self.volume]))
        self.assertIn("not raw data", self.trainErrors([self.denoised], [self.volume]))
        self.assertIn("Simulated fraction is 2", self.trainErrors([self.raw], [self.volume], simulatedFraction=2.0))

    def test_warnings_of_scales_few_particles_and_slow_networks(self):
        warnings = " ".join(self.training([self.raw], [self.other], network="cgan").warnings())
        for words in ("only 12 training particles", "without a GPU", "has 2 Å/px, the particles 4 Å/px", "box of 96 Å"):
            self.assertIn(words, warnings)

    def test_a_model_to_start_from_must_be_a_denoiser_of_the_same_network(self):
        start = dict(inputModel=(self.trained, "outputModel"))
        self.assertEqual(self.trainErrors([self.raw], [self.volume], start), "")
        self.assertIn(
            "has the network swinconv, but Network is cgan",
            self.trainErrors([self.raw], [self.volume], start, network="cgan"),
        )
        picker = self.makeModel("a_picker", {})
        self.assertIn(
            "kind 'picker'; a particle denoiser is needed",
            self.trainErrors([self.raw], [self.volume], dict(inputModel=(picker, "outputModel"))),
        )
        protocol = self.train([self.raw], [self.volume], start)
        self.assertEqual(self.request(protocol).start_from, self.trained.outputModel.getFolder())

    def test_a_killed_training_continues_where_it_was(self):
        with open(os.path.join(self.trained.outputModel.getFolder(), "metrics.csv")) as file:
            self.assertEqual([line[0] for line in file], ["0", "1", "2"])

    def test_a_killed_training_is_continued_with_particles_that_were_made_again_and_begun_anew_with_others(self):
        raw = makeParticles(self, "again")
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "2"
        try:
            protocol = self.train([raw], [self.volume])
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        kept = protocol._getExtraPath("kept")
        for change, stays in (("creation = '2999-01-01'", True), ("creation = '2999-01-02', enabled = id > 10", False)):
            open(kept, "w").close()
            with contextlib.closing(sqlite3.connect(raw.outputParticles.getFileName())) as file, file:
                file.execute(f"UPDATE Objects SET {change}")
            self.proj.launchProtocol(protocol, wait=True)
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            self.assertEqual(os.path.exists(kept), stays)

    def test_what_only_networks_that_learn_need_is_shown_with_them_alone(self):
        self.assertEqual(
            self.newProtocol(CryodlProtTrainDenoiser).getEnumText("network"), "projection of the template (posterior)"
        )
        start = dict(inputModel=(self.trained, "outputModel"))
        for network, learns in (("posterior", False), ("swinconv", True), ("cgan", True)):
            protocol = self.training([self.raw], [self.volume], start, network=network)
            for field in ("loss", "steps", "inputModel", "batchSize"):
                self.assertEqual(protocol.evalParamCondition(field), learns, (network, field))
        # a hidden model to start from is not used
        posterior = self.training([self.raw], [self.volume], start, network="posterior")
        self.assertEqual(posterior.validate(), [])
        self.assertIsNone(posterior._config(**posterior._engineValues()).start_from)

    def test_denoisers_go_in_and_out_of_projects(self):
        target = os.path.join(self.data, "taken")
        exported = self.runProtocol(
            CryodlProtExportModel, dict(inputModel=(self.trained, "outputModel")), targetFolder=target
        )
        self.assertTrue(exported.isFinished(), exported.getErrorMessage())
        imported = self.runProtocol(CryodlProtImportModel, modelFolder=target)
        self.assertEqual(imported.outputModel.getKind(), "denoiser")
        self.assertIn("CryodlModel denoiser", " ".join(imported.summary()))

    def test_a_denoiser_cannot_pick(self):
        micrographs = self.importMicrographs(os.path.dirname(synthetic.writeMicrographs(self.data + "/mics", 1)[0]))
        protocol = self.makeProtocol(
            CryodlProtPick,
            dict(inputMicrographs=(micrographs, "outputMicrographs"), inputModel=(self.trained, "outputModel")),
            modelFrom=0,
        )
        self.assertIn("kind 'particle denoiser'; a picker is needed", " ".join(protocol.validate()))


class TestCryodlDenoise(ParticlesTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.denoised = cls.killedOnce(lambda: cls.denoise(cls.raw))

    def errors(self, particles, model=None, **values):
        pointers = dict(inputParticles=(particles, "outputParticles"), inputModel=(model or self.model, "outputModel"))
        return " ".join(self.makeProtocol(CryodlProtDenoise, pointers, useGpu=False, **values).validate())

    def test_a_ctf_without_all_of_its_microscope_is_named_before_the_run(self):
        bare = makeParticles(self, "bare", lambda particles: particles.getAcquisition().setAmplitudeContrast(None))
        self.assertIn("no voltage, spherical aberration or amplitude contrast", self.errors(bare))
        self.assertIn("no voltage, spherical aberration or amplitude contrast", self.trainErrors([bare], [self.volume]))

    def test_the_output_is_linked_to_the_raw_particles(self):
        output, raw = self.denoised.outputParticles, self.raw.outputParticles
        self.assertEqual(
            (output.getSize(), output.getSamplingRate(), output.getAlignment(), output.hasCTF()),
            (COUNT, PIXEL_SIZE, raw.getAlignment(), True),
        )
        for old, new in zip([p.clone() for p in raw], [p.clone() for p in output]):
            self.assertEqual((new.getObjId(), new.getCTF().getDefocusU()), (old.getObjId(), old.getCTF().getDefocusU()))
            self.assertTrue(np.allclose(new.getTransform().getMatrix(), old.getTransform().getMatrix()))
            self.assertEqual(new._cryodlRawImage.get(), f"{old.getIndex():06d}@{old.getFileName()}")
            self.assertAlmostEqual(new._cryodlDenoisedStrength.get(), 0.5 + new.getIndex() / 100)
            self.assertAlmostEqual(new._cryodlExplained.get(), 1 - new.getIndex() / 100)
            self.assertEqual(new.getFileName(), batchFile(self.denoised, "denoised.mrcs"))
        relations = [
            (r["object_parent_id"], r["object_child_id"]) for r in self.proj.mapper.getRelationsByCreator(self.denoised)
        ]
        self.assertIn((self.raw.getObjId(), output.getObjId()), relations)

    def test_it_is_said_everywhere_that_images_are_denoised(self):
        output = self.denoised.outputParticles
        model = self.model.outputModel.getModelName()
        self.assertEqual(denoiserOf(output), model)
        loaded = self.proj.getProtocol(self.denoised.getObjId()).outputParticles
        self.assertEqual(denoiserOf(loaded), model)
        self.assertIn("not raw data", loaded.getObjComment())
        text = "\n".join(self.denoised.summary())
        for words in ("*12 particles* denoised", "denoise told this.", "CPU (fake)"):
            self.assertIn(words, text)
        self.assertEqual(self.denoised._methods(), ["denoise was used."])

    def test_the_forms_say_what_denoised_particles_are_for(self):
        for protocolClass in (CryodlProtDenoise, CryodlProtTrainDenoiser):
            form = self.newProtocol(protocolClass).getDefinition()
            help = form.getParam("inputParticles" if protocolClass is CryodlProtDenoise else "inputSets").getHelp()
            for words in ("Use it for viewing", "Do not use it for a final map"):
                self.assertIn(words, help)

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(self.raw), "")
        self.assertIn("denoised images (model a_denoiser", self.errors(self.denoised))
        self.assertIn(
            "kind 'picker'; a particle denoiser is needed", self.errors(self.raw, self.makeModel("b_picker", {}))
        )
        ctfless = makeParticles(self, "ctfless", ctf=False)
        self.assertIn("have no CTF", self.errors(ctfless))
        self.assertEqual(self.errors(ctfless, self.makeModel("needs_none", denoiserCard(ctf="none"))), "")
        wide = self.makeModel("wide", denoiserCard(particle_diameter=200.0))
        self.assertIn("200 Å wide, but these images are only 128 Å wide", self.errors(self.raw, wide))
        self.assertIn("is empty", self.errors(makeParticles(self, "empty", change=lambda s: s.enableAppend(), count=0)))
        short = makeParticles(self, "short")
        writeStack(short._getExtraPath("short.mrcs"), 5)
        self.assertIn("too short: image 12 is needed, and it holds 5", self.errors(short))
        writeStack(short._getExtraPath("short.mrcs"), bad=[0])
        self.assertIn("NaN", self.errors(short))

    def test_a_model_that_was_trained_anew_is_another_one(self):
        model = self.makeModel("again", denoiserCard())
        pointers = dict(inputParticles=(self.raw, "outputParticles"), inputModel=(model, "outputModel"))
        protocol = self.runProtocol(CryodlProtDenoise, pointers, useGpu=False)
        self.assertEqual(protocol.validate(), [])
        writeModel(model.outputModel.getFolder(), denoiserCard(), b"other weights")
        self.assertIn("with another weights sha256; continuing would mix", " ".join(protocol.validate()))

    def test_a_shipped_model_denoises_without_a_structure(self):
        def blind(particles, **values):
            pointers = dict(inputParticles=(particles, "outputParticles"))
            return self.makeProtocol(CryodlProtDenoise, pointers, useGpu=False, **values)

        protocol = blind(self.raw)  # the form's default
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(denoiserOf(protocol.outputParticles), "general_denoiser")
        self.assertIn("Zhang2023SCUNet", protocol._citations())
        ctfless = makeParticles(self, "ctfless_blind", ctf=False)
        protocol = blind(ctfless, shippedModel="general_denoiser")
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=True)
        output = protocol.outputParticles  # its images keep the effect of the CTF
        self.assertEqual((output.isPhaseFlipped(), output.isAmplitudeCorrected()), (False, False))
        self.assertEqual(protocol.warnings(), ["The particles have no CTF: the denoised images keep its effect."])
        protocol.inputParticles.get().setSamplingRate(1.5)
        self.assertIn("Detail finer than 6.8 Å is lost", protocol.warnings()[0])
        self.assertIn("Denoiser is empty", " ".join(blind(self.raw, shippedModel="").validate()))
        self.assertIn(
            "Shipped model is 'nobody', which does not exist",
            " ".join(blind(self.raw, shippedModel="nobody").validate()),
        )

    def test_a_model_of_another_pixel_size_is_a_warning(self):
        coarse = self.makeModel("coarse", denoiserCard(pixel_size=8.0))
        protocol = self.makeProtocol(
            CryodlProtDenoise,
            dict(inputParticles=(self.raw, "outputParticles"), inputModel=(coarse, "outputModel")),
            useGpu=False,
        )
        self.assertEqual(protocol.validate(), [])
        self.assertIn("4 Å/px, the model works at 8 Å/px: the images are resampled", " ".join(protocol.warnings()))
        self.assertIn("finer than 16 Å", " ".join(protocol.warnings()))

    def test_what_is_finished_is_not_done_again(self):
        stack = batchFile(self.denoised, "denoised.mrcs")
        stamp = os.stat(stack).st_mtime_ns
        self.denoised.batchStep(os.path.dirname(stack))
        self.assertEqual(os.stat(stack).st_mtime_ns, stamp)


class TestCryodlRawParticles(ParticlesTest):
    def back(self, protocol, raw=None):
        pointers = dict(inputParticles=(protocol, "outputParticles"))
        if raw is not None:
            pointers["rawParticles"] = (raw, "outputParticles")
        return self.makeProtocol(CryodlProtDenoise, pointers, what=1)

    def test_raw_images_with_what_later_steps_gave(self):
        protocol = self.back(self.denoised)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual((protocol._citations(), protocol._warnings()), (["cryodl"], []))  # no model is used
        output = protocol.outputParticles
        self.assertEqual((output.getSize(), denoiserOf(output), output.isAmplitudeCorrected()), (COUNT, "", False))
        for raw, item in zip([p.clone() for p in self.raw.outputParticles], [p.clone() for p in output]):
            self.assertEqual((item.getObjId(), item.getLocation()), (raw.getObjId(), raw.getLocation()))
        again = self.makeProtocol(
            CryodlProtDenoise,
            dict(inputParticles=(protocol, "outputParticles"), inputModel=(self.model, "outputModel")),
            useGpu=False,
        )
        self.assertEqual(again.validate(), [])

    def test_raw_particles_that_only_have_the_same_ids_are_asked_about(self):
        other = makeParticles(self, "other", count=COUNT + 1, firstId=8)  # as of another extraction
        self.assertEqual(self.back(self.denoised, other).validate(), [])
        self.assertIn("Of 12 particles, such as [10], the raw", " ".join(self.back(self.denoised, other).warnings()))
        self.assertEqual(self.back(self.denoised, self.raw).warnings(), [])

    def test_mistakes_are_named(self):
        self.assertEqual(self.back(self.denoised).validate(), [])
        self.assertEqual(self.back(self.denoised, self.raw).validate(), [])
        self.assertIn("do not store the paths of raw images", " ".join(self.back(self.raw).validate()))
        self.assertIn(
            "12 of the 12 particles have no raw particle", " ".join(self.back(self.denoised, self.raw2).validate())
        )
        self.assertIn(
            "is also a set of denoised particles", " ".join(self.back(self.denoised, self.denoised).validate())
        )
        sizeless = makeParticles(self, "sizeless", lambda made: made.setSamplingRate(None))
        self.assertIn("has no pixel size", " ".join(self.back(self.denoised, sizeless).validate()))
        raw, stack = self.raw.outputParticles, self.raw._getExtraPath("raw.mrcs")
        os.rename(stack, stack + ".away")
        try:
            self.assertIn(f"raw image 000001@{stack} does not exist", " ".join(self.back(self.denoised).validate()))
        finally:
            os.rename(stack + ".away", stack)
        writeStack(stack, box=48)
        try:
            self.assertIn("boxes of 32 px and their raw images of 48 px", " ".join(self.back(self.denoised).validate()))
        finally:
            writeStack(stack)
        self.assertEqual(raw.getSize(), COUNT)
