# SPDX-License-Identifier: GPL-3.0-or-later
"""First maps without a structure: sums of slices, alignment of maps, the search from nothing, and its judgement."""

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command
from particle_data import simulate_particles

from cryodl.core.half_transforms import HalfDisc
from cryodl.core.projections import Projector, random_angles, rotation_matrices
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.io.star import read_tables, write_tables
from cryodl.likelihood.observed import Observed
from cryodl.likelihood.reference import Reference
from cryodl.particles.commands import initial_map
from cryodl.particles.initial import alignment, climb
from cryodl.particles.initial.alignment import Judgement, align, enlarged
from cryodl.particles.initial.climb import SliceSums, second_map_gain
from cryodl.reconstruction.views import views_of

BOX = 32


def blobs(side, centres=((-4, 1, 2), (4, -3, 1), (0, 5, -4), (1, 1, 6), (-2, -5, -1))):
    """An asymmetric density of balls, (side, side, side)."""
    axis = torch.arange(side) - side // 2
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).float()
    balls = [(k + 1) * torch.exp(-(grid - torch.tensor(c)).square().sum(-1) / 8) for k, c in enumerate(centres)]
    return torch.stack(balls).sum(0)


def correlation(one, two):
    return float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])


def observed(density, count, noise, seed=0):
    """Observed of a density in random orientations, without CTF, and the orientations."""
    rng = np.random.default_rng(seed)
    disc, angles = HalfDisc(BOX, 10), random_angles(count, rng)
    slices = Reference(Projector(density), disc, zoom=BOX / len(density)).at_angles(angles)
    power = noise * float(slices.abs().square().mean())
    values = slices + (power / 2) ** 0.5 * torch.complex(
        *torch.from_numpy(rng.standard_normal((2, *slices.shape))).float()
    )
    weight = torch.full(slices.shape, 1 / power)
    return Observed(2 * values * weight, weight, disc), angles


def test_slices_at_their_orientations_sum_to_the_map_that_they_come_from():
    density = blobs(24)
    seen, angles = observed(density, 400, 1e-3)
    sums = SliceSums(seen.disc, 24)
    sums.add(torch.from_numpy(rotation_matrices(angles)).float(), seen.match / 2, seen.weight)
    assert correlation(sums.map(torch.zeros(seen.disc.rings)), density) > 0.99


def test_copies_of_a_symmetric_map_stay_as_they_lie():
    """Searched in another of the equivalent orientations, or a few degrees beside it, one fits some particles better
    than the other."""
    density = blobs(24)
    for axes in ((0, 1), (0, 2)):
        density = density + torch.rot90(density, 2, axes).roll((1, 1), axes)
    found = align(density, density, 8)
    assert torch.allclose(found.matrix, torch.eye(3), atol=1e-3) and found.correlation > 0.99


def test_a_map_with_tiny_values_is_as_alike_as_any():
    density = 1e-12 * blobs(24)
    assert align(density, density, 8).correlation > 0.99


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_rotated_moved_map_is_brought_back_in_its_hand(mirrored):
    density = blobs(24)
    another = blobs(24, ((6, 0, 0), (-6, 1, 0), (0, 0, 0), (3, 2, 0), (-3, -2, 1)))
    assert align(density, another, 8).correlation < 0.8
    turned = torch.rot90(density, 1, (0, 2)).roll((1, -1), (0, 1))
    found = align(density, turned.flip(0).roll(1, 0) if mirrored else turned, 8)
    assert found.correlation > 0.97
    assert correlation(density, found.density) > 0.97


def test_a_map_is_found_from_random_orientations_of_noisy_slices(monkeypatch):
    monkeypatch.setattr(climb, "STEPS", 30)
    monkeypatch.setattr(climb, "BATCH", 100)
    monkeypatch.setattr(climb, "FULL", (7.0, 7.0))
    seen, _ = observed(blobs(24), 200, 2.0)
    start = climb.Climb(seen, 20, (0, 1))
    assert start.side == climb.cube_side(seen.disc) == 24
    found = start.run()
    assert found.evidence.shape == found.probability.shape == (200,)
    assert float(found.evidence.mean()) > 5
    assert align(blobs(24), found.density, 8).correlation > 0.85


@pytest.mark.parametrize("mixed", [False, True])
def test_a_second_map_gains_only_where_molecules_are_mixed(monkeypatch, mixed):
    for name, value in dict(STEPS=20, BATCH=100, FULL=(7.0, 7.0), DETAIL=0.4).items():
        monkeypatch.setattr(climb, name, value)
    another = blobs(24, ((6, 0, 0), (-6, 1, 0), (0, 0, 0), (3, 2, 0), (-3, -2, 1)))
    parts = [observed(one, 120, 2.0, seed)[0] for seed, one in enumerate((blobs(24), another if mixed else blobs(24)))]
    both = Observed(*(torch.cat([getattr(p, name) for p in parts]) for name in ("match", "weight")), parts[0].disc)
    gain = second_map_gain(both[0::2], both[1::2], blobs(24), 20, 0)
    assert (gain > 0) is mixed


def test_the_evidence_for_a_map_does_not_depend_on_what_was_asked_before():
    start = climb.Climb(observed(blobs(24), 60, 2.0)[0], 20, 0)
    first, again = (start.evidence_for(blobs(24), 7.0) for _ in range(2))
    assert first.tolist() == again.tolist()


def test_noise_has_no_evidence(monkeypatch):
    monkeypatch.setattr(climb, "STEPS", 10)
    monkeypatch.setattr(climb, "FULL", (7.0,))
    seen, _ = observed(torch.randn(24, 24, 24, generator=torch.manual_seed(1)), 200, 1e6)
    assert abs(float(climb.Climb(seen, 20, 0).run().evidence.mean())) < 1


def views_at(angles):
    return views_of(rotation_matrices(angles), "C1")


EVEN = random_angles(20000, np.random.default_rng(0))
ONE_VIEW = np.stack([np.zeros(120), np.full(120, 40.0), np.arange(120)], 1)


def test_the_direction_seen_least_has_1_of_even_views_and_0_of_one_view():
    assert 0.85 < views_at(EVEN).least <= 1
    assert views_at(ONE_VIEW).least == 0


def test_every_doubt_names_what_was_found_and_expected():
    good = dict(agreement=0.97, starts=[1.0, 0.97], evidence=15.0, empty=0.01, views=views_at(EVEN))
    assert Judgement(**good).doubts() == Judgement(**good, second=-0.5).doubts() == []
    assert Judgement(**good, second=0.2).doubts() == []  # less than CTFs that are not exact may do
    for changed, word in (
        (dict(agreement=0.5), "do not agree"),
        (dict(evidence=0.1), "noise"),
        (dict(empty=0.3), "junk"),
        (dict(views=views_at(ONE_VIEW)), "views are missing"),
        (dict(views=views_at(ONE_VIEW)), "a tilted specimen would leave a cone of"),
        (dict(second=0.8), "mixed"),
    ):
        (doubt,) = Judgement(**dict(good, **changed)).doubts()
        assert word in doubt
        assert "expected" in doubt


def test_an_enlarged_map_has_the_same_projections():
    small = blobs(24)
    large = enlarged(small, 48)
    views = [
        Reference(Projector(one), HalfDisc(BOX, 6), zoom=BOX / len(one)).at_angles(np.array([[20.0, 50.0, 70.0]]))
        for one in (small, large)
    ]
    assert torch.allclose(views[0], views[1], rtol=0.05, atol=0.02 * float(views[0].abs().max()))


# ----- the command
@pytest.fixture
def quick(tmp_path, monkeypatch):
    """The current folder, with 120 particles p.star of map.mrc, and a search of few steps."""
    monkeypatch.chdir(tmp_path)
    for name, value in dict(STEPS=20, BATCH=60, FULL=(7.0, 7.0), DETAIL=0.3).items():
        monkeypatch.setattr(climb, name, value)
        if hasattr(initial_map, name):
            monkeypatch.setattr(initial_map, name, value)
    monkeypatch.setattr(initial_map, "FINEST", 7.0)
    monkeypatch.setattr(initial_map, "FEWEST", 100)
    simulate_particles(count=120, snr=3.0, seed=5)
    return monkeypatch


def find(code=0, **options):
    usual = dict(particles="p.star", output="found", mask_diameter=80, contrast="bright")
    return run_command("initial-map", code, **dict(usual, **options))


def test_a_map_is_written_and_a_stopped_run_keeps_its_starts(quick):
    run, begun = climb.Climb.run, []

    def stop_at_the_third(self, progress):
        begun.append(self)
        if len(begun) == 3:
            raise RuntimeError("stopped")
        return run(self, progress)

    quick.setattr(climb.Climb, "run", stop_at_the_third)
    find(code=1)
    assert not Path("found").exists()
    found = find()
    made = found.outputs
    assert "(cryodl " in found.methods[0]  # and its version
    assert len(begun) == 3 + 2 + 1  # two starts were kept; the last looks for a second molecule
    assert made.determined and made.reasons == [] and made.agreement > 0.93
    assert made.limit <= made.resolution < 20
    assert made.missing_cone < 10 and len(made.views) == 192 and min(row[2] for row in made.by_direction) >= made.limit
    assert json.loads(Path("found/judgement.json").read_text())["coverage"] == pytest.approx(made.coverage, abs=1e-3)
    with mrcfile.open(made.map) as mrc, mrcfile.open("map.mrc") as ground_truth:
        assert mrc.data.shape == (32, 32, 32) and float(mrc.voxel_size.x) == pytest.approx(4.0)
        shown, true = (torch.from_numpy(np.array(m.data)) for m in (mrc, ground_truth))
    assert align(true, shown, 6).correlation > 0.85
    particles = read_particles(made.particles)
    assert len(particles) == 120 and sorted(set(particles.halves)) == [1, 2]
    assert sorted(p.name for p in Path("found").iterdir()) == [
        "judgement.json",
        "map.mrc",
        "map_half1.mrc",
        "map_half2.mrc",
        "particles.star",
    ]
    assert "exists already" in find(code=2)


def test_without_agreement_there_is_no_map_but_a_reason(quick, capsys):
    quick.setattr(alignment, "AGREEMENT", 1.1)
    quick.setattr(climb, "STEPS", 3)
    result = find()
    assert not result.outputs.determined and result.outputs.map is None and result.outputs.particles is None
    assert "do not agree" in result.outputs.reasons[-1] and "No map was determined, because" in result.summary[0]
    assert [p.name for p in Path("found").iterdir()] == ["judgement.json"]
    assert "The best start of each half is finished" in capsys.readouterr().out  # as long as a start: it is no stop


@pytest.mark.parametrize("share, determined", [(-0.01, True), (0.01, True), (0.05, False)])
def test_what_a_second_map_adds_is_a_warning_before_it_is_a_reason(quick, share, determined):
    quick.setattr(initial_map, "gain_of_second", lambda both, found, run: share * judged[0].evidence)
    before, judged = initial_map.judged_maps, []

    def known(*given):
        found, verdict = before(*given)
        judged.append(verdict)
        return found, verdict

    quick.setattr(initial_map, "judged_maps", known)
    result = find()
    assert result.outputs.determined is determined
    assert any(f"adds {100 * share:.1f} %" in said for said in (*result.warnings, *result.outputs.reasons)) is (
        share > 0
    )
    assert any("second map" in said for said in result.warnings) is (0 < share < 0.03)


def test_angles_of_no_reference_name_none(quick):
    particles, told = read_particles("p.star"), ("cryodlReference", "cryodlExplained", "cryodlScore")
    write_particles_star("p.star", particles, {name: ["1"] * len(particles) for name in told})
    assert find().outputs["determined"]
    assert not set(told) & set(read_particles("found/particles.star").columns)


def test_the_images_full_detail_is_asked_what_was_done_to_them(quick):
    """Half-maps to 14.5 Å agree with phases that both were made with, right or not; 19.1 Å are right."""
    asked = []
    quick.setattr(initial_map, "sample_notes", lambda *given: asked.append(given) or ["they seem flipped"])
    assert "they seem flipped" in find().warnings
    ((particles, numbers, finer, config, _),) = asked
    written = read_particles("found/particles.star")
    assert np.allclose(particles.angles, written.angles, atol=1e-3) and (numbers == written.halves).all()
    assert np.allclose(particles.shifts_yx, written.shifts_yx, atol=1e-3) and config.mask_diameter == 80
    with mrcfile.open("map.mrc") as ground_truth:
        assert align(torch.from_numpy(np.array(ground_truth.data)), finer.whole, 6).correlation > 0.85
    quick.setattr(initial_map, "LARGEST", 16)  # a map of a large box would take too much memory
    assert not find(output="large").warnings


def test_a_number_that_was_asked_for_is_no_warning(quick):
    simulate_particles(output="more.star", count=201)
    quick.setattr(initial_map, "FEWEST", 300)
    result = find(particles="more.star", most=200)
    assert result.summary[0] == "200 of 201 particles are used, drawn at random."
    assert not any("drawn at random" in said for said in result.warnings)


def test_few_particles_and_wrong_input_are_said(quick):
    quick.setattr(initial_map, "FEWEST", 200)
    made = find().outputs
    assert not made.determined and made.reasons == ["120 particles are too few (at least 200 are needed)"]
    for wrong in (500, 25):
        assert "are 128 Å wide (" in find(code=2, output="other", mask_diameter=wrong)
    tables = read_tables("p.star")
    del tables["particles"]["rlnDefocusU"]
    write_tables("bare.star", tables)
    assert "without a CTF" in find(code=2, output="other", particles="bare.star")
    assert not Path("other").exists() and not Path("other.partial").exists()
