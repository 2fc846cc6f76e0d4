# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that work on particles in batches as they arrive, and whose output set grows."""

import dataclasses
import glob
import os
from typing import Any, List, Optional, Sequence, Set, Tuple, TypeVar

import pyworkflow.utils as pwutils
from pwem.objects import EMSet, SetOfParticles
from pyworkflow.protocol import Form, ProtStreamingBase

from ...convert.arriving import ID, ColumnOnce
from ...convert.particles.particles import ArrivingParticles, writeParticles
from ...engine.cryodl import contract
from ..batches import ArrivingBatches, BatchRun, appendToOutput
from ..engine_protocol import EngineProtocol
from ..protocol_base import RESULT_FILE
from .particle_kinds import Particles, ParticlesBase

OnParticlesT = TypeVar("OnParticlesT", contract.DenoiseConfig, contract.AssignOrientationsConfig)
MadeT = TypeVar("MadeT", contract.DenoiseOutputs, contract.AssignOrientationsOutputs)
OUTPUT = "outputParticles"
# What the engine learns from particles (their noise, how strongly they show the structure) needs hundreds of them.
BATCH = 500
# Seconds that a particle waits at most for others to fill its batch.
LONGEST_WAIT = 600
_HELP = (
    "All available particles are used, since larger batches give better results. When the input is complete, the "
    "remaining particles are the last batch."
)
_SET = "particles.sqlite"  # the particles of a batch, as a set of their own


class ParticleBatches(EngineProtocol[OnParticlesT, MadeT], ArrivingBatches, ParticlesBase, ProtStreamingBase):
    """Base. A child gives FORM, OUTPUT and BESIDE, files that the engine makes of a batch, and _append, which adds the
    batch to the output set. A batch takes all particles that are there: one, if the set is whole at the start."""

    _ITEM, _NAME, _OUTPUTS, _SIZE = "particle", ID, (OUTPUT,), "smallestBatch"
    BESIDE: Tuple[str, ...] = ()
    REUSED: Tuple[str, ...] = ()  # of earlier batches and runs of the project: linked, and used again if they suit

    def _addRunParams(self, form: Form) -> None:
        self._addBatchParams(form, _HELP, BATCH, LONGEST_WAIT)
        field = form.getParam(self._SIZE)
        field.label.set("Smallest batch")
        field.help.set(f"While particles arrive, the program is started when this many are waiting. {_HELP}")

    def stepsGeneratorStep(self) -> None:
        self._arriving = ArrivingParticles(self.inputParticles.get())
        self._insertBatches(self.batchStep, self.outputStep)

    def _partsOf(self, ready: List[int], all: bool) -> List[List[int]]:
        return [ready] if ready and (all or len(ready) >= max(1, self._batchLimit())) else []

    def _argumentOf(self, names: List[int]) -> str:
        folder = self._getExtraPath("batches", f"{names[0]:09d}_{names[-1]:09d}_{len(names)}")
        pwutils.makePath(folder)
        with self._lock:
            self._arriving.writeBatch(os.path.join(folder, _SET), names)
        return folder

    def batchStep(self, folder: str) -> None:
        """Run the engine on a batch. It writes files only; what it has made with the same settings stays."""
        for name in self.REUSED:
            made = glob.glob(os.path.join(os.path.dirname(self.getWorkingDir()), "*", "extra", "batches", "*", name))
            for number, path in enumerate(sorted(made, key=os.path.getmtime)[-5:]):  # the newest
                pwutils.createLink(path, os.path.join(folder, f"earlier{number}_{name}"))
        batch = self._batchIn(folder)
        writeParticles(self._batchFile(folder), batch)
        config = self._configIn(folder)
        self._runOnce(config, *(os.path.join(folder, name) for name in (self.OUTPUT, *self.BESIDE)), folder=folder)
        batch.close()

    def outputStep(self, folder: str) -> None:
        with self._lock:
            batch, done, isNew = self._batchIn(folder), self._doneNames(), not self.hasAttribute(OUTPUT)

            def append(output: EMSet) -> None:
                if not done.issuperset(batch.getIdSet()):
                    self._append(output, batch, contract.Result.read(os.path.join(folder, RESULT_FILE)).outputs, done)
                batch.close()

            appendToOutput(self, OUTPUT, self._newOutput, (), append)
            if isNew:
                self._defineRelations(getattr(self, OUTPUT))

    def _newOutput(self) -> SetOfParticles:
        output = SetOfParticles.create(self._getPath())
        output.copyInfo(self.inputParticles.get())
        self._describeOutput(output)
        return output

    def _batchIn(self, folder: str) -> SetOfParticles:
        batch = SetOfParticles(filename=os.path.join(folder, _SET))
        batch.loadAllProperties()
        return batch

    def _batchFile(self, folder: str) -> str:
        return os.path.join(folder, "particles.star")

    def _configIn(self, folder: str) -> OnParticlesT:
        """The engine's config of a batch. Contrast that is to be found out is that of a larger batch, if one is done:
        a few particles, as the last batch may have, do not tell it."""
        written = {n: v for part in self.FORM if not isinstance(part, Particles) for n, v in part.files(self).items()}
        output = os.path.join(folder, self.OUTPUT)
        config = dataclasses.replace(self._config(**written), particles=self._batchFile(folder), output=output)
        known = self._contrastOfLarger(folder) if config.contrast == "auto" else None
        return dataclasses.replace(config, contrast=known) if known else config

    def _contrastOfLarger(self, folder: str) -> Optional[str]:
        """Contrast in the largest batch that is done and larger than this one; None if there is none."""
        paths = [path for path in self._engineResultFiles() if os.path.dirname(path) != folder]
        made: List[MadeT] = [contract.Result.read(path).outputs for path in paths]
        largest = max(made, key=lambda one: one.count or 0, default=None)
        larger = largest is not None and (largest.count or 0) > int(folder.rsplit("_", 1)[1])
        return largest.contrast if largest is not None and larger else None

    def _begun(self) -> List[Tuple[str, Set[int]]]:
        done, paths = self._doneNames(), glob.glob(os.path.join(glob.escape(self._getExtraPath("batches")), "*", _SET))
        begun = [(path, ColumnOnce(ID).update(SetOfParticles(filename=path))) for path in sorted(paths)]
        return [(os.path.dirname(path), ids) for path, ids in begun if not done.issuperset(ids)]

    def _describeOutput(self, output: EMSet) -> None:
        """What the new output set has that its input does not have."""

    def _defineRelations(self, output: EMSet) -> None:
        for pointer in [pointer for part in self.FORM for pointer in part.pointers(self)]:
            self._defineSourceRelation(pointer, output)

    _append: Any  # see above: output, the batch, what the engine made of it, ids that are done

    _checkTogether = BatchRun._checkTogether

    def _tell(self, results: Sequence[contract.Result]) -> List[str]:
        output = getattr(self, OUTPUT, None)
        return ([] if output is None else [f"*{output.getSize()} particles* {self._MADE}"]) + super()._tell(results)
