# SPDX-License-Identifier: GPL-3.0-or-later
"""Sort particles into 2-D classes."""

import dataclasses
import os
from datetime import datetime
from typing import Any, Dict, List, Sequence

from ...engine.cryodl.contract import Classify2DConfig, Result, counted
from .class_batches import ClassBatches
from .particle_kinds import Particles

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
    _ITEM, _MADE = "particle", "classified"
    OUTPUT = "classes"
    FORM = (
        Particles(
            "inputParticles",
            "Raw particles of one box size, as extracted. Existing angles are not used.",
            need=("raw",),
            finite=False,
        ),
    )
    NOT_ON_FORM = {
        "ranker": "the one that comes with the plugin",
        "classes_from": "the classes of the particles that came before",
        "again": "Classify all again at the end?",
    }

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
        self._runOnce(self._config(), self._folder())  # goes on in the partial folder beside it

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._makeOutputs()

    def arrivingStep(self, settings: Dict[str, Any], now: str) -> None:
        self._takeArriving()

    def _completed(self, config: Classify2DConfig) -> Classify2DConfig:
        first = self._firstFile()
        return dataclasses.replace(config, particles=first) if os.path.exists(first) else config

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        particles, count = self.inputParticles.get(), self.classes.get()
        if count and particles.isStreamOpen():
            return self._checkArriving(count)
        if count and particles.getSize() < 2 * count:
            return [
                f"There are {particles.getSize()} particles for {count} classes; at least two for each class are "
                "needed, and a few tens are better. Choose fewer classes."
            ]
        return []

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
            f"*{counted(len(filled), 'class', 'classes')}* of {counted(made.count, 'particle')}",
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
