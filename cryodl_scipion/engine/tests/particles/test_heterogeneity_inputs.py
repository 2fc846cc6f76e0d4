# SPDX-License-Identifier: GPL-3.0-or-later
"""fit-heterogeneity on particles, maps and masks that do not fit together: a sentence before the fit."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from heterogeneity_data import command, moving_particles
from particle_data import simulate_particles, write_multiplied
from scipy.ndimage import gaussian_filter, rotate
from synthetic import lopsided_density, write_mrc

from cryodl.contract import FitHeterogeneityConfig
from cryodl.io.mrc import write_map
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.io.star import read_tables, write_tables
from cryodl.likelihood.reference import opposite_groups
from cryodl.particles.heterogeneity import inputs
from cryodl.particles.heterogeneity.coefficients import load_coefficients
from cryodl.particles.heterogeneity.inputs import ENOUGH, at_own_views
from cryodl.reconstruction.halves import split_halves

FIT = dict(particles="p.star", reference="p_map.mrc", latent=1, resolution=18, axes=0, threads=1)
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


@pytest.fixture(scope="module")
def rigid(tmp_path_factory):
    """Folder with particles of a rigid molecule."""
    folder = tmp_path_factory.mktemp("rigid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        moving_particles(domain="B", hinge_range=0, hinge_states=2, count=300)
        yield folder


@pytest.fixture
def here(rigid, monkeypatch):
    monkeypatch.chdir(rigid)
    return rigid


def changed(folder, changes=None, images=None, optics=None, rows=slice(None)):
    """STAR file of the particles with other columns, images, optics or rows, without half sets."""
    particles = read_particles("p.star").subset(rows)
    columns = {name: values for name, values in particles.columns.items() if name != "rlnRandomSubset"}
    particles = dataclasses.replace(
        particles, columns=columns, optics_columns=dict(particles.optics_columns, **(optics or {}))
    )
    if images is not None:
        mrcfile.write(folder / "q.mrcs", np.asarray(images, np.float32))
    stack = None if images is None else str(folder / "q.mrcs")
    write_particles_star(str(folder / "q.star"), particles, changes or {}, stack=stack)
    return folder / "q.star"


def message(folder, **options):
    found = command("fit-heterogeneity", 2, **dict(FIT, output=folder / "fit", **options))
    assert not (folder / "fit").exists()
    return found


def treated(state):
    """Images whose phases were flipped, or that were multiplied or divided by their CTF."""
    particles = read_particles("p.star")
    ctf = particles.ctf(slice(None))
    factor = dict(flipped=ctf.sign(), multiplied=ctf, corrected=ctf / (ctf**2 + 0.1))[state]
    return torch.fft.irfft2(torch.fft.rfft2(particles.images(slice(None))) * factor, s=(32, 32)).numpy()


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict.fromkeys(ANGLES[:2], np.zeros(300)), ["not aligned to p_map.mrc"]),
        (dict.fromkeys(ANGLES, np.r_[np.nan, np.ones(299)]), ["particle 1", "not a finite number"]),
        (dict.fromkeys(("rlnDefocusU", "rlnDefocusV"), np.zeros(300)), ["without a CTF"]),
        (dict(rlnRandomSubset=np.ones(300, int)), ["300 particles of half 1 and 0 of half 2"]),
        (dict(rlnRandomSubset=np.r_[2, np.ones(299, int)]), ["299 particles of half 1 and 1 of half 2", "at least 6"]),
    ],
)
def test_particles_without_an_alignment_or_a_ctf_are_told_from_others(here, changes, words, tmp_path):
    said = message(tmp_path, particles=changed(tmp_path, changes))
    assert all(word in said for word in words)


def test_a_pixel_size_that_the_reference_contradicts_is_said(here, tmp_path):
    given = {name: value for name, value in FIT.items() if name not in ("particles", "threads", "device")}
    config = lambda star: FitHeterogeneityConfig(particles=str(star), output="fit", **given)
    notes = lambda star: " ".join(inputs.load_inputs(config(star)).notes)
    assert "scaled" not in notes("p.star")
    particles, star = read_particles("p.star"), str(tmp_path / "q.star")
    write_particles_star(star, particles, pixel_size=0.94 * particles.pixel_size)
    size = re.search("fits p_map.mrc better if the structure is scaled by (.{4}):", notes(star))[1]
    assert float(size) == pytest.approx(0.94, rel=0.02)


def test_several_boxes_or_pixel_sizes_are_named(here, tmp_path):
    tables = read_tables("p.star")
    particles = dict(tables["particles"], rlnOpticsGroup=["1"] * 150 + ["2"] * 150)
    particles["rlnImageName"] = [name.replace("@", f"@{here}/") for name in particles["rlnImageName"]]
    optics = {name: [values[0], values[0]] for name, values in tables["optics"].items()}
    optics.update(rlnOpticsGroup=["1", "2"], rlnOpticsGroupName=["one", "two"], rlnImagePixelSize=["5.0", "6.0"])
    write_tables(tmp_path / "sizes.star", dict(optics=optics, particles=particles))
    said = message(tmp_path, particles=tmp_path / "sizes.star")
    assert "pixel size" in said and "sizes.star" in said
    mrcfile.write(tmp_path / "other.mrcs", np.zeros((1, 40, 40), np.float32))
    particles["rlnImageName"][7] = f"1@{tmp_path}/other.mrcs"
    write_tables(tmp_path / "boxes.star", dict(tables, particles=dict(particles, rlnOpticsGroup=["1"] * 300)))
    assert "one box size is needed" in message(tmp_path, particles=tmp_path / "boxes.star")


@pytest.mark.parametrize("dark, count", [(150, 2), (40, 2), (150, 40)])
def test_optics_groups_of_opposite_contrast_are_no_motion(here, dark, count, tmp_path):
    """Also where each beam shift is a group of few images."""
    images = read_particles("p.star").images(slice(None)).numpy()
    images[:dark] *= -1
    optics = {name: [values[0]] * count for name, values in read_tables("p.star")["optics"].items()}
    is_dark = np.arange(300) < dark
    group = np.where(is_dark, 0, count // 2) + np.arange(300) % (count // 2)
    groups, optics["rlnOpticsGroup"] = dict(rlnOpticsGroup=group.astype(str).tolist()), [str(n) for n in range(count)]
    said = message(tmp_path, particles=changed(tmp_path, groups, images, optics))
    bright, dark = re.search("bright in the images of optics group (.*), dark in those of (.*)\\. Mult", said).groups()
    assert set(bright.split(", ")) <= set(group[~is_dark].astype(str)) and len(dark.split(", ")) >= count / 4
    assert set(dark.split(", ")) <= set(group[is_dark].astype(str))


def test_the_noise_of_every_optics_group_has_variance_one(here, tmp_path):
    """Noise of another group looked like motion where one shows more of the molecule."""
    images = np.random.default_rng(0).standard_normal((300, 32, 32))
    images[200:] = 3 * gaussian_filter(images[200:], (0, 0.6, 0.6))
    optics = {name: [values[0]] * 3 for name, values in read_tables("p.star")["optics"].items()}
    groups = dict(rlnOpticsGroup=["1"] * 199 + ["3"] + ["2"] * 100)
    path = changed(tmp_path, groups, images.astype(np.float32), dict(optics, rlnOpticsGroup=["1", "2", "3"]))
    found = load_coefficients(read_particles(path), 12, 20, "bright", tmp_path)
    power = np.abs(found.files[0]) ** 2 * (found.ring > 2)
    one, two, few = (power[rows].sum(1).mean() for rows in (slice(0, 199), slice(200, 300), slice(199, 200)))
    assert one == pytest.approx(two, rel=0.1) and one == pytest.approx(few, rel=0.5)


def test_coefficients_of_images_multiplied_by_their_ctf_are_those_of_flipped_ones(here, tmp_path, monkeypatch):
    particles = read_particles("p.star")
    monkeypatch.chdir(tmp_path)
    write_multiplied("m", particles)
    raw, multiplied = (
        [file.copy() for file in load_coefficients(one, 10, 28, "bright", tmp_path).files]
        for one in (particles, read_particles("m.star"))
    )
    sign, seen = np.sign(raw[1]), multiplied[1] > 0
    for one, other in zip(raw, multiplied):
        assert np.linalg.norm((sign * one - other)[seen]) < 0.05 * np.linalg.norm(one[seen])
    assert seen.mean() > 0.9 and not any(file[~seen].any() for file in multiplied)


@pytest.mark.parametrize("state", ["flipped", "multiplied"])
def test_a_treatment_of_one_optics_group_is_no_motion(here, state, tmp_path):
    """Neither of the only group that the file does not speak of, nor of all images together."""
    images, other = read_particles("p.star").images(slice(None)).numpy(), treated(state)
    images[:60] = other[:60]
    optics = {name: [values[0]] * 2 for name, values in read_tables("p.star")["optics"].items()}
    optics["rlnOpticsGroup"], groups = ["1", "2"], dict(rlnOpticsGroup=["2"] * 60 + ["1"] * 240)
    said = message(tmp_path, particles=changed(tmp_path, groups, images, optics))
    assert "its images of optics group 2 are neither phase-flipped nor multiplied" in said
    assert f"but they seem to be {'phase-flipped' if state == 'flipped' else 'multiplied'}" in said


def test_a_group_that_shows_more_is_not_taken_for_all_images(here):
    """Half of the sample comes from a small group, whose images show the structure more strongly."""
    raw, rng = read_particles("p.star"), np.random.default_rng(0)
    particles = dataclasses.replace(raw, columns=dict(raw.columns, rlnOpticsGroup=[str(n // 150) for n in range(300)]))
    gains = {state: rng.normal(0, 1, 300) for state in inputs.WORDS}
    gains["none"][:150] += 3
    gains["multiplied"][150:] += 8
    groups = np.array(particles.columns["rlnOpticsGroup"])
    assert "its images of optics group 1 are neither" in inputs.ctf_notes(particles, gains, groups)[0]
    gains["multiplied"][:150] += 6
    assert "its images are neither" in inputs.ctf_notes(particles, gains, groups)[0]


@pytest.mark.parametrize(
    "first, words", [(-0.2, "of optics group 1 are"), (0.0, "of optics group 1 are"), (1.0, "its images are")]
)
def test_images_of_all_groups_are_named_only_if_each_group_tells(here, first, words):
    """A group of low defocus is as stated, by 2.5 standard errors, or tells nothing; the other is flipped."""
    raw, rng = read_particles("p.star"), np.random.default_rng(3)
    groups = np.array([str(n // 150) for n in range(300)])
    gains = {state: np.zeros(300) for state in inputs.WORDS}
    gains["flipped"] = rng.permutation(np.linspace(-1.5, 1.5, 300))
    for group, mean in (("0", first), ("1", 1.5)):
        gains["flipped"][groups == group] += mean - gains["flipped"][groups == group].mean()
    assert words in inputs.ctf_notes(raw, gains, groups)[0]


def test_groups_that_are_nearly_sure_are_named_with_those_that_are(here):
    """Of nine flipped groups one, by 4.5 standard errors, was left out: corrected so, it alone would be wrong."""
    raw, rng = read_particles("p.star"), np.random.default_rng(3)
    groups = np.array([str(n // 75) for n in range(300)])
    for sureness, words in (((9, 4.5, 8, 9), "its images are"), ((9, 4.5, -8, -9), "of optics group 0, 1 are")):
        gains = {state: np.zeros(300) for state in inputs.WORDS}
        gains["flipped"] = rng.permutation(np.linspace(-1.5, 1.5, 300))
        for group, errors in enumerate(sureness):
            gains["flipped"][groups == str(group)] += errors * 1.1 / 75**0.5
        assert words in inputs.ctf_notes(raw, gains, groups)[0]


def test_a_group_has_amplitudes_of_its_own(here, tmp_path):
    """With common ones, rings in which a flipped group has the other sign would explain nothing of raw images."""
    images, other = read_particles("p.star").images(slice(None)).numpy(), treated("flipped")
    images[150:] = other[150:]
    optics = {name: [values[0]] * 2 for name, values in read_tables("p.star")["optics"].items()}
    optics["rlnOpticsGroup"], groups = ["1", "2"], dict(rlnOpticsGroup=["1"] * 150 + ["2"] * 150)
    mixed = read_particles(changed(tmp_path, groups, images, optics))
    box = torch.from_numpy(mrcfile.read("p_map.mrc").copy())
    width = mixed.box * mixed.pixel_size
    both = inputs.match_reference(mixed, box, width / len(box), 0.6 * width)[1]
    alone = inputs.match_reference(mixed.subset(np.arange(150)), box, width / len(box), 0.6 * width)[1]
    assert both["none"][:150] == pytest.approx(alone["none"], rel=1e-3)


@pytest.mark.parametrize(
    "stated, words", [(("300", "200"), "of optics group 2 are not taken at 300 kV"), (("300",) * 2, "")]
)
def test_another_voltage_than_is_stated_of_a_group_is_told(here, tmp_path, stated, words):
    """All images were simulated at 300 kV."""
    optics = {name: [values[0]] * 2 for name, values in read_tables("p.star")["optics"].items()}
    optics.update(rlnOpticsGroup=["1", "2"], rlnVoltage=list(stated))
    particles = read_particles(changed(tmp_path, dict(rlnOpticsGroup=["1"] * 150 + ["2"] * 150), None, optics))
    box = torch.from_numpy(mrcfile.read("p_map.mrc").copy())
    width = particles.box * particles.pixel_size
    _, gains, groups = inputs.match_reference(particles, box, width / len(box), 0.6 * width)
    said = inputs.ctf_notes(particles, gains, groups)
    assert words in said[0] and "rlnVoltage" in said[0] if words else not said


def test_dirt_in_optics_groups_of_few_images_is_no_treatment(here):
    """One image with a very large difference, and two with very large matches, in groups of three of 300; then all
    images of one group."""
    raw, rng = read_particles("p.star"), np.random.default_rng(0)
    groups = dict(raw.columns, rlnOpticsGroup=[str(number // 3) for number in range(300)])
    particles = dataclasses.replace(raw, columns=groups)
    for dirty in ([7, 100], [6, 7, 8]):
        gains = {state: rng.normal(0, 1, 300) for state in inputs.WORDS}
        gains["multiplied"][[n for n in dirty if n < 9]] += 60
        assert not inputs.ctf_notes(particles, gains, np.array(groups["rlnOpticsGroup"]))
        matches = rng.normal(1, 1, 300)
        matches[dirty] += -60 if len(dirty) > 2 else np.array([-60, 60])
        assert not opposite_groups(particles, np.arange(300), matches)


@pytest.mark.parametrize(
    "wrong, part", [(ANGLES, 1), (ANGLES[:2], 1), (ANGLES[2:], 1), (ANGLES, 0.4)], ids=["all", "views", "psi", "some"]
)
def test_orientations_of_other_particles_are_no_alignment_and_no_motion(here, wrong, part, tmp_path):
    particles, order = read_particles("p.star"), np.random.default_rng(1).permutation(300)
    order[round(300 * part) :] = np.arange(round(300 * part), 300)
    shuffled = {name: np.array(particles.columns[name], float)[order] for name in wrong}
    said = message(tmp_path, particles=changed(tmp_path, shuffled))
    assert "of the images show p_map.mrc at their orientations" in said and "would look like motion" in said


def test_a_symmetric_molecule_at_its_own_orientations_is_not_refused(tmp_path, monkeypatch):
    """It looks alike at others, of which one lies nearer to the directions that are looked at."""
    monkeypatch.chdir(tmp_path)
    part = lopsided_density(48)
    density = sum(rotate(part, 360 / 7 * k, axes=(1, 2), reshape=False, order=1) for k in range(7)).astype(np.float32)
    write_map("ring.mrc", torch.from_numpy(density), 5.0)
    simulate_particles("ring.star", structure="ring.mrc", pixel_size=5.0, box=48, count=200, snr=3.0)
    particles, cube = read_particles("ring.star"), torch.from_numpy(density)
    assert at_own_views(particles, cube, 5.0, 168.0, "bright")[0] >= ENOUGH
    other = particles.subset(np.random.default_rng(1).permutation(200))
    wrong = dataclasses.replace(particles, angles=other.angles)
    assert at_own_views(wrong, cube, 5.0, 168.0, "bright")[0] < 0.5


@pytest.mark.parametrize(
    "state, words",
    [
        ("flipped", "they seem to be phase-flipped"),
        ("corrected", "they seem to be phase-flipped"),
        ("multiplied", "they seem to be multiplied"),
    ],
)
def test_a_treatment_of_the_ctf_that_the_file_does_not_say_is_named(here, state, words, tmp_path):
    said = message(tmp_path, particles=changed(tmp_path, images=treated(state)))
    assert words in said and "rlnCtfDataArePhaseFlipped" in said


@pytest.mark.parametrize(
    "state, column", [("flipped", "rlnCtfDataArePhaseFlipped"), ("multiplied", "rlnCtfDataAreCtfPremultiplied")]
)
def test_a_treatment_that_the_file_says_makes_no_motion(here, state, column, tmp_path):
    star = changed(tmp_path, images=treated(state), optics={column: ["1"]})
    made = command("fit-heterogeneity", **dict(FIT, particles=star), output=tmp_path / "fit")
    assert made.outputs["verdict"] == "no motion" and made.warnings == ()


def test_a_strongly_blurred_reference_brings_no_advice_on_the_ctf(here, tmp_path):
    density = torch.from_numpy(np.array(mrcfile.read("p_map.mrc"), np.float32))
    for b_factor in (1000, 10000):
        radius = torch.hypot(*torch.meshgrid(*(torch.fft.fftfreq(32, 5.0),) * 2, indexing="ij"))[:, :, None]
        radius = torch.hypot(radius, torch.fft.rfftfreq(32, 5.0))
        blurred = torch.fft.irfftn(torch.fft.rfftn(density) * torch.exp(-b_factor / 4 * radius**2), s=(32,) * 3)
        write_map(tmp_path / "blurred.mrc", blurred, 5.0)
        made = command("fit-heterogeneity", **dict(FIT, reference=tmp_path / "blurred.mrc"), output=tmp_path / "fit")
        assert not any("CTF" in warning or "phase" in warning for warning in made.warnings)
        shutil.rmtree(tmp_path / "fit")


def test_dark_protein_is_noticed(here, tmp_path):
    star = changed(tmp_path, images=-read_particles("p.star").images(slice(None)).numpy())
    made = command("fit-heterogeneity", **dict(FIT, particles=star), output=tmp_path / "fit")
    assert made.outputs["verdict"] == "no motion"
    assert mrcfile.read(made.outputs["mean"]).max() > -2 * mrcfile.read(made.outputs["mean"]).min()


def test_the_mirror_image_of_the_reference_is_named(here, tmp_path):
    write_mrc(tmp_path / "mirror.mrc", mrcfile.read("p_map.mrc")[:, :, ::-1].copy(), 5.0)
    assert "mirror image" in message(tmp_path, reference=tmp_path / "mirror.mrc")


def test_copies_of_an_image_make_no_motion(here, tmp_path):
    """As an expansion by symmetry makes them; their noise is the same."""
    star = changed(tmp_path, rows=np.tile(np.arange(150), 2))
    made = command("fit-heterogeneity", **dict(FIT, particles=star), output=tmp_path / "fit")
    assert made.outputs["verdict"] == "no motion"
    assert any("300 particles of 150 images" in note for note in made.warnings)


def test_copies_of_an_image_are_in_one_half(here, tmp_path):
    particles = read_particles(changed(tmp_path, rows=np.tile(np.arange(50), 3)))
    halves = split_halves(particles, 0).reshape(3, 50)
    assert (halves == halves[0]).all() and 20 < (halves[0] == 1).sum() < 30
    assert (particles.same_images().reshape(3, 50) == np.arange(50)).all()
    (tmp_path / "alias").symlink_to(Path(particles.files[0]).parent)  # as RELION names its jobs
    alias = np.array([str(tmp_path / "alias" / Path(file).name) for file in particles.files[:50]], object)
    named_twice = dataclasses.replace(particles, files=np.concatenate([alias, particles.files[50:]]))
    assert (named_twice.same_images().reshape(3, 50) == np.arange(50)).all()
    mixed = {"rlnRandomSubset": np.arange(300) // 150 + 1}
    star = changed(tmp_path, mixed, rows=np.tile(np.arange(150), 2))
    assert "in both halves" in message(tmp_path, particles=star)


def test_a_mask_of_nothing_is_named_and_one_of_another_size_and_of_a_part_leaves_the_mean_whole(here, tmp_path):
    write_mrc(tmp_path / "none.mrc", np.zeros((32, 32, 32), np.float32), 5.0)
    assert "nowhere above 0" in message(tmp_path, mask=tmp_path / "none.mrc")
    half = np.ones((20, 20, 20), np.float32)
    half[:, :, :10] = 0
    write_mrc(tmp_path / "small.mrc", half, 5.0)
    made = command("fit-heterogeneity", **dict(FIT, mask=tmp_path / "small.mrc"), output=tmp_path / "fit")
    assert made.outputs["verdict"] == "no motion"
    told = json.loads((tmp_path / "fit" / "heterogeneity.json").read_text())
    words = [*made.summary[:3], told["sentence"], made.methods[0]]
    assert all("within the mask" in sentence for sentence in words) and "ninth of the mass within" in words[1]
    assert made.summary[3].startswith("1 latent coordinate of 300 particles, method linear: ")
    assert inputs._alike(mrcfile.read(tmp_path / "fit" / "mean.mrc"), mrcfile.read("p_map.mrc")) > 0.9
