# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a particle picker."""

from typing import Any, Dict, List, Optional, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCoordinates
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ... import Plugin
from ...convert.micrograph_names import micrographNames
from ...convert.micrographs import coordinates as convert
from ...convert.micrographs.picks import candidatesFolder, correctionsFolder, hasCandidates
from ...convert.models import shippedModels
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..checks import checkDiameter, checkLabels, checkModelFolder
from ..form_parts import addPointer, addStartModel, notOnForm
from ..methods import trainingInWords, trainingLines
from ..protocol_base import CryodlProtBase
from ..training import TrainsModel
from .class_labels import LearnsFromClasses

# With fewer the network learns the noise of the few; the engine itself needs only a handful.
FEW_PARTICLES = 20
# Labels beside the particles: contract fields, and with "Coordinates" behind them the form's pointers.
OTHER_LABELS = ("background", "contamination", "uncertain")
# Labels are sparse: chosen, or for Topaz by itself.
SPARSE = (
    f"labels == {contract.LABEL_KINDS.index('sparse')} or (labels == {contract.LABEL_KINDS.index('auto')} and "
    f"network == {contract.PICKER_NETWORKS.index('topaz')})"
)


class CryodlProtTrainPicker(LearnsFromClasses, TrainsModel, CryodlProtBase, EMProtocol):
    """Train a neural network to pick particles.

    In: coordinates of particles on a few micrographs, picked by hand or by any program; a few dozen particles on
    two or more micrographs are enough. Boxes on background or contamination may be given as well, and regions to
    leave out. Six networks learn from the same labels: a U-Net of this project, DeepPicker, DeepEM, crYOLO, Topaz
    and EMAN2. Out: a model for `cryodl - pick particles`. Its card says what it was trained on and how well it does
    on micrographs that were held out for validation. A stopped run continues where it was.
    """

    _label = "train picker"
    _devStatus = BETA
    _CONFIG = contract.TrainPickerConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        "start_from",
        micrographs="those of the coordinates",
        coordinates="written from the input set",
        background="written from the input set",
        contamination="written from the input set",
        uncertain="written from the input set",
        pixel_size="the micrographs' sampling rate",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputCoordinates",
            "SetOfCoordinates",
            "Particle coordinates",
            "Training particles, on their micrographs. Micrographs without coordinates are not used. *Labels* says "
            "whether all particles are picked. From *cryodl - pick by hand*, confirmed picks are learnt as "
            "particles and removed ones as background; picks that were left on corrected micrographs count as right, "
            "and ignored areas are not used.",
            important=True,
        )
        self._addClassParams(form, "the micrographs of these coordinates", "minimum_score")
        for word in OTHER_LABELS:
            addPointer(
                form,
                word + "Coordinates",
                "SetOfCoordinates",
                word.capitalize() + " coordinates",
                _helpOfBoxes(contract.describe(self._CONFIG, word)),
                allowsNull=True,
                expertLevel=params.LEVEL_ADVANCED if word == "uncertain" else params.LEVEL_NORMAL,
            )
        addPointer(
            form,
            "inputMicrographs",
            "SetOfMicrographs",
            "Other micrographs",
            "Micrographs to train on instead of those of the coordinates, for instance denoised ones. They must "
            "have the same names and pixel size.\n\nEmpty: those of the coordinates.",
            allowsNull=True,
            expertLevel=params.LEVEL_ADVANCED,
        )
        addConfigParams(form, self._CONFIG, ["particle_diameter", "contrast"], particle_diameter=dict(important=True))
        form.addSection("Training")
        addConfigParams(
            form,
            self._CONFIG,
            ["network", "labels", "expected_particles", "pu_criterion", "steps"],
            expected_particles=dict(condition=SPARSE),
            pu_criterion=dict(condition=SPARSE),
        )
        addStartModel(
            form,
            "A trained model to continue from, of the same network.",
            "startModel",
            "the shipped model below, if one is given, else random weights",
        )
        form.addParam(
            "shippedModel",
            params.StringParam,
            default="",
            expertLevel=params.LEVEL_ADVANCED,
            label="Start from shipped model",
            help="Name of a shipped model of the same network; the wizard lists them. For corrected picks, *general* "
            "is the best choice.\n\nEmpty: none.",
        )
        addConfigParams(form, self._CONFIG, ["recursions", "validation_fraction", "batch_size", "learning_rate"])
        addConfigParams(form, contract.Request, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        # The settings are the steps' argument, so that a changed one trains anew when the run is continued.
        settings = dict(self._settings(), **self._classSettings())
        sizes = [coordinates.getSize() for _, coordinates in self._labelSets()]
        self._insertFunctionStep(self.writeLabelsStep, [*sizes, self._classSettings()], needsGPU=False)
        self._insertFunctionStep(self.trainStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def writeLabelsStep(self, sizes: Any) -> None:
        names = self._names()
        for word, coordinates in self._labelSets():
            folder = self._getExtraPath(word)
            pwutils.cleanPath(folder)
            pwutils.makePath(folder)
            for micId, positions in convert.positionsByMicrograph(coordinates).items():
                convert.writePositions(folder, names[micId], positions)
        if self._learnsFromClasses():
            self._writeClassLabels()

    def _writeClassLabels(self) -> None:
        """Labels of the particles of kept and rejected classes; what was not classified is left out, weak candidates of
        our picks, too."""
        coordinates, names = self.inputCoordinates.get(), self._names()
        micrographs = [m.clone() for m in coordinates.getMicrographs()]
        pwutils.cleanPath(*[self.getModelFolder() + end for end in ("", ".partial")])  # of other labels
        self._makeClassLabels(
            micrographs,
            [m.getFileName() for m in micrographs],
            [names[m.getObjId()] for m in micrographs],
            coordinates.getMicrographs().getSamplingRate(),
            self.particleDiameter.get(),
            candidatesFolder(coordinates) if hasCandidates(coordinates) else self._getExtraPath("coordinates"),
        )

    def _coordinatesFolder(self) -> str:
        """Labels of 2-D classes, corrections of picks made by hand, or what writeLabelsStep wrote."""
        if self._learnsFromClasses():
            return self._classLabelsFolder()
        return correctionsFolder(self.inputCoordinates.get()) or self._getExtraPath("coordinates")

    def trainStep(self, settings: Dict[str, Any]) -> None:
        names, micrographs = self._names(), self._labelledMicrographs()
        config = self._config(**dict(self._engineValues(), micrographs=tuple(m.getFileName() for m in micrographs)))
        self._train(config, self._getExtraPath(), [names[m.getObjId()] for m in micrographs])

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        classes = [self.keptParticles, self.classifiedParticles]
        self._defineModel([self.inputCoordinates] + list(self._otherPointers().values()) + classes)

    # ----- what the steps share
    def _otherPointers(self) -> Dict[str, Any]:
        """{word: pointer} of the labels that are given beside the particles."""
        pointers = {word: getattr(self, word + "Coordinates") for word in OTHER_LABELS}
        return {word: pointer for word, pointer in pointers.items() if pointer.get() is not None}

    def _labelSets(self) -> Any:
        """[(name of the folder, set)] of the coordinates to write."""
        return [("coordinates", self.inputCoordinates.get())] + [(w, p.get()) for w, p in self._otherPointers().items()]

    def _names(self) -> Any:
        return micrographNames([m.clone() for m in self.inputCoordinates.get().getMicrographs()])

    def _labelledMicrographs(self) -> Any:
        """Micrograph objects (clones) with particles, background or contamination, in the set's order."""
        labelled = set()
        for word, coordinates in self._labelSets():
            if word != "uncertain":  # a place that is left out teaches nothing
                labelled.update(convert.positionsByMicrograph(coordinates))
        micrographs = [m.clone() for m in self.inputCoordinates.get().getMicrographs() if m.getObjId() in labelled]
        other = self.inputMicrographs.get()
        if other is None:
            return micrographs
        byName = {m.getMicName(): m.clone() for m in other}
        return [_replaced(m, byName) for m in micrographs]

    def _engineValues(self) -> Any:
        given = self._otherPointers()
        micrographs = self.inputMicrographs.get() or self.inputCoordinates.get().getMicrographs()
        folders = {word: self._getExtraPath(word) if word in given else None for word in OTHER_LABELS}
        return dict(
            folders,
            micrographs=(micrographs.getFileName(),),
            coordinates=self._coordinatesFolder(),
            output=self.getModelFolder(),
            pixel_size=micrographs.getSamplingRate(),
            start_from=self._startFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        coordinates = self.inputCoordinates.get()
        others = {word: pointer.get() for word, pointer in self._otherPointers().items()}
        errors = checkLabels(coordinates, others, self.inputMicrographs.get())
        errors = errors or checkDiameter(self.particleDiameter.get(), coordinates.getMicrographs())
        errors = errors or self._checkClasses(coordinates.getMicrographs()) or self._checkPicksOfClasses(coordinates)
        return errors + self._checkExpected() + self._checkStartModel()

    def _checkPicksOfClasses(self, coordinates: SetOfCoordinates) -> List[str]:
        """What is wrong with the coordinates beside particles of 2-D classes."""
        if not self._learnsFromClasses():
            return []
        if correctionsFolder(coordinates):
            return [
                "Particle coordinates were corrected by hand, and Particles kept in 2-D classes is given, too; the "
                "corrections would not be learnt. Choose the picks before the correction, or leave the particles empty."
            ]
        if self.minimumScore.get() is None or hasCandidates(coordinates):
            return []
        return [
            f"Minimum score of kept particles is {self.minimumScore.get():g}, but these coordinates have no scores of "
            "our pickers. Leave it empty, or choose the output of cryodl - pick particles or auto-pick."
        ]

    def _checkExpected(self) -> List[str]:
        """Labelled particles are part of the expected ones."""
        expected, coordinates = self.expectedParticles.get(), self.inputCoordinates.get()
        if expected is None or not self.evalParamCondition("expectedParticles"):
            return []
        labelled = coordinates.getSize() / max(1, len(convert.positionsByMicrograph(coordinates)))
        if expected >= labelled:
            return []
        return [
            f"Expected particles per micrograph is {expected:g}, but {labelled:.1f} are labelled on average. Give "
            "the mean number of all particles, labelled or not."
        ]

    def _startFolder(self) -> Optional[str]:
        """Folder of the model to start from; None for random weights."""
        start, name = self.startModel.get(), (self.shippedModel.get() or "").strip()
        if start is not None:
            return start.getFolder()
        return shippedModels(Plugin.getEngineFolder(), "picker").get(name, name) if name else None

    def _checkStartModel(self) -> Any:
        folder, name = self._startFolder(), (self.shippedModel.get() or "").strip()
        if folder is None:
            return []
        known = shippedModels(Plugin.getEngineFolder(), "picker")
        if self.startModel.get() is None and name not in known:
            return [f"Start from shipped model is {name!r}, which does not exist. Shipped models: {', '.join(known)}."]
        network, errors = self.getEnumText("network"), checkModelFolder(folder)
        found = None if errors else contract.read_card(folder)["network"]
        if not errors and found != network:
            errors.append(
                f"The model to start from has the network {found}, but Network is {network}. Choose the same "
                "network, or another model."
            )
        return errors

    def _warnings(self) -> List[str]:
        coordinates = self.inputCoordinates.get()
        warnings = [] if coordinates is None else self._labelWarnings(coordinates)
        if coordinates is not None and coordinates.getSize() < FEW_PARTICLES:
            warnings.append(
                f"There are only {coordinates.getSize()} training particles; a useful picker needs about "
                f"{FEW_PARTICLES} or more."
            )
        if self.getEnumText("network") == "cryolo" and not self.usesGpu():
            warnings.append(
                "The network cryolo has 15 million weights; without a GPU its training takes minutes to hours, "
                "depending on the steps. unet trains in minutes."
            )
        return warnings

    def _labelWarnings(self, coordinates: SetOfCoordinates) -> List[str]:
        """What to think of with labels of 2-D classes, and with corrected picks."""
        started = self._startFolder() is not None
        if self._learnsFromClasses():
            start = (
                "Labels of 2-D classes tell nothing of particles that were not picked, and no model is chosen to start "
                'from. Set "Start from shipped model" to general.'
            )
            score = (
                "Minimum score of kept particles is empty. Good classes of faint particles also contain noise; 0.5 "
                "leaves most of it out."
            )
            unscored = hasCandidates(coordinates) and self.minimumScore.get() is None
            return ([] if started else [start]) + ([score] if unscored else [])
        if not correctionsFolder(coordinates) or started:
            return []
        return [
            "These picks were corrected by hand, and no model is chosen to start from. If some particles of the "
            'corrected micrographs are not picked, set "Start from shipped model" to general.'
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        card = self._card()
        return (["No model yet."] if card is None else trainingLines(card)) + self._classLines()

    def _methods(self) -> List[str]:
        card = self._card()
        return [] if card is None else [trainingInWords(card), *self._classMethods()]


def _helpOfBoxes(info: Any) -> str:
    return (
        f"{info.help}\n\nThey must belong to the same set of micrographs as the particles.\n\nEmpty: {info.none_means}."
    )


def _replaced(micrograph: Micrograph, byName: Dict[str, Any]) -> Any:
    """The micrograph of the same name in the other set, with the id by which the coordinates know it."""
    replacement = byName[micrograph.getMicName()].clone()
    replacement.setObjId(micrograph.getObjId())
    return replacement
