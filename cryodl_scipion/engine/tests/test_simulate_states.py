# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixtures of simulate-particles: hinges, chains left out, several structures, drawn CTFs."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from heterogeneity_data import moving_particles, write_model
from particle_data import simulate_particles

from cryodl.core.projections import Projector
from cryodl.io.particle_sets import read_particles
from cryodl.simulate.states import hinge_of, hinged, read_atom_model, selected


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_each_clean_image_is_the_projection_of_the_state_that_its_row_names():
    made = moving_particles(count=30).outputs
    particles = read_particles("p.star")
    states = np.array(particles.columns["cryodlTrueState"], int)
    latent = np.array(particles.columns["cryodlTrueLatent"], float)
    clean = mrcfile.read("p_clean.mrcs")
    assert len(made["states"]) == 7 and set(latent) <= set(np.linspace(-30, 30, 7))
    for row in range(6):
        density = torch.tensor(mrcfile.read(made["states"][states[row] - 1]))
        again = Projector(density).project(particles.angles[row], particles.shifts_yx[row : row + 1])[0].numpy()
        assert np.abs(clean[row] - again).max() < 1e-3 * clean.max()


def test_a_hinge_keeps_the_body_and_all_distances_within_the_domain():
    model = read_atom_model(write_model())
    domain = selected(model, "B", "--domain")
    point, axis = hinge_of(model, domain, None)
    moved = hinged(model.xyz, domain, point, axis, 40.0)
    assert np.array_equal(moved[~domain], model.xyz[~domain])
    before, after = (np.linalg.norm(xyz[domain][1:] - xyz[domain][0], axis=1) for xyz in (model.xyz, moved))
    assert np.allclose(before, after)
    arms = [xyz[domain].mean(0) - point for xyz in (model.xyz, moved)]
    arms = [arm - axis * (arm @ axis) for arm in arms]
    cosine = arms[0] @ arms[1] / np.linalg.norm(arms[0]) / np.linalg.norm(arms[1])
    assert np.degrees(np.arccos(cosine)) == pytest.approx(40)


def test_weights_say_how_many_particles_lack_a_chain():
    made = simulate_particles(
        structure=write_model(), pixel_size=5.0, count=400, missing_chains="B", weights="3,1"
    ).outputs
    states = np.array(read_particles("p.star").columns["cryodlTrueState"], int)
    assert 0.18 < (states == 2).mean() < 0.32
    whole, part = (mrcfile.read(path).sum() for path in made["states"])
    assert part / whole == pytest.approx(500 / 660, rel=0.02)


def test_ctfs_are_drawn_from_a_file():
    simulate_particles("first.star", count=20, minimum_defocus=11000, maximum_defocus=12000)
    simulate_particles("second.star", count=20, ctf_from="first.star")
    known = {o.defocus_u for o in read_particles("first.star").optics}
    assert {o.defocus_u for o in read_particles("second.star").optics} <= known


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(domain="Z"), ["--domain", "'Z'", "A, B"]),
        (dict(domain="A,B"), ["every atom"]),
        (dict(domain="B", hinge_axis="up"), ["--hinge-axis", "'up'"]),
        (dict(domain="B", weights="1,2"), ["--weights", "31"]),
        (dict(domain="B", missing_chains="B"), ["--missing-chains and --domain"]),
    ],
)
def test_bad_states_are_one_sentence(options, words):
    message = simulate_particles(code=2, structure=write_model(), pixel_size=5.0, **options)
    assert all(word in message for word in words)
    assert not list(Path().glob("p*"))


def test_models_in_one_frame_keep_their_places_and_others_come_to_the_middle():
    Path("body.pdb").write_text("".join(a for a in open(write_model()) if a[21:22] == "A" or a[:4] != "ATOM"))
    far = [f"{a[:30]}{float(a[30:38]) + 500:8.3f}{a[38:]}" if a[:4] == "ATOM" else a for a in open("body.pdb")]
    Path("far.pdb").write_text("".join(far))
    states = dict(structure="model.pdb", pixel_size=5.0, count=4)
    made = simulate_particles(structures="body.pdb", **states).outputs["states"]
    whole, body = map(mrcfile.read, made)
    assert (body <= whole + 1e-3 * whole.max()).all()
    other = mrcfile.read(simulate_particles("q.star", structures="far.pdb", **states).outputs["states"][1])
    places = np.indices(other.shape).reshape(3, -1) - len(other) // 2
    assert np.abs(places @ other.ravel() / other.sum()).max() < 0.1
