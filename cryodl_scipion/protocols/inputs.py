# SPDX-License-Identifier: GPL-3.0-or-later
"""What every protocol of the plugin has: its package's name, and the rule that a chosen input must be there."""

import contextlib
import json
import marshal
import os
import re
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple

import numpy as np
import psutil
from pwem.objects import EMSet
from pwem.protocols import EMProtocol
from pyworkflow.mapper.sqlite import SqliteFlatMapperException
from pyworkflow.object import Float, Integer, Object, Pointer, PointerList, Set
from pyworkflow.protocol import MODE_RESTART, STATUS_NEW, STATUS_RUNNING, FloatParam, IntParam, getProtocolFromDb
from pyworkflow.protocol.launch import _checkJobStatus as stateOfJob
from pyworkflow.utils.process import killWithChilds

from ..convert import maps, reading
from ..convert.arriving import ALIVE, ID, STOPPED, UNDER_WAY, asInItsFile, fileOf, firstOf, stateOfRun
from ..convert.form import inFormWords
from ..convert.names import checksum, emptyFolder
from ..engine.cryodl import contract
from ..objects import CryodlAnnotations
from .checks import checkChosen

if TYPE_CHECKING:
    from pwem.protocols import EMProtocol as ProtocolMixin
else:
    ProtocolMixin = object  # a mixin stands before the Scipion class, which it must not inherit from

# Least value of the numbers on forms that the contract does not know; of the others 0.
_LEAST = dict(batchSize=1, streamingBatchSize=1, smallestBatch=1, firstParticles=1, boxSize=2)
_LONGEST_END = 60.0  # s that what was told to end may take: SLURM gives a job 30
_MADE = "outputs.json"  # in the run's folder: names of the outputs that it made
_THESE = "its outputs"  # of a run without this file
_NEVER = ", though it has"  # finished or failed
INPUTS, WRITTEN, DRAWN = "inputs", "inputs written", "annotations written"  # of settings; once less was noted
WITHOUT_OUTPUTS = (
    "*Finished without {names}*, lost when the run ended. Choose Continue: what is lost is made again from the files "
    "in the run's folder."
)


class KeepsOutputs(ProtocolMixin):
    """No run ends without its outputs. Mixin of all protocols of the plugin.

    pyworkflow (3.11.7) loses them in the last second of a run, at *Continue* after a false failure, and when a run is
    killed between noting a step as done and its outputs: benchmarks/pyworkflow_race.md."""

    _readsAgain = False

    def lostOutputs(self) -> List[str]:
        """Names of outputs that the run has made and has no more, by a note in its folder, not by the database."""
        made = self._noted()
        if made is not None:
            return [name for name in made if not self.hasAttribute(name)]
        # older than these notes, or nothing was made
        return [_THESE] if self.getPossibleOutputs() and not any(True for _ in self.iterOutputAttributes()) else []

    def _noted(self) -> Any:
        with contextlib.suppress(ValueError):  # a power cut can leave an empty one
            return reading.readJson(self._getPath(_MADE))
        return None

    def _defineOutputs(self, **outputs: Any) -> None:
        contract.write_json(self._getPath(_MADE), list(dict.fromkeys([*(self._noted() or ()), *outputs])))
        super()._defineOutputs(**outputs)

    def deleteOutput(self, output: Any) -> None:
        contract.write_json(self._getPath(_MADE), sorted({*(self._noted() or ())} - {self.findAttributeName(output)}))
        super().deleteOutput(output)

    def checkSummaryWarnings(self) -> None:
        """Called whenever a project is read, before its runs are brought up to date."""
        super().checkSummaryWarnings()
        if self.isInteractive() and self.getStatus() in UNDER_WAY:
            self.lastUpdateTimeStamp.set(None)  # its process is never looked for, so its last words are read again
        if self.isFinished() and self.lostOutputs():
            self.addSummaryWarning(WITHOUT_OUTPUTS.format(names=" and ".join(self.lostOutputs())))

    def setFailed(self, msg: str) -> None:
        """Note a failure. Another process that misses the one of this run reads run.db again before it believes so. A
        scheduler gives its inputs no project: it believes so, and reads run.db again at its next look."""
        if self._stepsExecutor is None and self.isActive() and not self._readsAgain:
            self._readsAgain = True
            try:
                self.lastUpdateTimeStamp.set(None)
                if self._isWatched():
                    self.getProject()._updateProtocol(self)  # comes here again if the run has died
            finally:
                self._readsAgain = False
            if self._isWatched() or self.getStatus() not in UNDER_WAY:
                return
        told = _plain(msg).strip()
        if re.fullmatch(r"'[^']*'|\S*", told):  # of an exception that has no sentence, such as a KeyError
            told = f"The run stopped at a fault of the program ({told or 'no message'}). Its log says where; report it."
        # as SQLite says it
        more = ". Make room, then choose Continue: finished work is kept." if told.endswith("disk is full") else ""
        super().setFailed(inFormWords(self, told) + more)

    def setAborted(self) -> None:
        if not self.isFinished():  # pyworkflow calls one aborted that ended just before it was stopped
            super().setAborted()

    def _isWatched(self) -> bool:
        """Whether there is a process or a job by which pyworkflow sees whether the run works."""
        return self.getProject() is not None and bool(self.getPid() or len(self.getJobIds()))

    def makePathsAndClean(self) -> None:
        """Called when the run is started or scheduled, before the project's database is copied over run.db."""
        if os.path.exists(self.getDbPath()):
            self._takeOver()
            # their numbers in run.db would be missed, and the run that is scheduled would count as failed
            self.cleanExecutionAttributes(includeSteps=False)
            self._store(self._jobId, self._pid)
        super().makePathsAndClean()
        self._forgetOtherOutputs()

    def _forgetOtherOutputs(self) -> None:
        """Remove the outputs of a start with other settings, before a run is continued: they would stay beside the new
        ones where these make fewer, and mean files that are written anew. It is done here, as a project keeps what a
        run itself removes. What the engine made of other inputs goes as well: their files may have the same names."""
        before = self._settingsBefore()
        if before is None or self._unresolvedInputs():
            return
        now = json.loads(json.dumps(self._settings(), default=lambda _: None))
        if before != now:
            for _, old in list(self.iterOutputAttributes()):
                self.deleteOutput(old)
            os.remove(self.getStepsFile())
        if any(before.get(key, now.get(key)) != now.get(key) for key in (INPUTS, WRITTEN, DRAWN)):
            emptyFolder(self._getExtraPath())

    def _settingsBefore(self) -> Any:
        steps = self._stepsBefore() if os.path.exists(self.getStepsFile()) else []
        made = [json.loads(step.argsStr.get())[0] for step in steps if step.funcName == "createOutputStep"]
        return made[-1] if made else None

    def _takeOver(self) -> None:
        """End what still works on this run, though a window may call it failed, and take the outputs that it made."""
        try:
            ended = getProtocolFromDb(self.getProject().path, self.getDbPath(), self.getObjId())
        except Exception as error:  # a damaged one is overwritten as always; pyworkflow raises nothing more exact
            self.warning(f"{self.getDbPath()} cannot be read ({error}); outputs that only it knows are made again.")
            return self._endWork(self)
        self._endWork(ended)
        if self.getRunMode() != MODE_RESTART:
            self._takeOutputs(ended)
        ended.getProject().closeMapper()
        ended.closeMappers()

    def cleanWorkingDir(self) -> None:
        """Called also when the run is deleted: what still works on it would make its folder anew."""
        self._endWork(self)
        super().cleanWorkingDir()

    def _endWork(self, known: EMProtocol) -> None:
        """End the run's process here and its jobs: two would write the same files. known: the run with its jobs."""
        numbers = filter(str.isdigit, map(str, known.getJobIds() if self.useQueue() else ()))
        jobs = [job for job in numbers if self._isJobOfThisRun(job)]
        working = [process for process in psutil.process_iter(["cmdline"]) if self._isOfThisRun(process)]
        for process in filter(psutil.Process.is_running, working):  # not another one that got its number meanwhile
            self.warning(f"{self.getRunName()} was still at work: its process {process.pid} is ended first.")
            with contextlib.suppress(psutil.Error):
                killWithChilds(process.pid)
        for job in jobs:
            subprocess.run(self.getHostConfig().getCancelCommand() % {"JOB_ID": job}, shell=True, check=False)
        end = time.monotonic() + _LONGEST_END
        _, alive = psutil.wait_procs(working, timeout=_LONGEST_END)
        while time.monotonic() < end and any(stateOfJob(self.getHostConfig(), j) == STATUS_RUNNING for j in jobs):
            time.sleep(1)
        left = [f"process {process.pid}" for process in alive] + [
            f"job {job}" for job in jobs if stateOfJob(self.getHostConfig(), job) == STATUS_RUNNING
        ]
        if left:
            raise RuntimeError(
                f"{self.getRunName()} is still at work ({', '.join(left)}) and could not be ended in "
                f"{_LONGEST_END:.0f} s; a second start would write the same files. End it, then start the run again."
            )

    def _isOfThisRun(self, process: psutil.Process) -> bool:
        words = {*(process.info["cmdline"] or [])}
        return (
            process.pid != os.getpid()
            and {self.getProject().path, self.getDbPath()} < words
            and any(word.endswith("pw_protocol_run.py") for word in words)
        )

    def _isJobOfThisRun(self, job: str) -> bool:
        """Whether it works and, where SLURM tells its script, is this run's: a queue gives numbers again, and another
        cluster, to which the project was copied, has its own."""
        script = re.search("Command=(.+)", subprocess.getoutput(f"scontrol show job {job}"))
        ours = script is None or os.path.realpath(os.path.dirname(script[1])) == os.path.realpath(self._getLogsPath())
        return ours and stateOfJob(self.getHostConfig(), job) == STATUS_RUNNING

    def _takeOutputs(self, ended: EMProtocol) -> None:
        """Outputs of run.db, with what they were made of, that the project has not."""
        lost = [name for name, _ in ended.iterOutputAttributes() if not self.hasAttribute(name)]
        if lost:
            label, comment = self.getObjLabel(), self.getObjComment()
            others = [name for name, _ in ended.getAttributes() if name not in lost]
            copies = Object.copy(self, ended, copyId=False, ignoreAttrs=others)
            self.setObjLabel(label)
            self.setObjComment(comment)
            self._outputs.extend(lost)
            self._useOutputList.set(True)
            self._store()
            for relation in ended.getRelations():
                if relation["object_child_id"] in copies:
                    self.mapper.insertRelationData(
                        relation["name"],
                        self.getObjId(),
                        relation["object_parent_id"],
                        copies[relation["object_child_id"]].getObjId(),
                        relation["object_parent_extended"],
                        relation["object_child_extended"],
                    )

    def _stepsBefore(self) -> List[Any]:
        """Steps of the last start. pyworkflow clears its list of steps table by table: a process that is killed between
        two of them leaves a file that nothing can read. The list is begun anew; the engine's finished work stays."""
        try:
            return self.loadSteps()
        except (SqliteFlatMapperException, sqlite3.DatabaseError):
            os.remove(self.getStepsFile())
            return []

    def _run(self) -> None:
        self._stepsBefore()
        super()._run()

    def _runSteps(self, doneSteps: int) -> None:
        """Run what is not done; the step that registers the outputs also when these were lost."""
        for step in self._stepsOfLostOutputs():
            self.info("Done before, but the outputs are missing: this step is done again.")
            step.setStatus(STATUS_NEW)
            step.setPrerequisites()  # they are done; what pyworkflow has read of them are no numbers
            doneSteps -= 1
        super()._runSteps(doneSteps)

    def _stepsOfLostOutputs(self) -> List[Any]:
        done = [step for step in self._steps if step.isFinished() and self.lostOutputs()]
        named = [step for step in done if step.funcName == "createOutputStep"]
        return named or (done[-1:] if len(done) == len(self._steps) else [])

    def _stepFinished(self, step: Any) -> bool:
        with self._lock:
            self.mapper.commit()
        return super()._stepFinished(step)


class _Typed(Object):
    """A number of a form that keeps a text which is none: Scipion takes it for an empty field, and says nothing."""

    wrong: Any = ""

    def _convertValue(self, value: Any) -> Any:
        self.wrong = value
        number = super()._convertValue(value)  # or an error, after which Scipion sets None
        self.wrong = ""
        return number


def ownObject(pointer: Pointer, default: Any = None) -> Any:
    """What a pointer points to; of an item of a set a copy: all of them are one object, that of the last one asked."""
    found, isItem = Pointer.get(pointer, default), pointer.getExtended().rpartition(".")[2].isdigit()
    return found.clone() if isItem and isinstance(found, Object) and not isinstance(found, Set) else found


# Of the same name, by which Scipion's databases know the class.
_FIELDS = {Number: type(Number.__name__, (_Typed, Number), {}) for Number in (Integer, Float)}
_FIELDS[Pointer] = type(Pointer.__name__, (Pointer,), dict(get=ownObject))


class PluginProtocol(KeepsOutputs):
    """Mixin of all protocols of the plugin; it stands before the Scipion class in the list of bases."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # pyworkflow hands over the label of a workflow's run, and its protocols do not take it
        if kwargs.get("objLabel"):
            self.setObjLabel(kwargs["objLabel"])

    def _createVarsFromDefinition(self, **kwargs: Any) -> None:
        self._presentNames: Dict[str, str] = {
            former: name
            for name, param in self._definition.iterParams()
            for former in getattr(param, "formerNames", ())
        }
        for _, param in self._definition.iterParams():
            param.paramClass = _FIELDS.get(param.paramClass, param.paramClass)
        super()._createVarsFromDefinition(**{self._presentNames.get(name, name): v for name, v in kwargs.items()})

    def __getattr__(self, name: str) -> Any:
        """The field that had this name in an earlier version. Scipion reads old projects by it."""
        present = self.__dict__.get("_presentNames", {}).get(name)
        if present is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self, present)

    def iterDefinitionAttributes(self) -> Iterator[Tuple[str, Any]]:
        """(name, value) of each field, again for each former name: workflows are read by these names."""
        yield from super().iterDefinitionAttributes()
        yield from ((former, getattr(self, name)) for former, name in self._presentNames.items())

    @classmethod
    def getClassPackageName(cls) -> str:
        """Forms put it before the threads of the program: "cryodl compute"."""
        return "cryodl"

    def getInputStatus(self) -> Tuple[bool, bool, bool]:
        """(False, waits for an open set, waits for an output to come), by which a form names and enables its button.
        pyworkflow's form asks when a pointer changes, not when a choice hides one that is empty: the button stayed
        grey, without a word. It is always enabled; what is missing is said when it is pressed."""
        return (False, *super().getInputStatus()[1:])

    def validate(self) -> List[str]:
        """Sentences for the form. A chosen input that does not exist yet is an error, never an empty field. Scipion's
        scheduler starts a run as soon as it validates: this also makes it wait for optional inputs. What is still wrong
        when all inputs are there and whole stays wrong, and so does a number that is none or too small: the run is
        started, and fails with the sentences, instead of waiting for ever in silence."""
        if self.isScheduled():
            self._readEndedInputsAgain()
        waits = self.isScheduled() and (
            self._stoppedInputs()
            or any(
                getattr(pointer.get(), "isStreamOpen", bool)()
                or getattr(pointer.getObjValue(), "isActive", bool)()
                or (pointer.get() is None and not _endedWithout(pointer.getObjValue()))
                for _, pointer in chosenInputs(self)
            )
        )
        return [] if self.isScheduled() and (self._mistyped() + self._tooSmall() or not waits) else self._wrong()

    def _wrong(self) -> List[str]:
        wrong = (
            self._mistyped() + self._tooSmall()
            or self._unresolvedInputs()
            or (self._stoppedInputs() if self.isScheduled() else [])
            or [sentence for _, one in chosenInputs(self) for sentence in checkChosen(one.get())]
        )
        return [inFormWords(self, sentence) for sentence in wrong or super().validate()]

    def _readEndedInputsAgain(self) -> None:
        """Read runs that have ended without the output that is waited for, or failed. pyworkflow notes the time of a
        run's database after it has read it: what the run writes in between it never reads, and would wait for ever."""
        project = self.getProject()
        for run, output in [(pointer.getObjValue(), pointer.get()) for _, pointer in chosenInputs(self)]:
            if project and isinstance(run, EMProtocol) and not run.isActive() and (output is None or run.isFailed()):
                run.lastUpdateTimeStamp.set(None)
                project._updateProtocol(run)

    def _stoppedInputs(self) -> List[str]:
        """A sentence for each set that is not whole though pyworkflow has closed it: its run died, was stopped, or was
        continued and has not written since. What Scipion knows of a run that was just killed is not up to date."""
        return [
            f"{self.getParam(name).label.get()}: the run '{pointer.getObjValue().getObjLabel()}' stopped before it "
            "finished. Continue it; this run waits for it."
            for name, pointer in chosenInputs(self)
            if isinstance(pointer.get(), Set) and self._isUnfinished(pointer)
        ]

    def _isUnfinished(self, pointer: Pointer) -> bool:
        run, state = pointer.getObjValue(), stateOfRun(pointer.get().getFileName())
        dead = _hasStopped(run) or getattr(run, "isAborted", bool)() or state == STOPPED
        return dead or (state == ALIVE and not self.worksInStreaming() and not pointer.get().isStreamOpen())

    def _mistyped(self) -> List[str]:
        return [
            f"{param.label.get()} is '{field.wrong}'; it must be a {'whole ' * isinstance(field, Integer)}number."
            for name, param in self.getDefinition().iterParams()
            for field in [getattr(self, name, None)]
            if isinstance(field, _Typed) and str(field.wrong).strip() and self.evalParamCondition(name)
        ]

    def _tooSmall(self) -> List[str]:
        """A sentence for each number that is too small, of those on the form that are not the contract's."""
        return [
            f"{param.label.get()} is {value:g}; it must be at least {least}."
            for name, param in self.getDefinition().iterParams()
            if isinstance(param, (IntParam, FloatParam)) and not hasattr(param, "formerNames")
            for value, least in [(getattr(self, name).get(), _LEAST.get(name, 0))]
            if value is not None and value < least and self.evalParamCondition(name)
        ]

    def _unresolvedInputs(self) -> List[str]:
        return [
            f"{self.getParam(name).label.get()}: the run "
            f"'{pointer.getObjValue().getObjLabel() or pointer.getObjValue()}' has no output {pointer.getExtended()}"
            f"{_whyNone(pointer.getObjValue())}, or choose another input."
            for name, pointer in chosenInputs(self)
            if pointer.get() is None
        ]

    def summary(self) -> List[str]:
        """Scipion's summary. A run that waits for one that died says so first: it looks like one at work. So does a
        scheduled one: what it waits for may be a form that stays wrong."""
        before = (pointer.getObjValue() for _, pointer in chosenInputs(self) if self.isActive())
        stopped = {run.getObjId(): run for one in before for run in _died(one)}
        wrong = self._wrong() if self.isScheduled() and not stopped else []
        return [
            f"*Waits for the run '{run.getRunName()}', which stopped before it finished.* "
            f"{_plain(run.getErrorMessage())}\nContinue that run, or change its form and restart it: this one goes on "
            "by itself. To go on with what is there, or with another input, stop this run and continue it."
            for run in stopped.values()
        ] + [inFormWords(self, line) for line in [*map("*Not started yet:* {}".format, wrong), *super().summary()]]

    def _citations(self) -> List[str]:
        return ["cryodl"]

    def _getCiteText(self, cite: Dict[str, str], useKeyLabel: bool = False) -> str:
        return re.sub("[{}]", "", super()._getCiteText(cite, useKeyLabel))  # BibTeX's, which keep a name together


class WithoutEngine:
    """Mixin of protocols that do not run the engine; it stands first in the list of bases."""

    @classmethod
    def validateInstallation(cls) -> List[str]:
        """No problems: these protocols can be used before the engine is installed."""
        return []


def chosenInputs(protocol: EMProtocol) -> Iterator[Tuple[str, Pointer]]:
    """(field, pointer) of all inputs that a form shows and that are chosen, also where the output is still to come; a
    list of pointers gives each of its own. The form may be filled in part."""
    for name, _ in protocol.getDefinition().iterParams():
        field = getattr(protocol, name, None)
        for pointer in list(field) if isinstance(field, PointerList) else [field]:
            if isinstance(pointer, Pointer) and pointer.hasValue() and protocol.evalParamCondition(name):
                yield name, pointer


def writtenAt(items: Any, noted: Any = None) -> List[Any]:
    """What tells a set from another one in a file of its name: which of the file's, beginningOf, and which items are
    unticked. Of a map or model: the size of the file, and what its middle holds; of annotations, of their table
    and tomograms, too. noted: of an earlier look, as beginningOf."""
    if isinstance(items, CryodlAnnotations):
        folder, paths = items.getFolder(), {tile.path for tile in contract.read_tiles(items.getFolder()) if tile.path}
        return [contentOf(path) for path in (os.path.join(folder, contract.annotations.TABLE), *sorted(paths))]
    if not isinstance(items, Set):
        return contentOf(maps.structureFileOf(items)) + [getattr(items, "getIndex", int)()] * maps.isOneOfStack(items)
    begins, unticked = beginningOf(items, noted[1] if noted else None), [(number,) for number in untickedIn(items)[1]]
    told = [(items.getPrefix() or "").strip(), begins, checksum(*unticked)]
    return told[: len(noted)] if noted else told  # earlier versions did not note what was unticked


def untickedIn(items: EMSet, after: int = 0) -> Tuple[int, List[int]]:
    """The last number of a set's items, and those after another that are unticked in Scipion's table."""
    there, where = fileOf(items) is not None and asInItsFile(items), f"enabled=0 AND {ID}>{after}"
    found = (items._getMapper().maxId() or 0, sorted(items.getUniqueValues(ID, where))) if there else (0, [])
    items.close()  # it holds a lock
    return found


def contentOf(path: str) -> List[int]:
    """The size of a file, and what its middle holds."""
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    return [size, zlib.crc32(np.fromfile(path, "u1", 2**20, offset=max(0, size // 2 - 2**19)).data) if size else 0]


def beginningOf(items: EMSet, noted: Any = None) -> Any:
    """[when the first item of a set came, the last id, checksums of the items to this one and of the first one's file];
    None of an empty set. noted: of an earlier look, which is given again if the set still begins with the same items,
    though they came anew: a run makes lost outputs again, or is restarted."""
    if fileOf(items) is None or not asInItsFile(items):
        return None
    items.close()  # it holds a lock
    place = f"{Path(items.getFileName()).absolute().as_uri()}?mode=ro"
    when, last, *held = noted if isinstance(noted, list) else (noted, sys.maxsize)
    number = content = 0
    with contextlib.closing(sqlite3.connect(place, uri=True, timeout=10)) as connection:
        # the members of classes have tables of their own
        found = connection.execute("SELECT name FROM sqlite_master WHERE name GLOB '*Objects' ORDER BY name")
        names = [name for (name,) in found]
        times = [connection.execute(f"SELECT min(creation) FROM {name}").fetchone()[0] for name in names]
        first = min(filter(None, times), default=None)
        if first in (None, when):
            return noted if first == when else first
        for name in names:
            rows = connection.execute(f"SELECT * FROM {name} WHERE id<=? ORDER BY id", (last,))
            came = [column for column, *_ in rows.description].index("creation")
            for row in rows:
                same = marshal.dumps(row[:came] + row[came + 1 :], 2)  # of the same numbers and texts
                number, content = max(number, row[0]), zlib.crc32(same, content)
    holds = [content, contentOf(getattr(firstOf(items), "getFileName", str)() or "")]
    return noted if held == holds else [first, number, *holds]


def _hasStopped(run: Any) -> bool:
    """Whether a run died before its end, or lost its outputs, and was not continued; Scipion may know less."""
    if not isinstance(run, EMProtocol):
        return False
    state = stateOfRun(run._getPath("")) if run.hasObjId() else None
    lost = isinstance(run, KeepsOutputs) and run.isFinished() and bool(run.lostOutputs())
    return lost or state == STOPPED or (run.isFailed() and state != ALIVE)


def _died(run: Any) -> Iterator[EMProtocol]:
    """A run, if it died before its end; if it waits, those that died of the runs for which it waits, or they do."""
    if _hasStopped(run):
        yield run
    elif isinstance(run, EMProtocol) and run.isScheduled():
        for _, pointer in chosenInputs(run):
            yield from _died(pointer.getObjValue())


def _endedWithout(run: Any) -> bool:
    """Whether a run finished, or failed for want of an output of such a one: what it has not got will never come."""
    if isinstance(run, EMProtocol) and run.isFailed():
        return _NEVER in run.getErrorMessage()  # its inputs may be out of date, what it said is not
    return isinstance(run, EMProtocol) and run.isFinished() and not _hasStopped(run)


def _plain(told: Any) -> str:
    return re.sub("\x1b\\[[0-9;]*m|Protocol failed: ", "", str(told))  # pyworkflow's colours, of a terminal


def _whyNone(run: Any) -> str:
    if _endedWithout(run) and run.isFailed():  # of a chain each names the first, which says why
        told = run.getErrorMessage()
        first = re.search("because the run '(.+?)' made none", told) or re.search("the run '(.+?)' has no output", told)
        return f"{_NEVER} failed, because the run '{first[1] if first else ''}' made none. Start that with other values"
    if _endedWithout(run):
        return f"{_NEVER} finished. {' '.join(run.summary())} Start it with other values (Restart, if it was deleted)"
    for died in _died(run):
        who = "it" if died is run else f"the run '{died.getRunName()}'"
        why = _plain(died.getErrorMessage()).strip().rstrip(".") or "Its log says why"
        return f" yet: {who} stopped before it finished. {why}. Continue it"
    return " yet. Wait until it has finished"


def classOf(pointer: Pointer) -> type:
    """Class of what a pointer points to; of an output still to come, the one that its run announces; NoneType if
    nothing is known, also of an empty pointer."""
    found, run = pointer.get(), pointer.getObjValue()
    coming = run.iterOutputAttributes(includePossible=True) if found is None and run is not None else ()
    return dict(coming).get(pointer.getExtended(), type(found))
