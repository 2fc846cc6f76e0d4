# SPDX-License-Identifier: GPL-3.0-or-later
"""A map and its model fit together after their way through Scipion, whichever of the two origins is the right one."""

import gzip
import os
import shutil
import tempfile
import unittest

import mrcfile
import numpy as np
from pwem.objects import SetOfVolumes
from pwem.protocols import ProtImportPdb, ProtImportVolumes

from ...convert.maps import (
    AUTOMATIC,
    FRAMES,
    HEADER,
    SCIPION,
    frameOf,
    halfForEngine,
    headerOrigin,
    headerWarnings,
    mapForEngine,
    positionsOf,
    scipionOrigin,
    structureForEngine,
)
from ...convert.names import withoutChecksum
from ...protocols import CryodlProtImproveMap
from ...protocols.inputs import writtenAt
from ..base import CryodlTest
from ..map_sets import ATOMS, PIXEL_SIZE, SHAPE, makeVolume, writeMap, writeModelOf

DEPOSITED = (37.0, -12.0, 104.0)
CENTRED = tuple(-PIXEL_SIZE * n / 2 for n in SHAPE[::-1])


def densityAtAtoms(path, model):
    """Values of an MRC file at the atoms, by its header alone, as the engine and ChimeraX position it; 0 outside."""
    with mrcfile.open(path) as mrc:
        origin = np.array([float(mrc.header.origin[axis]) for axis in "xyz"])
        positions = np.rint((positionsOf(model) - origin) / mrc.voxel_size.x).astype(int)
        inside = ((positions >= 0) & (positions < mrc.data.shape[::-1])).all(axis=1)
        return np.array([mrc.data[z, y, x] if there else 0 for (x, y, z), there in zip(positions, inside)])


class TestMapFrames(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="cryodl-frames-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def fits(self, volume, model, choice=AUTOMATIC):
        """Whether the engine's map is dense at all atoms."""
        frame = frameOf(volume, model, choice)
        return bool((densityAtAtoms(mapForEngine(volume, self.path("input"), frame.xyz), model) == 1).all())

    def test_a_deposited_map_with_scipions_default_origin_fits_by_its_header(self):
        volume = makeVolume(writeMap(self.path("map.mrc"), DEPOSITED), CENTRED)
        model = writeModelOf(self.path("model.pdb"), DEPOSITED)
        self.assertTrue(self.fits(volume, model))
        self.assertIn(FRAMES[HEADER], frameOf(volume, model).word)
        self.assertFalse(self.fits(volume, model, SCIPION))

    def test_a_model_that_was_built_about_the_middle_fits_by_scipions_origin(self):
        for origin in (None, CENTRED):
            volume = makeVolume(writeMap(self.path("map.mrc")), origin)
            model = writeModelOf(self.path("model.pdb"), CENTRED)
            self.assertTrue(self.fits(volume, model))
            self.assertIn(FRAMES[SCIPION], frameOf(volume, model).word)
            self.assertFalse(self.fits(volume, model, HEADER))

    def test_where_both_agree_the_file_itself_is_taken(self):
        volume = makeVolume(writeMap(self.path("map.mrc"), DEPOSITED), DEPOSITED)
        frame = frameOf(volume, writeModelOf(self.path("model.cif"), DEPOSITED, cif=True))
        self.assertIn("agree", frame.word)
        self.assertEqual(mapForEngine(volume, self.path("input"), frame.xyz), self.path("map.mrc"))

    def test_starts_of_the_grid_and_permuted_axes_are_understood(self):
        # z, y, x stand in the file as columns, rows, sections; starts are of these
        path = writeMap(self.path("map.mrc"), starts=(6, 7, 8), order=(2, 1, 0))
        begins = tuple(PIXEL_SIZE * n for n in (8, 7, 6))
        self.assertEqual(headerOrigin(path, PIXEL_SIZE), begins)
        volume, model = makeVolume(path, CENTRED), writeModelOf(self.path("model.pdb"), begins)
        self.assertEqual(frameOf(volume, model).xyz, begins)
        self.assertIn(FRAMES[SCIPION], frameOf(volume, writeModelOf(self.path("other.pdb"), CENTRED)).word)

    def test_the_pixel_size_is_scipions_whatever_the_header_says(self):
        volume = makeVolume(writeMap(self.path("map.mrc"), DEPOSITED, pixelSize=1.0), DEPOSITED)
        model = writeModelOf(self.path("model.pdb"), DEPOSITED)
        self.assertEqual(
            mapForEngine(volume, self.path("input"), DEPOSITED), self.path("map.mrc")
        )  # the engine is told
        self.assertTrue((densityAtAtoms(mapForEngine(volume, self.path("input"), DEPOSITED, True), model) == 1).all())

    def test_copies_change_the_header_only_and_inputs_stay(self):
        path = writeMap(self.path("map.mrc"))
        before = open(path, "rb").read()
        copy = mapForEngine(makeVolume(path), self.path("input"), DEPOSITED)
        self.assertEqual(open(path, "rb").read(), before)
        np.testing.assert_array_equal(mrcfile.read(copy), mrcfile.read(path))
        half = halfForEngine(writeMap(self.path("half.mrc")), makeVolume(path), self.path("input"), DEPOSITED)
        self.assertNotEqual(half, copy)
        self.assertEqual(headerOrigin(half, PIXEL_SIZE), DEPOSITED)

    def test_each_map_of_a_stack_is_given_to_the_engine_as_a_file_of_its_own(self):
        maps = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
        copies, contents, called = set(), [], set()
        for name, numbers in (("stack", (1, 2, 3)), ("one", (0,))):  # which Scipion does not number
            path = self.path(f"{name}.mrc")
            with mrcfile.new(path) as mrc:
                mrc.set_data(maps[: len(numbers)])  # as Scipion's import takes for so many maps
                mrc.voxel_size = PIXEL_SIZE
            for index in numbers:
                volume, number = makeVolume(path), max(1, index)
                volume.setLocation(index, path)
                for made in (mapForEngine(volume, self.path("input")), structureForEngine(volume, self.path("models"))):
                    np.testing.assert_array_equal(mrcfile.read(made), maps[number - 1])
                    self.assertTrue(withoutChecksum(made).endswith(f"{name}_{number}.mrc"), made)  # so its warnings say
                    copies.add(made)
                contents.append(writtenAt(volume))
                # commands that call results by the names of structures refuse two of one name
                called.add(os.path.basename(structureForEngine(volume, self.path("named"), named=True)))
        self.assertEqual((len(copies), len({*map(str, contents)}), len(called)), (8, 4, 4))

    def test_half_maps_of_one_name_in_two_folders_are_two_copies(self):
        copies = set()
        for folder in ("first", "second"):
            os.makedirs(self.path(folder), exist_ok=True)
            path = writeMap(os.path.join(self.path(folder), "half.mrc"))
            copies.add(halfForEngine(path, makeVolume(path), self.path("input"), DEPOSITED))
        self.assertEqual(len(copies), 2)

    def test_the_lengths_of_a_copy_with_permuted_axes_are_those_of_x_y_and_z(self):
        path = writeMap(self.path("map.mrc"), order=(2, 1, 0))
        with mrcfile.open(mapForEngine(makeVolume(path), self.path("input"), DEPOSITED), header_only=True) as mrc:
            header = mrc.header
            self.assertEqual((int(header.mx), int(header.my), int(header.mz)), SHAPE[::-1])

    def test_headers_that_contradict_scipions_pixel_size_are_said(self):
        volume = makeVolume(writeMap(self.path("map.mrc")))
        several = SetOfVolumes(filename=self.path("maps.sqlite"))
        several.append(volume)
        several.append(makeVolume(writeMap(self.path("right.mrc"))))
        said = []
        for size in (PIXEL_SIZE, 1.0, (PIXEL_SIZE, PIXEL_SIZE, 2 * PIXEL_SIZE), 2 * PIXEL_SIZE):
            with mrcfile.open(volume.getFileName(), "r+") as mrc:
                mrc.voxel_size = size
            said.append(headerWarnings([several, None]))
        self.assertEqual((said[:2], len(said[3])), ([[], []], 1))
        self.assertIn(f"Scipion's pixel size of {PIXEL_SIZE:g} Å, from the import, is used instead", said[2][0])
        self.assertTrue(said[2][0].endswith("resample the map first."), said)
        self.assertTrue(said[3][0].endswith("import the map again with its pixel size."), said)
        run = CryodlProtImproveMap()
        run.inputVolume.set(volume)
        self.assertEqual(run.warnings()[:1], said[3])

    def test_atoms_are_read_from_pdb_mmcif_and_compressed_files(self):
        pdb, cif = writeModelOf(self.path("a.pdb"), DEPOSITED), writeModelOf(self.path("a.cif"), DEPOSITED, cif=True)
        wanted = ATOMS * PIXEL_SIZE + np.array(DEPOSITED)
        with open(pdb, "rb") as file, gzip.open(pdb + ".gz", "wb") as packed:
            packed.write(file.read())
        for path in (pdb, cif, pdb + ".gz"):
            np.testing.assert_allclose(positionsOf(path), wanted)
        self.assertEqual(len(positionsOf(pdb, maximum=3)), 3)
        with open(self.path("empty.pdb"), "w") as file:
            file.write("REMARK nothing\n")
        with self.assertRaisesRegex(ValueError, "empty.pdb contains no atoms"):
            positionsOf(self.path("empty.pdb"))


class TestCryodlImportedFrames(CryodlTest):
    def imported(self, header, model, **values):
        """(Volume, model's file) of Scipion's own imports."""
        os.makedirs(self.data, exist_ok=True)
        path = writeMap(os.path.join(self.data, "map.mrc"), header)
        volume = self.newProtocol(ProtImportVolumes, filesPath=path, samplingRate=PIXEL_SIZE, **values)
        self.launchProtocol(volume)
        pdb = self.newProtocol(ProtImportPdb, inputPdbData=1, pdbFile=writeModelOf(self.data + "/model.pdb", model))
        self.launchProtocol(pdb)
        return volume.outputVolume, pdb.outputPdb.getFileName()

    def test_maps_and_models_that_scipion_imported_fit(self):
        negative = {axis: -value for axis, value in zip("xyz", DEPOSITED)}  # as the form of the import wants it
        for header, model, values in (
            (DEPOSITED, DEPOSITED, dict(setOrigCoord=False)),
            ((0, 0, 0), CENTRED, dict(setOrigCoord=False)),
            ((0, 0, 0), DEPOSITED, dict(setOrigCoord=True, **negative)),
        ):
            volume, pdb = self.imported(header, model, **values)
            frame = frameOf(volume, pdb)
            self.assertTrue(
                (densityAtAtoms(mapForEngine(volume, self.data + "/in", frame.xyz), pdb) == 1).all(), values
            )
            np.testing.assert_allclose(frame.xyz, model, atol=1e-4)
        self.assertEqual(scipionOrigin(volume), DEPOSITED)
