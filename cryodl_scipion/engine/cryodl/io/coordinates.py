# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle coordinates in files: RELION's, EMAN's, Topaz's, crYOLO's, cryoSPARC's, and tables with a head. Files hold x
(column) and y (row) of box centres; this module alone exchanges them with the engine's yx (frames.py)."""

import csv
import json
import os
import re
import typing
from pathlib import Path

import gemmi
import numpy as np

from ..contract import some_names
from ..contract.reading import fault_of, reader, star_head
from . import cryosparc, messages, stacks, star
from .files import lists_by_key, micrograph_key, read_text, without_pick_suffix, write_text

COORDINATE_SUFFIXES = (".star", ".box", ".cbox", ".txt")  # of files that are looked for in folders
_EMAN2 = "_info.json"  # the end of a name that they may have, too
_SCORE_COLUMNS = ("_rlnAutopickFigureOfMerit", "_rlnParticleScore")
DECIMALS = 6  # of scores in files
_LIST = "_rlnMicrographCoordinates"  # column of RELION's list of coordinate files
_CRYOLO_THRESHOLD = 0.3  # crYOLO's own; its .cbox files hold weaker boxes, too
# names of columns in tables with a head: x, y, score, micrograph
_X = ("x", "x_coord", "x-coord", "center_x", "coordinatex", "axis-1")
_Y = ("y", "y_coord", "y-coord", "center_y", "coordinatey", "axis-0")
_Z = ("z", "z_coord", "z-coord", "center_z", "coordinatez", "axis-2")
_SCORE = ("score", "confidence", "figure_of_merit")
_NAME = ("micrograph", "micrograph_name", "image_name", "filename")
_UID = re.compile(r"^\d{5,}_")  # what cryoSPARC writes before the names of imported micrographs


@reader
def read_coordinates(source: str | os.PathLike[str], flip_y: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Coordinates of a folder or file, by micrograph key. source: folder with .star, .box, .cbox, .txt or EMAN2's
    _info.json files, or else .csv ones (not searched deeper), or a file: one of these, RELION's autopick.star, or a .cs
    file. flip_y: count the rows of cryoSPARC's .cs files from their other end. Returns {key: (yx (n, 2) float64 in px,
    scores (n,) float64)}; lists without scores have score 0. A file without particles keeps its key. Raises
    FileNotFoundError if there is nothing; ValueError that names the file that cannot be understood, two files for one
    key, or two micrographs of one file for one key."""
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"Coordinates {source} do not exist. Give a folder or file that does.")
    if not (files := coordinate_files(source)):
        inner = some_names(one.name for one in source.iterdir() if one.is_dir())
        raise ValueError(
            f"The folder {source} has no coordinates: no {', '.join(COORDINATE_SUFFIXES)} or {_EMAN2} file in it, nor "
            f"a .csv file.{inner and f' Give the one of the folders in it that has them: {inner}.'}"
        )
    rows, owner = dict[str, typing.Any](), dict[str, Path]()
    for file in files:
        for key, values in _read_file(file, flip_y).items():
            if owner.setdefault(key, file) != file:
                raise ValueError(
                    f"Two files have coordinates of the micrograph {key}: {owner[key]} and {file}. Keep one of them "
                    "in the folder."
                )
            rows[key] = values
    return {k: (v[:, 1::-1].copy(), v[:, 2].copy()) for k, v in rows.items()}


def coordinate_files(source: str | os.PathLike[str]) -> list[Path]:
    """The files of coordinates of a folder, or the file itself. Tables with commas may be of other things: they count
    where there is nothing else."""
    source = Path(source)
    names = [] if source.is_file() else sorted(name for name in os.listdir(source) if not name.startswith("."))
    ours = lambda *endings: [source / name for name in names if name.lower().endswith(endings)]
    return [source] if source.is_file() else ours(*COORDINATE_SUFFIXES, _EMAN2) or ours(".csv")


Of = typing.TypeVar("Of")  # what a key has: positions and scores, tables, areas


def align_keys(coordinates: typing.Mapping[str, Of], names: typing.Collection[str]) -> dict[str, Of]:
    """The same coordinates under the names of `names` that they belong to; the others keep their key. A key belongs to
    the name that equals it, else to the one that equals it without endings such as _autopick. If none belongs to any,
    the numbers that cryoSPARC writes before the names of imported micrographs are left out, too. Raises ValueError if
    two keys belong to one name."""
    plain = {without_pick_suffix(n): n for n in names}
    known = any(key in names or without_pick_suffix(key) in plain for key in coordinates)
    owner = dict[str, str]()
    for key in coordinates:
        name = key if key in names else plain.get(without_pick_suffix(key if known else _UID.sub("", key)), key)
        if name in owner:
            raise ValueError(
                f"Two lists have coordinates of the micrograph {name}: {owner[name]} and {key}. Keep one of them in "
                "the folder."
            )
        owner[name] = key
    return {name: coordinates[key] for name, key in owner.items()}


def write_coordinates(
    path: str | os.PathLike[str], yx: np.ndarray, scores: np.ndarray, comment: str = "", **numbers: np.ndarray
) -> None:
    """Write a STAR file that RELION reads, whole or not at all. yx: (n, 2) centres in px of the micrograph. scores:
    (n,). comment: a line for the head of the file. **numbers: (n,) each, more columns by their name, whole numbers;
    programs that do not know them leave them alone."""
    head = star_head("", ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", *numbers))
    lines = [
        f"{x:12.3f} {y:12.3f} {s:10.{DECIMALS}f}" + "".join(f" {n:4d}" for n in more) + "\n"
        for (y, x), s, *more in zip(np.asarray(yx), np.asarray(scores), *numbers.values())
    ]
    write_text(path, (f"# {comment}\n" if comment else "") + head + "".join(lines) + "\n")


def _read_file(path: Path, flip_y: bool = False) -> dict[str, np.ndarray]:
    readers = {
        ".star": _read_star,
        ".box": _read_box,
        ".cbox": _read_cbox,
        ".txt": _read_topaz,
        ".json": _read_eman2,
        ".csv": _read_csv,
    }
    reader = readers.get(path.suffix.lower())
    try:
        if path.suffix.lower() == ".cs":
            names, rows = cryosparc.cryosparc_picks(path, flip_y)
            groups = lists_by_key(zip(keys_of(names), rows.tolist()))
        elif reader is None:
            raise ValueError(
                f"it is not a file of coordinates; {', '.join(readers)} and .cs are read (in folders "
                f"{', '.join(COORDINATE_SUFFIXES)} and {_EMAN2})."
            )
        else:
            groups = reader(path)
    except (ValueError, TypeError, UnicodeDecodeError, RuntimeError, IndexError, RecursionError, csv.Error) as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    arrays = {k: np.asarray(v, float).reshape(-1, 3) for k, v in groups.items()}
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: a coordinate or score of micrograph {key} is not a finite number.")
    return arrays


def _read_list(path: Path, names: typing.Sequence[str], files: typing.Sequence[str]) -> dict[str, typing.Any]:
    """Of RELION's autopick.star: micrographs and their files of coordinates, relative to the project's folder."""
    groups: dict[str, typing.Any] = {}
    for key, file in dict.fromkeys(zip(keys_of(names), files)):
        if key in groups:
            raise ValueError(f"it names two files of coordinates of the micrograph {key}. Keep one of them.")
        found = _read_file(Path(stacks.find_file(path, file, "file of coordinates")))
        groups[key] = np.concatenate([np.zeros((0, 3)), *found.values()])
    return groups


def _read_star(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    tables = list[typing.Any]()
    for block in star.star_document(path):
        # columns, of a loop or of a table of one row without it
        x, y, listed, names, *scores = (
            [gemmi.cif.as_string(word) for word in block.find_values(name)]
            for name in ("_rlnCoordinateX", "_rlnCoordinateY", _LIST, "_rlnMicrographName", *_SCORE_COLUMNS)
        )
        if listed and names:
            return _read_list(path, names, listed)
        if x and y:
            _check_flat("_rlnCoordinateZ", map(gemmi.cif.as_string, block.find_values("_rlnCoordinateZ")))
            # -9999 and -999 are what crYOLO and RELION write where there is no score
            score = next((column for column in scores if any(float(s) > -999 for s in column)), ["0"] * len(x))
            tables.append((names, [(float(a), float(b), float(s)) for a, b, s in zip(x, y, score)]))
    if len(tables) > 1:
        raise ValueError(f"it has {len(tables)} tables of coordinates, of which one is read. Write each to a file.")
    for names, rows in tables:
        return lists_by_key(zip(keys_of(names), rows)) if names else {micrograph_key(path): rows}
    text = read_text(path)
    if "_rlnCoordinateX" in text:
        return {micrograph_key(path): []}  # a loop without rows, which gemmi leaves out
    raise ValueError(
        f"{'' if text else 'it is empty (0 bytes): '}no loop has the columns _rlnCoordinateX and _rlnCoordinateY."
    )


def _check_flat(column: str, values: typing.Iterable[str | None]) -> None:
    """Raises ValueError if the third coordinates, of that column, hold numbers other than 0."""
    if any(abs(gemmi.cif.as_number((value or "").strip())) > 0 for value in values):  # not NaN, nor crYOLO's <NA>
        raise ValueError(f"its positions are in three dimensions ({column}), of a tomogram; picks have two, x and y.")


def keys_of(names: typing.Sequence[str]) -> list[str]:
    """The keys of micrographs' names in one file. Raises ValueError if two micrographs have one key."""
    keys, owner = list[str](), dict[str, str]()
    for name in names:
        key, file = micrograph_key(name), os.path.normpath(re.sub(r"^\d+@", "", name))
        if owner.setdefault(key, file) != file:
            raise ValueError(
                f"it has coordinates of two micrographs with the name {key}: {owner[key]} and {file}. Micrographs "
                "are identified by name without folder and extension; rename one of them, or split the file."
            )
        keys.append(key)
    return keys


def _read_topaz(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    lines = [line.split() for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    head = lines[0] if lines else []
    if not {"image_name", "x_coord", "y_coord"} <= {name.lower() for name in head}:
        raise ValueError(
            "no Topaz header; the first line must name the columns image_name, x_coord, y_coord (and score)."
        )
    return _of_table(path, head, [dict(zip(head, row)) for row in lines[1:]])


def _read_box(path: Path, columns: int = 4) -> dict[str, list[tuple[float, float, float]]]:
    """Lines of x, y, width, height and perhaps a score. columns: that they have at least."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < columns:
            raise ValueError(
                f"line {number} has {len(fields)} columns; a {path.suffix.lower()} line has at least {columns}: x, y, "
                "width, height, score."
            )
        x, y, width, height = map(float, fields[:4])
        # as EMAN: x and y are the corner of the box, so its centre is half a box further
        rows.append((x + width / 2, y + height / 2, float(fields[4]) if len(fields) > 4 else 0.0))
    return {micrograph_key(path): rows}


def _read_cbox(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    """crYOLO's boxes with their confidence; corners, as in .box files. Before version 1.8 they are lines of numbers."""
    if "_CoordinateX" not in read_text(path):
        (rows,) = _read_box(path, 5).values()
    else:
        block = next((one for one in star.star_document(path) if one.name == "cryolo"), None)
        names = ("_CoordinateX", "_CoordinateY", "_Width", "_Height", "_Confidence")
        columns = [] if block is None else [list(block.find_loop(name)) for name in names]
        missing = [name for name, column in zip(names, columns) if not column]
        if block is None or (missing and len(missing) < len(names)):
            raise ValueError(f"it has no block data_cryolo with {', '.join(missing or names)}.")
        _check_flat("_CoordinateZ", block.find_loop("_CoordinateZ"))
        boxes = [tuple(map(float, row)) for row in zip(*columns)]
        rows = [(x + w / 2, y + h / 2, score) for x, y, w, h, score in boxes]
    if any(score < _CRYOLO_THRESHOLD for *_, score in rows):
        messages.warn(  # once for all files of a folder
            f"{path.parent}: some boxes of the .cbox files have a confidence below {_CRYOLO_THRESHOLD:g}, crYOLO's "
            "default threshold. They are read as picks; use the .box or .star files that crYOLO wrote for the others."
        )
    return {micrograph_key(path.stem): rows}


def _read_eman2(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    try:
        found: typing.Any = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a JSON file: {fault_of(error)}. Save the boxes again.") from None
    if not isinstance(found, dict) or not isinstance(found.get("boxes"), list):
        raise ValueError("no boxes of EMAN2: an info file of e2boxer.py has a list called boxes.")
    try:
        rows = [(float(box[0]), float(box[1]), 0.0) for box in found["boxes"]]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise ValueError(f"a box is no row x, y, method: {fault_of(error)}. Save the boxes again.") from None
    return {micrograph_key(path.name[: -len(_EMAN2)] if path.name.lower().endswith(_EMAN2) else path.stem): rows}


def _read_csv(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    """A table with commas or semicolons whose first line names x and y, and perhaps score and micrograph."""
    lines = read_text(path).splitlines()
    table = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    return _of_table(path, table.fieldnames or (), list(table))


def _of_table(
    path: Path, head: typing.Sequence[str], lines: typing.Sequence[dict[str, str]]
) -> dict[str, list[tuple[float, float, float]]]:
    """head: of the table. lines: {column: text} of the further lines."""
    names = {str(name).strip().lower(): name for name in head}
    x, y, z, score, micrograph = (
        next((names[n] for n in some if n in names), None) for some in (_X, _Y, _Z, _SCORE, _NAME)
    )
    _check_flat(str(z), [line.get(z) for line in lines] if z else [])
    if x is None or y is None:
        raise ValueError(
            "its first line must name the columns x and y (px of box centres), and may name score and micrograph; it "
            f"names {', '.join(map(str, names)) or 'nothing'}."
        )
    rows = []
    for number, line in enumerate(lines, 2):
        if micrograph and not line.get(micrograph):
            raise ValueError(f"line {number} has no {micrograph}.")
        try:
            rows.append((float(line[x]), float(line[y]), float(line[score]) if score else 0.0))
        except (TypeError, ValueError, KeyError):
            raise ValueError(
                f"line {number} has values of {x}, {y}{', ' + score if score else ''} that are no numbers."
            ) from None
    if micrograph is None:
        return {micrograph_key(path.stem): rows}
    return lists_by_key(zip(keys_of([line[micrograph] for line in lines]), rows))
