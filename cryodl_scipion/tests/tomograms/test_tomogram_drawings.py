# SPDX-License-Identifier: GPL-3.0-or-later
"""What the windows on tomograms read and draw, on volumes whose every voxel is known; no protocols."""

import os
import tempfile
import unittest

import numpy as np
from matplotlib.figure import Figure

from ...engine.cryodl.tomograms.features import membrane_meshes
from ...engine.cryodl.tomograms.features.merging import COLOURS
from ...viewers.tomograms import meshes_data, meshes_window, slices_window, viewer_subtomograms, viewer_tomograms
from ...viewers.tomograms.slices_window import LABELS, SCORES, Layer, TomogramSlices
from ..tomogram_sets import writeVolume

SHAPE = (10, 24, 20)  # z, y, x: no two are equal, so that no axis can be taken for another
POSITION = (3, 17, 5)  # z, y, x of the one voxel that is not like the others


class Volumes(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)

    def write(self, name, data):
        return writeVolume(os.path.join(self._folder.name, name + ".mrc"), data)

    def voxel(self, value, dtype=np.float32, shape=SHAPE, position=POSITION):
        volume = np.zeros(shape, dtype)
        volume[position] = value
        return volume


class TestCryodlSlices(Volumes):
    def slices(self, labels=None, scores=None, **values):
        noise = np.random.RandomState(1).normal(size=SHAPE).astype(np.float32)
        layers = []
        if labels is not None:
            layers.append(Layer("labels", LABELS, dict(a=self.write("labels", labels)), ["membrane"], None))
        if scores is not None:
            layers.append(Layer("scores", SCORES, dict(a=self.write("scores", scores)), ["x"], 0.5))
        return TomogramSlices(dict(a=self.write("tomogram", noise + 100 * self.voxel(1))), layers, **values)

    def test_a_voxel_is_where_it_is_in_each_plane(self):
        data, volume = self.slices(), self.voxel(1)
        for axis, position in enumerate(((17, 5), (3, 5), (3, 17))):
            image, step = slices_window.sliceOf(volume, axis, POSITION[axis], average=True)
            self.assertEqual(([tuple(found) for found in np.argwhere(image)], step), ([position], 1))
            preview = data.slice("a", axis, POSITION[axis])
            self.assertEqual(preview.pixels[position], 1)
            self.assertEqual((preview.height, preview.width), tuple(np.delete(SHAPE, axis)))

    def test_labels_lie_over_their_voxels(self):
        data = self.slices(labels=self.voxel(2, np.int8))
        for axis, position in enumerate(((17, 5), (3, 5), (3, 17))):
            found = data.overlay("a", data.layer("labels"), axis, POSITION[axis])
            self.assertEqual([tuple(position) for position in np.argwhere(found)], [position])
        self.assertFalse(data.overlay("a", data.layer("labels"), 0, 4).any())

    def test_scores_of_whole_numbers_go_to_a_hundred(self):
        for scores in (self.voxel(80, np.int8), self.voxel(0.8)):
            data = self.slices(scores=scores)
            self.assertAlmostEqual(data.overlay("a", data.layer("scores"), 0, 3).max(), 0.8, places=6)
        faint = self.slices(scores=self.voxel(1, np.int8))
        self.assertAlmostEqual(faint.overlay("a", faint.layer("scores"), 0, 3).max(), 0.01, places=6)

    def test_a_mask_that_is_binned_by_two_shows_the_same_place(self):
        data = self.slices(labels=self.voxel(1, np.int8, (5, 12, 10), (1, 8, 2)))
        for index, seen in ((1, False), (2, True), (3, True), (4, False)):
            self.assertEqual(data.overlay("a", data.layer("labels"), 0, index).any(), seen, index)

    def test_the_greys_of_a_slice_are_those_of_the_tomogram(self):
        ramp = np.broadcast_to(np.arange(10, dtype=np.float32)[:, None, None], SHAPE).copy()
        data = TomogramSlices(dict(a=self.write("ramp", ramp)))
        first, last = (data.slice("a", 0, z).pixels.mean() for z in (0, 9))
        self.assertEqual((first, last), (0, 1))

    def test_a_large_slice_is_made_small_without_reading_the_volume(self):
        volume = np.broadcast_to(np.arange(2500, dtype=np.float32), (1 << 20, 2500, 2500))  # 25 TB, if it were read
        image, step = slices_window.sliceOf(volume, 0, 1 << 19, average=True)
        self.assertEqual((step, image.shape), (3, (834, 834)))
        self.assertAlmostEqual(image[5, 10], 31)  # mean of 30, 31, 32

    def test_circles_are_cut_by_the_slice_as_spheres_are(self):
        data = self.slices(points=dict(a=np.array([[5.0, 17.0, 3.0], [1.0, 2.0, 9.0]])), diameter=10)
        self.assertEqual(data.near("a", 0, 3)[0].tolist(), [[5, 17, 5]])
        x, y, radius = data.near("a", 0, 6)[0][0]
        self.assertAlmostEqual(radius, 4)
        self.assertEqual(data.near("a", 1, 17)[0].tolist(), [[5, 3, 5]])  # across y: x to the right, z down
        self.assertEqual(data.near("a", 2, 5)[0][0].tolist(), [17, 3, 5])

    def test_a_mask_without_its_tomogram_is_shown_on_grey(self):
        data = TomogramSlices(
            dict(a=None), [Layer("labels", LABELS, dict(a=self.write("l", self.voxel(1, np.int8))), [], None)]
        )
        self.assertEqual(data.shape("a"), SHAPE)
        self.assertEqual(set(np.unique(data.slice("a", 0, 3).pixels)), {0.5})
        with self.assertRaisesRegex(ValueError, "mask of b"):
            TomogramSlices(dict(b=None)).shape("b")

    def test_labels_have_their_colour_and_their_name(self):
        axes = Figure().add_subplot()
        labels = np.array([[0, 1], [2, 255]])
        slices_window.drawLabels(axes, labels, ["membrane"], (-0.5, 1.5, 1.5, -0.5), 0.25)
        (image,) = axes.images
        self.assertEqual(image.get_array()[..., 3].tolist(), [[0, 0.25], [0.25, 0.25]])
        self.assertEqual(
            [t.get_text() for t in axes.get_legend().get_texts()], ["1 membrane", "label 2", "not annotated"]
        )

    def test_only_scores_above_the_threshold_are_drawn(self):
        axes = Figure().add_subplot()
        slices_window.drawScores(
            axes, np.array([[0.2, 0.4], [0.6, np.nan]]), "membrane", (-0.5, 1.5, 1.5, -0.5), 0.5, 0.4
        )
        self.assertEqual(axes.images[0].get_array().mask.tolist(), [[True, False], [False, True]])

    def test_colours_are_those_of_the_scripts_for_chimerax(self):
        self.assertEqual(slices_window.COLOURS, COLOURS)

    def test_values_of_label_volumes_are_counted(self):
        volume = np.zeros(SHAPE, np.int8)
        volume[2, :3, 0], volume[5] = 7, 2
        count = viewer_subtomograms.labelCounts
        self.assertEqual(count([volume, volume]), ({2: 960, 7: 6}, True))
        large, all_ = count([np.broadcast_to(np.int8(3), (100, 50, 50))], maximum=50000)
        self.assertEqual((large, all_), ({3: 250000}, False))  # every fifth slice was read
        many = [np.broadcast_to(np.int8(3), (4, 50, 50))] * 100
        self.assertEqual(count(many, maximum=100000), ({3: 1000000}, False))  # the middle one of each
        self.assertEqual(count(many[:99], maximum=50000), ({3: 990000}, False))


class TestCryodlSurfaces(Volumes):
    def sphere(self, rings=100, radius=100.0):
        """(n, 3, 3) triangles of a sphere."""
        theta, phi = np.linspace(1e-3, np.pi - 1e-3, rings), np.linspace(0, 2 * np.pi, 2 * rings)
        position = lambda t, p: radius * np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1)
        t, p = np.meshgrid(theta, phi, indexing="ij")
        a, b, c, d = (
            position(t[rows, columns], p[rows, columns])
            for rows in (np.s_[:-1], np.s_[1:])
            for columns in (np.s_[:-1], np.s_[1:])
        )
        return np.concatenate([np.stack([a, c, b], 2).reshape(-1, 3, 3), np.stack([b, c, d], 2).reshape(-1, 3, 3)])

    def stl(self, triangles, name="surface.stl"):
        facets = np.zeros(len(triangles), meshes_data.FACET)
        facets["corners"] = triangles
        path = os.path.join(self._folder.name, name)
        with open(path, "wb") as file:
            file.write(b"x" * 80 + np.uint32(len(facets)).tobytes())
            facets.tofile(file)
        return path

    def test_a_simplified_sphere_keeps_its_shape(self):
        path = self.stl(self.sphere())
        self.assertEqual(len(meshes_data.readSurface(path, 10**6).faces), 2 * 99 * 199)
        mesh = meshes_data.readSurface(path, 2000)
        found = mesh.vertices[mesh.faces]
        self.assertLess(len(found), 2700)
        self.assertGreater(len(found), 600)
        radii = np.linalg.norm(found.reshape(-1, 3), axis=1)
        self.assertLess(abs(radii.mean() - 100), 3)
        area = 0.5 * np.linalg.norm(np.cross(found[:, 1] - found[:, 0], found[:, 2] - found[:, 0]), axis=1).sum()
        self.assertLess(abs(area / (4 * np.pi * 100**2) - 1), 0.1)

    def test_files_that_are_no_surfaces_are_named(self):
        path = self.stl(self.sphere(4))
        os.truncate(path, os.path.getsize(path) - 7)
        with self.assertRaisesRegex(ValueError, "surface.stl"):
            meshes_data.readSurface(path)
        with self.assertRaisesRegex(FileNotFoundError, "absent.stl"):
            meshes_data.readSurface("absent.stl")
        self.assertEqual(len(meshes_data.readSurface(self.stl(np.zeros((0, 3, 3)), "empty.stl")).faces), 0)

    def test_surfaces_are_drawn_in_the_colours_of_their_labels(self):
        data = meshes_data.Surfaces(dict(a={"ribosome": self.stl(self.sphere(40))}), {}, ["membrane", "ribosome"])
        axes, mesh = Figure().add_subplot(projection="3d"), data.drawn("a", ["membrane", "ribosome"])
        shown = meshes_window.colours(mesh, meshes_window.COLOURINGS["membrane"], None)
        np.testing.assert_allclose(np.unique(shown, axis=0), [slices_window.to_rgb(COLOURS[1])])
        meshes_window.drawMeshes(axes, mesh, shown)
        self.assertAlmostEqual(np.ptp(axes.get_xlim()), 20, 0)  # nm
        meshes_window.drawFeatures(axes, data.features, ["membrane", "ribosome"])
        colours = axes.get_legend().legend_handles if hasattr(axes.get_legend(), "legend_handles") else []
        self.assertEqual(
            [patch.get_facecolor()[:3] for patch in colours],
            [slices_window.to_rgb(COLOURS[0]), slices_window.to_rgb(COLOURS[1])],
        )
        nothing = data.drawn("a", [])
        none = meshes_window.colours(nothing, meshes_window.COLOURINGS["membrane"], None)
        meshes_window.drawMeshes(axes, nothing, none)
        self.assertIn("No surface", axes.texts[0].get_text())

    @unittest.skipUnless("DISPLAY" in os.environ, "There is no display.")
    def test_a_surface_that_cannot_be_read_is_named_and_nothing_is_drawn(self):
        files = dict(a={"ribosome": self.stl(self.sphere(20))}, b={"ribosome": "absent.stl"})
        shown = meshes_window.SurfacesWindow(None, meshes_data.Surfaces(files, {}, ["ribosome"]), "Surfaces", None)
        self.addCleanup(shown.root.destroy)
        for name, drawn, said in (("a", 1, "Drag to rotate"), ("b", 0, "absent.stl"), ("a", 1, "Drag to rotate")):
            shown._name.set(name)
            shown.choose()
            self.assertEqual(len(shown._axes.collections), drawn)
            self.assertIn(said, shown.message.get())


class TestCryodlMeshes(Volumes):
    def ball(self, radius=8.0, rings=40):
        """The engine's Mesh of a sphere in the middle of a volume of 24 voxels."""
        t, p = np.meshgrid(np.linspace(0.05, np.pi - 0.05, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij")
        normals = np.stack([np.cos(t), np.sin(t) * np.sin(p), np.sin(t) * np.cos(p)], -1).reshape(-1, 3)
        grid = np.arange(t.size).reshape(t.shape)
        a, b, c, d = (
            grid[rows, columns].ravel() for rows in (np.s_[:-1], np.s_[1:]) for columns in (np.s_[:-1], np.s_[1:])
        )
        faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
        return membrane_meshes.Mesh(radius * normals + 12, normals, faces, np.zeros(len(normals), int))

    def ply(self, number=1, radius=8.0, origin=(100.0, 200.0, -300.0)):
        """A file of a ball at 10 Å/px; its curvature is known on the upper half alone."""
        path, ball = os.path.join(self._folder.name, f"a_membrane_{number:03d}.ply"), self.ball(radius)
        known = np.where(ball.vertices[:, 0] > 12, 0.02, np.nan)
        membrane_meshes.write_ply(path, ball, 10.0, origin, dict(curvature_per_nm=known))
        return path

    def test_a_mesh_of_the_engine_is_read_in_angstrom(self):
        mesh = meshes_data.readMesh(self.ply(7))
        np.testing.assert_allclose(mesh.vertices.mean(axis=0), (220, 320, -180), atol=2)
        np.testing.assert_allclose(np.linalg.norm(mesh.vertices - (220, 320, -180), axis=1), 80, rtol=1e-4)
        np.testing.assert_allclose(mesh.vertices - (220, 320, -180), 80 * mesh.normals, atol=1e-3)
        self.assertEqual((set(mesh.number), list(mesh.values)), ({7}, ["curvature_per_nm"]))

    def test_the_table_of_membranes_has_plain_numbers(self):
        path = os.path.join(self._folder.name, "membranes.csv")
        with open(path, "w") as file:
            file.write("tomogram,membrane,area_nm2,closed,mean_curvature_per_nm\na,1,2.082e+04,no,6.4e-07\n")
        (row,) = viewer_tomograms.membraneRows(path)
        self.assertEqual(row, ("a", "1", "20820", "no", "-", "0", "-", "-"))
        self.assertEqual(len(row), len(viewer_tomograms.MEMBRANE_TITLES))

    def test_what_is_no_mesh_is_named(self):
        path = self.ply()
        os.truncate(path, os.path.getsize(path) - 5)
        with self.assertRaisesRegex(ValueError, "membrane_001.ply.*Measure"):
            meshes_data.readMesh(path)
        with self.assertRaisesRegex(FileNotFoundError, "absent.ply"):
            meshes_data.readMesh("absent.ply")
        with open(path, "wb") as file:
            file.write(b"ply\nformat ascii 1.0\nelement vertex many\n")
        with self.assertRaisesRegex(ValueError, "not a complete binary PLY"):
            meshes_data.readMesh(path)

    def test_simplified_membranes_keep_their_shape_and_stay_apart(self):
        whole = meshes_data.joined([meshes_data.readMesh(self.ply(n, radius)) for n, radius in ((1, 8.0), (2, 7.9))])
        found = meshes_data.simplified(whole, 1500)
        self.assertTrue(700 < len(found.faces) <= 1500)
        radii = np.linalg.norm(found.vertices - (220, 320, -180), axis=1)
        for number, radius in ((1, 80), (2, 79)):
            self.assertLess(abs(radii[found.number == number].mean() - radius), 1.5)
        self.assertTrue((np.ptp(found.number[found.faces], axis=1) == 0).all())  # no triangle joins two membranes
        known = found.values["curvature_per_nm"]
        np.testing.assert_allclose(known[np.isfinite(known)], 0.02, atol=1e-6)
        self.assertTrue(0.3 < np.isnan(known).mean() < 0.6)
        self.assertIs(meshes_data.simplified(found, 10**6), found)

    def test_a_slice_cuts_a_ball_in_a_circle_where_it_lies_in_the_tomogram(self):
        import mrcfile

        instances = self.write("instances", np.zeros((24, 24, 24), np.float32))
        with mrcfile.open(instances, "r+") as mrc:
            mrc.voxel_size, mrc.header.origin = 10.0, (100.0, 200.0, -300.0)
        slices = TomogramSlices({"a": self.write("a", np.zeros((48, 48, 48), np.float32))})  # of half the pixel size
        data = meshes_data.MembraneMeshes({"a": [self.ply()]}, {"a": instances}, slices)
        middle = 2 * (12 + 0.5) - 0.5  # px of the tomogram
        for axis, at in ((0, -180), (1, 320), (2, 220)):
            self.assertAlmostEqual(data.position("a", axis, 24), at - 2.5, 4)
            lines, near = data.outline("a", axis, 31)  # 6.5 px, 32.5 Å, above the ball's middle
            radius = np.sqrt(80**2 - 32.5**2) / 5
            np.testing.assert_allclose(np.linalg.norm(lines - middle, axis=2), radius, rtol=0.01)
            self.assertEqual(len(lines), len(near))
        self.assertEqual(len(data.outline("a", 0, 47)[0]), 0)

    def test_membranes_are_drawn_in_the_colours_of_the_choice_with_the_frame_of_a_slice(self):
        mesh = meshes_data.joined([meshes_data.readMesh(self.ply(n)) for n in (1, 2)])
        by = meshes_window.COLOURINGS
        own = meshes_window.colours(mesh, by["membrane"], None)
        np.testing.assert_allclose(
            np.unique(own, axis=0), np.unique([slices_window.to_rgb(c) for c in COLOURS[:2]], axis=0)
        )
        scale = meshes_window.colourScale(mesh, by["mean curvature"])
        self.assertAlmostEqual(sum(scale.get_clim()), 0)
        grey = meshes_window.colours(mesh, by["mean curvature"], scale)[np.isnan(mesh.values["curvature_per_nm"])]
        self.assertEqual(np.ptp(grey), 0)
        axes = Figure().add_subplot(projection="3d")
        meshes_window.drawMeshes(axes, mesh, own, (2, -180.0))
        self.assertAlmostEqual(np.ptp(axes.get_zlim()), 16, 0)  # nm
        (frame,) = axes.lines
        x, y, z = frame.get_data_3d()
        np.testing.assert_allclose(z, -18.0)
        np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [*axes.get_xlim(), *axes.get_ylim()])
        brightness = axes.collections[0].get_facecolor()[:, :3].max(axis=1) / own.max()
        self.assertTrue(brightness.min() < 0.5 and brightness.max() > 0.9)
        meshes_window.drawMeshes(axes, mesh, own, (2, 0.0))  # a slice beside the membranes has none
        self.assertEqual(len(axes.lines), 0)
        empty = meshes_data.joined([])
        meshes_window.drawMeshes(axes, empty, meshes_window.colours(empty, by["membrane"], None))
        self.assertIn("No surface", axes.texts[0].get_text())


class TestCryodlClassDrawings(Volumes):
    def blob(self, x, y, z, side=24):
        """A ball at x, y, z px from the middle voxel."""
        grid = np.indices((side,) * 3) - side // 2
        return np.exp(-((grid[2] - x) ** 2 + (grid[1] - y) ** 2 + (grid[0] - z) ** 2) / 4).astype(np.float32)

    def peaks(self, images):
        return [tuple(np.array(np.unravel_index(image.argmax(), image.shape)) - 12) for image in images]

    def test_a_volume_is_turned_as_its_transform_turns_places(self):
        rotation = np.array([[0, -1, 0, 2], [1, 0, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1.0]])  # x, y, z -> 2 - y, x, z - 1
        images = viewer_subtomograms.rotatedSlices(self.blob(6, 0, 1), rotation)  # lands at x, y, z = 2, 6, 0
        self.assertEqual(self.peaks(images)[0], (6, 2))
        images = viewer_subtomograms.rotatedSlices(self.blob(0, 2, 6), rotation)  # at 0, 0, 5
        self.assertEqual(self.peaks(images)[1:], [(5, 0), (5, 0)])

    def test_middle_slices_are_across_z_y_and_x(self):
        self.assertEqual(self.peaks(viewer_subtomograms.middleSlices(self.blob(4, 0, 0)))[:2], [(0, 4), (0, 4)])
        self.assertEqual(self.peaks(viewer_subtomograms.middleSlices(self.blob(0, 5, -3)))[2], (-3, 5))

    def test_the_confusion_is_drawn_with_its_numbers(self):
        axes = Figure().add_subplot()
        viewer_subtomograms.drawConfusion(axes, [[8, 2, 0], [1, 9, 3]], ["a", "b"], ["a", "b", "unknown"])
        self.assertEqual([t.get_text() for t in axes.texts], ["8", "2", "0", "1", "9", "3"])
        self.assertEqual(axes.images[0].get_array()[0].tolist(), [0.8, 0.2, 0])

    def test_an_embedding_names_its_classes_as_their_averages_do(self):
        path = os.path.join(self._folder.name, "embedding.csv")
        with open(path, "w") as file:
            file.write("name,class,component 1,component 2\na.mrc,1,0.5,1.5\nb.mrc,2,-1,2\nc.mrc,1,0.6,1.4\n")
        positions, numbers = viewer_subtomograms.readEmbedding(path)
        self.assertEqual((positions.tolist(), numbers.tolist()), ([[0.5, 1.5], [-1, 2], [0.6, 1.4]], [1, 2, 1]))
        axes, figure = Figure().add_subplot(), Figure()
        averages = [("cluster 1", 2, self.write("one", self.blob(0, 0, 0))), ("cluster 2", 1, None)]
        viewer_subtomograms.drawEmbedding(axes, positions, numbers, {1: "cluster 1", 2: "cluster 2"})
        viewer_subtomograms.drawAverages(figure, averages)
        self.assertEqual([t.get_text() for t in axes.get_legend().get_texts()], ["cluster 1 (2)", "cluster 2 (1)"])
        self.assertEqual([len(axes.images) for axes in figure.axes], [1, 1, 1, 0, 0, 0])
        with self.assertRaisesRegex(ValueError, "no column `class`"):
            with open(path, "w") as file:
                file.write("name\na\n")
            viewer_subtomograms.readEmbedding(path)

    def test_the_table_of_features_ends_with_sums(self):
        found = {
            name: dict(
                membrane=dict(voxels=10, volume_nm3=2.5, components=1, area_nm2=None),
                ribosome=dict(voxels=4, volume_nm3=1.0, components=2, area_nm2=3.0),
            )
            for name in "ab"
        }
        rows = viewer_tomograms.foundRows(found)
        self.assertEqual(len(rows), 6)
        self.assertEqual(
            rows[-2:],
            [("all tomograms", "membrane", "5", "2", "-", "20"), ("all tomograms", "ribosome", "2", "4", "6", "8")],
        )
        self.assertEqual(len(viewer_tomograms.foundRows(dict(a=found["a"]))), 2)
        self.assertEqual(
            viewer_tomograms.judgedRows(dict(x=dict(dice=0.5, recall=None)))[0], ("x", "0.500", "-", "-", "-", "-", "-")
        )
