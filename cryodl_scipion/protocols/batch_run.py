# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that run the engine on batches of micrographs or tomograms as they arrive."""

from typing import Any, Dict, Optional, Sequence, Tuple

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ..engine.cryodl import contract
from .batches import BATCH, ArrivingBatches
from .engine_protocol import ConfigT, EngineProtocol, MadeT
from .kinds import Growing


class BatchRun(EngineProtocol[ConfigT, MadeT], ArrivingBatches, EMProtocol, ProtStreamingBase):
    """What is worked on is the first part of FORM that may grow (Micrographs, Tomograms). A child gives _OUTPUTS or
    _outputNames(), _WORK and _MADE as ArrivingBatches has them, _append, and may give _ofBatch, BATCH_SIZE and
    BATCH_HELP, a sentence about batches."""

    _devStatus = BETA
    stepsExecutionMode = STEPS_PARALLEL
    BATCH_SIZE = BATCH
    LONGEST_WAIT: Optional[int] = None  # s that an item waits at most; None: none waits
    BATCH_HELP = "While micrographs arrive, it starts with those available."

    def _addRunParams(self, form: Form) -> None:
        self._addBatchParams(form, self.BATCH_HELP, self.BATCH_SIZE, self.LONGEST_WAIT)

    # ----- steps
    def stepsGeneratorStep(self) -> None:
        self._arriving = self._growing().arriving(self)
        self._insertBatches(self.batchStep, self.outputStep)

    def _growing(self) -> Growing:
        return next(part for part in self.FORM if isinstance(part, Growing))

    def batchStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            items, files = self._batchItems(names)
            folder = self._batchFolder(items)
            config = self._ofBatch(self._config(**files), items, folder)
        try:
            self._runEngine(config, folder, files["names"])
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, folder, error, files["names"])

    def _ofBatch(self, config: ConfigT, items: Sequence[Any], folder: str) -> ConfigT:
        """The config of a batch that has its items already, with what else differs. It may write files for the
        engine; the caller holds the lock."""
        return config

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the outputs; items that they have already are left alone."""
        with self._lock:
            items, done, engineNames = self._arriving.items(names), self._doneNames(), self._arriving.engineNames()
            new = {engineNames[item.getObjId()]: item for name, item in zip(names, items) if name not in done}
            self._append(new, self._batchResult(items).outputs)

    def _append(self, items: Dict[str, Any], made: MadeT) -> None:
        """Append what the engine made. items: {name for the engine: item} of those that no output has yet; some of them
        may have been skipped. The caller holds the lock."""
        raise NotImplementedError

    def _batchItems(self, names: Sequence[str]) -> Tuple[Any, Dict[str, Any]]:
        items, engineNames = self._arriving.items(names), self._arriving.engineNames()
        files, known = self._growing().fileOf, (engineNames[item.getObjId()] for item in items)
        return items, {self._ITEM + "s": tuple(files(item) for item in items), "names": tuple(known)}

    # ----- validation
    def _checkTogether(self) -> Any:
        return self._checkBatches() or self._checkContinuation()
