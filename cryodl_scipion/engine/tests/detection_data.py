# SPDX-License-Identifier: GPL-3.0-or-later
"""Small made-up tomograms with particles of which positions and orientations are known."""

import numpy as np
import torch
from synthetic import write_mrc

from cryodl.core.projections import random_angles
from cryodl.core.volumes import wedge
from cryodl.io.star import write_tables
from cryodl.simulate.rotations import rotated

PIXEL = 10.0
SHAPE = (32, 64, 64)
PLACES = ((12, 16, 18), (18, 20, 48), (14, 46, 16), (17, 47, 46))
ELSEWHERE = ((46, 16, 46), (44, 48, 18), (46, 17, 17), (45, 46, 47))


def template_tomogram(path, density, noise=0.3, seed=0, sign=-1.0, others=None):
    """A tomogram of SHAPE with dark copies of a density (d, d, d) at PLACES, its missing wedge and noise. others: a
    density of equal side for each of ELSEWHERE, in a tomogram twice as thick. Returns the angles (n, 3) at PLACES."""
    rng = np.random.default_rng(seed)
    angles = random_angles(len(PLACES), rng)
    volume = np.zeros((64, 64, 64), np.float32)
    side = density.shape[0]
    for position, copy in zip(PLACES, rotated(torch.as_tensor(density), angles)):
        volume[tuple(slice(p - side // 2, p - side // 2 + side) for p in position)] += copy.numpy()
    for position, other, turn in zip(ELSEWHERE, others or (), angles[::-1]):
        volume[tuple(slice(p - side // 2, p - side // 2 + side) for p in position)] += rotated(other, turn)[0].numpy()
    volume /= volume.max()
    volume += noise * rng.standard_normal(volume.shape)
    seen = torch.fft.irfftn(torch.fft.rfftn(torch.from_numpy(volume)) * wedge(64, -60.0, 60.0), s=volume.shape)
    write_mrc(path, sign * seen[: SHAPE[0] if others is None else 64].numpy().astype(np.float32), PIXEL)
    return angles


def blob_tomogram(path, seed, count=10, shape=(40, 64, 64)):
    """A tomogram of dark blobs of two sizes in noise, and a STAR file beside it. Returns {species: (n, 3) zyx}."""
    rng = np.random.default_rng(seed)
    volume, ground_truth, taken = rng.standard_normal(shape), {"large": [], "small": []}, []
    axes = [np.arange(n) for n in shape]
    while len(taken) < 2 * count:
        position = rng.uniform(6, np.array(shape) - 7)
        if taken and np.linalg.norm(np.array(taken) - position, axis=1).min() < 9:
            continue
        species, width = (("large", 3.0), ("small", 1.5))[len(taken) % 2]
        taken.append(position)
        ground_truth[species].append(position)
        spots = [np.exp(-((a - p) ** 2) / (2 * width**2)) for a, p in zip(axes, position)]
        volume -= 5 * spots[0][:, None, None] * spots[1][:, None] * spots[2]
    write_mrc(path, volume.astype(np.float32), PIXEL)
    rows = [(name, *position) for name, positions in ground_truth.items() for position in positions]
    write_tables(
        path.with_suffix(".star"),
        {
            "particles": dict(
                rlnTomoName=[path.stem] * len(rows),
                rlnCoordinateX=[row[3] for row in rows],
                rlnCoordinateY=[row[2] for row in rows],
                rlnCoordinateZ=[row[1] for row in rows],
                cryodlSpecies=[row[0] for row in rows],
            )
        },
    )
    return {name: np.array(positions) for name, positions in ground_truth.items()}
