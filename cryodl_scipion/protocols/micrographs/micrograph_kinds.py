# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on micrographs."""

from typing import Any, Dict, List, TypedDict

from pwem.objects import SetOfCoordinates, SetOfMicrographs

from ...convert.arriving import ArrivingMicrographs, checkPicks
from .. import checks, kinds


class Acquired(TypedDict):
    pixel_size: float
    voltage: float
    spherical_aberration: float
    amplitude_contrast: float


ACQUISITION = tuple(Acquired.__annotations__)[1:]


def pixelsAndAcquisition(micrographs: SetOfMicrographs) -> Acquired:
    """What the engine is told of all micrographs of a set, by the names of the contract."""
    acquisition = micrographs.getAcquisition()
    return Acquired(
        pixel_size=micrographs.getSamplingRate(),
        voltage=acquisition.getVoltage(),
        spherical_aberration=acquisition.getSphericalAberration(),
        amplitude_contrast=acquisition.getAmplitudeContrast(),
    )


class Micrographs(kinds.Growing):
    """Micrographs. Their files and names are given batch by batch; what decides the output is their set.

    acquisition: whether the engine is also told voltage, spherical aberration and amplitude contrast. picks: field of
    coordinates that each micrograph waits for."""

    CLASSES, LABEL = "SetOfMicrographs", "Input micrographs"

    def __init__(self, name: str, help: str, acquisition: bool = False, picks: str = "", **others: Any) -> None:
        self._picks = picks
        own = ("micrographs", "names", "pixel_size") + (ACQUISITION if acquisition else ())
        super().__init__(name, help + " They may still be arriving.", **dict(dict(to=own), **others))

    def valuesOf(self, protocol: Any, found: SetOfMicrographs) -> Dict[str, Any]:
        known = dict(pixelsAndAcquisition(found), micrographs=(found.getFileName(),), names=())
        return {name: known[name] for name in self.fills}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        # Finished micrographs are remembered by their ids, which another set gives to other micrographs.
        others = {name: value for name, value in self.values(protocol).items() if name not in ("micrographs", "names")}
        return dict(others, set_of_micrographs=getattr(self.of(protocol), "getFileName", str)())

    def arriving(self, protocol: Any) -> ArrivingMicrographs:
        return ArrivingMicrographs(self.of(protocol), getattr(protocol, self._picks).get() if self._picks else None)

    def check(self, protocol: Any, found: SetOfMicrographs) -> List[str]:
        return checks.checkMicrographs(found) or (checks.checkAsTaken(found) if "voltage" in self.fills else [])


class Coordinates(kinds.Pointing):
    """Picks on the micrographs of the form, in a folder with a STAR file for each micrograph."""

    CLASSES, LABEL, to = "SetOfCoordinates", "Input coordinates", ("coordinates",)
    KNOWN_AS = "set_of_coordinates"

    def folder(self, protocol: Any) -> str:
        return protocol._getExtraPath("coordinates")

    def valuesOf(self, protocol: Any, found: SetOfCoordinates) -> Dict[str, Any]:
        return {name: self.folder(protocol) for name in self.fills}

    def check(self, protocol: Any, found: SetOfCoordinates) -> List[str]:
        return checkPicks(protocol.inputMicrographs.get(), found)
