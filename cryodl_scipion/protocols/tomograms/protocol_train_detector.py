# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a network that finds particles in tomograms."""

import os
from typing import Any, Dict, List, Set, Tuple

import pyworkflow.utils as pwutils
from tomo.objects import SetOfCoordinates3D

from ...convert.tomograms.coordinates3d import speciesIn, writeCoordinates3D
from ...convert.tomograms.tomograms import byId, engineNames
from ...engine.cryodl.contract import TrainDetectorConfig
from ...engine.cryodl.contract.tomograms.training_detectors import TrainDetectorOutputs
from ..checks import listed
from ..kinds import Options, PointingMany, Section, StartModel
from ..training import TrainRun
from .detection_words import detectorCitations, detectorInWords, detectorLines
from .tomogram_kinds import LinksToTomograms
from .tomograms_base import TomogramsBase


class SpeciesCoordinates(PointingMany):
    """Coordinates of the form's tomograms, a set for each species; all go into one STAR file."""

    CLASSES, LABEL, to = "SetOfCoordinates3D", "Coordinates", ("coordinates",)

    def valuesOf(self, protocol: Any, found: List[SetOfCoordinates3D]) -> Dict[str, Any]:
        return dict(coordinates=(protocol._starFile(),))

    def filesOf(self, protocol: Any, found: List[SetOfCoordinates3D]) -> Dict[str, Any]:
        tomograms = protocol.inputTomograms.get()
        pwutils.makePath(os.path.dirname(protocol._starFile()))
        writeCoordinates3D(protocol._starFile(), protocol._namedSets(), tomograms, engineNames(tomograms))
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return dict(sets_of_coordinates=[one.getFileName() for one in self.objects(protocol)])

    def check(self, protocol: Any, found: List[SetOfCoordinates3D]) -> List[str]:
        known = set(byId(protocol.inputTomograms.get()))
        return [e for one, name in protocol._namedSets() for e in self._checkOne(one, name, known)]

    def _checkOne(self, coordinates: SetOfCoordinates3D, name: str, known: Set[str]) -> List[str]:
        if not coordinates.getSize():
            return [f"The set of coordinates {name} is empty. Choose another."]
        theirs = {item.getTomoId() for item in coordinates.iterItems()}
        if theirs & known:
            return []
        return [
            f"None of the coordinates ({name}) belongs to one of the tomograms ({listed(sorted(known))}); their "
            f"tomograms are {listed(sorted(str(n) for n in theirs))}. They are matched by name (tsId)."
        ]


class CryodlProtTrainDetector(TrainRun[TrainDetectorConfig, TrainDetectorOutputs], TomogramsBase):
    """Train a network that finds particles of one or several species in tomograms.

    In: tomograms, and the coordinates of all particles of the species in them. Out: a model for *cryodl - detect
    particles*. Its card says what it learned from and how well it does on tomograms held out. A stopped run continues
    where it was.
    """

    _label = "train particle detector"
    _KIND = "detector"
    FORM = (
        LinksToTomograms(
            "inputTomograms",
            "Tomograms in which the coordinates of all particles of the species are known. The rest is learned as "
            "background.",
        ),
        SpeciesCoordinates(
            "inputCoordinates",
            "Coordinates of the particles in these tomograms, matched by name (tsId). Each set is one species, "
            "named species_1, species_2, ... in their order, unless the coordinates store their species, as "
            "those of cryodl do.",
        ),
        Options("diameter", important=True),
        Options("species", more="\n\nSeparated by commas. Empty: all species."),
        Options("beta"),
        Section("Training"),
        Options("network", "working_pixel_size", "steps", "patience", "validation_fraction", "batch_size"),
        Options("learning_rate"),
        StartModel("A detector of the same species to continue from.", "detector"),
    )

    # ----- what the steps share
    def _starFile(self) -> str:
        return os.path.join(self._inputFolder(), "particles.star")

    def _namedSets(self) -> List[Tuple[Any, str]]:
        """[(SetOfCoordinates3D, name of its species where its items do not say)]."""
        return [(one, f"species_{number}") for number, one in enumerate(self._pointed("inputCoordinates"), 1)]

    # ----- information
    def _warnings(self) -> List[str]:
        known = {name for one, other in self._namedSets() for name in speciesIn(one, other)}
        wanted = [word.strip() for word in (self.species.get() or "").split(",") if word.strip()]
        missing = sorted(set(wanted) - known)
        return [f"There are no coordinates of {listed(missing)}; there are {listed(sorted(known))}."] if missing else []

    def _cardLines(self, card: Dict[str, Any]) -> List[str]:
        return detectorLines(card)

    def _cardInWords(self, card: Dict[str, Any]) -> str:
        return detectorInWords(card)

    def _citations(self) -> List[str]:
        return detectorCitations(self._config().network)
