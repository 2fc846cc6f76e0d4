# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles and maps of molecules, made apart from the package's own simulator.

Projections are sums over rotated atoms on a fine grid (no slices of a transform), the CTF is written out here, the
noise is coloured: white plus a part that falls with frequency. Maps are cut sharply, so that their solvent ripples.
SNR: variance of the noise-free images with their CTF over the whole box over that of the noise.
"""

import gemmi
import mrcfile
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from cryodl.io.star import write_tables


def read_structure(path):
    """gemmi's structure of a file, without waters."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    structure.remove_waters()
    return structure


def weighed(model):
    """(n, 3) xyz and (n,) atomic numbers, times occupancies, of a model."""
    found = np.array([(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ) for a in model.all()])
    return found[:, :3], found[:, 3]


def atoms_of(path):
    """(n, 3) xyz in Å from the centre of mass, and (n,) atomic numbers, of the first model, without waters."""
    structure = read_structure(path)  # gemmi's atoms live only as long as their model
    xyz, weight = weighed(structure[0])
    return xyz - np.average(xyz, axis=0, weights=weight), weight


def diameter_of(xyz, weight):
    """Å; twice the radius that holds 99 % of the mass."""
    radius = np.linalg.norm(xyz, axis=1)
    order = np.argsort(radius)
    mass = np.cumsum(weight[order])
    return 2 * radius[order][np.searchsorted(mass, 0.99 * mass[-1])]


def _filtered(volume, factors):
    return np.fft.irfftn(np.fft.rfftn(volume) * factors, s=volume.shape, axes=(0, 1, 2)).astype(np.float32)


def _squares(side, voxel):
    whole, half = np.fft.fftfreq(side, voxel) ** 2, np.fft.rfftfreq(side, voxel) ** 2
    return whole[:, None, None] + whole[:, None] + half


def map_of(xyz, weight, resolution, voxel, sharp=True):
    """(n, n, n) float32 map of atoms, cut sharply in Fourier space or smoothly."""
    side = 2 * int(np.ceil(0.75 * 2 * np.linalg.norm(xyz, axis=1).max() / voxel))
    grid = np.round(xyz[:, ::-1] / voxel).astype(int) + side // 2
    volume = np.zeros((side,) * 3, np.float32)
    np.add.at(volume, tuple(grid.T), weight.astype(np.float32))
    square = _squares(side, voxel)
    cut = square < 1 / resolution**2 if sharp else np.exp(-((square * resolution**2) ** 2))
    return _filtered(volume, np.exp(-(20 + 2 * resolution**2) / 4 * square) * cut).astype(np.float32)


def written_map(path, body, resolution):
    """Path of a map of atoms, with voxels of a third of the resolution (Å)."""
    mrcfile.write(path, map_of(*body, resolution, resolution / 3), overwrite=True, voxel_size=resolution / 3)
    return path


VOLTAGE, CS, CONTRAST = 300.0, 2.7, 0.1  # kV, mm, amplitude
DEFOCUS = (8000.0, 25000.0)  # Å
PER_MICROGRAPH = 25
FINE = 2  # times finer than the pixels: the grid of the atoms
BLUR = 1.4  # Å, standard deviation of an atom (a B-factor of 150 Å²)
REACH = 5.0  # Å, largest shift in x and in y


# C1 complexes of 150 to 500 kDa
COMPLEXES = (
    "1WCM.pdb.gz",
    "1U6G.pdb.gz",
    "4ZXB.cif.gz",
    "7QPD.cif.gz",
    "9BE6.cif.gz",
    "1QVR.pdb.gz",
    "5O9G.pdb.gz",
    "5IYZ.pdb.gz",
)


def ctf(box, pixel_size, defocus):
    """(box, box // 2 + 1) contrast transfer on the grid of rfft2, protein bright."""
    square = np.fft.fftfreq(box, pixel_size)[:, None] ** 2 + np.fft.rfftfreq(box, pixel_size) ** 2
    length = 12.2639 / np.sqrt(VOLTAGE * 1e3 + 0.97845 * VOLTAGE**2)  # Å
    phase = np.pi * length * square * defocus - np.pi / 2 * CS * 1e7 * length**3 * square**2
    return np.sin(phase + np.arcsin(CONTRAST))


def projections(xyz, weight, rotations, shifts, box, pixel_size):
    """(n, box, box) projections of atoms. rotations: Rotation from the molecule to the image. shifts: (n, 2) xy, Å."""
    fine, images = box * FINE, []
    for rotation, shift in zip(rotations, shifts):
        x, y = (rotation.apply(xyz)[:, :2] + shift).T
        # pixel box // 2 is the centre of the coarse image: the mean of FINE x FINE fine pixels
        position = [v / pixel_size * FINE + FINE * (box // 2) + (FINE - 1) / 2 for v in (y, x)]
        grid, *_ = np.histogram2d(*position, bins=[np.arange(fine + 1) - 0.5] * 2, weights=weight)
        grid = gaussian_filter(grid, BLUR / pixel_size * FINE)
        images.append(grid.reshape(box, FINE, box, FINE).mean((1, 3)))
    return np.array(images, np.float32)


def coloured_noise(count, box, pixel_size, rng):
    """(count, box, box) noise of variance 1: power 1 + 6 / (1 + (40 Å q)²), and an envelope of 60 Å²."""
    square = np.fft.fftfreq(box, pixel_size)[:, None] ** 2 + np.fft.rfftfreq(box, pixel_size) ** 2
    power = (1 + 6 / (1 + 1600 * square)) * (0.4 + 0.6 * np.exp(-60 / 2 * square))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((count, box, box))) * np.sqrt(power), s=(box, box))
    return (noise / noise.std()).astype(np.float32)


def make(path, folder, snr, count, seed=1, **more):
    """`make_of` the atoms of a structure's file; the STAR file's path."""
    return make_of(atoms_of(path), folder, snr, count, seed, **more)


def make_of(body, folder, snr, count, seed=1, box=64, pixel_size=3.5, resolution=8.0, reach=REACH):
    """Write particles.star, particles.mrcs and map.mrc of a structure into a new folder; the STAR file's path.

    body: (n, 3) xyz of atoms in Å from the centre, and their (n,) weights. resolution: Å, of the map. reach: see
    make_mixed.
    """
    rng = np.random.default_rng(seed)
    star = make_mixed([body], np.zeros(count, int), folder, snr, rng, box, pixel_size, reach=reach)
    written_map(folder / "map.mrc", body, resolution)
    return star


def make_mixed(bodies, kinds, folder, snr, rng, box=64, pixel_size=3.5, noise_only=False, reach=REACH, turns=None):
    """Write particles.star and particles.mrcs of several compositions into a new folder; the STAR file's path.

    bodies: [(xyz, weights)] of atoms in one frame. kinds: (n,) int, the composition of each particle, -1 for noise
    alone. turns: Rotation of each particle, from the molecule to the image; random if None. snr: of all particles
    together. reach: Å, largest shift in x and in y. noise_only: the images hold noise alone.
    """
    count = len(kinds)
    turns = Rotation.random(count, rng) if turns is None else turns
    shifts = rng.uniform(-reach, reach, (count, 2))
    defoci = rng.uniform(*DEFOCUS, -(-count // PER_MICROGRAPH))[np.arange(count) // PER_MICROGRAPH]
    clean = np.zeros((count, box, box), np.float32)
    for kind, (xyz, weight) in enumerate(bodies):
        rows = np.nonzero(kinds == kind)[0]
        if len(rows):
            clean[rows] = projections(xyz, weight, turns[rows], shifts[rows], box, pixel_size)
    clean = np.fft.irfft2(np.fft.rfft2(clean) * np.stack([ctf(box, pixel_size, d) for d in defoci]), s=(box, box))
    noise = coloured_noise(count, box, pixel_size, rng)
    scale = 0 if noise_only else np.sqrt(snr / clean.var(axis=(1, 2)).mean())
    folder.mkdir(parents=True, exist_ok=True)
    images = (scale * clean + noise).astype(np.float32)
    mrcfile.write(folder / "particles.mrcs", images, overwrite=True, voxel_size=pixel_size)
    _write_star(folder / "particles.star", turns, shifts, defoci, box, pixel_size)
    return folder / "particles.star"


def optics_table(pixel_size, box):
    """Columns of the optics table of one group."""
    microscope = dict(rlnVoltage=[VOLTAGE], rlnSphericalAberration=[CS], rlnAmplitudeContrast=[CONTRAST])
    image = dict(rlnImagePixelSize=[pixel_size], rlnImageSize=[box], rlnImageDimensionality=[2])
    return dict(rlnOpticsGroupName=["one"], rlnOpticsGroup=[1], **microscope, **image)


def _write_star(path, turns, shifts, defoci, box, pixel_size):
    # RELION's matrix takes the density to the image: Rz(-psi) Ry(-tilt) Rz(-rot), so its transpose is intrinsic ZYZ
    angles, count = turns.inv().as_euler("ZYZ", degrees=True), len(defoci)
    columns = dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T.round(4)))
    columns.update(
        zip(("rlnOriginXAngst", "rlnOriginYAngst"), -shifts.T.round(4)), rlnDefocusU=defoci, rlnDefocusV=defoci
    )
    columns["rlnImageName"] = [f"{i + 1:06d}@particles.mrcs" for i in range(count)]
    columns["rlnMicrographName"] = [f"m{i // PER_MICROGRAPH:04d}.mrc" for i in range(count)]
    columns.update(rlnDefocusAngle=np.zeros(count), rlnOpticsGroup=np.ones(count, int))
    write_tables(path, {"optics": optics_table(pixel_size, box), "particles": columns})
