# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time and memory of segmenting tomograms of three sizes; the time for 2048 x 2048 x 512 is extrapolated.

The tomograms are noise. Proportional times at three sizes show that the extrapolation holds.
"""

import numpy as np
from common import cryodl
from parts import engine_path, table
from tomo_data import PIXEL_SIZE
from tomo_segmentation import trained

SIZES = ((96, 512, 512), (128, 1024, 1024), (256, 1024, 1024))
WHOLE = 512 * 2048 * 2048
FEATURES = ("membrane", "microtubule")


def run(bench):
    for network in bench.options.segmenters:
        for size in SIZES[:1] if network == "eman2" else SIZES:
            bench.once(key(network, size, 1), lambda: measure(bench, network, size, 1))
    bench.once(key("unet", SIZES[1], 2), lambda: measure(bench, "unet", SIZES[1], 2))


def key(network, size, count):
    return f"speed/{network}/{'x'.join(str(n) for n in size)}/{count}"


def noise(bench, size):
    """Path of a tomogram of noise, int8; made if it is not there."""
    engine_path()
    from cryodl.io.tomograms import VolumeWriter

    path = bench.output / "noise" / f"{'x'.join(str(n) for n in size)}.mrc"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        rng = np.random.default_rng(0)
        with VolumeWriter(path, size, PIXEL_SIZE, np.int8) as writer:
            for z in range(size[0]):
                writer.write(z, np.clip(rng.normal(0, 30, (1, *size[1:])), -127, 127))
    return path


def measure(bench, network, size, count):
    seed = bench.options.segmentation_seeds[0]
    models = [trained(bench, feature, network, seed)[0] for feature in FEATURES[:count]]
    _, cpu, wall, memory = cryodl(
        "segment",
        "--tomograms",
        noise(bench, size),
        "--model",
        *models,
        "--output",
        bench.folder(key(network, size, count)),
        "--device",
        "cpu",
        "--threads",
        bench.options.speed_threads,
    )
    return dict(cpu=cpu, wall=wall, memory=memory, voxels=int(np.prod(size)))


def tables(bench):
    rows = []
    for network in bench.options.segmenters:
        for size, count in [(size, 1) for size in SIZES] + ([(SIZES[1], 2)] if network == "unet" else []):
            found = bench.figures.get(key(network, size, count))
            if found:
                scale = WHOLE / found["voxels"]
                rows.append(
                    [
                        network,
                        count,
                        f"{size[2]} x {size[1]} x {size[0]}",
                        f"{found['cpu']:.0f}",
                        f"{found['wall']:.0f}",
                        f"{found['cpu'] / found['voxels'] * 1e9:.0f}",
                        f"{found['memory']:.0f}",
                        f"{found['wall'] * scale / 60:.1f}",
                    ]
                )
    return table(
        [
            "network",
            "features",
            "tomogram (px)",
            "CPU s",
            "wall s",
            "CPU s per 10^9 voxels",
            "memory (MB)",
            f"2048 x 2048 x 512 with {bench.options.speed_threads} threads (min, extrapolated)",
        ],
        rows,
    )
