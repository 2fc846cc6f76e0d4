# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoise tomograms and fill their missing wedge."""

import dataclasses
import os
from typing import Any, Dict, List

from pyworkflow.object import String
from tomo.objects import SetOfTomograms

from ...convert.tomograms.subtomograms import severalTilts, tiltsOf
from ...convert.tomograms.tomograms import DENOISER, clonesOf, engineNames, halfTomogramsOf, idOf
from ...engine.cryodl import contract
from ...objects import CryodlModel
from .. import checks, engine_protocol, kinds, training
from .tomogram_kinds import WholeTomograms

_LEARNS = "inputModel is None"
KIND = "tomogram_denoiser"
DENOISED, MODEL = "outputTomograms", "outputModel"


class CryodlProtDenoiseTomograms(
    engine_protocol.OneRun[contract.DenoiseTomogramsConfig, contract.DenoiseTomogramsOutputs]
):
    """Denoise tomograms, and fill their missing wedge, by a network that learns from their even and odd halves.

    In: tomograms with half tomograms, as reconstructions from even and odd frames (or tilts) have them; or any
    tomograms and a model that was trained before on such halves. Out: tomograms of the same names, size, pixel size
    and origin, for viewing, annotating and segmenting, and the model. Subtomograms that are averaged are extracted
    from the tomograms as they were."""

    _label = "denoise tomograms"
    OUTPUT, NOTHING_YET = "denoised", "No denoised tomograms yet."
    GOES_ON = True
    FORM = (
        WholeTomograms(
            "inputTomograms",
            "Tomograms with their even and odd halves, which reconstruction programs can write. Tomograms without "
            "halves need a model.",
            to=("tomograms", "names", "pixel_size", "even", "odd", "tilt_min", "tilt_max"),
        ),
        kinds.ModelOfProject(
            "inputModel",
            "Tomogram denoiser of an earlier run of this protocol.",
            KIND,
            empty="a new one is trained on these tomograms",
            related=False,
        ),
        kinds.Options("fill_wedge", when=_LEARNS),
        kinds.Options("halves"),
        kinds.Section("Training"),
        kinds.Options("training_tomograms", "steps", "network", when=_LEARNS),
    )

    def _makeOutputs(self, made: contract.DenoiseTomogramsOutputs) -> Dict[str, Any]:
        source, name = self.inputTomograms.get(), self._card()["name"]
        denoised, names = SetOfTomograms.create(self._getPath()), engineNames(source)
        denoised.copyInfo(source)
        for tomogram in clonesOf(source):
            key = names[idOf(tomogram)]
            if key in made.files:
                tomogram.setFileName(made.files[key])
                tomogram.setHalfMaps([half[key] for half in (made.even, made.odd) if key in half])
                setattr(tomogram, DENOISER, String(name))
                denoised.append(tomogram)
        setattr(denoised, DENOISER, String(name))
        own = {MODEL: CryodlModel.fromFolder(self.getModelFolder())} if self.inputModel.get() is None else {}
        return dict({DENOISED: denoised}, **own)

    def getModelFolder(self) -> Any:
        """Folder of the model, given or trained here; while it trains only <folder>.partial is there."""
        model = self.inputModel.get()
        return os.path.join(self._output(), "model") if model is None else model.getFolder()

    _card = training.TrainsModel._card

    def _completed(self, config: contract.DenoiseTomogramsConfig) -> contract.DenoiseTomogramsConfig:
        halves = [halfTomogramsOf(item) for item in clonesOf(self.inputTomograms.get())]
        least, largest = (tiltsOf(self.inputTomograms.get()) or [(-60.0, 60.0)])[0]
        both = bool(halves) and all(halves)
        return dataclasses.replace(
            config,
            tomograms=() if both else config.tomograms,
            even=tuple(pair[0] for pair in halves) if both else (),
            odd=tuple(pair[1] for pair in halves) if both else (),
            tilt_min=least,
            tilt_max=largest,
        )

    def _checkTogether(self) -> List[str]:
        items = clonesOf(self.inputTomograms.get())
        without = [idOf(item) for item in items if not halfTomogramsOf(item)]
        lost = [path for item in items for path in halfTomogramsOf(item) if not os.path.exists(path)]
        return (
            checks.sayIf(
                0 < len(without) < len(items),
                f"Some tomograms have no halves: {checks.listed(without)}. Make a subset of those that have.",
            )
            or checks.sayIf(
                without and self.inputModel.get() is None,
                "The tomograms have no halves to train on. Reconstruct even and odd halves, or choose a model that was "
                "trained on halves of similar tomograms.",
            )
            or [f"The half tomogram {path} {contract.absent(path)}. Restore or reconstruct it." for path in lost[:1]]
            or checks.sayIf(
                self._config().fill_wedge and not tiltsOf(self.inputTomograms.get()),
                "The tomograms do not store their minimum and maximum tilt, which define the missing wedge. Import "
                "them again with their acquisition.",
            )
        )

    def _warnings(self) -> List[str]:
        return super()._warnings() + (severalTilts(self.inputTomograms.get()) if self._config().fill_wedge else [])

    def _citations(self) -> List[str]:
        card = self._card() or dict(fills_wedge=self.fillWedge.get(), network="unet3d")
        wedge = ["Liu2022IsoNet", "Wiedemann2024"] if card.get("fills_wedge") else []  # also of a wrong kind of model
        own = contract.network_citations(KIND, card.get("network"))
        return ["cryodl", "Lehtinen2018", "Buchholz2019", *wedge, *own]
