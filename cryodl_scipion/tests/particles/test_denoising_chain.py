# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising with the real engine and RELION on simulated particles whose ground truth is known.

Simulation, training, denoising, first orientations, back-projection, and the same map by relion_reconstruct. Minutes;
skipped with a sentence where RELION or the engine's environment is missing.
"""

import unittest

import mrcfile
import numpy as np
from pwem.objects import Volume

from ...convert.particles.denoised import denoiserOf, rawImageOf
from ...convert.particles.particles import nameOf
from ...protocols import (
    CryodlProtAssignOrientations,
    CryodlProtBackProject,
    CryodlProtDenoise,
    CryodlProtSimulateParticles,
    CryodlProtTrainDenoiser,
)
from ...viewers.gallery_window import DENOISED, RAW, Gallery, readParticle
from ..particle_sets import ParticlesTest, addTo
from ..simulated import importedBody, missing

PIXEL_SIZE, BOX, COUNT = 6.0, 32, 120  # Å/px, px
SNR = 0.3  # of a few particles a map must come
STEP = 15  # °
COARSE = 7  # shells of the map (of 192 Å), to 32 Å: 60 particles have no more in a half-map


@unittest.skipIf(missing(), missing())
class TestCryodlDenoisingChain(ParticlesTest):
    _REAL_ENGINE = _SLOW = True

    @classmethod
    def prepare(cls):
        from relion.protocols import ProtRelionReconstruct

        cls.volume = importedBody(cls)
        structure = dict(inputStructure=(cls.volume, "outputVolume"))
        cls.simulated = cls.good(
            CryodlProtSimulateParticles,
            structure,
            pixelSize=PIXEL_SIZE,
            box=BOX,
            count=COUNT,
            snr=SNR,
            perMicrograph=10,
        )
        cls.trained = cls.finished(cls.trainOn(cls.simulated))
        raw, model = (
            dict(inputParticles=(cls.simulated, "outputParticles")),
            dict(inputModel=(cls.trained, "outputModel")),
        )
        cls.denoised = cls.good(CryodlProtDenoise, dict(raw, **model))
        cls.oriented = cls.good(CryodlProtAssignOrientations, dict(raw, **dict(structure, **model)), angularStep=STEP)
        oriented = dict(inputParticles=(cls.oriented, "outputParticles"))
        cls.map = cls.good(CryodlProtBackProject, oriented)
        cls.relions = cls.runProtocol(ProtRelionReconstruct, oriented, doCTF=True, numberOfMpi=1)
        cls.finished(cls.relions)

    @classmethod
    def good(cls, protocolClass, pointers, **values):
        return cls.finished(cls.runProtocol(protocolClass, pointers, useGpu=False, **values))

    @classmethod
    def trainOn(cls, simulated):
        protocol = cls.makeProtocol(CryodlProtTrainDenoiser, useGpu=False)
        addTo(protocol.inputSets, [simulated], "outputParticles")
        addTo(protocol.inputStructures, [simulated], "outputVolume")
        cls.proj.launchProtocol(protocol, wait=True)
        return protocol

    # ----- particles
    def test_denoised_images_are_nearer_to_the_truth_than_raw_ones(self):
        clean = [readParticle(nameOf(item)) for item in self.simulated.outputClean]
        gallery = Gallery.ofSet(self.denoised.outputParticles)
        gain = []
        for position, ground_truth in enumerate(clean):
            raw, denoised = (correlation(image, ground_truth) for image in gallery.images(position))
            gain.append(denoised - raw)
        self.assertGreater(np.mean(gain), 0.15)
        self.assertGreater(np.mean(np.array(gain) > 0), 0.95)

    def test_denoised_particles_lead_back_to_the_raw_ones(self):
        self.assertTrue(denoiserOf(self.denoised.outputParticles).startswith("denoiser_"))
        raw = [nameOf(item) for item in self.simulated.outputParticles]
        self.assertEqual([rawImageOf(item) for item in self.denoised.outputParticles], raw)
        self.assertEqual(Gallery.ofSet(self.denoised.outputParticles).names[RAW], raw)
        back = self.finished(
            self.runProtocol(CryodlProtDenoise, dict(inputParticles=(self.denoised, "outputParticles")), what=1)
        )
        self.assertEqual([nameOf(item) for item in back.outputParticles], raw)
        self.assertNotIn(DENOISED, Gallery.ofSet(back.outputParticles).names)

    # ----- orientations
    def test_orientations_are_near_the_truth(self):
        errors = [
            angleBetween(ours.getTransform().getMatrix(), theirs.getTransform().getMatrix())
            for ours, theirs in zip(clones(self.oriented.outputParticles), clones(self.simulated.outputParticles))
        ]
        self.assertLess(np.median(errors), 12)
        self.assertGreater(np.mean(np.array(errors) < STEP), 0.7)

    def test_oriented_particles_are_the_raw_ones_with_scores(self):
        self.assertEqual(
            [nameOf(item) for item in self.oriented.outputParticles],
            [nameOf(item) for item in self.simulated.outputParticles],
        )
        gallery = Gallery.ofSet(self.oriented.outputParticles)
        self.assertTrue(np.isfinite(gallery.metrics["Score"]).all())
        self.assertTrue((gallery.metrics["Margin to the runner-up"] >= 0).all())

    # ----- maps
    def density(self, volume):
        with mrcfile.open(volume.getFileName().split(":")[0]) as mrc:
            return mrc.data.copy()

    def test_the_map_is_that_of_the_particles(self):
        volume = self.map.outputVolume
        self.assertEqual((volume.getSamplingRate(), volume.getDim()), (PIXEL_SIZE, (BOX, BOX, BOX)))
        ground_truth = self.density(self.simulated.outputVolume)
        found = correlation(self.density(volume), ground_truth)
        self.assertGreater(found, 0.8)
        for mirrored in (ground_truth[::-1], ground_truth[:, ::-1], ground_truth[:, :, ::-1]):
            self.assertLess(correlation(self.density(volume), mirrored), found - 0.05)

    def test_half_maps_and_their_correlation_are_there(self):
        halves = self.map.outputVolume.getHalfMaps().split(",")
        one, two = (self.density(Volume(location=path)) for path in halves)
        self.assertGreater(shells(one, two)[1:COARSE].mean(), 0.7)
        self.assertFalse(np.array_equal(one, two))
        frequencies, values = self.map.outputFSC.getData()
        np.testing.assert_allclose(frequencies, np.arange(BOX // 2 + 1) / (BOX * PIXEL_SIZE), atol=1e-6)
        self.assertGreater(min(values[1:COARSE]), 0.5)

    def test_relion_makes_the_same_map_of_the_oriented_particles(self):
        """So RELION understands angles, shifts and CTF of the set as we do."""
        ours, theirs = self.density(self.map.outputVolume), self.density(self.relions.outputVolume)
        # our map is filtered by its FSC and RELION's is not: shells can be compared, maps cannot
        self.assertGreater(shells(ours, theirs)[1:COARSE].min(), 0.9)


def clones(particles):
    return [item.clone() for item in particles]


def angleBetween(one, other):
    """Degrees between the orientations of two of Scipion's (4, 4) matrices."""
    rotation = np.asarray(one)[:3, :3] @ np.asarray(other)[:3, :3].T
    return np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def correlation(one, other):
    return np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]


def shells(one, other):
    """Correlation of two maps in shells of Fourier space, from 0 to the box's half."""
    one, other = np.fft.fftn(one), np.fft.fftn(other)
    radius = np.rint(
        np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) * n for n in one.shape], indexing="ij")))
    )
    total = lambda values: np.bincount(radius.astype(int).ravel(), values.real.ravel())
    return (total(one * other.conj()) / np.sqrt(total(abs(one) ** 2) * total(abs(other) ** 2)))[: len(one) // 2 + 1]
