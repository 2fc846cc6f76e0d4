#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU seconds and memory of picking 4096 x 4096 micrographs, beside Topaz where it is installed.

    PYTHON benchmarks/speed.py [--count 4] [--topaz PYTHON_WITH_TOPAZ]

Micrographs are noise with soft discs: for timing only. The figure per micrograph is the slope between a run over one and a
run over all, so that start-up (given apart) is left out; reading, rescaling, network, peaks and writing are in.
"""
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, measure

# pixel size (Å/px), particle diameter (Å): the ends of the usual range; the first is the largest working image
CASES = ((1.8, 150), (1.4, 200), (1.0, 250))
# pip may bring a torchvision whose operators do not load beside a CPU torch; Topaz only rotates images with it, so the
# two operators that its import wants are declared here.
START_TOPAZ = """
import sys, torch
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
                 "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):
    try:
        library.define(operator)
    except RuntimeError:
        pass
from topaz.main import main
sys.argv[0] = "topaz"
main()
"""


def write_micrographs(folder, count):
    """`count` noise images of 4096 x 4096 px, float32 MRC. Returns their paths."""
    import mrcfile
    paths = []
    for index in range(count):
        rng = np.random.default_rng(index)
        paths.append(folder / f"noise_{index}.mrc")
        mrcfile.write(paths[-1], rng.standard_normal((4096, 4096), dtype=np.float32) * 3)
    return paths


def tiny_model(folder):
    """A model of random weights: as slow as a trained one."""
    sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
    import torch
    from cryodl.io.model import write_model
    from cryodl.pickers import picker_method
    folder.mkdir()
    torch.manual_seed(0)
    write_model(folder, dict(kind="picker", name="random", network="unet", particle_diameter=200.0, pixel_sizes=[1.0],
                             threshold=0.5, minimum_distance=0.5), picker_method("unet").build().state_dict())
    return folder


def slope(runs):
    """Per-micrograph CPU and wall seconds, start-up CPU seconds and peak memory, of [(count, cpu, wall, memory)] x 2."""
    (n1, cpu1, wall1, _), (n2, cpu2, wall2, memory) = runs
    per = (cpu2 - cpu1) / (n2 - n1)
    return per, (wall2 - wall1) / (n2 - n1), cpu1 - n1 * per, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--topaz", help="Python of an environment with topaz-em")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = write_micrographs(folder, options.count + 1)
        model = tiny_model(folder / "model")
        for case, (pixel_size, diameter) in enumerate(CASES):
            runs = []
            for part in (paths[:1], paths):
                _, cpu, wall, memory = cryodl("pick", "--micrographs", *part, "--pixel-size", pixel_size,
                                              "--particle-diameter", diameter, "--model", model, "--device", "cpu",
                                              "--output", folder / f"picks-{case}-{len(part)}")
                runs.append((len(part), cpu, wall, memory))
            rows.append((f"cryodl unet, {diameter} Å at {pixel_size} Å/px", *slope(runs)))
        if options.topaz:
            rows += time_topaz(options.topaz, paths[:3], folder)
    print("| what | CPU s per micrograph | wall s per micrograph | start-up CPU s | peak memory MB |\n|---|---|---|---|---|")
    for name, per, wall, start, memory in rows:
        print(f"| {name} | {per:.2f} | {wall:.2f} | {start:.1f} | {memory:.0f} |")


def time_topaz(python, paths, folder):
    """Topaz's preprocessing and its pretrained resnet8_u64 at scale 8, per micrograph."""
    topaz = [python, "-c", START_TOPAZ]
    small, runs = folder / "topaz", {}
    for part in (paths[:1], paths):
        _, *first = measure(topaz + ["preprocess", "-s", 8, "-j", 1, "-d", -1, "-o", f"{small}{len(part)}/", *part])
        _, *second = measure(topaz + ["extract", "-m", "resnet8_u64", "-r", 14, "-x", 8, "-j", 1, "-d", -1, "-o",
                                      folder / f"topaz{len(part)}.txt", *sorted(Path(f"{small}{len(part)}").glob("*.mrc"))])
        runs[len(part)] = (len(part), first[0] + second[0], first[1] + second[1], max(first[2], second[2]))
    return [("Topaz resnet8_u64, scale 8 (preprocess + extract)", *slope(list(runs.values())))]


if __name__ == "__main__":
    main()
