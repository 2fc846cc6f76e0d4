# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: one HTML file with its pictures in it. Every text that comes from outside is escaped here. Pictures of the
page, as PNG in bytes: growth, micrographs with picks, classes, FSC, CTFs."""

import base64
import datetime
import html
import io
import typing

import mrcfile
import numpy as np

from ...contract import say_if, span
from ...core.thumbnails import block_means, grey_limits
from ...io import coordinates, micrographs
from ...io.plots import new_figure
from .forecast import FACTORS, forecasts_of
from .numbers import MAPS, ORIENTED, PICKING, Series, ctf_fits, finished_of, growth, last_words
from .runs import STOPPED, Finished, FoundRun

SIDE = 480  # px of a micrograph
CLASSES = 40  # that are shown
ATTEMPTS = 3  # to show a micrograph, each of another one
_BLUE, _RED, _GREY = "#1f5fa8", "#b8321f", "0.6"


class Picture(typing.NamedTuple):
    """png: bytes. title, words: for people."""

    png: bytes
    title: str
    words: str = ""


def growth_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """Numbers over time: micrographs left, picks and particles right. None where nothing grew: a point is no curve."""
    series = growth(runs)
    if all(len(line.times) < 2 for line in series):
        return []
    figure, axes = new_figure(1, 2, (9, 2.8))
    first = min(line.times[0] for line in series)
    for axis, group in zip(np.ravel(axes), ("micrographs", "s")):
        for line in [s for s in series if ("micrograph" in s.title) == (group == "micrographs")]:
            hours = [(time - first) / 3600 for time in line.times]
            axis.step(hours, line.totals, where="post", label=line.title, marker=".")
            axis.legend(fontsize=8)
        axis.set_ylim(bottom=0)
        axis.set_xlabel(f"hours since {datetime.datetime.fromtimestamp(first):%Y-%m-%d %H:%M}", fontsize=8)
    return [Picture(_png(figure), "Numbers over time", _rate(series))]


def _rate(series: list[Series]) -> str:
    first = next(line for line in series if len(line.times) > 1)
    hours = (first.times[-1] - first.times[0]) / 3600
    grown = first.totals[-1] - first.totals[0]
    return f"{grown / hours:.0f} {first.title} per hour, from the first result to the last." if hours > 0 else ""


def micrograph_pictures(runs: typing.Sequence[FoundRun], number: int) -> tuple[list[Picture], list[str]]:
    """The latest micrographs with their picks, and sentences about those that could not be shown, if too few could."""
    pictures, problems, unknown = list[Picture](), list[str](), ""
    for name, (star, finished) in reversed(last_words(runs, PICKING, "coordinates").items()):
        path = finished.micrographs.get(name)
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
    small, binning = block_means(micrographs.read_micrograph(finished.file(path)), SIDE)
    ((yx, _),) = coordinates.read_coordinates(finished.file(star)).values()
    figure, ((axes,),) = new_figure(1, 1, (4.2, 4.2 * small.shape[0] / small.shape[1]))
    low, high = grey_limits(small)
    axes.imshow(small, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    diameter = finished.result.outputs.get("particle_diameter")
    pixel = getattr(finished.config, "pixel_size", None)
    points = (diameter / pixel / binning if diameter and pixel else 12) * 4.2 * 72 / small.shape[1]
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
    with mrcfile.open(path, permissive=True) as mrc:
        return np.asarray(mrc.data, np.float32).reshape(-1, *mrc.data.shape[-2:])


def fsc_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """FSC of the last map's half-maps, and of noise that was oriented likewise."""
    found = [f for f in finished_of(runs, *MAPS) if f.result.outputs.get("fsc")]
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


def forecast_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """Resolution over the number of particles: of the maps, and as it is forecast."""
    found = forecasts_of(finished_of(runs, *MAPS))
    if not found:
        return []
    figure, ((axes,),) = new_figure(1, 1, (5.4, 3))
    for one in found:
        counts = np.array(FACTORS) * one.particles
        low, middle, high = 1 / one.edges.T
        colour = _BLUE if one is found[-1] else _GREY
        axes.fill_between(counts, low, high, color=colour, alpha=0.2)
        axes.plot(counts, middle, color=colour)
    axes.plot([one.particles for one in found], [1 / one.resolution for one in found], "o", color=_RED, label="maps")
    axes.set(xscale="log", xlabel="particles", ylabel="resolution (1/Å)")
    axes.legend(fontsize=8)
    came = [held for one in found for _, _, held in one.came]
    words = [
        f"{factor} times the particles: {e[1]:.3g} Å ({span(e)})" for factor, e in zip(FACTORS[1:], found[-1].edges[1:])
    ]
    words += say_if(came, f"of {len(came)} earlier forecasts {sum(came)} came true")
    return [Picture(_png(figure), "Forecast", f"{'; '.join(words)}. Bands and brackets: 80 % of the cases.")]


def views_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """Views of the particles that were oriented last, all batches together, and the last map's resolution by
    direction."""
    told = [[f for f in finished_of([run], *ORIENTED) if f.result.outputs.get("views")] for run in runs]
    batches = max(filter(None, told), key=lambda group: group[-1].time, default=[])
    if not batches:
        return []
    last = batches[-1].result
    batches = [f for f in batches if f.result.command == ORIENTED[0]] if last.command == ORIENTED[0] else batches[-1:]
    weights = [f.result.outputs["count"] for f in batches]
    shown = [(np.average([f.result.outputs["views"] for f in batches], 0, weights), "views, over what even ones give")]
    ends = np.array(last.outputs.get("by_direction") or [], float).reshape(-1, 3)
    if len(ends):
        other = np.c_[ends[:, 0] + 180, 180 - ends[:, 1], ends[:, 2]]
        shown.append((np.concatenate([ends, other]), "FSC of 0.143 within 20° of an axis (Å)"))
    figure, axes = new_figure(1, 2, (9, 2.8), "mollweide")
    axes[0, 1].set_visible(len(shown) == 2)
    for axis, ((rot, tilt, values), title) in zip(axes[0], ((rows.T, title) for rows, title in shown)):
        longitude = np.mod(np.radians(rot) + np.pi, 2 * np.pi) - np.pi
        dots = axis.scatter(longitude, np.radians(90 - tilt), c=values, s=50, cmap="viridis", plotnonfinite=True)
        figure.colorbar(dots, ax=axis, shrink=0.7)
        axis.set_title(title, fontsize=8)
        axis.tick_params(labelbottom=False, labelleft=False)
    largest = batches[int(np.argmax(weights))].result.outputs  # a small batch tells nothing of missing directions
    cone, left = largest.get("missing_cone"), [f"{one:.0f}°" for one in largest.get("tilted_cones") or []]
    tilted = f"missing cone {cone}°; a specimen tilted by 20, 30 and 40° would leave {', '.join(left)}"
    untilted = "no missing cone" if cone == 0 else "too few particles to tell missing directions"
    return [Picture(_png(figure), "Views", tilted if cone else untilted)]


def ctf_picture(runs: typing.Sequence[FoundRun]) -> list[Picture]:
    """Defocus, astigmatism and the resolution of the rings of all micrographs."""
    keys = ("defocus_u", "defocus_v", "resolution")
    values = np.array([[f[key] for key in keys] for f in ctf_fits(runs).values() if all(key in f for key in keys)])
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
        f"{len(values)} micrographs: defocus {span(mean, '.2f')} µm, rings to {np.median(values[:, 2]):.1f} Å (median)."
    )
    return [Picture(_png(figure), "CTF", words)]


def _png(figure: typing.Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    return buffer.getvalue()


MARK = "<!-- cryodl report -->"  # by which a report is known that may be replaced
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2733; background: #fff; max-width: 1080px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; }
h2 { font-size: 1.15em; margin: 1.8em 0 .5em; border-bottom: 1px solid #d8dde3; }
.when { color: #5b6875; margin-top: .2em; }
.numbers { display: flex; flex-wrap: wrap; gap: .8em; } .numbers div { border: 1px solid #d8dde3; border-radius: 6px;
  padding: .5em .9em; } .numbers b { display: block; font-size: 1.35em; }
.alarms { background: #fdeeee; border-left: 5px solid #b8321f; padding: .6em 1em; } .calm { background: #eef7ef;
  border-left: 5px solid #2f8f46; padding: .6em 1em; } .warnings { background: #fff8e6; border-left: 5px solid #d8a01f;
  padding: .6em 1em; }
ul { margin: .2em 0; padding-left: 1.2em; } li { overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; } figure { margin: 0; } figcaption { color: #5b6875; font-size: .9em; }
.shown { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .25em .6em;
  border-bottom: 1px solid #e4e8ec; }
td:last-child { overflow-wrap: anywhere; } .summary { width: 55%; } .status, .failed { white-space: nowrap; }
.failed { color: #b8321f; font-weight: 600; }
pre { white-space: pre-wrap; background: #f5f7f9; padding: .6em; font-size: .85em; }
"""


_STATUS = 1  # column of the table of runs


class Content(typing.NamedTuple):
    """What the page shows. title, source: texts. numbers: [(what, how many)]. alarms, warnings, malformed: sentences.
    pictures: {section: [Picture]}. methods: [(run's label, sentences)]. parameters: [(command, JSON)]. versions: {name:
    version}."""

    title: str
    source: str
    runs: typing.Sequence[FoundRun]
    numbers: list[tuple[str, str]]
    alarms: list[str]
    warnings: list[str]
    malformed: list[str]
    pictures: dict[str, list[Picture]]
    methods: list[tuple[str, list[str]]]
    parameters: list[tuple[str, str]]
    versions: dict[str, str]
    refresh: int


def page_of(content: Content, now: datetime.datetime) -> str:
    """The whole page as text. now: when it is written."""
    working = any(run.works for run in content.runs)
    refresh = f'<meta http-equiv="refresh" content="{content.refresh}">' if content.refresh and working else ""
    state = "runs are active" if working else "no run is active"
    parts = [
        f"<h1>{_e(content.title)}</h1>",
        f'<p class="when">{_e(content.source)}, {now:%Y-%m-%d %H:%M:%S}; {state}.</p>',
        _numbers(content.numbers),
        _alarms(content),
    ]
    parts += [_section(title, _shown(pictures)) for title, pictures in content.pictures.items() if pictures]
    parts.append(_section("Runs", _runs(content.runs)))
    methods = (f"<p><b>{_e(label)}.</b> {_e(' '.join(said))}</p>" for label, said in content.methods)
    details = (f"<details><summary>{_e(c)}</summary><pre>{_e(p)}</pre></details>" for c, p in content.parameters)
    for title, text in (("Methods", "".join(methods)), ("Parameters", "".join(details))):
        parts += [_section(title, text)] * bool(text)
    versions = (f"<tr><td>{_e(name)}</td><td>{_e(value)}</td></tr>" for name, value in sorted(content.versions.items()))
    parts.append(_section("Versions", f"<table>{''.join(versions)}</table>"))
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n{MARK}\n<html lang="en"><head><meta charset="utf-8">{refresh}'
        f"<title>{_e(content.title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _e(text: object) -> str:
    """A text as HTML; what is no letter of any file, such as half of a pair, is replaced."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"), quote=True)


def _section(title: str, inner: str) -> str:
    return f"<h2>{_e(title)}</h2>\n{inner}"


def _numbers(numbers: list[tuple[str, str]]) -> str:
    boxes = "".join(f"<div><b>{_e(value)}</b>{_e(title)}</div>" for title, value in numbers)
    return f'<div class="numbers">{boxes}</div>' if boxes else "<p>There are no results yet.</p>"


def _alarms(content: Content) -> str:
    css, said = ("alarms", _list(content.alarms)) if content.alarms else ("calm", "None.")
    parts = [f'<h2>Alarms</h2><div class="{css}" id="alarms">{said}</div>']
    parts += [
        f'<h2>{title}</h2><div class="warnings">{_list(sentences)}</div>'
        for title, sentences in (("Warnings", content.warnings), ("Files that cannot be read", content.malformed))
        if sentences
    ]
    return "\n".join(parts)


def _list(sentences: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{_e(sentence)}</li>" for sentence in sentences) + "</ul>"


def _shown(pictures: list[Picture]) -> str:
    figures = [
        f'<figure><img alt="{_e(p.title)}" src="data:image/png;base64,{base64.b64encode(p.png).decode("ascii")}">'
        f"<figcaption>{_e(': '.join(text for text in (p.title, p.words) if text))}</figcaption></figure>"
        for p in pictures
    ]
    return figures[0] if len(figures) == 1 else f'<div class="shown">{"".join(figures)}</div>'


def _runs(runs: typing.Sequence[FoundRun]) -> str:
    rows, classes = [], ["failed" if run.status in STOPPED else "status" for run in runs]
    for run in runs:
        commands = ", ".join(dict.fromkeys(finished.result.command for finished in run.results))
        last = max((finished.time for finished in run.results), default=None)
        when = "" if last is None else f"{datetime.datetime.fromtimestamp(last):%Y-%m-%d %H:%M:%S}"
        devices = ", ".join(dict.fromkeys(f.result.device for f in run.results if f.result.device not in ("", "none")))
        rows.append([*map(_e, (run.label, run.status, commands)), when, _e(devices), "<br>".join(map(_e, run.summary))])
    titles = ("run", "status", "command", "last result", "computed on", "summary")
    shown = [k for k, column in enumerate(zip(titles, *rows)) if any(column[1:])]  # empty columns are left out
    head = "".join(f"<th>{titles[k]}</th>" for k in shown)
    lines = [
        "".join(f'<td class="{css if k == _STATUS else titles[k]}">{row[k]}</td>' for k in shown)
        for row, css in zip(rows, classes)
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
