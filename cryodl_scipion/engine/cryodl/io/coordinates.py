# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle coordinates in files: RELION .star, EMAN .box, Topaz .txt.

Files hold x (column) and y (row) of box centres; this module alone exchanges them with the engine's yx (frames.py).
"""

import os
import typing
from pathlib import Path

import numpy as np

from .files import micrograph_key, read_text, whole_file, without_pick_suffix
from .star_columns import star_document

COORDINATE_SUFFIXES = (".star", ".box", ".txt")
_SCORE_COLUMNS = ("_rlnAutopickFigureOfMerit", "_rlnParticleScore")
DECIMALS = 6  # of scores in files


def read_coordinates(source: str | os.PathLike[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Coordinates of a folder or file, by micrograph key.

    Parameters
    ----------
    source : path
        Folder with .star, .box or .txt files (not searched deeper), or one such file.

    Returns
    -------
    dict
        {key: (yx (n, 2) float64 in px, scores (n,) float64)}; lists without scores have score 0. A file without
        particles keeps its key.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        That names the file that cannot be understood, two files for one key, or two micrographs of one file for one
        key.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"Coordinates {source} do not exist.")
    files = [source] if source.is_file() else _files_of(source)
    if not files:
        raise ValueError(f"The folder {source} has no coordinates: no .star, .box or .txt file in it.")
    rows, owner = dict[str, typing.Any](), dict[str, Path]()
    for file in files:
        for key, values in _read_file(file).items():
            if owner.setdefault(key, file) != file:
                raise ValueError(
                    f"Two files have coordinates of the micrograph {key}: {owner[key]} and {file}. Keep one of them "
                    "in the folder."
                )
            rows[key] = values
    return {k: (v[:, 1::-1].copy(), v[:, 2].copy()) for k, v in rows.items()}


def has_coordinates(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is there and holds a file of coordinates."""
    return os.path.isdir(folder) and bool(_files_of(Path(folder)))


def _files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in COORDINATE_SUFFIXES and not p.name.startswith("."))


Of = typing.TypeVar("Of")  # what a key has: positions and scores, tables, areas


def align_keys(coordinates: typing.Mapping[str, Of], names: typing.Collection[str]) -> dict[str, Of]:
    """The same coordinates under the names of `names` that they belong to; the others keep their key.

    A key belongs to the name that equals it, else to the one that equals it without endings such as _autopick.

    Parameters
    ----------
    coordinates : dict
        Of micrographs' keys.

    Raises
    ------
    ValueError
        If two keys belong to one name.
    """
    plain, owner = {without_pick_suffix(n): n for n in names}, dict[str, str]()
    for key in coordinates:
        name = key if key in names else plain.get(without_pick_suffix(key), key)
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
    """Write a STAR file that RELION reads, whole or not at all.

    Parameters
    ----------
    yx : ndarray, (n, 2)
        Centres in px of the micrograph.
    scores : ndarray, (n,)
    comment : str
        One line for the head of the file.
    **numbers : ndarray, (n,) each
        More columns by their name, whole numbers; programs that do not know them leave them alone.
    """
    lines = [f"# {comment}"] if comment else []
    lines += ["", "data_", "", "loop_", "_rlnCoordinateX #1", "_rlnCoordinateY #2", "_rlnAutopickFigureOfMerit #3"]
    lines += [f"_{name} #{position}" for position, name in enumerate(numbers, 4)]
    lines += [
        f"{x:12.3f} {y:12.3f} {s:10.{DECIMALS}f}" + "".join(f" {n:4d}" for n in more)
        for (y, x), s, *more in zip(np.asarray(yx), np.asarray(scores), *numbers.values())
    ]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _read_file(path: Path) -> dict[str, np.ndarray]:
    readers = {".star": _read_star, ".box": _read_box, ".txt": _read_topaz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path} is not a coordinate file; .star, .box and .txt (Topaz) are supported.")
    try:
        groups = reader(path)
    except (ValueError, UnicodeDecodeError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path}: {error}") from None
    arrays = {k: np.asarray(v, float).reshape(-1, 3) for k, v in groups.items()}
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: a coordinate or score of micrograph {key} is not a finite number.")
    return arrays


def _read_star(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    import gemmi

    for block in star_document(path):
        x, y = block.find_loop("_rlnCoordinateX"), block.find_loop("_rlnCoordinateY")
        if not x.get_loop() or not y.get_loop():
            continue
        score = next((c for c in (block.find_loop(n) for n in _SCORE_COLUMNS) if c.get_loop()), None)
        names = block.find_loop("_rlnMicrographName")
        keys = keys_of([gemmi.cif.as_string(n) for n in names]) if names.get_loop() else None
        groups: dict[str, list[typing.Any]] = {} if keys else {micrograph_key(path): []}
        for i, (a, b) in enumerate(zip(x, y)):
            row = (float(a), float(b), float(score[i]) if score else 0.0)
            groups.setdefault(keys[i] if keys else micrograph_key(path), []).append(row)
        return groups
    if "_rlnCoordinateX" in read_text(path):
        return {micrograph_key(path): []}  # a loop without rows, which gemmi leaves out
    raise ValueError("no loop has the columns _rlnCoordinateX and _rlnCoordinateY.")


def keys_of(names: typing.Sequence[str]) -> list[str]:
    """The keys of micrographs' names in one file.

    Raises
    ------
    ValueError
        If two micrographs have one key.
    """
    keys, owner = list[str](), dict[str, str]()
    for name in names:
        key, file = micrograph_key(name), os.path.normpath(name.split("@")[-1])
        if owner.setdefault(key, file) != file:
            raise ValueError(
                f"it has coordinates of two micrographs with the name {key}: {owner[key]} and {file}. Micrographs "
                "are identified by name without folder and extension; rename one of them, or split the file."
            )
        keys.append(key)
    return keys


def _read_topaz(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    lines = [line.split() for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    head = [c.lower() for c in lines[0]] if lines else []
    if not {"image_name", "x_coord", "y_coord"} <= set(head):
        raise ValueError(
            "no Topaz header; the first line must name the columns image_name, x_coord, y_coord (and score)."
        )
    name, x, y = (head.index(c) for c in ("image_name", "x_coord", "y_coord"))
    score = head.index("score") if "score" in head else None
    found = []
    for number, row in enumerate(lines[1:], 2):
        if len(row) < len(head):
            raise ValueError(f"line {number} has {len(row)} columns; the header names {len(head)}.")
        found.append((row[name], (float(row[x]), float(row[y]), float(row[score]) if score is not None else 0.0)))
    groups: dict[str, list[typing.Any]] = {}
    for key, (_, values) in zip(keys_of([micrograph for micrograph, _ in found]), found):
        groups.setdefault(key, []).append(values)
    return groups


def _read_box(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 4:
            raise ValueError(f"line {number} has {len(fields)} columns; a .box line is 'x y width height [score]'.")
        x, y, width, height = map(float, fields[:4])
        # as EMAN: x and y are the corner of the box, so its centre is half a box further
        rows.append((x + width / 2, y + height / 2, float(fields[4]) if len(fields) > 4 else 0.0))
    return {micrograph_key(path): rows}
