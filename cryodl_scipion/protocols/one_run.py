# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of the protocols that run the engine once, on files that are written from the inputs before."""

import os
from typing import Any, List, Optional, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import EMObject, Volume
from pwem.protocols import EMProtocol
from pyworkflow import BETA

from ..convert.structures import structureFileOf, structureForEngine
from ..engine.cryodl import contract
from ..engine.cryodl.contract import Result
from .protocol_base import RESULT_FILE, CryodlProtBase


class OneRunBase(CryodlProtBase, EMProtocol):
    """A child gives _checkInputs and _engineValues as CryodlProtBase has them."""

    _devStatus = BETA

    # ----- files for the engine
    def _inputFolder(self) -> str:
        return self._getExtraPath("input")

    def _structureFor(self, structure: Volume, named: bool = False) -> str:
        """The structure's file for the engine, which exists from the first step on. named: by the structure's name."""
        pwutils.makePath(self._inputFolder())
        return structureForEngine(structure, self._inputFolder(), named)

    def _runOnce(
        self, config: Any, *outputs: str, goesOn: bool = False, folder: Optional[str] = None, names: Sequence[str] = ()
    ) -> Result:
        """Run the engine, unless it has made `outputs` with the same settings. Returns the contract's Result.

        goesOn: the engine knows what is finished in its folder, and goes on there. folder: of request and result, where
        the engine runs several times. names: of the config's items, for the engine.
        """
        folder = folder or self._getExtraPath()
        self._forgetOther(config, folder, *outputs, names=names)
        path = os.path.join(folder, RESULT_FILE)
        if os.path.exists(path) and all(os.path.exists(output) for output in outputs):
            return contract.Result.read(path)
        if not goesOn:
            # without its result an output tells too little: the run was killed between the two
            pwutils.cleanPath(*outputs)
        return self._runEngine(config, folder, names)

    def _result(self) -> Any:
        """The contract's Result of the run, None before it is there."""
        path = self._getExtraPath(RESULT_FILE)
        return contract.Result.read(path) if os.path.exists(path) else None

    def _pointed(self, name: str) -> Any:
        """[object] of a list of pointers."""
        return [pointer.get() for pointer in getattr(self, name) if pointer.get() is not None]

    def _structureName(self, structure: EMObject) -> str:
        return os.path.basename(structureFileOf(structure))

    def _citations(self) -> List[str]:
        return ["cryodl"]
