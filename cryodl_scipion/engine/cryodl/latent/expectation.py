# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over the images or subtomograms: the coordinates that each says, and the sums that the volumes are solved
from.

Probabilistic principal component analysis by expectation maximisation (Tipping and Bishop 1999) of volumes seen
through projection and CTF (Tagare et al. 2015), or through a missing wedge, with the errors of orientation, shift,
contrast and defocus as further unknowns of each image, to first order.
Posterior of an image's latent coordinates: a Gaussian in a linear space, or a position on a curve."""

import dataclasses
import typing

import numpy as np

from .cube import Cube, Observations, Seen, Views, as_complex

GRID = 41  # positions on a curve


@dataclasses.dataclass
class LatentPosterior:
    """Of a batch of m images. coordinate : (m, k) expected latent coordinates. value : (m, q + e) expected factors of
    the components and errors. both : (m, q + e, q + e) expected products of them, of which those of the errors with
    each other may be theirs in the mean. covariance : (m, q + e, q + e), so that design x share x design is what the
    unknowns take from each coefficient."""

    coordinate: np.ndarray
    value: np.ndarray
    both: np.ndarray
    covariance: np.ndarray


class Linear:
    """Coordinates that are normally distributed: the factors of the components themselves. count : of components."""

    def __init__(self, count: int) -> None:
        self.count = self.coordinates = count

    def __call__(self, gram: np.ndarray, match: np.ndarray, moved: np.ndarray, sigmas: np.ndarray) -> LatentPosterior:
        """The LatentPosterior of a batch. gram : (m, q + e, q + e) products of components and errors. match : (m, q +
        e) their products with what the mean leaves of the images. moved : (m, e) errors that were corrected already.
        sigmas : (e,) standard deviations of the errors in all."""
        q, precision = self.count, precisions(sigmas)
        covariance = np.linalg.inv(gram + np.diag(np.concatenate([np.ones(q), precision])))
        match = np.concatenate([match[:, :q], match[:, q:] - precision * moved], axis=1)
        value = np.einsum("mkl,ml->mk", covariance, match)
        return LatentPosterior(value[:, :q], value, covariance + value[:, :, None] * value[:, None, :], covariance)


class CurvedCoordinate:
    """A coordinate between -1 and 1 whose maps are the mean plus Legendre polynomials of it times the components: a
    generative topographic mapping (Bishop et al. 1998) of one dimension. All positions are equally likely.

    degree : of the polynomials, the number of components."""

    def __init__(self, degree: int) -> None:
        self.count, self.coordinates = degree, 1
        self.positions = np.linspace(-1, 1, GRID)
        self.factors = np.stack(
            [np.polynomial.legendre.Legendre.basis(k)(self.positions) for k in range(1, degree + 1)], axis=1
        )  # positions, q

    def __call__(self, gram: np.ndarray, match: np.ndarray, moved: np.ndarray, sigmas: np.ndarray) -> LatentPosterior:
        q, precision = self.count, precisions(sigmas)
        match = np.concatenate([match[:, :q], match[:, q:] - precision * moved], axis=1)
        own, fit, inverse = without_errors(gram, match, q, precision)
        value = fit @ self.factors.T - 0.5 * np.einsum("gk,mkl,gl->mg", self.factors, own, self.factors, optimize=True)
        weight = np.exp(value - value.max(axis=1, keepdims=True))  # m, GRID: probabilities of the positions
        weight /= weight.sum(axis=1, keepdims=True)
        first = weight @ self.factors
        second = np.einsum("mg,gk,gl->mkl", weight, self.factors, self.factors, optimize=True)
        carried = inverse @ gram[:, q:, :q]  # m, e, q: what the errors take over from the components
        plain = np.einsum("mef,mf->me", inverse, match[:, q:])
        errors = plain - np.einsum("meq,mq->me", carried, first)
        both, covariance = np.zeros_like(gram), np.zeros_like(gram)
        both[:, :q, :q] = second
        cross = first[:, :, None] * plain[:, None, :] - second @ carried.transpose(0, 2, 1)
        both[:, :q, q:], both[:, q:, :q] = cross, cross.transpose(0, 2, 1)
        both[:, q:, q:] = inverse + errors[:, :, None] * errors[:, None, :]
        covariance[:, q:, q:] = inverse
        covariance[:, :q, :q] = second - first[:, :, None] * first[:, None, :]
        return LatentPosterior(
            (weight @ self.positions)[:, None], np.concatenate([first, errors], axis=1), both, covariance
        )


def without_errors(
    gram: np.ndarray, match: np.ndarray, q: int, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Products of the q components (m, q, q), and with the image (m, q), after all that the errors may explain is taken
    out; and the covariance of the errors (m, e, e). gram, match: as of Linear. precision: (e,), of the errors."""
    inverse = np.linalg.inv(gram[:, q:, q:] + np.diag(precision))
    lost = gram[:, :q, q:] @ inverse  # m, q, e
    return gram[:, :q, :q] - lost @ gram[:, q:, :q], match[:, :q] - np.einsum("mqe,me->mq", lost, match[:, q:]), inverse


def precisions(sigmas: np.ndarray) -> np.ndarray:
    """One over the variances of errors, (e,). sigmas: (e,), standard deviations."""
    return 1 / np.maximum(sigmas, 1e-4) ** 2


BATCH_POSITIONS = 60000  # coefficients of a batch of images


@dataclasses.dataclass
class ExpectationSums:
    """What one pass gives.

    match : (side³, q + 1, 2). weight : (side³, (q + 1) (q + 2) / 2), the sums of the volumes' equations, the mean
    first; of the symmetric weights the upper triangle. latent : (n, q) coordinates of the images. second : (q, q) mean
    second moment of the coordinates. errors : (n, e) estimated errors, squared_errors, known : (e,) squares of what the
    files' values are off, and how many of them the images tell (MacKay 1992). residual, freedom : (rings,) power that
    the model leaves, and the number of real numbers that it is left in."""

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
    """Parts of some rows whose observations have about BATCH_POSITIONS coefficients, (k,). rows: (m,). count:
    coefficients of an observation."""
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

    rows: (m,).
    volumes: (q + 1, box, box, box), the mean, and components in units of the standard deviation of their coordinates.
    count: coefficients that are used.
    sigmas: (e,), standard deviations of the errors.
    posterior: posterior.Linear or posterior.CurvedCoordinate, where the coordinates may be; Linear if None.
    collect: whether the sums of the volumes' equations are wanted."""
    posterior = posterior or Linear(len(volumes) - 1)
    size, q, rings, errors = cube.side**3 if collect else 0, len(volumes), len(coefficients.scale), len(sigmas)
    total = ExpectationSums(
        np.zeros((size, q, 2), np.float32),
        np.zeros((size, q * (q + 1) // 2), np.float32),
        np.zeros((len(rows), posterior.coordinates), np.float32),
        np.zeros((q - 1, q - 1)),
        np.zeros((len(rows), errors)),
        np.zeros(errors),
        np.zeros(errors),
        np.zeros(rings),
        np.zeros(rings),
    )
    mean_table = np.concatenate([cube.table(volumes[0]), cube.gradient_tables(volumes[0])], axis=1)
    tables = [cube.table(volume) for volume in volumes[1:]]
    component_table = np.concatenate(tables, axis=1) if tables else None
    ring, done = np.tile(coefficients.ring[:count], 2), 0
    for part in batches(rows, count):
        _batch(
            total,
            coefficients.look(views, part, cube, mean_table, count),
            views.contrast[part],
            component_table,
            views.moved[part],
            sigmas,
            posterior,
            slice(done, done + len(part)),
            ring,
            collect,
        )
        done += len(part)
    total.second /= max(done, 1)
    if collect:
        total.match += total.match[::-1] * np.array([1, -1], np.float32)  # backwards: the opposite frequencies
        total.weight += total.weight[::-1]
    return total


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
    m, count = seen.data.shape
    q, parts = len(total.second), [seen.errors]
    if q:
        parts.insert(0, as_complex(seen.matrix @ component_table).reshape(m, count, q) * seen.transfer[..., None])
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
    power = (seen.transfer**2)[..., None] * moment[:, *np.triu_indices(q + 1)].astype(np.float32)[:, None, :]
    total.weight += seen.matrix.T @ power.reshape(m * count, -1)


def real(values: np.ndarray) -> np.ndarray:
    """(m, 2 d, ...) real and imaginary parts of (m, d, ...) complex numbers."""
    return np.concatenate([values.real, values.imag], axis=1)
