# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole classification: its levels one after the other, kept on the disk after each pass."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np
import torch

from ...io import files, messages
from .averages import ClassBank
from .classify import FIRST_EPOCHS, GAIN, LEVEL_EPOCHS, PAIRS_EPOCHS, SETTLED, Classification, State
from .records import KEPT, Records

MIN_EPOCHS = 4  # of the last level: the last two compare with finer shifts
COARSE_EPOCHS = 2  # of the last level, before that


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass over particles. level, epoch: from 0. classes: their number. changed: fraction of the particles that
    changed their class. score: mean."""

    level: int
    epoch: int
    classes: int
    changed: float = 1.0
    score: float = 0.0


def classify(
    records: Records,
    classes: int,
    reach_px: float,
    epochs: int,
    seed: int,
    device: torch.device,
    said: typing.Callable[[Classification, Pass], None],
    former: ClassBank | None = None,
) -> tuple[Classification, bool]:
    """Sort particles into classes. records: their folder keeps the state after each pass, from which a stopped run goes
    on. reach_px: largest distance of a particle from its box's middle, px of the records. epochs: passes of the last
    level at most. former: classes to start from, as many. Returns bool, whether the classes stay."""
    work = Classification(records, classes, reach_px, seed, device)
    last = _restored(work, records.folder / KEPT)
    while not _finished(last, work.levels(), epochs):
        now = _next(work, last, former is not None)
        _prepare(work, now, last, former)
        fine = _settles(now, work.levels()) and now.epoch >= COARSE_EPOCHS
        changed, score = work.epoch(work.subset(now.level), work.detail(now.level, fine))
        last = _with_gain(dataclasses.replace(now, changed=changed, score=score), last)
        _keep(work, last, records.folder / KEPT)
        said(work, last)
    if last is not None:
        work.recentre(work.subset(last.level))
    return work, last is not None and last.changed <= SETTLED


def _with_gain(last: Pass, before: Pass | None) -> Pass:
    """A pass that gained hardly any score changes nothing more, whatever its particles do between like classes."""
    if before is None or (before.level, before.classes) != (last.level, last.classes):
        return last
    if last.epoch > COARSE_EPOCHS and last.score < before.score * (1 + GAIN):
        return dataclasses.replace(last, changed=min(last.changed, SETTLED))
    return last


def _finished(last: Pass | None, levels: typing.Sequence[int], epochs: int) -> bool:
    if last is None or last.level < len(levels) - 1:
        return False
    return last.epoch + 1 >= (min(MIN_EPOCHS, epochs) if last.changed <= SETTLED else epochs)


def _settles(now: Pass, levels: typing.Sequence[int]) -> bool:
    """Whether the classes of this level stay, or are joined to those that do; the first level's never do."""
    joined = now.level == len(levels) - 2 and now.classes > levels[-1]
    return now.level > 0 and (joined or now.level == len(levels) - 1)


def _next(work: Classification, last: Pass | None, from_former: bool) -> Pass:
    levels = work.levels()
    if last is None:
        return Pass(len(levels) - 1, COARSE_EPOCHS, levels[-1]) if from_former else Pass(0, 0, levels[0])
    passes = MIN_EPOCHS if _settles(last, levels) else LEVEL_EPOCHS
    if last.level == 0:
        passes = PAIRS_EPOCHS if work.mirrored else FIRST_EPOCHS
    if last.level == len(levels) - 1 or last.epoch + 1 < passes:
        return Pass(last.level, last.epoch + 1, last.classes)
    return Pass(last.level + 1, 0, levels[last.level + 1])


def _prepare(work: Classification, now: Pass, last: Pass | None, former: ClassBank | None) -> None:
    """What is done to the classes before a pass; the same after a stop, since its random numbers are its own."""
    work.rng = np.random.default_rng((work.seed, now.level, now.epoch))
    if last is None and former is not None:
        work.assign_all(former, lambda done: None, add=False)
        work.bank = work.bank_of(work.subset(now.level), work.state.labels, now.classes)
        return
    if last is None:
        positions = work.subset(now.level)
        work.centre(positions)
        work.seed_first(positions, now.classes)
        return
    positions = work.subset(last.level)
    work.recentre(positions)
    if now.level > last.level:
        work.change_number(positions, now.classes)
    elif not work.bank.mirrored and now.epoch <= COARSE_EPOCHS + 1:  # afterwards the classes must be let settle
        work.refill(positions)


def _keep(work: Classification, done: Pass, path: str | os.PathLike[str]) -> None:
    with files.whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            **{f.name: getattr(work.state, f.name) for f in dataclasses.fields(State)},
            done=np.array([done.level, done.epoch, done.classes], int),
            figures=np.array([done.changed, done.score]),
        )


def _restored(work: Classification, path: Path) -> Pass | None:
    """The last finished Pass of a stopped run, its state given to `work`; None without one."""
    if not path.exists():
        return None
    kept = files.read_kept(path)
    done = Pass(*kept["done"].tolist(), *kept["figures"].tolist())
    if work.levels()[done.level : done.level + 1] != [done.classes]:
        messages.warn(f"{path} is of an earlier version, which took other numbers of classes: its passes begin anew.")
        return None
    work.state = State(*(kept[f.name] for f in dataclasses.fields(State)))
    work.bank = work.bank_of(work.subset(done.level), work.state.labels, done.classes)
    work.bank.mirrored = work.mirrored and done.level == 0
    return done
