# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of protocols that run a command of the engine: what its config and outputs say is said there alone.

A protocol names both, `OneRun[ImproveMapConfig, ImproveMapOutputs]`, lists the parts of its form that are Scipion's
(FORM, see kinds.py), and says what differs. Form, request, checks, steps, outputs and summary follow."""

import dataclasses
import itertools
import os
import re
from typing import Any, Dict, Generic, List, Optional, Sequence, Tuple, TypeVar

from pwem.objects import FSC, AtomStruct, EMObject, Volume
from pyworkflow.object import Set
from pyworkflow.protocol import Form

from ..convert.form import ConfigT, addConfigParams, inFormWords, readConfig
from ..engine.cryodl import contract
from ..objects import CryodlAnnotations, CryodlModel
from . import checks, protocol_base
from .inputs import DRAWN, INPUTS, WRITTEN, chosenInputs, ownObject, writtenAt
from .kinds import FormPart, Model, ModelOfProject, ModelOrShipped, Section, cardOf

MadeT = TypeVar("MadeT", bound=contract.Outputs)

# Contract fields that no form has, and where their values come from.
_NEVER = {
    "output": "the run's folder",
    "names": "made from the items' names",
    "pictures": "Analyze results shows all",
    "overwrite": "restart does it",
    "json": "the results are files",
}
# Point groups that the engine knows (symmetry.py).
_SYMMETRY = re.compile(r"[CD]([1-9]\d?|100)|T|O|I[1-4]?", re.IGNORECASE)
# Settings with which a run is continued, whatever they were; names and files of items are in the settings as their set.
_FREE = ("output", "names", "pictures", "overwrite", "json", "memory", "feature_maps")


def configOf(cls: type) -> Optional[type]:
    """The config that a class names in its bases: OneRun[ImproveMapConfig, ImproveMapOutputs]."""
    for base in vars(cls).get("__orig_bases__", ()):
        arguments = getattr(base, "__args__", None) or ()
        if arguments and isinstance(arguments[0], type) and dataclasses.is_dataclass(arguments[0]):
            return arguments[0]
    return None


def fieldsOf(config: type) -> List[str]:
    return [field.name for field in dataclasses.fields(config)]


def followContract(cls: Any) -> None:
    """Complete a class that has a form: a protocol, or a way of one. It has FORM, _CONFIG and NOT_ON_FORM. Raises
    TypeError for a part of the form that names a field which the contract does not have."""
    fields, placed = fieldsOf(cls._CONFIG), [name for part in cls.FORM for name in part.options]
    excused = {name: part.why for part in cls.FORM for name in part.fills}
    excused.update(cls.NOT_ON_FORM)
    unknown = sorted(name for name in [*excused, *placed] if name not in (*fields, "seed", "names"))
    if unknown:
        raise TypeError(f"{cls.__name__}: {cls._CONFIG.__name__} has no field {', '.join(unknown)}")
    common = {name: why for name, why in _NEVER.items() if name in fields and name not in placed}
    cls.NOT_ON_FORM = dict(common, **excused)
    models = [part for part in cls.FORM if isinstance(part, (Model, ModelOrShipped))]
    if models:
        cls._MODEL_KIND = models[0].kind


class HasForm:
    """What a protocol says of its form, or a way of one."""

    FORM: Tuple[FormPart, ...] = ()
    OUTPUT = "output"  # what the engine writes, in extra/
    CITES: Tuple[str, ...] = ()
    NOTHING_YET = "No results yet."
    GOES_ON = False  # whether the engine knows what is finished in its folder, and goes on there
    NOT_ON_FORM: Dict[str, str] = {}  # contract fields without a place on the form, and where their values come from
    _CONFIG: Any = None
    _KIND = ""  # of the model that is trained; also the beginning of its folder's name
    _MODEL_KIND: Any = None  # of the model that is used


class EngineProtocol(HasForm, protocol_base.CryodlProtBase, Generic[ConfigT, MadeT]):
    """Mixin; it stands before the Scipion class in the list of bases. A child gives what HasForm has, and may give the
    hooks below, and `_possibleOutputs` where they depend on the form."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        config = configOf(cls)
        if config is not None:
            cls._CONFIG = config
            cls._possibleOutputs = vars(cls).get("_possibleOutputs") or protocol_base.possibleOutputs(config)
        if cls._CONFIG is not None and ("FORM" in vars(cls) or config is not None):
            followContract(cls)
        super().__init_subclass__(**kwargs)

    def _row(self) -> contract.Command:
        return contract.EVERY_COMMAND[contract.command_name(self._CONFIG)]

    def _defineParams(self, form: Form) -> None:
        if not (self.FORM and isinstance(self.FORM[0], Section)):
            form.addSection("Input")
        self._addFields(form)
        if self._row().gpu:
            self._addGpuParams(form)
        self._addRunParams(form)

    def _addFields(self, form: Form) -> None:
        for part in self.FORM:
            part.addTo(form, self)
        elsewhere = {*self.NOT_ON_FORM, *(name for part in self.FORM for name in part.options)}
        addConfigParams(form, self._CONFIG, [name for name in fieldsOf(self._CONFIG) if name not in elsewhere])
        if self._row().seeded and "seed" not in elsewhere:
            addConfigParams(form, contract.Request, ["seed"])

    def _addRunParams(self, form: Form) -> None:
        form.addParallelSection(threads=2 if self._row().threads else 0, mpi=0)

    def usesGpu(self) -> bool:
        return self._row().gpu and super().usesGpu()

    def _config(self, **values: Any) -> ConfigT:
        """The config of this form, which may be filled in part. values: others than those of _engineValues."""
        config = readConfig(self, self._CONFIG, **dict(self._engineValues(), **values))
        return config if self._missingPointers() else self._completed(config)

    def _completed(self, config: ConfigT) -> ConfigT:
        """The config with what depends on several fields, by dataclasses.replace. All mandatory pointers are set."""
        return config

    def _engineValues(self) -> Dict[str, Any]:
        values: Dict[str, Any] = {i.name: None for i in contract.describe_all(self._CONFIG) if i.required}  # _completed
        values.update(output=self._output(), names=(), pictures=0, json=False)
        values = {name: value for name, value in values.items() if name in self.NOT_ON_FORM}
        for part in self.FORM:
            values.update(part.values(self))
        return values

    def _writtenFiles(self) -> Dict[str, Any]:
        """{contract field: value} of the files that the parts of the form write for the engine."""
        return {name: value for part in self.FORM for name, value in part.files(self).items()}

    def _output(self) -> str:
        return self._getExtraPath(self.OUTPUT)

    def _settings(self) -> Dict[str, Any]:
        """What decides the output: a run must not be continued with another of these."""
        other = {*_FREE, *(name for part in self.FORM for name in part.fills)}
        settings = {k: value for k, value in self._request(self._config()).decisive().items() if k not in other}
        for part in self.FORM:
            settings.update(part.identity(self))
        return settings

    def _validate(self) -> List[str]:
        if self._missingPointers():
            return []  # pyworkflow names them
        return (self._checkInputs() or contract.check(self._config())) + self._checkGpus()

    def _checkInputs(self) -> List[str]:
        found = [problem for part in self.FORM for problem in part.problems(self)]
        if "symmetry" in fieldsOf(self._CONFIG) and "symmetry" not in self.NOT_ON_FORM:
            found += checks.sayIf(
                not _SYMMETRY.fullmatch((self.symmetry.get() or "").strip()),
                f"Symmetry is {self.symmetry.get() or ''!r}; it must be C1 to C100, D1 to D100, T, O, I, or I1 to I4, "
                "in RELION's axes. Helical symmetry is not supported.",
            )
        return found or self._checkTogether()

    def _checkTogether(self) -> List[str]:
        return []

    def _warnings(self) -> List[str]:
        return [warning for part in self.FORM for warning in part.warnings(self)]

    def _made(self) -> Optional[MadeT]:
        """The engine's outputs of the newest run; None before there are any."""
        results = self._engineResults()
        return results[-1].outputs if results else None

    def _tell(self, results: Sequence[contract.Result[MadeT]]) -> List[str]:
        return list(results[-1].summary) if results else [self.NOTHING_YET]

    def _methods(self) -> List[str]:
        return list(dict.fromkeys(inFormWords(self, said) for one in self._engineResults() for said in one.methods))

    def _citations(self) -> List[str]:
        """Those of the network that is trained, or that the form's model has, and CITES."""
        incomplete = readConfig(self, self._CONFIG, **self._engineValues()) if self._KIND else None
        card = self._modelCard() or {} if incomplete is None else dict(network=incomplete.network)
        own = contract.network_citations(self._MODEL_KIND or self._KIND or card.get("kind", ""), card.get("network"))
        return ["cryodl", *dict.fromkeys((*own, *self.CITES))]

    def _modelCard(self) -> Any:
        models = (part for part in self.FORM if isinstance(part, (Model, ModelOfProject, ModelOrShipped)))
        return cardOf(next((folder for part in models for folder in part.values(self).values() if folder), None))


class OneRun(EngineProtocol[ConfigT, MadeT], protocol_base.OneRunBase):
    """A protocol that runs the engine once: a child gives FORM, and _makeOutputs if an output is more than a file."""

    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.runStep, settings, needsGPU=self.usesGpu())
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def _settings(self) -> Dict[str, Any]:
        given = [(name, ownObject(pointer)) for name, pointer in chosenInputs(self)]
        sets = [(name, one.getFileName(), one.getSize()) for name, one in given if isinstance(one, Set)]
        files = [one for _, one in given if isinstance(one, (Set, Volume, AtomStruct))]
        before = (self._settingsBefore() or {}).get(WRITTEN, ())
        written = [writtenAt(one, noted) for one, noted in itertools.zip_longest(files, before[: len(files)])]
        drawn = {DRAWN: writtenAt(one) for _, one in given if isinstance(one, CryodlAnnotations)}
        return dict(super()._settings(), **{INPUTS: sets, WRITTEN: written}, **drawn)

    def runStep(self, settings: Dict[str, Any]) -> None:
        files = self._writtenFiles()
        config = self._config(**files)
        self._runOnce(config, *self._filesMade(config), goesOn=self.GOES_ON, names=files.get("names", ()))

    def _filesMade(self, config: ConfigT) -> List[str]:
        """Files and folders without which the run is not done, and which are removed when it begins anew."""
        return [self._output()]

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made = self._made()
        if made is None:
            raise ValueError(f"{self._getExtraPath()} has no result. Continue the run: it is made again.")
        self._defineRelated(**self._makeOutputs(made))

    def _makeOutputs(self, made: MadeT) -> Dict[str, Any]:
        """{name: object} of the outputs: of each that the contract declares and the engine made."""
        return {
            name: objectOf(word, made[info.name], made)
            for info in contract.describe_outputs(type(made))
            for name, word in info.scipion.items()
            if made[info.name]
        }

    def _defineRelated(self, **outputs: EMObject) -> None:
        self._defineOutputs(**outputs)
        for pointer in [pointer for part in self.FORM for pointer in part.pointers(self)]:
            for output in outputs.values():
                self._defineSourceRelation(pointer, output)


def volumeFrom(
    path: str, pixelSize: float, origin: Any = None, comment: str = "", halves: Any = (), kind: Any = Volume
) -> Volume:
    """A map of the engine as Scipion's Volume. origin: Transform, which is copied; None for Scipion's default. halves:
    files of its half-maps, True if they lie beside it. kind: Volume, or a class of it."""
    volume = kind(location=path)
    volume.setSamplingRate(pixelSize)
    if halves:
        beside = [f"{os.path.splitext(path)[0]}_half{half}.mrc" for half in (1, 2)]
        volume.setHalfMaps(beside if halves is True else halves)
    volume.setObjComment(comment)
    if origin is not None:
        volume.setOrigin(origin.clone())
    return volume


def fscFrom(frequencies: Sequence[float], values: Sequence[float], label: str) -> FSC:
    """A curve of the engine as Scipion's FSC. frequencies: 1/Å."""
    fsc = FSC(objLabel=label)
    fsc.setData(list(frequencies), list(values))
    return fsc


def fscOfHalves(made: Any) -> FSC:
    """The curve of half-maps. made: outputs with fsc, by rings, box (px) and pixel_size (Å)."""
    return fscFrom([ring / (made.box * made.pixel_size) for ring in range(len(made.fsc))], made.fsc, "half-maps")


def objectOf(word: str, path: str, made: Any) -> EMObject:
    """Scipion's object of a file of the engine. word: its class. Raises TypeError for one that a protocol makes."""
    if word == "Volume":
        return volumeFrom(path, made.pixel_size)
    if word in ("AtomStruct", "CryodlModel"):
        return AtomStruct(path) if word == "AtomStruct" else CryodlModel.fromFolder(path)
    raise TypeError(f"A {word} is not made from {path} alone: the protocol makes it in _makeOutputs.")
