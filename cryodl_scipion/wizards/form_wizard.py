# SPDX-License-Identifier: GPL-3.0-or-later
"""What all helpers beside form fields share.

The class is not imported by its name: Scipion would take it for a helper of no field. Choosing among shipped models."""

from typing import Any, Dict, List, Tuple

from pyworkflow.object import String
from pyworkflow.protocol import Form
from pyworkflow.wizard import Wizard

from .. import protocols
from ..engine.cryodl import contract
from ..protocols.model_field import shippedModels


class FormWizard(Wizard):
    """A child says in its head title, and field="names of protocols, without CryodlProt", and opens its window in
    `open`; what that raises is a message's text."""

    open: Any

    def __init_subclass__(cls, title: str, **fields: str) -> None:
        cls._title = title
        cls._targets = [(vars(protocols)[f"CryodlProt{n}"], [f]) for f, names in fields.items() for n in names.split()]

    def show(self, form: Form, *params: Any) -> None:
        try:
            self.open(form)
        except (ValueError, OSError) as error:
            form.showError(str(error), self._title)


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


def shippedModelLines(kind: str = "picker") -> List[Tuple[str, str]]:
    """[(name, what its card says)] of the models of a kind that come with the plugin."""
    cards = {name: contract.read_card(folder) for name, folder in shippedModels(kind).items()}
    return [(name, f"{card['network']}, {_purposeOf(card)}") for name, card in cards.items()]


def _purposeOf(card: Dict[str, Any]) -> str:
    if card["kind"] == "segmenter":
        return f"for {card['feature']}s in tomograms"
    if card["kind"] == "micrograph_denoiser":
        return "for all micrographs and particles"
    if card["kind"] == "map_improver":
        return f"for maps of {' to '.join(f'{resolution:.3g}' for resolution in card['resolutions'])} Å"
    if card.get("general"):
        return "for particles of every kind and size"
    return f"trained on particles of {card['particle_diameter']:g} Å"


def chooseShipped(form: Form, field: str, kind: str, none: str, message: str, several: bool = False) -> None:
    """Choose among the shipped models of a kind. none: what to do instead, where there are none."""
    told = [(name, f"{name}: {text}") for name, text in shippedModelLines(kind)]
    if not told:
        raise ValueError(f"This version of the plugin has no shipped {none}")
    chooseIn(form, field, "Shipped models", told, message, several)
