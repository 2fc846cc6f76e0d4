# SPDX-License-Identifier: GPL-3.0-or-later
"""Our rows and columns are RELION's."""

import shutil
import subprocess

import numpy as np
import pytest
import tifffile
from synthetic import write_mrc

from cryodl.io.micrographs import read_micrograph
from cryodl.io.tomograms import Tomogram
from cryodl.running.cli import main

RELION_MICROGRAPH = """
data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnMicrographPixelSize #4
_rlnVoltage #5
_rlnSphericalAberration #6
_rlnAmplitudeContrast #7
opticsGroup1 1 1.0 1.0 300 2.7 0.1

data_micrographs

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
"""


@pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is not installed")
@pytest.mark.parametrize("ending", [".mrc", ".tif"])
def test_relion_finds_a_particle_where_we_see_it(tmp_path, ending):
    image = np.random.default_rng(0).normal(0, 1, (60, 80)).astype(np.float32)
    image[10:13, 30:33] += 50
    write_mrc(tmp_path / "a.mrc", image)
    tifffile.imwrite(tmp_path / "a.tif", image)
    y, x = np.unravel_index(read_micrograph(tmp_path / f"a{ending}").argmax(), image.shape)
    (tmp_path / "a_pick.star").write_text(f"\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n{x} {y}\n")
    (tmp_path / "mics.star").write_text(RELION_MICROGRAPH + f"a{ending} 1\n")
    subprocess.run(
        [
            "relion_preprocess",
            "--i",
            "mics.star",
            "--coord_dir",
            "./",
            "--coord_suffix",
            "_pick.star",
            "--part_dir",
            "./",
            "--part_star",
            "p.star",
            "--extract",
            "--extract_size",
            "16",
        ],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    box = read_micrograph(tmp_path / "a.mrcs")
    assert np.abs(np.subtract(np.unravel_index(box.argmax(), box.shape), 8)).max() <= 1


@pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is not installed")
def test_relion_extracts_subtomograms_where_features_were_picked(tmp_path, monkeypatch):
    """A position unlike in every direction; RELION reads the picked STAR file as it is, and the bright voxel comes into
    the middle of its box."""
    monkeypatch.chdir(tmp_path)
    shape, position = (40, 50, 60), (16, 20, 36)
    near = sum((axis - centre) ** 2 for axis, centre in zip(np.indices(shape), position))
    write_mrc("labels.mrc", (near <= 9).astype(np.int8), 10.0)
    tomogram = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    tomogram[position] += 300
    write_mrc("t1.mrc", tomogram, 10.0)
    assert (
        main(["pick-features", "--segmentations", "labels.mrc", "--names", "t1", "--label", "1", "--output", "picked"])
        == 0
    )
    (tmp_path / "mics.star").write_text(RELION_MICROGRAPH.replace("1.0 1.0 300", "10.0 10.0 300") + "t1.mrc 1\n")
    subprocess.run(
        [
            "relion_preprocess",
            "--i",
            "mics.star",
            "--coord_dir",
            "picked/",
            "--coord_suffix",
            ".star",
            "--part_dir",
            "boxes/",
            "--part_star",
            "p.star",
            "--extract",
            "--extract_size",
            "16",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    box = Tomogram(next((tmp_path / "boxes").rglob("t1*.mrc"))).part()
    assert box.shape == (16, 16, 16)
    assert np.unravel_index(np.abs(box).argmax(), box.shape) == (8, 8, 8)
