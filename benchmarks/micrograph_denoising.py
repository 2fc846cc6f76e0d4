# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoised micrographs beside the noise-free ones (simulated), and what picking makes of them (real).

    PYTHON benchmarks/micrograph_denoising.py [--topaz PYTHON_WITH_TOPAZ] [--parts simulated real noise] [--output DIR]

PYTHON is the engine's. Simulated micrographs come from `simulate_micrograph`, not from the generator of the training
scenes, and show molecules that the shipped denoiser did not learn from. SNR: variance of the noise-free, CTF-filtered
micrograph within the particles' circles over that of the noise, at the pixel size of the file. All images are compared
after a low-pass filter to 8 Å. --topaz: Python of an environment with topaz-em 0.3.20, whose pretrained `unet` denoises
the same files. Figures are kept in DIR/figures.json: a stopped run goes on there. All runs take one thread.
"""

import argparse
import json
from pathlib import Path

import mrcfile
import numpy as np
from common import cryodl, data_folder
from parts import Bench, engine_path, evaluate, pick
from topaz import Topaz

MOLECULES = {
    "beta-galactosidase": "8BK7.cif.gz",
    "GroEL": "1OEL.pdb.gz",
    "spike": "6VXX.pdb.gz",
    "proteasome": "3J9I.pdb.gz",
}
SNRS = (0.3, 0.1, 0.03)
TAUGHT = ("GroEL",)  # of which a denoiser is trained on the micrographs themselves, too
HALVES = 0.1  # SNR at which even frames are compared with odd ones
PIXEL_SIZE, SIDE, COUNT, PARTICLES, RESOLUTION = 2.0, 1280, 3, 60, 8.0
PARTS = ("simulated", "real", "noise")
SMOOTH = (0.0, 1.0, 2.0)  # px: standard deviation of the Gaussian that noise is smoothed by
REAL = ("empiar10017", "empiar10028")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--topaz", help="Python of an environment with topaz-em")
    parser.add_argument("--model", default="general_denoiser", help="the general denoiser: shipped name or folder")
    parser.add_argument("--output", default="benchmark_results/micrograph_denoising")
    parser.add_argument("--figures", help="JSON file for the figures")
    options = parser.parse_args()
    engine_path()
    bench = Bench(options, data_folder(), Topaz(options.topaz, "") if options.topaz else None)
    if "simulated" in options.parts:
        simulated(bench)
    if "real" in options.parts:
        for name in REAL:
            real_set(bench, bench.real(name))
    if "noise" in options.parts:
        for smooth in SMOOTH:
            bench.once(f"noise/{smooth:g}", lambda: left_of_noise(bench, smooth))
    if options.figures:
        Path(options.figures).write_text(json.dumps(bench.figures, indent=1) + "\n")


def simulated(bench):
    """Every way of denoising on every molecule and SNR."""
    for molecule in MOLECULES:
        for snr in SNRS:
            folder = make_set(bench, molecule, snr)
            ways = ["general"] + ["trained on them"] * (molecule in TAUGHT) + ["topaz"] * bool(bench.topaz)
            bench.once(f"simulated/{molecule}/{snr:g}/raw", lambda: radial(folder))
            for way in ways:
                bench.once(f"simulated/{molecule}/{snr:g}/{way}", lambda: way_figures(bench, folder, way))


def make_set(bench, molecule, snr):
    """Folder of <kind>/mic<n>.mrc: averages of even and of odd frames, their mean, and the noise-free micrograph."""
    import torch

    from cryodl.core.optics import Optics
    from cryodl.core.projections import Projector
    from cryodl.simulate.micrographs import particle_diameter, simulate_micrograph
    from cryodl.simulate.noise import MicroscopeNoise
    from cryodl.simulate.structures import load_density

    folder = bench.output / "sets" / f"{molecule}-{snr:g}"
    if (folder / "clean" / f"mic{COUNT - 1}.mrc").exists():
        return folder
    torch.set_num_threads(1)
    density = load_density(bench.data / "structures" / "complexes" / MOLECULES[molecule], PIXEL_SIZE)
    diameter = particle_diameter(density, PIXEL_SIZE) / PIXEL_SIZE
    projector, shape = Projector(density), (SIDE, SIDE)
    for index in range(COUNT):
        defocus = 8000.0 + 7000 * index
        optics = Optics(defocus, defocus, 0.0, 300.0, 2.7, 0.1)
        with_particles, without = (
            simulate_micrograph(
                projector, PIXEL_SIZE, shape, PARTICLES, strength, optics, np.random.default_rng((index, 77)), diameter
            ).image
            for strength in (snr, 0.0)  # with the same noise
        )
        clean = with_particles - without
        even, odd = (
            2**0.5 * MicroscopeNoise()(shape, PIXEL_SIZE, optics, np.random.default_rng((index, k))) for k in (1, 2)
        )
        images = dict(even=clean + even, odd=clean + odd, mean=clean + (even + odd) / 2, clean=clean)
        for kind, image in images.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            with mrcfile.new(folder / kind / f"mic{index}.mrc", overwrite=True) as mrc:
                mrc.set_data(image.numpy())
                mrc.voxel_size = PIXEL_SIZE
    return folder


def way_figures(bench, folder, way):
    """Figures of one way: agreement of what it makes of the whole dose with the truth, and of even with odd frames."""
    out = bench.folder(str(folder.name) + way)
    cost = denoise(bench, folder / "mean", out, PIXEL_SIZE, way)
    found = agreement(out, folder / "clean")
    if folder.name.endswith(f"-{HALVES:g}") and way != "trained on them":
        denoise(bench, folder / "even", out.with_name(out.name + "-even"), PIXEL_SIZE, way)
        found["even_odd"] = agreement(out.with_name(out.name + "-even"), folder / "odd")["correlation"]
    return dict(found, cpu=cost / COUNT)


def denoise(bench, source, out, pixel_size, way):
    """Denoise all micrographs of a folder into another one. Returns CPU seconds."""
    files = sorted(source.glob("*.mrc"))
    out.mkdir(parents=True)
    if way == "topaz":
        # in one piece: its usual patches of 1024 px with margins of 500 px cost three times as much
        return bench.topaz.run("denoise", "-o", out, "-d", -1, "--patch-size", -1, *files)[0]
    arguments = [
        "--micrographs",
        *files,
        "--pixel-size",
        pixel_size,
        "--output",
        out,
        "--device",
        "cpu",
        "--threads",
        1,
    ]
    model = () if way == "trained on them" else ("--model", bench.options.model)
    return cryodl("denoise-micrographs", *arguments, *model)[1]


def radial(folder):
    """Figures of the micrograph as it is, low-passed, and of the best radial filter there is, which the truth tells."""
    raw = agreement(folder / "mean", folder / "clean")
    even_odd = agreement(folder / "even", folder / "odd")["correlation"]
    best = agreement(folder / "mean", folder / "clean", filtered_by=best_radial)
    return dict(raw, even_odd=even_odd, best_radial=best["correlation"], best_radial_frc=best["mean_frc"])


def agreement(folder, ground_truth, filtered_by=None):
    """Mean correlation, and mean Fourier ring correlation up to 8 Å, of the micrographs of two folders."""
    correlations, curves = [], []
    for path in sorted(Path(ground_truth).glob("*.mrc")):
        first, second = (low_passed(read(Path(f) / path.name)) for f in (folder, ground_truth))
        first = filtered_by(first, second) if filtered_by else first
        correlations.append(float(np.corrcoef(first.ravel(), second.ravel())[0, 1]))
        curves.append(ring_correlation(first, second).mean())
    return dict(correlation=float(np.mean(correlations)), mean_frc=float(np.mean(curves)))


def read(path):
    """(h, w) float32 image without its slow background, which denoisers keep."""
    from scipy.ndimage import gaussian_filter

    image = np.array(mrcfile.read(path), np.float32)
    return image - gaussian_filter(image, 400 / PIXEL_SIZE, mode="nearest")


def rings(shape):
    """(h, w // 2 + 1) number of the ring of rfft2, one for each pixel of frequency of the image."""
    side = min(shape)
    return np.rint(side * np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])).astype(int)


def low_passed(image):
    """The image to 8 Å."""
    limit = min(image.shape) * PIXEL_SIZE / RESOLUTION
    return np.fft.irfft2(np.fft.rfft2(image) * (rings(image.shape) <= limit), s=image.shape)


def ring_correlation(first, second):
    """Fourier ring correlation of each ring from 1 to 8 Å."""
    a, b = np.fft.rfft2(first), np.fft.rfft2(second)
    ring = rings(first.shape)
    product, power, other = (
        np.bincount(ring.ravel(), x.ravel()) for x in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    last = int(min(first.shape) * PIXEL_SIZE / RESOLUTION)
    return (product / np.sqrt(np.maximum(power * other, 1e-30)))[1 : last + 1]


def best_radial(image, ground_truth):
    """The image after the radial filter that brings it nearest to the truth."""
    a, b = np.fft.rfft2(image), np.fft.rfft2(ground_truth)
    ring = rings(image.shape)
    product, power = (np.bincount(ring.ravel(), x.ravel()) for x in ((a * b.conj()).real, np.abs(a) ** 2))
    return np.fft.irfft2(a * (product / np.maximum(power, 1e-30))[ring], s=image.shape)


def left_of_noise(bench, smooth):
    """What is left of noise alone, 1024 x 1024 px of 4 Å, in units of its standard deviation: the control."""
    import torch
    from scipy.ndimage import gaussian_filter

    from cryodl.io.model import find_model, read_model
    from cryodl.micrographs.denoise.predict import MicrographDenoiser

    torch.set_num_threads(1)
    kind = "micrograph_denoiser"
    denoiser = MicrographDenoiser(*read_model(find_model(bench.options.model, kind), kind), torch.device("cpu"))
    noise = gaussian_filter(np.random.default_rng(9).standard_normal((1024, 1024)), smooth).astype(np.float32)
    left = denoiser.denoise([noise / noise.std()], 4.0)
    left = np.abs((left - gaussian_filter(left, 60))[32:-32, 32:-32])
    return dict(std=float(np.sqrt((left**2).mean())), above=float((left > 0.2).mean()), most=float(left.max()))


def real_set(bench, real):
    """What the general picker finds on the set's test micrographs as they are, and denoised."""
    for way in ["raw", "general"] + ["topaz"] * bool(bench.topaz):
        bench.once(f"real/{real.name}/{way}", lambda: picked(bench, real, way))


def picked(bench, real, way):
    """Figures of picking one set after one way of denoising."""
    files, cost = [Path(p) for p in real.test], None
    if way != "raw":
        links, out = bench.folder(f"{real.name} links"), bench.folder(f"{real.name} {way}")
        links.mkdir(parents=True)
        for path in files:
            (links / path.name).symlink_to(path.resolve())
        cost = denoise(bench, links, out, real.pixel_size, way) / len(files)
        files = [out / path.name for path in files]
    picks = bench.folder(f"{real.name} {way} picks")
    pick(files, real.pixel_size, real.diameter, "general", picks)
    found = evaluate(picks, real.ground_truth, real.pixel_size, real.diameter, real.border, real.test)
    every = found.get("all_candidates", found)
    return dict(
        best_f1=every["best_f1"], ap=every["average_precision"], f1=found["f1"], cpu=cost, micrographs=len(files)
    )


if __name__ == "__main__":
    main()
