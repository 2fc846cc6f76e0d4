# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of forms. An input kind is written once: its field, which contract fields it fills and how the engine is given
them, what is wrong with it, and from what the outputs are said to be made.

A protocol lists its parts in FORM (engine_protocol.py). All methods take the protocol: a part holds no values."""

import contextlib
import dataclasses
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import AtomStruct, EMObject
from pyworkflow.object import Pointer
from pyworkflow.protocol import Form, params

from ..convert.form import addConfigParams, formName, formValue, paramOf
from ..convert.maps import structureFileOf, structureProblem
from ..engine.cryodl import contract
from ..objects import CryodlModel
from .checks import checkModelFolder, sayIf
from .inputs import ownObject
from .model_field import (
    FROM_PROJECT,
    NONE,
    SHIPPED,
    addModelParams,
    checkModelField,
    checkShippedName,
    modelFolder,
    namesShipped,
    shippedModels,
    shippedName,
)


class FormPart:
    """What a form shows at one place."""

    fills: Tuple[str, ...] = ()  # contract fields that get their values from it, and are not on the form themselves
    options: Tuple[str, ...] = ()  # contract fields that it shows
    why = ""  # what fills them, in words

    def addTo(self, form: Form, protocol: Any) -> None:
        """Add the fields."""

    def values(self, protocol: Any) -> Dict[str, Any]:
        """{contract field: value} of those that it fills: files as they are; nothing is written."""
        return {}

    def files(self, protocol: Any) -> Dict[str, Any]:
        """{contract field: value} where the engine is given a file that the step which runs it writes here."""
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        """What tells an input apart from another one, by which a run knows whether it may be continued."""
        return self.values(protocol)

    def problems(self, protocol: Any) -> List[str]:
        """Sentences about what is wrong with what was chosen."""
        return []

    def warnings(self, protocol: Any) -> List[str]:
        """Sentences of which the form asks whether to go on. The form may be filled in part."""
        return []

    def pointers(self, protocol: Any) -> List[Pointer]:
        """To the objects from which the outputs are made."""
        return []


class Section(FormPart):
    def __init__(self, label: str) -> None:
        self._label = label

    def addTo(self, form: Form, protocol: Any) -> None:
        form.addSection(self._label)


class Options(FormPart):
    """Contract fields at this place, or with what only Scipion knows of them. Those that no part names come after all
    parts, in the contract's order.

    when: condition. Others as addConfigParams has them: more, help, label, default (of a choice: the word)."""

    def __init__(self, *names: str, when: str = "", **others: Any) -> None:
        self.options, self._others = names, dict(others, **(dict(condition=when) if when else {}))

    def addTo(self, form: Form, protocol: Any) -> None:
        for name in self.options:
            config = contract.Request if name == "seed" and protocol._row().seeded else protocol._CONFIG
            info, others = contract.describe(config, name), dict(self._others)
            if info.choices and "default" in others:
                others["default"] = info.choices.index(others["default"])
            addConfigParams(form, config, [name], **{name: others})


class OwnName(FormPart):
    """Contract fields under names of their own, since another way of the protocol has other fields of these names.

    what: the first word of their names. of: command whose fields of these names are shown instead, if another one.
    when: condition. others: of addParam."""

    why = "the form's field with a name of its own"

    def __init__(self, what: str, *names: str, of: Optional[type] = None, when: str = "True", **others: Any) -> None:
        self.fills, self._what, self._of, self._others = names, what, of, dict(others, condition=when)

    def _infos(self, protocol: Any) -> List[Tuple[str, Any]]:
        found = [contract.describe(self._of or protocol._CONFIG, name) for name in self.fills]
        return [(info.name, dataclasses.replace(info, name=f"{self._what}_{info.name}")) for info in found]

    def addTo(self, form: Form, protocol: Any) -> None:
        for _, info in self._infos(protocol):
            paramClass, arguments = paramOf(info)
            form.addParam(formName(info.name), paramClass, **dict(arguments, **self._others))

    def values(self, protocol: Any) -> Dict[str, Any]:
        return {name: formValue(protocol, info) for name, info in self._infos(protocol)}


class OptionsOf(FormPart):
    """Fields of another command, which the protocol runs too. when: condition. others: {field: of addParam}."""

    def __init__(self, config: type, *names: str, when: str = "True", **others: Dict[str, Any]) -> None:
        self._config, self._names = config, names
        self._others = {name: dict(condition=when, **others.get(name, {})) for name in names}

    def addTo(self, form: Form, protocol: Any) -> None:
        addConfigParams(form, self._config, self._names, **self._others)


class Own(FormPart):
    """A field that the engine does not know. arguments: of addParam; when: condition."""

    def __init__(self, name: str, paramClass: Any, label: str, help: str, when: str = "True", **arguments: Any) -> None:
        self._name, self._class = name, paramClass
        self._arguments = dict(arguments, label=label, help=help, condition=when)

    def addTo(self, form: Form, protocol: Any) -> None:
        form.addParam(self._name, self._class, **self._arguments)

    def identity(self, protocol: Any) -> Dict[str, Any]:
        name = re.sub("[A-Z]", lambda found: "_" + found[0].lower(), self._name)  # as the contract would call it
        return {name: protocol.getAttributeValue(self._name)}


class Choice(Own):
    """A choice that the engine does not know; the field holds the position of the word."""

    def __init__(
        self, name: str, label: str, choices: Sequence[str], help: str, default: int = 0, **arguments: Any
    ) -> None:
        super().__init__(name, params.EnumParam, label, help, choices=list(choices), default=default, **arguments)


class Flag(Own):
    def __init__(self, name: str, label: str, help: str, default: bool = False, **arguments: Any) -> None:
        super().__init__(name, params.BooleanParam, label, help, default=default, **arguments)


class BoxSize(Own):
    """The field boxSize: the box of coordinates. of: whose pixels it is in. empty: what is taken without it."""

    def __init__(self, of: str, empty: str = "", default: Optional[int] = None, **arguments: Any) -> None:
        help = f"Box size of the coordinates, in pixels of the {of}; extraction uses it as its default."
        help += f"\n\nEmpty: {empty}." if empty else ""
        super().__init__(
            "boxSize", params.IntParam, "Box size (px)", help, default=default, allowsNull=bool(empty), **arguments
        )


class Pointing(FormPart):
    """A pointer to an object of the project: the base of most kinds.

    name: of the form's field, as saved projects know it. to: contract fields that it fills. empty: what is done without
    it; '' if it is needed. related: whether the outputs are said to be made from it. needed: where the form shows it;
    Scipion itself would demand it whatever the form shows first. arguments: of addParam."""

    CLASSES: str = "EMObject"  # that may be chosen, with commas
    LABEL: str = "Input"
    SUGGESTED = True  # whether Scipion may fill it from the run that is selected; never where it is hidden at first
    NOTHING: Any = None  # what the fields that it fills have without it
    KNOWN_AS = ""  # name under which a run remembers the object's file, where that alone tells it from another one
    to: Tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        help: str,
        label: str = "",
        to: Optional[Sequence[str]] = None,
        when: str = "True",
        empty: str = "",
        related: bool = True,
        needed: bool = False,
        **arguments: Any,
    ) -> None:
        self.name, self.fills, self._related, self._needed = name, self.to if to is None else tuple(to), related, needed
        self.label, self.why = label or self.LABEL, f"the form's {label or self.LABEL}"
        own = dict(allowsNull=True, help=f"{help}\n\nEmpty: {empty}.") if empty else dict(important=True, help=help)
        own.update(dict(allowsNull=True) if needed else {})
        self._arguments = dict(dict(own, label=self.label, condition=when, pointerClass=self.CLASSES), **arguments)
        if arguments.get("expertLevel") or not self.SUGGESTED:
            # Scipion fills pointers of a new form from the selected run, seen or not, by the exact names of classes;
            # its list of objects to choose from strips them
            classes: str = self._arguments["pointerClass"]
            self._arguments["pointerClass"] = ",".join(f"{name} " for name in classes.split(","))

    def addTo(self, form: Form, protocol: Any) -> None:
        form.addParam(self.name, params.PointerParam, **self._arguments)

    def of(self, protocol: Any) -> Any:
        """The chosen object; None without one, or where the form does not show the field."""
        return getattr(protocol, self.name).get() if protocol.evalParamCondition(self.name) else None

    def values(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return dict.fromkeys(self.fills, self.NOTHING) if found is None else self.valuesOf(protocol, found)

    def files(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return {} if found is None else self.filesOf(protocol, found)

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        if not self.KNOWN_AS:
            return self.values(protocol)
        return {self.KNOWN_AS: None if found is None else found.getFileName()}

    def problems(self, protocol: Any) -> List[str]:
        found = self.of(protocol)
        missing = found is None and self._needed and protocol.evalParamCondition(self.name)
        return sayIf(missing, f"{self.label} is missing.") if found is None else self.check(protocol, found)

    def warnings(self, protocol: Any) -> List[str]:
        found = self.of(protocol)
        return [] if found is None else self.warn(protocol, found)

    def pointers(self, protocol: Any) -> List[Pointer]:
        return [getattr(protocol, self.name)] if self._related and self.of(protocol) is not None else []

    # ----- what a kind says of the chosen object
    def valuesOf(self, protocol: Any, found: Any) -> Dict[str, Any]:
        return {}

    def filesOf(self, protocol: Any, found: Any) -> Dict[str, Any]:
        return {}

    def check(self, protocol: Any, found: Any) -> List[str]:
        return []

    def warn(self, protocol: Any, found: Any) -> List[str]:
        return []


class PointingMany(Pointing):
    """A list of pointers; `of` gives the objects, None if there are none."""

    NOTHING = ()

    def addTo(self, form: Form, protocol: Any) -> None:
        least = dict() if "allowsNull" in self._arguments else dict(minNumObjects=1)
        form.addParam(self.name, params.MultiPointerParam, **dict(least, **self._arguments))

    def of(self, protocol: Any) -> Any:
        return self.objects(protocol) or None

    def objects(self, protocol: Any) -> List[Any]:
        """The chosen objects that are there; none where the form does not show the field."""
        shown = protocol.evalParamCondition(self.name)
        return [found for found in map(ownObject, getattr(protocol, self.name)) if found is not None] if shown else []

    def problems(self, protocol: Any) -> List[str]:
        return sayIf(
            "allowsNull" not in self._arguments
            and protocol.evalParamCondition(self.name)
            and self.of(protocol) is None,
            f"{self.label} is empty. Choose one or several with the magnifying glass.",
        ) or super().problems(protocol)

    def pointers(self, protocol: Any) -> List[Pointer]:
        return list(getattr(protocol, self.name)) if self._related and self.of(protocol) is not None else []


class Growing(Pointing):
    def arriving(self, protocol: Any) -> Any:
        raise NotImplementedError

    def fileOf(self, item: Any) -> str:
        return item.getFileName()


class MapOrModel(Pointing):
    CLASSES, LABEL, NAMED = "Volume,AtomStruct", "Structure", False  # whether its file is named by it
    to: Tuple[str, ...] = ("structure",)

    def valuesOf(self, protocol: Any, found: EMObject) -> Dict[str, Any]:
        return {name: structureFileOf(found) for name in self.fills}

    def filesOf(self, protocol: Any, found: EMObject) -> Dict[str, Any]:
        return {name: protocol._structureFor(found, self.NAMED) for name in self.fills}

    def check(self, protocol: Any, found: EMObject) -> List[str]:
        return structureProblem(found)


class AtomicModel(MapOrModel):
    CLASSES, LABEL = "AtomStruct", "Atomic model"

    def filesOf(self, protocol: Any, found: AtomStruct) -> Dict[str, Any]:
        return {}


class Mask(MapOrModel):
    CLASSES, LABEL, NAMED, to = "VolumeMask", "Mask", True, ("mask",)


class MapsOrModels(PointingMany):
    """Maps or atomic models. named: whether their files are named by them, where the engine names classes by files."""

    CLASSES, LABEL, to = "Volume,AtomStruct", "Structures", ("structures",)

    def __init__(self, name: str, help: str, named: bool = False, **others: Any) -> None:
        super().__init__(name, help, **others)
        self._named = named

    def valuesOf(self, protocol: Any, found: List[EMObject]) -> Dict[str, Any]:
        return {self.fills[0]: tuple(structureFileOf(structure) for structure in found)}

    def filesOf(self, protocol: Any, found: List[EMObject]) -> Dict[str, Any]:
        return {self.fills[0]: tuple(protocol._structureFor(structure, self._named) for structure in found)}

    def check(self, protocol: Any, found: List[EMObject]) -> List[str]:
        return [problem for one in found for problem in structureProblem(one)]


def cardOf(folder: Any, kind: Optional[str] = None) -> Any:
    """The card of a model's folder; None without one, or if it is gone, which must not hide what was made with it."""
    with contextlib.suppress(ValueError):
        return contract.read_card(folder, kind) if folder else None
    return None


def withWeights(values: Dict[str, Any]) -> Dict[str, Any]:
    """Folders of models by their fields, and what tells a model apart from one that was trained anew in its folder."""
    found = [contract.read_card(folder)["weights_sha256"] for folder in values.values() if folder]
    return dict(values, weights_sha256=found[0]) if found else values


class ModelOfProject(Pointing):
    """A model of this project. kind: of its card."""

    CLASSES, LABEL, to = "CryodlModel", "Model", ("model",)

    def __init__(self, name: str, help: str, kind: str, **others: Any) -> None:
        super().__init__(name, help, **others)
        self._kind = kind

    def valuesOf(self, protocol: Any, found: CryodlModel) -> Dict[str, Any]:
        return {self.fills[0]: found.getFolder()}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return withWeights(self.values(protocol))

    def check(self, protocol: Any, found: CryodlModel) -> List[str]:
        return checkModelFolder(found.getFolder(), self._kind)


class StartModel(ModelOfProject):
    """The model of the same network that a training continues from."""

    LABEL, to = "Start from model", ("start_from",)

    def __init__(
        self, help: str, kind: str, name: str = "inputModel", empty: str = "random weights", **others: Any
    ) -> None:
        super().__init__(name, help, kind, empty=empty, expertLevel=params.LEVEL_ADVANCED, **others)

    def check(self, protocol: Any, found: CryodlModel) -> List[str]:
        return otherNetworkIn(found.getFolder(), self._kind, protocol._config().network)


def otherNetworkIn(folder: str, kind: str, network: str) -> List[str]:
    """What is wrong with a model to start from: its folder, or its network, which is not the form's."""
    wrong = checkModelFolder(folder, kind)
    found = network if wrong else contract.read_card(folder)["network"]
    return wrong or sayIf(
        network not in (found, contract.AS_STARTED),
        f"The model to start from has the network {found}, but Network is {network}. Choose the same network, or "
        "another model.",
    )


class ModelOrShipped(FormPart):
    """A model of the project, or the name of a shipped one, or none of them: inputModel, shippedModel.

    kind: of shipped models' cards. of: of the project's, if another. help, empty: of the pointer. none: then done."""

    fills, why = ("model",), "the model that the form gives"

    def __init__(
        self, kind: str, help: str, empty: str, none: str, label: str = "Model", of: str = "", **others: Any
    ) -> None:
        self.kind, self._none = kind, none
        self._pointing = ModelOfProject("inputModel", help, of or kind, label=label, empty=empty, **others)

    def addTo(self, form: Form, protocol: Any) -> None:
        self._pointing.addTo(form, protocol)
        help = "Name of a model that comes with the plugin; the wizard lists them. This version has: "
        help += f"{namesShipped(self.kind)}.\n\nEmpty: {self._none}."
        named = Own("shippedModel", params.StringParam, "Shipped model", help, "inputModel is None", default="")
        named.addTo(form, protocol)

    identity = ModelOfProject.identity

    def folder(self, protocol: Any) -> str:
        model, shipped = protocol.inputModel.get(), shippedModels(self.kind).get(shippedName(protocol), "")
        return shipped if model is None else model.getFolder()

    def values(self, protocol: Any) -> Dict[str, Any]:
        return {"model": self.folder(protocol) or None}

    def problems(self, protocol: Any) -> List[str]:
        if protocol.inputModel.get() is not None:
            return self._pointing.problems(protocol)
        return checkShippedName(shippedName(protocol), self.kind) if shippedName(protocol) else []

    def pointers(self, protocol: Any) -> List[Pointer]:
        return self._pointing.pointers(protocol)


class Model(FormPart):
    """A trained network of the project, or one that comes with the plugin: modelFrom, inputModel, shippedModel.

    kind: of its card. related: whether the outputs are said to be made from it. Others as addModelParams has them."""

    fills, why = ("model",), "the model that the form names"

    def __init__(
        self, kind: str, default: int = SHIPPED, to: str = "model", related: bool = True, **others: Any
    ) -> None:
        self.kind, self.fills = kind, (to,)
        self._default, self._related, self._others = default, related, others

    def addTo(self, form: Form, protocol: Any) -> None:
        addModelParams(form, self._default, self.kind, **self._others)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return {self.fills[0]: (modelFolder(protocol) if protocol.evalParamCondition("modelFrom") else "") or None}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return withWeights({self.fills[0]: modelFolder(protocol) or None})

    def problems(self, protocol: Any) -> List[str]:
        asked = protocol.evalParamCondition("modelFrom") and protocol.modelFrom.get() != NONE
        return checkModelField(protocol) if asked else []

    def pointers(self, protocol: Any) -> List[Pointer]:
        chosen = self._related and protocol.modelFrom.get() == FROM_PROJECT and protocol.inputModel.get() is not None
        return [protocol.inputModel] if chosen else []
