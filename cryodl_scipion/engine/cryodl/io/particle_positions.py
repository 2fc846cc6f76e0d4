# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the particles of a STAR file lie on their micrographs. Their images are not read and need not be there."""

import dataclasses
import os
import typing

import numpy as np

from ..contract import counted
from ..contract.reading import reader
from ..core.geometry import well_apart
from .coordinates import keys_of
from .cryosparc import cryosparc_tables, is_cryosparc
from .files import read_text
from .relion_tables import known_columns, number_columns, old_pixel_sizes, optics_rows
from .star import read_tables

_POSITION = ("rlnCoordinateY", "rlnCoordinateX")
_ORIGINS = ("rlnOriginYAngst", "rlnOriginXAngst")
_OLD_ORIGINS = ("rlnOriginY", "rlnOriginX")
_SIZE = "rlnImagePixelSize"


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
    yx = known_columns(path, columns, _POSITION)
    origins = number_columns(path, columns, _ORIGINS)
    if origins is None:
        origins = np.zeros_like(yx)
    keys = np.array(keys_of(list(columns["rlnMicrographName"])))
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
    sizes = number_columns(path, {_SIZE: old_pixel_sizes(columns, path)} if optics is None else optics, (_SIZE,), "row")
    if sizes is None or not (sizes > 0).all():
        raise ValueError(
            f"{path} has shifts in pixels ({' and '.join(reversed(_OLD_ORIGINS))}), but no positive {_SIZE}, which "
            "gives them in Å. Add that column, or remove the shifts to use the positions alone."
        )
    return dict(zip(_ORIGINS, (pixels * (sizes if optics is None else sizes[optics_rows(optics, columns, path)])).T))


def recentred(
    path: str | os.PathLike[str], pixel_size: float, reach: float
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """Where the alignment of a particle STAR file says that its particles lie, for another extraction: {key of the
    micrograph: (yx (n, 2) px, scores of 0)}, without those that then lie within reach (Å) of another, and a sentence;
    nothing of a folder, or of a file without shifts. pixel_size: Å/px of the micrographs."""
    if not (os.path.isfile(path) and str(path).endswith(".star") and "_rlnOriginX" in read_text(path)):
        return {}, ""
    found = {key: one.yx - one.origins / pixel_size for key, one in read_particle_positions(path).items()}
    single = {key: yx[well_apart(yx, reach / pixel_size)] for key, yx in found.items()}
    gone = sum(map(len, found.values())) - sum(map(len, single.values()))
    return {key: (yx, np.zeros(len(yx))) for key, yx in single.items()}, (
        f"{path} has shifts: its particles are extracted where their alignment centres them."
        + (f" {counted(gone, 'particle')} within {reach:.3g} Å of another left out." if gone else "")
    )
