# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that work on micrographs or tomograms in batches as they arrive, and whose output sets grow."""

import os

import pyworkflow.utils as pwutils
from pyworkflow.protocol import params

from ..engine.cryodl import contract
from ..engine.cryodl.contract import counted
from .growing_outputs import namesIn
from .protocol_base import RESULT_FILE, skippedItems
from .remembered_settings import RememberedSettings

# Starting the engine costs a second or two; a batch spreads it over its items.
BATCH = 16
# One of Scipion's threads starts the others, one looks for new items, and one at least works.
LEAST_THREADS = 3


class ArrivingBatches(RememberedSettings):
    """Mixin.

    A child gives the names of its growing sets, _outputNames() or _OUTPUTS; _WORK, what it does: 'assess', and _MADE,
    what was done then: 'assessed'. _ITEM is what it works on; _NAME the attribute that tells items apart. It sets
    self._arriving, an ArrivingItems, and its stepsGeneratorStep is its own or _insertBatches().
    """

    _OUTPUTS = ()
    _WORK = None
    _NAME = "_micName"

    def _addBatchParams(self, form, help, size=BATCH):
        """The last fields of the form. help: a sentence about batches, after the common one."""
        self._defineStreamingParams(form)
        form.getParam("streamingBatchSize").condition.set("False")  # Scipion's own field, which pwem's pickers use
        form.addParam(
            "batchSize",
            params.IntParam,
            default=size,
            label="Batch size",
            help="%ss that one start of the program takes at most. %s" % (self._ITEM.capitalize(), help),
        )
        form.addParallelSection(threads=LEAST_THREADS, mpi=0, binThreads=2)

    def _insertBatches(self, work, output):
        """Insert steps for items as they come, until the input is closed.

        work, output: steps of this protocol that take names; output is run when work is done. Called by
        stepsGeneratorStep after self._arriving is made.
        """
        pwutils.makePath(self._getExtraPath())
        self._rememberSettings()
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

    def _batchFolder(self, items):
        ids = sorted(item.getObjId() for item in items)
        return self._getExtraPath("batches", "%06d_%06d_%d" % (ids[0], ids[-1], len(ids)))

    def _batchResult(self, items):
        return contract.Result.read(os.path.join(self._batchFolder(items), RESULT_FILE))

    def _noteAllSkipped(self, config, place, error, **outputs):
        """The result of a batch of which nothing could be used. place: the batch's folder. outputs: the engine's,
        empty."""
        paths = getattr(config, self._ITEM + "s")
        skipped = tuple(contract.Skipped(n, p, str(error)) for n, p in zip(config.names, paths))
        contract.Result(contract.command_of(config), outputs, skipped=skipped, nothing_made=True).write(
            os.path.join(place, RESULT_FILE)
        )

    def _outputNames(self):
        return self._OUTPUTS

    def _doneNames(self):
        return namesIn(self, self._outputNames(), self._NAME)

    def closeStep(self):
        self._closeOutputSet()
        skipped = skippedItems(self._engineResults())
        if skipped and not self._doneNames():
            raise ValueError(
                "None of the %s could be %s. The first, %s: %s"
                % (counted(len(skipped), self._ITEM), self._MADE, skipped[0].path, skipped[0].reason)
            )

    def _checkBatches(self):
        errors = []
        if self.numberOfThreads.get() < LEAST_THREADS:
            errors.append(
                "Threads is %d; at least %d are needed: one starts the others, one looks for new %ss, and "
                "the rest %s." % (self.numberOfThreads.get(), LEAST_THREADS, self._ITEM, self._WORK)
            )
        if (self.batchSize.get() or 0) < 1:
            errors.append("Batch size is %s; it must be at least 1." % self.batchSize.get())
        return errors
