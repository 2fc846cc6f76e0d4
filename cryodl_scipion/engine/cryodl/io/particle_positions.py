# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the particles of a STAR file lie on their micrographs. Their images are not read and need not be there."""

import dataclasses
import os
import typing

import numpy as np

from ..contract.reading import reader
from .coordinates import keys_of
from .cryosparc import cryosparc_tables, is_cryosparc
from .relion_tables import OLD_PIXEL, number_columns
from .star import read_tables

_POSITION = ("rlnCoordinateY", "rlnCoordinateX")
_ORIGINS = ("rlnOriginYAngst", "rlnOriginXAngst")
_OLD_ORIGINS = ("rlnOriginY", "rlnOriginX")
_PIXEL_SIZES = (("rlnImagePixelSize",), ("rlnPixelSize",), OLD_PIXEL)  # of particles without optics groups


@dataclasses.dataclass(frozen=True)
class ParticlePositions:
    """Particles of one micrograph. yx: (n, 2) px of the micrograph from which they were extracted. origins: (n, 2) yx
    Å, RELION's shift that centres the particle; the particle lies at yx minus it. 0 where the file has none."""

    yx: np.ndarray
    origins: np.ndarray

    def __len__(self) -> int:
        return len(self.yx)


@reader
def read_particle_positions(path: str | os.PathLike[str], flip_y: bool = False) -> dict[str, ParticlePositions]:
    """Positions of the particles of a STAR file of RELION, of any version, or of a .cs file, by micrograph. flip_y:
    count the rows of cryoSPARC's .cs files from their other end. Returns {key of the micrograph: ParticlePositions}.
    Raises FileNotFoundError, or ValueError that names the file and the columns that it lacks, or values that are no
    numbers."""
    tables = cryosparc_tables(path, flip_y) if is_cryosparc(path) else read_tables(path)
    columns: dict[str, typing.Any] = next((dict(t) for t in tables.values() if _POSITION[0] in t), {})
    lacking = [name for name in (*reversed(_POSITION), "rlnMicrographName") if name not in columns]
    found = columns or max((dict(t) for name, t in tables.items() if name != "optics"), key=len, default={})
    if found and not any(map(len, found.values())):
        raise ValueError(f"{path} has no particles: its table of particles has no rows. Give a file with particles.")
    if lacking:
        raise ValueError(
            f"{path} has particles without positions: the {'columns' if len(lacking) > 1 else 'column'} "
            f"{', '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} missing. Found: "
            f"{', '.join(list(found)[:8]) or 'no table of particles'}. Give a STAR file that has kept the columns of "
            "the extraction; of cryoSPARC the .cs file with its passthrough file beside it."
        )
    if _OLD_ORIGINS[0] in columns and _ORIGINS[0] not in columns:
        columns.update(_in_angstroms(path, tables, columns))
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
    tables: typing.Mapping[str, typing.Mapping[str, typing.Sequence[str]]],
    columns: typing.Mapping[str, typing.Sequence[str]],
) -> dict[str, typing.Any]:
    """The origins in px of the images, as columns in Å."""
    pixels = number_columns(path, columns, _OLD_ORIGINS)
    if pixels is None or not pixels.any():
        return {}
    optics = next((t for t in tables.values() if "rlnOpticsGroup" in t and _POSITION[0] not in t), None)
    sizes = _own_sizes(path, columns) if optics is None else _sizes_of_groups(path, optics, columns)
    return dict(zip(_ORIGINS, (pixels * sizes).T))


def _own_sizes(path: str | os.PathLike[str], columns: typing.Mapping[str, typing.Sequence[str]]) -> np.ndarray:
    """(n, 1) Å/px of the images of particles without optics groups."""
    for names in _PIXEL_SIZES:
        values = number_columns(path, columns, names)
        if values is not None and (values > 0).all():
            return values if len(names) == 1 else 1e4 * values[:, :1] / values[:, 1:]  # the detector's are in µm
    shifts = " and ".join(reversed(_OLD_ORIGINS))
    raise ValueError(
        f"{path} has shifts in pixels ({shifts}), but their pixel size is unknown: it has no optics table, nor columns "
        f"{' and '.join(OLD_PIXEL)} or rlnImagePixelSize with positive values. Give a file with an optics table, add "
        f"rlnImagePixelSize (Å/px of the particle images), or remove {shifts} to use the positions without shifts."
    )


def _sizes_of_groups(
    path: str | os.PathLike[str],
    optics: typing.Mapping[str, typing.Sequence[str]],
    columns: typing.Mapping[str, typing.Sequence[str]],
) -> np.ndarray:
    """(n, 1) Å/px of the images of particles with optics groups."""
    sizes = number_columns(path, optics, ("rlnImagePixelSize",), "optics group")
    if sizes is None:
        raise ValueError(
            f"{path} has {' and '.join(reversed(_OLD_ORIGINS))} in pixels, but its optics table has no "
            "rlnImagePixelSize, which gives them in Å. Add the column."
        )
    if "rlnOpticsGroup" not in columns and len(sizes) > 1:
        raise ValueError(f"{path} has {len(sizes)} optics groups, but its particles have no column rlnOpticsGroup.")
    groups = columns.get("rlnOpticsGroup", [*optics["rlnOpticsGroup"]] * len(columns[_POSITION[0]]))
    of_group = dict(zip(optics["rlnOpticsGroup"], sizes[:, 0]))
    strange = set(groups) - set(of_group)
    if strange:
        raise ValueError(
            f"{path}: particles belong to optics group {sorted(strange)[0]}, which its optics table does not have."
        )
    return np.array([[of_group[group]] for group in groups])
