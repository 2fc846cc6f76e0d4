# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in the files that RELION's extraction reads, one coordinate file per micrograph.

RELION looks for the coordinates of MotionCorr/job002/day1/a.mrc in <folder>/day1/a<suffix>: it keeps the folders of a
micrograph's name, and leaves out what stands before and in the number of a job of its own.
"""

from __future__ import annotations

import os
import re
import typing
from pathlib import Path

if typing.TYPE_CHECKING:
    import numpy as np

SUFFIX = "_pick.star"
TUBE = "rlnHelicalTubeID"  # column that segments of filaments have
_JOB = re.compile(r"^.*?/job\d{3,}/")
READABLE = (".mrc", ".mrcs", ".tif", ".tiff")


def project_name(path: str, project: str) -> str:
    """The name of a micrograph in RELION's tables: its path relative to the project's folder.

    Links are kept as they are: RELION's users link folders of micrographs into their project.

    Parameters
    ----------
    project : str
        The project's folder.

    Raises
    ------
    ValueError
        The micrograph lies outside, or RELION does not read its format.
    """
    name = os.path.relpath(os.path.abspath(path), os.path.abspath(project))
    if name.startswith(os.pardir + os.sep):
        folder = os.path.dirname(os.path.abspath(path))
        raise ValueError(
            f"{path} lies outside RELION's project folder (--project {project}), where RELION cannot read it. Link "
            f"its folder into the project (ln -s {folder} {project}/) and give the micrographs by that link."
        )
    if not name.lower().endswith(READABLE):
        raise ValueError(f"{path} is not of a format that RELION reads (MRC or TIFF, uncompressed). Unpack it first.")
    if re.search(r"\s", name):
        raise ValueError(f"{name} has a space in its name, which RELION's STAR files do not allow. Link or rename it.")
    return name


def coordinate_file(name: str) -> str:
    """Where RELION looks for a micrograph's coordinates, relative to the folder of coordinates.

    Parameters
    ----------
    name : str
        Of the micrograph, relative to the project.
    """
    return os.path.splitext(_JOB.sub("", name))[0] + SUFFIX


def micrograph_tables(
    names: typing.Sequence[str],
    pixel_size: float,
    voltage: float,
    spherical_aberration: float,
    amplitude_contrast: float,
) -> dict[str, dict[str, list[typing.Any]]]:
    """RELION's tables of micrographs with one optics group: {table: {column: values}}.

    Parameters
    ----------
    names : sequence of str
        Of the micrographs, relative to the project.
    pixel_size : float, Å/px
    voltage : float, kV
    spherical_aberration : float, mm
    amplitude_contrast : float, fraction

    Returns
    -------
    dict
        {table: {column: values}}.
    """
    optics = dict(
        rlnOpticsGroupName="opticsGroup1",
        rlnOpticsGroup=1,
        rlnMicrographOriginalPixelSize=float(pixel_size),
        rlnMicrographPixelSize=float(pixel_size),
        rlnVoltage=float(voltage),
        rlnSphericalAberration=float(spherical_aberration),
        rlnAmplitudeContrast=float(amplitude_contrast),
    )
    return dict(
        optics={key: [value] for key, value in optics.items()},
        micrographs=dict(rlnMicrographName=list(names), rlnOpticsGroup=[1] * len(names)),
    )


def pick_tables(
    tables: typing.Mapping[str, typing.Mapping[str, typing.Any]],
    picks: typing.Sequence[tuple[str, str | int, np.ndarray, np.ndarray]],
) -> dict[str, dict[str, typing.Any]]:
    """RELION's tables of picked positions without images, as cryoSPARC imports them: {table: {column: values}}.

    Parameters
    ----------
    tables : dict
        Of the micrographs, with the table `optics`.
    picks : sequence of (str, optics group, ndarray, ndarray)
        Micrograph's name, optics group, yx (n, 2) px, scores (n,).

    Returns
    -------
    dict
        {table: {column: values}}.
    """
    rows = [(name, group, x, y, s) for name, group, yx, scores in picks for (y, x), s in zip(yx, scores)]
    columns = list(zip(*rows)) if rows else [()] * 5
    names = ("rlnMicrographName", "rlnOpticsGroup", "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")
    return dict(optics=dict(tables["optics"]), particles=dict(zip(names, columns)))


def helical_tables(source: str) -> dict[str, dict[str, list[str]]]:
    """The tables of a folder's STAR files that hold segments of filaments.

    Returns
    -------
    dict
        {micrograph: {column: texts}}.
    """
    from .files import micrograph_key
    from .star import read_tables

    found = {}
    for path in sorted(Path(source).glob("*.star")) if os.path.isdir(source) else []:
        for table in read_tables(path).values():
            if TUBE in table:
                found[micrograph_key(str(path))] = {name: list(texts) for name, texts in table.items()}
    return found


def extraction_command(
    micrographs: str, coordinates: list, box: int, diameter_px: float, invert: bool, tube: float | None = None
) -> str:
    """The words of relion_preprocess that extract the particles, for the project's folder.

    Parameters
    ----------
    micrographs : str
        RELION's table of micrographs.
    coordinates : list of str
        The words that tell where the coordinates are.
    box : int
        px, even.
    diameter_px : float, px
        Of the particle: the background is what lies outside it.
    invert : bool
        Whether protein is dark in the micrographs.
    tube : float, Å, optional
        Diameter of the filament, of segments of filaments.
    """
    import shlex

    radius = min(max(1, round(0.6 * diameter_px)), box // 2 - 1)
    words = ["relion_preprocess", "--i", micrographs, *coordinates, "--extract", "--extract_size", str(box)]
    words += ["--norm", "--bg_radius", str(radius), *(["--invert_contrast"] if invert else [])]
    if tube:
        words += ["--helix", "--helical_outer_diameter", f"{tube:g}", "--helical_bimodal_angular_priors"]
    words += ["--part_dir", "Extract/cryodl/", "--part_star", "Extract/cryodl/particles.star"]
    return " ".join(shlex.quote(word) for word in words)
