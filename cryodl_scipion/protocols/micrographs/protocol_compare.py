# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare sets of coordinates with a reference and with each other, by positions or by the maps of their particles."""

import dataclasses
import os
from typing import Any, Dict, List, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCTF

from ...convert import arriving, reading
from ...convert.micrographs.picks import scaledPicks, writeSet
from ...convert.names import emptyFolder, imageEnding, namesByMicName
from ...convert.particles.results import writeCtfs
from ...engine.cryodl import contract
from .. import checks, engine_protocol, one_of, protocol_base
from ..kinds import MapOrModel, Options, Pointing, Section, sayIf
from . import micrograph_kinds, pick_sets_base

COMPARISON, CTFS = "comparison.json", "ctf.star"
_SETS = (
    pick_sets_base.PickSets("Coordinates to compare."),
    pick_sets_base.ReferencePicks(
        "Particles regarded as ground truth, for instance picked by hand. Only micrographs with reference particles "
        "are compared, and these should be picked completely. Maps are measured by the map of these.",
        "the sets are compared with each other, and their maps with the best of them",
    ),
)


class ByPositions(one_of.Way[contract.ComparePicksConfig, contract.ComparePicksOutputs]):
    WORD, OUTPUT, NOTHING_YET = "positions", "comparison", "No comparison yet."
    FORM = (
        *_SETS,
        Section("Comparison"),
        Options(
            "particle_diameter",
            more="\n\nEmpty: the diameter stored with the sets by cryodl; for maps that of the structure.",
        ),
    )
    NOT_ON_FORM = {"pixel_size": "the micrographs' sampling rate", "micrographs": "those that all sets have"}

    def run(self, protocol: Any, settings: Dict[str, Any]) -> None:
        names, frame, config = protocol._comparedNames(), protocol._frame(), protocol._config()
        protocol._forget()
        protocol._writeSets(names)
        if config.border:
            # under the names of their picks, for the engine, which asks only for their sizes
            folder, known = emptyFolder(protocol._getExtraPath("micrographs")), namesByMicName(frame)
            for micrograph in frame:
                if micrograph.getMicName() in names:
                    path = os.path.abspath(micrograph.getFileName())
                    os.symlink(path, os.path.join(folder, known[micrograph.getMicName()] + imageEnding(path)))
        reference = protocol.referenceCoordinates.get()
        if reference is not None:
            writeSet(protocol._referenceFolder(), reference, frame, names, onlyPicked=True)
        protocol._runEngine(config, protocol._getExtraPath())

    def completed(self, protocol: Any, config: contract.ComparePicksConfig) -> contract.ComparePicksConfig:
        if not protocol._allSets():
            return config
        return dataclasses.replace(
            config,
            pixel_size=protocol._frame().getSamplingRate(),
            particle_diameter=protocol._diameter(),
            micrographs=(protocol._getExtraPath("micrographs", "*"),) if config.border else (),
        )

    def problems(self, protocol: Any) -> List[str]:
        return sayIf(
            not protocol._comparedNames(),
            "The reference has no particles on the micrographs common to all sets. Choose another reference.",
        )


class CtfsOfSets(Pointing):
    CLASSES, LABEL, to, KNOWN_AS = "SetOfCTF", "CTF estimation", ("ctf",), "set_of_ctfs"

    def valuesOf(self, protocol: Any, found: SetOfCTF) -> Dict[str, Any]:
        return dict(ctf=protocol._getExtraPath(CTFS))


class ByMaps(one_of.Way[contract.CompareMapsOfPicksConfig, contract.CompareMapsOfPicksOutputs]):
    WORD, OUTPUT, NOTHING_YET, GOES_ON = "maps of their particles", "maps", "No maps yet.", True
    CITES = ("Gorski2005", "Rosenthal2003", "Scheres2012")
    FORM = (
        *_SETS,
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
        Section("Comparison"),
        Options("particle_diameter", "symmetry", "maximum_particles", "box", "scaled_box", "contrast", "max_shift"),
    )
    NOT_ON_FORM = {
        "micrographs": "those that all sets have",
        "pixel_size": "the micrographs' sampling rate",
        **dict.fromkeys(("voltage", "spherical_aberration", "amplitude_contrast"), "the micrographs' acquisition"),
    }

    def run(self, protocol: Any, settings: Dict[str, Any]) -> None:
        if not os.path.exists(protocol._getExtraPath(protocol_base.RESULT_FILE)):
            pwutils.cleanPath(protocol._output())  # without its result it tells too little
        super().run(protocol, settings)

    def writtenFiles(self, protocol: Any) -> Dict[str, Any]:
        names = namesByMicName(protocol._frame())
        return dict(super().writtenFiles(protocol), names=tuple(names[m.getMicName()] for m in self._common(protocol)))

    def makeOutputs(self, protocol: Any, made: contract.CompareMapsOfPicksOutputs) -> Dict[str, Any]:
        volumes = protocol._createSetOfVolumes()
        volumes.setSamplingRate(made.pixel_size)
        for name in made.sets:
            comment = f"{made.particles[name]} particles, {contract.resolution_in_words(made.resolution[name])}"
            volume = engine_protocol.volumeFrom(
                made.maps[name], made.pixel_size, None, comment, [made.half1[name], made.half2[name]]
            )
            volume.setObjLabel(name)
            volumes.append(volume)
        return dict(outputVolumes=volumes)

    def completed(self, protocol: Any, config: contract.CompareMapsOfPicksConfig) -> contract.CompareMapsOfPicksConfig:
        if not protocol._allSets():
            return config
        return dataclasses.replace(
            config,
            micrographs=tuple(micrograph.getFileName() for micrograph in self._common(protocol)),
            **micrograph_kinds.pixelsAndAcquisition(protocol._frame()),
        )

    def _common(self, protocol: Any) -> List[Micrograph]:
        common = set(protocol._names())
        return [m.clone() for m in protocol._frame() if m.getMicName() in common]

    def problems(self, protocol: Any) -> List[str]:
        reference, ctfs, names = protocol.referenceCoordinates.get(), protocol.inputCTF.get(), protocol._names()
        sets = [reference] if reference else [coordinates for _, coordinates in protocol._labelledSets()]
        pixelSize = protocol._frame().getSamplingRate()
        picked = {name for one in sets for name, picks in scaledPicks(one, names, pixelSize).items() if picks}
        return (
            checks.checkAsTaken(protocol._frame())
            or sayIf(
                len(picked) < 2,
                f"{contract.counted(len(picked), 'micrograph')} common to all sets "
                f"{'has' if len(picked) == 1 else 'have'} particles{' of the reference' if reference else ''}; at "
                "least two are needed, because the half-sets are divided by micrographs. Choose sets picked on more "
                "micrographs.",
            )
            or sayIf(
                ctfs is not None and not set(ctfsByName(ctfs)) & set(names),
                "CTFs has none of the micrographs that are compared. Micrographs are matched by name; choose the CTFs "
                "of these micrographs, or leave the field empty.",
            )
        )


BY_MAPS = ByMaps()


def ctfsByName(ctfs: SetOfCTF) -> Dict[str, Any]:
    return {arriving.micNameOf(ctf): ctf.clone() for ctf in ctfs if not arriving.failedCtf(ctf)}


class CryodlProtCompare(one_of.OneOf[Any, Any], pick_sets_base.PickSetsBase):
    """Compare picks of several programs or settings, by their positions or by the maps that their particles give.

    In: two or more sets of coordinates of the same micrographs, or one and a reference such as manual picks. By
    positions, out: no new set, but metrics: against the reference precision, recall, F1, average precision and curves;
    among each other an agreement matrix, which needs no reference. By maps, in: also the structure of the particle, and
    CTFs of the micrographs, which are estimated where none are given; out: the map of each set with its half-maps, of
    particles that were extracted, oriented by comparison with the structure and back-projected in two halves, and a
    table of the resolution that each set loses. A stopped run continues where it was."""

    _label = "compare coordinates"
    WAYS = (ByPositions(), BY_MAPS)
    WHAT = ("Compare", "Positions: in seconds. Maps: by the resolution that each set gives, in minutes to hours.")

    def _insertAllSteps(self) -> None:
        if self._byMaps():
            self._insertFunctionStep(self.writeInputsStep, self._settings(), needsGPU=False)
        super()._insertAllSteps()

    def writeInputsStep(self, settings: Dict[str, Any]) -> None:
        """Write sets, reference and CTFs, of which the maps are made, and forget what was made of others."""
        self._forget()
        pwutils.cleanPath(self._output() + ".partial")
        frame, reference, ctfs = self._frame(), self.referenceCoordinates.get(), self.inputCTF.get()
        self._writeSets(self._names())
        if reference is not None:
            writeSet(self._referenceFolder(), reference, frame, self._names())
        if ctfs is not None:
            names = namesByMicName(frame)
            writeCtfs(self._getExtraPath(CTFS), {names[n]: ctf for n, ctf in ctfsByName(ctfs).items() if n in names})

    def _byMaps(self) -> bool:
        return self._way() is BY_MAPS

    def _comparedNames(self) -> List[str]:
        """micNames that count: those that all sets have, and with a reference those that it has particles on."""
        names, reference = self._names(), self.referenceCoordinates.get()
        picks = dict.fromkeys(names, True) if reference is None else scaledPicks(reference, names, 1.0)
        return [name for name in names if picks[name]]

    def _takenLabels(self) -> Tuple[str, ...]:
        return ("reference",) if self._byMaps() and self.referenceCoordinates.get() is not None else ()

    def _needsDiameter(self) -> bool:
        return not self._byMaps()  # the engine measures it on the structure

    def _diameter(self) -> Any:
        return self.particleDiameter.get() if self._byMaps() else super()._diameter()

    def curvesFile(self) -> str:
        return os.path.join(self._output(), "curves.png")

    def comparison(self) -> Any:
        found = reading.readJson(os.path.join(self._output(), COMPARISON))
        return None if found is None else contract.outputs_of(contract.ComparePicksOutputs, found, old=True)
