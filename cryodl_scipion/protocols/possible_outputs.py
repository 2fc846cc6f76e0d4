# SPDX-License-Identifier: GPL-3.0-or-later
"""What a protocol may define: the contract's outputs of its command state it."""

import importlib
from fnmatch import fnmatch
from typing import Any, Dict, Iterable

from ..engine.cryodl import contract
from ..tomography import HAS_TOMO

# Where Scipion's classes stand; tomo is imported for tomograms alone.
_MODULES = ("pwem.objects", "..objects", "pyworkflow.object", "tomo.objects")


def possibleOutputs(configClass: type, several: bool = False) -> Dict[str, Any]:
    """{name: class} of all outputs that a protocol makes of its command's results, as `_possibleOutputs` holds them.

    Parameters
    ----------
    configClass : type
        Config of the command.
    several : bool
        Instead those whose names hold a *, one output for each feature, species or composition.

    Returns
    -------
    dict
        Empty if nothing of Scipion is made.
    """
    return {
        name: _classOf(word)
        for name, word in _declared(configClass).items()
        if ("*" in name) is several and (HAS_TOMO or "SubTomogram" not in word)
    }


def refuseUndeclared(protocol: Any, names: Iterable[str]) -> None:
    """Raises KeyError for outputs that the contract does not declare."""
    declared = protocol._possibleOutputs if protocol._CONFIG is None else _declared(protocol._CONFIG)
    unknown = sorted(name for name in names if not any(fnmatch(name, one) for one in declared))
    if unknown:
        raise KeyError(f"{protocol.getClassName()} defines {', '.join(unknown)}, which the contract does not declare")


def _declared(configClass: type) -> Dict[str, str]:
    """{name: name of the class} by the Outputs of a command."""
    outputs = next(command.outputs for command in contract.EVERY_COMMAND.values() if command.config is configClass)
    fields = contract.describe_outputs(outputs) if outputs else []
    return {name: word for field in fields for name, word in field.scipion.items()}


def _classOf(word: str) -> Any:
    for module in _MODULES:
        found = getattr(importlib.import_module(module, __package__), word, None)
        if found is not None:
            return found
    raise TypeError(f"No class {word} in {', '.join(_MODULES)}: see the contract's outputs.")
