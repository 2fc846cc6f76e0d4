# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise with the spectrum of real micrographs: equal to its source, and without the source's particles."""

import numpy as np
import pytest
import torch
from synthetic import lopsided_density

from cryodl.core.optics import Optics
from cryodl.micrographs.normalize import prepare_micrograph
from cryodl.simulate.micrographs import Surroundings, simulate_micrograph
from cryodl.simulate.noise import (
    BINS,
    CORNER,
    MeasuredNoise,
    MicroscopeNoise,
    bin_frequencies,
    measure_spectrum,
    shaped_noise,
)

OPTICS = Optics(15000.0, 15000.0, 0.0, 300.0, 2.7, 0.1)
DIAMETER = 28  # px
SHAPE = (1024, 1024)


def pink(shape):
    """Power that falls to a fifth, on the grid of rfft2."""
    y, x = torch.fft.fftfreq(shape[0]), torch.fft.rfftfreq(shape[1])
    return 1 + 4 * torch.exp(-(((y[:, None] ** 2 + x[None] ** 2).sqrt() / 0.15) ** 2))


def expected():
    """The same, as measure_spectrum gives it: mean 1 over the disc up to 0.5 per px."""
    f = bin_frequencies()
    power = 1 + 4 * np.exp(-((f / 0.15) ** 2))
    areas = np.diff(np.minimum(np.linspace(0, CORNER, BINS + 1), 0.5) ** 2)
    return power / np.average(power, weights=np.maximum(areas, 0))


def coarse(spectrum):
    """Means over 8 bins, of which chance makes up 1 %; without the lowest, of waves longer than a patch."""
    return spectrum.reshape(-1, 8).mean(1)[1:]


class Pink(MicroscopeNoise):
    def __call__(self, shape, pixel_size, optics, rng, device=None):
        return shaped_noise(pink(shape), shape, rng, device)


def test_a_known_spectrum_is_measured():
    noise = shaped_noise(pink(SHAPE), SHAPE, np.random.default_rng(0))
    assert float(noise.var()) == pytest.approx(1, rel=0.02) and abs(float(noise.mean())) < 1e-4
    ratio = coarse(measure_spectrum(noise, DIAMETER)) / coarse(expected())
    assert np.abs(ratio - 1).max() < 0.05


def test_generated_noise_has_the_spectrum_of_its_source():
    source = shaped_noise(pink(SHAPE), SHAPE, np.random.default_rng(0)).numpy() * 17 + 400
    prepared = prepare_micrograph(source, 1.0, DIAMETER)
    noise = MeasuredNoise(measure_spectrum(prepared.image, DIAMETER, prepared.valid)[None])
    for shape in (SHAPE, (777, 1200)):
        made = noise(shape, 4.0, OPTICS, np.random.default_rng(1))
        assert made.shape == shape and float(made.var()) == pytest.approx(1, rel=0.03)
        assert np.abs(coarse(measure_spectrum(made, DIAMETER)) / coarse(expected()) - 1).max() < 0.06


def test_the_particles_of_the_source_do_not_get_into_the_noise():
    """At an SNR of 2 the whole micrograph has twice the power in their band; the quiet patches have the noise's."""
    density = torch.from_numpy(lopsided_density())
    micrograph = simulate_micrograph(
        density, 4.0, SHAPE, 120, 2.0, OPTICS, np.random.default_rng(0), DIAMETER, Surroundings(noise=Pink(), ice=2)
    )
    prepared = prepare_micrograph(micrograph.image.numpy(), 1.0, DIAMETER)
    found = coarse(measure_spectrum(prepared.image, DIAMETER, prepared.valid)) / coarse(expected())
    with_all = coarse(measure_spectrum(micrograph.image, 1e-3)) / coarse(expected())
    assert np.abs(found[:7] - 1).max() < 0.15
    assert np.abs(found[:7] - 1).max() < 0.4 * np.abs(with_all[:7] - 1).max()


def test_margins_and_empty_areas_are_left_out():
    noise = shaped_noise(pink(SHAPE), SHAPE, np.random.default_rng(0))
    valid = torch.ones(SHAPE, dtype=torch.bool)
    valid[:300] = False
    noise[:300] = 50 * torch.randn(300, SHAPE[1], generator=torch.Generator().manual_seed(1))
    assert np.abs(coarse(measure_spectrum(noise, DIAMETER, valid)) / coarse(expected()) - 1).max() < 0.06


@pytest.mark.parametrize("size, words", [((40, 400), "smaller than a patch"), ((300, 300), "free of margins")])
def test_what_has_no_patch_is_refused(size, words):
    with pytest.raises(ValueError, match=words):
        measure_spectrum(torch.randn(size), DIAMETER, torch.zeros(size, dtype=torch.bool))


def test_solvent_shows_thon_rings_and_none_is_white():
    """Power at the first zero of the CTF and at the maxima beside it."""
    noise = MicroscopeNoise(3.0)((1024, 1024), 4.0, OPTICS, np.random.default_rng(0))
    assert float(noise.var()) == pytest.approx(1, rel=0.02)
    power, f = measure_spectrum(noise, 300), bin_frequencies() / 4.0
    zero = np.sqrt((1 - np.arcsin(0.1) / np.pi) / (0.0197 * 15000))  # 300 kV: 0.0197 Å; Cs matters little there
    low, at, beyond = (power[np.abs(f - zero * k).argmin()] for k in (0.7, 1.0, 1.22))
    assert low > 1.5 * at and beyond > 1.3 * at
    white = coarse(measure_spectrum(MicroscopeNoise(0.0)((1024, 1024), 4.0, OPTICS, np.random.default_rng(0)), 40))
    assert np.abs(white - 1).max() < 0.05


def test_one_of_several_micrographs_spectra_is_taken_each_time():
    flat, steep = np.ones(BINS), expected()
    noise, rng = MeasuredNoise(np.array([flat, steep])), np.random.default_rng(0)
    slopes = [coarse(measure_spectrum(noise.chosen(rng)((512, 512), 4.0, OPTICS, rng), DIAMETER))[0] for _ in range(8)]
    assert min(slopes) < 1.2 and max(slopes) > 2
    again = MeasuredNoise(np.array([flat, steep]))
    pair = [n((128, 128), 4.0, OPTICS, np.random.default_rng(5)) for n in (noise, again)]
    assert torch.equal(*pair)


def test_particles_have_no_detail_that_the_file_of_the_noise_has_not():
    """A low-passed source: beyond its limit neither noise nor particles are left; below it particles are whole."""
    f = bin_frequencies()
    noise = MeasuredNoise(np.where(f < 0.2, 1.0, 1e-4)[None])
    kept = noise.damping((256, 256))
    y, x = torch.fft.fftfreq(256), torch.fft.rfftfreq(256)
    grid = (y[:, None] ** 2 + x[None] ** 2).sqrt()
    assert torch.allclose(kept[grid < 0.19], torch.ones(1)) and float(kept[grid > 0.21].max()) < 0.011
    assert MicroscopeNoise().damping((256, 256)) is None
    image = simulate_micrograph(
        torch.from_numpy(lopsided_density()),
        4.0,
        (256, 256),
        8,
        1e6,
        OPTICS,
        np.random.default_rng(0),
        DIAMETER,
        Surroundings(noise=noise),
    ).image
    power = torch.fft.rfft2(image).abs() ** 2
    assert float(power[grid > 0.21].mean()) < 1e-3 * float(power[grid < 0.1].mean())
