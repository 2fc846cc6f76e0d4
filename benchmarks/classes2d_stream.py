# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes of particles that arrive: the first ones classified, the others assigned in batches, beside all at once.

    PYTHON benchmarks/classes2d.py --parts stream --output FOLDER --snr 0.1 [--count 5000] [--classes 64]
                                   [--first 2000] [--batch 500] [--seeds 3] [--figures FILE]

--figures writes the rows to a file of benchmarks/figures, of which the table in docs/classification_2d.md is made.
The measures are those of classes2d_measures.py, of all particles.
"""

import json
import time

import numpy as np
from classes2d_data import MOLECULES, make_mixture
from classes2d_measures import measures, read_answer
from common import cryodl


def stream(options):
    """[row] of measures and CPU seconds of three ways, for each SNR and seed."""
    from cryodl.io.particle_sets import read_particles, write_particles_star

    rows = []
    for snr in options.snr:
        star = make_mixture(options.output / f"snr{snr:g}_{options.count}", MOLECULES, options.count, snr)
        particles = read_particles(star)
        edges = [0, *range(options.first, options.count, options.batch), options.count]
        parts = []
        for start, stop in zip(edges, edges[1:]):
            parts.append(star.parent / f"particles_{start}_{stop}.star")
            write_particles_star(parts[-1], particles.subset(slice(start, stop)))
        for seed in range(options.seeds):
            record = star.parent / f"stream_{options.classes}_{options.first}_{options.batch}_seed{seed}.json"
            if not record.exists():
                record.write_text(json.dumps(_three_ways(star, parts, options, snr, seed)))
            rows += json.loads(record.read_text())
    if options.figures:
        options.figures.write_text(json.dumps(dict(rows=rows), indent=1) + "\n")
    return rows


def _three_ways(star, parts, options, snr, seed):
    folder = star.parent / f"stream_{options.classes}_seed{seed}_{time.time_ns()}"
    folder.mkdir()
    ground_truth = dict(np.load(star.parent / "truth.npz"))
    common = ("--threads", 1, "--seed", seed)

    def row(way, answers, cpu):
        joined = [np.concatenate(values) for values in zip(*map(read_answer, answers))]
        return dict(
            way=way,
            snr=snr,
            seed=seed,
            particles=options.count,
            first=options.first,
            batch=options.batch,
            classes=options.classes,
            **measures(*joined, ground_truth),
            cpu_seconds=cpu,
        )

    def run(particles, output, *more):
        _, cpu, _, _ = cryodl("classify-2d", "--particles", particles, "--output", output, *more, *common)
        return output / "particles.star", cpu

    answer, cpu = run(star, folder / "whole", "--classes", options.classes)
    rows = [row("all at once", [answer], cpu)]
    done = [run(parts[0], folder / "part0", "--classes", options.classes)]
    for number, part in enumerate(parts[1:], 1):
        done.append(run(part, folder / f"part{number}", "--classes-from", folder / f"part{number - 1}"))
    answers, cpus = zip(*done)
    rows.append(row("streamed", answers, sum(cpus)))
    rows[-1]["first_cpu_seconds"] = cpus[0]
    answer, cpu = run(star, folder / "again", "--classes-from", folder / f"part{len(parts) - 1}", "--again")
    rows.append(row("streamed, then all again", [answer], sum(cpus) + cpu))
    rows[-1]["again_cpu_seconds"] = cpu
    return rows
