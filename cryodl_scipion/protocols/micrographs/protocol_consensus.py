# SPDX-License-Identifier: GPL-3.0-or-later
"""Combine sets of coordinates: keep what several of them found."""

import collections
import json
import os
from pathlib import Path
from typing import Any, List, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import Coordinate, Micrograph, SetOfCoordinates
from pyworkflow.object import Float, Integer, String
from pyworkflow.protocol import ProtStreamingBase, params
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.arriving_sets import MicrographsOfSets
from ...convert.growing import reopened
from ...convert.micrographs.coordinates import SCORE, readPicks
from ...convert.micrographs.pick_sets import NUMBER_OF_SETS, PICKERS
from ...convert.micrographs.picks import boxSizeFor, describeOutput
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..batches import ArrivingBatches
from ..form_parts import notOnForm
from ..growing_outputs import appendGrowingPicks
from ..protocol_base import RESULT_FILE
from .pick_sets_base import PickSetsBase

OUTPUT = "outputCoordinates"
_BATCH = 100  # micrographs; the engine takes milliseconds for each
_LONGEST_WAIT = 60  # s
_ENDED = "ended.json"  # how many picks the sets had when a run ended
_AT_LEAST, _SCORE = range(2)
_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", NUMBER_OF_SETS)


class CryodlProtConsensus(ArrivingBatches, PickSetsBase, ProtStreamingBase):
    """Combine picks of several programs or settings.

    In: two or more sets of coordinates of the same micrographs. Out: the particles that at least so many of the sets
    found, or those whose mean score is high enough. A particle's position is the mean of its picks, weighted by their
    scores; its score is their sum over the number of sets. Each coordinate says how many sets found it.
    The micrographs and the box are those of the first set. Picks may still be arriving: a micrograph is worked on as
    soon as all sets have picks on it; a set that has ended without any has none there.
    """

    _label = "consensus coordinates"
    _OUTPUT, _GROWING = "consensus", True
    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "combine", "combined"
    stepsExecutionMode = STEPS_PARALLEL
    _CONFIG = contract.ConsensusPicksConfig
    NOT_ON_FORM = notOnForm("output", picks="written from the input sets", pixel_size="the micrographs' sampling rate")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSetsParam(form, "Coordinates to combine, from different programs or settings.")
        addConfigParams(
            form,
            self._CONFIG,
            ["rule", "minimum_sets", "minimum_score", "particle_diameter", "tolerance"],
            minimum_sets=dict(condition=f"rule == {_AT_LEAST}"),
            minimum_score=dict(condition=f"rule == {_SCORE}"),
            particle_diameter=dict(more="\n\nEmpty: the diameter stored with the sets by cryodl."),
        )
        form.addParam(
            "boxSize",
            params.IntParam,
            default=None,
            allowsNull=True,
            label="Box size (px)",
            help="Box size of the coordinates, in pixels of the first set's micrographs.\n\nEmpty: that of the first "
            "set.",
        )
        self._addBatchParams(
            form,
            "It starts with micrographs on which all sets have picks. Scores that are not probabilities are ranked "
            "within their batch; sets that are complete when the run starts are one batch.",
            size=_BATCH,
            wait=_LONGEST_WAIT,
        )

    # ----- steps
    def stepsGeneratorStep(self) -> None:
        self._forgetChanged()
        self._arriving = MicrographsOfSets([coordinates for _, coordinates in self._labelledSets()])
        self._insertBatches(self.combineStep, self.outputStep)

    def _partsOf(self, ready: List[str], all: bool) -> List[List[str]]:
        """Batches; what is whole at the start is one."""
        if self._arriving.closed and not os.path.isdir(self._getExtraPath("batches")):
            return [ready] if ready else []
        return super()._partsOf(ready, all)

    def _forgetChanged(self) -> None:
        """Remove what a start with other settings made, or a run that had ended with other picks in its sets."""
        ended = self._getExtraPath(_ENDED)
        other = os.path.exists(ended) and Path(ended).read_text(encoding="utf-8") != self._sizes()
        if other or self._changedSettings():
            made = (self._getPath("coordinates.sqlite"), self._getExtraPath("batches"), self._outputFolder(), ended)
            pwutils.cleanPath(*made)

    def _sizes(self) -> str:
        return json.dumps(
            [reopened(SetOfCoordinates, coordinates).getSize() for _, coordinates in self._labelledSets()]
        )

    def combineStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            micrographs = self._arriving.items(names)
            folder = self._batchFolder(micrographs)
            sets = [os.path.join(folder, f"{number:02d}") for number in range(1, len(self._labelledSets()) + 1)]
            self._arriving.writePicks(sets, micrographs)
        if not os.path.exists(os.path.join(folder, RESULT_FILE)):
            picks = tuple(f"{label}={position}" for (label, _), position in zip(self._labelledSets(), sets))
            made = os.path.join(folder, self._OUTPUT)
            pwutils.cleanPath(made)  # without its result it tells too little
            self._runEngine(self._config(**dict(self._engineValues(), picks=picks, output=made)), folder)
        self._gatherCandidates(os.path.join(folder, self._OUTPUT, "candidates"))

    def _gatherCandidates(self, folder: str) -> None:
        """Bring a batch's files of all that any set found to those of the others."""
        pwutils.makePath(self.candidatesFolder())
        for name in os.listdir(folder):
            os.replace(os.path.join(folder, name), os.path.join(self.candidatesFolder(), name))

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the set; micrographs whose particles it has already are left alone."""
        with self._lock:
            micrographs, done = self._arriving.items(names), self._doneNames()
            files, engineNames = self._batchResult(micrographs).outputs.coordinates, self._arriving.engineNames()

            def append(output: SetOfCoordinates) -> None:
                output.setBoxSize(self._boxSize())
                describeOutput(output, None, self._diameter())
                setattr(output, PICKERS, String("; ".join(label for label, _ in self._labelledSets())))
                for micrograph in micrographs:
                    path = files.get(engineNames[micrograph.getObjId()])
                    if path and micrograph.getMicName() not in done:
                        for row in readPicks(path, _COLUMNS):
                            output.append(combined(row, micrograph))

            frame = self._labelledSets()[0][1].getMicrographs(asPointer=True)
            appendGrowingPicks(self, OUTPUT, frame, list(self.inputSets), append)

    def closeStep(self) -> None:
        self._closeOutputSet()
        Path(self._getExtraPath(_ENDED)).write_text(self._sizes(), encoding="utf-8")

    def _boxSize(self) -> int:
        first = self._labelledSets()[0][1]
        return (
            self.boxSize.get()
            or first.getBoxSize()
            or boxSizeFor(self._diameter(), first.getMicrographs().getSamplingRate())
        )

    def candidatesFolder(self) -> str:
        """Folder with all that any set found, one STAR file per micrograph."""
        return self._getExtraPath(self._OUTPUT, "candidates")

    def _engineValues(self) -> Any:
        return dict(
            picks=self._pickFolders(),
            pixel_size=self._frame().getSamplingRate(),
            particle_diameter=self._diameter(),
            output=self._outputFolder(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = PickSetsBase._checkInputs(self) or self._checkBatches()
        if not errors and self.boxSize.get() is not None and self.boxSize.get() < 2:
            errors = [
                f"Box size (px) is {self.boxSize.get()}; it must be at least 2. Leave it empty for that of the first "
                "set."
            ]
        return errors

    def _warnings(self) -> List[str]:
        lines = PickSetsBase._warnings(self)
        if self._missingPointers() or self._checkInputs() or self.boxSize.get():
            return lines
        boxes = {
            label: (c.getBoxSize() or 0) * c.getMicrographs().getSamplingRate() for label, c in self._labelledSets()
        }
        if max(boxes.values()) - min(boxes.values()) > self._frame().getSamplingRate():
            lines.append(
                "The sets have different box sizes "
                f"({', '.join((f'{name}: {box:.0f} Å' for name, box in boxes.items()))}); the output will have "
                f"{self._boxSize()} px. Set Box size (px) to change it."
            )
        return lines

    def _tell(self, results: Sequence[Result]) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        if output is None or not results:
            return ["No coordinates yet."]
        count = sum(len(result.outputs.counts) for result in results)
        lines = [
            f"*{counted(output.getSize(), 'particle')}* on {counted(count, 'micrograph')}, found "
            f"by {self._ruleInWords()}"
        ]
        byNumber = collections.Counter()
        for result in results:
            for key, count in result.outputs.groups.items():
                byNumber[key.count(" + ") + 1] += count
        lines += [f"Found by {counted(number, 'set')}: {byNumber[number]}" for number in sorted(byNumber)]
        return lines

    def _ruleInWords(self) -> str:
        sets = counted(len(self._labelledSets()), "set")
        if self.rule.get() == _AT_LEAST:
            return f"at least {self.minimumSets.get()} of {sets}"
        return f"{sets} with a mean score of at least {self.minimumScore.get():g}"

    def _methods(self) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        if output is None:
            return []
        return [
            f"{counted(output.getSize(), 'particle')} found by {self._ruleInWords()} were kept; picks within "
            f"{self.tolerance.get():.2f} particle radii were regarded as the same particle."
        ]


def combined(row: Any, micrograph: Micrograph) -> Coordinate:
    """A Coordinate of (x, y, score, number of sets)."""
    x, y, score, number = row
    item = Coordinate(x=int(round(x)), y=int(round(y)))  # Scipion's are whole and truncate
    item.setMicrograph(micrograph)
    setattr(item, SCORE, Float(score))
    setattr(item, PICKERS, Integer(int(number)))
    return item
