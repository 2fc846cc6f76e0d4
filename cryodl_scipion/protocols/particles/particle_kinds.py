# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on particles."""

from typing import Any, Dict, List, Sequence

from pwem.objects import SetOfParticles

from ..kinds import Pointing
from .particle_checks import checkParticles


class Particles(Pointing):
    """Particles, which are written as a STAR file for the engine.

    need: of 'angles', 'ctf' and 'raw', see checkParticles. finite: False where the engine leaves out images with NaN.
    """

    CLASSES, LABEL, to = "SetOfParticles", "Particles", ("particles",)

    def __init__(
        self,
        name: str,
        help: str,
        need: Sequence[str] = (),
        finite: bool = True,
        what: str = "particles",
        **others: Any,
    ) -> None:
        super().__init__(name, help, **others)
        self._need, self._finite, self._what = tuple(need), finite, what

    def valuesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        return {name: protocol._particlesFile(found) for name in self.fills}

    def filesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        protocol._writeInputs(found)
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return {f"set_of_{name}": None if found is None else found.getFileName() for name in self.fills}

    def check(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return checkParticles(found, self._need, self._what, finite=self._finite)
