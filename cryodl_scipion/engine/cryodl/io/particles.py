# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with orientations and CTF in RELION's files: STAR (3.1) and stacks of images. Columns of a particle STAR
file that record the reference its angles come from, and the names of the control files."""

import os
import typing
from pathlib import Path

import mrcfile
import numpy as np

from ..contract.reading import star_head
from .files import whole_file, write_text

# columns of particles whose angles come from a reference: its file's name, the beginning of the SHA-256 of its content,
# and the finest detail (Å) that was compared
REFERENCE, DIGEST, COMPARED = "cryodlReference", "cryodlReferenceDigest", "cryodlReferenceResolution"
ORIGIN = (REFERENCE, DIGEST, COMPARED)
DIGITS = 12  # of the SHA-256
SCORE, MARGIN = "cryodlScore", "cryodlMargin"  # how well an image fits, and by how much it fits better than the next
EXPLAINED = "cryodlExplained"  # their evidence for the reference, over what a particle of it would give
NOISE = "_noise"  # what the name of the noise control has more than that of the particles
SUBSTITUTED = "_substituted"  # ... and that of the particles whose fine detail was replaced by noise
BEYOND = "cryodlNoiseSubstitution"  # their column: Å, detail finer than that is noise


def control_name(output: str, kind: str = NOISE) -> str:
    """NAME_noise.star of NAME.star. kind: NOISE or SUBSTITUTED."""
    return f"{output[: -len('.star')]}{kind}.star"


ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
LABEL = "cryodl: stack of images"  # in the header of stacks
CTF = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
PARTICLE_CTF = ("rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor")
MICROSCOPE = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")
OPTICS = (
    "rlnOpticsGroupName",
    "rlnOpticsGroup",
    *MICROSCOPE,
    "rlnImagePixelSize",
    "rlnMicrographOriginalPixelSize",
    "rlnImageSize",
    "rlnImageDimensionality",
)
PARTICLES = (
    "rlnImageName",
    "rlnMicrographName",
    *COORDINATES,
    *ANGLES,
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    *CTF,
    "rlnOpticsGroup",
)


def write_oriented_coordinates(
    path: str | os.PathLike[str], centres_yx: np.ndarray, angles: np.ndarray, optics: typing.Any
) -> None:
    """STAR file of one micrograph's particles with angles and CTF. centres_yx: (n, 2) px. angles: (n, 3) degrees.
    optics: of all."""
    ctf = [
        optics.defocus_u,
        optics.defocus_v,
        optics.defocus_angle,
        optics.voltage_kv,
        optics.cs_mm,
        optics.amplitude_contrast,
    ]
    text = star_head("", (*COORDINATES, *ANGLES, *CTF, *MICROSCOPE)) + "".join(
        "  ".join(f"{v:.4f}" for v in row) + "\n"
        for row in np.hstack([centres_yx[:, ::-1], angles, np.tile(ctf, (len(angles), 1))])
    )
    write_text(path, text + "\n")


def write_stack(path: str | os.PathLike[str], images: typing.Any, pixel_size: float) -> None:
    """Write images as a stack (.mrcs), whole or not at all. images: (n, h, w) float32, or int16 for frames.
    pixel_size: Å/px."""
    with whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        data = np.asarray(images)
        mrc.set_data(data if data.dtype == np.int16 else data.astype(np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = pixel_size
        mrc.add_label(LABEL)


def particle_rows(
    stack: str,
    micrograph: str,
    positions_yx: np.ndarray,
    centres_yx: np.ndarray,
    angles: np.ndarray,
    optics: typing.Any,
    pixel_size: float,
) -> str:
    """Lines of particles.star for the images of one stack. stack, micrograph: paths as the STAR file shall have them.
    positions_yx: (n, 2) whole px, the boxes' centres. centres_yx: (n, 2) px, where the particles are. angles: (n, 3)
    degrees. optics: of all. pixel_size: Å/px."""
    lines = []
    for number, (position, centre, view) in enumerate(zip(positions_yx, centres_yx, angles), 1):
        origin = (position - centre)[
            ::-1
        ] * pixel_size  # RELION: the shift that brings the particle to its box's centre
        numbers = [*position[::-1], *view, *origin, optics.defocus_u, optics.defocus_v, optics.defocus_angle]
        lines.append(f"{number:06d}@{stack}  {micrograph}  " + "  ".join(f"{v:.4f}" for v in numbers) + "  1\n")
    return "".join(lines)


def optics_group(optics: typing.Any, pixel_size: float, box: int, dimensions: int = 2) -> dict[str, typing.Any]:
    """The only row of an optics table, {column: value}. optics: one of the particles'. pixel_size: Å/px. box: px.
    dimensions: 3 for subtomograms."""
    group = ("opticsGroup1", 1, optics.voltage_kv, optics.cs_mm, optics.amplitude_contrast, pixel_size, pixel_size)
    return dict(zip(OPTICS, (*group, box, dimensions)))


def write_particles(
    path: str | os.PathLike[str],
    parts: typing.Iterable[str | os.PathLike[str]],
    optics: typing.Any,
    pixel_size: float,
    box: int,
) -> None:
    """particles.star from files of particle_rows, one after another, so that a million particles take no memory. Whole
    or not at all. parts: of files of particle_rows. optics: one of them, for what all share. pixel_size: Å/px."""
    group = optics_group(optics, pixel_size, box).values()
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(star_head("optics", OPTICS) + "  ".join(map(str, group)) + "\n" + star_head("particles", PARTICLES))
        file.writelines(Path(part).read_text(encoding="utf-8") for part in parts)
        file.write("\n")
