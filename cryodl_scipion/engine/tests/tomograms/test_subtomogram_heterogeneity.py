# SPDX-License-Identifier: GPL-3.0-or-later
"""fit-heterogeneity of subtomograms: motion where there is some, none where there is none."""

import json
import os
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from subtomogram_data import PIXEL_SIZE, moving_set, subtomograms, write_set

from cryodl.contract import FitHeterogeneityConfig, SelectLatentConfig
from cryodl.core.volumes import wedge
from cryodl.io.mrc import write_map
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms
from cryodl.latent.cube import Cube
from cryodl.particles.commands.select_latent import select_latent
from cryodl.recipes.commands.fit_heterogeneity import fit_heterogeneity
from cryodl.reconstruction.halves import split_halves
from cryodl.tomograms.heterogeneity import (
    load_subtomogram_coefficients,
    load_subtomogram_inputs,
    subtomogram_views,
    within_wedge,
)

COUNT = 100


def fitted(path, output, **options):
    config = dict(latent=2, maps=2, clusters=2, resolution=25) | options
    return fit_heterogeneity(FitHeterogeneityConfig(particles=str(path), output=str(output), **config)).outputs


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Folder, angles of the arm, and the fit of a moving set."""
    folder = tmp_path_factory.mktemp("moving")
    path, swing = moving_set(folder, COUNT)
    return folder, swing, fitted(path, folder / "fit")


def test_motion_is_found_and_the_first_coordinate_follows_it(moving):
    folder, swing, made = moving
    said = json.loads(Path(made.heterogeneity).read_text())
    assert said["verdict"] == made.verdict == "motion" and said["p_value"] < 0.05 and said["variability"] > 0.005
    found = read_subtomograms(made.particles)
    assert [Path(file).name for file in found.files] == [f"{n:05d}.mrc" for n in range(1, COUNT + 1)]
    assert abs(spearmanr(np.array(found.columns["cryodlLatent1"], float), swing)[0]) > 0.9
    assert set(found.columns["cryodlCluster"]) == {"1", "2"}
    assert sorted(os.listdir(folder / "fit")) == sorted(
        ["subtomograms.star", "heterogeneity.json", "latent.png", "mean.mrc", "component_1.mrc", "component_2.mrc"]
        + [f"path_1_0{k}{end}.mrc" for k in (1, 2) for end in ("", "_half1", "_half2")]
    )
    first, last = (mrcfile.read(path) for path in made.paths[0])
    assert np.corrcoef(np.ravel(first), np.ravel(last))[0, 1] < 0.98  # the arm has moved


def test_a_rigid_molecule_has_no_motion_also_with_errors_of_its_orientations(tmp_path):
    path, _ = moving_set(tmp_path, COUNT, sweep=0.0, error=3.0, seed=3)
    made = fitted(path, tmp_path / "fit", axes=0)
    assert made.verdict == "no motion" and made.p_value > 0.05 and made.paths == []


@pytest.mark.parametrize("sweep, verdict", [(0.0, "no motion"), (60.0, "motion")])
def test_weak_tilts_and_the_filter_of_a_back_projection_are_not_motion(tmp_path, sweep, verdict):
    path, _ = moving_set(tmp_path, COUNT, sweep=sweep, error=3.0 * (not sweep), seed=4)
    for volume in tmp_path.rglob("*.mrc"):
        with mrcfile.open(volume, "r+") as mrc:
            z, _, x = np.meshgrid(*(np.fft.fftfreq(len(mrc.data)),) * 3, indexing="ij")
            seen = np.cos(np.pi * np.minimum(np.hypot(z, x), 0.5)) ** 2  # a Hann window across the tilt axis
            seen *= np.exp(-np.degrees(np.arctan2(np.abs(z), np.abs(x) + 1e-9)) / 120)
            mrc.set_data(np.fft.ifftn(np.fft.fftn(mrc.data) * seen).real.astype(np.float32))
    assert fitted(path, tmp_path / "fit", axes=0).verdict == verdict


def test_a_region_of_the_latent_space_is_a_set_of_subtomograms(moving, tmp_path):
    _, _, made = moving
    latent = np.array(read_subtomograms(made.particles).columns["cryodlLatent1"], float)
    config = SelectLatentConfig(
        particles=made.particles, output=str(tmp_path / "part.star"), region=f"1:{np.median(latent)}:1e9"
    )
    chosen = select_latent(config).outputs
    found = read_subtomograms(tmp_path / "part.star")
    assert chosen.count == len(found) == COUNT // 2 and chosen.pixel_size == PIXEL_SIZE
    assert (np.array(found.columns["cryodlLatent1"], float) >= np.median(latent)).all()
    assert found.volumes([0]).shape == (1, 16, 16, 16)


def test_the_errors_of_a_subtomogram_are_the_derivatives_of_what_it_shows(moving, tmp_path):
    folder, _, made = moving
    found = read_subtomograms(folder / "moving.star")
    coefficients = load_subtomogram_coefficients(found, 5, 14, 120, "bright", tmp_path)
    cube, rows, count = Cube(14, 5), np.arange(3), coefficients.count(5)
    volume = np.random.default_rng(0).standard_normal((14,) * 3).astype(np.float32)
    axis = np.arange(14) - 7
    volume *= np.exp(-(axis**2 + axis[:, None] ** 2 + axis[:, None, None] ** 2) / 9)
    table = np.concatenate([cube.table(volume), cube.gradient_tables(volume)], axis=1)

    def shown(step):
        views = subtomogram_views(found, 160 / 14)
        views.move(rows, step)
        seen = coefficients.look(views, rows, cube, table, count)
        phase = np.exp(-2j * np.pi / 14 * (views.shifts[rows] @ coefficients.frequencies[:, :count]))
        return seen.transfer * views.contrast[rows, None] * seen.slices * phase, seen, phase

    start, seen, phase = shown(np.zeros((3, 9)))
    for number in range(9):
        step = np.zeros((3, 9))
        step[:, number] = 0.004
        change, expected = (shown(step)[0] - start) / 0.004, seen.errors[..., number] * phase
        alike = (change * expected.conj()).sum().real / np.linalg.norm(change) / np.linalg.norm(expected)
        assert alike > 0.97 and np.linalg.norm(change) == pytest.approx(np.linalg.norm(expected), rel=0.06), number


def test_coefficients_at_the_border_of_the_wedge_are_left_out():
    zyx = np.array([(0, 0, 4), (4, 0, 0), (2, 2, 4), (7, 0, 4), (0, 4, 0)]).T
    assert within_wedge(zyx, -60, 60).tolist() == [True, False, True, False, False]
    assert within_wedge(zyx, -90, 90).all() and wedge(16, -60, 60)[7, 0, 4] == 0


def changed(path, **columns):
    tables = read_tables(path)
    count = len(tables["particles"]["rlnImageName"])
    tables["particles"].update({name: [value] * count for name, value in columns.items()})
    write_tables(path.replace(".star", "_changed.star"), tables)
    return path.replace(".star", "_changed.star")


def test_what_cannot_be_fitted_is_refused_in_words(moving, tmp_path):
    folder, _, _ = moving
    path = str(folder / "moving.star")
    none = dict.fromkeys(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), 0.0)
    with pytest.raises(
        ValueError, match="All angles of .* are zero, .* Align them .* cryodl classify-subtomograms --al"
    ):
        fitted(changed(path, **none), tmp_path / "fit")
    with pytest.raises(ValueError, match="100 subtomograms; 5 latent dimensions .* need at least 125"):
        fitted(path, tmp_path / "fit", latent=5)
    with pytest.raises(ValueError, match=r"100 subtomograms for 101 clusters \(--clusters\). Choose 100 clusters"):
        load_subtomogram_inputs(FitHeterogeneityConfig(path, output="fit", latent=2, clusters=101))
    outside = np.zeros((16,) * 3, np.float32)
    outside[:3, :3, :3] = 1
    write_map(tmp_path / "outside.mrc", torch.from_numpy(outside), PIXEL_SIZE)
    with pytest.raises(ValueError, match="outside.mrc lies outside the molecule"):
        fitted(path, tmp_path / "fit", mask=str(tmp_path / "outside.mrc"))
    with mrcfile.new(tmp_path / "images.mrcs") as stack:
        stack.set_data(outside)
        stack.voxel_size = PIXEL_SIZE
    with pytest.raises(ValueError, match="images.mrcs is a stack of 16 images, not a map"):
        load_subtomogram_inputs(
            FitHeterogeneityConfig(path, output="fit", latent=2, mask=str(tmp_path / "images.mrcs"))
        )
    notes = load_subtomogram_inputs(FitHeterogeneityConfig(path, output="fit", latent=2, resolution=5)).notes
    assert any("not to 5.0 Å" in note for note in notes) and not any("all detail was used" in note for note in notes)
    volumes, classes, _, _ = subtomograms(["bar"], 2)
    with pytest.raises(ValueError, match="without angles"):
        fitted(write_set(tmp_path, volumes, classes, name="lost"), tmp_path / "fit")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda volume: np.where(np.arange(16) == 3, np.nan, volume), "00031.mrc holds values that are not finite"),
        (lambda volume: np.zeros_like(volume), "Subtomogram 1 of .*00031.mrc is constant"),
        (lambda volume: volume[:14], "00031.mrc has 16 x 16 x 14 voxels; subtomograms must be cubes"),
        (lambda volume: volume[:14, :14, :14], "It is 14 px wide, the others 16 px"),
    ],
)
def test_bad_volumes_are_named_and_left_out(tmp_path, change, message):
    path, _ = moving_set(tmp_path, 50, name="bad")
    file = tmp_path / "bad" / "00031.mrc"
    volume = mrcfile.read(file)
    file.unlink()
    write_map(file, torch.from_numpy(np.ascontiguousarray(change(volume), np.float32)), PIXEL_SIZE)
    skipped = []
    config = FitHeterogeneityConfig(path, output="fit", latent=1)
    found = load_subtomogram_inputs(config, 0, lambda *told: skipped.append(told)).subtomograms
    assert len(found) == 49 and "bad/00031.mrc" not in found.names
    ((name, _, reason, _),) = skipped
    assert name == "bad/00031.mrc" and re.search(message, str(reason))


def test_noise_has_no_motion_and_is_said_to_have_nothing_in_common(tmp_path):
    path, _ = moving_set(tmp_path, 60, snr=1e-6, name="noise")
    made = fitted(path, tmp_path / "fit", latent=1, axes=0)
    said = json.loads(Path(made.heterogeneity).read_text())
    assert made.verdict == "no motion" and "nothing in common" in said["notes"][-1]


def test_data_multiplied_by_their_ctf_weigh_the_same_as_divided_ones(tmp_path):
    volumes, _, angles, shifts = subtomograms(["corner"], 6)
    measured = wedge(16, -60.0, 60.0)
    axes = torch.meshgrid(*[torch.fft.fftfreq(16)] * 2, torch.fft.rfftfreq(16), indexing="ij")
    sums = measured * (1 + 4 * sum(axis**2 for axis in axes))
    grid = torch.fft.rfftn(volumes, dim=(1, 2, 3))
    path = write_set(tmp_path, torch.fft.irfftn(grid * sums, s=(16,) * 3, dim=(1, 2, 3)), None, angles, shifts)
    write_map(tmp_path / "weights.mrc", sums, PIXEL_SIZE)
    tables = read_tables(path)
    tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = ["1"]
    tables["particles"]["rlnCtfImage"] = ["weights.mrc"] * 6
    write_tables(path, tables)
    (tmp_path / "c").mkdir()
    found = load_subtomogram_coefficients(read_subtomograms(path), 5, 14, 120, "bright", tmp_path / "c")
    data, known = found.read(np.arange(6), 600)
    z, y, x = found.frequencies[:, :600]
    factor = 14**1.5 / 16**1.5 * np.exp(2j * np.pi / 16 * 8 * (z + y + x)) / found.scale[found.ring[:600]]
    expected = (grid[:, z % 16, y % 16, x] * sums[z % 16, y % 16, x].sqrt()).numpy() * factor
    assert np.allclose(data, expected, atol=1e-3 * np.abs(expected).max())
    weights = sums[z % 16, y % 16, x].sqrt().numpy() / found.scale[found.ring[:600]]
    assert np.allclose(known, weights, rtol=1e-3)


def test_copies_of_one_volume_are_said_and_stay_in_one_half(tmp_path):
    path, _ = moving_set(tmp_path, 4, name="copied")
    tables = read_tables(path)
    tables["particles"] = {name: [*values, *values] for name, values in tables["particles"].items()}
    tables["particles"]["rlnRandomSubset"] = [1] * 4 + [2] * 4
    write_tables(path, tables)
    with pytest.raises(ValueError, match="copied/00001.mrc occurs several times, in both halves"):
        split_halves(read_subtomograms(path), 0)
    tables["particles"]["rlnRandomSubset"] = [1, 2] * 4
    write_tables(path, tables)
    assert split_halves(read_subtomograms(path), 0).tolist() == [1, 2] * 4
    said = read_subtomograms(path).copy_notes("subtomograms", "volume")[0]
    assert "has 8 subtomograms of 4 volumes" in said and "copies of one volume are kept in one half" in said
