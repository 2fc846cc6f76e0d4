# SPDX-License-Identifier: GPL-3.0-or-later
"""Sort particles into 2-D classes."""

import os
from datetime import datetime
from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form

from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from .class_batches import ClassBatches
from .particle_checks import checkParticles

GOOD = 0.5  # score from which an average counts as good in the summary


class CryodlProtClassify2D(ClassBatches):
    """Sort particles into 2-D classes: aligned, CTF-corrected averages, each with a score.

    In: raw particles; no angles are needed, and a CTF is used where there is one. Out: the classes with their
    aligned particles, the largest class first (unless particles were assigned last), and their averages. The score is
    the fraction of a class that is expected to be good particles; *cryodl - select 2d classes* keeps the good ones.
    Particles may still be arriving: the first ones are classified, the others assigned to their classes. A stopped run
    continues where it was.
    """

    _label = "classify particles in 2d"
    _CONFIG = contract.Classify2DConfig
    _ITEM, _MADE = "particle", "classified"
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        particles="written from the input set",
        ranker="the one that comes with the plugin",
        classes_from="the classes of the particles that came before",
        again="Classify all again at the end?",
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
        self._addArrivingParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.classifyStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)
        # of another name each time: a continued run looks for particles that came since
        self._insertFunctionStep(self.arrivingStep, settings, str(datetime.now()))

    def classifyStep(self, settings: Dict[str, Any]) -> None:
        """Classify the particles that are there when enough are, or when the input is complete."""
        self._waitForFirst()
        self._runOnce(self._config(**self._engineValues()), self._folder())  # goes on in the partial folder beside it

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._makeOutputs()

    def arrivingStep(self, settings: Dict[str, Any], now: str) -> None:
        self._takeArriving()

    def _settings(self) -> Dict[str, Any]:
        """What decides the classes of the first particles."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("output", "threads", "device", "particles"):
            config.pop(name)
        return dict(config, set_of_particles=self.inputParticles.get().getFileName())

    def _engineValues(self) -> Any:
        return dict(
            particles=self._firstFile()
            if os.path.exists(self._firstFile())
            else self._particlesFile(self.inputParticles.get()),
            output=self._folder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        particles = self.inputParticles.get()
        errors = checkParticles(particles, ("raw",), finite=False)
        count = self.classes.get()
        arrives = particles.isStreamOpen()
        if not errors and count and not arrives and particles.getSize() < 2 * count:
            errors.append(
                f"There are {particles.getSize()} particles for {count} classes; at least two for each class are "
                "needed, and a few tens are better. Choose fewer classes."
            )
        return errors or (self._checkArriving(count) if count and arrives else [])

    def _warnings(self) -> List[str]:
        particles = self.inputParticles.get()
        if particles is None or particles.hasCTF():
            return []
        return [
            "The particles have no CTF, so the averages are not CTF-corrected and have the contrast of the microscope."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._newestResult()
        if result is None or getattr(self, "outputClasses", None) is None:
            return ["No classes yet."]
        made = result.outputs
        filled = [(count, score) for count, score in zip(made.counts, made.scores) if count]
        good = [count for count, score in filled if score >= GOOD]
        lines = [
            f"*{contract.counted(len(filled), 'class', 'classes')}* of {contract.counted(made.count, 'particle')}",
            f"{len(good)} averages have a score of at least {GOOD:g}; they contain {sum(good)} particles.",
        ]
        assigned, first = self._assignedCount(), self._result().outputs.count
        if assigned:
            lines.insert(1, f"{made.count - assigned} of them were classified, {assigned} assigned to their classes.")
        elif made.count > first:
            lines.insert(1, f"{first} of them were classified first; all were classified again at the end.")
        if not made.converged:
            lines.append("The classes still changed in the last pass.")
        return lines

    def _methods(self) -> List[str]:
        result = self._newestResult()
        if result is None or getattr(self, "outputClasses", None) is None:
            return []
        return [
            f"{result.outputs.count} particles were classified into {self.classes.get()} 2-D classes with cryodl: "
            "first by rotational invariants, then by comparison with aligned class averages, whose CTF was "
            f"{'corrected' if self.correctCtf.get() and self.inputParticles.get().hasCTF() else 'not corrected'}."
        ]

    def _citations(self) -> List[str]:
        return ["cryodl"]
