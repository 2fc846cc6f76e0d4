# SPDX-License-Identifier: GPL-3.0-or-later
"""What observations, particle images or subtomograms, show of a volume, and the errors that they may have."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

if typing.TYPE_CHECKING:
    from .cube import Cube


@dataclasses.dataclass
class Seen:
    """A batch of observations beside the mean volume, its e errors being those of the observations' Views.

    data : (m, d) complex64, shifted to the middle. transfer : (m, d) float32. slices : (m, d) complex64, of the mean
    without transfer. errors : (m, d, e) complex64, derivatives by the errors. matrix : interpolation, see Cube.
    """

    data: np.ndarray
    transfer: np.ndarray
    slices: np.ndarray
    errors: np.ndarray
    matrix: typing.Any


class Views(typing.Protocol):
    """Poses and other unknowns of n observations, each with e errors of which the first three are rotations.

    contrast : (n,). moved : (n, e), sum of all steps away from what the file states. spread : (e,) standard deviations
    of the errors before they are learned. alike : slices of errors that are equally large. shift_errors : which of them
    are shifts, px.
    """

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
    """Whitened Fourier coefficients of n observations, sorted by frequency.

    scale : (rings,), corrections of the noise's standard deviation. ring : (d,) of each coefficient. rings : number.
    """

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
