# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-subtomograms`: SNR, missing wedge, angles and shifts are those that the STAR file says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.contract import Failure, Result
from cryodl.core.volumes import wedge
from cryodl.io.structures import load_density
from cryodl.io.subtomograms import read_subtomograms
from cryodl.running.cli import main
from cryodl.simulate.micrographs import particle_diameter
from cryodl.simulate.rotations import rotated
from cryodl.simulate.subtomograms import ball

PIXEL, BOX = 10.0, 24


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc("one.mrc", lopsided_density(18), PIXEL)
    write_mrc("two.mrc", lopsided_density(18)[::-1].copy(), PIXEL)


def simulate(output="s.star", code=0, **options):
    options = dict(
        dict(
            structures=("one.mrc", "two.mrc"),
            pixel_size=PIXEL,
            box=BOX,
            count=6,
            tilt_step=4,
            snr=1,
            device="cpu",
            threads=1,
            output=output,
            result="result.json",
        ),
        **options,
    )
    words = ["simulate-subtomograms"]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), *map(str, value if isinstance(value, tuple) else (value,))]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def volumes(path="s.star"):
    found = read_subtomograms(path)
    return found, found.volumes(range(len(found)))


def test_the_star_file_is_read_and_says_what_was_asked_for():
    result = simulate()
    assert result.outputs == dict(subtomograms="s.star", count=12, box=BOX, pixel_size=PIXEL, classes=["one", "two"])
    found, data = volumes()
    assert data.shape == (12, BOX, BOX, BOX) and (found.pixel_size, found.box) == (PIXEL, BOX)
    assert found.classes.tolist() == [1] * 6 + [2] * 6 and set(found.halves.tolist()) <= {1, 2}
    assert (found.tilts == [-60, 60]).all()
    assert 0 < np.abs(found.shifts_zyx).max() <= 20 / PIXEL
    assert sorted(p.name for p in Path().glob("s*")) == ["s", "s.star"]


def test_the_structure_turned_and_moved_as_the_file_says_is_in_the_volume():
    simulate(snr=1e5, defocus=0)
    found, data = volumes()
    measured = wedge(BOX, -60, 60)
    for index in (0, 3, 7):
        density = load_density(("one.mrc", "two.mrc")[found.classes[index] - 1], PIXEL)
        ground_truth = rotated(density, found.angles[index], found.shifts_zyx[index], BOX)[0]
        seen, mirrored = (torch.fft.irfftn(torch.fft.rfftn(v) * measured) for v in (ground_truth, ground_truth.flip(0)))
        assert correlation(data[index], seen) > 0.95
        assert correlation(data[index], mirrored) < 0.85


def test_an_asymmetric_missing_wedge_is_empty_on_the_side_that_was_not_measured():
    simulate(snr=0.01, tilt_min=-60, tilt_max=40, tilt_step=2, box=40, count=4)
    axis = torch.sin(torch.pi * (torch.arange(40) + 0.5) / 40) ** 2  # without it, the cubes' faces leak into the wedge
    window = axis[:, None, None] * axis[:, None] * axis
    power = torch.fft.rfftn(volumes()[1] * window, dim=(1, 2, 3)).abs().square().mean(0)
    measured, other = wedge(40, -60, 40).bool(), wedge(40, -40, 60).bool()
    ring = torch.fft.fftfreq(40)[:, None, None] ** 2 + torch.fft.rfftfreq(40) ** 2
    band = ((ring > 0.1**2) & (ring < 0.4**2)).expand_as(power)
    assert power[band & ~measured].mean() < 0.1 * power[band & measured].mean()
    assert power[band & measured & ~other].mean() > 5 * power[band & other & ~measured].mean()


def test_the_snr_is_that_of_the_clean_volume_inside_the_particles_sphere():
    simulate("clean.star", snr=1e6, max_shift=0, count=20), simulate("noisy.star", snr=0.1, max_shift=0, count=20)
    clean = volumes("clean.star")[1] * (0.1 / 1e6) ** 0.5
    noise = volumes("noisy.star")[1] - clean
    assert float(noise.var()) == pytest.approx(1, rel=0.03)
    for part, name in ((slice(0, 20), "one.mrc"), (slice(20, 40), "two.mrc")):
        inside = ball(BOX, particle_diameter(load_density(name, PIXEL), PIXEL) / PIXEL)
        assert float(clean[part][:, inside].var(dim=1).mean()) == pytest.approx(0.1, rel=0.15)


def test_dark_subtomograms_are_the_negatives():
    simulate("a.star"), simulate("b.star", contrast="dark")
    assert torch.equal(volumes("a.star")[1], -volumes("b.star")[1])


def test_the_same_seed_gives_the_same_volumes_whatever_their_number():
    simulate("a.star"), simulate("b.star", count=3), simulate("c.star", seed=1)
    a, b, c = (volumes(f"{name}.star")[0].halves for name in "abc")
    assert a[[0, 1, 2, 6, 7, 8]].tolist() == b.tolist() and a.tolist() != c.tolist()
    a, b, c = (volumes(f"{name}.star")[1] for name in "abc")
    assert torch.allclose(a[[0, 1, 2, 6, 7, 8]], b, atol=1e-5)
    assert abs(correlation(a, c)) < 0.5


def test_a_killed_run_continues_and_gives_the_same(monkeypatch):
    simulate("whole.star")
    from cryodl.tomograms.commands import simulate_subtomograms as command

    write = command.write_tables
    monkeypatch.setattr(command, "write_tables", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    simulate(code=130)
    Path("s/001_000002.mrc").unlink()
    assert not Path("s.star").exists()
    monkeypatch.setattr(command, "write_tables", write)
    simulate()
    assert torch.equal(volumes()[1], volumes("whole.star")[1]) and not Path("s.star.partial").exists()


def test_volumes_of_a_stopped_run_with_other_parameters_are_not_taken(monkeypatch):
    from cryodl.tomograms.commands import simulate_subtomograms as command

    write = command.write_tables
    monkeypatch.setattr(command, "write_tables", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left")))
    simulate(code=2, snr=0.01)
    monkeypatch.setattr(command, "write_tables", write)
    assert "s exists already" in simulate(code=2, snr=100) and not Path("s.star").exists()


def test_nothing_is_replaced():
    Path("s").mkdir()
    assert "s exists already" in simulate(code=2)
    simulate("t.star")
    assert "t.star (--output) exists already" in simulate("t.star", code=2)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(structures="none.cif"), ["none.cif"]),
        (dict(box=16), ["one.mrc is", "--box", "16 px"]),
        (dict(box=33), ["33", "even"]),
        (dict(tilt_max=-70), ["--tilt-max"]),
        (dict(output="s.txt"), [".star"]),
    ],
)
def test_bad_input_is_one_sentence(options, words):
    message = simulate(code=2, **options)
    assert all(word in message for word in words)
    assert not list(Path().glob("s*"))
