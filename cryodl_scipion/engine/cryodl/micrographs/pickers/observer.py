# SPDX-License-Identifier: GPL-3.0-or-later
"""A linear observer that judges the picks of a round independently of the network that made them.

It describes a position by rotationally averaged profiles of density and of detail at three scales, and draws one plane
between picks and background (Fisher's linear discriminant) on some micrographs. The separation is how far picks and
background lie apart from that plane's view on other micrographs, in standard deviations (d'). Background in the picks,
and particles among the background, both bring them nearer; how sure the network is of itself does not count, since each
round is judged by the same number of its best picks.
"""

import typing

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

RADIUS = 0.75  # diameters around a position that are looked at
RING = 1 / 16  # diameters that a ring of the profiles is wide
SCALES = (1 / 32, 1 / 16, 1 / 8)  # diameters, sigma of the smoothing
BACKGROUND_DISTANCE = 0.35  # diameters that background keeps from picks
RIDGE = 0.05  # of the mean variance; keeps the plane steady with few picks
MINIMUM = 20  # picks on either side below which nothing is judged


def separation(
    training: typing.Sequence[tuple[typing.Any, np.ndarray]],
    validation: typing.Sequence[tuple[typing.Any, np.ndarray]],
    diameter: float,
    seed: int = 0,
) -> float | None:
    """d' of picks and background of the validation micrographs, of a plane drawn on the training ones; None if there
    are too few picks to tell.

    training, validation: lists of (image, picks): Prepared or LabelledImage, and (n, 2) yx working px. diameter:
    working px.
    """
    (x, is_pick), (other_x, other_pick) = (_table(part, diameter, seed) for part in (training, validation))
    if min(is_pick.sum(), other_pick.sum(), (~is_pick).sum(), (~other_pick).sum()) < MINIMUM:
        return None
    middle, scale = x.mean(0), x.std(0) + 1e-6
    direction = _discriminant((x - middle) / scale, is_pick)
    value = ((other_x - middle) / scale) @ direction
    picks, rest = value[other_pick], value[~other_pick]
    return float((picks.mean() - rest.mean()) / np.sqrt(0.5 * (picks.var() + rest.var()) + 1e-12))


def _table(
    part: typing.Sequence[tuple[typing.Any, np.ndarray]], diameter: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions (n, f) of picks and as many background positions, and which are picks (n,)."""
    rows, is_pick = [np.zeros((0, 4 * _rings(diameter).shape[1]))], [np.zeros(0, bool)]
    for index, (image, picks) in enumerate(part):
        background = _background(image, picks, diameter, np.random.default_rng((seed, index)))
        rows.append(ring_profiles(image.image.numpy(), np.concatenate([picks, background]), diameter))
        is_pick.append(np.arange(len(picks) + len(background)) < len(picks))
    return np.concatenate(rows), np.concatenate(is_pick)


def _background(image: typing.Any, picks: np.ndarray, diameter: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) random valid positions away from the picks, as many as there are picks where there is room."""
    tried = rng.uniform(0, 1, (8 * len(picks), 2)) * (np.array(image.image.shape) - 1)
    nearest = np.rint(tried).astype(int)
    usable = image.valid.numpy()[nearest[:, 0], nearest[:, 1]]
    if len(picks):
        usable &= cKDTree(picks).query(tried)[0] > BACKGROUND_DISTANCE * diameter
    return tried[usable][: len(picks)]


def ring_profiles(image: np.ndarray, positions: np.ndarray, diameter: float) -> np.ndarray:
    """(n, f) ring profiles around places (n, 2) of an image (h, w): density, and detail at three scales (log power)."""
    rings = _rings(diameter)
    side = int(round(len(rings) ** 0.5))
    smooth = [gaussian_filter(image, max(0.5, s * diameter)) for s in SCALES]
    layers = [smooth[0]] + [(fine - coarse) ** 2 for fine, coarse in zip([image] + smooth, smooth)]
    nearest = np.clip(np.rint(positions), 0, np.array(image.shape) - 1).astype(int)
    profiles = []
    for number, layer in enumerate(layers):
        windows = sliding_window_view(np.pad(layer, side // 2, mode="reflect"), (side, side))
        profile = windows[nearest[:, 0], nearest[:, 1]].reshape(len(positions), side * side) @ rings
        profiles.append(profile if number == 0 else np.log(profile + 1e-3))
    return np.concatenate(profiles, 1)


def _rings(diameter: float) -> np.ndarray:
    """(k * k, r) weights that average a (k, k) window over each of r rings."""
    radius = int(round(RADIUS * diameter))
    distance = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]).ravel()
    width = max(1.0, RING * diameter)
    which = (distance / width).astype(int)
    number = int(radius / width)
    weights = (which[:, None] == np.arange(number)[None]).astype(np.float32)
    return weights / weights.sum(0)


def _discriminant(x: np.ndarray, is_pick: np.ndarray) -> np.ndarray:
    """Normal of Fisher's plane between two groups of rows (n, f)."""
    means = [x[group].mean(0) for group in (~is_pick, is_pick)]
    within = np.cov(np.concatenate([x[~is_pick] - means[0], x[is_pick] - means[1]]).T)
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    return np.linalg.solve(within, means[1] - means[0])
