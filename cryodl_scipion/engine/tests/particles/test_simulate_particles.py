# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-particles`: true in every number it writes, by our own files and by RELION's programs."""

import re
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from particle_data import BOX, PIXEL, simulate_particles
from synthetic import correlation

from cryodl.core.fourier import circle
from cryodl.core.projections import Projector
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.particles.commands import simulate_particles as command

needs_relion = pytest.mark.skipif(not shutil.which("relion_reconstruct"), reason="RELION is not installed")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seen(particles, clean):
    """Clean projections with their CTF."""
    return torch.fft.irfft2(torch.fft.rfft2(torch.tensor(clean)) * particles.ctf(slice(None)), s=clean.shape[1:])


def test_the_star_file_says_how_each_projection_was_made():
    simulate_particles(max_shift=10)
    particles = read_particles("p.star", ("angles", "ctf", "raw"))
    clean = mrcfile.read("p_clean.mrcs")
    again = Projector(torch.tensor(mrcfile.read("p_map.mrc"))).project(particles.angles, particles.shifts_yx)
    assert np.abs(clean - again.numpy()).max() < 1e-3 * clean.max()
    assert 1 < np.abs(particles.shifts_yx).max() <= 10 / PIXEL
    assert set(particles.halves.tolist()) == {1, 2}
    assert [particles.micrographs.count(m) for m in dict.fromkeys(particles.micrographs)] == [5, 5, 5, 5]
    assert len({o.defocus_u for o in particles.optics}) == 4 and particles.optics[0] == particles.optics[4]


def test_phase_shift_b_factor_and_scale_of_given_ctfs_are_in_the_star_file():
    ctf = dict(rlnPhaseShift=["70"] * 20, rlnCtfBfactor=["90"] * 20, rlnCtfScalefactor=["0.7"] * 20)
    simulate_particles("plain.star"), write_particles_star("phase.star", read_particles("plain.star"), ctf)
    simulate_particles(snr=50, ctf_from="phase.star")
    particles = read_particles("p.star")
    assert {(o.phase_shift, o.b_factor, o.scale) for o in particles.optics} == {(70.0, 90.0, 0.7)}
    images = particles.images(slice(None))
    assert correlation(images, seen(particles, mrcfile.read("p_clean.mrcs"))) > 0.95


def test_what_the_images_hold_beyond_projection_and_ctf_is_white_noise_of_the_snr():
    result = simulate_particles(count=300, snr=0.1)
    diameter = result.outputs["particle_diameter"]
    assert result.summary[0].startswith("300 particles of 32 px") and "are exact" in result.summary[-1]
    assert re.match(r"cryodl \S+ simulated 300 particles of map\.mrc at 4 Å/px and 300 kV", result.methods[0])
    particles = read_particles("p.star")
    signal = seen(particles, mrcfile.read("p_clean.mrcs"))
    noise = particles.images(slice(None)) - signal
    inside = circle(BOX, diameter / PIXEL)
    assert float(signal[:, inside].var(dim=1).mean() / noise.var()) == pytest.approx(0.1, rel=0.08)
    power = torch.fft.rfft2(noise).abs().square().mean(0)
    assert float(power[1:8, 1:8].mean() / power[10:20, 8:15].mean()) == pytest.approx(1, abs=0.05)
    assert abs(correlation(noise, signal)) < 0.02


def test_the_snr_is_the_variance_over_the_whole_box():
    simulate_particles(count=200, snr=0.1, snr_area="box")
    particles = read_particles("p.star")
    signal = seen(particles, mrcfile.read("p_clean.mrcs"))
    noise = particles.images(slice(None)) - signal
    assert float(signal.var(dim=(1, 2)).mean() / noise.var()) == pytest.approx(0.1, rel=0.08)


def test_dark_particles_are_the_negatives_and_clean_ones_stay_positive():
    simulate_particles("a.star"), simulate_particles("b.star", contrast="dark")
    assert np.array_equal(mrcfile.read("a.mrcs"), -mrcfile.read("b.mrcs"))
    assert np.array_equal(mrcfile.read("a_clean.mrcs"), mrcfile.read("b_clean.mrcs"))


def test_the_same_seed_gives_the_same_files_and_another_seed_others():
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_particles(f"{name}.star", seed=seed)
    assert Path("a.mrcs").read_bytes()[1024:] == Path("b.mrcs").read_bytes()[1024:]
    assert Path("a.star").read_text() == Path("b.star").read_text().replace("b.mrcs", "a.mrcs")
    assert correlation(mrcfile.read("a.mrcs"), mrcfile.read("c.mrcs")) < 0.2


def test_a_killed_run_continues_and_gives_the_same(monkeypatch):
    monkeypatch.setattr(command, "CHUNK", 8)
    simulate_particles("whole.star")
    write, calls = command.write_stack, []

    def stops_at_fourth(path, images, pixel_size):
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write(path, images, pixel_size)

    monkeypatch.setattr(command, "write_stack", stops_at_fourth)
    simulate_particles(code=130)
    assert not list(Path().glob("p*.mrc*")) and not Path("p.star").exists()
    again = []
    monkeypatch.setattr(command, "write_stack", lambda path, *rest: (again.append(path.name), write(path, *rest)))
    simulate_particles()
    assert again == [f"0000000{start}{kind}.mrcs" for start in ("08", "16") for kind in ("", "_clean")]
    for ending in (".mrcs", "_clean.mrcs", "_map.mrc"):
        assert Path("p" + ending).read_bytes()[1024:] == Path("whole" + ending).read_bytes()[1024:]
    assert sorted(p.name for p in Path().glob("p*")) == ["p.mrcs", "p.star", "p_clean.mrcs", "p_map.mrc"]


def test_a_run_stopped_between_its_last_files_ends_well_when_repeated(monkeypatch):
    write = command.write_tables
    monkeypatch.setattr(command, "write_tables", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    simulate_particles(code=130)
    assert Path("p.mrcs").exists() and not Path("p.star").exists()
    monkeypatch.setattr(command, "write_tables", write)
    simulate_particles()
    assert len(read_particles("p.star")) == 20 and not Path("p.star.partial").exists()


def test_orientations_are_drawn_from_a_file():
    Path("views.star").write_text("\ndata_\n\nloop_\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n10 20 30\n-40 50 60\n")
    simulate_particles(orientations="views.star")
    found = {tuple(v) for v in read_particles("p.star").angles.tolist()}
    assert found == {(10, 20, 30), (-40, 50, 60)}


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(output="p.mrcs"), ["p.mrcs", ".star"]),
        (dict(box=18), ["map.mrc is", "18 px"]),
        (dict(structure="none.cif"), ["none.cif", "does not exist"]),
        (dict(box=33), ["33 px", "even", "34"]),
    ],
)
def test_bad_input_is_one_sentence(options, words):
    message = simulate_particles(code=2, **options)
    assert all(word in message for word in words)
    assert not list(Path().glob("p*"))


def test_nothing_is_replaced():
    simulate_particles()
    before = Path("p.mrcs").read_bytes()
    assert "p.star (--output) exists already" in simulate_particles(code=2, seed=5)
    Path("p.star").unlink()
    assert "p.mrcs, which would be written, exists already" in simulate_particles(code=2, seed=5)
    assert Path("p.mrcs").read_bytes() == before


def test_a_map_of_another_voxel_size_is_resampled_and_this_is_said():
    result = simulate_particles(pixel_size=5, box=30)
    assert any("voxels of 4 Å" in line and "pixels of 5 Å" in line for line in result.summary)
    assert not any("resampled" in sentence for sentence in result.warnings)
    assert mrcfile.read("p_map.mrc").shape == (30, 30, 30)
    with mrcfile.open("p_map.mrc") as mrc:
        assert float(mrc.voxel_size.x) == 5


@needs_relion
@pytest.mark.slow
def test_relion_reconstructs_the_map_from_the_star_file():
    simulate_particles("p.star", count=400, snr=2, max_shift=8, astigmatism=2000)
    subprocess.run(
        ["relion_reconstruct", "--i", "p.star", "--o", "found.mrc", "--ctf"], check=True, capture_output=True
    )
    found, ground_truth = mrcfile.read("found.mrc"), mrcfile.read("p_map.mrc")
    ball = (np.stack(np.mgrid[:BOX, :BOX, :BOX]) - BOX // 2).__pow__(2).sum(0) < 14**2
    assert correlation(found[ball], ground_truth[ball]) > 0.95


@needs_relion
def test_clean_images_are_those_that_relion_projects():
    simulate_particles(max_shift=8)
    subprocess.run(
        ["relion_project", "--i", "p_map.mrc", "--ang", "p.star", "--o", "relion", "--angpix", str(PIXEL)],
        check=True,
        capture_output=True,
    )
    ours, theirs = mrcfile.read("p_clean.mrcs"), mrcfile.read("relion.mrcs")
    assert min(correlation(a, b) for a, b in zip(ours, theirs)) > 0.998
