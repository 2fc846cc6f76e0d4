# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a map against its atomic model, and an atomic model against a reference."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from pwem.objects import SetOfFSCs
from pyworkflow.protocol import params

from ...convert.maps import halfForEngine, halfMapsOf, structureFileOf
from ...convert.reading import readNumbers
from ...engine.cryodl import contract
from .. import one_of, protocol_base
from ..engine_protocol import fscFrom, volumeFrom
from ..kinds import AtomicModel, Options, sayIf
from .map_kinds import DOUBT, FrameChoice, HalfMap, Map, MapMask, MapsBase, OtherMap, ownOrigin

PROCESSED = "inputProcessed"
CURVES, RESIDUES, LOCAL = "fsc.csv", "residues.csv", "local_resolution.mrc"
_OTHERS = (
    OtherMap(
        "inputBefore",
        "Map to compare with, such as the map before improvement, on the same grid. It is measured with the same mask.",
        label="Original map",
        what="original map",
        to=("before",),
        empty="only the map is measured",
    ),
    *(
        HalfMap(
            f"{start}{number}",
            help,
            label=f"{label} {number}",
            what=label.lower(),
            empty=empty,
            related=False,
            expertLevel=params.LEVEL_ADVANCED,
        )
        for start, label, help, empty in (
            ("inputHalf", "Half-map", "Unmasked and unsharpened half-map.", "that linked to the map, if there is one"),
            (PROCESSED, "Processed half-map", "Half-map after any program, processed alone.", "no half-map test"),
        )
        for number in (1, 2)
    ),
    MapMask(
        "inputMask", "Mask on the grid of the map.", "mask", empty="a soft mask of model or half-maps", related=False
    ),
)


class Evaluate(one_of.Way[contract.EvaluateMapConfig, contract.EvaluateMapOutputs]):
    WORD = "a map against its model"
    OUTPUT, NOTHING_YET = protocol_base.EVALUATION_FOLDER, "No evaluation yet."
    CITES = ("Rosenthal2003", "Pintilie2020", "Cardone2013")  # of the measures
    FORM = (
        Map("inputVolume", "Map to measure. If it has half-maps, they are measured too."),
        AtomicModel("inputStructure", "Atomic model, fitted into the map.", empty="half-maps alone are tested"),
        FrameChoice(),
        *_OTHERS,
        Options("mask_radius", "resolution"),
    )
    NOT_ON_FORM = {
        "half_maps": "the half-maps of the form, or of the map",
        "processed": "the processed half-maps of the form",
    }

    def writtenFiles(self, protocol: Any) -> Dict[str, Any]:
        volume, before = protocol.inputVolume.get(), protocol.inputBefore.get()
        structure = protocol.inputStructure.get()
        origin = None if structure is None else protocol._position(volume, structure)
        written = lambda paths: tuple(halfForEngine(one, volume, protocol._inputFolder(), origin) for one in paths)
        files = dict(
            super().writtenFiles(protocol),
            map=protocol._mapFor(volume, origin),
            half_maps=written(protocol._halfFiles()),
            processed=written(protocol._pair(PROCESSED)),
        )
        return files if before is None else dict(files, before=protocol._mapFor(before, origin))

    def makeOutputs(self, protocol: Any, made: contract.EvaluateMapOutputs) -> Dict[str, Any]:
        fscs, volume = SetOfFSCs.create(protocol._getPath()), protocol.inputVolume.get()
        rows = readNumbers(os.path.join(protocol.getEvaluationFolder(), CURVES))
        curves = {name: [row[name] for row in rows] for name in rows[0]}
        frequency, *names = curves
        fscs.copyItems([fscFrom(curves[frequency], curves[name], name) for name in names], doClone=False)
        local = os.path.join(protocol._output(), LOCAL)
        volumes = {
            "outputLocalResolution": (os.path.exists(local) and local, "Local resolution in Å; 0 outside the mask."),
            "outputDoubt": (made.doubt, DOUBT),
        }
        return dict(
            outputFSCs=fscs,
            **{
                name: volumeFrom(path, volume.getSamplingRate(), ownOrigin(volume), comment)
                for name, (path, comment) in volumes.items()
                if path
            },
        )

    def completed(self, protocol: Any, config: contract.EvaluateMapConfig) -> contract.EvaluateMapConfig:
        # those that were written for the engine stay
        return dataclasses.replace(
            config,
            half_maps=config.half_maps or tuple(protocol._halfFiles()),
            processed=config.processed or tuple(protocol._pair(PROCESSED)),
        )

    def problems(self, protocol: Any) -> List[str]:
        volume, given = protocol.inputVolume.get(), [(part, part.of(protocol)) for part in _OTHERS]
        errors = [e for part, one in given if one is not None for e in protocol._checkSameGrid(volume, one, part.what)]
        for start, label in (("inputHalf", "Half-map"), (PROCESSED, "Processed half-map")):
            alone = [getattr(protocol, f"{start}{number}").get() is None for number in (1, 2)]
            said = f"{label} 1 and {label} 2 belong together: choose both, or leave both empty."
            errors += sayIf(alone[0] != alone[1], said)
        return errors + sayIf(
            protocol._pair(PROCESSED) and not protocol._halfFiles(),
            "The half-map test needs half-maps, and the map has none. Choose Half-map 1 and Half-map 2, or leave the "
            "processed half-maps empty.",
        )

    def tell(self, protocol: Any, results: Sequence[contract.Result[contract.EvaluateMapOutputs]]) -> List[str]:
        return [*super().tell(protocol, results), *(protocol._frameLines() if results else ())]


class Compare(one_of.Way[contract.CompareModelsConfig, contract.CompareModelsOutputs]):
    WORD = "a model against a reference"
    OUTPUT, NOTHING_YET = "matched_residues.csv", "Not compared yet."
    CITES = ("Liebschner2019",)
    FORM = (
        AtomicModel("inputStructure", "Atomic model to evaluate, of any program.", label="Built model", needed=True),
        AtomicModel("inputReference", "Reference, such as a deposited model.", label="Reference", to=("reference",)),
    )


class CryodlProtEvaluateMap(protocol_base.HasEvaluation, one_of.OneOf[Any, Any], MapsBase):
    """Measure a map against its atomic model, or an atomic model that was built into a map against a reference.

    In: a map; perhaps its model, the map before improvement, half-maps, and these as any program processed them.
    Out: Fourier shell correlations of map and model and of the half-maps, Q-scores of residues and chains, local
    correlation, local resolution by windowed FSC, a script for ChimeraX that colours the model, and tables. The
    half-map test of processed half-maps tells what was gained and what was invented, a map of doubt where. Or in: a
    built model and a reference in the same frame (they are not superposed). Out: which residues of the reference are
    matched by C-alpha (or P) atoms, with which names and RMSD, and how many built residues match nothing."""

    _label = "evaluate map"
    WAYS = (Evaluate(), Compare())
    WHAT = (
        "Measure",
        "A map: against its atomic model, and its half-maps against each other. A model: against a reference, as after "
        "building into a map before and after improvement.",
    )

    def _halfFiles(self) -> List[str]:
        """Files of the half-maps: of the form, else of the map, else of the map before; or none."""
        before = self.inputBefore.get()
        linked = halfMapsOf(self.inputVolume.get()) or ([] if before is None else halfMapsOf(before))
        return self._pair("inputHalf") or linked

    def _pair(self, start: str) -> List[str]:
        """Files of two maps of the form; none unless both are there. start: of the fields' names."""
        given = [getattr(self, f"{start}{number}").get() for number in (1, 2)]
        return [structureFileOf(half) for half in given if half is not None] if None not in given else []
