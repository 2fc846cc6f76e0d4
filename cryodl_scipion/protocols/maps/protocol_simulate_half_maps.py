# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate half-maps of an atomic model, of which the truth is known."""

from typing import Any, Dict, List

from pwem.objects import AtomStruct

from ...convert.maps.maps import headerOrigin, originTransform
from ...engine.cryodl.contract import SimulateHalfMapsConfig
from ...engine.cryodl.contract.maps.simulating import SimulateHalfMapsOutputs
from ..engine_protocol import OneRun, volumeFrom
from ..kinds import AtomicModel, Options
from .maps_base import MapsBase


class CryodlProtSimulateHalfMaps(OneRun[SimulateHalfMapsConfig, SimulateHalfMapsOutputs], MapsBase):
    """Simulate two half-maps of an atomic model with the imperfections of real ones, and the ground truth.

    In: an atomic model. Out: the whole map with its two half-maps (blurred, noisy, with flexible parts and unevenly
    spread orientations), the ground truth without noise and blur, and the model in their frame with the B-factors
    that its atoms were blurred by. For tests of map improvement and of measures, which need the ground truth.
    """

    _label = "simulate half-maps"
    OUTPUT, NOTHING_YET = "simulated", "No maps yet."
    FORM = (
        AtomicModel(
            "inputStructure",
            "Atomic model. Its atoms are used as they are in the file; no biological assembly is built.",
        ),
        Options("resolution", "pixel_size", "box", "b_factor", "flexibility", "anisotropy", "detergent"),
    )

    def _filesMade(self, config: SimulateHalfMapsConfig) -> List[str]:
        return [f"{config.output}_{name}.mrc" for name in ("half1", "half2", "full", "truth")]

    def _makeOutputs(self, made: SimulateHalfMapsOutputs) -> Dict[str, Any]:
        full, ground_truth = (
            volumeFrom(path, made.pixel_size, originTransform(headerOrigin(path, made.pixel_size)))
            for path in (made.full, made.ground_truth)
        )
        full.setHalfMaps([made.half1, made.half2])
        ground_truth.setObjComment("Density of the model, without noise and blur.")
        return dict(outputVolume=full, outputTruth=ground_truth, outputStructure=AtomStruct(made.structure))
