# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a picker on many kinds of particles, for molecules that it never saw."""

import csv
import os
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import EMSet, SetOfCoordinates
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ... import Plugin
from ...convert.micrograph_names import imageEnding, micrographNames
from ...convert.micrographs import coordinates as convert
from ...convert.models import shippedModels
from ...convert.structures import patternProblems, structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..checks import checkDiameter, checkLabels, checkModelFolder
from ..form_parts import addStartModel, notOnForm
from ..protocol_base import CryodlProtBase
from ..training import TrainsModel


class CryodlProtTrainGeneral(TrainsModel, CryodlProtBase, EMProtocol):
    """Train a picker for molecules that it never saw.

    In: structures, of which micrographs of every kind are simulated, and labelled sets of this project, one for each
    kind of particle. Any of the six networks learns from all of them together. Out: a general model for `cryodl - pick
    particles` and `cryodl - auto-pick particles`. A stopped run continues where it was.
    """

    _label = "train general picker"
    _devStatus = BETA
    _CONFIG = contract.TrainGeneralPickerConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        "start_from",
        structures="the input structures and the files beside them",
        sets="written from the labelled sets",
        cache="a run keeps no simulated micrographs",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "simulateFrom",
            params.MultiPointerParam,
            pointerClass="AtomStruct,SetOfAtomStructs,Volume",
            allowsNull=True,
            label="Structures",
            help="Atomic models or maps (or sets of models) to simulate micrographs from.\n\nEmpty: only the files "
            "below, and artificial assemblies.",
        )
        form.addParam(
            "structureFiles",
            params.PathParam,
            default="",
            label="Structure files",
            help="Atomic models (.pdb, .cif, also .gz) or maps (.mrc): a file, or a pattern such as folder/*.cif.gz, "
            "so that many files need not be imported.\n\nEmpty: none.",
        )
        addConfigParams(form, self._CONFIG, ["procedural"])
        form.addParam(
            "inputSets",
            params.MultiPointerParam,
            pointerClass="SetOfCoordinates",
            allowsNull=True,
            label="Labelled sets",
            help="Coordinates of particles on real micrographs, one set for each kind of particle. Micrographs "
            "without coordinates are not used.\n\nEmpty: simulated micrographs only.",
        )
        form.addParam(
            "diameters",
            params.StringParam,
            default="",
            label="Sizes of their particles (Å)",
            help="Diameters of the particles of the labelled sets, in the same order, separated by commas.",
        )
        addConfigParams(form, self._CONFIG, ["real_marks", "real_fraction", "leave_out"])
        form.addSection("Training")
        addConfigParams(form, self._CONFIG, ["network", "simulated", "faint_fraction", "steps"])
        addStartModel(
            form,
            "A general model to continue from, of the same network.",
            "startModel",
            "the shipped general model if the field below says so, else random weights",
        )
        form.addParam(
            "startGeneral",
            params.BooleanParam,
            default=False,
            label="Start from the shipped general model",
            help="Continue from the general model that comes with the plugin (network unet), so that fewer steps are "
            "needed.",
        )
        addConfigParams(form, self._CONFIG, ["batch_size", "learning_rate", "seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = dict(self._settings(), sizes=[s.getSize() for s in self._sets()])
        self._insertFunctionStep(self.writeSetsStep, settings, needsGPU=False)
        self._insertFunctionStep(self.trainStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def writeSetsStep(self, settings: Dict[str, Any]) -> None:
        """The engine's table of labelled sets, with links to their micrographs and the coordinates beside it."""
        sets = self._sets()
        if not sets:
            return
        pwutils.cleanPath(self._setsFolder())
        rows = [["name", "micrographs", "coordinates", "pixel_size", "particle_diameter"]]
        for number, (coordinates, diameter) in enumerate(zip(sets, self._diameters()), 1):
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

    def trainStep(self, settings: Dict[str, Any]) -> None:
        self._train(self._config(**self._engineValues()), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineModel([*self.simulateFrom, *self.inputSets])

    # ----- what the steps share
    def _setsFolder(self) -> str:
        return self._getExtraPath("sets")

    def _table(self) -> str:
        return os.path.join(self._setsFolder(), "sets.csv")

    def _sets(self) -> List[SetOfCoordinates]:
        return [pointer.get() for pointer in self.inputSets if pointer.get() is not None]

    def _diameters(self) -> List[float]:
        """Å of the labelled sets. Raises ValueError for words that are no numbers."""
        return [float(word) for word in (self.diameters.get() or "").split(",") if word.strip()]

    def _structures(self) -> Tuple[str, ...]:
        found: List[Any] = []
        for pointer in self.simulateFrom:
            item = pointer.get()
            found += [i.clone() for i in item] if isinstance(item, EMSet) else [item] if item is not None else []
        pattern = (self.structureFiles.get() or "").strip()
        return tuple(structureFileOf(s) for s in found) + ((pattern,) if pattern else ())

    def _startFolder(self) -> Any:
        """Folder of the model to start from; None for random weights."""
        start = self.startModel.get()
        if start is not None:
            return start.getFolder()
        return shippedModels(Plugin.getEngineFolder()).get("general") if self.startGeneral.get() else None

    def _engineValues(self) -> Any:
        return dict(
            structures=self._structures(),
            sets=self._table() if self._sets() else None,
            output=self.getModelFolder(),
            start_from=self._startFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        return patternProblems(self._structures()) + self._checkSets() + self._checkStart()

    def _checkSets(self) -> List[str]:
        sets = self._sets()
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
        folder, network = self._startFolder(), self.getEnumText("network")
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
        if self.getEnumText("network") == "unet":
            return []
        return [
            "Only the network unet estimates the size of particles: this model will need a particle diameter whenever "
            "it picks."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        card = self._card()
        if card is None:
            return ["No model yet."]
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

    def _methods(self) -> List[str]:
        return [] if self._card() is None else [" ".join(self._tell([]))]
