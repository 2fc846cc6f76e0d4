# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle pickers: one published method per file, and its line in REGISTRY.

The names are those of contract.PICKER_NETWORKS (a test keeps them equal).
"""


def picker_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    from .unet import UNetPicker
    registry = {method.name: method for method in (UNetPicker,)}
    if name not in registry:
        raise ValueError(f"Network {name!r} is not known; choose one of: {', '.join(registry)}.")
    return registry[name]()
