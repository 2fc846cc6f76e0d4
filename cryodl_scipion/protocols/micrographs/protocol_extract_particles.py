# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut particles out of micrographs as picks and CTFs come."""

import os
from typing import Any, Dict, List, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import EMSet, SetOfParticles
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase, params
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.arriving import PickedMicrographs, checkPicks
from ...convert.micrographs.picks import diameterInPixels
from ...convert.particles.extracted import extractedParticles, writeCtfs
from ...engine.cryodl import __version__, contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..batches import ArrivingBatches
from ..checks import checkDiameter, checkMicrographs
from ..form_parts import addPointer, notOnForm
from ..growing_outputs import appendItems
from ..protocol_base import CryodlProtBase

OUTPUT = "outputParticles"


class CryodlProtExtractParticles(CryodlProtBase, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Cut particles out of micrographs, as RELION's extraction does; no other program is needed.

    In: coordinates and, for all that follows, the micrographs' CTFs; both may still be growing. A micrograph is worked
    on as soon as it has both. Out: particles of one box size, normalised, protein bright, each with its coordinate and
    its CTF. Boxes that reach over the edge are left out and counted. A stopped run continues where it was.
    """

    _label = "extract particles"
    _devStatus = BETA
    _CONFIG = contract.ExtractParticlesConfig
    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "cut", "cut out of"
    NOT_ON_FORM = notOnForm(
        "output",
        "threads",
        micrographs="the coordinates' micrographs, or those given",
        pixel_size="the micrographs' sampling rate",
        coordinates="written from the input set",
        ctf="written from the input set",
        voltage="the micrographs' acquisition",
        spherical_aberration="the micrographs' acquisition",
        amplitude_contrast="the micrographs' acquisition",
        names="made from the micrographs' names",
    )
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputCoordinates",
            "SetOfCoordinates",
            "Coordinates",
            "Picks of any program. They may still be growing.",
            important=True,
        )
        addPointer(
            form,
            "inputCTF",
            "SetOfCTF",
            "CTFs",
            "CTFs of the micrographs, matched by micrograph name. They may still be growing. Micrographs without a "
            "CTF are left out.\n\nEmpty: particles without CTF, which 3-D steps cannot use.",
            allowsNull=True,
            important=True,
        )
        addPointer(
            form,
            "inputMicrographs",
            "SetOfMicrographs",
            "Other micrographs",
            "Micrographs to extract from instead of those that were picked, matched by name; for instance the raw "
            "ones, if denoised micrographs were picked. Coordinates are scaled to their pixel size.\n\nEmpty: the "
            "micrographs of the coordinates.",
            allowsNull=True,
            expertLevel=params.LEVEL_ADVANCED,
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["particle_diameter", "box", "scaled_box", "contrast", "normalise", "flip_phases", "edge"],
            particle_diameter=dict(
                more="\n\nEmpty: the diameter stored with the coordinates, or two thirds of their box size."
            ),
        )
        self._addBatchParams(form, "It starts with micrographs that have picks and CTF.")

    def usesGpu(self) -> bool:
        return False  # no network runs

    # ----- steps
    def stepsGeneratorStep(self) -> None:
        self._arriving = PickedMicrographs(self._micrographs(), self.inputCoordinates.get(), self.inputCTF.get())
        self._insertBatches(self.extractStep, self.outputStep)

    def extractStep(self, names: Any) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            micrographs, files = self._batchItems(names)
            engineNames = self._arriving.engineNames()
            ctfs, folder = self._arriving.ctfsOf(names), self._batchFolder(micrographs)
            pwutils.makePath(folder)
            self._arriving.writePicks(os.path.join(folder, "picks"), micrographs)
        values = dict(coordinates=os.path.join(folder, "picks"), output=os.path.join(folder, "particles.star"), **files)
        if ctfs:
            values["ctf"] = os.path.join(folder, "ctf.star")
            writeCtfs(values["ctf"], {engineNames[m.getObjId()]: ctfs[m.getMicName()] for m in self._with(ctfs, names)})
        config = self._config(**dict(self._engineValues(), **values))
        try:
            if ctfs is not None and not ctfs:
                raise contract.AllSkipped("it has no CTF")
            self._runEngine(config, folder)
        except contract.AllSkipped as error:
            empty = dict(particles=None, folder=None, stacks={}, counts={}, at_edge={}, unusable={})
            self._noteAllSkipped(config, folder, error, count=0, box=None, pixel_size=None, **empty)

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the set; micrographs whose particles it has already are left alone."""
        with self._lock:
            done = self._doneNames()
            micrographs = self._arriving.items(names)
            made = self._batchResult(micrographs).outputs
            if not made.count:
                return
            wanted = {m.getFileName(): m for m in micrographs}
            found = extractedParticles(
                made.particles,
                wanted,
                self._arriving.coordinatesOn(micrographs),
                self._arriving.ctfsOf(names),
                self.inputCoordinates.get().getMicrographs().getSamplingRate() / self._micrographs().getSamplingRate(),
                made.pixel_size,
            )
            new = [item for item in found if item.getCoordinate().getMicName() not in done]
            if new:
                appendItems(
                    self,
                    OUTPUT,
                    self.inputCoordinates,
                    new,
                    SetOfParticles,
                    lambda output: self._describe(output, made.pixel_size),
                    self._micrographs(),
                )

    def _describe(self, output: EMSet, pixelSize: float) -> None:
        output.setSamplingRate(pixelSize)
        output.setHasCTF(self.inputCTF.get() is not None)
        output.setIsPhaseFlipped(self.flipPhases.get())
        output.setCoordinates(self.inputCoordinates)

    def _with(self, ctfs: Dict[str, Any], names: Sequence[str]) -> List[Any]:
        return [m for m in self._arriving.items(names) if m.getMicName() in ctfs]

    def _doneNames(self) -> Any:
        done = self._valuesIn(OUTPUT, "_micId")
        if not done:
            return set()
        names = self._arriving.idsOfNames() or {m.getObjId(): m.getMicName() for m in self._micrographs()}
        return {names[objId] for objId in done}

    # ----- what the steps share
    def _micrographs(self) -> Any:
        other = self.inputMicrographs.get()
        return self.inputCoordinates.get().getMicrographs() if other is None else other

    def _diameter(self) -> Any:
        """Å, None if nobody knows it."""
        coordinates = self.inputCoordinates.get()
        if self.particleDiameter.get():
            return self.particleDiameter.get()
        pixels = diameterInPixels(coordinates)
        return round(pixels * coordinates.getMicrographs().getSamplingRate(), 1) if pixels else None

    def _settings(self) -> Dict[str, Any]:
        """What decides the particles: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "micrographs", "coordinates", "ctf"):
            config.pop(name, None)
        sets = dict(set_of_micrographs=self._micrographs(), coordinates=self.inputCoordinates.get())
        sets["ctfs"] = self.inputCTF.get()
        return dict(config, **{name: None if s is None else s.getFileName() for name, s in sets.items()})

    def _engineValues(self) -> Dict[str, Any]:
        micrographs, ctfs = self._micrographs(), self.inputCTF.get()
        acquisition = micrographs.getAcquisition()
        return dict(
            micrographs=(micrographs.getFileName(),),
            names=(),
            coordinates=self._getExtraPath(),
            ctf=None if ctfs is None else ctfs.getFileName(),
            pixel_size=micrographs.getSamplingRate(),
            particle_diameter=self._diameter(),
            voltage=acquisition.getVoltage(),
            spherical_aberration=acquisition.getSphericalAberration(),
            amplitude_contrast=acquisition.getAmplitudeContrast(),
            threads=self.binThreads.get(),
            output=self._getExtraPath("particles.star"),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        coordinates = self.inputCoordinates.get()
        if coordinates.getMicrographs() is None:
            return [
                "The coordinates are not linked to micrographs. Choose coordinates that belong to a set of micrographs."
            ]
        micrographs = self._micrographs()
        errors = checkMicrographs(micrographs) + self._checkBatches()
        problem = checkPicks(micrographs, coordinates) if self.inputMicrographs.get() is not None else ""
        errors += [problem] if problem else []
        if not errors and self._diameter() is None:
            errors.append("Particle diameter is empty, and the coordinates do not store it. Give the diameter, in Å.")
        if not errors:
            errors = checkDiameter(self._diameter(), micrographs)
        return errors or self._checkContinuation()

    def _tell(self, results: Sequence[Result]) -> List[str]:
        output = getattr(self, OUTPUT, None)
        if output is None:
            return ["No particles yet."]
        edge = sum(sum(r.outputs.at_edge.values()) for r in results)
        size = "" if not output.getDim() else f" of {output.getXDim()} px"
        lines = [f"*{counted(output.getSize(), 'particle')}*{size}, {output.getSamplingRate():.4g} Å/px"]
        return lines + ([f"{edge} picks were left out because their box extends beyond the edge."] if edge else [])

    def _methods(self) -> List[str]:
        output = getattr(self, OUTPUT, None)
        if output is None:
            return []
        return [
            f"{counted(output.getSize(), 'particle')} were extracted from the "
            f"micrographs{' and normalised' if self.normalise.get() else ''} with cryodl {__version__}."
        ]

    def _citations(self) -> List[str]:
        return ["cryodl"]
