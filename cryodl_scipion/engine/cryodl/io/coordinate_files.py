# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions and orientations of particles in the files of other programs: Dynamo, IMOD, copick, EMAN2, napari's points.
IMOD's models and EMAN2's boxes hold no orientations, IMOD's models no scores."""

import csv
import json
import os
import re
import struct
import typing
from pathlib import Path

import numpy as np

from ..contract.reading import fault_of
from .coordinates3d import SCORES, Coordinates3D, ParticlePoses, angles_of, dynamo_angles, to_tomogram
from .files import micrograph_key, read_text, whole_file, write_text

# Dynamo's table, columns counted from 1 (its wiki: Table convention): 4 to 6 shifts, 7 to 9 angles, 10 score, 13 kind
# of wedge, 14 and 15 its tilts about y, 20 tomogram, 22 class, 24 to 26 x, y, z in px from 1, 36 Å/px
_DYNAMO = dict(shift=4, angles=7, score=10, wedge=13, tomogram=20, kind=22, x=24, apix=36)
_SINGLE_TILT = 1
# columns of orientations in napari's points, which takes any, as those of scores
_ANGLES, _PIXEL_SIZE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), "cryodlPixelSize"
# what copick's sanitize_name takes out of names
_COPICK_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\s_]')
_COPICK_USER, _COPICK_SESSION = "cryodl", "1"
# IMOD's model file: bytes of the header, of an object with its name, and of a contour before its points
_HEADER, _OBJECT, _CONTOUR = 240, 180, 20
_MIDDLE = np.array([0.5, 0.5, 0.0])  # where IMOD counts the middle of the first voxel: x and y run from 0, z from -0.5
_PIXEL, _UNITS = slice(216, 224), {-9: 10.0, -10: 1.0}  # where size and unit of its px lie; Å of units, powers of 10 m
_FLAGS, _FLIPPED = slice(152, 156), 1 << 16  # where the model's flags lie, and that of y and z exchanged as 3dmod -Y
_SCATTERED, _RADIUS = 1 << 9, 5  # flag of an object of single points; px that they are drawn with
_COLOURS = ((0.0, 1.0, 0.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.5, 0.0), (0.4, 0.6, 1.0))


def read_dynamo_table(path: str | os.PathLike[str]) -> Coordinates3D:
    """A Dynamo table (.tbl): numbers in rows. Species are classes if there are several. The tomogram's number (column
    20) becomes its name. Positions are the centres plus the shifts, counted from 1 in Dynamo. Raises ValueError for
    rows that are no numbers or too short."""
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    try:
        values = np.array([[float(word) for word in row[: _DYNAMO["x"] + 2]] for row in rows], float)
        sizes = {float(row[_DYNAMO["apix"] - 1]) for row in rows if len(row) >= _DYNAMO["apix"]}
    except ValueError:
        values = np.zeros((0, 0))
    if values.ndim != 2 or values.shape[1] < _DYNAMO["x"] + 2:
        raise ValueError(f"{path} is not a Dynamo table: its rows must be numbers alone, at least {_DYNAMO['x'] + 2}.")
    at = lambda name: values[:, _DYNAMO[name] - 1]
    first, shift, turn = (_DYNAMO[name] - 1 for name in ("x", "shift", "angles"))
    turned, classes = values[:, turn : turn + 3], tuple(f"{int(number)}" for number in at("kind"))
    several = len(set(classes)) > 1
    return Coordinates3D(
        str(path),
        tuple(f"{int(number)}" for number in at("tomogram")),
        tuple(f"class_{one}" if several else "" for one in classes),
        values[:, first : first + 3] + values[:, shift : shift + 3] - 1,
        "px",
        "numbers",
        classes=classes,
        angles=dynamo_angles(turned) if turned.any() else None,
        scores=at("score")[:, None],
        stated=sizes.pop() if len(sizes) == 1 else 0.0,
    )


def write_dynamo_table(
    path: str | os.PathLike[str],
    poses: ParticlePoses,
    tomogram: int,
    species: typing.Sequence[str],
    names: typing.Sequence[str],
    tilts: tuple[float, float] | None,
    pixel_size: float,
) -> None:
    """A Dynamo table (.tbl) of the particles of one tomogram, of 42 columns, whole or not at all. poses: unknown
    angles become 0, unknown scores 1. tomogram: its number. species: (n,) names. names: of all species, which become
    classes 1, 2, ... tilts: lowest and highest tilt of the series in degrees, or None: the table says nothing about the
    wedge. pixel_size: Å/px."""
    rows = np.zeros((len(poses), 42))
    at = lambda name, count=1: slice(_DYNAMO[name] - 1, _DYNAMO[name] - 1 + count)
    rows[:, 0] = np.arange(1, len(poses) + 1)
    rows[:, 1] = 1  # aligned
    rows[:, at("angles", 3)] = np.nan_to_num(dynamo_angles(poses.angles))
    rows[:, at("score")] = np.nan_to_num(poses.scores[:, :1], nan=1)
    if tilts is not None:
        rows[:, at("wedge", 3)] = (_SINGLE_TILT, *tilts)
    rows[:, at("tomogram")] = tomogram
    rows[:, at("kind")] = np.array([names.index(name) + 1 for name in species])[:, None]
    rows[:, at("x", 3)] = poses.zyx[:, ::-1] + 1
    rows[:, at("apix")] = pixel_size
    with whole_file(path) as temporary:
        np.savetxt(temporary, rows, fmt="%.9g")


def read_imod_model(path: str | os.PathLike[str]) -> Coordinates3D:
    """An IMOD model (.mod), binary: an object is a species, each point a particle; the tomogram is named by the file.
    Raises ValueError for files that are no model or are cut short."""
    data = Path(path).read_bytes()
    if data[:8] != b"IMODV1.2":
        raise ValueError(f"{path} is not a binary IMOD model (it does not start with IMODV1.2). Save it with 3dmod.")
    points: list[np.ndarray] = []
    species: list[str] = []
    name, position = "", _HEADER
    while (kind := data[position : position + 4]) != b"IEOF":
        if position + 8 > len(data):
            raise ValueError(f"{path} is truncated: it does not end with IEOF, as IMOD's models do. Save it again.")
        size = struct.unpack(">i", data[position + 4 : position + 8])[0]
        if size < 0 and kind != b"OBJT":  # of an object it is the beginning of its name
            raise ValueError(f"{path} is damaged: a part of it has the size {size}. Save it again.")
        if kind == b"OBJT":
            name = data[position + 4 : position + 68].split(b"\0")[0].decode("latin1").strip()
            name = name or f"object_{len(set(species)) + 1}"
            position += _OBJECT
        elif kind == b"CONT":
            stop = position + _CONTOUR + 12 * size
            if stop > len(data):
                raise ValueError(f"{path} is truncated: a contour should have {size} points. Save it again.")
            found = np.frombuffer(data, ">f4", 3 * size, position + _CONTOUR).reshape(-1, 3)
            points.append(found.astype(float) - _MIDDLE)
            species += [name] * size
            position = stop
        elif kind == b"MESH":  # `size` vertices, and a list of which the length follows
            position += 20 + 12 * size + 4 * int.from_bytes(data[position + 8 : position + 12], "big")
        else:
            position += 8 + size
    xyz = np.concatenate(points) if points else np.zeros((0, 3))
    xyz = xyz[:, [0, 2, 1]] if int.from_bytes(data[_FLAGS], "big") & _FLIPPED else xyz
    size, unit = struct.unpack(">fi", data[_PIXEL])
    names, stated = (micrograph_key(Path(path).stem),) * len(xyz), round(size * _UNITS.get(unit, 0.0), 4)
    return Coordinates3D(str(path), names, tuple(species), xyz, "px", "file", stated=stated)


def write_imod_model(
    path: str | os.PathLike[str],
    xyz: np.ndarray,
    species: typing.Sequence[str],
    shape: typing.Sequence[int],
    pixel_size: float,
    names: typing.Sequence[str],
) -> None:
    """A binary IMOD model (.mod): an object of scattered points for each species, whole or not at all. xyz: (n, 3) px
    of the tomogram. species: (n,) names. shape: (z, y, x) of the tomogram. pixel_size: Å/px. names: of all species, a
    species has the colour of its place among them."""
    there = [(number, name) for number, name in enumerate(names) if name in species]
    data = [
        b"IMODV1.2",
        b"cryodl".ljust(128, b"\0"),
        struct.pack(">3iiI4i", *[int(n) for n in shape[::-1]], len(there), 0, 1, 0, 0, 255),
        struct.pack(">6f3i2ifii3f", 0, 0, 0, 1, 1, 1, 0, 0, 0, 3, 128, pixel_size / 10, -9, 0, 0, 0, 0),
    ]
    for number, name in there:
        points = np.asarray(xyz, float).reshape(-1, 3)[[one == name for one in species]] + _MIDDLE
        colour = _COLOURS[number % len(_COLOURS)]
        data += [
            b"OBJT" + name.encode("latin1", "replace")[:63].ljust(64, b"\0") + bytes(64),
            struct.pack(">iIii3fi8B2i", 1, _SCATTERED, 0, 1, *colour, _RADIUS, 1, 3, 1, 1, 0, 0, 0, 0, 0, 0),
            b"CONT" + struct.pack(">iIii", len(points), 0, 0, 0) + points.astype(">f4").tobytes(),
        ]
    with whole_file(path) as temporary:
        Path(temporary).write_bytes(b"".join([*data, b"IEOF"]))


def read_json(path: str | os.PathLike[str]) -> Coordinates3D:
    """Boxes of EMAN2's info files, or picks of copick: both end in .json."""
    try:
        found: typing.Any = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file: {fault_of(error)}. Export the picks again.") from None
    return read_eman2(path, found) if isinstance(found, dict) and "boxes_3d" in found else read_copick(path, found)


def read_eman2(path: str | os.PathLike[str], found: dict[str, typing.Any]) -> Coordinates3D:
    """Boxes of an info file of EMAN2's tomography (info/<tomogram>_info.json). found: its content. boxes_3d has rows x,
    y, z, method, score, class; class_list has the names. With apix_unbin (Å/px) positions are in px of the unbinned
    tomogram from its middle, else in px of the tomogram. The tomogram is named by the file, without _info. Raises
    ValueError for boxes that are no rows of numbers."""
    try:
        names = {int(key): str(value["name"]) for key, value in found.get("class_list", {}).items()}
        xyz = np.array([[float(v) for v in box[:3]] for box in found["boxes_3d"]], float).reshape(-1, 3)
        kinds = [int(box[5]) if len(box) > 5 else 0 for box in found["boxes_3d"]]
        scores = np.array([box[4:5] or [np.nan] for box in found["boxes_3d"]], float).reshape(-1, 1)
        unbinned = float(found.get("apix_unbin", 0))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} has no EMAN2 boxes: {fault_of(error)}. boxes_3d must have rows of x, y, z; export it again."
        ) from None
    return Coordinates3D(
        str(path),
        (micrograph_key(Path(path).stem).removesuffix("_info"),) * len(xyz),
        tuple(names.get(kind, f"class_{kind}") for kind in kinds),
        xyz * unbinned if unbinned > 0 else xyz,
        "centred Å" if unbinned > 0 else "px",
        "file",
        scores=scores,
    )


def write_eman2(
    path: str | os.PathLike[str],
    xyz: np.ndarray,
    species: typing.Sequence[str],
    pixel_size: float,
    names: typing.Sequence[str],
    scores: np.ndarray,
) -> None:
    """An info file of EMAN2 with the boxes of one tomogram. path: <tomogram>_info.json. xyz: (n, 3) Å from the
    tomogram's middle. species: (n,) names. pixel_size: Å/px that the positions are written in. names: of all species,
    which become classes 0, 1, ... scores: (n,), NaN becomes 0."""
    told = zip((xyz / pixel_size).tolist(), np.nan_to_num(scores).tolist(), species)
    rows = [[*place, "manual", score, names.index(s)] for place, score, s in told]
    classes = {str(number): dict(name=name, boxsize=32) for number, name in enumerate(names)}
    write_text(path, json.dumps(dict(apix_unbin=pixel_size, boxes_3d=rows, class_list=classes), indent=1))


def read_napari_points(path: str | os.PathLike[str]) -> Coordinates3D:
    """A points layer that napari saved (.csv): columns axis-0, axis-1, axis-2 are z, y, x in px. A column `species` or
    `label` names the species. The tomogram is named by the file. Raises ValueError without these columns."""
    lines = list(csv.DictReader(read_text(path).splitlines()))
    try:
        zyx = np.array([[float(line[f"axis-{axis}"]) for axis in range(3)] for line in lines], float).reshape(-1, 3)
    except (KeyError, TypeError, ValueError):
        zyx = np.zeros((0, 3))
    if not len(zyx):
        raise ValueError(f"{path} has no napari points: the columns axis-0, axis-1, axis-2 with numbers are needed.")
    column = next((name for name in ("species", "label") if name in lines[0]), None)
    species = tuple(line[column] if column else "" for line in lines)
    known = (*_ANGLES, *SCORES, _PIXEL_SIZE)
    try:
        more = {name: [float(line.get(name) or "nan") for line in lines] for name in known}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: a value of {', '.join(known)} is no number ({error}).") from None
    angles, scores = (np.stack([more[name] for name in names], axis=1) for names in (_ANGLES, SCORES))
    key, stated = (micrograph_key(Path(path).stem),) * len(zyx), float(np.nan_to_num(more[_PIXEL_SIZE][0]))
    return Coordinates3D(
        str(path), key, species, zyx[:, ::-1], "px", "file", angles=angles, scores=scores, stated=stated
    )


def write_napari_points(
    path: str | os.PathLike[str], poses: ParticlePoses, species: typing.Sequence[str], pixel_size: float
) -> None:
    """A points layer as napari saves it (.csv), species, angles, scores and Å/px as properties, empty where unknown,
    without columns that nobody knows; whole or not at all. species: (n,) names. pixel_size: Å/px."""
    values_of = (*poses.angles.T, *poses.scores.T, np.full(len(poses), pixel_size))
    columns = zip((*_ANGLES, *SCORES, _PIXEL_SIZE), values_of)
    known = {name: values for name, values in columns if np.isfinite(values).any()}
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "axis-0", "axis-1", "axis-2", "species", *known])
        for number, (position, name) in enumerate(zip(poses.zyx, species)):
            more = ("" if np.isnan(values[number]) else float(values[number]) for values in known.values())
            writer.writerow([float(number), *position.tolist(), name, *more])


def read_copick(path: str | os.PathLike[str], found: typing.Any) -> Coordinates3D:
    """Picks of copick (.json): positions in Å. found: its content. The tomogram is run_name, the species
    pickable_object_name. A point's matrix takes the object into the tomogram, and its shift is added to the location.
    Matrices that are all the unit matrix, or that the file says not to trust, are no orientations."""
    try:
        points = [[float(point["location"][axis]) for axis in "xyz"] for point in found["points"]]
        given = [point.get("transformation_") for point in found["points"]]
        matrices = np.array([np.eye(4) if one is None else one for one in given], float).reshape(-1, 4, 4)
        scores = np.array([point.get("score") for point in found["points"]], float)[:, None]
        species, run = str(found["pickable_object_name"]), str(found["run_name"])
        trusted = bool(found.get("trust_orientation", True)) and not np.allclose(matrices[:, :3, :3], np.eye(3))
        angles = angles_of(matrices[:, :3, :3]) if trusted else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} has no copick picks: {fault_of(error)}. run_name, pickable_object_name and points with a location "
            "x, y, z (and a matrix of 4 x 4 numbers, transformation_) are needed; export it again."
        ) from None
    if found.get("unit", "angstrom") != "angstrom":
        raise ValueError(f"{path} has the unit {found['unit']!r}; copick picks must be in angstrom.")
    xyz = np.array(points).reshape(-1, 3) + matrices[:, :3, 3]
    names = (run,) * len(points), (species,) * len(points)
    return Coordinates3D(str(path), *names, xyz, "Å", angles=angles, scores=scores)


def copick_name(name: str) -> str:
    """A name as copick allows it: without blanks, underscores and the characters that file systems forbid."""
    return _COPICK_NAME.sub("-", name).strip("-") or "object"


def write_copick(
    folder: str | os.PathLike[str], run: str, species: str, poses: ParticlePoses, pixel_size: float
) -> str:
    """Picks of one species in a tomogram, where a copick project on a file system has them; whole or not at all. run:
    name of the tomogram. species: written as copick allows it (`copick_name`). poses: if the angles of
    any are unknown, the file says that its orientations are not to be trusted; unknown scores become 1. pixel_size:
    Å/px. Returns the file, below the folder."""
    name = copick_name(species)
    file = os.path.join("ExperimentRuns", run, "Picks", f"{_COPICK_USER}_{_COPICK_SESSION}_{name}.json")
    known, places = poses.oriented, (poses.zyx[:, ::-1] * pixel_size).tolist()
    matrices, scores = np.tile(np.eye(4), (len(poses), 1, 1)), np.nan_to_num(poses.scores[:, 0], nan=1).tolist()
    matrices[known, :3, :3] = to_tomogram(poses.angles[known])
    points = [
        dict(location=dict(zip("xyz", place)), transformation_=matrix, instance_id=0, score=score)
        for place, matrix, score in zip(places, matrices.tolist(), scores)
    ]
    picks = dict(
        pickable_object_name=name,
        user_id=_COPICK_USER,
        session_id=_COPICK_SESSION,
        run_name=run,
        voxel_spacing=pixel_size,
        unit="angstrom",
        points=points,
        trust_orientation=bool(known.all()),
    )
    os.makedirs(os.path.dirname(os.path.join(folder, file)), exist_ok=True)
    write_text(os.path.join(folder, file), json.dumps(picks, indent=1))
    return file


READERS: dict[str, typing.Callable[[str | os.PathLike[str]], Coordinates3D]] = {
    ".tbl": read_dynamo_table,
    ".mod": read_imod_model,
    ".json": read_json,
    ".csv": read_napari_points,
}
