# SPDX-License-Identifier: GPL-3.0-or-later
"""The method object of a network's row in contract/networks.py."""

import importlib
import typing

from ..contract.networks import network_row


def method_of(kind: str, name: str) -> typing.Any:
    """The method of a network: how it is built, trained and used.

    Parameters
    ----------
    kind : str
        Kind of the model: 'picker', 'denoiser', 'segmenter', 'classifier' or 'map_improver'.
    name : str
        Name of the network, as in the model's card.

    Returns
    -------
    object
        A new object of the class that the row names.

    Raises
    ------
    ValueError
        If no network of this kind has the name; the message lists the names.
    """
    row = network_row(kind, name)
    # Imported here: torch, and one network instead of all.
    return getattr(importlib.import_module(f"cryodl.{row.module}"), row.method)()
