# SPDX-License-Identifier: GPL-3.0-or-later
"""Combine sets of coordinates: keep what several of them found."""

import collections
import dataclasses
import glob
import json
import os
from pathlib import Path
from typing import List, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates
from pyworkflow.object import Integer, String

from ...convert.arriving import MicrographsOfSets, reopened
from ...convert.micrographs.picks import NUMBER_OF_SETS, PICKERS, boxSizeFor, coordinateAt, describeOutput, readPicks
from ...engine.cryodl.contract import ConsensusPicksConfig, ConsensusPicksOutputs, Result, counted
from .. import batches, kinds, protocol_base
from .pick_sets_base import PickSets, PickSetsBase

COORDINATES = "outputCoordinates"
_ENDED = "ended.json"  # how many picks the sets had when a run ended
AT_LEAST, _SCORE = range(2)
_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", NUMBER_OF_SETS)


class CryodlProtConsensus(batches.BatchRun[ConsensusPicksConfig, ConsensusPicksOutputs], PickSetsBase):
    """Combine picks of several programs or settings.

    In: two or more sets of coordinates of the same micrographs. Out: the particles that at least so many of the sets
    found, or those whose mean score is high enough. A particle's position is the mean of its picks, weighted by their
    scores; its score is their sum over the number of sets. Each coordinate says how many sets found it.
    The micrographs and the box are those of the first set. Picks may still be arriving: a micrograph is worked on as
    soon as all sets have picks on it; a set that has ended without any has none there."""

    _label = "consensus coordinates"
    _GROWING = True
    _OUTPUTS, _WORK, _MADE = (COORDINATES,), "combine", "combined"
    OUTPUT, NOTHING_YET = "consensus", "No coordinates yet."
    BATCH_SIZE, LONGEST_WAIT = 100, 60  # micrographs, of which the engine takes milliseconds for each; s
    BATCH_HELP = (
        "It starts with micrographs on which all sets have picks. Scores that are not probabilities are ranked "
        "within their batch; sets that are complete when the run starts are one batch."
    )
    FORM = (
        PickSets("Coordinates to combine, from different programs or settings."),
        kinds.Options("rule"),
        kinds.Options("minimum_sets", when=f"rule == {AT_LEAST}"),
        kinds.Options("minimum_score", when=f"rule == {_SCORE}"),
        kinds.Options("particle_diameter", more="\n\nEmpty: the diameter stored with the sets by cryodl."),
        kinds.Options("tolerance"),
        kinds.BoxSize("first set's micrographs", "that of the first set"),
    )
    NOT_ON_FORM = {"pixel_size": "the micrographs' sampling rate"}

    def _newArriving(self) -> MicrographsOfSets:
        self._forgetChanged()
        return MicrographsOfSets([coordinates for _, coordinates in self._labelledSets()])

    def _partsOf(self, ready: List[str], all: bool) -> List[List[str]]:
        if self._arriving.closed and not os.path.isdir(self._getExtraPath("batches")):
            return [ready] if ready else []
        return super()._partsOf(ready, all)

    def _forgetChanged(self) -> None:
        """Remove what a start with other settings made, or a run that had ended with other picks in its sets."""
        ended = self._getExtraPath(_ENDED)
        other = os.path.exists(ended) and Path(ended).read_text(encoding="utf-8") != self._sizes()
        if other or self._changedSettings():
            pwutils.cleanPath(self._getPath("coordinates.sqlite"), self._getExtraPath("batches"), self._output(), ended)

    def _sizes(self) -> str:
        return json.dumps([reopened(SetOfCoordinates, picks).getSize() for _, picks in self._labelledSets()])

    def batchStep(self, names: Sequence[str]) -> None:
        with self._lock:
            micrographs = self._arriving.items(names)
            folder = self._batchFolder(micrographs)
            sets = [os.path.join(folder, f"{number:02d}") for number in range(1, len(self._labelledSets()) + 1)]
            self._arriving.writePicks(sets, micrographs)
        if not os.path.exists(os.path.join(folder, protocol_base.RESULT_FILE)):
            picks = tuple(f"{label}={position}" for (label, _), position in zip(self._labelledSets(), sets))
            made = os.path.join(folder, self.OUTPUT)
            pwutils.cleanPath(made)  # without its result it tells too little
            self._runEngine(dataclasses.replace(self._config(), picks=picks, output=made), folder)
        pwutils.makePath(self.candidatesFolder())
        for path in glob.glob(os.path.join(glob.escape(folder), self.OUTPUT, "candidates", "*")):
            os.replace(path, os.path.join(self.candidatesFolder(), os.path.basename(path)))  # beside the others

    def outputStep(self, names: Sequence[str]) -> None:
        with self._lock:
            micrographs, done = self._arriving.items(names), self._doneNames()
            files, engineNames = self._madeOf(micrographs, names).coordinates, self._arriving.engineNames()

            def append(output: SetOfCoordinates) -> None:
                output.setBoxSize(self._boxSize())
                describeOutput(output, None, self._diameter())
                setattr(output, PICKERS, String("; ".join(label for label, _ in self._labelledSets())))
                for micrograph in micrographs:
                    path = files.get(engineNames[micrograph.getObjId()])
                    if path and micrograph.getMicName() not in done:
                        for x, y, score, number in readPicks(path, _COLUMNS):
                            item = coordinateAt((x, y), micrograph, score)
                            setattr(item, PICKERS, Integer(int(number)))
                            output.append(item)

            frame = self._labelledSets()[0][1].getMicrographs(asPointer=True)
            batches.appendToOutput(
                self, COORDINATES, lambda: self._createSetOfCoordinates(frame), list(self.inputSets), append
            )

    def closeStep(self) -> None:
        self._closeOutputSet()
        Path(self._getExtraPath(_ENDED)).write_text(self._sizes(), encoding="utf-8")

    def _boxSize(self) -> int:
        own = self.boxSize.get() or self._labelledSets()[0][1].getBoxSize()
        return own or boxSizeFor(self._diameter(), self._frame().getSamplingRate())

    def candidatesFolder(self) -> str:
        """Folder with all that any set found, one STAR file per micrograph."""
        return self._getExtraPath(self.OUTPUT, "candidates")

    def _completed(self, config: ConsensusPicksConfig) -> ConsensusPicksConfig:
        if not self._labelledSets():
            return config
        return dataclasses.replace(
            config, pixel_size=self._frame().getSamplingRate(), particle_diameter=self._diameter()
        )

    def _checkTogether(self) -> List[str]:
        return self._checkBatches()  # a run with other settings begins anew, see _forgetChanged

    def _warnings(self) -> List[str]:
        lines = super()._warnings()
        if self._missingPointers() or self._checkInputs() or self.boxSize.get():
            return lines
        sets = self._labelledSets()
        boxes = {label: (c.getBoxSize() or 0) * c.getMicrographs().getSamplingRate() for label, c in sets}
        return lines + kinds.sayIf(
            max(boxes.values()) - min(boxes.values()) > self._frame().getSamplingRate(),
            f"The sets have different box sizes ({', '.join(f'{name}: {box:.0f} Å' for name, box in boxes.items())}); "
            f"the output will have {self._boxSize()} px. Set Box size (px) to change it.",
        )

    def _tell(self, results: Sequence[Result[ConsensusPicksOutputs]]) -> List[str]:
        output, sets, config = getattr(self, COORDINATES, None), len(self._labelledSets()), self._config()
        if output is None or not results:
            return [self.NOTHING_YET]
        if self.rule.get() == AT_LEAST:  # the field of the other rule may be empty
            rule = f"at least {config.minimum_sets} of {counted(sets, 'set')}"
        else:
            rule = f"{counted(sets, 'set')} with a mean score of at least {config.minimum_score:g}"
        latest = {name: result for result in results for name in result.outputs.counts}
        # without a batch of which a part was combined again: its start ended before the output had it
        told = [one.outputs for one in results if all(latest[name] is one for name in one.outputs.counts)]
        micrographs, byNumber = counted(sum(len(made.counts) for made in told), "micrograph"), collections.Counter()
        for key, count in (group for made in told for group in made.groups.items()):
            byNumber[key.count(" + ") + 1] += count
        lines = [f"Found by {counted(number, 'set')}: {byNumber[number]}" for number in sorted(byNumber)]
        return [f"*{counted(output.getSize(), 'particle')}* on {micrographs}, found by {rule}", *lines]
