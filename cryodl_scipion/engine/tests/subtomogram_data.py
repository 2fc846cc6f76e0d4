# SPDX-License-Identifier: GPL-3.0-or-later
"""Small subtomograms of which everything is known: blobs of different shapes, turned, moved, with wedge and noise."""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from cryodl.core.volumes import wedge
from cryodl.io.mrc import write_map
from cryodl.io.star import write_tables

PIXEL_SIZE = 10.0
# Centres of Gaussian blobs (x, y, z in parts of the box) of some structures that differ in every view.
STRUCTURES = {
    "bar": [(0, 0, -0.22), (0, 0, -0.11), (0, 0, 0), (0, 0, 0.11), (0, 0, 0.22)],
    "ring": [(0.2 * np.cos(t), 0.2 * np.sin(t), 0.0) for t in np.linspace(0, 2 * np.pi, 9)[:-1]],
    "ball": [(0, 0, 0), (0.06, 0, 0), (-0.06, 0, 0), (0, 0.06, 0), (0, -0.06, 0), (0, 0, 0.06), (0, 0, -0.06)],
    "corner": [(0.2, 0, 0), (0.1, 0, 0), (0, 0, 0), (0, 0.12, 0), (0, 0.24, 0), (0, 0, 0.16)],
}


def density(name, box, angles=(0.0, 0.0, 0.0), shift_zyx=(0.0, 0.0, 0.0), width=0.05):
    """(box, box, box) float32 array (z, y, x) of a structure with standard deviation 1.

    angles: rot, tilt, psi in degrees, RELION's: the columns of a projection along z are turned by them. shift_zyx: px.
    """
    return blobs(np.array(STRUCTURES[name]), box, angles, shift_zyx, width)


def blobs(places, box, angles, shift_zyx, width=0.05):
    """As `density`, of blobs at places (n, 3), x, y, z in parts of the box."""
    # RELION's matrix takes the structure's axes to those of the view
    centres = Rotation.from_euler("ZYZ", angles, degrees=True).inv().apply(places) * box
    grid = np.stack(np.meshgrid(*[np.arange(box) - box // 2] * 3, indexing="ij"), -1) - np.asarray(shift_zyx)
    squares = ((grid[None, ..., ::-1] - centres[:, None, None, None]) ** 2).sum(-1)
    volume = np.exp(-squares / (2 * (width * box) ** 2)).sum(0)
    return (volume / volume.std()).astype(np.float32)


def subtomograms(names, count, box=16, snr=1.0, tilts=(-60.0, 60.0), max_shift=1.0, seed=0):
    """Volumes (n, box, box, box), classes (n,) from 1, angles (n, 3) degrees and shifts_zyx (n, 3) px; protein bright.

    names: of STRUCTURES, a class each; None: noise alone, class 0. count: of each. snr: variance of the clean volume
    over that of the noise.
    """
    rng = np.random.default_rng(seed)
    order = np.repeat(np.arange(len(names)), count)
    angles = Rotation.random(len(order), random_state=seed).as_euler("ZYZ", degrees=True)
    shifts = rng.uniform(-max_shift, max_shift, (len(order), 3))
    measured = wedge(box, *tilts)
    volumes = []
    for number, angle, shift in zip(order, angles, shifts):
        clean = density(names[number], box, angle, shift) if names[number] else np.zeros((box,) * 3, np.float32)
        noisy = clean + rng.normal(0, snr**-0.5, clean.shape).astype(np.float32)
        volumes.append(torch.fft.irfftn(torch.fft.rfftn(torch.from_numpy(noisy)) * measured, s=(box,) * 3))
    classes = np.array(
        [0 if name is None else sum(n is not None for n in names[: place + 1]) for place, name in enumerate(names)]
    )[order]
    return torch.stack(volumes), classes, angles, shifts


def write_set(folder, volumes, classes, angles=None, shifts=None, tilts=(-60.0, 60.0), name="sub", tomograms=3):
    """A STAR file with its volumes in a Path folder, as simulate-subtomograms writes them. Returns its path (str)."""
    folder = Path(folder)
    (folder / name).mkdir(parents=True)
    for number, volume in enumerate(volumes, 1):
        write_map(folder / name / f"{number:05d}.mrc", volume, PIXEL_SIZE)
    count, box = len(volumes), volumes.shape[-1]
    columns = dict(
        rlnImageName=[f"{name}/{n:05d}.mrc" for n in range(1, count + 1)],
        rlnTomoName=[f"tomo_{n % tomograms}" for n in range(count)],
        rlnOpticsGroup=[1] * count,
        cryodlTiltMin=[tilts[0]] * count,
        cryodlTiltMax=[tilts[1]] * count,
    )
    if classes is not None:
        columns["rlnClassNumber"] = list(classes)
    if angles is not None:
        columns.update(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), np.asarray(angles).T.tolist()))
    if shifts is not None:
        columns.update(
            zip(
                ("rlnOriginZAngst", "rlnOriginYAngst", "rlnOriginXAngst"), (-np.asarray(shifts) * PIXEL_SIZE).T.tolist()
            )
        )
    optics = dict(
        rlnOpticsGroup=[1],
        rlnImagePixelSize=[PIXEL_SIZE],
        rlnImageSize=[box],
        rlnImageDimensionality=[3],
        rlnVoltage=[300.0],
        rlnSphericalAberration=[2.7],
        rlnAmplitudeContrast=[0.1],
    )
    path = folder / f"{name}.star"
    write_tables(path, {"optics": optics, "particles": columns})
    return str(path)


def simulated_set(folder, names, count, name="sub", **settings):
    """Path of the STAR file of such subtomograms; see `subtomograms`."""
    return write_set(
        folder, *subtomograms(names, count, **settings), tilts=settings.get("tilts", (-60.0, 60.0)), name=name
    )


def moving_set(folder, count, sweep=60.0, box=16, snr=0.3, error=0.0, seed=0, name="moving"):
    """Path of the STAR file of a body with an arm that swings, and (n,) the arm's angles in degrees.

    sweep: degrees in all. error: degrees by which the orientations in the file are wrong.
    """
    rng = np.random.default_rng(seed)
    swing = rng.uniform(-sweep / 2, sweep / 2, count)
    poses, shifts = Rotation.random(count, random_state=seed), rng.uniform(-1, 1, (count, 3))
    measured, volumes = wedge(box, -60.0, 60.0), []
    body = np.array([(0, 0, -0.2), (0, 0, -0.1), (-0.1, 0, -0.2), (0, 0.1, -0.15), (0, 0, 0)])
    arm = np.array([(0, 0, 0.1), (0, 0, 0.2), (0.06, 0, 0.25)])
    for angle, pose, shift in zip(swing, poses, shifts):
        places = np.concatenate([body, Rotation.from_euler("y", angle, degrees=True).apply(arm)])
        clean = blobs(places, box, pose.as_euler("ZYZ", degrees=True), shift)
        noisy = clean + rng.normal(0, snr**-0.5, clean.shape).astype(np.float32)
        volumes.append(torch.fft.irfftn(torch.fft.rfftn(torch.from_numpy(noisy)) * measured, s=(box,) * 3))
    axes = rng.standard_normal((count, 3))
    axes *= np.radians(error) / np.linalg.norm(axes, axis=1, keepdims=True)
    angles = (poses * Rotation.from_rotvec(axes)).as_euler("ZYZ", degrees=True)
    return write_set(folder, torch.stack(volumes), None, angles, shifts, name=name), swing
