# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs with one known defect are called bad for it, and those without are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from synthetic import blob_micrograph

from cryodl.micrographs.assess.assessment import assess
from cryodl.micrographs.assess.judge import DEFECTS, judged_reasons, weights

PIXEL_SIZE, DIAMETER_PX = 3.0, 30  # 90 Å
SHAPE = (512, 512)
UNSEEN = "no particles stand out of the noise: empty, all carbon, or thick ice"


def field(seed=0, contrast=1.0):
    """Dark blobs in white noise of standard deviation 1."""
    return blob_micrograph(SHAPE, seed=seed, spacing=48, diameter_px=DIAMETER_PX, contrast=contrast)[0]


def noise(seed):
    return np.random.default_rng(seed).normal(size=SHAPE)


def signs(image, pixel_size=PIXEL_SIZE):
    return assess(image.astype(np.float32), pixel_size, DIAMETER_PX * pixel_size).signs


def reasons(image, pixel_size=PIXEL_SIZE):
    return judged_reasons(signs(image, pixel_size))


def moved(image, reach, angle):
    """A micrograph that moved over `reach` px along `angle` (degrees from x towards y) while it was taken."""
    y, x = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None]
    along = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    return np.fft.irfft2(np.fft.rfft2(image) * np.sinc(reach * along), s=SHAPE)


@pytest.mark.parametrize("seed, contrast", [(0, 0.5), (1, 1.0), (2, 3.0)])
def test_particles_in_noise_are_good_whatever_the_grey_values(seed, contrast):
    image = field(seed, contrast)
    assert reasons(image) == [] and reasons(-40 * image + 700) == []


@pytest.mark.parametrize("smooth", [0.0, 1.5, 8.0])
def test_noise_alone_shows_no_particles_whatever_its_spectrum(smooth):
    (reason,) = reasons(noise(3) * 0.1 + (gaussian_filter(noise(4), smooth) if smooth else noise(4)))
    assert reason == UNSEEN


def test_a_steep_difference_of_thickness_hides_faint_particles():
    slope = 8.0 * np.linspace(0, 1, SHAPE[1]) ** 2
    found = signs(field(5, contrast=0.02) - slope)
    # 40 electrons/Å² give a pixel of 3 Å a noise of 5 %: 90 % of the slope are 36 %, 120 nm
    assert 80 < found["thickness"] < 140
    assert judged_reasons(found)[0] == UNSEEN


def test_a_slope_of_the_background_is_not_called_thick_ice():
    # an empty hole under an uneven beam has the same signs
    found = signs(noise(3) - 8.0 * np.linspace(0, 1, SHAPE[1]) ** 2)
    assert found["thickness"] > 80 and judged_reasons(found)[0] == UNSEEN


@pytest.mark.parametrize("angle", [20.0, 100.0])
def test_drift_is_seen_with_its_direction(angle):
    image = moved(field(6, contrast=3.0) + 2 * gaussian_filter(noise(7), 1), 12, angle) + 0.5 * noise(8)
    found = signs(image)
    assert abs((found["angle"] - angle + 90) % 180 - 90) < 15
    assert any(reason.startswith(f"drift: along {found['angle']:.0f}°") for reason in judged_reasons(found))


def test_astigmatism_is_no_drift():
    y, x = np.fft.fftfreq(SHAPE[0], PIXEL_SIZE)[:, None], np.fft.rfftfreq(SHAPE[1], PIXEL_SIZE)[None]
    defocus = 15000 + 400 * np.cos(2 * np.arctan2(y, x))
    rings = np.sin(np.pi * 0.0197 * defocus * (y**2 + x**2) + 0.1)
    image = np.fft.irfft2(np.fft.rfft2(field(9, 2.0) + 2 * gaussian_filter(noise(10), 0.8)) * rings, s=SHAPE)
    assert reasons(image + 0.5 * noise(11)) == []


def test_contamination_over_many_positions_is_dirt_and_a_limit_of_its_own_takes_its_place():
    image, (y, x) = field(12), np.mgrid[: SHAPE[0], : SHAPE[1]]
    for centre in ((100, 120), (380, 90), (250, 300), (420, 400), (90, 420)):
        image = image - 12 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 60**2)
    found = signs(image)
    assert "positions are lost" in " ".join(judged_reasons(found))
    assert "positions are lost" not in " ".join(judged_reasons(found, with_dirt=False))


def test_planes_of_ice_are_crystalline():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] * 1.2
    image = field(13)
    assert reasons(image, 1.2) == []
    assert "crystalline ice" in " ".join(reasons(image + 0.5 * np.cos(2 * np.pi / 3.67 * (0.8 * x + 0.6 * y)), 1.2))


def test_a_micrograph_without_clean_ice_is_judged_by_what_could_be_measured():
    assert judged_reasons(dict(lost=0.01, thickness=0.0)) == []
    assert len(judged_reasons(dict(lost=0.9, thickness=0.0))) == 1


def test_each_model_has_a_weight_for_each_of_its_signs():
    assert {name: len(model["weights"]) for name, model in weights().items()} == {n: len(s) for n, s in DEFECTS.items()}
