# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of maps against models: each against a fact from outside."""

import dataclasses
import gzip
import tracemalloc

import numpy as np
import pytest
from map_data import empty_grid, helix
from synthetic import DATA

from cryodl.contract import BY_NETWORK, half_map_resolutions, half_map_verdict
from cryodl.contract.half_map_test import LOST, WORST
from cryodl.core.fourier import fsc
from cryodl.io.structures import read_structure
from cryodl.maps.measures import measure
from cryodl.maps.measures.atoms import check_overlap, dense_mask, kept_atoms, model_density, read_atoms, soft_mask
from cryodl.maps.measures.chains import _matched, compare_chains
from cryodl.maps.measures.half_map_test import half_map_test
from cryodl.maps.measures.measure import local_correlation, local_resolution, measure_halves, measure_map, reference_for
from cryodl.maps.measures.qscore import SIGMA, q_scores, score_points
from cryodl.maps.measures.shells import (
    estimated_resolution,
    guinier_b_factor,
    sharpened,
    shell_correlation,
    shell_filtered,
)
from cryodl.maps.measures.volume import read_volume


def numbers_of(shared):
    return dict(gain=shared.gain, unexplained=shared.unexplained, worst=shared.worst)


@pytest.fixture
def atoms(tmp_path):
    return read_atoms(helix(tmp_path / "helix.pdb"))


def with_b(atoms, b_factor, voxels=0.5):
    """The noiseless map of atoms that are Gaussians of the Q-score's width, blurred by a B-factor (Å²)."""
    grid = empty_grid((72, 72, 96)[::-1], voxels, (-6.0, -18.0, -18.0))
    width = np.sqrt(SIGMA**2 + b_factor / (8 * np.pi**2))
    return dataclasses.replace(grid, data=model_density(atoms, grid, width))


def test_a_single_gaussian_scores_one_and_less_the_more_it_is_blurred(tmp_path):
    """Known beforehand: the correlation of exp(-r²/2s²) with exp(-r²/2S²) over the 21 radii."""
    atoms = read_atoms(helix(tmp_path / "one.pdb", 1))
    single = dataclasses.replace(
        atoms,
        xyz=atoms.xyz[:1],
        residue=atoms.residue[:1],
        protein=atoms.protein[:1],
        number=np.ones(1),
        occupancy=np.ones(1),
        b=np.ones(1),
        atom_names=("N",),
    )
    grid = empty_grid((64, 64, 64), 0.15, atoms.xyz[0][::-1] - 32 * 0.15)
    radii = np.arange(0, 2.01, 0.1)
    for width in (0.6, 0.9, 1.2):
        volume = dataclasses.replace(grid, data=model_density(single, grid, width))
        expected = np.corrcoef(np.exp(-(radii**2) / (2 * width**2)), np.exp(-(radii**2) / (2 * 0.6**2)))[0, 1]
        assert q_scores(volume, single)[0] == pytest.approx(expected, abs=0.005)


def test_q_score_falls_steadily_with_the_b_factor(atoms):
    means = [q_scores(with_b(atoms, b), atoms).mean() for b in (0, 25, 50, 100, 200)]
    assert means[0] > 0.9 and all(a > b + 0.02 for a, b in zip(means, means[1:]))


REAL = DATA / "structures/maps/EMD-30342_7CEC_chainA"


@pytest.mark.skipif(not REAL.with_suffix(".mrc.gz").is_file(), reason="the real maps are not beside this checkout")
def test_q_score_of_a_real_chain_is_that_of_mapqs_authors(tmp_path):
    """0.45: mean of chain A of 7CEC in EMD-30342, published with MapQ (Pintilie et al. 2020)."""
    atoms = read_atoms(REAL.with_suffix(".model.cif.gz"))
    with gzip.open(REAL.with_suffix(".mrc.gz")) as packed:
        (tmp_path / "map.mrc").write_bytes(packed.read())
    assert q_scores(read_volume(tmp_path / "map.mrc"), atoms).mean() == pytest.approx(0.45, abs=0.02)


def test_points_made_once_give_the_same_scores_of_some_atoms(atoms):
    volume, rows = with_b(atoms, 50), np.array([7, 2, 30])
    np.testing.assert_array_equal(q_scores(volume, atoms, score_points(atoms, rows)), q_scores(volume, atoms)[rows])


def test_q_score_knows_no_scale_and_offset_of_the_map(atoms):
    volume = with_b(atoms, 50)
    other = dataclasses.replace(volume, data=7 * volume.data - 3)
    np.testing.assert_allclose(q_scores(other, atoms), q_scores(volume, atoms), atol=1e-3)


def test_atoms_outside_of_the_map_score_nothing(atoms):
    volume = with_b(atoms, 50)
    cut = dataclasses.replace(volume, data=volume.data[:40])
    scores, inside = q_scores(cut, atoms), volume.positions(atoms.xyz)[:, 0] < 34
    assert (scores[volume.positions(atoms.xyz)[:, 0] > 40] == 0).all() and scores[inside].mean() > 0.5


def test_density_integrates_to_the_electrons(atoms):
    grid = empty_grid((60, 60, 70), 1.0, (-20.0, -30.0, -35.0))
    assert model_density(atoms, grid, 1.0).sum() == pytest.approx(atoms.number.sum(), rel=1e-3)


def test_shell_correlation_of_a_cube_is_frcs():
    rng = np.random.default_rng(0)
    import torch

    first, second = rng.normal(size=(2, 16, 16, 16)).astype(np.float32)
    second = second + first
    curve = shell_correlation(first, second, np.full(3, 2.0))
    np.testing.assert_allclose(curve.value, fsc(torch.from_numpy(first), torch.from_numpy(second)), atol=1e-5)
    np.testing.assert_allclose(curve.frequency[-1], 1 / 4.0)


def test_shell_correlation_does_not_depend_on_the_boxes_shape():
    """A map that is cut out as a longer box, of zeros beyond, has the same curve at the same frequencies."""
    rng = np.random.default_rng(1)
    signal = shell_filtered(rng.normal(size=(24, 24, 24)), np.ones(3), lambda s: np.exp(-30 * s**2))
    assert signal.dtype == np.float32  # large maps in half the memory
    noisy = [signal + 0.2 * rng.normal(size=signal.shape) for _ in range(2)]
    short = shell_correlation(*noisy, np.ones(3))
    long = shell_correlation(*[np.pad(x, ((0, 0), (0, 0), (0, 24))) for x in noisy], np.ones(3))
    np.testing.assert_allclose(np.interp(short.frequency[2:], long.frequency, long.value), short.value[2:], atol=0.1)


def test_the_guinier_slope_is_the_b_factor_and_sharpening_undoes_it():
    rng = np.random.default_rng(2)
    voxels, white = np.full(3, 1.0), rng.normal(size=(48, 48, 48))
    blurred = shell_filtered(white, voxels, lambda s: np.exp(-80 * s**2 / 4))
    assert guinier_b_factor(blurred, voxels, 3.0) == pytest.approx(80, abs=4)
    assert guinier_b_factor(sharpened(blurred, voxels, 80, 3.0), voxels, 3.3) == pytest.approx(0, abs=4)


def test_local_correlation_is_one_where_maps_agree_and_less_where_they_do_not():
    rng = np.random.default_rng(3)
    first = rng.normal(size=(30, 30, 60)).astype(np.float32)
    second = first.copy()
    second[:, :, 30:] = rng.normal(size=(30, 30, 30))
    same, other = local_correlation(first, second, np.ones(3), np.array([[15, 15, 12], [15, 15, 48]]), 5)
    assert same == pytest.approx(1, abs=1e-6) and abs(other) < 0.15


def test_a_mask_and_local_correlations_of_a_large_map_hold_few_bytes_for_each_voxel():
    grid, rng = empty_grid((640, 40, 40), 1.0, (0.0, 0.0, 0.0)), np.random.default_rng(0)
    data, xyz = rng.normal(size=grid.data.shape).astype(np.float32), rng.uniform(0, (39, 39, 639), (2000, 3))
    for measured in (
        lambda: soft_mask(xyz, grid, 4.0),
        lambda: local_correlation(data, data, grid.voxels_zyx, xyz[:, ::-1]),
    ):
        tracemalloc.start()
        found = measured()
        peak = tracemalloc.get_traced_memory()[1] / data.size
        tracemalloc.stop()
        assert found.max() == pytest.approx(1) and peak < 20  # all at once 50 and 65


def test_local_correlation_filters_only_the_surroundings_of_the_positions(monkeypatch):
    """A model fills a small part of its box: of 320 voxels a side a comparison took 15 s, and several are made."""
    first, second = np.random.default_rng(3).normal(size=(2, 50, 60, 70))
    positions, seen, filtered = np.array([[2.0, 30, 69], [5, 33, 60], [-4, 30, 69]]), [], measure.uniform_filter
    monkeypatch.setattr(
        measure, "uniform_filter", lambda x, *a, **more: seen.append(x.shape) or filtered(x, *a, **more)
    )
    found = local_correlation(first, second, np.ones(3), positions, 3)
    assert max(map(np.prod, seen)) < 8000
    assert found[2] == 0 and found[1] == pytest.approx(
        np.corrcoef(*(one[2:9, 30:37, 57:64].ravel() for one in (first, second)))[0, 1]
    )


def test_local_resolution_finds_the_coarser_half():
    """Noise of the halves is white; the signal is filtered to 4 Å on one side and to 10 Å on the other."""
    rng = np.random.default_rng(4)
    white, voxels = rng.normal(size=(40, 40, 80)), np.ones(3)
    low_pass = lambda limit: shell_filtered(white, voxels, lambda s: (s < 1 / limit).astype(float))
    signal = np.concatenate([low_pass(4)[..., :40], low_pass(10)[..., 40:]], axis=2)
    halves = [signal + 0.1 * rng.normal(size=signal.shape) for _ in range(2)]
    local = local_resolution(*halves, 1.0, np.ones(signal.shape), 4.0)
    fine, coarse = np.median(local[..., 12:28]), np.median(local[..., 52:68])  # windows blur the sharp limits
    assert fine < 4.5 and coarse > fine + 2


@pytest.mark.parametrize("resolution", [4.0, 6.0, 8.0, 10.0])
@pytest.mark.parametrize("kind", ["filtered", "noisy", "loud", "masked"])
def test_the_resolution_is_seen_in_a_map_alone(resolution, kind):
    """Known beforehand: a ball of white density, cut off at the resolution, in noise that ends there, or that does
    not, or that the solvent shows, or masked."""
    rng = np.random.default_rng(3)
    voxels, zyx = np.full(3, 1.5), np.indices((64, 64, 64)) - 31.5
    ball = np.clip(1 + (22.0 - 1.5 * np.sqrt((zyx**2).sum(axis=0))) / 4, 0, 1)
    cut = lambda data: shell_filtered(data, voxels, lambda s: s <= 1 / resolution)
    signal = cut(ball * (1 + rng.normal(size=ball.shape)))
    noise = rng.normal(size=ball.shape)
    noise = 0.1 * cut(noise) if kind == "filtered" else (0.8 if kind == "loud" else 0.05) * noise
    data = (signal + noise) * ball if kind == "masked" else signal + noise
    assert estimated_resolution(data.astype(np.float32), voxels).value == pytest.approx(resolution, rel=0.2)


@pytest.mark.parametrize("masked", [False, True])
def test_an_unsharpened_map_is_not_taken_for_a_coarse_one(masked):
    """A ball of white density to 2.6 Å under a B-factor of 150 Å²: in noise it is seen, masked it may be finer."""
    rng, voxels, zyx = np.random.default_rng(5), np.ones(3), np.indices((72, 72, 72)) - 35.5
    ball = np.clip(1 + (22.0 - np.sqrt((zyx**2).sum(axis=0))) / 4, 0, 1)
    fall = lambda s: np.exp(-150 * s**2 / 4) * (s <= 1 / 2.6)
    signal = shell_filtered(ball * (1 + rng.normal(size=ball.shape)), voxels, fall)
    noise = shell_filtered(rng.normal(size=ball.shape), voxels, lambda s: 0.004 + 0 * s)
    data = signal * ball if masked else signal + noise
    found = estimated_resolution(data.astype(np.float32), voxels)
    assert found.finest < 2.75
    assert masked or found.value == pytest.approx(2.6, rel=0.1)


def test_a_given_resolution_sets_the_windows_of_local_resolution():
    rng = np.random.default_rng(6)
    low_pass = lambda data: shell_filtered(data, np.ones(3), lambda s: (s < 1 / 8).astype(float))
    shared = 3 * low_pass(rng.normal(size=(48, 48, 48)))
    halves = [
        dataclasses.replace(empty_grid((48, 48, 48)), data=shared + 0.01 * rng.normal(size=shared.shape))
        for _ in range(2)
    ]
    own, given = (measure_halves(halves, np.ones(shared.shape), resolution)[0] for resolution in (None, 4.0))
    assert own["resolution_angstrom"] == given["resolution_angstrom"]
    assert own["local_resolution_angstrom"] != given["local_resolution_angstrom"]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_map_in_which_nothing_is_dense_has_an_empty_mask(value):
    data = np.full((40, 44, 48), value)
    assert not dense_mask(data, np.ones(3)).any()
    data[18:22, 20:24, 22:26] += 1
    mask = dense_mask(data, np.ones(3))
    assert mask[20, 22, 24] == 1 and mask[0, 0, 0] == mask[-1, -1, -1] == 0


def test_a_soft_mask_is_one_near_atoms_and_zero_far_away(atoms):
    grid = empty_grid((40, 44, 48), 1.0, (-10.0, -22.0, -24.0))
    mask = soft_mask(atoms.xyz, grid, 3.0)
    inside = np.rint(grid.positions(atoms.xyz)).astype(int)
    assert (mask[tuple(inside.T)] == 1).all() and mask[0, 0, 0] == 0 and 0 < (mask > 0).mean() < 0.5


def test_a_map_of_the_model_resolves_all_and_noise_nothing(atoms):
    volume = with_b(atoms, 10)
    metrics, _ = measure_map(volume, reference_for(volume, atoms))
    assert metrics["fsc05_angstrom"] == pytest.approx(1.0, abs=0.05) and metrics["q_score_chains"] == {
        "A": pytest.approx(metrics["q_score"])
    }
    noise = dataclasses.replace(volume, data=np.random.default_rng(0).normal(size=volume.data.shape).astype(np.float32))
    metrics, details = measure_map(noise, reference_for(noise, atoms))
    assert abs(details["fsc_unmasked"].value[4:].mean()) < 0.05 and abs(metrics["q_score"]) < 0.15
    assert metrics["fsc05_unmasked_angstrom"] is None or metrics["fsc05_unmasked_angstrom"] > 15


@pytest.mark.parametrize("offset", [-0.1, 0.5])
def test_the_level_of_the_solvent_changes_no_measure(atoms, offset):
    volume = with_b(atoms, 60)
    data = volume.data + 0.02 * volume.data.max() * np.random.default_rng(0).normal(size=volume.data.shape)
    plain, moved = (
        measure_map(dataclasses.replace(volume, data=(data + x * data.max()).astype(np.float32)), reference)[0]
        for reference in [reference_for(volume, atoms)]
        for x in (0, offset)
    )
    for name in ("fsc05_angstrom", "fsc0143_angstrom", "q_score", "local_correlation"):
        assert moved[name] == pytest.approx(plain[name], rel=0.01), name


def test_atoms_outside_of_the_map_do_not_count_in_the_means_of_their_chains(atoms):
    volume = with_b(atoms, 10)
    whole = measure_map(volume, reference_for(volume, atoms))[0]
    away = dataclasses.replace(
        atoms,
        xyz=np.concatenate([atoms.xyz, atoms.xyz + [0, 0, 500]]),
        residue=np.concatenate([atoms.residue, atoms.residue]),
        **{name: np.concatenate([getattr(atoms, name)] * 2) for name in ("number", "b", "occupancy", "protein")},
        atom_names=atoms.atom_names * 2,
    )
    metrics = measure_map(volume, reference_for(volume, away))[0]
    assert metrics["q_score_chains"]["A"] == pytest.approx(whole["q_score_chains"]["A"])


def test_shared_inventions_raise_the_improved_halves_and_not_the_crossed_ones():
    rng = np.random.default_rng(5)
    grid = empty_grid((32, 32, 32))
    halves = [dataclasses.replace(grid, data=rng.normal(size=(32, 32, 32)).astype(np.float32)) for _ in range(2)]
    invention = 5 * rng.normal(size=(32, 32, 32))
    _, curves, _ = half_map_test(halves, [half.data + invention for half in halves], np.float32(1))
    assert curves["improved"].value[2:].mean() > 0.9 and abs(curves["crossed"].value[2:].mean()) < 0.1


def test_models_beside_their_map_are_noticed_with_the_offset(atoms):
    volume = with_b(atoms, 20)
    away = dataclasses.replace(atoms, xyz=atoms.xyz + [60.0, 0, 0])
    with pytest.raises(ValueError, match=r"do not overlap.*\(\s*\d+\.\d, "):
        check_overlap(volume, away)
    assert check_overlap(volume, atoms) == []


def test_a_model_is_its_own_reference_and_a_shifted_one_has_the_shift_as_rmsd(tmp_path, atoms):
    metrics, pairs = compare_chains(atoms, atoms)
    assert (metrics["coverage"], metrics["rmsd_angstrom"], metrics["fragments"]) == (1.0, 0.0, 1) and len(pairs) == 12
    moved = read_atoms(helix(tmp_path / "b.pdb", shift=(0.6, 0.8, 0.0)))
    assert compare_chains(moved, atoms)[0]["rmsd_angstrom"] == pytest.approx(1.0, abs=2e-3)


def test_missing_false_and_renamed_residues_are_counted(tmp_path, atoms):
    part = read_atoms(helix(tmp_path / "part.pdb", 9, chain="B", name="GLY"))
    metrics, _ = compare_chains(part, atoms)
    assert (metrics["matched"], metrics["sequence_match"], metrics["coverage"]) == (9, 0.0, 0.75)
    metrics, _ = compare_chains(atoms, part)
    assert metrics["false_residues"] == 3 and metrics["chains"] == {"B": 1.0}
    far = dataclasses.replace(part, xyz=part.xyz + 100)
    assert compare_chains(far, atoms)[0]["rmsd_angstrom"] is None


def test_a_phosphorus_of_a_ligand_is_no_residue(tmp_path, atoms):
    path, line = (
        helix(tmp_path / "a.pdb"),
        "HETATM  900 {:4s} {:3s} A {:3d}      30.000  10.000  10.000  1.00 20.00           {}\n",
    )
    rows = [(" P", "PO4", 201, "P"), (" P", "POV", 202, "P"), (" P", "FAD", 203, "P"), (" C1'", "FAD", 203, "C")]
    rows += [(" P", "A", 204, "P"), (" P", "5MC", 205, "P"), (" C1'", "5MC", 205, "C")]  # nucleotides
    path.write_text("".join(line.format(*row) for row in rows) + path.read_text().replace("END", ""))
    metrics, _ = compare_chains(atoms, read_atoms(path))
    assert (metrics["reference_residues"], metrics["matched"]) == (14, 12)


def test_as_many_residues_match_as_can_even_in_long_chains():
    """Built residue k lies 0.5 Å before reference k + 1 and 2.5 Å behind k: nearest pairs leave one at each end out."""
    line = lambda count, first: [(k, np.array([3.0 * k + first, 0, 0]), True) for k in range(count)]
    pairs = _matched(line(30, 2.5), line(30, 0.0), 3.0)
    assert len(pairs) == 30 and all(a == b and d == pytest.approx(2.5) for a, b, d in pairs)


def test_of_an_atom_in_two_places_the_first_is_taken(tmp_path):
    position = "ATOM  {:5d}  {:3s}{}GLY A   1    {:8.3f}  10.000  10.000  {:4.2f} 20.00           {}"
    path = tmp_path / "two.pdb"
    path.write_text(
        "\n".join(
            position.format(k, *row)
            for k, row in enumerate(
                (
                    ("N", " ", 9.0, 1.0, "N"),
                    ("CA", "A", 10.0, 0.6, "C"),
                    ("CA", "B", 10.5, 0.4, "C"),
                    ("C", " ", 11.0, 1.0, "C"),
                )
            )
        )
    )
    assert read_atoms(path).xyz[:, 0].tolist() == [9.0, 10.0, 11.0]
    assert [atom.altloc for atom in kept_atoms(read_structure(path))] == ["\0", "A", "\0"]


@pytest.fixture(scope="module")
def noisy_halves():
    """Two half-maps of a molecule-like blob of Fourier coefficients with noise, and the signal in a mask."""
    rng = np.random.default_rng(7)
    grid = empty_grid((64, 64, 64), (1.5, 1.5, 1.5))
    zyx = np.stack(np.meshgrid(*[np.arange(64) - 32] * 3, indexing="ij"))
    inside = 1 / (1 + np.exp(np.sqrt((zyx**2).sum(0)) - 20))
    signal = shell_filtered(rng.normal(size=grid.data.shape), grid.voxels_zyx, lambda s: np.exp(-40 * s**2)) * inside
    signal = (signal + 0.5 * signal.std() * inside).astype(np.float32)
    noise = lambda: shell_filtered(rng.normal(size=signal.shape), grid.voxels_zyx, lambda s: s < 0.3).astype(np.float32)
    halves = [dataclasses.replace(grid, data=signal + 0.7 * signal.std() * noise()) for _ in range(2)]
    return halves, signal, inside.astype(np.float32)


@pytest.mark.parametrize(
    "treat",
    [
        lambda x, inside: x,
        lambda x, inside: np.maximum(x, 0),
        lambda x, inside: x * (inside > 0.9),
        lambda x, inside: sharpened(x, np.full(3, 1.5), 80, 4.0),
        lambda x, inside: np.maximum(x, 0) * (inside > 0.9),
        lambda x, inside: x * inside**2,
        lambda x, inside: sharpened(x, np.full(3, 1.5), 0, 6.0),
    ],
    ids=["nothing", "clipping", "a mask", "sharpening", "clipping and a mask", "a soft mask", "a low-pass filter"],
)
def test_simple_treatments_of_half_maps_add_nothing_and_gain_nothing(noisy_halves, treat):
    halves, _, inside = noisy_halves
    resolutions, _, shared = half_map_test(halves, [treat(half.data, inside) for half in halves], inside)
    good, lines = half_map_verdict(half_map_resolutions(dict(resolutions, **numbers_of(shared))))
    assert good and not any("improvement is supported by the data" in line for line in lines), lines


@pytest.fixture(scope="module")
def halves_of_a_chain():
    """Two half-maps of a random chain of atoms, at 3 Å."""
    rng, grid, chain = np.random.default_rng(5), empty_grid((64, 64, 64), 1.5, (-48.0,) * 3), [np.zeros(3)]
    while len(chain) < 1500:
        step = rng.normal(size=3)
        following = chain[-1] + 2 * step / np.linalg.norm(step)
        chain += [following] * bool(np.linalg.norm(following) < 20)
    atoms = np.histogramdd(np.array(chain), 64, [(-48, 48)] * 3)[0].astype(np.float32)
    signal = shell_filtered(atoms, grid.voxels_zyx, lambda s: np.exp(-20 * s**2))
    noise = lambda: shell_filtered(rng.normal(size=signal.shape), grid.voxels_zyx, lambda s: np.exp(-5 * s**2))
    return [dataclasses.replace(grid, data=signal + signal.std() * noise()) for _ in range(2)]


def filtered_and_clipped(halves, b_factor, resolution, part):
    filtered = [sharpened(half.data, half.voxels_zyx, b_factor, resolution) for half in halves]
    clipped = [np.maximum(x, np.quantile(x, part)) for x in filtered]
    return half_map_test(halves, clipped, dense_mask(halves[0].data + halves[1].data, halves[0].voxels_zyx))[2]


def test_what_clipping_makes_beyond_a_low_pass_filter_is_no_loss(halves_of_a_chain):
    assert filtered_and_clipped(halves_of_a_chain, 40, 6.0, 0.93).gain > LOST / 2


@pytest.mark.parametrize("b_factor, resolution, part", [(0, 5.0, 0.9), (40, 6.0, 0.8), (80, 4.0, 0.5)])
def test_what_clipping_makes_in_shells_that_a_filter_emptied_is_not_invented(
    halves_of_a_chain, b_factor, resolution, part
):
    assert filtered_and_clipped(halves_of_a_chain, b_factor, resolution, part).worst < WORST


def test_a_soft_mask_with_clipping_is_no_fault_of_a_network(noisy_halves):
    """In so small a box it leaves more than elsewhere: 1.5 %."""
    halves, _, inside = noisy_halves
    treated = [np.maximum(half.data, 0) * inside**2 for half in halves]
    resolutions, _, shared = half_map_test(halves, treated, inside)
    assert half_map_verdict(half_map_resolutions(dict(resolutions, **numbers_of(shared))), BY_NETWORK)[0]
    assert shared.unexplained < 0.016 and shared.gain < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_a_texture_of_fifteen_percent_of_the_signals_amplitude_is_found(noisy_halves, seed):
    halves, signal, inside = noisy_halves
    texture = shell_filtered(
        np.random.default_rng(seed).normal(size=signal.shape), np.full(3, 1.5), lambda s: np.exp(-40 * s**2)
    )
    texture = (texture * inside).astype(np.float32)
    texture *= 0.15 * np.sqrt((signal**2).sum() / (texture**2).sum())
    resolutions, _, shared = half_map_test(halves, [half.data + texture for half in halves], inside)
    good, lines = half_map_verdict(half_map_resolutions(dict(resolutions, **numbers_of(shared))))
    assert not good and any("it was added" in line for line in lines), lines


def test_a_fine_texture_on_low_passed_halves_is_found_in_the_worst_shells(noisy_halves):
    """Where low resolution has nearly all of the power, the mean of all shells hides it."""
    halves, signal, inside = noisy_halves
    voxels = np.full(3, 1.5)
    coarse = [sharpened(half.data, voxels, 0, 6.0).astype(np.float32) for half in halves]
    white = np.random.default_rng(0).normal(size=signal.shape)
    band = shell_filtered(white, voxels, lambda s: ((s > 1 / 9) & (s < 1 / 5)).astype(float))
    texture = (band * inside / np.sqrt(((band * inside) ** 2).sum()) * 0.2 * np.sqrt((signal**2).sum())).astype("f4")
    plain, added = (half_map_test(halves, maps, inside)[2] for maps in (coarse, [x + texture for x in coarse]))
    assert plain.worst < 0.4 < added.worst and added.worst > 3 * added.unexplained
    words = dict(raw=4.0, control=4.0, improved=3.0, crossed=4.0, gain=0.0, unexplained=0.01, worst=added.worst)
    good, lines = half_map_verdict(words)
    assert not good and "in the worst part" in lines[2] and "not with the data beyond 4 Å" in lines[3]
    assert half_map_verdict(dict(words, worst=plain.worst))[0]


def test_halves_that_share_nothing_have_nothing_unexplained(noisy_halves):
    halves, _, inside = noisy_halves
    rng = np.random.default_rng(0)
    noise = [dataclasses.replace(half, data=rng.normal(size=half.data.shape).astype(np.float32)) for half in halves]
    _, _, shared = half_map_test(noise, [half.data for half in noise], inside)
    assert shared.unexplained == 0
