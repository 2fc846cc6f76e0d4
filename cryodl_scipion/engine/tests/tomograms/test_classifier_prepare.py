# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms before networks see them: resampled around their middle, turned with their wedge, contrast measured."""

import re

import numpy as np
import pytest
import torch
from subtomogram_data import density, simulated_set, subtomograms, write_set

from cryodl.core.fourier import fourier_resize
from cryodl.core.volumes import cube_crop, wedge
from cryodl.io.messages import collected
from cryodl.io.subtomograms import read_subtomograms
from cryodl.tomograms.classifiers.prepare import (
    ROTATIONS,
    _of_each_sign,
    find_subtomogram_contrast,
    prepared,
    rotated_by,
)


@pytest.mark.parametrize("old, new", [(24, 16), (16, 24), (24, 15), (15, 24), (21, 16)])
def test_resizing_keeps_values_and_the_middle(old, new):
    volumes = torch.from_numpy(density("corner", old, width=0.12))[None]
    expected = torch.from_numpy(density("corner", new, width=0.12))[None]
    scale = float((expected * fourier_resize(volumes, new, 3)).sum() / (expected**2).sum())
    assert float((fourier_resize(volumes, new, 3) - scale * expected).abs().max()) < 0.06 * float(expected.max())
    assert torch.allclose(fourier_resize(torch.full((1, old, old, old), 3.0), new, 3), torch.tensor(3.0), atol=1e-5)


@pytest.mark.parametrize("old, new", [(8, 5), (5, 8), (7, 4), (6, 6)])
def test_cropping_keeps_the_middle_voxel(old, new):
    volume = torch.zeros(1, old, old, old)
    volume[0, old // 2, old // 2, old // 2 - 1] = 1.0
    position = torch.nonzero(cube_crop(volume, new)[0]).tolist()
    assert position == [[new // 2, new // 2, new // 2 - 1]]


def test_prepared_volumes_have_bright_protein_mean_zero_and_deviation_one():
    volumes = 50 - 7 * torch.from_numpy(density("ball", 16))[None].repeat(2, 1, 1, 1)
    volumes[1] = 4.0  # empty
    found = prepared(volumes, 10.0, 10.0, 16, "dark")
    assert found.shape == (2, 1, 16, 16, 16) and not found[1].any()
    assert float(found[0].mean()) == pytest.approx(0, abs=1e-5) and float(found[0].std()) == pytest.approx(1, rel=1e-4)
    assert float(found[0, 0, 8, 8, 8]) > 2
    assert not prepared(volumes, 10.0, 10.0, 20)[0, 0, 0].any()  # zeros around


def test_turns_keep_the_missing_wedge_and_the_hand():
    measured = wedge(16, -60, 60).bool()
    torch.manual_seed(0)
    volume = torch.fft.irfftn(torch.fft.rfftn(torch.randn(16, 16, 16)) * measured, s=(16, 16, 16))
    for rotation, axes in enumerate(ROTATIONS):
        power = torch.fft.rfftn(rotated_by(volume, rotation)).abs()
        assert float(power[~measured].max()) < 1e-3 * float(power[measured].mean())
        assert len(axes) in (0, 2)  # two flips are a turn, one would be a mirror


@pytest.mark.parametrize("box", [8, 9])
def test_turns_leave_the_middle_where_it_is(box):
    middle = box // 2
    volume = torch.zeros(1, box, box, box)
    volume[0, middle, middle, middle], volume[0, middle + 1, middle + 2, middle + 3] = 1, 2
    ends = [
        tuple(int(n) - middle for n in (rotated_by(volume, rotation)[0] == 2).nonzero()[0])
        for rotation in range(len(ROTATIONS))
    ]
    assert ends == [(1, 2, 3), (1, -2, -3), (-1, 2, -3), (-1, -2, 3)]
    assert all(rotated_by(volume, rotation)[0, middle, middle, middle] == 1 for rotation in range(len(ROTATIONS)))


@pytest.mark.parametrize("sign, expected", [(1, "bright"), (-1, "dark")])
def test_the_contrast_is_measured(tmp_path, sign, expected, capsys):
    volumes, classes, _, _ = subtomograms(["bar", "ball"], 6, snr=0.5)
    found = read_subtomograms(write_set(tmp_path, sign * volumes + 3, classes))
    assert find_subtomogram_contrast(found, 100.0, "auto") == expected
    assert capsys.readouterr().out.startswith(f"Protein is {expected}")
    other = {"bright": "dark", "dark": "bright"}[expected]
    with collected() as said:
        assert find_subtomogram_contrast(found, 100.0, other) == other
        assert f"Contrast (--contrast) is {other}" in said()[0]


@pytest.mark.parametrize("last", [1.0, -1.0])
def test_tomograms_of_the_other_contrast_are_named(tmp_path, last):
    volumes, classes, _, _ = subtomograms(["bar", "ball"], 9, snr=0.5)
    signs = torch.tensor([1.0, 1.0, last] * 6)  # of three tomograms in turn
    found = read_subtomograms(write_set(tmp_path, signs[:, None, None, None] * volumes, classes))
    with collected() as said:
        find_subtomogram_contrast(found, 100.0, "auto")
        named = ["bright in the subtomograms of tomo_0, tomo_1, and dark in those of tomo_2" in one for one in said()]
    assert named == [True] * (last < 0)


@pytest.mark.parametrize("more", [0, 2])
def test_one_subtomogram_of_each_tomogram_does_not_tell_its_contrast(more):
    """Nothing says how much they differ by chance: of noise in many tomograms half were named."""
    matches, names = np.random.default_rng(0).normal(0.05, 0.1, 30 + more), [f"tomo_{n % 30}" for n in range(30 + more)]
    assert _of_each_sign(matches, np.array(names)) == ([], [])


def test_noise_has_no_contrast(tmp_path):
    found = read_subtomograms(simulated_set(tmp_path, [None], 12, name="noise"))
    with collected() as said:
        assert find_subtomogram_contrast(found, 100.0, "auto") == "bright"
        assert "could not be determined" in said()[0]


def test_copies_of_one_subtomogram_tell_no_contrast(tmp_path):
    volumes, classes, _, _ = subtomograms(["ball"], 1)
    found = read_subtomograms(write_set(tmp_path, volumes.repeat(20, 1, 1, 1), classes.repeat(20)))
    with collected() as said:
        assert find_subtomogram_contrast(found, 100.0, "auto") == "bright"
        assert "could not be determined" in said()[0]
        assert find_subtomogram_contrast(found, 100.0, "dark") == "dark" and len(said()) == 1


def test_tilts_that_the_power_of_the_subtomograms_contradicts_are_said(tmp_path):
    volumes, classes, _, _ = subtomograms(["bar", "corner"], 6, box=24, tilts=(-42.0, 30.0))
    tilts_said = []
    right, turned = (-42.0, 30.0), volumes.transpose(2, 3)  # turned: the tilt axis lies along x
    cases = [(volumes, (-60.0, 60.0)), (volumes, right), (volumes, (-30.0, 42.0)), (turned, right)]
    for number, (seen, stated) in enumerate(cases):
        found = read_subtomograms(write_set(tmp_path, seen, classes, tilts=stated, name=f"tilts{number}"))
        with collected() as said:
            find_subtomogram_contrast(found, 150.0, "bright")
            tilts_said.append([text for text in said() if "hold tilts about" in text])
    assert not tilts_said[1] and len(tilts_said[2]) == 1
    for number, words in (
        (0, "y from about (-.*) to (.*)°, but -60 to 60°"),
        (3, "x from about (-.*) to (.*)°, but -42"),
    ):
        low, high = map(int, re.findall(f"about {words}", tilts_said[number][0])[0])
        assert abs(low + 42) <= 3 and abs(high - 30) <= 3


def test_power_that_fades_with_the_tilt_or_lies_at_one_tells_no_range(tmp_path):
    """White noise; noise that filters by dose made fainter and fainter up to 60 degrees; membranes, all at 60 or 50."""
    noise = torch.randn(12, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    tilts = torch.atan2(torch.fft.fftfreq(24)[:, None, None], torch.fft.rfftfreq(24)[None, None])
    faded = torch.fft.rfftn(noise, dim=(1, 2, 3)) * torch.exp(-tilts.abs() / 0.5) * wedge(24, -60, 60)
    z, x = torch.arange(24)[:, None, None] - 12.0, torch.arange(24)[None, None] - 12.0
    shifts, made = torch.linspace(-3, 3, 12).reshape(-1, 1, 1, 1), dict(faded=faded)
    for name, (up, along, apart, width) in dict(thin=(0.5, 0.866, 0, 1.0), thick=(0.643, 0.766, 2, 1.5)).items():
        far = (up * z + along * x)[None] - shifts
        layers = sum(torch.exp(-0.5 * ((far + side) / width) ** 2) for side in (-apart, apart))
        made[name] = torch.fft.rfftn(noise + (2 + 3 * apart) * layers, dim=(1, 2, 3)) * wedge(24, -60, 60)
    made = {name: torch.fft.irfftn(one, s=(24,) * 3) for name, one in made.items()}
    for name, volumes in dict(made, full=noise).items():
        found = read_subtomograms(write_set(tmp_path, volumes, [1] * 12, tilts=(-60.0, 60.0), name=name))
        with collected() as said:
            find_subtomogram_contrast(found, 150.0, "bright")
            assert not any("tilts" in text for text in said())
