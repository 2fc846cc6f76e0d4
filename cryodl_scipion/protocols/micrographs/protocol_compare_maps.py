# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare sets of coordinates by the maps of their particles."""

import os
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCTF, Volume
from pyworkflow.protocol.params import Form

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.pick_sets import scaledPicks, writeSet
from ...convert.particles.extracted import writeCtfs
from ...convert.structures import structureFileOf
from ...engine.cryodl import __version__, contract
from ...engine.cryodl.contract import Result, counted, resolution_in_words
from ...form import addConfigParams
from ..checks import checkDiameter
from ..form_parts import addPointer, notOnForm
from ..one_run import OneRunBase
from ..protocol_base import RESULT_FILE
from .pick_set_checks import checkPickSets
from .pick_sets_base import PickSetsBase

_REFERENCE, _NAME_OF_REFERENCE = "the reference", "reference"  # in messages; in the engine


class CryodlProtCompareMapsOfPicks(PickSetsBase, OneRunBase):
    """Compare picks of several programs or settings by the maps that their particles give.

    In: two or more sets of coordinates of the same micrographs, or one and a reference; the structure of the particle;
    CTFs of the micrographs, which are estimated where none are given. Out: the map of each set with its half-maps, of
    particles that were extracted, oriented by comparison with the structure and back-projected in two halves. The
    table says what resolution each set loses. A stopped run continues where it was.
    """

    _label = "compare maps of picks"
    _OUTPUT = "maps"
    _CONFIG = contract.CompareMapsOfPicksConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        picks="written from the input sets",
        reference="written from the reference set",
        micrographs="those that all sets have",
        pixel_size="the micrographs' sampling rate",
        structure="the input structure",
        ctf="written from the input set",
        voltage="the micrographs' acquisition",
        spherical_aberration="the micrographs' acquisition",
        amplitude_contrast="the micrographs' acquisition",
        names="made from the micrographs' names",
        mask_diameter="0.9 of the box size",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSetsParam(form, "Coordinates to compare.", minNumObjects=1)
        addPointer(
            form,
            "referenceCoordinates",
            "SetOfCoordinates",
            "Reference coordinates",
            "Coordinates whose map is the one that the others are measured by, for instance picked by hand. Only "
            "micrographs with reference particles are used.\n\nEmpty: the maps are measured by the best of them.",
            allowsNull=True,
        )
        addPointer(
            form,
            "inputStructure",
            "Volume,AtomStruct",
            "Structure",
            "The particle's structure, by which particles are oriented. Map (protein positive) or atomic model. Its "
            "handedness must be right; a mirrored map is not detected. The pixel size of a map is that of Scipion's "
            "object.",
            important=True,
        )
        addPointer(
            form,
            "inputCTF",
            "SetOfCTF",
            "CTFs",
            "CTFs of the micrographs, matched by micrograph name. Micrographs without a CTF are left out.\n\nEmpty: "
            "the CTF is estimated from the micrographs, as `cryodl - estimate CTF` does.",
            allowsNull=True,
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["symmetry", "particle_diameter", "maximum_particles", "box", "scaled_box", "contrast", "max_shift"],
        )
        addConfigParams(form, self._CONFIG, ["angular_step", "resolution", "seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    def usesGpu(self) -> bool:
        return super(PickSetsBase, self).usesGpu()  # particles are oriented, unlike in comparisons of positions

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        sizes = [coordinates.getSize() for _, coordinates in self._allSets()]
        self._insertFunctionStep(self.writeInputsStep, settings, sizes, needsGPU=False)
        self._insertFunctionStep(self.compareStep, settings, sizes)
        self._insertFunctionStep(self.createOutputStep, settings, sizes, needsGPU=False)

    def writeInputsStep(self, settings: Dict[str, Any], sizes: Sequence[int]) -> None:
        self._forget()
        pwutils.cleanPath(self._outputFolder() + ".partial")
        self._writeSets()
        if self.referenceCoordinates.get() is not None:
            writeSet(self._referenceFolder(), self.referenceCoordinates.get(), self._frame(), self._names())
        ctfs = self.inputCTF.get()
        if ctfs is not None:
            names = micrographNames([m.clone() for m in self._frame()])
            ids = {m.getMicName(): m.getObjId() for m in self._frame()}
            known = {name: ctf for name, ctf in ctfsByName(ctfs).items() if name in ids}
            writeCtfs(self._ctfFile(), {names[ids[name]]: ctf for name, ctf in known.items()})

    def compareStep(self, settings: Dict[str, Any], sizes: Sequence[int]) -> None:
        if not os.path.exists(self._getExtraPath(RESULT_FILE)):
            pwutils.cleanPath(self._outputFolder())  # without its result it tells too little
        structure = self._structureFor(self.inputStructure.get())
        config = self._config(**dict(self._engineValues(), structure=structure))
        self._runOnce(config, self._outputFolder(), goesOn=True)

    def createOutputStep(self, settings: Dict[str, Any], sizes: Sequence[int]) -> None:
        made = self._result().outputs
        volumes = self._createSetOfVolumes()
        volumes.setSamplingRate(made.pixel_size)
        for name in made.sets:
            volume = Volume(location=made.maps[name])
            volume.setSamplingRate(made.pixel_size)
            volume.setHalfMaps([made.half1[name], made.half2[name]])
            volume.setObjLabel(name)
            volume.setObjComment(f"{made.particles[name]} particles, {resolution_in_words(made.resolution[name])}")
            volumes.append(volume)
        self._defineOutputs(outputVolumes=volumes)
        for pointer in [*self.inputSets, self.inputStructure]:
            self._defineSourceRelation(pointer, volumes)

    def _allSets(self) -> List[Any]:
        reference = self.referenceCoordinates.get()
        return ([] if reference is None else [(_REFERENCE, reference)]) + self._labelledSets()

    def _takenLabels(self) -> Tuple[str, ...]:
        return () if self.referenceCoordinates.get() is None else (_NAME_OF_REFERENCE,)

    def _referenceFolder(self) -> str:
        return self._getExtraPath(_NAME_OF_REFERENCE)

    def _ctfFile(self) -> str:
        return self._getExtraPath("ctf.star")

    def _engineValues(self) -> Any:
        frame, common = self._frame(), set(self._names())
        items = [m.clone() for m in frame if m.getMicName() in common]
        names, acquisition = micrographNames([m.clone() for m in frame]), frame.getAcquisition()
        return dict(
            picks=self._pickFolders(),
            reference=None if self.referenceCoordinates.get() is None else self._referenceFolder(),
            micrographs=tuple(m.getFileName() for m in items),
            names=tuple(names[m.getObjId()] for m in items),
            pixel_size=frame.getSamplingRate(),
            structure=structureFileOf(self.inputStructure.get()),
            ctf=None if self.inputCTF.get() is None else self._ctfFile(),
            voltage=acquisition.getVoltage(),
            spherical_aberration=acquisition.getSphericalAberration(),
            amplitude_contrast=acquisition.getAmplitudeContrast(),
            output=self._outputFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _minimumSets(self) -> int:
        return 2 if self.referenceCoordinates.get() is None else 1

    def _checkInputs(self) -> List[str]:
        count = len(self._labelledSets())
        if count < self._minimumSets():
            return [
                f"Sets of coordinates has {count}; at least {self._minimumSets()} are needed, or one and Reference "
                "coordinates. Choose more with the magnifying glass."
            ]
        errors = checkPickSets(self._allSets()) or self._checkStructure(self.inputStructure.get())
        errors += self._checkSymmetry()
        if not errors and self.particleDiameter.get() is not None:
            errors = checkDiameter(self.particleDiameter.get(), self._frame())
        return errors or self._checkMicrographs() or self._checkCtfs()

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

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolumes", None) is None:
            return ["No maps yet."]
        made = result.outputs
        lines = [
            f"{counted(len(made.sets), 'set')} compared on {counted(made.micrographs, 'micrograph')}, particles "
            f"oriented by detail to {made.search_resolution:.1f} Å"
        ]
        for name in made.sets:
            loss = made.loss[name]
            words = "" if loss is None or name == made.measured_by else f" ({loss:+.1f} % of {made.measured_by})"
            lines.append(
                f"*{name}*: {counted(made.particles[name], 'particle')}, FSC 0.143 at "
                f"{resolution_in_words(made.resolution[name])}{words}"
            )
        return lines

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolumes", None) is None:
            return []
        made = result.outputs
        return [
            f"{counted(len(made.sets), 'set')} of coordinates were compared by the maps of their particles with cryodl "
            f"{__version__}: particles of {counted(made.micrographs, 'micrograph')} were oriented by comparison with "
            f"projections of {self._structureName(self.inputStructure.get())}, with detail to "
            f"{made.search_resolution:.1f} Å, and back-projected in two half-sets divided by micrographs. "
            "Resolutions are those at which the Fourier shell correlation of the half-maps falls below 0.143."
        ]

    def _citations(self) -> List[str]:
        return ["cryodl", "Gorski2005", "Rosenthal2003", "Scheres2012"]


def ctfsByName(ctfs: SetOfCTF) -> Dict[str, Any]:
    """{micName: CTFModel} of a set of CTFs."""
    return {ctf.getMicrograph().getMicName(): ctf.clone() for ctf in ctfs}
