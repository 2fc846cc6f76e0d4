# SPDX-License-Identifier: GPL-3.0-or-later
"""Sort particles into 2-D classes."""

import os
from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form

from ...convert.particles.classes2d import appendAverages, fillClasses
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from .particle_checks import checkParticles
from .particles_base import ParticlesBase

GOOD = 0.5  # score from which an average counts as good in the summary


class CryodlProtClassify2D(ParticlesBase):
    """Sort particles into 2-D classes: aligned, CTF-corrected averages, each with a score.

    In: raw particles; no angles are needed, and a CTF is used where there is one. Out: the classes with their
    aligned particles, the largest class first, and their averages. The score is the fraction of a class that is
    expected to be good particles; *cryodl - select 2d classes* keeps the good ones.
    """

    _label = "classify particles in 2d"
    _CONFIG = contract.Classify2DConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        particles="written from the input set",
        ranker="the one that comes with the plugin",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(form, "Raw particles of one box size, as extracted. Existing angles are not used.")
        addConfigParams(
            form,
            self._CONFIG,
            ["classes", "mask_diameter", "max_shift", "resolution", "correct_ctf", "epochs", "contrast", "seed"],
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.classifyStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def classifyStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(self.inputParticles.get())
        self._runOnce(self._config(**self._engineValues()), self._folder())  # goes on in the partial folder beside it

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        particles, made = self.inputParticles.get(), self._result().outputs
        classes = self._createSetOfClasses2D(self.inputParticles)
        fillClasses(classes, particles, made.particles, made.classes)
        averages = self._createSetOfAverages()
        appendAverages(averages, particles, made.classes)
        self._defineOutputs(outputClasses=classes, outputAverages=averages)
        for output in (classes, averages):
            self._defineSourceRelation(self.inputParticles, output)

    def _folder(self) -> str:
        return self._getExtraPath("classes")

    def _engineValues(self) -> Any:
        return dict(
            particles=self._particlesFile(self.inputParticles.get()),
            output=self._folder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        particles = self.inputParticles.get()
        errors = checkParticles(particles, ("raw",), finite=False)
        count = self.classes.get()
        if not errors and count and particles.getSize() < 2 * count:
            errors.append(
                f"There are {particles.getSize()} particles for {count} classes; at least two for each class are "
                "needed, and a few tens are better. Choose fewer classes."
            )
        return errors

    def _warnings(self) -> List[str]:
        particles = self.inputParticles.get()
        if particles is None or particles.hasCTF():
            return []
        return [
            "The particles have no CTF, so the averages are not CTF-corrected and have the contrast of the microscope."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputClasses", None) is None:
            return ["No classes yet."]
        made = result.outputs
        filled = [(count, score) for count, score in zip(made.counts, made.scores) if count]
        good = [count for count, score in filled if score >= GOOD]
        lines = [
            f"*{contract.counted(len(filled), 'class', 'classes')}* of {contract.counted(made.count, 'particle')}",
            f"{len(good)} averages have a score of at least {GOOD:g}; they contain {sum(good)} particles.",
        ]
        if not made.converged:
            lines.append("The classes still changed in the last pass.")
        return lines

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputClasses", None) is None:
            return []
        return [
            f"{result.outputs.count} particles were classified into {self.classes.get()} 2-D classes with cryodl: "
            "first by rotational invariants, then by comparison with aligned class averages, whose CTF was "
            f"{'corrected' if self.correctCtf.get() and self.inputParticles.get().hasCTF() else 'not corrected'}."
        ]

    def getClassesFile(self) -> str:
        """classes.star of the engine."""
        return os.path.join(self._folder(), "classes.star")

    def _citations(self) -> List[str]:
        return ["cryodl"]
