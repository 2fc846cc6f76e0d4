# SPDX-License-Identifier: GPL-3.0-or-later
"""Improve the local contrast of maps."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from pwem.objects import AtomStruct, EMSet, SetOfVolumes, Volume
from pyworkflow.object import String

from ...convert.maps import halfForEngine, halfMapsOf, stemOf, structureFileOf
from ...convert.reading import readJson
from ...engine.cryodl.contract import ImproveMapConfig, ImproveMapOutputs, Result, Skipped, write_json
from .. import engine_protocol, inputs, kinds, protocol_base
from .map_kinds import DOUBT, FrameChoice, HalfMap, Maps, MapsBase, MaskOrStructure, ownOrigin

WHOLE, HALVES = range(2)
WHAT_FOR = (
    "An improved map is the network's interpretation of the map. Use it for viewing, chain tracing and model "
    "building. Do not use it to determine a resolution by FSC, and do not deposit it as the only map: where the "
    "data lack information, the network fills it in from its training data. Keep the original map and the half-maps."
)
_INPUT = "input.json"  # beside a map's result: of which file it is; runs of earlier versions have none
_MAPS = Maps(
    "inputVolume",
    "Map with positive protein, or a set of maps, each of which is improved separately.\n\n" + WHAT_FOR,
    when=f"inputFrom == {WHOLE}",
)
_HALVES = [
    HalfMap(
        f"inputHalf{number}",
        "Unmasked and unsharpened half-map.",
        label=f"Half-map {number}",
        when=f"inputFrom == {HALVES}",
    )
    for number in (1, 2)
]


class CryodlProtImproveMap(engine_protocol.OneRun[ImproveMapConfig, ImproveMapOutputs], MapsBase):
    """Improve the local contrast of a map, or of a set of maps, with a trained network.

    In: a map (with its half-maps, if it has them), a set of maps, or two half-maps, as they come from refinement; a map
    improver; perhaps a mask or an atomic model to mask by. Out: the improved map on the grid and with the origin of the
    input. With half-maps each is improved alone as well: the half-map test tells what is gained and what the network
    invents, and a map of doubt where. Use it for viewing and model building. Do not measure its resolution by FSC, and
    do not deposit it alone."""

    _label = "improve map"
    FORM = (
        kinds.Choice(
            "inputFrom",
            "Improve",
            ["a map, or a set of maps", "the mean of two half-maps"],
            "Either a full map, from refinement or post-processing, or two half-maps, whose mean is improved.",
        ),
        _MAPS,
        kinds.Flag(
            "useHalves",
            "Half-map test",
            "Also improve the map's half-maps, each separately, and compare them. It takes three times as long. "
            "Maps without half-maps are improved without the test.",
            default=True,
            when=f"inputFrom == {WHOLE}",
        ),
        *_HALVES,
        kinds.Model("map_improver", related=False),
        MaskOrStructure(
            "inputMask",
            "Mask on the grid of the map (1 inside), or an atomic model: farther than Mask radius from its atoms, "
            "the map is set to zero.",
            empty="no mask",
            related=False,
        ),
        kinds.Options("mask_radius", when="inputMask is not None"),
        FrameChoice("inputMask is not None"),
    )

    @property
    def _possibleOutputs(self) -> Dict[str, Any]:
        manyMaps = self._whole() and issubclass(inputs.classOf(self.inputVolume), EMSet)
        made = protocol_base.possibleOutputs(self._CONFIG)
        return {name: made[name] for name in made if issubclass(made[name], EMSet) is manyMaps}

    def _insertAllSteps(self) -> None:
        settings = self._settings()
        for name in self._namedVolumes():
            self._insertFunctionStep(self.improveStep, name, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def improveStep(self, name: str, settings: Dict[str, Any]) -> None:
        volume, folder = self._namedVolumes()[name], self._getExtraPath(name)
        try:
            config = self._ofMap(self._config(**self._writtenFiles()), name, written=True)
            self._runOnce(config, str(config.output), folder=folder)
        except ValueError as error:  # what is wrong with one map of a set does not end the others
            if len(self._volumes()) == 1:
                raise
            os.makedirs(folder, exist_ok=True)
            skipped = (Skipped(name, structureFileOf(volume), str(error)),)
            result: Any = Result("improve-map", {}, skipped=skipped, nothing_made=True)
            result.write(os.path.join(folder, protocol_base.RESULT_FILE))
        write_json(os.path.join(folder, _INPUT), self._inputOf(volume))

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        results, isSet = self._resultsByName(), self._whole() and isinstance(self.inputVolume.get(), EMSet)
        made: Dict[str, List[Volume]] = {"outputVolume": [], "outputDoubt": []}
        improved = {name: one for name, one in self._namedVolumes().items() if not results[name].nothing_made}
        if not improved:
            raise ValueError(" ".join(["No map could be improved.", *protocol_base.skippedLines([*results.values()])]))
        for name, volume in improved.items():
            outputs: ImproveMapOutputs = results[name].outputs
            made["outputVolume"].append(self._improved(name, volume, outputs))
            if outputs.doubt:
                doubt = engine_protocol.volumeFrom(outputs.doubt, volume.getSamplingRate(), ownOrigin(volume), DOUBT)
                doubt.setObjLabel(f"{name} (doubt)")
                made["outputDoubt"].append(doubt)
        outputOf = lambda name: self._setOf(made[name], name) if isSet else made[name][0]
        self._defineRelated(**{name + "s" * isSet: outputOf(name) for name, found in made.items() if found})

    def _improved(self, name: str, volume: Volume, outputs: ImproveMapOutputs) -> Volume:
        alone = outputs.unchanged
        comment = alone or f"Improved by the model {outputs.model}; not for FSC-based resolution."
        made = engine_protocol.volumeFrom(outputs.map, volume.getSamplingRate(), ownOrigin(volume), comment)
        made.setObjLabel(f"{name} ({'not changed' if alone else 'improved'})")
        # the half-maps as they are: an FSC of improved ones tells nothing
        made.setHalfMaps(list(self._rawHalves(volume)))
        setattr(made, "_cryodlImprover", String("" if alone else outputs.model))
        return made

    def _setOf(self, volumes: Sequence[Volume], name: str) -> SetOfVolumes:
        volumesSet = SetOfVolumes.create(self._getPath(), prefix=name)
        volumesSet.setSamplingRate(volumes[0].getSamplingRate())
        volumesSet.copyItems(volumes, doClone=False)
        return volumesSet

    def _whole(self) -> bool:
        return self.inputFrom.get() == WHOLE

    def _volumes(self) -> List[Volume]:
        return _MAPS.items(self) or [half for half in [_HALVES[0].of(self)] if half is not None]

    def _rawHalves(self, volume: Volume) -> List[str]:
        if self._whole():
            return halfMapsOf(volume)
        return [structureFileOf(half.of(self)) for half in _HALVES if half.of(self) is not None]

    def _namedVolumes(self) -> Dict[str, Volume]:
        """{name: map to improve}, in their order; named by its file and its place among the inputs, ticked or not."""
        found = _MAPS.of(self)
        places = [n for n, one in enumerate(found, 1) if one.isEnabled()] if isinstance(found, EMSet) else [1]
        return {f"{stemOf(structureFileOf(v))}_{place}": v for place, v in zip(places, self._volumes())}

    def _engineResults(self) -> List[Result[ImproveMapOutputs]]:
        return list(self._resultsByName().values())

    def _resultsByName(self) -> Dict[str, Result[ImproveMapOutputs]]:
        """{name: result} of the form's maps; others may be left of an input that was changed before *Continue*."""
        named, made = self._namedVolumes(), self._engineResultFiles()
        paths = {name: self._getExtraPath(name, protocol_base.RESULT_FILE) for name in named}
        if len(paths) == 1 and not {*made} & {*paths.values()}:  # version 0.1.0 named the folder otherwise
            paths = {name: path for name in paths for path in made}
        mine = {name: self._inputOf(volume) for name, volume in named.items()}
        isOf = lambda name: readJson(os.path.join(os.path.dirname(paths[name]), _INPUT), mine[name]) == mine[name]
        return {name: Result.read(path) for name, path in paths.items() if path in made and isOf(name)}

    def _inputOf(self, volume: Volume) -> List[Any]:
        return [structureFileOf(volume), volume.getIndex(), volume.getSamplingRate(), self._rawHalves(volume)]

    def _completed(self, config: ImproveMapConfig) -> ImproveMapConfig:
        name = next(iter(self._namedVolumes()), None)
        return config if name is None else self._ofMap(config, name)

    def _ofMap(self, config: ImproveMapConfig, name: str, written: bool = False) -> ImproveMapConfig:
        """The config of one map. written: with the files that the engine is given, which may be copies."""
        volume, mask, origin = self._namedVolumes()[name], self.inputMask.get(), None
        if written and isinstance(mask, AtomStruct):
            origin = self._position(volume, mask, f"frame_{name}.json")
        halves = self._rawHalves(volume) if self.useHalves.get() or not self._whole() else []
        if written:
            halves = [halfForEngine(half, volume, self._inputFolder(), origin) for half in halves]
        return dataclasses.replace(
            config,
            map=(self._mapFor(volume, origin) if written else structureFileOf(volume)) if self._whole() else None,
            half_maps=tuple(halves),
            pixel_size=volume.getSamplingRate(),
            output=self._getExtraPath(name, stemOf(structureFileOf(volume)) + "_improved.mrc"),
        )

    def _checkTogether(self) -> List[str]:
        volumes, mask = self._volumes(), self.inputMask.get()
        errors = [] if self._whole() else self._checkSameGrid(volumes[0], self.inputHalf2.get(), "second half-map")
        if isinstance(mask, Volume):
            errors += [e for volume in volumes for e in self._checkSameGrid(volume, mask, "mask")]
        return errors

    def _warnings(self) -> List[str]:
        return super()._warnings() + kinds.sayIf(
            self._whole() and self.useHalves.get() and not any(halfMapsOf(v) for v in self._volumes()),
            "The map has no half-maps, so there will be no half-map test, and it will not be known what the network "
            "gains and what it invents.",
        )

    def _tell(self, results: Sequence[Result[ImproveMapOutputs]]) -> List[str]:
        named, byModel = self._resultsByName(), isinstance(self.inputMask.get(), AtomStruct)
        prefix = "{}: ".format if len(named) > 1 else "".format
        frames = lambda name: self._frameLines(f"frame_{name}.json") if byModel else []  # else of a mask before
        lines = {name: [*one.summary, *frames(name)] for name, one in named.items()}
        return [prefix(name) + line for name in named for line in lines[name]] if named else ["No improved map yet."]
