# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that work on micrographs or tomograms in batches as they arrive, and whose output sets grow."""

import glob
import json
import os
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import AtomStruct, EMSet, Image, SetOfMicrographs, Volume
from pwem.protocols import EMProtocol
from pyworkflow.object import Pointer
from pyworkflow.protocol import STATUS_NEW, Form, ProtStreamingBase, params

from ..convert import arriving, reading
from ..engine.cryodl import contract
from . import inputs, kinds, protocol_base
from .engine_protocol import ConfigT, EngineProtocol, MadeT

SETTINGS, CONTENT, UNTICKED = "settings.json", "content of ", "unticked at first"


class StoredSettings(inputs.ProtocolMixin):
    """What protocols share whose finished micrographs (or other items) are left alone when a run is continued. A child
    gives _settings(), a dict of all that decides what is made of an item, _ITEM, what an item is, and _MADE, what has
    been done to it: 'picked'. It calls _storeSettings() before the first of them, and _checkContinuation() earlier."""

    _CONFIG: Any
    _MADE: Any = None
    _ITEM = "micrograph"

    def _storeSettings(self) -> None:
        self._storeUnticked({**self._settings(), **self._contents()})

    def _storeUnticked(self, settings: Any = None) -> None:
        """Note each input's last item, and which were unticked when this start first saw them. settings: new ones."""
        seen = self.__dict__.setdefault("_seen", {})
        stored = settings or reading.readJson(self._getExtraPath(SETTINGS))
        for path, (last, ids) in self._unticked(seen).items():
            seen[path] = [last, [*seen.get(path, (0, ()))[1], *ids]]
        if stored and stored.get(UNTICKED) != seen:
            contract.write_json(self._getExtraPath(SETTINGS), {**stored, UNTICKED: seen})

    def _unticked(self, seen: Dict[str, Any]) -> Dict[str, Any]:
        sets = [one for one in (pointer.get() for _, pointer in inputs.chosenInputs(self)) if isinstance(one, EMSet)]
        return {one.getFileName(): inputs.untickedIn(one, *seen.get(one.getFileName(), ())[:1]) for one in sets}

    def warnings(self) -> List[str]:
        """The form asks before a run is continued that has perhaps used what was unticked since."""
        told = super().warnings()  # before sets are read anew
        seen = reading.readJson(self._getExtraPath(SETTINGS), {}).get(UNTICKED, {}) if self.isContinued() else {}
        now = [(ids, *seen.get(path, (0, ()))) for path, (_, ids) in (self._unticked({}) if seen else {}).items()]
        return told + kinds.sayIf(
            since := sum(number <= last and number not in noted for ids, last, noted in now for number in ids),
            f"Input: {contract.counted(since, 'item')} unticked in Scipion's table since this run began. Continue "
            "keeps what was made of them; Restart leaves it out.",
        )

    def _contents(self, before: Any = None) -> Dict[str, Any]:
        """What tells each input's file from another one of its name, however much a set grows; not of empty sets.
        before: what was told earlier, which is told again of a set that begins with the same items."""
        told = {}
        for name, one in [(name, pointer.get()) for name, pointer in inputs.chosenInputs(self)]:
            if isinstance(one, (EMSet, Volume, AtomStruct)):
                key = f"{CONTENT}{self.getParam(name).label.get()} ({one.getFileName()})"
                noted = (before or {}).get(key)
                told[key] = inputs.beginningOf(one, noted) if isinstance(one, EMSet) else inputs.writtenAt(one)
        return {key: what for key, what in told.items() if what}

    def _changedSettings(self) -> List[str]:
        """Names of settings that differ from those with which this run started before; empty if it did not."""
        before = reading.readJson(self._getExtraPath(SETTINGS))
        if before is None:
            return []
        fields = contract.describe_all(self._CONFIG) if getattr(self, "_CONFIG", None) else []
        if fields:
            before, _ = contract.present_options(contract.command_name(self._CONFIG), before)
        now = json.loads(json.dumps({**self._settings(), **self._contents(before)}))
        # what an earlier version did not write down had its default, or was no setting
        defaults = {info.name: info.default for info in fields if not info.required}
        changed = (name for name in now if now[name] != before.get(name, defaults.get(name, now[name])))
        return sorted({name.partition(" (")[0].replace("_", " ") for name in changed})

    def _checkContinuation(self, beginning: str = "") -> List[str]:
        changed = [name for name in self._changedSettings() if self.isContinued() and name.startswith(beginning)]
        return kinds.sayIf(
            changed,
            f"This run has already {self._MADE} {self._ITEM}s with another {', '.join(changed)}; continuing would mix "
            "the settings. Choose the run mode Restart, or copy the protocol.",
        )


class Waiting:
    """Whether the first of the items that no batch has taken has waited long enough. longest: s."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._since: Optional[float] = None

    def over(self, items: Sequence[Any]) -> bool:
        now = time.monotonic()
        self._since = (self._since or now) if items else None
        return self._since is not None and now - self._since >= self._longest

    def begin(self) -> None:
        """A batch took the first items: the others wait from now on."""
        self._since = None


def appendItems(
    protocol: Any,
    outputName: Any,
    source: Pointer,
    items: Sequence[Image],
    SetClass: Any = SetOfMicrographs,
    describe: Callable[[Any], Any] = lambda output: None,
    info: Any = None,
) -> bool:
    """Append items to an output, which is made with the first of them: whether it is new. source: the pointer to the
    set that they come from. describe: called with the new set before its first item. info: set whose information the
    new one takes over, if it is not the source."""

    def newSet() -> Any:
        output = SetClass.create(protocol._getPath(), prefix=outputName)
        output.copyInfo(source.get() if info is None else info)
        describe(output)
        return output

    return appendToOutput(
        protocol, outputName, newSet, [source], lambda output: output.copyItems(items, copyDisabled=True, doClone=False)
    )


def appendToOutput(
    protocol: Any, outputName: str, newSet: Callable[[], Any], sources: Any, append: Callable[[Any], None]
) -> bool:
    """Append to an output, which is made with its first items, or before them: whether it is new. newSet: makes it.
    sources: pointers to what it is made of. append: describes the set, and appends the items."""
    output: Any = getattr(protocol, outputName, None)
    isNew = output is None
    if arriving.fileOf(output) is None:
        output = newSet()
    else:
        arriving.asInItsFile(output)  # also if a run died before noting it down
        output.enableAppend()
    append(output)
    protocol._updateOutputSet(outputName, output, output.STREAM_OPEN)
    for source in sources if isNew else ():
        protocol._defineSourceRelation(source, output)
    return isNew


LOOK = 1.0  # s at least between two looks for new items: Scipion's field may be 0, and a core would be kept busy
# Starting the engine costs a second or two; a batch spreads it over its items.
BATCH = 16
# One of Scipion's threads starts the others, one looks for new items, and one at least works.
MIN_THREADS = 3


def addWait(form: Form, wait: int, item: str) -> None:
    """The field batchWait. wait: seconds, at first."""
    help = f"A batch that is not full is started when its first {item} has waited this long. 0: immediately."
    form.addParam("batchWait", params.IntParam, default=wait, label="Longest wait (s)", help=help)


def addThreads(form: Form) -> None:
    """Scipion's two fields of threads, which stand one above the other, with words that tell them apart."""
    form.addParallelSection(threads=MIN_THREADS, mpi=0, binThreads=2)
    form.getParam("binThreads").label.set("Threads of each batch")
    form.getParam("binThreads").help.set("*Threads of each batch*: CPU threads of one start of the program.")
    form.getParam("numberOfThreads").help.set(
        "*Scipion threads*: how many batches may run at the same time, not how fast one is. One of these threads "
        "starts the batches, and while items arrive another one looks for them: 3 run one batch at a time, then two. "
        "Several GPUs: one more than there are. More batches need more memory and more cores."
    )


class ArrivingBatches(StoredSettings):
    """Mixin. A child gives _OUTPUTS, the names of its growing sets; _WORK, what it does: 'assess', and _MADE, what was
    done then: 'assessed'. _ITEM is what it works on; _NAME the attribute that tells items apart, or _ID. It sets
    self._arriving, an ArrivingItems, and its stepsGeneratorStep is its own or _insertBatches()."""

    _OUTPUTS: Tuple[str, ...] = ()
    _WORK: Any = None
    _NAME, _ID = "_micName", ""
    _SIZE = "batchSize"  # the form's field

    def _addBatchParams(self, form: Form, help: str, size: int = BATCH, wait: Optional[int] = None) -> None:
        """The last fields of the form. help: a sentence about batches, after the common one. wait: seconds after which
        a batch is started that is not full; None: at once, without a field."""
        self._defineStreamingParams(form)
        form.getParam("streamingBatchSize").condition.set("False")  # Scipion's own field, which pwem's pickers use
        form.addParam(
            self._SIZE,
            params.IntParam,
            default=size,
            label="Batch size",
            help=f"Maximum number of {self._ITEM}s in one start of the program. {help}",
        )
        if wait is not None:
            addWait(form, wait, self._ITEM)
        addThreads(form)

    def _insertFunctionStep(self, *given: Any, **others: Any) -> int:
        """As pyworkflow's, which may start a step before it has a number: all without one get the same GPU."""
        index = super()._insertFunctionStep(*given, wait=True, **others)
        step = self._steps[index - 1]
        step.setObjId(index)
        step.setStatus(STATUS_NEW)
        return index

    def _insertBatches(self, work: Any, output: Any) -> None:
        """Insert steps for items as they come, until the input is closed. work, output: steps of this protocol that
        take names; output is run when work, if any, is done. stepsGeneratorStep makes self._arriving first."""
        # free GPUs are called -1, -2 ... and the one that step 2 gives back -2: another of that name would be lost
        executor = self._stepsExecutor
        executor.gpuDict = {slot - 10**9: gpus for slot, gpus in executor.gpuDict.items()}
        pwutils.makePath(self._getExtraPath())
        self._arriving.look()  # outputs may know their items by numbers alone
        done, last, learning = self._doneNames(), [], []  # type: Any, List[int], List[int]
        known = {*done, *self._foundEmpty(done)}
        waits = Waiting(self.getAttributeValue("batchWait", 0) or 0)

        def insert(given: Any, names: Any) -> None:
            if not last:
                self._storeSettings()
            own = dict(prerequisites=learning[:], needsGPU=self.usesGpu())
            before = [self._insertFunctionStep(work, given, **own)] if work else []
            if not learning and self._firstLearns():
                learning.extend(before)
            last.append(self._insertFunctionStep(output, given, prerequisites=before, needsGPU=False))
            known.update(names)

        for given, names in self._begun():
            insert(given, names)
        while True:
            with self._lock:
                over, ready = self._arriving.look(), self._arriving.ready(known)
                self._storeUnticked()
                parts = self._partsOf(ready, waits.over(ready) or over)
            for names in parts:
                insert(self._argumentOf(names), names)
                waits.begin()
            if over and not parts:
                break
            if not parts:
                self._streamingSleepOnWait()
                time.sleep(max(0.0, LOOK - self.getAttributeValue("streamingSleepOnWait", 0)))
        self._insertFunctionStep(self.closeStep, prerequisites=last, needsGPU=False)

    def _firstLearns(self) -> bool:
        """Whether the others wait for the first batch: it makes their model, or estimates what holds for all."""
        return False

    def _batchLimit(self) -> int:
        return self.getAttributeValue(self._SIZE) or 0

    def _partsOf(self, ready: List[Any], all: bool) -> List[List[Any]]:
        """Batches of the names that are ready. all: also one that is not full."""
        size = max(1, self._batchLimit())
        parts = [ready[start : start + size] for start in range(0, len(ready), size)]
        return parts if all else [part for part in parts if len(part) == size]

    def _begun(self) -> List[Tuple[Any, Any]]:
        """(what its steps are given, names) of batches that an earlier start began, if they must not be made anew."""
        return []

    def _argumentOf(self, names: List[Any]) -> Any:
        return names

    def _batchFolder(self, items: Sequence[Image]) -> str:
        ids = sorted(item.getObjId() for item in items)
        return self._getExtraPath("batches", f"{ids[0]:06d}_{ids[-1]:06d}_{len(ids)}")

    def _noteAllSkipped(
        self, config: contract.Config, folder: str, error: contract.AllSkipped, names: Sequence[str] = ()
    ) -> None:
        """Write the result of a batch of which nothing could be used: its outputs are empty. folder: the batch's."""
        command: Any = contract.EVERY_COMMAND[contract.command_of(config)]
        empty = {
            info.name: info.hint.__origin__()
            for info in contract.describe_outputs(command.outputs)
            if getattr(info.hint, "__origin__", None) in (dict, list)
        }
        items = zip(names, getattr(config, self._ITEM + "s"))
        skipped = tuple(contract.Skipped(name, path, error.reasons.get(name, str(error))) for name, path in items)
        contract.Result(command.name, empty, "", 0.0, skipped, tuple(error.warnings), nothing_made=True).write(
            os.path.join(folder, protocol_base.RESULT_FILE)
        )

    def _engineResultFiles(self) -> List[str]:
        """Those of the batches, and of a run of its own; other folders may hold very many files."""
        folders = [os.path.join(glob.escape(self._getExtraPath()), *more) for more in ((), ("batches", "*"))]
        found = [path for folder in folders for path in glob.glob(os.path.join(folder, protocol_base.RESULT_FILE))]
        return sorted(found, key=os.path.getmtime)

    def _engineResults(self) -> List[contract.Result[Any]]:
        """Without those of batches whose items others have again, since a start ended before the outputs had them."""
        told, later = [], set()
        for one in reversed(super()._engineResults()):
            items = protocol_base.doneItems(one)
            if not items or items - later:
                told.append(one)
            later |= items
        return told[::-1]

    def _foundEmpty(self, done: Any) -> Set[str]:
        """Names of items without picks, which are in no output, of batches that the outputs have. done: _doneNames."""
        there = any(arriving.fileOf(getattr(self, name, None)) for name in self._OUTPUTS)
        found = [one.outputs.get("counts") or {} for one in self._engineResults()] if there else []
        ids = self._arriving.idsOfNames() if any(found) else {}
        names = {known: ids[number] for number, known in self._arriving.engineNames().items()} if ids else {}
        return {
            names.get(name, "")
            for counts in found
            if all(names.get(picked) in done for picked in counts if counts[picked])
            for name in counts
        }

    def _doneNames(self) -> Any:
        """Names that outputs have by now, not to be changed; of ids in the items' order."""
        if self._ID:
            ids = self._valuesIn(self._OUTPUTS[0], self._ID)
            return {name: objId for objId, name in self._arriving.idsOfNames().items() if objId in ids}
        found = [self._valuesIn(name, self._NAME) for name in self._OUTPUTS]
        return found[0] if len(found) == 1 else set().union(*found)

    def _valuesIn(self, outputName: str, attribute: str) -> Set[Any]:
        """Values of an attribute in an output by now, not to be changed; also of a run that died before noting them
        down. The caller holds the lock, or no other step runs."""
        column = self.__dict__.setdefault("_columns", {}).setdefault(
            (outputName, attribute), arriving.ColumnOnce(attribute)
        )
        return column.update(getattr(self, outputName, None))

    def closeStep(self) -> None:
        self._closeOutputSet()
        if self._arriving.failure:
            raise self._arriving.failure
        results = self._engineResults()
        skipped = protocol_base.skippedItems(results)
        if not results and not any(self.hasAttribute(name) for name in self._OUTPUTS):
            raise ValueError(
                f"No {self._ITEM} came that could be {self._MADE}: the input ended empty, or all of it is unticked in "
                "Scipion's table. Choose another input, or tick some items and continue the run."
            )
        # where nothing was found in the others, there are no outputs either, and most runs have done their work
        if skipped and not self._doneNames() and all(result.nothing_made for result in results):
            raise ValueError(
                f"Of {contract.counted(len(skipped), self._ITEM)}, none could be {self._MADE}. The first: "
                f"{contract.in_words(skipped[0])}"
            )

    def _checkBatches(self) -> List[str]:
        return kinds.sayIf(
            (self.numberOfThreads.get() or 0) < MIN_THREADS,
            f"Scipion threads is {self.numberOfThreads.get() or 'empty'}; at least {MIN_THREADS} are needed: one "
            f"starts the steps, one looks for new {self._ITEM}s, and the others {self._WORK}.",
        )


class BatchRun(ArrivingBatches, EngineProtocol[ConfigT, MadeT], EMProtocol, ProtStreamingBase):
    """What is worked on is the first part of FORM that may grow (Micrographs, Tomograms). A child gives _OUTPUTS, _WORK
    and _MADE as ArrivingBatches has them, _append, and may give _ofBatch, BATCH_SIZE and BATCH_HELP, a sentence."""

    BATCH_SIZE = BATCH
    LONGEST_WAIT: Optional[int] = None  # s that an item waits at most; None: none waits
    BATCH_HELP = "While micrographs arrive, it starts with those available."

    def _addRunParams(self, form: Form) -> None:
        self._addBatchParams(form, self.BATCH_HELP, self.BATCH_SIZE, self.LONGEST_WAIT)

    def stepsGeneratorStep(self) -> None:
        self._arriving = self._newArriving()
        self._insertBatches(self.batchStep, self.outputStep)

    def _newArriving(self) -> Any:
        return self._growing().arriving(self)

    def _growing(self) -> kinds.Growing:
        return next(part for part in self.FORM if isinstance(part, kinds.Growing))

    def batchStep(self, names: Sequence[str]) -> None:
        with self._lock:
            items, files = self._batchItems(names)
            folder = self._batchFolder(items)
            config = self._ofBatch(self._config(**files), items, folder)
        try:
            self._runEngine(config, folder, files["names"])
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, folder, error, files["names"])

    def _ofBatch(self, config: ConfigT, items: Sequence[Any], folder: str) -> ConfigT:
        """The config of a batch with what else differs. It may write files; the caller holds the lock."""
        return config

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the outputs; items that they have already are left alone."""
        with self._lock:
            items, done, engineNames = self._arriving.items(names), self._doneNames(), self._arriving.engineNames()
            new = {engineNames[item.getObjId()]: item for name, item in zip(names, items) if name not in done}
            self._append(new, self._madeOf(items, names))

    def _madeOf(self, items: Sequence[Any], names: Sequence[str]) -> MadeT:
        return contract.Result.read(os.path.join(self._batchFolder(items), protocol_base.RESULT_FILE)).outputs

    def _append(self, items: Dict[str, Any], made: MadeT) -> None:
        """Append what the engine made. items: {name for the engine: item} of those that no output has yet; some of them
        may have been skipped. The caller holds the lock."""
        raise NotImplementedError

    def _batchItems(self, names: Sequence[str]) -> Tuple[Any, Dict[str, Any]]:
        """Items of these names, their files and the engine's names, as configs have them. The caller holds the lock."""
        items, engineNames = self._arriving.items(names), self._arriving.engineNames()
        files, known = self._growing().fileOf, (engineNames[item.getObjId()] for item in items)
        return items, {self._ITEM + "s": tuple(files(item) for item in items), "names": tuple(known)}

    def _checkTogether(self) -> Any:
        return self._checkBatches() or self._checkContinuation()
