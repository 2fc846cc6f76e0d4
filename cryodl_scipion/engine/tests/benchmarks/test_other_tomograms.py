# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shipped segmenters find where there is nothing to find: in another generator's particles alone."""

import bench
import mrcfile
import pytest
from recipes.other_tomograms import make_tomogram
from synthetic import DATA

from cryodl.__main__ import main
from cryodl.contract import Result

MOST = dict(membrane=0.001, ribosome=0.002, microtubule=0.002, filament=0.01)  # of the voxels


@pytest.mark.skipif(not (DATA / "structures").is_dir(), reason="structures are not there")
@pytest.mark.parametrize("pixel_size, snr, seed", [(13.0, 0.2, 3), (10.0, 0.4, 4)])
def test_of_particles_alone_the_shipped_segmenters_take_few_voxels(tmp_path, pixel_size, snr, seed):
    copies = {bench.structure_file(name): 12 for name in ("1AON", "6ZWV", "3C91")}
    make_tomogram(tmp_path / "alone.mrc", copies, (64, 180, 180), pixel_size, snr, seed)
    command = ["segment", "--tomograms", str(tmp_path / "alone.mrc"), "--model", *MOST, "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path / "out"), "--result", str(tmp_path / "result.json")]) == 0
    outputs = Result.read(tmp_path / "result.json").outputs
    for name, path in outputs["files"]["alone"].items():
        taken = float((mrcfile.read(path) >= outputs["thresholds"][name]).mean())
        assert taken < MOST[name], (name, taken)
