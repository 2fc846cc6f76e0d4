# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on micrographs."""

from typing import Any, Dict, List

from pwem.objects import SetOfMicrographs

from ...convert.arriving import ArrivingMicrographs
from ..checks import checkMicrographs
from ..kinds import Growing

_ACQUISITION = ("voltage", "spherical_aberration", "amplitude_contrast")


class Micrographs(Growing):
    """Micrographs. Their files and names are given batch by batch; what decides the output is their set.

    acquisition: whether the engine is also told voltage, spherical aberration and amplitude contrast.
    """

    CLASSES, LABEL = "SetOfMicrographs", "Micrographs"

    def __init__(self, name: str, help: str, acquisition: bool = False, **others: Any) -> None:
        own = ("micrographs", "names", "pixel_size") + (_ACQUISITION if acquisition else ())
        super().__init__(name, help + " They may still be arriving.", **dict(dict(to=own), **others))

    def valuesOf(self, protocol: Any, found: SetOfMicrographs) -> Dict[str, Any]:
        acquisition = found.getAcquisition()
        known = dict(
            micrographs=(found.getFileName(),),
            names=(),
            pixel_size=found.getSamplingRate(),
            voltage=acquisition.getVoltage(),
            spherical_aberration=acquisition.getSphericalAberration(),
            amplitude_contrast=acquisition.getAmplitudeContrast(),
        )
        return {name: known[name] for name in self.fills}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        # Finished micrographs are remembered by their ids, which another set gives to other micrographs.
        others = {name: value for name, value in self.values(protocol).items() if name not in ("micrographs", "names")}
        return dict(others, set_of_micrographs=getattr(self.of(protocol), "getFileName", str)())

    def arriving(self, protocol: Any) -> ArrivingMicrographs:
        return ArrivingMicrographs(self.of(protocol), None)

    def check(self, protocol: Any, found: SetOfMicrographs) -> List[str]:
        return checkMicrographs(found)
