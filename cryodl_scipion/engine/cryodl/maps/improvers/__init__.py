# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that improve maps: REGISTRY has them by name. To add one: its class here, its name in contract/fields.py."""

from ...contract.networks import IMPROVER_NETWORKS
from .method import Fast, Published

REGISTRY = {method.name: method for method in (Fast(), Published())}


def improver_method(name):
    """The method of this name. Raises ValueError that lists all."""
    if name not in REGISTRY:
        raise ValueError(f"There is no map improver called {name!r}; choose one of: {', '.join(IMPROVER_NETWORKS)}.")
    return REGISTRY[name]
