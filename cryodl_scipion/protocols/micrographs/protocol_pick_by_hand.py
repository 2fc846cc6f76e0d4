# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick by hand, or correct picks, in the engine's window."""

import dataclasses
import os
from typing import Any, List, Sequence

from pyworkflow.object import String

from ...convert.arriving import firstOf
from ...convert.micrographs import picks as convert
from ...convert.names import emptyFolder, micrographNames
from ...engine.cryodl.contract import PickByHandConfig, PickByHandOutputs, Result, counted
from .. import checks, engine_protocol
from ..inputs import INPUTS, WRITTEN
from ..kinds import BoxSize, Flag, Options, Pointing

PICKS_FOLDER, START_FOLDER = "picks", "start"


class CryodlProtPickByHand(engine_protocol.OneRun[PickByHandConfig, PickByHandOutputs]):
    """Pick particles with the mouse, or correct picks of any program.

    In: micrographs, or coordinates to begin with, which are not changed. A window opens on this machine's screen: add,
    move and remove picks, paint areas to ignore, undo; every change is saved at once. Closing the window ends the run.
    Out: coordinates. `cryodl - train picker` and `cryodl - pick particles` learn from what you are certain of.
    Executed again (*Continue*), the run opens the window with what was picked before."""

    _label = "pick by hand"
    OUTPUT = PICKS_FOLDER
    NOTHING_YET = "No coordinates yet. The window opens on the screen of the machine that runs Scipion."
    FORM = (
        Pointing(
            "inputMicrographs",
            "Micrographs to pick in.",
            label="Input micrographs",
            empty="those of the picks to correct",
            pointerClass="SetOfMicrographs",
            important=True,
        ),
        Pointing(
            "inputCoordinates",
            "Coordinates of any program to start from. They are not changed.",
            label="Picks to correct",
            empty="start without picks",
            pointerClass="SetOfCoordinates",
        ),
        Flag(
            "askQuestions",
            "Answer its questions",
            "Only for coordinates of *cryodl - pick particles* that was unsure: the window shows the places that it "
            "chose, one by one, and you say whether there is a particle. The button *Answer questions* of its window "
            "fills this in, and picks with the answers.",
            when="inputCoordinates is not None",
        ),
        Options("particle_diameter", important=True),
        BoxSize("micrographs", "1.5 times the particle diameter, rounded to an even number"),
    )
    NOT_ON_FORM = {
        "micrographs": "those of the input",
        "pixel_size": "the micrographs' sampling rate",
        "coordinates": "the run's folder",
        "start_from": "written from the input set",
        "ask": "those that the picks' run wrote, if Answer its questions is on",
    }

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.writePicksStep, [self._settings()[k] for k in (INPUTS, WRITTEN)], needsGPU=False)
        # An interactive step is done again when the run is continued.
        self._insertFunctionStep(self.pickStep, interactive=True, needsGPU=False)

    def writePicksStep(self, inputs: Any) -> None:
        coordinates = self.inputCoordinates.get()
        if coordinates is None:
            return
        names, folder = micrographNames(self._micrographs()), emptyFolder(self._getExtraPath(START_FOLDER))
        for micId, picks in convert.picksByMicrograph(coordinates).items():
            convert.writePicks(os.path.join(folder, names[micId] + ".star"), [(*p[:2], p[2] or 0.0) for p in picks])

    def pickStep(self) -> None:
        micrographs = self._micrographs()
        names = micrographNames(micrographs)
        config = self._config(micrographs=tuple(m.getFileName() for m in micrographs))
        self._runEngine(config, self._getExtraPath(), [names[m.getObjId()] for m in micrographs])
        picks, own = self.inputCoordinates.get(), self.inputMicrographs
        coordinates = self._createSetOfCoordinates(own if picks is None else picks.getMicrographs(asPointer=True))
        coordinates.setBoxSize(
            self.boxSize.get() or convert.boxSizeFor(self.particleDiameter.get(), self._set().getSamplingRate())
        )
        convert.setDiameter(coordinates, self.particleDiameter.get())
        setattr(coordinates, convert.CORRECTIONS, String(self.getPicksFolder()))
        first = None if picks is None else firstOf(picks)
        scored = first is None or convert.scoreOf(first) is not None  # the files have 0 for those without scores
        for micrograph in micrographs:
            name = names[micrograph.getObjId()] + ".star"
            paths = [self._getExtraPath(folder, name) for folder in (PICKS_FOLDER, START_FOLDER)]
            for path in [path for path in paths if os.path.exists(path)][:1]:
                rows = convert.readPicks(path)
                convert.appendPicks(coordinates, micrograph, [(x, y, s if scored else None) for x, y, s in rows])
        self._defineOutputs(outputCoordinates=coordinates)
        self._defineSourceRelation(self.inputMicrographs if picks is None else self.inputCoordinates, coordinates)

    def getPicksFolder(self) -> str:
        """Folder of the corrected picks, with removed/ and ignored/."""
        return self._getExtraPath(PICKS_FOLDER)

    def _set(self) -> Any:
        coordinates = self.inputCoordinates.get()
        return self.inputMicrographs.get() if coordinates is None else coordinates.getMicrographs()

    def _micrographs(self) -> List[Any]:
        return [m.clone() for m in self._set()]

    def _completed(self, config: PickByHandConfig) -> PickByHandConfig:
        micrographs, picks = self._set(), self.inputCoordinates.get()
        if micrographs is None:
            return config
        start = self._getExtraPath(START_FOLDER) if picks is not None and picks.getSize() else None
        questions = (
            convert.besideCandidates(picks, convert.QUESTIONS) if picks is not None and self.askQuestions else None
        )
        return dataclasses.replace(
            config,
            micrographs=config.micrographs or (micrographs.getFileName(),),
            pixel_size=micrographs.getSamplingRate(),
            coordinates=self.getPicksFolder(),
            start_from=None if questions else start,
            ask=questions,
        )

    def _checkTogether(self) -> List[str]:
        micrographs = self._set()
        if micrographs is None:
            return ["Choose the picks to correct, or the micrographs to pick in."]
        picks = self.inputCoordinates.get()
        return (
            checks.sayIf(
                self.askQuestions and picks is not None and not convert.besideCandidates(picks, convert.QUESTIONS),
                "The run that made the picks has no questions: *cryodl - pick particles* asks where its scores do not "
                "tell particles from the rest. Switch *Answer its questions* off to correct the picks.",
            )
            or checks.sayIf(
                micrographs.isStreamOpen(), "The micrographs are still arriving. Wait until the set is complete."
            )
            or checks.checkMicrographs(micrographs)
            or checks.checkDiameter(self.particleDiameter.get(), micrographs)
        )

    def _tell(self, results: Sequence[Result[PickByHandOutputs]]) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        if output is None or not results:
            return [self.NOTHING_YET]
        counts, removed = results[-1].outputs.counts, results[-1].outputs.removed
        return [
            f"*{counted(output.getSize(), 'particle')}*",
            results[-1].summary[0]  # how many questions are answered
            if self.askQuestions
            else f"By hand: {counted(sum(counts.values()), 'pick')} on {counted(len(counts), 'micrograph')}, "
            f"{sum(removed.values())} of the initial picks removed.",
        ]
