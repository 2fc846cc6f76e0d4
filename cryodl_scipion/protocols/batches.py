# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that work on micrographs or tomograms in batches as they arrive, and whose output sets grow."""

import glob
import os
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Image
from pwem.protocols import EMProtocol
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ..convert.growing import ColumnOnce
from ..engine.cryodl import contract
from ..engine.cryodl.contract import AllSkipped, Result, counted
from .protocol_base import RESULT_FILE, skippedItems
from .stored_settings import StoredSettings
from .waiting import Waiting

# Starting the engine costs a second or two; a batch spreads it over its items.
BATCH = 16
# One of Scipion's threads starts the others, one looks for new items, and one at least works.
MIN_THREADS = 3


def batchResultFiles(protocol: EMProtocol) -> List[str]:
    """Files of the engine's results, oldest first: of the batches, and of a run of its own."""
    extra = glob.escape(protocol._getExtraPath())
    found = glob.glob(os.path.join(extra, RESULT_FILE)) + glob.glob(os.path.join(extra, "batches", "*", RESULT_FILE))
    return sorted(found, key=os.path.getmtime)


def noteAllSkipped(
    config: Any, folder: str, error: AllSkipped, paths: Sequence[str], names: Sequence[str] = ()
) -> None:
    """Write the result of a batch of which nothing could be used: its outputs are empty. paths, names: of its
    items."""
    command = contract.command_of(config)
    declared = contract.EVERY_COMMAND[command].outputs
    empty = {
        info.name: info.hint.__origin__()
        for info in (contract.describe_outputs(declared) if declared else ())
        if getattr(info.hint, "__origin__", None) in (dict, list)
    }
    skipped = tuple(contract.Skipped(name, path, str(error)) for name, path in zip(names or config.names, paths))
    contract.Result(command, empty, skipped=skipped, nothing_made=True).write(os.path.join(folder, RESULT_FILE))


class ArrivingBatches(StoredSettings):
    """Mixin.

    A child gives the names of its growing sets, _outputNames() or _OUTPUTS; _WORK, what it does: 'assess', and _MADE,
    what was done then: 'assessed'. _ITEM is what it works on; _NAME the attribute that tells items apart. It sets
    self._arriving, an ArrivingItems, and its stepsGeneratorStep is its own or _insertBatches().
    """

    _OUTPUTS: Tuple[str, ...] = ()
    _WORK: Any = None
    _NAME = "_micName"
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
            form.addParam(
                "batchWait",
                params.IntParam,
                default=wait,
                label="Longest wait (s)",
                help="A batch that is not full is started when its first item has waited this long. 0: immediately.",
            )
        form.addParallelSection(threads=MIN_THREADS, mpi=0, binThreads=2)

    def _insertBatches(self, work: Any, output: Any) -> None:
        """Insert steps for items as they come, until the input is closed.

        work, output: steps of this protocol that take names; output is run when work, if any, is done. Called by
        stepsGeneratorStep after self._arriving is made.
        """
        pwutils.makePath(self._getExtraPath())
        self._storeSettings()
        known, last, learning = set(self._doneNames()), [], []  # type: Set[Any], List[int], List[int]
        waits = Waiting(self.getAttributeValue("batchWait", 0) or 0)

        def insert(given: Any, names: Any) -> None:
            before = []
            if work:
                before = [self._insertFunctionStep(work, given, prerequisites=learning[:], needsGPU=self.usesGpu())]
            if not learning and self._firstLearns():
                learning.extend(before)
            last.append(self._insertFunctionStep(output, given, prerequisites=before, needsGPU=False))
            known.update(names)

        for given, names in self._begun():
            insert(given, names)
        while True:
            with self._lock:
                self._arriving.update()
                ready, closed = self._arriving.ready(known), self._arriving.closed
                parts = self._partsOf(ready, waits.over(ready) or closed)
            for names in parts:
                insert(self._argumentOf(names), names)
                waits.begin()
            if closed:
                break
            if not parts:
                self._streamingSleepOnWait()
        self._insertFunctionStep(self.closeStep, prerequisites=last, needsGPU=False)

    def _firstLearns(self) -> bool:
        """Whether the first batch makes the model with which the others are worked on."""
        return False

    def _batchLimit(self) -> int:
        return self.getAttributeValue(self._SIZE) or 0

    def _partsOf(self, ready: List[Any], all: bool) -> List[List[Any]]:
        """Batches of the names that are ready. all: also one that is not full."""
        size = max(1, self._batchLimit())
        parts = [ready[start : start + size] for start in range(0, len(ready), size)]
        return parts if all else [part for part in parts if len(part) == size]

    def _begun(self) -> List[Tuple[Any, Any]]:
        """(what its steps are given, names) of the batches that an earlier start of this run began and did not end, if
        a batch must not be made anew."""
        return []

    def _argumentOf(self, names: List[Any]) -> Any:
        """What the steps of a batch are given."""
        return names

    def _batchItems(self, names: Sequence[str]) -> Tuple[Any, Dict[str, Any]]:
        """Micrographs of these names, and their files and the engine's names for them, as configs have them. The caller
        holds the lock."""
        micrographs, engineNames = self._arriving.items(names), self._arriving.engineNames()
        files = tuple(micrograph.getFileName() for micrograph in micrographs)
        return micrographs, dict(
            micrographs=files, names=tuple(engineNames[micrograph.getObjId()] for micrograph in micrographs)
        )

    def _batchFolder(self, items: Sequence[Image]) -> str:
        ids = sorted(item.getObjId() for item in items)
        return self._getExtraPath("batches", f"{ids[0]:06d}_{ids[-1]:06d}_{len(ids)}")

    def _batchResult(self, items: Sequence[Image]) -> Result:
        return contract.Result.read(os.path.join(self._batchFolder(items), RESULT_FILE))

    def _noteAllSkipped(self, config: Any, folder: Any, error: AllSkipped, names: Sequence[str] = ()) -> None:
        """The result of a batch of which nothing could be used. folder: the batch's folder."""
        noteAllSkipped(config, folder, error, getattr(config, self._ITEM + "s"), names)

    def _engineResultFiles(self) -> List[str]:
        return batchResultFiles(self)

    def _outputNames(self) -> Tuple[str, ...]:
        return self._OUTPUTS

    def _doneNames(self) -> Any:
        """Names that outputs have by now, not to be changed."""
        found = [self._valuesIn(name, self._NAME) for name in self._outputNames()]
        return found[0] if len(found) == 1 else set().union(*found)

    def _valuesIn(self, outputName: str, attribute: str) -> Set[Any]:
        """Values of an attribute in an output by now, not to be changed; also of a run that died before noting them
        down. The caller holds the lock, or no other step runs."""
        columns = self.__dict__.setdefault("_columns", {})
        column = columns.setdefault((outputName, attribute), ColumnOnce(attribute))
        return column.update(getattr(self, outputName, None))

    def closeStep(self) -> None:
        self._closeOutputSet()
        skipped = skippedItems(self._engineResults())
        if skipped and not self._doneNames():
            raise ValueError(
                f"None of the {counted(len(skipped), self._ITEM)} could be {self._MADE}. The first, "
                f"{skipped[0].path}: {skipped[0].reason}"
            )

    def _checkBatches(self) -> List[str]:
        errors = []
        if self.numberOfThreads.get() < MIN_THREADS:
            errors.append(
                f"Threads is {self.numberOfThreads.get()}; at least {MIN_THREADS} are needed: one starts the "
                f"steps, one looks for new {self._ITEM}s, and the others {self._WORK}."
            )
        if self._batchLimit() < 1:
            errors.append(f"{self.getParam(self._SIZE).label.get()} is {self._batchLimit()}; it must be at least 1.")
        return errors
