# SPDX-License-Identifier: GPL-3.0-or-later
"""What protocols share that simulate micrographs of a structure: fields, checks, and the engine's run."""

import os
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import pyworkflow.utils as pwutils
from pwem.objects import SetOfCTF, SetOfMicrographs, SetOfParticles, Volume
from pyworkflow.protocol.params import Form

from ..convert.structures import structureFileOf, structureForEngine, structureProblem
from ..engine.cryodl import contract
from ..form import addConfigParams, readConfig
from .form_parts import addPointer, notOnForm
from .inputs import ProtocolMixin
from .protocol_base import RESULT_FILE

SIMULATED_FOLDER = "simulated"
# Their mean spectrum changes no more with further ones.
NOISE_MICROGRAPHS = 10
_OWN, _NO_OWN = "inputMicrographs is not None", "inputMicrographs is None"
_MICROSCOPE = ["voltage", "spherical_aberration", "amplitude_contrast"]
_DEFOCUS = ["minimum_defocus", "maximum_defocus", "astigmatism"]
# Contract fields without a place on the form, of every protocol that simulates.
NOT_ON_FORM = notOnForm(
    "output", "device", "threads", structure="the input structure", noise_from="the own micrographs"
)


class SimulatesMicrographs(ProtocolMixin):
    """Mixin: it stands before CryodlProtBase in the list of bases."""

    # ----- form
    def _addSourceParams(self, form: Form) -> None:
        """The structure, and the user's micrographs to be like."""
        addPointer(
            form,
            "inputStructure",
            "AtomStruct,Volume",
            "Structure",
            "Atomic model or map (protein positive) of the particle. If a model defines biological assemblies, the "
            "first one is built. The pixel size of a map is that of Scipion's object.",
            important=True,
        )
        addPointer(
            form,
            "inputMicrographs",
            "SetOfMicrographs",
            "Own micrographs",
            "Micrographs that the simulated ones should resemble. Pixel size, microscope and noise spectrum are "
            f"taken from them (the noise from up to {NOISE_MICROGRAPHS}).\n\nEmpty: the fields of this form are used.",
            allowsNull=True,
        )
        addPointer(
            form,
            "inputCTF",
            "SetOfCTF",
            "Own defocus range",
            "CTFs whose defocus range the simulated micrographs should have: from the 5th to the 95th percentile of "
            "the defocus, with astigmatism up to the 95th percentile.\n\nEmpty: the defocus range of this form.",
            allowsNull=True,
        )
        addConfigParams(
            form,
            contract.SimulateMicrographsConfig,
            ["pixel_size"],
            pixel_size=dict(
                condition=_NO_OWN, help="Pixel size of the simulated micrographs.\n\nEmpty: that of the map."
            ),
        )

    def _addSimulationParams(self, form: Form, names: Sequence[str], **overrides: Any) -> None:
        """Fields of SimulateMicrographsConfig; those that the own micrographs or CTFs give are shown without them."""
        conditions = dict({name: _NO_OWN for name in _MICROSCOPE}, **{name: "inputCTF is None" for name in _DEFOCUS})
        overrides = {
            name: dict({"condition": conditions[name]} if name in conditions else {}, **overrides.get(name, {}))
            for name in names
        }
        addConfigParams(form, contract.SimulateMicrographsConfig, names, **overrides)

    # ----- engine
    def _simulationValues(self) -> Any:
        """Values of SimulateMicrographsConfig that the form's plain fields do not hold."""
        structure, own, ctfs = self.inputStructure.get(), self.inputMicrographs.get(), self.inputCTF.get()
        values = dict(
            structure=structureFileOf(structure), output=self.getSimulatedFolder(), threads=self.numberOfThreads.get()
        )
        if own is not None:
            acquisition = own.getAcquisition()
            values.update(
                pixel_size=own.getSamplingRate(),
                noise_from=tuple(m.getFileName() for m in evenlySpacedMicrographs(own)),
                voltage=acquisition.getVoltage(),
                spherical_aberration=acquisition.getSphericalAberration(),
                amplitude_contrast=acquisition.getAmplitudeContrast(),
            )
        elif self.pixelSize.get() is None and isinstance(structure, Volume):
            values.update(pixel_size=structure.getSamplingRate())
        if ctfs is not None:
            values.update(defocusRange(ctfs))
        return values

    def _simulationConfig(self, **values: Any) -> Any:
        return readConfig(self, contract.SimulateMicrographsConfig, **dict(self._simulationValues(), **values))

    def _simulate(self, **values: Any) -> None:
        """Run the simulator, unless it has run with the same settings. values: see _simulationConfig."""
        folder = self._getExtraPath("simulation")
        pwutils.makePath(folder)
        config = self._simulationConfig(structure=structureForEngine(self.inputStructure.get(), folder), **values)
        self._forgetOther(config, folder, self.getSimulatedFolder(), *self._madeFromSimulated())
        result = os.path.join(folder, RESULT_FILE)
        if not (os.path.exists(result) and os.path.isdir(self.getSimulatedFolder())):
            # without its result a folder tells too little: the run was killed between the two
            pwutils.cleanPath(self.getSimulatedFolder())
            self._runEngine(config, folder)

    def _madeFromSimulated(self) -> Any:
        """Files and folders that go when the micrographs are simulated anew."""
        return ()

    def _simulated(self) -> Any:
        """Result.outputs of the simulation; {} before it is there."""
        path = os.path.join(self._getExtraPath("simulation"), RESULT_FILE)
        return contract.Result.read(path).outputs if os.path.exists(path) else {}

    def getSimulatedFolder(self) -> str:
        return self._getExtraPath(SIMULATED_FOLDER)

    # ----- checks
    def _checkSources(self) -> Any:
        problem = structureProblem(self.inputStructure.get())
        own, ctfs = self.inputMicrographs.get(), self.inputCTF.get()
        errors = [problem] if problem else []
        if own is not None and (own.getSize() == 0 or not own.getSamplingRate()):
            errors.append(
                "The own micrographs are "
                f"{'an empty set' if own.getSize() == 0 else 'without pixel size (sampling rate)'}. Choose "
                "others, or leave the field empty."
            )
        if ctfs is not None and ctfs.getSize() == 0:
            errors.append("The set of CTFs is empty. Choose another, or leave the field empty.")
        return errors

    def _sourceName(self) -> str:
        """'emd_1234.mrc'."""
        return os.path.basename(structureFileOf(self.inputStructure.get()))

    def _sourceLine(self) -> str:
        """The summary's line on what was simulated."""
        own = "" if self.inputMicrographs.get() is None else ", with the noise of the own micrographs"
        return f"Structure: {self._sourceName()}{own}"


def checkOrientations(particles: Optional[SetOfParticles]) -> List[str]:
    """What is wrong with particles to draw orientations from, or None."""
    if particles is None or (particles.getSize() and particles.hasAlignmentProj()):
        return []
    return [
        "The particles for the orientations are "
        f"{'an empty set' if particles.getSize() == 0 else 'without projection alignment'}. Choose particles of "
        "a 3-D refinement, or leave the field empty."
    ]


def evenlySpacedMicrographs(micrographs: SetOfMicrographs) -> List[Any]:
    """Clones of some of a set, evenly spread over it."""
    chosen = set(np.linspace(0, micrographs.getSize() - 1, NOISE_MICROGRAPHS).round().astype(int))
    return [m.clone() for index, m in enumerate(micrographs) if index in chosen]


def defocusRange(ctfs: SetOfCTF) -> Dict[str, Any]:
    """{minimum_defocus, maximum_defocus, astigmatism} in Å of a SetOfCTF, without its outliers."""
    pairs = np.array([(c.getDefocusU(), c.getDefocusV()) for c in ctfs], float)
    low, high = np.percentile(pairs.mean(axis=1), [5, 95])
    return dict(
        minimum_defocus=round(float(low), 1),
        maximum_defocus=round(float(high), 1),
        astigmatism=round(float(np.percentile(abs(pairs[:, 0] - pairs[:, 1]), 95)), 1),
    )
