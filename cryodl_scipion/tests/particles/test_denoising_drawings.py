# SPDX-License-Identifier: GPL-3.0-or-later
"""Galleries, directions, maps and evaluations drawn without a display, on images and numbers whose drawing is known."""

import os
import shutil
import tempfile
import unittest
from types import SimpleNamespace
from unittest import mock

import mrcfile
import numpy as np
from matplotlib.figure import Figure

from ...viewers import gallery_window, model_window, plots, window
from ...viewers.gallery_window import DENOISED, RAW, Gallery, pageOf
from ...viewers.maps import viewer_map
from ...viewers.maps.viewer_map import LinkedSlices
from ...viewers.micrographs import diameter_window
from ...viewers.particles import viewer_orient
from ...viewers.particles.viewer_orient import probabilitiesOf, scoresOf
from ..fake_simulator import writeTable


class FolderTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, data):
        with mrcfile.new(self.path(name), overwrite=True) as mrc:
            mrc.set_data(np.asarray(data, np.float32))
        return self.path(name)


class TestCryodlParticleImages(FolderTest):
    def test_images_are_read_by_their_number_from_1(self):
        path = self.write("s.mrcs", np.arange(3)[:, None, None] * np.ones((1, 4, 4)))
        self.assertEqual([gallery_window.readParticle(f"{i:06d}@{path}").max() for i in (1, 2, 3)], [0, 1, 2])
        single = self.write("one.mrc", 7 * np.ones((4, 4)))
        self.assertEqual(gallery_window.readParticle("000001@" + single).max(), 7)

    def test_images_that_are_not_there_are_named(self):
        path = self.write("s.mrcs", np.zeros((3, 4, 4)))
        with self.assertRaisesRegex(ValueError, "Image 4 of .*s.mrcs cannot be read: it holds 3 images"):
            gallery_window.readParticle("000004@" + path)
        with self.assertRaisesRegex(FileNotFoundError, "absent.mrcs does not exist"):
            gallery_window.readParticle("000001@absent.mrcs")

    def test_the_filter_takes_fine_waves_and_leaves_coarse_ones(self):
        x = np.arange(40)
        coarse, fine = np.cos(2 * np.pi * x / 20) * np.ones((40, 1)), np.cos(2 * np.pi * x / 4) * np.ones((40, 1))
        left = gallery_window.lowPass(coarse + fine, 20, 2.0)  # waves of 40 and of 8 Å
        np.testing.assert_allclose(left, coarse, atol=1e-6)
        self.assertIs(gallery_window.lowPass(coarse, 0, 2.0), coarse)

    def test_large_images_are_averaged_and_small_ones_left(self):
        image = np.kron(np.arange(9).reshape(3, 3), np.ones((4, 4)))
        np.testing.assert_allclose(plots.shrunk(image, 3), np.arange(9).reshape(3, 3))
        self.assertEqual(plots.shrunk(image, 12).shape, (12, 12))

    def test_images_side_by_side_have_a_white_line_and_their_own_greys(self):
        both = gallery_window.sideBySide([np.arange(16).reshape(4, 4), 1000 + np.arange(16).reshape(4, 4)])
        self.assertEqual(both.shape, (4, 4 + 2 + 4))
        self.assertTrue((both[:, 4:6] == 1).all())
        np.testing.assert_allclose(both[:, :4], both[:, 6:])

    def test_the_mean_of_particles_is_measured_first(self):
        path = self.write("s.mrcs", np.arange(3)[:, None, None] * np.ones((1, 4, 4)))
        mean = gallery_window.meanOf([f"{i:06d}@{path}" for i in (1, 2, 3)])
        self.assertEqual(mean.tolist(), np.ones((4, 4)).tolist())

    def test_a_resolution_is_seen_on_projections_along_each_axis(self):
        density = np.zeros((8, 10, 12))
        density[1, 2, 3] = 1
        from pwem.objects import Volume

        volume = Volume(location=self.write("m.mrc", density))
        volume.setSamplingRate(3.0)
        images = diameter_window.ImagesToFilter(None, [volume, mock.Mock(spec=[])])
        self.assertEqual(images.names, ["map along z", "map along y", "map along x"])
        self.assertEqual(
            [np.argwhere(images.filtered(i, 0) == 1).tolist() for i in range(3)], [[[2, 3]], [[1, 3]], [[1, 2]]]
        )
        self.assertLess(images.filtered(0, 20).max(), 0.3)
        self.assertEqual(images.finest, 6)


class TestCryodlGallery(FolderTest):
    def gallery(self):
        raw = self.write("raw.mrcs", np.random.RandomState(0).normal(size=(5, 8, 8)))
        denoised = self.write("d.mrcs", np.arange(5)[:, None, None] * np.ones((1, 8, 8)))
        names = {kind: [f"{i:06d}@{path}" for i in range(1, 6)] for kind, path in ((RAW, raw), (DENOISED, denoised))}
        return Gallery(
            names,
            [10, 11, 12, 13, 14],
            2.0,
            {"Score": np.array([0.1, 0.9, np.nan, 0.5, 0.9])},
            np.array([1, 2, 1, 2, 0]),
            ["whole", "part"],
        )

    def test_the_best_come_first_and_those_without_a_score_last(self):
        gallery = self.gallery()
        self.assertEqual(gallery.order().tolist(), [0, 1, 2, 3, 4])
        self.assertEqual(gallery.order("Score").tolist(), [1, 4, 3, 0, 2])
        self.assertEqual(gallery.order("Score", 2).tolist(), [1, 3])
        self.assertEqual(gallery.order(None, 1).tolist(), [0, 2])

    def test_what_is_known_of_a_particle_names_its_image_without_folders_of_runs(self):
        gallery = self.gallery()
        text = "\n".join(gallery.lines(1))
        for words in (
            "Particle 11",
            "Raw image: 2 of raw.mrcs",
            "Denoised image: 2 of ",
            "Score: 0.9",
            "Composition: part",
        ):
            self.assertIn(words, text)
        self.assertEqual((gallery.caption(1, "Score"), gallery.caption(1, None)), ("11   0.9", "11"))

    def test_only_the_raw_image_is_filtered(self):
        gallery = self.gallery()
        (raw, denoised), (smooth, same) = gallery.images(3), gallery.images(3, 12)
        self.assertEqual(gallery.seen, raw.shape[1] * gallery.pixelSize)
        self.assertLess(smooth.std(), 0.6 * raw.std())
        np.testing.assert_allclose(denoised, same)
        self.assertEqual(denoised.max(), 3)

    def test_pages_hold_all_particles_once_and_end(self):
        order = np.arange(23)
        pages = [pageOf(order, page, 10)[0].tolist() for page in range(3)]
        self.assertEqual(sum(pages, []), list(range(23)))
        self.assertEqual((pageOf(order, 99, 10)[0].tolist(), pageOf(order, 0, 10)[1]), ([20, 21, 22], 3))
        self.assertEqual(pageOf(order[:0], 0, 10)[1], 1)

    def test_a_click_finds_the_tile_below_it(self):
        axes = Figure().add_subplot()
        tiles = [[np.arange(64).reshape(8, 8)] * 2 for _ in range(5)]
        tile = gallery_window.drawTiles(axes, tiles, list("abcde"), 3)
        self.assertEqual([t.get_text() for t in axes.texts], list("abcde"))
        for number, text in enumerate(axes.texts):
            x, y = text.get_position()
            self.assertEqual(gallery_window.tileAt(x, y - 5, tile, 3, 5), number)  # just above its caption
        self.assertIsNone(gallery_window.tileAt(2.5 * tile[0], 1.5 * tile[1], tile, 3, 5))
        gallery_window.drawTiles(axes, tiles, list("abcde"), 5, [False, True, False, False, False])
        page = axes.images[-1].get_array()
        kept, pale = (np.ptp(page[:8, place * tile[0] : place * tile[0] + 16]) for place in (0, 1))
        self.assertGreater(kept, 2.5 * pale)
        self.assertEqual(axes.lines[:], [])
        gallery_window.drawTiles(axes, tiles, list("abcde"), 3, None, 100)  # Å, of 8 px each
        (left, right), (y, _) = axes.lines[0].get_data()
        self.assertEqual(axes.texts[-1].get_text(), "50 Å")
        page = axes.images[0].get_array().shape
        self.assertAlmostEqual((right - left) * page[1], 8 * 50 / 100)
        self.assertTrue(0 < left < right < 8 / page[1] and 1 - 8 / page[0] < y < 1)  # on the first image
        gallery_window.drawTiles(axes, [], [], 3)
        self.assertEqual(axes.texts[0].get_text(), "No particles")

    def test_one_particle_is_drawn_with_its_kinds(self):
        figure = Figure()
        gallery_window.drawParticle(figure, self.gallery().images(0), ["raw", "denoised"], 3.5)
        self.assertEqual([axes.get_title() for axes in figure.axes], ["raw", "denoised"])
        side = figure.axes[1].images[0].get_size()[1] * 3.5
        self.assertTrue(side / 8 < float(figure.axes[1].texts[0].get_text().split()[0]) <= side / 3)


class TestCryodlOrientationPlots(FolderTest):
    def batch(self, count, rows, cone):
        return SimpleNamespace(count=count, views=rows, missing_cone=cone)

    def test_views_of_all_batches_are_drawn_with_the_pole_on_top(self):
        figure = Figure()
        views = [[0.0, 5.0, 4.0], [390.0, 90.0, 1.0], [-90.0, 150.0, 0.0]]
        other = [[rot, tilt, 2.0] for rot, tilt, _ in views]
        viewer_map.drawViews(figure, [self.batch(30, views, 50.0), self.batch(10, other, 44.4)])
        (points,) = figure.axes[0].collections
        self.assertTrue(np.allclose(np.rad2deg(points.get_offsets()), [[0, 85], [30, 0], [-90, -60]]))
        self.assertEqual(points.get_array().tolist(), [3.5, 1.25, 0.5])
        self.assertEqual(figure.axes[0].get_title(), "40 particles; missing cone of 30: 50°")
        viewer_map.drawViews(figure, [self.batch(30, views, None)])
        self.assertEqual(figure.axes[-2].get_title(), "30 particles; missing cone: unknown")
        with self.assertRaisesRegex(ValueError, "older than this panel"):
            viewer_map.drawViews(Figure(), [self.batch(30, None, None)])

    def test_scores_are_read_and_drawn_with_their_medians(self):
        path = self.path("o.star")
        writeTable(path, "optics", ("rlnOpticsGroup",), [(1,)])
        writeTable(
            path,
            "particles",
            ("rlnAngleRot", "rlnAngleTilt", "cryodlScore", "cryodlMargin"),
            [(1, 2, 3, 0.5), (4, 5, 6, 0.1), (7, 8, 9, 0.9)],
        )
        figure = Figure()
        viewer_orient.drawDistributions(figure, scoresOf(path))
        self.assertEqual([axes.get_xlabel() for axes in figure.axes], ["Score", "Margin to the runner-up"])
        self.assertEqual([axes.lines[0].get_xdata()[0] for axes in figure.axes], [6, 0.5])
        drawn = Figure()
        values = {f"set {n}": np.random.default_rng(n).uniform(3.97, 60, 9) for n in range(20)}
        viewer_orient.drawDistributions(drawn, values)
        bars = [sum(patch.get_height() for patch in axes.patches) for axes in drawn.axes]
        self.assertEqual(bars, [9] * 20)  # the lowest and the highest, too

    def test_probabilities_and_numbers_of_compositions(self):
        path = self.path("i.star")
        writeTable(
            path,
            "particles",
            ("rlnClassNumber", "cryodlProbability1", "cryodlProbability2"),
            [(1, 0.9, 0.1), (2, 0.2, 0.8), (1, 0.7, 0.3)],
        )
        figure = Figure()
        viewer_orient.drawProbabilities(figure, probabilitiesOf(path, 2), ["whole", "part"], {"whole": 2, "part": 1})
        self.assertEqual([sum(p.get_height() for p in axes.patches) for axes in figure.axes], [3, 3, 3])
        self.assertEqual([p.get_height() for p in figure.axes[2].patches], [2, 1])


class TestCryodlMapPlots(FolderTest):
    def test_a_point_lies_where_it_is_in_each_slice(self):
        density = np.zeros((8, 10, 12), np.float32)
        density[4, 5, 6] = 1
        figure = Figure()
        slices = LinkedSlices(figure, {"map": self.write("point.mrc", density)})
        self.assertEqual(
            [a.get_xlabel() for a in figure.axes],
            ["x to the right, y up", "x to the right, z up", "y to the right, z up"],
        )
        for axes, (row, column) in zip(figure.axes, ((5, 6), (4, 6), (4, 5))):
            self.assertEqual(np.argwhere(np.asarray(axes.images[0].get_array()) == 1).tolist(), [[row, column]])
            self.assertEqual(axes.images[0].origin, "lower")
        slices.move((99, 99, 99))
        self.assertEqual(slices.position, (7, 9, 11))

    def test_shells_are_drawn_at_their_resolution(self):
        axes = Figure().add_subplot()
        plots.drawFsc(axes, {"half-maps": [1, 0.9, 0.5, 0.1, 0]}, 2.0, 8, resolution=6.0)
        np.testing.assert_allclose(axes.lines[0].get_xdata(), [1 / 16, 1 / 8, 3 / 16, 1 / 4])
        self.assertEqual(axes.lines[0].get_ydata().tolist(), [0.9, 0.5, 0.1, 0])
        self.assertIn("6 Å", [t.get_text() for t in axes.get_legend().get_texts()])

    def test_maps_that_cannot_be_read_are_named(self):
        with open(self.path("bad.mrc"), "w") as file:
            file.write("no map")
        for path, words in (
            (self.path("bad.mrc"), "cannot be read"),
            (self.write("flat.mrc", np.zeros((4, 4))), "is not a map"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                plots.readMap(path)
        with self.assertRaisesRegex(FileNotFoundError, "absent.mrc does not exist"):
            plots.readMap("absent.mrc")


class TestCryodlEvaluationWords(FolderTest):
    EVALUATION = dict(
        mean_frc=dict(raw=0.11, wiener=0.23, denoised=0.41),
        resolution=dict(raw={"0.5": None, "0.143": 40.0}, denoised={"0.5": 27.0, "0.143": 15.0}),
        control=dict(noise=0.02, unrelated=0.01, verdict="warning", sentences=["It invents."]),
    )

    def test_the_table_has_the_images_and_below_them_the_controls(self):
        rows = window.tableRows(self.EVALUATION)
        self.assertEqual([row[1] for row in rows], ["0.110", "0.230", "0.410", "0.020", "0.010"])
        self.assertEqual(rows[0][2:], ("not reached", "40 Å"))
        self.assertEqual(rows[2][2:], ("27 Å", "15 Å"))
        self.assertTrue(rows[3][0].startswith("control: "))

    def test_the_verdict_has_its_sentences(self):
        self.assertEqual(window.verdictOf(self.EVALUATION), (False, ["It invents."]))
        self.assertTrue(window.verdictOf(dict(control=dict(verdict="ok")))[0])

    def test_only_pictures_that_are_there_are_offered(self):
        for name in ("control.png", "frc.png", "other.png"):
            Figure().savefig(self.path(name))
        self.assertEqual(
            window.picturesIn(self.folder),
            {"FRC with the ground truth": self.path("frc.png"), "Control": self.path("control.png")},
        )


class TestCryodlTrainingSamples(FolderTest):
    def sample(self, *names):
        os.makedirs(os.path.dirname(self.path(*names)), exist_ok=True)
        Figure(figsize=(4, 2)).savefig(self.path(*names))

    def test_the_newest_sample_of_a_training_comes_first_and_pictures_of_its_end_last(self):
        self.assertEqual(model_window.samplesIn(self.path("model")), {})
        for step in (90, 100):
            self.sample("model.partial", "samples", f"step_{step}.png")
        self.sample("model.partial", "samples", "validation.png")
        found = model_window.samplesIn(self.path("model"))
        self.assertEqual(list(found), [model_window.NEWEST, "step 100", "step 90", "validation tiles"])
        self.assertTrue(found[model_window.NEWEST].endswith("step_100.png"))

    def test_curves_stand_above_the_sample_and_figures_of_any_name_are_drawn(self):
        self.sample("model", "samples", "step_10.png")
        metrics = {
            "step": np.array([1.0, 2]),
            "train_loss": np.array([1, 0.5]),
            "train_discriminator": np.array([1, 1.0]),
            "validation_mean_frc": np.array([0.1, 0.2]),
            "seconds": np.array([1.0, 2]),
        }
        figure = Figure(figsize=(9, 8))
        plots.drawTraining(figure, metrics, model_window.samplesIn(self.path("model"))[model_window.NEWEST])
        left, right, picture = figure.axes
        self.assertEqual([t.get_text() for t in right.get_legend().get_texts()], ["mean frc"])
        self.assertEqual([t.get_text() for t in left.get_legend().get_texts()], ["training", "train discriminator"])
        self.assertEqual(len(picture.images), 1)
        plots.drawTraining(figure, metrics)
        self.assertEqual(len(figure.axes), 2)

    def test_no_two_curves_of_a_training_look_alike(self):
        columns = [
            "train_loss",
            "train_atoms",
            "train_presence",
            "validation_loss",
            "validation_correlation",
            "validation_correlation_before",
            "validation_q_score",
            "validation_q_score_before",
            "validation_confidence_error",
        ]
        figure = Figure()
        plots.drawCurves(figure, {"step": np.array([1.0, 2]), **{name: np.array([1, 0.5]) for name in columns}})
        for axes, count in zip(figure.axes, (4, 5)):
            self.assertEqual(len({line.get_color() for line in axes.lines}), count)
