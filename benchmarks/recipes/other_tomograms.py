# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms of another generator: nothing here comes from the program's own simulation.

Atoms (see other_particles.py) are put into a slab, projected along each tilt, multiplied by a CTF with an envelope, and
reconstructed by weighted back-projection from images with coloured noise, which grows with the path through the ice.
"""

import json

import mrcfile
import numpy as np
from recipes.other_particles import atoms_of, ctf, noise, random_rotations

GRAIN = 5.0  # A: atoms of such a cube are one point
TILTS = np.arange(-60, 60.1, 3.0)
DEFOCUS = 30000.0  # A


def points_of(path):
    """(n, 3) positions in A around their mean and (n,) weights: the atoms of a file, grain by grain."""
    atoms, weights = atoms_of(path)
    cells, which = np.unique(np.round(atoms / GRAIN).astype(int), axis=0, return_inverse=True)
    mass = np.bincount(which.ravel(), weights)
    return np.stack([np.bincount(which.ravel(), weights * axis) for axis in atoms.T], 1) / mass[:, None], mass


def places(radii, shape_a, rng, tries=20000):
    """(n, 3) zyx in A from the slab's middle of spheres that do not overlap; NaN where there is no room."""
    found = np.full((len(radii), 3), np.nan)
    for number in np.argsort(-radii, kind="stable"):
        there = ~np.isnan(found[:, 0])
        for _ in range(tries // len(radii)):
            place = rng.uniform(-0.5, 0.5, 3) * (np.array(shape_a) - 2 * radii[number])
            if (np.linalg.norm(found[there] - place, axis=1) > radii[there] + radii[number]).all():
                found[number] = place
                break
    return found


def back_projected(images, angles, depth):
    """(depth, h, w) of images (n, h, w) and their tilts in degrees about y, after a ramp filter."""
    h, w = images.shape[1:]
    ramp = np.abs(np.fft.rfftfreq(w))
    z, x = np.arange(depth) - depth // 2, np.arange(w) - w // 2
    volume = np.zeros((depth, h, w), np.float32)
    for image, angle in zip(images, np.radians(angles)):
        filtered = np.fft.irfft(np.fft.rfft(image, axis=1) * ramp, n=w, axis=1).astype(np.float32)
        at = x * np.cos(angle) + z[:, None] * np.sin(angle) + w // 2
        left = np.clip(np.floor(at).astype(int), 0, w - 2)
        part, seen = np.clip(at - left, 0, 1).astype(np.float32), (at >= 0) & (at <= w - 1)
        lines = filtered[:, left] * (1 - part) + filtered[:, left + 1] * part  # (h, depth, w)
        volume += (lines * seen).transpose(1, 0, 2)
    return volume


def make_tomogram(path, copies, shape, pixel_size, snr, seed):
    """Write path (.mrc) and beside it .json, {name: [[z, y, x] px]}. copies: {structure's path: number}. shape: (z, y,
    x) px, y = x. snr: variance of the images' signal over that of their noise, without tilt; 0 for noise alone."""
    rng, bodies = np.random.default_rng(seed), {file: points_of(file) for file in copies}
    files = [file for file, number in copies.items() for _ in range(number)]
    radii = np.array([np.percentile(np.linalg.norm(bodies[file][0], axis=1), 99) for file in files])
    zyx = places(radii, np.array(shape) * pixel_size, rng)
    truth, cloud, mass = {}, [np.zeros((0, 3))], [np.zeros(0)]
    for file, place, turn in zip(files, zyx, random_rotations(len(files), rng)):
        if not np.isnan(place[0]):
            truth.setdefault(str(file), []).append((place / pixel_size + np.array(shape) // 2).round(2).tolist())
            cloud.append(bodies[file][0] @ turn.T + place[::-1])
            mass.append(bodies[file][1])
    cloud, mass, side, images = np.concatenate(cloud), np.concatenate(mass), shape[1], []
    transfer = ctf(side, pixel_size, DEFOCUS, DEFOCUS, 0.0, b_factor=300.0)
    edges = (np.arange(side + 1) - side // 2 - 0.5) * pixel_size
    for angle in np.radians(TILTS):
        across = cloud[:, 0] * np.cos(angle) + cloud[:, 2] * np.sin(angle)
        image = np.histogram2d(cloud[:, 1], across, bins=(edges, edges), weights=mass)[0]
        images.append(np.fft.irfft2(np.fft.rfft2(image) * transfer, s=image.shape))
    width = np.std(images[len(images) // 2]) / snr**0.5 if snr else 1.0
    wider = 1 / np.sqrt(np.cos(np.radians(TILTS)))
    seen = np.array(images) + width * wider[:, None, None] * noise(len(TILTS), side, pixel_size, rng)
    mrcfile.write(path, back_projected(seen, TILTS, shape[0]).astype(np.float32), overwrite=True, voxel_size=pixel_size)
    path.with_suffix(".json").write_text(json.dumps(truth))
