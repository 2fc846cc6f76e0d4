# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles by projections of a structure, or by blobs: the reference that learning must beat."""

import os
from typing import Any, Dict, List, Sequence

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.coordinates import appendPicks, readPicks
from ...convert.micrographs.picks import boxSizeFor, describeOutput
from ...convert.structures import structureFileOf
from ...engine.cryodl import __version__, contract
from ...engine.cryodl.contract import Result, counted, score_text
from ...form import addConfigParams
from ..checks import checkDiameter, checkMicrographs
from ..one_run import OneRunBase

PICKS_FOLDER = "picks"


class CryodlProtPickTemplates(OneRunBase):
    """Pick particles by comparing micrographs with templates, without a network.

    In: micrographs, and a map or an atomic model of the particle, whose projections are sought; or a particle diameter,
    of round blobs. Out: coordinates, each with its correlation coefficient as score. It is there for comparison: set
    its coordinates beside those of other pickers in `cryodl - compare coordinates`.
    A stopped run continues where it was.
    """

    _label = "pick by templates"
    _CONFIG = contract.PickTemplatesConfig
    _MADE = "picked"
    NOT_ON_FORM = {
        "micrographs": "the input set",
        "pixel_size": "the micrographs' sampling rate",
        "structure": "the pointer",
        "output": "the run's folder",
        "overwrite": "restart does it",
        "pictures": "Analyze results shows all picks",
        "names": "made from the micrographs' names",
        "threads": "Scipion's own field",
    }

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "inputMicrographs",
            params.PointerParam,
            pointerClass="SetOfMicrographs",
            important=True,
            label="Micrographs",
            help="Micrographs to pick.",
        )
        form.addParam(
            "inputStructure",
            params.PointerParam,
            pointerClass="Volume,AtomStruct",
            allowsNull=True,
            label="Structure",
            help=contract.describe(self._CONFIG, "structure").help + "\n\nEmpty: round blobs of the particle diameter.",
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["particle_diameter", "threshold", "angular_step", "contrast", "minimum_distance", "border"],
            particle_diameter=dict(condition="inputStructure is None"),
        )
        form.addParam(
            "boxSize",
            params.IntParam,
            default=None,
            allowsNull=True,
            label="Box size (px)",
            help="Box size of the coordinates, in pixels of the micrographs.\n\nEmpty: 1.5 times the diameter.",
        )
        form.addParallelSection(threads=2, mpi=0)

    def usesGpu(self) -> bool:
        return False

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.pickStep, settings, needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, settings, self.boxSize.get() or 0, needsGPU=False)

    def pickStep(self, settings: Dict[str, Any]) -> None:
        structure = self.inputStructure.get()
        file = None if structure is None else self._structureFor(structure)
        self._runOnce(self._config(**dict(self._engineValues(), structure=file)), goesOn=True)

    def createOutputStep(self, settings: Dict[str, Any], boxSize: int) -> None:
        result = self._result()
        micrographs = self.inputMicrographs.get()
        items = [m.clone() for m in micrographs]
        names, files = micrographNames(items), result.outputs.coordinates
        diameter = result.outputs.particle_diameter
        output = self._createSetOfCoordinates(self.inputMicrographs)
        output.setBoxSize(boxSize or boxSizeFor(diameter, micrographs.getSamplingRate()))
        describeOutput(output, os.path.join(self._engineValues()["output"], "candidates"), diameter)
        for micrograph in items:
            path = files.get(names[micrograph.getObjId()])
            if path:
                appendPicks(output, micrograph, readPicks(path))
        self._defineOutputs(outputCoordinates=output)
        self._defineSourceRelation(self.inputMicrographs, output)

    def _engineValues(self) -> Any:
        micrographs, structure = self.inputMicrographs.get(), self.inputStructure.get()
        items = [m.clone() for m in micrographs]
        names = micrographNames(items)
        return dict(
            micrographs=tuple(m.getFileName() for m in items),
            names=tuple(names[m.getObjId()] for m in items),
            pixel_size=micrographs.getSamplingRate(),
            structure=None if structure is None else structureFileOf(structure),
            particle_diameter=self.particleDiameter.get() if structure is None else None,
            output=self._getExtraPath(PICKS_FOLDER),
            pictures=0,
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        micrographs = self.inputMicrographs.get()
        errors = checkMicrographs(micrographs)
        if self.inputStructure.get() is None:
            if self.particleDiameter.get() is None:
                errors.append(
                    "Give either a Structure, whose projections are the templates, or the Particle diameter of "
                    "round blobs."
                )
            else:
                errors += checkDiameter(self.particleDiameter.get(), micrographs)
        else:
            errors += self._checkStructure(self.inputStructure.get())
        if self.boxSize.get() is not None and self.boxSize.get() < 2:
            errors.append(f"Box size (px) is {self.boxSize.get()}; it must be at least 2, or empty.")
        return errors

    def _tell(self, results: Sequence[Result]) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return ["No coordinates yet."]
        outputs = results[-1].outputs
        return [
            f"*{counted(outputs.picks, 'pick')}* on {counted(len(outputs.counts), 'micrograph')} with a correlation "
            f"coefficient of at least {score_text(outputs.threshold)}; expected false picks: "
            f"{outputs.expected_false_picks}",
            f"{counted(outputs.templates, 'template')}, particle diameter {outputs.particle_diameter:.0f} Å",
        ]

    def _methods(self) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return []
        what = "round blobs" if self.inputStructure.get() is None else "projections of a structure"
        return [
            f"{counted(coordinates.getSize(), 'particle')} were picked with cryodl {__version__} by their locally "
            f"normalised cross-correlation with {what}."
        ]

    def _citations(self) -> List[str]:
        return ["cryodl", "Roseman2003"]
