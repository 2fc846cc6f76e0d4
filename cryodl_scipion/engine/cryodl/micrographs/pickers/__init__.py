# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle pickers: one published method per file, and its row in contract/networks.py."""

import os
import typing

import torch

from ...learning.task import method_of
from .method import PickerMethod


def picker_method(name: str) -> PickerMethod:
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("picker", name)


def load_network(
    method: typing.Any, weights: typing.Mapping[str, torch.Tensor], source: str | os.PathLike[str]
) -> typing.Any:
    """A method's network with the weights of a model. weights: {name: tensor}. source: the model's folder, for the
    message. Raises ValueError if they are of another network."""
    try:
        network = method.build_like(weights)
        network.load_state_dict(weights)
    except (KeyError, RuntimeError):
        raise ValueError(
            f"The weights of {source} do not fit the network {method.name} of this version of "
            "cryodl. Train the model again, or use the version that its card.json names."
        ) from None
    return network
