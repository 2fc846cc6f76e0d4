# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that work on micrographs in batches as they arrive, and whose output sets of micrographs grow."""
import os

from pyworkflow.protocol import params

from ..engine.cryodl import contract
from .growing_outputs import micrographsIn
from .protocol_base import RESULT_FILE, skippedItems
from .remembered_settings import RememberedSettings

# Starting the engine costs a second or two; a batch spreads it over its micrographs.
BATCH = 16
# One of Scipion's threads starts the others, one looks for new micrographs, and one at least works.
LEAST_THREADS = 3


class MicrographBatches(RememberedSettings):
    """Mixin. A child gives _OUTPUTS, the names of its sets of micrographs, _WORK, what it does: 'assess', and _MADE, what
    was done then: 'assessed'. stepsGeneratorStep is its own."""
    _OUTPUTS = ()
    _WORK = None

    def _addBatchParams(self, form, help):
        """The last fields of the form. help: a sentence about batches, after the common one."""
        self._defineStreamingParams(form)
        form.addParam('batchSize', params.IntParam, default=BATCH, label="Batch size",
                      help="Micrographs that one start of the program takes at most. %s" % help)
        form.addParallelSection(threads=LEAST_THREADS, mpi=0, binThreads=2)

    def _batchFolder(self, micrographs):
        ids = sorted(m.getObjId() for m in micrographs)
        return self._getExtraPath('batches', '%06d_%06d_%d' % (ids[0], ids[-1], len(ids)))

    def _batchResult(self, micrographs):
        return contract.Result.read(os.path.join(self._batchFolder(micrographs), RESULT_FILE))

    def _noteAllSkipped(self, config, folder, error, **outputs):
        """The result of a batch of which nothing could be used. outputs: the engine's, empty."""
        skipped = tuple(contract.Skipped(n, p, str(error)) for n, p in zip(config.names, config.micrographs))
        contract.Result(contract.command_of(config), outputs, skipped=skipped).write(os.path.join(folder, RESULT_FILE))

    def _doneNames(self):
        return micrographsIn(self, self._OUTPUTS)

    def closeStep(self):
        self._closeOutputSet()
        skipped = skippedItems(self._engineResults())
        if skipped and not self._doneNames():
            raise ValueError("None of the %d micrographs could be %s. The first, %s: %s"
                             % (len(skipped), self._MADE, skipped[0].path, skipped[0].reason))

    def _checkBatches(self):
        errors = []
        if self.numberOfThreads.get() < LEAST_THREADS:
            errors.append("Threads is %d; at least %d are needed: one starts the others, one looks for new "
                          "micrographs, and the rest %s." % (self.numberOfThreads.get(), LEAST_THREADS, self._WORK))
        if (self.batchSize.get() or 0) < 1:
            errors.append("Batch size is %s; it must be at least 1." % self.batchSize.get())
        return errors
