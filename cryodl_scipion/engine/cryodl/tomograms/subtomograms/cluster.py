# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of positions in an embedding. Pictures of clusters of subtomograms: their positions in the embedding, and
their averages."""

import os
import typing

import numpy as np

from ...io.plots import new_figure, save_figure


def plot_embedding(positions: np.ndarray, classes: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Positions (n, c) along the first components as a PNG, coloured by class (n,) int."""
    positions = np.asarray(positions)
    if positions.shape[1] < 2:
        positions = np.concatenate([positions, np.zeros((len(positions), 2 - positions.shape[1]))], axis=1)
    pairs = [(0, 1), (0, 2), (1, 2)] if positions.shape[1] > 2 else [(0, 1)]
    figure, axes = new_figure(1, len(pairs), (3.6 * len(pairs) + 0.9, 3.4))
    for panel, (one, other) in zip(axes.flat, pairs):
        for number in np.unique(classes):
            mine = classes == number
            panel.scatter(
                positions[mine, one],
                positions[mine, other],
                s=9,
                color=f"C{(number - 1) % 10}",
                label=f"class {number} ({mine.sum()})",
                linewidths=0,
            )
        panel.set(xlabel=f"component {one + 1}", ylabel=f"component {other + 1}")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles[:20], labels[:20], loc="outside right upper", fontsize=8)
    save_figure(figure, path)


def plot_averages(
    volumes: typing.Sequence[typing.Any], titles: typing.Sequence[str], pixel_size: float, path: str | os.PathLike[str]
) -> None:
    """Middle slices of averages (d, d, d) along z, y and x as a PNG: one row for each."""
    figure, axes = new_figure(len(volumes), 3, (5.4, 1.8 * len(volumes) + 0.3))
    for number, (row, volume, title) in enumerate(zip(axes, volumes, titles)):
        volume = np.asarray(volume)
        middle, (low, high) = volume.shape[0] // 2, np.percentile(volume, (1, 99.5))
        slices = (volume[middle], volume[:, middle], volume[:, :, middle])
        for panel, image, name in zip(row, slices, ("xy", "xz", "yz")):
            panel.imshow(
                image,
                cmap="gray",
                vmin=low,
                vmax=high,
                origin="lower",
                extent=(0, len(image) * pixel_size / 10, 0, len(image) * pixel_size / 10),
            )
            panel.set(xticks=[], yticks=[], title="" if number else name)
        row[0].set_ylabel(title, fontsize=8)
    save_figure(figure, path)


CLOUDS = 59  # single clouds that groups are compared with: the lowest p-value is 1 / 60
STARTS = 5  # of k-means, alike for the positions and the clouds


def groups(positions: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(n,) int: the group of each position, 1 ... count, the largest first. positions: (n, c) array. The k-means of 20
    starts begin a mixture of Gaussians of one shape, which has the last word: the differences within a class (noise,
    wedge) are alike in all. Raises ValueError for fewer positions than groups."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    if len(positions) < count:
        raise ValueError(
            f"There are {len(positions)} subtomograms for {count} classes (--classes); there must be at "
            "least as many. Choose fewer classes."
        )
    positions = np.asarray(positions, float)
    first = KMeans(count, n_init=20, random_state=seed).fit(positions)
    found = first.labels_
    if len(positions) > 5 * (count + positions.shape[1]) and len(np.unique(found)) == count:
        scale = max(positions.var(axis=0).max(), 1e-12)
        mixture = GaussianMixture(
            count, covariance_type="tied", means_init=first.cluster_centers_, random_state=seed, reg_covar=1e-4 * scale
        ).fit(positions)
        new = mixture.predict(positions)
        found = new if len(np.unique(new)) == count else found
    return 1 + np.argsort(np.argsort(-np.bincount(found, minlength=count), kind="stable"))[found]


def group_p_value(positions: np.ndarray, count: int, seed: int = 0) -> float:
    """p-value of groups: how often one cloud of points without groups is divided as tightly as these positions. The
    positions are compared with Gaussian clouds of their number, mean and covariance, by what k-means leaves of the
    variance within its groups (a parametric bootstrap, as of the gap statistic). positions: (n, c), an embedding.
    count: Number of groups. Returns float: fraction of the clouds that are divided as tightly; 1 for one group.
    Tibshirani, Walther and Hastie, J. R. Statist. Soc. B 63, 411 (2001)."""
    if count < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    positions = np.asarray(positions, float) - positions.mean(axis=0)
    covariance = np.cov(positions.T).reshape(positions.shape[1], -1)
    own = _tightness(positions, count, seed)
    clouds = (rng.multivariate_normal(np.zeros(len(covariance)), covariance, len(positions)) for _ in range(CLOUDS))
    return float((1 + sum(_tightness(cloud, count, seed) <= own for cloud in clouds)) / (1 + CLOUDS))


def _tightness(positions: np.ndarray, count: int, seed: int) -> float:
    """Part of the variance of positions (n, c) that is left within the groups of k-means."""
    from sklearn.cluster import KMeans

    total = float(positions.var(axis=0).sum()) * len(positions)
    return KMeans(count, n_init=STARTS, random_state=seed).fit(positions).inertia_ / max(total, 1e-12)
