# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews of micrographs, drawings on figures, and the names by which the engine knows micrographs."""

import os
import shutil
import tempfile
import unittest
from unittest import mock

import mrcfile
import numpy as np
import tifffile
from matplotlib.figure import Figure

from ..convert.names import micrographNames
from ..viewers import plots
from ..viewers.plots import Preview, loadPreview
from . import synthetic


class TestCryodlPreview(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, data, name="m.mrc"):
        path = os.path.join(self.folder, name)
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(data)
        return path

    def test_a_dot_stays_where_it_is(self):
        image = np.zeros((60, 100), np.float32)
        image[40:52, 80:92] = 1
        preview = loadPreview(self.write(image), largestSide=25)
        self.assertEqual((preview.binning, preview.width, preview.height), (4, 100, 60))
        bright = [[y, x] for y in (10, 11, 12) for x in (20, 21, 22)]
        self.assertEqual(np.argwhere(preview.pixels == 1).tolist(), bright)

    def test_a_tiff_is_seen_with_its_last_row_first(self):
        # as the engine and RELION count its rows
        image = np.zeros((20, 30), np.float32)
        image[2, :10] = 1
        path = os.path.join(self.folder, "a.tif")
        tifffile.imwrite(path, image)
        self.assertEqual(np.argwhere(loadPreview(path).pixels == 1).tolist(), [[17, x] for x in range(10)])

    def test_sides_that_do_not_divide_and_integer_modes(self):
        for kind in (np.int8, np.int16, np.uint16, np.float32):
            preview = loadPreview(self.write(np.arange(77 * 51).reshape(77, 51).astype(kind)), largestSide=20)
            self.assertEqual(preview.pixels.shape, (19, 12))
            self.assertTrue(np.isfinite(preview.pixels).all())

    def test_hot_pixels_do_not_decide_the_contrast(self):
        image = np.random.RandomState(1).normal(0, 1, (64, 64)).astype(np.float32)
        image[3, 3] = 1e6
        self.assertGreater(loadPreview(self.write(image)).pixels.std(), 0.1)

    def test_flat_and_empty_images_are_grey(self):
        for value in (0, np.nan):
            preview = loadPreview(self.write(np.full((20, 20), value, np.float32)))
            self.assertTrue((preview.pixels == 0.5).all())

    def test_unreadable_files_are_named(self):
        with self.assertRaisesRegex(ValueError, "bad.mrc cannot be read"):
            loadPreview(synthetic.writeDamaged(os.path.join(self.folder, "bad.mrc")))
        with self.assertRaisesRegex(FileNotFoundError, "absent.mrc"):
            loadPreview(os.path.join(self.folder, "absent.mrc"))


class TestCryodlMicrographNames(unittest.TestCase):
    def names(self, *micNames):
        return list(
            micrographNames(
                [mock.Mock(getObjId=lambda i=i: i, getMicName=lambda n=n: n) for i, n in enumerate(micNames, 1)]
            ).values()
        )

    def test_names_are_the_files_without_extension(self):
        self.assertEqual(
            self.names("a.mrc", "b.tif", "c.mrc.gz", "d/e.mrc", "f 1.mrc", "x.y.mrc"),
            ["a", "b", "c", "d_e", "f_1", "x.y"],
        )

    def test_names_that_clash_get_the_id_and_stay_the_same_while_a_stream_grows(self):
        self.assertEqual(self.names("a.mrc", "a.tif", "b.mrc"), ["a", "a_000002", "b"])
        self.assertEqual(self.names("a.mrc", "a.tif"), self.names("a.mrc", "a.tif", "a.mrcs")[:2])
        self.assertEqual(len(set(self.names("a_000002.mrc", "a.mrc", "a.tif", "a_000003.mrc"))), 4)

    def test_endings_that_the_engine_leaves_out_are_protected(self):
        self.assertEqual(
            self.names("x_pick.mrc", ".mrc", ""), ["x_pick_000001", "micrograph_000002", "micrograph_000003"]
        )


class TestCryodlPlots(unittest.TestCase):
    def test_one_item_alone_has_no_fractions_on_its_axis(self):
        """The Defocus tab of one micrograph numbered it 0.96 to 1.04."""
        axes = Figure().add_subplot()
        axes.plot([1], [1.5], ".")
        plots.label(axes, "Micrograph", whole="x")
        low, high = axes.get_xlim()
        self.assertEqual([tick for tick in axes.get_xticks() if low <= tick <= high], [1])

    def test_circles_lie_on_the_picks(self):
        axes = Figure().add_subplot()
        plots.drawPicks(axes, [(50, 60, 0.7)], 8)
        (circles,) = axes.collections
        box = circles.get_paths()[0].get_extents()
        self.assertEqual([round(v, 3) for v in (box.x0, box.x1, box.y0, box.y1)], [46, 54, 56, 64])

    def test_the_micrograph_is_drawn_in_its_own_pixels_with_row_0_on_top(self):
        axes = Figure().add_subplot()
        plots.drawMicrograph(axes, Preview(np.zeros((3, 5)), 4, 21, 14))
        self.assertEqual(axes.images[0].get_extent(), [-0.5, 19.5, 11.5, -0.5])
        self.assertTrue(axes.yaxis_inverted())

    def test_zoom_stays_inside_the_micrograph(self):
        axes = Figure().add_subplot()
        preview = Preview(np.zeros((3, 5)), 4, 200, 100)
        plots.drawMicrograph(axes, preview)
        plots.view(axes, preview, (195, 5), 50)
        self.assertEqual((axes.get_xlim(), axes.get_ylim()), ((149.5, 199.5), (49.5, -0.5)))
        plots.view(axes, preview, (0, 0), 500)
        self.assertEqual((axes.get_xlim(), axes.get_ylim()), ((-0.5, 199.5), (99.5, -0.5)))

    def test_slices_of_tomograms_have_row_0_at_the_bottom_and_zooming_keeps_it_there(self):
        axes = Figure().add_subplot()
        preview = Preview(np.zeros((25, 50)), 4, 200, 100)
        plots.drawMicrograph(axes, preview, upwards=True)
        self.assertEqual((axes.images[0].get_extent(), axes.get_ylim()), ([-0.5, 199.5, 99.5, -0.5], (-0.5, 99.5)))
        plots.view(axes, preview, (195, 5), 50)
        self.assertEqual((axes.get_xlim(), axes.get_ylim()), ((149.5, 199.5), (-0.5, 49.5)))

    def test_histogram_and_counts_hold_all_values(self):
        axes = Figure().add_subplot()
        plots.drawHistogram(axes, np.array([0.1, 0.1, 0.9]), 0.5)
        self.assertEqual(sum(p.get_height() for p in axes.patches), 3)
        axes = Figure().add_subplot()
        plots.drawPerMicrograph(axes, np.array([3, 0, 6]), ["a.mrc", "b.mrc", "c.mrc"])
        self.assertEqual([text.get_text() for text in axes.get_xticklabels()], ["a.mrc", "b.mrc", "c.mrc"])
        self.assertEqual([p.get_height() for p in axes.patches], [3, 0, 6])
        self.assertEqual(axes.lines[0].get_ydata()[0], 3)

    def test_no_picks_at_all_can_be_drawn(self):
        figure = Figure()
        plots.drawHistogram(figure.add_subplot(121), np.zeros(0), 0.5)
        plots.drawPerMicrograph(figure.add_subplot(122), np.zeros(0, int), [])
        self.assertEqual(len(figure.axes), 2)
