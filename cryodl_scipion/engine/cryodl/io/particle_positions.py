# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the particles of a STAR file lie on their micrographs. Their images are not read and need not be there."""

from __future__ import annotations

import dataclasses
import os
import re
import typing

import numpy as np

from .coordinates import keys_of
from .relion_tables import modern_tables, number_columns
from .star import read_tables

_POSITION = ("rlnCoordinateY", "rlnCoordinateX")
_ORIGINS = ("rlnOriginYAngst", "rlnOriginXAngst")
_OLD_ORIGINS = ("rlnOriginY", "rlnOriginX")
_UID = re.compile(r"^\d{5,}_")  # what cryoSPARC writes before the names of imported micrographs


@dataclasses.dataclass(frozen=True)
class ParticlePositions:
    """Particles of one micrograph.

    Attributes
    ----------
    yx
        (n, 2) px of the micrograph from which they were extracted.
    origins
        (n, 2) yx Å, RELION's shift that centres the particle; the particle lies at yx minus it. 0 where the file has
        none.
    """

    yx: np.ndarray
    origins: np.ndarray

    def __len__(self) -> int:
        return len(self.yx)


def read_particle_positions(path: str | os.PathLike[str]) -> dict[str, ParticlePositions]:
    """Positions of the particles of a STAR file of RELION, of any version, by micrograph.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        {key of the micrograph: ParticlePositions}

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        That names the file and the columns that it lacks, or values that are no numbers.
    """
    tables = read_tables(path)
    columns: dict[str, typing.Any] = next((dict(t) for t in tables.values() if _POSITION[0] in t), {})
    lacking = [name for name in (*reversed(_POSITION), "rlnMicrographName") if not len(columns.get(name, ()))]
    if lacking:
        largest = max(tables.values(), key=len, default={})
        raise ValueError(
            f"{path} has particles without positions: the {'columns' if len(lacking) > 1 else 'column'} "
            f"{', '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} missing or empty. Found: "
            f"{', '.join(list(largest)[:8]) or 'no table'}. Give a STAR file that has kept the columns of the "
            "extraction; for cryoSPARC, convert the particles with csparc2star.py and their passthrough file."
        )
    if _OLD_ORIGINS[0] in columns and _ORIGINS[0] not in columns:
        optics, columns = modern_tables(tables, path)  # of files without optics groups, px become Å
        if _ORIGINS[0] not in columns:
            columns.update(_in_angstroms(path, optics, columns))
    yx = typing.cast("np.ndarray", number_columns(path, columns, _POSITION))
    origins = number_columns(path, columns, _ORIGINS)
    if origins is None:
        origins = np.zeros_like(yx)
    try:
        keys = np.array(keys_of(list(columns["rlnMicrographName"])))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return {key: ParticlePositions(yx[keys == key], origins[keys == key]) for key in dict.fromkeys(keys.tolist())}


def _in_angstroms(
    path: str | os.PathLike[str],
    optics: typing.Mapping[str, typing.Sequence[str]],
    columns: typing.Mapping[str, typing.Sequence[str]],
) -> dict[str, typing.Any]:
    """The origins in px of the images of a file with optics groups, as columns in Å."""
    pixels = number_columns(path, columns, _OLD_ORIGINS)
    if pixels is None:
        return {}
    sizes = number_columns(path, optics, ("rlnImagePixelSize",), "optics group")
    if sizes is None:
        raise ValueError(
            f"{path} has {' and '.join(reversed(_OLD_ORIGINS))} in pixels, but its optics table has no "
            "rlnImagePixelSize, which gives them in Å. Add the column."
        )
    of_group = dict(zip(optics["rlnOpticsGroup"], sizes[:, 0]))
    strange = set(columns["rlnOpticsGroup"]) - set(of_group)
    if strange:
        raise ValueError(
            f"{path}: particles belong to optics group {sorted(strange)[0]}, which its optics table does not have."
        )
    moved = pixels * np.array([[of_group[group]] for group in columns["rlnOpticsGroup"]])
    return dict(zip(_ORIGINS, moved.T))


def without_uid(key: str) -> str:
    """The key without the number that cryoSPARC writes before the name of an imported micrograph.

    Parameters
    ----------
    key : str

    Returns
    -------
    str
    """
    return _UID.sub("", key)
