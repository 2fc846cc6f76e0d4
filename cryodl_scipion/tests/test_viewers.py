# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers and wizards without a display: what they read, count, draw, and which of them a click opens."""

import os
import shutil
from unittest import mock

import matplotlib
import pyworkflow as pw
from matplotlib.figure import Figure
from pwem import Domain
from pwem.viewers.viewer_coordinates import CoordinateViewer
from pyworkflow.object import String
from pyworkflow.viewer import DESKTOP_TKINTER

from .. import objects
from ..convert.micrographs.picks import CANDIDATES, DIAMETER, candidatesFolder, setDiameter
from ..engine.cryodl import contract
from ..protocols import (
    CryodlProtImportModel,
    CryodlProtPick,
    CryodlProtThresholdPicks,
    CryodlProtTrainPicker,
    model_field,
)
from ..viewers import model_window, plots, window
from ..viewers.micrographs.viewer_picks import CryodlPicksViewer, CryodlPickViewer, PicksData
from ..viewers.model_window import CryodlModelViewer, CryodlTrainViewer
from ..wizards import single_particles
from . import synthetic
from .base import CryodlTest
from .fake_model import writeModel

matplotlib.use("Agg")

MANUAL = [(20, 30), (60, 70), (100, 40), (150, 80), (200, 120)]


class TestCryodlViewers(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 2)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.model = cls.runProtocol(CryodlProtImportModel, modelFolder=writeModel(cls.data + "/model", {}))
        inputs = dict(inputMicrographs=(cls.imported, "outputMicrographs"), inputModel=(cls.model, "outputModel"))
        cls.picked = cls.runProtocol(CryodlProtPick, inputs, useGpu=False)
        cls.empty = cls.runProtocol(CryodlProtPick, inputs, useGpu=False, threshold=1.0, boxSize=30)
        cls.manual = cls.makeCoordinates(cls.imported, {2: MANUAL})
        cls.trained = cls.runProtocol(
            CryodlProtTrainPicker,
            dict(inputCoordinates=(cls.manual, "outputCoordinates")),
            useGpu=False,
            particleDiameter=90,
        )

    def found(self, target):
        return Domain.findViewers(target, DESKTOP_TKINTER)

    # ----- picks
    def test_the_slider_reaches_below_the_threshold_of_the_run(self):
        data = PicksData.ofSet(self.picked.outputCoordinates)
        self.assertEqual((data.threshold, data.hasScores), (0.5, True))
        self.assertEqual([data.counts(t).tolist() for t in (0.75, 0.5, 0)], [[2, 2], [4, 4], [6, 6]])
        self.assertEqual(data.picks(1, 0.85).tolist(), [[40, 50, 0.9]])
        self.assertEqual(os.path.basename(data.paths[1]), "mic_002.mrc")

    def test_micrographs_that_are_not_picked_yet_do_not_count_as_empty(self):
        coordinates, folder = self.picked.outputCoordinates, os.path.join(self.data, "under_way")
        picks = os.path.dirname(candidatesFolder(coordinates))
        shutil.copytree(picks, folder)
        os.remove(os.path.join(folder, "mic_002.star"))
        os.remove(os.path.join(folder, "candidates", "mic_002.star"))
        self.addCleanup(setattr, coordinates, CANDIDATES, getattr(coordinates, CANDIDATES))
        setattr(coordinates, CANDIDATES, String(os.path.join(folder, "candidates")))
        data = PicksData.ofSet(coordinates)
        self.assertEqual(data.counts(0.5).tolist(), [4, 4])  # the set has its picks: a file was lost
        with mock.patch("cryodl_scipion.convert.micrographs.picks.picksByMicrograph", return_value={}):
            data = PicksData.ofSet(coordinates)
        self.assertEqual((data.counts(0.5).tolist(), data.notPicked), ([4], 1))
        self.assertIn("4 on all 1; 1 micrograph not picked", data.text(0, 0.5))
        self.assertEqual(PicksData.ofSet(self.empty.outputCoordinates).notPicked, 0)

    def test_areas_that_were_avoided_are_shown(self):
        coordinates = self.picked.outputCoordinates
        self.assertIsNone(PicksData.ofSet(coordinates).areas(0))
        folder = os.path.join(os.path.dirname(candidatesFolder(coordinates)), "avoided")
        os.makedirs(folder)
        self.addCleanup(shutil.rmtree, folder)
        name = min(n for n in os.listdir(candidatesFolder(coordinates)) if n.endswith(".star"))
        with open(os.path.join(folder, name.replace(".star", ".json")), "w") as file:
            file.write('{"areas": ["0012", "0000"]}')
        data = PicksData.ofSet(coordinates)
        self.assertEqual(data.areas(0).tolist(), [[0, 0, 1, 2], [0, 0, 0, 0]])
        self.assertIsNone(data.areas(1))

    def test_circles_are_as_wide_as_the_particle_whatever_the_box(self):
        self.assertEqual(PicksData.ofSet(self.empty.outputCoordinates).diameter, 120 / synthetic.PIXEL_SIZE)
        self.assertAlmostEqual(PicksData.ofSet(self.manual.outputCoordinates).diameter, 40 / 1.5)
        self.assertEqual(self.empty.outputCoordinates.getBoxSize(), 30)

    def test_coordinates_of_others_are_all_shown(self):
        data = PicksData.ofSet(self.manual.outputCoordinates)
        self.assertFalse(data.hasScores)
        self.assertEqual((data.counts(0).tolist(), data.counts(1).tolist(), data.first), ([0, 5], [0, 5], 1))

    def test_an_empty_set_shows_its_micrographs_and_candidates(self):
        data = PicksData.ofSet(self.empty.outputCoordinates)
        self.assertEqual((len(data.names), data.threshold), (2, 0.9))
        self.assertEqual(data.counts(0.3).tolist(), [5, 5])

    def test_the_protocol_viewer_gives_its_plots(self):
        viewer = CryodlPickViewer(project=self.proj, protocol=self.picked)
        viewer.setProtocol(self.picked)
        for name, wanted in (("showScores", "Scores of 12 candidates"), ("showCounts", "8 picks")):
            (plotter,) = viewer._getVisualizeDict()[name](name)
            self.assertEqual(plotter.getFigure().axes[0].get_title(), wanted)
            plotter.getFigure().savefig(os.path.join(self.data, name + ".png"))
            self.assertGreater(os.path.getsize(os.path.join(self.data, name + ".png")), 5000)

    def test_a_run_without_output_has_a_message(self):
        new = self.newProtocol(CryodlProtPick)
        viewer = CryodlPickViewer(project=self.proj, protocol=new)
        viewer.setProtocol(new)
        for name, show in viewer._getVisualizeDict().items():
            self.assertIn("no coordinates yet", show(name)[0].getMessage())

    # ----- the viewer that a click opens
    def test_our_picks_and_empty_sets_are_opened_by_our_viewer_first(self):
        for protocol in (self.picked, self.empty):
            self.assertIs(self.found(protocol.outputCoordinates)[0], CryodlPicksViewer)

    def test_coordinates_of_others_keep_their_viewer(self):
        self.assertNotIn(CryodlPicksViewer, self.found(self.manual.outputCoordinates))

    def test_a_window_whose_file_is_gone_says_so_and_leaves_nothing_half_built(self):
        parent, begun = mock.Mock(), mock.Mock()
        parent.winfo_children.side_effect = [[], [begun]]
        opened = mock.Mock(side_effect=FileNotFoundError("The map half1.mrc does not exist."))
        with mock.patch.object(window, "MessageView") as said:
            window.WindowView(opened, parent).show()
        self.assertEqual(said.call_args[0][0], "The map half1.mrc does not exist.")
        begun.destroy.assert_called_once_with()
        with mock.patch.object(window, "MessageView") as said:
            window.WindowView(opened, None).show()  # of a script, which has no window
        self.assertEqual(said.call_args[0][3], None)

    def test_protocols_and_models_have_their_viewers(self):
        self.assertEqual(self.found(self.picked), [CryodlPickViewer])
        self.assertEqual(self.found(self.trained), [CryodlTrainViewer])
        self.assertEqual(self.found(self.trained.outputModel), [CryodlModelViewer])

    def test_every_run_with_an_output_has_a_viewer(self):
        protocols = [c() for name, c in Domain.getProtocols().items() if name.startswith("CryodlProt")]
        self.assertEqual([p.getClassName() for p in protocols if not self.found(p)], [])

    def launcherPrefers(self, viewers, xmipp=False):
        """Viewers of a set of ours when Config.VIEWERS is as `python -m scipion` sets it."""
        before = dict(pw.Config.VIEWERS)
        spec = mock.Mock() if xmipp else None
        try:
            pw.Config.VIEWERS.clear()
            pw.Config.VIEWERS.update(viewers)
            Domain._preferred_viewers = None
            with mock.patch.object(objects.importlib.util, "find_spec", return_value=spec):
                objects.preferWorkingViewers()
            return [self.found(p.outputCoordinates)[0] for p in (self.picked, self.empty, self.manual)]
        finally:
            pw.Config.VIEWERS.clear()
            pw.Config.VIEWERS.update(before)
            Domain._preferred_viewers = None

    def test_under_the_launcher_no_set_is_opened_by_the_java_viewer_that_is_absent(self):
        self.assertEqual(
            self.launcherPrefers({"SetOfCoordinates": ["pwem.viewers.DataViewer"]}),
            [CryodlPicksViewer, CryodlPicksViewer, CoordinateViewer],
        )

    def test_sites_with_xmipp_or_a_choice_of_their_own_keep_it(self):
        from pwem.viewers import DataViewer
        from pwem.viewers.mdviewer import MDViewer

        self.assertEqual(
            self.launcherPrefers({"SetOfCoordinates": ["pwem.viewers.DataViewer"]}, xmipp=True), [DataViewer] * 3
        )
        self.assertEqual(self.launcherPrefers({"SetOfCoordinates": ["pwem.viewers.mdviewer.MDViewer"]}), [MDViewer] * 3)

    # ----- models
    def test_curves_follow_an_unfinished_training(self):
        folder = os.path.join(self.data, "live")
        os.makedirs(folder + ".partial")
        self.assertEqual(plots.readMetrics(model_window.metricsPath(folder)), {})
        with open(model_window.metricsPath(folder), "w") as file:
            file.write("step,train_loss,validation_loss,validation_f1,validation_average_precision\n")
        self.assertEqual(plots.readMetrics(model_window.metricsPath(folder)), {})
        with open(model_window.metricsPath(folder), "a") as file:
            file.write("10,1.0,,0.1,0.2\n20,0.5,0.7,0.3,0.4\n30,0.")
        metrics = plots.readMetrics(model_window.metricsPath(folder))
        self.assertEqual(metrics["step"].tolist(), [10, 20])
        figure = Figure()
        plots.drawCurves(figure, metrics)
        curves = [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines]
        self.assertEqual(curves, [[1.0, 0.5], [0.7], [0.1, 0.3], [0.2, 0.4]])
        self.assertIn("not finished", model_window.cardLines(folder)[0])

    def test_before_the_first_figures_the_curves_are_empty(self):
        figure = Figure()
        plots.drawCurves(figure, {})
        self.assertEqual(figure.axes[0].texts[0].get_text(), "No metrics yet")

    def test_the_card_is_told_in_words(self):
        lines = "\n".join(model_window.cardLines(self.trained.outputModel.getFolder()))
        for words in ("90 Å", "3 Å/px", "all steps were done", "Average precision  0.950", "mic_002"):
            self.assertIn(words, lines)
        self.assertEqual(
            len(plots.readMetrics(model_window.metricsPath(self.trained.outputModel.getFolder()))["step"]), 5
        )
        card = contract.read_card(self.trained.outputModel.getFolder())
        for labels, told in {"own picks": False, "boxes": False, "sparse": False, "complete": True}.items():
            with mock.patch.object(contract, "read_card", return_value=dict(card, labels=labels)):
                lines = model_window.cardLines(self.trained.outputModel.getFolder())
            self.assertEqual(any(line.startswith("Average precision") for line in lines), told, labels)

    # ----- wizards
    def test_the_diameter_is_measured_on_the_chosen_micrographs(self):
        pick = self.makeProtocol(
            CryodlProtPick,
            dict(inputMicrographs=(self.imported, "outputMicrographs"), inputModel=(self.model, "outputModel")),
        )
        micrographs = single_particles.micrographsToMeasure(pick)
        self.assertEqual(
            (len(micrographs.names), micrographs.pixelSize, micrographs.largest, micrographs.first), (2, 3.0, 768, 0)
        )
        self.assertEqual(single_particles.firstDiameter(pick, micrographs), 120)
        pick.particleDiameter.set(5000)
        self.assertEqual(single_particles.firstDiameter(pick, micrographs), 768)

    def test_the_diameter_is_measured_on_picked_particles(self):
        train = self.makeProtocol(CryodlProtTrainPicker, dict(inputCoordinates=(self.manual, "outputCoordinates")))
        micrographs = single_particles.micrographsToMeasure(train)
        self.assertEqual((micrographs.first, micrographs.positions(1)), (1, MANUAL))
        self.assertEqual(single_particles.firstDiameter(train, micrographs), 150)
        setDiameter(self.manual.outputCoordinates, 339.4)
        self.addCleanup(delattr, self.manual.outputCoordinates, DIAMETER)
        measured = single_particles.micrographsToMeasure(train)
        self.assertEqual(single_particles.firstDiameter(train, measured), 339.4)  # what the picks are known to have
        train.particleDiameter.set(80)
        self.assertEqual(single_particles.firstDiameter(train, measured), 80)

    def test_wizards_say_what_has_to_be_chosen_first(self):
        for protocolClass, wizard in (
            (CryodlProtPick, single_particles.CryodlDiameterWizard),
            (CryodlProtTrainPicker, single_particles.CryodlDiameterWizard),
            (CryodlProtThresholdPicks, single_particles.CryodlThresholdWizard),
        ):
            form = mock.Mock(protocol=self.newProtocol(protocolClass))
            wizard().show(form)
            self.assertIn("first", form.showError.call_args[0][0])

    def test_wizards_say_why_an_input_cannot_be_shown(self):
        pointers = dict(inputMicrographs=(self.imported, "outputMicrographs"))
        form = mock.Mock(protocol=self.makeProtocol(CryodlProtPick, pointers, modelFrom=model_field.SHIPPED))
        with mock.patch.object(self.imported.outputMicrographs, "getSamplingRate", return_value=None):
            single_particles.CryodlDiameterWizard().show(form)
        self.assertIn("no pixel size", form.showError.call_args[0][0])

    def test_shipped_models_are_listed_with_what_they_are_for(self):
        for name, text in model_field.shippedModelLines():
            self.assertIn("every kind and size" if name == "general" else "Å", text, name)
        kinds = "picker", "micrograph_denoiser", "segmenter", "map_improver"
        for line in [f"{n}: {text}" for kind in kinds for n, text in model_field.shippedModelLines(kind)]:
            self.assertLess(len(line), 53, f"{line} is cut in Scipion's list")
        with mock.patch.object(model_field, "shippedModels", return_value={"one": self.data + "/model"}):
            self.assertEqual(model_field.shippedModelLines(), [("one", "unet, trained on particles of 120 Å")])
        with mock.patch.object(model_field, "shippedModels", return_value={}):
            form = mock.MagicMock()
            single_particles.CryodlShippedModelWizard().show(form)
            self.assertIn("no shipped models", form.showError.call_args[0][0])
