# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated tomograms, what an annotator draws on a few tiles of them, and subtomograms."""

import gzip
import json

import numpy as np
from bench import CPU, cryodl, flags, structure_file

from cryodl.io import star, tomograms, volume_writer

PIXEL_SIZE = 13.0  # Å/px
# Six of different sizes and shapes, from 540 kDa to 3 MDa; no network was developed on them.
CLASSES = ("SIM_4CR2_10A", "SIM_5MRC_10A", "4V4R_30S", "5H64", "1QVR", "1BXN")
TILE, POSITIVE, NEGATIVE = 64, 10, 100
MINIMUM = 0.03  # of a tile is the feature, else nobody would draw on it
STROKE = 8  # px of a drawing that count as one stroke


def structure(run, name, called=None):
    """Path of a structure, under a name of its own; maps are unpacked, for headers are read without unpacking."""
    source = structure_file(name)
    packed = source.name.endswith(".mrc.gz")
    path = run.output / "structures" / ((called or name) + (".mrc" if packed else "".join(source.suffixes[-2:])))
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes((gzip.open if packed else open)(source, "rb").read())
    return path


def cells(run, name, structures, copies, **values):
    """Folder of simulated tomograms with labels, made if it is not there. structures: {called: name}, or names. values:
    options of `cryodl simulate-tomograms`."""
    called = structures if isinstance(structures, dict) else dict(zip(structures, structures))
    paths = [structure(run, file, own) for own, file in called.items()]
    given = ("--structures", *paths, "--copies", *copies, *flags(**values), *CPU)
    return run.kept(
        f"cells/{name}".replace(" ", "_"), lambda path: cryodl("simulate-tomograms", *given, "--output", path)
    )


def features(folder):
    """{name: label} of simulated tomograms."""
    return {f["name"]: f["label"] for f in json.loads((folder / "features.json").read_text())["features"]}


def tiles_to_draw(folder, label, output, seed=0, wrong=0.0):
    """Label volumes of which only POSITIVE tiles with a feature and NEGATIVE ones without it are annotated.

    folder: of simulated tomograms. label: of the feature. output: new folder. wrong: part of the strokes that is wrong,
    half of them left out, half drawn where nothing is.
    Returns the number of tiles of both kinds.
    """
    rng, paths = np.random.default_rng(seed), sorted((folder / "labels").glob("*.mrc"))
    ground_truth = [tomograms.Tomogram(path).raw() for path in paths]
    drawn, chosen = [np.full(volume.shape, 255, np.int16) for volume in ground_truth], {True: 0, False: 0}
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
        write_volume(output / path.name, volume, kind=np.int16)
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


def write_volume(path, values, pixel_size=PIXEL_SIZE, kind=np.float32):
    """A tomogram of a (z, y, x) array; its path."""
    with volume_writer.VolumeWriter(path, values.shape, pixel_size, kind) as writer:
        writer.write(0, values)
    return path


def subtomograms(run, snr, tilt, count, seed, box=40, kinds=CLASSES):
    """STAR file of simulated subtomograms of all kinds, of 12 Å/px, which tells their class and nothing else: neither
    angles nor shifts; made if it is not there."""
    folder = run.output / f"subtomograms snr{snr:g} tilt{tilt} n{count} seed{seed} box{box}".replace(" ", "_")
    if not (folder / "unoriented.star").exists():
        folder.mkdir(exist_ok=True)
        given = ("--structures", *(structure(run, c) for c in kinds), "--snr", snr, "--count", count, "--box", box)
        tilts = ("--tilt-min", -tilt, "--tilt-max", tilt, "--pixel-size", 12.0, "--defocus", 40000, "--seed", seed)
        cryodl("simulate-subtomograms", *given, *tilts, "--output", folder / "all.star", *CPU)
        unoriented(folder)
    return folder / "unoriented.star"


def unoriented(folder):
    """Write folder/unoriented.star: what all.star tells but for angles and shifts."""
    told = lambda column: not column.lstrip("_").startswith(("rlnAngle", "rlnOrigin"))
    tables = star.read_tables(folder / "all.star").items()
    kept = {name: {k: v for k, v in columns.items() if told(k)} for name, columns in tables}
    star.write_tables(folder / "unoriented.star", kept)
