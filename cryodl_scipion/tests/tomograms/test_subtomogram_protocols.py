# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms through the protocols, from the form to the sets, with a fake engine."""

import contextlib
import os
import sqlite3

import numpy as np
from pwem.protocols import ProtSubSet, ProtUnionSet
from pyworkflow.object import Float, Pointer
from tomo.constants import TR_RELION
from tomo.objects import SetOfCoordinates3D, SetOfSubTomograms

from ...convert.relion_star import anglesOf, columnsOf, originOf, readColumns
from ...convert.tomograms.subtomograms import (
    classNames,
    describeSubtomogram,
    isAligned,
    tiltWarnings,
    writeSubtomograms,
)
from ...protocols import (
    CryodlProtClassifySubtomograms,
    CryodlProtClusterSubtomograms,
    CryodlProtSimulateSubtomograms,
    CryodlProtTrainClassifier,
)
from ...protocols.tomograms.tomogram_kinds import checkSubtomograms
from .. import fake_ground_truth
from ..particle_sets import ParticlesTest, addTo, finishedWith
from ..tomogram_sets import (
    BOX,
    PIXEL_SIZE,
    fillSubtomograms,
    makeClasses,
    makeClassifier,
    makeSubtomograms,
    makeTomograms,
    poseOf,
)

POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")


def tableOf(path, *columns):
    """(n, columns) numbers of a STAR file."""
    return np.array(readColumns(path, columns, (float,) * len(columns), "particles"))


class SubtomogramsTest(ParticlesTest):
    @classmethod
    def prepare(cls):
        cls.labelled = makeSubtomograms(cls)

    @classmethod
    def make(cls, protocolClass, source=None, output="outputSubtomograms", pointers=None, **values):
        return cls.makeProtocol(
            protocolClass,
            dict(pointers or {}, inputSubtomograms=(source or cls.labelled, output)),
            useGpu=False,
            **values,
        )

    @classmethod
    def launch(cls, protocol):
        cls.proj.launchProtocol(protocol, wait=True)
        return protocol


class TestCryodlSubtomogramFiles(SubtomogramsTest):
    def test_probabilities_of_an_earlier_classifier_are_not_kept(self):
        item = self.labelled.outputSubtomograms.getFirstItem().clone()
        for name in ("Confidence", "Probability1", "Probability7"):
            setattr(item, "_cryodl" + name, Float(0.5))
        row = {"rlnClassNumber": "2", "cryodlProbability1": "0.25"}
        describeSubtomogram(item, row, list(row), PIXEL_SIZE)
        found = {name: value.get() for name, value in item.getAttributes() if name.startswith("_cryodl")}
        self.assertEqual((item.getClassId(), found), (2, {"_cryodlProbability1": 0.25}))

    def write(self, subtomograms, **values):
        path = os.path.join(self.data, "written.star")
        writeSubtomograms(path, subtomograms, **dict(dict(tilts=(-60.0, 60.0)), **values))
        return path

    def test_ids_names_tilts_classes_and_transforms_are_written(self):
        path = self.write(self.labelled.outputSubtomograms, classes=True)
        self.assertEqual(
            tableOf(path, "rlnImageId", "rlnClassNumber", "cryodlTiltMin", "cryodlTiltMax")[:2].tolist(),
            [[10, 1, -48, 52], [12, 2, -48, 52]],
        )
        names = readColumns(path, ("rlnImageName", "rlnTomoName"), (str, str), "particles")
        self.assertTrue(all(os.path.exists(name) for name, _ in names))
        self.assertEqual([tomogram for _, tomogram in names], ["TS_00"] * 5 + ["TS_01"] * 5)
        wanted = [angles + tuple(PIXEL_SIZE * shift for shift in shifts) for angles, shifts in map(poseOf, range(10))]
        self.assertTrue(np.allclose(tableOf(path, *POSE), wanted, atol=1e-4))
        self.assertIn("rlnImageDimensionality", columnsOf(path, "optics"))

    def test_the_pose_written_is_that_of_tomos_own_convention_for_relion(self):
        # as the plugin of RELION's tomography reads a transform: tomo's matrix for RELION, inverted
        for item, written in zip(
            self.labelled.outputSubtomograms, tableOf(self.write(self.labelled.outputSubtomograms), *POSE)
        ):
            relion = item.getTransform(convention=TR_RELION).getMatrix()
            angles = anglesOf(relion)
            self.assertTrue(np.allclose(angles, written[:3], atol=1e-4), (angles, written))
            self.assertTrue(np.allclose(-relion[:3, 3] * PIXEL_SIZE, written[3:], atol=1e-4))

    def test_unaligned_subtomograms_have_no_angles_and_take_the_given_tilts(self):
        bare = makeSubtomograms(self, aligned=False, tilts=False, classes=0)
        self.assertFalse(isAligned(bare.outputSubtomograms))
        path = self.write(bare.outputSubtomograms, tilts=(-44.0, 40.0))
        self.assertNotIn("rlnAngleRot", columnsOf(path, "particles"))
        self.assertEqual(tableOf(path, "cryodlTiltMin", "cryodlTiltMax").tolist(), [[-44, 40]] * 10)

    def test_all_items_of_all_classes_are_written_with_their_class(self):
        classes = makeClasses(self, self.labelled).outputClasses
        self.assertEqual(classNames(classes, [1, 2]), ["large", "small"])
        self.assertEqual(classNames(classes, [2]), ["small"])
        self.assertEqual(classNames(classes, [1, 3]), [])
        table = tableOf(self.write(classes, classes=True), "rlnImageId", "rlnClassNumber")
        self.assertEqual(sorted(map(tuple, table.astype(int))), [(10 + 2 * i, 1 + i % 2) for i in range(10)])

    def test_classes_and_subtomograms_that_were_taken_out_in_a_table_are_not_written(self):
        classes = makeClasses(self, self.labelled).outputClasses
        classes.close()
        for table, number, expected in (("Class001_Objects", 10, {1: 4, 2: 5}), ("Objects", 1, {2: 5})):
            with contextlib.closing(sqlite3.connect(classes.getFileName())) as file, file:
                file.execute(f"UPDATE {table} SET enabled = 0 WHERE id = {number}")
            numbers = [int(number) for (number,) in tableOf(self.write(classes, classes=True), "rlnClassNumber")]
            self.assertEqual({number: numbers.count(number) for number in set(numbers)}, expected)
            classes.close()

    def test_the_tilts_of_the_tomograms_serve_where_the_subtomograms_know_none(self):
        tomograms, bare = makeTomograms(self, ("TS_00", "TS_01")), makeSubtomograms(self, tilts=False)
        run = self.makeProtocol(CryodlProtClassifySubtomograms, dict(inputSubtomograms=(bare, "outputSubtomograms")))
        self.assertIn("No tilt range is stored", " ".join(run.warnings()))
        empty = SetOfSubTomograms(filename=os.path.join(self.data, "empty.sqlite"))
        empty.setSamplingRate(10.0)
        empty.write()
        self.assertEqual(tiltWarnings(empty, []), [])
        coordinates = SetOfCoordinates3D(filename=os.path.join(self.data, "c.sqlite"))
        coordinates.setPrecedents(Pointer(tomograms, extended="outputTomograms"))
        bare.outputSubtomograms.setCoordinates3D(coordinates)
        path = self.write(bare.outputSubtomograms)
        self.assertEqual(tableOf(path, "cryodlTiltMin", "cryodlTiltMax").tolist(), [[-50, 54]] * 10)
        self.assertNotIn("tilt range", " ".join(run.warnings()))
        # Scipion joins sets with the coordinates of the first; the wedge of the others was the form's without a word
        coordinates.setPrecedents(Pointer(makeTomograms(self, ("TS_00",)), extended="outputTomograms"))
        self.assertIn("first set alone. For TS_01 its tilt range is used", " ".join(run.warnings()))

    def extracted(self, tomogram, tilts, ofSet=None):
        """A finished protocol with `outputSubtomograms` on coordinates in a tomogram, which knows its tilts, or whose
        subtomograms do as a set."""
        tomograms = makeTomograms(self, (tomogram,), tilts={tomogram: tilts})

        def make(protocol):
            coordinates = SetOfCoordinates3D.create(protocol._getPath(), template="coordinates%s.sqlite")
            coordinates.setPrecedents(Pointer(tomograms, extended="outputTomograms"))
            coordinates.setSamplingRate(PIXEL_SIZE)
            items = fillSubtomograms(
                SetOfSubTomograms.create(protocol._getPath()), protocol._getExtraPath(), 5, 0, False, tilts=ofSet
            )
            protocol._defineOutputs(outputCoordinates=coordinates)
            if not ofSet:
                items.setCoordinates3D(Pointer(protocol, extended="outputCoordinates"))
            with contextlib.closing(sqlite3.connect(items.getFileName())) as file, file:
                columns = dict(file.execute("SELECT label_property, column_name FROM Classes"))
                file.execute(f"UPDATE Objects SET {columns['_volName']}='{tomogram}'")
            return dict(outputSubtomograms=items)

        return finishedWith(self, make)

    def test_joined_subtomograms_keep_the_tilt_range_of_their_own_set(self):
        ranges = [(-40.0, 41.0), (-60.0, 62.0)]
        for names, ofSet in ((("TS_00", "TS_01"), False), (("TS_00", "TS_00"), False), (("TS_00", "TS_00"), True)):
            union = self.newProtocol(ProtUnionSet)
            for name, tilts in zip(names, ranges):
                run = self.extracted(name, tilts, tilts if ofSet else None)
                union.inputSets.append(Pointer(run, extended="outputSubtomograms"))
            second = run._getPath()
            self.launch(union)
            taken = self.newProtocol(ProtSubSet, chooseAtRandom=True, nElements=10)
            taken.inputFullSet.set(union)
            taken.inputFullSet.setExtended("outputSet")
            for source, output in ((union, "outputSet"), (self.launch(taken), "outputSubTomograms")):
                run = self.make(CryodlProtClassifySubtomograms, source, output, classes=2)
                self.assertNotIn("joined", " ".join(run.warnings()))
                path = self.request(self.finished(self.launch(run))).subtomograms
                columns = ("rlnImageName", "cryodlTiltMin", "cryodlTiltMax")
                told = {
                    (second in name, least, largest)
                    for name, least, largest in readColumns(path, columns, (str, float, float), "particles")
                }
                self.assertEqual(told, {(False, *ranges[0]), (True, *ranges[1])})


class TestCryodlSimulateSubtomograms(SubtomogramsTest):
    @classmethod
    def prepare(cls):
        cls.maps = [cls.makeMap("proteasome", 4.0), cls.makeMap("ribosome", 4.0)]
        cls.simulated = cls.killedOnce(cls.simulate)

    @classmethod
    def simulate(cls, **values):
        protocol = cls.makeProtocol(
            CryodlProtSimulateSubtomograms,
            None,
            useGpu=False,
            **dict(dict(subtomogramCount=5, box=BOX, tiltMin=-44.0), **values),
        )
        addTo(protocol.inputStructures, cls.maps, "outputVolume")
        return cls.launch(protocol)

    def test_classes_transforms_halves_and_tilts_are_the_true_ones(self):
        subtomograms = self.simulated.outputSubtomograms
        self.assertEqual(
            (subtomograms.getSize(), subtomograms.getDim(), subtomograms.getSamplingRate()), (10, (BOX,) * 3, 10.0)
        )
        self.assertTrue(subtomograms.hasAlignment3D())
        for row, item in enumerate([item.clone() for item in subtomograms]):
            self.assertTrue(os.path.exists(item.getFileName()))
            self.assertEqual(
                (item.getClassId(), item._rlnRandomSubset.get(), item.getVolName()),
                (1 + row % 2, 1 + row % 2, "tomo_0"),
            )
            self.assertEqual(item.getAcquisition().getAngleMin(), -44)
            matrix, pose = item.getTransform().getMatrix(), fake_ground_truth.poseOf(row)
            self.assertTrue(np.allclose(anglesOf(matrix), pose[:3]))
            self.assertTrue(np.allclose(originOf(matrix, 3), np.array(pose[3:]) / 10.0))
        self.assertEqual(classNames(subtomograms, [1, 2]), ["proteasome", "ribosome"])

    def test_summary_methods_and_mistakes(self):
        self.assertIn("simulate-subtomograms told this.", self.simulated.summary())
        self.assertEqual(self.simulated._methods(), ["simulate-subtomograms was used."])
        self.assertIn("Structures is empty", " ".join(self.makeProtocol(CryodlProtSimulateSubtomograms).validate()))

    def test_what_was_simulated_trains_a_classifier_with_its_names(self):
        trained = self.finished(self.launch(self.make(CryodlProtTrainClassifier, self.simulated)))
        self.assertEqual(trained.outputModel.getClasses(), ["proteasome", "ribosome"])
        path = self.request(trained).subtomograms
        written = tableOf(path, *POSE + ("rlnRandomSubset",))
        self.assertTrue(np.allclose(written[3], fake_ground_truth.poseOf(3) + (2,), atol=1e-4))


class TestCryodlTrainClassifier(SubtomogramsTest):
    def test_a_model_of_classes_continues_after_a_kill(self):
        classes = makeClasses(self, self.labelled)
        protocol = self.killedOnce(lambda: self.launch(self.make(CryodlProtTrainClassifier, classes, "outputClasses")))
        config, model = self.request(protocol), protocol.outputModel
        self.assertEqual((config.class_names, config.tilt_min), (("large", "small"), -60.0))
        self.assertEqual(
            (model.getKind(), model.getClasses(), model.getParticleDiameter()), ("classifier", ["large", "small"], 120)
        )
        self.assertIn("train-classifier told this.", protocol.summary())

    def test_names_of_the_form_win_and_published_networks_are_cited(self):
        protocol = self.finished(
            self.launch(self.make(CryodlProtTrainClassifier, classNames="one, the other", classifierNetwork=1))
        )
        self.assertEqual(self.request(protocol).class_names, ("one", "the other"))
        self.assertEqual(protocol._citations(), ["cryodl", "Che2018"])

    def test_what_cannot_be_learned_from_is_named(self):
        def errors(source, **values):
            return " ".join(self.make(CryodlProtTrainClassifier, source, **values).validate())

        self.assertEqual(errors(self.labelled), "")
        self.assertIn("have no classes; at least two", errors(makeSubtomograms(self, classes=0)))
        self.assertIn("only one class (1)", errors(makeSubtomograms(self, classes=1)))
        self.assertIn(
            "fewer than 4 subtomograms, too few for training and validation: 1 (3), 2 (3)",
            errors(makeSubtomograms(self, count=6)),
        )
        self.assertIn(
            "Names of the classes is only, 1 name; the classes are 1, 2.", errors(self.labelled, classNames="only")
        )
        self.assertIn("not above the minimum tilt", errors(self.labelled, tiltMin=50.0, tiltMax=40.0))
        gone = makeSubtomograms(self)
        for path in [item.getFileName() for item in gone.outputSubtomograms]:
            os.remove(path)
        self.assertIn("does not exist", errors(gone))


class TestCryodlClassifySubtomograms(SubtomogramsTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.model = makeClassifier(cls, ["large", "small"])
        cls.classified = cls.killedOnce(
            lambda: cls.launch(
                cls.make(
                    CryodlProtClassifySubtomograms,
                    pointers=dict(inputModel=(cls.model, "outputModel")),
                    groundTruth=True,
                )
            )
        )

    def test_every_known_item_is_in_its_class_with_what_was_found(self):
        classes, found = self.classified.outputClasses, {}
        for number in [item.getObjId() for item in classes.iterItems()]:
            group = classes[number]
            representative = group.getRepresentative()
            self.assertTrue(os.path.exists(representative.getFileName()))
            self.assertEqual(
                (group.getObjLabel(), representative.getDim()), (["large", "small"][number - 1], (BOX,) * 3)
            )
            for item in group.iterItems():
                row = (item.getObjId() - 10) // 2
                found[row] = number
                self.assertTrue(
                    np.allclose(anglesOf(item.getTransform().getMatrix()), fake_ground_truth.poseOf(row)[:3])
                )
                self.assertEqual(
                    (item._cryodlConfidence.get(), getattr(item, f"_cryodlProbability{number}").get()), (0.9, 0.8)
                )
        self.assertEqual(
            found, {row: fake_ground_truth.classOf(row, 2) for row in range(10) if fake_ground_truth.classOf(row, 2)}
        )

    def test_the_unknown_have_a_set_of_their_own(self):
        unknown = self.classified.outputUnknown
        self.assertEqual(
            [(item.getObjId(), item.getClassId(), item._cryodlConfidence.get()) for item in unknown],
            [(18, 0, 0.1), (28, 0, 0.1)],
        )
        self.assertEqual(unknown.getSamplingRate(), PIXEL_SIZE)

    def test_averages_summary_and_methods(self):
        averages = self.classified.outputAverages
        self.assertEqual([(item.getObjId(), item.getObjLabel()) for item in averages], [(1, "large"), (2, "small")])
        self.assertIn("classify-subtomograms told this.", self.classified.summary())
        self.assertTrue(self.request(self.classified).ground_truth)
        self.assertIn("rlnClassNumber", columnsOf(self.request(self.classified).subtomograms, "particles"))

    def test_without_truth(self):
        protocol = self.finished(
            self.launch(
                self.make(CryodlProtClassifySubtomograms, pointers=dict(inputModel=(self.model, "outputModel")))
            )
        )
        self.assertTrue(protocol.hasAttribute("outputAverages"))
        self.assertEqual(protocol.outputClasses.getSize(), 2)
        self.assertNotIn("rlnClassNumber", columnsOf(self.request(protocol).subtomograms, "particles"))

    def test_what_does_not_fit_is_named(self):
        pointers = dict(inputModel=(self.model, "outputModel"))
        bare = self.make(
            CryodlProtClassifySubtomograms, makeSubtomograms(self, classes=0), pointers=pointers, groundTruth=True
        )
        self.assertIn("no classes to compare with", " ".join(bare.validate()))
        picker = self.makeModel("a_picker", {})
        wrong = self.make(CryodlProtClassifySubtomograms, pointers=dict(inputModel=(picker, "outputModel")))
        self.assertIn("kind 'picker'; a classifier is needed", " ".join(wrong.validate()))
        coarse = makeClassifier(self, ["a", "b"], pixel_size=20.0)
        resampled = self.make(CryodlProtClassifySubtomograms, pointers=dict(inputModel=(coarse, "outputModel")))
        self.assertEqual(resampled.warnings(), [])


class TestCryodlClusterSubtomograms(SubtomogramsTest):
    def test_all_items_are_grouped_with_averages(self):
        protocol = self.killedOnce(lambda: self.launch(self.make(CryodlProtClusterSubtomograms, classes=2)))
        groups = {
            number: [item.getObjId() for item in protocol.outputClasses[number].iterItems()]
            for number in [item.getObjId() for item in protocol.outputClasses.iterItems()]
        }
        self.assertEqual(groups, {1: [10, 14, 18, 22, 26], 2: [12, 16, 20, 24, 28]})
        self.assertEqual(protocol.outputAverages.getSize(), 2)
        self.assertEqual(protocol._citations(), ["cryodl", "Xu2012"])

    def test_changed_settings_group_anew_over_the_averages_of_before(self):
        protocol = self.finished(self.launch(self.make(CryodlProtClusterSubtomograms, classes=3)))
        protocol.classes.set(2)
        self.finished(self.launch(protocol))
        self.assertEqual(protocol.outputAverages.getSize(), 2)

    def test_a_first_subtomogram_that_cannot_be_read_is_left_to_the_engine_which_names_it(self):
        """The form refused them all, or showed Python's error, also where the first one was unticked."""
        source = makeSubtomograms(self)
        paths = [item.getFileName() for item in source.outputSubtomograms]
        for change in (lambda path: os.truncate(path, 0), os.remove):
            change(paths[0])
            self.assertEqual(self.make(CryodlProtClusterSubtomograms, source, classes=2).validate(), [])
        for path in paths[1:]:
            os.truncate(path, 0)
        found = " ".join(self.make(CryodlProtClusterSubtomograms, source, classes=2).validate())
        self.assertIn(f"No subtomogram can be used: {paths[0]} does not exist", found)

    def test_of_classes_their_own_ticks_count_not_those_of_the_set_they_were_made_of(self):
        """The form showed Python's error once all of that set was unticked."""
        source = makeSubtomograms(self)
        classes, images = makeClasses(self, source).outputClasses, source.outputSubtomograms
        images.close()
        with contextlib.closing(sqlite3.connect(images.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0")
        self.assertEqual(checkSubtomograms(classes), [])
        self.assertEqual(
            checkSubtomograms(images), ["No subtomogram can be used: all are unticked. Extract them again, as MRC."]
        )
        for one in (classes, images):
            with contextlib.closing(sqlite3.connect(one.getFileName(), timeout=0)) as file, file:
                file.execute("UPDATE Objects SET enabled = 1")

    def test_too_many_classes_are_named(self):
        self.assertIn(
            "10 subtomograms for 6 classes", " ".join(self.make(CryodlProtClusterSubtomograms, classes=6).validate())
        )
