# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sites of a microtubule carry a kinesin: one answer for each site of each image ("FINDKIN").

The lattice is that of 6B0I's own 35 operators (15 protofilaments, the truth's spacing). On each image every site is
occupied with a chance of one half. An image is explained as the bare tube plus the kinesins of all sites, at the true
angles, by linear regression; a site's weight is its score. Raw images are compared with their CTF in noise of their
spectrum, which is the best that any linear method can do; denoised ones without, rings brought to equal strength.
"""

import numpy as np
from common import data_folder
from made_particles import make_mixed, projections

OCCUPIED = 0.5
FILE = "6B0I.pdb.gz"
KINESIN = "K"  # chain


def lattice(path=None):
    """(points, weights) of the bare tube, and [(points, weights)] of the kinesin of each site: a point per residue, Å
    from the centre of mass of all."""
    import gemmi

    tube = gemmi.read_structure(str(path or data_folder() / "structures/complexes" / FILE))
    tube.setup_entities()
    tube.remove_ligands_and_waters()
    copies = [operator.transform for part in tube.assemblies[0].generators for operator in part.operators]
    chains = {}
    for chain in tube[0]:
        rows = chains.setdefault(chain.name == KINESIN, [])
        for residue in chain:
            weight = np.array([atom.element.atomic_number * atom.occ for atom in residue])
            rows.append((*weight @ np.array([a.pos.tolist() for a in residue]) / weight.sum(), weight.sum()))
    tables = {kind: np.array(rows) for kind, rows in chains.items()}
    moved = lambda points, copy: points @ np.array(copy.mat.tolist()).T + np.array(copy.vec.tolist())
    sites = [(moved(tables[True][:, :3], copy), tables[True][:, 3]) for copy in copies]
    bare = (
        np.concatenate([moved(tables[False][:, :3], copy) for copy in copies]),
        np.tile(tables[False][:, 3], len(copies)),
    )
    every = [bare, *sites]
    centre = sum((weight @ points for points, weight in every)) / sum(weight.sum() for _, weight in every)
    return (bare[0] - centre, bare[1]), [(points - centre, weight) for points, weight in sites]


def make_sites(folder, snr, count, pixel_size, seed=5):
    """Write particles.star of tubes of which each site is occupied at random; its path, and (n, sites) bool."""
    rng = np.random.default_rng(seed)
    bare, sites = lattice()
    present = rng.random((count, len(sites))) < OCCUPIED
    bodies = [
        tuple(np.concatenate(parts) for parts in zip(bare, *(sites[k] for k in np.nonzero(row)[0]))) for row in present
    ]
    star = make_mixed(bodies, np.arange(count), folder, snr, rng, pixel_size=pixel_size)
    np.save(folder / "present.npy", present)
    return star, present


def templates(particles):
    """(n, box, box) bare tubes, (n, sites, box, box) kinesins of all sites, at the particles' angles, without CTF."""
    from scipy.spatial.transform import Rotation

    bare, sites = lattice()
    rotations = Rotation.from_euler("ZYZ", particles.angles, degrees=True).inv()
    shifts = particles.shifts_yx[:, ::-1] * particles.pixel_size
    seen = lambda body: projections(*body, rotations, shifts, particles.box, particles.pixel_size)
    return seen(bare), np.stack([seen(site) for site in sites], 1)


def site_scores(images, tubes, kinesins, transfer, noise):
    """(n, sites) weights of the kinesins in images.

    images: (n, box, box) tensor. tubes, kinesins: see `templates`, tensors. transfer: (n, box, box // 2 + 1) CTF of the
    images, None for denoised ones. noise: (box // 2 + 1,) power of raw images' noise, None for denoised ones, whose
    rings are brought to the strength 1, as those of the templates are.
    """
    import torch

    from cryodl.core.fourier import radial_mean
    from cryodl.likelihood.reference import HalfDisc

    box = images.shape[-1]
    disc = HalfDisc(box, box / 2 - 1)
    power = lambda x: radial_mean(torch.fft.rfft2(x).abs().square().mean(0), box).clamp(min=1e-30)[disc.ring]
    expected = tubes + OCCUPIED * kinesins.sum(1)
    flat, known = (noise[disc.ring] * box**2,) * 2 if noise is not None else (power(images), power(expected))
    factors = torch.ones(len(images), len(disc)) if transfer is None else disc.on_grid(transfer)
    shown = disc.of_images(images) / flat.sqrt()
    seen = lambda x, row: disc.of_images(x) * factors[row] / known.sqrt()
    half = torch.stack([seen(x[None], row)[0] for row, x in enumerate(expected)])
    # one strength for all images, so that an image with many kinesins is no stronger one
    strength = (half.conj() * shown).real.sum() / half.abs().square().sum()
    left = shown / strength - half
    variance = left.abs().square().mean() / 2  # of the real and of the imaginary part
    scores = []
    for row, residual in enumerate(left):
        sites = seen(kinesins[row], row)
        squares = (sites @ sites.conj().T).real + variance / (OCCUPIED * (1 - OCCUPIED)) * torch.eye(len(sites))
        scores.append(OCCUPIED + torch.linalg.solve(squares, (sites.conj() @ residual).real))
    return torch.stack(scores).numpy()
