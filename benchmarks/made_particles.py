# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles and a map of a molecule, made apart from the package's own simulator.

Projections are sums over rotated atoms on a fine grid (no slices of a transform), the CTF is written out here, the
noise is coloured: white plus a part that falls with frequency. The map is made by map_sizes.map_of: cut sharply, so
that its solvent ripples. SNR: variance of the noise-free images with their CTF over the whole box over that of the
noise.
"""

import numpy as np
from map_sizes import atoms_of, map_of
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

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


def wavelength(voltage=VOLTAGE):
    """Å."""
    return 12.2639 / np.sqrt(voltage * 1e3 + 0.97845 * voltage**2)


def ctf(box, pixel_size, defocus):
    """(box, box // 2 + 1) contrast transfer on the grid of rfft2, protein bright."""
    square = np.fft.fftfreq(box, pixel_size)[:, None] ** 2 + np.fft.rfftfreq(box, pixel_size) ** 2
    length = wavelength()
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


def make_of(
    body,
    folder,
    snr,
    count,
    seed=1,
    box=64,
    pixel_size=3.5,
    resolution=8.0,
    noise_only=False,
    reach=REACH,
    defocus_error=0.0,
):
    """Write particles.star, particles.mrcs and map.mrc of a structure into a new folder; the STAR file's path.

    body: (n, 3) xyz of atoms in Å from the centre, and their (n,) weights. resolution: Å, of the map. noise_only: the
    images hold noise alone; angles and CTF are those of other sets. reach, defocus_error: see make_mixed.
    """
    import mrcfile

    rng = np.random.default_rng(seed)
    star = make_mixed([body], np.zeros(count, int), folder, snr, rng, box, pixel_size, noise_only, reach, defocus_error)
    voxel = resolution / 3
    with mrcfile.new(folder / "map.mrc", map_of(*body, resolution, voxel, "sharp", rng), overwrite=True) as mrc:
        mrc.voxel_size = voxel
    return star


def make_mixed(
    bodies, kinds, folder, snr, rng, box=64, pixel_size=3.5, noise_only=False, reach=REACH, defocus_error=0.0
):
    """Write particles.star and particles.mrcs of several compositions into a new folder; the STAR file's path.

    bodies: [(xyz, weights)] of atoms in one frame. kinds: (n,) int, the composition of each particle. snr: of all
    particles together. reach: Å, largest shift in x and in y. defocus_error: Å, largest difference of a micrograph's
    defocus in the STAR file from the true one.
    """
    import mrcfile

    count = len(kinds)
    turns, shifts = Rotation.random(count, rng), rng.uniform(-reach, reach, (count, 2))
    defoci = rng.uniform(*DEFOCUS, -(-count // PER_MICROGRAPH))[np.arange(count) // PER_MICROGRAPH]
    clean = np.empty((count, box, box), np.float32)
    for kind, (xyz, weight) in enumerate(bodies):
        rows = np.nonzero(kinds == kind)[0]
        if len(rows):
            clean[rows] = projections(xyz, weight, turns[rows], shifts[rows], box, pixel_size)
    clean = np.fft.irfft2(np.fft.rfft2(clean) * np.stack([ctf(box, pixel_size, d) for d in defoci]), s=(box, box))
    noise = coloured_noise(count, box, pixel_size, rng)
    scale = 0 if noise_only else np.sqrt(snr / clean.var(axis=(1, 2)).mean())
    folder.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(folder / "particles.mrcs", (scale * clean + noise).astype(np.float32), overwrite=True) as mrc:
        mrc.voxel_size = pixel_size
    if defocus_error:
        defoci = (
            defoci
            + rng.uniform(-defocus_error, defocus_error, defoci[::PER_MICROGRAPH].size).repeat(PER_MICROGRAPH)[:count]
        )
    _write_star(folder / "particles.star", turns, shifts, defoci, box, pixel_size)
    return folder / "particles.star"


def _write_star(path, turns, shifts, defoci, box, pixel_size):
    # RELION's matrix takes the density to the image: Rz(-psi) Ry(-tilt) Rz(-rot), so its transpose is intrinsic ZYZ
    angles = turns.inv().as_euler("ZYZ", degrees=True)
    optics = dict(
        rlnOpticsGroupName="one",
        rlnOpticsGroup=1,
        rlnVoltage=VOLTAGE,
        rlnSphericalAberration=CS,
        rlnAmplitudeContrast=CONTRAST,
        rlnImagePixelSize=pixel_size,
        rlnImageSize=box,
        rlnImageDimensionality=2,
    )
    lines = [
        "data_optics",
        "",
        "loop_",
        *(f"_{name}" for name in optics),
        " ".join(map(str, optics.values())),
        "",
        "data_particles",
        "",
        "loop_",
        *(
            f"_{name}"
            for name in (
                "rlnImageName",
                "rlnMicrographName",
                "rlnAngleRot",
                "rlnAngleTilt",
                "rlnAnglePsi",
                "rlnOriginXAngst",
                "rlnOriginYAngst",
                "rlnDefocusU",
                "rlnDefocusV",
                "rlnDefocusAngle",
                "rlnOpticsGroup",
            )
        ),
    ]
    for i, (angle, shift, defocus) in enumerate(zip(angles, shifts, defoci)):
        lines.append(
            f"{i + 1:06d}@particles.mrcs m{i // PER_MICROGRAPH:04d}.mrc "
            + " ".join(f"{v:.4f}" for v in (*angle, -shift[0], -shift[1], defocus, defocus, 0))
            + " 1"
        )
    path.write_text("\n".join(lines) + "\n")
