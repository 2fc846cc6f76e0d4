# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick filaments, as micrographs come."""

from typing import Dict, List, Sequence

from pwem.objects import Micrograph, SetOfCoordinates

from ...convert.micrographs.picks import boxSizeFor, filamentLines, segmentCoordinates, setDiameter
from ...engine.cryodl import contract
from .. import batches, checks, kinds
from .micrograph_kinds import Micrographs

SEGMENTS = "outputCoordinates"


class CryodlProtPickFilaments(batches.BatchRun[contract.PickFilamentsConfig, contract.PickFilamentsOutputs]):
    """Trace filaments in micrographs and place segments along them, for helical processing.

    In: micrographs (also while they are still arriving) and the diameter of the filament. Out: coordinates, each
    with the number of its filament, the in-plane angle of the axis and the position along it, as RELION names them.
    Crossings and filaments that end too soon are left out. A stopped run continues where it was."""

    _label = "pick filaments"
    _OUTPUTS, _WORK, _MADE = (SEGMENTS,), "pick", "picked"
    OUTPUT, NOTHING_YET = "segments", "No filaments yet."
    CITES = contract.network_citations("filament_picker", "unet")
    FORM = (
        Micrographs("inputMicrographs", "Micrographs with filaments."),
        kinds.Options("filament_diameter", "segment_distance", "minimum_length", "threshold"),
        kinds.Options("contrast", "keep_edges", "border"),
        kinds.BoxSize("micrographs", "three times the filament diameter, rounded to an even number"),
    )
    NOT_ON_FORM = {"model": "the one that comes with the plugin"}

    def _append(self, items: Dict[str, Micrograph], made: contract.PickFilamentsOutputs) -> None:
        found = {name: micrograph for name, micrograph in items.items() if name in made.coordinates}
        segments = [s for name, item in found.items() for s in segmentCoordinates(made.coordinates[name], item)]
        if segments or not hasattr(self, SEGMENTS):
            batches.appendItems(
                self, SEGMENTS, self.inputMicrographs, segments, SetOfCoordinates, self._describe, SetOfCoordinates()
            )

    def _describe(self, coordinates: SetOfCoordinates) -> None:
        config = self._config()
        coordinates.setMicrographs(self.inputMicrographs)
        # Twice the usual margin of 1.5 diameters: a box of a filament holds some of its repeats.
        coordinates.setBoxSize(self.boxSize.get() or boxSizeFor(2 * config.filament_diameter, config.pixel_size))
        setDiameter(coordinates, config.filament_diameter)

    def _checkTogether(self) -> List[str]:
        return (
            checks.checkDiameter(self._config().filament_diameter, self.inputMicrographs.get())
            or super()._checkTogether()
        )

    def _tell(self, results: Sequence[contract.Result[contract.PickFilamentsOutputs]]) -> List[str]:
        return filamentLines(results) if hasattr(self, SEGMENTS) else [self.NOTHING_YET]
