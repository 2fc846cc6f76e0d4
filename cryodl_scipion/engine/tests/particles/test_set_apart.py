# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that are something else: found, set apart, and the test for motion repeated without them."""

import dataclasses
import functools
import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from heterogeneity_data import command, moving_particles, write_atoms, write_model
from particle_data import simulate_particles
from synthetic import write_mrc

from cryodl.io.particle_sets import read_particles
from cryodl.latent.motion import Motion
from cryodl.latent.record import apart_sentences, verdict_sentence
from cryodl.particles.heterogeneity.apart import difference, find_group, minority
from cryodl.running.cli import main

FIT = dict(particles="p.star", latent=2, resolution=18, axes=0, threads=1)


def stated(places, seed=0):
    """match and gram of (n, d) coordinates that images of unequal noise state."""
    rng = np.random.default_rng(seed)
    count, size = places.shape
    parts = rng.standard_normal((count, 12, size)) * rng.uniform(0.5, 1.5, (count, 1, 1))
    gram = parts.transpose(0, 2, 1) @ parts
    noise = (parts * rng.standard_normal((count, 12, 1))).sum(1)
    return np.einsum("nij,nj->ni", gram, places) + noise, gram


def test_a_small_group_is_found_in_what_the_images_state():
    rng = np.random.default_rng(1)
    others = rng.standard_normal((950, 3)) * [0.1, 1.0, 0.1] + [1, 0, 0]
    group = rng.standard_normal((50, 3)) * 0.2 + [0.1, 0, 2]
    chance = minority(*stated(np.concatenate([others, group])), rng)
    assert (chance[950:] > 0.5).mean() > 0.95 and (chance[:950] > 0.5).mean() < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_one_broad_or_one_uniform_group_is_no_minority(seed):
    rng = np.random.default_rng(seed)
    places = [rng.standard_normal((1000, 3)) * [0.2, 1, 0.1], rng.uniform(-1, 1, (1000, 3)) * [0.2, 4, 1]]
    curve = np.linspace(-2, 2, 1000)
    places.append(np.stack([1 + 0 * curve, curve, curve**2], axis=1) + 0.1 * rng.standard_normal((1000, 3)))
    assert all(minority(*stated(place), rng) is None for place in places)


@pytest.mark.parametrize("seed", range(3))
def test_two_places_are_states_or_molecules_and_a_line_is_motion(seed):
    rng = np.random.default_rng(seed)
    spread = rng.standard_normal((600, 4)) * [0.05, 0.1, 0.1, 0.1] + [1, 0, 0, 0]
    second = np.arange(600) < 180
    kind = lambda places: difference(*stated(places, seed), np.arange(600))
    found = kind(spread + np.outer(second, [-0.05, 1.5, 0.5, 0]))
    assert found["kind"] == "states" and abs(found["share"] - 0.3) < 0.06
    found = kind(spread + np.outer(~second, [-0.75, 0.1, 0, 0]))
    assert found["kind"] == "molecules" and abs(found["share"] - 0.7) < 0.06 and abs(found["explained"] - 0.25) < 0.08
    assert kind(spread + np.outer(rng.uniform(-1, 1, 600), [0, 1.5, 0.5, 0]))["kind"] == "motion"
    assert kind(spread + np.outer(rng.uniform(0.2, 1.5, 600) - 1, [1, 0, 0, 0]))["kind"] != "molecules"  # thick ice
    assert kind(spread + np.outer(rng.choice([-1, 1], 600), [0, 0.2, 0, 0]))["kind"] == ""  # lost in the noise


@pytest.mark.parametrize("seed", range(3))
def test_three_states_are_no_motion(seed):
    rng = np.random.default_rng(seed)
    spread = rng.standard_normal((600, 4)) * [0.05, 0.1, 0.1, 0.1] + [1, 0, 0, 0]
    state, corners = rng.integers(3, size=600), np.exp(2j * np.pi * np.arange(3) / 3)[:, None]
    found = lambda places: difference(*stated(spread + places, seed), np.arange(600))
    assert found((1.5 * corners * [0, 1, -1j, 0]).real[state])["kind"] == "states"
    line = found(np.outer(state - 1, [0, 1.5, 0.5, 0]))
    assert line["kind"] == "states" and line["share"] == 0  # there are no two shares to be named


def test_copies_of_an_image_say_nothing_new():
    rng = np.random.default_rng(901)
    places = rng.standard_normal((300, 4)) * 0.1 + np.outer(rng.uniform(-1, 1, 300), [0, 0.6, 0.2, 0])
    match, gram = stated(places + [1, 0, 0, 0])
    found = [difference(*(np.repeat(v, copies, axis=0) for v in (match, gram, np.arange(300)))) for copies in (1, 7)]
    assert found[0]["kind"] == found[1]["kind"] == ""


def test_what_no_image_shows_is_nothing():
    match, gram = stated(np.random.default_rng(0).standard_normal((300, 4)) * [0.1, 1, 1, 1] + [1, 0, 0, 0])
    for shown in (3, 2, 1):  # components in which no particle differs
        match[:, shown:], gram[:, shown:], gram[:, :, shown:] = 0, 0, 0
        assert difference(match, gram, np.arange(300))["kind"] in ("", "motion")
        assert find_group(match, gram, np.random.default_rng(0)) is None


def test_the_words_say_how_the_particles_differ():
    motion = Motion(0.02, 0.001, 1e-9, (), 0.001)
    tell = functools.partial(verdict_sentence, motion)
    assert tell(kind="motion").startswith("Motion found (p = 1e-09;") and verdict_sentence(motion).startswith(
        "Motion or a mixture found (p"
    )
    assert "About 30% and 70% of the particles" in tell(kind="states", share=0.3, explained=0.99)
    assert "Three or more states found" in (words := tell(kind="states", share=0.0)) and "About" not in words
    words = tell(kind="molecules", share=0.66, explained=0.54)
    assert words.startswith("A mixture found (p = 1e-09;") and "explains 54% as much of about 66%" in words
    assert "or images of far less contrast" in words  # as of thicker ice on a second grid
    assert verdict_sentence(dataclasses.replace(motion, p_value=0.5), "", "states").startswith("No motion")


def write_other(path="other.pdb"):
    """An atomic model of another molecule: three balls far apart."""
    rng = np.random.default_rng(2)
    atoms = np.concatenate(
        [rng.uniform(-1, 1, (200, 3)) * 8 + ball for ball in ((35, 0, 0), (-18, 30, 5), (-18, -30, -5))]
    )
    write_atoms(path, dict(A=atoms))
    return path


def mixed(first, others, weights):
    """(n,) state of each particle of p.star: 400 simulated ones of several structures."""
    words = ["simulate-particles", "--structure", first, "--structures", *others, "--weights", weights, "--snr", "0.5"]
    words += "--pixel-size 5 --box 32 --count 400 --snr-area particle --device cpu --threads 1 --output p.star".split()
    assert main(words) == 0
    return np.array(read_particles("p.star").columns["cryodlTrueState"], float)


def test_another_molecule_is_set_apart_and_the_rest_does_not_move(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    true = mixed(write_model(), [write_other()], "94,6")
    made = command("fit-heterogeneity", **FIT, reference="p_state001.mrc", output="fit")
    given = np.array(read_particles("p.star").names)[true == 2]
    apart, kept = (set(read_particles(f"fit/{name}.star").names) for name in ("apart", "particles"))
    number = lambda names: {str(name).split("@")[0] for name in names}
    assert len(number(given) & number(apart)) >= 0.9 * len(given) and not apart & kept
    assert made.outputs["verdict"] == "no motion" and made.outputs["apart_count"] == len(apart) <= len(given) + 8
    assert made.outputs["count"] == len(kept) == 400 - len(apart)
    said = json.loads(Path("fit/heterogeneity.json").read_text())
    assert said["set_apart"][0]["verdict"] == "motion" and said["set_apart"][0]["explained"] < 0.75
    assert "are something else" in made.summary[0] and made.summary[1].startswith("With them: motion (p = ")
    assert made.summary[2].startswith("No motion found")


def test_a_hinge_is_found_beside_another_molecule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moving_particles("h.star", count=10)
    names = [str(Path(f"h_state{number:03d}.mrc").rename(f"hinge{number}.mrc")) for number in range(1, 8)]
    simulate_particles("other.star", structure=write_other(), pixel_size=5.0, box=32, snr=0.5, count=10)
    volume, one = mrcfile.read("other_map.mrc"), mrcfile.read(names[0])
    write_mrc("other_map.mrc", (volume * (one.sum() / volume.sum())).astype(np.float32), 5.0)
    true = mixed(names[0], [*names[1:], "other_map.mrc"], ",".join(["13.6"] * 7 + ["5"]))
    made = command("fit-heterogeneity", **FIT, reference="p_state004.mrc", output="fit").outputs
    assert made["verdict"] == "motion" and made["p_value"] < 1e-6
    assert 0.8 * (true == 8).sum() <= made["apart_count"] <= (true == 8).sum() + 12


def test_near_the_tolerance_it_is_the_limit_that_decides():
    tell = lambda *values: verdict_sentence(Motion(*values, (), 0.001))
    assert "near the limit of 0.10%" in tell(0.002, 0.0001, 1e-9) and "near the limit" in tell(0.0008, 0.0001, 1.0)
    plain = (0.01, 0.0001, 0.0), (0.0008, 0.0005, 0.6), (0.0, 0.0001, 1.0)
    assert not any("near" in tell(*values) for values in plain)


def test_what_was_set_apart_is_said_with_the_test_before():
    group = dict(particles=31, explained=0.12, foreign=True, verdict="motion", p_value=1e-9)
    found = apart_sentences([group, dict(group, particles=5, foreign=False, explained=0.9)], 1000)
    assert found[0].startswith("3.1% of the particles (31) are something else") and "12% as much" in found[0]
    assert "are a state of their own" in found[1] and found[2] == "With them: motion (p = 1e-09). Without them:"
