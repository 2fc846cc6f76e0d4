# SPDX-License-Identifier: GPL-3.0-or-later
"""Background, contrast, noise spectrum, and the treatment of the CTF, measured where they are known."""

import dataclasses

import mrcfile
import numpy as np
import pytest
import torch
from particle_data import BOX, PIXEL, simulate_particles

from cryodl.core.boxes import cooled
from cryodl.core.fourier import circle, on_grid
from cryodl.core.projections import Projector
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.likelihood.observed import noise_spectra, prepare, resample, sample_rows
from cryodl.likelihood.reference import _ball_matches, find_contrast, fit_structure
from cryodl.particles.classes2d.polar import PolarGrid
from cryodl.particles.classes2d.records import class_images
from cryodl.simulate.particle_images import noise_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """p.star: 120 bright particles of an SNR of 0.2, with strong defoci."""
    folder = tmp_path_factory.mktemp("preprocess")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(count=120, snr=0.2, minimum_defocus=15000)
    return folder


@pytest.fixture
def particles(folder):
    return read_particles(folder / "p.star")


@pytest.fixture
def projector(folder):
    return Projector(torch.from_numpy(mrcfile.read(folder / "p_map.mrc")))


def changed(particles, folder, name, change):
    """The particles with images that change(images, ctf) makes of theirs, without a word of it in the file."""
    images = change(particles.images(slice(None)), particles.ctf(slice(None)))
    with StackWriter(folder / f"{name}.mrcs", len(images), BOX, PIXEL) as stack:
        stack.add(images)
    write_particles_star(folder / f"{name}.star", particles, stack=folder / f"{name}.mrcs")
    return read_particles(folder / f"{name}.star")


def flip_phases(images, ctf):
    return torch.fft.irfft2(torch.fft.rfft2(images) * ctf.sign(), s=images.shape[-2:])


def test_the_background_gets_mean_0_and_deviation_1_and_dark_protein_becomes_bright():
    images = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 4 + 7
    images[:, 7:10, 7:10] += 100
    before = images.clone()
    ready = prepare(images, 10)
    outside = ~circle(16, 10)
    assert torch.allclose(ready[:, outside].mean(1), torch.zeros(3), atol=1e-5)
    assert torch.allclose(ready[:, outside].std(1), torch.ones(3), atol=1e-5)
    assert torch.equal(prepare(images, 10, "dark"), -ready) and torch.equal(images, before)


def sloping(images):
    """The images on a plane of their own, as thick ice makes one."""
    axis = torch.linspace(-1, 1, images.shape[-1])
    return images + 3 * axis - 2 * axis[:, None] + 50


def hot(images):
    """The images with a pixel of 1000 deviations each, within the particle or around it."""
    images, middle = images.clone(), images.shape[-1] // 2
    images[::2, middle, middle + 1], images[1::2, 1, 1] = 1000, -1000
    return images


@pytest.mark.parametrize("spoilt", [sloping, hot])
def test_planes_and_hot_pixels_of_stacks_that_are_not_normalised_make_no_classes(spoilt, particles, folder):
    made = changed(particles, folder, spoilt.__name__, lambda images, ctf: spoilt(images))
    grid, rows = PolarGrid(BOX, 10, 48, 10.0), np.arange(40)
    given, wanted = (class_images(one, rows, grid)[0].flatten() for one in (made, particles))
    assert torch.corrcoef(torch.stack([given, wanted]))[0, 1] > 0.99


@pytest.mark.parametrize("spoilt", [sloping, hot])
def test_planes_and_hot_pixels_neither_decide_the_normalisation_nor_stay(spoilt):
    plain = torch.randn(40, 32, 32, generator=torch.Generator().manual_seed(0))
    given, wanted = prepare(spoilt(plain), 20), prepare(plain, 20)
    assert torch.corrcoef(torch.stack([given.flatten(), wanted.flatten()]))[0, 1] > 0.99
    background = plain[:, ~circle(32, 20)]
    expected = (plain - background.mean(1)[:, None, None]) / background.std(1)[:, None, None]
    assert torch.allclose(wanted, expected, atol=1e-5)  # noise has planes, too: they stay


def test_compact_particles_without_noise_are_no_hot_pixels():
    """Of 14 to 23 deviations; a third to two thirds of their power was cut. Hot pixels beside one another are."""
    axis = torch.arange(64.0) - 32
    square = axis[:, None] ** 2 + axis**2
    clean = torch.stack([torch.exp(-square / 2 / 2.5**2), -torch.exp(-square / 2 / 2.0**2)])
    assert torch.equal(cooled(clean), clean)
    spoilt = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    spoilt[0, 20:22, 30:33] = 300
    assert float(cooled(spoilt).max()) < 10


def test_a_blank_image_becomes_zero_and_a_circle_as_wide_as_the_box_leaves_the_corners():
    assert prepare(torch.full((1, 16, 16), 5.0), 10).abs().max() == 0
    assert prepare(torch.randn(2, 16, 16), 100).isfinite().all()


def test_resampled_images_keep_the_centre_and_are_cut_or_padded():
    image = torch.zeros(1, 32, 32)
    image[0, 16, 16] = 1
    same, exact = resample(image, 2.0, 2.0, 32)
    assert torch.equal(same, image) and exact == 2.0
    for pixel, box in ((4.0, 24), (1.0, 32), (3.0, 20)):
        made, exact = resample(image, 2.0, pixel, box)
        assert made.shape == (1, box, box) and abs(exact / pixel - 1) < 0.03
        assert np.unravel_index(int(made[0].argmax()), (box, box)) == (box // 2, box // 2)


def test_the_noise_spectrum_is_that_of_the_noise_around_the_particles():
    ground_truth = 0.3 + 2 * torch.exp(-torch.arange(33.0) / 6)
    noise = noise_images(300, 64, np.random.default_rng(0), ground_truth)
    noise[:, 20:44, 20:44] += 50
    found = noise_spectra(noise, 36).mean(0)
    mean = float(ground_truth[(on_grid(torch.arange(33.0), 64)).long()].mean())
    assert torch.allclose(found[4:] * mean, ground_truth[4:], rtol=0.15)
    white = noise_spectra(torch.randn(300, 64, 64, generator=torch.Generator().manual_seed(1)), 36).mean(0)
    assert torch.allclose(white, torch.ones(33), atol=0.12)


@pytest.mark.parametrize("sign, word", [(1, "bright"), (-1, "dark")])
def test_contrast_is_found_with_and_without_the_structure(particles, projector, folder, sign, word):
    particles = changed(particles, folder, word, lambda images, ctf: sign * images)
    contrast, sure, sentence = find_contrast(particles, 28)
    assert contrast == word and sure and word in sentence
    fit = fit_structure(particles, projector, 28)
    assert fit.significant and fit.amplitude * sign > 0


def test_contrast_of_images_multiplied_by_their_ctf_is_that_of_the_raw_ones(particles, folder):
    multiply = lambda images, ctf: torch.fft.irfft2(torch.fft.rfft2(images) * ctf, s=images.shape[1:])
    multiplied = dataclasses.replace(changed(particles, folder, "multiplied", multiply), ctf_state="multiplied")
    found, raw = (_ball_matches(one, np.arange(len(one)), 28) for one in (multiplied, particles))
    assert find_contrast(multiplied, 28)[:2] == ("bright", True)
    assert found.mean() / found.std() > 0.8 * raw.mean() / raw.std()


def test_contrast_that_cannot_be_told_is_not_claimed(particles, projector, folder):
    noise = changed(
        particles,
        folder,
        "noise",
        lambda images, ctf: torch.from_numpy(np.random.default_rng(0).standard_normal(images.shape, dtype=np.float32)),
    )
    contrast, sure, sentence = find_contrast(noise, 28)
    assert contrast == "bright" and not sure and "--contrast dark" in sentence
    assert not fit_structure(noise, projector, 28).significant and not find_contrast(particles.subset([0]), 28)[1]


def test_copies_of_images_make_nothing_surer(particles, projector, folder):
    """Five of one image divided by zero; sixty of each, as of a virus, made noise surely bright or dark."""
    expanded = particles.subset(np.repeat(np.arange(12), 60))
    few, many = (fit_structure(one, projector, 28) for one in (particles.subset(np.arange(12)), expanded))
    assert many.error == pytest.approx(few.error) and not find_contrast(particles.subset([0] * 5), 28)[1]
    drawn = lambda images, ctf: torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    noise = changed(particles, folder, "expanded", drawn)
    several = (noise.subset(np.repeat(np.arange(start, start + 8), 60)) for start in range(0, 32, 8))
    assert not any(find_contrast(one, 28)[1] for one in several)


def test_the_strength_of_the_signal_is_measured(particles, projector):
    fit = fit_structure(particles, projector, 28)
    # the map has the scale of the images, whose noise has a deviation of 1; the prepared background holds a little
    # signal, too
    assert fit.amplitude == pytest.approx(1, abs=0.1) and fit.ctf_state == "none" and fit.error < 0.05


def test_flipped_phases_are_noticed_though_the_file_does_not_say_it(particles, projector, folder):
    flipped = changed(particles, folder, "flipped", flip_phases)
    assert flipped.ctf_state == "none"
    fit = fit_structure(flipped, projector, 28)
    assert fit.ctf_state == "flipped" and fit.amplitude == pytest.approx(1, abs=0.1)
    dark = changed(particles, folder, "flipped_dark", lambda images, ctf: -flip_phases(images, ctf))
    assert fit_structure(dark, projector, 28).amplitude < -0.9
    said = dataclasses.replace(flipped, ctf_state="flipped")
    assert fit_structure(said, projector, 28).amplitude == pytest.approx(fit.amplitude)


def test_one_particle_alone_settles_nothing(particles, projector):
    assert not fit_structure(particles.subset([0]), projector, 28).significant


def test_rows_are_spread_evenly():
    assert sample_rows(1).tolist() == [0] and sample_rows(3).tolist() == [0, 1, 2]
    assert sample_rows(100, 3).tolist() == [0, 50, 99]
