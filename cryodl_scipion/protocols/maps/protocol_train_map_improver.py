# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a map improver."""

import csv
import dataclasses
import os
from typing import Any, Dict, List, Tuple

from pwem.objects import AtomStruct, Volume
from pyworkflow import BETA
from pyworkflow.protocol import params

from ...convert.maps import mapProblem, patternProblems, structureFileOf, structureProblem
from ...engine.cryodl.contract import TrainMapImproverConfig, TrainMapImproverOutputs, absent
from .. import model_field, training
from ..kinds import Choice, Model, Options, Own, Section, otherNetworkIn, sayIf
from .map_kinds import FrameChoice, ManyMaps, MapsBase, mapClonesOf

PROJECT, TABLE, NOTHING = range(3)
_OURS = f"pairsFrom == {PROJECT}"
_VOLUMES = ManyMaps("inputVolumes", "Maps from refinement, or sets of them.", label="Input volumes", when=_OURS)
_OF_MODELS = "AtomStruct,SetOfAtomStructs"
_MODELS = ManyMaps(
    "inputModels",
    "Atomic models fitted into the maps, in the same order.",
    label="Atomic models",
    when=_OURS,
    pointerClass=_OF_MODELS,
)
_SIMULATED = ManyMaps(
    "simulateFrom",
    "Atomic models (or sets of them) to simulate training maps from, with the imperfections of real maps.",
    label="Simulate maps from",
    empty="only the files below, if any",
    pointerClass=_OF_MODELS,
)


class CryodlProtTrainMapImprover(training.TrainRun[TrainMapImproverConfig, TrainMapImproverOutputs], MapsBase):
    """Train a network that turns reconstructed maps into what their atomic models look like.

    In: maps with their atomic models (of this project, or a table), and atomic models to simulate maps from; one of
    the two is enough. Out: a model for *cryodl - improve map*. Similar molecules are kept together, and some are
    held out for validation. Continue from a model to adapt it to your own maps. Several GPUs work together. A
    stopped run continues where it was."""

    _label = "train map improver"
    _devStatus = BETA
    _KIND = "improver"
    FORM = (
        Choice(
            "pairsFrom",
            "Maps with their models",
            ["of this project", "a table (.csv)", "none: simulated maps only"],
            "Training pairs of a map and its atomic model.",
        ),
        _VOLUMES,
        _MODELS,
        Own(
            "resolutions",
            params.StringParam,
            "Resolutions (Å)",
            "Resolutions of the maps, in the same order, separated by commas, or one resolution for all maps.",
            when=_OURS,
            default="",
        ),
        FrameChoice(_OURS),
        Options("pairs", when=f"pairsFrom == {TABLE}"),
        Section("Simulated maps"),
        _SIMULATED,
        Own(
            "structureFiles",
            params.PathParam,
            "Files to simulate from",
            "Atomic models (.pdb, .cif, also .gz): a file, or a pattern such as folder/*.cif.gz, so that many "
            "files need not be imported.\n\nEmpty: none.",
            default="",
        ),
        Options("simulated", "resolution_min", "resolution_max"),
        Section("Training"),
        Options("leave_out", "network", "steps", "working_pixel_size", "target_resolution", "batch_size", "seed"),
        Model(
            "map_improver",
            model_field.NONE,
            to="start_from",
            none="none: random weights",
            label="Start from",
            expertLevel=params.LEVEL_ADVANCED,
        ),
    )
    NOT_ON_FORM = {"structures": "the input models and the files beside them"}

    def _settings(self) -> Dict[str, Any]:
        ours = [structureFileOf(one) for pair in self._pairs() for one in pair]
        return dict(super()._settings(), pairs_of_the_project=ours)

    def _writtenFiles(self) -> Dict[str, Any]:
        if self._pairs():
            self._writePairs()
        return super()._writtenFiles()

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

    def _pairsTable(self) -> str:
        return os.path.join(self._inputFolder(), "pairs.csv")

    def _pairs(self) -> List[Tuple[Volume, AtomStruct]]:
        return list(zip(mapClonesOf(_VOLUMES.objects(self)), mapClonesOf(_MODELS.objects(self))))

    def _resolutions(self) -> List[float]:
        values = [float(word) for word in (self.resolutions.get() or "").split(",") if word.strip()]
        return values * len(self._pairs()) if len(values) == 1 else values

    def _structures(self) -> Tuple[str, ...]:
        pattern = (self.structureFiles.get() or "").strip()
        return tuple(map(structureFileOf, mapClonesOf(_SIMULATED.objects(self)))) + ((pattern,) if pattern else ())

    def _completed(self, config: TrainMapImproverConfig) -> TrainMapImproverConfig:
        pairs = {PROJECT: self._pairsTable() if self._pairs() else None, TABLE: config.pairs or None, NOTHING: None}
        return dataclasses.replace(config, pairs=pairs[self.pairsFrom.get()], structures=self._structures())

    def _checkTogether(self) -> List[str]:
        table = self._config().pairs
        errors = [e for one in mapClonesOf(_SIMULATED.objects(self)) for e in structureProblem(one)]
        if self.pairsFrom.get() == PROJECT:
            errors += self._checkPairs()
        if self.pairsFrom.get() == TABLE and not os.path.isfile(table or ""):
            errors.append(
                f"The table of maps and models, {table or '(no name)'}, {absent(table or '')}. Give a .csv file with "
                "the columns map, structure and resolution."
            )
        errors += patternProblems(self._structures())
        start = "" if self.modelFrom.get() == model_field.NONE else model_field.modelFolder(self)
        return errors + (otherNetworkIn(start, self._MODEL_KIND, self._config().network) if start else [])

    def _checkPairs(self) -> List[str]:
        volumes, models = (mapClonesOf(part.objects(self)) for part in (_VOLUMES, _MODELS))
        try:
            resolutions = self._resolutions()
        except ValueError:
            return [
                f"Resolutions (Å) is {self.resolutions.get()!r}; give numbers separated by commas, one for all "
                "maps or one for each."
            ]
        wrong = sayIf(
            len(volumes) != len(models),
            f"There are {len(volumes)} maps and {len(models)} atomic models (ticked ones). Give the model of each map, "
            "in the same order.",
        ) or sayIf(
            volumes and (len(resolutions) != len(volumes) or min(resolutions) <= 0),
            f"There are {len(volumes)} maps (ticked ones) and {len(resolutions)} resolutions. Give one for all, or one "
            "for each, in Å.",
        )
        if wrong:
            return wrong
        return [e for one in volumes for e in mapProblem(one)] + [e for one in models for e in structureProblem(one)]

    def _warnings(self) -> List[str]:
        return sayIf(
            self._config().network == "swinconv" and not self.usesGpu(),
            "The network swinconv is large: without a GPU its training takes weeks. The network fast trains in hours.",
        )
