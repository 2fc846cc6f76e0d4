# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of forms that several protocols have, each written once."""

from typing import Any, Dict, Optional

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

# Why these fields of the contract are not on a form.
_REASONS = {
    "output": "the run's folder",
    "device": "the GPUs that Scipion assigns",
    "threads": "Scipion's own field",
    "start_from": "the model that the pointer gives",
}
_SUGGESTED = "Box size of the coordinates, in pixels of the {}; extraction uses it as its default."


def notOnForm(*names: str, **others: str) -> Dict[str, str]:
    """{contract field: reason} of the fields that a form leaves out.

    Parameters
    ----------
    *names : str
        Fields that every form leaves out for the same reason: output, device, threads, start_from.
    **others : str
        Reasons of further fields.
    """
    return dict({name: _REASONS[name] for name in names}, **others)


def addPointer(form: Form, name: str, pointerClass: str, label: str, help: str, **arguments: Any) -> None:
    """Add a field for an object of the project.

    Parameters
    ----------
    form : Form
    name : str
        Of the field, as saved workflows know it.
    pointerClass : str
        Classes of objects that may be chosen, with commas.
    label, help : str
    **arguments : object
        Others of addParam: important, allowsNull, condition ...
    """
    form.addParam(name, params.PointerParam, pointerClass=pointerClass, label=label, help=help, **arguments)


def addStartModel(form: Form, help: str, name: str = "inputModel", empty: str = "random weights") -> None:
    """Add the field of the model that a training continues from. help: which model may be chosen. empty: what is done
    without one."""
    addPointer(
        form,
        name,
        "CryodlModel",
        "Start from model",
        f"{help}\n\nEmpty: {empty}.",
        allowsNull=True,
        expertLevel=params.LEVEL_ADVANCED,
    )


def addBoxSize(form: Form, of: str, empty: str = "", default: Optional[int] = None) -> None:
    """Add the field of the coordinates' box.

    Parameters
    ----------
    form : Form
    of : str
        Whose pixels it is in: micrographs, tomograms.
    empty : str
        What is taken without a number, as a sentence; '' if a number is needed.
    default : int, optional
        px
    """
    text = _SUGGESTED.format(of) + (f"\n\nEmpty: {empty}" if empty else "")
    arguments = dict(allowsNull=True) if empty else {}
    form.addParam("boxSize", params.IntParam, default=default, label="Box size (px)", help=text, **arguments)


def addLabelVolumes(form: Form, more: str, condition: str) -> None:
    """Add the field of label volumes of the form's tomograms. more: what else the help says."""
    addPointer(
        form,
        "inputMasks",
        "SetOfTomoMasks",
        "Label volumes",
        f"TomoMasks of these tomograms, of the same size; matched by their names (tsId). {more}",
        condition=condition,
        important=True,
    )
