# SPDX-License-Identifier: GPL-3.0-or-later
"""identify: which structures particles show, how surely, and what is said where none fits."""

import contextlib
import csv
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from denoiser_data import run_command
from particle_data import BOX, PIXEL, simulate_particles, write_multiplied
from scipy.ndimage import gaussian_filter, shift
from synthetic import lopsided_density, write_mrc

from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.io.particles import write_stack
from cryodl.io.structures import load_density
from cryodl.likelihood.decoys import decoys
from cryodl.likelihood.observed import smoothed_notes
from cryodl.particles.commands import identify as identify_command
from cryodl.particles.identify import candidates, ranking
from cryodl.particles.identify.candidates import structure_files
from cryodl.particles.identify.ranking import (
    SURE,
    Compared,
    judge,
    look_alike_chance,
    own_particles,
    shares_of,
    sole_shares,
)


def rod(half, radius):
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    return ((z**2 + y**2 < radius**2) & (np.abs(x) < half)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 particles of map.mrc in p.star, noise in noise.star, and structures/ with it and others."""
    folder = tmp_path_factory.mktemp("identify")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(count=60, snr=0.3)
        (folder / "structures").mkdir()
        (folder / "others").mkdir()
        for where in ("structures", "others"):
            write_mrc(f"{where}/rod.mrc", rod(12, 3), PIXEL)
            write_mrc(f"{where}/ball.mrc", rod(7, 7), PIXEL)
        (folder / "map.mrc").rename("structures/map.mrc")
        (folder / "structures" / "broken.pdb").write_text("nothing\n")
        (folder / "structures" / "notes.doc").write_text("no structure\n")
        particles = read_particles("p.star")
        with StackWriter("noise.mrcs", 60, BOX, PIXEL) as stack:
            stack.add(torch.from_numpy(np.random.default_rng(4).normal(size=(60, BOX, BOX)).astype(np.float32)))
        names = [f"{n:06d}@noise.mrcs" for n in range(1, 61)]
        write_particles_star("noise.star", particles, {"rlnImageName": names})
    return folder


def identify(folder, monkeypatch, name, particles="p.star", structures="structures", code=0):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(candidates, "COARSE", candidates.Fineness(30.0, 5.0, 60))
    monkeypatch.setattr(candidates, "DECOYS", 12)
    monkeypatch.setattr(candidates, "FULL", candidates.Fineness(25.0, 6.0, 60))
    return run_command("identify", code, particles=particles, structures=structures, output=name)


def test_the_molecule_of_the_particles_is_first_and_sure(folder, monkeypatch):
    doing = []
    monkeypatch.setattr(ranking, "doing", doing.append)
    result = identify(folder, monkeypatch, "right")
    assert "comparing map, 1 of the best 3, with its decoys" in doing
    rows = list(csv.DictReader(open("right/ranking.csv")))
    assert rows[0]["structure"] == "map" and 0.001 <= float(rows[0]["q"]) < 0.05 and float(rows[0]["share"]) > 0.9
    assert result.outputs.found == ["map"] and {row["structure"] for row in rows} == {"map", "rod", "ball"}
    assert all(float(row["q"]) >= 0.05 and row["share"] == row["share_high"] == "" for row in rows[1:])
    assert float(rows[0]["explained"]) > 0.7 and not any(row["explained"] for row in rows[1:])  # nobody asked
    assert float(rows[0]["share_low"]) <= 1 - 3 / 60 and result.outputs.shares[1:] == [0, 0]
    assert "with cryodl " in result.methods[0] and "cryodl by" not in result.methods[0]  # but its version as well
    assert f"coarse detail {float(rows[0]['coarse_evidence']):.1f}, that for its decoys" in result.summary[0]
    assert [skipped.item for skipped in result.skipped] == ["broken"]


def test_images_that_are_left_out_are_no_structures_that_are(folder, monkeypatch):
    monkeypatch.chdir(folder)
    particles = read_particles("p.star").subset(slice(0, 12))
    images = particles.images(slice(None))
    images[3:5] = torch.nan
    with StackWriter("nan.mrcs", 12, BOX, PIXEL) as stack:
        stack.add(images)
    names = [f"{n:06d}@nan.mrcs" for n in range(1, 13)]
    write_particles_star("nan.star", particles, {"rlnImageName": names})
    result = identify(folder, monkeypatch, "left_out", particles="nan.star", structures="others")  # two of them as well
    assert sorted(result.outputs.names) == ["ball", "rod"] and result.outputs.count == 10 and len(result.skipped) == 2
    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "broken.pdb").write_text("nothing\n")
    message = identify(folder, monkeypatch, "none", particles="nan.star", structures="unreadable", code=2)
    assert "none could be compared" in message and "broken.pdb" in message


def test_copies_of_images_are_no_further_evidence(folder, monkeypatch):
    monkeypatch.chdir(folder)
    particles = read_particles("p.star")
    write_particles_star("few.star", particles.subset(slice(0, 15)))
    write_particles_star("expanded.star", particles.subset(np.repeat(np.arange(15), 4)))
    results = [identify(folder, monkeypatch, name, f"{name}.star") for name in ("few", "expanded")]
    assert [result.outputs["count"] for result in results] == [15, 15]
    assert (folder / "few/ranking.csv").read_text() == (folder / "expanded/ranking.csv").read_text()


def test_where_the_molecule_is_not_in_the_folder_none_is_said_to_fit(folder, monkeypatch):
    result = identify(folder, monkeypatch, "absent", structures="others")
    assert not result.outputs.found and "none of these" in " ".join(result.summary)
    assert all(float(row["q"]) >= 0.05 for row in csv.DictReader(open("absent/ranking.csv")))


def test_a_map_that_seems_to_be_negative_is_said_to_be_inverted_and_one_off_the_middle_is_centred(tmp_path):
    said, particles = [], SimpleNamespace(box=BOX, pixel_size=PIXEL)
    density = np.pad(lopsided_density(BOX), BOX // 2)
    for name, values in {"dark": -density, "off": np.roll(density, (BOX // 2, -9, 5), (0, 1, 2))}.items():
        write_mrc(tmp_path / f"{name}.mrc", values, PIXEL)
    run = SimpleNamespace(
        items=lambda pairs, word: pairs,
        item=lambda name, path: contextlib.nullcontext(),
        warn=lambda *sentences: said.extend(sentences),
        require_some=lambda *given: None,
    )
    dark, off = candidates.read_candidates(structure_files([str(tmp_path)]), particles, run)
    assert dark.density.sum() > 0 and off.diameter == pytest.approx(dark.diameter, abs=PIXEL)
    assert np.corrcoef(dark.density.flatten(), off.density.flatten())[0, 1] > 0.95
    assert len(said) == 1 and "dark.mrc: the map was inverted" in said[0]


def test_masked_images_are_said_to_be_no_raw_ones(folder, monkeypatch):
    monkeypatch.chdir(folder)
    particles, axis = read_particles("p.star"), np.arange(BOX) - BOX // 2
    inside = torch.from_numpy(np.hypot(axis, axis[:, None]) < 0.48 * BOX)
    with StackWriter("masked.mrcs", 60, BOX, PIXEL) as stack:
        stack.add(particles.images(slice(None)) * inside)
    write_particles_star("masked.star", particles, {"rlnImageName": [f"{n:06d}@masked.mrcs" for n in range(1, 61)]})
    assert not smoothed_notes(particles)
    assert "they look masked" in " ".join(smoothed_notes(read_particles("masked.star")))
    result = identify(folder, monkeypatch, "of_masked", particles="masked.star", structures="others")
    assert any("they look masked" in warning for warning in result.warnings)


def test_images_that_are_sums_of_a_few_components_are_said_to_be_no_raw_ones(folder, monkeypatch):
    monkeypatch.chdir(folder)
    particles = read_particles("p.star")
    left, sizes, right = torch.linalg.svd(particles.images(slice(None)).flatten(1), full_matrices=False)
    with StackWriter("components.mrcs", 60, BOX, PIXEL) as stack:
        stack.add(((left * sizes)[:, :20] @ right[:20]).reshape(-1, BOX, BOX))
    names = [f"{n:06d}@components.mrcs" for n in range(1, 61)]
    write_particles_star("components.star", particles, {"rlnImageName": names})
    (said,) = smoothed_notes(read_particles("components.star"))
    assert "sums of a few components" in said
    result = run_command("initial-map", 0, particles="components.star", output="first_of_components")
    assert said in result.warnings
    copies = particles.subset(np.repeat(np.arange(15), 4))
    assert not smoothed_notes(copies) and not smoothed_notes(particles.subset(slice(0, 1)))
    with StackWriter("twice.mrcs", 60, BOX, PIXEL) as stack:  # as of sets that were joined
        stack.add(particles.images(np.tile(np.arange(30), 2)))
    names = [f"{n:06d}@twice.mrcs" for n in range(1, 61)]
    write_particles_star("twice.star", particles, {"rlnImageName": names})
    assert not smoothed_notes(read_particles("twice.star"))


def test_images_multiplied_by_their_ctf_are_told_from_raw_ones_by_their_noise(folder, monkeypatch):
    monkeypatch.chdir(folder)
    particles, defoci = read_particles("p.star"), np.linspace(9000, 22000, 60)
    write_particles_star("spread.star", particles, {"rlnDefocusU": defoci, "rlnDefocusV": defoci})
    raw = read_particles("spread.star")
    write_multiplied("multiplied", raw)
    stated = read_particles("multiplied.star")
    unstated = dataclasses.replace(stated, ctf_state="none")
    (said,) = smoothed_notes(unstated)
    assert "set rlnCtfDataAreCtfPremultiplied to 1" in said
    flipped = torch.fft.irfft2(torch.fft.rfft2(raw.images(slice(None))) * raw.ctf(slice(None)).sign(), s=(BOX, BOX))
    write_stack("flipped.mrcs", flipped, PIXEL)
    write_particles_star("flipped.star", raw, stack="flipped.mrcs")
    for other in (raw, read_particles("flipped.star"), stated, unstated.subset(slice(0, 5))):
        assert not smoothed_notes(other)


def test_far_more_evidence_than_the_signal_gives_makes_a_share_doubtful():
    values = dict(alike=0.001, q=0.001, share=0.8, low=0.7, high=0.9, decoys=np.ones(8))
    said = [
        judge([Compared(SimpleNamespace(name="map"), 5.0, explained=part, **values)], 9.0, 0.0, "p.star").sentences
        for part in (1.2, 2.6)
    ]
    assert ["share may be wrong" in line for (line,) in said] == [False, True]


def test_junk_is_no_particle_of_the_structure_that_it_fits_best():
    evidence = np.array([[30.0, 20.0]] * 40 + [[10.0, 25.0]] * 40 + [[-5.0, -20.0]] * 30)
    assert own_particles(evidence, 0).tolist() == [True] * 40 + [False] * 70
    assert own_particles(evidence, 1).sum() == 40
    assert own_particles(evidence[60:], 1).all()  # too few of its own


def test_noise_shows_none(folder, monkeypatch):
    monkeypatch.setattr(identify_command, "size_notes", lambda *_: ["fits better if the structure is scaled"])
    result = identify(folder, monkeypatch, "noise", particles="noise.star")
    assert not any("scaled" in line for line in result.warnings)
    assert not result.outputs.found and "none of these" in " ".join(result.summary)


@pytest.mark.parametrize("lies", ["alike", "differently", "mirrored"])
def test_twins_cannot_be_told_apart_however_they_lie(folder, monkeypatch, lies):
    twins = folder / f"twins_{lies}"
    twins.mkdir()
    density = load_density(folder / "structures" / "map.mrc", PIXEL).numpy()
    turned = np.roll(density.transpose(1, 0, 2)[::-1], 1, 0)  # by a quarter about x, around the middle voxel
    write_mrc(twins / "one.mrc", density, PIXEL)
    mirrored = turned[:, :, ::-1]  # no rotation brings it onto the other
    write_mrc(twins / "two.mrc", dict(differently=turned, mirrored=mirrored).get(lies, density), PIXEL)
    result = identify(folder, monkeypatch, f"twins_out_{lies}", structures=twins.name)
    assert not result.outputs.found and sorted(result.outputs.alike) == ["one", "two"]
    assert "cannot be told apart" in " ".join(result.summary)


def test_what_does_not_resemble_another_structure_stays_in_the_middle_and_a_copy_where_it_lies():
    """It was moved by up to 5 voxels, 0.14 of the box, where shifts to 0.1 are searched; a copy by 0.03, which told
    three copies of one molecule apart."""
    of = lambda density: candidates.Candidate("one", "one.mrc", torch.from_numpy(density), 60.0)
    comparison, flat = SimpleNamespace(pixel_size=PIXEL, width=BOX * PIXEL), rod(9, 5) + rod(4, 9)
    near = shift(flat, (0, 0, 0.4))  # less than centring corrects
    other = gaussian_filter(rod(13, 2) + np.roll(rod(3, 3), (6, 6), (1, 2)), 1)
    for density, moved in ((other, False), (near, True), (flat, False)):
        made = candidates.ParticleComparison.turned(comparison, of(density), [of(flat)])
        assert bool(np.allclose(made.density, density, atol=1e-3)) != moved


def judged(columns, explained, asked=None, coarse=None):
    """The Verdict on particles with evidence {name: (n,)}, of which structures explain {name: part}. asked: gets the
    rows that are taken to be those of each. coarse: {name: (n,)}, that in coarse detail; None: the same."""
    asked = {} if asked is None else asked
    rng = np.random.default_rng(3)
    found = ranking.rank(
        SimpleNamespace(
            choose_reading=lambda these: None,
            weights=None,
            fewest=30,
            coarse=lambda one: (None, (coarse or columns)[one.name]),
            turned=lambda one, others: one,
            full=lambda one, fit, rows=None: (SimpleNamespace(fit=None), columns[one.name]),
            decoy_evidence=lambda one, fit, others, own: [[rng.normal(9, 1, (8, 1)) + np.zeros(100)] * 2],
            explained=lambda one, fit, rows: (
                asked.update({one.name: rows}) or SimpleNamespace(whole=explained[one.name], signal=9.0)
            ),
            held_out_gain=lambda one, fit, rows: 0.05 * (explained[one.name] < 0.8),
        ),
        [candidates.Candidate(name, name, torch.zeros(1), 60.0) for name in columns],
        lambda: None,
    )
    return judge(found.compared, found.signal, found.joint, "p.star")


def test_of_states_that_cannot_be_told_apart_none_is_left_out_because_its_neighbours_make_it_up():
    best, sides = 30 + np.random.default_rng(4).normal(size=100), np.resize([-0.3, 0.3], 100)
    columns = dict(one=best - 0.02 + sides, best=best, other=best - 0.02 - sides)  # each fits half of them better
    verdict = judged(columns, dict.fromkeys(columns, 1.0))
    assert sorted(one.candidate.name for one in (*verdict.found, *verdict.alike)) == ["best", "one", "other"]


def test_no_copy_is_left_out_because_the_coarse_search_favours_another():
    """20 particles of GroEL: one file three times beside two maps of it, of which one had 18.4 and the others 17.1."""
    same = 30 + np.random.default_rng(4).normal(size=20)
    columns = dict.fromkeys(["map", "model", "copy", "renamed", "again"], same) | dict(far=np.full(20, 10.0))
    verdict = judged(columns, dict.fromkeys(columns, 1.0), coarse=columns | dict(map=1.08 * same))
    assert sorted(one.candidate.name for one in verdict.alike) == ["again", "copy", "map", "model", "renamed"]


def test_a_map_with_other_pixels_is_no_second_part_of_the_particles():
    """Maps of one molecule at 2 to 5 Å/px, particles of another generator: evidence differs by 0.3 to 0.9."""
    best, sides = 30 + np.random.default_rng(4).normal(size=100), np.resize([-0.42, 0.42], 100)
    columns = {"2 Å": best + sides, "3 Å": best - sides}
    verdict = judged(columns, dict.fromkeys(columns, 1.0))
    assert not verdict.found and len(verdict.alike) == 2


def test_states_beside_another_molecule_explain_all_of_its_rest_alone():
    best, sides = 30 + np.random.default_rng(4).normal(size=100), np.resize([-0.3, 0.3], 100)
    whose, asked = np.arange(100) < 50, {}
    columns = dict(one=best - 0.02 + sides, best=best, other=best - 0.02 - sides)
    columns = {name: np.where(whose, values, 10) for name, values in columns.items()}
    judged(dict(columns, beside=np.where(whose, 10.0, 30.0)), dict.fromkeys([*columns, "beside"], 1.0), asked)
    assert {name: rows.sum() for name, rows in asked.items()} == dict(one=50, best=50, other=50, beside=50)


@pytest.mark.parametrize("explained", [0.85, 0.95])
def test_what_fits_a_few_of_the_particles_of_something_else_is_not_found_unless_it_explains_them_clearly(explained):
    most = np.arange(100) < 60
    verdict = judged(
        dict(near=np.where(most, 30.0, 20.0), few=np.where(most, 20.0, 30.0)), dict(near=0.75, few=explained)
    )
    assert [one.candidate.name for one in verdict.found] == ["few"] * (explained > 0.9)


def test_particles_too_few_to_be_asked_alone_are_not_said_to_show_something_else():
    """Of 100, 20 % of a mixture: all are asked, most of which the structure does not explain."""
    few = np.arange(100) < 20
    verdict = judged(dict(most=np.where(few, 20.0, 30.0), few=np.where(few, 30.0, 20.0)), dict(most=0.95, few=0.55))
    assert "are too few to tell" in verdict.sentences[-1]


def test_of_what_explains_part_of_its_particles_it_is_said_that_lipid_may_lack():
    """CFTR in a disc of 28 % of its contrast explains 87 % and gains by what others make of it."""
    (said,) = judged(dict(model=np.full(100, 30.0)), dict(model=0.75)).sentences
    assert "model is nearest" in said and "a membrane protein without its lipid or detergent" in said


def test_a_folder_without_structures_is_an_error_and_what_is_named_is_never_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.doc").write_text("no structure\n")
    with pytest.raises(ValueError, match="empty .--structures. has no structure"):
        structure_files(["empty"])
    named = ["empty/notes.doc", str(tmp_path / "empty" / "notes.doc")]  # one file, which would be its own twin
    (tmp_path / "images.mrcs").touch()
    assert structure_files([".", *named]) == ["empty", "images.mrcs", named[0]]  # skipped later, with reasons


def test_decoys_have_the_mass_and_the_spectrum_of_their_target():
    target, other = (torch.from_numpy(gaussian_filter(rod(*size), 2)) for size in ((10, 4), (5, 5)))
    made = decoys(target, [other], 4)
    assert len(made) == 4
    for decoy in made:
        assert float(decoy.sum()) == pytest.approx(float(target.sum()), rel=1e-3)
        assert float(decoy.square().sum()) == pytest.approx(float(target.square().sum()), rel=0.05)
        assert np.corrcoef(decoy.flatten(), target.flatten())[0, 1] < 0.95


def test_shares_of_a_known_mixture_lie_in_their_interval():
    rng = np.random.default_rng(1)
    shows = rng.random(400) < 0.3
    made = np.stack([np.where(shows, 8, 3), np.where(shows, 3, 8)], 1) + rng.normal(size=(400, 2))
    shares = shares_of(made)
    assert shares.low[0] < 0.3 < shares.high[0] and shares.share.sum() == pytest.approx(1)
    assert shares.share[0] == pytest.approx(0.3, abs=0.05)
    assert (shares.needed > 100).all()


def test_what_may_be_there_alone_has_no_more_than_the_others_leave():
    made = np.repeat([[100.0, 5.0, 4.9], [0.0, 30.0, 29.9]], [95, 5], axis=0)
    shares = shares_of(made)
    assert shares.several == [0] and shares.low[0] > 0.8
    first, *likes = sole_shares(made, shares)
    assert first == 0 and likes == pytest.approx([1 - shares.low[0]] * 2)


@pytest.mark.parametrize("overstated", [1.0, 1.4, 1.8])
def test_shares_of_two_states_hold_though_the_evidence_between_them_is_overstated(overstated):
    rng, inside, found = np.random.default_rng(2), [], []
    for share in (0.9, 0.8, 0.65) * 8:
        shows = rng.random(300) < share
        between = overstated * np.where(shows, 1, -1) + overstated * np.sqrt(2) * rng.normal(size=300)
        shares = shares_of(np.stack([20 + between, np.full(300, 20.0)], 1))  # of a normal one the variance is twice
        inside.append(shares.low[0] <= shows.mean() <= shares.high[0])
        found.append(shares.share[0] - shows.mean())
    assert np.mean(inside) > 0.75 and abs(np.mean(found)) < 0.07


def test_a_structure_that_fits_like_its_decoys_is_refused_and_one_far_above_is_not():
    means = np.random.default_rng(2).normal(8, 0.3, 24)
    like, above = (30 * look_alike_chance(value, [means[:16], means[16:]]) for value in (8.4, 12.0))
    assert like > 0.5 and above < SURE


def test_two_kinds_of_decoys_are_no_spread_of_one():
    rng = np.random.default_rng(5)
    chance = lambda middle: look_alike_chance(12.0, [rng.normal(middle, 0.3, 12), rng.normal(8, 0.3, 12)])
    assert max(chance(8.0), chance(6.0)) < 1e-4


def test_one_more_decoy_beats_the_others_as_often_as_its_chance_says():
    rng = np.random.default_rng(6)
    draw = lambda: look_alike_chance(rng.normal(), [rng.normal(size=16), rng.normal(size=8)])
    stated = np.array([draw() for _ in range(4000)])
    for q in (0.1, 0.02):
        assert 0.6 * q < (stated < q).mean() < 1.4 * q


def test_decoys_like_the_other_molecule_of_a_mixture_hide_nothing():
    rng, other = np.random.default_rng(7), np.arange(100) < 60  # particles of another molecule
    drawn = lambda low, high: np.where(other, low, high) + rng.normal(size=100)
    beside, decoys = drawn(10, 5), [drawn(rng.uniform(4, 9), 5) for _ in range(24)]
    judged = {"there": Compared(None, 0.0), "alone": Compared(None, 0.0), "none": Compared(None, 0.0)}
    for name, own, others in (
        ("there", drawn(5, 8), [beside]),
        ("alone", drawn(5, 8), []),
        ("none", drawn(7, 5), [beside]),
    ):
        judged[name].against_decoys([np.array(decoys[:16]), np.array(decoys[16:])], 30, own, others)
    assert judged["there"].alike < SURE < min(judged["alone"].alike, judged["none"].alike), judged


def compare(folder, monkeypatch, *names):
    """A coarse comparison with p.star, and the candidates of these names."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(candidates, "COARSE", candidates.Fineness(30.0, 5.0, 60))
    monkeypatch.setattr(candidates, "FULL", candidates.Fineness(25.0, 6.0, 60))
    run = SimpleNamespace(device=torch.device("cpu"), skip=None, warn=print)
    comparison = candidates.ParticleComparison(read_particles("p.star", need=("raw", "ctf")), run)
    densities = [load_density(f"structures/{name}.mrc", comparison.pixel_size) for name in names]
    return comparison, [candidates.Candidate(n, n, density, 60.0) for n, density in zip(names, densities)]


def test_relatives_of_a_structure_are_no_decoys_of_it(folder, monkeypatch):
    monkeypatch.setattr(candidates, "DECOYS", 9)
    comparison, (one, rod) = compare(folder, monkeypatch, "map", "rod")
    fit, own = comparison.coarse(one)
    *_, kinds = comparison.decoy_evidence(one, fit, [one, rod, one, one], own.mean())
    assert [len(kind) for kind in kinds] == [1, 5]


def test_held_out_particles_gain_by_what_a_wrong_structure_lacks_and_not_by_noise(folder, monkeypatch):
    comparison, compared = compare(folder, monkeypatch, "map", "rod", "ball")
    gain = {}
    for one in compared:
        fit, _ = comparison.coarse(one)
        gain[one.name] = comparison.held_out_gain(one, comparison.full(one, fit)[0].fit, np.full(60, True))
    assert gain["map"] < 0 < min(gain["rod"], gain["ball"]), gain
