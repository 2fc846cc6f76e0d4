# SPDX-License-Identifier: GPL-3.0-or-later
"""The map improver: networks against hand-derived counts, boxes without seams, pairs and targets."""

import dataclasses

import numpy as np
import pytest
import torch
from map_data import empty_grid, helix
from scipy.ndimage import gaussian_filter

from cryodl.contract import TrainMapImproverConfig
from cryodl.io.model import write_model
from cryodl.maps.commands import train_map_improver
from cryodl.maps.improvers import improver_method
from cryodl.maps.improvers.pairs import BOX, WANTED, Box, _held_out, families, rotated_box, score_positions
from cryodl.maps.improvers.run import Improver, apply_boxes, load_improver
from cryodl.maps.improvers.simulated import simulated_pair, target_for
from cryodl.maps.improvers.train import atom_scores
from cryodl.maps.improvers.working_grid import REACH, from_grid, map_scale, scale_of, scaled_map, to_grid
from cryodl.maps.measures.atoms import model_density, read_atoms
from cryodl.maps.measures.shells import amplitudes


@pytest.mark.parametrize("overlap", [0, 12, 24, 44])
def test_a_constant_map_stays_constant(overlap):
    data = np.ones((61, 50, 97), np.float32)
    np.testing.assert_allclose(apply_boxes(lambda boxes: boxes, data, overlap, 3), 1, atol=1e-5)
    with pytest.raises(ValueError, match="48"):
        apply_boxes(None, data, 48, 3)


def test_boxes_leave_no_seam():
    """A network is wrong near the faces of its box, where it sees no neighbours; so is this blur, which takes what is
    beyond for empty. Tiled it must be the blur of the whole."""
    data = np.random.default_rng(0).random((70, 50, 97)).astype(np.float32)
    blur = lambda boxes: gaussian_filter(boxes, (0, 3, 3, 3), mode="constant")
    whole = blur(data[None])[0]
    wrong = lambda overlap: np.abs(apply_boxes(blur, data, overlap, 4) - whole).max() / whole.max()
    assert wrong(24) < 0.1 < 0.3 < wrong(0)


class Identity(torch.nn.Module):
    """In the place of a trained network of two outputs: the map itself, and what nothing uses."""

    def forward(self, data, resolution=None):
        return torch.cat([data, torch.zeros_like(data)], dim=1)


@pytest.mark.parametrize("voxels", [(1.0, 1.0, 1.0), (1.3, 1.3, 1.3), (1.2, 1.0, 1.4)])
def test_a_map_that_the_network_does_not_change_keeps_its_grid_and_its_values(tmp_path, voxels):
    atoms = read_atoms(helix(tmp_path / "a.pdb", 20))
    heavy = dataclasses.replace(atoms, number=np.where(np.arange(len(atoms)) == 50, 30, atoms.number))
    grid = empty_grid((41, 38, 45), voxels)
    volume = dataclasses.replace(grid, data=model_density(heavy, grid, 2.5))
    improver = Improver(dict(network="fast", working_pixel_size=1.0), Identity(), torch.device("cpu"))
    improved = improver.improve(volume)
    assert improved.shape == volume.data.shape
    top = REACH * map_scale(volume.data)  # outliers are cut off
    np.testing.assert_allclose(improved, np.minimum(volume.data, top), atol=0.04 * volume.data.max())


@pytest.mark.parametrize("offset", [-0.05, 0.4])
def test_the_level_of_the_solvent_does_not_matter(tmp_path, offset):
    atoms = read_atoms(helix(tmp_path / "a.pdb", 20))
    grid = empty_grid((60, 60, 60), (1.5, 1.5, 1.5))
    noise = np.random.default_rng(0).normal(size=grid.data.shape).astype(np.float32)
    data = model_density(atoms, grid, 2.5)
    data += 0.01 * data.max() * noise
    improver = Improver(dict(network="fast", working_pixel_size=1.0), Identity(), torch.device("cpu"))
    found = [improver.improve(dataclasses.replace(grid, data=data + x * data.max())) for x in (0, offset)]
    np.testing.assert_allclose(found[1], found[0], atol=0.005 * data.max())


def test_a_map_moved_by_whole_voxels_gives_the_moved_result_of_the_shipped_network():
    rng = np.random.default_rng(0)
    data = np.zeros((56, 56, 56), np.float32)
    data[20:35, 22:36, 18:30] = gaussian_filter(rng.random((15, 14, 12)), 1)
    volume = empty_grid((56, 56, 56), (1.0, 1.0, 1.0))
    improver, shift = load_improver("improver", torch.device("cpu")), (1, -3, 2)
    moved = (data, np.roll(data, shift, (0, 1, 2)))
    improved = [improver.improve(dataclasses.replace(volume, data=x)) for x in moved]
    difference = np.roll(improved[0], shift, (0, 1, 2)) - improved[1]
    assert np.sqrt((difference**2).mean()) < 0.01 * np.sqrt((improved[0] ** 2).mean())


def test_empty_boxes_are_not_computed():
    seen = []
    data = np.zeros((96, 96, 96), np.float32)
    data[5, 5, 5] = 1
    apply_boxes(lambda boxes: seen.append(len(boxes)) or boxes, data, 0, 4)
    assert sum(seen) == 1


def test_the_way_to_the_grid_and_back_keeps_places():
    zyx = np.meshgrid(*[np.arange(n, dtype=float) for n in (30, 34, 38)], indexing="ij")
    voxels = np.array([1.4, 1.4, 1.4])
    blob = np.exp(-sum((x * v - c) ** 2 for x, v, c in zip(zyx, voxels, (18, 25, 30))) / 50).astype(np.float32)
    fine = to_grid(blob, voxels, 1.0)
    assert np.unravel_index(fine.argmax(), fine.shape) == (18, 25, 30)
    np.testing.assert_allclose(from_grid(fine, 1.0, blob.shape, voxels), blob, atol=5e-3)


def test_noise_of_fine_voxels_does_not_fold_into_the_grid():
    """White noise at 0.5 Å has one power at all frequencies; on the grid of 1 Å those it keeps must have the same."""
    noise, cube = np.random.default_rng(0).normal(size=(80, 80, 80)), np.full((20, 20, 20), 3.0)
    fine, coarse = amplitudes(noise, np.full(3, 0.5)), amplitudes(to_grid(noise, np.full(3, 0.5), 1.0), np.ones(3))
    kept = (coarse.frequency > 0.1) & (coarse.frequency < 0.4)
    ratio = coarse.value[kept] * 8 / np.interp(coarse.frequency[kept], fine.frequency, fine.value)
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    np.testing.assert_allclose(to_grid(cube, np.full(3, 0.5), 1.0), 3, atol=1e-5)


def test_the_scale_is_the_published_percentile_and_nothing_is_named():
    data = np.arange(200000, dtype=np.float32).reshape(50, 40, 100) / 200000
    assert scale_of(data) == pytest.approx(0.99999, abs=1e-5)
    assert scaled_map(data - 0.5, 0.5, 0.0).min() == 0
    with pytest.raises(ValueError):
        scale_of(-data - 1)


def test_a_heavy_metal_does_not_make_the_protein_weak(tmp_path):
    atoms = read_atoms(helix(tmp_path / "a.pdb", 200))
    grid = empty_grid((340, 40, 40))
    protein = model_density(atoms, grid, 1.2)
    assert map_scale(protein) == scale_of(protein)
    metal = dataclasses.replace(atoms, number=np.where(np.arange(len(atoms)) == 500, 80, atoms.number))
    data = model_density(metal, grid, 1.2)
    assert scale_of(data) > 2.5 * scale_of(protein)
    assert map_scale(data) < 2 * scale_of(protein)


def test_the_target_is_the_published_sum_of_gaussians(tmp_path):
    """theta Z exp(-k r²), k = (pi / (1.2 + 0.6 R))², summed here atom by atom."""
    atoms, resolution = read_atoms(helix(tmp_path / "a.pdb", 3)), 4.0
    grid = empty_grid((24, 24, 24), 1.0, (-8.0, -12.0, -12.0))
    k = (np.pi / (1.2 + 0.6 * resolution)) ** 2
    centres = [np.arange(24) + o for o in grid.origin_zyx]
    z, y, x = np.meshgrid(*centres, indexing="ij")
    rho = sum(
        (k / np.pi) ** 1.5 * n * np.exp(-k * ((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2))
        for n, p in zip(atoms.number, atoms.xyz)
    )
    target = target_for(atoms, grid, resolution)
    np.testing.assert_allclose(target, rho / np.percentile(rho, 99.999), atol=2e-3)


def test_the_24_turns_of_a_box_keep_its_hand_and_its_atoms_in_place():
    data, rng = np.zeros((2, BOX, BOX, BOX), np.float32), np.random.default_rng(1)
    atoms = np.array([[3, 5, 7], [10, 5, 7], [3, 20, 7], [3, 5, 40]])
    data[:, atoms[:, 0], atoms[:, 1], atoms[:, 2]] = [1, 2, 3, 4]
    mirrored, seen = data[:, ::-1].tobytes(), set()
    for _ in range(300):
        box = rotated_box(Box(data, atoms.astype(float)), rng)
        z, y, x = box.atoms.astype(int).T
        assert box.data[0, z, y, x].tolist() == [1, 2, 3, 4]
        seen.add(box.data.tobytes())
    assert len(seen) == 24 and mirrored not in seen


def test_scores_of_atoms_while_training_are_those_of_the_measure(tmp_path):
    """On a map of blurred atoms with noise, the mean Q-score of maps.measures.qscore."""
    from cryodl.maps.measures.atoms import model_density
    from cryodl.maps.measures.qscore import q_scores

    atoms = read_atoms(helix(tmp_path / "a.pdb", 18))
    grid = empty_grid((BOX,) * 3, 1.0, (-10.0, -24.0, -24.0))
    positions, weights = score_positions(grid.positions(atoms.xyz), 1.0, np.random.default_rng(0))
    for width, noise in ((0.6, 0.0), (1.2, 0.0), (0.8, 0.05)):
        data = model_density(atoms, grid, width)
        data += noise * data.max() * np.random.default_rng(1).standard_normal(data.shape).astype(np.float32)
        found = atom_scores(
            torch.from_numpy(data)[None, None],
            torch.from_numpy(positions)[None],
            torch.from_numpy(weights)[None],
            torch.from_numpy(WANTED).float(),
        )
        expected = q_scores(dataclasses.replace(grid, data=data), atoms)
        assert float(found.mean()) == pytest.approx(expected.mean(), abs=0.05)


def test_a_place_nearer_to_another_atom_does_not_count():
    pair = np.array([[24.0, 24, 24], [24, 24, 25.5]])
    positions, weights = score_positions(pair, 1.0, np.random.default_rng(0))
    far = np.linalg.norm(positions[:2, :, None] - pair, axis=3)
    own = np.where(np.arange(2)[:, None] == 0, far[..., 0], far[..., 1])
    other = np.where(np.arange(2)[:, None] == 0, far[..., 1], far[..., 0])
    assert not (weights[:2] * (other < 0.89 * own)).any() and (weights[:2].sum(axis=1) > 24).all()
    assert not weights[2:].any()


def test_similar_molecules_are_one_family_and_are_held_out_together(tmp_path):
    sequences = {
        "a": "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ",
        "b": "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVA",
        "c": "GSHMASMTGGQQMGRDPNSSSVDKLAAALEHHH",
    }
    paths = [sequence_file(tmp_path / f"{name}.pdb", text) for name, text in sequences.items()]
    groups = families(paths)
    assert groups[paths[0]] == groups[paths[1]] != groups[paths[2]]
    held = _held_out(groups, 0.3, 0)
    assert len(held) == 1


def sequence_file(path, text):
    """A PDB file with one C-alpha for each letter."""
    three = dict(
        zip(
            "ARNDCQEGHILKMFPSTWYV",
            "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split(),
        )
    )
    lines = [
        f"ATOM  {k + 1:5d}  CA  {three[letter]} A{k + 1:4d}    {3.8 * k:8.3f}{0:8.3f}{0:8.3f}  1.00 20.00           C"
        for k, letter in enumerate(text)
    ]
    path.write_text("\n".join(lines + ["END"]) + "\n")
    return str(path)


def test_a_simulated_pair_shows_the_molecule_in_map_and_target(tmp_path):
    path = helix(tmp_path / "a.pdb", 80)
    config = TrainMapImproverConfig(output="x", structures=(str(path),))
    pair = simulated_pair(
        str(path), dataclasses.replace(config, resolution_min=3.0, resolution_max=3.2), -0.5, np.random.default_rng(0)
    )
    inside = pair.target > 0.1
    assert pair.map.shape == pair.target.shape and 0 < inside.mean() < 0.2
    agreement = lambda target: np.corrcoef(pair.map.ravel(), target.ravel())[0, 1]
    assert agreement(pair.target) > 0.25  # nearly all of the box is noise
    moved = [agreement(np.roll(pair.target, k, axis)) for axis in range(3) for k in (-1, 1)]
    assert agreement(pair.target) > max(moved)
    positions = np.rint(pair.atoms).astype(int)
    positions = positions[((positions >= 0) & (positions < pair.target.shape)).all(axis=1)]
    assert len(positions) > 50 and pair.target[tuple(positions.T)].min() > 0.1


def test_targets_are_drawn_at_their_own_resolution_or_at_the_maps(tmp_path):
    path = helix(tmp_path / "a.pdb", 80)
    config = TrainMapImproverConfig(output="x", structures=(str(path),), resolution_min=6.0, resolution_max=6.0)
    dense = lambda resolution: (
        simulated_pair(
            str(path), dataclasses.replace(config, target_resolution=resolution), -0.5, np.random.default_rng(0)
        ).target
        > 0.1
    ).sum()
    assert dense(3.0) < 0.8 * dense(0.0) and dense(6.0) == dense(0.0)


def test_pairs_of_the_user_are_checked_and_what_is_left_out_is_said(tmp_path):
    from cryodl.maps.improvers.pairs import MapPairs
    from cryodl.maps.measures.atoms import model_density
    from cryodl.maps.measures.volume import write_volume

    for name, sequence in (("a", "ALA"), ("b", "TRP")):
        atoms = read_atoms(helix(tmp_path / f"{name}.pdb", 30, name=sequence))
        grid = empty_grid((58, 40, 40), 1.0, (-15.0, -20.0, -20.0))  # the helix's end, at 45 Å, sticks out
        write_volume(tmp_path / f"{name}.mrc", model_density(atoms, grid, 1.2), grid)
    table = tmp_path / "pairs.csv"
    table.write_text("map,structure,resolution\na.mrc,a.pdb,4\nb.mrc,b.pdb,4.5\n")
    pairs = MapPairs(tmp_path, TrainMapImproverConfig(output="x", pairs=str(table)), -0.5)
    assert len(pairs.training) == len(pairs.validation) == 1 and pairs.resolutions().tolist() == [4.0, 4.5]
    assert len(pairs.warnings) == 2 and all("lie outside" in sentence for sentence in pairs.warnings)
    table.write_text("map,structure\na.mrc,a.pdb\n")
    with pytest.raises(ValueError, match="no column resolution"):
        MapPairs(tmp_path, TrainMapImproverConfig(output="x", pairs=str(table)), -0.5)
    for line, words in (
        ("a.mrc,a.pdb,nan", "line 2: the resolution is 'nan'"),
        ("a.mrc,a.pdb,-4", "'-4'; a number"),
        ("a.mrc,a.pdb", "the resolution is None"),
        (",a.pdb,4", "line 2: the map is missing. Give the map's file"),
    ):
        table.write_text(f"map,structure,resolution\n{line}\n")
        with pytest.raises(ValueError, match=words):
            MapPairs(tmp_path, TrainMapImproverConfig(output="x", pairs=str(table)), -0.5)
    table.write_text("map,structure,resolution\nnone.mrc,a.pdb,4\n")
    with pytest.raises(FileNotFoundError, match="line 2: the map .*none.mrc"):
        MapPairs(tmp_path, TrainMapImproverConfig(output="x", pairs=str(table)), -0.5)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(network="swinconv"), "this training has swinconv .--network."),
        (
            dict(working_pixel_size=0.5),
            "has the working pixel size 1.0, but this training has 0.5 .--working-pixel-size.",
        ),
    ],
)
def test_a_training_goes_on_from_a_model_like_it_only(tmp_path, change, words):
    card = dict(
        kind="map_improver",
        name="start",
        network="fast",
        working_pixel_size=1.0,
        attention=True,
        resolutions=[3.0, 6.0],
        training={},
        validation={},
    )
    folder = tmp_path / "start"
    folder.mkdir()
    write_model(folder, card, improver_method("fast").build().state_dict())
    config = TrainMapImproverConfig(output="x", structures=("a.pdb",), start_from=str(folder))
    method = improver_method("fast")
    task = train_map_improver._task(config, method, None, train_map_improver._begun(config))
    assert not task.networks["improver"].tail.weight.any()  # the start model's, which is untrained
    config = dataclasses.replace(config, **change)
    with pytest.raises(ValueError, match=words):
        train_map_improver.train_map_improver(dataclasses.replace(config, output=str(tmp_path / "new")))
    assert not (tmp_path / "new.partial").exists()  # before a pair is made


def test_no_pairs_and_nothing_simulated_is_nothing_to_learn_from():
    config = TrainMapImproverConfig(output="x", structures=("a.pdb",), simulated=0)
    assert ["--simulated" in problem for problem in config.check_together()] == [True]
