# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of a project: by now, and as they grew. Problems that need attention, and remarks that do not."""

import dataclasses
import statistics
import time
import typing

from ...contract import counted, in_words, resolution_in_words, say_if
from ...io.files import lists_by_key
from .runs import STOPPED, Finished, FoundRun

PICKING, CTF, CUTTING = ("pick", "auto-pick"), ("estimate-ctf",), ("extract-particles",)
MAPS = ("reconstruct", "initial-map")
ORIENTED = ("assign-orientations", *MAPS)  # whose results tell of views


@dataclasses.dataclass(frozen=True)
class Series:
    """Something counted. times: when it had grown, seconds since 1970; totals: to how many."""

    title: str
    times: list[float]
    totals: list[int]


def finished_of(runs: typing.Sequence[FoundRun], *commands: str) -> list[Finished]:
    """Results of commands in all runs, oldest first."""
    found = [f for run in runs for f in run.results if f.result.command in commands]
    return sorted(found, key=lambda finished: finished.time)


def ctf_fits(runs: typing.Sequence[FoundRun]) -> dict[str, dict[str, float]]:
    """{micrograph: fit of its CTF}, the last word on each, in the order in which they came."""
    are_numbers = lambda fit: isinstance(fit, dict) and all(isinstance(v, (int, float)) for v in fit.values())
    return {name: fit for name, (fit, _) in last_words(runs, CTF, "fits").items() if are_numbers(fit)}


def picks_of(runs: typing.Sequence[FoundRun], commands: tuple[str, ...] = PICKING) -> dict[str, int]:
    """{micrograph: picks, or particles cut out}, the last word on each, in the order in which they came."""
    return {name: count for name, (count, _) in last_words(runs, commands, "counts").items()}


def last_words(
    runs: typing.Sequence[FoundRun], commands: tuple[str, ...], key: str
) -> dict[str, tuple[typing.Any, Finished]]:
    """{item: (value, whose)} of an output that has one for each, the last on each, in the order in which they came."""
    values: dict[str, tuple[typing.Any, Finished]] = {}
    for finished in finished_of(runs, *commands):
        for name, value in _mapping(finished, key).items():
            values.pop(name, None)
            values[name] = value, finished
    return values


def growth(runs: typing.Sequence[FoundRun]) -> list[Series]:
    """What grew: micrographs with a CTF, picked micrographs, picks, particles; only what there is."""
    series = [
        _series("micrographs with CTF", finished_of(runs, *CTF), "fits", False),
        _series("picked micrographs", finished_of(runs, *PICKING), "counts", False),
        _series("picks", finished_of(runs, *PICKING), "counts", True),
        _series("particles", finished_of(runs, *CUTTING), "counts", True),
    ]
    return [s for s in series if s.times]


def numbers_table(runs: typing.Sequence[FoundRun]) -> list[tuple[str, str]]:
    """(what, how many) for the head of the page; only what there is."""
    fits, picks, particles = ctf_fits(runs), picks_of(runs), picks_of(runs, CUTTING)
    rows: list[tuple[str, int | None]] = [
        ("micrographs with CTF", len(fits)),
        ("picked micrographs", len(picks)),
        ("picks", sum(picks.values())),
        ("particles cut out", sum(particles.values())),
    ]
    for command, key, title in (
        ("classify-2d", "count", "particles in 2-D classes"),
        ("assign-orientations", "count", "particles with orientations"),
        ("reconstruct", "count", "particles in the map"),
    ):
        found = finished_of(runs, command)
        rows += [(title, found[-1].result.outputs.get(key))] if found else []
    told = [(title, f"{number:,}") for title, number in rows if isinstance(number, int) and number]
    for made in [finished.result.outputs for finished in finished_of(runs, *MAPS)[-1:]]:
        row = ("resolution (FSC 0.143)", resolution_in_words(made.get("resolution") or None))
        told.append(("initial map", "not determined") if made.get("reasons") else row)
    return told


def _mapping(finished: Finished, key: str) -> dict[str, typing.Any]:
    values = finished.result.outputs.get(key)
    return values if isinstance(values, dict) else {}


def _series(title: str, found: list[Finished], key: str, summed: bool) -> Series:
    known: dict[str, int] = {}
    times, totals = [], []
    for finished in found:
        known.update(_mapping(finished, key) if summed else dict.fromkeys(_mapping(finished, key), 1))
        times.append(finished.time)
        totals.append(sum(known.values()))
    return Series(title, times, totals)


LATEST = 20  # micrographs that are compared with those before
SKIPPED = 0.1  # part of the micrographs from which on it is an alarm
FEWER, WORSE = 0.5, 1.3  # of the latest against the others: picks, and Å to which rings are seen
SILENT = 3600.0  # s without a result of a run that works
NOISE = 1.25  # the FSC of noise is near that of the data if it reaches this many times its resolution
NAMED = 10  # items that are named


def alarms_of(runs: typing.Sequence[FoundRun]) -> list[str]:
    """Sentences about what needs attention."""
    now, found = time.time(), []
    for run in runs:
        if run.status in STOPPED and run.behind is None:
            behind = ", ".join(one.label for one in runs if one.behind is run)
            what = f"{behind}: not determined, because {run.label}" if behind else f"{run.label}: the run"
            found.append(f"{what} {STOPPED[run.status]}{f': {run.error}' if run.error and not run.failures else '.'}")
        found += [f"{run.label}: {sentence}" for sentence in run.failures]
        last = max((finished.time for finished in run.results), default=None)
        if run.status == "running" and last is not None and now - last > SILENT:
            found.append(f"{run.label}: no new result for {(now - last) / 60:.0f} minutes, although the run is active.")
        left = skipped_of(run)
        done = sum(len(_names(finished)) for finished in run.results)
        if left and len(left) > SKIPPED * (len(left) + done):
            found.append(f"{run.label}: {len(left)} of {counted(len(left) + done, 'item')} were left out.")
    return found + _drifts(runs) + _noise(runs)


def warnings_of(runs: typing.Sequence[FoundRun]) -> list[str]:
    """What the commands warned of, each sentence once, in Scipion's words if there are some, and what they left out."""
    found = []
    for run in runs:
        said = [line.partition(": ")[2] for line in run.summary if line.startswith("Warning: ")] or dict.fromkeys(
            w for finished in run.results for w in finished.result.warnings if "for the reasons above" not in w
        )
        found += [f"{run.label}: {sentence}" for sentence in said]
        left = skipped_of(run)
        named = "; ".join(in_words(skipped) for skipped in left[:NAMED])
        more = f"; and {len(left) - NAMED} more" if len(left) > NAMED else ""
        found += [f"{run.label}: {len(left)} left out: {named}{more}"] if left else []
    return found + [sentence for commands in (CTF, PICKING, CUTTING) for sentence in _same_names(runs, commands)]


def _same_names(runs: typing.Sequence[FoundRun], commands: tuple[str, ...]) -> list[str]:
    """A sentence if several files have one name, or results in several folders that do not tell their files."""
    sources = lists_by_key((name, f.source(name)) for f in finished_of(runs, *commands) for name in _names(f))
    same = {name: sorted(set(found)) for name, found in sources.items() if len(set(found)) > 1}
    return [
        f"{', '.join(commands)}: for {counted(len(same), 'micrograph')} one name stands for several files, or for "
        f"results in several folders, such as {name}: {' and '.join(found[:2])}. The numbers take the last result of "
        "each name; if these are several data sets, report each by itself."
        for name, found in list(same.items())[:1]
    ]


def skipped_of(run: FoundRun) -> list:
    """Inputs that a run has left out and not done later."""
    left: dict[str, typing.Any] = {}
    for finished in run.results:
        for name in _names(finished):
            left.pop(name, None)
        left.update((skipped.item, skipped) for skipped in finished.result.skipped)
    return list(left.values())


def _names(finished: Finished) -> list[str]:
    return list(next(filter(None, (_mapping(finished, key) for key in ("counts", "metrics", "fits", "files"))), {}))


def _drifts(runs: typing.Sequence[FoundRun]) -> list[str]:
    """Sentences if the latest micrographs are unlike those before."""
    picks = list(picks_of(runs).values())
    (before, now), (earlier, latest) = (
        [statistics.median(part) if len(values) >= 2 * LATEST else 0 for part in (values[:-LATEST], values[-LATEST:])]
        for values in (picks, [f["resolution"] for f in ctf_fits(runs).values() if f.get("resolution")])
    )
    fewer = f"The last {LATEST} micrographs have {now:g} picks (median), earlier ones {before:g}."
    worse = (
        f"Thon rings of the last {LATEST} micrographs are fitted to {latest:.1f} Å (median), of earlier ones "
        f"to {earlier:.1f} Å."
    )
    return say_if(now < FEWER * before, fewer) + say_if(latest > WORSE * earlier, worse)


def _noise(runs: typing.Sequence[FoundRun]) -> list[str]:
    """A sentence if noise that was oriented likewise gives about the same FSC."""
    made = [finished.result.outputs for finished in finished_of(runs, "reconstruct")][-1:]
    near = [(m["noise_resolution"], m.get("resolution")) for m in made if m.get("noise_resolution")]
    return [
        f"The map's FSC reaches {f'{resolution:.3g} Å' if resolution else 'no further'}, and that of as many images of "
        f"noise, oriented in the same way, {noise:.3g} Å: the agreement of the half-maps is reference bias and not "
        "supported by the data."
        for noise, resolution in near
        if not resolution or noise < NOISE * resolution  # reconstruct tells none where nothing is beyond noise
    ]
