# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of a project: by now, and as they grew."""

from __future__ import annotations

import dataclasses
import typing

from .runs import Finished, FoundRun

PICKING, CTF, CUTTING = ("pick", "auto-pick"), ("estimate-ctf",), ("extract-particles",)


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
    fits: dict[str, dict[str, float]] = {}
    for finished in finished_of(runs, *CTF):
        for name, values in _mapping(finished, "fits").items():
            if isinstance(values, dict) and all(isinstance(v, (int, float)) for v in values.values()):
                fits.pop(name, None)
                fits[name] = values
    return fits


def picks_of(runs: typing.Sequence[FoundRun]) -> dict[str, int]:
    """{micrograph: picks}, the last word on each, in the order in which they came."""
    return _counts(finished_of(runs, *PICKING))


def particles_of(runs: typing.Sequence[FoundRun]) -> dict[str, int]:
    """{micrograph: particles cut out}."""
    return _counts(finished_of(runs, *CUTTING))


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
    fits, picks, particles = ctf_fits(runs), picks_of(runs), particles_of(runs)
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
    words = [(title, f"{number:,}") for title, number in rows if isinstance(number, int) and number]
    return words + _map_rows(runs)


def _map_rows(runs: typing.Sequence[FoundRun]) -> list[tuple[str, str]]:
    found = finished_of(runs, "reconstruct")
    if not found:
        return []
    resolution = found[-1].result.outputs.get("resolution")
    return [("resolution (FSC 0.143)", f"{resolution:.3g} Å" if resolution else "not reached")]


def _mapping(finished: Finished, key: str) -> dict[str, typing.Any]:
    values = finished.result.outputs.get(key)
    return values if isinstance(values, dict) else {}


def _counts(found: list[Finished]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for finished in found:
        for name, number in _mapping(finished, "counts").items():
            counts.pop(name, None)
            counts[name] = number
    return counts


def _series(title: str, found: list[Finished], key: str, summed: bool) -> Series:
    known: dict[str, int] = {}
    times, totals = [], []
    for finished in found:
        for name, value in _mapping(finished, key).items():
            known[name] = value if summed else 1
        times.append(finished.time)
        totals.append(sum(known.values()))
    return Series(title, times, totals)
