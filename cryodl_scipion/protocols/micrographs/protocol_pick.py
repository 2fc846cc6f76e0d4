# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles: with a trained network, by templates, or with a network that learns these micrographs itself."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCoordinates, SetOfMicrographs
from pwem.protocols import ProtParticlePicking
from pyworkflow.protocol import MODE_RESTART, Form, params

from ...convert.arriving import ALIVE, asInItsFile, fileOf, stateOfRun
from ...convert.form import readConfig
from ...convert.micrographs import picks as convert
from ...convert.reading import readJson
from ...engine.cryodl import contract
from ...objects import CryodlModel
from .. import engine_protocol
from ..batches import BATCH, BatchRun, Waiting, addThreads, addWait, appendToOutput
from ..checks import checkDiameter, checkModelFolder, modelWarnings, sayIf
from ..kinds import BoxSize, Choice, MapOrModel, Model, Options, OptionsOf, Own, Pointing, Section
from ..model_field import FROM_PROJECT, checkSizeFields, diameterOf, modelFolder
from ..protocol_base import REQUEST_FILE, RESULT_FILE
from .class_labels import LearnsFromClasses, classParts
from .micrograph_kinds import Micrographs

NETWORK, TEMPLATES, LEARNS = range(3)  # of the form's field method
OUTPUT = "outputCoordinates"
MINIMUM = 2  # micrographs to learn from: one of them judges
# Seconds that a micrograph waits at most for others to fill its batch, and the first one for those that teach.
LONGEST_WAIT, LEARNING_WAIT = 60, 1800
_LEARNS, _NETWORK = f"method == {LEARNS}", f"method == {NETWORK}"
_ROUNDS = f"{_LEARNS} and correctedCoordinates is None and keptParticles is None"
_METHOD = Choice(
    "method",
    "Method",
    ["a trained network", "templates", "a network that learns these micrographs"],
    "A trained network: a general one, or one of your own. Templates: correlation with projections of a "
    "structure or with round blobs. A network that learns these micrographs: a general model is retrained in "
    "rounds on its own confident picks (auto-pick).",
)
_METHOD.options = ("method",)
DIAMETER_HELP = (
    contract.describe(contract.PickConfig, "particle_diameter").help
    + " The wizard measures it on a micrograph.\n\nEmpty: the "
    "model's, or the structure's. A general model estimates it from the micrographs, and reports if a given diameter "
    "disagrees."
)


class AnsweredPicks(Pointing):
    CLASSES, LABEL, to = "SetOfCoordinates", "Answered questions", ("answers",)

    def valuesOf(self, protocol: Any, found: Any) -> Dict[str, Any]:
        return {name: convert.correctionsFolder(found) for name in self.fills}

    def check(self, protocol: Any, found: Any) -> List[str]:
        return sayIf(
            not convert.correctionsFolder(found),
            "The coordinates in Answered questions are not of *cryodl - pick by hand*, or its folder is gone.",
        ) or sayIf(
            stateOfRun(found.getFileName()) == ALIVE,
            "The questions in Answered questions are being answered. Close their window first.",
        )


class CryodlProtPick(LearnsFromClasses, BatchRun[contract.PickConfig, contract.PickOutputs], ProtParticlePicking):
    """Pick particles with a trained neural network, by templates, or without any label.

    In: micrographs (also while they are still arriving). A network: a model of `cryodl - train picker`, or one that
    comes with the plugin. A network that learns these micrographs: a general model picks some of them, and is retrained
    on its confident picks until a round is no better; its model picks the others as they come. Templates: projections
    of a structure, or round blobs of the diameter, for comparison. Out: coordinates with a score from 0 to 1 each, and
    the model that was retrained. Micrographs that cannot be read are left out and named in the summary.
    A stopped run continues where it was."""

    _label = "pick particles"
    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "pick", "picked"
    OUTPUT, NOTHING_YET = "picks", "No coordinates yet."
    _SIZE = "streamingBatchSize"
    FORM = (
        _METHOD,
        Micrographs("inputMicrographs", "Micrographs to pick."),
        Model("picker", related=False, condition=f"method != {TEMPLATES}"),
        MapOrModel(
            "inputStructure",
            contract.describe(contract.PickConfig, "structure").help,
            when=f"method == {TEMPLATES}",
            empty="round blobs of the particle diameter",
            related=False,
        ),
        Options("particle_diameter", help=DIAMETER_HELP, when=f"method != {TEMPLATES} or inputStructure is None"),
        Options("threshold"),
        OptionsOf(contract.AutoPickConfig, "rounds", "training_micrographs", when=_ROUNDS),
        Options("threshold_rule", "expected_particles", when=f"{_NETWORK} and threshold is None"),
        BoxSize("micrographs", "1.5 times the particle diameter, rounded to an even number"),
        Options("contrast"),
        Options("minimum_distance", "border", when=f"method != {LEARNS}"),
        Options("keep_diameter", when=f"{_NETWORK} and particleDiameter is not None"),
        Options("avoid", when=_NETWORK),
        Options("feature_maps", when="False"),  # no window shows them; saved workflows have the field
        OptionsOf(contract.AutoPickConfig, "confident", when=_ROUNDS),
        OptionsOf(contract.AutoPickConfig, "steps", when=_LEARNS),
        OptionsOf(contract.Request, "seed", when=_LEARNS),
        Section("Corrections"),
        Own(
            "withoutCorrections",
            params.LabelParam,
            "Templates take no corrections. Choose another method on the first tab.",
            "",
            when=f"method == {TEMPLATES}",
        ),
        AnsweredPicks(
            "answeredCoordinates",
            "Coordinates of *cryodl - pick by hand* in which you answered the questions of an earlier run of this "
            "protocol with the same model: the threshold follows from the answers.",
            when=_NETWORK,
            empty="the threshold follows from the scores",
            related=False,
        ),
        Pointing(
            "correctedCoordinates",
            "Coordinates of *cryodl - pick by hand* on these micrographs. Picks that you confirmed or removed teach as "
            "in *cryodl - train picker*, once, in place of the rounds on automatic picks.",
            label="Corrected picks",
            pointerClass="SetOfCoordinates",
            when=_LEARNS,
            empty="no corrections",
            related=False,
        ),
        *classParts("these micrographs", when=_LEARNS),
    )

    @property
    def _possibleOutputs(self) -> Dict[str, Any]:
        return dict(outputCoordinates=SetOfCoordinates, **(dict(outputModel=CryodlModel) if self._learns() else {}))

    def getChoice(self) -> int:
        return self.method.get()

    def _learns(self) -> bool:
        return self.method.get() == LEARNS

    def getPicksFolder(self) -> str:
        """Folder of picks and candidates/; of a network that learns also rounds/, rounds.csv and model/."""
        return self._output()

    def _addRunParams(self, form: Form) -> None:
        self._defineStreamingParams(form)
        form.getParam(self._SIZE).setDefault(BATCH)
        form.getParam(self._SIZE).condition.set(f"method != {LEARNS}")
        form.getParam(self._SIZE).help.set("Maximum number of micrographs in one start of the program.")
        for name in (self._SIZE, "rounds", "trainingMicrographs", "confident"):  # some follow from later fields
            form._analizeCondition(name, form.getParam(name))
        size = "Maximum number of micrographs in one start of the program, of those that arrive after the first ones."
        form.addParam("batchSize", params.IntParam, default=BATCH, condition=_LEARNS, label="Later batches", help=size)
        addWait(form, LONGEST_WAIT, self._ITEM)
        form.addParam(
            "learningWait",
            params.IntParam,
            default=LEARNING_WAIT,
            condition=_LEARNS,
            label="Longest wait for training (s)",
            help="While micrographs arrive, the rounds start with the first *Training micrographs*, or with those "
            f"available when the first one has waited this long; at least {MINIMUM} are needed. A set that is "
            "complete when the run starts is used as a whole.",
        )
        addThreads(form)

    def pickingWith(self, answers: Any) -> "CryodlProtPick":
        """A run that picks with the answers that another run will have; what has learnt picks with its model. One that
        waits for them already, or failed since too few were there: it begins anew."""
        for run in self.getProject().getRuns():
            if isinstance(run, CryodlProtPick) and (run.isFailed() or run.isScheduled()):
                its = run.answeredCoordinates.getObjValue()
                if its is not None and its.getObjId() == answers.getObjId():
                    run.runMode.set(MODE_RESTART)
                    return run
        again = self.getProject().copyProtocol(self)
        # answers alone choose the threshold
        again.setAttributesFromDict(
            dict(threshold=None, expectedParticles=None, thresholdRule=contract.THRESHOLD_RULES.index("model"))
        )
        if self._learns():
            corrected = self.correctedCoordinates.get() or self.keptParticles.get()
            own = dict(method=NETWORK, modelFrom=FROM_PROJECT, keepDiameter=False)
            # as its own picks
            own["avoid"] = contract.AVOIDABLE.index(contract.PickConfig.avoid if corrected else "nothing")
            again.setAttributesFromDict(own)
            again.inputModel.set(self)
            again.inputModel.setExtended("outputModel")
        again.answeredCoordinates.set(answers)
        again.answeredCoordinates.setExtended("outputCoordinates")
        again.setObjLabel(f"{self.getRunName()}, answered")
        return again

    def stepsGeneratorStep(self) -> None:
        if self._learns():
            self._forgetChanged()
        self._learningWaits = Waiting(self.learningWait.get() or 0)
        super().stepsGeneratorStep()

    def _firstLearns(self) -> bool:
        return self._learns() or (self.method.get() == NETWORK and bool((self._modelCard() or {}).get("general")))

    def _batchLimit(self) -> int:
        return (self.batchSize if self._learns() else self.streamingBatchSize).get() or 0

    def _forgetChanged(self) -> None:
        """Remove what a start with other settings made. More rounds and another threshold cost only what is new."""
        changed = set(self._changedSettings())
        if not changed:
            return
        later = os.path.isdir(self._getExtraPath("batches"))
        pwutils.cleanPath(self._getPath("coordinates.sqlite"), self._getExtraPath("batches"))
        if not changed <= {"rounds", "threshold", "box size"}:
            made = (self._output(), self._getExtraPath(RESULT_FILE), self._firstFile())
            pwutils.cleanPath(*made, os.path.dirname(self._classLabelsFolder()))
        elif later and "rounds" in changed:
            # the best round may be another one, and only the first batch is compared with it
            pwutils.cleanPath(os.path.join(self._output(), "candidates"))

    def _begun(self) -> List[Tuple[List[str], List[str]]]:
        first = self._firstNames()
        return [(first, first)] if first else []

    def _partsOf(self, ready: List[str], all: bool) -> List[List[str]]:
        """Batches. The first is the one that teaches: the whole set, or some of the micrographs that are there. The
        threshold of templates is that of all micrographs: they are one batch."""
        if self.method.get() == TEMPLATES:
            return [ready] if ready and (self._arriving.closed or self._arriving.failure) else []
        if not self._learns() or self._firstNames() or not ready:
            return super()._partsOf(ready, all)
        count = max(MINIMUM, self.trainingMicrographs.get())
        if self._arriving.closed:
            first = ready
        elif len(ready) >= (MINIMUM if self._arriving.failure or self._learningWaits.over(ready) else count):
            first = ready[:: max(1, len(ready) // count)][:count]
        else:
            return []
        contract.write_json(self._firstFile(), first)
        return [first]

    def _firstFile(self) -> str:
        return self._getExtraPath("first_batch.json")

    def _firstNames(self) -> List[str]:
        """Names of the micrographs that teach, once they are chosen: a continued run keeps them."""
        return readJson(self._firstFile(), []) if self._learns() else []

    def _teach(self, names: Sequence[str]) -> bool:
        return self._learns() and list(names) == self._firstNames()

    def batchStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch: the rounds for one that teaches. It writes files only."""
        if not self._teach(names):
            super().batchStep(names)
            return
        with self._lock:
            _, files = self._batchItems(names)
        config, known, folder = self._autoConfig(**files), files["names"], self._getExtraPath()
        request, result = (os.path.join(folder, name) for name in (REQUEST_FILE, RESULT_FILE))
        made = contract.Request.read(request).decisive() if os.path.exists(request) and os.path.exists(result) else None
        if made == self._request(config, known).decisive():
            return
        # more rounds and another threshold cost only what is new
        self._forgetOther(config, folder, self._output(), free=("rounds", "threshold"), names=known)
        pwutils.cleanPath(result)
        if self._learnsFromClasses() and not os.path.exists(self._classResultFile()):
            micrographs = self.getInputMicrographs()
            where = (files["micrographs"], known, micrographs.getSamplingRate(), self.particleDiameter.get())
            self._makeClassLabels([m.clone() for m in micrographs], *where)
        self._runEngine(config, folder, known)

    def _ofBatch(self, config: contract.PickConfig, items: Sequence[Micrograph], folder: str) -> contract.PickConfig:
        """After the rounds the model of the best one picks, as the first batch was picked. Templates keep the threshold
        of those picked before: a batch is left to a continued run alone."""
        if not self._learns():
            before = self._engineResults() if self.method.get() == TEMPLATES else ()
            known = [one.outputs["threshold"] for one in before if not one.nothing_made]
            return dataclasses.replace(config, threshold=known[0] if known else config.threshold)
        first = self._firstOutputs()
        return dataclasses.replace(
            config,
            model=first.model,
            particle_diameter=first.picked_diameter,
            contrast=first.contrast,
            threshold_rule="model",
            avoid="nothing",  # as the engine picks with this model
        )

    def _firstOutputs(self) -> contract.AutoPickOutputs:
        return contract.Result.read(self._getExtraPath(RESULT_FILE)).outputs

    def outputStep(self, names: Sequence[str]) -> None:
        super().outputStep(names)
        if self._teach(names):
            with self._lock:
                self._defineOutputs(outputModel=CryodlModel.fromFolder(self._firstOutputs().model))
                self._defineSourceRelation(self.inputMicrographs, self.outputModel)

    def _madeOf(self, items: Sequence[Micrograph], names: Sequence[str]) -> contract.PickOutputs:
        return self._firstOutputs() if self._teach(names) else super()._madeOf(items, names)

    def _append(self, items: Dict[str, Micrograph], made: contract.PickOutputs) -> None:
        def append(coordinates: SetOfCoordinates) -> None:
            stated = self.particleDiameter.get() if self._learns() else None
            sizes = (stated, convert.foundDiameter([contract.Result("pick", made)]))
            diameter = max((size for size in sizes if size), default=None) or diameterOf(self)
            box = self.boxSize.get() or (diameter and convert.boxSizeFor(diameter, source.get().getSamplingRate()))
            if box and box >= (coordinates.getBoxSize() or 0):  # none without particles; no batch makes it smaller
                coordinates.setBoxSize(box)
                convert.describeOutput(coordinates, os.path.join(self._output(), "candidates"), diameter)
            for name, micrograph in items.items():
                if name in made.coordinates:  # others were skipped, and are in the summary
                    convert.appendPicks(coordinates, micrograph, convert.readPicks(made.coordinates[name]))

        source = self.inputMicrographs
        appendToOutput(self, OUTPUT, lambda: self._createSetOfCoordinates(source), [source], append)

    def _completed(self, config: contract.PickConfig) -> contract.PickConfig:
        if self.method.get() != TEMPLATES:
            return dataclasses.replace(config, method="network")
        return dataclasses.replace(config, method="templates", model="")

    def _autoConfig(self, **files: Any) -> contract.AutoPickConfig:
        corrected = self.correctedCoordinates.get()
        corrections = None if corrected is None else convert.correctionsFolder(corrected)
        corrections = self._classLabelsFolder() if self._learnsFromClasses() else corrections
        known = engine_protocol.fieldsOf(contract.AutoPickConfig)
        given = {name: value for name, value in dict(self._engineValues(), **files).items() if name in known}
        return dataclasses.replace(readConfig(self, contract.AutoPickConfig, **given), corrections=corrections)

    def _settings(self) -> Dict[str, Any]:
        settings = dict(super()._settings(), method=self.getEnumText("method"))
        if not self._learns():
            return settings
        mine = contract.config_to_dict(self._autoConfig())
        mine = {name: value for name, value in mine.items() if name not in ("output", "micrographs")}
        return dict(settings, **mine, seed=self.seed.get(), **self._classSettings())

    def _checkTogether(self) -> List[str]:
        micrographs, method = self.inputMicrographs.get(), self.method.get()
        if method == TEMPLATES:
            wrong = sayIf(
                self.inputStructure.get() is None and self.particleDiameter.get() is None,
                "Give a Structure, whose projections are the templates, or the Particle diameter of round blobs.",
            ) or checkDiameter(None if self.inputStructure.get() else self.particleDiameter.get(), micrographs)
            return wrong or self._checkBatches() + self._checkContinuation()
        wrong = checkSizeFields(self) or checkDiameter(diameterOf(self), micrographs) or self._checkBatches()
        if method == NETWORK:
            return wrong + self._checkContinuation()
        return (
            wrong
            or contract.check(self._autoConfig())
            or sayIf(
                self.evalParamCondition("rounds")
                and self.rounds.get()
                and micrographs.getSize() < MINIMUM
                and not micrographs.isStreamOpen(),
                "There is only one micrograph; the rounds need at least two, of which one is held out for validation. "
                "Set Rounds to 0, or use more micrographs.",
            )
            or self._checkCorrections(micrographs)
            or self._checkLearnt(micrographs)
        )

    def _checkLearnt(self, micrographs: SetOfMicrographs) -> List[str]:
        errors = self._checkClasses(micrographs)
        if errors or not self._learnsFromClasses():
            return errors
        return (
            sayIf(
                self.correctedCoordinates.get() is not None,
                "Corrected picks and Particles kept in 2-D classes are both given. Choose one of them.",
            )
            or sayIf(
                micrographs.isStreamOpen(),
                "The micrographs are still arriving; with particles of 2-D classes the run waits until all are there.",
            )
            or sayIf(
                self.particleDiameter.get() is None,
                "Particle diameter is empty; to compare particles of 2-D classes with picks, it must be stated.",
            )
        )

    def _checkCorrections(self, micrographs: SetOfMicrographs) -> List[str]:
        corrected = self.correctedCoordinates.get()
        if corrected is None or convert.correctionsFolder(corrected) is None:
            return sayIf(
                corrected is not None,
                "Corrected picks contains no corrections. Choose the output of cryodl - pick by hand itself, not a "
                "subset of it.",
            )
        return sayIf(
            micrographs.isStreamOpen(),
            "The micrographs are still arriving; with corrected picks the run waits until all are there.",
        ) or sayIf(
            {m.getMicName(): m.getObjId() for m in micrographs} != convert.micrographsByName(corrected),
            "The corrected picks belong to other micrographs. Choose the micrographs that they belong to.",
        )

    def _warnings(self) -> List[str]:
        micrographs, folder = self.inputMicrographs.get(), modelFolder(self)
        if self.method.get() == TEMPLATES or micrographs is None or checkModelFolder(folder):
            return []
        card = contract.read_card(folder)
        if not self._learns():
            return modelWarnings(card, micrographs.getSamplingRate(), diameterOf(self))
        return sayIf(
            not card.get("general"),
            f"The model {card['name']} was trained on particles of {card.get('particle_diameter') or 0:g} Å and is not "
            "a general model. If your particles look different, the rounds will learn from wrong picks; check the "
            "picks of the first round.",
        )

    def _tell(self, results: Sequence[contract.Result[contract.PickOutputs]]) -> List[str]:
        coordinates = getattr(self, OUTPUT, None)
        # a start with other settings removes its file
        there = (
            coordinates is not None and fileOf(coordinates) and (not coordinates.getSize() or asInItsFile(coordinates))
        )
        if not there and not self._learns():
            return [self.NOTHING_YET]
        lines = convert.pickLines(coordinates, results) if there else [self.NOTHING_YET]
        if not self._learns():
            card = self._modelCard() or {}
            f1 = (
                (card.get("validation") or {}).get("f1")
                if "f1" in contract.LABELS_TELL.get(str(card.get("labels")), ("f1",))
                else None
            )
            known = f"network {card.get('network')}{'' if f1 is None else f', validation F1 {f1:.3f}'}"
            return lines[:1] + sayIf(card, f"Model: {card.get('name')} ({known})") + lines[1:]
        learnt = (made for made in (r.outputs for r in results) if isinstance(made, contract.AutoPickOutputs))
        stopped = next((made.stop_reason for made in learnt), None)
        return lines + convert.roundsInWords(convert.readRounds(self._output()), stopped) + self._classLines()

    def _methods(self) -> List[str]:
        return (
            [] if not hasattr(self, OUTPUT) else super()._methods() + (self._classMethods() if self._learns() else [])
        )

    def _citations(self) -> List[str]:
        if self.method.get() == TEMPLATES:
            return ["cryodl", "Roseman2003"]
        # DeepPicker's second iteration and DeepEM's recursion are what the rounds are made of.
        networks = [(self._modelCard() or {}).get("network"), *(("deeppicker", "deepem") if self._learns() else ())]
        keys = [key for network in networks for key in contract.network_citations("picker", network)]
        return ["cryodl", *dict.fromkeys(keys)]
