# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles of another generator: nothing here comes from the program's own simulation, so that what was learnt from
or tuned on that meets a CTF, noise, ice and potential which it has not seen. Images of n x n pixels.

Potential: Gaussians of two widths at the atoms, weighted by the scattering at zero angle of Z^0.75, summed on a grid
of a third of a pixel, projected atom by atom. CTF: Wade's phase with a Gaussian envelope. Noise: a power law of the
ice above a flat shot noise, with a weak ring at 3.7 A where the pixels see it. Dirt: ice crystals, an edge of
carbon, empty boxes, particles off their centre, two in a box.
"""

from pathlib import Path

import gemmi
import mrcfile
import numpy as np
from recipes.particles import optics_table

from cryodl.io.star import write_tables

JUNK = ("nothing", "off-centre", "two", "ice", "carbon")


def atoms_of(path):
    """(n, 3) positions in A around their mean, and (n,) weights, of the first model of a PDB or mmCIF file, or of its
    first biological assembly, without waters, which assemblies of mmCIF files name."""
    structure = gemmi.read_structure(str(path))
    model = structure[0]  # gemmi's atoms live only as long as their model
    if structure.assemblies:
        model = gemmi.make_assembly(structure.assemblies[0], model, gemmi.HowToNameCopiedChain.AddNumber)
    atoms = [a.atom for a in model.all() if a.atom.element.atomic_number > 1 and not a.residue.is_water()]
    found = np.array([atom.pos.tolist() for atom in atoms])
    return found - found.mean(0), np.array([atom.element.atomic_number for atom in atoms]) ** 0.75


def random_rotations(count, rng):
    """(count, 3, 3) uniform rotations, from normal quaternions."""
    w, x, y, z = (rng.normal(size=(count, 4)) / 1.0).T
    scale = 2 / (w * w + x * x + y * y + z * z)
    rows = [
        [1 - scale * (y * y + z * z), scale * (x * y - w * z), scale * (x * z + w * y)],
        [scale * (x * y + w * z), 1 - scale * (x * x + z * z), scale * (y * z - w * x)],
        [scale * (x * z - w * y), scale * (y * z + w * x), 1 - scale * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def projection(atoms, weights, rotation, shift_px, box, pixel_size, fine=3):
    """(box, box) projection along z, bright; rotation (3, 3), shift_px: (y, x)."""
    yx = (atoms @ rotation.T)[:, 1::-1] / pixel_size + box / 2 + np.asarray(shift_px)
    edges = np.linspace(0, box, fine * box + 1)
    grid = np.histogram2d(yx[:, 0], yx[:, 1], bins=(edges, edges), weights=weights)[0]
    fy, fx = np.meshgrid(np.fft.fftfreq(fine * box), np.fft.rfftfreq(fine * box), indexing="ij")
    s2 = (fy**2 + fx**2) * (fine / pixel_size) ** 2
    blur = 0.6 * np.exp(-s2 * 20 / 4) + 0.4 * np.exp(-s2 * 90 / 4)
    return np.fft.irfft2(np.fft.rfft2(grid) * blur, s=grid.shape).reshape(box, fine, box, fine).mean((1, 3))


def frequencies(box, pixel_size):
    """(box, box // 2 + 1) y and x frequencies in 1/A."""
    return np.meshgrid(np.fft.fftfreq(box, pixel_size), np.fft.rfftfreq(box, pixel_size), indexing="ij")


def ctf(box, pixel_size, defocus_u, defocus_v, angle, kv=300.0, cs_mm=2.7, amplitude=0.1, b_factor=60.0):
    """(box, box // 2 + 1) CTF, negative at low frequency for underfocus (A), so that protein is dark in an image."""
    fy, fx = frequencies(box, pixel_size)
    volts = kv * 1e3
    wavelength = 12.2643 / np.sqrt(volts + 0.97845e-6 * volts**2)
    s2 = fy**2 + fx**2
    local = 0.5 * (defocus_u + defocus_v) + 0.5 * (defocus_u - defocus_v) * np.cos(
        2 * (np.arctan2(fy, fx) - np.deg2rad(angle))
    )
    phase = np.pi * wavelength * s2 * (local - 0.5 * wavelength**2 * s2 * cs_mm * 1e7)
    return -np.sin(phase + np.arcsin(amplitude)) * np.exp(-b_factor * s2 / 4)


def noise(count, box, pixel_size, rng, colour=1.0):
    """(count, box, box) noise of variance 1; colour: of the power law of ice beside flat shot noise; 0: white."""
    fy, fx = frequencies(box, pixel_size)
    s = np.sqrt(fy**2 + fx**2)
    power = 1 + colour * 8 / (1 + (s * 45) ** 2.2) + colour * 0.4 * np.exp(-(((s - 1 / 3.7) / 0.02) ** 2))
    made = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(count, box, box))) * np.sqrt(power), s=(box, box))
    return made / made.std()


def dirt(kind, box, rng):
    """(box, box) a piece of ice or carbon of deviation 1."""
    y, x = np.mgrid[:box, :box] - box / 2
    if kind == "ice":
        field = np.zeros((box, box))
        for _ in range(rng.integers(1, 4)):
            cy, cx, radius = rng.uniform(-box / 2, box / 2, 2).tolist() + [rng.uniform(0.08, 0.25) * box]
            turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.5, 1)
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
            field -= np.clip(radius - np.hypot(u, v / ratio), 0, radius * 0.4)
    else:
        turn, off = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3) * box
        field = -1.0 / (1 + np.exp(-(x * np.cos(turn) + y * np.sin(turn) - off) / 1.5))
        field += 0.3 * rng.normal(size=(box, box)) * (field < -0.5)
    return (field - field.mean()) / field.std()


def make_set(
    folder, structures, each, junk, snr, box=64, pixel_size=4.0, colour=1.0, seed=1, shift_px=2.5, b_factor=60.0
):
    """particles.star with its stack, and truth.npz, in a folder.

    structures: paths. each: particles of each. junk: {kind of JUNK: number}. snr: variance of the noise-free,
    CTF-filtered images of whole particles over the box / variance of the noise. truth: molecule (-1: junk), kind
    (position in JUNK, -1: good), rotations (n, 3, 3), shifts_yx px. b_factor: A^2, of the CTF's envelope. Images have
    protein dark, as a microscope gives.
    """
    rng, folder = np.random.default_rng(seed), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    molecules = [atoms_of(path) for path in structures]
    kinds = np.repeat([-1, *(JUNK.index(k) for k in junk)], [each * len(structures), *junk.values()])
    molecule = np.where(
        kinds < 0, np.arange(len(kinds)) % len(structures), rng.integers(len(structures), size=len(kinds))
    )
    order = rng.permutation(len(kinds))
    kinds, molecule = kinds[order], molecule[order]
    count = len(kinds)
    rotations, shifts = random_rotations(count, rng), rng.uniform(-shift_px, shift_px, (count, 2))
    optics = np.stack([_optics(rng) for _ in range(-(-count // 100))])[np.arange(count) // 100]
    clean = np.zeros((count, box, box), np.float32)
    for i in range(count):
        atoms, weights = molecules[molecule[i]]
        radius = np.percentile(np.linalg.norm(atoms, axis=1), 98) / pixel_size
        view = lambda shift: projection(atoms, weights, random_rotations(1, rng)[0], shift, box, pixel_size)
        away = rng.uniform(0, 2 * np.pi)
        along = np.array([np.sin(away), np.cos(away)]) * radius
        kind = JUNK[kinds[i]] if kinds[i] >= 0 else "good"
        if kind == "good":
            clean[i] = projection(atoms, weights, rotations[i], shifts[i], box, pixel_size)
        elif kind == "off-centre":
            clean[i] = view(along * rng.uniform(0.9, 1.5))
        elif kind == "two":
            clean[i] = view(along * rng.uniform(0.8, 1.1)) + view(-along * rng.uniform(0.8, 1.1))
        elif kind in ("ice", "carbon"):
            clean[i] = -dirt(kind, box, rng)  # the CTF turns what is bright here dark
        clean[i] = np.fft.irfft2(
            np.fft.rfft2(clean[i]) * ctf(box, pixel_size, *optics[i], b_factor=b_factor), s=(box, box)
        )
    for number in range(len(structures)):
        mine = molecule == number
        protein = mine & ((kinds < 0) | (kinds == JUNK.index("off-centre")) | (kinds == JUNK.index("two")))
        clean[protein] *= np.sqrt(snr / clean[mine & (kinds < 0)].var(axis=(1, 2)).mean())
    for kind in ("ice", "carbon"):
        for i in np.nonzero(kinds == JUNK.index(kind))[0]:
            clean[i] *= np.sqrt(snr) * rng.uniform(1, 4) / clean[i].std()
    _write(folder, clean + noise(count, box, pixel_size, rng, colour).astype(np.float32), optics, pixel_size)
    np.savez(
        folder / "truth.npz",
        molecule=np.where(kinds < 0, molecule, -1),
        kind=kinds,
        rotations=rotations,
        shifts_yx=shifts,
    )
    return folder / "particles.star"


def _optics(rng):
    mean, half = rng.uniform(9000, 24000), rng.uniform(0, 250)
    return np.array([mean + half, mean - half, rng.uniform(0, 180)])


def _write(folder, images, optics, pixel_size):
    with mrcfile.new(folder / "particles.mrcs", overwrite=True) as stack:
        stack.set_data(images.astype(np.float32))
        stack.set_image_stack()
        stack.voxel_size = pixel_size
    numbers, (u, v, angle) = range(len(images)), optics.T
    columns = dict(rlnImageName=[f"{i + 1:06d}@particles.mrcs" for i in numbers], rlnDefocusU=u, rlnDefocusV=v)
    columns["rlnMicrographName"] = [f"mic_{i // 100 + 1:04d}.mrc" for i in numbers]
    columns.update(rlnDefocusAngle=angle, rlnOpticsGroup=[1] * len(images))
    write_tables(
        folder / "particles.star", {"optics": optics_table(pixel_size, images.shape[-1]), "particles": columns}
    )
