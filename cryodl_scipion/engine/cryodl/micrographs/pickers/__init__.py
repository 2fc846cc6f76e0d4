# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle pickers: one published method per file, and its row in contract/networks.py."""

import os
import typing

import torch

from ...learning.task import method_of, with_weights
from .method import PickerMethod


def picker_method(name: str) -> PickerMethod:
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("picker", name)


def load_network(
    method: typing.Any, weights: typing.Mapping[str, torch.Tensor], source: str | os.PathLike[str]
) -> typing.Any:
    """A method's network with the weights of a model. weights: {name: tensor}. source: the model's folder, for the
    message. Raises ValueError if they are of another network."""
    return with_weights(method.build_like(weights), weights, source, method.name)
