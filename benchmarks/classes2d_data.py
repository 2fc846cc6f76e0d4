# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated mixtures of molecules for the benchmark of 2-D classification, with the ground truth of every particle."""

import sys
from pathlib import Path

import numpy as np
from common import ROOT, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
MOLECULES = ("8BK7", "1AON", "4V4R_30S", "6VXX")
BOX, PIXEL_SIZE = 64, 4.0
CHUNK = 256
SHIFT = 3.0  # px, largest distance of a particle from its box's middle along y and x
PER_MICROGRAPH = 100


def structure_file(name: str) -> Path:
    """Path of a structure of the data's folder, by its name without endings. Raises FileNotFoundError."""
    found = sorted((data_folder() / "structures" / "complexes").glob(f"{name}.*"))
    if not found:
        raise FileNotFoundError(f"No structure {name} in {data_folder() / 'structures' / 'complexes'}.")
    return found[0]


def random_optics(rng: np.random.Generator):
    """A micrograph's Optics: 300 kV, 0.8 to 2.4 micrometres, astigmatism to 400 Å."""
    from cryodl.core.optics import Optics

    mean, half = rng.uniform(8000, 24000), rng.uniform(0, 400) / 2
    return Optics(mean + half, mean - half, rng.uniform(0, 180), 300.0, 2.7, 0.1)


def make_mixture(folder, names, count, snr, box=BOX, pixel_size=PIXEL_SIZE, seed=1):
    """Write particles.star, its stack and truth.npz (molecule, angles, shifts_yx) into a folder, once.

    names: structures, which the particles show with equal weight, in random order. snr: variance of the noise-free,
    CTF-filtered images over the whole box over the variance of the noise, the mean of each molecule's particles.
    Returns the path of particles.star.
    """
    import torch

    from cryodl.core.optics import ctf_of_optics
    from cryodl.core.projections import random_angles
    from cryodl.io.particle_sets import StackWriter
    from cryodl.simulate.particle_images import load_projector, noise_images

    folder = Path(folder)
    star = folder / "particles.star"
    if star.exists():
        return star
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    optics = [random_optics(rng) for _ in range(-(-count // PER_MICROGRAPH))]
    optics = [optics[i // PER_MICROGRAPH] for i in range(count)]
    molecule, angles = rng.integers(len(names), size=count), random_angles(count, rng)
    shifts = rng.uniform(-SHIFT, SHIFT, (count, 2))
    projectors = [load_projector(structure_file(name), pixel_size, box)[0] for name in names]

    def seen(rows):
        views = torch.zeros(len(rows), box, box)
        for number, projector in enumerate(projectors):
            mine = np.nonzero(molecule[rows] == number)[0]
            if len(mine):
                views[mine] = projector.project(angles[rows[mine]], shifts[rows[mine]])
        ctf = ctf_of_optics([optics[i] for i in rows], box, pixel_size)
        return torch.fft.irfft2(torch.fft.rfft2(views) * ctf, s=(box, box))

    sample = np.arange(min(count, 600))
    variance = seen(sample).var(dim=(1, 2)).numpy()
    scale = np.array([(snr / variance[molecule[sample] == n].mean()) ** 0.5 for n in range(len(names))])
    with StackWriter(str(folder / "particles.mrcs"), count, box, pixel_size) as stack:
        for start in range(0, count, CHUNK):
            rows = np.arange(start, min(start + CHUNK, count))
            images = seen(rows) * torch.from_numpy(scale[molecule[rows]]).float()[:, None, None]
            stack.add(images + noise_images(len(rows), box, rng))
    np.savez(folder / "truth.npz", molecule=molecule, angles=angles, shifts_yx=shifts)
    _write_star(star, optics, box, pixel_size)
    return star


def _write_star(path, optics, box, pixel_size):
    from cryodl.io.particles import CTF, OPTICS
    from cryodl.io.star import write_tables

    count, first = len(optics), optics[0]
    group = ("opticsGroup1", 1, first.voltage_kv, first.cs_mm, first.amplitude_contrast, pixel_size, pixel_size, box, 2)
    write_tables(
        path,
        {
            "optics": {name: [value] for name, value in zip(OPTICS, group)},
            "particles": {
                "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(count)],
                "rlnMicrographName": [f"simulated_{i // PER_MICROGRAPH + 1:06d}.mrc" for i in range(count)],
                **dict(zip(CTF, zip(*((o.defocus_u, o.defocus_v, o.defocus_angle) for o in optics)))),
                "rlnOpticsGroup": np.ones(count, int),
            },
        },
    )
