# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over the images or subtomograms: the coordinates that each says, and the sums that the volumes are solved
from.

Probabilistic principal component analysis by expectation maximisation (Tipping and Bishop 1999) of volumes seen
through projection and CTF (Tagare et al. 2015), or through a missing wedge, with the errors of orientation, shift,
contrast and defocus as further unknowns of each image, to first order.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from .cube import as_complex, hermitian, symmetric
from .posterior import Linear

if typing.TYPE_CHECKING:
    from .cube import Cube
    from .seen import Observations, Seen, Views

BATCH_POSITIONS = 60000  # coefficients of a batch of images


@dataclasses.dataclass
class ExpectationSums:
    """What one pass gives.

    match : (side³, q + 1, 2). weight : (side³, (q + 1) (q + 2) / 2), the sums of the volumes' equations, the mean
    first; of the symmetric weights the upper triangle.
    latent : (n, q) coordinates of the images. second : (q, q) mean second moment of the coordinates. errors : (n, e)
    estimated errors, squared_errors, known : (e,) squares of what the files' values are off, and
    how many of them the images tell (MacKay 1992). residual, freedom : (rings,) power that the model leaves, and
    the number of real numbers that it is left in.
    """

    match: np.ndarray
    weight: np.ndarray
    latent: np.ndarray
    second: np.ndarray
    errors: np.ndarray
    squared_errors: np.ndarray
    known: np.ndarray
    residual: np.ndarray
    freedom: np.ndarray


def batches(rows: np.ndarray, count: int) -> typing.Iterator[np.ndarray]:
    """Parts of some rows whose observations have about BATCH_POSITIONS coefficients.

    Parameters
    ----------
    rows : ndarray, (m,)
    count : int
        Coefficients of an observation.

    Returns
    -------
    iterator of ndarray, (k,)
    """
    step = max(1, BATCH_POSITIONS // count)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def expect(
    coefficients: Observations,
    views: Views,
    rows: np.ndarray,
    cube: Cube,
    volumes: np.ndarray,
    count: int,
    sigmas: np.ndarray,
    posterior: typing.Any = None,
    collect: bool = True,
) -> ExpectationSums:
    """The ExpectationSums of some rows.

    Parameters
    ----------
    rows : ndarray, (m,)
    volumes : ndarray, (q + 1, box, box, box)
        The mean, and components in units of the standard deviation of their coordinates.
    count : int
        Coefficients that are used.
    sigmas : ndarray, (e,)
        Standard deviations of the errors.
    posterior : posterior.Linear or posterior.CurvedCoordinate, optional
        Where the coordinates may be; Linear if None.
    collect : bool
        Whether the sums of the volumes' equations are wanted.
    """
    posterior = posterior or Linear(len(volumes) - 1)
    total = _empty(len(rows), len(volumes) - 1, posterior.coordinates, cube, coefficients.rings, len(sigmas), collect)
    mean_table = np.concatenate([cube.table(volumes[0]), cube.gradient_tables(volumes[0])], axis=1)
    tables = [cube.table(volume) for volume in volumes[1:]]
    component_table = np.concatenate(tables, axis=1) if tables else None
    ring = np.tile(coefficients.ring[:count], 2)
    done = 0
    for part in batches(rows, count):
        seen = coefficients.look(views, part, cube, mean_table, count)
        position = slice(done, done + len(part))
        _batch(
            total,
            seen,
            views.contrast[part],
            component_table,
            views.moved[part],
            sigmas,
            posterior,
            position,
            ring,
            collect,
        )
        done += len(part)
    total.second /= max(done, 1)
    if collect:
        size = len(total.match)
        total.match = hermitian(total.match.reshape(size, -1), cube.side).reshape(total.match.shape)
        total.weight = symmetric(total.weight.reshape(size, -1), cube.side).reshape(total.weight.shape)
    return total


def _empty(
    count: int, components: int, coordinates: int, cube: Cube, rings: int, errors: int, collect: bool
) -> ExpectationSums:
    size, q = cube.side**3 if collect else 0, components + 1
    return ExpectationSums(
        np.zeros((size, q, 2), np.float32),
        np.zeros((size, q * (q + 1) // 2), np.float32),
        np.zeros((count, coordinates), np.float32),
        np.zeros((components, components)),
        np.zeros((count, errors)),
        np.zeros(errors),
        np.zeros(errors),
        np.zeros(rings),
        np.zeros(rings),
    )


def _batch(
    total: ExpectationSums,
    seen: Seen,
    contrast: np.ndarray,
    component_table: np.ndarray | None,
    moved: typing.Any,
    sigmas: np.ndarray,
    posterior: typing.Any,
    position: slice,
    ring: np.ndarray,
    collect: bool,
) -> None:
    """Add a batch to the sums."""
    m, count = seen.data.shape
    q = len(total.second)
    parts = [seen.errors]
    if q:
        components = as_complex(seen.matrix @ component_table).reshape(m, count, q) * seen.transfer[..., None]
        parts.insert(0, components)
    design = real(np.concatenate(parts, axis=2))  # m, 2 d, q + e
    residual = real(seen.data - seen.transfer * contrast[:, None].astype(np.float32) * seen.slices)
    across = design.transpose(0, 2, 1)
    match = (across @ residual[..., None])[..., 0].astype(float)
    found = posterior((across @ design).astype(float), match, moved, sigmas)
    left = residual - (design @ found.value[..., None].astype(np.float32))[..., 0]
    total.residual += np.bincount(ring, (left**2).sum(0), len(total.residual))
    covariance = ((design @ found.covariance.astype(np.float32)) * design).sum((0, 2))
    measured = np.tile(np.count_nonzero(seen.transfer, axis=0), 2)
    total.freedom += np.bincount(ring, measured - covariance, len(total.residual))
    total.latent[position], total.errors[position] = found.coordinate, found.value[:, q:]
    total.second += found.both[:, :q, :q].sum(0)
    total.squared_errors += ((moved + found.value[:, q:]) ** 2).sum(0)
    total.known += np.maximum(1 - np.diagonal(found.covariance, axis1=1, axis2=2)[:, q:] / sigmas**2, 1e-6).sum(0)
    if collect:
        _collect(total, seen, contrast, found.both, found.value, q)


def _collect(
    total: ExpectationSums, seen: Seen, contrast: np.ndarray, both: np.ndarray, value: np.ndarray, q: int
) -> None:
    """Add a batch to the equations of the volumes: mean (its coordinate is the contrast) and components."""
    m, count = seen.data.shape
    first = np.concatenate([contrast[:, None], value[:, :q]], axis=1).astype(np.float32)
    cross = np.concatenate([contrast[:, None, None] * value[:, None, q:], both[:, :q, q:]], axis=1)  # m, q + 1, e
    target = seen.data[..., None] * first[:, None, :]
    target -= seen.errors @ cross.transpose(0, 2, 1).astype(np.float32)
    target *= seen.transfer[..., None]
    total.match += (seen.matrix.T @ np.ascontiguousarray(target).view(np.float32).reshape(m * count, -1)).reshape(
        total.match.shape
    )
    moment = np.empty((m, q + 1, q + 1))
    moment[:, 0, 0] = contrast**2
    moment[:, 0, 1:] = moment[:, 1:, 0] = contrast[:, None] * value[:, :q]
    moment[:, 1:, 1:] = both[:, :q, :q]
    upper = moment[:, *np.triu_indices(q + 1)].astype(np.float32)
    power = (seen.transfer**2)[..., None] * upper[:, None, :]
    total.weight += seen.matrix.T @ power.reshape(m * count, -1)


def real(values: np.ndarray) -> np.ndarray:
    """(m, 2 d, ...) real and imaginary parts of (m, d, ...) complex numbers."""
    return np.concatenate([values.real, values.imag], axis=1)
