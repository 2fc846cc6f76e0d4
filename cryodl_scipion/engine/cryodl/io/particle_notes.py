# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings about entries of a particle file that are not used, or that another file contradicts."""

import typing
import warnings
from pathlib import Path

ABERRATIONS = {
    "rlnBeamTiltX": "beam tilt",
    "rlnBeamTiltY": "beam tilt",
    "rlnOddZernike": "odd Zernike aberrations",
    "rlnEvenZernike": "even Zernike aberrations",
    "rlnMagMat00": "a magnification matrix",
    "rlnMagMat01": "a magnification matrix",
    "rlnMagMat10": "a magnification matrix",
    "rlnMagMat11": "a magnification matrix",
}
NONE = {"rlnMagMat00": 1.0, "rlnMagMat11": 1.0}  # values that mean nothing; 0 for the others
SAME = 0.02  # relative difference of pixel sizes up to which they are taken to be the same


def particle_notes(particles: typing.Any) -> list[str]:
    """Sentences about a ParticleSet: aberrations that are not corrected; a pixel size that the stack contradicts."""
    return aberration_notes(particles) + header_notes(particles)


def aberration_notes(particles: typing.Any) -> list[str]:
    """A sentence, in a list, if the optics table has aberrations other than the CTF's."""
    tables = (particles.optics_columns, particles.columns)
    found = {
        word: None
        for name, word in ABERRATIONS.items()
        for table in tables
        if any(_means_something(name, value) for value in table.get(name, ()))
    }
    if not found:
        return []
    return [
        f"{particles.path} has {', '.join(found)}, which are not corrected here, so detail finer than about 5 Å "
        "matches less well. The columns are kept."
    ]


def header_notes(particles: typing.Any) -> list[str]:
    """A sentence, in a list, if the header of the first stack has another pixel size than the STAR file."""
    import mrcfile

    stack = Path(str(particles.files[0]))
    if stack.suffix not in (".mrc", ".mrcs"):
        return []
    try:
        with warnings.catch_warnings(action="ignore"), mrcfile.open(stack, header_only=True, permissive=True) as mrc:
            voxel = float(mrc.voxel_size.x)
    except (ValueError, OSError):
        return []  # whoever reads the images says what is wrong with them
    # 0 and 1 are what programs write that know no pixel size
    if voxel in (0.0, 1.0) or abs(voxel / particles.pixel_size - 1) <= SAME:
        return []
    return [
        f"The pixel size in {particles.path} is {particles.pixel_size:.4g} Å (rlnImagePixelSize), that in the header "
        f"of {stack} {voxel:.4g} Å. The first is used; if it is wrong, all results are wrong."
    ]


def _means_something(name: str, value: typing.Any) -> bool:
    try:
        numbers = [float(word) for word in str(value).strip("[]").split(",") if word.strip()]
    except ValueError:
        return False
    return any(abs(number - NONE.get(name, 0.0)) > 1e-6 for number in numbers)
