# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a particle picker on simulated micrographs of a known structure."""

import os
from typing import Any, Dict, List, Sequence

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ... import Plugin
from ...convert.micrographs.simulated import simulatedFiles
from ...convert.models import shippedModels
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams, formProblems
from ..methods import simulationInWords, trainingInWords, trainingLines
from ..model_field import GENERAL
from ..protocol_base import CryodlProtBase
from ..simulating import NOT_ON_FORM, SimulatesMicrographs
from ..training import TrainsModel


class CryodlProtTrainFromStructure(SimulatesMicrographs, TrainsModel, CryodlProtBase, EMProtocol):
    """Train a neural network to pick a particle whose structure is known, without any picked particle.

    In: an atomic model or a map of the particle or of a near relative; micrographs of your own, and their CTFs, so that
    the simulated ones are like them. Micrographs of the structure are simulated, with ice, aggregates and carbon edges,
    and the network learns from them. Out: a model for `cryodl - pick particles`.
    A stopped run continues where it was.
    """

    _label = "train picker from structure"
    _devStatus = BETA
    _CONFIG = contract.TrainPickerConfig
    NOT_ON_FORM = dict(
        NOT_ON_FORM,
        orientations="all orientations are needed",
        box_size="no particles are cut out",
        micrographs="the simulated ones",
        coordinates="the simulated ones",
        particle_diameter="measured on the structure",
        background="all particles are known",
        contamination="all particles are known",
        uncertain="all particles are known",
        labels="complete: all particles are known",
        expected_particles="all particles are known",
        pu_criterion="all particles are known",
        start_from="the general model",
    )
    # What a picker should have seen, of all that micrographs may show; a plain simulation has none of it.
    OTHER_DEFAULTS = {
        "count": 24,
        "size": 2048,
        "snr": 0.03,
        "snr_max": 0.2,
        "ice": 1.5,
        "aggregates": 0.7,
        "carbon": 0.15,
        "gradient": 0.5,
    }

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSourceParams(form)
        self._addFields(form, ["count", "size", "particles"])
        form.addSection("Simulation")
        self._addFields(
            form,
            [
                "snr",
                "snr_max",
                "dose",
                "contrast",
                "minimum_defocus",
                "maximum_defocus",
                "astigmatism",
                "voltage",
                "spherical_aberration",
                "amplitude_contrast",
                "minimum_distance",
                "ice",
                "aggregates",
                "carbon",
                "gradient",
            ],
        )
        form.addSection("Training")
        addConfigParams(form, self._CONFIG, ["network"])
        form.addParam(
            "startGeneral",
            params.BooleanParam,
            default=True,
            expertLevel=params.LEVEL_ADVANCED,
            label="Start from the general model",
            help="Continue from the shipped general model, if it has this network. It was also trained on real "
            "micrographs, so that less training is needed. With No, or if there is no such model, training "
            "starts from random weights; the summary states which.",
        )
        addConfigParams(
            form, self._CONFIG, ["steps", "recursions", "validation_fraction", "batch_size", "learning_rate"]
        )
        addConfigParams(form, contract.Request, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    def _addFields(self, form: Form, names: Sequence[str]) -> None:
        self._addSimulationParams(
            form,
            names,
            **{name: dict(default=self.OTHER_DEFAULTS[name]) for name in names if name in self.OTHER_DEFAULTS},
        )

    # ----- steps
    def _insertAllSteps(self) -> None:
        simulation = contract.config_to_dict(self._simulationConfig())
        settings = self._settings()
        self._insertFunctionStep(self.simulateStep, simulation)
        self._insertFunctionStep(self.trainStep, simulation, settings)
        self._insertFunctionStep(self.createOutputStep, simulation, settings, needsGPU=False)

    def simulateStep(self, simulation: Any) -> None:
        self._simulate()

    def trainStep(self, simulation: Any, settings: Dict[str, Any]) -> None:
        made = self._simulated()
        names, paths = zip(*simulatedFiles(made.micrographs))
        config = self._config(
            **dict(
                self._engineValues(),
                micrographs=paths,
                coordinates=made.coordinates,
                particle_diameter=made.particle_diameter,
            )
        )
        self._train(config, self._getExtraPath("training"), names)

    def createOutputStep(self, simulation: Any, settings: Dict[str, Any]) -> None:
        self._defineModel((self.inputStructure, self.inputMicrographs, self.inputCTF))

    # ----- what the steps share
    def _madeFromSimulated(self) -> Any:
        return (self.getModelFolder(),)

    def _generalFolder(self) -> Any:
        """Folder of the general model if training starts from it, else None."""
        folder = shippedModels(Plugin.getEngineFolder()).get(GENERAL) if self.startGeneral.get() else None
        return folder if folder and contract.read_card(folder)["network"] == self.getEnumText("network") else None

    def _engineValues(self) -> Any:
        made, simulation = self._simulated(), self._simulationConfig()
        return dict(
            micrographs=(self.getSimulatedFolder(),),
            coordinates=self.getSimulatedFolder(),
            pixel_size=simulation.pixel_size,
            labels="complete",
            contrast=simulation.contrast,
            # before the simulation any diameter will do for the form's checks
            particle_diameter=made.particle_diameter if made else 100.0,
            output=self.getModelFolder(),
            start_from=self._generalFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        return self._checkSources() or formProblems(self._simulationConfig())

    def _tell(self, results: Sequence[Result]) -> List[str]:
        made, card = self._simulated(), self._card()
        lines = (
            [
                f"*{made.particles} simulated particles* of {made.particle_diameter:.0f} Å, of {self._sourceName()}",
                self._sourceLine(),
            ]
            if made
            else []
        )
        if card is None:
            return lines + ["No model yet."]
        return (
            lines
            + trainingLines(card)
            + [f"Training started from {'the general model' if self._startedFromGeneral() else 'random weights'}."]
        )

    def _startedFromGeneral(self) -> bool:
        """As the request had it: the plugin may have another general model since."""
        path = os.path.join(self._getExtraPath("training"), "request.json")
        return bool(os.path.exists(path) and contract.Request.read(path).config.start_from)

    def _methods(self) -> List[str]:
        card = self._card()
        if card is None:
            return []
        return [
            simulationInWords(self._simulationConfig(), self._simulated(), self._sourceName(), self._engineResults()),
            trainingInWords(card),
        ]
