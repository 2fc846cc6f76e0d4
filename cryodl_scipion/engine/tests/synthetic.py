# SPDX-License-Identifier: GPL-3.0-or-later
"""Small made-up data of which the ground truth is known, and the command line as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np

ENGINE = Path(__file__).resolve().parents[1]
# The data of the benchmarks, and the project's independent scoring program beside them; tests skip without them.
DATA = Path(os.environ.get("CRYODL_DATA") or ENGINE.parents[2] / "shared" / "data")
PEER = DATA.parent / "peers" / "score_picks.py"
PIXEL_SIZE = 4.0  # Å/px
DIAMETER = 120.0  # Å


def write_mrc(path, data, pixel_size=PIXEL_SIZE):
    """A (h, w) or (d, h, w) array as an MRC file; modes follow the array's type. Returns the path."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.asarray(data))
        mrc.voxel_size = pixel_size
    return path


def gaussian_blobs(shape, centres_yx, sigma):
    """(h, w) float32 sum of unit Gaussians at sub-pixel positions."""
    along_y, along_x = (
        np.exp(-((np.arange(side)[None] - np.asarray(centres_yx, float)[:, [axis]]) ** 2) / (2 * sigma**2))
        for axis, side in enumerate(shape)
    )
    return (along_y.T @ along_x).astype(np.float32)


def grid_centres(shape, spacing, seed=0):
    """(n, 2) yx positions on a jittered grid that fills a micrograph: never symmetric, never nearer than spacing/2."""
    rng = np.random.default_rng(seed)
    ys, xs = (np.arange(spacing * 0.75, side - spacing * 0.6, spacing) for side in shape)
    grid = np.stack(np.meshgrid(ys, xs, indexing="ij"), -1).reshape(-1, 2)
    grid = grid + rng.uniform(-spacing / 4, spacing / 4, grid.shape)
    return grid[rng.random(len(grid)) < 0.7]


def blob_micrograph(shape=(256, 320), seed=0, spacing=45, diameter_px=30, contrast=3.0):
    """A micrograph of dark blobs in noise, and their centres yx. blob diameter in px."""
    centres = grid_centres(shape, spacing, seed)
    noise = np.random.default_rng(seed + 1).standard_normal(shape)
    return (noise - contrast * gaussian_blobs(shape, centres, diameter_px / 5)).astype(np.float32), centres


def lopsided_density(side=32):
    """(d, d, d) float32 zyx density of five unlike blobs without any symmetry, protein positive."""
    zz, yy, xx = np.mgrid[:side, :side, :side] - side // 2
    density = np.zeros((side,) * 3)
    for (z, y, x), sigma, weight in (
        ((0, 0, 0), 4, 1.0),
        ((6, 2, -3), 2.5, 1.5),
        ((-4, 7, 1), 2.2, 1.2),
        ((-2, -5, 6), 2.0, 1.8),
        ((3, -3, -7), 1.8, 1.4),
    ):
        density += weight * np.exp(-((zz - z) ** 2 + (yy - y) ** 2 + (xx - x) ** 2) / (2 * sigma**2))
    density[np.sqrt(zz**2 + yy**2 + xx**2) > 0.45 * side] = 0
    return density.astype(np.float32)


def correlation(a, b):
    """Pearson's, of two arrays of one size."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def write_star(path, yx):
    """A RELION coordinate file of centres."""
    rows = "".join(f"{x:.3f} {y:.3f}\n" for y, x in yx)
    Path(path).write_text("\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n" + rows)
    return path


def blob_project(folder, count=2, shape=(256, 320)):
    """mics/*.mrc and coordinates/*.star of blob micrographs in a folder. Returns [(name, centres yx)]."""
    for part in ("mics", "coordinates"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ground_truth = []
    for index in range(count):
        image, centres = blob_micrograph(shape, seed=10 * index)
        write_mrc(folder / "mics" / f"mic{index}.mrc", image)
        write_star(folder / "coordinates" / f"mic{index}.star", centres)
        ground_truth.append((f"mic{index}", centres))
    return ground_truth


def write_untrained_model(folder, diameter=DIAMETER, **card):
    """A model folder with random weights that fires nearly everywhere: good to test all but accuracy."""
    import torch

    from cryodl.contract import PICKER_NETWORKS
    from cryodl.io.model import write_model
    from cryodl.micrographs.pickers import picker_method

    torch.manual_seed(0)
    network = picker_method(PICKER_NETWORKS[0]).build()
    weights = network.state_dict()
    last = [k for k in weights if k.endswith("bias")][-1]
    weights[last] = torch.zeros_like(weights[last])  # a trained bias says "none"; this one lets the noise through
    Path(folder).mkdir(parents=True)
    write_model(
        folder,
        dict(
            dict(
                kind="picker",
                name=Path(folder).name,
                network=PICKER_NETWORKS[0],
                particle_diameter=diameter,
                pixel_sizes=[PIXEL_SIZE],
                threshold=0.5,
                minimum_distance=0.5,
                calibration=[1.0, 0.0],
            ),
            **card,
        ),
        weights,
    )
    return folder


def environment():
    """Environment variables with which `python -m cryodl` runs from this checkout, on one CPU thread."""
    return dict(os.environ, PYTHONPATH=str(ENGINE), OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")


def start_cryodl(arguments, cwd, preexec_fn=None):
    """A running `cryodl` process, its output piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "cryodl", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )


def run_cryodl(arguments, cwd, preexec_fn=None):
    """CompletedProcess of `cryodl`, with text output."""
    process = start_cryodl(arguments, cwd, preexec_fn)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)
