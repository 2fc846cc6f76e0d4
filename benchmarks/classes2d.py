# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classification: purity, views and time beside RELION, speed on 70,000 particles, and real particles.

    PYTHON benchmarks/classes2d.py --output FOLDER [--parts quality stability speed real stream] [--count 5000]
                                   [--classes 64] [--relion]

FOLDER gets classes2d.json with every figure, tables.md made of it, and pictures. SNR is the variance of the noise-free,
CTF-filtered images over the whole box over the variance of the noise.

The measures are those of classes2d_measures.py; the part stream is classes2d_stream.py.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from classes2d_data import MOLECULES, make_mixture
from classes2d_measures import measures, read_answer
from classes2d_stream import stream
from common import ROOT, SETS, cryodl, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
REAL = {"empiar10017": 72, "empiar10028": 72}  # box, px


def ours(star, classes, output, seed=0):
    """(path of particles.star, CPU seconds, wall seconds, MB)."""
    _, cpu, wall, memory = cryodl(
        "classify-2d", "--particles", star, "--classes", classes, "--output", output, "--threads", 1, "--seed", seed
    )
    return output / "particles.star", cpu, wall, memory


def relion(star, classes, folder, iterations=20):
    """As `ours`, of RELION 3.1's 2-D classification: one thread, 10 degrees, shifts to 4 px by 2."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        "relion_refine",
        "--i",
        star.name,
        "--o",
        f"{folder.resolve()}/run",
        "--ctf",
        "--iter",
        iterations,
        "--tau2_fudge",
        2,
        "--particle_diameter",
        230,
        "--K",
        classes,
        "--flatten_solvent",
        "--zero_mask",
        "--oversampling",
        0,
        "--psi_step",
        10,
        "--offset_range",
        4,
        "--offset_step",
        2,
        "--norm",
        "--scale",
        "--dont_combine_weights_via_disc",
        "--pool",
        30,
        "--preread_images",
        "--j",
        1,
        "--random_seed",
        1,
    ]
    start = time.monotonic()
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=star.parent,
            stdout=log,
            stderr=log,
            env=dict(os.environ, OMP_NUM_THREADS="1"),
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"relion_refine failed; see {folder / 'log.txt'}.")
    return (
        folder / f"run_it{iterations:03d}_data.star",
        usage.ru_utime + usage.ru_stime,
        time.monotonic() - start,
        usage.ru_maxrss / 1024,
    )


def quality(options):
    """[row] of measures, CPU seconds and memory on simulated mixtures."""
    rows = []
    for snr in options.snr:
        star = make_mixture(options.output / f"snr{snr:g}_{options.count}", MOLECULES, options.count, snr)
        ground_truth = dict(np.load(star.parent / "truth.npz"))
        programs = {"cryodl": ours} | ({"RELION": relion} if options.relion else {})
        for name, program in programs.items():
            folder = star.parent / f"{name}_{options.classes}"
            record = star.parent / f"{name}_{options.classes}.json"
            if not record.exists():
                answer, cpu, wall, memory = program(star, options.classes, folder)
                row = dict(
                    program=name,
                    snr=snr,
                    particles=options.count,
                    classes=options.classes,
                    molecules=list(MOLECULES),
                    **measures(*read_answer(answer), ground_truth),
                    cpu_seconds=cpu,
                    wall_seconds=wall,
                    megabytes=memory,
                )
                record.write_text(json.dumps(row))
            rows.append(json.loads(record.read_text()))
    return rows


def stability(options):
    """[row]: how alike two runs with other random numbers are, by the adjusted Rand index of their classes."""
    from sklearn.metrics import adjusted_rand_score

    rows = []
    for snr in options.snr:
        star = make_mixture(options.output / f"snr{snr:g}_{options.count}", MOLECULES, options.count, snr)
        found = []
        for seed in (0, 1):
            folder = star.parent / (f"cryodl_{options.classes}" + (f"_seed{seed}" if seed else ""))
            if not folder.exists():
                ours(star, options.classes, folder, seed)
            found.append(read_answer(folder / "particles.star")[0])
        rows.append(
            dict(
                snr=snr,
                particles=options.count,
                classes=options.classes,
                adjusted_rand=float(adjusted_rand_score(*found)),
            )
        )
    return rows


def speed(options):
    """[row] of time and memory on many particles."""
    star = make_mixture(options.output / f"speed_{options.many}", MOLECULES, options.many, 0.05)
    record = star.parent / "speed.json"
    if not record.exists():
        answer, cpu, wall, memory = ours(star, options.many_classes, star.parent / "cryodl")
        ground_truth = dict(np.load(star.parent / "truth.npz"))
        labels = read_answer(answer)[0]
        right = sum(np.bincount(ground_truth["molecule"][labels == k]).max() for k in np.unique(labels))
        record.write_text(
            json.dumps(
                dict(
                    particles=options.many,
                    classes=options.many_classes,
                    cpu_seconds=cpu,
                    wall_seconds=wall,
                    megabytes=memory,
                    purity=right / len(labels),
                )
            )
        )
    return [json.loads(record.read_text())]


def cut_particles(name, folder):
    """particles.star of the labelled particles of a real set, cut from its micrographs; no CTF is known of them."""
    import mrcfile

    from cryodl.io.particle_sets import StackWriter
    from cryodl.io.star import write_tables
    from cryodl.io.star_columns import read_star_column

    source, pixel_size = data_folder() / SETS[name][0], SETS[name][1]
    box, images, names = REAL[name], [], []
    for path in sorted((source / "coords").glob("*.star")):
        with mrcfile.open(source / "micrographs" / f"{path.stem}.mrc", permissive=True) as mrc:
            micrograph = np.asarray(mrc.data, np.float32)
        x, y = (np.array(read_star_column(str(path), f"_rlnCoordinate{axis}"), float) for axis in "XY")
        for cx, cy in zip(np.rint(x).astype(int), np.rint(y).astype(int)):
            top, left = cy - box // 2, cx - box // 2
            if min(top, left) >= 0 and top + box <= micrograph.shape[0] and left + box <= micrograph.shape[1]:
                images.append(-micrograph[top : top + box, left : left + box])
                names.append(f"{path.stem}.mrc")
    folder.mkdir(parents=True, exist_ok=True)
    with StackWriter(str(folder / "particles.mrcs"), len(images), box, pixel_size) as stack:
        stack.add(np.stack(images))
    write_tables(
        folder / "particles.star",
        {
            "optics": {
                "rlnOpticsGroup": [1],
                "rlnOpticsGroupName": ["one"],
                "rlnImagePixelSize": [pixel_size],
                "rlnImageSize": [box],
                "rlnImageDimensionality": [2],
            },
            "particles": {
                "rlnImageName": [f"{n + 1:06d}@particles.mrcs" for n in range(len(images))],
                "rlnMicrographName": names,
                "rlnOpticsGroup": np.ones(len(images), int),
            },
        },
    )
    return folder / "particles.star"


def real(options):
    """[row] of each real set; its averages are drawn into NAME.png."""
    rows = []
    for name, classes in (("empiar10017", 40), ("empiar10028", 10)):
        folder = options.output / name
        if not (folder / "cryodl").exists():
            star = cut_particles(name, folder)
            _, cpu, wall, memory = ours(star, classes, folder / "cryodl")
            (folder / "real.json").write_text(
                json.dumps(dict(set=name, classes=classes, cpu_seconds=cpu, wall_seconds=wall, megabytes=memory))
            )
        draw_classes(folder / "cryodl", options.output / f"{name}.png")
        rows.append(json.loads((folder / "real.json").read_text()))
    return rows


def draw_classes(folder, path, columns=10):
    """A picture of all averages of a classification, each with its class, particles and score."""
    import matplotlib

    from cryodl.io.stacks import read_images
    from cryodl.particles.classes2d.selection import read_classes

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = read_classes(str(folder / "classes.star"))
    images = read_images([str(folder / "classes.mrcs")] * len(table.numbers), range(len(table.numbers)))
    rows = -(-len(images) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(1.15 * columns, 1.35 * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, number, count, score in zip(axes.flat, images, table.numbers, table.counts, table.scores):
        low, high = np.percentile(image, (1, 99.7))
        axis.imshow(image, cmap="gray", vmin=low, vmax=high)
        axis.set_title(f"{number}: {count}, {score:.2f}", fontsize=7, pad=2)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def tables(found):
    """The tables of a report, as markdown."""
    lines = []
    for part, rows in found.items():
        if rows:
            columns = [name for name in rows[0] if name != "molecules"]
            lines += [f"## {part}", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
            lines += [
                "| "
                + " | ".join(
                    f"{row[c]:.3g}"
                    if isinstance(row[c], float) and row[c] < 100
                    else f"{row[c]:.0f}"
                    if isinstance(row[c], float)
                    else str(row[c])
                    for c in columns
                )
                + " |"
                for row in rows
            ] + [""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/classes2d"))
    parts = ("quality", "stability", "speed", "real", "stream")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=64)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.03])
    parser.add_argument("--relion", action="store_true", help="run relion_refine on the same particles")
    parser.add_argument("--many", type=int, default=70000, help="particles of the part speed")
    parser.add_argument("--many-classes", type=int, default=256)
    parser.add_argument("--first", type=int, default=2000, help="part stream: particles that are classified")
    parser.add_argument("--batch", type=int, default=500, help="part stream: particles that are assigned at a time")
    parser.add_argument("--seeds", type=int, default=3, help="part stream: runs")
    parser.add_argument("--figures", type=Path, help="part stream: file for its rows")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    work = dict(quality=quality, stability=stability, speed=speed, real=real, stream=stream)
    found = {part: work[part](options) for part in options.parts}
    (options.output / "classes2d.json").write_text(json.dumps(found, indent=2) + "\n")
    (options.output / "tables.md").write_text(tables(found))
    print(tables(found))


if __name__ == "__main__":
    main()
