# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut particles out of micrographs as picks and CTFs come."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence, Set

import pyworkflow.utils as pwutils
from pwem.objects import EMSet, Micrograph, SetOfCoordinates, SetOfCTF, SetOfParticles
from pyworkflow.protocol import params

from ...convert import reading
from ...convert.arriving import PickedMicrographs, checkPicks, failedCtf, micNameOf
from ...convert.micrographs.picks import diameterInPixels
from ...convert.particles.results import extractedParticles, writeCtfs
from ...engine.cryodl import contract
from .. import batches, checks, kinds
from .micrograph_kinds import ACQUISITION, pixelsAndAcquisition

PARTICLES = "outputParticles"
_LEFT_OUT = dict(at_edge="the box extends beyond the edge", unusable="the box has constant or non-finite values")


class PicksToExtract(kinds.Growing):
    CLASSES, LABEL = "SetOfCoordinates", "Input coordinates"
    to = ("micrographs", "names", "coordinates", "pixel_size", *ACQUISITION)

    def valuesOf(self, protocol: Any, found: SetOfCoordinates) -> Dict[str, Any]:
        frame = protocol._micrographs()
        given = () if frame is None else (frame.getFileName(),)
        known = dict(micrographs=given, names=(), coordinates=protocol._getExtraPath())
        return known if frame is None else dict(known, **pixelsAndAcquisition(frame))

    def identity(self, protocol: Any) -> Dict[str, Any]:
        others = {name: value for name, value in self.values(protocol).items() if name in ("pixel_size", *ACQUISITION)}
        sets = dict(set_of_micrographs=protocol._micrographs(), coordinates=self.of(protocol))
        return dict(others, **{name: None if one is None else one.getFileName() for name, one in sets.items()})

    def arriving(self, protocol: Any) -> PickedMicrographs:
        return PickedMicrographs(protocol._micrographs(), self.of(protocol), protocol.inputCTF.get())

    def check(self, protocol: Any, found: SetOfCoordinates) -> List[str]:
        frame = protocol._micrographs()
        return (
            checkPicks(frame, found)
            or checks.checkMicrographs(frame)
            or checks.checkAsTaken(frame, protocol.flipPhases.get())
            or checks.sayIf(
                found.getSize() == 0 and found.isStreamClosed(), "The set of coordinates is empty. Pick first."
            )
        )


class Ctfs(kinds.Pointing):
    CLASSES, LABEL, to, KNOWN_AS = "SetOfCTF", "CTF estimation", ("ctf",), "ctfs"

    def valuesOf(self, protocol: Any, found: SetOfCTF) -> Dict[str, Any]:
        return dict(ctf=found.getFileName())

    def check(self, protocol: Any, found: SetOfCTF) -> List[str]:
        ours = {micrograph.getMicName() for micrograph in protocol._micrographs() or ()}
        failed = [failedCtf(ctf) for ctf in found if micNameOf(ctf) in ours]
        return checks.sayIf(
            found.isStreamClosed() and ours and all(failed),
            f"CTF estimation has {'only CTFs that failed or are unticked' if failed else 'no CTF of these micrographs'}"
            ". They are matched by name; choose other CTFs of these micrographs, or leave the field empty.",
        )


class CryodlProtExtractParticles(batches.BatchRun[contract.ExtractParticlesConfig, contract.ExtractParticlesOutputs]):
    """Cut particles out of micrographs, as RELION's extraction does; no other program is needed.

    In: coordinates and, for all that follows, the micrographs' CTFs; both may still be growing. A micrograph is worked
    on as soon as it has both. Out: particles of one box size, normalised, protein bright, each with its coordinate and
    its CTF. Boxes that reach over the edge are left out and counted. A stopped run continues where it was."""

    _label = "extract particles"
    _OUTPUTS, _WORK, _MADE, _ID = (PARTICLES,), "cut", "used", "_micId"
    OUTPUT, NOTHING_YET = "particles.star", "No particles yet."
    BATCH_HELP = "It starts with micrographs that have picks and CTF."
    FORM = (
        PicksToExtract("inputCoordinates", "Picks of any program. They may still be growing."),
        Ctfs(
            "inputCTF",
            "CTFs of the micrographs, matched by micrograph name. They may still be growing. Micrographs without a "
            "CTF are left out.",
            empty="particles without CTF, which 3-D steps cannot use",
            important=True,
            related=False,
        ),
        kinds.Pointing(
            "inputMicrographs",
            "Micrographs to extract from instead of those that were picked, matched by name; for instance the raw "
            "ones, if denoised micrographs were picked. Coordinates are scaled to their pixel size.",
            label="Other micrographs",
            pointerClass="SetOfMicrographs",
            empty="the micrographs of the coordinates",
            related=False,
            expertLevel=params.LEVEL_ADVANCED,
        ),
        kinds.Options("particle_diameter", more=" Empty, where none is stored: two thirds of the coordinates' box."),
    )

    def _ofBatch(
        self, config: contract.ExtractParticlesConfig, items: Sequence[Micrograph], folder: str
    ) -> contract.ExtractParticlesConfig:
        pwutils.makePath(folder)
        picks, ctfs = os.path.join(folder, "picks"), self._arriving.ctfsOf([item.getMicName() for item in items])
        self._arriving.writePicks(picks, items)
        config = dataclasses.replace(config, coordinates=picks, output=os.path.join(folder, self.OUTPUT), ctf=None)
        if ctfs:
            names, config = self._arriving.engineNames(), dataclasses.replace(config, ctf=f"{folder}/ctf.star")
            writeCtfs(config.ctf, {names[m.getObjId()]: ctfs[m.getMicName()] for m in items if m.getMicName() in ctfs})
        return config

    def _runEngine(self, config: contract.Config, folder: str, names: Sequence[str] = ()) -> contract.Result[Any]:
        without = isinstance(config, contract.ExtractParticlesConfig) and config.ctf is None
        if without and self.inputCTF.get() is not None:
            raise contract.AllSkipped("it has no CTF, or one that failed or is unticked in Scipion's table")
        return super()._runEngine(config, folder, names)

    def _append(self, items: Dict[str, Micrograph], made: contract.ExtractParticlesOutputs) -> None:
        if not made.count:
            return
        micrographs, frame = list(items.values()), self._micrographs()
        found = extractedParticles(
            made.particles,
            {m.getFileName(): m for m in micrographs},
            self._arriving.coordinatesOn(micrographs),
            self._arriving.ctfsOf([m.getMicName() for m in micrographs]),
            self.inputCoordinates.get().getMicrographs().getSamplingRate() / frame.getSamplingRate(),
            made.pixel_size,
        )
        if new := list(found):
            describe = lambda output: self._describe(output, made.pixel_size)
            batches.appendItems(self, PARTICLES, self.inputCoordinates, new, SetOfParticles, describe, frame)

    def _describe(self, output: EMSet, pixelSize: float) -> None:
        output.setSamplingRate(pixelSize)
        output.setHasCTF(self.inputCTF.get() is not None)
        output.setIsPhaseFlipped(self._config().flip_phases)
        output.setCoordinates(self.inputCoordinates)

    def _foundEmpty(self, done: Any) -> Set[str]:
        """Without those that have picks: they came since, or all lie at the edge."""
        return super()._foundEmpty(done) - self._arriving.picked

    def closeStep(self) -> None:
        super().closeStep()
        if not self._doneNames():
            told = ["No particle was cut out.", *self._tell(self._engineResults())[1:]]
            raise ValueError(" ".join([*told, "Are there picks, of these micrographs, at their binning?"]))

    def _micrographs(self) -> Any:
        other = self.inputMicrographs.get()
        return self.inputCoordinates.get().getMicrographs() if other is None else other

    def _diameter(self) -> Any:
        coordinates = self.inputCoordinates.get()
        pixels, pixelSize = diameterInPixels(coordinates), coordinates.getMicrographs().getSamplingRate()
        begun = reading.readJson(self._getExtraPath(batches.SETTINGS), {}) if self.isContinued() else {}
        exact = pixels * pixelSize if pixels else 0
        # rounded down: of more than two thirds of a box, 1.5 diameters are a larger one; runs go on with the nearest
        found = round(exact, 1) if begun.get("particle_diameter") == round(exact, 1) else int(10 * exact + 1e-6) / 10
        return self.particleDiameter.get() or found or None

    def _completed(self, config: contract.ExtractParticlesConfig) -> contract.ExtractParticlesConfig:
        return dataclasses.replace(config, particle_diameter=self._diameter())

    def _checkTogether(self) -> List[str]:
        return (
            checks.sayIf(
                self._diameter() is None,
                "Particle diameter is empty, and the coordinates do not store it. Give the diameter, in Å.",
            )
            or checks.checkDiameter(self._diameter(), self._micrographs())
            or super()._checkTogether()
        )

    def _warnings(self) -> List[str]:
        lost = checks.lackedBy(self.inputMicrographs.get(), self.inputCoordinates.get())
        return (
            super()._warnings()
            + lost
            + checks.sayIf(
                not self.inputCTF.hasValue(),
                "CTF estimation is empty: the particles will have no CTF, which orientations, maps and denoising need.",
            )
        )

    def _tell(self, results: Sequence[contract.Result[contract.ExtractParticlesOutputs]]) -> List[str]:
        output, lines = getattr(self, PARTICLES, None), [self.NOTHING_YET]
        if output is not None:
            size = "" if not output.getDim() else f" of {output.getXDim()} px"
            lines = [f"*{contract.counted(output.getSize(), 'particle')}*{size}, {output.getSamplingRate():.4g} Å/px"]
        for name, why in _LEFT_OUT.items():
            # one that lost all is in the batches of each start
            count = sum({mic: number for r in results for mic, number in r.outputs[name].items()}.values())
            lines += checks.sayIf(count, f"{contract.counted(count, 'pick')} left out: {why}.")
        return lines + checks.lackedBy(self.inputMicrographs.get(), self.inputCoordinates.get())
