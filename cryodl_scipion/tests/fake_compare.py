# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake engine says of several sets of picks and of micrographs; the real commands have their own tests."""

import json
import os

from cryodl import contract

NAMES = ("compare-picks", "consensus-picks", "assess-micrographs", "compare-maps-of-picks")


def compare(config):
    """Metrics that depend on the number of picks alone."""
    sets = dict(text.split("=", 1) for text in config.picks)
    counts = {
        name: sum(len(rows(os.path.join(folder, file))) for file in stars(folder)) for name, folder in sets.items()
    }
    metrics = (
        {
            name: dict(
                precision=0.9 - 0.1 * i,
                recall=0.8,
                f1=0.85 - 0.05 * i,
                average_precision=0.88,
                picks=counts[name],
                reference=10,
            )
            for i, name in enumerate(sets)
        }
        if config.reference
        else {}
    )
    agreement = [
        [1.0 if i == j else 0.5 + 0.1 * (i + j) / len(sets) for j in range(len(sets))] for i in range(len(sets))
    ]
    micrographs = len({file for folder in sets.values() for file in stars(folder)})
    comparison = dict(
        sets=list(sets),
        counts=counts,
        metrics=metrics,
        all_candidates={},
        agreement=agreement,
        micrographs=micrographs,
        tolerance=config.tolerance,
        match_distance_px=5.0,
        notes=[],
        reference=config.reference,
    )
    os.makedirs(config.output)
    with open(os.path.join(config.output, "comparison.json"), "w") as file:
        json.dump(comparison, file)
    pictures = dict(agreement_plot=None, curves_plot=None)
    if config.reference:
        pictures["curves_plot"] = os.path.join(config.output, "curves.png")
        drawCurves(pictures["curves_plot"])
    return dict(
        comparison, folder=config.output, comparison=os.path.join(config.output, "comparison.json"), **pictures
    ), []


def drawCurves(path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4))
    figure.subplots().plot([0, 0.8, 1], [1, 0.9, 0.2])
    figure.savefig(path)


def consensus(config):
    """The picks of the first set; every second one was found by all sets, the others by one."""
    folder, number = config.picks[0].split("=", 1)[1], len(config.picks)
    os.makedirs(os.path.join(config.output, "candidates"))
    paths, counts = {}, {}
    for file in stars(folder):
        found = [
            row[:2] + [row[2] if len(row) > 2 else 1.0, number if i % 2 == 0 else 1]
            for i, row in enumerate(rows(os.path.join(folder, file)))
        ]
        kept = [
            r
            for r in found
            if (r[3] >= config.minimum_sets if config.rule == "at-least" else r[2] >= config.minimum_score)
        ]
        name = file[:-5]
        paths[name], counts[name] = os.path.join(config.output, file), len(kept)
        writeFound(paths[name], kept)
        writeFound(os.path.join(config.output, "candidates", file), found)
    return dict(
        coordinates=paths,
        counts=counts,
        picks=sum(counts.values()),
        sets=[t.split("=")[0] for t in config.picks],
        groups={},
        folder=config.output,
        pixel_size=config.pixel_size,
    ), []


def writeFound(path, found):
    lines = [
        "data_",
        "",
        "loop_",
        "_rlnCoordinateX #1",
        "_rlnCoordinateY #2",
        "_rlnAutopickFigureOfMerit #3",
        "_cryodlNumberOfSets #4",
    ] + [f"{x:.3f} {y:.3f} {score:.6f} {int(sets)}" for x, y, score, sets in found]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def assess(config):
    """The number in a micrograph's name decides: mic_003 has 30 % carbon."""
    metrics, skipped = {}, []
    os.makedirs(config.output, exist_ok=True)
    with open(os.path.join(config.output, "..", "..", "assessed.log"), "a") as log:
        log.write("".join(name + "\n" for name in config.names))
    for name, path in zip(config.names, config.micrographs):
        if os.path.getsize(path) < 4096:
            skipped.append(contract.Skipped(name, path, "the file is shorter than its header says"))
            continue
        picks = rows(os.path.join(config.coordinates, name + ".star")) if config.coordinates else None
        carbon = 10.0 * int(name.rsplit("_", 1)[1])
        bad = config.maximum_carbon is not None and carbon > config.maximum_carbon
        scores = [row[2] for row in picks or [] if len(row) > 2]
        metrics[name] = dict(
            particles=None if picks is None else len(picks),
            carbon_percent=carbon,
            mean_score=sum(scores) / len(scores) if scores else None,
            contaminated_percent=carbon / 4,
            ice_gradient=1.5,
            background=100.0 + carbon,
            verdict="bad" if bad else "good",
            reason=f"carbon {carbon:.0f} %" if bad else "",
        )
    if not metrics:
        raise contract.AllSkipped(f"Of {contract.counted(len(skipped), 'micrograph')}, none could be read.")
    verdicts = {kind: [n for n, f in metrics.items() if f["verdict"] == kind] for kind in ("good", "bad")}
    return dict(
        metrics=metrics, table=os.path.join(config.output, "micrographs.csv"), folder=config.output, **verdicts
    ), skipped


def compareMaps(config):
    """Maps of one voxel's value each; 10 Å of the first set, 1 Å worse of each further one. Sets of two picks give
    none."""
    import mrcfile
    import numpy as np

    os.makedirs(config.output)
    given = ([f"reference={config.reference}"] if config.reference else []) + list(config.picks)
    sets = dict(text.split("=", 1) for text in given)
    counts = {name: sum(len(rows(os.path.join(path, file))) for file in stars(path)) for name, path in sets.items()}
    skipped = [contract.Skipped(name, sets[name], "too few particles") for name, count in counts.items() if count < 3]
    names = [name for name, count in counts.items() if count >= 3]
    files = {part: {} for part in ("maps", "half1", "half2")}
    for number, name in enumerate(names):
        for part in files:
            files[part][name] = os.path.join(config.output, f"{number:02d}_{part}.mrc")
            with mrcfile.new(files[part][name]) as mrc:
                mrc.set_data(np.full((16, 16, 16), number, np.float32))
                mrc.voxel_size = config.pixel_size
    resolution = {name: 10.0 + number for number, name in enumerate(names)}
    curves = {name: [1.0, 0.9, 0.8, 0.5, 0.3, 0.1, 0.0, 0.0, 0.0] for name in names}
    record = dict(
        sets=names,
        picks={name: counts[name] for name in names},
        particles={name: counts[name] for name in names},
        resolution=resolution,
        noise_resolution=dict.fromkeys(names),
        structure_resolution=resolution,
        loss={name: 10.0 * number for number, name in enumerate(names)},
        measured_by=names[0],
        fsc=curves,
        structure_fsc=curves,
        **files,
        micrographs=len(config.micrographs),
        search_resolution=17.0,
        particle_diameter=170.0,
        box=16,
        pixel_size=config.pixel_size,
        folder=config.output,
        comparison=os.path.join(config.output, "maps.json"),
        table=os.path.join(config.output, "maps.csv"),
        curves_plot=os.path.join(config.output, "fsc.png"),
        ctf=config.ctf or os.path.join(config.output, "ctf.star"),
        notes=["A remark."],
    )
    with open(record["comparison"], "w") as file:
        json.dump(record, file)
    return record, skipped


def stars(folder):
    return sorted(file for file in os.listdir(folder) if file.endswith(".star"))


def rows(path):
    """[[number, ...], ...] of a STAR file."""
    with open(path) as file:
        return [
            [float(word) for word in line.split()]
            for line in file
            if line.split() and line.split()[0].lstrip("-").replace(".", "", 1).isdigit()
        ]


WORK = dict(zip(NAMES, (compare, consensus, assess, compareMaps)))
