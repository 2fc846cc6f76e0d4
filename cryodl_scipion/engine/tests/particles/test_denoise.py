# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise`: images in, denoised images that are linked to the raw ones out."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command, write_untrained_denoiser
from particle_data import BOX, PIXEL, simulate_particles, write_multiplied
from sklearn.metrics import roc_auc_score
from synthetic import correlation, write_mrc

from cryodl.io.model import read_model
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.particles.commands import denoise as command
from cryodl.particles.denoisers.run import Denoiser


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with 20 particles p.star and a model of random weights, 'model'."""
    monkeypatch.chdir(tmp_path)
    simulate_particles()
    write_untrained_denoiser(tmp_path / "model")
    return tmp_path


def denoise(code=0, **options):
    return run_command("denoise", code, **dict(dict(particles="p.star", model="model", output="out/d.star"), **options))


def test_every_particle_is_denoised_and_linked_to_its_raw_image(project):
    before = Path("p.star").read_bytes(), Path("p.mrcs").read_bytes()
    result = denoise()
    raw, denoised = read_particles("p.star"), read_particles("out/d.star")
    assert "not raw data" in result.summary[0] and "never for the final map" in result.summary[1]
    assert result.methods[0].endswith("the raw images were kept.")
    assert result.outputs == dict(
        particles="out/d.star",
        stack="out/d.mrcs",
        count=20,
        pixel_size=PIXEL,
        box=BOX,
        contrast="bright",
        model="model",
        empty=0,
        explained=None,
        blind=False,
    )
    assert denoised.denoiser == "model" and set(denoised.columns["cryodlDenoiser"]) == {"model"}
    for number, (name, original) in enumerate(zip(raw.names, denoised.columns["rlnImageOriginalName"]), 1):
        assert original.split("@")[0] == name.split("@")[0] and original.endswith("p.mrcs")
        assert denoised.names[number - 1].startswith(f"{number:06d}@")
    assert np.allclose(denoised.angles, raw.angles) and np.allclose(denoised.shifts_yx, raw.shifts_yx)
    assert (denoised.pixel_size, denoised.box, denoised.micrographs) == (raw.pixel_size, raw.box, raw.micrographs)
    assert (Path("p.star").read_bytes(), Path("p.mrcs").read_bytes()) == before
    assert torch.isfinite(denoised.images(slice(None))).all() and denoised.images(slice(None)).std() > 0


def test_empty_images_are_counted_and_every_particles_strength_is_told(project, monkeypatch):
    class Faint(Denoiser):
        def denoise(self, images, *given):
            denoised = super().denoise(images, *given)
            return denoised * torch.tensor([1e-3] * 3 + [1.0] * 17)[:, None, None]

    monkeypatch.setattr("cryodl.particles.denoisers.Denoiser", Faint)
    result = denoise()
    assert result.outputs["empty"] == 3 and "3 of 20 images are empty" in result.warnings[-1]
    written = read_particles("out/d.star")
    position = np.arange(BOX) - BOX // 2
    inside = position[:, None] ** 2 + position**2 <= (80.0 / PIXEL / 2) ** 2
    expected = written.images(slice(None)).numpy()[:, inside].std(axis=1, ddof=1)
    assert np.allclose(np.array(written.columns["cryodlDenoisedStrength"], float), expected, atol=1e-4)


def test_how_far_the_structure_explains_each_image_is_told_whoever_denoises(project):
    """Of particles, of another molecule that shows more, and of noise. One that shows less has less evidence anyway."""
    axes = np.stack(np.mgrid[:BOX, :BOX, :BOX]) - BOX // 2
    rod = ((axes[0] ** 2 + axes[1] ** 2 < 9) & (np.abs(axes[2]) < 12)).astype(np.float32)
    write_mrc("rod.mrc", rod, PIXEL)
    simulate_particles("rod.star", structure="rod.mrc", snr=1.0)
    (own, rods), rng = (read_particles(f"{name}.star") for name in ("p", "rod")), np.random.default_rng(1)
    images = [one.images(slice(None)).numpy() for one in (own, rods)]
    mrcfile.write("all.mrcs", np.concatenate([*images, rng.normal(size=images[0].shape).astype(np.float32)]))
    with mrcfile.open("all.mrcs", "r+") as stack:
        stack.set_image_stack()
        stack.voxel_size = PIXEL
    write_particles_star("all.star", own.subset(np.arange(60) % 20), stack="all.mrcs")
    write_untrained_denoiser(project / "knows", training_particles=[dict(structure="map.mrc", ctf_state="none")])
    result = denoise(particles="all.star", model="knows")
    each = np.array(read_particles("out/d.star").columns["cryodlExplained"], float).reshape(3, 20)
    assert roc_auc_score(np.arange(40) < 20, each[:2].ravel()) > 0.9
    assert roc_auc_score(np.arange(40) < 20, each[::2].ravel()) > 0.99 and each[2].mean() < 0.1
    assert 0.1 < result.outputs["explained"] < 0.9
    with mrcfile.open("all.mrcs", "r+") as stack:
        stack.data[:] = rng.normal(size=stack.data.shape)
    result = denoise(particles="all.star", model="knows", output="none.star")
    assert "no signal above the noise" in " ".join(result.warnings)
    assert set(read_particles("none.star").columns["cryodlExplained"]) == {"nan"}  # they would only scatter


def test_images_come_out_in_their_order_whatever_the_batch(project, monkeypatch):
    monkeypatch.setattr(command, "BATCH", 20)
    denoise(output="a.star")
    monkeypatch.setattr(command, "BATCH", 3)
    monkeypatch.setattr(command, "CHUNK", 7)
    denoise(output="b.star")
    a, b = (read_particles(name).images(slice(None)) for name in ("a.star", "b.star"))
    assert float((a - b).abs().max()) < 0.02 * float(a.abs().max())  # rounded differently, bfloat16
    assert all(correlation(a[i].numpy(), b[i].numpy()) > 0.999 for i in range(20))
    assert float((a - a.roll(1, 0)).abs().max()) > 0.2 * float(a.abs().max())


def test_images_multiplied_by_their_ctf_come_out_as_the_raw_ones_do(project):
    write_multiplied("m", read_particles("p.star"))
    for name in "pm":
        denoise(particles=f"{name}.star", output=f"d_{name}.star")
    raw, multiplied = (read_particles(f"d_{name}.star").images(slice(None)).numpy() for name in "pm")
    assert correlation(raw, multiplied) > 0.99 and raw.std() == pytest.approx(multiplied.std(), rel=0.03)


def test_denoised_particles_are_not_denoised_again(project):
    denoise()
    assert "out/d.star has denoised images" in denoise(2, particles="out/d.star", output="twice.star")
    assert not Path("twice.star").exists() and not Path("twice.mrcs").exists()


def test_inverted_contrast_is_detected_and_said(project, capsys):
    with mrcfile.open("p.mrcs", "r+") as mrc:
        mrc.data[:] *= -1
    assert denoise().outputs["contrast"] == "dark"
    assert "Protein is dark in the images" in capsys.readouterr().out
    dark = read_particles("out/d.star").images(slice(None))
    with mrcfile.open("p.mrcs", "r+") as mrc:
        mrc.data[:] *= -1
    assert "but: Protein is bright" in " ".join(denoise(output="wrong.star", contrast="dark").warnings)
    assert denoise(output="bright.star").outputs["contrast"] == "bright"
    assert torch.equal(dark, read_particles("bright.star").images(slice(None)))


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(output="d.mrcs"), "it must end in .star"),
        (dict(output="p.star"), "p.star (--output) exists already"),
        (dict(model="nothing"), "Model nothing is neither"),
        (dict(particles="nothing.star"), "nothing.star"),
    ],
)
def test_what_cannot_be_done_is_said(project, options, words):
    assert words in denoise(2, **options)


def test_a_stack_that_is_in_the_way_is_not_replaced(project):
    Path("d.mrcs").write_text("mine")
    assert "d.mrcs, which would be written, exists already" in denoise(2, output="d.star")
    assert Path("d.mrcs").read_text() == "mine"


def test_a_model_of_larger_particles_than_the_images_hold_is_refused(project):
    write_untrained_denoiser(project / "large", box=64, diameter=200.0)
    text = denoise(2, model="large")
    assert "particles 200 Å wide, but the images of p.star are only 128 Å wide" in text


def test_a_picker_is_no_denoiser(project):
    from synthetic import write_untrained_model

    write_untrained_model(project / "picker")
    assert "kind 'picker'; a particle denoiser is needed" in denoise(2, model="picker")


def test_particles_of_another_pixel_size_are_resampled_and_that_is_said(project):
    write_untrained_denoiser(project / "coarse", pixel_size=5.0)
    result = denoise(model="coarse")
    assert "trained at 5 Å/px, these images have 4 Å/px" in result.summary[0] and not result.warnings
    assert read_particles("out/d.star").box == BOX and read_particles("out/d.star").pixel_size == PIXEL


def test_particles_that_may_be_phase_flipped_without_saying_so_are_warned_of(project):
    entry = dict(particles="p.star", ctf_state="flipped")
    write_untrained_denoiser(project / "flipped", training_particles=[entry])
    assert "rlnCtfDataArePhaseFlipped" in denoise(model="flipped").warnings[0]
    write_untrained_denoiser(project / "plain", training_particles=[dict(entry, ctf_state="none")])
    assert not denoise(model="plain", output="plain.star").warnings


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_and_the_next_one_is_whole(tmp_path, monkeypatch):
    from synthetic import run_cryodl, start_cryodl
    from test_interrupted import kill_when

    monkeypatch.chdir(tmp_path)
    simulate_particles(count=3000)
    write_untrained_denoiser(tmp_path / "model")
    arguments = [
        "denoise",
        "--particles",
        "p.star",
        "--model",
        "model",
        "--output",
        "d.star",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--result",
        "d.json",
    ]
    kill_when(start_cryodl(arguments, tmp_path), lambda: any((tmp_path / "d.star.partial").glob(".*.mrcs")))
    assert not any((tmp_path / name).exists() for name in ("d.star", "d.mrcs", "d.json"))
    again = run_cryodl(arguments, tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(read_particles("d.star")) == 3000
    with mrcfile.open("d.mrcs", header_only=True) as mrc:
        assert int(mrc.header.nz) == 3000
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob(".*"))


def test_a_run_stopped_between_its_stack_and_its_star_file_is_done_again(project, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cryodl.particles.commands.denoise.write_particles_star", stopped)
        denoise(130)
    assert Path("out/d.mrcs").exists() and not Path("out/d.star").exists()
    assert denoise().outputs["count"] == 20 and not Path("out/d.star.partial").exists()


def test_flipped_phases_that_nobody_told_are_said_and_taken_into_account(project, monkeypatch):
    monkeypatch.setattr("cryodl.particles.commands.denoise.looks_flipped", lambda *given: True)
    given = []

    class Watched(Denoiser):
        def denoise(self, images, ctf, *more):
            given.append(ctf)
            return super().denoise(images, ctf, *more)

    monkeypatch.setattr("cryodl.particles.denoisers.Denoiser", Watched)
    monkeypatch.setattr(
        "cryodl.particles.denoisers.load_denoiser",
        lambda folder, device: Watched(*read_model(folder, "denoiser"), device),
    )
    assert any("phase-flipped" in warning for warning in denoise().warnings)
    assert torch.cat(given).min() >= 0 > read_particles("p.star").ctf(slice(None)).min()
