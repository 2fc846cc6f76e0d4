# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs for denoisers: each noisy image is its target's, through the CTF that comes with it."""

import dataclasses

import mrcfile
import numpy as np
import pytest
import torch
from particle_data import BOX, PIXEL, simulate_particles
from synthetic import correlation

from cryodl.core.fourier import circle
from cryodl.io.particle_sets import StackWriter, read_particles
from cryodl.particles.denoisers.pair_sources import SimulatedPairs
from cryodl.particles.denoisers.pairs import Pairs, split_particles
from cryodl.simulate.particle_images import load_projector

DIAMETER = 112.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """p.star: 40 particles with little noise and much astigmatism; bright and well known."""
    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(count=40, snr=50, astigmatism=16000, minimum_defocus=12000, max_shift=6)
        simulate_particles("dark.star", count=40, snr=20, contrast="dark", seed=3)
        simulate_particles("fine.star", count=20, snr=20, pixel_size=2, box=64, seed=4)
    return folder


def pairs_of(folder, *names, box=BOX, pixel=PIXEL, **options):
    sets = [read_particles(folder / f"{name}.star") for name in names]
    projector = load_projector(folder / "p_map.mrc", pixel, box)[0]
    return Pairs(sets, [projector] * len(sets), box, pixel, DIAMETER, **options)


def seen_through(ctf, target):
    return torch.fft.irfft2(torch.fft.rfft2(target) * ctf, s=target.shape[-2:])


def agreement(noisy, ctf, target):
    """(b,) correlations of the images with their targets through the CTF."""
    return np.array([correlation(a, b) for a, b in zip(noisy, seen_through(ctf, target))])


def left_over(noisy, ctf, target):
    """Variance of what the images hold besides their targets through the CTF, each of its own strength and level."""
    noisy, seen = (x - x.mean((-2, -1), keepdim=True) for x in (noisy, seen_through(ctf, target)))
    strength = (noisy * seen).sum((-2, -1), keepdim=True) / seen.square().sum((-2, -1), keepdim=True)
    return float((noisy - strength * seen).var())


@pytest.mark.parametrize("simulated", [0.0, 1.0])
def test_a_noisy_image_is_its_target_through_its_ctf(folder, simulated):
    pairs = pairs_of(folder, "p", simulated=simulated)
    noisy, ctf, target = pairs.draw(np.random.default_rng(0), 24)
    assert noisy.shape == target.shape == (24, 1, BOX, BOX) and ctf.shape == (24, 1, BOX, BOX // 2 + 1)
    # but for the noise nothing is left, also of turned images, whose astigmatism must be turned alike
    right = left_over(noisy, ctf, target)
    assert right < 1.1
    turned_wrongly = ctf[:, :, -torch.arange(BOX)]
    assert left_over(noisy, turned_wrongly, target) > right + 0.1
    assert left_over(noisy, ctf, target.roll(1, 2)) > right + 0.5
    outside = ~circle(BOX, DIAMETER / PIXEL)
    assert float(noisy[..., outside].std()) == pytest.approx(1, abs=0.05)


def test_targets_have_deviation_1_inside_the_circle_and_one_scale(folder):
    pairs = pairs_of(folder, "p")
    targets = pairs.targets(40, np.random.default_rng(1))
    inside = circle(BOX, DIAMETER / PIXEL)
    assert float(targets[:, inside].std(dim=1).mean()) == pytest.approx(1, abs=0.05)
    clean = torch.from_numpy(mrcfile.read(folder / "p_clean.mrcs"))[pairs.validation[0]]
    validation = torch.cat([target for _, _, target in pairs.validation_batches(3)])[:, 0]
    assert torch.allclose(validation, pairs.scales[0] * clean, atol=2e-2)


def test_validation_pairs_are_never_drawn_for_training_and_stay_as_they_are(folder):
    pairs = pairs_of(folder, "p", simulated=0.0)
    assert not set(pairs.training[0]) & set(pairs.validation[0])
    seen = []
    fetch = pairs._real[0].fetch
    pairs._real[0].fetch = lambda rows, rng: (seen.append((set(rows), rng is None)), fetch(rows, rng))[1]
    pairs.draw(np.random.default_rng(0), 60), list(pairs.validation_batches(30))
    (trained, plain), (validated, untouched) = seen
    assert trained <= set(pairs.training[0]) and not plain and validated <= set(pairs.validation[0]) and untouched


def test_the_same_seed_draws_the_same_pairs(folder):
    first, second = (pairs_of(folder, "p").draw(np.random.default_rng(5), 8) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_dark_particles_are_found_and_turned_bright(folder):
    pairs = pairs_of(folder, "dark", simulated=0.0)
    assert pairs.contrasts == ["dark"] and any("inverted" in note for note in pairs.notes)
    assert agreement(*pairs.draw(np.random.default_rng(0), 10)).min() > 0.8


def test_two_molecules_of_different_pixel_sizes_are_learnt_together(folder):
    pairs = pairs_of(folder, "p", "fine", simulated=0.5)
    assert any("64 px x 2 Å were resampled to 32 px x 4 Å" in note for note in pairs.notes)
    assert agreement(*pairs.draw(np.random.default_rng(0), 40)).min() > 0.8
    assert agreement(*next(iter(reversed(list(pairs.validation_batches(4)))))).min() > 0.8


def test_wrong_angles_are_said_to_fit_badly(folder):
    particles = read_particles(folder / "p.star")
    rng = np.random.default_rng(0)
    wrong = dataclasses.replace(
        particles,
        angles=rng.permutation(particles.angles),
        optics=rng.permutation(particles.optics),
        shifts_yx=rng.uniform(-8, 8, (40, 2)),
    )
    pairs = Pairs([wrong], [load_projector(folder / "p_map.mrc", PIXEL, BOX)[0]], BOX, PIXEL, DIAMETER)
    assert pairs.fits[0].amplitude < 0.6


def test_images_that_do_not_show_the_structure_are_a_warning(folder):
    noise = folder / "noise.mrcs"
    with StackWriter(noise, 40, BOX, PIXEL) as stack:
        stack.add(np.random.default_rng(0).standard_normal((40, BOX, BOX)))
    particles = dataclasses.replace(read_particles(folder / "p.star"), files=np.full(40, str(noise), object))
    pairs = Pairs([particles], [load_projector(folder / "p_map.mrc", PIXEL, BOX)[0]], BOX, PIXEL, DIAMETER)
    assert any("do not show the structure" in w for w in pairs.warnings)


def test_a_contrast_that_is_wrong_by_the_structure_is_a_warning(folder):
    words = "(--contrast) is bright, but according to the structure's projections protein is dark"
    assert any(words in w for w in pairs_of(folder, "dark", contrast="bright").warnings)


def test_coarser_targets_have_no_fine_detail(folder):
    power = torch.fft.rfft2(pairs_of(folder, "p", resolution=20.0).targets(4, np.random.default_rng(0))).abs()
    assert power[:, 10:20, 9:].max() < 1e-4 * power.max()


def test_particles_without_ctf_are_learnt_as_corrected_with_a_warning(folder):
    particles = dataclasses.replace(read_particles(folder / "p.star"), optics=None)
    pairs = Pairs([particles], [load_projector(folder / "p_map.mrc", PIXEL, BOX)[0]], BOX, PIXEL, DIAMETER)
    assert any("has no CTF" in w for w in pairs.warnings) and (pairs.draw(np.random.default_rng(0), 4)[1] == 1).all()


def test_the_pool_of_projections_is_renewed_and_never_grows_beyond_its_room(folder):
    pairs = pairs_of(folder, "p", simulated=1.0)
    source = pairs._made[0]
    assert isinstance(source, SimulatedPairs)
    source._largest = 16
    del source._pool
    source._made = 0
    rng = np.random.default_rng(0)
    source.draw(rng, 8)
    before = source._pool.clone()
    for _ in range(8):
        source.draw(rng, 8)
    assert len(source._pool) == 16 and (source._pool != before).flatten(1).any(1).all()


def test_splits_keep_micrographs_and_half_sets_apart(folder):
    particles = read_particles(folder / "p.star")
    training, validation, how = split_particles(particles, 0.25, 0)
    names = np.array(particles.micrographs)
    assert not set(names[training]) & set(names[validation]) and "micrograph" in how and len(validation) == 10
    uneven = dataclasses.replace(particles, micrographs=["a.mrc"] * 36 + ["b.mrc"] * 4)
    assert {len(split_particles(uneven, 0.1, seed)[1]) for seed in range(6)} == {4}
    anonymous = dataclasses.replace(particles, micrographs=("",) * 40)
    training, validation, how = split_particles(anonymous, 0.1, 0)
    assert set(particles.halves[training]) == {1} and set(particles.halves[validation]) == {2} and "half set" in how
    alone = dataclasses.replace(anonymous, halves=None)
    training, validation, how = split_particles(alone, 0.1, 0)
    assert "at random" in how and sorted([*training, *validation]) == list(range(40)) and len(validation) == 4


def test_copies_of_an_image_never_train_and_validate(folder):
    particles = read_particles(folder / "p.star")
    anonymous = dataclasses.replace(particles, micrographs=[""] * 40, halves=None)
    copies = anonymous.subset(np.repeat(np.arange(40), 3))
    training, validation, _ = split_particles(copies, 0.25, 0)
    assert len(validation) == 30 and not set(copies.numbers[training]) & set(copies.numbers[validation])
    with pytest.raises(ValueError, match="one particle image"):
        split_particles(anonymous.subset([3, 3]), 0.1, 0)


def test_one_particle_cannot_be_learnt_from_and_two_can(folder):
    particles = read_particles(folder / "p.star")
    with pytest.raises(ValueError, match="one particle image; at least two"):
        split_particles(particles.subset([0]), 0.1, 0)
    projector = load_projector(folder / "p_map.mrc", PIXEL, BOX)[0]
    pairs = Pairs([particles.subset([0, 1])], [projector], BOX, PIXEL, DIAMETER)
    assert pairs.draw(np.random.default_rng(0), 4)[0].isfinite().all()


def test_particles_without_angles_are_refused(folder):
    particles = dataclasses.replace(read_particles(folder / "p.star"), angles=None, shifts_yx=None)
    with pytest.raises(ValueError, match="without angles"):
        Pairs([particles], [load_projector(folder / "p_map.mrc", PIXEL, BOX)[0]], BOX, PIXEL, DIAMETER)
