# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a map against its atomic model, and its half-maps against each other."""

import csv
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import FSC, EMObject, SetOfFSCs, Volume
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.maps.maps import halfForEngine, halfMapsOf
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...engine.cryodl.contract.maps.improving import ImproveMapOutputs
from ...form import addConfigParams
from ..evaluation_folder import HasEvaluation
from ..form_parts import notOnForm
from ..model_field import SHIPPED, addModelParams, cardOf, checkModelField, modelFolder
from ..protocol_base import RESULT_FILE
from .map_words import MEASURES, evaluationInWords, evaluationLines, mapCitations
from .maps_base import MapsBase, ownOrigin

CURVES, RESIDUES, LOCAL = "fsc.csv", "residues.csv", "local_resolution.mrc"


class CryodlProtEvaluateMap(HasEvaluation, MapsBase):
    """Measure a map against its atomic model, and its half-maps against each other.

    In: a map and its model; perhaps the map before improvement, half-maps, and a map improver for the half-map test.
    Out: Fourier shell correlations of map and model and of the half-maps, Q-scores of residues and chains, local
    correlation, local resolution by windowed FSC, a script for ChimeraX that colours the model, and tables. Both maps
    are measured with the same mask. The half-map test tells what the improver gains and what it invents.
    """

    _label = "evaluate map"
    _CONFIG = contract.EvaluateMapConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        map="the input map",
        structure="the input model",
        half_maps="the half-maps of the map, or those of the form",
        before="the map before",
        improver="the model that the form names",
        mask="the input mask",
        pixel_size="the map's sampling rate",
        json="the results are files",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMapParam(form, "inputVolume", "Map to measure. If it has half-maps, they are measured too.")
        self._addModelParam(form, "inputStructure", "Atomic model, fitted into the map.")
        self._addFrameParam(form)
        self._addMapParam(
            form,
            "inputBefore",
            "Map to compare with, such as the map before improvement, on the same grid. It is measured with the "
            "same mask.\n\nEmpty: only the map is measured.",
            label="Original map",
            allowsNull=True,
            important=False,
        )
        for number in (1, 2):
            self._addMapParam(
                form,
                f"inputHalf{number}",
                "Unmasked and unsharpened half-map.\n\nEmpty: the half-map linked to the map, if there is one.",
                label=f"Half-map {number}",
                allowsNull=True,
                important=False,
                expertLevel=params.LEVEL_ADVANCED,
            )
        self._addMapParam(
            form,
            "inputMask",
            "Mask on the grid of the map.\n\nEmpty: a soft mask made from the model.",
            "VolumeMask,Volume",
            label="Mask",
            allowsNull=True,
            important=False,
        )
        addConfigParams(form, self._CONFIG, ["mask_radius", "resolution"])
        form.addSection("Half-map test")
        form.addParam(
            "testImprover",
            params.BooleanParam,
            default=False,
            label="Half-map test of a map improver?",
            help="Each half-map is improved separately, and compared with the other improved half-map and with the "
            "other raw half-map. What agrees better only with the improved half-map is invented.",
        )
        addModelParams(form, SHIPPED, self._MODEL_KIND, "testImprover")
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    def usesGpu(self) -> bool:
        """Only the half-map test has a network to run."""
        return self.testImprover.get() and super().usesGpu()

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = dict(self._settings(), frame=self.frame.get())
        self._insertFunctionStep(self.evaluateStep, settings, needsGPU=self.usesGpu())
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def evaluateStep(self, settings: Dict[str, Any]) -> None:
        volume, before, mask = self.inputVolume.get(), self.inputBefore.get(), self.inputMask.get()
        origin = self._position(volume, self.inputStructure.get())
        files = dict(
            map=self._mapFor(volume, origin),
            half_maps=tuple(halfForEngine(path, volume, self._inputFolder(), origin) for path in self._halfFiles()),
        )
        if before is not None:
            files.update(before=self._mapFor(before, origin))
        if mask is not None:
            files.update(mask=self._mapFor(mask))
        self._runOnce(self._config(**dict(self._engineValues(), **files)), self.getEvaluationFolder())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        fscs = SetOfFSCs.create(self._getPath())
        frequencies, curves = self.getCurves()
        for name, values in curves.items():
            fsc = FSC()
            fsc.setData(frequencies, values)
            fsc.setObjLabel(name)
            fscs.append(fsc)
        self._defineOutputs(outputFSCs=fscs)
        self._relate(fscs)
        local = os.path.join(self.getEvaluationFolder(), LOCAL)
        if os.path.exists(local):
            volume = Volume(location=local)
            volume.setSamplingRate(self.inputVolume.get().getSamplingRate())
            if ownOrigin(self.inputVolume.get()) is not None:
                volume.setOrigin(ownOrigin(self.inputVolume.get()).clone())
            volume.setObjComment("Local resolution in Å; 0 outside the mask.")
            self._defineOutputs(outputLocalResolution=volume)
            self._relate(volume)

    def _relate(self, output: EMObject) -> None:
        for pointer in (self.inputVolume, self.inputStructure, self.inputBefore):
            if pointer.get() is not None:
                self._defineSourceRelation(pointer, output)

    # ----- results
    def getCurves(self) -> Tuple[List[float], Dict[str, List[float]]]:
        """([frequency in 1/Å], {name: [correlation]}) of fsc.csv."""
        with open(os.path.join(self.getEvaluationFolder(), CURVES), newline="", encoding="utf-8") as file:
            names, *rows = list(csv.reader(file))
        columns = [[float(value) for value in column] for column in zip(*rows)]
        return columns[0], dict(zip(names[1:], columns[1:]))

    def getTestOfImproving(self) -> Optional[Dict[str, float]]:
        """Half-map test of *improve map*, whose result lies beside the map that it made; None without one."""
        volume = self.inputVolume.get()
        path = "" if volume is None else os.path.join(os.path.dirname(structureFileOf(volume)), RESULT_FILE)
        if not os.path.exists(path):
            return None
        outputs = contract.Result.read(path).outputs
        return outputs.half_map_test if isinstance(outputs, ImproveMapOutputs) else None

    # ----- inputs
    def _halfFiles(self) -> List[str]:
        """Files of the half-maps: of the form, else of the map, else of the map before; or none."""
        given = [half.get() for half in (self.inputHalf1, self.inputHalf2)]
        if all(half is not None for half in given):
            return [structureFileOf(half) for half in given]
        before = self.inputBefore.get()
        return halfMapsOf(self.inputVolume.get()) or ([] if before is None else halfMapsOf(before))

    def _engineValues(self) -> Any:
        before, mask = self.inputBefore.get(), self.inputMask.get()
        return dict(
            map=structureFileOf(self.inputVolume.get()),
            structure=structureFileOf(self.inputStructure.get()),
            half_maps=tuple(self._halfFiles()),
            before=None if before is None else structureFileOf(before),
            improver=modelFolder(self) if self.testImprover.get() else None,
            mask=None if mask is None else structureFileOf(mask),
            json=False,
            output=self.getEvaluationFolder(),
            pixel_size=self.inputVolume.get().getSamplingRate(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        volume = self.inputVolume.get()
        errors = self._checkMap(volume) + self._checkStructure(self.inputStructure.get())
        if errors:
            return errors
        for what, pointer in (
            ("original map", self.inputBefore),
            ("first half-map", self.inputHalf1),
            ("second half-map", self.inputHalf2),
            ("mask", self.inputMask),
        ):
            if pointer.get() is not None:
                errors += self._checkMap(pointer.get(), what) or self._checkSameGrid(volume, pointer.get(), what)
        if (self.inputHalf1.get() is None) != (self.inputHalf2.get() is None):
            errors.append("Half-map 1 and Half-map 2 belong together: choose both, or leave both empty.")
        if self.testImprover.get():
            errors += (
                checkModelField(self)
                if self._halfFiles()
                else [
                    "The half-map test needs half-maps, and the map has none. Choose Half-map 1 and Half-map 2, or "
                    "set the test to No."
                ]
            )
        return errors

    def _warnings(self) -> List[str]:
        volume = self.inputVolume.get()
        return [] if volume is None else self._voxelWarnings([volume])

    def _tell(self, results: Sequence[Result]) -> List[str]:
        evaluation = self.getEvaluation()
        return (
            ["No evaluation yet."]
            if evaluation is None
            else (evaluationLines(evaluation, self.getTestOfImproving()) + self._frameLines())
        )

    def _methods(self) -> List[str]:
        evaluation = self.getEvaluation()
        return [] if evaluation is None else [evaluationInWords(evaluation, self._engineResults())]

    def _citations(self) -> List[str]:
        network = (cardOf(self) or {}).get("network") if self.testImprover.get() else None
        return mapCitations(network) + list(MEASURES)
