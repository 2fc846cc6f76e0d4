# SPDX-License-Identifier: GPL-3.0-or-later
"""What all sets of picks share: diameter and box of the particles, and the CTFs of the micrographs."""

import math
import typing
from pathlib import Path

from ...contract import CompareMapsOfPicksConfig, EstimateCtfConfig, ExtractParticlesConfig, refuse_if
from ...core.symmetry import check_symmetry
from ...io.micrograph_ctfs import ctf_of, read_micrograph_ctfs
from ...io.particles import MICROSCOPE
from ...io.structures import load_density
from ...micrographs.commands.estimate_ctf import estimate_ctf
from ...simulate.micrographs import particle_diameter
from .sets import ComparedSets

WORK = "work"  # folder in the unfinished output: particles, which are not kept


USUAL = (".mrc", ".map", ".pdb", ".ent", ".cif", ".mmcif")  # endings of structures


NEEDED = "Structure (--structure) must be a map (.mrc, .map) or an atomic model (.pdb, .cif)."


FIRST_LOOK = 6.0  # Å/px, to measure the structure


def diameters_of(config: CompareMapsOfPicksConfig) -> tuple[float, float]:
    """Å: of the particle, the config's or else the structure's, and of the structure. Raises ValueError for a structure
    that cannot be read, or does not have the symmetry."""
    rough = max(FIRST_LOOK, config.pixel_size)
    try:
        density = load_density(config.structure, rough)
    except (ValueError, FileNotFoundError) as error:
        if Path(config.structure).is_file() and config.structure.lower().removesuffix(".gz").endswith(USUAL):
            raise
        raise ValueError(f"{error} {NEEDED}") from None
    check_symmetry(density, config.symmetry, config.structure)  # an error before the work
    measured = round(particle_diameter(density, rough), 1)
    if config.particle_diameter is not None:
        return config.particle_diameter, measured
    print(f"Particle diameter: {measured:.0f} Å, measured on {config.structure}.")
    return measured, measured


def box_of(config: CompareMapsOfPicksConfig, diameter: float, structure: float) -> int:
    """px of the micrographs. diameter, structure: Å of the particle and of the structure. Raises ValueError where the
    box does not hold them."""
    extraction = ExtractParticlesConfig(
        coordinates="",
        micrographs=(),
        pixel_size=config.pixel_size,
        particle_diameter=diameter,
        output="particles.star",
        box=config.box,
        scaled_box=config.scaled_box,
    )
    problems, box = extraction.check_together(), extraction.box_in_pixels()
    if not problems and structure > box * config.pixel_size:
        needed = 2 * math.ceil(0.75 * structure / config.pixel_size)
        problems = [
            f"Structure (--structure) {config.structure} is {structure:.0f} Å wide, but the box is {box} px, "
            f"{box * config.pixel_size:.0f} Å. Give a larger one (--box {needed})."
        ]
    refuse_if(problems)
    return box


def without_ctf(config: CompareMapsOfPicksConfig, compared: ComparedSets, star: str) -> list[str]:
    """Names of the micrographs compared that a STAR file with CTFs does not contain."""
    constants = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    ctfs = read_micrograph_ctfs(star, dict(zip(MICROSCOPE, constants)))
    return [name for name, path in compared.micrographs if ctf_of(ctfs, name, path) is None]


def estimated_ctf(config: CompareMapsOfPicksConfig, paths: dict[str, str], folder: Path) -> str:
    """A STAR file with CTFs that are estimated here."""
    star = folder / "ctf.star"
    if not star.exists():
        print("Estimating the CTF of the micrographs (no --ctf is given).", flush=True)
        work = folder / WORK / "ctf.star"
        work.parent.mkdir(exist_ok=True)
        contrast = config.amplitude_contrast
        estimate_ctf(
            EstimateCtfConfig(
                micrographs=tuple(paths.values()),
                pixel_size=config.pixel_size,
                voltage=typing.cast("float", config.voltage),  # check_together asks for both
                spherical_aberration=typing.cast("float", config.spherical_aberration),
                output=str(work),
                amplitude_contrast=EstimateCtfConfig.amplitude_contrast if contrast is None else contrast,
            ),
            names=tuple(paths),
        )
        work.rename(star)
    return str(star)
