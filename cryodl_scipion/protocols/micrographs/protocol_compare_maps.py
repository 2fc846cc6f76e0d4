# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare sets of coordinates by the maps of their particles."""

import dataclasses
import os
from typing import Any, Dict, List, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCTF

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.pick_sets import scaledPicks, writeSet
from ...convert.particles.extracted import writeCtfs
from ...engine.cryodl.contract import CompareMapsOfPicksConfig, counted, resolution_in_words
from ...engine.cryodl.contract.recipes.comparing_maps import CompareMapsOfPicksOutputs
from ..engine_protocol import OneRun, volumeFrom
from ..kinds import MapOrModel, Options, Pointing
from ..protocol_base import RESULT_FILE
from .micrograph_kinds import pixelsAndAcquisition
from .pick_sets_base import PickSets, PickSetsBase, ReferencePicks


class CtfsOfSets(Pointing):
    """CTFs of the micrographs of the sets, in one file."""

    CLASSES, LABEL, to = "SetOfCTF", "CTFs", ("ctf",)

    @staticmethod
    def file(protocol: Any) -> str:
        """The STAR file that the engine is given."""
        return protocol._getExtraPath("ctf.star")

    def valuesOf(self, protocol: Any, found: SetOfCTF) -> Dict[str, Any]:
        return dict(ctf=self.file(protocol))

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return dict(set_of_ctfs=None if found is None else found.getFileName())


class CryodlProtCompareMapsOfPicks(OneRun[CompareMapsOfPicksConfig, CompareMapsOfPicksOutputs], PickSetsBase):
    """Compare picks of several programs or settings by the maps that their particles give.

    In: two or more sets of coordinates of the same micrographs, or one and a reference; the structure of the particle;
    CTFs of the micrographs, which are estimated where none are given. Out: the map of each set with its half-maps, of
    particles that were extracted, oriented by comparison with the structure and back-projected in two halves. The
    table says what resolution each set loses. A stopped run continues where it was.
    """

    _label = "compare maps of picks"
    OUTPUT, NOTHING_YET = "maps", "No maps yet."
    GOES_ON = True
    CITES = ("Gorski2005", "Rosenthal2003", "Scheres2012")
    FORM = (
        PickSets("Coordinates to compare."),
        ReferencePicks(
            "Coordinates whose map is the one that the others are measured by, for instance picked by hand. Only "
            "micrographs with reference particles are used.",
            "the maps are measured by the best of them",
        ),
        MapOrModel(
            "inputStructure",
            "The particle's structure, by which particles are oriented. Map (protein positive) or atomic model. Its "
            "handedness must be right; a mirrored map is not detected. The pixel size of a map is that of Scipion's "
            "object.",
        ),
        CtfsOfSets(
            "inputCTF",
            "CTFs of the micrographs, matched by micrograph name. Micrographs without a CTF are left out.",
            empty="the CTF is estimated from the micrographs, as `cryodl - estimate CTF` does",
            related=False,
        ),
        Options("symmetry", "particle_diameter", "maximum_particles", "box", "scaled_box", "contrast", "max_shift"),
    )
    NOT_ON_FORM = {
        "micrographs": "those that all sets have",
        "pixel_size": "the micrographs' sampling rate",
        "voltage": "the micrographs' acquisition",
        "spherical_aberration": "the micrographs' acquisition",
        "amplitude_contrast": "the micrographs' acquisition",
    }

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.writeInputsStep, self._settings(), needsGPU=False)
        super()._insertAllSteps()

    def writeInputsStep(self, settings: Dict[str, Any]) -> None:
        self._forget()
        pwutils.cleanPath(self._output() + ".partial")
        self._writeSets()
        if self.referenceCoordinates.get() is not None:
            writeSet(self._referenceFolder(), self.referenceCoordinates.get(), self._frame(), self._names())
        ctfs = self.inputCTF.get()
        if ctfs is not None:
            names = micrographNames([m.clone() for m in self._frame()])
            ids = {m.getMicName(): m.getObjId() for m in self._frame()}
            known = {name: ctf for name, ctf in ctfsByName(ctfs).items() if name in ids}
            writeCtfs(CtfsOfSets.file(self), {names[ids[name]]: ctf for name, ctf in known.items()})

    def runStep(self, settings: Dict[str, Any]) -> None:
        if not os.path.exists(self._getExtraPath(RESULT_FILE)):
            pwutils.cleanPath(self._output())  # without its result it tells too little
        super().runStep(settings)

    def _makeOutputs(self, made: CompareMapsOfPicksOutputs) -> Dict[str, Any]:
        volumes = self._createSetOfVolumes()
        volumes.setSamplingRate(made.pixel_size)
        for name in made.sets:
            comment = f"{made.particles[name]} particles, {resolution_in_words(made.resolution[name])}"
            volume = volumeFrom(made.maps[name], made.pixel_size, comment=comment)
            volume.setHalfMaps([made.half1[name], made.half2[name]])
            volume.setObjLabel(name)
            volumes.append(volume)
        return dict(outputVolumes=volumes)

    def _takenLabels(self) -> Tuple[str, ...]:
        return () if self.referenceCoordinates.get() is None else ("reference",)

    def _completed(self, config: CompareMapsOfPicksConfig) -> CompareMapsOfPicksConfig:
        if not self._allSets():
            return config
        files = tuple(micrograph.getFileName() for micrograph in self._common())
        return dataclasses.replace(config, micrographs=files, **pixelsAndAcquisition(self._frame()))

    def _common(self) -> List[Micrograph]:
        """Clones of the micrographs that all sets have."""
        common = set(self._names())
        return [m.clone() for m in self._frame() if m.getMicName() in common]

    def _writtenFiles(self) -> Dict[str, Any]:
        names = micrographNames([m.clone() for m in self._frame()])
        return dict(super()._writtenFiles(), names=tuple(names[m.getObjId()] for m in self._common()))

    # ----- validation and information
    def _needsDiameter(self) -> bool:
        return False  # the engine measures it on the structure

    def _diameter(self) -> Any:
        return self.particleDiameter.get()

    def _checkTogether(self) -> List[str]:
        return self._checkMicrographs() or self._checkCtfs()

    def _checkMicrographs(self) -> List[str]:
        names, sets = self._names(), [self.referenceCoordinates.get()] if self.referenceCoordinates.get() else []
        sets = sets or [coordinates for _, coordinates in self._labelledSets()]
        pixelSize = self._frame().getSamplingRate()
        picked = {name for one in sets for name, picks in scaledPicks(one, names, pixelSize).items() if picks}
        if len(picked) >= 2:
            return []
        return [
            f"{counted(len(picked), 'micrograph')} common to all sets {'has' if len(picked) == 1 else 'have'} "
            f"particles{' of the reference' if self.referenceCoordinates.get() else ''}; at least two are needed, "
            "because the half-sets are divided by micrographs. Choose sets picked on more micrographs."
        ]

    def _checkCtfs(self) -> List[str]:
        ctfs = self.inputCTF.get()
        if ctfs is None or set(ctfsByName(ctfs)) & set(self._names()):
            return []
        return [
            "CTFs has none of the micrographs that are compared. Micrographs are matched by name; choose the CTFs of "
            "these micrographs, or leave the field empty."
        ]


def ctfsByName(ctfs: SetOfCTF) -> Dict[str, Any]:
    """{micName: CTFModel} of a set of CTFs."""
    return {ctf.getMicrograph().getMicName(): ctf.clone() for ctf in ctfs}
