# SPDX-License-Identifier: GPL-3.0-or-later
"""identify: 2-D class averages, as different programs write them."""

import numpy as np
import pytest
import torch
from denoiser_data import run_command
from particle_data import BOX, PIXEL
from scipy.ndimage import gaussian_filter
from synthetic import lopsided_density, write_mrc

from cryodl.contract import EVERY_COMMAND
from cryodl.core.fourier import circle
from cryodl.core.projections import Projector, random_angles
from cryodl.io.particle_sets import read_class_averages
from cryodl.io.particles import write_stack
from cryodl.io.star import write_tables
from cryodl.particles.identify import candidates, ranking
from cryodl.running.runner import Run

COUNT = 16


def rod(half, radius):
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    return gaussian_filter((z**2 + y**2 < radius**2) & (np.abs(x) < half), 1.0, output=np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """averages.mrcs: of map.mrc, the last two of noise alone. structures/: it and others; others/: without it."""
    folder, rng = tmp_path_factory.mktemp("averages"), np.random.default_rng(1)
    density = np.pad(lopsided_density(BOX // 2), BOX // 4)
    for name in ("structures", "others"):
        (folder / name).mkdir()
        write_mrc(folder / name / "rod.mrc", rod(12, 3), PIXEL)
        write_mrc(folder / name / "ball.mrc", rod(7, 7), PIXEL)
        write_mrc(folder / name / "disc.mrc", rod(2, 9), PIXEL)
    write_mrc(folder / "structures" / "map.mrc", density, PIXEL)
    shown = Projector(torch.from_numpy(density).float()).project(random_angles(COUNT, rng), np.zeros((COUNT, 2)), BOX)
    shown[-2:] = 0
    noise = torch.from_numpy(gaussian_filter(rng.normal(size=shown.shape), (0, 1, 1))).float()
    write_stack(folder / "averages.mrcs", shown / shown[0].std() + 0.5 * noise, PIXEL)
    return folder


def table(name, stack="averages.mrcs", **columns):
    images = [f"{n + 1:06d}@{stack}" for n in range(COUNT)]
    write_tables(name, {"classes": dict(rlnReferenceImage=images, **columns)})


def identify(folder, monkeypatch, averages, structures, code=0):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(candidates, "COARSE", candidates.Fineness(30.0, 5.0, 60))
    monkeypatch.setattr(candidates, "DECOYS", 12)
    monkeypatch.setattr(candidates, "FULL", candidates.Fineness(20.0, 7.0, 60))
    output = f"{averages.partition('.')[0]}_{structures}"
    return run_command("identify", code, particles=averages, structures=structures, output=output)


def test_the_molecule_of_averages_is_found_and_none_where_it_is_not_in_the_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table("classes.star", rlnClassDistribution=[0.05] * (COUNT - 2) + [0.3, 0.0])
    found = identify(folder, monkeypatch, "classes.star", "structures")
    assert found.outputs.found == ["map"] and found.outputs.count == COUNT - 1
    assert "averages were compared" in found.methods[0] and float(found.outputs.explained) > 0.7
    absent = identify(folder, monkeypatch, "classes.star", "others")
    assert not absent.outputs.found and "none of these" in " ".join(absent.summary)
    uncorrected = "Averages without CTF correction, or with flipped phases alone, fit right structures badly."
    assert uncorrected in " ".join(absent.warnings) and uncorrected not in " ".join(found.warnings)


def test_dark_masked_averages_of_another_scale_are_read_as_well(folder, monkeypatch):
    monkeypatch.chdir(folder)
    images = read_class_averages("averages.mrcs").images(slice(None))
    write_stack("dark.mrcs", -7 * images * circle(BOX, 0.8 * BOX), PIXEL)
    result = identify(folder, monkeypatch, "dark.mrcs", "structures")
    assert result.outputs.found == ["map"] and result.outputs.contrast == "dark"


def test_averages_that_have_as_much_around_a_structure_as_in_it_are_not_explained(folder, monkeypatch):
    """Dirt, as in averages of junk: taken for noise, it would excuse all that a structure leaves."""
    monkeypatch.chdir(folder)
    noise = np.random.default_rng(2).normal(size=(COUNT, BOX, BOX))
    write_stack("dirt.mrcs", torch.from_numpy(gaussian_filter(noise, (0, 1, 1))).float(), PIXEL)
    request = EVERY_COMMAND["identify"].config(particles="dirt.mrcs", structures=("structures",), output="dirt")
    run, averages = Run(request), read_class_averages("dirt.mrcs")
    comparison = candidates.AverageComparison(averages, run)
    (candidate,) = candidates.read_candidates(["structures/map.mrc"], averages, run)
    fit, _ = comparison.coarse(candidate)
    assert comparison.explained(candidate, fit, np.full(COUNT, True)).whole < 0.5


def test_tables_that_name_no_averages_or_no_pixel_size_are_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write_tables("3d.star", {"classes": dict(rlnReferenceImage=["run_class001.mrc"])})
    with pytest.raises(ValueError, match="3d.star lists 3-D references"):
        read_class_averages("3d.star")
    write_stack("unsized.mrcs", torch.ones((COUNT, BOX, BOX)), 0)
    table("unsized.star", "unsized.mrcs")
    with pytest.raises(ValueError, match="has no pixel size"):
        read_class_averages("unsized.star")
    images = [f"{n + 1}@unsized.mrcs" for n in range(COUNT)]
    write_tables("model.star", {"general": dict(rlnPixelSize=[3.5]), "classes": dict(rlnReferenceImage=images)})
    assert read_class_averages("model.star").pixel_size == 3.5
    write_tables("wrong.star", {"general": dict(rlnPixelSize=[-3.5]), "classes": dict(rlnReferenceImage=images)})
    with pytest.raises(ValueError, match="wrong.star has no pixel size"):
        read_class_averages("wrong.star")
    write_tables("none.star", {"classes": dict(rlnReferenceImage=[])})
    assert read_class_averages("none.star") is None  # read_particles says what it lacks
    table("empty.star", rlnClassDistribution=[0] * COUNT)
    with pytest.raises(ValueError, match="has no class with particles"):
        read_class_averages("empty.star")


def test_a_share_that_no_average_has_is_no_number_that_is_none():
    shares = ranking.shares_of(np.repeat([[500.0, -300.0], [-300.0, 400.0]], 8, axis=0), np.repeat([1.5, 0.5], 8))
    assert np.isfinite(np.concatenate([shares.low, shares.high])).all() and shares.share[0] == pytest.approx(0.75)
