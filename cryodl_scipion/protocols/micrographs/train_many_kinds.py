# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of a picker on many kinds of particles, for molecules that it never saw."""

import csv
import dataclasses
import os
from typing import Any, Dict, List, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates
from pyworkflow.protocol import params

from ...convert.maps import patternProblems
from ...convert.micrographs import picks as convert
from ...convert.names import imageEnding, micrographNames
from ...engine.cryodl import contract
from .. import checks, training
from ..kinds import Flag, MapsOrModels, Options, Own, OwnName, PointingMany, Section, StartModel
from ..maps.map_kinds import mapClonesOf
from ..model_field import GENERAL, shippedModels


class StructuresOrSets(MapsOrModels):
    def objects(self, protocol: Any) -> List[Any]:
        return mapClonesOf(super().objects(protocol))


class LabelledSets(PointingMany):
    """Coordinates of real particles, as the engine's table of sets, beside links to micrographs and the coordinates."""

    CLASSES, LABEL, to = "SetOfCoordinates", "Labelled sets", ("sets",)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return dict(sets=os.path.join(self._folder(protocol), "sets.csv") if self.objects(protocol) else None)

    def filesOf(self, protocol: Any, found: List[SetOfCoordinates]) -> Dict[str, Any]:
        folder = self._folder(protocol)
        pwutils.cleanPath(folder)
        rows = [["name", "micrographs", "coordinates", "pixel_size", "particle_diameter"]]
        for number, (coordinates, diameter) in enumerate(zip(found, _diameters(protocol)), 1):
            name = f"set_{number}"
            _writeSet(os.path.join(folder, name), coordinates)
            pixelSize = coordinates.getMicrographs().getSamplingRate()
            rows.append([name, f"{name}/micrographs/*", f"{name}/coordinates", str(pixelSize), str(diameter)])
        with open(os.path.join(folder, "sets.csv"), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        return {}

    def check(self, protocol: Any, found: List[SetOfCoordinates]) -> List[str]:
        return [wrong for one in found for wrong in checks.checkLabels(one, {}, None)]

    @staticmethod
    def _folder(protocol: Any) -> str:
        return protocol._getExtraPath("sets")


def _writeSet(folder: str, coordinates: SetOfCoordinates) -> None:
    files, labels = (os.path.join(folder, word) for word in ("micrographs", "coordinates"))
    pwutils.makePath(files, labels)
    micrographs = [m.clone() for m in coordinates.getMicrographs()]
    names, positions = micrographNames(micrographs), convert.positionsByMicrograph(coordinates)
    for micrograph in [m for m in micrographs if m.getObjId() in positions]:
        name, path = names[micrograph.getObjId()], os.path.abspath(micrograph.getFileName())
        os.symlink(path, os.path.join(files, name + imageEnding(path)))
        convert.writePicks(os.path.join(labels, name + ".star"), positions[micrograph.getObjId()])


def _diameters(protocol: Any) -> List[float]:
    return [float(word) for word in (protocol.diameters.get() or "").split(",") if word.strip()]


class FromManyKinds(training.TrainsOne[contract.TrainGeneralPickerConfig, contract.TrainGeneralPickerOutputs]):
    WORD, _KIND = "many kinds of particles", "picker"
    FORM = (
        StructuresOrSets(
            "simulateFrom",
            "Atomic models or maps (or sets of models) to simulate micrographs from.",
            label="Structures",
            pointerClass="AtomStruct,SetOfAtomStructs,Volume",
            empty="only the files below, and artificial assemblies",
            named=True,
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
        Section("Examples"),
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
        Options("real_marks", "real_fraction", "leave_out", expertLevel=params.LEVEL_ADVANCED),
        Section("Training"),
        Options("network", "simulated", "faint_fraction"),
        OwnName("general", "steps"),
        StartModel("A general model of the same network.", "picker", "startModel", related=False),
        Flag(
            "continueGeneral",
            "Start from the shipped general model",
            "Continue from the general model that comes with the plugin (network unet), so fewer steps are needed.",
        ),
    )
    NOT_ON_FORM = {"cache": "a run keeps no simulated micrographs"}

    def _files(self, protocol: Any) -> Tuple[str, ...]:
        pattern = (protocol.structureFiles.get() or "").strip()
        return (pattern,) if pattern else ()

    def completed(self, protocol: Any, config: contract.TrainGeneralPickerConfig) -> contract.TrainGeneralPickerConfig:
        start = config.start_from or (shippedModels().get(GENERAL) if protocol.continueGeneral.get() else None)
        return dataclasses.replace(config, structures=config.structures + self._files(protocol), start_from=start)

    def problems(self, protocol: Any) -> List[str]:
        return patternProblems(self._files(protocol)) + self._checkSets(protocol) + self._checkStart(protocol)

    def _checkSets(self, protocol: Any) -> List[str]:
        sets = protocol._pointed("inputSets")
        try:
            diameters = _diameters(protocol)
        except ValueError:
            return [f"Sizes of their particles (Å) is {protocol.diameters.get()!r}; give numbers separated by commas."]
        return checks.sayIf(
            len(diameters) != len(sets),
            f"There are {contract.counted(len(sets), 'labelled set')} and "
            f"{contract.counted(len(diameters), 'particle diameter')}. Give the diameter of each set, in the same "
            "order.",
        ) or [e for one, size in zip(sets, diameters) for e in checks.checkDiameter(size, one.getMicrographs())]

    def _checkStart(self, protocol: Any) -> List[str]:
        folder, network = protocol._config().start_from, protocol._config().network
        errors = [] if folder is None else checks.checkModelFolder(folder)
        if folder is None or errors:
            return errors
        card = contract.read_card(folder)
        kind = "general model" if card.get("general") else "model of one kind of particle"
        return checks.sayIf(
            card["network"] != network or not card.get("general"),
            f"The model to start from is a {kind} of the network {card['network']}. Choose a general model of the "
            f"network {network}, or another Network.",
        )

    def warnings(self, protocol: Any) -> List[str]:
        return checks.sayIf(
            protocol._config().network != "unet",
            "Only the network unet estimates the size of particles: this model will need a particle diameter whenever "
            "it picks.",
        )
