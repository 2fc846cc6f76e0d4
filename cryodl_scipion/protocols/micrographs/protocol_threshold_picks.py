# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose another score threshold for picks, without running the network again."""

from typing import Any, Dict, List, Sequence

from pwem.objects import EMSet, SetOfCoordinates
from pwem.protocols import EMProtocol
from pyworkflow.protocol import Form, ProtStreamingBase, params

from ...convert.arriving import ArrivingMicrographs, firstOf, reopened
from ...convert.micrographs import picks as convert
from ...engine.cryodl.contract import counted, score_text
from ..batches import ArrivingBatches, appendToOutput
from ..inputs import PluginProtocol, WithoutEngine
from ..kinds import Pointing, sayIf

OUTPUT = "outputCoordinates"


class CryodlProtThresholdPicks(WithoutEngine, PluginProtocol, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Choose another score threshold for particles picked by cryodl.

    In: coordinates of `cryodl - pick particles`. Out: those with at least the new score. The threshold may be lower
    than the one used for picking: the weaker candidates were kept in files. The wizard shows the picks on a micrograph
    while the threshold moves. The network does not run again, so this takes seconds. Picks may still be arriving."""

    _label = "filter picks by score"
    _possibleOutputs = {OUTPUT: SetOfCoordinates}
    _OUTPUTS, _WORK, _MADE, _ID = (OUTPUT,), "filter", "filtered", "_micId"
    _engineResults: Any = staticmethod(list)  # it is not run

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        help = "Coordinates picked by cryodl, which have scores."
        Pointing("inputCoordinates", help, label="Input coordinates", pointerClass="SetOfCoordinates").addTo(form, self)
        form.addParam(
            "threshold",
            params.FloatParam,
            default=None,
            allowsNull=True,
            label="Score threshold",
            important=True,
            help="Picks with a lower score are left out; from 0 to 1. The wizard shows the effect, and starts at the "
            "threshold that the picks were made with.",
        )

        # 1000 micrographs at a time: each is a file that is read
        self._addBatchParams(form, "It starts with micrographs that have picks.", size=1000)

    def stepsGeneratorStep(self) -> None:
        source = self.inputCoordinates.get()
        self._arriving = ArrivingMicrographs(source.getMicrographs(), source)
        self._insertBatches(None, self.filterStep)

    def filterStep(self, names: Sequence[str]) -> None:
        """Append the picks of some micrographs; micrographs whose picks the set has already are left alone."""
        with self._lock:
            source, done = reopened(SetOfCoordinates, self.inputCoordinates.get()), self._doneNames()
            self._describe(source, self.inputCoordinates.get())
            micrographs = [m for m in self._arriving.items(names) if m.getMicName() not in done]

            def append(output: SetOfCoordinates) -> None:
                self._describe(output, source)
                for micrograph, picks in convert.scoredPicks(source, micrographs, self._arriving.engineNames()):
                    convert.appendPicks(output, micrograph, [pick for pick in picks if pick[2] >= self.threshold.get()])

            frame = self.inputCoordinates.get().getMicrographs(asPointer=True)
            appendToOutput(self, OUTPUT, lambda: self._createSetOfCoordinates(frame), [self.inputCoordinates], append)
            source.close()

    def _describe(self, output: EMSet, source: EMSet) -> None:
        output.setBoxSize(source.getBoxSize())
        for name in (convert.CANDIDATES, convert.DIAMETER):
            if source.hasAttribute(name):
                setattr(output, name, getattr(source, name).clone())

    def _settings(self) -> Dict[str, Any]:
        return dict(threshold=self.threshold.get(), coordinates=self.inputCoordinates.get().getFileName())

    def _validate(self) -> List[str]:
        coordinates, threshold = self.inputCoordinates.get(), self.threshold.get()
        if coordinates is None:
            return []  # pyworkflow names it
        alone = not convert.hasCandidates(coordinates)
        return (
            sayIf(
                threshold is None,
                "Score threshold is empty; type a number from 0 to 1, or choose it with the wizard beside it.",
            )
            or sayIf(not 0 <= threshold <= 1, f"Score threshold is {threshold}; it must be a number from 0 to 1.")
            or sayIf(
                alone and coordinates.getSize() == 0,
                "The set of coordinates is empty and has no stored candidates. Choose the output of cryodl - pick "
                "particles.",
            )
            or sayIf(
                alone and convert.scoreOf(firstOf(coordinates)) is None,
                "The coordinates have no scores. Choose coordinates picked by cryodl.",
            )
            or self._checkBatches()
            or self._checkContinuation()
        )

    def _warnings(self) -> List[str]:
        coordinates = self.inputCoordinates.get()
        return sayIf(
            coordinates is not None and not convert.hasCandidates(coordinates),
            "The stored candidates of these coordinates are not available (the set is a subset, or the run that "
            "picked them was deleted). Picks can be removed, but picks of lower score cannot be added.",
        )

    def _summary(self) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        if output is None:
            return ["No coordinates yet."]
        source = self.inputCoordinates.get()
        kept = f"*{counted(output.getSize(), 'particle')}* with a score of at least {score_text(self.threshold.get())}"
        return [kept] if source is None else [kept, f"The input has {source.getSize()}."]

    def _methods(self) -> List[str]:
        output = getattr(self, OUTPUT, None)
        used = "{} particles with a score of at least {} were kept."
        return [] if output is None else [used.format(output.getSize(), score_text(self.threshold.get()))]
