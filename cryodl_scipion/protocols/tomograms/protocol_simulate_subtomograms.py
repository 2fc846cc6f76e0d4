# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate subtomograms of which everything is known."""

import os
from typing import Any, Dict, List, Sequence

from tomo.objects import SetOfSubTomograms, TomoAcquisition

from ...convert.tomograms.subtomogram_sets import appendSimulatedSubtomograms
from ...engine.cryodl.contract import Result, SimulateSubtomogramsConfig, counted
from ...engine.cryodl.contract.tomograms.simulating_subtomograms import SimulateSubtomogramsOutputs
from ..engine_protocol import OneRun
from ..kinds import MapsOrModels, Options, Section
from .subtomogram_words import subtomogramSimulationInWords


class CryodlProtSimulateSubtomograms(OneRun[SimulateSubtomogramsConfig, SimulateSubtomogramsOutputs]):
    """Simulate subtomograms of several structures, with known ground truth.

    In: maps or atomic models; each is a class, 1, 2, ... in this order. Out: subtomograms with missing wedge, CTF
    and noise, with their true class, transform and half set. For training of classifiers, and for tests of
    classification and averaging, which need the ground truth.
    """

    _label = "simulate subtomograms"
    OUTPUT, NOTHING_YET = "subtomograms.star", "No subtomograms yet."
    FORM = (
        MapsOrModels(
            "inputStructures",
            "Maps (protein positive) or atomic models, of the right handedness. Each is a class, in this order. "
            "The pixel size of a map is that of Scipion's object.",
            named=True,
        ),
        Options("pixel_size", "box", "count", "snr", "max_shift"),
        Section("Microscope"),
    )

    def _filesMade(self, config: SimulateSubtomogramsConfig) -> List[str]:
        return [config.output, os.path.splitext(config.output)[0]]

    def _makeOutputs(self, made: SimulateSubtomogramsOutputs) -> Dict[str, Any]:
        config = self._config()
        subtomograms = SetOfSubTomograms.create(self._getPath(), template="subtomograms%s.sqlite")
        subtomograms.setSamplingRate(made.pixel_size)
        subtomograms.setAcquisition(
            TomoAcquisition(
                angleMin=config.tilt_min,
                angleMax=config.tilt_max,
                step=config.tilt_step,
                voltage=config.voltage,
                sphericalAberration=config.spherical_aberration,
                amplitudeContrast=config.amplitude_contrast,
                magnification=50000,
            )
        )
        appendSimulatedSubtomograms(subtomograms, made.subtomograms, made.classes)
        return dict(outputSubtomograms=subtomograms)

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        output, made = getattr(self, "outputSubtomograms", None), self._made()
        if output is None or made is None:
            return [self.NOTHING_YET]
        return [
            f"*{counted(output.getSize(), 'subtomogram')}* of {made.box} px, at {made.pixel_size:g} Å/px, "
            f"SNR {self._config().snr:g}",
            "Classes: " + ", ".join(f"{number} {name}" for number, name in enumerate(made.classes, 1)),
            "Classes, transforms and half sets are exact.",
        ]

    def _methods(self) -> List[str]:
        if getattr(self, "outputSubtomograms", None) is None:
            return []
        return [subtomogramSimulationInWords(self._config(), self._result())]
