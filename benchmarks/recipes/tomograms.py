# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated tomograms, what an annotator draws on a few tiles of them, and subtomograms of two simulators."""

import gzip
import json

import mrcfile
import numpy as np
from bench import CPU, cryodl, flags, structure_file
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from cryodl.core.volumes import cube_crop
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomograms import Tomogram, VolumeWriter
from cryodl.simulate.structures import load_density

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
    half of them left out, half drawn where nothing is. Returns the number of tiles of both kinds.
    """
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
    with VolumeWriter(path, values.shape, pixel_size, kind) as writer:
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
        told = lambda column: not column.lstrip("_").startswith(("rlnAngle", "rlnOrigin"))
        tables = read_tables(folder / "all.star").items()
        kept = {name: {k: v for k, v in columns.items() if told(k)} for name, columns in tables}
        write_tables(folder / "unoriented.star", kept)
    return folder / "unoriented.star"


# ----- subtomograms of another simulator: turned and moved by interpolation of a map, multiplied by the absolute value
# of a CTF, white noise added, and both cut by a wedge with sharp edges
BOX, OTHER_PIXEL_SIZE, TILT, SHIFT = 32, 10.0, 60.0, 2.0


def frequencies():
    """z, y, x and |k| in 1/Å on the grid of rfftn."""
    axes = [np.fft.fftfreq(BOX, OTHER_PIXEL_SIZE)] * 2 + [np.fft.rfftfreq(BOX, OTHER_PIXEL_SIZE)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z, y, x, np.sqrt(z**2 + y**2 + x**2)


def contrast_transfer(k, defocus, voltage=300e3, spherical=2.7e7, amplitude=0.1):
    """CTF at spatial frequencies (1/Å); defocus: Å, positive under focus."""
    wavelength = 12.2643 / np.sqrt(voltage + 0.97845e-6 * voltage**2)
    phase = np.pi * wavelength * k**2 * (defocus - 0.5 * spherical * wavelength**2 * k**2)
    return np.sqrt(1 - amplitude**2) * np.sin(phase) + amplitude * np.cos(phase)


def subtomogram(density, snr, rng, empty=False):
    """One volume (z, y, x) of a density (BOX, BOX, BOX). empty: only the noise of one."""
    rotation, middle = Rotation.random(random_state=rng).as_matrix(), np.full(3, BOX // 2)
    offset = middle - rotation @ (middle + rng.normal(0, SHIFT / 2, 3).clip(-SHIFT, SHIFT))
    z, _, x, k = frequencies()
    kept = np.abs(z) <= np.tan(np.radians(TILT)) * np.abs(x) + 1e-9
    seen = np.abs(contrast_transfer(k, rng.uniform(2e4, 5e4))) * kept
    clean = np.fft.irfftn(
        np.fft.rfftn(affine_transform(density, rotation, offset, order=3)) * seen, s=density.shape, axes=(0, 1, 2)
    )
    noise = np.fft.irfftn(np.fft.rfftn(rng.standard_normal(density.shape)) * kept, s=density.shape, axes=(0, 1, 2))
    noise *= clean.std() / noise.std() / np.sqrt(snr)
    return (-(noise if empty else clean + noise)).astype(np.float32)


def write_set(folder, densities, count, snr, rng, empty=None):
    """A STAR file with `count` subtomograms of each density, the one of number `empty` (from 1) left out of its noise.
    Returns the file's path."""
    folder.mkdir(parents=True)
    rows = [(number, n) for n in range(count) for number in range(1, len(densities) + 1)]
    for number, n in rows:
        with mrcfile.new(folder / f"{number}_{n:03d}.mrc") as mrc:
            mrc.set_data(subtomogram(densities[number - 1], snr, rng, number == empty))
            mrc.voxel_size = OTHER_PIXEL_SIZE
    particles = dict(
        rlnImageName=[f"{folder.name}/{number}_{n:03d}.mrc" for number, n in rows],
        rlnTomoName=[f"tomo_{n % 5}" for _, n in rows],
        rlnOpticsGroup=[1] * len(rows),
        rlnClassNumber=[number for number, _ in rows],
        cryodlTiltMin=[-TILT] * len(rows),
        cryodlTiltMax=[TILT] * len(rows),
    )
    optics = dict(
        rlnOpticsGroup=[1], rlnImagePixelSize=[OTHER_PIXEL_SIZE], rlnImageSize=[BOX], rlnImageDimensionality=[3]
    )
    optics.update(rlnVoltage=[300.0], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    path = folder.with_suffix(".star")
    write_tables(path, {"optics": optics, "particles": particles})
    return path


def densities_of(kinds):
    """Densities of structures as arrays of BOX voxels."""
    return [
        cube_crop(load_density(str(structure_file(kind)), OTHER_PIXEL_SIZE)[None], BOX)[0].numpy() for kind in kinds
    ]
