# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a tomogram: no seam, every position where it belongs, memory bounded."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from segmenting_data import Average, noise, write_segmenter
from synthetic import environment, write_mrc

from cryodl.io.tomograms import Tomogram
from cryodl.tomograms.segmenters import slabs
from cryodl.tomograms.segmenters.predict import TomogramScores, mirrored
from cryodl.tomograms.segmenters.slabs import Plan, choose_plan, grids_of
from cryodl.tomograms.segmenters.working_scale import GreyValues


@pytest.fixture(autouse=True)
def grey_values_as_they_are(monkeypatch):
    """Sums of whole numbers are exact."""
    monkeypatch.setattr(GreyValues, "normalised", lambda self, part: part)


def scores_of(tomogram, segmenters, plan=None, pixel_size=10.0, first=0):
    """(models, z, y, x) of all slices from the first, cut by a Plan or whole."""
    found = TomogramScores(tomogram, pixel_size, segmenters, 4.0)
    found.plan = plan or Plan(64, (1024,) * len(found.grids), 0.0)
    return torch.stack([s for _, _, slices in found.slabs(first) for _, s in slices], dim=1)


@pytest.fixture
def whole_numbers(tmp_path):
    """A Tomogram of whole numbers, sums of which are exact; its sides are no multiples of anything."""
    values = np.random.default_rng(0).integers(0, 4, (22, 45, 51))
    return Tomogram(write_mrc(tmp_path / "numbers.mrc", values.astype(np.int8), 10.0))


@pytest.mark.parametrize("thickness", [4, 8, 12])
@pytest.mark.parametrize("factor", [1.0, 0.6, 1.7])
def test_no_seam_shows_however_a_tomogram_is_cut(whole_numbers, factor, thickness):
    segmenters = [Average(10 / factor, context=2), Average(10 / factor, context=1, slices_out=3)]
    whole = scores_of(whole_numbers, segmenters)
    cut = scores_of(whole_numbers, segmenters, Plan(thickness, (20,), 0.0))
    assert whole.shape == (2, 22, 45, 51) and len({s[1:] for s in segmenters[0].shapes}) > 1
    assert torch.equal(whole, cut) if factor == 1 else torch.allclose(whole, cut, atol=2e-3)
    assert whole.std() > 0.001


def test_a_run_that_begins_in_the_middle_makes_the_same(whole_numbers):
    for factor in (1.0, 0.6):
        segmenters = [Average(10 / factor, context=2)]
        plan = Plan(8, (20,), 0.0)
        assert torch.equal(
            scores_of(whole_numbers, segmenters, plan)[:, 16:], scores_of(whole_numbers, segmenters, plan, first=16)
        )


@pytest.mark.parametrize("network", ["unet", "unet2d", "unet3d", "eman2"])
def test_networks_leave_no_seam(tmp_path, network, monkeypatch):
    from cryodl.tomograms.segmenters import load_segmenter, slabs

    monkeypatch.setattr(slabs, "fast_dtype", lambda device: torch.float32)
    model = load_segmenter(write_segmenter(tmp_path / "model", network), torch.device("cpu"))
    tile = 2 * model.overlap + 2 * model.granularity
    shape = (10, 16, tile + 3 * model.granularity + 1)
    tomogram = Tomogram(write_mrc(tmp_path / "t.mrc", noise(shape), 10.0))
    whole, cut = scores_of(tomogram, [model]), scores_of(tomogram, [model], Plan(8, (tile,), 0.0))
    assert torch.allclose(whole, cut, atol=1e-3) and whole.std() > 0.01


@pytest.mark.parametrize("pixel_size", [10.0, 17.0, 6.0])
def test_an_object_is_found_where_it_lies_whatever_the_pixel_size(tmp_path, pixel_size):
    volume = 0.01 * noise((40, 60, 80))
    volume[8:14, 40:46, 20:26] = 60  # its centre lies at 10.5, 42.5, 22.5
    tomogram = Tomogram(write_mrc(tmp_path / "t.mrc", volume, pixel_size))
    scores = scores_of(tomogram, [Average(10.0, radius=1, context=0)], Plan(8, (24,), 0.0), pixel_size)[0].double()
    scores = scores * (scores > 0.05)
    assert scores.shape == volume.shape
    for axis, centre in enumerate((10.5, 42.5, 22.5)):
        profile = scores.sum(dim=[a for a in range(3) if a != axis])
        assert abs(float((profile * torch.arange(len(profile))).sum() / profile.sum()) - centre) < 0.1


def test_models_of_different_pixel_sizes_keep_their_order(tmp_path):
    tomogram = Tomogram(write_mrc(tmp_path / "t.mrc", np.full((6, 20, 20), 8, np.int16) + noise((6, 20, 20)), 10.0))
    models = [Average(20.0, scale=1.0), Average(10.0, scale=2.0), Average(20.0, scale=4.0)]
    inner = scores_of(tomogram, models)[:, 2:4, 8:12, 8:12].mean(dim=(1, 2, 3))
    assert np.allclose(inner / inner[2], [4, 2, 1], rtol=0.05)


def test_beyond_the_first_and_the_last_slice_the_tomogram_is_mirrored():
    assert mirrored(-2, 6, 4).tolist() == [2, 1, 0, 1, 2, 3, 2, 1]
    assert mirrored(-2, 3, 1).tolist() == [0, 0, 0, 0, 0]


def test_plans_stay_within_the_memory_and_waste_less_with_more():
    grids = grids_of((512, 2048, 2048), 10.0, [Average(10.0, context=2, granularity=8, overlap=56, slices_out=4)])
    surplus = []
    for memory in (0.5, 1.5, 4.0):
        plan = choose_plan(grids, memory)
        assert plan.memory <= memory
        surplus.append(slabs._surplus(grids, plan))
    assert surplus == sorted(surplus, reverse=True) and surplus[1] < 0.3
    assert choose_plan(grids, 0.0001).memory > 0.0001  # the smallest, when nothing fits


def test_when_memory_runs_out_smaller_tiles_are_taken(whole_numbers):
    class Hungry(Average):
        def scores(self, slab):
            if slab.shape[1] * slab.shape[2] > 900:
                raise torch.OutOfMemoryError("out of memory")
            return super().scores(slab)

    found = TomogramScores(whole_numbers, 10.0, [Hungry(overlap=4)], 0.2)
    found.grids[0].__dict__["bytes_per_pixel"] = 1e5
    scores = torch.stack([s for _, _, slices in found.slabs() for _, s in slices], dim=1)
    assert torch.equal(scores, scores_of(whole_numbers, [Average(overlap=4)]))
    assert "not enough memory" in found.notes[-1]


LARGE = """
import resource, sys
import numpy as np
from cryodl.io.tomograms import Tomogram
from cryodl.io.volume_writer import OpenVolume, VolumeWriter, new_volume
from cryodl.tomograms.segmenters.predict import TomogramScores
sys.path.insert(0, {tests!r})
from segmenting_data import Average
shape = (96, 1024, 1024)  # 0.4 GB as float32; all but the first slices are a hole in the file
new_volume("large.mrc", shape, 10.0, np.int8)
volume = OpenVolume("large.mrc", shape, np.int8)
volume.write(0, np.random.default_rng(0).integers(-50, 50, (30, *shape[1:]), np.int8))
volume.close(complete=False)
del volume
class Quick(Average):
    def scores(self, slab):
        return slab[self.context:len(slab) - self.context].sigmoid()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
before = peak()
found = TomogramScores(Tomogram("large.mrc"), 10.0, [Quick()], 0.15)
with VolumeWriter("scores.mrc", shape, 10.0, np.float16) as scores:
    for start, stop, slices in found.slabs():
        for z, models in slices:
            scores.write(z, models.half().numpy())
print(before, peak())
"""


def test_memory_stays_bounded_though_the_tomogram_is_large(tmp_path):
    script = LARGE.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    before, peak = map(float, done.stdout.split()[-2:])  # a warning of bytes of unknown sign comes first
    assert peak - before < 0.2  # GB; all of it would be 0.4 as float32, and 0.2 more of scores


def test_what_a_file_was_read_from_does_not_stay_in_memory(tmp_path):
    """Beside the array itself its pages are memory of the process while they are mapped: 32 slices of them before."""
    code = (
        "import numpy as np; from cryodl.io.tomograms import Tomogram; from cryodl.io.volume_writer import new_volume\n"
        "peak = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "new_volume('t.mrc', (40, 1000, 1000), 10.0, np.float32)\n"
        "before = peak(); part = Tomogram('t.mrc').raw(); print((peak() - before) * 1024 / part.nbytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1.3
