# SPDX-License-Identifier: GPL-3.0-or-later
"""Combine sets of coordinates: keep what several of them found."""

import collections
from typing import Any, Dict, List, Sequence

from pwem.objects import Coordinate, Micrograph
from pyworkflow.object import Float, Integer, String
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.coordinates import SCORE, readPicks
from ...convert.micrographs.pick_sets import NUMBER_OF_SETS, PICKERS
from ...convert.micrographs.picks import boxSizeFor, describeOutput
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..form_parts import notOnForm
from .pick_sets_base import PickSetsBase

_AT_LEAST, _SCORE = range(2)
_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", NUMBER_OF_SETS)


class CryodlProtConsensus(PickSetsBase):
    """Combine picks of several programs or settings.

    In: two or more sets of coordinates of the same micrographs. Out: the particles that at least so many of the sets
    found, or those whose mean score is high enough. A particle's position is the mean of its picks, weighted by their
    scores; its score is their sum over the number of sets. Each coordinate says how many sets found it.
    The micrographs and the box are those of the first set.
    """

    _label = "consensus coordinates"
    _OUTPUT = "consensus"
    _CONFIG = contract.ConsensusPicksConfig
    NOT_ON_FORM = notOnForm("output", picks="written from the input sets", pixel_size="the micrographs' sampling rate")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSetsParam(form, "Coordinates to combine, of other programs or of other settings.")
        addConfigParams(
            form,
            self._CONFIG,
            ["rule", "minimum_sets", "minimum_score", "particle_diameter", "tolerance"],
            minimum_sets=dict(condition=f"rule == {_AT_LEAST}"),
            minimum_score=dict(condition=f"rule == {_SCORE}"),
            particle_diameter=dict(more="\n\nEmpty: the one with which the sets were picked by cryodl."),
        )
        form.addParam(
            "boxSize",
            params.IntParam,
            default=None,
            allowsNull=True,
            label="Box size (px)",
            help="Box of the coordinates, in pixels of the first set's micrographs.\n\nEmpty: the first set's.",
        )

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        sizes = [coordinates.getSize() for _, coordinates in self._allSets()]
        self._insertFunctionStep(self.combineStep, settings, sizes, needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, settings, self.boxSize.get() or 0, needsGPU=False)

    def combineStep(self, settings: Dict[str, Any], sizes: Sequence[int]) -> None:
        self._forget()
        self._writeSets()
        self._runEngine(self._config(**self._engineValues()), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any], boxSize: int) -> None:
        (result,) = self._engineResults()
        micrographs = {m.getMicName(): m.clone() for m in self._frame()}
        names = micrographNames(list(micrographs.values()))
        first = self._labelledSets()[0][1]
        output = self._createSetOfCoordinates(first.getMicrographs(asPointer=True))
        output.setBoxSize(self._boxSize())
        describeOutput(output, None, self._diameter())
        setattr(output, PICKERS, String("; ".join(label for label, _ in self._labelledSets())))
        for name in self._names():
            path = result.outputs.coordinates.get(names[micrographs[name].getObjId()])
            for row in readPicks(path, _COLUMNS) if path else []:
                output.append(combined(row, micrographs[name]))
        self._defineOutputs(outputCoordinates=output)
        for pointer in self.inputSets:
            self._defineSourceRelation(pointer, output)

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
        errors = PickSetsBase._checkInputs(self)
        if not errors and self.boxSize.get() is not None and self.boxSize.get() < 2:
            errors = [
                f"Box size (px) is {self.boxSize.get()}; it must be at least 2. Leave it empty for the first set's."
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
                "The sets have boxes of other sizes "
                f"({', '.join((f'{name}: {box:.0f} Å' for name, box in boxes.items()))}); the output gets "
                f"{self._boxSize()} px. Set Box size (px) for another."
            )
        return lines

    def _tell(self, results: Sequence[Result]) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        if output is None or not results:
            return ["No coordinates yet."]
        groups = results[-1].outputs.groups
        lines = [
            f"*{counted(output.getSize(), 'particle')}* on {counted(len(self._names()), 'micrograph')}, found "
            f"by {self._ruleInWords()}"
        ]
        byNumber = collections.Counter()
        for key, count in groups.items():
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
            f"{counted(output.getSize(), 'particle')} were kept that were found by {self._ruleInWords()}; picks "
            f"within {self.tolerance.get():.2f} particle radii are the same particle."
        ]


def combined(row: Any, micrograph: Micrograph) -> Coordinate:
    """A Coordinate of (x, y, score, number of sets)."""
    x, y, score, number = row
    item = Coordinate(x=int(round(x)), y=int(round(y)))  # Scipion's are whole and truncate
    item.setMicrograph(micrograph)
    setattr(item, SCORE, Float(score))
    setattr(item, PICKERS, Integer(int(number)))
    return item
