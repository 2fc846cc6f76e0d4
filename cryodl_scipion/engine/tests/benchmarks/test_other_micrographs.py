# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shipped general model picks in another generator's micrographs, on strong grain and between dirt."""

import bench
import mrcfile
import numpy as np
import pytest
from recipes.other_micrographs import ACROSS, SIDE, Field
from recipes.other_particles import frequencies
from synthetic import DATA

from cryodl.__main__ import main
from cryodl.contract import Result
from cryodl.core.matching import match_picks
from cryodl.io.coordinates import read_coordinates


@pytest.mark.skipif(not (DATA / "structures").is_dir(), reason="structures are not there")
@pytest.mark.parametrize(
    "name, kind, least",
    [("7PBL", "grain", 0.85), ("6MSM", "grain", 0.85), ("6MSM", "dirt", 0.7), ("3J9I", "dirt", 0.75)],
)
def test_clear_particles_on_strong_grain_and_between_dirt_are_found(tmp_path, name, kind, least):
    """Dirt covers a third of the micrographs, and the particles below it count."""
    field, rng, truth = Field(bench.structure_file(name)), np.random.default_rng([1, *name.encode()]), {}
    slow = 1 / (1 + (np.hypot(*frequencies(SIDE, field.pixel_size)) / 0.006) ** 1.5)
    for number in range(3):
        image = field.micrograph("dirt" if kind == "dirt" else "good", rng)
        noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=image.shape)) * slow, s=image.shape)
        image += (0.12 * image.std() / noise.std() * noise).astype(np.float32) if kind == "grain" else 0
        mrcfile.write(tmp_path / f"m{number}.mrc", image, voxel_size=field.pixel_size)
        truth[f"m{number}"] = np.array(field.centres)
    command = ["pick", "--micrographs", str(tmp_path / "m*.mrc"), "--pixel-size", f"{field.pixel_size:.4f}"]
    command += ["--output", str(tmp_path / "out"), "--result", str(tmp_path / "result.json"), "--device", "cpu"]
    assert main(command) == 0
    picks = read_coordinates(tmp_path / "out")
    found = sum(match_picks(picks[key][0], centres, ACROSS / 2).sum() for key, centres in truth.items())
    made = sum(len(one[0]) for one in picks.values())
    assert kind == "dirt" or Result.read(tmp_path / "result.json").outputs["state"] == "clear"
    assert 2 * found / (made + sum(map(len, truth.values()))) > least
