# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU seconds, wall seconds and memory of picking 4096 x 4096 micrographs with each network, beside Topaz.

Micrographs are noise, weights are random: for timing only. The figure per micrograph is the slope between a run over
one and a run over several, so that start-up (given apart) is left out; reading, rescaling, network, peaks and writing
are in.
"""

import numpy as np
from common import cryodl
from parts import NETWORKS, engine_path, table

# pixel size (Å/px), particle diameter (Å): the ends of the usual range; the first is the largest working image
CASES = ((1.8, 150), (1.4, 200), (1.0, 250))
USUAL = 1  # the case at which the slower networks are timed
SLOW_COUNT = 2  # micrographs in the second run of a network other than unet


def run(bench):
    for network in bench.options.networks:
        for case in range(len(CASES)) if network == "unet" else (USUAL,):
            bench.once(f"speed/{network}/{case}", lambda: _ours(bench, network, case))
    if bench.topaz:
        bench.once("speed/Topaz", lambda: _topaz(bench))


def _micrographs(bench, count):
    """`count` noise images of 4096 x 4096 px, float32 MRC. Returns their paths."""
    import mrcfile

    folder = bench.output / "noise"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"noise_{index}.mrc" for index in range(count)]
    for index, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng(index)
            mrcfile.write(path, rng.standard_normal((4096, 4096), dtype=np.float32) * 3)
    return paths


def _random_model(folder, network):
    """A model of random weights: as slow as a trained one. Candidates of noise are few or none at this threshold."""
    engine_path()
    import torch

    from cryodl.io.model import write_model
    from cryodl.micrographs.pickers import picker_method

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    write_model(
        folder,
        dict(
            kind="picker",
            name="random",
            network=network,
            particle_diameter=200.0,
            pixel_sizes=[1.0],
            threshold=0.5,
            minimum_distance=0.5,
        ),
        picker_method(network).build().state_dict(),
    )
    return folder


def _ours(bench, network, case):
    pixel_size, diameter = CASES[case]
    paths = _micrographs(bench, bench.options.speed_count + 1 if network == "unet" else SLOW_COUNT)
    model, runs = _random_model(bench.folder(f"random {network}"), network), []
    for part in (paths[:1], paths):
        _, cpu, wall, memory = cryodl(
            "pick",
            "--micrographs",
            *part,
            "--pixel-size",
            pixel_size,
            "--particle-diameter",
            diameter,
            "--model",
            model,
            "--device",
            "cpu",
            "--threads",
            bench.options.speed_threads,
            "--output",
            bench.folder(f"speed {network} {case} {len(part)}"),
        )
        runs.append((len(part), cpu, wall, memory))
    return slope(runs)


def slope(runs):
    """Figures of [(count, cpu, wall, memory)] x 2."""
    (n1, cpu1, wall1, _), (n2, cpu2, wall2, memory) = runs
    cpu = (cpu2 - cpu1) / (n2 - n1)
    return dict(cpu=cpu, wall=(wall2 - wall1) / (n2 - n1), start=cpu1 - n1 * cpu, memory=memory)


def _topaz(bench):
    """Topaz's preprocessing and its pretrained resnet8_u64 at scale 8."""
    runs = []
    for part in (_micrographs(bench, 1), _micrographs(bench, 3)):
        images, first = bench.topaz.preprocess(part, 8, f"noise-{len(part)}")
        second = bench.topaz.extract("resnet8_u64", images, 112, 8, bench.output / "work" / f"noise-{len(part)}.txt")
        if first is None:
            raise ValueError("The preprocessed noise is there from another run; remove noise-1 and noise-3.")
        runs.append((len(part), first[0] + second[0], first[1] + second[1], max(first[2], second[2])))
    return slope(runs)


def tables(bench):
    rows = []
    for network in NETWORKS:
        for case, (pixel_size, diameter) in enumerate(CASES):
            f = bench.figures.get(f"speed/{network}/{case}")
            if f or case == USUAL:
                rows.append([f"{network}, {diameter} Å at {pixel_size} Å/px", *_cells(f)])
    rows.append(["Topaz resnet8_u64, scale 8 (preprocess + extract)", *_cells(bench.figures.get("speed/Topaz"))])
    training = []
    for network in (*NETWORKS, "Topaz"):
        f = bench.figures.get(f"labels/empiar10017/100/0/{network}")
        training.append(
            [network, *([f"{f['cpu']:.0f}", f"{f['wall']:.0f}", f"{f['memory']:.0f}"] if f else [None] * 3)]
        )
    head = ["CPU s", "wall s", "peak memory MB"]
    return (
        table(["picking", "CPU s per micrograph", "wall s per micrograph", "start-up CPU s", "peak memory MB"], rows)
        + "\n\nTraining on 100 positives of EMPIAR-10017, one thread, start-up included:\n\n"
        + table(["training", *head], training)
    )


def _cells(f):
    return [f"{f['cpu']:.2f}", f"{f['wall']:.2f}", f"{f['start']:.1f}", f"{f['memory']:.0f}"] if f else [None] * 4
