# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-denoiser` with stand-ins for networks, of which it is known what they gain and what they invent."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from particle_data import BOX, PIXEL, simulate_particles

from cryodl.contract import Failure, Result
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.io.particles import write_stack
from cryodl.particles.denoisers.evaluate import learnt_from, wiener_filter
from cryodl.running.cli import main
from cryodl.simulate.particle_images import load_projector


class StandIn:
    """What load_denoiser gives, with a function of prepared images and their CTF."""

    def __init__(self, work, training=()):
        self.work = work
        self.card = dict(
            name="stand-in", pixel_size=PIXEL, box=BOX, particle_diameter=110.0, training_particles=list(training)
        )

    def denoise(self, images, ctf, pixel_size):
        return self.work(images, ctf)

    def readable(self, particles):
        return particles.divided()


def filtering(images, ctf):
    signal = 30 * torch.linspace(1, 0, BOX // 2 + 1) ** 3
    return wiener_filter(images, ctf, signal, torch.ones(BOX // 2 + 1))


def drawing(targets):
    """A network that gives a training target for whatever it is shown."""
    return lambda images, ctf: targets[torch.arange(len(images)) % len(targets)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """p.star of map.mrc, and a model's folder with training targets."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(snr=0.5, count=30)
    projector = load_projector("map.mrc", PIXEL, BOX)[0]
    targets = projector.project(np.random.default_rng(0).uniform(0, 180, (12, 3)))
    Path("model").mkdir()
    write_stack("model/training_targets.mrcs", targets, PIXEL)
    return targets


def evaluate(monkeypatch, stand_in, code=0, **options):
    monkeypatch.setattr("cryodl.particles.commands.evaluate_denoiser.load_denoiser", lambda *_: stand_in)
    options = dict(
        dict(
            particles="p.star",
            model="model",
            structure="map.mrc",
            output="out",
            device="cpu",
            threads=1,
            result="result.json",
        ),
        **options,
    )
    words = ["evaluate-denoiser"]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    assert main(words) == code
    if code:
        return Failure.read("failure.json").message
    return json.loads(Path(options["output"], "evaluation.json").read_text()), Result.read("result.json")


def test_figures_pictures_and_table_of_a_filter(folder, monkeypatch):
    before = Path("p.mrcs").read_bytes()
    record, result = evaluate(monkeypatch, StandIn(filtering))
    mean = record["mean_frc"]
    assert mean["raw"] < mean["wiener"] - 0.01 and mean["denoised"] == pytest.approx(mean["wiener"], abs=0.1)
    assert len(record["frc"]["wiener"]) == len(record["fsc"]["raw"]) == BOX // 2 + 1 == len(record["frc"]["frequency"])
    assert record["frc"]["frequency"][-1] == pytest.approx(1 / (2 * PIXEL))
    assert result.summary[0].startswith("30 particles of 32 px") and result.summary[3].startswith("Denoised: mean FRC")
    assert result.summary[4].startswith("Control: ") and "for denoised pure noise it was" in result.methods[0]
    assert np.mean(record["fsc"]["raw"][1:6]) > 0.8  # maps of 30 particles at SNR 0.5 show the structure's outline
    assert set(record["resolution"]["raw"]) == {"0.5", "0.143"} == set(record["fsc"]["resolution"]["denoised"])
    rows = list(csv.reader(open("out/frc.csv")))
    assert rows[0] == ["name", "raw", "wiener", "denoised"] and len(rows) == 31
    assert np.mean([float(r[2]) for r in rows[1:]]) == pytest.approx(mean["wiener"], abs=1e-3)
    for name, path in result.outputs["pictures"].items():
        assert Path(path).read_bytes()[:4] == b"\x89PNG", name
    assert not list(Path().glob("out.partial")) and Path("p.mrcs").read_bytes() == before


def test_a_network_that_knows_no_noise_passes_and_one_that_draws_its_molecule_is_caught(folder, monkeypatch):
    record, _ = evaluate(monkeypatch, StandIn(filtering))
    control = record["control"]
    assert control["noise"] < control["unrelated"] + 0.02 and control["noise_similarity"] < control["real_similarity"]
    assert control["noise_contrast"] < 1
    record, result = evaluate(monkeypatch, StandIn(drawing(folder)), output="drawn")
    control = record["control"]
    assert control["verdict"] == "warning" and control["noise_contrast"] == pytest.approx(1, abs=0.1)
    assert control["noise_similarity"] == pytest.approx(control["real_similarity"], abs=0.02)
    assert any("draws its molecule" in s for s in control["sentences"])
    assert any("is close to the real result" in w for w in result.warnings) and result.outputs["verdict"] == "warning"


def test_particles_of_another_molecule_are_the_control_if_they_are_given(folder, monkeypatch):
    from synthetic import lopsided_density, write_mrc

    write_mrc("other.mrc", lopsided_density(BOX)[::-1].copy(), PIXEL)
    simulate_particles("other.star", structure="other.mrc", snr=0.5, count=10)
    record, _ = evaluate(monkeypatch, StandIn(filtering), unseen="other.star", unseen_structure="other.mrc")
    unseen = record["control"]["unseen"]
    assert unseen["what"] == "the particles of other.star" and unseen["mean_frc"]["wiener"] > unseen["mean_frc"]["raw"]
    record, _ = evaluate(monkeypatch, StandIn(filtering), unseen="other.star", output="out2")
    assert record["control"]["unseen"]["mean_frc"] is None


def test_training_particles_among_those_tested_are_named(folder, monkeypatch):
    import hashlib

    particles = read_particles("p.star")
    digest = hashlib.sha256("\n".join(particles.names).encode()).hexdigest()
    entry = dict(particles="p.star", number=30, training=27, sha256="another")
    same = dict(entry, particles="gone.star", sha256=digest)
    assert "exactly these" in learnt_from(dict(training_particles=[same]), particles)
    write_particles_star("some.star", particles.subset(slice(10, 20)))
    _, result = evaluate(monkeypatch, StandIn(filtering, [entry]), particles="some.star")
    assert any("10 of these 10 particles are in p.star" in w for w in result.warnings)
    simulate_particles("new.star", count=5, seed=9)
    assert learnt_from(dict(training_particles=[entry]), read_particles("new.star")) is None


def test_dark_particles_and_flipped_phases_are_noticed(folder, monkeypatch):
    simulate_particles("dark.star", snr=0.5, count=20, contrast="dark")
    record, _ = evaluate(monkeypatch, StandIn(filtering), particles="dark.star")
    assert record["contrast"] == "dark" and record["mean_frc"]["wiener"] > 0.2
    simulate_particles("faint.star", snr=0.02, count=20, contrast="dark", minimum_defocus=5000, maximum_defocus=20000)
    faint, _ = evaluate(monkeypatch, StandIn(filtering), particles="faint.star", output="out3")
    assert faint["contrast"] == "dark" and not any("contrast" in note for note in faint["notes"])
    particles = read_particles("p.star")
    flipped = torch.fft.rfft2(particles.images(slice(None))) * particles.ctf(slice(None)).sign()
    write_stack("flipped.mrcs", torch.fft.irfft2(flipped, s=(BOX, BOX)), PIXEL)
    write_particles_star("flipped.star", particles, stack="flipped.mrcs")
    record, result = evaluate(monkeypatch, StandIn(filtering), particles="flipped.star", output="out2")
    assert record["mean_frc"]["wiener"] > 0.2 and any("phases seem to be flipped" in w for w in result.warnings)


def test_particles_without_angles_one_particle_and_denoised_ones_are_refused(folder, monkeypatch):
    particles = read_particles("p.star")
    write_particles_star("one.star", particles.subset([3]))
    with StackWriter("pair.mrcs", 2, BOX, PIXEL) as stack:
        stack.add(particles.images([0, 1]) * torch.tensor([1.0, 0.0])[:, None, None])
    write_particles_star("pair.star", particles.subset([0, 1]), stack="pair.mrcs")
    for name in ("one", "pair"):  # of the pair one is empty
        said = evaluate(monkeypatch, StandIn(filtering), 2, particles=f"{name}.star")
        assert f"{name}.star has 1 usable particle; at least two are needed" in said
    write_particles_star("made.star", particles, {"cryodlDenoiser": ["m"] * 30})
    assert "denoised images" in evaluate(monkeypatch, StandIn(filtering), 2, particles="made.star")
    Path("model/training_targets.mrcs").unlink()
    assert "no training_targets.mrcs" in evaluate(monkeypatch, StandIn(filtering), 2)
    assert not Path("out").exists()


def test_only_as_many_particles_are_used_as_are_asked_for(folder, monkeypatch):
    record, _ = evaluate(monkeypatch, StandIn(filtering), count=7)
    assert record["count"] == 7 and len(list(csv.reader(open("out/frc.csv")))) == 8
