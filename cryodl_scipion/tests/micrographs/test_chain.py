# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole chain with the real engine and RELION on simulated micrographs whose ground truth is known.

Import, import of CTF, training, picking, extraction, 2-D classification. Minutes; skipped with a sentence where RELION
or the engine's environment is missing.
"""

import glob
import os
import unittest

import mrcfile
import numpy as np
from pwem.objects import CTFModel
from pwem.protocols import ProtImportCTF
from scipy.ndimage import gaussian_filter

from ...protocols import CryodlProtPick, CryodlProtTrainPicker
from .. import synthetic
from ..base import CryodlTest
from ..simulated import DIAMETER, PIXEL_SIZE, SIDE, missing, readPositions, simulate

BOX = 56  # px
TRAINED_ON = 2  # micrographs; the others test
LABEL = "outputMicrographs"


@unittest.skipIf(missing(), missing())
class TestCryodlChain(CryodlTest):
    _REAL_ENGINE = True

    @classmethod
    def prepare(cls):
        from relion.protocols import ProtRelionClassify2D, ProtRelionExtractParticles

        simulated = simulate(cls.data)
        cls.ground_truth = {
            os.path.basename(p)[:-5]: readPositions(p) for p in glob.glob(simulated + "/coordinates/*.star")
        }
        cls.ctfFolder = os.path.join(simulated, "ctf")
        cls.imported = cls.importMicrographs(os.path.join(simulated, "micrographs"), pixelSize=PIXEL_SIZE)
        cls.ctf = cls.good(
            ProtImportCTF,
            dict(inputMicrographs=(cls.imported, LABEL)),
            filesPath=cls.ctfFolder,
            importFrom=ProtImportCTF.IMPORT_FROM_GRIGORIEFF,
            filesPattern="*.txt",
        )
        cls.names = {m.getObjId(): m.getMicName()[:-4] for m in cls.imported.outputMicrographs}
        ids = sorted(cls.names)
        labels = cls.makeCoordinates(
            cls.imported, {i: np.rint(cls.ground_truth[cls.names[i]]) for i in ids[:TRAINED_ON]}
        )
        cls.tested = [cls.names[i] for i in ids[TRAINED_ON:]]
        cls.trained = cls.good(
            CryodlProtTrainPicker,
            dict(inputCoordinates=(labels, "outputCoordinates")),
            useGpu=False,
            particleDiameter=DIAMETER,
            steps=100,
        )
        cls.picked = cls.good(
            CryodlProtPick,
            dict(inputMicrographs=(cls.imported, LABEL), inputModel=(cls.trained, "outputModel")),
            useGpu=False,
        )
        cls.extracted = cls.good(
            ProtRelionExtractParticles,
            dict(inputCoordinates=(cls.picked, "outputCoordinates"), ctfRelations=(cls.ctf, "outputCTF")),
            boxSize=BOX,
            doInvert=True,
            doNormalize=True,
            numberOfMpi=1,
        )
        cls.classified = cls.good(
            ProtRelionClassify2D,
            dict(inputParticles=(cls.extracted, "outputParticles")),
            maskDiameterA=int(DIAMETER * 1.2),
            numberOfClasses=3,
            numberOfIterations=4,
            useGradientAlg=False,
            doGpu=False,
            numberOfMpi=1,
            numberOfThreads=1,
            pooledParticles=10,
        )

    @classmethod
    def good(cls, protocolClass, pointers, **values):
        protocol = cls.runProtocol(protocolClass, pointers, **values)
        if not protocol.isFinished():
            lines = "\n".join(protocol.getLogsLastLines(40, logFile=0))
            raise AssertionError(f"{protocolClass.__name__}: {protocol.getErrorMessage()}\n{lines}")
        return protocol

    def picks(self):
        """{micrograph name: (n, 2) x, y}."""
        found = {name: [] for name in self.names.values()}
        for item in self.picked.outputCoordinates.iterItems():
            found[self.names[item.getMicId()]].append(item.getPosition())
        return {name: np.array(positions, float).reshape(-1, 2) for name, positions in found.items()}

    def image(self, name):
        path = os.path.join(os.path.dirname(self.ctfFolder), "micrographs", name + ".mrc")
        with mrcfile.open(path) as mrc:
            return mrc.data.copy()

    # ----- picks
    def test_particles_are_found_on_micrographs_that_training_never_saw(self):
        picks, radius = self.picks(), DIAMETER / PIXEL_SIZE / 2
        found = total = made = 0
        for name in self.tested:
            distance = np.linalg.norm(self.ground_truth[name][:, None] - picks[name][None], axis=2)
            found += int((distance.min(axis=1) < 0.5 * radius).sum())
            total, made = total + len(self.ground_truth[name]), made + len(picks[name])
        self.assertGreater(found / total, 0.85)
        self.assertGreater(found / made, 0.85)

    def test_picks_lie_on_blobs_and_their_mirror_images_do_not(self):
        """Difference of Gaussians at the picks, against the three flips of the picks."""
        picks, wins = self.picks(), []
        for name in self.tested:
            image, sigma = self.image(name), DIAMETER / PIXEL_SIZE / 5
            blobs = gaussian_filter(-image, sigma) - gaussian_filter(-image, 2 * sigma)
            x, y = np.rint(picks[name]).astype(int).T
            mean = lambda xs, ys: blobs[ys, xs].mean()
            flips = (mean(SIDE - 1 - x, y), mean(x, SIDE - 1 - y), mean(y, x))
            wins.append(mean(x, y) - max(flips) > blobs.std())
        self.assertTrue(all(wins), wins)

    # ----- particles
    def test_numbers_sizes_and_ctf_of_the_particles(self):
        particles = self.extracted.outputParticles
        inside = sum(((p >= BOX // 2) & (p < SIDE - BOX // 2)).all(axis=1).sum() for p in self.picks().values())
        # RELION leaves out boxes that leave the micrograph, by its own rounding
        self.assertAlmostEqual(
            particles.getSize(),
            self.picked.outputCoordinates.getSize(),
            delta=self.picked.outputCoordinates.getSize() - inside,
        )
        self.assertEqual((particles.getSamplingRate(), particles.getXDim()), (PIXEL_SIZE, BOX))
        particle = particles.getFirstItem()
        self.assertIsInstance(particle.getCTF(), CTFModel)
        name = self.names[particle.getMicId()]
        with open(os.path.join(self.ctfFolder, name + ".txt")) as file:
            defocus = float([line for line in file if line[0] != "#"][0].split()[1])
        self.assertAlmostEqual(particle.getCTF().getDefocusU(), defocus, delta=1)
        self.assertGreater(particle.getCoordinate()._cryodlScore.get(), 0)

    def boxes(self):
        """[(extracted image, image cut at the coordinate, name, x, y)] of a part of the particles."""
        found = []
        for particle in [p.clone() for p in self.extracted.outputParticles][::3]:
            index, path = particle.getLocation()
            with mrcfile.open(path) as mrc:
                extracted = mrc.data[index - 1].copy()
            name, (x, y) = self.names[particle.getMicId()], particle.getCoordinate().getPosition()
            cut = self.image(name)[y - BOX // 2 : y + BOX // 2, x - BOX // 2 : x + BOX // 2]
            if cut.shape == (BOX, BOX):
                found.append((extracted, cut, name, x, y))
        return found

    def test_extracted_boxes_are_what_lies_at_the_coordinates(self):
        """Neither shifted nor mirrored, and with the contrast turned once."""
        for extracted, cut, *_ in self.boxes():
            here = correlation(extracted, -cut)
            self.assertGreater(here, 0.95)
            self.assertLess(
                max(
                    correlation(extracted, -cut[::-1]),
                    correlation(extracted, -cut[:, ::-1]),
                    correlation(extracted, -cut.T),
                ),
                0.5 * here,
            )

    def test_particles_are_in_the_middle_of_their_boxes(self):
        mean = np.mean([extracted for extracted, *_ in self.boxes()], axis=0)
        mean = np.clip(gaussian_filter(mean, 2) - np.median(mean), 0, None)
        inner = mean[BOX // 4 : -BOX // 4, BOX // 4 : -BOX // 4]
        y, x = np.mgrid[: inner.shape[0], : inner.shape[1]]
        centre = [(axis * inner).sum() / inner.sum() for axis in (x, y)]
        # of 28 px; the box's middle is its pixel BOX // 2, and the body's own centre of mass is not its origin
        self.assertLess(abs(centre[0] - BOX // 4), 1.5)
        self.assertLess(abs(centre[1] - BOX // 4), 1.5)

    # ----- classes
    def test_classes_hold_all_particles_at_their_pixel_size(self):
        classes = self.classified.outputClasses
        self.assertEqual(sum(c.getSize() for c in classes.iterItems()), self.extracted.outputParticles.getSize())
        average = max((c.clone() for c in classes.iterItems()), key=lambda c: c.getSize()).getRepresentative()
        index, path = average.getLocation()
        with mrcfile.open(path.split(":")[0]) as mrc:
            image = mrc.data[index - 1]
        self.assertEqual((classes.getSamplingRate(), image.shape), (PIXEL_SIZE, (BOX, BOX)))
        middle = slice(BOX // 2 - 6, BOX // 2 + 6)
        self.assertGreater(image[middle, middle].mean(), image.mean() + image.std())

    # ----- the real engine's way with bad input
    def test_a_micrograph_that_the_real_engine_cannot_read_is_left_out_alone_in_its_batch(self):
        folder = os.path.join(self.data, "with_bad")
        synthetic.writeMicrographs(folder, 2)
        imported = self.importMicrographs(folder)
        synthetic.writeDamaged(os.path.join(folder, "mic_002.mrc"))
        protocol = self.good(
            CryodlProtPick,
            dict(inputMicrographs=(imported, LABEL), inputModel=(self.trained, "outputModel")),
            useGpu=False,
            streamingBatchSize=1,
        )
        text = "\n".join(protocol.summary())
        self.assertIn("*1 skipped:*", text)
        self.assertIn("mic_002", text)


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]
