# SPDX-License-Identifier: GPL-3.0-or-later
"""Carbon, contamination and uneven ice on simulated micrographs of which all three are known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, gaussian_filter
from synthetic import blob_micrograph

from cryodl.micrographs.assess.assessment import Areas, area_rows, assess
from cryodl.micrographs.assess.carbon import find_carbon
from cryodl.micrographs.assess.contamination import dark_spots, strength_limit
from cryodl.micrographs.pickers.pick_files import avoided_areas
from cryodl.simulate.artefacts import add_carbon, add_gradient, add_ice

DIAMETER_PX = 40  # with a pixel size of 5 Å a particle of 200 Å


def field(seed=0, contrast=1.0, shape=(640, 560)):
    """A clean micrograph of blobs in noise."""
    image, _ = blob_micrograph(shape, seed=seed, spacing=70, diameter_px=DIAMETER_PX, contrast=contrast)
    return torch.from_numpy(image)


def measured(image):
    return assess(np.asarray(image, np.float32), 5.0, 200.0)


def at_working_size(mask, assessment):
    mask = F.interpolate(
        torch.as_tensor(np.asarray(mask)).float()[None, None], size=assessment.image.shape, mode="area"
    )
    return mask[0, 0].numpy() > 0.5


def overlap(found, ground_truth):
    return (found & ground_truth).sum() / max(1, (found | ground_truth).sum())


@pytest.mark.parametrize("seed", range(4))
def test_carbon_is_found_where_it_is(seed):
    image, mask = add_carbon(field(seed, contrast=(0.0, 0.5, 1.5)[seed % 3]), DIAMETER_PX, np.random.default_rng(seed))
    found = measured(image)
    ground_truth = at_working_size(mask, found)
    assert overlap(found.carbon, ground_truth) > 0.85
    assert found.carbon_percent == pytest.approx(100 * ground_truth.mean(), abs=4)
    assert found.contaminated_percent < 0.5


@pytest.mark.parametrize("contrast", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("gradient", [0.0, 4.0])
def test_a_clean_micrograph_is_clean_however_its_ice_slopes(contrast, gradient):
    found = measured(add_gradient(field(3, contrast), gradient, np.random.default_rng(7)))
    assert found.carbon_percent == 0 and found.contaminated_percent < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_ice_is_found_where_it_is(seed):
    image, mask = add_ice(field(seed, contrast=(0.0, 0.4)[seed % 2]), 5, DIAMETER_PX, np.random.default_rng(seed + 20))
    found = measured(image)
    ground_truth = at_working_size(mask, found)
    assert found.carbon_percent == 0 and overlap(found.contaminated, ground_truth) > 0.5
    assert 0.7 * 100 * ground_truth.mean() < found.contaminated_percent < 1.8 * 100 * ground_truth.mean() + 0.2


@pytest.mark.parametrize("depth, radius", [(4.0, 12), (4.0, 20), (60.0, 30), (-5.0, 25)])
def test_the_area_of_dirt_and_of_holes_is_their_own_weak_or_strong_small_or_large(depth, radius):
    image = field(8, contrast=0.3).numpy()
    mask = np.any([disc(image.shape, (80 + 120 * n, 100 + 90 * (n % 4)), radius) for n in range(5)], axis=0)
    assert measured(image - depth * mask).contaminated_percent == pytest.approx(100 * mask.mean(), rel=0.25)


def disc(shape, centre, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


@pytest.mark.parametrize(
    "centre, radius, depth",
    [((30, 420), 120, 4.0), ((30, 420), 120, 1000.0), ((310, 270), 120, 6.0), ((310, 270), 180, 6.0)],
)
def test_a_large_crystal_counts_to_its_middle_and_is_no_background_and_no_carbon(centre, radius, depth):
    image = field(6, contrast=0.0).numpy()
    crystal = disc(image.shape, centre, radius)
    found = measured(image - depth * crystal)
    assert found.carbon_percent == 0
    assert found.contaminated_percent == pytest.approx(100 * crystal.mean(), rel=0.15)


def test_ice_on_and_beside_carbon_is_told_from_it():
    image, mask = add_carbon(field(0), DIAMETER_PX, np.random.default_rng(1), fraction=0.3)
    clean, spoiled = measured(image), measured(np.where(disc(image.shape, _far_from(mask), 35), image - 12, image))
    added = spoiled.contaminated_percent - clean.contaminated_percent
    assert added == pytest.approx(100 * np.pi * 35**2 / image.numel(), rel=0.7)
    assert spoiled.carbon_percent == pytest.approx(clean.carbon_percent, abs=2)


def _far_from(mask):
    """The place of a mask's other side that is farthest from it and from the border."""
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(np.pad(~mask.numpy(), 1))[1:-1, 1:-1]
    return np.unravel_index(distance.argmax(), distance.shape)


def test_streaked_and_constant_margins_do_not_count():
    image = field(4).numpy()
    image[:, :40] = image[:, [40]]
    image[-30:] = 0
    found = measured(image)
    assert found.carbon_percent == 0 and found.contaminated_percent < 0.1 and not found.valid.all()


def test_margins_with_contrast_are_left_out_of_the_area():
    image, mask = add_carbon(field(4), DIAMETER_PX, np.random.default_rng(3), fraction=0.4)
    image[:, :40] = image[:, [40]] * 3
    found = measured(image)
    ground_truth = at_working_size(mask, found)
    assert not found.valid[:, :15].any()
    assert found.carbon_percent == pytest.approx(100 * ground_truth[found.valid].mean(), abs=4)


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_the_ice_gradient_is_in_units_of_the_noise(strength):
    flat = field(5, contrast=0.2)
    sloped = add_gradient(flat, strength, np.random.default_rng(2))
    low, high = np.percentile((sloped - flat).numpy(), (5, 95))
    assert measured(flat).ice_gradient < 0.15
    assert measured(sloped).ice_gradient == pytest.approx(high - low, rel=0.1)


def spots(centres, shape=(640, 640), height=3.0, seed=0):
    """Noise with a dark spot at each centre."""
    image = np.random.default_rng(seed).normal(size=shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for centre in centres:
        image -= height * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * (DIAMETER_PX / 4) ** 2))
    return image


def scattered(count, nearest, low, high, seed=0):
    """`count` positions at least `nearest` px apart."""
    rng, kept = np.random.default_rng(seed), []
    while len(kept) < count:
        new = rng.uniform(low, high)
        if all(np.hypot(*(new - old)) >= nearest for old in kept):
            kept.append(new)
    return np.array(kept)


def outside_of(mask, positions):
    """(n,) bool: which positions of the file are not on a mask of the working size."""
    return ~mask[tuple((positions * np.array(mask.shape) / 640).astype(int).T)]


@pytest.mark.parametrize("height", [1.5, 3.0])
def test_an_aggregate_is_found_to_its_last_particle_and_its_neighbours_are_not(height):
    single = scattered(25, 70, (20, 20), (620, 420))
    clump = scattered(14, 24, (250, 480), (390, 620), seed=1)
    found = measured(spots([*single, *clump], height=height)).contaminated
    assert outside_of(found, single).mean() > 0.95 and outside_of(found, clump).mean() < 0.1


@pytest.mark.parametrize("count, side, height", [(8, 620, 0.6), (20, 620, 2.0), (60, 620, 3.0), (40, 320, 3.0)])
def test_particles_are_no_contamination_however_few_or_crowded_they_are(count, side, height):
    centres = scattered(count, 42, (20, 20), (620, side))
    assert outside_of(measured(spots(centres, height=height)).contaminated, centres).all()


@pytest.mark.parametrize("seed", [4, 5])
def test_a_crystal_in_a_corner_and_a_gradient_are_no_carbon(seed):
    rng = np.random.default_rng(seed)
    image = add_gradient(field(seed, contrast=0.3), 1.5, rng).numpy()
    crystal = disc(image.shape, rng.uniform(40, 110, 2), rng.uniform(35, 60))
    found = measured(image - 8 * crystal)
    assert found.carbon_percent == 0
    assert found.contaminated_percent == pytest.approx(100 * crystal.mean(), rel=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_lighter_ice_in_a_corner_does_not_make_film_of_all_the_rest(seed):
    y, x = np.mgrid[:400, :400] / 400
    lighter = 1 / (1 + np.exp((np.hypot(y - 0.9, x - 0.1) - 0.42) / 0.02))
    noise = np.random.default_rng(seed).normal(size=(400, 400))
    assert not find_carbon(noise + lighter, np.ones((400, 400), bool), 20).any()


@pytest.mark.parametrize("seed", [2, 4, 5, 11])
def test_ice_that_is_smoothly_uneven_is_no_film(seed):
    rng = np.random.default_rng(seed)
    ice = gaussian_filter(rng.normal(size=(400, 400)), 50, mode="wrap")
    noise = rng.normal(size=(400, 400))
    assert not find_carbon(noise + 0.4 * ice / ice.std(), np.ones((400, 400), bool), 20).any()


def test_carbon_is_avoided_a_quarter_of_a_diameter_beside_its_edge():
    image = add_carbon(field(0), DIAMETER_PX, np.random.default_rng(1), fraction=0.3)[0].numpy()
    found = measured(image)
    mask = avoided_areas(found, image.shape, 5.0, 200.0, "contamination and carbon").carbon & ~found.contaminated
    apart = distance_transform_edt(~found.carbon)
    assert mask[apart <= 3].mean() > 0.95 and not mask[apart > 8].any()


def test_carbon_and_ice_do_not_count_as_gradient():
    image, _ = add_carbon(field(5), DIAMETER_PX, np.random.default_rng(4), fraction=0.3)
    image, _ = add_ice(image, 3, DIAMETER_PX, np.random.default_rng(4))
    assert measured(image).ice_gradient < 0.4


def test_scale_and_offset_of_the_file_change_nothing_but_the_background():
    image = add_ice(field(6), 4, DIAMETER_PX, np.random.default_rng(5))[0].numpy()
    kept = image.copy()
    first, second = measured(image), measured(700 * image + 20000)
    assert (image == kept).all()
    assert second.contaminated_percent == pytest.approx(first.contaminated_percent, rel=0.02)
    assert second.ice_gradient == pytest.approx(first.ice_gradient, rel=0.02)
    assert second.background == pytest.approx(700 * first.background + 20000, rel=1e-3)


def test_not_a_number_pixels_are_left_out():
    image = field(7).numpy()
    image[100:160, 50:300] = np.nan
    found = measured(image)
    assert np.isfinite(found.background) and found.contaminated_percent < 0.2 and not found.valid.all()


@pytest.mark.parametrize("rotation", [1, 2])
def test_turning_the_micrograph_turns_the_carbon(rotation):
    image, _ = add_carbon(field(0), DIAMETER_PX, np.random.default_rng(2), fraction=0.25)
    straight, rotated = measured(image), measured(torch.rot90(image, rotation))
    assert overlap(np.rot90(straight.carbon, rotation), rotated.carbon) > 0.9


@pytest.mark.parametrize(
    "image, diameter, words",
    [
        (np.zeros((300, 300)), 200.0, "constant"),
        (np.full((300, 300), np.nan), 200.0, "not numbers"),
        (np.random.default_rng(0).normal(size=(60, 300)), 200.0, "more than half"),
        (np.random.default_rng(0).normal(size=(300, 300)), 20.0, "only 4.0 px"),
    ],
)
def test_images_that_say_nothing_are_refused(image, diameter, words):
    with pytest.raises(ValueError, match=words):
        assess(image.astype(np.float32), 5.0, diameter)


def test_the_smallest_micrograph_that_a_particle_fits_is_measured():
    noise = np.random.default_rng(0).normal(size=(64, 90)).astype(np.float32)
    found = assess(noise, 5.0, 155.0)
    assert found.carbon_percent == 0 and found.contaminated_percent == 0


def test_one_kind_of_noise_everywhere_is_no_carbon_at_any_size():
    for shape in ((24, 24), (40, 300), (700, 90)):
        noise = np.random.default_rng(1).normal(size=shape)
        assert not find_carbon(noise, np.ones(shape, bool), 20).any()


def test_the_limit_follows_particles_but_not_crystals():
    flat = np.random.default_rng(0).normal(size=(300, 300)) * 0.5
    centres = [(y, x) for y in range(20, 300, 40) for x in range(20, 300, 40)]
    alike, unlike = flat.copy(), flat.copy()
    for index, (y, x) in enumerate(centres):
        alike[y, x] = -10 - 0.02 * index
        unlike[y, x] = -4 * 1.1**index
    limit_of = lambda strength: strength_limit(strength, dark_spots(strength, 20))
    assert 11 < limit_of(alike) < 16 and limit_of(unlike) < 10 and limit_of(flat) == 7


def test_the_coarse_picture_of_the_areas_covers_the_micrograph_and_shows_a_single_pixel():
    contaminated, carbon = np.zeros((200, 300), bool), np.zeros((200, 300), bool)
    contaminated[100, 250], carbon[:, 200:] = True, True
    rows = area_rows(Areas(contaminated, contaminated, contaminated, carbon, carbon))
    assert len(rows) == 96 and {len(row) for row in rows} == {96}
    assert rows[100 * 96 // 200][250 * 96 // 300] == "1" and rows[0][: 96 * 2 // 3] == "0" * 64 and rows[0][70] == "2"
