# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields by which a protocol takes a model, from the project or one that comes with the plugin, and the box."""

import os
import shutil
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pyworkflow.protocol import params

from .. import Plugin
from ..engine.cryodl import contract
from .checks import checkModelFolder, sayIf


def copyModel(source: str, target: str) -> None:
    """Copy a checked model folder, whole or not at all; the copy is checked as well. Raises FileExistsError if `target`
    is there, ValueError if the model is not whole, OSError as shutil."""
    if os.path.exists(target):
        raise FileExistsError(f"{target} exists already and is not replaced. Choose another folder, or remove it.")
    contract.check_model(source)
    partial = f"{target}.{os.getpid()}.partial"
    try:
        shutil.copytree(source, partial)
        contract.check_model(partial)
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def shippedModels(kind: str = "picker") -> Dict[str, str]:
    """{name: folder} of the models of a kind that come with the plugin, in alphabetical order."""
    return contract.shipped_folders(os.path.join(Plugin.getEngineFolder(), "cryodl", "models"), kind)


def shippedModelLines(kind: str = "picker") -> List[Tuple[str, str]]:
    """[(name, what its card says)] of the models of a kind that come with the plugin."""
    cards = {name: contract.read_card(folder) for name, folder in shippedModels(kind).items()}
    return [(name, f"{card['network']}, {_purposeOf(card)}") for name, card in cards.items()]


def _purposeOf(card: Dict[str, Any]) -> str:
    if card["kind"] == "segmenter":
        return f"for {card['feature']}s in tomograms"
    if card["kind"] == "micrograph_denoiser":
        return "for every micrograph"
    if card["kind"] == "map_improver":
        return f"for maps of {' to '.join(f'{resolution:.3g}' for resolution in card['resolutions'])} Å"
    if card.get("general"):
        return "for particles of every kind and size"
    return f"trained on particles of {card['particle_diameter']:g} Å"


def shippedName(protocol: Any) -> str:
    return (protocol.shippedModel.get() or "").strip()


def namesShipped(kind: str) -> str:
    return ", ".join(shippedModels(kind)) or "none"


FROM_PROJECT, SHIPPED, NONE = range(3)
_TRAINED_BY = {"picker": "train picker", "map_improver": "train map improver"}
# The model for every particle; not all versions of the plugin bring it.
GENERAL = "general"


def addModelParams(
    form: params.Form,
    default: int = SHIPPED,
    kind: str = "picker",
    condition: str = "True",
    none: Optional[str] = None,
    **arguments: Any,
) -> None:
    """Add modelFrom, inputModel and shippedModel to a form. default: FROM_PROJECT, SHIPPED or NONE. kind: of the
    model's card. condition: of all three. none: what NONE is called, None if a model is needed. arguments: of addParam,
    for all three, but label and help for the first alone."""
    names, where = list(shippedModels(kind)), f"({condition}) and modelFrom == %d"
    own = dict(
        label="Model",
        choices=["trained or imported in this project", "shipped with the plugin"] + ([none] if none else []),
        help=f"Where the trained network comes from: train one with *cryodl - {_TRAINED_BY[kind]}*, import one with "
        "*cryodl - models*, or use a shipped model.",
    )
    form.addParam("modelFrom", params.EnumParam, default=default, condition=condition, **dict(own, **arguments))
    others = {name: value for name, value in arguments.items() if name not in ("label", "help")}
    others.setdefault("important", True)
    form.addParam(
        "inputModel",
        params.PointerParam,
        pointerClass="CryodlModel",
        condition=where % FROM_PROJECT,
        allowsNull=True,  # checkModelField asks for it; Scipion itself would keep Execute grey without a word
        label="Trained model",
        help=f"A model of this project: {'from *cryodl - pick particles*, ' if kind == 'picker' else ''}from a "
        "training, or imported.",
        **others,
    )
    # A text, not a list: positions in a list would change with the models of later versions.
    form.addParam(
        "shippedModel",
        params.StringParam,
        default=firstModel(names),
        condition=where % SHIPPED,
        label="Shipped model",
        help=f"Name of a shipped model; the wizard lists them. This version has: {namesShipped(kind)}."
        + (" *general* is for particles of every kind and size." if GENERAL in names else ""),
        **others,
    )


def addShippedModels(form: Any, kind: str, **arguments: Any) -> None:
    """Add shippedModels to a form: names of models that come with the plugin, for a protocol that takes several."""
    own = dict(
        important=True,
        label="Shipped models",
        help="Names of shipped models, separated by commas; the wizard lists them. This version has: "
        f"{namesShipped(kind)}.\n\nEmpty: none of them.",
    )
    form.addParam("shippedModels", params.StringParam, default="", **dict(own, **arguments))


def checkShippedName(name: str, kind: str) -> List[str]:
    return sayIf(
        name not in shippedModels(kind),
        f"Shipped model is {name!r}, which does not exist. Shipped models: {namesShipped(kind)}.",
    )


def shippedNames(protocol: Any) -> List[str]:
    return list(dict.fromkeys((protocol.shippedModels.get() or "").replace(",", " ").split()))


def shippedFolders(protocol: Any, kind: str) -> List[str]:
    known = shippedModels(kind)
    return [known[name] for name in shippedNames(protocol) if name in known]


def checkShippedModels(protocol: Any, kind: str) -> List[str]:
    return [problem for name in shippedNames(protocol) for problem in checkShippedName(name, kind)]


def firstModel(names: Sequence[str]) -> str:
    return GENERAL if GENERAL in names else (list(names) or [""])[0]


def checkModelField(protocol: Any) -> List[str]:
    """What is wrong with the chosen model. Sentences for the form. The protocol's _MODEL_KIND: see addModelParams."""
    kind = protocol._MODEL_KIND
    missing = checkShippedName(shippedName(protocol), kind) if protocol.modelFrom.get() == SHIPPED else []
    if protocol.modelFrom.get() == FROM_PROJECT and protocol.inputModel.get() is None:
        missing = ["Trained model is empty. Choose one with the magnifying glass, or set Model to a shipped one."]
    return missing or checkModelFolder(modelFolder(protocol), kind)


def checkSizeFields(protocol: Any) -> List[str]:
    """What is wrong with the particle diameter, of a protocol whose model is whole."""
    return sayIf(
        diameterOf(protocol) is None and not protocol._modelCard().get("tells_size"),
        f"Particle diameter is missing. The model {protocol._modelCard()['name']} is for particles of every size and "
        "cannot estimate the size, so give the diameter. The wizard beside the field measures it on a micrograph.",
    )


def modelFolder(protocol: Any) -> str:
    """The folder that the fields name, '' if none is chosen. It need not exist."""
    if protocol.modelFrom.get() == FROM_PROJECT:
        model = protocol.inputModel.get()
        return "" if model is None else model.getFolder()
    name = shippedName(protocol) if protocol.modelFrom.get() == SHIPPED else ""
    return shippedModels(protocol._MODEL_KIND).get(name, os.path.join("models", name)) if name else ""


def diameterOf(protocol: Any) -> Any:
    """Å: the form's, else the model's. None without a model, and for a general model, which is for every size."""
    card = protocol._modelCard() or {}
    return protocol.particleDiameter.get() or (None if card.get("general") else card.get("particle_diameter"))
