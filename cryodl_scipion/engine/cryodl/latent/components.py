# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear fit: a mean volume and principal components, from coarse to fine.

Volumes from the sums of a pass over the images."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ..core.fourier import fsc
from ..reconstruction.halves import wiener_constants
from .cube import PADDING, Cube, Observations, Views
from .expectation import ExpectationSums, expect

FLOOR = 1e-3  # of a shell's mean weight: the least that a position's weight is taken to be
CHUNK = 100000  # positions that are solved at a time


def solve_components(sums: ExpectationSums, cube: Cube, prior: np.ndarray) -> np.ndarray:
    """(q + 1, box, box, box) float32: the mean and the components that fit the images best. prior: (q + 1, rings),
    expected power of a coefficient of each volume, shell by shell; infinite where nothing is expected."""
    q, inside = sums.match.shape[1], np.nonzero(cube.frequency.ravel() <= cube.radius)[0]
    found = np.zeros_like(sums.match)
    rows, columns = np.triu_indices(q)
    floor = FLOOR * cube.shell_means(sums.weight[:, 0])
    for start in range(0, len(inside), CHUNK):
        part = inside[start : start + CHUNK]
        left = np.empty((len(part), q, q))
        left[:, rows, columns] = left[:, columns, rows] = sums.weight[part]
        ring = cube.ring[part]
        # neighbours on the padded grid say the same: each carries that part of what is expected
        extra = 1 / (PADDING**3 * np.maximum(prior[:, ring].T, 1e-30)) + floor[ring, None] + 1e-12
        left[:, np.arange(q), np.arange(q)] += extra
        found[part] = np.linalg.solve(left, sums.match[part].astype(float))
    return np.stack([cube.gridded(found[:, k]) for k in range(q)])


def shell_power(volumes: np.ndarray, cube: Cube) -> np.ndarray:
    """(n, rings) mean square of the coefficients of (n, box, box, box) volumes, shell by shell."""
    return np.stack([cube.shell_means((cube.table(volume) ** 2).sum(1)) for volume in volumes])


def orthonormal(volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components, whose coordinates have unit variance, as principal axes. volumes: (q, box, box, box). Returns axes:
    (q, box, box, box), orthonormal, the one of the largest variance first. deviations: (q,), standard deviations of the
    coordinates along them. rotation: (q, q), takes coordinates (n, q) to those along the axes: latent @ rotation."""
    flat = volumes.reshape(len(volumes), -1).astype(float)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(values)[::-1]
    deviations, vectors = np.sqrt(np.maximum(values[order], 1e-30)), vectors[:, order]
    axes = (vectors.T @ flat) / deviations[:, None]
    return axes.reshape(volumes.shape).astype(np.float32), deviations, vectors * deviations


COARSE = 12  # waves per box: where the fit begins
COARSE_ROUNDS = 6  # passes of the components at first
FINE_ROUNDS = 4  # and to the finest detail
MIN_SPREAD, LARGEST = 0.03, 2.0  # of their spread before they are learned, that errors are taken to have
REFINEMENTS = 3  # passes that refine orientations against the mean alone
CHANGE = 0.1  # power of a component over that of the mean that is expected
SMALLER = 0.02  # of the observations, at least, in the smaller half: of one in 400, rigid ones seemed to move


@dataclasses.dataclass
class ComponentFit:
    """mean : (box, box, box). axes : (q, box, box, box), orthonormal. deviations : (q,) of the coordinates. latent :
    (n, q) along the axes. fsc : (rings,) of the halves' mean volumes. sigmas : (e,) learned errors, in
    the order of the views'."""

    mean: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray
    latent: np.ndarray
    fsc: np.ndarray
    sigmas: np.ndarray


@dataclasses.dataclass
class Setting:
    """What the passes share. coefficients : seen.Observations. views : seen.Views of them. halves : (n,) 1 or 2.
    mask, focus : (box, box, box), where the molecule is, and where it changes. say : called with a sentence for each
    pass. image : (n,) number of each particle's image, equal for copies. uncertain : of orientations, radians."""

    coefficients: typing.Any
    views: typing.Any
    halves: np.ndarray
    mask: np.ndarray
    box: int
    say: typing.Callable[[str], typing.Any]
    image: np.ndarray
    focus: np.ndarray | float = 1.0
    uncertain: float = 0.0

    def cube(self, radius: float) -> Cube:
        """The Cube of volumes with detail up to a radius in waves per box."""
        return Cube(self.box, radius)

    def rows(self) -> np.ndarray:
        """(n,) all rows."""
        return np.arange(len(self.coefficients))

    @property
    def changing(self) -> np.ndarray:
        """(box, box, box) where components may be."""
        return self.mask * self.focus

    def confine(self, molecule: np.ndarray | float, changing: np.ndarray | float | None) -> None:
        """Hold all within the molecule and what may change, and components within the latter. None: all may."""
        self.mask = self.mask * np.maximum(molecule, 0.0 if changing is None else changing)
        self.focus = self.focus if changing is None else changing


def mean_of(setting: Setting, radius: float, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean volume of the observations, damped shell by shell by what its halves agree on. setting: its orientations are
    not moved. radius: finest frequency, waves per box. sigmas: (e,), standard deviations of the errors. Returns mean:
    (box, box, box). curve: (rings,), FSC of its halves."""
    cube, count = setting.cube(radius), setting.coefficients.count(radius)
    empty = np.zeros((1,) + (setting.box,) * 3, np.float32)
    parts = [
        expect(setting.coefficients, setting.views, np.nonzero(setting.halves == half)[0], cube, empty, count, sigmas)
        for half in (1, 2)
    ]
    free = np.full((1, cube.ring.max() + 1), np.inf)
    halves = [solve_components(part, cube, free)[0] * setting.mask for part in parts]
    curve = fsc(*(torch.from_numpy(half) for half in halves))
    parts[0].match += parts[1].match
    parts[0].weight += parts[1].weight
    whole = solve_components(parts[0], cube, free)[0] * setting.mask
    keep = 1 / (1 + wiener_constants(curve).numpy())
    table = cube.table(whole) * keep[np.minimum(cube.ring, len(keep) - 1)][:, None].astype(np.float32)
    return cube.volume(table), curve.numpy()


def refine_views(
    setting: Setting, mean: np.ndarray, radius: float, sigmas: np.ndarray, rounds: int = REFINEMENTS
) -> tuple[np.ndarray, np.ndarray]:
    """Move orientations, shifts, contrast and defocus to where the mean volume fits best.

    setting: its views are moved, and its noise is measured anew. mean: (box, box, box). radius: finest frequency, waves
    per box. sigmas: (e,), standard deviations of the errors before. Returns mean: (box, box, box). sigmas: (e,),
    standard deviations of the errors, learned."""
    cube, count = setting.cube(radius), setting.coefficients.count(radius)
    for number in range(rounds):
        sums = expect(setting.coefficients, setting.views, setting.rows(), cube, mean[None], count, sigmas)
        mean = solve_components(sums, cube, shell_power(mean[None], cube))[0] * setting.mask
        setting.views.move(setting.rows(), sums.errors)
        rescale_noise(setting.coefficients, sums)
        sigmas = learned(sums, setting.views)
        setting.uncertain = float(sigmas[0])
        setting.say(
            f"orientations {number + 1}: {np.degrees(sigmas[:3].mean()):.2f}° and "
            f"{sigmas[setting.views.shift_errors].mean():.2f} px uncertain"
        )
    return mean, sigmas


def learned(sums: ExpectationSums, views: Views) -> np.ndarray:
    """(e,) standard deviations of the errors from the ExpectationSums of a pass; equal along equivalent axes."""
    squares, known = sums.squared_errors.copy(), sums.known.copy()
    for group in views.alike:
        squares[group], known[group] = squares[group].mean(), known[group].mean()
    return np.clip(np.sqrt(squares / known), MIN_SPREAD * views.spread, LARGEST * views.spread)


def rescale_noise(coefficients: Observations, sums: ExpectationSums) -> None:
    """Make what the model leaves have variance 1 in each ring that was used."""
    used, factor = sums.freedom > 0, np.ones(len(sums.freedom))
    factor[used] = np.sqrt(np.maximum(sums.residual[used] / sums.freedom[used], 1e-3))
    coefficients.scale *= factor


def fit_components(
    setting: Setting,
    mean: np.ndarray,
    known: np.ndarray,
    number: int,
    radius: float,
    sigmas: np.ndarray,
    curve: np.ndarray,
    rng: np.random.Generator,
) -> ComponentFit:
    """The ComponentFit of the observations, from coarse to fine; the components stay in setting.focus.

    setting: its views are moved. mean: (box, box, box). known: (q, box, box, box), where the components begin; further
    ones are random. number: of components. radius: finest frequency, waves per box. sigmas: (e,), standard deviations
    of the errors before. curve: (rings,), FSC of the halves' mean volumes."""
    first = [mean[None], known[:number] * setting.focus]
    if number > len(known):
        first.append(start(mean, number - len(known), setting.focus, rng))
    volumes = np.concatenate(first)
    for limit, rounds in ((min(COARSE, radius), COARSE_ROUNDS), (radius, FINE_ROUNDS)):
        cube, count = setting.cube(limit), setting.coefficients.count(limit)
        for step in range(rounds):
            sums = expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, sigmas)
            share = np.concatenate([np.ones(1), np.full(len(volumes) - 1, CHANGE)])
            volumes = solve_components(sums, cube, share[:, None] * shell_power(volumes[:1], cube)) * setting.mask
            root = np.linalg.cholesky(sums.second + 1e-6 * np.eye(len(sums.second)))
            # coordinates of unit variance; the axes that are sure come apart from the others
            changes = np.tensordot(root.T, volumes[1:] * setting.focus, axes=1).astype(np.float32)
            axes, deviations, _ = orthonormal(changes)
            volumes = np.concatenate([volumes[:1], axes * deviations[:, None, None, None].astype(np.float32)])
            sigmas = learned(sums, setting.views)
            setting.views.move(setting.rows(), 0.5 * sums.errors)
            rescale_noise(setting.coefficients, sums)
            setting.say(
                f"components to {limit:g} waves per box, pass {step + 1}: deviations "
                + " ".join(f"{d:.3g}" for d in orthonormal(volumes[1:])[1])
            )
    sums = expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, sigmas, None, False)
    axes, deviations, rotation = orthonormal(volumes[1:])
    return ComponentFit(volumes[0], axes, deviations, sums.latent @ rotation, curve, sigmas)


def start(mean: np.ndarray, number: int, mask: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
    """(number, box, box, box) smooth random changes of the mean volume."""
    fields = np.stack([gaussian_filter(field, len(mean) / 12) for field in rng.standard_normal((number, *mean.shape))])
    fields /= fields.std(axis=(1, 2, 3), keepdims=True)
    return (0.3 * fields * np.abs(mean) * mask).astype(np.float32)
