# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle pickers: one published method per file, and its line in REGISTRY.

The names are those of contract.PICKER_NETWORKS (a test keeps them equal).
"""


def picker_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    from .cryolo import CrYOLO
    from .deepem import DeepEM
    from .deeppicker import DeepPicker
    from .eman2 import EMAN2
    from .topaz import Topaz
    from .unet import UNetPicker

    registry = {method.name: method for method in (UNetPicker, DeepPicker, DeepEM, CrYOLO, Topaz, EMAN2)}
    if name not in registry:
        raise ValueError(f"Network {name!r} is not known; choose one of: {', '.join(registry)}.")
    return registry[name]()


def load_network(method, weights, source):
    """A method's network with the weights of a model.

    weights: {name: tensor}. source: the model's folder, for the message. Raises ValueError if they are of another
    network.
    """
    network = method.build()
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(
            f"The weights of {source} do not fit the network {method.name} of this version of "
            "cryodl. Train the model again, or use the version that its card.json names."
        ) from None
    return network
