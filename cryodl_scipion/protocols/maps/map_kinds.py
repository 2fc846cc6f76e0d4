# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on maps: maps, half-maps, masks, and which origin places a map beside a model."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import AtomStruct, EMObject, EMSet, Volume
from pyworkflow.protocol import params

from ...convert.maps import FRAMES, frameOf, mapForEngine, mapProblem, structureFileOf, structureProblem
from ...convert.reading import ENABLED, readJson
from ...engine.cryodl.contract import write_json
from .. import kinds, protocol_base

DOUBT = "Doubt: 0 where the density is in the data, 1 where it is not."
_FRAME_FILE = "frame.json"


class MapsBase(protocol_base.OneRunBase):
    def _position(self, volume: Volume, structure: AtomStruct, name: str = _FRAME_FILE) -> Tuple[float, float, float]:
        """(x, y, z) Å where a map begins in the frame of a model; written down for the summary."""
        frame = frameOf(volume, structureFileOf(structure), self.frame.get())
        os.makedirs(self._inputFolder(), exist_ok=True)
        write_json(os.path.join(self._inputFolder(), name), frame._asdict())
        return frame.xyz

    def _frameLines(self, name: str = _FRAME_FILE) -> List[str]:
        return [
            f"Map and model fit by: {frame['word']} (the map begins at "
            f"{', '.join(f'{value:.2f}' for value in frame['xyz'])} Å)"
            for frame in filter(None, [readJson(os.path.join(self._inputFolder(), name))])
        ]

    def _mapFor(
        self, volume: Volume, origin: Optional[Tuple[float, float, float]] = None, pixelSize: bool = False
    ) -> str:
        return mapForEngine(volume, self._inputFolder(), origin, pixelSize)

    def _checkSameGrid(self, volume: Volume, other: Volume, what: str) -> List[str]:
        ours, theirs = volume.getDim(), other.getDim()
        return kinds.sayIf(
            tuple(ours) != tuple(theirs),
            f"The {what} has {' x '.join(map(str, theirs))} voxels, the map {' x '.join(map(str, ours))}. They "
            "must have the same grid; resample one to the grid of the other first.",
        ) or kinds.sayIf(
            abs(other.getSamplingRate() / volume.getSamplingRate() - 1) > 0.01,
            f"The {what} has {other.getSamplingRate():.4g} Å/px, the map {volume.getSamplingRate():.4g} Å/px. "
            "They must have the same grid; resample one to the grid of the other first.",
        )


def mapClonesOf(objects: Sequence[EMObject]) -> List[EMObject]:
    """Clones of the ticked items of sets, and objects that are no sets, in their order."""
    ticked = lambda found: [item.clone() for item in found.iterItems(where=ENABLED)]
    return [one for found in objects for one in (ticked(found) if isinstance(found, EMSet) else [found])]


def ownOrigin(volume: Volume) -> Any:
    """Scipion's origin for what is made of a map: the map's own, None if it has none."""
    return volume.getOrigin() if volume.hasOrigin() else None


class Map(kinds.Pointing):
    """A map; what: its name in sentences."""

    CLASSES, LABEL = "Volume", "Input volume"
    to: Tuple[str, ...] = ("map", "pixel_size")

    def __init__(self, name: str, help: str, what: str = "map", **others: Any) -> None:
        super().__init__(name, help, **others)
        self.what = what

    def valuesOf(self, protocol: Any, found: Volume) -> Dict[str, Any]:
        known = dict.fromkeys(self.fills[:1], structureFileOf(found))
        return dict(known, pixel_size=found.getSamplingRate()) if "pixel_size" in self.fills else known

    def check(self, protocol: Any, found: Volume) -> List[str]:
        return mapProblem(found, self.what)


class Maps(Map):
    """A map, or a set of maps that are worked on one after the other."""

    CLASSES, to = "Volume,SetOfVolumes", ("map", "half_maps", "pixel_size")

    def items(self, protocol: Any) -> List[Volume]:
        return mapClonesOf([found for found in [self.of(protocol)] if found is not None])

    def values(self, protocol: Any) -> Dict[str, Any]:
        first = self.items(protocol)[:1]
        return super().valuesOf(protocol, first[0]) if first else dict.fromkeys(self.fills)

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return dict(maps=[super(Maps, self).valuesOf(protocol, volume) for volume in self.items(protocol)])

    def check(self, protocol: Any, found: EMObject) -> List[str]:
        empty = kinds.sayIf(not self.items(protocol), f"The set of {self.what}s is empty. Choose another.")
        return empty or [p for volume in self.items(protocol) for p in mapProblem(volume, self.what)]


class OtherMap(Map):
    SUGGESTED = False


class HalfMap(Map):
    LABEL, to = "Half-map", ()

    def __init__(self, name: str, help: str, what: str = "half-map", **others: Any) -> None:
        super().__init__(name, help, what, **others)
        self.KNOWN_AS = name


class MapMask(Map):
    CLASSES, LABEL, to = "VolumeMask,Volume", "Mask", ("mask",)
    SUGGESTED = False  # a map would become its own mask

    def filesOf(self, protocol: Any, found: Volume) -> Dict[str, Any]:
        return {self.fills[0]: protocol._mapFor(found)}


class MaskOrStructure(kinds.Pointing):
    CLASSES, LABEL, to = "VolumeMask,Volume,AtomStruct", "Mask", ("mask", "mask_structure")
    SUGGESTED = False

    def valuesOf(self, protocol: Any, found: EMObject) -> Dict[str, Any]:
        return dict(dict.fromkeys(self.fills), **{self.fills[isinstance(found, AtomStruct)]: structureFileOf(found)})

    def filesOf(self, protocol: Any, found: EMObject) -> Dict[str, Any]:
        return {} if isinstance(found, AtomStruct) else {self.fills[0]: protocol._mapFor(found)}

    def check(self, protocol: Any, found: EMObject) -> List[str]:
        return structureProblem(found) if isinstance(found, AtomStruct) else mapProblem(found, "mask")


class ManyMaps(kinds.PointingMany):
    """Maps, or sets of them; or models. Whether there are enough depends on the rest of the form."""

    CLASSES, LABEL = "Volume,SetOfVolumes", "Input volumes"

    def __init__(self, name: str, help: str, **others: Any) -> None:
        super().__init__(name, help, **dict(dict(allowsNull=True), **others))


class FrameChoice(kinds.Choice):
    def __init__(self, when: str = "True") -> None:
        super().__init__(
            "frame",
            "Map and model fit by",
            FRAMES,
            "Which origin places the map in the coordinate frame of the atomic model: the one that Scipion "
            f"stores, or the one in the file's header. They often differ for imported maps. *{FRAMES[0]}*: if "
            "they differ, the one with which the map has higher density at the atoms; the summary states which.",
            when=when,
            expertLevel=params.LEVEL_ADVANCED,
        )
