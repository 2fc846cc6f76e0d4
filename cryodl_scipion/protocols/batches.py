# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that work on micrographs or tomograms in batches as they arrive, and whose output sets grow."""

import os
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Image
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ..engine.cryodl import contract
from ..engine.cryodl.contract import AllSkipped, Result, SegmentConfig, counted
from .form_parts import addPointer
from .growing_outputs import namesIn
from .protocol_base import RESULT_FILE, skippedItems
from .stored_settings import StoredSettings

# Starting the engine costs a second or two; a batch spreads it over its items.
BATCH = 16
# One of Scipion's threads starts the others, one looks for new items, and one at least works.
LEAST_THREADS = 3


class ArrivingBatches(StoredSettings):
    """Mixin.

    A child gives the names of its growing sets, _outputNames() or _OUTPUTS; _WORK, what it does: 'assess', and _MADE,
    what was done then: 'assessed'. _ITEM is what it works on; _NAME the attribute that tells items apart. It sets
    self._arriving, an ArrivingItems, and its stepsGeneratorStep is its own or _insertBatches().
    """

    _OUTPUTS: Tuple[str, ...] = ()
    _WORK: Any = None
    _NAME = "_micName"

    def _addMicrographsParam(self, form: Form, help: str) -> None:
        addPointer(
            form,
            "inputMicrographs",
            "SetOfMicrographs",
            "Micrographs",
            f"{help} They may still be arriving.",
            important=True,
        )

    def _addBatchParams(self, form: Form, help: str, size: int = BATCH) -> None:
        """The last fields of the form. help: a sentence about batches, after the common one."""
        self._defineStreamingParams(form)
        form.getParam("streamingBatchSize").condition.set("False")  # Scipion's own field, which pwem's pickers use
        form.addParam(
            "batchSize",
            params.IntParam,
            default=size,
            label="Batch size",
            help=f"{self._ITEM.capitalize()}s that one start of the program takes at most. {help}",
        )
        form.addParallelSection(threads=LEAST_THREADS, mpi=0, binThreads=2)

    def _insertBatches(self, work: Any, output: Any) -> None:
        """Insert steps for items as they come, until the input is closed.

        work, output: steps of this protocol that take names; output is run when work is done. Called by
        stepsGeneratorStep after self._arriving is made.
        """
        pwutils.makePath(self._getExtraPath())
        self._storeSettings()
        known, last, size = self._doneNames(), [], max(1, self.batchSize.get())
        while True:
            with self._lock:
                self._arriving.update()
                ready, closed = self._arriving.ready(known), self._arriving.closed
            for names in [ready[i : i + size] for i in range(0, len(ready), size)]:
                step = self._insertFunctionStep(work, names, prerequisites=[], needsGPU=self.usesGpu())
                last.append(self._insertFunctionStep(output, names, prerequisites=[step], needsGPU=False))
                known.update(names)
            if closed:
                break
            if not ready:
                self._streamingSleepOnWait()
        self._insertFunctionStep(self.closeStep, prerequisites=last, needsGPU=False)

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

    def _noteAllSkipped(self, config: SegmentConfig, place: Any, error: AllSkipped, **outputs: Any) -> None:
        """The result of a batch of which nothing could be used. place: the batch's folder. outputs: the engine's,
        empty."""
        paths = getattr(config, self._ITEM + "s")
        skipped = tuple(contract.Skipped(n, p, str(error)) for n, p in zip(config.names, paths))
        contract.Result(contract.command_of(config), outputs, skipped=skipped, nothing_made=True).write(
            os.path.join(place, RESULT_FILE)
        )

    def _outputNames(self) -> Tuple[str, ...]:
        return self._OUTPUTS

    def _doneNames(self) -> Any:
        return namesIn(self, self._outputNames(), self._NAME)

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
        if self.numberOfThreads.get() < LEAST_THREADS:
            errors.append(
                f"Threads is {self.numberOfThreads.get()}; at least {LEAST_THREADS} are needed: one starts the "
                f"others, one looks for new {self._ITEM}s, and the rest {self._WORK}."
            )
        if (self.batchSize.get() or 0) < 1:
            errors.append(f"Batch size is {self.batchSize.get()}; it must be at least 1.")
        return errors
