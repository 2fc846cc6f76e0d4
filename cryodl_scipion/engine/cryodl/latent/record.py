# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear fit of a latent space; what any fit writes of its observations: columns, clusters, the verdict in words;
which of them maps along an axis rest on; a picture, also in two dimensions that keep neighbours together (UMAP)."""

import dataclasses
import functools
import importlib.util
import os
import sys
import typing
from pathlib import Path

import numpy as np

from ..io import files, mrc, particle_sets, plots, relion_tables, subtomograms
from ..io.messages import doing, warn
from . import cube, masks
from .components import ComponentFit, Setting, fit_components
from .motion import Motion, find_motion, place_on_curve, scaled_position, seen_swing, voxel_components

WIDTH = 0.6  # of the distance of neighbouring maps, in ranks: standard deviation of a map's weights


def path_weights(coordinate: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the particles in `count` maps along a coordinate. The maps lie at equal distances in the particles'
    ranks, so that each rests on as many particles. coordinate: (n,). Returns positions: (count,), coordinates of the
    maps. weights: (n, count), between 0 and 1."""
    rank = (np.argsort(np.argsort(coordinate)) + 0.5) / len(coordinate)
    middle = (np.arange(count) + 0.5) / count
    weights = np.exp(-0.5 * ((rank[:, None] - middle) * count / WIDTH) ** 2)
    return np.quantile(coordinate, middle), weights.astype(np.float32)


PACKAGE = "umap-learn"
NEIGHBOURS = 15  # of each particle that stay near to it


def require_umap() -> None:
    """Nothing, if umap-learn is installed. Raises ValueError: with the command that installs it, if it is missing."""
    if importlib.util.find_spec("umap") is None:
        raise ValueError(
            f"UMAP (--umap) needs the Python package {PACKAGE}, which is missing in the engine's environment. "
            f"Install it with `{sys.executable} -m pip install {PACKAGE}` (some 210 MB), or leave UMAP out."
        )


def umap_positions(latent: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) positions of particles by their latent coordinates (n, k), as they are: none is weighted more."""
    import umap

    if not np.ptp(latent) > 0:  # noise: all at one position
        return np.zeros((len(latent), 2))
    reducer = umap.UMAP(n_components=2, n_neighbors=min(NEIGHBOURS, len(latent) - 1), random_state=seed, n_jobs=1)
    return np.asarray(reducer.fit_transform(latent), float)


SHOWN = 20000  # particles at most


def draw_latent(latent: np.ndarray, clusters: np.ndarray, title: str, path: str | os.PathLike[str]) -> None:
    """Write a PNG of two latent coordinates, coloured by cluster, and their density. latent: (n, k). clusters: (n,)."""
    rows = np.arange(len(latent))[:: max(1, len(latent) // SHOWN)]
    first, second = latent[:, 0], latent[:, min(1, latent.shape[1] - 1)]
    figure, ((points, density),) = plots.new_figure(1, 2, (9, 4.2))
    points.scatter(first[rows], second[rows], c=clusters[rows], s=3, cmap="tab10")
    density.hexbin(first, second, gridsize=40, mincnt=1)
    for axes, shown in ((points, "coloured by cluster"), (density, "density of particles")):
        axes.set(title=shown, xlabel="latent coordinate 1", ylabel=f"latent coordinate {min(2, latent.shape[1])}")
    figure.suptitle(title, fontsize=10, wrap=True)
    with files.whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


MapWriter = typing.Callable[[typing.Sequence[str], np.ndarray, str], "list[dict[str, typing.Any]]"]
LATENT, CLUSTER, UMAP = "cryodlLatent", "cryodlCluster", "cryodlUmap"


@dataclasses.dataclass
class Start:
    """What tests for motion and fits begin with. setting : components.Setting, its mask and views as the mean volume
    says. mean : (box, box, box). curve : FSC of its halves. sigmas : (e,) of the errors. radius : waves per box, the
    finest detail. contrast : 'bright' or 'dark'. rng : of the linear method. notes : sentences. alike : whether the
    observations show anything in common."""

    setting: Setting
    mean: np.ndarray
    curve: np.ndarray
    sigmas: np.ndarray
    radius: float
    contrast: str
    rng: np.random.Generator
    notes: list[str]
    alike: bool

    def say(self, motion: Motion) -> Motion:
        """Tell a Motion, and return it."""
        self.setting.say(
            f"{motion.verdict} by this test alone: p = {motion.p_value:.3g}, variability {motion.variability:.2%}"
        )
        return motion


@dataclasses.dataclass
class Outcome:
    """fit : components.ComponentFit. motion : motion.Motion. setting : components.Setting. contrast : 'bright' or
    'dark'. notes : sentences. method : that of the fit, 'linear' or 'gaussian'. record : what else heterogeneity.json
    says of the method. kept : rows that were fitted, None for all."""

    fit: ComponentFit
    motion: Motion
    setting: Setting
    contrast: str
    notes: list[str]
    method: str
    record: dict[str, typing.Any]
    kept: np.ndarray | None = None


def linear_motion(start: Start, tolerance: float) -> Motion:
    """The Motion by principal components. tolerance : variability that a rigid molecule may have."""
    doing("the motion test")
    components = functools.partial(voxel_components, start.setting, start.mean, start.radius, start.rng)
    return start.say(find_motion(start.setting, start.mean, start.radius, components, tolerance))


def fit_linear(start: Start, motion: Motion, count: int, curved: bool = True) -> Outcome:
    """The Outcome by principal components. count : of latent coordinates. curved : whether the first one follows a
    curve, where there is motion."""
    setting, record = start.setting, dict[str, typing.Any](tolerance=motion.tolerance)
    if motion.verdict == "motion":
        first, second = motion.halves
        setting.focus = masks.changing(first, second, setting.changing)
    elif start.alike:
        doing("swings that would have been seen")
        record["swing"] = seen_swing(setting, start.mean, start.radius, motion.tolerance)
    doing("the principal components")
    mean, known = start.mean, motion.halves[0]
    fit = fit_components(setting, mean, known, count, start.radius, start.sigmas, start.curve, start.rng)
    if motion.verdict == "motion" and curved:
        fit.latent[:, 0] = scaled_position(place_on_curve(setting, fit, start.radius), fit.latent[:, 0])
    return Outcome(fit, motion, setting, start.contrast, start.notes, "linear", record)


def latent_columns(
    found: relion_tables.StarRows, latent: np.ndarray, clusters: np.ndarray, umap: bool, seed: int
) -> dict[str, np.ndarray | None]:
    """Columns of a table of observations: latent coordinates, cluster and, if they are wanted, coordinates of UMAP.
    found: these, whose columns of an earlier fit go. latent: (n, q). clusters: (n,). Returns {column: (n,) values}."""
    own = {f"{LATENT}{k + 1}": column.astype(float) for k, column in enumerate(latent.T)}
    positions = umap_positions(latent, seed) if umap else np.zeros((len(latent), 0))
    own.update({f"{UMAP}{k + 1}": column for k, column in enumerate(positions.T)})
    return {**found.without_numbered(LATENT, UMAP), **own, CLUSTER: clusters}


def latent_clusters(latent: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Clusters of observations in a latent space, by k-means. latent: (n, q). Returns (n,), number of each one's
    cluster, from 1, the largest first."""
    from sklearn.cluster import KMeans

    if not np.ptp(latent) > 0:  # noise: all at one position
        return np.ones(len(latent), int)
    found = KMeans(count, n_init=4, random_state=seed).fit_predict(latent)
    return np.argsort(np.argsort(-np.bincount(found, minlength=count), kind="stable"))[found] + 1


def latent_column(particles: particle_sets.ParticleSet | subtomograms.SubtomogramSet, name: str) -> np.ndarray:
    """(n,) numbers of a column of particles or subtomograms; a warning if the fit that wrote them found no motion.
    Raises ValueError: they do not have it."""
    beside = Path(particles.path).with_name("heterogeneity.json")
    try:
        if beside.exists() and dict(files.read_kept(beside)).get("verdict") == "no motion":
            warn(f"{beside} says that no motion was found: particles and maps by latent coordinates show noise.")
    except (ValueError, TypeError):
        raise ValueError(
            f"{beside} is damaged. Fit again, or move it away to use {particles.path} without the verdict."
        ) from None
    values = relion_tables.number_columns(particles.path, particles.columns, (name,))
    if values is None:
        raise ValueError(
            f"{particles.path} has no column {name}. Give the STAR file of cryodl fit-heterogeneity, and an axis or "
            "cluster that it has."
        )
    return values[:, 0]


def verdict_sentence(motion: Motion, inside: str = "", kind: str = "", share: float = 0, explained: float = 0) -> str:
    """The verdict of the motion test in words. inside: words that say where alone it was tested. The others: how the
    particles differ, see particles.heterogeneity.apart.difference."""
    amount = f"(p = {motion.p_value:.2g}{inside}; variability {motion.variability:.2%} of the molecule's power)."
    if motion.verdict != "motion":
        words = f"No motion found {amount}"
    elif kind == "molecules":
        words = (
            f"A mixture found {amount} The structure explains {explained:.0%} as much of about {share:.0%} of the "
            "particles as of the others: they are something else, or images of far less contrast. Sort them first."
        )
    elif kind == "states":
        words = (
            f"Two or more states found {amount} About {share:.0%} and {1 - share:.0%} of the particles differ in "
            "composition or arrangement, or are of two molecules; few lie between them."
            if share
            else f"Three or more states found {amount} The particles lie at three places, few between them: they "
            "differ in composition or arrangement, or are of several molecules."
        )
    else:
        words = f"{'Motion' if kind else 'Motion or a mixture'} found {amount}"
    return words + motion.near * (
        f" This is near the limit of {motion.tolerance:.2%}, which errors of orientation and CTF may cause: the limit "
        "decides, not the noise."
    )


def apart_sentences(groups: list[dict[str, typing.Any]], count: int) -> list[str]:
    """What was set apart, and what the test said with it. groups: their number of particles, what the structure
    explains of them, and the test with them. count: of all particles."""
    what = {True: "something else", False: "a state of their own"}
    words = [
        f"{group['particles'] / count:.1%} of the particles ({group['particles']}) are {what[bool(group['foreign'])]}: "
        f"the structure explains {group['explained']:.0%} as much of them as of the others. They are set apart."
        for group in groups
    ]
    first = groups[0]
    return words + [f"With them: {first['verdict']} (p = {first['p_value']:.2g}). Without them:"]


def write_fit_volumes(folder: Path, fit: ComponentFit, box: int, pixel_size: float) -> list[str]:
    """Write the mean of a fit, and each component times its deviation. box: px, of the observations. pixel_size: Å/px.
    Returns names of the files, the mean first."""
    names = ["mean.mrc"] + [f"component_{k + 1}.mrc" for k in range(len(fit.axes))]
    for name, volume, factor in zip(names, [fit.mean, *fit.axes], np.concatenate([[1.0], fit.deviations])):
        mrc.write_map(folder / name, factor * cube.resized_volume(volume, box), pixel_size)
    return names


def write_paths(
    latent: np.ndarray, axes: int, maps: int, write: MapWriter
) -> tuple[list[list[str]], list[dict[str, typing.Any]]]:
    """Write the maps along the first axes. latent: (n, q). write: writes maps of these names by weights (n, maps), and
    returns what is recorded of each. Returns names: of the maps of each axis. record: what heterogeneity.json says of
    each map."""
    names, record = [], []
    for axis in range(axes):
        positions, weights = path_weights(latent[:, axis], maps)
        names.append([f"path_{axis + 1}_{k + 1:02d}.mrc" for k in range(maps)])
        found = write(names[-1], weights, f"maps along axis {axis + 1}")
        record += [dict(axis=axis + 1, coordinate=float(position), **one) for position, one in zip(positions, found)]
    return names, record


def region_ranges(words: str | None) -> list[tuple[int, float, float]]:
    """(axis, lowest, highest) of each part of a region, '1:-2:0.5,2:0:3'. Raises ValueError for other words."""
    found = []
    for word in (words or "").replace(" ", "").split(","):
        if not word:
            continue
        try:
            axis, low, high = (kind(part) for kind, part in zip((int, float, float), word.split(":"), strict=True))
        except ValueError:
            axis, low, high = 0, 0.0, 0.0
        if axis < 1 or not low <= high:
            raise ValueError(f"Region (--region) has {word!r}; AXIS:LOW:HIGH such as 1:-2:0.5 is expected.")
        found.append((axis, low, high))
    return found


def whole_numbers(words: str, what: str = "Clusters (--clusters)") -> list[int]:
    """The numbers of '1, 3'. what: they are. Raises ValueError for other words."""
    try:
        return [int(word) for word in words.replace(",", " ").split()]
    except ValueError:
        raise ValueError(f"{what} is {words!r}; whole numbers separated by commas are expected.") from None
