# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl reconstruct`: oriented particles in; a map, its half-maps and their FSC out."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command, write_untrained_denoiser
from heterogeneity_data import command
from particle_data import BOX, PIXEL, simulate_particles, write_multiplied
from synthetic import correlation, environment, lopsided_density, write_mrc

from cryodl.core.backproject import Slices, solve
from cryodl.core.fourier import fsc
from cryodl.core.projections import Projector, random_angles
from cryodl.core.symmetry import symmetry_correlation
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.io.particles import ANGLES
from cryodl.particles.heterogeneity import inputs
from cryodl.reconstruction.halves import resolved, soft_sphere, wiener_constants


def test_a_map_is_solved_with_little_more_memory_than_its_sums_take():
    """Of 128 px: 100 MB; with arrays of the whole transform it was 440."""
    code = (
        "import torch; from cryodl.core.backproject import solve\n"
        "peak = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "value, weight = torch.ones((256, 256, 129), dtype=torch.complex64), torch.ones((256, 256, 129))\n"
        "solve(value[:16, :16, :9], weight[:16, :16, :9], 8); before = peak()\n"
        "solve(value, weight, 128); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert int(done.stdout) < 180e3, done.stderr


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with 150 particles p.star of map.mrc."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(count=150, snr=2.0)
    return tmp_path


def reconstruct(code=0, flags=(), **options):
    return run_command("reconstruct", code, flags, **dict(dict(particles="p.star", output="m.mrc"), **options))


def read(path):
    with mrcfile.open(path) as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(PIXEL)
        return torch.from_numpy(np.array(mrc.data))


def masked_correlation(first, second):
    inside = soft_sphere(len(first), 0.8 * len(first)) > 0.5
    return correlation(first[inside], second[inside])


def test_clean_projections_give_the_density_with_its_values():
    density = torch.from_numpy(lopsided_density(24))
    angles, shifts = random_angles(300, np.random.default_rng(0)), np.random.default_rng(1).uniform(-2, 2, (300, 2))
    slices = Slices(24)
    slices.add(Projector(density).project(angles, shifts), angles, shifts, None, None)
    found = solve(*slices.finished("C1"), 24)
    assert masked_correlation(found, density) > 0.995
    inside = soft_sphere(24, 20) > 0.5
    assert float((found[inside] @ density[inside]) / (density[inside] @ density[inside])) == pytest.approx(1, abs=0.02)


def test_the_map_and_its_halves_are_the_simulated_structure(project, capsys):
    result = reconstruct()
    assert f"150 particles of {BOX} px on CPU" in capsys.readouterr().out
    ground_truth = torch.from_numpy(lopsided_density(BOX))
    assert masked_correlation(read("m.mrc"), ground_truth) > 0.95
    assert masked_correlation(read("m_half1.mrc"), ground_truth) > 0.8
    assert result.outputs["count"] == 150 and result.outputs["box"] == BOX and result.outputs["pixel_size"] == PIXEL
    assert len(result.outputs["fsc"]) == BOX // 2 + 1 and result.warnings == ()
    assert result.outputs["missing_cone"] == 0 and len(result.outputs["tilted_cones"]) == 3
    assert np.mean([row[2] for row in result.outputs["views"]]) == pytest.approx(1, abs=0.01)
    found = [row[2] for row in result.outputs["by_direction"]]
    known = [at for at in found if at is not None]  # few and the finer ones, in so small a box
    assert len(found) == 96 and np.median(known) == pytest.approx(result.outputs["resolution"], rel=0.15)
    assert "Map: m.mrc of 150 particles" in result.summary[0] and "of the half-maps of 0.143 is" in result.methods[0]


def test_the_fsc_is_that_of_the_half_maps_in_the_mask(project):
    result = reconstruct(mask_diameter=80)
    mask = soft_sphere(BOX, 80 / PIXEL)
    assert np.allclose(fsc(read("m_half1.mrc") * mask, read("m_half2.mrc") * mask), result.outputs["fsc"], atol=1e-3)
    assert 2 * PIXEL <= result.outputs["resolution"] < 30


def test_the_halves_are_the_files_own(project):
    reconstruct()
    particles = read_particles("p.star")
    swapped = [3 - h for h in particles.halves]
    write_particles_star("swapped.star", particles, {"rlnRandomSubset": swapped})
    reconstruct(particles="swapped.star", output="s.mrc")
    assert torch.allclose(read("m_half1.mrc"), read("s_half2.mrc"), atol=1e-4)


def test_without_halves_they_are_drawn_and_the_seed_decides(project):
    particles = read_particles("p.star")
    del particles.columns["rlnRandomSubset"]
    write_particles_star("n.star", particles)
    for output, seed in (("a.mrc", 1), ("b.mrc", 1), ("c.mrc", 2)):
        reconstruct(particles="n.star", output=output, seed=seed)
    assert torch.equal(read("a_half1.mrc"), read("b_half1.mrc"))
    assert not torch.allclose(read("a_half1.mrc"), read("c_half1.mrc"))


def test_a_symmetry_is_imposed(project):
    density = lopsided_density(33)
    density = density + density[:, ::-1, ::-1]
    write_mrc("twofold.mrc", density, PIXEL)
    simulate_particles(output="t.star", structure="twofold.mrc", box=36, count=60, snr=0.5)
    reconstruct(particles="t.star", symmetry="C2")
    padded = torch.nn.functional.pad(torch.from_numpy(density), (2, 1) * 3)
    assert symmetry_correlation(read("m.mrc"), "C2") > 0.99
    assert masked_correlation(read("m.mrc"), padded) > 0.8


def test_multiplied_images_give_the_same_map(project):
    reconstruct()
    particles = read_particles("p.star")
    images = torch.fft.irfft2(torch.fft.rfft2(particles.images(slice(None))) * particles.ctf(slice(None)), s=(BOX, BOX))
    with StackWriter("x.mrcs", len(particles), BOX, PIXEL) as stack:
        stack.add(images)
    particles.optics_columns["rlnCtfDataAreCtfPremultiplied"] = ["1"]
    write_particles_star("x.star", particles, {"rlnImageName": [f"{n:06d}@x.mrcs" for n in range(1, 151)]})
    reconstruct(particles="x.star", output="x.mrc")
    assert masked_correlation(read("m.mrc"), read("x.mrc")) > 0.98


def write_flipped(count, **optics):
    """q.star: 150 particles, the phases of the first `count` are flipped."""
    density, rng = np.zeros((BOX,) * 3, np.float32), np.random.default_rng(0)
    density[tuple(rng.integers(8, 24, (3, 40)))] = 1  # points: detail beyond the first zero of each CTF
    write_mrc("map.mrc", density, PIXEL)
    simulate_particles(count=150, snr=2.0, minimum_defocus=30000, maximum_defocus=90000)
    particles = read_particles("p.star")
    signs = particles.ctf(slice(None)).sign()
    signs[count:] = 1
    images = torch.fft.irfft2(torch.fft.rfft2(particles.images(slice(None))) * signs, s=(BOX, BOX))
    mrcfile.write("p.mrcs", images.numpy(), overwrite=True, voxel_size=PIXEL)
    write_particles_star(
        "q.star", dataclasses.replace(particles, optics_columns={**particles.optics_columns, **optics})
    )


@pytest.mark.parametrize("flipped, stated", [(1, 0), (0, 1), (1, 1), (0, 0)])
def test_phases_that_are_not_as_the_file_states_are_said(tmp_path, monkeypatch, flipped, stated):
    monkeypatch.chdir(tmp_path)
    write_flipped(150 * flipped, rlnCtfDataArePhaseFlipped=[str(stated)])
    warnings = reconstruct(particles="q.star").warnings
    words = ["rlnCtfDataArePhaseFlipped" in one for one in warnings]
    assert any(words) == (flipped != stated)
    assert flipped == stated or ("seem to be neither" in warnings[words.index(True)]) == (stated == 1)


@pytest.mark.parametrize("flipped", [75, 0])
def test_phases_that_are_flipped_in_one_optics_group_alone_are_said(tmp_path, monkeypatch, flipped):
    monkeypatch.chdir(tmp_path)
    write_flipped(flipped)
    particles = read_particles("q.star")
    optics = {name: [*values] * 2 for name, values in particles.optics_columns.items()} | {"rlnOpticsGroup": ["1", "2"]}
    two = dataclasses.replace(particles, optics_columns=optics)
    write_particles_star("two.star", two, {"rlnOpticsGroup": ["1"] * 75 + ["2"] * 75})
    words = "of optics group 1 are neither phase-flipped nor multiplied by their CTF, but they seem to be phase-flipped"
    assert any(words in one for one in reconstruct(particles="two.star").warnings) == bool(flipped)
    # a map of groups of opposite contrast shows neither, and read so the other group seemed to be flipped
    images = mrcfile.read("p.mrcs").copy()
    images[:75] *= -1
    mrcfile.write("p.mrcs", images, overwrite=True, voxel_size=PIXEL)
    warnings = " ".join(reconstruct(particles="two.star", output="opposite.mrc").warnings)
    assert "Multiply the images of either by -1" in warnings and "seem to be" not in warnings


def test_phases_of_groups_are_told_by_the_particles_of_both_halves(tmp_path, monkeypatch):
    """By one half alone those of 600 particles at SNR 0.1 were not surely told."""
    monkeypatch.chdir(tmp_path)
    write_flipped(0)
    monkeypatch.setattr(inputs, "ctf_notes", lambda particles, gains, groups: [f"{len(gains['none'])} {len(groups)}"])
    assert "150 150" in reconstruct(particles="q.star").warnings


@pytest.mark.parametrize("flags", [(), ("--no-correct-ctf",)])
@pytest.mark.parametrize("snr", [2.0, 0.2])
def test_a_map_that_angles_of_other_particles_give_as_well_is_said_to_be_an_outline(tmp_path, monkeypatch, snr, flags):
    """At SNR 0.2 the half-maps agree to 18.6 Å, with angles exchanged to 21.9: that is no sign of wrong ones."""
    monkeypatch.chdir(tmp_path)
    place = (np.indices((BOX,) * 3) - BOX / 2).transpose(1, 2, 3, 0)
    rod = np.exp(-((place / (5, 4, 3)) ** 2).sum(-1)) + np.exp(-(((place - (0, 5, 4)) / 2) ** 2).sum(-1))
    write_mrc("map.mrc", rod.astype(np.float32), PIXEL)
    simulate_particles(count=150, snr=snr)
    particles = read_particles("p.star")
    own = reconstruct(flags=flags)
    angles = np.random.default_rng(0).permutation(particles.angles)
    write_particles_star("q.star", particles, dict(zip(ANGLES, angles.T)))
    other = reconstruct(particles="q.star", output="q.mrc", flags=flags)
    assert other.outputs["resolution"] and [len(words_in(one)) for one in (own, other)] == [0, 1]


@pytest.mark.parametrize("count, halves", [(2, None), (2, np.arange(300) % 3 == 0), (6, None)])
def test_groups_of_opposite_contrast_hide_no_exchanged_angles(tmp_path, monkeypatch, count, halves):
    """halves: of two groups whose particles are each in a half of their own, no map tells of angles; nor does one of a
    small group, which would call right angles wrong."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(count=300, snr=2.0)
    particles, dark = read_particles("p.star"), np.arange(300) % 3 == 0
    with StackWriter("q.mrcs", 300, BOX, PIXEL) as stack:
        stack.add(particles.images(slice(None)) * torch.from_numpy(1.0 - 2.0 * dark)[:, None, None])
    names = [str(1 + n) for n in range(count)]
    optics = {name: list(values) * count for name, values in particles.optics_columns.items()}
    two = dataclasses.replace(particles, optics_columns=dict(optics, rlnOpticsGroup=names))
    group = 1 + dark if count == 2 else 1 + np.arange(300) % count  # of six, 1 and 4 are dark
    columns = dict(rlnOpticsGroup=group) | ({} if halves is None else dict(rlnRandomSubset=1 + halves))
    told = []
    for name, order in (("own", np.arange(300)), ("other", np.random.default_rng(0).permutation(300))):
        angles = dict(zip(ANGLES, particles.angles[order].T))
        write_particles_star(f"{name}.star", two, {**columns, **angles}, stack="q.mrcs")
        result = reconstruct(particles=f"{name}.star", output=f"{name}.mrc")
        told.append((any("Multiply the images of" in one for one in result.warnings), len(words_in(result))))
    assert told == [(True, 0), (True, count == 2 and halves is None)]


def test_right_angles_of_images_multiplied_by_their_ctf_make_no_outline(tmp_path, monkeypatch):
    """Compared with views multiplied twice they fitted by 2.3 standard errors better than exchanged ones."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(count=300, snr=0.05, seed=2, minimum_defocus=5000, maximum_defocus=8000)
    write_multiplied("x", read_particles("p.star"))
    result = reconstruct(particles="x.star")
    assert result.outputs["resolution"] and not words_in(result)


def words_in(result):
    return [one for one in result.warnings if "with the angles exchanged" in one]


def test_hot_pixels_do_not_reach_the_map(project):
    """Forty of 200 deviations had taken one from 13 to 18 Å."""
    plain, images = reconstruct().outputs["resolution"], read_particles("p.star").images(slice(None))
    for number in range(0, 150, 10):
        images[number, number % 32, (7 * number) % 32] = 100 * images.std()
    with StackWriter("p.mrcs", 150, BOX, PIXEL) as stack:
        stack.add(images)
    assert reconstruct(output="hot.mrc").outputs["resolution"] == pytest.approx(plain, rel=0.05)
    assert masked_correlation(read("m.mrc"), read("hot.mrc")) > 0.99


def test_offsets_and_scales_of_images_do_not_change_the_map(project):
    """An offset of 5 deviations left a correlation of 0.18, and the noisier half of a joined set was all of its map."""
    reconstruct()
    images = read_particles("p.star").images(slice(None))
    factors = torch.tensor([1.0, 50.0]).repeat(75)[:, None, None]
    with StackWriter("p.mrcs", 150, BOX, PIXEL) as stack:
        stack.add(factors * (images + 5 * images.std()))
    reconstruct(output="uneven.mrc")
    assert masked_correlation(read("m.mrc"), read("uneven.mrc")) > 0.9999


def test_images_that_are_sums_of_a_few_components_come_with_a_warning(project):
    images = read_particles("p.star").images(slice(None)).flatten(1)
    left, values, right = torch.linalg.svd(images, full_matrices=False)
    with StackWriter("p.mrcs", 150, BOX, PIXEL) as stack:
        stack.add(((left[:, :8] * values[:8]) @ right[:8]).view(-1, BOX, BOX))
    assert any("like sums of a few components" in warning for warning in reconstruct().warnings)


def test_without_ctf_correction_there_is_a_warning(project):
    assert any("CTF was not corrected" in w for w in reconstruct(flags=["--no-correct-ctf"]).warnings)


def test_of_joined_sets_only_particles_that_state_their_evidence_tell_of_it(project):
    particles, of = read_particles("p.star"), dict(cryodlReference=["map.mrc"] * 150)
    for number, other in enumerate(("None", "nan")):
        explained = dict(of, cryodlExplained=["0.5"] * 75 + [other] * 75)
        write_particles_star(f"{number}.star", particles, explained)
        result = reconstruct(particles=f"{number}.star", output=f"{number}.mrc")
        assert any("is 50 % of that of particles" in warning for warning in result.warnings)


def test_dark_protein_is_said(project):
    simulate_particles(output="d.star", count=150, snr=2.0, contrast="dark")
    assert any("protein seems to be dark" in w for w in reconstruct(particles="d.star").warnings)


def test_a_map_of_denoised_images_comes_with_a_warning(project):
    write_untrained_denoiser(project / "model")
    run_command("denoise", particles="p.star", model="model", output="d.star")
    warnings = reconstruct(particles="d.star").warnings
    assert any("shows the structure that the denoiser was trained on" in w for w in warnings)


def test_particles_without_angles_or_ctf_are_refused(project):
    for lost, said in (("rlnAngleTilt", "but not rlnAngleTilt"), ("rlnDefocusU", "without a CTF")):
        Path("n.star").write_text(Path("p.star").read_text().replace(lost, "rlnLost"))
        assert said in reconstruct(code=2, particles="n.star")
    assert not list(project.glob("m*.mrc"))[1:]  # map.mrc, the structure, alone


def test_one_particle_is_refused(project):
    write_particles_star("one.star", read_particles("p.star").subset([0]))
    assert "both halves" in reconstruct(code=2, particles="one.star")


def test_images_that_cannot_be_used_are_left_out_and_named_and_change_nothing(project):
    with mrcfile.mmap("p.mrcs", mode="r+") as mrc:
        mrc.data[3, 4, 4], mrc.data[8, 2, 2], mrc.data[11] = np.nan, np.inf, 5
    result = reconstruct()
    assert [one.reason[:10] for one in result.skipped] == ["image 4 ha", "image 9 ha", "image 12 h"]
    assert result.outputs["count"] == 147 and "3 particles were skipped" in result.warnings[-1]
    particles = read_particles("p.star")
    write_particles_star("good.star", particles.subset(np.delete(np.arange(150), [3, 8, 11])))
    assert not reconstruct(particles="good.star", output="good.mrc").skipped
    assert torch.equal(read("m.mrc"), read("good.mrc"))


# what each command needs beside the particles
NEEDS = {
    "assess-integrity": dict(structures=("map.mrc", "part.mrc"), output="out"),
    "assign-orientations": dict(structure="map.mrc", output="out.star"),
    "classify-2d": dict(classes=4, output="out"),
    "denoise": dict(model="model", output="out.star"),
    "evaluate-denoiser": dict(model="model", structure="map.mrc", output="out"),
    "fit-heterogeneity": dict(reference="map.mrc", latent=1, output="out"),
    "identify": dict(structures="map.mrc", output="out"),
    "initial-map": dict(output="out"),
    "latent-volumes": dict(maps=3, output="out"),
    "reconstruct": dict(output="out.mrc"),
    "train-denoiser": dict(structure="map.mrc", output="out"),
}


def test_every_command_on_particles_says_that_all_images_are_empty(project):
    write_untrained_denoiser(project / "model")
    write_mrc("part.mrc", np.where(np.arange(BOX) < BOX // 2, lopsided_density(BOX), 0), PIXEL)
    particles = read_particles("p.star")
    with StackWriter("flat.mrcs", len(particles), particles.box, particles.pixel_size) as stack:
        stack.add(np.where(np.arange(len(particles)) % 2, np.nan, 3.0)[:, None, None] * np.ones((1, BOX, BOX)))
    latent = dict(cryodlLatent1=np.arange(len(particles)))
    write_particles_star("flat.star", particles, latent, stack="flat.mrcs")
    for name, needs in NEEDS.items():
        run = command if name == "latent-volumes" else run_command  # without a device
        said = run(name, 2, particles="flat.star", **needs)
        assert "flat.star: the images are empty (all pixels the same, or not finite numbers)" in said, (name, said)


def test_an_existing_half_map_is_not_replaced(project):
    Path("m_half2.mrc").write_text("mine")
    assert "m_half2.mrc" in reconstruct(code=2)
    assert Path("m_half2.mrc").read_text() == "mine"


def test_wiener_constants_fall_with_the_correlation_and_end_where_it_ends():
    constants = wiener_constants(torch.tensor([1.0, 0.9, 0.5, 0.0, 0.8]))
    assert constants[1] == pytest.approx((1 - 1.8 / 1.9) / (1.8 / 1.9), rel=1e-3)
    assert constants[2] == pytest.approx(0.5, rel=1e-3)
    assert constants[3] > 900 and constants[4] > 900


@pytest.mark.parametrize("symmetry", ["C1", "O"])
def test_noise_resolves_nothing_under_any_symmetry(symmetry):
    box, rng, curves = 16, np.random.default_rng(0), []
    for _ in range(6):
        maps = []
        for _ in range(2):
            slices, noise = Slices(box), torch.from_numpy(rng.standard_normal((20, box, box), np.float32))
            slices.add(noise, random_angles(20, rng), np.zeros((20, 2)), None, None)
            maps.append(solve(*slices.finished(symmetry), box) * soft_sphere(box, 0.9 * box))
        curves.append(fsc(*maps))
    assert not any(resolved(curve, 0.9 * box, 4.0, box, symmetry) for curve in curves)


def test_a_virus_in_a_small_box_is_resolved_though_each_shell_has_few_coefficients():
    # measured: 150 images of a hollow icosahedral shell, 60 px of 7 Å, SNR 0.02; its map agrees with the true one
    curve = torch.cat([torch.ones(1), torch.full((13,), 0.98), torch.linspace(0.92, 0.0, 7), torch.zeros(10)])
    assert resolved(curve, 0.9 * 60, 7.0, 60, "I1") == pytest.approx(22.0, abs=0.1)


def test_shells_of_an_odd_box_have_its_own_frequencies():
    curve = torch.cat([torch.ones(8), torch.zeros(9)])  # falls below 0.143 at 7.857 waves in 33 px of 5 Å
    assert resolved(curve, 30.0, 5.0, 33) == pytest.approx(33 * 5 / 7.857, rel=1e-4)


@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_the_map_is_that_of_relion_reconstruct(project):
    simulate_particles(output="r.star", count=600, snr=20.0)
    reconstruct(particles="r.star")
    command = ["relion_reconstruct", "--i", "r.star", "--o", "relion.mrc", "--ctf"]
    subprocess.run(command, check=True, capture_output=True)
    assert masked_correlation(read("m.mrc"), read("relion.mrc")) > 0.98
