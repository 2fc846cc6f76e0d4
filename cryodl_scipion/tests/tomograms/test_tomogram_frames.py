# SPDX-License-Identifier: GPL-3.0-or-later
"""One lopsided object through the engine, Scipion and back: axis order, handedness, signs and origins of volumes.

What is expected here comes from tomo's own definitions, not from our code: a transform M says f'(r) = f(M r), and
BOTTOM_LEFT_CORNER counts from the first voxel.
"""

import json
import os
import subprocess
import unittest

import mrcfile
import numpy as np
from pwem.objects import Transform
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import SetOfSubTomograms, SubTomogram

from ... import Plugin
from ...convert.relion_star import matrixOf
from ...convert.tomograms.subtomograms import writeSubtomograms
from ...protocols import CryodlProtPickFeatures
from ..base import CryodlTest
from ..particle_sets import finishedWith
from ..simulated import missingEngine
from ..tomogram_sets import makeMasks, makeTomograms, writeVolume

BOX, PIXEL_SIZE = 48, 8.0
# x, y, z of blobs from the middle voxel, px: unlike its mirror image, and no two axes alike
BLOBS = np.array([(0, 0, 0), (13, 0, 0), (0, 9, 0), (0, 4, 15), (-7, -8, 3)], float)
ANGLES, SHIFT = (35.0, 65.0, -110.0), np.array((3.0, -2.0, 4.0))  # shift x, y, z px of the particle in its box
ROTATION = f"""
import json, sys, mrcfile, numpy as np, torch
from cryodl.simulate.rotations import rotated
from cryodl.io.subtomograms import read_subtomograms
star, reference, target = sys.argv[1:]
if star == 'none':
    angles, shifts = [{ANGLES!r}], [{tuple(SHIFT[::-1])!r}]
else:
    found = read_subtomograms(star, need=('angles',))
    angles, shifts = found.angles, found.shifts_zyx
density = torch.from_numpy(mrcfile.read(reference).astype(np.float32))
with mrcfile.new(target, overwrite=True) as mrc:
    mrc.set_data(rotated(density, np.array(angles), np.array(shifts))[0].numpy())
print(json.dumps([np.array(angles).tolist(), np.array(shifts).tolist()]))
"""


def density(blobs):
    """(z, y, x) array with a narrow blob at each (x, y, z) from the middle voxel."""
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    return sum(np.exp(-((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2) / 8) for bx, by, bz in blobs).astype(np.float32)


def likeness(one, other):
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlTomogramFrames(CryodlTest):
    """With the real engine."""

    _REAL_ENGINE = True

    def rotation(self, star="none", reference=None):
        """(z, y, x) volume that the engine makes of the lopsided object, and the angles and shifts that it used."""
        source = writeVolume(
            os.path.join(self.data, "reference.mrc"), density(BLOBS) if reference is None else reference
        )
        target = os.path.join(self.data, "turned.mrc")
        answer = subprocess.run(
            [Plugin.getPython(), "-c", ROTATION, star, source, target],
            env=Plugin.getEnviron(),
            capture_output=True,
            text=True,
        )
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return mrcfile.read(target), json.loads(answer.stdout.splitlines()[-1])

    def test_scipions_matrix_of_our_angles_turns_the_object_as_the_engine_does(self):
        rotated, _ = self.rotation()
        # f'(r) = f(M r): what lies at p in the reference lies at M^-1 p in the subtomogram
        inverse = np.linalg.inv(matrixOf(ANGLES, -SHIFT))
        positions = BLOBS @ inverse[:3, :3].T + inverse[:3, 3]
        self.assertGreater(likeness(rotated, density(positions)), 0.97)
        mirrored = BLOBS * (1, 1, -1) @ inverse[:3, :3].T + inverse[:3, 3]
        self.assertLess(likeness(rotated, density(mirrored)), 0.8)

    def test_a_subtomogram_goes_to_scipion_and_back_with_its_pose(self):
        first, _ = self.rotation()

        def make(protocol):
            subtomograms = SetOfSubTomograms.create(protocol._getPath())
            subtomograms.setSamplingRate(PIXEL_SIZE)
            item = SubTomogram()
            item.setFileName(writeVolume(protocol._getExtraPath("sub.mrc"), first, PIXEL_SIZE))
            item.setSamplingRate(PIXEL_SIZE)
            item.setVolName("TS_1")
            item.setTransform(Transform(matrixOf(ANGLES, -SHIFT)))
            subtomograms.append(item)
            subtomograms.write()
            return dict(outputSubtomograms=subtomograms)

        stored = finishedWith(self, make).outputSubtomograms
        star = os.path.join(self.data, "back.star")
        writeSubtomograms(star, stored, (-60.0, 60.0))
        again, ((angles,), (shift,)) = self.rotation(star)
        self.assertTrue(np.allclose(angles, ANGLES, atol=1e-3), angles)
        self.assertTrue(np.allclose(shift, SHIFT[::-1], atol=1e-3), shift)
        self.assertGreater(likeness(first, again), 0.9999)

    def test_a_piece_of_a_segmentation_comes_back_at_its_voxels_wherever_the_origin_is(self):
        shape, found = (20, 44, 32), {}
        volume = np.zeros(shape, np.int8)
        volume[11:14, 29:34, 6:9] = 1  # z, y, x; its middle is x 7, y 31, z 12
        for name, origin in (("middle", None), ("corner", (0.0, 0.0, 0.0)), ("odd", (-33.0, 50.0, 7.0))):
            tomograms = makeTomograms(
                self, ("TS_1",), origin=dict(TS_1=origin), data=dict(TS_1=volume.astype(np.float32))
            )
            masks = makeMasks(self, tomograms, dict(TS_1=volume))
            protocol = self.runProtocol(
                CryodlProtPickFeatures,
                dict(inputMasks=(masks, "outputMasks"), inputTomograms=(tomograms, "outputTomograms")),
                label=1,
            )
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            found[name] = [c.getPosition(BOTTOM_LEFT_CORNER) for c in protocol.outputCoordinates.iterCoordinates()]
        for name, positions in found.items():
            self.assertEqual(len(positions), 1, name)
            self.assertTrue(np.allclose(positions[0], (7, 31, 12), atol=0.01), (name, positions))

    def test_the_z_axis_of_a_picked_place_lies_along_the_normal_of_its_membrane(self):
        normal = np.array((2.0, 1.0, 3.0)) / 14**0.5  # x, y, z
        z, y, x = np.mgrid[:40, :44, :36]
        distance = (x - 18) * normal[0] + (y - 22) * normal[1] + (z - 20) * normal[2]
        volume = (abs(distance) < 1.5).astype(np.int8)
        tomograms = makeTomograms(self, ("TS_1",), data=dict(TS_1=volume.astype(np.float32)))
        masks = makeMasks(self, tomograms, dict(TS_1=volume))
        protocol = self.runProtocol(
            CryodlProtPickFeatures, dict(inputMasks=(masks, "outputMasks")), label=1, shape=3, border=80.0
        )
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        items = [c.clone() for c in protocol.outputCoordinates.iterCoordinates()]
        self.assertGreater(len(items), 3)
        for item in items:
            # the reference's z axis, in the tomogram
            axis = np.linalg.inv(item.getMatrix())[:3, :3] @ (0, 0, 1)
            self.assertGreater(abs(axis @ normal), 0.97, axis)
