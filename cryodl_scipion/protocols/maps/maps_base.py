# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on maps share: pointers, frames, copies for the engine, and the improver."""

import glob
import json
import os
from typing import Any, List, Optional, Sequence, Tuple

from pwem.objects import AtomStruct, EMObject, EMSet, Volume

from ...convert.maps import frameOf, isMrc, mapForEngine, unequalVoxels
from ...convert.structures import structureFileOf, structureProblem
from ...engine.cryodl.contract.result import write_json
from ..protocol_base import OneRunBase

_FRAME_FILE = "frame.json"


class MapsBase(OneRunBase):
    """Base of the protocols on maps, beside EngineProtocol."""

    # ----- files for the engine
    def _position(self, volume: Volume, structure: AtomStruct, name: str = _FRAME_FILE) -> Tuple[float, float, float]:
        """(x, y, z) Å where a map begins in the frame of a model; written down for the summary."""
        frame = frameOf(volume, structureFileOf(structure), self.frame.get())
        os.makedirs(self._inputFolder(), exist_ok=True)
        write_json(os.path.join(self._inputFolder(), name), frame._asdict())
        return frame.xyz

    def _frameLines(self) -> List[str]:
        """How maps and models were fitted to each other, for the summary."""
        frames = []
        for path in sorted(glob.glob(os.path.join(glob.escape(self._inputFolder()), "frame*.json"))):
            with open(path, encoding="utf-8") as file:
                frames.append(json.load(file))
        return [
            f"Map and model fit by: {frame['word']} (the map begins at "
            f"{', '.join(f'{value:.2f}' for value in frame['xyz'])} Å)"
            for frame in frames
        ]

    def _mapFor(
        self, volume: Volume, origin: Optional[Tuple[float, float, float]] = None, pixelSize: bool = False
    ) -> str:
        return mapForEngine(volume, self._inputFolder(), origin, pixelSize)

    # ----- checks
    def _checkMap(self, volume: Volume, what: str = "map") -> List[str]:
        """A sentence about a map that cannot be used, in a list."""
        path = structureFileOf(volume)
        if not os.path.isfile(path):
            return [f"The file of the {what}, {path or '(no name)'}, does not exist. Import it again."]
        if not volume.getSamplingRate() or volume.getSamplingRate() <= 0:
            return [f"The {what} {path} has no pixel size (sampling rate). Import it again with its pixel size."]
        return []

    def _checkSameGrid(self, volume: Volume, other: Volume, what: str) -> List[str]:
        """A sentence about a mask, half-map or other map that is not on the grid of a map, in a list."""
        ours, theirs = volume.getDim(), other.getDim()
        if tuple(ours) != tuple(theirs):
            return [
                f"The {what} has {' x '.join(map(str, theirs))} voxels, the map {' x '.join(map(str, ours))}. They "
                "must have the same grid; resample one to the grid of the other first."
            ]
        if abs(other.getSamplingRate() / volume.getSamplingRate() - 1) > 0.01:
            return [
                f"The {what} has {other.getSamplingRate():.4g} Å/px, the map {volume.getSamplingRate():.4g} Å/px. "
                "They must have the same grid; resample one to the grid of the other first."
            ]
        return []

    def _voxelWarnings(self, volumes: Sequence[Volume]) -> List[str]:
        """Sentences about maps whose header has voxels that are no cubes: Scipion knows one pixel size only."""
        found = [
            (v, unequalVoxels(structureFileOf(v))) for v in volumes if isMrc(v) and os.path.exists(structureFileOf(v))
        ]
        return [
            f"The voxels of {structureFileOf(v)} are {' x '.join(f'{n:.4g}' for n in sizes)} Å according to its "
            f"header; Scipion's pixel size of {v.getSamplingRate():.4g} Å is used instead. If the header is right, "
            "resample the map first."
            for v, sizes in found
            if sizes
        ]


def mapClonesOf(objects: Sequence[EMObject]) -> List[EMObject]:
    """Clones of the items of sets, and objects that are no sets, in their order."""
    items = []
    for found in objects:
        items += [item.clone() for item in found] if isinstance(found, EMSet) else [found]
    return items


def structureProblems(structures: Sequence[AtomStruct]) -> List[str]:
    return [problem for problem in map(structureProblem, structures) if problem]


def ownOrigin(volume: Volume) -> Any:
    """Scipion's origin for what is made of a map: the map's own, None if it has none."""
    return volume.getOrigin() if volume.hasOrigin() else None
