#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classification of subtomograms of another simulator than the project's, with few to learn from.

    PYTHON benchmarks/subtomograms_elsewhere.py OUTPUT [--snr 0.5 0.1] [--training 50] [--test 20] [--seed 1]

PYTHON is the engine's. Five structures, box 32 at 10 Å/px, protein dark. Each subtomogram is turned and moved (2 px) by
interpolation of a map, multiplied by the absolute value of a CTF of 2 to 5 µm, white noise is added, and both are cut
by a wedge with sharp edges (tilts of ±60° about y). SNR: variance of the noise-free, filtered box over that of its
noise, over the whole box. Neither angles nor shifts are told. Two further structures, made alike, and noise are of
no class. OUTPUT/figures.json has the accuracies, the part of known ones that is called unknown, of any other class, and
the part of strangers and of noise that is called unknown.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from common import cryodl, data_folder
from parts import engine_path

BOX, PIXEL_SIZE, TILT, SHIFT = 32, 10.0, 60.0, 2.0
KINDS = (
    "complexes/3C91.pdb.gz",
    "maps/SIM_5MRC_10A.mrc.gz",
    "maps/SIM_4V94_10A.mrc.gz",
    "complexes/1QVR.pdb.gz",
    "complexes/4V4R_30S.pdb.gz",
)
STRANGERS = ("complexes/1AON.pdb.gz", "maps/SIM_4CR2_10A.mrc.gz")  # of no class; a third is noise alone


def frequencies():
    """z, y, x and |k| in 1/Å on the grid of rfftn."""
    axes = [np.fft.fftfreq(BOX, PIXEL_SIZE)] * 2 + [np.fft.rfftfreq(BOX, PIXEL_SIZE)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z, y, x, np.sqrt(z**2 + y**2 + x**2)


def contrast_transfer(k, defocus, voltage=300e3, spherical=2.7e7, amplitude=0.1):
    """CTF at spatial frequencies (1/Å); defocus: Å, positive under focus."""
    wavelength = 12.2643 / np.sqrt(voltage + 0.97845e-6 * voltage**2)
    phase = np.pi * wavelength * k**2 * (defocus - 0.5 * spherical * wavelength**2 * k**2)
    return np.sqrt(1 - amplitude**2) * np.sin(phase) + amplitude * np.cos(phase)


def subtomogram(density, snr, rng, empty=False):
    """One volume (z, y, x) of a density (BOX, BOX, BOX). empty: only the noise of one."""
    from scipy.ndimage import affine_transform
    from scipy.spatial.transform import Rotation

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
    import mrcfile

    from cryodl.io.star import write_tables

    folder.mkdir(parents=True)
    rows = [(number, n) for n in range(count) for number in range(1, len(densities) + 1)]
    for number, n in rows:
        with mrcfile.new(folder / f"{number}_{n:03d}.mrc") as mrc:
            mrc.set_data(subtomogram(densities[number - 1], snr, rng, number == empty))
            mrc.voxel_size = PIXEL_SIZE
    particles = dict(
        rlnImageName=[f"{folder.name}/{number}_{n:03d}.mrc" for number, n in rows],
        rlnTomoName=[f"tomo_{n % 5}" for _, n in rows],
        rlnOpticsGroup=[1] * len(rows),
        rlnClassNumber=[number for number, _ in rows],
        cryodlTiltMin=[-TILT] * len(rows),
        cryodlTiltMax=[TILT] * len(rows),
    )
    optics = dict(rlnOpticsGroup=[1], rlnImagePixelSize=[PIXEL_SIZE], rlnImageSize=[BOX], rlnImageDimensionality=[3])
    optics.update(rlnVoltage=[300.0], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    path = folder.with_suffix(".star")
    write_tables(path, {"optics": optics, "particles": particles})
    return path


def densities_of(data, kinds):
    """Densities of structures as arrays of BOX voxels."""
    from cryodl.core.volumes import cube_crop
    from cryodl.simulate.structures import load_density

    return [
        cube_crop(load_density(str(data / "structures" / kind), PIXEL_SIZE)[None], BOX)[0].numpy() for kind in kinds
    ]


def measure(output, densities, strangers, snr, options):
    """Figures of a classifier that learns from `training` of each and is tested on `test` others of each."""
    rng, folder = np.random.default_rng(options.seed), output / f"snr_{snr:g}"
    learnt = write_set(folder / "training", densities, options.training, snr, rng)
    tested = write_set(folder / "test", densities, options.test, snr, rng)
    strange = write_set(folder / "strange", strangers, options.test, snr, rng, len(strangers))
    shared = ("--device", "cpu", "--threads", 1)
    _, cpu, _, _ = cryodl("train-classifier", "--subtomograms", learnt, "--output", folder / "model", *shared)
    ground_truth, told = classified(folder, tested, shared)
    kind, called = classified(folder, strange, shared)
    return dict(
        snr=snr,
        seed=options.seed,
        accuracy=float((told == ground_truth).mean()),
        unknown=float((told == 0).mean()),
        confused=float(((told != ground_truth) & (told != 0)).mean()),
        strangers=float((called[kind < len(strangers)] == 0).mean()),
        noise=float((called[kind == len(strangers)] == 0).mean()),
        tested=len(ground_truth),
        training_cpu=round(cpu),
    )


def classified(folder, star, shared):
    """Numbers of the structures, and the classes that are told, two arrays (n,)."""
    from cryodl.io.star import read_tables

    found = folder / f"classified_{star.stem}.star"
    options = ("--model", folder / "model", "--output", found, "--no-averages", *shared)
    cryodl("classify-subtomograms", "--subtomograms", star, *options)
    told = read_tables(found)["particles"]
    ground_truth = [int(name.split("/")[-1].split("_")[0]) for name in told["rlnImageName"]]
    return np.array(ground_truth), np.array([int(number) for number in told["rlnClassNumber"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--snr", nargs="+", type=float, default=[0.5, 0.1])
    parser.add_argument("--training", type=int, default=50)
    parser.add_argument("--test", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    engine_path()
    densities, strangers = (densities_of(data_folder(), kinds) for kinds in (KINDS, STRANGERS))
    strangers.append(strangers[0])
    figures = {}
    for snr in options.snr:
        figures[f"{snr:g}"] = measure(options.output, densities, strangers, snr, options)
        (options.output / "figures.json").write_text(json.dumps(figures, indent=1))
        print(snr, figures[f"{snr:g}"], flush=True)


if __name__ == "__main__":
    main()
