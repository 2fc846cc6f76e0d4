# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewers and wizards of denoising show, with a fake engine and without windows."""

import os
from unittest import mock

import numpy as np
import pyworkflow as pw
from matplotlib.figure import Figure
from pwem import Domain
from pwem.objects import Volume, VolumeMask
from pyworkflow.viewer import DESKTOP_TKINTER

from ... import objects
from ...convert.particles.denoised import rawImageOf
from ...protocols import (
    CryodlProtAssignOrientations,
    CryodlProtBackProject,
    CryodlProtClassify2D,
    CryodlProtDenoise,
    CryodlProtEvaluateDenoiser,
    CryodlProtFitHeterogeneity,
    CryodlProtIdentify,
    CryodlProtIntegrity,
    CryodlProtSimulate,
    CryodlProtSimulateParticles,
    CryodlProtTrainDenoiser,
)
from ...viewers import panels_viewer
from ...viewers.gallery_window import GROUND_TRUTH, RAW, Gallery, GalleryWindow, shortNumber
from ...viewers.maps import viewer_map
from ...viewers.maps.viewer_map import CryodlBackProjectViewer, CryodlVolumeViewer
from ...viewers.micrographs import diameter_window
from ...viewers.model_window import CryodlTrainViewer
from ...viewers.particles.viewer_denoise import CryodlEvaluateViewer, CryodlGalleryViewer, CryodlParticlesViewer
from ...viewers.particles.viewer_orient import (
    CryodlIdentifyViewer,
    CryodlIntegrityViewer,
    CryodlOrientationsViewer,
    rankingRows,
)
from ...viewers.viewer_simulate import CryodlSimulateViewer
from ...wizards import single_particles
from ..particle_sets import BOX, COUNT, PIXEL_SIZE, ParticlesTest, addTo
from ..test_forms import ourProtocols
from ..viewer_panels import PanelsTest

# What looks at the runs that have a list of panels.
PANELS = {
    CryodlProtAssignOrientations: CryodlOrientationsViewer,
    CryodlProtBackProject: CryodlBackProjectViewer,
    CryodlProtEvaluateDenoiser: CryodlEvaluateViewer,
    CryodlProtIdentify: CryodlIdentifyViewer,
    CryodlProtIntegrity: CryodlIntegrityViewer,
}


class TestCryodlDenoisingViewers(PanelsTest, ParticlesTest):
    _PANELS = PANELS

    @classmethod
    def prepare(cls):
        super().prepare()
        raw, structure = (cls.raw, "outputParticles"), dict(inputStructure=(cls.volume, "outputVolume"))
        model = dict(inputModel=(cls.model, "outputModel"))
        run = lambda *inputs, **values: cls.finished(cls.runProtocol(*inputs, useGpu=False, **values))
        cls.guessed = run(CryodlProtDenoise, dict(inputParticles=raw, **model))
        cls.oriented = run(CryodlProtAssignOrientations, dict(structure, inputParticles=raw))
        cls.map = run(CryodlProtBackProject, dict(inputParticles=(cls.oriented, "outputParticles")))
        cls.fakeMap = run(CryodlProtBackProject, dict(inputParticles=(cls.denoised, "outputParticles")))
        cls.evaluated = run(CryodlProtEvaluateDenoiser, dict(structure, inputParticles=raw, **model))
        cls.simulated = run(CryodlProtSimulateParticles, structure, box=BOX, count=COUNT, pixelSize=PIXEL_SIZE)
        cls.identified = run(CryodlProtIdentify, dict(inputParticles=raw), structureFolder=cls.data)
        oriented = dict(inputParticles=(cls.oriented, "outputParticles"))  # which have scores of their own
        cls.integrity = cls.makeProtocol(CryodlProtIntegrity, oriented, useGpu=False, compositionNames="whole, part")
        addTo(cls.integrity.inputStructures, [cls.volume, cls.other], "outputVolume")
        cls.proj.launchProtocol(cls.integrity, wait=True)
        cls.finished(cls.integrity)

    # ----- galleries
    def test_a_gallery_makes_a_set_of_the_best_that_its_slider_keeps(self):
        gallery, asked = Gallery.ofSet(self.oriented.outputParticles), []
        figure = next(iter(gallery.metrics))
        window = GalleryWindow(None, gallery, "Gallery", figure, lambda ids: asked.append(ids) or "made")
        window._first.set(3)
        window.refresh()
        values = sorted(gallery.metrics[figure], reverse=True)
        self.assertEqual(
            window.message.get(), f"3 of {COUNT} particles, {figure.lower()} at least {shortNumber(values[2])}"
        )
        window.createSubset()
        window.root.destroy()
        best = [gallery.metrics[figure][list(gallery.ids).index(number)] for number in asked[0]]
        self.assertEqual(best, values[:3])

    def test_denoised_images_stand_beside_the_raw_ones_that_they_were_made_of(self):
        gallery = Gallery.ofSet(self.guessed.outputParticles)
        raw = [item.clone() for item in self.raw.outputParticles]
        self.assertEqual(gallery.names[RAW], [f"{item.getIndex():06d}@{item.getFileName()}" for item in raw])
        self.assertEqual(gallery.ids.tolist(), [item.getObjId() for item in raw])
        self.assertEqual(gallery.names[RAW], [rawImageOf(item) for item in self.guessed.outputParticles])
        seen, guess = gallery.images(5)
        self.assertEqual((seen.shape, guess.min(), guess.max()), ((BOX, BOX), 5, 5))  # the fake writes the row's number
        self.assertEqual(list(gallery.metrics), ["Explained by the structure", "Strength of the denoised image"])

    def test_oriented_particles_are_sorted_by_score(self):
        gallery = Gallery.ofSet(self.oriented.outputParticles)
        self.assertEqual(list(gallery.names), [RAW])
        self.assertIn("Margin to the runner-up", gallery.metrics)
        self.assertEqual(gallery.order("Score").tolist(), list(range(COUNT))[::-1])

    def test_particles_of_a_composition_can_be_seen_alone(self):
        gallery = Gallery.ofSet(self.integrity.outputParticles, groupNames=["whole", "part"])
        self.assertEqual(list(gallery.metrics)[:3], ["Probability of whole", "Probability of part", "Score"])
        self.assertEqual(
            [gallery.order("Probability of part", group).tolist() for group in (1, 2)],
            [list(range(0, COUNT, 2)), list(range(1, COUNT, 2))],
        )

    def test_simulated_particles_have_their_truth_beside(self):
        gallery = Gallery.ofSet(self.simulated.outputParticles, ground_truth=self.simulated.outputClean)
        self.assertEqual(list(gallery.names), [RAW, GROUND_TRUTH])
        noisy, clean = gallery.images(3)
        np.testing.assert_allclose(np.abs(noisy), clean)

    # ----- panels
    def test_directions_and_scores_are_drawn(self):
        sphere = self.axes(self.oriented, "showDirections")[0]
        self.assertIn(f"{COUNT} particles", sphere.get_title())
        self.assertEqual(
            [sum(p.get_height() for p in axes.patches) for axes in self.axes(self.oriented, "showScores")], [COUNT] * 3
        )

    def test_the_resolution_of_each_direction_stands_at_both_ends_of_its_axis(self):
        sphere = self.axes(self.map, "showByDirection")[0]
        shown = sphere.collections[0]
        self.assertEqual(np.ma.filled(shown.get_array(), 0).tolist()[:2], [31, 8.5])
        first, third = shown.get_offsets()[0], shown.get_offsets()[3]
        np.testing.assert_allclose(np.rad2deg([first, third]), [[0, 70], [-180, -70]], atol=1e-6)
        title = "8.5 to 31 Å; unknown about 1 of 3 axes; missing cone: 44°"
        self.assertEqual(sphere.get_title(), title)
        made, figure = mock.Mock(by_direction=[[0, 0, 16.12], [9, 9, 16.09]], missing_cone=0), Figure()
        viewer_map.drawByDirection(figure, made)
        self.assertEqual(figure.axes[0].get_title(), "16.1 Å; missing cone: 0°")

    def test_probabilities_are_drawn_with_the_numbers(self):
        whole, part, numbers = self.axes(self.integrity, "showProbabilities")
        self.assertEqual([p.get_height() for p in numbers.patches], [COUNT / 2, COUNT / 2])
        self.assertEqual(whole.get_xlabel(), "Probability of whole")

    def test_the_ranking_is_a_table_and_evidence_is_drawn_beside_that_of_decoys(self):
        rows = rankingRows(self.viewer(self.identified)._data())
        self.assertEqual(rows[0], ["right", "1e-08", "91", "85", "95", "88", "20.5", "15.6", "8.2"])
        self.assertEqual(rows[1][1:6], ["1", "", "", "", "30"])  # it is not there, and has no share
        self.assertEqual(rows[2][5:], ["", "", "7.7", ""])  # it was compared coarsely alone
        (axes,) = self.axes(self.identified, "showEvidence")
        self.assertEqual([bar.get_width() for bar in axes.patches], [15.6, 8.3, 7.7])
        self.assertEqual(len(axes.lines), 2)

    def test_the_curve_of_a_map_tells_the_resolution_but_not_of_denoised_particles(self):
        (axes,) = self.axes(self.map, "showFsc")
        self.assertIn("9.5 Å", [t.get_text() for t in axes.get_legend().get_texts()])
        (axes,) = self.axes(self.fakeMap, "showFsc")
        self.assertNotIn("9.5 Å", [t.get_text() for t in axes.get_legend().get_texts()])
        self.assertIn("what the model learned", axes.get_title())

    def test_the_half_maps_are_seen_beside_the_map(self):
        maps = self.panel(self.map, "showSlices")._arguments[1]["map"]
        self.assertEqual(list(maps), ["map", "half-map 1", "half-map 2"])
        self.assertTrue(all(os.path.exists(path) for path in maps.values()), maps)

    def test_without_chimerax_it_is_said_what_is_missing(self):
        with mock.patch.object(panels_viewer.Chimera, "getProgram", return_value="/absent/ChimeraX"):
            self.assertIn("scipion-em-chimera", self.panel(self.map, "showInChimera").getMessage())
        with mock.patch.object(panels_viewer.Chimera, "getProgram", return_value=os.path.abspath(__file__)):
            self.assertIn(self.map.outputVolume.getFileName(), self.panel(self.map, "showInChimera")._cmd)

    def test_runs_without_results_have_a_message(self):
        for protocolClass in PANELS:
            new = self.newProtocol(protocolClass)
            for name in self.viewer(new)._getVisualizeDict():
                self.assertIn("yet", self.panel(new, name).getMessage())
        viewer = CryodlParticlesViewer(project=self.proj, protocol=None)
        new = self.newProtocol(CryodlProtDenoise)
        self.assertIn("Wait until", viewer._visualize(new)[0].getMessage())
        new.setFailed("No GPU.")
        self.assertIn("There are no particles. The run failed: No GPU.", viewer._visualize(new)[0].getMessage())

    # ----- which viewer a click opens
    def test_the_viewers_are_found(self):
        found = lambda target: Domain.findViewers(target, DESKTOP_TKINTER)
        others = {
            CryodlProtTrainDenoiser: CryodlTrainViewer,
            CryodlProtDenoise: CryodlParticlesViewer,
            CryodlProtSimulateParticles: CryodlSimulateViewer,
        }
        for protocolClass, viewerClass in list(PANELS.items()) + list(others.items()):
            self.assertEqual(found(self.newProtocol(protocolClass)), [viewerClass])
        self.assertIn(CryodlGalleryViewer, found(self.denoised.outputParticles))
        self.assertNotIn(CryodlGalleryViewer, found(self.raw.outputParticles))
        self.assertIn(CryodlVolumeViewer, found(self.map.outputVolume))

    def test_under_the_launcher_no_map_is_opened_by_the_java_viewer_that_is_absent(self):
        before = dict(pw.Config.VIEWERS)
        try:
            pw.Config.VIEWERS.clear()
            # Scipion's default; and a site that names no viewer of masks: pwem's would start an absent ChimeraX
            for target, known in ((Volume, {"Volume": ["pwem.viewers.DataViewer"]}), (VolumeMask, {})):
                pw.Config.VIEWERS.clear()
                pw.Config.VIEWERS.update(known)
                Domain._preferred_viewers = None
                with mock.patch.object(objects.importlib.util, "find_spec", lambda name: None):
                    objects.preferWorkingViewers()
                self.assertIs(Domain.findViewers(target(), DESKTOP_TKINTER)[0], CryodlVolumeViewer)
        finally:
            pw.Config.VIEWERS.clear()
            pw.Config.VIEWERS.update(before)
            Domain._preferred_viewers = None

    # ----- wizards
    def test_wizards_say_what_has_to_be_chosen_first(self):
        for protocolClass, wizard in (
            (CryodlProtBackProject, single_particles.CryodlMaskWizard),
            (CryodlProtTrainDenoiser, single_particles.CryodlResolutionWizard),
            (CryodlProtIntegrity, single_particles.CryodlResolutionWizard),
            (CryodlProtAssignOrientations, single_particles.CryodlResolutionWizard),
            (CryodlProtClassify2D, single_particles.CryodlResolutionWizard),
            (CryodlProtFitHeterogeneity, single_particles.CryodlResolutionWizard),
        ):
            form = mock.Mock(protocol=self.newProtocol(protocolClass))
            wizard().show(form)
            self.assertIn("first", form.showError.call_args[0][0])

    def test_the_mask_is_measured_on_the_mean_and_on_particles(self):
        measured = diameter_window.particlesMeasured(self.raw.outputParticles)
        self.assertEqual((measured.names[0], len(measured.names)), (f"mean of {COUNT} particles", COUNT + 1))
        self.assertEqual((measured.largest, measured.pixelSize), (BOX * PIXEL_SIZE, PIXEL_SIZE))
        self.assertEqual(measured.preview(0).pixels.shape, (BOX, BOX))
        self.assertFalse(np.allclose(measured.preview(0).pixels, measured.preview(1).pixels))

    def test_the_resolution_is_chosen_on_the_maps_and_particles_of_a_form(self):
        particles, structures = single_particles.particlesAndStructures(self.integrity)
        self.assertEqual((particles.getSize(), len(structures)), (COUNT, 2))
        images = diameter_window.ImagesToFilter(particles, structures)
        self.assertEqual((len(images.names), images.names[6][:9]), (6 + COUNT, "particle "))
        self.assertEqual(images.finest, 4)  # twice the pixel of the finer map
        self.assertEqual(images.filtered(3, 10).shape, (48, 48))
        classes = self.makeProtocol(CryodlProtClassify2D, dict(inputParticles=(self.raw, "outputParticles")))
        particles, structures = single_particles.particlesAndStructures(classes)
        self.assertEqual((particles.getSize(), structures), (COUNT, []))

    def test_every_form_that_asks_for_the_resolution_of_particles_has_the_wizard(self):
        having = {(target, *fields) for target, fields in single_particles.CryodlResolutionWizard._targets}
        for kind in set(ourProtocols()) - {CryodlProtSimulate}:  # that is of a map to simulate from
            definition = self.newProtocol(kind).getDefinition()
            if definition.getParam("resolution") is not None and definition.getParam("inputParticles") is not None:
                self.assertIn((kind, "resolution"), having)
