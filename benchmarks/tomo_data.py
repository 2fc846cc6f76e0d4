# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated tomograms and subtomograms of the benchmarks, and what an annotator draws on a few tiles of them."""

import gzip
import json
import shutil

import numpy as np
from common import cryodl
from parts import engine_path

PIXEL_SIZE = 13.0  # Å/px
RIBOSOME, PROTEASOME = "maps/SIM_4V4R_70S_10A.mrc.gz", "complexes/3J9I.pdb.gz"
# Six of different sizes and shapes, from 540 kDa to 3 MDa; no network was developed on them.
CLASSES = (
    "maps/SIM_4CR2_10A.mrc.gz",
    "maps/SIM_5MRC_10A.mrc.gz",
    "complexes/4V4R_30S.pdb.gz",
    "complexes/5H64.pdb.gz",
    "complexes/1QVR.pdb.gz",
    "complexes/1BXN.pdb.gz",
)
TILE, POSITIVE, NEGATIVE = 64, 10, 100
MINIMUM = 0.03  # of a tile is the feature, else nobody would draw on it
STROKE = 8  # px of a drawing that count as one stroke


def structure(bench, name):
    """Path of a structure; maps are unpacked, for headers are read without unpacking."""
    source = bench.data / "structures" / name
    if not name.endswith(".mrc.gz"):
        return source
    path = bench.output / "structures" / source.name[:-3]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        with gzip.open(source) as packed, open(path, "wb") as file:
            shutil.copyfileobj(packed, file)
    return path


def cells(bench, seed, count=2):
    """Folder of `count` simulated tomograms with labels; made if it is not there."""
    folder = bench.output / "cells" / f"snr{bench.options.tomogram_snr:g}_seed{seed}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        options = bench.options
        area = (options.size / 256) ** 2
        cryodl(
            "simulate-tomograms",
            "--structures",
            structure(bench, RIBOSOME),
            structure(bench, PROTEASOME),
            "--copies",
            round(45 * area),
            round(40 * area),
            "--pixel-size",
            PIXEL_SIZE,
            "--size",
            options.size,
            "--thickness",
            options.thickness,
            "--count",
            count,
            "--vesicles",
            3,
            "--membranes",
            1,
            "--microtubules",
            6,
            "--filaments",
            12,
            "--snr",
            options.tomogram_snr,
            "--seed",
            seed,
            "--output",
            folder,
            "--device",
            "cpu",
            "--threads",
            1,
        )
    return folder


def features(folder):
    """{name: label} of simulated tomograms."""
    return {f["name"]: f["label"] for f in json.loads((folder / "features.json").read_text())["features"]}


def tiles_to_draw(folder, label, output, seed=0, wrong=0.0):
    """Label volumes of which only POSITIVE tiles with a feature and NEGATIVE ones without it are annotated.

    folder: of simulated tomograms. label: of the feature. output: new folder. wrong: part of the strokes that is wrong,
    half of them left out, half drawn where nothing is. Returns the number of tiles of both kinds.
    """
    engine_path()
    from cryodl.io.tomograms import Tomogram, VolumeWriter

    rng = np.random.default_rng(seed)
    paths = sorted((folder / "labels").glob("*.mrc"))
    ground_truth = [Tomogram(path).raw() for path in paths]
    drawn = [np.full(volume.shape, 255, np.int16) for volume in ground_truth]
    chosen = {True: 0, False: 0}
    for _ in range(200000):
        number = rng.integers(len(ground_truth))
        corner = [int(rng.integers(n - size + 1)) for n, size in zip(ground_truth[number].shape, (1, TILE, TILE))]
        position = tuple(slice(c, c + size) for c, size in zip(corner, (1, TILE, TILE)))
        tile = ground_truth[number][position][0] == label
        positive = bool(tile.mean() > MINIMUM)
        if (tile.any() and not positive) or chosen[positive] >= (POSITIVE if positive else NEGATIVE):
            continue
        if positive and not (drawn[number][position] == 255).all():
            continue
        drawing = _with_wrong_strokes(tile, wrong, rng) if positive else tile
        drawn[number][position] = np.where(drawing, label, np.where(drawn[number][position] == label, label, 0))
        chosen[positive] += 1
        if chosen == {True: POSITIVE, False: NEGATIVE}:
            break
    output.mkdir(parents=True)
    for path, volume in zip(paths, drawn):
        with VolumeWriter(output / path.name, volume.shape, PIXEL_SIZE, np.int16) as writer:
            writer.write(0, volume)
    return chosen[True], chosen[False]


def _with_wrong_strokes(drawing, wrong, rng):
    """A drawing (h, w) of which some squares of STROKE px are left out, and as many stand elsewhere."""
    squares = [
        (slice(y, y + STROKE), slice(x, x + STROKE)) for y in range(0, TILE, STROKE) for x in range(0, TILE, STROKE)
    ]
    strokes = [square for square in squares if drawing[square].any()]
    empty = [square for square in squares if not drawing[square].any()]
    result, number = drawing.copy(), round(wrong / 2 * len(strokes))
    for k in rng.permutation(len(strokes))[:number]:
        result[strokes[k]] = False
    for k, target in zip(rng.permutation(len(strokes))[:number], rng.permutation(len(empty))[:number]):
        result[empty[target]] = drawing[strokes[k]]
    return result


def subtomograms(bench, snr, tilt, count, seed, defocus=40000):
    """STAR file of simulated subtomograms of all CLASSES; made if it is not there."""
    path = bench.output / "subtomograms" / f"snr{snr:g}_tilt{tilt}_n{count}_seed{seed}.star"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        options = bench.options
        cryodl(
            "simulate-subtomograms",
            "--structures",
            *[structure(bench, c) for c in CLASSES],
            "--snr",
            snr,
            "--tilt-min",
            -tilt,
            "--tilt-max",
            tilt,
            "--count",
            count,
            "--box",
            options.box,
            "--pixel-size",
            options.subtomogram_pixel_size,
            "--defocus",
            defocus,
            "--seed",
            seed,
            "--output",
            path,
            "--device",
            "cpu",
            "--threads",
            1,
        )
    return path


def without_angles(star):
    """A copy of a STAR file of subtomograms that does not tell orientations and shifts."""
    path = star.with_name(star.stem + "_unoriented.star")
    if not path.exists():
        engine_path()
        from cryodl.io.star import read_tables, write_tables

        tables = read_tables(star)
        kept = {
            name: {k: v for k, v in columns.items() if not k.lstrip("_").startswith(("rlnAngle", "rlnOrigin"))}
            for name, columns in tables.items()
        }
        write_tables(path, kept)
    return path
