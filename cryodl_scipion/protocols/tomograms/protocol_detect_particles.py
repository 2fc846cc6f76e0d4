# SPDX-License-Identifier: GPL-3.0-or-later
"""Find particles in tomograms, with a template or with a trained detector."""

import dataclasses
import re
from typing import Any, Dict, List

from tomo.objects import SetOfCoordinates3D

from ...convert.tomograms import subtomograms
from ...convert.tomograms.tomograms import appendCoordinates3D, byId, engineNames, readCoordinates3D, speciesOfRow
from ...engine.cryodl import contract
from ..engine_protocol import OneRun
from ..kinds import BoxSize, Choice, MapOrModel, MapsOrModels, ModelOfProject, Options, Section, sayIf
from .tomogram_kinds import WholeTomograms

TEMPLATE, NETWORK = 0, 1
_TEMPLATE, _NETWORK = (f"findBy == {kind}" for kind in (TEMPLATE, NETWORK))
OF_SPECIES = "coordinates_{}"  # of several species; signs that no attribute can have are underscores
_BOX = 1.5  # diameters of the largest species


class TemplateStructure(MapOrModel):
    LABEL, NAMED, to = "Template", True, ("template",)


class CryodlProtDetectParticles(OneRun[contract.DetectParticlesConfig, contract.DetectParticlesOutputs]):
    """Find particles in tomograms: with a template in all orientations, or with a trained detector.

    In: tomograms, and a map or an atomic model, or a model of *cryodl - train on tomograms*. Out: 3-D coordinates;
    with a template each has an orientation. The group of a coordinate is its species; of several species each has a set
    of its own, too. With a template, each has a q-value (_cryodlQ), the part of look-alikes among those with its score.
    A stopped run continues with the tomogram where it was."""

    _label = "detect particles"
    OUTPUT, NOTHING_YET = "detected", "No coordinates yet."
    GOES_ON = True
    FORM = (
        WholeTomograms("inputTomograms", "Tomograms to search. Their tilt range is taken from their acquisition."),
        Choice(
            "findBy",
            "Find by",
            ["a template", "a trained detector"],
            "A template is compared at every position in many orientations: it needs no training and gives "
            "orientations, but takes long. A detector trained with *cryodl - train on tomograms* finds the "
            "species of its training and is fast.",
        ),
        TemplateStructure(
            "inputStructure", "Map (protein positive) or atomic model of the particle.", when=_TEMPLATE, needed=True
        ),
        MapsOrModels(
            "otherStructures",
            contract.describe(contract.DetectParticlesConfig, "others").help,
            named=True,
            to=("others",),
            label="Other particles",
            when=_TEMPLATE,
            empty="the template competes with its decoys alone",
        ),
        ModelOfProject(
            "inputModel",
            "A model of *cryodl - train on tomograms*.",
            "detector",
            label="Detector",
            when=_NETWORK,
            needed=True,
        ),
        Section("Search"),
        Options("diameter", "symmetry", "resolution", "angular_step", "contrast", "defocus", when=_TEMPLATE),
        Options("phase_flipped", "fdr", when=_TEMPLATE),
        Options("threshold"),
        Options("control", when=_NETWORK),
        Options("minimum_distance", "border"),
        BoxSize("tomograms", "1.5 times the diameter of the largest species"),
    )
    NOT_ON_FORM = {"tilt_min": "of the tomograms' acquisition", "tilt_max": "of the tomograms' acquisition"}

    def _makeOutputs(self, made: contract.DetectParticlesOutputs) -> Dict[str, Any]:
        rows = {name: readCoordinates3D(path) for name, path in made.files.items()}
        outputs = dict(outputCoordinates=self._coordinates(made, rows, made.species, ""))
        for number, one in enumerate(made.species if len(made.species) > 1 else (), 1):
            name = OF_SPECIES.format(re.sub(r"\W", "_", one))
            outputs[name + f"_{number}" * (name in outputs)] = self._coordinates(made, rows, [one], f"_{number}")
        return outputs

    def _coordinates(
        self, made: contract.DetectParticlesOutputs, rows: Dict[str, Any], species: List[str], suffix: str
    ) -> SetOfCoordinates3D:
        """SetOfCoordinates3D of some species. rows: {tomogram's name for the engine: of readCoordinates3D}."""
        source = self.inputTomograms.get()
        coordinates = SetOfCoordinates3D.create(self._getPath(), template="coordinates%s.sqlite", suffix=suffix)
        coordinates.setPrecedents(self.inputTomograms)
        coordinates.setSamplingRate(source.getSamplingRate())
        largest = max(made.diameters[one] for one in species)
        coordinates.setBoxSize(self.boxSize.get() or 2 * round(_BOX * largest / source.getSamplingRate() / 2))
        groups = {name: number for number, name in enumerate(made.species, 1)}
        tomograms, names = byId(source), engineNames(source)
        for key in sorted(names):
            mine = [row for row in rows.get(names[key], ()) if speciesOfRow(row) in species]
            appendCoordinates3D(coordinates, tomograms[key], mine, groups)
        return coordinates

    def _byTemplate(self) -> bool:
        return self.findBy.get() == TEMPLATE

    def _completed(self, config: contract.DetectParticlesConfig) -> contract.DetectParticlesConfig:
        tilts = subtomograms.tiltsOf(self.inputTomograms.get())
        return dataclasses.replace(config, tilt_min=tilts[0][0], tilt_max=tilts[0][1]) if tilts else config

    def _warnings(self) -> List[str]:
        if not self._byTemplate():
            return []
        return sayIf(
            not subtomograms.tiltsOf(self.inputTomograms.get()),
            "The tomograms do not store their tilt range; -60° to 60° is assumed.",
        ) or subtomograms.severalTilts(self.inputTomograms.get())

    def _citations(self) -> List[str]:
        return ["cryodl", "Roseman2003", "Chaillet2023", "Gorski2005"] if self._byTemplate() else super()._citations()
