# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs and picks on them, also of several programs, and other items, of sets that may still be growing."""

import contextlib
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set

from pwem.objects import CTFModel, EMSet, Micrograph, SetOfCoordinates, SetOfCTF, SetOfImages, SetOfMicrographs
from pwem.protocols.protocol_align_movies import OUT_MICS_EVEN, OUT_MICS_ODD
from pyworkflow.object import Pointer
from pyworkflow.object import Set as AnySet
from pyworkflow.protocol import STATUS_FAILED, STATUS_LAUNCHED, STATUS_RUNNING, STATUS_SCHEDULED
from pyworkflow.utils import isProcessAlive, makePath

from .form import sayIf
from .micrographs.picks import anyScoreOf, micrographsByName, scaled, writePicks
from .names import NamesOnce, repeatedNames
from .reading import ENABLED

RUN = re.compile(r"(?:.*/)?Runs/(\d+)_([^/]+)/")
UNDER_WAY = (STATUS_LAUNCHED, STATUS_RUNNING, STATUS_SCHEDULED)
ALIVE, STOPPED = "alive", "stopped"
LONGEST_WAIT = 12 * 3600.0  # s: a run that died in the evening can be continued in the morning
# what is said of a program that was killed: continued, the run goes on; what else failed waits for somebody's hand
_KILLED = re.compile(r"\bsignal \d|\bSIG[A-Z]{3,}|exit status 1[34]\d\b|not found running|stopped in the queue")
_NAMES = re.compile(r"(?<![\w'])'.+?'(?!\w)")  # of runs and files, which may look like a signal's
_FIRST = re.compile(r"because the run '(.+?)' failed\. Continue it")


class StreamEnd:
    """Looks at one growing set again and again. longest: s to wait when its run has died."""

    def __init__(self, longest: float = LONGEST_WAIT) -> None:
        self._longest, self._seenOpen = longest, False
        self._stoppedSince: Optional[float] = None

    def of(self, items: EMSet) -> bool:
        """Whether no more items can come. items: the set as its file is now. A set that was closed at the first look is
        taken as it is, also if the run that made it has stopped: whoever starts a run on it wants what is there. Raises
        ValueError if the run that makes it failed, or died and was not continued."""
        state, closed = stateOfRun(items.getFileName()), items.isStreamClosed()
        if closed and (state is None or (state == STOPPED and not self._seenOpen)):
            return True
        self._seenOpen = self._seenOpen or not closed
        if state == STOPPED:
            self._wait(items.getFileName())
        else:
            self._stoppedSince = None
        return False

    def _wait(self, path: str) -> None:
        if failed := failedRun(path):
            raise ValueError(
                f"{path}: no more can come, because the run '{failed}' failed. Continue it and all that depend on it: "
                "nothing is made again. To go on with what is there, continue this run alone."
            )
        if self._stoppedSince is None:
            self._stoppedSince = time.monotonic()
            print(
                f"{path}: the run that makes this set stopped before it finished. Continue it; this run waits "
                f"{self._longest / 3600:.3g} hours for it, and then stops. To process only the items available, stop "
                "this run and continue it.",
                flush=True,
            )
        elif time.monotonic() - self._stoppedSince > self._longest:
            raise ValueError(
                f"{path}: the run that makes this set stopped before it finished and was not continued for "
                f"{self._longest / 3600:.3g} hours. Continue it, then this run: nothing is made again. To go on with "
                "what is there, continue this run alone."
            )


def stateOfRun(path: Optional[str]) -> Optional[str]:
    """Of the run in whose folder a file is: ALIVE or STOPPED before its end; None if it ended, or if there is none."""
    noted = _noted(path)
    status, pid = noted.get("status"), int(noted.get("_pid") or 0)
    if status not in (STATUS_FAILED, *UNDER_WAY):  # it finished, or somebody stopped it on purpose
        return None
    # a run in a queue has no process of this machine
    return STOPPED if status == STATUS_FAILED or (pid and not isProcessAlive(pid)) else ALIVE


def failedRun(path: str) -> Optional[str]:
    """Name of the run in whose folder a file is, if it failed; if for want of another one's items, of that. None if it
    did not fail, or because a program was killed."""
    noted = _noted(path)
    error, first = noted.get("_error") or "", _FIRST.search(noted.get("_error") or "")
    failed = noted.get("status") == STATUS_FAILED and error and not _KILLED.search(_NAMES.sub("", error))
    return (first[1] if first else noted["label"] or path) if failed else None


def _noted(path: Optional[str]) -> Dict[str, Any]:
    """Status, process number, error and label of the run in whose folder a file is; {} without a readable database."""
    run = RUN.match(path or "")
    if run is None or not os.path.exists(os.path.join(run.group(), "logs", "run.db")):
        return {}
    place, number = f"{Path(run.group(), 'logs', 'run.db').absolute().as_uri()}?mode=ro", int(run[1])
    asked = "SELECT name, value FROM Objects WHERE name IN (?, ?, ?) UNION SELECT ?, label FROM Objects WHERE id=?"
    names = [f"{number}.{name}" for name in ("status", "_pid", "_error")]
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=10)) as connection:
            rows = connection.execute(asked, (*names, ".label", number)).fetchall()
    except sqlite3.Error:
        return {}
    return {name.partition(".")[2]: value for name, value in rows}


ID = "id"


class ReadOnce:
    """Items of a growing set by their names; an update reads the new ones alone."""

    def __init__(self, source: EMSet, nameOf: Callable[[Any], str]) -> None:
        self.byName: Dict[str, Any] = {}
        self.ids: Dict[str, int] = {}
        self._source, self._nameOf, self._last = source, nameOf, -1
        self._end, self.closed = StreamEnd(), False

    def update(self) -> bool:
        """Read what is new. Returns whether no more can come, or raises why, as StreamEnd."""
        current = reopened(type(self._source), self._source)
        try:
            self.closed = self._end.of(current)
            return self.closed
        finally:
            size = current.getSize()
            if size != len(self.byName):
                self._read(current, f"id>{self._last}")
            if size != len(self.byName):  # items were added with lower ids, or others stand there now
                self.byName, self.ids = {}, {}
                self._read(current, "1")
            current.close()

    def _read(self, current: EMSet, where: str) -> None:
        for item in current.iterItems(where=where):
            name = self._nameOf(item)
            self.byName[name], self.ids[name] = item.clone(copyEnable=True), item.getObjId()
            self._last = max(self._last, item.getObjId())


class ColumnOnce:
    """The values of one attribute of the items of a growing set. A look reads the new rows alone."""

    def __init__(self, attribute: str) -> None:
        self._attribute, self._file = attribute, None  # type: str, Any
        self._forget()

    def _forget(self) -> None:
        self._values: Set[Any] = set()
        self._count, self._last = 0, -1

    def update(self, items: Optional[EMSet]) -> Set[Any]:
        """The values by now, not to be changed. items: the set, whose file may not be there yet; it is closed again."""
        file = fileOf(items)
        if file != self._file:
            self._file = file
            self._forget()
        if items is None or file is None:
            return set()
        if asInItsFile(items) and items.getSize() != self._count:
            self._read(items, f"{ID}>{self._last}")
            if items.getSize() != self._count:  # rows were added with lower ids, or others stand there now
                self._forget()
                self._read(items, "1")
        items.close()
        return self._values

    def _read(self, items: EMSet, where: str) -> None:
        if self._attribute == ID:
            ids = values = items.getUniqueValues(ID, where)
        else:
            columns = items.getUniqueValues([ID, self._attribute], where)
            ids, values = columns[ID], columns[self._attribute]
        self._values.update(values)
        self._count += len(ids)
        self._last = max([self._last, *ids])


def fileOf(items: Optional[EMSet]) -> Any:
    """What tells a set's file apart from another one, also from one of its name; None while there is none."""
    path = "" if items is None else items.getFileName()
    return (path, os.stat(path).st_ino) if os.path.exists(path) else None


def firstOf(items: EMSet, where: str = "1") -> Any:
    """The first item or None. The set's own getFirstItem can leave a lock that hinders the run which makes the set."""
    wasClosed, first = items._mapper is None, next(iter(AnySet.iterItems(items, limit=1, where=where)), None)
    if wasClosed:
        items.close()
    return first


def reopened(SetClass: type, growing: EMSet) -> EMSet:
    current = SetClass(filename=growing.getFileName())
    asInItsFile(current)
    return current


def asInItsFile(items: EMSet) -> bool:
    """Whether the file of a set holds anything; if so, the set has the size and properties that are there. pyworkflow
    makes the tables with the first item: the file of a set that began with none has none."""
    try:
        items.loadAllProperties()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return False
    return True


class Arriving:
    """What a run works on while it arrives. A child gives update, which sets closed, or raises as StreamEnd."""

    closed, failure = False, None  # type: bool, Optional[ValueError]
    update: Callable[[], Any]

    def look(self) -> bool:
        """Update; whether no more can come. failure: why, if a run failed; what came before is there."""
        self.failure = None
        try:
            self.update()
        except ValueError as error:
            self.failure = error
        return self.closed or self.failure is not None


def allEnded(looks: Sequence[Callable[[], bool]]) -> bool:
    """Whether no more can come from any of several sets. looks: at each, as ReadOnce.update. Raises why one's run
    failed once the others have ended: until then they bring what belongs to items that came before."""
    ended, failures = True, []  # type: bool, List[ValueError]
    for look in looks:
        try:
            ended = look() and ended
        except ValueError as error:
            failures.append(error)
    if ended and failures:
        raise failures[0]
    return ended


class ArrivingItems(Arriving):
    """Items of a growing set by their names. source: the set, whose file is read anew by update(); the caller keeps
    threads apart. nameOf: a function of an item."""

    def __init__(self, source: SetOfImages, nameOf: Callable[[Any], str] = Micrograph.getMicName) -> None:
        self._source, self._read, self._names = source, ReadOnce(source, nameOf), NamesOnce()

    def update(self) -> bool:
        self.closed = allEnded(self._looks())
        return self.closed

    def _looks(self) -> Any:
        return [self._read.update]

    def ready(self, known: Set[str]) -> List[str]:
        return [name for name, item in self._read.byName.items() if name not in known and item.isEnabled()]

    def items(self, names: Sequence[str]) -> Any:
        return [self._read.byName[name].clone() for name in names]

    def idsOfNames(self) -> Dict[int, str]:
        return {objId: name for name, objId in self._read.ids.items()}

    def engineNames(self) -> Dict[int, str]:
        """{item's id: name for the engine}, not to be changed."""
        return self._names.of(self._read.ids)


class ArrivingMicrographs(ArrivingItems):
    """micrographs: SetOfMicrographs. coordinates: SetOfCoordinates, matched by micrograph name, or None."""

    _picks: Any

    def __init__(self, micrographs: SetOfMicrographs, coordinates: Optional[SetOfCoordinates]) -> None:
        super().__init__(micrographs)
        self._picks, self.picked, self._picksClosed = coordinates, set(), coordinates is None
        self._pickedIds, self._picksEnd = ColumnOnce("_micId"), StreamEnd()
        if coordinates is not None:
            self._theirs = ReadOnce(coordinates.getMicrographs(), Micrograph.getMicName)

    def _looks(self) -> Any:
        # Picks first: those of a micrograph that arrives in between are seen at the next look.
        return [self._updatePicks] * (self._picks is not None) + super()._looks()

    def _updatePicks(self) -> bool:
        coordinates = reopened(SetOfCoordinates, self._picks)
        try:
            self._picksClosed = self._picksEnd.of(coordinates)
            return self._picksClosed
        finally:
            ids = self._pickedIds.update(coordinates)
            self.picked = {name for name, objId in self._theirIds().items() if objId in ids}

    def ready(self, known: Set[str]) -> List[str]:
        """As ArrivingItems; while picks are still coming, only micrographs that have some."""
        waiting = super().ready(known)
        return waiting if self._picksClosed else [name for name in waiting if name in self.picked]

    def writePicks(self, folder: str, micrographs: Sequence[Micrograph], like: Optional[ArrivingItems] = None) -> None:
        """Write <folder>/<micrograph>.star; empty where nothing was picked. like: whose names and pixels are taken."""
        if self._picks is None:
            return
        makePath(folder)
        like, found = like or self, self.coordinatesOn(micrographs)
        names, scale = like.engineNames(), self._picks.getMicrographs().getSamplingRate()
        scale /= like._source.getSamplingRate()
        for micrograph in micrographs:
            picks = [scaled(item.getPosition(), scale) + (anyScoreOf(item),) for item in found[micrograph.getMicName()]]
            writePicks(os.path.join(folder, names[micrograph.getObjId()] + ".star"), picks)

    def coordinatesOn(self, micrographs: Sequence[Micrograph]) -> Dict[str, Any]:
        """{micName: [Coordinate]} in the order of the files that writePicks writes."""
        theirs = self._theirIds()
        found = coordinatesOn(self._picks, [theirs[m.getMicName()] for m in micrographs if m.getMicName() in theirs])
        return {m.getMicName(): found.get(theirs.get(m.getMicName(), -1), []) for m in micrographs}

    def _theirIds(self) -> Dict[Any, int]:
        """{micName: id} of the coordinates' micrographs, which may be another set than the source."""
        with contextlib.suppress(ValueError):  # that its run failed is told of the set that is worked on
            self._theirs.update()
        return self._theirs.ids


class PickedMicrographs(ArrivingMicrographs):
    """Micrographs with picks on them, and with a CTF where CTFs are given: SetOfCTF, matched by micrograph name."""

    def __init__(self, micrographs: SetOfMicrographs, coordinates: SetOfCoordinates, ctfs: SetOfCTF) -> None:
        super().__init__(micrographs, coordinates)
        self._ctfSet, self._readCtfs = ctfs, ReadOnce(ctfs, micNameOf)

    def _looks(self) -> Any:
        return [self._readCtfs.update] * (self._ctfSet is not None) + super()._looks()

    def ready(self, known: Any) -> Any:
        """As ArrivingMicrographs; while CTFs are still coming, only micrographs that have one."""
        closed = self._ctfSet is None or self._readCtfs.closed
        return [name for name in super().ready(known) if closed or name in self._readCtfs.byName]

    def ctfsOf(self, names: Sequence[str]) -> Any:
        """{micName: CTFModel} of those that have one; None where no CTFs are given."""
        ctfs = self._readCtfs.byName
        found = {name: ctfs[name] for name in names if name in ctfs and not failedCtf(ctfs[name])}
        return None if self._ctfSet is None else found


def micNameOf(ctf: CTFModel) -> Any:
    """The name of a CTF's micrograph; None if its program noted none, where Scipion's own method raises an error."""
    return None if ctf._micObj is None else ctf.getMicrograph().getMicName()


def failedCtf(ctf: CTFModel) -> bool:
    """Whether a protocol noted that it found no CTF, by pwem's setWrongDefocus, or somebody unticked it in a table."""
    wrong = CTFModel()
    wrong.setWrongDefocus()
    return ctf.getDefocus() == wrong.getDefocus() or not ctf.isEnabled()


def coordinatesOn(growing: Any, ids: Sequence[int]) -> Any:
    """{micrograph id: [Coordinate, ...]} of some micrographs of a set of coordinates, in the set's order."""
    found, coordinates = {objId: [] for objId in ids}, reopened(SetOfCoordinates, growing)
    if ids and coordinates.getSize():
        # One pass over the file for all of them; Scipion's sets know no IN.
        for item in coordinates.iterItems(where=f"{ENABLED} AND _micId>={min(ids)} AND _micId<={max(ids)}"):
            if item.getMicId() in found:
                found[item.getMicId()].append(item.clone())
    coordinates.close()
    return found


def checkPicks(micrographs: SetOfMicrographs, coordinates: SetOfCoordinates) -> List[str]:
    if coordinates.getMicrographs() is None:
        return ["The coordinates are not linked to micrographs. Choose coordinates of a set of micrographs."]
    ours, theirs = {m.getMicName() for m in micrographs}, set(micrographsByName(coordinates))
    repeated = repeatedNames(coordinates.getMicrographs())
    return sayIf(
        repeated,
        f"Several micrographs of the coordinates have the same name: {', '.join(repeated[:3])}. Micrographs are "
        "matched by name; choose coordinates on micrographs with different names.",
    ) or sayIf(
        ours and theirs and not ours & theirs,
        f"The coordinates lie on other micrographs: theirs are {', '.join(sorted(theirs)[:3])}, those of this form are "
        f"{', '.join(sorted(ours)[:3])}. Micrographs are matched by name.",
    )


class MicrographsOfSets(ArrivingItems):
    """sets: matched by the names of their micrographs. The items are the micrographs of the first one."""

    def __init__(self, sets: Sequence[SetOfCoordinates]) -> None:
        super().__init__(sets[0].getMicrographs())
        self._sets = [ArrivingMicrographs(one.getMicrographs(), one) for one in sets]

    def _looks(self) -> Any:
        return [one.update for one in self._sets] + super()._looks()

    def ready(self, known: Set[str]) -> List[str]:
        """Names on which each set has picks. A closed set has none where it has none; its micrographs must be there."""
        there = [set(one.ready(known)) for one in self._sets]
        return [name for name in super().ready(known) if all(name in names for names in there)]

    def writePicks(self, folders: Sequence[str], micrographs: Sequence[Micrograph]) -> None:
        """Write <folder>/<micrograph>.star of each set, in pixels of the first one's micrographs; empty without."""
        for folder, one in zip(folders, self._sets):
            one.writePicks(folder, micrographs, self)


def halvesOf(micrographs: Pointer) -> Any:
    """(even, odd) SetOfMicrographs that the protocol of a pointer's micrographs made beside them; (None, None) if it
    did not. micrographs: pointer to a set."""
    source = micrographs.getObjValue() if micrographs.hasExtended() else None
    halves = tuple(getattr(source, name, None) for name in (OUT_MICS_EVEN, OUT_MICS_ODD))
    return halves if all(isinstance(half, SetOfMicrographs) for half in halves) else (None, None)


def checkHalves(
    micrographs: SetOfMicrographs, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]
) -> List[str]:
    """What is wrong with averages of even and odd frames for micrographs: sentences. even, odd: sets, or None."""
    if even is None and odd is None:
        return []
    if even is None or odd is None:
        return ["Even-frame averages and Odd-frame averages belong together: choose both, or leave both empty."]
    wrong: List[str] = []
    for word, half in (("even", even), ("odd", odd)):
        wrong += sayIf(
            abs(half.getSamplingRate() / micrographs.getSamplingRate() - 1) > 0.001,
            f"The averages of {word} frames have {half.getSamplingRate():g} Å/px and the micrographs "
            f"{micrographs.getSamplingRate():g} Å/px. Choose those of the same motion correction.",
        ) or checkOther(micrographs, half, f"average of {word} frames", "both averages")
    return wrong[:1]


def checkOther(micrographs: SetOfMicrographs, other: SetOfMicrographs, what: str, fields: str) -> List[str]:
    """What is wrong with a set that has more of the same micrographs: a sentence. what: of each; fields: the form's."""
    missing = sorted({m.getMicName() for m in micrographs} - {m.getMicName() for m in other})
    return sayIf(
        missing and other.isStreamClosed(),
        f"Micrographs without {what} ({len(missing)}): {', '.join(missing[:5])}. Micrographs are matched by name; "
        f"choose a subset of micrographs, or leave {fields} empty.",
    )


class MicrographsWithOthers(ArrivingMicrographs):
    """Micrographs that may still be arriving, each with those of its name in other sets, such as its averages of even
    and odd frames.

    others: SetOfMicrographs; None where there is none."""

    def __init__(self, micrographs: SetOfMicrographs, *others: Optional[SetOfMicrographs]) -> None:
        super().__init__(micrographs, None)
        self._others = [ReadOnce(other, Micrograph.getMicName) for other in others if other is not None]

    def _looks(self) -> Any:
        # The others first: those of a micrograph that arrives in between are seen at the next look.
        return [other.update for other in self._others] + super()._looks()

    def ready(self, known: Set[str]) -> List[str]:
        return [name for name in super().ready(known) if all(name in other.byName for other in self._others)]

    def others(self, names: Sequence[str]) -> Any:
        return [[other.byName[name].clone() for name in names] for other in self._others]
