# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices and rotated copies of volumes through tables of Fourier coefficients, and their transpose, as sparse
matrices.

What observations, particle images or subtomograms, show of a volume, and the errors that they may have."""

import dataclasses
import itertools
import typing

import numpy as np
import scipy.fft
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from ..core.projections import rotation_matrices
from ..io.memory import release_pages


@dataclasses.dataclass
class Seen:
    """A batch of observations beside the mean volume, its e errors being those of the observations' Views.

    data : (m, d) complex64, shifted to the middle. transfer : (m, d) float32. slices : (m, d) complex64, of the mean
    without transfer. errors : (m, d, e) complex64, derivatives by the errors. matrix : interpolation, see Cube."""

    data: np.ndarray
    transfer: np.ndarray
    slices: np.ndarray
    errors: np.ndarray
    matrix: typing.Any


LARGEST_STEP = 0.1  # radians that an orientation may move at a time


@dataclasses.dataclass
class Views:
    """Poses and other unknowns of n observations; they change while they are refined. Each has e errors: rotations
    about x, y and z, a shift along each axis, the contrast, and further ones of the transfer.

    matrices : (n, 3, 3), from observation to density. shifts : (n, 2) yx or (n, 3) zyx, where the molecule lies
    relative to the middle, px. contrast : (n,), factor of the mean volume, 1 on average. further : (n, f). spread :
    (e,) standard deviations of the errors before they are learned. equal : which of all errors are equally large, as
    those of rotations and of shifts are. limit : that no further one exceeds. moved : (n, e), sum of all steps away
    from what the file states."""

    matrices: np.ndarray
    shifts: np.ndarray
    contrast: np.ndarray
    further: np.ndarray
    spread: np.ndarray
    equal: tuple[slice, ...]
    limit: float
    moved: np.ndarray

    @classmethod
    def of(
        cls, angles: np.ndarray, shifts: np.ndarray, spread: np.ndarray, equal: tuple[slice, ...], limit: float = np.inf
    ) -> "Views":
        """Those of angles (n, 3), degrees, and shifts that a file states."""
        moved = np.zeros((len(angles), len(spread)))
        further = moved[:, 4 + shifts.shape[1] :].copy()
        matrices, contrast = rotation_matrices(angles), np.ones(len(angles))
        return cls(matrices, shifts.astype(float), contrast, further, spread, equal, limit, moved)

    @property
    def shift_errors(self) -> slice:
        """Which of the errors are shifts; that of the contrast follows."""
        return slice(3, 3 + self.shifts.shape[1])

    @property
    def alike(self) -> tuple[slice, ...]:
        """The errors that are equally large."""
        return slice(0, 3), self.shift_errors, *self.equal

    def move(self, rows: np.ndarray, step: np.ndarray) -> None:
        """Add small errors (m, e) to some rows."""
        step, contrast = step.copy(), self.shift_errors.stop
        length = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
        step[:, :3] *= np.minimum(1, LARGEST_STEP / np.maximum(length, 1e-9))
        step[:, contrast] = np.clip(self.contrast[rows] + step[:, contrast], 0.2, 3.0) - self.contrast[rows]
        further = np.clip(self.further[rows] + step[:, contrast + 1 :], -self.limit, self.limit)
        step[:, contrast + 1 :] = further - self.further[rows]
        self.matrices[rows] = self.matrices[rows] @ Rotation.from_rotvec(step[:, :3]).as_matrix()
        self.shifts[rows] += step[:, self.shift_errors]
        self.contrast[rows] += step[:, contrast]
        self.further[rows] += step[:, contrast + 1 :]
        self.moved[rows] += step


HELD = 2.5e8  # bytes of the files that are read before their pages are released


@dataclasses.dataclass
class Observations:
    """Whitened Fourier coefficients of n observations, low frequencies first: real and imaginary part of the noise have
    variance 1. An observation is data = transfer x what its view shows of the volume + noise.

    box : px of the shifts, along an axis. frequencies : (2, d) yx or (3, d) zyx, waves per box. ring : (d,) int, part
    of the frequencies that each belongs to. files : (n, d) each, mapped into memory: data, the transfer, and what else
    `transfer` takes. scale : (rings,), corrections of the noise's standard deviation; the files' values are divided by
    it when read."""

    box: int
    frequencies: np.ndarray
    ring: np.ndarray
    files: tuple[np.ndarray, ...]
    scale: np.ndarray
    _read: int = dataclasses.field(default=0, init=False)  # bytes since pages were released

    def __len__(self) -> int:
        return len(self.files[0])

    def count(self, radius: float) -> int:
        """Number of coefficients up to a frequency in waves per box."""
        return int(np.searchsorted(np.linalg.norm(self.frequencies, axis=0), radius + 1e-6, side="right"))

    def read(self, rows: np.ndarray, count: int) -> list[np.ndarray]:
        """(m, count) values of each of the files, of some rows."""
        factor = (1 / self.scale[self.ring[:count]]).astype(np.float32)
        found = [array[rows, :count] * factor for array in self.files]
        self._read += sum(array[0].nbytes for array in self.files) * len(rows)
        if self._read > HELD:
            for array in self.files:
                release_pages(array)
            self._read = 0
        return found

    def transfer(self, further: np.ndarray, rows: np.ndarray, *known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m, d) transfer of some rows, and (m, d, f) its derivatives by the further errors. further: (m, f). *known:
        (m, d), of the files after the data."""
        raise NotImplementedError

    def look(self, views: Views, rows: np.ndarray, cube: "Cube", mean_table: np.ndarray, count: int) -> Seen:
        """The Seen of some rows. mean_table : (side³, 8), table and gradient_tables of the mean volume, side by side.
        count: coefficients that are used."""
        plane, (data, *known) = self.frequencies[:, :count].astype(np.float32), self.read(rows, count)
        z, y, x = plane if len(plane) == 3 else (np.float32(0), *plane)
        data = data * np.exp(1j * ((views.shifts[rows] @ plane) * (2 * np.pi / self.box))).astype(np.complex64)
        transfer, further = self.transfer(views.further[rows], rows, *known)
        matrix = cube.interpolation(views.matrices[rows], plane[::-1])
        values = as_complex(matrix @ mean_table).reshape(len(rows), count, -1)
        slices = values[..., 0]
        gradient = np.einsum("mdi,mij->mdj", values[..., 1:], views.matrices[rows].astype(np.float32))
        contrast = views.contrast[rows, None].astype(np.float32)
        seen = transfer * contrast
        errors = np.empty((len(rows), count, len(views.spread)), np.complex64)
        errors[..., 0] = seen * (y * gradient[..., 2] - z * gradient[..., 1])
        errors[..., 1] = seen * (z * gradient[..., 0] - x * gradient[..., 2])
        errors[..., 2] = seen * (x * gradient[..., 1] - y * gradient[..., 0])
        for number, axis in enumerate(plane, 3):
            errors[..., number] = seen * slices * (-2j * np.pi / self.box * axis)
        errors[..., len(plane) + 3] = transfer * slices
        errors[..., len(plane) + 4 :] = (contrast * slices)[..., None] * further
        return Seen(data, transfer, slices, errors, matrix)

    def shown(self, views: Views, rows: np.ndarray, cube: "Cube", table: np.ndarray, count: int) -> np.ndarray:
        """(m, count) what some rows show of a volume's table (side³, 2), with the transfer of their files."""
        plane = self.frequencies[::-1, :count].astype(np.float32)
        slices = as_complex(cube.interpolation(views.matrices[rows], plane) @ table).reshape(len(rows), count)
        return slices * self.read(rows, count)[1]


PADDING = 2  # the transform's side over the volume's


class Cube:
    """Tables of the Fourier coefficients of volumes up to a frequency. A table has a row for each place of a cube of
    `side` frequencies, the middle one being frequency 0, in the order zyx, and a column for each real number wanted
    there. box: side of the volumes, voxels; even. radius: highest frequency, waves per box; below box / 2."""

    def __init__(self, box: int, radius: float) -> None:
        self.box, self.radius = box, radius
        self.padded = PADDING * box
        self.half = int(np.ceil(radius * PADDING)) + 1
        self.side = 2 * self.half + 1
        axis = np.arange(box) - box // 2
        damp = np.sinc(axis / self.padded) ** 2  # what interpolating between positions does to a volume
        self._places = axis % self.padded
        self._undamp = (1 / (damp[:, None, None] * damp[:, None] * damp)).astype(np.float32)
        steps = np.arange(-self.half, self.half + 1)
        self.frequency = np.sqrt(steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2) / PADDING
        self.ring = np.rint(self.frequency).astype(int).ravel()
        self._index = steps % self.padded

    def table(self, volume: np.ndarray) -> np.ndarray:
        """(side³, 2) real and imaginary part of the coefficients of a (box, box, box) volume, its middle the origin."""
        values = self._along(scipy.fft.fft, volume * self._undamp, self._places, self._index)
        return values.reshape(-1, 1).view(np.float32)

    def gridded(self, table: np.ndarray) -> np.ndarray:
        """(box, box, box) float32 volume of coefficients (side³, 2) that are weighted means of slices around each
        position; what such means do to a volume is undone. Coefficients beyond the radius are dropped."""
        return self._transformed(table) * self._undamp

    def volume(self, table: np.ndarray) -> np.ndarray:
        """(box, box, box) float32 volume of a table (side³, 2) that `table` made: its inverse, but for coefficients
        beyond the radius, which are dropped."""
        return self._transformed(table) / self._undamp

    def _transformed(self, table: np.ndarray) -> np.ndarray:
        values = np.where(self.frequency <= self.radius, (table[:, 0] + 1j * table[:, 1]).reshape((self.side,) * 3), 0)
        values = (values + values[::-1, ::-1, ::-1].conj()) / 2
        return self._along(scipy.fft.ifft, values, self._index, self._places).real

    def _along(self, transform: typing.Any, values: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Values at `source` of each padded axis, transformed, at `target`: axis by axis the padded cube is not held,
        and most of its transforms are spared."""
        for axis in range(3):
            padded = np.zeros((*values.shape[:axis], self.padded, *values.shape[axis + 1 :]), np.complex64)
            padded[(slice(None),) * axis + (source,)] = values
            values = np.ascontiguousarray(transform(padded, axis=axis).take(target, axis))
        return values

    def gradient_tables(self, volume: np.ndarray) -> np.ndarray:
        """(side³, 6): derivatives of the coefficients along x, y and z, per wave per box, real and imaginary parts."""
        axis = (np.arange(self.box) - self.box // 2) * (2 * np.pi / self.box)
        tables = (self.table(volume * weight) for weight in (axis, axis[:, None], axis[:, None, None]))  # x, y, z
        return np.concatenate([np.stack([table[:, 1], -table[:, 0]], axis=1) for table in tables], axis=1)  # times -i

    def interpolation(self, matrices: np.ndarray, plane: np.ndarray) -> csr_matrix:
        """(m d, side³) sparse matrix that takes a table to d coefficients of m slices, or of m rotated copies.
        matrices: (m, 3, 3), from image to density, as core.projections.rotation_matrices gives them. plane: (2, d) or
        (3, d), x and y, or x, y and z, frequency of the coefficients, waves per box."""
        positions = np.einsum("mij,jd->imd", matrices[:, :, : len(plane)], plane * PADDING).reshape(3, -1) + self.half
        low = np.floor(positions).astype(np.int32)
        part = (positions - low).astype(np.float32)
        base = (low[2] * self.side + low[1]) * self.side + low[0]
        count = base.size
        index, weight = np.empty((count, 8), np.int32), np.empty((count, 8), np.float32)
        corner_weight = np.stack([1 - part, part])
        for corner, (z, y, x) in enumerate(itertools.product((0, 1), repeat=3)):
            index[:, corner] = base + (z * self.side + y) * self.side + x
            weight[:, corner] = corner_weight[z, 2] * corner_weight[y, 1] * corner_weight[x, 0]
        starts = np.arange(0, 8 * count + 1, 8, dtype=np.int64 if 8 * count > 2**31 - 8 else np.int32)
        return csr_matrix((weight.ravel(), index.ravel(), starts), (count, self.side**3))

    def shell_means(self, values: np.ndarray) -> np.ndarray:
        """(rings, ...) means over the shells of a table (side³, ...)."""
        count = self.ring.max() + 1
        number = np.bincount(self.ring, minlength=count)
        flat = values.reshape(len(values), -1)
        sums = [np.bincount(self.ring, flat[:, k], count) for k in range(flat.shape[1])]
        return (np.stack(sums, axis=1) / np.maximum(number, 1)[:, None]).reshape(count, *values.shape[1:])


def as_complex(table: np.ndarray) -> np.ndarray:
    """Complex numbers of their real and imaginary parts, (n, c) complex64. table: (n, 2 c)."""
    return np.ascontiguousarray(table, np.float32).view(np.complex64)


def resized_volume(volume: np.ndarray, box: int) -> np.ndarray:
    """A volume on another grid over the same width, its Fourier coefficients kept, (box, box, box)."""
    cube = Cube(volume.shape[0], volume.shape[0] / 2 - 1)
    values = as_complex(cube.table(volume)).reshape((cube.side,) * 3)
    other = Cube(box, min(cube.radius, box / 2 - 1))
    trim = cube.half - other.half
    inner = (slice(trim, cube.side - trim),) * 3 if trim > 0 else ...
    return other.volume(np.ascontiguousarray(values[inner]).reshape(-1, 1).view(np.float32))
