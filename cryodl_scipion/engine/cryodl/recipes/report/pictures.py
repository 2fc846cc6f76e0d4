# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the page, as PNG in bytes: growth, micrographs with picks, classes, FSC, CTFs."""

from __future__ import annotations

import datetime
import io
import typing

import numpy as np

from ...core.thumbnails import block_means, grey_limits
from ...io.coordinates import read_coordinates
from ...io.micrographs import read_micrograph
from ...io.plots import new_figure
from .numbers import PICKING, Series, ctf_fits, finished_of, growth
from .runs import Finished, FoundRun

SIDE = 480  # px of a micrograph
CLASSES = 40  # that are shown
ATTEMPTS = 3  # to show a micrograph, each of another one
SHORTEST = 60.0  # s of the axis of time
_BLUE, _RED, _GREY = "#1f5fa8", "#b8321f", "0.6"


class Picture(typing.NamedTuple):
    """png: bytes. title, words: for people."""

    png: bytes
    title: str
    words: str = ""


def growth_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """Numbers over time: micrographs left, picks and particles right."""
    series = growth(runs)
    if not series:
        return []
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, axes = new_figure(1, 2, (9, 2.8))
    times = [time for line in series for time in line.times]
    middle, half = (max(times) + min(times)) / 2, max((max(times) - min(times)) / 2 * 1.05, SHORTEST / 2)
    for axis, group in zip(np.ravel(axes), ("micrographs", "s")):
        of_micrographs = group == "micrographs"
        for line in [s for s in series if ("micrograph" in s.title) == of_micrographs]:
            axis.step([_moment(t) for t in line.times], line.totals, where="post", label=line.title, marker=".")
        axis.set_ylim(bottom=0)
        if axis.has_data():
            axis.legend(fontsize=8)
        axis.set_xlim(_moment(middle - half), _moment(middle + half))
        locator = AutoDateLocator(maxticks=7)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axis.tick_params(axis="x", labelsize=8)
    return [Picture(_png(figure), "Numbers over time", _rate(series))]


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds)


def _rate(series: list[Series]) -> str:
    first = series[0]
    hours = (first.times[-1] - first.times[0]) / 3600
    if len(first.times) < 2 or hours <= 0:
        return ""
    return (
        f"{(first.totals[-1] - first.totals[0]) / hours:.0f} {first.title} per hour, from the first result to the last."
    )


def micrograph_pictures(runs: typing.Sequence[FoundRun], number: int) -> tuple[list[Picture], list[str]]:
    """The latest micrographs with their picks, and sentences about those that could not be shown, if too few could."""
    latest: dict[str, tuple[str | None, str, Finished]] = {}
    for finished in finished_of(runs, *PICKING):
        paths = dict(zip(finished.names, finished.config.micrographs)) if finished.config else {}
        for name, star in (finished.result.outputs.get("coordinates") or {}).items():
            latest.pop(name, None)
            latest[name] = (paths.get(name), star, finished)
    pictures: list[Picture] = []
    problems: list[str] = []
    unknown = ""
    for name, (path, star, finished) in reversed(latest.items()):
        if len(pictures) == number or len(problems) == ATTEMPTS * number:
            break
        if path is None and name not in (finished.result.outputs.get("pictures") or {}):
            unknown = name
            continue
        try:
            pictures.append(_micrograph(name, path, star, finished))
        except (ValueError, OSError, TypeError) as error:
            problems.append(f"The micrograph {name} cannot be shown: {error}")
    if unknown and not pictures and not problems:
        problems.append(
            f"No micrograph is shown: results such as that of {unknown} do not say where the files are. Use `cryodl "
            "pick --pictures N`, which draws N micrographs with their picks."
        )
    return pictures, problems[: number - len(pictures)]


def _micrograph(name: str, path: str | None, star: str, finished: Finished) -> Picture:
    if path is None:
        with open(finished.file(finished.result.outputs["pictures"][name]), "rb") as file:
            return Picture(file.read(), name)
    image = read_micrograph(finished.file(path))
    small, binning = block_means(image, SIDE)
    ((yx, _),) = read_coordinates(finished.file(star)).values()
    figure, ((axes,),) = new_figure(1, 1, (4.2, 4.2 * small.shape[0] / small.shape[1]))
    low, high = grey_limits(small)
    axes.imshow(small, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    diameter = finished.result.outputs.get("particle_diameter")
    pixel = getattr(finished.config, "pixel_size", None)
    size = diameter / pixel / binning if diameter and pixel else 12
    points = size * 4.2 * 72 / small.shape[1]
    axes.scatter(
        yx[:, 1] / binning, yx[:, 0] / binning, s=points**2, facecolors="none", edgecolors="#35d04a", linewidths=0.8
    )
    axes.set_axis_off()
    return Picture(_png(figure), name, f"{len(yx)} picks")


def class_picture(runs: typing.Sequence[FoundRun]) -> tuple[list[Picture], list[str]]:
    """The averages of the last 2-D classes, largest first, each with its particles and score."""
    found = finished_of(runs, "classify-2d")
    if not found:
        return [], []
    made = found[-1].result.outputs
    try:
        averages = _averages(found[-1].file(made["stack"]))
        order = np.argsort([-count for count in made["counts"]], kind="stable")
        shown = [k for k in order if made["counts"][k] and k < len(averages)][:CLASSES]
        columns = 8
        rows = max(1, -(-len(shown) // columns))
        figure, axes = new_figure(rows, columns, (9, 1.32 * rows))
        for axis in np.ravel(axes):
            axis.set_axis_off()
        for axis, k in zip(np.ravel(axes), shown):
            axis.imshow(averages[k], cmap="gray")
            good = made["scores"][k] >= 0.5
            axis.set_title(f"{made['counts'][k]} | {made['scores'][k]:.2f}", fontsize=7, color="k" if good else _RED)
    except (ValueError, OSError, KeyError, TypeError) as error:
        return [], [f"The 2-D classes cannot be shown: {error}"]
    words = f"{len(shown)} of {len(averages)} classes: particles | score. Red: a score below 0.5."
    return [Picture(_png(figure), "2-D classes", words)], []


def _averages(path: str) -> np.ndarray:
    """(k, h, w) averages."""
    import mrcfile

    with mrcfile.open(path, permissive=True) as mrc:
        data = np.asarray(mrc.data, np.float32)
    return data if data.ndim == 3 else data[None]


def fsc_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """FSC of the last map's half-maps, and of noise that was oriented likewise."""
    found = [f for f in finished_of(runs, "reconstruct") if f.result.outputs.get("fsc")]
    if not found:
        return []
    made = found[-1].result.outputs
    figure, ((axes,),) = new_figure(1, 1, (5.4, 3))
    frequency = np.arange(len(made["fsc"])) / (made["box"] * made["pixel_size"])
    axes.plot(frequency, made["fsc"], color=_BLUE, label="half-maps")
    if made.get("noise_fsc"):
        axes.plot(
            frequency[: len(made["noise_fsc"])], made["noise_fsc"], color=_RED, label="noise, oriented in the same way"
        )
    axes.axhline(0.143, color=_GREY, linewidth=0.8)
    axes.set(xlabel="spatial frequency (1/Å)", ylabel="FSC", ylim=(-0.1, 1.05))
    axes.legend(fontsize=8)
    words = f"0.143 at {made['resolution']:.3g} Å" if made.get("resolution") else "0.143 is not reached"
    return [Picture(_png(figure), "FSC of the half-maps", f"{words}; {made['count']} particles.")]


def ctf_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """Defocus, astigmatism and the resolution of the rings of all micrographs."""
    fits = list(ctf_fits(runs).values())
    needed = ("defocus_u", "defocus_v", "resolution")
    values = np.array([[f[name] for name in needed] for f in fits if all(name in f for name in needed)])
    if not len(values):
        return []
    figure, axes = new_figure(1, 3, (9, 2.4))
    mean = values[:, :2].mean(1) / 1e4
    for axis, numbers, title in zip(
        axes[0],
        (mean, values[:, 0] - values[:, 1], values[:, 2]),
        ("mean defocus (µm)", "astigmatism (Å)", "rings fitted to (Å)"),
    ):
        axis.hist(numbers, bins=min(30, max(5, len(values) // 3)), color=_BLUE)
        axis.set_xlabel(title)
    words = (
        f"{len(values)} micrographs: defocus {mean.min():.2f} to {mean.max():.2f} µm, rings to "
        f"{np.median(values[:, 2]):.1f} Å (median)."
    )
    return [Picture(_png(figure), "CTF", words)]


def _png(figure: typing.Any) -> bytes:
    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    pyplot.close(figure)
    return buffer.getvalue()
