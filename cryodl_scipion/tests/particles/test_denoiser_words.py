# SPDX-License-Identifier: GPL-3.0-or-later
"""What summaries and methods say of a denoiser."""

import unittest
from types import SimpleNamespace

from ...protocols.particles.denoiser_words import denoiserInWords, denoiserLines, referenceLines

CARD = dict(
    name="gal",
    network="swinconv",
    pixel_size=3.5,
    box=64,
    structures=["8bk7.cif"],
    versions=dict(cryodl="0.1.0"),
    training=dict(particles=900, validation_particles=100, steps=3000, stop_reason="all 3000 steps were done"),
)


class TestCryodlDenoiserWords(unittest.TestCase):
    def test_a_network_was_trained_in_steps(self):
        self.assertEqual(
            denoiserInWords(CARD),
            "The denoiser gal, a two-dimensional Swin-Conv-UNet, was trained with cryodl "
            "0.1.0 in 3000 steps on 900 particles with projections of 8bk7.cif as targets.",
        )
        self.assertIn(
            "Trained on 900 particles, 100 more for validation; 3000 steps, stopped: all 3000 steps were done.",
            denoiserLines(CARD),
        )

    def test_the_posterior_was_not_trained_but_measured(self):
        card = dict(
            CARD, network="posterior", training=dict(CARD["training"], steps=0, stop_reason="nothing is learnt")
        )
        self.assertEqual(
            denoiserInWords(card),
            "The denoiser gal, the mean of the structure's projections, weighted by their "
            "probability, was made with cryodl 0.1.0 from 8bk7.cif; strength, noise and shifts were "
            "measured on 900 particles.",
        )
        self.assertIn("Measured on 900 particles, 100 more for validation; nothing is learnt.", denoiserLines(card))

    def test_a_map_of_a_reference_says_what_is_its_own(self):
        made = dict(
            reference="m.mrc",
            search_resolution=12.5,
            noise_fsc=[1.0, 0.5],
            noise_resolution=None,
            corrected_resolution=14.2,
        )
        self.assertEqual(
            referenceLines(SimpleNamespace(**made, fsc_beyond=0.021)),
            [
                "Angles from the reference m.mrc, which both half-maps share",
                "Noise control (as many images of noise, oriented in the same way): not reached; map corrected for it: "
                "14.2 Å",
                "Mean FSC beyond 12.5 Å, which was not compared with the reference: 0.021",
            ],
        )
        self.assertIn("not tested", referenceLines(SimpleNamespace(**dict(made, noise_fsc=None)))[1])
        self.assertEqual(referenceLines(SimpleNamespace(**dict(made, reference=""))), [])
