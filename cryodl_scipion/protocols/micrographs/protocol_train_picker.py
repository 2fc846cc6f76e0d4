# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a particle picker: from labels, from a structure, or on many kinds of particles."""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCoordinates
from pyworkflow.protocol import LEVEL_ADVANCED, LEVEL_NORMAL, StringParam

from ...convert.form import readConfig
from ...convert.maps import structureFileOf, structureForEngine
from ...convert.micrographs import picks as convert
from ...convert.micrographs import simulated
from ...convert.names import emptyFolder, micrographNames
from ...engine.cryodl import contract
from .. import protocol_base, simulating, training
from ..checks import checkDiameter, checkLabels, sayIf
from ..kinds import Flag, MapOrModel, Options, OptionsOf, Own, OwnName, Pointing, Section, StartModel, otherNetworkIn
from ..model_field import GENERAL, checkShippedName, shippedModels, shippedName
from . import class_labels, train_many_kinds

_NO_OWN = "ownMicrographs is None"
# With fewer the network learns the noise of the few; the engine itself needs only a handful.
FEW_PARTICLES = 20
# Labels beside the particles: contract fields, and with "Coordinates" behind them the form's pointers.
OTHER_LABELS = ("background", "contamination", "uncertain")
# Labels are sparse: chosen, or for Topaz by itself.
SPARSE = (
    f"labels == {contract.LABEL_KINDS.index('sparse')} or (labels == {contract.LABEL_KINDS.index('auto')} and "
    f"network == {contract.PICKER_NETWORKS.index('topaz')})"
)
# What a picker should have seen, of all that micrographs may show; a plain simulation has none of it.
LIKE_REAL = {
    "count": 24,
    "size": 2048,
    "snr": 0.03,
    "snr_max": 0.2,
    "ice": 1.5,
    "aggregates": 0.7,
    "carbon": 0.15,
    "gradient": 0.5,
}


def _boxes(word: str) -> Pointing:
    info = contract.describe(contract.TrainPickerConfig, word)
    # the command line's words
    what = info.help.replace("Folder (or file) with boxes", "Boxes").replace("Folder with regions", "Boxes")
    return Pointing(
        word + "Coordinates",
        what.partition(", or masks")[0].rstrip(".")
        + ".\n\nThey must belong to the same set of micrographs as the particles.",
        label=word.capitalize() + " coordinates",
        empty=info.none_means,
        pointerClass="SetOfCoordinates",
        expertLevel=LEVEL_ADVANCED if word == "uncertain" else LEVEL_NORMAL,
    )


# ----- labels
class FromPicks(training.TrainsOne[contract.TrainPickerConfig, contract.TrainPickerOutputs]):
    WORD, _KIND, _MODEL_KIND = "labels of these particles", "picker", "picker"
    FORM = (
        Pointing(
            "inputCoordinates",
            "Training particles, on their micrographs. Micrographs without coordinates are not used. *Labels* says "
            "whether all particles are picked. From *cryodl - pick by hand*, confirmed picks are learnt as "
            "particles and removed ones as background; picks that were left on corrected micrographs count as right, "
            "and ignored areas are not used.",
            label="Input coordinates",
            pointerClass="SetOfCoordinates",
        ),
        Options("particle_diameter", important=True),
        Options("contrast"),
        Pointing(
            "inputMicrographs",
            "Micrographs to train on instead of those of the coordinates, for instance denoised ones. They must "
            "have the same names and pixel size.",
            label="Other micrographs",
            empty="those of the coordinates",
            related=False,
            pointerClass="SetOfMicrographs",
            expertLevel=LEVEL_ADVANCED,
        ),
        Section("Examples"),
        *class_labels.classParts("the micrographs of these coordinates", "minimum_score"),
        *map(_boxes, OTHER_LABELS),
        Section("Training"),
        Options("network", "labels"),
        Options("expected_particles", "pu_criterion", when=SPARSE),
        Options("steps"),
        StartModel(
            "A trained model to continue from, of the same network.",
            "picker",
            "startModel",
            "the shipped model below, if one is given, else random weights",
            related=False,
        ),
        Own(
            "shippedModel",
            StringParam,
            "Start from shipped model",
            "Name of a shipped model of the same network; the wizard lists them. For corrected picks, *general* "
            "is the best choice.\n\nEmpty: none.",
            default="",
            expertLevel=LEVEL_ADVANCED,
        ),
    )
    NOT_ON_FORM = {
        "micrographs": "those of the coordinates",
        "pixel_size": "the micrographs' sampling rate",
        **dict.fromkeys(("coordinates", *OTHER_LABELS), "written from the input set"),
    }

    def writtenFiles(self, protocol: Any) -> Dict[str, Any]:
        """Those of classes are written by a step of their own."""
        names = _namesOf(protocol)
        for word, coordinates in _labelSets(protocol):
            folder = emptyFolder(protocol._getExtraPath(word))
            for micId, positions in convert.positionsByMicrograph(coordinates).items():
                convert.writePicks(os.path.join(folder, names[micId] + ".star"), positions)
        micrographs = self._labelledMicrographs(protocol)
        files = tuple(m.getFileName() for m in micrographs)
        return dict(micrographs=files, names=tuple(names[m.getObjId()] for m in micrographs))

    def _labelledMicrographs(self, protocol: Any) -> List[Micrograph]:
        sets = [one for word, one in _labelSets(protocol) if word != "uncertain"]  # which teaches nothing
        labelled = {number for one in sets for number in convert.positionsByMicrograph(one)}
        micrographs = [m.clone() for m in protocol.inputCoordinates.get().getMicrographs() if m.getObjId() in labelled]
        other = protocol.inputMicrographs.get()
        files = {m.getMicName(): m.getFileName() for m in other} if other is not None else {}
        for micrograph in micrographs if files else ():
            micrograph.setFileName(files[micrograph.getMicName()])
        return micrographs

    def completed(self, protocol: Any, config: contract.TrainPickerConfig) -> contract.TrainPickerConfig:
        coordinates, start = protocol.inputCoordinates.get(), self._startFolder(protocol)
        folder = convert.correctionsFolder(coordinates) or protocol._getExtraPath("coordinates")
        micrographs = protocol.inputMicrographs.get() or coordinates.getMicrographs()
        folders = {word: protocol._getExtraPath(word) for word, _ in _labelSets(protocol)}
        return dataclasses.replace(
            config,
            micrographs=config.micrographs or (micrographs.getFileName(),),
            coordinates=protocol._classLabelsFolder() if protocol._learnsFromClasses() else folder,
            pixel_size=micrographs.getSamplingRate(),
            background=folders.get("background"),
            contamination=folders.get("contamination"),
            uncertain=folders.get("uncertain"),
            start_from=start,
        )

    def settings(self, protocol: Any) -> Dict[str, Any]:
        return dict(super().settings(protocol), **protocol._classSettings())

    def _startFolder(self, protocol: Any) -> Optional[str]:
        start, name = protocol.startModel.get(), shippedName(protocol)
        return (shippedModels().get(name, name) if name else None) if start is None else start.getFolder()

    def problems(self, protocol: Any) -> List[str]:
        coordinates = protocol.inputCoordinates.get()
        others = {word: one for word, one in _labelSets(protocol) if word != "coordinates"}
        errors = (
            checkLabels(coordinates, others, protocol.inputMicrographs.get())
            or checkDiameter(protocol.particleDiameter.get(), coordinates.getMicrographs())
            or protocol._checkClasses(coordinates.getMicrographs())
            or self._checkPicksOfClasses(protocol, coordinates)
        )
        return errors + self._checkExpected(protocol, coordinates) + self._checkShipped(protocol)

    def _checkPicksOfClasses(self, protocol: Any, coordinates: SetOfCoordinates) -> List[str]:
        if not protocol._learnsFromClasses():
            return []
        score = protocol.minimumScore.get()
        return sayIf(
            convert.correctionsFolder(coordinates),
            "Input coordinates were corrected by hand, and Particles kept in 2-D classes is given, too; the "
            "corrections would not be learnt. Choose the picks before the correction, or leave the particles empty.",
        ) or sayIf(
            score is not None and not convert.hasCandidates(coordinates),
            f"Minimum score of kept particles is {score}, but these coordinates have no scores of our pickers. Leave "
            "it empty, or choose the output of cryodl - pick particles.",
        )

    def _checkExpected(self, protocol: Any, coordinates: SetOfCoordinates) -> List[str]:
        expected = protocol.expectedParticles.get()
        if expected is None or not protocol.evalParamCondition("expectedParticles"):
            return []
        labelled = coordinates.getSize() / max(1, len(convert.positionsByMicrograph(coordinates)))
        return sayIf(
            expected < labelled,
            f"Expected particles per micrograph is {expected:g}, but {labelled:.1f} are labelled on average. Give "
            "the mean number of all particles, labelled or not.",
        )

    def _checkShipped(self, protocol: Any) -> List[str]:
        name = shippedName(protocol)
        if protocol.startModel.get() is not None or not name:
            return []
        network = protocol._config().network
        return checkShippedName(name, "picker") or otherNetworkIn(shippedModels()[name], "picker", network)

    def warnings(self, protocol: Any) -> List[str]:
        coordinates = protocol.inputCoordinates.get()
        warnings = [] if coordinates is None else self._labelWarnings(protocol, coordinates)
        count = FEW_PARTICLES if coordinates is None else coordinates.getSize()
        warnings += sayIf(
            count < FEW_PARTICLES,
            f"There are only {count} training particles; a useful picker needs about {FEW_PARTICLES} or more.",
        )
        return warnings + sayIf(
            protocol._config().network == "cryolo" and not protocol.usesGpu(),
            "The network cryolo has 15 million weights; without a GPU its training takes minutes to hours, depending "
            "on the steps. unet trains in minutes.",
        )

    def _labelWarnings(self, protocol: Any, coordinates: SetOfCoordinates) -> List[str]:
        started = self._startFolder(protocol) is not None
        if protocol._learnsFromClasses():
            return sayIf(
                not started,
                "Labels of 2-D classes tell nothing of particles that were not picked, and no model is chosen to start "
                'from. Set "Start from shipped model" to general.',
            ) + sayIf(
                convert.hasCandidates(coordinates) and protocol.minimumScore.get() is None,
                "Minimum score of kept particles is empty. Good classes of faint particles also contain noise; 0.5 "
                "leaves most of it out.",
            )
        return sayIf(
            convert.correctionsFolder(coordinates) and not started,
            "These picks were corrected by hand, and no model is chosen to start from. If some particles of the "
            'corrected micrographs are not picked, set "Start from shipped model" to general.',
        )

    def tell(self, protocol: Any, results: Sequence[contract.Result]) -> List[str]:
        return super().tell(protocol, results) + protocol._classLines()

    def methods(self, protocol: Any) -> List[str]:
        return super().methods(protocol) + protocol._classMethods()


def _labelSets(protocol: Any) -> List[Tuple[str, SetOfCoordinates]]:
    found = [(word, getattr(protocol, word + "Coordinates").get()) for word in OTHER_LABELS]
    return [("coordinates", protocol.inputCoordinates.get())] + [one for one in found if one[1] is not None]


def _namesOf(protocol: Any) -> Dict[int, str]:
    return micrographNames([m.clone() for m in protocol.inputCoordinates.get().getMicrographs()])


# ----- a structure
def _simulated(*names: str, when: str = "True", **arguments: Any) -> OptionsOf:
    own = {name: dict(default=LIKE_REAL[name]) for name in names if name in LIKE_REAL}
    return OptionsOf(
        contract.SimulateMicrographsConfig,
        *names,
        when=when,
        **{name: dict(arguments, **own.get(name, {})) for name in names},
    )


_CONTRAST = OwnName("simulated", "contrast", of=contract.SimulateMicrographsConfig, expertLevel=LEVEL_ADVANCED)


class FromStructure(training.TrainsOne[contract.TrainPickerConfig, contract.TrainPickerOutputs]):
    WORD, _KIND = "a structure, without picks", "picker"
    FORM = (
        MapOrModel("inputStructure", simulating.STRUCTURE, to=()),  # it is no parameter of the training
        simulating.OwnMicrographs("ownMicrographs"),
        simulating.OwnCtfs(),
        _simulated("pixel_size", when=_NO_OWN, help=simulating.PIXEL_SIZE),
        _simulated("count", "snr"),
        _simulated("size", "particles", "minimum_distance", expertLevel=LEVEL_ADVANCED),
        Section("Examples"),
        _simulated(*simulating.DEFOCUS, when=simulating.NO_CTF),
        _simulated("astigmatism", when=simulating.NO_CTF, expertLevel=LEVEL_ADVANCED),
        _simulated(*simulating.MICROSCOPE, when=_NO_OWN, expertLevel=LEVEL_ADVANCED),
        _CONTRAST,
        _simulated("snr_max", "dose", "ice", "aggregates", "carbon", "gradient", expertLevel=LEVEL_ADVANCED),
        Section("Training"),
        Options("network"),
        Flag(
            "startGeneral",
            "Start from the general model",
            "Continue from the shipped general model, if it has this network. It was also trained on real "
            "micrographs, so that less training is needed. With No, or if there is no such model, training starts "
            "from random weights; the summary states which.",
            default=True,
        ),
        Options("steps"),
    )
    NOT_ON_FORM = {
        **dict.fromkeys(("micrographs", "coordinates", "pixel_size"), "the simulated ones"),
        "particle_diameter": "measured on the structure",
        "start_from": "the general model",
        **dict.fromkeys((*OTHER_LABELS, "labels", "expected_particles", "pu_criterion"), "all particles are known"),
    }

    def simulation(self, protocol: Any) -> contract.SimulateMicrographsConfig:
        structure = protocol.inputStructure.get()
        values = dict(structure=structureFileOf(structure), output=protocol._getExtraPath(simulating.SIMULATED_FOLDER))
        config = readConfig(protocol, contract.SimulateMicrographsConfig, **values, **_CONTRAST.values(protocol))
        return simulating.likeOwn(config, structure, protocol.ownMicrographs.get(), protocol.inputCTF.get())

    def run(self, protocol: Any, settings: Dict[str, Any]) -> None:
        folder, simulation = protocol._getExtraPath("simulation"), self.simulation(protocol)
        pwutils.makePath(folder)
        structure = structureForEngine(protocol.inputStructure.get(), folder)
        simulation = dataclasses.replace(simulation, structure=structure)
        training = protocol._getExtraPath("training")
        protocol._forgetOther(simulation, folder, simulation.output, protocol.getModelFolder(), training)
        made: contract.SimulateMicrographsOutputs = protocol._runOnce(
            simulation, simulation.output, folder=folder
        ).outputs
        names, paths = zip(*simulated.simulatedFiles(made.micrographs))
        protocol._train(protocol._config(micrographs=paths, coordinates=made.coordinates), training, names)

    def completed(self, protocol: Any, config: contract.TrainPickerConfig) -> contract.TrainPickerConfig:
        simulation, made = self.simulation(protocol), protocol._getExtraPath("simulation", protocol_base.RESULT_FILE)
        general = shippedModels().get(GENERAL) if protocol.startGeneral.get() else None
        return dataclasses.replace(
            config,
            micrographs=config.micrographs or (simulation.output,),
            coordinates=config.coordinates or simulation.output,
            pixel_size=simulation.pixel_size,
            # before the simulation any diameter will do for the form's checks
            particle_diameter=contract.Result.read(made).outputs.particle_diameter if os.path.exists(made) else 100.0,
            labels="complete",
            start_from=general if general and contract.read_card(general)["network"] == config.network else None,
        )

    def settings(self, protocol: Any) -> Dict[str, Any]:
        found = dict(super().settings(protocol), simulation=contract.config_to_dict(self.simulation(protocol)))
        return {name: value for name, value in found.items() if name != "particle_diameter"}  # known after a step

    def problems(self, protocol: Any) -> List[str]:
        return contract.check(self.simulation(protocol))

    def tell(self, protocol: Any, results: Sequence[contract.Result]) -> List[str]:
        lines = [line for result in results for line in super(FromStructure, self).tell(protocol, [result])]
        trained = protocol._getExtraPath("training", protocol_base.REQUEST_FILE)
        if not lines or not os.path.exists(trained):
            return lines or [self.NOTHING_YET]
        # as the request had it: the plugin may have another general model since
        start = "the general model" if contract.Request.read(trained).config.start_from else "random weights"
        return [*lines, f"Training started from {start}."]


class CryodlProtTrainPicker(class_labels.LearnsFromClasses, training.TrainsOneOf, protocol_base.OneRunBase):
    """Train a neural network to pick particles: from labels, from a structure, or for molecules that it never saw.

    In: coordinates of particles on a few micrographs, picked by hand or by any program; a few dozen particles on
    two or more micrographs are enough. Boxes on background or contamination may be given as well, and regions to
    leave out. Or a structure of the particle or of a near relative, of which micrographs like your own are simulated;
    or many structures and labelled sets, for a general model. Six networks learn from the same labels: a U-Net of this
    project, DeepPicker, DeepEM, crYOLO, Topaz and EMAN2. Out: a model for `cryodl - pick particles`. Its card says what
    it was trained on and how well it does on micrographs held out. A stopped run continues where it was."""

    _label = "train picker"
    WAYS = (FromPicks(), FromStructure(), train_many_kinds.FromManyKinds())
    WHAT = (
        "Train on",
        "Labels: coordinates that you have, also corrected ones. A structure: micrographs are simulated, and nothing "
        "need be picked. Many kinds of particles: a general model, which takes hours.",
    )

    def _insertAllSteps(self) -> None:
        if isinstance(self._way(), FromPicks) and self._learnsFromClasses():
            self._insertFunctionStep(self.classLabelsStep, self._classSettings(), needsGPU=False)
        super()._insertAllSteps()

    def classLabelsStep(self, settings: Dict[str, Any]) -> None:
        """Labels of particles of kept and rejected classes, without what was not classified and weak candidates."""
        coordinates, names = self.inputCoordinates.get(), _namesOf(self)
        self._writtenFiles()
        micrographs = [m.clone() for m in coordinates.getMicrographs()]
        model = self.getModelFolder()
        pwutils.cleanPath(self._getExtraPath(protocol_base.RESULT_FILE), model, model + ".partial")  # of other labels
        self._makeClassLabels(
            micrographs,
            [m.getFileName() for m in micrographs],
            [names[m.getObjId()] for m in micrographs],
            coordinates.getMicrographs().getSamplingRate(),
            self.particleDiameter.get(),
            convert.candidatesFolder(coordinates)
            if convert.hasCandidates(coordinates)
            else self._getExtraPath("coordinates"),
        )
