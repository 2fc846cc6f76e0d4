# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a particle picker."""
import enum
import os

import pyworkflow.utils as pwutils
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params

from ..convert import coordinates as convert
from ..convert.micrographs import micrographNames
from ..convert.picks import counted
from ..engine.cryodl import contract
from ..form import addConfigParams
from ..objects import CryodlModel
from .checks import checkDiameter, checkLabels, checkModelFolder
from .methods import trainingInWords
from .protocol_base import REQUEST_FILE, CryodlProtBase

# With fewer the network learns the noise of the few; the engine itself needs only a handful.
FEW_PARTICLES = 20


class TrainPickerOutputs(enum.Enum):
    outputModel = CryodlModel


class CryodlProtTrainPicker(CryodlProtBase, EMProtocol):
    """Train a neural network to pick particles.

    In: coordinates of particles on a few micrographs, picked by hand or by any program; a few dozen particles on two
    or more micrographs are enough. Boxes on background, ice or dirt may be given as well.
    Out: a model for `cryodl - pick particles`. Its card says what it was trained on and how well it does on
    micrographs that were kept back for validation.
    A stopped run continues where it was.
    """
    _label = 'train picker'
    _devStatus = BETA
    _possibleOutputs = TrainPickerOutputs
    _COMMAND = 'train-picker'
    _CONFIG = contract.TrainPickerConfig
    NOT_ON_FORM = {'micrographs': "those of the coordinates", 'coordinates': "written from the input set",
                   'background': "written from the input set", 'pixel_size': "the micrographs' sampling rate",
                   'output': "the run's folder", 'names': "made from the micrographs' names",
                   'start_from': "the model that the pointer gives", 'device': "the GPUs that Scipion assigns",
                   'threads': "Scipion's own field"}

    def _defineParams(self, form):
        form.addSection('Input')
        form.addParam('inputCoordinates', params.PointerParam, pointerClass='SetOfCoordinates', important=True,
                      label="Particle coordinates",
                      help="Particles to learn from, on the micrographs that belong to them. Micrographs without any "
                           "coordinate are not used. Pick the chosen micrographs completely, or give background boxes.")
        form.addParam('backgroundCoordinates', params.PointerParam, pointerClass='SetOfCoordinates', allowsNull=True,
                      label="Background coordinates",
                      help=contract.describe(self._CONFIG, 'background').help + "\n\nThey must lie on the same "
                           "micrographs' set as the particles.")
        form.addParam('inputMicrographs', params.PointerParam, pointerClass='SetOfMicrographs', allowsNull=True,
                      expertLevel=params.LEVEL_ADVANCED, label="Other micrographs",
                      help="Micrographs to learn from instead of those that belong to the coordinates, for instance "
                           "denoised ones. Same names, same pixel size.\n\nEmpty: those of the coordinates.")
        addConfigParams(form, self._CONFIG, ['particle_diameter'], particle_diameter=dict(important=True))
        form.addSection('Training')
        addConfigParams(form, self._CONFIG, ['network', 'steps'])
        form.addParam('startModel', params.PointerParam, pointerClass='CryodlModel', allowsNull=True,
                      expertLevel=params.LEVEL_ADVANCED, label="Start from model",
                      help="A trained model to continue from, of the same network.\n\nEmpty: random weights.")
        addConfigParams(form, self._CONFIG, ['patience', 'validation_fraction', 'batch_size', 'learning_rate', 'seed'])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self):
        # The settings are the steps' argument, so that a changed one trains anew when the run is continued.
        settings = contract.config_to_dict(self._config(**self._engineValues()))
        self._insertFunctionStep(self.writeLabelsStep, self.inputCoordinates.get().getSize(), needsGPU=False)
        self._insertFunctionStep(self.trainStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def writeLabelsStep(self, size):
        for folder, coordinates in self._labelSets():
            pwutils.cleanPath(folder)
            pwutils.makePath(folder)
            names = self._names()
            for micId, positions in convert.positionsByMicrograph(coordinates).items():
                convert.writePositions(folder, names[micId], positions)

    def trainStep(self, settings):
        names, micrographs = self._names(), self._labelledMicrographs()
        config = self._config(**dict(self._engineValues(), micrographs=tuple(m.getFileName() for m in micrographs),
                                     names=tuple(names[m.getObjId()] for m in micrographs)))
        self._forgetOtherTraining(contract.config_to_dict(config))
        if not os.path.exists(os.path.join(self.getModelFolder(), contract.CARD)):
            self._runEngine(config, self._getExtraPath())

    def createOutputStep(self, settings):
        model = CryodlModel.fromFolder(self.getModelFolder())
        self._defineOutputs(**{TrainPickerOutputs.outputModel.name: model})
        self._defineSourceRelation(self.inputCoordinates, model)
        if self.backgroundCoordinates.get() is not None:
            self._defineSourceRelation(self.backgroundCoordinates, model)

    def _forgetOtherTraining(self, settings):
        """Remove the model of an earlier start with other settings; one with the same settings is continued."""
        earlier = self._getExtraPath(REQUEST_FILE)
        if os.path.exists(earlier):
            before = contract.config_to_dict(contract.Request.read(earlier).config)
            if any(before[name] != settings[name] for name in settings if name not in ('threads', 'device')):
                pwutils.cleanPath(self.getModelFolder(), self.getModelFolder() + '.partial')

    # ----- what the steps share
    def getModelFolder(self):
        """Folder of the model; while it trains only <folder>.partial is there."""
        # The engine names the model after its folder; the run's id keeps models of a project apart.
        return self._getExtraPath('picker_%s' % (self.getObjId() or 'new'))

    def _labelSets(self):
        """[(folder, set)] of the coordinates to write."""
        sets = [(self._getExtraPath('coordinates'), self.inputCoordinates.get())]
        if self.backgroundCoordinates.get() is not None:
            sets.append((self._getExtraPath('background'), self.backgroundCoordinates.get()))
        return sets

    def _names(self):
        return micrographNames([m.clone() for m in self.inputCoordinates.get().getMicrographs()])

    def _labelledMicrographs(self):
        """Micrograph objects (clones) that have a coordinate in any of the sets, in the set's order."""
        labelled = set()
        for _, coordinates in self._labelSets():
            labelled.update(convert.positionsByMicrograph(coordinates))
        micrographs = [m.clone() for m in self.inputCoordinates.get().getMicrographs() if m.getObjId() in labelled]
        other = self.inputMicrographs.get()
        if other is None:
            return micrographs
        byName = {m.getMicName(): m.clone() for m in other}
        return [_replaced(m, byName) for m in micrographs]

    def _engineValues(self):
        background, start = self.backgroundCoordinates.get(), self.startModel.get()
        micrographs = self.inputMicrographs.get() or self.inputCoordinates.get().getMicrographs()
        return dict(micrographs=(micrographs.getFileName(),), coordinates=self._getExtraPath('coordinates'),
                    output=self.getModelFolder(),
                    background=None if background is None else self._getExtraPath('background'),
                    pixel_size=micrographs.getSamplingRate(), names=(),
                    start_from=None if start is None else start.getFolder(), threads=self.numberOfThreads.get())

    # ----- validation and information
    def _checkInputs(self):
        errors = checkLabels(self.inputCoordinates.get(), self.backgroundCoordinates.get(), self.inputMicrographs.get())
        errors = errors or checkDiameter(self.particleDiameter.get(), self.inputCoordinates.get().getMicrographs())
        return errors + self._checkStartModel()

    def _checkStartModel(self):
        start = self.startModel.get()
        if start is None:
            return []
        network = self.getEnumText('network')
        errors = checkModelFolder(start.getFolder())
        if not errors and start.getNetwork() != network:
            errors.append("The model to start from has the network %s, but the form asks for %s. Choose the same."
                          % (start.getNetwork(), network))
        return errors

    def _warnings(self):
        coordinates = self.inputCoordinates.get()
        if coordinates is not None and coordinates.getSize() < FEW_PARTICLES:
            return ["There are only %d particles to learn from; from about %d on a picker becomes useful."
                    % (coordinates.getSize(), FEW_PARTICLES)]
        return []

    def _tell(self, results):
        if not os.path.exists(os.path.join(self.getModelFolder(), contract.CARD)):
            return ["No model yet."]
        card = contract.read_card(self.getModelFolder())
        training, validation = card.get('training', {}), card.get('validation', {})
        lines = ["Model %s for particles of %g Å, network %s." % (card['name'], card['particle_diameter'], card['network'])]
        if training:
            lines.append("Trained on %s of %s, %d more for validation; %s, stopped: %s."
                         % (counted(training['particles'], 'particle'),
                            counted(len(training['micrographs']), 'micrograph'),
                            len(training['validation_micrographs']), counted(training['steps'], 'step'),
                            training['stop_reason']))
        if validation:
            lines.append("On the validation micrographs: F1 %.3f, average precision %.3f, at threshold %.3f."
                         % (validation['f1'], validation['average_precision'], card['threshold']))
        return lines

    def _methods(self):
        if not os.path.exists(os.path.join(self.getModelFolder(), contract.CARD)):
            return []
        return [trainingInWords(contract.read_card(self.getModelFolder()))]

    def _citations(self):
        return ['cryodl', 'Ronneberger2015']


def _replaced(micrograph, byName):
    """The micrograph of the same name in the other set, with the id by which the coordinates know it."""
    replacement = byName[micrograph.getMicName()].clone()
    replacement.setObjId(micrograph.getObjId())
    return replacement
