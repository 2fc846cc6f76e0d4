#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles denoised without a known structure: `cryodl denoise --model general_denoiser` against the ground truth.

    PYTHON benchmarks/blind_particles.py [--count N] [--output FOLDER] [--figures FILE.json] [--picture FILE.png]

Particles of made_particles.py (coloured noise, made apart from the package's simulator, SNR over the whole box), of
four molecules; of these the shipped network has learnt another structure of the spike (6ZWV). Figures: mean FRC and
correlation with the projections of the raw images, of a Wiener filter with the true spectra, of one with the spectra of
the set, and of the blind denoiser; and what is left of noise, as contrast relative to that of particles. Sets that are
done are not measured again. The picture has particles, another molecule and noise, denoised blindly and by `posterior`
with the map of the first molecule.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, data_folder
from made_particles import coloured_noise, make, projections
from map_sizes import atoms_of
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
MODEL = "general_denoiser"
MOLECULES = {
    "beta-galactosidase": "8BK7.cif.gz",
    "spike": "6VXX.pdb.gz",
    "GroEL": "1OEL.pdb.gz",
    "30S ribosomal subunit": "4V4R_30S.pdb.gz",
}
SNRS = (0.1, 0.05, 0.02)


def main():
    options = read_options()
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    record = output / "blind_particles.json"
    found = json.loads(record.read_text()) if record.exists() else {}
    for name, file in MOLECULES.items():
        for snr in SNRS:
            key = f"{name}/{snr:g}"
            if key not in found:
                found[key] = measured(made(output, file, snr, options.count), file)
                record.write_text(json.dumps(found, indent=1) + "\n")
                print(key, json.dumps(found[key]), flush=True)
    if options.figures:
        Path(options.figures).write_text(json.dumps(found, indent=1) + "\n")
    if options.picture:
        picture(output, options.count, options.picture)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="particles of each set")
    parser.add_argument("--output", default="benchmark_results/blind")
    parser.add_argument("--figures", help="JSON file for the figures")
    parser.add_argument("--picture", help="PNG file for a picture")
    return parser.parse_args()


def made(output, file, snr, count, seed=7):
    """STAR file of a set of one molecule."""
    folder = output / f"{file.split('.')[0]}-{snr:g}-{seed}"
    star = folder / "particles.star"
    if not star.exists():
        make(data_folder() / "structures/complexes" / file, folder, snr, count, seed)
    return star


def ground_truth(particles, file):
    """(n, box, box) projections of the atoms at the particles' true poses, as they were made."""
    import torch

    angles, shifts_yx = particles.poses(np.arange(len(particles)))
    turns = Rotation.from_euler("ZYZ", angles, degrees=True).inv()
    atoms = atoms_of(data_folder() / "structures/complexes" / file)
    shifts = shifts_yx[:, ::-1] * particles.pixel_size
    return torch.from_numpy(projections(*atoms, turns, shifts, particles.box, particles.pixel_size))


def wiener_of(images, ctf, truth):
    """Wiener estimates of images with the true CTF and spectra."""
    import torch

    from cryodl.particles.denoisers.wiener import ring_power, wiener_filter

    seen = torch.fft.irfft2(torch.fft.rfft2(truth) * ctf, s=truth.shape[-2:])
    amplitude = float((images * seen).sum() / seen.square().sum())
    return wiener_filter(images, ctf, amplitude**2 * ring_power(truth), ring_power(images - amplitude * seen))


def blind_for(particles):
    """The shipped denoiser, told the spectra of a set; and the set's prepared images."""
    import torch

    from cryodl.likelihood.prepare import WIDEST, prepare
    from cryodl.particles.denoisers.blind import load_blind

    torch.set_num_threads(1)
    blind = load_blind(MODEL, torch.device("cpu"))
    blind.measure(particles, "bright")
    return blind, prepare(particles.images(slice(None)), WIDEST * particles.box)


def measured(star, file):
    """Mean FRC and correlation of each kind of image, contrast of denoised noise, and CPU seconds per particle."""
    import torch

    from cryodl.core.frc import frc, mean_frc
    from cryodl.io.particle_sets import read_particles

    particles = read_particles(star)
    blind, images = blind_for(particles)
    ctf, size, truth = particles.ctf(slice(None)), particles.pixel_size, ground_truth(particles, file)
    began = time.process_time()
    denoised = blind.denoise(images, ctf, size)
    cpu = (time.process_time() - began) / len(images)
    kinds = dict(raw=images, wiener=wiener_of(images, ctf, truth))
    kinds.update(set_wiener=blind.filtered(images, ctf, size), blind=denoised)
    left, filtered = (work(noise_like(particles), ctf, size) for work in (blind.denoise, blind.filtered))
    contrast = lambda x: float(x.flatten(1).std(1).mean())
    both = lambda x: torch.corrcoef(torch.stack([x[0].flatten(), x[1].flatten()]))[0, 1]
    return dict(
        count=len(images),
        frc={kind: round(float(mean_frc(frc(x, truth)).mean()), 4) for kind, x in kinds.items()},
        correlation={kind: round(float(np.mean([both(p) for p in zip(x, truth)])), 4) for kind, x in kinds.items()},
        noise_contrast=round(contrast(left) / contrast(denoised), 4),
        noise_contrast_wiener=round(contrast(filtered) / contrast(kinds["set_wiener"]), 4),
        noise_frc=round(float(mean_frc(frc(left, truth)).mean()), 4),
        cpu_seconds=round(cpu, 4),
    )


def noise_like(particles):
    """Prepared images of the noise that a set was made with, as many as it has."""
    import torch

    from cryodl.likelihood.prepare import WIDEST, prepare

    noise = coloured_noise(len(particles), particles.box, particles.pixel_size, np.random.default_rng(3))
    return prepare(torch.from_numpy(noise), WIDEST * particles.box)


def picture(output, count, path):
    """Particles of one molecule, of another and of none, denoised blindly and with the map of the first."""
    import torch

    from cryodl.io.particle_sets import read_particles
    from cryodl.likelihood.prepare import prepare
    from cryodl.particles.denoisers import load_denoiser

    (name, file), (other, second) = list(MOLECULES.items())[:2]
    model = output / "posterior"
    if not (model / "card.json").exists():
        star = made(output, file, 0.1, count, seed=8)
        options = ("--structure", star.with_name("map.mrc"), "--network", "posterior", "--output", model)
        cryodl("train-denoiser", "--particles", star, *options, "--device", "cpu", "--threads", 1)
    known, lines = load_denoiser(model, torch.device("cpu")), []
    for what, source, rows in ((name, file, [0, 1, 2]), (other, second, [0, 1]), ("noise", file, [3])):
        particles = read_particles(made(output, source, 0.1, count))
        blind, images = blind_for(particles)
        ctf, size, truth = particles.ctf(rows), particles.pixel_size, ground_truth(particles, source)[rows]
        if what == "noise":
            images, truth = noise_like(particles), torch.zeros_like(truth)
        again = prepare(images[rows], known.card["particle_diameter"] / size)
        kinds = images[rows], blind.denoise(images[rows], ctf, size), known.denoise(again, ctf, size), truth
        lines += [(what, *x) for x in zip(*kinds)]
    draw(lines, f"`posterior`, given {name}".replace("`", ""), path)


def draw(lines, known, path):
    """Rows of images; each column has one grey scale, so that what is empty looks empty."""
    from cryodl.io.plots import new_figure, save_figure

    titles = ("raw", "blind (general_denoiser)", known, "ground truth")
    figure, axes = new_figure(len(titles), len(lines), (1.45 * len(lines) + 1.2, 1.45 * len(titles) + 0.4))
    for row, title in enumerate(titles):
        values = np.concatenate([np.ravel(line[row + 1]) for line in lines])
        low, high = np.percentile(values, (0.5, 99.8))
        for column, line in enumerate(lines):
            axes[row][column].imshow(line[row + 1], cmap="gray", vmin=low, vmax=high)
            axes[row][column].set_xticks([])
            axes[row][column].set_yticks([])
            if row == 0:
                axes[row][column].set_title(line[0], fontsize=8)
        axes[row][0].set_ylabel(title.replace(" (", "\n(").replace(", ", ",\n"), fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
