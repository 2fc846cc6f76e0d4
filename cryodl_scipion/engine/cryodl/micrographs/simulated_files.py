# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a simulated micrograph: image, mask, coordinates with angles and CTF, CTFFIND's text, particles cut out."""

import typing
from pathlib import Path

import numpy as np

from ..contract import SimulateMicrographsConfig
from ..io.micrographs import write_micrograph
from ..io.particles import particle_rows, write_oriented_coordinates, write_stack
from ..simulate.micrographs import SimulatedMicrograph, drift_path, movie
from ..simulate.particles import cut_particles

COUNTS = 100  # of a movie, where the noise of the whole micrograph has a standard deviation of 1
SPOILERS = ("ice", "carbon", "aggregates")  # of a SimulateMicrographsConfig: what masks are written for


def has_masks(config: SimulateMicrographsConfig) -> bool:
    """Whether masks are written for a SimulateMicrographsConfig."""
    return any(getattr(config, name) for name in SPOILERS)


def write_simulated(
    folder: Path, name: str, micrograph: SimulatedMicrograph, config: SimulateMicrographsConfig, diameter: float
) -> dict[str, int]:
    """Write all files of a SimulatedMicrograph into a folder that has the folders for them. done/<name>.rows are its
    lines of particles.star. diameter: Å. Returns the numbers of particles in the micrograph and of those cut out."""
    write_micrograph(
        folder / "micrographs" / f"{name}.mrc", micrograph.image.numpy().astype(np.float32), config.pixel_size
    )
    if has_masks(config):
        write_micrograph(
            folder / "masks" / f"{name}.mrc", micrograph.contaminated.numpy().astype(np.int8), config.pixel_size
        )
    optics = micrograph.optics  # as CTFFIND 4's text output, which Scipion's import of CTF reads
    (folder / "ctf" / f"{name}.txt").write_text(
        f"# Known CTF of a simulated micrograph, in the format of CTFFIND 4\n"
        f"# Input file: {name}.mrc ; Number of micrographs: 1\n"
        f"# Pixel size: {config.pixel_size:.4f} Angstroms ; acceleration voltage: {optics.voltage_kv:.1f} keV ; "
        f"spherical aberration: {optics.cs_mm:.2f} mm ; amplitude contrast: {optics.amplitude_contrast:.2f}\n"
        "# Box size: 512 pixels ; min. res.: 30.0 Angstroms ; max. res.: 5.0 Angstroms ; min. def.: 5000.0 um; "
        "max. def. 50000.0 um\n"
        f"# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism; "
        "#5 - additional phase shift [radians]; #6 - cross correlation; #7 - spacing (in Angstroms) up to which "
        "CTF rings were fit successfully\n"
        f"1.000000 {optics.defocus_u:.6f} {optics.defocus_v:.6f} {optics.defocus_angle:.6f} 0.000000 1.000000 "
        f"{2 * config.pixel_size:.6f}\n",
        encoding="utf-8",
    )
    cut = _write_stack(folder, name, micrograph, config, diameter) if config.box_size else 0
    write_oriented_coordinates(
        folder / "coordinates" / f"{name}.star", micrograph.centres_yx, micrograph.angles, micrograph.optics
    )
    return dict(particles=len(micrograph.centres_yx), cut=cut)


def write_movie(
    folder: Path,
    name: str,
    micrograph: SimulatedMicrograph,
    config: SimulateMicrographsConfig,
    rng: np.random.Generator,
) -> None:
    """Write movies/<name>.mrcs, and <name>.csv with the true x and y (px) of the specimen in each frame."""
    path = drift_path(config.frames, config.drift / config.pixel_size, rng)
    frames = movie(micrograph, path, config.pixel_size, rng)
    counts = np.stack([np.clip(np.rint(COUNTS * frame.numpy()), -32768, 32767).astype(np.int16) for frame in frames])
    write_stack(folder / "movies" / f"{name}.mrcs", counts, config.pixel_size)
    lines = ["frame,x,y", *(f"{number},{x:.3f},{y:.3f}" for number, (y, x) in enumerate(path, 1))]
    (folder / "movies" / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_stack(
    folder: Path, name: str, micrograph: SimulatedMicrograph, config: SimulateMicrographsConfig, diameter: float
) -> int:
    """Cut the particles out; particles/<name>.mrcs and its lines of particles.star. Returns their number."""
    # as RELION by default: the background is what lies outside of three eighths of the box, or of the particle
    box = typing.cast("int", config.box_size)  # nothing is cut out without one
    radius = min(max(0.375 * box, 0.55 * diameter / config.pixel_size), box / 2 - 1)
    images, positions, whole = cut_particles(
        micrograph.image, micrograph.centres_yx, box, radius, config.contrast == "dark"
    )
    if len(images):
        write_stack(folder / "particles" / f"{name}.mrcs", images, config.pixel_size)
    rows = particle_rows(
        f"particles/{name}.mrcs",
        f"micrographs/{name}.mrc",
        positions,
        micrograph.centres_yx[whole],
        micrograph.angles[whole],
        micrograph.optics,
        config.pixel_size,
    )
    (folder / "done" / f"{name}.rows").write_text(rows, encoding="utf-8")
    return len(images)
