# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: first sorting, aligned averages, more classes, until the classes stay; and a whole classification: its
levels one after the other, kept on the disk after each pass."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np
import torch

from ...io import files, messages
from .averages import FOLDS, ClassBank
from .matching import Detail, References, join_alike, match, members_of, onto_averages, seed_children
from .polar import rotated_yx
from .records import KEPT, Records

BATCH = 2048  # records in memory
FIRST_CLASSES = 256  # at most, before classes are split
FIRST_PER_CLASS = 40  # particles of each of them that are enough, and PER_CLASS until the last level
PER_CLASS = 150
MANY = 20  # classes: fewer must be broad, and are not chosen from narrow ones
TOO_MANY = (4, 3, 2, 1.5)  # times the wanted classes, the last only where no other fits: see `change_number`
FEWEST = 10  # particles of each class then
FIRST_EPOCHS, PAIRS_EPOCHS, LEVEL_EPOCHS = 6, 10, 2
CENTRED = 0.5  # of the shift that is found with the mean of all particles
SETTLED = 0.02  # of the particles change their class: then the classes stay
GAIN = 0.001  # relative gain of the mean score below which nothing more is learnt
EMPTY = 0.1  # of the mean count: a class with fewer members is given up, and the largest is split


@dataclasses.dataclass
class State:
    """What is known of the particles so far; the arrays are replaced, or written by the one loop that owns them.

    labels: (n,) int64 class from 0, -1 before the first comparison. phi: (n,) radians, shifts_yx: (n, 2) px: see
    matching.BestPoses. scores, margins: (n,)."""

    labels: np.ndarray
    phi: np.ndarray
    shifts_yx: np.ndarray
    scores: np.ndarray
    margins: np.ndarray

    @classmethod
    def of(cls, count: int) -> "State":
        """The State of so many particles before anything is known of them."""
        zeros = lambda *shape: np.zeros(shape, np.float32)
        return cls(np.full(count, -1), zeros(count), zeros(count, 2), zeros(count), zeros(count))


class Classification:
    """Particles being sorted. classes: their number in the end. reach_px: largest distance of a particle from its box's
    middle, px of the records."""

    def __init__(self, records: Records, classes: int, reach_px: float, seed: int, device: torch.device) -> None:
        self.records, self.grid, self.device = records, records.grid, device
        self.wanted, self.reach, self.seed = classes, reach_px, seed
        self.spread = reach_px / 2  # px, of the particles' distances from the middle, until it is learnt
        self.rng = np.random.default_rng(seed)
        self.state = State.of(len(records))
        self.folds = records.images * FOLDS // (records.images.max(initial=0) + 1)  # copies are in one part
        self.bank: ClassBank  # made by seed_first, or kept by a stopped run

    # ----- levels
    def levels(self) -> list[int]:
        """Numbers of classes. MANY begin with more than are wanted, since fewer would mix molecules for good; more than
        FIRST_CLASSES with fewer, each about half of the next. The last level is never the first."""
        most = min(FIRST_CLASSES, len(self.records) // FEWEST) * (self.wanted >= MANY)
        times = [each for each in TOO_MANY if self.wanted * each <= most]
        numbers = [int(self.wanted * each) // 2 * 2 for each in times[:-1] or times] + [self.wanted]  # even, for pairs
        while numbers[0] > FIRST_CLASSES or len(numbers) == 1:
            numbers.insert(0, min(numbers[0], max(FIRST_CLASSES, -(-numbers[0] // 2))))
        return numbers

    @property
    def mirrored(self) -> bool:
        """Whether the first classes are pairs of mirror images: if they are twice those wanted, or the most."""
        return self.levels()[0] >= min(2 * self.wanted, FIRST_CLASSES)

    def subset(self, level: int) -> np.ndarray:
        """Positions of the particles that a level is learnt from, spread over all."""
        count, levels = len(self.records), self.levels()
        if level == len(levels) - 1:
            return np.arange(count)
        enough = PER_CLASS * min(levels[level], self.wanted) if level else FIRST_PER_CLASS * levels[0]
        return np.unique(np.linspace(0, count - 1, min(count, max(2000, enough))).astype(int))

    def detail(self, level: int, last: bool) -> Detail:
        """How finely a level compares."""
        grid, first = self.grid, level == 0
        reach = min(self.reach, 2.0) if last else self.reach
        return Detail(
            rings=min(grid.rings, 10 if first else 14),
            orders=min(grid.orders, 12 if first else 18),
            angles=18 if first else 24,
            reach=reach,
            step=2.0 if reach > 3 else 1.0,
            candidates=2 if first else 3,
            spread=self.spread,
            near=last,
        )

    # ----- the start
    def centre(self, positions: np.ndarray) -> None:
        """Shift particles towards where the mean of all, which has no angles, fits best.

        It tells the centre only roughly, since no view is round: CENTRED of the way is nearest to the truth (measured
        on four molecules at SNR 0.1: correlation 0.63 with the true shifts, whose deviation it overstates by 1.3)."""
        few = min(4, self.grid.rings)  # and anywhere within reach: the mean is no likelier in the middle
        detail = dataclasses.replace(self.detail(0, False), rings=few, angles=1, step=1.0, candidates=1, spread=1e9)
        averages = self.bank_of(positions, np.zeros(len(self.records), int), 1).averages()
        averages[..., 1:] = 0
        references = References(self.grid, averages, detail)
        for part, samples, squared in self._batches(positions):
            found = match(samples, squared, torch.zeros(len(part), 2, device=self.device), references)
            self.state.shifts_yx[part] = CENTRED * found.shifts_yx.cpu().numpy()

    def seed_first(self, positions: np.ndarray, classes: int) -> None:
        """First classes of one particle or its mirror image each, to which the others are compared: groups made
        otherwise are all alike, and mix molecules for good. One particle says nothing of its signal, so all together
        say what it is."""
        seeds = np.sort(self.rng.choice(positions, classes // 2 if self.mirrored else classes, replace=False))
        labels = np.full(len(self.records), -1)
        labels[seeds] = np.arange(len(seeds))
        self.bank = self.bank_of(seeds, labels, classes)
        self.bank.mirrored = self.mirrored
        sums = [torch.zeros((), device=self.device)] * 3
        for part, samples, squared in self._batches(positions):
            power = self._aligned(part, samples).abs().square()
            sums = [a + b.sum(0) for a, b in zip(sums, (power, squared, squared.square()))]
        power, once, twice = sums
        signal = (power - once[:, None] * self.grid.noise_share.to(power)) / twice[:, None].clamp(min=1e-12)
        self.bank.first = self.bank.over_noise(signal)

    # ----- epochs
    def epoch(self, positions: np.ndarray, detail: Detail) -> tuple[float, float]:
        """Compare particles with all classes, part by part, and renew each part's sums at once. Returns the fraction of
        the particles that changed their class, and the mean score."""
        changed = 0
        for fold in range(FOLDS):
            mine = positions[self.folds[positions] == fold]
            if not len(mine):
                continue
            references = References(self.grid, self.bank.averages(without=fold), detail)
            self.bank.clear(fold)
            for part, samples, squared in self._batches(mine):
                before = self.state.labels[part].copy()
                labels, shifts, phi = self._place(part, samples, squared, references)
                self.bank.add(fold, labels, onto_averages(self.grid, samples, shifts, phi), squared)
                changed += int((self.state.labels[part] != before).sum())
        self.bank.first = None
        return changed / len(positions), float(self.state.scores[positions].mean())

    def learn_spread(self) -> None:
        """Learn how far the particles lie from the middle, from the better half: others are found anywhere."""
        known = self.state.labels >= 0
        better = known & (self.state.scores >= np.median(self.state.scores[known]))
        self.spread = max(0.5, float(np.sqrt(np.square(self.state.shifts_yx[better]).mean())))

    def _place(
        self, part: np.ndarray, samples: torch.Tensor, squared: torch.Tensor, references: References
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Find particles' classes and poses, and note them. Returns labels, shifts and phi."""
        state = self.state
        centres = torch.from_numpy(state.shifts_yx[part] * references.detail.near).to(self.device)
        found = match(samples, squared, centres, references)
        length = found.shifts_yx.norm(dim=1, keepdim=True).clamp(min=1e-6)
        shifts = found.shifts_yx * (self.reach / length).clamp(max=1.0)
        state.labels[part], state.phi[part] = found.labels.cpu().numpy(), found.phi.cpu().numpy()
        state.shifts_yx[part] = shifts.cpu().numpy()
        state.scores[part], state.margins[part] = found.scores.cpu().numpy(), found.margins.cpu().numpy()
        return found.labels, shifts, found.phi

    def assign_all(self, bank: ClassBank, tick: typing.Callable[[int], None], add: bool) -> None:
        """Assign all particles to the classes of a bank, which they are not in.

        bank: sums in even and odd parts. tick: called with numbers of particles. add: whether they are added to the
        bank, batch by batch, which then is this one's."""
        self.bank, counted = bank, int(bank.counts.sum())  # halves alternate over all particles
        for part, samples, squared in self._batches(np.arange(len(self.records))):
            averages = bank.averages()
            for fine in (False, True):
                self._place(part, samples, squared, References(self.grid, averages, self.detail(1, fine)))
            tick(len(part))
            if not add:
                continue
            aligned, labels = self._aligned(part, samples), torch.from_numpy(self.state.labels[part]).to(self.device)
            for odd in (0, 1):
                mine = torch.from_numpy((counted + self.records.images[part]) % 2 == odd).to(self.device)
                self.bank.add(odd, labels[mine], aligned[mine], squared[mine])

    def recentre(self, positions: np.ndarray) -> None:
        """Move each average so that its members lie around the middle of their boxes (what noise adds to an average
        says less of where its middle is), and learn how far they lie from it. Mirrored ones share their place."""
        if self.bank.mirrored:
            return self.learn_spread()
        state, phi = self.state, torch.from_numpy(self.state.phi[positions])
        labels = torch.from_numpy(state.labels[positions])
        seen = rotated_yx(torch.from_numpy(state.shifts_yx[positions]), -phi)
        counts = labels.bincount(minlength=self.bank.classes).clamp(min=1)[:, None]
        means = torch.zeros(len(counts), 2).index_add_(0, labels, seen) / counts
        self.bank.move(means.to(self.device))
        state.shifts_yx[positions] -= rotated_yx(means[labels], phi).numpy()
        self.learn_spread()

    # ----- more and fewer classes
    def change_number(self, positions: np.ndarray, classes: int) -> None:
        """As many classes as the next level has: the largest are split, or those given up that are missed least, whose
        members have others that are nearly as good. The last level's are made by joining those most alike."""
        self.bank.part_mirrors()
        labels, had = self.state.labels[positions], self.bank.classes
        if classes < had:
            if classes == self.wanted:
                kept = self._join()
            else:
                missed = np.bincount(labels, weights=self.state.margins[positions], minlength=had)
                kept = np.sort(np.argsort(-missed, kind="stable")[:classes])
            numbers = np.full(had + 1, -1)  # the last for particles without a class
            numbers[kept] = np.arange(classes)
            self.state.labels, self.bank = numbers[self.state.labels], self.bank.of(kept)
            return
        parents = np.argsort(-np.bincount(labels, minlength=had), kind="stable")[: classes - had]
        self.bank = self.bank.of(np.append(np.arange(had), parents))
        self._split(positions, {int(p): (int(p), had + i) for i, p in enumerate(parents)})

    def _join(self) -> np.ndarray:
        """Join classes until there are as many as wanted. Returns those that are left."""
        state, left = self.state, list(range(self.bank.classes))
        detail = dataclasses.replace(self.detail(1, True), candidates=1)
        for lost, kept, shift, phi in join_alike(self.bank, self.wanted, detail):
            mine = np.flatnonzero(state.labels == lost)
            state.shifts_yx[mine] += rotated_yx(shift, torch.from_numpy(state.phi[mine])).numpy()
            state.phi[mine] += phi.numpy()
            state.labels[mine] = kept
            left.remove(lost)
        return np.array(left)

    def refill(self, positions: np.ndarray) -> None:
        """Give up classes with hardly any members, and split the largest instead."""
        counts = np.bincount(self.state.labels[positions], minlength=self.bank.classes)
        empty = np.nonzero(counts < EMPTY * counts.mean())[0]
        large = np.argsort(-counts, kind="stable")[: len(empty)]
        self._split(positions, {int(p): (int(p), int(e)) for p, e in zip(large, empty) if counts[p] > 3})

    def _split(self, positions: np.ndarray, children: typing.Mapping[int, tuple[int, int]]) -> None:
        labels = np.full(len(self.records), -1)
        labels[positions] = self.state.labels[positions]
        for parent, pair in children.items():
            members = members_of(labels, parent, self.rng)
            for number in pair:
                self.bank.sums[:, number], self.bank.weights[:, number], self.bank.counts[:, number] = 0, 0, 0
            if len(members) < 2:
                continue
            samples, squared = self.records.read(members, self.device)
            folds = torch.from_numpy(self.folds[members])
            seed_children(self.bank, pair, folds, self._aligned(members, samples), squared)

    # ----- what they share
    def _batches(self, positions: np.ndarray) -> typing.Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
        for start in range(0, len(positions), BATCH):
            part = positions[start : start + BATCH]
            yield (part, *self.records.read(part, self.device))

    def _aligned(self, part: np.ndarray, samples: torch.Tensor) -> torch.Tensor:
        """`onto_averages` of particles in their present poses."""
        poses = (torch.from_numpy(x[part]).to(self.device) for x in (self.state.shifts_yx, self.state.phi))
        return onto_averages(self.grid, samples, *poses)

    def bank_of(self, positions: np.ndarray, labels: np.ndarray, classes: int) -> ClassBank:
        """The ClassBank of particles (positions) with these labels, (n,) of all records, in their present poses."""
        bank = ClassBank(self.grid, classes, self.device)
        for fold in range(FOLDS):
            for part, samples, squared in self._batches(positions[self.folds[positions] == fold]):
                bank.add(fold, torch.from_numpy(labels[part]).to(self.device), self._aligned(part, samples), squared)
        return bank


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
    elif last is None:
        positions = work.subset(now.level)
        work.centre(positions)
        work.seed_first(positions, now.classes)
    else:
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
