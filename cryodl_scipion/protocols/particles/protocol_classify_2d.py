# SPDX-License-Identifier: GPL-3.0-or-later
"""Sort particles into 2-D classes. Of arriving ones the first are classified, others assigned, all classified last."""

import dataclasses
import glob
import os
import shutil
import time
from datetime import datetime
from typing import Any, Dict, List, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import EMSet, SetOfParticles
from pyworkflow.protocol import Form, params

from ...convert.arriving import asInItsFile, reopened
from ...convert.particles.classes2d import addAverages, addToClasses
from ...convert.particles.particles import ArrivingParticles, idsInStar, itemsOf, writeParticles
from ...engine.cryodl.contract import Classify2DConfig, Classify2DOutputs, Result
from .. import batches, checks, engine_protocol
from . import particle_batches, particle_kinds

FIRST = 5000  # particles that are classified before others are assigned
CLASSES, AVERAGES = "outputClasses", "outputAverages"
_FEWEST, _ENOUGH = 2, 50  # of each class: at all, and for classes to which later particles are assigned
_STAR, _DONE, _AGAIN = "particles.star", "done", "_again"
_UNSETTLED = "Warning: The classes still changed"  # of a run that the last classification of all makes obsolete
_KEPT = ("classes.star", "classes.mrcs")  # of a batch's folder: what the newest averages are
_SAY_EVERY = 30  # s: the log says so often what is waited for


class CryodlProtClassify2D(
    engine_protocol.EngineProtocol[Classify2DConfig, Classify2DOutputs],
    batches.StoredSettings,
    particle_kinds.ParticlesBase,
):
    """Sort particles into 2-D classes: aligned, CTF-corrected averages, each with a score.

    In: raw particles; no angles are needed, and a CTF is used where there is one. Out: the classes with their
    aligned particles, the largest class first (unless particles were assigned last), and their averages. The score is
    the fraction of a class that is expected to be good particles; *cryodl - select 2d classes* keeps the good ones.
    Particles may still be arriving: the first ones are classified, the others assigned to their classes. A stopped run
    continues where it was."""

    # extra/classes is the engine's folder of the first particles, extra/batches/NUMBER those of later ones, each of
    # which continues the one before. A folder whose particles are in the outputs has a file `done`.

    _label = "classify particles in 2d"
    _ITEM, _MADE = "particle", "classified"
    OUTPUT, NOTHING_YET = "classes", "No classes yet."
    FORM = (
        particle_kinds.Particles(
            "inputParticles",
            "Raw particles of one box size, as extracted. Existing angles are not used.",
            need=("raw",),
            finite=False,
            bare="The particles have no CTF: averages are not corrected. Estimate it, then extract them with it.",
        ),
    )
    NOT_ON_FORM = {
        "classes_from": "the classes of the particles that came before",
        "again": "Classify all again at the end?",
    }

    def _addRunParams(self, form: Form) -> None:
        self._defineStreamingParams(form)
        form.getParam("streamingBatchSize").condition.set("False")  # Scipion's own field, which pwem's pickers use
        form.addParam(
            "firstParticles",
            params.IntParam,
            default=FIRST,
            label="First particles",
            help="While particles arrive, the classes are made as soon as this many are there; the others are assigned "
            "to these classes. Give at least 50 for each class. When the input is complete at the start, or before "
            "this many are there, all are classified together.",
        )
        form.addParam(
            "smallestBatch",
            params.IntParam,
            default=particle_batches.BATCH,
            label="Smallest batch",
            help="While particles arrive, the program is started when this many wait to be assigned. All available "
            "particles are used.",
        )
        batches.addWait(form, particle_batches.LONGEST_WAIT, self._ITEM)
        form.addParam(
            "classifyAgain",
            params.BooleanParam,
            default=True,
            label="Classify all again at the end?",
            help="When the input is complete and some of the particles were only assigned, all are classified once "
            "more, starting from the averages. This makes the classes somewhat purer. Class numbers change.",
        )
        form.addParallelSection(threads=2, mpi=0)

    def _stepsCheck(self) -> None:
        """By having this method the run is started by Scipion while its input is still growing."""

    def _folder(self) -> str:
        return self._getExtraPath("classes")

    def _firstFile(self) -> str:
        return self._getExtraPath("first", _STAR)

    def _batchFolders(self) -> List[str]:
        found = glob.glob(os.path.join(glob.escape(self._getExtraPath("batches")), "*", _STAR))
        return sorted(os.path.dirname(path) for path in found)

    def getClassesFile(self) -> str:
        newest = self._getExtraPath("newest", _KEPT[0])
        return newest if os.path.exists(newest) else os.path.join(self._folder(), _KEPT[0])

    def getForming(self) -> str:
        """Table of the averages as they are now, while the first particles are classified."""
        return os.path.join(self._folder() + ".partial", "work", "forming.star")

    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.classifyStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)
        # of another name each time: a continued run looks for particles that came since
        self._insertFunctionStep(self.arrivingStep, settings, str(datetime.now()))

    def classifyStep(self, settings: Dict[str, Any]) -> None:
        """Classify the particles that are there when enough are, or when the input is complete."""
        self._waitForFirst()
        self._storeSettings()  # the particles are there now
        self._runOnce(self._config(), self._folder())  # goes on in the partial folder beside it

    def _completed(self, config: Classify2DConfig) -> Classify2DConfig:
        first = self._firstFile()
        return dataclasses.replace(config, particles=first) if os.path.exists(first) else config

    def _waitForFirst(self) -> None:
        """Wait until the first particles are there, and write them for the engine."""
        if self._changedSettings():
            pwutils.cleanPath(*(self._getExtraPath(name) for name in ("batches", "first", "newest")))
        pwutils.makePath(self._getExtraPath())
        self._storeSettings()
        begun = os.path.exists(self._folder()) or not os.path.exists(self._firstFile())
        if not begun and len(idsInStar(self._firstFile())) < self.firstParticles.get():  # the number was raised since
            pwutils.cleanPath(self._firstFile())
        arriving = self._arrivingParticles()
        arriving.look()
        while not os.path.exists(self._firstFile()):
            over, ready = arriving.look(), arriving.ready(set())
            if arriving.closed:
                asInItsFile(self.inputParticles.get())  # its size is part of the file's name
                self._writeInputs(self.inputParticles.get())
                return
            first = self.firstParticles.get()
            if len(ready) >= (min(first, _ENOUGH * (self.classes.get() or 1)) if over else first):
                self._write(self._firstFile(), ready)
            elif arriving.failure:
                raise ValueError(
                    f"{arriving.failure} {len(ready)} particles came, fewer than {_ENOUGH} for each class."
                )
            else:
                self._sleep(f"{len(ready)} of the {self.firstParticles.get()} first particles have arrived")

    def _arrivingParticles(self) -> ArrivingParticles:
        """One for all steps: it remembers having seen the set open, so that an input run that dies while the first
        particles are classified is not taken for a finished one (arriving.py)."""
        if not hasattr(self, "_arriving"):
            self._arriving = ArrivingParticles(self.inputParticles.get())
        return self._arriving

    def _sleep(self, state: str) -> None:
        """Wait a little for particles, and say so from time to time. state: words."""
        if time.monotonic() - self.__dict__.get("_saidAt", -_SAY_EVERY) >= _SAY_EVERY:
            self._saidAt = time.monotonic()
            self.info(f"{state}; waiting for more.")
        time.sleep(max(1, self.streamingSleepOnWait.get()))

    def _particles(self) -> SetOfParticles:
        return reopened(SetOfParticles, self.inputParticles.get())

    def _write(self, path: str, ids: List[int]) -> None:
        pwutils.makePath(os.path.dirname(path))
        particles = self._particles()
        writeParticles(path, particles, itemsOf(particles, set(ids)))
        particles.close()

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        pwutils.cleanPath(*(os.path.join(folder, _DONE) for folder in self._batchFolders()))
        isOpen = os.path.exists(self._firstFile())
        if isOpen:
            self._publish(self._folder())
        particles, pointer = self._particles(), self.inputParticles
        star, file = os.path.join(self._folder(), _STAR), self.getClassesFile()
        classes, averages = self._newOutput(CLASSES, "", particles), self._newOutput(AVERAGES, "", particles)
        addToClasses(classes, particles, idsInStar(star), star, file)
        addAverages(averages, file)
        for output in (classes, averages):
            output.setStreamState(output.STREAM_OPEN if isOpen else output.STREAM_CLOSED)
        self._defineOutputs(outputClasses=classes, outputAverages=averages)
        for output in (classes, averages):
            self._defineSourceRelation(pointer, output)
        particles.close()

    def arrivingStep(self, settings: Dict[str, Any], now: str) -> None:
        """Assign particles as they come, until the input is complete; then classify all again if that is wanted."""
        for folder in self._batchFolders():
            if not os.path.exists(os.path.join(folder, _DONE)):
                self._work(folder)
        folders = [self._folder(), *self._batchFolders()]
        known = set().union(*(idsInStar(os.path.join(folder, _STAR)) for folder in folders))
        arriving, waits = self._arrivingParticles(), batches.Waiting(self.batchWait.get())
        while True:
            over, ready = arriving.look(), arriving.ready(known)
            self._storeUnticked()
            if ready and (over or len(ready) >= self.smallestBatch.get() or waits.over(ready)):
                self._work(self._begin(ready))
                known.update(ready)
                waits.begin()
            elif arriving.failure:
                raise arriving.failure
            elif over:
                break
            else:
                waits.over(ready)
                self._sleep(f"{len(ready)} of the {self.smallestBatch.get()} particles of a batch have arrived")
        if self.classifyAgain.get() and self._batchFolders() and not self._isAgain():
            self._work(self._begin(sorted(known), _AGAIN))
        self._closeOutputSet()

    def _begin(self, ids: List[int], ending: str = "") -> str:
        folder = self._getExtraPath("batches", f"{len(self._batchFolders()) + 1:06d}{ending}")
        self._write(os.path.join(folder, _STAR), ids)
        return folder

    def _work(self, folder: str) -> None:
        """Run the engine on a batch and bring its particles into the outputs, unless that has been done."""
        folders = self._batchFolders()
        number, again = folders.index(folder), folder.endswith(_AGAIN)
        before = os.path.join(folders[number - 1], "classes") if number else self._folder()
        if not number and not os.path.exists(os.path.join(before, "sums.npz")):
            raise ValueError(
                f"{before} has no sums.npz: these classes were made by an earlier version, and no particles can be "
                "added to them. Start the run anew (run mode Restart)."
            )
        config = dataclasses.replace(
            self._config(),
            particles=os.path.join(folder, _STAR),
            output=os.path.join(folder, "classes"),
            classes_from=before,
            again=again,
        )
        self._runOnce(config, config.output, folder=folder)
        if number == len(folders) - 1:
            self._publish(config.output)
        self._addToOutputs(config.output, again, number)
        open(os.path.join(folder, _DONE), "w", encoding="utf-8").close()
        if number:  # what only the next batch needs
            pwutils.cleanPath(*(os.path.join(before, name) for name in ("sums.npz", _KEPT[1])))

    def _publish(self, folder: str) -> None:
        """Make the averages of a folder the newest ones: the outputs name one place, whatever batch they are of."""
        newest = self._getExtraPath("newest")
        pwutils.makePath(newest)
        for name in reversed(_KEPT):
            path = os.path.join(newest, name)
            shutil.copyfile(os.path.join(folder, name), path + ".new")
            os.replace(path + ".new", path)

    def _addToOutputs(self, folder: str, again: bool, number: int) -> None:
        particles, star = self._particles(), os.path.join(folder, _STAR)
        ids, file = idsInStar(star), self.getClassesFile()
        for name in (CLASSES, AVERAGES):
            output = getattr(self, name)
            output.close()
            if again:
                output = self._newOutput(name, f"{_AGAIN}{number}", particles)
            else:
                asInItsFile(output)  # also if a run died before noting it down
            if name == CLASSES:
                addToClasses(output, particles, ids, star, file)
            else:
                addAverages(output, file)
            self._updateOutputSet(name, output, output.STREAM_OPEN)
        particles.close()

    def _newOutput(self, name: str, suffix: str, particles: SetOfParticles) -> EMSet:
        if name == CLASSES:
            return self._createSetOfClasses2D(self.inputParticles, suffix)
        averages = self._createSetOfAverages(suffix)
        averages.copyInfo(particles)
        averages.setAlignment("None")
        averages.setHasCTF(False)
        return averages

    def _checkTogether(self) -> List[str]:
        particles, count = self.inputParticles.get(), self.classes.get()
        first = self.firstParticles.get() if particles.isStreamOpen() else particles.getSize()
        what = f"First particles is {first}" if particles.isStreamOpen() else f"There are {first} particles"
        mask, width = self.maskDiameter.get() or 0, (particles.getXDim() or 0) * particles.getSamplingRate()
        return self._checkContinuation(batches.CONTENT) or checks.sayIf(
            count and first < _FEWEST * count,
            f"{what} for {count} classes; at least two for each class are needed, and 50 are better. Choose fewer "
            "classes, or more particles.",
        ) + checks.sayIf(
            mask > width > 0,
            f"Mask diameter is {mask:g} Å, but the images are {width:.0f} Å wide. Choose less, or leave it empty.",
        )

    def _summary(self) -> List[str]:
        lines, newest = super()._summary(), self._newest()
        converged = bool(newest) and newest[-1].outputs.converged  # what earlier results warn of is over
        return [line for line in lines if not (converged and line.startswith(_UNSETTLED))]

    def _tell(self, results: Sequence[Result[Classify2DOutputs]]) -> List[str]:
        newest = self._newest() if hasattr(self, CLASSES) else []
        assigned, total = (sum(one.outputs.assigned for one in newest), newest[-1].outputs.count) if newest else (0, 0)
        again = "The first particles were classified first; all were classified again at the end."
        return super()._tell(newest[-1:]) + (
            checks.sayIf(assigned, f"{total - assigned} of them were classified, {assigned} assigned to their classes.")
            or checks.sayIf(self._isAgain(), again)
        )

    def _newest(self) -> List[Result[Classify2DOutputs]]:
        """Results of all batches in the outputs since all particles were classified, oldest first."""
        first = self._getExtraPath("result.json")
        found = [Result.read(first)] if os.path.exists(first) else []
        for folder in self._batchFolders():
            if os.path.exists(os.path.join(folder, _DONE)):
                found = found * (not folder.endswith(_AGAIN)) + [Result.read(os.path.join(folder, "result.json"))]
        return found

    def _isAgain(self) -> bool:
        folders = self._batchFolders()
        return bool(folders) and folders[-1].endswith(_AGAIN)

    def _methods(self) -> List[str]:
        return [sentence for result in self._newest()[:1] for sentence in result.methods]
