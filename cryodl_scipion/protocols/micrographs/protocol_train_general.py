# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a picker on many kinds of particles, for molecules that it never saw."""

import csv
import dataclasses
import os
from typing import Any, Dict, List, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import EMSet, SetOfCoordinates
from pyworkflow.protocol import params

from ... import Plugin
from ...convert.micrograph_names import imageEnding, micrographNames
from ...convert.micrographs import coordinates as convert
from ...convert.models import shippedModels
from ...convert.structures import patternProblems, structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import TrainGeneralPickerConfig, counted
from ...engine.cryodl.contract.micrographs.training import TrainGeneralPickerOutputs
from ..checks import checkDiameter, checkLabels, checkModelFolder
from ..kinds import Flag, Options, Own, PointingMany, Section, StartModel
from ..training import TrainRun


class StructuresToSimulate(PointingMany):
    """Structures, or sets of atomic models; the form's files are added."""

    CLASSES = "AtomStruct,SetOfAtomStructs,Volume"


class LabelledSets(PointingMany):
    """Coordinates of real particles, as a table of sets with links to their micrographs."""

    CLASSES, LABEL, to = "SetOfCoordinates", "Labelled sets", ("sets",)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return dict(sets=protocol._table() if self.objects(protocol) else None)

    def filesOf(self, protocol: Any, found: List[SetOfCoordinates]) -> Dict[str, Any]:
        protocol._writeSets()
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return dict(sizes=[(one.getFileName(), one.getSize()) for one in self.objects(protocol)])


class StartPicker(StartModel):
    """The general model to continue from, which is checked with the shipped one."""

    def check(self, protocol: Any, found: Any) -> List[str]:
        return []


class CryodlProtTrainGeneral(TrainRun[TrainGeneralPickerConfig, TrainGeneralPickerOutputs]):
    """Train a picker for molecules that it never saw.

    In: structures, of which micrographs of every kind are simulated, and labelled sets of this project, one for each
    kind of particle. Any of the six networks learns from all of them together. Out: a general model for `cryodl - pick
    particles`. A stopped run continues where it was.
    """

    _label = "train general picker"
    FORM = (
        StructuresToSimulate(
            "simulateFrom",
            "Atomic models or maps (or sets of models) to simulate micrographs from.",
            label="Structures",
            empty="only the files below, and artificial assemblies",
        ),
        Own(
            "structureFiles",
            params.PathParam,
            "Structure files",
            "Atomic models (.pdb, .cif, also .gz) or maps (.mrc): a file, or a pattern such as folder/*.cif.gz, "
            "so that many files need not be imported.\n\nEmpty: none.",
            default="",
        ),
        Options("procedural"),
        LabelledSets(
            "inputSets",
            "Coordinates of particles on real micrographs, one set for each kind of particle. Micrographs "
            "without coordinates are not used.",
            empty="simulated micrographs only",
        ),
        Own(
            "diameters",
            params.StringParam,
            "Sizes of their particles (Å)",
            "Diameters of the particles of the labelled sets, in the same order, separated by commas.",
            default="",
        ),
        Options("real_marks", "real_fraction", "leave_out"),
        Section("Training"),
        Options("network", "simulated", "faint_fraction", "steps"),
        StartPicker(
            "A general model to continue from, of the same network.",
            "picker",
            "startModel",
            "the shipped general model if the field below says so, else random weights",
            related=False,
        ),
        Flag(
            "startGeneral",
            "Start from the shipped general model",
            "Continue from the general model that comes with the plugin (network unet), so that fewer steps are "
            "needed.",
        ),
    )
    NOT_ON_FORM = {
        "structures": "the input structures and the files beside them",
        "cache": "a run keeps no simulated micrographs",
    }

    def _writeSets(self) -> None:
        """The engine's table of labelled sets, with links to their micrographs and the coordinates beside it."""
        pwutils.cleanPath(self._setsFolder())
        rows = [["name", "micrographs", "coordinates", "pixel_size", "particle_diameter"]]
        for number, (coordinates, diameter) in enumerate(zip(self._pointed("inputSets"), self._diameters()), 1):
            name = f"set_{number}"
            self._writeSet(os.path.join(self._setsFolder(), name), coordinates)
            pixelSize = coordinates.getMicrographs().getSamplingRate()
            rows.append([name, f"{name}/micrographs/*", f"{name}/coordinates", str(pixelSize), str(diameter)])
        with open(self._table(), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def _writeSet(self, folder: str, coordinates: SetOfCoordinates) -> None:
        files, labels = (os.path.join(folder, word) for word in ("micrographs", "coordinates"))
        pwutils.makePath(files, labels)
        micrographs = [m.clone() for m in coordinates.getMicrographs()]
        names, positions = micrographNames(micrographs), convert.positionsByMicrograph(coordinates)
        for micrograph in micrographs:
            if micrograph.getObjId() not in positions:
                continue
            name, path = names[micrograph.getObjId()], os.path.abspath(micrograph.getFileName())
            os.symlink(path, os.path.join(files, name + imageEnding(path)))
            convert.writePositions(labels, name, positions[micrograph.getObjId()])

    # ----- what the steps share
    def _setsFolder(self) -> str:
        return self._getExtraPath("sets")

    def _table(self) -> str:
        return os.path.join(self._setsFolder(), "sets.csv")

    def _diameters(self) -> List[float]:
        """Å of the labelled sets. Raises ValueError for words that are no numbers."""
        return [float(word) for word in (self.diameters.get() or "").split(",") if word.strip()]

    def _structures(self) -> Tuple[str, ...]:
        found = [one for item in self._pointed("simulateFrom") for one in (item if isinstance(item, EMSet) else [item])]
        pattern = (self.structureFiles.get() or "").strip()
        return tuple(structureFileOf(one) for one in found) + ((pattern,) if pattern else ())

    def _startFolder(self) -> Any:
        """Folder of the model to start from; None for random weights."""
        start = self.startModel.get()
        if start is not None:
            return start.getFolder()
        return shippedModels(Plugin.getEngineFolder()).get("general") if self.startGeneral.get() else None

    def _completed(self, config: TrainGeneralPickerConfig) -> TrainGeneralPickerConfig:
        return dataclasses.replace(config, structures=self._structures(), start_from=self._startFolder())

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        return patternProblems(self._structures()) + self._checkSets() + self._checkStart()

    def _checkSets(self) -> List[str]:
        sets = self._pointed("inputSets")
        try:
            diameters = self._diameters()
        except ValueError:
            return [f"Sizes of their particles (Å) is {self.diameters.get()!r}; give numbers separated by commas."]
        if len(diameters) != len(sets):
            return [
                f"There are {counted(len(sets), 'labelled set')} and {counted(len(diameters), 'particle diameter')}. "
                "Give the diameter of each set, in the same order."
            ]
        return [
            error
            for coordinates, diameter in zip(sets, diameters)
            for error in checkLabels(coordinates, {}, None) or checkDiameter(diameter, coordinates.getMicrographs())
        ]

    def _checkStart(self) -> List[str]:
        folder, network = self._startFolder(), self._config().network
        if folder is None:
            return []
        errors = checkModelFolder(folder)
        card = None if errors else contract.read_card(folder)
        if card and (card["network"] != network or not card.get("general")):
            kind = "general model" if card.get("general") else "model of one kind of particle"
            errors = [
                f"The model to start from is a {kind} of the network {card['network']}. Choose a general model of the "
                f"network {network}, or another Network."
            ]
        return errors

    def _warnings(self) -> List[str]:
        if self._config().network == "unet":
            return []
        return [
            "Only the network unet estimates the size of particles: this model will need a particle diameter whenever "
            "it picks."
        ]

    def _cardLines(self, card: Dict[str, Any]) -> List[str]:
        training, validation = card["training"], card["validation"]
        return [
            f"General model {card['name']}, network {card['network']}"
            + (
                ". It estimates the particles' size." if card.get("tells_size") else ", for a stated particle diameter."
            ),
            f"Trained on {training['simulated_micrographs']} simulated micrographs of "
            f"{counted(len(training['structures']), 'structure')} and {training['made_up']} artificial assemblies, and "
            f"on {counted(len(training['real_sets']), 'labelled set')}; {counted(training['steps'], 'step')}, stopped: "
            f"{training['stop_reason']}.",
            f"On simulated micrographs of structures that it did not learn from: F1 {validation['f1']:.3f}, average "
            f"precision {validation['average_precision']:.3f}.",
        ]

    def _cardInWords(self, card: Dict[str, Any]) -> str:
        return " ".join(self._cardLines(card))
