# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of subtomograms: RELION's STAR files (3.0, 3.1, 4 with pseudo-subtomograms) with a volume for each particle, or
a stack of tilt images (5)."""

import collections
import dataclasses
import functools
import os
import typing
import weakref

import numpy as np
import torch

from ..contract import AllSkipped, counted
from ..contract.reading import reader
from ..core.backproject import undamped
from ..core.names import check_words
from ..core.volumes import cube_crop, wedge
from . import messages, texts
from .mrc import of_ordinary_size
from .particles import ANGLES
from .relion_tables import (
    STACKS,
    StarRows,
    groups_of_particles,
    header_notes,
    is_tilt_stacks,
    modern_tables,
    number_columns,
    whole_column,
)
from .stacks import find_file, find_images, names_base, read_images, split_name, stack_shape
from .star import read_tables, write_tables
from .tilt_stacks import (
    PARTICLES_FILE,
    TOMOGRAMS_FILE,
    TiltStack,
    optimisation_set,
    tilt_series,
    tilt_stacks,
    visible_frames,
)
from .tomograms import Tomogram

TILTS = ("cryodlTiltMin", "cryodlTiltMax")
_ORIGINS = ("rlnOriginZAngst", "rlnOriginYAngst", "rlnOriginXAngst")
NEEDS = ("classes", "angles")
_WHAT = "subtomogram"
Skip = typing.Callable[[str, str, object, str], object]
Columns = dict[str, typing.Sequence[str]]
KEPT = 5e8  # bytes of subtomograms of tilt stacks that are kept: each is asked for several times
_ADDED: "weakref.WeakKeyDictionary[TiltStack, tuple[torch.Tensor, torch.Tensor]]" = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class SubtomogramSet(StarRows):
    """Subtomograms; a file may hold many cubes, one after another along z. tomograms: (n,) names, '' if unknown.
    shifts_zyx: (n, 3) px, where each particle lies relative to voxel box // 2; zero where the file does not say. tilts:
    (n, 2) degrees, least and largest tilt of the series. weight_files: (n,) paths of volumes that say what was measured
    (rlnCtfImage), or None. multiplied: the files hold data multiplied by their CTF, and the weights are sums of CTF²
    (RELION 4). stacks: (n,) TiltStacks, of which the volumes are made when they are asked for, or None."""

    PER_ROW = (*StarRows.PER_ROW, "tomograms", "shifts_zyx", "tilts", "weight_files", "stacks")
    tomograms: typing.Sequence[str]
    shifts_zyx: np.ndarray
    tilts: np.ndarray
    weight_files: np.ndarray | None
    multiplied: bool = False
    stacks: np.ndarray | None = None

    @property
    def wedged(self) -> bool:
        """Whether the range of tilts says what was measured."""
        return self.weight_files is None and self.stacks is None

    @property
    def sources(self) -> list[str]:
        """All files of volumes and images, weights and tilt series, each once."""
        of_stacks = () if self.stacks is None else (stack.series.path for stack in self.stacks)
        return [*dict.fromkeys((*self.files, *(() if self.weight_files is None else self.weight_files), *of_stacks))]

    def volumes(self, indices: typing.Any) -> torch.Tensor:
        """(m, box, box, box) float32 tensor (z, y, x) of the subtomograms as they are in the files, but for very large
        or small values; what was multiplied by the CTF is divided by the weights. Raises ValueError for values that
        are not finite, with the file."""
        rows = self.rows(indices)
        if self.stacks is not None:
            return torch.stack([self._added(row)[0] for row in rows])
        found = np.empty((len(rows), self.box, self.box, self.box), np.float32)
        for position, row in enumerate(rows):
            start = self.numbers[row] * self.box
            volume = opened_volume(self.files[row]).part((start, start + self.box))
            found[position] = of_ordinary_size(volume, self.path)
        volumes = torch.from_numpy(found)
        return divided(volumes, self.sums(rows)) if self.multiplied else volumes

    def weights(self, indices: typing.Any) -> torch.Tensor:
        """(m, box, box, box // 2 + 1) tensor in [0, 1] on the grid of rfftn: how well each Fourier coefficient was
        measured. It is the wedge of the tilt range, or what the file of weights says (absolute values, for it may be a
        CTF); of data that were multiplied by the CTF 1 or 0, measured or not."""
        if self.multiplied:
            return (self.sums(indices) > 0).float()
        rows = self.rows(indices)
        found = torch.empty((len(rows), self.box, self.box, self.box // 2 + 1))
        if self.weight_files is not None:
            for position, row in enumerate(rows):
                found[position] = torch.from_numpy(read_weights(self.weight_files[row], self.box))
            return found
        ranges, inverse = np.unique(self.tilts[rows], axis=0, return_inverse=True)
        kinds = torch.from_numpy(inverse.reshape(-1))
        for number, (low, high) in enumerate(ranges):
            found[kinds == number] = wedge(self.box, float(low), float(high))
        return found

    def sums(self, indices: typing.Any) -> torch.Tensor:
        """(m, box, box, box // 2 + 1) tensor: what averages weigh the volumes with. It is weights, or the sums of CTF²
        of data that were multiplied by the CTF, so that the mean is the sum of these data over that of the sums."""
        if not self.multiplied:
            return self.weights(indices)
        rows = self.rows(indices)
        if self.stacks is not None:
            return torch.stack([self._added(row)[1] for row in rows])
        files = typing.cast("np.ndarray", self.weight_files)  # read_subtomograms demands them of multiplied data
        found = [read_sums(file, self.box) for file in files[rows]]
        return torch.from_numpy(np.array(found, np.float32).reshape(-1, self.box, self.box, self.box // 2 + 1))

    def _added(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The subtomogram of a stack of tilt images (box, box, box), and the sums of CTF², 0 where they are too small.
        The padded transform has the subtomogram's coefficients among its own."""
        stack = typing.cast("np.ndarray", self.stacks)[row]
        if stack in _ADDED:
            return _ADDED[stack]
        value, weight = stack.added(self.files[row], self.box, self.pixel_size)
        side = len(value)
        sums = torch.from_numpy(_enough(weight.numpy(), side))
        volume = torch.fft.irfftn(torch.where(sums > 0, value / sums, 0.0), s=(side,) * 3)
        own = np.rint(np.fft.fftfreq(self.box) * side).astype(int) % side
        positions = np.ix_(own, own, np.rint(np.fft.rfftfreq(self.box) * side).astype(int))
        made = cube_crop(undamped(torch.fft.fftshift(volume), side)[None], self.box)[0].clone(), sums[positions]
        if len(_ADDED) * 6 * self.box**3 < KEPT:
            _ADDED[stack] = made
        return made


@reader
def read_subtomograms(
    path: str | os.PathLike[str],
    need: typing.Collection[str] = (),
    tilt_min: float = -60.0,
    tilt_max: float = 60.0,
    skip: Skip | None = None,
) -> SubtomogramSet:
    """The SubtomogramSet of a STAR file. Volumes are looked for as the stacks of particles are: beside the STAR file,
    in the folders above it, in the current one. need: of 'classes' and 'angles'. tilt_min, tilt_max: degrees, where the
    file has neither weights nor tilt ranges. skip: called with name, file, reason and what it is, for each subtomogram
    that is left out as it is not there, cannot be read, or is constant. Raises FileNotFoundError if a volume is not
    there, without `skip`; AllSkipped if none is left; ValueError that names the file, what it lacks and what to do."""
    check_words("need", need, NEEDS)
    path = str(path)
    tables = read_tables(path)
    flat, shape = is_tilt_stacks(tables), functools.cache(stack_shape)
    optics, columns = modern_tables(tables, path, dimensions=3)
    stacks = (lambda file: shape(file)[:2], ("image", "stack of tilt images"))
    kind = stacks if flat else (_cubes, ("subtomogram", "volume"))
    columns = _readable(path, columns, kind, flat, skip) if skip else columns
    groups = groups_of_particles(optics, columns, path, dimensions=2 if flat else 3)
    positions, volumes = zip(*(split_name(name) for name in columns["rlnImageName"]))
    numbers = np.array(positions)
    files, box = find_images(path, volumes, numbers, *kind)
    classes, halves = (whole_column(path, columns, name, _WHAT) for name in ("rlnClassNumber", "rlnRandomSubset"))
    shifts = typing.cast(
        "np.ndarray",
        number_columns(path, {name: columns.get(name, ["0"] * len(files)) for name in _ORIGINS}, _ORIGINS, _WHAT),
    )  # of all three, so there are some
    found = SubtomogramSet(
        path=path,
        pixel_size=groups.pixel_size,
        box=box,
        names=tuple(columns["rlnImageName"]),
        files=files,
        numbers=numbers - 1,
        tomograms=tuple(
            next((columns[name] for name in ("rlnTomoName", "rlnMicrographName") if name in columns), [""] * len(files))
        ),
        angles=number_columns(path, columns, ANGLES, _WHAT),
        shifts_zyx=-shifts / groups.pixel_size,
        classes=classes,
        halves=halves,
        tilts=_tilts(path, columns, tilt_min, tilt_max),
        weight_files=find_weights(path, columns, box),
        columns=columns,
        optics_columns=optics,
        multiplied=flat or groups.ctf_state == "multiplied",
        stacks=tilt_stacks(path, columns, files, [shape(f)[0] for f in files], groups.ctf_state) if flat else None,
    )
    _check_needs(found, need)
    for note in header_notes(found):
        messages.warn(note)
    return found


def _readable(path: str, columns: Columns, kind: tuple[typing.Any, ...], flat: bool, skip: Skip) -> Columns:
    """The columns without the rows that `skip` is told of."""
    names, good, first = columns["rlnImageName"], dict[int, int](), None
    series = tilt_series(path, columns) if flat else None
    print(f"Checking {counted(len(names), 'subtomogram')} of {path}.")
    for row, name in enumerate(names):
        try:
            number, volume = split_name(name)
            (file,), box = find_images(path, [volume], [number], *kind)
            own = {key: [columns[key][row]] for key in (WEIGHTS,) if key in columns}
            for weights in find_weights(path, own, box) or ():
                raw_weights(weights, box)
            count = kind[0](file)[0]  # of images in a stack
            if series:
                visible_frames(path, columns, row, file, count, series)
            cube = box * (number - 1), box * number
            if not np.ptp(read_images([file] * count, np.arange(count)) if flat else opened_volume(file).part(cube)):
                raise ValueError(f"Subtomogram {number} of {file} is constant. Extract it again.")
            good[row] = box
        except (ValueError, OSError) as error:
            skip(name, path, error, _WHAT)
            first = first or error
    if not good:
        raise AllSkipped(f"Of {counted(len(names), 'subtomogram')} of {path}, none can be used. The first: {first}")
    usual = collections.Counter(good.values()).most_common(1)[0][0]
    for row in [row for row, box in good.items() if box != usual]:
        skip(names[row], path, ValueError(f"It is {good.pop(row)} px wide, the others {usual} px."), _WHAT)
    return {key: texts.rows_of(values, np.array([*good])) for key, values in columns.items()}


def write_subtomograms_star(
    path: str | os.PathLike[str], subtomograms: SubtomogramSet, changes: dict[str, typing.Any] | None = None
) -> None:
    """Write a SubtomogramSet as RELION's STAR file (3.1) with all of its columns, whole or not at all. Names of files
    are relative to the folder that they were relative to if that lies above the new file, else to the new file's own.
    changes: {column: (n,) values}, added or replaced; None instead of values: taken out. Raises ValueError if a column
    has not one value for each subtomogram."""
    columns, base = dict(subtomograms.columns), names_base(subtomograms.names[0], subtomograms.files[0], path)
    columns["rlnImageName"] = [_name(name, file, base) for name, file in zip(subtomograms.names, subtomograms.files)]
    if subtomograms.weight_files is not None:
        columns[WEIGHTS] = [
            _name(name, file, base) for name, file in zip(subtomograms.columns[WEIGHTS], subtomograms.weight_files)
        ]
    columns = subtomograms.whole_columns({**columns, **(changes or {})}, _WHAT)
    general: dict[str, dict[str, typing.Any]] = {}
    if subtomograms.stacks is not None:  # for RELION, and for who reads the new file
        general["general"] = {STACKS: ["1"]}
        known, stem = optimisation_set(subtomograms.path), os.path.splitext(path)[0]
        own = {PARTICLES_FILE: [_name("", path, base)], TOMOGRAMS_FILE: [_name("", known[TOMOGRAMS_FILE][0], base)]}
        another = "_cryodl" if os.path.exists(f"{stem}_optimisation_set.star") else ""  # of another program
        write_tables(f"{stem}{another}_optimisation_set.star", {"": {**known, **own}})
    write_tables(path, {**general, "optics": subtomograms.optics_columns, "particles": columns})


def _name(name: str, file: str | os.PathLike[str], base: str | os.PathLike[str] | None) -> str:
    """Name of a file in a new STAR file, with the number in it if the old name had one."""
    number, at, _ = name.partition("@")
    return (number + at) * number.isdigit() + (os.path.abspath(file) if base is None else os.path.relpath(file, base))


def _tilts(
    path: str, columns: typing.Mapping[str, typing.Sequence[str]], tilt_min: float, tilt_max: float
) -> np.ndarray:
    tilts = number_columns(path, columns, TILTS, _WHAT)
    if tilts is None:
        return np.tile(np.array([tilt_min, tilt_max], float), (len(columns["rlnImageName"]), 1))
    if len(bad := np.nonzero((tilts[:, 1] <= tilts[:, 0]) | (np.abs(tilts) > 90).any(axis=1))[0]):
        low, high = tilts[bad[0]]
        raise ValueError(
            f"{path}: subtomogram {bad[0] + 1} has a tilt range ({', '.join(TILTS)}) of {low:g} to {high:g}°; the "
            "maximum must be above the minimum, and both between -90° and 90°."
        )
    return tilts


def _check_needs(found: SubtomogramSet, need: typing.Collection[str]) -> None:
    if found.multiplied and found.wedged:
        raise ValueError(
            f"{found.path} says that its subtomograms are multiplied by their CTF "
            f"(rlnCtfDataAreCtfPremultiplied), but names no volumes of weights ({WEIGHTS}) to divide them "
            "by. Add that column, or write 0 in the other to take the subtomograms as they are."
        )
    if "classes" in need and found.classes is None:
        raise ValueError(
            f"{found.path} has subtomograms without classes (rlnClassNumber). Classify them first, or add "
            "the column: a number from 1 on for each."
        )
    if "angles" in need and found.angles is None:
        raise ValueError(f"{found.path} has subtomograms without angles ({', '.join(ANGLES)}). Align them first.")


# ----- The files behind a set of subtomograms: volumes, and the weights that say what of their transform was
# measured.
WEIGHTS = "rlnCtfImage"  # column that names the weights
_MEASURED = 0.99  # quantile of a file of weights that counts as measured in full: a few coefficients are in every image
_MINIMUM = 0.05  # of that: smaller sums of CTF² would give noise alone


def _cubes(path: str) -> tuple[int, int]:
    """How many cubes a file holds, and their box."""
    z, y, x = opened_volume(path).shape
    if x != y or z % x:
        raise ValueError(
            f"{path} has {x} x {y} x {z} voxels; subtomograms must be cubes (in files of many, one after another along "
            f"z). Images of single particles are none. Of stacks of tilt images, the STAR file says so ({STACKS} 1 in "
            "its table `general`)."
        )
    return z // x, x


def find_weights(
    path: str | os.PathLike[str], columns: typing.Mapping[str, typing.Sequence[str]], box: int
) -> np.ndarray | None:
    """Paths (n,) of the volumes of weights, or None. Raises ValueError for those of another size than the box."""
    if WEIGHTS not in columns or all(name in ("", "None") for name in columns[WEIGHTS]):
        return None
    found = {}
    for name in columns[WEIGHTS]:
        if name in ("", "None"):
            raise ValueError(
                f"{path} names weights ({WEIGHTS}) for some subtomograms and none for others. Give them "
                "in two STAR files."
            )
        if name not in found:
            found[name] = find_file(path, split_name(name)[1], "volume of weights")
            shape = opened_volume(found[name]).shape
            if shape not in ((box, box, box), (box, box, box // 2 + 1), (2 * box, box, box // 2 + 1)):
                raise ValueError(
                    f"The weights {found[name]} have {' x '.join(map(str, shape[::-1]))} values; for "
                    f"subtomograms of {box} px they must have {box} x {box} x {box}, or "
                    f"{box // 2 + 1} x {box} x {box} (half of the transform)."
                )
    return np.array([found[name] for name in columns[WEIGHTS]], object)


@functools.lru_cache(maxsize=2**16)  # headers only; reading one takes longer than reading a subtomogram
def _header(path: str, size: int, changed: int) -> Tomogram:
    return Tomogram(path)


def opened_volume(path: str | os.PathLike[str]) -> Tomogram:
    """Tomogram of a path; its size and time of the last change make that a replaced file is opened anew."""
    state = os.stat(path)
    return _header(str(path), state.st_size, state.st_mtime_ns)


@reader
def read_weights(path: str | os.PathLike[str], box: int) -> np.ndarray:
    """(box, box, box // 2 + 1) float32 in [0, 1] on the grid of rfftn. RELION has half of the transform in its usual
    order (followed, in RELION 4, by another volume of multiplicities), or all of it with the origin at voxel box // 2,
    from which RELION takes the coefficient k at box // 2 - k."""
    values = raw_weights(path, box)
    return np.clip(values / np.quantile(values, _MEASURED), 0, 1).astype(np.float32)


def raw_weights(path: str | os.PathLike[str], box: int) -> np.ndarray:
    """As read_weights, of any size. Raises ValueError for a file of zeros."""
    values = np.abs(opened_volume(path).part((0, box)))
    if values.shape[2] == box:
        positions = (box // 2 - np.rint(np.fft.fftfreq(box) * box).astype(int)) % box
        values = values[np.ix_(positions, positions, positions[: box // 2 + 1])]
    if not np.quantile(values, _MEASURED) > 0:
        raise ValueError(f"The weights {path} are zero almost everywhere. Extract the subtomogram again.")
    return values.astype(np.float32, copy=False)


@reader
def read_sums(path: str | os.PathLike[str], box: int) -> np.ndarray:
    """(box, box, box // 2 + 1) float32: sums of CTF², of any size; zero where they are too small to divide by. RELION
    4's also count the images that hold a coefficient, which become fewer as one over the frequency; those of other
    programs may not. What is a fair part of the largest in either way is kept."""
    return _enough(raw_weights(path, box), box)


def _enough(sums: np.ndarray, box: int) -> np.ndarray:
    squares = (np.fft.fftfreq(box) * box) ** 2
    radius = np.sqrt(squares[:, None, None] + squares[:, None] + np.arange(box // 2 + 1) ** 2)
    kept = np.any([values > _MINIMUM * np.quantile(values, _MEASURED) for values in (sums, sums * radius)], axis=0)
    return sums * kept


def divided(volumes: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Tensor (n, d, d, d) multiplied by its CTF, divided by sums of CTF² (n, d, d, d // 2 + 1); 0 where these are 0."""
    axes = (1, 2, 3)
    found = torch.fft.rfftn(volumes, dim=axes)
    return torch.fft.irfftn(torch.where(sums > 0, found / sums, torch.zeros_like(found)), s=volumes.shape[1:], dim=axes)
