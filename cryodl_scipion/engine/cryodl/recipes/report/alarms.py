# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems that need attention, and remarks that do not."""

from __future__ import annotations

import statistics
import time
import typing

from ...contract import counted, in_words
from .numbers import ctf_fits, finished_of, picks_of
from .runs import Finished, FoundRun

LATEST = 20  # micrographs that are compared with those before
SKIPPED = 0.1  # part of the micrographs from which on it is an alarm
FEWER, WORSE = 0.5, 1.3  # of the latest against the others: picks, and Å to which rings are seen
SILENT = 3600.0  # s without a result of a run that works
NOISE = 1.25  # the FSC of noise is near that of the data if it reaches this many times its resolution
NAMED = 10  # items that are named


def alarms_of(runs: typing.Sequence[FoundRun], now: float | None = None) -> list[str]:
    """Sentences about what needs attention. now: seconds since 1970; None: the time."""
    now = time.time() if now is None else now
    found = []
    for run in runs:
        if run.status in ("failed", "aborted"):
            found.append(f"{run.label}: the run {'failed' if run.status == 'failed' else 'was stopped'}.")
        found += [f"{run.label}: {sentence}" for sentence in run.failures]
        last = max((finished.time for finished in run.results), default=None)
        if run.status == "running" and last is not None and now - last > SILENT:
            found.append(f"{run.label}: no new result for {(now - last) / 60:.0f} minutes, although the run is active.")
        left = skipped_of(run)
        done = sum(_done(finished) for finished in run.results)
        if left and len(left) > SKIPPED * (len(left) + done):
            found.append(f"{run.label}: {len(left)} of {counted(len(left) + done, 'item')} were left out.")
    return found + _drifts(runs) + _noise(runs)


def warnings_of(runs: typing.Sequence[FoundRun]) -> list[str]:
    """What the commands warned of, each sentence once, and what they left out."""
    found = []
    for run in runs:
        said = dict.fromkeys(
            w for finished in run.results for w in finished.result.warnings if "for the reasons above" not in w
        )
        found += [f"{run.label}: {sentence}" for sentence in said]
        left = skipped_of(run)
        named = "; ".join(in_words(skipped) for skipped in left[:NAMED])
        more = f"; and {len(left) - NAMED} more" if len(left) > NAMED else ""
        found += [f"{run.label}: {len(left)} left out: {named}{more}"] if left else []
    return found


def malformed_of(runs: typing.Sequence[FoundRun]) -> list[str]:
    """Files that could not be read."""
    return [f"{run.label}: {sentence}" for run in runs for sentence in run.problems]


def skipped_of(run: FoundRun) -> list:
    """Inputs that a run has left out and not done later."""
    left: dict[str, typing.Any] = {}
    for finished in run.results:
        for name in _names(finished):
            left.pop(name, None)
        left.update((skipped.item, skipped) for skipped in finished.result.skipped)
    return list(left.values())


def _names(finished: Finished) -> list[str]:
    for key in ("counts", "metrics", "fits", "files"):
        values = finished.result.outputs.get(key)
        if isinstance(values, dict):
            return list(values)
    return []


def _done(finished: Finished) -> int:
    return len(_names(finished))


def _drifts(runs: typing.Sequence[FoundRun]) -> list[str]:
    """Sentences if the latest micrographs are unlike those before."""
    found = []
    picks, rings = (
        list(picks_of(runs).values()),
        [f["resolution"] for f in ctf_fits(runs).values() if f.get("resolution")],
    )
    if len(picks) >= 2 * LATEST:
        before, now = statistics.median(picks[:-LATEST]), statistics.median(picks[-LATEST:])
        if now < FEWER * before:
            found.append(f"The last {LATEST} micrographs have {now:g} picks (median), earlier ones {before:g}.")
    if len(rings) >= 2 * LATEST:
        earlier, latest = statistics.median(rings[:-LATEST]), statistics.median(rings[-LATEST:])
        if latest > WORSE * earlier:
            found.append(
                f"Thon rings of the last {LATEST} micrographs are fitted to {latest:.1f} Å (median), of earlier ones "
                f"to {earlier:.1f} Å."
            )
    return found


def _noise(runs: typing.Sequence[FoundRun]) -> list[str]:
    """A sentence if noise that was oriented likewise gives about the same FSC."""
    found = finished_of(runs, "reconstruct")
    if not found:
        return []
    made = found[-1].result.outputs
    noise, resolution = made.get("noise_resolution"), made.get("resolution")
    if not (noise and resolution and noise < NOISE * resolution):
        return []
    return [
        f"The map's FSC reaches {resolution:.3g} Å, and that of as many images of noise, oriented in the same way, "
        f"{noise:.3g} Å: the agreement of the half-maps is reference bias and not supported by the data."
    ]
