# SPDX-License-Identifier: GPL-3.0-or-later
"""Improve the local contrast of maps."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import AtomStruct, EMSet, SetOfVolumes, Volume
from pyworkflow.object import String
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.maps.maps import halfForEngine, halfMapsOf
from ...convert.structures import stemOf, structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract.maps.improving import ImproveMapOutputs
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..inputs import classOf
from ..model_field import SHIPPED, addModelParams, cardOf, checkModelField, modelFolder
from ..possible_outputs import possibleOutputs
from ..protocol_base import RESULT_FILE
from .map_words import WHAT_FOR, improvedLines, improvingInWords, mapCitations
from .maps_base import MapsBase, mapClonesOf, ownOrigin

WHOLE, HALVES = range(2)
# Name of the model, on an improved map.
IMPROVER = "_cryodlImprover"


class CryodlProtImproveMap(MapsBase):
    """Improve the local contrast of a map, or of a set of maps, with a trained network.

    In: a map (with its half-maps, if it has them), a set of maps, or two half-maps, as they come from refinement; a
    map improver; perhaps a mask or an atomic model to mask by. Out: the improved map on the grid and with the
    origin of the input, and a map of confidence: how far it can be trusted. With half-maps each is improved alone
    as well, and the half-map test tells what is gained and what the network invents. Use it for viewing and model
    building. Do not measure its resolution by FSC, and do not deposit it alone.
    """

    _label = "improve map"
    _CONFIG = contract.ImproveMapConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        map="the input map",
        half_maps="the map's half-maps, or the input half-maps",
        model="the model that the form names",
        pixel_size="the map's sampling rate",
        mask="the input mask",
        mask_structure="the input mask",
    )

    @property
    def _possibleOutputs(self) -> Dict[str, Any]:
        manyMaps = self.inputFrom.get() == WHOLE and issubclass(classOf(self.inputVolume), EMSet)
        made = possibleOutputs(self._CONFIG)
        return {name: made[name] for name in made if issubclass(made[name], EMSet) is manyMaps}

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "inputFrom",
            params.EnumParam,
            default=WHOLE,
            label="Improve",
            choices=["a map, or a set of maps", "the mean of two half-maps"],
            help="Either a full map, from refinement or post-processing, or two half-maps, whose mean is improved.",
        )
        self._addMapParam(
            form,
            "inputVolume",
            "Map with positive protein, or a set of maps, each of which is improved separately.\n\n" + WHAT_FOR,
            "Volume,SetOfVolumes",
            condition=f"inputFrom == {WHOLE}",
        )
        form.addParam(
            "useHalves",
            params.BooleanParam,
            default=True,
            condition=f"inputFrom == {WHOLE}",
            label="Half-map test",
            help="Also improve the map's half-maps, each separately, and compare them. It takes three times as long. "
            "Maps without half-maps are improved without the test.",
        )
        for number in (1, 2):
            self._addMapParam(
                form,
                f"inputHalf{number}",
                "Unmasked and unsharpened half-map.",
                label=f"Half-map {number}",
                condition=f"inputFrom == {HALVES}",
            )
        addModelParams(form, SHIPPED, self._MODEL_KIND)
        self._addMapParam(
            form,
            "inputMask",
            "Mask on the grid of the map (1 inside), or an atomic model: farther than Mask radius from its atoms, "
            "the map is set to zero.\n\nEmpty: no mask.",
            "VolumeMask,Volume,AtomStruct",
            label="Mask",
            allowsNull=True,
            important=False,
        )
        addConfigParams(form, self._CONFIG, ["mask_radius"], mask_radius=dict(condition="inputMask is not None"))
        self._addFrameParam(form, "inputMask is not None")
        addConfigParams(form, self._CONFIG, ["resolution", "confidence", "input_weight", "overlap", "batch_size"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        for name in self._namedVolumes():
            self._insertFunctionStep(self.improveStep, name, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def improveStep(self, name: str, settings: Dict[str, Any]) -> None:
        volume = self._namedVolumes()[name]
        mask, origin = self.inputMask.get(), None
        if isinstance(mask, AtomStruct):
            origin = self._position(volume, mask, self._frameFile(name))
        values = dict(
            self._engineValues(name),
            half_maps=self._halves(volume, origin),
            map=self._mapFor(volume, origin) if self._whole() else None,
        )
        if isinstance(mask, Volume):
            values.update(mask=self._mapFor(mask))
        self._runOnce(self._config(**values), values["output"], folder=self._folder(name))

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        results, isSet = self._resultsByName(), self._whole() and isinstance(self.inputVolume.get(), EMSet)
        made = {"outputVolume": [], "outputConfidence": []}
        for name, volume in self._namedVolumes().items():
            outputs = results[name].outputs
            made["outputVolume"].append(self._made(name, volume, outputs.map, outputs))
            if outputs.confidence:
                made["outputConfidence"].append(self._made(name, volume, outputs.confidence, outputs, True))
        for name, volumes in made.items():
            if volumes:
                self._defineOutputs(**({name + "s": self._setOf(volumes, name)} if isSet else {name: volumes[0]}))
        for pointer in [self.inputVolume] if self._whole() else [self.inputHalf1, self.inputHalf2]:
            for _, output in self.iterOutputAttributes():
                self._defineSourceRelation(pointer, output)

    def _made(self, name: str, volume: Any, path: str, outputs: ImproveMapOutputs, confidence: bool = False) -> Volume:
        """Scipion's Volume of a file that was made of a map, where the map is."""
        made = Volume(location=path)
        made.setSamplingRate(volume.getSamplingRate())
        alone = outputs.unchanged
        made.setObjLabel(f"{name} ({'confidence' if confidence else 'not changed' if alone else 'improved'})")
        if ownOrigin(volume) is not None:
            made.setOrigin(ownOrigin(volume).clone())
        if confidence:
            made.setObjComment("Confidence: the network's probability that there is density, from 0 to 1.")
            return made
        # the half-maps as they are: an FSC of improved ones tells nothing
        made.setHalfMaps(list(self._rawHalves(volume)))
        made.setObjComment(alone or f"Improved by the model {outputs.model}; not for FSC-based resolution.")
        setattr(made, IMPROVER, String("" if alone else outputs.model))
        return made

    def _setOf(self, volumes: Sequence[Volume], name: str) -> SetOfVolumes:
        volumesSet = SetOfVolumes.create(self._getPath(), prefix=name)
        volumesSet.setSamplingRate(volumes[0].getSamplingRate())
        for volume in volumes:
            volumesSet.append(volume)
        return volumesSet

    # ----- inputs
    def _whole(self) -> bool:
        return self.inputFrom.get() == WHOLE

    def _volumes(self) -> Any:
        """Maps to improve; of two half-maps the first stands for both."""
        found = self.inputVolume.get() if self._whole() else self.inputHalf1.get()
        return [] if found is None else mapClonesOf([found])

    def _rawHalves(self, volume: Volume) -> List[str]:
        if not self._whole():
            return [structureFileOf(self.inputHalf1.get()), structureFileOf(self.inputHalf2.get())]
        return halfMapsOf(volume)

    def _halves(self, volume: Volume, origin: Optional[Tuple[float, float, float]] = None) -> Tuple[str, ...]:
        """Files of half-maps for the engine."""
        if not self._whole():
            return tuple(self._mapFor(half.get(), origin) for half in (self.inputHalf1, self.inputHalf2))
        if not self.useHalves.get():
            return ()
        return tuple(halfForEngine(path, volume, self._inputFolder(), origin) for path in halfMapsOf(volume))

    def _namedVolumes(self) -> Dict[str, Volume]:
        """{name: map to improve}, in their order. A map is named by its file and its place among the inputs."""
        return {f"{stemOf(structureFileOf(v))}_{position}": v for position, v in enumerate(self._volumes(), 1)}

    def _frameFile(self, name: str) -> str:
        return f"frame_{name}.json"

    def _folder(self, name: str) -> str:
        return self._getExtraPath(name)

    def _resultsByName(self) -> Any:
        """{name of the map: the contract's Result} of those that are improved."""
        paths = {name: os.path.join(self._folder(name), RESULT_FILE) for name in self._namedVolumes()}
        results = {name: contract.Result.read(path) for name, path in paths.items() if os.path.exists(path)}
        if not results and len(paths) == 1:  # version 0.1.0 named the folder otherwise
            results = dict(zip(paths, self._engineResults()))
        return results

    def _engineValues(self, name: Optional[str] = None) -> Any:
        volumes, mask = self._namedVolumes(), self.inputMask.get()
        if not volumes:
            return dict(
                map=None,
                half_maps=(),
                output="",
                model=modelFolder(self),
                pixel_size=None,
                mask=None,
                mask_structure=None,
                threads=self.numberOfThreads.get(),
            )
        name = name or next(iter(volumes))
        volume = volumes[name]
        kind = "mask_structure" if isinstance(mask, AtomStruct) else "mask"
        return dict(
            dict(mask=None, mask_structure=None),
            **dict(
                {kind: None if mask is None else structureFileOf(mask)},
                map=structureFileOf(volume) if self._whole() else None,
                half_maps=tuple(self._rawHalves(volume)) if self.useHalves.get() or not self._whole() else (),
                output=os.path.join(self._folder(name), stemOf(structureFileOf(volume)) + "_improved.mrc"),
                model=modelFolder(self),
                pixel_size=volume.getSamplingRate(),
                threads=self.numberOfThreads.get(),
            ),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        volumes, mask = self._volumes(), self.inputMask.get()
        if not volumes:
            return ["The set of maps is empty. Choose another."]
        errors = [e for volume in volumes for e in self._checkMap(volume)] + checkModelField(self)
        if errors:
            return errors
        if not self._whole():
            errors = self._checkMap(self.inputHalf2.get(), "half-map") or self._checkSameGrid(
                volumes[0], self.inputHalf2.get(), "second half-map"
            )
        if isinstance(mask, AtomStruct):
            errors += self._checkStructure(mask)
        elif mask is not None:
            errors += self._checkMap(mask, "mask") or [
                e for volume in volumes for e in self._checkSameGrid(volume, mask, "mask")
            ]
        return errors

    def _warnings(self) -> List[str]:
        warnings = self._voxelWarnings(self._volumes())
        if self._whole() and self.useHalves.get() and not any(halfMapsOf(v) for v in self._volumes()):
            warnings.append(
                "The map has no half-maps, so there will be no half-map test, and it will not be known what the "
                "network gains and what it invents."
            )
        return warnings

    def _tell(self, results: Any) -> List[str]:
        results = self._resultsByName()
        if not results:
            return ["No improved map yet."]
        lines = improvedLines(results, len(results))
        return lines + list(
            dict.fromkeys(line for name in self._namedVolumes() for line in self._frameLines(self._frameFile(name)))
        )

    def _methods(self) -> List[str]:
        results = self._resultsByName()
        return [improvingInWords(len(results), cardOf(self), results.values())] if results else []

    def _citations(self) -> List[str]:
        return mapCitations((cardOf(self) or {}).get("network"))
