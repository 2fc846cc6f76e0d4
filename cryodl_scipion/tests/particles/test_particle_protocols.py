# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated particles, orientations, maps, evaluations and compositions, with a fake engine."""

import contextlib
import os
import shutil
import sqlite3
from unittest import mock

import mrcfile
import numpy as np
from pwem.objects import SetOfParticles

from ...convert.relion_star import anglesOf, columnsOf, originOf, readColumns
from ...protocols import (
    CryodlProtAssignOrientations,
    CryodlProtBackProject,
    CryodlProtDenoise,
    CryodlProtEvaluateDenoiser,
    CryodlProtIdentify,
    CryodlProtInitialMap,
    CryodlProtIntegrity,
    CryodlProtSimulateParticles,
    inputs,
)
from ...viewers.maps.viewer_map import CryodlBackProjectViewer
from ...viewers.particles.viewer_denoise import CryodlParticlesViewer
from ...viewers.particles.viewer_orient import CryodlInitialMapViewer
from ..particle_sets import BOX, COUNT, PIXEL_SIZE, ParticlesTest, addTo, batchFile, makeParticles


class TestCryodlSimulateParticles(ParticlesTest):
    @classmethod
    def prepare(cls):
        cls.volume = cls.makeMap("map", PIXEL_SIZE)
        cls.raw = makeParticles(cls, "raw")
        cls.simulated = cls.killedOnce(cls.simulate)

    @classmethod
    def simulate(cls, pointers=None, **values):
        return cls.runProtocol(
            CryodlProtSimulateParticles,
            dict(dict(inputStructure=(cls.volume, "outputVolume")), **(pointers or {})),
            **dict(dict(useGpu=False, count=9, box=BOX, perMicrograph=4), **values),
        )

    def errors(self, pointers=None, **values):
        pointers = dict(dict(inputStructure=(self.volume, "outputVolume")), **(pointers or {}))
        return " ".join(self.makeProtocol(CryodlProtSimulateParticles, pointers, useGpu=False, **values).validate())

    def test_particles_with_true_alignment_ctf_and_half_sets(self):
        particles = self.simulated.outputParticles
        self.assertTrue(particles.hasAlignmentProj() and particles.hasCTF())
        self.assertEqual((particles.getSize(), particles.getXDim(), particles.getSamplingRate()), (9, BOX, PIXEL_SIZE))
        item = particles[3].clone()
        # row 2 of the fake: angles 12, 22, -28; origin 1.5, -1 Å
        self.assertTrue(np.allclose(anglesOf(item.getTransform().getMatrix()), (12, 22, -28)))
        self.assertTrue(np.allclose(originOf(item.getTransform().getMatrix()), (1.5 / 4, -1 / 4)))
        self.assertEqual((item.getCTF().getDefocus(), item._rlnRandomSubset.get()), ((8100, 8000, 15), 1))
        self.assertEqual([p.getMicId() for p in particles], [1] * 4 + [2] * 4 + [3])
        self.assertEqual(item.getCoordinate().getMicName(), "mic_0.mrc")

    def test_its_last_record_is_written(self):
        with open(self.simulated.getStderrLog()) as log:
            self.assertNotIn("Circular reference", log.read())

    def test_clean_images_have_the_same_ids_and_alignment_but_no_ctf(self):
        noisy, clean = self.simulated.outputParticles, self.simulated.outputClean
        self.assertFalse(clean.hasCTF() or clean.getFirstItem().hasCTF())
        for a, b in zip([p.clone() for p in noisy], [p.clone() for p in clean]):
            self.assertEqual((a.getObjId(), a.getIndex()), (b.getObjId(), b.getIndex()))
            self.assertTrue(b.getFileName().endswith("_clean.mrcs"))
            self.assertTrue(np.allclose(a.getTransform().getMatrix(), b.getTransform().getMatrix()))
        volume = self.simulated.outputVolume
        self.assertEqual((volume.getDim(), volume.getSamplingRate()), ((BOX,) * 3, PIXEL_SIZE))
        self.assertTrue(volume.getFileName().endswith("_map.mrc"))

    def test_an_empty_pixel_size_is_that_of_the_map_and_orientations_reach_the_engine(self):
        self.assertEqual(self.request(self.simulated).pixel_size, PIXEL_SIZE)
        protocol = self.finished(self.simulate(dict(inputParticles=(self.raw, "outputParticles")), pixelSize=3.0))
        config = self.request(protocol)
        self.assertEqual((config.pixel_size, protocol.outputVolume.getSamplingRate()), (3.0, 3.0))
        self.assertEqual(len(readColumns(config.orientations, ("rlnAngleRot",), (float,))), COUNT)
        raw = makeParticles(self, "of_ticked")
        with contextlib.closing(sqlite3.connect(raw.outputParticles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = (SELECT max(id) FROM Objects)")
        config = self.request(self.finished(self.simulate(dict(inputParticles=(raw, "outputParticles")))))
        self.assertEqual(len(readColumns(config.orientations, ("rlnAngleRot",), (float,))), COUNT - 1)

    def test_summary_and_methods_are_the_engines(self):
        self.assertEqual(self.simulated.summary()[0], "simulate-particles told this.")
        self.assertEqual(self.simulated._methods(), ["simulate-particles was used."])

    def test_a_changed_run_begins_anew(self):
        protocol = self.finished(self.simulate())
        protocol.particleCount.set(5)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(self.finished(protocol).outputParticles.getSize(), 5)

    def test_an_input_that_was_made_again_in_the_same_file_begins_anew(self):
        raw = makeParticles(self, "again")
        protocol = self.finished(self.simulate(dict(inputParticles=(raw, "outputParticles"))))
        left = protocol._getExtraPath("left of the first input")
        open(left, "w").close()
        with contextlib.closing(sqlite3.connect(raw.outputParticles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET label = 'changed'")  # the set is written on
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(os.path.exists(left))
        with contextlib.closing(sqlite3.connect(raw.outputParticles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET creation = '2001-01-01 00:00:00'")
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(self.finished(protocol).outputParticles.getSize(), self.simulated.outputParticles.getSize())
        self.assertFalse(os.path.exists(left))

    def test_a_run_that_is_continued_after_items_were_unticked_or_ticked_begins_anew(self):
        """The outputs of all stayed, without a word."""
        raw = makeParticles(self, "unticked")
        protocol = self.finished(self.simulate(dict(inputParticles=(raw, "outputParticles"))))
        for enabled in (0, 1, 1):
            before = os.path.getmtime(protocol._getExtraPath("result.json"))
            with contextlib.closing(sqlite3.connect(raw.outputParticles.getFileName())) as file, file:
                was = file.execute("SELECT enabled FROM Objects ORDER BY id DESC").fetchone()[0]
                file.execute(f"UPDATE Objects SET enabled = {enabled} WHERE id = (SELECT max(id) FROM Objects)")
            self.proj.launchProtocol(protocol, wait=True)
            after = os.path.getmtime(self.finished(protocol)._getExtraPath("result.json"))
            self.assertEqual(after > before, enabled != was)
        contents = inputs.writtenAt(raw.outputParticles)
        with contextlib.closing(sqlite3.connect(raw.outputParticles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = (SELECT min(id) FROM Objects)")
        # a run of an earlier version, which did not note them, is not begun anew
        self.assertEqual(inputs.writtenAt(raw.outputParticles, contents[:2]), contents[:2])
        self.assertNotEqual(inputs.writtenAt(raw.outputParticles, contents), contents)

    def test_a_map_that_was_made_again_in_the_same_file_begins_anew(self):
        volume = self.makeMap("again", PIXEL_SIZE)
        protocol = self.finished(self.simulate(dict(inputStructure=(volume, "outputVolume"))))
        with mrcfile.open(volume.outputVolume.getFileName(), "r+") as mrc:
            mrc.data[BOX // 2] = 7
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(mrcfile.read(self.request(self.finished(protocol)).structure)[BOX // 2, 3, 4], 7)

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(), "")
        self.assertIn("Box size is 33 px; it must be even", self.errors(box=33))
        self.assertIn("SNR is missing", self.errors(snr=None))
        self.assertIn("EMPTY", self.errors(dict(inputStructure=(None, ""))))
        bare = makeParticles(self, "bare", aligned=False)
        self.assertIn("without projection alignment", self.errors(dict(inputParticles=(bare, "outputParticles"))))


class TestCryodlOrientations(ParticlesTest):
    def orient(self, particles, run=True, model=None, **values):
        pointers = dict(inputParticles=(particles, "outputParticles"), inputStructure=(self.volume, "outputVolume"))
        if model is not None:
            pointers["inputModel"] = (model, "outputModel")
        make = self.runProtocol if run else self.makeProtocol
        return make(CryodlProtAssignOrientations, pointers, useGpu=False, **values)

    def test_raw_images_with_angles_scores_and_margins(self):
        bare = makeParticles(self, "bare", aligned=False)
        protocol = self.finished(self.orient(bare, model=self.model, symmetry="C2", angularStep=10.0))
        output = protocol.outputParticles
        self.assertTrue(output.hasAlignmentProj())
        self.assertFalse(bare.outputParticles.hasAlignment())
        for row, (item, source) in enumerate(
            zip([p.clone() for p in output], [p.clone() for p in bare.outputParticles])
        ):
            self.assertEqual((item.getObjId(), item.getLocation()), (source.getObjId(), source.getLocation()))
            self.assertTrue(np.allclose(anglesOf(item.getTransform().getMatrix()), (10 + row, 20 + row, -30 + row)))
            self.assertTrue(
                np.allclose(originOf(item.getTransform().getMatrix()), (1.5 / PIXEL_SIZE, -0.5 * row / PIXEL_SIZE))
            )
            self.assertEqual(
                (item._cryodlScore.get(), item._cryodlMargin.get(), item._rlnMaxValueProbDistribution.get()),
                (2.0 + row, 0.5 + row, 0.9),
            )
        config = self.request(protocol)
        self.assertEqual((config.model, config.symmetry), (self.model.outputModel.getFolder(), "C2"))
        self.assertNotIn("rlnAngleRot", columnsOf(config.particles, "particles"))
        self.assertEqual(protocol.summary()[0], "*12 particles* oriented")
        self.assertEqual(
            protocol._citations(), ["cryodl", "Zhang2023SCUNet", "He2023EMReady", "Gorski2005", "Scheres2012"]
        )

    def test_controls_of_an_earlier_run_are_there_for_the_next(self):
        (name,) = CryodlProtAssignOrientations.REUSED
        controls = os.path.join(os.path.dirname(batchFile(self.orient(self.raw), "oriented.star")), name)
        with open(controls, "w") as file:
            file.write("{}")
        folder = os.path.dirname(batchFile(self.orient(self.raw), "oriented.star"))
        found = [os.path.realpath(os.path.join(folder, f)) for f in os.listdir(folder) if f.endswith(name)]
        self.assertIn(os.path.realpath(controls), found)

    def test_relion_reads_the_angles_that_the_engine_gave(self):
        try:
            from relion.convert import writeSetOfParticles
        except ImportError:
            self.skipTest("The plugin relion is not installed.")
        protocol = self.killedOnce(lambda: self.orient(self.raw))
        path = os.path.join(self.data, "oriented.star")
        writeSetOfParticles(protocol.outputParticles, path)
        columns = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
        ours, theirs = (
            readColumns(p, columns, (float,) * 5, "particles") for p in (batchFile(protocol, "oriented.star"), path)
        )
        self.assertTrue(np.allclose(ours, theirs, atol=1e-4))

    def test_mistakes_and_warnings(self):
        self.assertEqual(self.orient(self.raw, False).validate(), [])
        self.assertIn("not raw data", " ".join(self.orient(self.denoised, False).validate()))
        noCTF = makeParticles(self, "noctf", ctf=False)
        self.assertIn("have no CTF", " ".join(self.orient(noCTF, False).validate()))
        self.assertIn("Angular step is 50 °", " ".join(self.orient(self.raw, False, angularStep=50.0).validate()))
        self.assertEqual(self.orient(self.raw, False).warnings(), [])
        os.remove(noCTF._getExtraPath("noctf.mrcs"))


class TestCryodlBackProject(ParticlesTest):
    def project(self, particles, run=True, **values):
        make = self.runProtocol if run else self.makeProtocol
        return make(CryodlProtBackProject, dict(inputParticles=(particles, "outputParticles")), useGpu=False, **values)

    def test_a_map_with_half_maps_and_their_correlation(self):
        protocol = self.killedOnce(lambda: self.project(self.raw, symmetry="D2"))
        volume, fsc = protocol.outputVolume, protocol.outputFSC
        self.assertEqual((volume.getDim(), volume.getSamplingRate()), ((BOX,) * 3, PIXEL_SIZE))
        halves = volume.getHalfMaps().split(",")
        self.assertEqual([os.path.basename(path) for path in halves], ["map_half1.mrc", "map_half2.mrc"])
        self.assertTrue(all(os.path.exists(path) for path in halves))
        frequencies, values = fsc.getData()
        # the fake's curve falls from 1 to 0 at Nyquist, 1/8 1/Å
        self.assertEqual(
            (len(frequencies), float(frequencies[-1]), float(values[0]), float(values[-1])), (17, 0.125, 1, 0)
        )
        self.assertAlmostEqual(float(fsc.calculateResolution(0.5)), 16.0, places=2)
        config = self.request(protocol)
        self.assertEqual((config.symmetry, config.correct_ctf), ("D2", True))
        self.assertIn("rlnRandomSubset", columnsOf(config.particles, "particles"))

    def test_windows_of_a_run_whose_files_or_outputs_are_gone_say_so(self):
        run = self.finished(self.project(self.raw))
        for gone in ("files", "outputs"):
            if gone == "files":
                shutil.rmtree(run._getExtraPath())
            else:
                for _, output in list(run.iterOutputAttributes()):
                    run.deleteOutput(output)
            viewer = CryodlBackProjectViewer(project=self.proj, protocol=run)
            viewer.setProtocol(run)
            for name, show in viewer._getVisualizeDict().items():
                (view,) = show(name)
                if (name, gone) != ("showSlices", "files"):  # the window itself says that the map is gone
                    self.assertRegex(view.getMessage(), "what it made is gone|ChimeraX is not at")
        particles = self.newProtocol(CryodlProtDenoise)
        particles.outputParticles = SetOfParticles(filename=os.path.join(self.data, "deleted.sqlite"))
        (view,) = CryodlParticlesViewer(project=self.proj, protocol=particles)._visualize(particles)
        self.assertIn("The set of particles is empty", view.getMessage())

    def test_particles_that_came_since_are_in_the_map_when_the_run_is_continued(self):
        source = makeParticles(self, "grows")
        protocol, particles = self.finished(self.project(source)), source.outputParticles
        item = particles.getFirstItem().clone()
        item.setObjId(1000)
        particles.enableAppend()
        particles.append(item)
        particles.write()
        source._store(particles)
        self.proj.launchProtocol(protocol, wait=True)
        rows = readColumns(self.request(self.finished(protocol)).particles, ("rlnImageId",), (int,), "particles")
        self.assertEqual(len(rows), COUNT + 1)

    def test_another_symmetry_makes_the_map_anew(self):
        """The engine refused to replace the mask of the first start."""
        protocol = self.finished(self.project(self.raw))
        protocol.symmetry.set("D2")
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(self.request(self.finished(protocol)).symmetry, "D2")

    def test_a_map_of_denoised_particles_says_what_it_is(self):
        self.assertIn("even if they contain only noise", " ".join(self.project(self.denoised, False).warnings()))
        protocol = self.finished(self.project(self.denoised))
        self.assertFalse(self.request(protocol).correct_ctf)
        self.assertIn("shows what the model learned", protocol.outputVolume.getObjComment())
        self.assertIn("cryodlDenoiser", columnsOf(self.request(protocol).particles, "particles"))

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.project(self.raw, False).validate(), [])
        self.assertIn(
            "no alignment", " ".join(self.project(makeParticles(self, "bare", aligned=False), False).validate())
        )
        noCTF = makeParticles(self, "noctf", ctf=False)
        self.assertIn("have no CTF", " ".join(self.project(noCTF, False).validate()))
        self.assertEqual(self.project(noCTF, False, correctCtf=False).validate(), [])
        self.assertIn("Symmetry is 'helix'", " ".join(self.project(self.raw, False, symmetry="helix").validate()))
        self.assertIn("at least 2", " ".join(self.project(makeParticles(self, "one", count=1), False).validate()))


class TestCryodlInitialMap(ParticlesTest):
    def find(self, particles, run=True, **values):
        make = self.runProtocol if run else self.makeProtocol
        return make(CryodlProtInitialMap, dict(inputParticles=(particles, "outputParticles")), useGpu=False, **values)

    def test_a_map_and_oriented_particles_that_relion_takes_for_a_refinement(self):
        bare = makeParticles(self, "bare", aligned=False)
        protocol = self.killedOnce(lambda: self.find(bare, maskDiameter=100.0))
        volume, particles = protocol.outputVolume, protocol.outputParticles
        self.assertEqual((volume.getDim(), volume.getSamplingRate()), ((BOX,) * 3, PIXEL_SIZE))
        self.assertIn("hand is unknown", volume.getObjComment())
        self.assertTrue(all(os.path.exists(path) for path in volume.getHalfMaps().split(",")))
        self.assertTrue(particles.hasAlignmentProj() and particles.hasCTF())
        self.assertTrue(np.allclose(anglesOf(particles.getFirstItem().getTransform().getMatrix()), (10, 20, -30)))
        self.assertAlmostEqual(float(protocol.outputFSC.calculateResolution(0.5)), 16.0, places=2)
        self.assertEqual(self.request(protocol).mask_diameter, 100.0)
        try:
            from relion.protocols import ProtRelionRefine3D
        except ImportError:
            self.skipTest("The plugin relion is not installed.")
        refine = self.newProtocol(ProtRelionRefine3D, objLabel="refine")
        refine.inputParticles.set(protocol)
        refine.inputParticles.setExtended("outputParticles")
        refine.referenceVolume.set(protocol)
        refine.referenceVolume.setExtended("outputVolume")
        self.assertEqual(refine._validate(), [])  # validate() asks for the program as well
        self.proj.saveProtocol(refine)
        refine.makePathsAndClean()
        refine._createFilenameTemplates()
        refine.convertInputStep(None, True)
        with mrcfile.open(refine._getRefArg()) as mrc:
            self.assertEqual((mrc.data.shape, float(mrc.voxel_size.x)), ((BOX,) * 3, PIXEL_SIZE))

    def test_without_a_map_there_is_no_output_but_a_reason(self):
        with mock.patch.dict(os.environ, FAKE_ENGINE_MAP="none"):
            protocol = self.finished(self.find(self.raw))
        self.assertEqual(list(protocol.iterOutputAttributes()), [])
        self.proj._updateProtocol(protocol)
        protocol.checkSummaryWarnings()
        self.assertNotIn("lost", " ".join(protocol.summaryWarnings))
        wanting = self.makeProtocol(
            CryodlProtAssignOrientations,
            dict(inputParticles=(self.raw, "outputParticles"), inputStructure=(protocol, "outputVolume")),
        )
        self.assertIn("though it has finished. initial-map told this", " ".join(wanting.validate()))
        wanting.setStatus("scheduled")
        self.assertEqual(wanting.validate(), [])  # it is started, and fails with this sentence
        with self.assertRaisesRegex(ValueError, "hardly more than noise"):
            CryodlInitialMapViewer(project=self.proj, protocol=protocol)._data()

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.find(self.raw, False).validate(), [])
        noCTF = makeParticles(self, "noctf", ctf=False)
        self.assertIn("have no CTF", " ".join(self.find(noCTF, False).validate()))
        self.assertIn("not raw data", " ".join(self.find(self.denoised, False).validate()))


class TestCryodlEvaluateDenoiser(ParticlesTest):
    def evaluate(self, run=True, pointers=None, **values):
        pointers = dict(
            dict(
                inputParticles=(self.raw, "outputParticles"),
                inputModel=(self.model, "outputModel"),
                inputStructure=(self.volume, "outputVolume"),
            ),
            **(pointers or {}),
        )
        make = self.runProtocol if run else self.makeProtocol
        return make(CryodlProtEvaluateDenoiser, pointers, useGpu=False, **values)

    def test_curves_are_of_maps_against_the_ground_truth(self):
        protocol = self.killedOnce(self.evaluate)
        labels = [fsc.getObjLabel() for fsc in protocol.outputFSCs]
        self.assertEqual(labels, [f"{kind} particles against the ground truth" for kind in ("raw", "denoised")])
        self.assertEqual(float(protocol.outputFSCs.getFirstItem().getData()[0][-1]), 0.125)  # Nyquist, 1/Å
        self.assertEqual((protocol.getEvaluation()["count"], self.request(protocol).unseen), (12, None))

    def test_a_control_that_comes_near_the_result_is_a_warning(self):
        os.environ["FAKE_ENGINE_CONTROL"] = "warning"
        try:
            protocol = self.finished(
                self.evaluate(
                    pointers=dict(
                        unseenParticles=(self.raw2, "outputParticles"), structureOfUnseen=(self.other, "outputVolume")
                    )
                )
            )
        finally:
            del os.environ["FAKE_ENGINE_CONTROL"]
        config = self.request(protocol)
        self.assertNotEqual(config.unseen, config.particles)
        self.assertTrue(os.path.exists(config.unseen) and os.path.exists(config.unseen_structure))

    def test_the_unseen_structure_is_shown_with_unseen_particles_alone(self):
        self.assertFalse(self.evaluate(False).evalParamCondition("structureOfUnseen"))
        unseen = dict(unseenParticles=(self.raw2, "outputParticles"))
        self.assertTrue(self.evaluate(False, unseen).evalParamCondition("structureOfUnseen"))

    def test_mistakes_are_named_before_the_run(self):
        def errors(pointers=None, **values):
            return " ".join(self.evaluate(False, pointers, **values).validate())

        self.assertEqual(errors(), "")
        bare = makeParticles(self, "bare", aligned=False)
        self.assertIn("The particles have no alignment", errors(dict(inputParticles=(bare, "outputParticles"))))
        self.assertIn("not raw data", errors(dict(inputParticles=(self.denoised, "outputParticles"))))
        unseen = dict(unseenParticles=(bare, "outputParticles"))
        self.assertEqual(errors(unseen), "")
        self.assertIn(
            "unseen particles have no alignment", errors(dict(unseen, structureOfUnseen=(self.other, "outputVolume")))
        )
        self.assertIn("Maximum number of particles is 1; it must be between 2", errors(count=1))


class TestCryodlIdentify(ParticlesTest):
    def identify(self, **values):
        return self.makeProtocol(
            CryodlProtIdentify, dict(inputParticles=(self.raw, "outputParticles")), useGpu=False, **values
        )

    def test_structures_of_a_folder_and_of_the_project_are_compared_together(self):
        folder = os.path.join(self.data, "structures of mine")
        os.makedirs(folder, exist_ok=True)
        protocol = self.identify(structureFolder=folder)
        addTo(protocol.inputStructures, [self.volume], "outputVolume")
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        config = self.request(protocol)
        self.assertEqual(config.structures[0], folder)
        self.assertEqual(os.path.basename(config.structures[1]), "map.mrc")
        self.assertTrue(os.path.exists(protocol.getRanking()))

    def test_a_continued_run_compares_a_file_that_was_replaced_under_its_name(self):
        folder = os.path.join(self.data, "replaced")
        os.makedirs(folder, exist_ok=True)
        protocol, made = self.identify(structureFolder=folder), []
        for text in ("one", "one", "two"):
            with open(os.path.join(folder, "model.pdb"), "w") as file:
                file.write(text)
            self.proj.launchProtocol(protocol, wait=True)
            made.append(os.stat(self.finished(protocol)._getExtraPath("result.json")).st_mtime_ns)
        self.assertEqual((made[0] == made[1], made[1] == made[2]), (True, False))

    def test_without_structures_or_with_a_wrong_folder_it_is_said(self):
        self.assertIn("There are no structures", " ".join(self.identify().validate()))
        self.assertIn("/absent, which is no folder", " ".join(self.identify(structureFolder="/absent").validate()))


class TestCryodlIntegrity(ParticlesTest):
    def integrity(self, run=True, structures=None, particles=None, **values):
        protocol = self.makeProtocol(
            CryodlProtIntegrity, dict(inputParticles=(particles or self.raw, "outputParticles")), useGpu=False, **values
        )
        addTo(protocol.inputStructures, structures or [self.volume, self.other], "outputVolume")
        if run:
            self.proj.launchProtocol(protocol, wait=True)
        return protocol

    def errors(self, **values):
        return " ".join(self.integrity(False, **values).validate())

    def test_probabilities_subsets_and_classes(self):
        protocol = self.killedOnce(lambda: self.integrity(compositionNames="whole, no partner", minimumProbability=0.8))
        # the fake: even rows are whole with 0.95, odd ones lack the partner with 0.6
        everything = [p.clone() for p in protocol.outputParticles]
        self.assertEqual([p.getClassId() for p in everything], [1, 2] * (COUNT // 2))
        self.assertTrue(np.allclose([p._cryodlProbability1.get() for p in everything], [0.95, 0.4] * (COUNT // 2)))
        self.assertTrue(np.allclose([p._cryodlProbability2.get() for p in everything], [0.05, 0.6] * (COUNT // 2)))
        self.assertEqual([p.getLocation() for p in everything], [p.getLocation() for p in self.raw.outputParticles])
        self.assertEqual(
            [p.getObjId() for p in protocol.outputParticles_whole], [p.getObjId() for p in everything[::2]]
        )
        self.assertFalse(hasattr(protocol, "outputParticles_no_partner"))  # none is sure
        classes = protocol.outputClasses
        self.assertEqual({c.getObjId(): c.getSize() for c in classes}, {1: 6, 2: 6})
        self.assertEqual([c.getObjLabel() for c in classes], ["whole", "no partner"])
        self.assertEqual(
            [os.path.basename(c.getRepresentative().getFileName()) for c in classes], ["map.mrc", "other.mrc"]
        )
        config = self.request(protocol)
        self.assertEqual((config.names, config.orientations), (("whole", "no partner"), "auto"))

    def test_what_cannot_be_told_apart_has_no_classes_and_no_subsets(self):
        protocol = self.finished(self.integrity(compositionNames="whole, alike"))
        self.assertEqual([name for name, _ in protocol.iterOutputAttributes()], ["outputParticles"])
        self.assertEqual({p.getClassId() for p in protocol.outputParticles}, {0})
        self.assertEqual(protocol.outputParticles.getFirstItem()._cryodlProbability1.get(), 0.95)

    def test_another_probability_makes_other_subsets_without_another_run_of_the_engine(self):
        protocol = self.finished(self.integrity())
        stamp = os.stat(protocol._getExtraPath("result.json")).st_mtime_ns
        protocol.minimumProbability.set(0.5)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(self.finished(protocol).outputParticles_other.getSize(), 6)
        self.assertEqual(os.stat(protocol._getExtraPath("result.json")).st_mtime_ns, stamp)
        protocol.minimumProbability.set(0.99)  # nobody is so sure
        self.proj.launchProtocol(protocol, wait=True)
        made = [name for name, _ in self.finished(protocol).iterOutputAttributes()]
        self.assertEqual(made, ["outputParticles", "outputClasses"])
        self.assertEqual(protocol.lostOutputs(), [])

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(), "")
        self.assertIn("Compositions has 1", self.errors(structures=[self.volume]))
        self.assertIn("2 compositions need as many names, not 3", self.errors(compositionNames="a, b, c"))
        self.assertIn("have the same name", self.errors(compositionNames="a b, a-b"))
        self.assertIn("Minimum probability is 1.5", self.errors(minimumProbability=1.5))
        bare = makeParticles(self, "bare", aligned=False)
        self.assertEqual(self.errors(particles=bare), "")
        self.assertIn("no alignment", self.errors(particles=bare, orientations=1))
        self.assertIn("not raw data", self.errors(particles=self.denoised))
        self.assertIn("composition other has 2 Å/px", " ".join(self.integrity(False).warnings()))
