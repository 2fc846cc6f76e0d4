# SPDX-License-Identifier: GPL-3.0-or-later
"""Training detectors and detecting particles, from the form to the sets, with a fake engine."""

import contextlib
import os
import sqlite3
import unittest
from types import SimpleNamespace
from unittest import mock

import numpy as np
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import Coordinate3D, SetOfCoordinates3D

from ...convert.relion_star import anglesOf, readColumns
from ...convert.tomograms.tomograms import POSITION, writeCoordinates3D
from ...objects import CryodlModel
from ...protocols import CryodlProtDetectParticles, CryodlProtTrainDetector
from ...protocols.tomograms.protocol_detect_particles import NETWORK
from ...viewers.tomograms.slices_window import LABELS, SCORES, Layer, SlicesWindow, TomogramSlices
from ...viewers.tomograms.viewer_tomograms import CryodlCoordinates3DViewer
from ..fake_ground_truth import positionsOf
from ..fake_model import detectorCard, writeModel
from ..particle_sets import addTo, finishedWith
from ..streams import waitFor
from ..test_screens import missing
from ..tomogram_panels import ViewersTest
from ..tomogram_sets import makeTomograms


def makeCoordinates(test, tomograms, positions, tsId="TS_01"):
    """A finished protocol with `outputCoordinates`. positions: [(x, y, z)] px from the first voxel of a tomogram."""

    def make(protocol):
        coordinates = SetOfCoordinates3D.create(protocol._getPath())
        coordinates.setPrecedents(tomograms.outputTomograms)
        coordinates.setSamplingRate(tomograms.outputTomograms.getSamplingRate())
        coordinates.setBoxSize(12)
        for position in positions:
            item = Coordinate3D()
            item.setVolume([t.clone() for t in tomograms.outputTomograms if t.getTsId() == tsId][0])
            item.setPosition(*position, BOTTOM_LEFT_CORNER)
            item.setTomoId(tsId)
            coordinates.append(item)
        coordinates.write()
        return dict(outputCoordinates=coordinates)

    return finishedWith(test, make)


def makeDetector(test, species):
    """A finished protocol with `outputModel`."""
    return finishedWith(
        test,
        lambda protocol: dict(
            outputModel=CryodlModel.fromFolder(
                writeModel(protocol._getExtraPath("detector"), detectorCard(species, name="detector"))
            )
        ),
    )


class TestCryodlDetection(ViewersTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.positions = [(3.0, 4.5, 5.0), (12.0, 20.0, 7.0)]
        cls.coordinates = makeCoordinates(cls, cls.tomograms, cls.positions)
        cls.trained = cls.finished(cls.launch(cls.training()))
        cls.detector = makeDetector(cls, ["apo-ferritin", "ribosome"])
        cls.byNetwork = cls.finished(
            cls.launch(cls.detection(findBy=NETWORK, pointers=dict(inputModel=(cls.detector, "outputModel"))))
        )
        cls.volume = cls.makeMap("ribosome", 4.0)
        byTemplate = cls.detection(pointers=dict(inputStructure=(cls.volume, "outputVolume")))
        addTo(byTemplate.otherStructures, [cls.makeMap("proteasome", 4.0)], "outputVolume")
        cls.byTemplate = cls.finished(cls.launch(byTemplate))

    @classmethod
    def training(cls, sets=None, **values):
        protocol = cls.makeProtocol(
            CryodlProtTrainDetector,
            dict(inputTomograms=(cls.tomograms, "outputTomograms")),
            **dict(dict(useGpu=False, diameter="120"), **values),
        )
        addTo(protocol.inputCoordinates, [cls.coordinates] if sets is None else sets, "outputCoordinates")
        return protocol

    @classmethod
    def detection(cls, pointers=(), **values):
        return cls.makeProtocol(
            CryodlProtDetectParticles,
            dict(pointers, inputTomograms=(cls.tomograms, "outputTomograms")),
            useGpu=False,
            **values,
        )

    def test_training_gets_the_places_in_px_of_the_tomograms_by_their_names(self):
        model = self.trained.outputModel
        self.assertEqual((model.getKind(), model.getClasses()), ("detector", ["species_1"]))
        with open(os.path.join(model.getFolder(), "coordinates.log")) as file:
            rows = [line.split() for line in file]
        self.assertEqual([row[0] for row in rows], ["TS_01", "TS_01"])
        np.testing.assert_allclose([[float(v) for v in row[1:4]] for row in rows], self.positions, atol=1e-3)
        self.assertEqual(self.request(self.trained).diameter, ("120",))
        self.assertIn("Moebel2021", self.trained._citations())

    def test_species_whose_names_differ_in_signs_alone_have_an_output_each(self):
        protocol, made = self.newProtocol(CryodlProtDetectParticles), SimpleNamespace(files={}, species=["a-b", "a.b"])
        with mock.patch.object(CryodlProtDetectParticles, "_coordinates", lambda run, made, rows, species, _: species):
            found = protocol._makeOutputs(made)
        each = dict(coordinates_a_b=["a-b"], coordinates_a_b_2=["a.b"])
        self.assertEqual(found, dict(each, outputCoordinates=["a-b", "a.b"]))

    def test_a_set_of_coordinates_of_other_tomograms_is_refused(self):
        others = makeTomograms(self, names=("TS_08",))
        protocol = self.training()
        protocol.inputTomograms.set(others)
        protocol.inputTomograms.setExtended("outputTomograms")
        (problem,) = protocol._validate()
        self.assertIn("None of the coordinates (species_1) belongs to one of the tomograms (TS_08)", problem)

    def test_joined_coordinates_are_learned_from_in_all_of_their_tomograms(self):
        joined = makeCoordinates(self, self.tomograms, self.positions, "TS_02")
        joined.outputCoordinates.setPrecedents(makeTomograms(self, names=("TS_01",)).outputTomograms)
        rows = [*self._written(joined, self.tomograms)]
        self.assertEqual([row[0] for row in rows], ["TS_02", "TS_02"])
        np.testing.assert_allclose([row[1:] for row in rows], self.positions, atol=1e-3)
        finer = makeTomograms(self, pixelSize=5.0, data=dict.fromkeys(("TS_01", "TS_02"), np.zeros((20, 48, 40), "f4")))
        rows = [row[1:] for row in self._written(joined, finer)]
        np.testing.assert_allclose(rows, 2 * (np.array(self.positions) + 0.5) - 0.5, atol=1e-3)
        joined.outputCoordinates.close()
        with contextlib.closing(sqlite3.connect(joined.outputCoordinates.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 1")  # taken out in a table
        self.assertEqual(len(self._written(joined, self.tomograms)), 1)

    def test_coordinates_that_were_taken_out_in_a_table_are_not_learned_from(self):
        made = makeCoordinates(self, self.tomograms, self.positions, "TS_02")
        made.outputCoordinates.close()
        with contextlib.closing(sqlite3.connect(made.outputCoordinates.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 1")
        np.testing.assert_allclose(
            [row[1:] for row in self._written(made, self.tomograms)], self.positions[1:], atol=1e-3
        )

    def _written(self, run, tomograms):
        sets = [(run.outputCoordinates, "a")]
        path = run._getExtraPath("c.star")
        writeCoordinates3D(path, sets, tomograms.outputTomograms, {name: name for name in ("TS_01", "TS_02")})
        return readColumns(path, ("rlnTomoName", *POSITION), (str, float, float, float), "particles")

    def test_species_are_groups_and_sets_of_their_own(self):
        found = self.byNetwork.outputCoordinates
        self.assertEqual((found.getSize(), found.getBoxSize()), (12, 18))  # 1.5 x 120 Å at 10 Å/px
        self.assertEqual({item.getGroupId() for item in found.iterItems()}, {1, 2})
        ferritin = self.byNetwork.coordinates_apo_ferritin
        self.assertEqual((ferritin.getSize(), self.byNetwork.coordinates_ribosome.getSize()), (6, 6))
        self.assertEqual({i.getAttributeValue("_cryodlSpecies") for i in ferritin.iterItems()}, {"apo-ferritin"})

    def test_several_tilt_ranges_are_said_where_one_is_used(self):
        for least in (-47.0, -38.0):
            source = makeTomograms(self, ("TS_03", "TS_04"), tilts={"TS_04": (least, 54.0)})
            run = self.makeProtocol(CryodlProtDetectParticles, dict(inputTomograms=(source, "outputTomograms")))
            self.assertEqual("The tomograms have several tilt ranges" in " ".join(run.warnings()), least == -38)

    def test_detections_of_a_template_lie_and_are_turned_as_the_engine_says(self):
        found = self.byTemplate.outputCoordinates
        first = [item.clone() for item in found.iterItems()][0]
        tomogram = [t.clone() for t in self.tomograms.outputTomograms][0]
        first.setVolume(tomogram)
        x, y, z, *angles = positionsOf(0)[0]
        np.testing.assert_allclose(first.getPosition(BOTTOM_LEFT_CORNER), (x, y, z), atol=0.51)
        np.testing.assert_allclose(anglesOf(first.getMatrix()), angles, atol=1e-3)
        request = self.request(self.byTemplate)
        self.assertEqual((request.tilt_min, request.tilt_max, request.pixel_size), (-50.0, 54.0, 10.0))
        self.assertTrue(request.template.endswith("ribosome.mrc"))
        self.assertEqual([os.path.basename(one) for one in request.others], ["proteasome.mrc"])

    def test_summary_and_methods_are_the_engines(self):
        self.assertIn("detect-particles told this.", self.byTemplate._summary())
        self.assertEqual(self.byTemplate._methods(), ["detect-particles was used."])
        self.assertIn("Roseman2003", self.byTemplate._citations())

    def test_circles_have_a_colour_for_each_species(self):
        data = self.slices(self.byNetwork, "showDetections")
        self.assertIsInstance(data, TomogramSlices)
        self.assertEqual(data.speciesNames, ["apo-ferritin", "ribosome"])
        circles, species = data.near("TS_01", 0, 4)
        self.assertEqual((len(circles), set(species)), (len(species), {0, 1}))

    def test_detections_of_a_template_are_chosen_by_q(self):
        """The fake's have 0.01, 0.02471 and 0.05 in each tomogram."""
        data = self.slices(self.byTemplate, "showDetections")
        self.assertEqual((data.slider["from_"], data.slider["to"], data.threshold), (0.01, 0.05, 0.05))
        self.assertEqual(
            [data.counts(q).tolist() for q in (0.05, 0.0248, 0.0247, 0.01)], [[3] * 2, [2] * 2, [1] * 2, [1] * 2]
        )
        near, ((best,), species) = data.near("TS_01", 0, 4)[0], data.near("TS_01", 0, 4, 0.0247)
        np.testing.assert_allclose(best, near[0])
        self.assertEqual((len(near), species), (3, [0]))
        self.assertEqual(set(self.byTemplate.outputCoordinates.getUniqueValues("_cryodlQ")), {0.01, 0.02471, 0.05})
        self.assertTrue(self.slices(self.byNetwork, "showDetections").slider is None)

    def test_a_slider_of_scores_comes_before_one_of_q(self):
        detected = self.byTemplate.outputCoordinates
        scores = Layer("ribosome", SCORES, {}, ["ribosome"], 0.5)
        data = TomogramSlices.ofTomograms(self.tomograms.outputTomograms, [scores], detected)
        self.assertEqual((data.slider, data.counts(0.5)), (None, None))
        self.assertEqual(data.kept("TS_01", 0.0).tolist(), [True] * 3)
        none = SetOfCoordinates3D(filename=":memory:")
        none.setPrecedents(self.tomograms.outputTomograms)
        self.assertIsNone(TomogramSlices.ofCoordinates(none).slider)

    @unittest.skipIf(missing(), missing())
    def test_the_window_opens_with_the_first_overlay_and_has_a_threshold_for_scores_alone(self):
        layers = [Layer(name, kind, {}, [name], 0.5) for name, kind in (("labels", LABELS), ("body", SCORES))]
        data = TomogramSlices.ofTomograms(self.tomograms.outputTomograms, layers)
        window = SlicesWindow(None, data, "Scores")
        self.addCleanup(window.root.destroy)
        self.assertEqual((window._chosen.get(), window._layer), ("labels", "labels"))
        for name, there in (("labels", ""), ("body", "pack"), ("nothing", "")):
            window._chosen.set(name)
            window.choose()
            self.assertEqual(window._sliding.winfo_manager(), there, name)

    @unittest.skipIf(missing(), missing())
    def test_a_window_is_not_higher_than_the_screen_and_keeps_its_slider(self):
        window = SlicesWindow(None, self.slices(self.byTemplate, "showDetections"), "Detections")
        self.addCleanup(window.root.destroy)
        with mock.patch.object(type(window.root), "winfo_screenheight", return_value=600):
            window._fit()
        window.root.update()
        self.assertLess(window._sliding.winfo_rooty() - window.root.winfo_rooty(), 520)
        self.assertGreater(window._drawings[0].winfo_width(), 600)
        window.root.geometry("700x420")  # as a user makes it
        window.root.update()
        self.assertLess(window._sliding.winfo_rooty() - window.root.winfo_rooty(), 400)

    @unittest.skipIf(missing(), missing())
    def test_the_window_says_how_many_detections_a_q_keeps_and_makes_a_set_of_them(self):
        data, asked = self.slices(self.byTemplate, "showDetections"), []
        window = SlicesWindow(None, data, "Detections", None, None, lambda q: asked.append(q) or "made")
        self.addCleanup(window.root.destroy)
        self.assertIn("6 of 6 kept in all tomograms", window.message.get())
        window._list.selection_clear(0)
        window._list.selection_set(1)
        window._typed.set("0.02")
        self.assertTrue(window.settle())
        self.assertIn("of 1 point in this slice; 2 of 6 kept in all tomograms", window.message.get())
        self.assertEqual(list(window._list.get(0, "end")), ["    1   TS_01", "    1   TS_02"])
        self.assertEqual((window.index(), window._list.index("active")), (1, 1))
        window._typed.set("0.001")
        window.createSubset()
        self.assertEqual((asked, "must be a number from 0.01 to 0.05" in window.message.get()), ([], True))
        window.createSubset()
        self.assertEqual((asked, window.message.get()), ([0.02], "made"))

    def test_the_set_of_detections_up_to_a_q_lies_in_the_same_tomograms(self):
        *_, subset = self.panel(self.byTemplate, "showDetections")._arguments
        self.assertIn("The set of 4 detections is made by the run", subset(0.03))
        made = self.proj.getRuns()[-1]
        waitFor(self, made, lambda: not made.isActive())
        ((_, kept),) = made.iterOutputAttributes(SetOfCoordinates3D)
        whole = self.byTemplate.outputCoordinates
        self.assertEqual((kept.getSize(), kept.getBoxSize()), (4, whole.getBoxSize()))
        data, before = TomogramSlices.ofCoordinates(kept), TomogramSlices.ofCoordinates(whole)
        self.assertEqual((data.names, data.slider["to"]), (before.names, 0.0248))
        np.testing.assert_allclose(data.points["TS_02"], before.points["TS_02"][:2])
        self.assertTrue(CryodlCoordinates3DViewer.can_handle_this_instance(kept))

    def test_a_template_or_a_detector_must_be_chosen(self):
        self.assertIn("Template is missing.", self.detection()._validate())
        self.assertIn("Detector is missing.", self.detection(findBy=NETWORK)._validate())
