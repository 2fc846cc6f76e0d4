# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that do one of several things, whose commands stay apart: the form's first field says which.

A protocol is a table of ways, WAYS. A way has its form and says what differs, as a protocol of its own would
(engine_protocol.py): its methods have the names of a protocol's, and take the protocol. Form, request, checks, steps,
outputs and summary follow the way that is chosen. Fields that several ways have under one name are on the form once."""

import re
from typing import Any, Dict, Generic, List, Optional, Tuple

from pyworkflow.protocol import Form, params

from ..engine.cryodl import contract
from .engine_protocol import ConfigT, HasForm, MadeT, OneRun, configOf, followContract
from .protocol_base import possibleOutputs


class Way(HasForm, Generic[ConfigT, MadeT]):
    """One thing that a protocol can do. A child names config and outputs in its bases, `Way[PickConfig, PickOutputs]`;
    without them it does not run the engine, and gives `run`, `problems` and POSSIBLE.

    WORD: of the form's choice. Methods do what those of a protocol do whose names have an underscore before them."""

    WORD = ""
    POSSIBLE: Dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        config = configOf(cls)
        if config is not None:
            cls._CONFIG = config
            followContract(cls)
            cls.POSSIBLE = possibleOutputs(config)

    completed: Any = staticmethod(OneRun._completed)
    writtenFiles: Any = staticmethod(OneRun._writtenFiles)
    filesMade: Any = staticmethod(OneRun._filesMade)
    settings: Any = staticmethod(OneRun._settings)
    warnings: Any = staticmethod(OneRun._warnings)
    tell: Any = staticmethod(OneRun._tell)
    methods: Any = staticmethod(OneRun._methods)
    citations: Any = staticmethod(OneRun._citations)
    run: Any = staticmethod(OneRun.runStep)

    def makeOutputs(self, protocol: Any, made: MadeT) -> Dict[str, Any]:
        """{name: object} of the outputs. made: None if the engine is not run."""
        return {} if made is None else OneRun._makeOutputs(protocol, made)

    def problems(self, protocol: Any) -> List[str]:
        return []

    def usesGpu(self, protocol: Any) -> bool:
        return True


class OfWay:
    """An attribute that is that of the chosen way; of the first way, if a class is asked."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, protocol: Optional[Any], owner: Any) -> Any:
        return getattr(protocol._way() if protocol is not None else (*owner.WAYS, Way())[0], self._name)


def byWay(name: str) -> Any:
    """A method that is that of the chosen way, which is given the protocol."""

    def method(protocol: Any, *given: Any) -> Any:
        return getattr(protocol._way(), name)(protocol, *given)

    return method


class _JoinedForm:
    """The form of several ways: fields are added under the condition that their way is chosen.

    form: Scipion's. choice: name of the field that chooses."""

    def __init__(self, form: Form, choice: str) -> None:
        self._form, self._choice, self.number = form, choice, 0

    def addSection(self, label: str) -> None:
        """A tab; of one label there is one."""
        there = [one for one in self._form._sectionList if one.label.get() == label]
        self._form.lastSection = there[0] if there else self._form.addSection(label)

    def addParam(self, name: str, paramClass: Any, **arguments: Any) -> Any:
        """A field, or one more way in which the field of this name is shown."""
        chosen, own = f"{self._choice} == {self.number}", arguments.get("condition", "True")
        condition, there = chosen if own == "True" else f"{chosen} and ({own})", self._form.getParam(name)
        if issubclass(paramClass, params.MultiPointerParam):  # Scipion would want it in every way; its part checks it
            arguments.update(minNumObjects=0, allowsNull=True)
        if there is None:
            return self._form.addParam(name, paramClass, **dict(arguments, condition=condition))
        if not isinstance(there, paramClass):
            raise TypeError(
                f"The field {name} is a {type(there).__name__} of one way and a {paramClass.__name__} of one"
            )
        numbers = re.fullmatch(rf"{self._choice} in \(([\d, ]+)\)|{self._choice} == (\d+)", there.condition.get())
        if numbers and condition == chosen:
            condition = f"{self._choice} in ({numbers[1] or numbers[2]}, {self.number})"
        else:
            condition = f"({there.condition.get()}) or ({condition})"
        there.condition.set(condition)
        self._form._analizeCondition(name, there)
        return there


class OneOf(OneRun[ConfigT, MadeT]):
    """A child gives WAYS, to which new ones are appended: projects store positions; and WHAT: label and help."""

    WAYS: Tuple[Way[Any, Any], ...] = ()
    WHAT = ("What to do", "")
    CHOICE = "what"  # the field's name
    _addedWay: Optional[int] = None  # while the form is made: the way whose fields are added
    _CONFIG: Any = OfWay()
    FORM: Any = OfWay()
    OUTPUT: Any = OfWay()
    CITES: Any = OfWay()
    NOTHING_YET: Any = OfWay()
    GOES_ON: Any = OfWay()
    NOT_ON_FORM: Any = OfWay()
    _KIND: Any = OfWay()
    _MODEL_KIND: Any = OfWay()
    _completed, _writtenFiles, _filesMade = byWay("completed"), byWay("writtenFiles"), byWay("filesMade")
    _makeOutputs, _checkTogether, _warnings = byWay("makeOutputs"), byWay("problems"), byWay("warnings")
    _tell, _methods, _citations = byWay("tell"), byWay("methods"), byWay("citations")

    def _way(self) -> Way[Any, Any]:
        return self.WAYS[self.getChoice() if self._addedWay is None else self._addedWay]

    def getChoice(self) -> int:
        return int(getattr(self, self.CHOICE).get())

    @property
    def _possibleOutputs(self) -> Dict[str, Any]:
        return self._way().POSSIBLE

    def _defineParams(self, form: Form) -> None:
        label, help = self.WHAT
        form.addSection("Input")
        words = [way.WORD for way in self.WAYS]
        form.addParam(self.CHOICE, params.EnumParam, choices=words, default=0, label=label, help=help)
        joined, gpu = _JoinedForm(form, self.CHOICE), False
        for number, way in enumerate(self.WAYS):
            self._addedWay = joined.number = number
            joined.addSection("Input")
            if way._CONFIG is None:
                for part in way.FORM:
                    part.addTo(joined, self)
            else:
                self._addFields(joined)
                gpu = gpu or self._row().gpu
        self._addedWay = None
        if gpu:
            self._addGpuParams(form)
        form.addParallelSection(threads=2 if any(way._CONFIG for way in self.WAYS) else 0, mpi=0)

    def usesGpu(self) -> bool:
        return self._way()._CONFIG is not None and super().usesGpu() and self._way().usesGpu(self)

    def _insertAllSteps(self) -> None:
        if self._way()._CONFIG is None:  # one step: what is made is noted before the step counts as done
            self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)
        else:
            super()._insertAllSteps()

    def runStep(self, settings: Dict[str, Any]) -> None:
        self._way().run(self, settings)

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        if self._way()._CONFIG is not None:
            super().createOutputStep(settings)
        else:
            self._way().run(self, settings)
            self._defineRelated(**self._makeOutputs(None))

    def _settings(self) -> Dict[str, Any]:
        return dict(self._way().settings(self), what=self._way().WORD)

    def _validate(self) -> List[str]:
        if self._way()._CONFIG is not None:
            return super()._validate()
        return [] if self._missingPointers() else self._checkTogether()


def formerProtocols(classes: Dict[str, Any]) -> Dict[str, type]:
    """{name: class} by which Scipion finds the protocols of 0.1.0 that are another one's ways. classes: of today."""
    return {
        then: _former(then, classes[now], values)
        for then, (now, values) in contract.version_0_1_0.PROTOCOLS.items()
        if now in classes
    }


def _former(name: str, present: Any, values: Dict[str, Any]) -> type:
    """A class whose objects are those of another, with values of its form. Scipion hides classes without a label."""

    def new(cls: type, **given: Any) -> Any:
        made = present(**dict(values, **given))
        made._presentNames.update(contract.version_0_1_0.FIELDS.get(name, {}))
        for then in set(given) & set(made._presentNames):
            getattr(made, made._presentNames[then]).set(given[then])
        return made

    return type(name, (present,), {"__new__": new, "__module__": present.__module__, "__doc__": present.__doc__})
