# SPDX-License-Identifier: GPL-3.0-or-later
"""Which particles are whole, and which lack a part."""

import os
import re
from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import SetOfParticles, Volume
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.particles.compositions import appendAssessed, appendLikely, classifyByComposition
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..methods import citationsOf
from .denoiser_words import integrityInWords, integrityLines
from .particle_checks import checkParticles, scaleWarnings
from .particles_base import ParticlesBase

_SUBSET = "outputParticles_%s"  # the name of a composition


class CryodlProtIntegrity(ParticlesBase):
    """Assign each particle of a complex the probability that it is whole or lacks a part.

    In: raw particles with CTF, and the compositions to distinguish, with and without the partner, in one common
    frame. Out: all particles with the probability of each composition, the classes of the most probable one, and a
    subset for each composition of the particles that have it with at least the chosen probability. The images are
    the raw ones.
    """

    _label = "assess co-complex integrity"
    _CONFIG = contract.AssessIntegrityConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        particles="written from the input set",
        structures="the input structures",
        names="from the form's list of names",
        model="the model that the pointer gives",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(form, "Raw particles with CTF. Angles of a refinement improve the result.")
        form.addParam(
            "inputStructures",
            params.MultiPointerParam,
            pointerClass="Volume,AtomStruct",
            minNumObjects=2,
            important=True,
            label="Compositions",
            help="Maps (protein positive) or atomic models to distinguish, for instance with and without the "
            "partner. They must share one coordinate frame (that of the particles' angles, if these are used), "
            "and have the right handedness.",
        )
        form.addParam(
            "compositionNames",
            params.StringParam,
            default="",
            label="Names of the compositions",
            help="Names for classes and outputs, in the same order, separated by commas: *whole, without "
            "partner*.\n\nEmpty: the file names.",
        )
        form.addParam(
            "minimumProbability",
            params.FloatParam,
            default=0.8,
            label="Minimum probability",
            help="The subset of a composition contains the particles with at least this probability of it; other "
            "particles are in no subset.\n\nFrom 0 to 1.",
        )
        self._addDenoiserParam(
            form,
            "Denoiser trained on all of these compositions, whose images are used in addition to the raw "
            "images.\n\nEmpty: only the raw images are used.",
            allowsNull=True,
        )
        addConfigParams(form, self._CONFIG, ["orientations", "angular_step", "resolution", "contrast"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.assessStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, self.minimumProbability.get(), needsGPU=False)

    def assessStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(self.inputParticles.get())
        structures = tuple(self._structureFor(structure) for structure in self._structures())
        self._runOnce(self._config(**dict(self._engineValues(), structures=structures)), self.getIntegrityFolder())

    def createOutputStep(self, settings: Dict[str, Any], minimumProbability: float) -> None:
        particles, path = self.inputParticles.get(), self._result().outputs.particles
        output = self._newSet("all")
        appendAssessed(output, particles, path, len(self.getNames()))
        outputs = dict(outputParticles=output)
        classes = self._createSetOfClasses3D(self.inputParticles)
        classifyByComposition(classes, path, self.getNames(), self._volumes())
        outputs["outputClasses"] = classes
        for number, name in enumerate(self.getNames(), 1):
            subset = self._newSet(f"composition_{number}")
            if appendLikely(subset, particles, path, number, minimumProbability):
                subset.setObjLabel(name)
                outputs[_SUBSET % outputWord(name, number)] = subset
        self._defineOutputs(**outputs)
        for made in outputs.values():
            for pointer in [self.inputParticles, self.inputModel] + list(self.inputStructures):
                if pointer.get() is not None:
                    self._defineSourceRelation(pointer, made)

    def _newSet(self, suffix: str) -> SetOfParticles:
        made = self._createSetOfParticles("_" + suffix)
        made.copyInfo(self.inputParticles.get())
        return made

    # ----- what the steps share
    def _structures(self) -> List[Volume]:
        return [pointer.get() for pointer in self.inputStructures if pointer.get() is not None]

    def _volumes(self) -> Optional[List[Volume]]:
        """The compositions as representatives of their classes, if all are maps."""
        volumes = self._structures()
        return volumes if all(hasattr(volume, "getSamplingRate") for volume in volumes) else None

    def getIntegrityFolder(self) -> str:
        return self._getExtraPath("integrity")

    def getNames(self) -> List[str]:
        """Names of the compositions: the form's, else those of their files."""
        given = [name.strip() for name in (self.compositionNames.get() or "").split(",") if name.strip()]
        names = [
            re.sub(r"\.(gz|mrc|map|pdb|cif|ent|mmcif|ccp4|rec)\b", "", self._structureName(s))
            for s in self._structures()
        ]
        if given or len(set(names)) == len(names):
            return given or names
        return [f"{name} {number}" for number, name in enumerate(names, 1)]

    def _engineValues(self) -> Any:
        return dict(
            particles=self._particlesFile(self.inputParticles.get()),
            model=self._denoiserFolder(),
            structures=tuple(structureFileOf(s) for s in self._structures()),
            names=tuple(self.getNames()),
            output=self.getIntegrityFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        structures, names = self._structures(), self.getNames()
        if len(structures) < 2:
            return [
                f"Compositions has {len(structures)}; at least two are needed. Choose more with the magnifying glass."
            ]
        errors = []
        if len(names) != len(structures):
            errors.append(
                f"There are {len(names)} names for {len(structures)} compositions. Give one name for each, separated "
                "by commas, or none."
            )
        elif len({outputWord(name, 0).lower() for name in names}) < len(names):
            errors.append(f"Two compositions have the same name ({', '.join(names)}). Give different names.")
        if not 0 <= (self.minimumProbability.get() if self.minimumProbability.get() is not None else -1) <= 1:
            errors.append(f"Minimum probability is {self.minimumProbability.get()}; it must be between 0 and 1.")
        need = ("raw", "ctf") + (("angles",) if self.getEnumText("orientations") == "given" else ())
        errors += checkParticles(self.inputParticles.get(), need)
        for structure in structures:
            errors += self._checkStructure(structure)
        return errors + self._checkDenoiser()

    def _warnings(self) -> List[str]:
        particles = self.inputParticles.get()
        if particles is None:
            return []
        lines = [
            line
            for s, name in zip(self._structures(), self.getNames())
            for line in scaleWarnings(particles, s, f"composition {name}")
        ]
        return lines + self._pixelWarnings(particles)

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputParticles", None) is None:
            return ["No probabilities yet."]
        subsets = {
            name: getattr(self, _SUBSET % outputWord(name, number), None)
            for number, name in enumerate(result.outputs.names, 1)
        }
        sizes = {name: 0 if subset is None else subset.getSize() for name, subset in subsets.items()}
        return integrityLines(result, sizes, self.minimumProbability.get())

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputParticles", None) is None:
            return []
        return [integrityInWords(self.outputParticles.getSize(), result, self._modelCard())]

    def _citations(self) -> List[str]:
        return list(dict.fromkeys(citationsOf((self._modelCard() or {}).get("network")) + ["Scheres2012"]))


def outputWord(name: str, number: int) -> str:
    """A composition's name as it can stand in the name of an output; its number if nothing of it can."""
    return re.sub(r"\W+", "_", os.path.basename(name), flags=re.ASCII).strip("_") or f"composition{number}"
