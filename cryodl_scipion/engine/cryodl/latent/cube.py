# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices and rotated copies of volumes through tables of Fourier coefficients, and their transpose, as sparse
matrices.

What observations, particle images or subtomograms, show of a volume, and the errors that they may have."""

from __future__ import annotations

import dataclasses
import itertools
import typing

import numpy as np
import scipy.fft
from scipy.sparse import csr_matrix


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


class Views(typing.Protocol):
    """Poses and other unknowns of n observations, each with e errors of which the first three are rotations.

    contrast : (n,). moved : (n, e), sum of all steps away from what the file states. spread : (e,) standard deviations
    of the errors before they are learned. alike : slices of errors that are equally large. shift_errors : which of them
    are shifts, px."""

    contrast: np.ndarray
    moved: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """(e,)."""

    @property
    def alike(self) -> tuple[slice, ...]:
        """Of errors."""

    @property
    def shift_errors(self) -> slice:
        """Of errors."""

    def move(self, rows: np.ndarray, step: np.ndarray) -> None:
        """Add small errors (m, e) to some rows."""


class Observations(typing.Protocol):
    """Whitened Fourier coefficients of n observations, sorted by frequency. scale : (rings,), corrections of the
    noise's standard deviation. ring : (d,) of each coefficient. rings : number."""

    scale: np.ndarray

    @property
    def ring(self) -> np.ndarray:
        """(d,) int."""

    @property
    def rings(self) -> int:
        """Number of rings."""

    def __len__(self) -> int: ...

    def count(self, radius: float) -> int:
        """Number of coefficients up to a frequency in waves per box."""

    def look(self, views: typing.Any, rows: np.ndarray, cube: Cube, mean_table: np.ndarray, count: int) -> Seen:
        """The Seen of some rows. mean_table : (side³, 8), table and gradient_tables of the mean volume."""

    def shown(self, views: typing.Any, rows: np.ndarray, cube: Cube, table: np.ndarray, count: int) -> np.ndarray:
        """(m, count) what some rows show of a volume's table (side³, 2), transfer included."""


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
        self._places = np.ix_(*(axis % self.padded,) * 3)
        self._undamp = (1 / (damp[:, None, None] * damp[:, None] * damp)).astype(np.float32)
        steps = np.arange(-self.half, self.half + 1)
        self.frequency = np.sqrt(steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2) / PADDING
        self.ring = np.rint(self.frequency).astype(int).ravel()
        self._index = np.ix_(*(steps % self.padded,) * 3)

    def table(self, volume: np.ndarray) -> np.ndarray:
        """(side³, 2) real and imaginary part of the coefficients of a (box, box, box) volume, its middle the origin."""
        padded = np.zeros((self.padded,) * 3, np.float32)
        padded[self._places] = volume * self._undamp
        values = scipy.fft.fftn(padded)[self._index].ravel()
        return np.stack([values.real, values.imag], axis=1).astype(np.float32)

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
        padded = np.zeros((self.padded,) * 3, np.complex64)
        padded[self._index] = values
        return scipy.fft.ifftn(padded).real[self._places].astype(np.float32)

    def gradient_tables(self, volume: np.ndarray) -> np.ndarray:
        """(side³, 6): derivatives of the coefficients along x, y and z, per wave per box, real and imaginary parts."""
        axis = (np.arange(self.box) - self.box // 2) * (2 * np.pi / self.box)
        parts = []
        for weight in (axis, axis[:, None], axis[:, None, None]):  # x, y, z
            table = self.table(volume * weight)
            parts.append(np.stack([table[:, 1], -table[:, 0]], axis=1))  # times -i
        return np.concatenate(parts, axis=1)

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


def symmetric(table: np.ndarray, side: int) -> np.ndarray:
    """Sum of a table of real numbers and of itself at the opposite frequencies, (side³, c). table: (side³, c)."""
    return table + table.reshape(side, side, side, -1)[::-1, ::-1, ::-1].reshape(table.shape)


def hermitian(table: np.ndarray, side: int) -> np.ndarray:
    """Sum of a table of real and imaginary parts, and of the conjugates of the opposite frequencies, (side³, 2 c).
    table: (side³, 2 c)."""
    sign = np.tile([1.0, -1.0], table.shape[1] // 2).astype(table.dtype)
    return table + table.reshape(side, side, side, -1)[::-1, ::-1, ::-1].reshape(table.shape) * sign


def as_complex(table: np.ndarray) -> np.ndarray:
    """Complex numbers of their real and imaginary parts, (n, c) complex64. table: (n, 2 c)."""
    return np.ascontiguousarray(table, np.float32).view(np.complex64)


def resized_volume(volume: np.ndarray, box: int) -> np.ndarray:
    """A volume on another grid over the same width, its Fourier coefficients kept, (box, box, box). volume: (b, b, b).
    box: px."""
    cube = Cube(volume.shape[0], volume.shape[0] / 2 - 1)
    values = as_complex(cube.table(volume)).reshape((cube.side,) * 3)
    other = Cube(box, min(cube.radius, box / 2 - 1))
    trim = cube.half - other.half
    inner = (slice(trim, cube.side - trim),) * 3 if trim > 0 else ...
    return other.volume(np.ascontiguousarray(values[inner]).reshape(-1, 1).view(np.float32))
