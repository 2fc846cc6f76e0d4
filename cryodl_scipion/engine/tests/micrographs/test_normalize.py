# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks see: background 0, noise 1, protein bright, and nothing of what spoils real micrographs."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from synthetic import gaussian_blobs, grid_centres

from cryodl.micrographs.normalize import prepare_micrograph

SHAPE = (300, 420)
DIAMETER = 24.0  # working px


def noise(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def prepare(image, factor=1.0, **options):
    return prepare_micrograph(image, factor, DIAMETER, **options)


def test_plain_noise_gets_background_0_and_noise_1():
    prepared = prepare(37 + 12 * noise())
    assert prepared.valid.all() and prepared.image.shape == SHAPE
    assert abs(float(prepared.image.mean())) < 0.02 and abs(float(prepared.image.std()) - 1) < 0.05


def test_dark_protein_becomes_bright_at_its_place():
    image = noise() - 8 * gaussian_blobs(SHAPE, [[70, 300]], 5)
    for sign, dark in ((1, True), (-1, False)):
        prepared = prepare(sign * image, dark_protein=dark).image
        smooth = torch.nn.functional.avg_pool2d(prepared[None, None], 9, stride=1, padding=4)[0, 0]
        peak = np.unravel_index(int(smooth.argmax()), SHAPE)
        assert np.abs(np.subtract(peak, (70, 300))).max() <= 2 and float(smooth.max()) > 2


def test_scale_and_offset_of_the_grey_values_do_not_matter():
    image = noise() - 3 * gaussian_blobs(SHAPE, [[70, 300], [150, 80]], 5)
    reference = prepare(image)
    for scaled in (image * 1000 + 5, image * 1e-4 - 2e-4, np.round(image * 25).astype(np.float32)):
        other = prepare(scaled)
        assert bool((other.valid == reference.valid).all())
        assert float((other.image - reference.image).abs().max()) < 0.1


def test_a_gradient_of_ice_is_taken_away():
    ramp = 30 * np.linspace(-1, 1, SHAPE[1], dtype=np.float32)[None] + 10 * np.linspace(0, 1, SHAPE[0])[:, None]
    image = (noise() + ramp).astype(np.float32)
    before, after = (
        torch.nn.functional.avg_pool2d(torch.as_tensor(x)[None, None], 40) for x in (image, prepare(image).image)
    )
    assert float(after.abs().max()) < 0.05 * float(before.abs().max())
    assert float(after[..., 1:-1, 2:-2].abs().max()) < 0.45  # flat but for the edges, whose background is one-sided


def test_hot_pixels_do_not_change_the_rest():
    image, clean = noise(), prepare(noise()).image
    rng = np.random.default_rng(3)
    hot = rng.integers(0, SHAPE[0], 40), rng.integers(0, SHAPE[1], 40)
    image[hot] = 1e6
    prepared = prepare(image)
    assert float(prepared.image.abs().max()) <= 5.0 + 1e-6
    away = np.ones(SHAPE, bool)
    away[hot] = False
    assert abs(float(prepared.image[torch.from_numpy(away)].std()) - 1) < 0.1
    assert float((prepared.image - clean)[torch.from_numpy(away)].abs().median()) < 0.05


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize("kind", ["constant", "streaked"])
def test_a_filled_margin_is_marked_and_the_rest_is_not(edge, kind):
    """Motion correction repeats the last line, or fills with a constant."""
    image, width = noise() - 0.0, 14
    rotated = {"top": image, "bottom": image[::-1], "left": image.T, "right": image.T[::-1]}[edge]
    rotated[:width] = 0.0 if kind == "constant" else rotated[width]
    prepared = prepare(image)
    valid = prepared.valid.numpy()
    valid = {"top": valid, "bottom": valid[::-1], "left": valid.T, "right": valid.T[::-1]}[edge]
    assert not valid[: width - 2].any() and valid[width + 4 :].mean() > 0.99
    assert float(prepared.image[~prepared.valid].abs().max()) == 0


def test_a_patch_of_not_a_number_is_invalid_and_harms_nothing_else():
    image = noise()
    image[100:140, 200:260] = np.nan
    image[10, 10] = np.inf
    prepared = prepare(image)
    assert bool(torch.isfinite(prepared.image).all())
    assert not prepared.valid[104:136, 204:256].any()
    outside = torch.ones(SHAPE, dtype=torch.bool)
    outside[95:145, 195:265] = False
    assert prepared.valid[outside].float().mean() > 0.999
    assert abs(float(prepared.image[outside].std()) - 1) < 0.06


@pytest.mark.parametrize("factor", [0.4, 1.0])
@pytest.mark.parametrize("part", [0.1, 0.3, 0.4])
def test_scattered_pixels_that_are_not_numbers_cost_no_area(part, factor):
    image = 1000 + noise() - 4 * gaussian_blobs(SHAPE, grid_centres(SHAPE, 45), 8)
    gaps = np.where(np.random.default_rng(3).random(SHAPE) < part, np.nan, image).astype(np.float32)
    whole, filled = prepare(image, factor), prepare(gaps, factor)
    assert filled.valid.float().mean() > 0.99
    smooth = [gaussian_filter(one.image.numpy(), 4 * factor) for one in (whole, filled)]
    assert np.corrcoef(smooth[0].ravel(), smooth[1].ravel())[0, 1] > 0.95


def test_a_zero_filled_patch_is_invalid():
    image = 50 + noise()
    image[100:140, 200:260] = 0
    prepared = prepare(image)
    assert not prepared.valid[104:136, 204:256].any() and prepared.valid[:80].all()


@pytest.mark.parametrize(
    "image, words",
    [
        (np.zeros(SHAPE, np.float32), "constant"),
        (np.full(SHAPE, 7.25, np.float32), "constant"),
        (np.full(SHAPE, np.nan, np.float32), "100 % .*not numbers"),
        (np.full(SHAPE, np.inf, np.float32), "not numbers"),
    ],
    ids=["zeros", "constant", "NaN", "infinite"],
)
def test_an_image_without_information_is_refused(image, words):
    with pytest.raises(ValueError, match=words):
        prepare(image)


def test_a_carbon_half_calms_down_and_leaves_the_ice_alone():
    """Carbon is rougher than ice; the network must see particles, not the carbon."""
    image = noise()
    image[:, :200] *= 4
    prepared = prepare(image).image
    carbon, ice = float(prepared[:, 20:160].std()), float(prepared[:, 260:].std())
    assert carbon / ice < 2.6  # from 4
    assert 0.5 < ice < 1.3


def test_the_callers_image_is_not_changed():
    image = noise()
    image[3, 4] = np.nan
    image[5, 6] = 1e6
    copy = image.copy()
    prepare(image, factor=0.5)
    assert np.array_equal(image, copy, equal_nan=True)


@pytest.mark.parametrize("factor", [0.31, 0.5, 1.7])
def test_rescaling_keeps_the_area(factor):
    image = noise((200, 330)) - 4 * gaussian_blobs((200, 330), [[40, 250]], 8)
    prepared = prepare(image, factor)
    assert prepared.shape == (200, 330)
    assert prepared.image.shape == (round(200 * factor), round(330 * factor))
    side = 2 * round(8 * factor) + 1
    smooth = torch.nn.functional.avg_pool2d(prepared.image[None, None], side, stride=1, padding=side // 2)[0, 0]
    rows, columns = np.nonzero((smooth > 0.7 * smooth.max()).numpy())
    found = (np.array([rows.mean(), columns.mean()]) + 0.5) / factor - 0.5
    assert np.abs(found - (40, 250)).max() < 1.5


def test_a_mirrored_micrograph_gives_the_mirrored_picture():
    """Valid areas, background and scale may not depend on where the image begins."""
    image = noise() - 3 * gaussian_blobs(SHAPE, [[70, 300], [150, 80]], 5)
    image[:9] = image[9]
    whole = prepare(image)
    mirrored = prepare(np.ascontiguousarray(image[::-1, ::-1]))
    assert bool((mirrored.valid.flip(0, 1) == whole.valid).all())
    assert float((mirrored.image.flip(0, 1) - whole.image).abs().max()) < 0.05


def test_few_grey_levels_are_no_margin():
    """float16 or 8-bit files: most neighbouring pixels are equal, and yet there is detail everywhere."""
    noise = np.random.default_rng(0).normal(size=(300, 280))
    image = 6800 + 4 * np.rint(0.5 * noise)
    assert (np.diff(image, axis=0) == 0).mean() > 0.4
    assert prepare_micrograph(image.astype(np.float32), 1.0, 20).valid.float().mean() > 0.98


def test_a_wide_blank_area_beside_a_bright_edge_leaves_numbers():
    image = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    image[:, 72:80] *= 30
    image[:, 80:] = -4.0
    prepared = prepare_micrograph(image, 1.0, 16.0)
    assert torch.isfinite(prepared.image).all() and not prepared.valid[:, 90:].any()
