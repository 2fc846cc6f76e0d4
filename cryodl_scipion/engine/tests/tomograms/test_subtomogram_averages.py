# SPDX-License-Identifier: GPL-3.0-or-later
"""Transforms of subtomograms in any orientation, and averages that make up for the missing wedge."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from subtomogram_data import density, simulated_set, subtomograms, write_set

from cryodl.core.half_transforms import HalfBall
from cryodl.core.volumes import wedge
from cryodl.io.mrc import write_map
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms
from cryodl.tomograms.subtomograms.averages import half_averages, last_shell, resolution_of
from cryodl.tomograms.subtomograms.observed import Rotated, Sums
from cryodl.tomograms.subtomograms.search import ball_of_shifts, matrices_of

BOX = 16


def low(volume, radius=5):
    """A volume up to a radius, without its mean."""
    ball = HalfBall(BOX, radius)
    return ball.back(ball.coefficients(torch.as_tensor(volume)[None]))[0]


def correlation(one, other):
    return float(torch.corrcoef(torch.stack([torch.as_tensor(one).flatten(), torch.as_tensor(other).flatten()]))[0, 1])


def test_a_half_ball_holds_one_of_each_pair_of_conjugates():
    ball = HalfBall(BOX, 5)
    positions = set(zip(*ball.waves.tolist()))
    assert len(positions) == len(ball) == 257  # half of the 515 whole points within 5, but for 0
    assert not any((-z, -y, -x) in positions for z, y, x in positions)


@pytest.mark.parametrize("radius", [7, 4, 4 - 1e-9, 4 + 1e-9, 4.3])
def test_a_part_of_a_ball_has_the_coefficients_of_the_smaller_ball(radius):
    ball = HalfBall(BOX, 7)
    inside, smaller = ball.within(radius)
    assert torch.equal(ball.waves[:, inside], smaller.waves)


def test_coefficients_give_the_volume_back():
    volume = torch.from_numpy(density("corner", BOX))
    ball = HalfBall(BOX, 7)
    again = ball.back(ball.coefficients(volume[None]))[0]
    assert correlation(again, volume) > 0.99 and torch.allclose(low(again), low(volume), atol=1e-4)


def test_a_ramp_moves_by_whole_voxels():
    volume, ball = torch.from_numpy(density("corner", BOX)), HalfBall(BOX, 6)
    moved = ball.back(ball.coefficients(volume[None]) * ball.ramp(torch.tensor([[1.0, 0.0, -2.0]])))[0]
    assert torch.allclose(moved, low(volume, 6).roll((1, -2), (0, 2)), atol=1e-4)


def test_a_turned_transform_is_that_of_the_turned_structure():
    angles, ball = (40.0, 75.0, -110.0), HalfBall(BOX, 5)
    found = Rotated(torch.from_numpy(density("corner", BOX)), ball).at(matrices_of([angles]))
    assert correlation(ball.back(found)[0], low(density("corner", BOX, angles))) > 0.995


@pytest.mark.parametrize("add", [Sums.add, Sums.add_nearest])
def test_sums_of_turned_transforms_give_the_structure_back(add):
    volume, ball = torch.from_numpy(density("corner", BOX)), HalfBall(BOX, 5)
    matrices = torch.from_numpy(Rotation.random(150, random_state=1).as_matrix()).float()
    sums, looks = Sums(ball), Rotated(volume, ball).at(matrices)
    add(sums, looks, torch.ones(looks.shape), matrices)
    mean = low(sums.volume(0.01 * sums.shell_weights()))
    assert correlation(mean, low(volume)) > 0.99
    assert float((mean * low(volume)).sum() / low(volume).square().sum()) == pytest.approx(1, abs=0.06)


def test_two_wedges_that_complement_each_other_give_the_whole_object(tmp_path):
    angles = np.array([[0.0, 0.0, 0.0], [90.0, 90.0, 90.0], [0.0, 90.0, 0.0]])
    whole, measured = density("corner", BOX), wedge(BOX, -45, 45)
    volumes = torch.stack(
        [
            torch.fft.irfftn(torch.fft.rfftn(torch.from_numpy(density("corner", BOX, a))) * measured, s=(BOX,) * 3)
            for a in angles
        ]
    )
    one = read_subtomograms(write_set(tmp_path, volumes, None, angles, tilts=(-45.0, 45.0)))
    alone, mean = (half_averages(one, rows, angles[rows], np.zeros((len(rows), 3)))[0] for rows in ([0], [0, 1, 2]))
    assert correlation(low(mean), low(whole)) > 0.96 > correlation(low(alone), low(whole)) + 0.05


def test_protein_of_an_average_is_bright_whatever_the_contrast(tmp_path):
    one = read_subtomograms(simulated_set(tmp_path, ["corner"], 4, snr=1e3))
    bright = half_averages(one, slice(None), one.angles, one.shifts_zyx)[0]
    dark = half_averages(one, slice(None), one.angles, one.shifts_zyx, contrast="dark")[0]
    assert torch.allclose(bright, -dark, atol=1e-5)
    assert correlation(low(bright), low(density("corner", BOX))) > 0.85


def test_a_subtomogram_with_other_grey_values_does_not_outweigh_the_rest(tmp_path):
    volumes, classes, angles, shifts = subtomograms(["corner"], 24, snr=0.2)
    average = lambda name: half_averages(
        read_subtomograms(write_set(tmp_path / name, volumes, classes)), slice(None), angles, shifts
    )[0]
    wanted = average("alike")
    volumes[3] = 50 * volumes[3] + 1000
    found = average("other")
    assert correlation(found, wanted) > 0.999 and float(found.std() / wanted.std()) == pytest.approx(1, abs=0.02)


def test_copies_of_a_subtomogram_are_in_one_half(tmp_path):
    """In neighbouring rows, as two joined lists or an expansion have them, each stood in both halves, which agreed."""
    one = read_subtomograms(simulated_set(tmp_path, ["corner"], 12, snr=0.2))
    twice = np.repeat(np.arange(12), 2)
    wanted, found = (half_averages(one, rows, one.angles[rows], one.shifts_zyx[rows]) for rows in (range(12), twice))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(wanted, found))


@pytest.mark.parametrize("counted", [False, True])
def test_data_multiplied_by_their_ctf_give_the_average_of_ordinary_data(tmp_path, counted):
    """A RELION 4 set: data times the sum of CTF², which may also count the images that hold a coefficient."""
    volumes, classes, angles, shifts = subtomograms(["corner"], 12, snr=1e3)
    frequency = torch.fft.fftfreq(BOX) * BOX
    radius = (frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + torch.arange(BOX // 2 + 1) ** 2).sqrt()
    sums = 40 * (0.2 + 0.8 * torch.cos(0.5 * radius) ** 2) * wedge(BOX, -60, 60)
    sums = sums / radius.clamp(min=1) if counted else sums
    multiplied = torch.fft.irfftn(torch.fft.rfftn(volumes, dim=(1, 2, 3)) * sums, s=(BOX,) * 3, dim=(1, 2, 3))
    ordinary = read_subtomograms(write_set(tmp_path / "a", volumes, classes, angles, shifts))
    path = write_set(tmp_path / "b", multiplied, classes, angles, shifts)
    tables = read_tables(path)
    write_map(tmp_path / "b/sums.mrc", sums, 10.0)
    tables["particles"]["rlnCtfImage"] = ["sums.mrc"] * 12
    tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = ["1"]
    write_tables(path, tables)
    found = read_subtomograms(path)
    assert torch.equal(found.weights([3]), ordinary.weights([3])) and found.weights([]).shape[0] == 0
    assert torch.allclose(found.volumes([3, 5]), ordinary.volumes([3, 5]), atol=1e-3)
    wanted, mean = (half_averages(s, slice(None), angles, shifts)[0] for s in (ordinary, found))
    assert correlation(low(mean), low(wanted)) > 0.99
    assert float((low(mean) * low(wanted)).sum() / low(wanted).square().sum()) == pytest.approx(1, abs=0.05)


def test_averages_of_multiplied_data_are_their_sum_over_the_sum_of_the_weights(tmp_path):
    volumes = torch.from_numpy(np.stack([density("corner", BOX), density("bar", BOX)]))
    path = write_set(tmp_path, volumes * torch.tensor([1.0, 3.0])[:, None, None, None], [1, 1])
    for name, value in (("one", 1.0), ("three", 3.0)):
        write_map(tmp_path / f"{name}.mrc", np.full((BOX, BOX, BOX // 2 + 1), value), 10.0)
    tables = read_tables(path)
    tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = ["1"]
    write_tables(path, tables)
    with pytest.raises(ValueError, match="multiplied by their CTF .* names no volumes of weights .rlnCtfImage"):
        read_subtomograms(path)
    tables["particles"]["rlnCtfImage"] = ["one.mrc", "three.mrc"]
    write_tables(path, tables)
    mean = half_averages(read_subtomograms(path), slice(None), np.zeros((2, 3)), np.zeros((2, 3)))[0]
    assert correlation(low(mean), low((volumes[0] + 3 * volumes[1]) / 4)) > 0.999


def test_halves_of_one_structure_agree_and_noise_does_not(tmp_path):
    one = read_subtomograms(simulated_set(tmp_path / "a", ["corner"], 24, snr=1.0))
    none = read_subtomograms(simulated_set(tmp_path / "b", [None], 24))
    finest = [
        resolution_of(*half_averages(s, slice(None), one.angles, one.shifts_zyx)[1:], 10.0, 100.0) for s in (one, none)
    ]
    assert finest[0] <= 40 < finest[1]


def test_shells_without_signal_do_not_end_the_resolution():
    curve = [1, -0.1, 0.2, 0.3, 0.9, 0.9, 0.4, 0.8, 0.7, 0.3, 0.2, 0.6]  # the CTF's first shells, then one of its zeros
    assert last_shell(curve, 4) == 8 and last_shell(curve, 1) == 1
    assert last_shell([1, 0.9, 0.8, 0.7], 2) == 3 and last_shell([1, 0.9, 0.8, 0.2], 2) == 2
    assert last_shell([1, 0.1, 0.2, 0.1, 0, 0.1], 3) == 2  # nothing agrees


def test_nothing_to_average_is_refused_by_name(tmp_path):
    one = read_subtomograms(simulated_set(tmp_path, ["bar"], 2))
    with pytest.raises(ValueError, match="no subtomograms to average"):
        half_averages(one, [], np.zeros((0, 3)), np.zeros((0, 3)))


def test_shifts_fill_a_ball_around_zero():
    shifts = ball_of_shifts(2.0, 1.0)
    assert len(shifts) == 33 and shifts.norm(dim=1).max() == 2 and (shifts == 0).all(1).sum() == 1
