# SPDX-License-Identifier: GPL-3.0-or-later
"""Posterior of an image's latent coordinates: a Gaussian in a linear space, or a position on a curve."""

import dataclasses

import numpy as np

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

    degree : of the polynomials, the number of components.
    """

    def __init__(self, degree: int) -> None:
        self.count, self.coordinates = degree, 1
        self.positions = np.linspace(-1, 1, GRID)
        self.factors = np.stack(
            [np.polynomial.legendre.Legendre.basis(k)(self.positions) for k in range(1, degree + 1)], axis=1
        )  # positions, q

    def __call__(self, gram: np.ndarray, match: np.ndarray, moved: np.ndarray, sigmas: np.ndarray) -> LatentPosterior:
        """As Linear's."""
        q, precision = self.count, precisions(sigmas)
        match = np.concatenate([match[:, :q], match[:, q:] - precision * moved], axis=1)
        inverse = np.linalg.inv(gram[:, q:, q:] + np.diag(precision))
        lost = gram[:, :q, q:] @ inverse  # m, q, e
        own = gram[:, :q, :q] - lost @ gram[:, q:, :q]
        fit = match[:, :q] - np.einsum("mqe,me->mq", lost, match[:, q:])
        value = fit @ self.factors.T - 0.5 * np.einsum("gk,mkl,gl->mg", self.factors, own, self.factors, optimize=True)
        weight = np.exp(value - value.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        return self.given(weight, gram, match, inverse)

    def given(self, weight: np.ndarray, gram: np.ndarray, match: np.ndarray, inverse: np.ndarray) -> LatentPosterior:
        """The LatentPosterior of probabilities (m, GRID) of the positions. inverse: covariance of the errors at a
        position."""
        q, size = self.count, gram.shape[1]
        first = weight @ self.factors
        second = np.einsum("mg,gk,gl->mkl", weight, self.factors, self.factors, optimize=True)
        carried = inverse @ gram[:, q:, :q]  # m, e, q: what the errors take over from the components
        plain = np.einsum("mef,mf->me", inverse, match[:, q:])
        errors = plain - np.einsum("meq,mq->me", carried, first)
        both, covariance = np.zeros((len(gram), size, size)), np.zeros((len(gram), size, size))
        both[:, :q, :q] = second
        cross = first[:, :, None] * plain[:, None, :] - second @ carried.transpose(0, 2, 1)
        both[:, :q, q:], both[:, q:, :q] = cross, cross.transpose(0, 2, 1)
        both[:, q:, q:] = inverse + errors[:, :, None] * errors[:, None, :]
        covariance[:, q:, q:] = inverse
        scatter = second - first[:, :, None] * first[:, None, :]
        covariance[:, :q, :q] = scatter
        return LatentPosterior(
            (weight @ self.positions)[:, None], np.concatenate([first, errors], axis=1), both, covariance
        )


def precisions(sigmas: np.ndarray) -> np.ndarray:
    """One over the variances of errors.

    Parameters
    ----------
    sigmas : ndarray, (e,)
        Standard deviations.

    Returns
    -------
    ndarray, (e,)
    """
    return 1 / np.maximum(sigmas, 1e-4) ** 2
