# SPDX-License-Identifier: GPL-3.0-or-later
"""What all helpers beside form fields share.

The class is not imported by its name: Scipion would take it for a helper of no field.
"""

from typing import Any

from pyworkflow.object import String
from pyworkflow.protocol.params import Form
from pyworkflow.wizard import Wizard


class FormWizard(Wizard):
    """A child says title and targets, [(protocol, [field])], in its head, and opens its window in `open`; what that
    raises is a message's text."""

    def __init_subclass__(cls, title: str, targets: Any) -> None:
        cls._title, cls._targets = title, targets

    def show(self, form: Form, *params: Any) -> None:
        try:
            self.open(form)
        except (ValueError, OSError) as error:
            form.showError(str(error), self._title)

    open: Any


def chooseIn(form: Form, field: str, title: str, lines: Any, message: str, several: bool = False) -> None:
    """Let the user choose among lines, [(value, text)], and fill a field. several: with all that are
    chosen, not the first."""
    from pyworkflow.gui.dialog import ListDialog
    from pyworkflow.gui.tree import ListTreeProviderString

    items = [String(text) for _, text in lines]
    chosen = ListDialog(form.root, title, ListTreeProviderString(items), message).values
    values = [value for item, (value, _) in zip(items, lines) if item in chosen]
    if values:
        form.setVar(field, ", ".join(values) if several else values[0])
