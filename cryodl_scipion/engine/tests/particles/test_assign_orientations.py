# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assign-orientations`: particles and a structure in, the same particles with angles and shifts out."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command, write_untrained_denoiser
from particle_data import PIXEL, simulate_particles
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.core.symmetry import angular_distance
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.likelihood.observed import Source
from cryodl.particles.commands.assign_orientations import _with_denoiser
from cryodl.particles.orientations import assign


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with 20 particles p.star of map.mrc."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(snr=1.0)
    return tmp_path


def orient(code=0, flags=(), **options):
    usual = dict(particles="p.star", structure="map.mrc", output="o.star", angular_step=15)
    return run_command("assign-orientations", code, flags, **dict(usual, **options))


def errors(ground_truth="p.star", found="o.star"):
    """Degrees and px between true and found orientations and shifts."""
    ground_truth, found = read_particles(ground_truth), read_particles(found)
    return angular_distance(ground_truth.angles, found.angles), np.linalg.norm(
        ground_truth.shifts_yx - found.shifts_yx, axis=1
    )


def changed_stack(change, name="x", of="p.star"):
    """A set with other images: change(images, particles) -> images. Returns the STAR file's name."""
    particles = read_particles(of)
    images = change(particles.images(slice(None)), particles)
    with StackWriter(f"{name}.mrcs", len(particles), particles.box, particles.pixel_size) as stack:
        stack.add(images)
    names = [f"{n:06d}@{name}.mrcs" for n in range(1, len(particles) + 1)]
    write_particles_star(f"{name}.star", particles, {"rlnImageName": names})
    return f"{name}.star"


def test_orientations_and_shifts_are_found(project):
    result = orient()
    angles, shifts = errors()
    assert np.median(angles) < 4 and (angles < 15).mean() >= 0.9 and np.median(shifts) < 0.5
    assert result.outputs["count"] == 20 and result.outputs["contrast"] == "bright" and result.warnings == ()
    told = "assigned with the reference map.mrc", "% are expected to be", "are the raw ones", "The structure explains"
    assert all(words in line for words, line in zip(told, result.summary, strict=True))
    assert "projections of map.mrc" in result.methods[0] and "of the raw images with their CTF" in result.methods[0]


def test_the_file_keeps_raw_images_and_all_columns_and_adds_scores(project):
    before = Path("p.star").read_bytes(), Path("p.mrcs").read_bytes()
    orient()
    raw, found = read_particles("p.star"), read_particles("o.star", need=("raw", "angles", "ctf"))
    assert found.names == raw.names and found.columns["rlnDefocusU"] == raw.columns["rlnDefocusU"]
    probability = np.array(found.columns["rlnMaxValueProbDistribution"], float)
    assert (probability > 0).all() and (probability <= 1).all()
    assert np.isfinite(np.array([found.columns["cryodlScore"], found.columns["cryodlMargin"]], float)).all()
    assert (Path("p.star").read_bytes(), Path("p.mrcs").read_bytes()) == before
    assert not Path("o.star.partial").exists()


def test_dark_protein_is_noticed(project):
    result = orient(particles=changed_stack(lambda images, particles: -images))
    assert result.outputs["contrast"] == "dark" and np.median(errors()[0]) < 4


def test_flipped_phases_are_noticed_and_said(project):
    def flipped(images, particles):
        signs = particles.ctf(slice(None)).sign()
        return torch.fft.irfft2(torch.fft.rfft2(images) * signs, s=images.shape[-2:])

    result = orient(particles=changed_stack(flipped), angular_step=8)
    assert any("fits best if the images are phase-flipped" in w for w in result.warnings)
    assert np.median(errors()[0]) < 4


def test_flipped_phases_of_one_optics_group_are_not_said_of_all(project):
    simulate_particles(output="deep.star", count=40, snr=1.0, minimum_defocus=30000, maximum_defocus=60000)

    def half_flipped(images, particles):
        signs = particles.ctf(slice(None)).sign()
        signs[:10] = 1
        return torch.fft.irfft2(torch.fft.rfft2(images) * signs, s=images.shape[-2:])

    particles = read_particles(changed_stack(half_flipped, of="deep.star"))
    optics = {name: [*values] * 2 for name, values in particles.optics_columns.items()} | {"rlnOpticsGroup": ["1", "2"]}
    two = dataclasses.replace(particles, optics_columns=optics)
    write_particles_star("two.star", two, {"rlnOpticsGroup": ["1"] * 10 + ["2"] * 30})
    said = " ".join(orient(particles="two.star", angular_step=8).warnings)
    assert "ask `cryodl reconstruct` which of them" in said


def test_a_map_with_other_voxels_is_resampled_and_that_is_said(project):
    simulate_particles(output="fine.star", pixel_size=3.2, box=40, snr=1.0)
    result = orient(particles="fine.star")
    assert any("voxels of 4 Å" in line and "3.2 Å" in line for line in result.summary)
    assert np.median(errors("fine.star")[0]) < 5


def test_equivalent_directions_are_searched_once(project):
    density = lopsided_density(33)
    write_mrc("twofold.mrc", density + density[:, ::-1, ::-1], PIXEL)  # half a turn about z, through voxel 16
    simulate_particles(output="t.star", structure="twofold.mrc", box=36, snr=1.0)
    result = orient(particles="t.star", structure="twofold.mrc", symmetry="C2")
    ground_truth, found = read_particles("t.star"), read_particles("o.star")
    assert result.outputs["directions"] < 0.75 * 192
    assert np.median(angular_distance(ground_truth.angles, found.angles, "C2")) < 4


def test_an_unknown_symmetry_and_one_that_the_structure_has_not_are_refused(project):
    assert "does not have the symmetry D2" in orient(code=2, symmetry="D2")
    assert "Symmetry (--symmetry) is 'Q5'" in orient(code=2, symmetry="Q5")


def test_images_with_nan_are_left_out_by_name(project):
    with mrcfile.mmap("p.mrcs", mode="r+") as mrc:
        mrc.data[6, 3, 3] = np.nan
    result, names = orient(), read_particles("p.star").names
    assert [one.item for one in result.skipped] == [names[6]] and "image 7 has" in result.skipped[0].reason
    assert result.outputs["count"] == len(read_particles("o.star")) == len(names) - 1
    assert any("1 particle was skipped" in warning for warning in result.warnings)


def test_a_structure_larger_than_the_box_is_refused(project):
    write_mrc("large.mrc", lopsided_density(32), 3 * PIXEL)
    assert "larger box" in orient(code=2, structure="large.mrc")


def test_one_particle_is_enough(project):
    write_particles_star("one.star", read_particles("p.star").subset([4]))
    assert orient(particles="one.star").outputs["count"] == 1


def test_an_existing_output_is_not_replaced(project):
    Path("o.star").write_text("mine")
    assert "exists already" in orient(code=2)
    assert Path("o.star").read_text() == "mine"


def test_a_stopped_run_continues_with_what_is_missing(project, monkeypatch):
    done, inner = [], assign.Search._orient

    def stopped(self, rows, *others):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(rows)
        return inner(self, rows, *others)

    monkeypatch.setattr(assign, "MEMORY", 1)  # the smallest chunks, of 16
    with monkeypatch.context() as patch:
        patch.setattr(assign.Search, "_orient", stopped)
        orient(code=130)
    assert not Path("o.star").exists()
    calls = []
    monkeypatch.setattr(
        assign.Search, "_orient", lambda self, rows, *o: calls.append(rows.tolist()) or inner(self, rows, *o)
    )
    orient()
    assert calls[0] == [16, 17, 18, 19]  # the others are of made-up particles
    assert np.median(errors()[0]) < 4


def test_denoised_images_are_compared_and_the_raw_ones_written(project):
    write_untrained_denoiser(project / "model")
    result = orient(model="model")
    assert result.outputs["count"] == 20 and "The images are the raw ones" in result.summary[2]
    assert read_particles("o.star", need=("raw",)).names == read_particles("p.star").names


def test_a_denoiser_is_given_the_ctf_of_images_that_turn_out_to_be_phase_flipped(project):
    write_untrained_denoiser(project / "model")
    source = Source(read_particles("p.star"), 26, "bright", "flipped")
    denoised = _with_denoiser(source, "model", torch.device("cpu"))[0]
    assert denoised.ctf_state == "flipped" and denoised.particles.ctf(slice(None)).min() >= 0


def test_a_denoised_set_is_oriented_with_a_warning(project):
    write_untrained_denoiser(project / "model")
    run_command("denoise", particles="p.star", model="model", output="d.star")
    denoised = read_particles("d.star")
    write_particles_star("d.star", denoised, {"cryodlExplained": [0.9] * len(denoised)})  # of an earlier reference
    result = orient(particles="d.star")
    assert "cryodlExplained" not in read_particles("o.star").columns
    assert any("has denoised images" in w for w in result.warnings) and "these are denoised" in result.summary[-1]
    assert result.outputs["mean_probability"] is None and "cannot be told" in result.summary[1]
    assert "rlnMaxValueProbDistribution" not in read_particles("o.star").columns
    assert "denoised images" in orient(code=2, particles="d.star", model="model", output="again.star")


@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_relion_reconstructs_the_structure_from_these_orientations(project):
    simulate_particles(output="many.star", count=150, snr=2.0)
    orient(particles="many.star")
    subprocess.run(
        ["relion_reconstruct", "--i", "o.star", "--o", "map_relion.mrc", "--ctf"], check=True, capture_output=True
    )
    with mrcfile.open("map_relion.mrc") as mrc:
        assert correlation(mrc.data, lopsided_density(32)) > 0.8


@pytest.mark.parametrize("factor", [1.0, 1.05, 0.95])
def test_a_pixel_size_that_is_wrong_by_five_per_cent_is_said(project, factor):
    simulate_particles(output="w.star", snr=1.0, count=40)
    write_particles_star("x.star", read_particles("w.star"), pixel_size=factor * PIXEL)
    warnings = orient(particles="x.star", angular_step=10, flags=("--no-controls",)).warnings
    found = [one.split("scaled by ")[1][:4] for one in warnings if "if the structure is scaled by" in one]
    assert len(found) == (factor != 1) and all(float(size) == pytest.approx(factor, rel=0.02) for size in found)
