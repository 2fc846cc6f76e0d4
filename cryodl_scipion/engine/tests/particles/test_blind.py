# SPDX-License-Identifier: GPL-3.0-or-later
"""Blind denoising of particles: the shipped network is told nothing but what the set's own spectra tell."""

import json
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command
from particle_data import PIXEL, simulate_particles, write_multiplied
from synthetic import correlation

from cryodl.io.model import find_model
from cryodl.io.particle_sets import read_particles
from cryodl.likelihood.observed import WIDEST, prepare
from cryodl.particles.denoisers.blind import _cropped_ctf, load_blind
from cryodl.particles.denoisers.evaluate import wiener_filter
from cryodl.simulate.particle_images import load_projector

NAME, SIDE, COUNT = "general_denoiser", 48, 40


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with 40 particles p.star of a lopsided molecule, protein bright."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(box=SIDE, count=COUNT, snr=0.3)
    return tmp_path


def denoise(code=0, **options):
    return run_command("denoise", code, **dict(dict(particles="p.star", output="d.star"), **options))


def change(function, path="p.mrcs"):
    """Write what function makes of the stack's images."""
    with mrcfile.open(path, "r+") as mrc:
        mrc.data[:] = function(mrc.data.copy())


def without_ctf():
    """The STAR file without what a CTF is made of."""
    Path("p.star").write_text(Path("p.star").read_text().replace("rlnDefocusU", "rlnLost"))


def ground_truth(particles):
    projector, _, _ = load_projector("map.mrc", particles.pixel_size, particles.box)
    return projector.project(*particles.poses(np.arange(len(particles))), particles.box).numpy()


def nearness(images, truth):
    return np.mean([correlation(np.asarray(a), b) for a, b in zip(images, truth)])


def test_images_come_nearer_to_their_projections_than_by_the_wiener_filter(project):
    outputs = denoise().outputs
    assert outputs.blind and outputs.explained is None and outputs.model == NAME and outputs.contrast == "bright"
    raw, denoised = read_particles("p.star"), read_particles("d.star")
    assert denoised.denoiser == NAME and denoised.columns["rlnImageOriginalName"][0].endswith("p.mrcs")
    truth, denoiser = ground_truth(raw), load_blind(NAME, torch.device("cpu"))
    rows, spectra = np.arange(COUNT), denoiser.measure(raw, "bright")
    prepared = prepare(raw.images(rows), WIDEST * SIDE)
    filtered = wiener_filter(prepared, raw.ctf(rows), spectra.signal, spectra.noise)
    found = [nearness(x, truth) for x in (raw.images(rows), filtered, denoised.images(rows))]
    assert found[0] + 0.2 < found[1] < found[2]


def test_dark_protein_comes_out_bright_too(project):
    denoise(output="bright.star")
    change(lambda images: -images)
    assert denoise(output="dark.star").outputs["contrast"] == "dark"
    bright, dark = (read_particles(name).images(slice(None)) for name in ("bright.star", "dark.star"))
    assert torch.allclose(bright, dark, atol=1e-4)


def test_no_direction_is_preferred_a_turned_image_gives_the_turned_answer(project):
    """A network that drew what it knows would not turn with the image."""
    raw = read_particles("p.star")
    denoiser = load_blind(NAME, torch.device("cpu"))
    denoiser.measure(raw, "bright")
    images = prepare(raw.images(slice(0, 4)), WIDEST * SIDE)
    plain, turned = (denoiser.denoise(x, None, PIXEL) for x in (images, torch.rot90(images, 1, (1, 2))))
    assert torch.allclose(torch.rot90(plain, 1, (1, 2)), turned, atol=1e-3 * float(plain.abs().max()))


def test_noise_among_particles_stays_faint_and_a_set_of_noise_comes_out_empty(project):
    noise = np.random.default_rng(1).standard_normal((COUNT, SIDE, SIDE)).astype(np.float32)
    change(lambda images: np.concatenate([images[:30], noise[30:]]))
    denoise()
    strength = np.array(read_particles("d.star").columns["cryodlDenoisedStrength"], float)
    assert strength[30:].mean() < 0.35 * strength[:30].mean()
    change(lambda images: noise)
    result = denoise(output="noise.star")
    assert any("Nothing but noise was found" in warning for warning in result.warnings)
    assert result.outputs["empty"] == COUNT and not read_particles("noise.star").images(slice(None)).any()
    write_multiplied("m", read_particles("p.star"))
    assert denoise(particles="m.star", output="multiplied.star").outputs["empty"] == COUNT


@pytest.mark.parametrize("contrast", ["auto", "dark"])
def test_a_set_of_coloured_noise_which_does_not_come_out_empty_is_warned_of(project, contrast):
    assert not any("told from noise" in warning for warning in denoise(output="real.star").warnings)
    white = np.random.default_rng(2).standard_normal((COUNT, SIDE, SIDE))
    squared = np.fft.fftfreq(SIDE)[:, None] ** 2 + np.fft.rfftfreq(SIDE) ** 2
    coloured = np.fft.irfft2(np.fft.rfft2(white) * (0.3 + 1 / (1 + squared / 0.005)), s=(SIDE, SIDE))
    change(lambda images: coloured.astype(np.float32))
    result = denoise(contrast=contrast)
    assert any("p.star cannot be told from noise" in warning for warning in result.warnings)
    assert result.outputs["empty"] < COUNT


def test_without_a_ctf_images_keep_its_effect_and_that_is_said(project):
    denoise(output="corrected.star")
    corrected = read_particles("corrected.star").images(slice(None))
    raw = read_particles("p.star")
    seen = torch.fft.irfft2(torch.fft.rfft2(torch.from_numpy(ground_truth(raw))) * raw.ctf(slice(None)), s=(SIDE, SIDE))
    without_ctf()
    result = denoise()
    assert any("p.star has no CTF: the denoised images keep" in warning for warning in result.warnings)
    assert "without a known structure (blind): not raw data" in result.summary[0]
    assert "assign orientations to the raw images. Never for the final map" in result.summary[1]
    assert "denoised blindly" in result.methods[0] and "the raw images were kept" in result.methods[0]
    kept = read_particles("d.star").images(slice(None))
    assert nearness(kept, seen.numpy()) > nearness(corrected, seen.numpy())


def test_a_ctf_on_coarser_pixels_is_that_of_the_coarser_images(project):
    raw = read_particles("p.star")
    for side in (30, 31):
        expected = raw.ctf(slice(0, 3), side, SIDE * PIXEL / side)
        assert torch.allclose(_cropped_ctf(raw.ctf(slice(0, 3)), SIDE, side), expected, atol=1e-4)


@pytest.mark.parametrize("pixel_size, words", [(2.0, "finer than 6.8 Å is lost"), (9.0, "3.4 to 7 Å/px")])
def test_pixel_sizes_that_the_model_did_not_see_are_said(project, pixel_size, words):
    shutil.copy("map.mrc", "other.mrc")
    with mrcfile.open("other.mrc", "r+") as mrc:
        mrc.voxel_size = pixel_size
    simulate_particles("q.star", structure="other.mrc", box=60, count=12, pixel_size=pixel_size)
    result = denoise(particles="q.star", output=f"{pixel_size:g}.star")
    assert any(words in warning for warning in result.warnings)
    assert any("q.star has 12 particles. The spectra" in warning for warning in result.warnings)
    assert read_particles(f"{pixel_size:g}.star").box == 60


def masked(images):
    y, x = np.indices(images.shape[1:]) - SIDE // 2
    return np.where(y**2 + x**2 < (0.45 * SIDE) ** 2, images, 0)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda images: 0 * images + 3, "the images are empty (all pixels the same, or not finite numbers)"),
        (masked, "the corners of the images are empty, as after a mask"),
    ],
)
def test_images_that_tell_nothing_are_refused(project, spoil, words):
    change(spoil)
    text = denoise(2)
    assert words in text and "p." in text
    assert not list(Path().glob("d.*"))


def test_a_masked_image_comes_out_empty_and_the_others_as_without_it(project):
    change(lambda images: np.concatenate([masked(images[:1]), images[1:]]))
    result = denoise()
    particles = read_particles(result.outputs["particles"])
    strength = np.array(particles.columns["cryodlDenoisedStrength"], float)
    assert result.outputs["empty"] == 1 and strength[0] == 0 and strength[1:].min() > 0.1


def test_a_constant_image_and_one_with_nan_are_left_out_and_named(project):
    change(lambda images: np.concatenate([0 * images[:1] + 7, np.nan * images[1:2], images[2:]]))
    result, names = denoise(), read_particles("p.star").names
    assert [one.item for one in result.skipped] == list(names[:2])
    found = read_particles("d.star")
    assert len(found) == result.outputs["count"] == len(names) - 2 and found.images(slice(None)).isfinite().all()
    assert [one[:6] for one in found.columns["rlnImageOriginalName"]] == [one[:6] for one in names[2:]]


def test_images_that_are_too_small_are_refused(project):
    with mrcfile.open("p.mrcs") as mrc:
        small = mrc.data[:, 10:38, 10:38].copy()
    with mrcfile.new("p.mrcs", small, overwrite=True) as mrc:
        mrc.voxel_size = PIXEL
        mrc.set_image_stack()
    Path("p.star").write_text(Path("p.star").read_text().replace(f" {SIDE} ", " 28 "))
    assert "128 Å are needed to tell noise from particles" in denoise(2)


def test_a_model_of_ones_own_micrographs_is_refused(project):
    shutil.copytree(find_model(NAME), "mine")
    card = json.loads(Path("mine/card.json").read_text())
    Path("mine/card.json").write_text(json.dumps(dict(card, method="added-noise", name="mine")))
    assert "The model mine learnt from the micrographs of one data set" in denoise(2, model="mine")


def test_a_model_without_a_structure_is_not_evaluated_against_one(project):
    text = run_command("evaluate-denoiser", 2, particles="p.star", model=NAME, structure="map.mrc", output="e")
    assert "kind 'micrograph denoiser'; a particle denoiser is needed" in text
