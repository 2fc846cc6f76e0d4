# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of particles as the engine's STAR files and back, beside what RELION's plugin writes; denoised and raw sets."""

import contextlib
import os
import shutil
import sqlite3
import tempfile

import numpy as np
from pwem.objects import CTFModel, SetOfClasses3D, SetOfParticles
from pyworkflow.object import Float, Integer, String
from pyworkflow.tests import BaseTest, setupTestOutput

from ...convert.particles import denoised, results
from ...convert.particles import particles as convert
from ...convert.relion_star import columnsOf, iterColumns, readColumns, star_text, writeTable
from ...protocols.particles.particle_kinds import checkParticles, checkStacks
from ..particle_sets import BOX, COLUMNS, COUNT, ORIGIN, PIXEL_SIZE, angles, fill, writeStack

NUMBERS = (*COLUMNS, "rlnRandomSubset")


class ParticlesCase(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestOutput(cls)

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.before = os.getcwd()
        os.chdir(self.folder)  # as a project's folder
        os.makedirs("Runs/extra")
        self.stack = writeStack("Runs/extra/raw.mrcs")
        self.number = 0

    def tearDown(self):
        os.chdir(self.before)
        shutil.rmtree(self.folder)

    def new(self):
        self.number += 1
        return SetOfParticles(filename=f"set_{self.number}.sqlite")

    def make(self, **values):
        return fill(self.new(), self.stack, **values)


class TestCryodlParticlesAsStar(ParticlesCase):
    def test_all_columns_and_their_values(self):
        convert.writeParticles("p.star", self.make())
        rows = readColumns(
            "p.star",
            ("rlnImageName", "rlnImageId", "rlnMicrographName") + NUMBERS,
            (str, int, str) + (float,) * 11,
            "particles",
        )
        self.assertEqual(len(rows), COUNT)
        self.assertEqual(rows[3][:3], ("000004@Runs/extra/raw.mrcs", 16, "mic_1.mrc"))
        wanted = angles(3) + (ORIGIN[0] * PIXEL_SIZE, ORIGIN[1] * PIXEL_SIZE, 12003, 11003, 30, 103, 203, 2)
        self.assertTrue(np.allclose(rows[3][3:], wanted, atol=1e-4), rows[3])
        optics = readColumns(
            "p.star",
            (
                "rlnImagePixelSize",
                "rlnImageSize",
                "rlnVoltage",
                "rlnSphericalAberration",
                "rlnAmplitudeContrast",
                "rlnOpticsGroup",
            ),
            (float,) * 6,
            "optics",
        )
        self.assertEqual(optics, [(PIXEL_SIZE, BOX, 300, 2.7, 0.1, 1)])

    def test_the_file_says_what_relions_plugin_would_say(self):
        try:
            from relion.convert import writeSetOfParticles
        except ImportError:
            self.skipTest("The plugin relion is not installed.")
        particles = self.make()
        convert.writeParticles("ours.star", particles)
        writeSetOfParticles(particles, "theirs.star")
        ours, theirs = (
            np.array(readColumns(path, NUMBERS, (float,) * 11, "particles")) for path in ("ours.star", "theirs.star")
        )
        self.assertTrue(np.allclose(ours, theirs, atol=1e-4), abs(ours - theirs).max(axis=0))
        names = [
            readColumns(path, ("rlnImageName", "rlnImageId"), (str, int), "particles")
            for path in ("ours.star", "theirs.star")
        ]
        self.assertEqual(*names)

    def test_what_a_set_lacks_is_not_written(self):
        bare = self.make(ctf=False, aligned=False, halves=False)
        convert.writeParticles("p.star", bare)
        columns = columnsOf("p.star", "particles")
        self.assertFalse(
            {"rlnDefocusU", "rlnAngleRot", "rlnOriginXAngst", "rlnRandomSubset", "cryodlDenoiser"} & set(columns)
        )
        self.assertNotIn("rlnCtfDataArePhaseFlipped", columnsOf("p.star", "optics"))

    def test_phase_plates_phase_flips_and_other_optics_groups_are_written(self):
        particles = self.make()
        particles.setIsPhaseFlipped(True)
        particles.getAcquisition().opticsGroupInfo.set(
            "\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnVoltage #3\n"
            "_rlnSphericalAberration #4\n_rlnAmplitudeContrast #5\n_rlnImagePixelSize #6\n"
            "1 one 300 2.7 0.1 9.9\n2 two 200 2.7 0.07 9.9\n\n"
        )
        shifted = self.new()
        shifted.copyInfo(particles)
        for item in particles:
            copy = item.clone()
            copy.setCTF(CTFModel(defocusU=1e4, defocusV=1e4, defocusAngle=0, phaseShift=90.0))
            shifted.append(copy)
        convert.writeParticles("p.star", shifted)
        self.assertEqual(readColumns("p.star", ("rlnPhaseShift",), (float,), "particles")[0], (90.0,))
        self.assertEqual(
            readColumns(
                "p.star",
                ("rlnOpticsGroup", "rlnVoltage", "rlnImagePixelSize", "rlnCtfDataArePhaseFlipped"),
                (float,) * 4,
                "optics",
            ),
            [(1, 300, PIXEL_SIZE, 1), (2, 200, PIXEL_SIZE, 1)],
        )

    def test_joined_sets_of_two_voltages_have_an_optics_group_each(self):
        particles, joined = self.make(), self.new()
        particles.getAcquisition().opticsGroupInfo.set(  # of the first set, as RELION's plugin keeps it
            "\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n_rlnSphericalAberration #3\n"
            "_rlnAmplitudeContrast #4\n1 300 2.7 0.07\n\n"
        )
        joined.copyInfo(particles)
        for number, item in enumerate(particles):
            copy = item.clone()
            copy._rlnOpticsGroup = Integer(1)
            copy.getAcquisition().setVoltage((300.0, 200.0)[number % 3 == 2])
            copy.getAcquisition().setAmplitudeContrast(0.07)  # the set says 0.1
            joined.append(copy)
        convert.writeParticles("p.star", joined)
        groups = dict(readColumns("p.star", ("rlnOpticsGroup", "rlnVoltage"), (int, float), "optics"))
        self.assertEqual(sorted(groups.values()), [200, 300])
        rows = readColumns("p.star", ("rlnOpticsGroup",), (int,), "particles")
        self.assertEqual([groups[group] for (group,) in rows], [300, 300, 200] * 4)

    def test_an_empty_set_is_an_error_and_leaves_no_file(self):
        with self.assertRaisesRegex(ValueError, "is empty"):
            convert.writeParticles("p.star", self.new())
        self.assertFalse(os.path.exists("p.star"))

    def test_rows_find_their_items_by_id_also_when_some_are_left_out(self):
        particles = self.make()
        convert.writeParticles("p.star", particles)
        with open("p.star") as file:
            lines = [line for line in file if not line.startswith("000005@")]
        with open("p.star", "w") as file:
            file.writelines(lines)
        pairs = [
            (item.getIndex(), row) for item, row in convert.pairedRows(particles, "p.star", ("rlnDefocusU",), (float,))
        ]
        self.assertEqual([index for index, _ in pairs], [i for i in range(1, COUNT + 1) if i != 5])
        self.assertTrue(all(row == (11999 + index,) for index, row in pairs))

    def test_rows_of_another_set_are_refused(self):
        convert.writeParticles("p.star", self.make())
        with self.assertRaisesRegex(ValueError, "has particle 20, which the input set does not have"):
            list(convert.pairedRows(self.make(count=5), "p.star", (), ()))

    def test_particles_that_were_taken_out_in_a_table_are_not_worked_on(self):
        particles = self.make()
        particles.close()
        with contextlib.closing(sqlite3.connect(particles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 12")
        convert.writeParticles("p.star", particles)
        arriving, expected = convert.ArrivingParticles(particles), [10, *range(14, 10 + 2 * COUNT, 2)]
        arriving.update()
        self.assertEqual((convert.idsInStar("p.star"), arriving.ready(set())), (expected, expected))
        made = self.new()
        made.copyInfo(particles)
        results.appendRaw(made, particles, particles)
        self.assertEqual([item.getObjId() for item in made], expected)

    def test_quoted_names_are_one_word(self):
        with open("p.star", "w") as file:
            file.write('data_particles\n\nloop_\n_a #1\n_b #2\n"one two" 3\nfour 5\n')
        self.assertEqual(
            list(iterColumns("p.star", ("b", "a"), (int, str), "particles")), [(3, "one two"), (5, "four")]
        )

    def test_names_that_begin_as_words_of_the_format_do_are_quoted(self):
        for name in ("data_1.mrc", "_x.mrc", "#2.mrc", "$3.mrc", ""):
            with open("p.star", "w") as file:
                file.write(f"data_particles\n\nloop_\n_a #1\n_b #2\n{star_text(name)} 3\n4 {star_text(name)}\n")
            self.assertEqual(
                list(iterColumns("p.star", ("b", "a"), (str, str), "particles")),
                [("3", name or "None"), (name or "None", "4")],
            )


class TestCryodlDenoisedSets(ParticlesCase):
    def denoise(self, raw):
        """What `cryodl denoise` would make of a set."""
        writeStack("Runs/extra/denoised.mrcs")
        convert.writeParticles("denoised.star", raw)
        with open("denoised.star") as file:
            text = file.read().replace("@Runs/extra/raw.mrcs", "@Runs/extra/denoised.mrcs")
        with open("denoised.star", "w") as file:
            file.write(text)
        made = self.new()
        made.copyInfo(raw)
        results.appendDenoised(made, raw, "denoised.star", "the_model")
        made.write()
        return made

    def test_denoised_items_keep_everything_but_the_image(self):
        raw = self.make()
        made = self.denoise(raw)
        self.assertEqual(made.getSize(), COUNT)
        for old, new in zip([p.clone() for p in raw], [p.clone() for p in made]):
            self.assertEqual(
                (new.getObjId(), new.getIndex(), new.getFileName()),
                (old.getObjId(), old.getIndex(), "Runs/extra/denoised.mrcs"),
            )
            self.assertTrue(np.allclose(new.getTransform().getMatrix(), old.getTransform().getMatrix()))
            self.assertEqual(new.getCTF().getDefocus(), old.getCTF().getDefocus())
            self.assertEqual(new.getCoordinate().getMicName(), old.getCoordinate().getMicName())
            self.assertEqual(new._rlnRandomSubset.get(), old._rlnRandomSubset.get())
            self.assertEqual(denoised.rawImageOf(new), f"{old.getIndex():06d}@Runs/extra/raw.mrcs")
        self.assertEqual(made.getAcquisition().getVoltage(), 300)

    def test_a_denoised_set_says_so_and_so_does_what_is_made_of_it(self):
        made = self.denoise(self.make())
        self.assertEqual(denoised.denoiserOf(made), "the_model")
        self.assertIn("not raw data", made.getObjComment())
        self.assertEqual(denoised.denoiserOf(self.make()), "")
        copied = self.new()
        copied.copyInfo(made)
        copied.copyItems(made)
        self.assertEqual(denoised.denoiserOf(copied), "the_model")
        bare = self.new()
        bare.setSamplingRate(PIXEL_SIZE)
        bare.copyItems(made)
        self.assertEqual(denoised.denoiserOf(bare), "unknown")
        reloaded = SetOfParticles(filename=made.getFileName())
        reloaded.loadAllProperties()
        self.assertTrue(denoised.denoiserOf(reloaded))

    def test_raw_images_of_a_set_denoised_in_batches_are_not_taken_for_phase_flipped(self):
        raw = self.make()
        made = self.denoise(raw)
        results.appendDenoised(made, raw, "denoised.star", "the_model", done=sorted(raw.getIdSet()))
        self.assertTrue(made.isPhaseFlipped())
        back = self.new()
        back.copyInfo(made)
        results.appendRaw(back, made)
        self.assertEqual((back.isPhaseFlipped(), back.isAmplitudeCorrected()), (False, False))

    def test_a_denoised_set_is_refused_as_raw_data_but_not_elsewhere(self):
        made = self.denoise(self.make())
        self.assertIn("denoised images (model the_model), not raw data", " ".join(checkParticles(made, ("raw",))))
        self.assertEqual(checkParticles(made, ("angles", "ctf")), [])

    def test_the_engine_is_told_that_images_are_denoised(self):
        convert.writeParticles("again.star", self.denoise(self.make()))
        self.assertEqual(
            readColumns("again.star", ("cryodlDenoiser", "rlnImageOriginalName"), (str, str), "particles")[1],
            ("the_model", "000002@Runs/extra/raw.mrcs"),
        )

    def test_the_way_back_keeps_what_later_steps_gave(self):
        raw = self.make()
        raw.setIsPhaseFlipped(True)
        later = self.new()
        made = self.denoise(raw)
        later.copyInfo(made)
        for item in made:  # a later step: half of the particles, other angles, a score
            if item.getIndex() % 2:
                copy = item.clone()
                copy._score = Float(item.getIndex() / 10)
                matrix = copy.getTransform().getMatrix()
                matrix[0, 3] = 7.0
                copy.getTransform().setMatrix(matrix)
                later.append(copy)
        back = self.new()
        back.copyInfo(later)
        results.appendRaw(back, later)
        self.assertEqual(
            (back.getSize(), denoised.denoiserOf(back), back.isPhaseFlipped(), back.isAmplitudeCorrected()),
            (COUNT // 2, "", True, False),
        )
        self.assertEqual(back.getObjComment() or "", "")
        for item in back:
            self.assertEqual(item.getFileName(), "Runs/extra/raw.mrcs")
            self.assertEqual(
                (item.getObjId(), round(item._score.get() * 10)), (8 + 2 * item.getIndex(), item.getIndex())
            )
            self.assertEqual(item.getTransform().getMatrix()[0, 3], 7.0)
            self.assertFalse(item.hasAttribute(denoised.RAW_IMAGE))

    def test_raw_particles_are_found_by_id_and_shifts_rescaled(self):
        raw = self.make()
        # a later step that halved the images
        binned = fill(self.new(), writeStack("Runs/extra/binned.mrcs", box=BOX // 2), pixelSize=2 * PIXEL_SIZE)
        back = self.new()
        back.copyInfo(binned)
        results.appendRaw(back, binned, raw)
        self.assertEqual((back.getSamplingRate(), back.getXDim()), (PIXEL_SIZE, BOX))
        was, now = binned.getFirstItem().clone(), back.getFirstItem().clone()
        self.assertTrue(np.allclose(now.getTransform().getMatrix()[:3, 3], 2 * was.getTransform().getMatrix()[:3, 3]))
        self.assertTrue(np.allclose(now.getTransform().getMatrix()[:3, :3], was.getTransform().getMatrix()[:3, :3]))
        self.assertEqual(now.getSamplingRate(), PIXEL_SIZE)

    def test_a_particle_that_the_engine_left_out_is_left_out_and_others_stay_themselves(self):
        raw = self.make()
        self.denoise(raw)
        with open("denoised.star") as file:
            lines = [line for line in file if not line.startswith("000005@")]
        with open("denoised.star", "w") as file:
            file.writelines(lines)
        made, ids = self.new(), [item.getObjId() for item in raw]
        results.appendDenoised(made, raw, "denoised.star", "m")
        self.assertEqual([item.getObjId() for item in made], ids[:4] + ids[5:])
        self.assertEqual([item.getIndex() for item in made], [1, 2, 3, 4, *range(6, COUNT + 1)])

    def test_an_item_that_the_engine_left_out_is_in_no_class(self):
        raw = self.make()
        raw.write()
        ids = [item.getObjId() for item in raw]
        rows = [(number, 1 + number // 2 % 2, 0.25, 0.75) for number in ids if number != ids[4]]
        columns = ["rlnImageId", "rlnClassNumber", "cryodlProbability1", "cryodlProbability2"]
        writeTable("c.star", "particles", columns, rows)
        classes = SetOfClasses3D(filename="classes.sqlite")
        classes.setImages(raw)
        results.classifyByComposition(classes, "c.star", ["whole", "part"], None)
        classes.write()
        for number in (1, 2):
            found = [item.getObjId() for item in classes[number]]
            self.assertEqual(found, [row[0] for row in rows if row[1] == number])

    def test_raw_images_are_flipped_as_the_raw_set_says_where_the_later_one_has_lost_it(self):
        raw, bare = self.make(), self.make()
        raw.setIsPhaseFlipped(True)
        back = self.new()
        back.copyInfo(bare)
        results.appendRaw(back, bare, raw)
        self.assertTrue(back.isPhaseFlipped())


class TestCryodlResultsAfterOthers(ParticlesCase):
    """What an earlier run of more dimensions, compositions or another structure noted is not kept beside the new."""

    def after(self, append, *columns, **earlier):
        """Attributes of a particle, by what the engine wrote of it: columns and a value. earlier: attributes before."""
        source, raw, made = self.make(halves=False), self.new(), self.new()
        raw.copyInfo(source)
        for item in source:
            copy = item.clone()
            for name, value in earlier.items():
                setattr(copy, "_" + name, Float(value) if isinstance(value, float) else String(value))
            raw.append(copy)
        raw.write()
        made.copyInfo(raw)
        rows = [(item.getObjId(), *[1] * len(columns)) for item in raw]
        writeTable("p.star", "particles", ["rlnImageId", *columns], rows)
        append(made, raw)
        made.write()
        first = made.getFirstItem()
        return {n[1:]: v.get() for n, v in first.getAttributes() if n.startswith(("_cryodl", "_rln", "_zFlex"))}

    def test_latent_coordinates(self):
        columns, earlier = (
            results.latentColumns(1, False)[0],
            dict(cryodlLatent1=7.0, cryodlLatent2=8.0, cryodlUmap1=1.0),
        )
        append = lambda made, raw: results.appendLatent(made, raw, "p.star", 1)
        self.assertEqual(self.after(append, *columns, **earlier), dict(cryodlLatent1=1.0, cryodlCluster=1))

        def classify(made, raw):
            classes = SetOfClasses3D(filename="classes.sqlite")
            classes.setImages(raw)
            results.classifyByLatentClass(classes, "p.star", ["class_01.mrc"], PIXEL_SIZE)
            made.append(classes[1].getFirstItem().clone())

        self.assertEqual(
            self.after(classify, "rlnClassNumber", results.CLASS_PROBABILITY, **earlier),
            {"cryodlClassProbability": 1.0},
        )

    def test_probabilities_of_compositions(self):
        columns, earlier = (
            ["cryodlProbability1", "cryodlProbability2"],
            dict(cryodlProbability2=7.0, cryodlProbability3=8.0),
        )
        append = lambda made, raw: results.appendAssessed(made, raw, "p.star", 2)
        self.assertEqual(self.after(append, "rlnClassNumber", *columns, **earlier), dict.fromkeys(columns, 1.0))
        append = lambda made, raw: results.appendLikely(made, raw, "p.star", 1, 0.5)
        self.assertEqual(self.after(append, "rlnClassNumber", *columns, **earlier), dict(cryodlProbability1=1.0))

    def test_particles_that_show_no_composition_are_in_none_of_their_subsets(self):
        raw, made = self.make(halves=False), self.new()
        made.copyInfo(raw)
        ids = [item.getObjId() for item in raw]
        rows = [(ids[0], 0, 0.0), *((each, 2, 0.0) for each in ids[1:])]
        writeTable("p.star", "particles", ["rlnImageId", "rlnClassNumber", "cryodlProbability1"], rows)
        self.assertEqual(results.appendLikely(made, raw, "p.star", 1, 0.0), len(ids) - 1)

    def test_a_first_map_has_its_own_half_sets_and_no_reference(self):
        earlier = dict(
            cryodlReference="a.pdb", cryodlReferenceDigest="f0", cryodlScore=7.0, cryodlNoiseControl="n.star"
        )
        append = lambda made, raw: results.appendOriented(made, raw, "p.star")
        columns = (*COLUMNS[:5], "rlnMaxValueProbDistribution")
        made = self.after(append, *columns, "rlnRandomSubset", **earlier)
        self.assertEqual(made, dict(rlnMaxValueProbDistribution=1.0, rlnRandomSubset=1))
        self.assertEqual(self.after(append, *columns, cryodlLatent1=7.0)["cryodlLatent1"], 7.0)  # is of no angles

    def test_orientations_are_added_to_a_set_that_an_earlier_version_began(self):
        """It kept what an earlier run had noted on the particles; the rows of a set have the same columns."""
        begun = []

        def append(made, raw):
            first = raw.getFirstItem().clone()
            made.append(first)
            made.write()
            made.close()
            again = SetOfParticles(filename=made.getFileName())
            again.loadAllProperties()
            again.enableAppend()
            results.appendOriented(again, raw, "p.star", done=[first.getObjId()])
            again.write()
            begun.extend(item.clone() for item in again)

        columns, names = (*COLUMNS[:5], "cryodlScore"), ("cryodlReference", "cryodlScore", "cryodlMargin")
        noted = lambda: [tuple(item.getAttributeValue("_" + name) for name in names) for item in begun]
        self.after(append, *columns, cryodlReference="a.pdb", cryodlScore=7.0, cryodlMargin=3.0)
        self.assertEqual(noted(), [("a.pdb", 7.0, 3.0)] + [(None, 1.0, None)] * (COUNT - 1))
        begun.clear()  # as many values in another order
        self.after(append, *columns, "cryodlReference", cryodlReference="a.pdb", cryodlScore=7.0)
        self.assertEqual(noted(), [("a.pdb", 7.0, None)] + [("1", 1.0, None)] * (COUNT - 1))


class TestCryodlParticleChecks(ParticlesCase):
    def errors(self, particles, *need, **values):
        return " ".join(checkParticles(particles, need, **values))

    def test_a_good_set_has_no_errors(self):
        self.assertEqual(self.errors(self.make(), "raw", "angles", "ctf"), "")

    def test_what_is_missing_is_named(self):
        self.assertIn("is empty", self.errors(self.new()))
        self.assertIn(
            "The number of particles is 1; it must be at least 2.", self.errors(self.make(count=1), minimum=2)
        )
        some = self.make(count=4)
        some.close()
        with contextlib.closing(sqlite3.connect(some.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled=0 WHERE id>12")
        self.assertIn("The number of particles is 2; it must be at least 3.", self.errors(some, minimum=3))
        self.assertIn("no alignment; angles of a 3-D refinement", self.errors(self.make(aligned=False), "angles"))
        flat = self.make()
        flat.setAlignment2D()
        self.assertIn("only a 2-D alignment", self.errors(flat, "angles"))
        self.assertIn("have no CTF", self.errors(self.make(ctf=False), "ctf"))
        dark = self.make()
        dark.getAcquisition().setVoltage(None)
        self.assertIn("no voltage", self.errors(dark, "ctf"))
        dark.close()
        with contextlib.closing(sqlite3.connect(dark.getFileName())) as file:  # as programs write it that know no CTF
            columns = file.execute("SELECT column_name FROM Classes WHERE label_property LIKE '_ctfModel._defocus%'")
            file.execute(f"UPDATE Objects SET {', '.join(f'{name} = 0' for (name,) in columns)}")
            file.commit()
        self.assertEqual(self.errors(dark), "")  # the engine takes them for particles without CTF
        self.assertIn("have no CTF", self.errors(dark, "ctf"))
        self.assertIn("no pixel size", self.errors(self.make(pixelSize=None)))
        corrected = self.make()
        corrected.setIsAmplitudeCorrected(True)
        self.assertIn("CTF-corrected in amplitude", self.errors(corrected, "raw"))

    def test_bad_stacks_are_named_with_their_file(self):
        def problem(change):
            particles = fill(self.new(), writeStack("Runs/extra/bad.mrcs"))
            change("Runs/extra/bad.mrcs")
            found = " ".join(checkStacks(particles))
            self.assertIn("Runs/extra/bad.mrcs", found)
            return found

        self.assertIn("does not exist", problem(os.remove))
        self.assertIn("too short: image 12 is needed, and it holds 7.", problem(lambda path: writeStack(path, 7)))
        self.assertIn("ends before", problem(lambda path: os.truncate(path, os.path.getsize(path) - 5)))
        self.assertIn("NaN", problem(lambda path: writeStack(path, bad=range(COUNT))))
        self.assertIn("not a readable stack", problem(lambda path: os.truncate(path, 100)))

    def test_images_that_are_unticked_or_no_more_in_the_set_are_not_looked_at(self):
        """Who did as the sentence says, and removed the image, got the same sentence again."""
        particles = fill(self.new(), writeStack("Runs/extra/first_bad.mrcs", bad=(0,)))
        gone = fill(self.new(), writeStack("Runs/extra/gone.mrcs", 1), count=1).getFirstItem().clone()
        gone.setObjId(None)
        particles.append(gone)
        particles.write()
        os.remove("Runs/extra/gone.mrcs")
        self.assertIn("gone.mrcs does not exist", " ".join(checkStacks(particles)))
        self.untick(particles, max(particles.getIdSet()))
        self.assertIn("image 1 of Runs/extra/first_bad.mrcs", " ".join(checkStacks(particles)))
        self.untick(particles, min(particles.getIdSet()))
        self.assertEqual(checkStacks(particles), [])

    def test_the_end_of_a_stack_that_unticked_images_alone_need_is_not_missed(self):
        particles = fill(self.new(), writeStack("Runs/extra/cut.mrcs"))
        writeStack("Runs/extra/cut.mrcs", COUNT - 1)
        self.assertIn("image 12 is needed, and it holds 11", " ".join(checkStacks(particles)))
        self.untick(particles, max(particles.getIdSet()))
        self.assertEqual(checkStacks(particles), [])

    def untick(self, particles, number):
        particles.close()
        with contextlib.closing(sqlite3.connect(particles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = ?", (number,))

    def test_boxes_of_several_sizes_are_named(self):
        mixed = self.make()
        item = mixed.getFirstItem().clone()
        item.setObjId(None)
        item.setLocation(1, writeStack("Runs/extra/other.mrcs", 2, box=48))
        mixed.append(item)
        self.assertIn("32 px in Runs/extra/raw.mrcs, 48 px in Runs/extra/other.mrcs", " ".join(checkStacks(mixed)))
