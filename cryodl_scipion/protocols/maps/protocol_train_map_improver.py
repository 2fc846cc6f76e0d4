# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a map improver."""

import csv
import os
from typing import Any, Dict, List, Sequence, Tuple

from pwem.objects import AtomStruct, Volume
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.structures import patternProblems, structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..model_field import NONE, addModelParams, cardOf, checkModelField, modelFolder
from ..training import TrainsModel
from .map_words import improverInWords, improverLines, mapCitations
from .maps_base import MapsBase, mapClonesOf, structureProblems

PROJECT, TABLE, NOTHING = range(3)
_EXPERT = params.LEVEL_ADVANCED


class CryodlProtTrainMapImprover(TrainsModel, MapsBase):
    """Train a network that turns reconstructed maps into what their atomic models look like.

    In: maps with their atomic models (of this project, or a table), and atomic models to simulate maps from; one of
    the two is enough. Out: a model for *cryodl - improve map*. Similar molecules are kept together, and some are
    held out for validation. Continue from a model to adapt it to your own maps. Several GPUs work together. A
    stopped run continues where it was.
    """

    _label = "train map improver"
    _KIND = "improver"
    _SEVERAL_GPUS = True
    _CONFIG = contract.TrainMapImproverConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        structures="the input models and the files beside them",
        start_from="the model that the form names",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "pairsFrom",
            params.EnumParam,
            default=PROJECT,
            label="Maps with their models",
            choices=["of this project", "a table (.csv)", "none: simulated maps only"],
            help="Training pairs of a map and its atomic model.",
        )
        ours = f"pairsFrom == {PROJECT}"
        form.addParam(
            "inputVolumes",
            params.MultiPointerParam,
            pointerClass="Volume,SetOfVolumes",
            allowsNull=True,
            condition=ours,
            important=True,
            label="Maps",
            help="Maps from refinement, or sets of them.",
        )
        form.addParam(
            "inputModels",
            params.MultiPointerParam,
            pointerClass="AtomStruct,SetOfAtomStructs",
            allowsNull=True,
            condition=ours,
            important=True,
            label="Atomic models",
            help="Atomic models fitted into the maps, in the same order.",
        )
        form.addParam(
            "resolutions",
            params.StringParam,
            default="",
            condition=ours,
            label="Resolutions (Å)",
            help="Resolutions of the maps, in the same order, separated by commas, or one resolution for all maps.",
        )
        self._addFrameParam(form, ours)
        addConfigParams(form, self._CONFIG, ["pairs"], pairs=dict(condition=f"pairsFrom == {TABLE}"))
        form.addParam(
            "simulateFrom",
            params.MultiPointerParam,
            pointerClass="AtomStruct,SetOfAtomStructs",
            allowsNull=True,
            label="Simulate maps from",
            help="Atomic models (or sets of them) to simulate training maps from, with the imperfections of real "
            "maps.\n\nEmpty: only the files below, if any.",
        )
        form.addParam(
            "structureFiles",
            params.PathParam,
            default="",
            label="Files to simulate from",
            help="Atomic models (.pdb, .cif, also .gz): a file, or a pattern such as folder/*.cif.gz, so that many "
            "files need not be imported.\n\nEmpty: none.",
        )
        addConfigParams(form, self._CONFIG, ["leave_out", "simulated", "resolution_min", "resolution_max"])
        form.addSection("Training")
        addConfigParams(
            form,
            self._CONFIG,
            [
                "network",
                "steps",
                "working_pixel_size",
                "target_resolution",
                "local_resolution",
                "local_effects",
                "ssim_weight",
                "fsc_weight",
                "q_score_weight",
                "attention",
                "width",
                "patience",
                "validation_fraction",
                "batch_size",
                "learning_rate",
                "seed",
            ],
        )
        addModelParams(
            form, NONE, self._MODEL_KIND, none="none: random weights", label="Start from", expertLevel=_EXPERT
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = dict(
            self._settings(), pairs_of_the_project=[structureFileOf(o) for pair in self._pairs() for o in pair]
        )
        self._insertFunctionStep(self.trainStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def trainStep(self, settings: Dict[str, Any]) -> None:
        if self.pairsFrom.get() == PROJECT and self._pairs():
            self._writePairs()
        self._train(self._config(**self._engineValues()), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        pointers = [*self.inputVolumes, *self.inputModels] if self.pairsFrom.get() == PROJECT else []
        self._defineModel(
            pointers + list(self.simulateFrom) + ([self.inputModel] if self.modelFrom.get() != NONE else [])
        )

    def _writePairs(self) -> None:
        """The table of pairs; maps are copied where their header is wrong, as the engine reads nothing else."""
        table = self._pairsTable()
        os.makedirs(os.path.dirname(table), exist_ok=True)
        relative = lambda path: os.path.relpath(path, os.path.dirname(table))
        rows: List[List[Any]] = [["map", "structure", "resolution"]]
        for number, ((volume, structure), resolution) in enumerate(zip(self._pairs(), self._resolutions())):
            origin = self._position(volume, structure, f"frame_{number}.json")
            rows.append(
                [
                    relative(self._mapFor(volume, origin, pixelSize=True)),
                    relative(structureFileOf(structure)),
                    resolution,
                ]
            )
        with open(table + ".tmp", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        os.replace(table + ".tmp", table)

    # ----- inputs
    def _pairsTable(self) -> str:
        return os.path.join(self._inputFolder(), "pairs.csv")

    def _pairs(self) -> List[Tuple[Volume, AtomStruct]]:
        """[(Volume, AtomStruct)] of the project."""
        if self.pairsFrom.get() != PROJECT:
            return []
        return list(zip(mapClonesOf(self._pointed("inputVolumes")), mapClonesOf(self._pointed("inputModels"))))

    def _resolutions(self) -> List[float]:
        """[Å] of the pairs. Raises ValueError for words that are no numbers."""
        values = [float(word) for word in (self.resolutions.get() or "").split(",") if word.strip()]
        return values * len(self._pairs()) if len(values) == 1 else values

    def _structures(self) -> Tuple[str, ...]:
        pattern = (self.structureFiles.get() or "").strip()
        return tuple(structureFileOf(s) for s in mapClonesOf(self._pointed("simulateFrom"))) + (
            (pattern,) if pattern else ()
        )

    def _engineValues(self) -> Any:
        pairs = {PROJECT: self._pairsTable() if self._pairs() else None, TABLE: self.pairs.get() or None, NOTHING: None}
        return dict(
            pairs=pairs[self.pairsFrom.get()],
            structures=self._structures(),
            output=self.getModelFolder(),
            start_from=modelFolder(self) or None,
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = structureProblems(mapClonesOf(self._pointed("simulateFrom")))
        if self.pairsFrom.get() == PROJECT:
            errors += self._checkPairs()
        if self.pairsFrom.get() == TABLE and not os.path.isfile(self.pairs.get() or ""):
            errors.append(
                f"The table of maps and models, {self.pairs.get() or '(no name)'}, does not exist. Give a .csv file "
                "with the columns map, structure and resolution."
            )
        errors += patternProblems(self._structures())
        return errors + ([] if self.modelFrom.get() == NONE else self._checkStart())

    def _checkPairs(self) -> List[str]:
        volumes, models = (mapClonesOf(self._pointed(name)) for name in ("inputVolumes", "inputModels"))
        if len(volumes) != len(models):
            return [
                f"There are {len(volumes)} maps and {len(models)} atomic models. Give the model of each map, in "
                "the same order."
            ]
        try:
            resolutions = self._resolutions()
        except ValueError:
            return [
                f"Resolutions (Å) is {self.resolutions.get()!r}; give numbers separated by commas, one for all "
                "maps or one for each."
            ]
        if volumes and (len(resolutions) != len(volumes) or min(resolutions) <= 0):
            return [
                f"There are {len(volumes)} maps and {len(resolutions)} resolutions. Give one for all, or one "
                "for each, in Å."
            ]
        return [error for volume in volumes for error in self._checkMap(volume)] + structureProblems(models)

    def _checkStart(self) -> List[str]:
        errors, network = checkModelField(self), self.getEnumText("network")
        card = cardOf(self)
        if not errors and card["network"] != network:
            errors = [
                f"The model to start from has the network {card['network']}, but Network is {network}. Choose the "
                "same network, or another model."
            ]
        return errors

    def _warnings(self) -> List[str]:
        warnings = self._voxelWarnings([volume for volume, _ in self._pairs()])
        if self.getEnumText("network") == "swinconv" and not self.usesGpu():
            warnings.append(
                "The network swinconv is large: without a GPU its training takes weeks. The network fast trains in "
                "hours."
            )
        return warnings

    def _tell(self, results: Sequence[Result]) -> List[str]:
        card = self._card()
        return ["No model yet."] if card is None else improverLines(card)

    def _methods(self) -> List[str]:
        card = self._card()
        return [] if card is None else [improverInWords(card)]

    def _citations(self) -> List[str]:
        return mapCitations(self.getEnumText("network"))
