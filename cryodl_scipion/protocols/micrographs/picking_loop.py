# SPDX-License-Identifier: GPL-3.0-or-later
"""What pwem's picking loop reads at each look, some seconds apart: here only what is new since the last one."""

import os
from typing import Any, Dict, Iterable, List, Tuple

from pwem.objects import Micrograph, SetOfCoordinates

from ...convert.growing import ColumnOnce, ReadOnce, asInItsFile, reopened
from ...engine.cryodl import contract
from ..batches import batchResultFiles
from ..inputs import ProtocolMixin


class FoundFast(list):
    """A list of ids in which the loop looks for each micrograph."""

    def __init__(self, ids: Iterable[int]) -> None:
        super().__init__(ids)
        self._set = set(self)

    def __contains__(self, objId: object) -> bool:
        return objId in self._set


class PickingLoop(ProtocolMixin):
    """Mixin; it stands before ProtParticlePickingAuto. Without it the work of a run goes with the square of its
    micrographs."""

    def _loadInputList(self) -> Tuple[Dict[str, Micrograph], bool]:
        once = self.__dict__.setdefault("_input", ReadOnce(self.getInputMicrographs(), lambda m: m.getMicName()))
        closed = once.update()
        return {name: m for name, m in once.byName.items() if name not in self.micDict}, closed

    def _readDoneList(self) -> List[int]:
        # without an output nothing has been delivered, whatever was noted before it was lost
        return FoundFast(super()._readDoneList() if self.hasAttribute("outputCoordinates") else ())

    def _engineResultFiles(self) -> List[str]:
        return batchResultFiles(self)

    def _newResults(self) -> Tuple[Dict[str, str], List[Any]]:
        """({micrograph's name: STAR file}, results of the engine) of all batches by now; each result is read once."""
        files, known = self.__dict__.setdefault("_known", ({}, {}))
        for path in self._engineResultFiles():
            stamp = os.stat(path).st_mtime_ns
            if known.get(path, (None,))[0] != stamp:
                known[path] = stamp, contract.Result.read(path)
                files.update(known[path][1].outputs.coordinates)
        return files, [result for _, result in known.values()]

    def _micrographsIn(self, coordinates: SetOfCoordinates) -> Any:
        """Ids of the micrographs whose picks the output has, also those of a run that died before noting them down."""
        if not self.hasAttribute("outputCoordinates") or not asInItsFile(coordinates):
            return set()
        column = self.__dict__.setdefault("_pickedIds", ColumnOnce("_micId"))
        return column.update(reopened(SetOfCoordinates, coordinates))
