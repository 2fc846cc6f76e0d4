# SPDX-License-Identifier: GPL-3.0-or-later
"""What all helpers beside form fields share.

The class is not imported by its name: Scipion would take it for a helper of no field. Choosing among shipped models."""

from typing import Any

from pyworkflow.object import String
from pyworkflow.protocol import Form
from pyworkflow.wizard import Wizard

from .. import protocols
from ..protocols.checks import checkChosen
from ..protocols.inputs import chosenInputs
from ..protocols.model_field import shippedModelLines


class FormWizard(Wizard):
    """A child says in its head title, and field="names of protocols, without CryodlProt", and opens its window in
    `open`; what that raises is a message's text."""

    open: Any

    def __init_subclass__(cls, title: str, **fields: str) -> None:
        cls._title = title
        cls._targets = [(vars(protocols)[f"CryodlProt{n}"], [f]) for f, names in fields.items() for n in names.split()]

    def show(self, form: Form, *params: Any) -> None:
        try:
            # a window would draw joined picks on other micrographs
            wrong = [wrong for _, pointer in chosenInputs(form.protocol) for wrong in checkChosen(pointer.get())]
            if not wrong:
                return self.open(form)
        except Exception as error:  # of many classes, where an input is empty or has no pixel size: the form says so
            wrong = [str(error)] if isinstance(error, (ValueError, OSError)) else form.protocol.validate()
            if not wrong:
                raise
        form.showError("\n".join(wrong), self._title)


def chooseIn(form: Form, field: str, title: str, lines: Any, message: str, several: bool = False) -> None:
    """Let the user choose among lines, [(value, text)], and fill a field. several: with all, not the first."""
    from pyworkflow.gui.dialog import ListDialog
    from pyworkflow.gui.tree import ListTreeProviderString

    items = [String(text) for _, text in lines]
    chosen = ListDialog(form.root, title, ListTreeProviderString(items), message).values
    values = [value for item, (value, _) in zip(items, lines) if item in chosen]
    if values:
        form.setVar(field, ", ".join(values) if several else values[0])


def chooseShipped(form: Form, field: str, kind: str, none: str, several: bool = False) -> None:
    """Choose among the shipped models of a kind. none: what to do instead, where there are none."""
    told = [(name, f"{name}: {text}") for name, text in shippedModelLines(kind)]
    if not told:
        raise ValueError(f"This version of the plugin has no shipped {none}")
    chooseIn(form, field, "Shipped models", told, "Choose one or several" if several else "Choose a model", several)
