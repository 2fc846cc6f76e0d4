# SPDX-License-Identifier: GPL-3.0-or-later
"""The two tables of RELION's particles: brought from version 3.0 to 3.1, and what the optics groups mean for each
particle."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np

from ..contract import say_if
from ..contract.reading import reader
from ..core.optics import OpticsTable
from . import messages, mrc, star
from .particles import ANGLES, CTF, MICROSCOPE
from .texts import Texts, rows_of

SHARED = (*MICROSCOPE, "rlnImagePixelSize")
OLD_PIXEL = ("rlnDetectorPixelSize", "rlnMagnification")
LEAST_DEFOCUS = 3000.0  # Å; without a phase plate no set is taken mostly nearer to focus; nm are rarely more
YES = ("1", "true", "yes")
STACKS, VISIBLE = "rlnTomoSubTomosAre2DStacks", "rlnTomoVisibleFrames"  # of tilt images


@dataclasses.dataclass(frozen=True)
class Groups:
    """What the optics table says of the particles; see particle_sets.ParticleSet."""

    pixel_size: float
    optics: OpticsTable | None
    ctf_state: str


@dataclasses.dataclass(frozen=True)
class StarRows:
    """Particles of RELION's tables, of one box and pixel size; what they show stays in its files until it is asked for.
    path: the STAR file. pixel_size: Å/px. box: px. names: as in the file. files: (n,) paths. numbers: (n,) int, 0-based
    places in them. angles: (n, 3) rot, tilt, psi in degrees, or None. halves: (n,) int, 1 or 2, or None. classes: (n,)
    int or None. columns, optics_columns: all of the two tables, {name: texts}."""

    PER_ROW: typing.ClassVar[tuple[str, ...]] = ("names", "files", "numbers", "angles", "halves", "classes")
    path: str
    pixel_size: float
    box: int
    names: typing.Sequence[str]
    files: np.ndarray
    numbers: np.ndarray
    angles: np.ndarray | None
    halves: np.ndarray | None
    classes: np.ndarray | None
    columns: dict[str, typing.Sequence[str]]
    optics_columns: dict[str, typing.Sequence[str]]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, indices: typing.Any) -> np.ndarray:
        """(m,) numbers of the rows that are meant by integers, a slice or a bool mask."""
        return np.arange(len(self))[indices].reshape(-1)

    def subset(self, indices: typing.Any) -> typing.Self:
        """Some rows, in the order given; see `rows`."""
        rows = self.rows(indices)
        chosen: dict[str, typing.Any] = {"columns": {k: rows_of(v, rows) for k, v in self.columns.items()}}
        for name in self.PER_ROW:
            value = getattr(self, name)
            texts = isinstance(value, (list, tuple, Texts))
            chosen[name] = None if value is None else rows_of(value, rows) if texts else value[rows]
        return dataclasses.replace(self, **chosen)

    def parts(self, size: int) -> list[np.ndarray]:
        """All rows in order, (size,) numbers at a time."""
        return np.split(np.arange(len(self)), range(size, len(self), size))

    def without_numbered(self, *heads: str) -> dict[str, None]:
        """{column: None}, changes that take out columns of these names and a number: an earlier run may have more."""
        return {name: None for name in self.columns if name.rstrip("0123456789") in {*heads} - {name}}

    def same_images(self) -> np.ndarray:
        """(n,) number of each row's image, from 0 in the order of the file; copies of one image have the same."""
        numbers: dict[tuple[str, int], int] = {}
        real = {file: os.path.realpath(file) for file in set(self.files)}  # a job may be named by its alias, too
        pairs = zip(map(real.__getitem__, self.files), self.numbers.tolist())
        return np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs])

    def copy_notes(self, items: str = "particles", of: str = "image") -> list[str]:
        """A sentence if images stand several times in a set. items, of: what the rows are, and what each shows."""
        number = int(self.same_images().max()) + 1
        return say_if(
            number < len(self),
            f"{self.path} has {len(self)} {items} of {number} {of}s: they are assumed to be symmetry-expanded, and "
            f"copies of one {of} are kept in one half. If they are not, remove the copies.",
        )

    def whole_columns(self, columns: dict[str, typing.Any], what: str) -> dict[str, typing.Any]:
        """Columns without those that are None. what: a row is. Raises ValueError if one lacks a value for a row."""
        columns = {name: values for name, values in columns.items() if values is not None}
        if wrong := [name for name, values in columns.items() if len(values) != len(self)]:
            raise ValueError(f"The column {wrong[0]} has {len(columns[wrong[0]])} values for {len(self)} {what}s.")
        return columns


def modern_tables(
    tables: typing.Mapping[str, typing.Mapping[str, typing.Sequence[str]]],
    path: str | os.PathLike[str],
    dimensions: int = 2,
) -> tuple[dict[str, typing.Sequence[str]], dict[str, typing.Sequence[str]]]:
    """Optics and particle table, {column: texts} each, as RELION 3.1 has them. tables: of star.read_tables. path: for
    messages. dimensions: 3 for subtomograms; of files that do not say it. Raises ValueError if there are no
    particles."""
    found = [dict(t) for t in tables.values() if "rlnImageName" in t]
    if len(found) > 1:
        raise ValueError(f"{path} has {len(found)} tables with rlnImageName, of which one is read. Join them.")
    columns = found[0] if found else None
    if not columns or not columns["rlnImageName"]:
        raise ValueError(
            f"{path} has no particles: it has no table with rlnImageName, or the table is empty."
            + " It lists classes: give the STAR file of their particles (`cryodl identify` takes their averages)."
            * any("rlnReferenceImage" in table for table in tables.values())
        )
    if dimensions == 2 and is_tilt_stacks(tables):
        raise ValueError(
            f"{path} has a stack of tilt images for each particle, which is no image of the particle. The commands on "
            "subtomograms take it, and positions and angles are read from it (--coordinates of export-tomograms)."
        )
    optics = next((dict(t) for t in tables.values() if "rlnOpticsGroup" in t and "rlnImageName" not in t), None)
    if optics is None and "optics" in tables:
        raise ValueError(f"{path}: the optics table lacks rlnOpticsGroup. Export the particles again, or add it.")
    if optics is None:
        return _from_old(columns, path, dimensions)
    if len(optics["rlnOpticsGroup"]) == 1:
        columns.setdefault("rlnOpticsGroup", [*optics["rlnOpticsGroup"]] * len(columns["rlnImageName"]))
    if {"rlnOriginX", "rlnOriginY"} & columns.keys() and "rlnImagePixelSize" in optics:
        sizes = optics["rlnImagePixelSize"]
        _origins_in_angstroms(columns, [sizes[row] for row in optics_rows(optics, columns, path)])
    return optics, columns


def _origins_in_angstroms(columns: dict[str, typing.Sequence[str]], sizes: typing.Sequence[str]) -> None:
    """Makes origins in px, of RELION 3.0 and of programs that write them beside an optics table, origins in Å. sizes:
    (n,) Å/px of each particle's image."""
    for axis in "XYZ":
        pixels = columns.pop(f"rlnOrigin{axis}", None)
        if pixels is not None and f"rlnOrigin{axis}Angst" not in columns:
            columns[f"rlnOrigin{axis}Angst"] = [f"{float(p) * float(size):.6f}" for p, size in zip(pixels, sizes)]


def is_tilt_stacks(tables: typing.Mapping[str, typing.Mapping[str, typing.Sequence[str]]]) -> bool:
    """Whether a STAR file's tables name stacks of tilt images. RELION 5 writes visible frames with these alone."""
    said = tables.get("general", {}).get(STACKS)
    return any(VISIBLE in table for table in tables.values()) if said is None else "1" in said


def optics_rows(
    optics: typing.Mapping[str, typing.Sequence[str]],
    columns: typing.Mapping[str, typing.Sequence[str]],
    path: str | os.PathLike[str],
) -> np.ndarray:
    """(n,) int, the row of the optics table that is of each particle or micrograph. columns: of their table, which
    needs no rlnOpticsGroup where there is one group. path: for messages. Raises ValueError for groups that are
    missing."""
    rows = {number: row for row, number in enumerate(optics["rlnOpticsGroup"])}
    if twice := [
        n for row, n in enumerate(optics["rlnOpticsGroup"]) if any(v[row] != v[rows[n]] for v in optics.values())
    ]:
        raise ValueError(f"{path} has two different optics groups with the number {twice[0]}. Renumber one of them.")
    if "rlnOpticsGroup" not in columns and len(rows) > 1:
        raise ValueError(f"{path} has {len(rows)} optics groups; its other table has no column rlnOpticsGroup.")
    groups = columns.get("rlnOpticsGroup", [*rows] * len(next(iter(columns.values()))))
    if strange := set(groups) - set(rows):
        raise ValueError(f"{path} names the optics group {sorted(strange)[0]}, which its optics table does not have.")
    return np.array([rows[number] for number in groups])


HEADERS = 64  # files of a set whose headers are read, from all over it


def header_notes(rows: StarRows) -> list[str]:
    """Sentences if pixel size (by the headers of the files) or box are not what the STAR file states."""
    files = list(dict.fromkeys(map(str, rows.files)))
    looked = [file for file in files[:: len(files) // HEADERS + 1] if Path(file).suffix in (".mrc", ".mrcs")]
    voxels = {file: mrc.header_pixel_size(file) or rows.pixel_size for file in looked}
    strange = [file for file, voxel in voxels.items() if abs(voxel / rows.pixel_size - 1) > star.SAME_SIZE]
    notes = [
        f"The pixel size in {rows.path} is {rows.pixel_size:.4g} Å (rlnImagePixelSize), that in the header of {file} "
        f"{voxels[file]:.4g} Å ({len(strange)} of {len(looked)} headers that were read say another one). The first is "
        "used; if it is wrong, all results are wrong."
        for file in strange[:1]
    ]
    sizes = list(rows.optics_columns.get("rlnImageSize", ()))
    used = {sizes[row] for row in optics_rows(rows.optics_columns, rows.columns, rows.path)} if sizes else set()
    wrong = sorted(size for size in used if size.isdigit() and int(size) != rows.box)
    return notes + [
        f"{rows.path} states images of {size} px (rlnImageSize), but they have {rows.box} px. If they were binned "
        f"since and the pixel size of {rows.pixel_size:.4g} Å is still that of before, all results are wrong."
        for size in wrong[:1]
    ]


def image_dimensions(path: str | os.PathLike[str], unsaid: int = 2) -> int:
    """2 or 3: whether a STAR file names images, or volumes (rlnImageDimensionality) or the tilt images of one; `unsaid`
    where the file does not say it."""
    tables = star.read_tables(path)
    found = tables.get("optics", {}).get("rlnImageDimensionality", [str(unsaid)])
    return 3 if list(found)[:1] == ["3"] or is_tilt_stacks(tables) else 2


def _from_old(
    columns: dict[str, typing.Sequence[str]], path: str | os.PathLike[str], dimensions: int
) -> tuple[dict[str, typing.Sequence[str]], dict[str, typing.Sequence[str]]]:
    """Tables of particles without optics groups: RELION 3.0 has the microscope at each particle, origins in px."""
    columns["rlnImagePixelSize"] = old_pixel_sizes(columns, path)
    names = [name for name in SHARED if name in columns]
    rows = list(zip(*(columns[name] for name in names)))
    groups = {row: number for number, row in enumerate(dict.fromkeys(rows), 1)}
    optics: dict[str, typing.Sequence[str]] = {
        "rlnOpticsGroupName": [f"opticsGroup{n}" for n in groups.values()],
        "rlnOpticsGroup": [str(n) for n in groups.values()],
        **{name: [row[i] for row in groups] for i, name in enumerate(names)},
        "rlnImageDimensionality": [str(dimensions)] * len(groups),
    }
    _origins_in_angstroms(columns, columns["rlnImagePixelSize"])
    columns["rlnOpticsGroup"] = [str(groups[row]) for row in rows]
    return optics, {name: values for name, values in columns.items() if name not in (*SHARED, *OLD_PIXEL)}


def old_pixel_sizes(
    columns: typing.Mapping[str, typing.Sequence[str]], path: str | os.PathLike[str]
) -> typing.Sequence[str]:
    """Å/px of each particle's image, of files without optics groups. path: for messages. Raises ValueError without."""
    for name in ("rlnImagePixelSize", "rlnPixelSize"):
        if name in columns:
            return columns[name]
    if any(name not in columns for name in OLD_PIXEL):
        raise ValueError(
            f"{path} has no pixel size: it has no optics table with rlnImagePixelSize, nor rlnDetectorPixelSize and "
            "rlnMagnification. Export the particles again, or add the column (Å/px of the particle images)."
        )
    # the detector's pixels are in micrometres
    return [f"{1e4 * float(d) / float(m):.6f}" for d, m in zip(*(columns[name] for name in OLD_PIXEL))]


@reader
def read_orientations(path: str | os.PathLike[str]) -> np.ndarray:
    """The angles of a STAR file, (n, 3) rot, tilt, psi in degrees. Raises FileNotFoundError, or ValueError that names
    the file and what it lacks."""
    tables = [table for table in star.read_tables(path).values() if any(name in table for name in ANGLES)]
    angles = number_columns(str(path), tables[0], ANGLES, "row") if tables else None
    if angles is None or not len(angles):
        raise ValueError(f"{path} has no angles; columns of them in degrees ({', '.join(ANGLES)}) are needed.")
    return angles


def number_columns(
    path: str | os.PathLike[str],
    columns: typing.Mapping[str, typing.Sequence[str]],
    names: typing.Sequence[str],
    what: str = "particle",
) -> np.ndarray | None:
    """Columns as numbers, (n, len(names)); None if they are missing. path, what (of what the rows are): for messages.
    columns: {column: texts}. Raises ValueError for values that are no finite numbers, and if only some columns are
    there."""
    there = [name for name in names if name in columns]
    if 0 < len(there) < len(names):
        missing = ", ".join(name for name in names if name not in columns)
        raise ValueError(f"{path} has {' and '.join(there)}, but not {missing}. Add that, or remove the rest.")
    if not there:
        return None
    try:
        values = np.stack([np.array(columns[name], float) for name in names], 1)
    except ValueError as error:  # which ends with the word in quotes
        name, row = next(
            (name, row) for name in names for row, word in enumerate(columns[name]) if repr(word) in str(error)
        )
        raise ValueError(
            f"{path}: {what} {row + 1} has {name} {columns[name][row]!r}; a number is needed. Correct that row, or "
            "use the original file."
        ) from None
    for row, column in np.argwhere(~np.isfinite(values))[:1].tolist():
        raise ValueError(
            f"{path}: {what} {row + 1} has a value of {names[column]} that is not a finite number. Correct that "
            "row, or use the original file."
        )
    return values


def known_columns(
    path: str | os.PathLike[str],
    columns: typing.Mapping[str, typing.Sequence[str]],
    names: typing.Sequence[str],
    what: str = "particle",
) -> np.ndarray:
    """number_columns of which one is known to be there."""
    return typing.cast("np.ndarray", number_columns(path, columns, names, what))


def whole_column(
    path: str | os.PathLike[str], columns: typing.Mapping[str, typing.Sequence[str]], name: str, what: str = "particle"
) -> np.ndarray | None:
    """A column as whole numbers, (n,) int; None if it is missing. All else as number_columns. Raises ValueError for
    values that are no whole numbers."""
    values = number_columns(path, columns, (name,), what)
    if values is None:
        return None
    if len(bad := np.nonzero(values[:, 0] != np.rint(values[:, 0]))[0]):
        raise ValueError(
            f"{path}: {what} {bad[0] + 1} has {name} {values[bad[0], 0]:g}; it must be a whole number. Correct the "
            "column, or remove it."
        )
    return values[:, 0].astype(int)


def groups_of_particles(
    optics: typing.Mapping[str, typing.Sequence[str]],
    columns: typing.Mapping[str, typing.Sequence[str]],
    path: str | os.PathLike[str],
    dimensions: int = 2,
) -> Groups:
    """The Groups of the tables of modern_tables. path: for messages. dimensions: 3 for subtomograms. Raises ValueError
    for pixel sizes or treatments that differ, images of other dimensions, and groups that are missing."""
    rows = optics_rows(optics, columns, path)
    used = sorted(set(rows.tolist()))
    said = optics.get("rlnImageDimensionality", [str(dimensions)] * len(optics["rlnOpticsGroup"]))
    if any(said[row] != str(dimensions) for row in used):
        found, wanted = ("subtomograms", "particle images")[:: 1 if dimensions == 2 else -1]
        raise ValueError(f"{path} has {found} (rlnImageDimensionality is {5 - dimensions}); {wanted} are needed.")
    return Groups(
        _pixel_size(optics, used, path), _optics(optics, columns, rows, path), _ctf_state(optics, columns, used, path)
    )


def _pixel_size(
    optics: typing.Mapping[str, typing.Sequence[str]], used: typing.Sequence[int], path: str | os.PathLike[str]
) -> float:
    found = number_columns(path, optics, ("rlnImagePixelSize",), "optics group")
    if found is None:
        raise ValueError(
            f"{path} has no pixel size: its optics table has no rlnImagePixelSize. Export the particles again, or "
            "add the column."
        )
    sizes = found[used, 0].tolist()
    if not min(sizes) > 0:
        raise ValueError(f"{path} has a pixel size (rlnImagePixelSize) of {min(sizes):g} Å; it must be positive.")
    if max(sizes) > 1.0001 * min(sizes):
        raise ValueError(
            f"{path} has particles of {min(sizes):g} and of {max(sizes):g} Å/px; one pixel size is needed. Resample "
            "some of them, or give them in two STAR files."
        )
    return sizes[0]


def _optics(
    optics: typing.Mapping[str, typing.Sequence[str]],
    columns: typing.Mapping[str, typing.Sequence[str]],
    rows: np.ndarray,
    path: str | os.PathLike[str],
) -> OpticsTable | None:
    if CTF[0] not in columns or number_columns(path, columns, CTF[:2]) is None:
        return None
    rest = {"rlnDefocusAngle": "0", "rlnPhaseShift": "0", "rlnCtfBfactor": "0", "rlnCtfScalefactor": "1"}
    columns = {**{name: [usual] * len(rows) for name, usual in rest.items()}, **columns}
    values = known_columns(path, columns, ("rlnDefocusU", "rlnDefocusV", *rest))
    if not values[:, :2].any():
        return None  # written by programs that know no CTF
    if zeros := int((~values[:, [0, 1, 3]].any(1)).sum()):
        messages.warn(
            f"{path}: {zeros} of {len(values)} images have a defocus (rlnDefocusU) of 0 and are taken for images in "
            "focus. If their CTF was not estimated, estimate it, or leave them out."
        )
    median = np.median(values[:, :2])
    if median < LEAST_DEFOCUS and not values[:, 3].any():
        messages.warn(
            f"{path} has a median defocus (rlnDefocusU) of {median:.4g} Å. It is in Å, and positive for "
            "underfocus; convert other units. A wrong CTF makes all results wrong."
        )
    if missing := [name for name in MICROSCOPE if name not in optics]:
        raise ValueError(
            f"{path} has a defocus (rlnDefocusU), but its optics table lacks {', '.join(missing)}. Add what is missing."
        )
    microscope = known_columns(path, optics, MICROSCOPE, "optics group")
    check_microscope(path, microscope[rows])
    return OpticsTable(np.column_stack([values[:, :3], microscope[rows], values[:, 3:]]))


def check_microscope(path: str | os.PathLike[str], values: np.ndarray) -> None:
    """Raises ValueError for constants that no microscope has. path: for the message. values: (n, 3) of MICROSCOPE."""
    if wrong := [kv for kv in np.unique(values[:, 0]) if not 0 < kv <= 3500]:
        raise ValueError(f"{path} has a voltage ({MICROSCOPE[0]}) of {wrong[0]:g} kV. Correct it.")
    if wrong := [fraction for fraction in np.unique(values[:, 2]) if not 0 <= fraction <= 1]:
        raise ValueError(
            f"{path} has an amplitude contrast ({MICROSCOPE[2]}) of {wrong[0]:g}; it is a fraction, from 0 to 1. "
            "Correct it."
        )


def _ctf_state(
    optics: typing.Mapping[str, typing.Sequence[str]],
    columns: typing.Mapping[str, typing.Sequence[str]],
    used: typing.Sequence[int],
    path: str | os.PathLike[str],
) -> str:
    for kind, name in (("multiplied", "rlnCtfDataAreCtfPremultiplied"), ("flipped", "rlnCtfDataArePhaseFlipped")):
        values = [optics[name][row] for row in used] if name in optics else columns.get(name, "0")
        said = {str(value).lower() in YES for value in set(values)}
        if len(said) > 1:
            raise ValueError(
                f"{path} mixes images with different CTF treatment ({name}). Give them in several STAR files."
            )
        if said == {True}:
            return kind
    return "none"
