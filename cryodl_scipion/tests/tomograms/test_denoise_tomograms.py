# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoised tomograms, from the form to the set and its viewer, with a fake engine."""

import os

import mrcfile
import numpy as np
from matplotlib.figure import Figure

from ...convert.tomograms.tomograms import DENOISER, halfTomogramsOf
from ...objects import CryodlModel
from ...protocols import CryodlProtDenoiseTomograms
from ...viewers.plots import Preview
from ...viewers.tomograms.viewer_denoise_tomograms import drawControls, drawDenoisedSlices
from ..fake_model import TOMOGRAM_CONTROLS, writeModel
from ..particle_sets import finishedWith
from ..tomogram_panels import ViewersTest
from ..tomogram_sets import PIXEL_SIZE, SHAPE, makeTomograms, setOfTomograms, tomogramAt, writeVolume


def withHalves(names, without=()):
    """A function that makes `outputTomograms` whose even halves are 1 everywhere, and the odd ones 3."""

    def make(protocol):
        tomograms = setOfTomograms(protocol, [])
        for name in names:
            item = tomogramAt(protocol._getExtraPath(name + ".mrc"), name, origin=(-30.0, -40.0, 12.5))
            if name not in without:
                paths = [protocol._getExtraPath(f"{name}_{half}.mrc") for half in ("EVN", "ODD")]
                for path, value in zip(paths, (1, 3)):
                    writeVolume(path, np.full(SHAPE, value, np.float32))
                item.setHalfMaps(paths)
            tomograms.append(item)
        tomograms.write()
        return dict(outputTomograms=tomograms)

    return make


class TestCryodlDenoiseTomograms(ViewersTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.halved = finishedWith(cls, withHalves(["TS_01", "TS_02"]))

    def make(self, tomograms=None, model=None, **values):
        pointers = dict(inputTomograms=(tomograms or self.halved, "outputTomograms"))
        if model is not None:
            pointers["inputModel"] = (model, "outputModel")
        return self.makeProtocol(CryodlProtDenoiseTomograms, pointers, **dict(dict(useGpu=False), **values))

    def run_(self, **values):
        protocol = self.make(**values)
        self.assertEqual(protocol.validate(), [])
        return self.finished(self.launch(protocol))

    def test_denoised_tomograms_take_the_place_of_the_others_and_a_model_comes_out(self):
        protocol = self.run_()
        source, output = self.halved.outputTomograms, protocol.outputTomograms
        self.assertEqual(output.getSamplingRate(), PIXEL_SIZE)
        originals = {item.getTsId(): item.clone() for item in source}
        made = [item.clone() for item in output]
        self.assertEqual([item.getTsId() for item in made], ["TS_01", "TS_02"])
        for item in made:
            other = originals[item.getTsId()]
            self.assertNotEqual(item.getFileName(), other.getFileName())
            self.assertEqual((item.getObjId(), item.getDim()), (other.getObjId(), other.getDim()))
            self.assertEqual(item.getShiftsFromOrigin(), other.getShiftsFromOrigin())
            self.assertEqual(item.getAcquisition().getAngleMax(), 54.0)
            self.assertEqual(halfTomogramsOf(item), [])  # the raw halves are not those of a denoised tomogram
            self.assertEqual(getattr(item, DENOISER).get(), "model")
            self.assertEqual(np.unique(mrcfile.read(item.getFileName())).tolist(), [2.0])
        self.assertEqual(protocol.outputModel.getKind(), "tomogram_denoiser")
        self.assertIn("denoise-tomograms told this.", protocol.summary())
        self.assertEqual(set(protocol._citations()), {"cryodl", "Lehtinen2018", "Buchholz2019", "Cicek2016"})

    def test_denoised_halves_go_with_their_tomogram(self):
        protocol = self.run_(halves=True)
        halves = halfTomogramsOf(protocol.outputTomograms.getFirstItem())
        self.assertEqual([float(mrcfile.read(path).mean()) for path in halves], [1.0, 3.0])

    def test_the_tilts_of_the_wedge_are_the_acquisitions(self):
        protocol = self.run_(fillWedge=True)
        config = protocol._config(**protocol._engineValues())
        self.assertEqual((config.tilt_min, config.tilt_max, config.fill_wedge), (-50.0, 54.0, True))
        self.assertLessEqual({"Liu2022IsoNet", "Wiedemann2024"}, set(protocol._citations()))

    def test_several_tilt_ranges_are_said_where_the_wedge_is_filled(self):
        source = makeTomograms(self, ("TS_03", "TS_04"), tilts={"TS_04": (-38.0, 54.0)})
        for fill in (True, False):
            said = " ".join(self.make(tomograms=source, fillWedge=fill).warnings())
            self.assertEqual("The tomograms have several tilt ranges" in said, fill)

    def test_tomograms_without_halves_need_a_model(self):
        errors = self.make(tomograms=self.tomograms).validate()
        self.assertIn("have no halves to train on", errors[0])
        model = self.run_()
        again = self.run_(tomograms=self.tomograms, model=model)
        self.assertFalse(again.hasAttribute("outputModel"))
        self.assertEqual(again.outputTomograms.getSize(), 2)

    def test_a_model_of_another_kind_is_refused_and_its_citations_can_be_asked_for(self):
        model = finishedWith(
            self, lambda protocol: dict(outputModel=CryodlModel.fromFolder(writeModel(protocol._getExtraPath("m"), {})))
        )
        protocol = self.make(model=model)
        self.assertIn("picker", protocol.validate()[0])
        self.assertEqual(protocol._citations(), ["cryodl", "Lehtinen2018", "Buchholz2019"])

    def test_a_set_of_which_some_have_no_halves_and_a_lost_half_are_said(self):
        mixed = finishedWith(self, withHalves(["TS_01", "TS_02", "TS_03"], without=["TS_02"]))
        self.assertIn("Some tomograms have no halves: TS_02", self.make(tomograms=mixed).validate()[0])
        lost = finishedWith(self, withHalves(["TS_01"]))
        path = halfTomogramsOf(lost.outputTomograms.getFirstItem())[1]
        os.remove(path)
        self.assertIn(f"half tomogram {path} does not exist", self.make(tomograms=lost).validate()[0])

    def test_the_viewer_has_slices_before_and_after_with_the_same_names(self):
        protocol = self.run_()
        before, after = self.panel(protocol, "showSlices")._arguments[1:3]
        self.assertEqual((before.names, after.names), (["TS_01", "TS_02"],) * 2)
        self.assertNotEqual(before.files["TS_01"], after.files["TS_01"])

    def test_both_slices_and_the_controls_are_drawn(self):
        figure = Figure()
        preview = Preview(np.random.RandomState(0).uniform(size=(24, 20)), 1, 20, 24)
        axes = drawDenoisedSlices(figure, preview, preview)
        self.assertEqual([a.get_title() for a in axes], ["Original", "Denoised"])
        (below,) = [Figure().add_subplot()]
        drawControls(below, "TS_01", TOMOGRAM_CONTROLS)
        np.testing.assert_allclose(below.lines[0].get_ydata(), TOMOGRAM_CONTROLS["fsc_halves"])
        self.assertEqual(len(below.lines), 3)
