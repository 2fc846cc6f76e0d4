# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoisers of particle images: one network per file, and its row in contract/networks.py."""

import os

import torch

from ...io.model import find_model, read_model
from ...learning.task import method_of
from .run import Denoiser
from .swinconv import SwinConv


def denoiser_method(name: str) -> SwinConv:
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("denoiser", name)


def load_denoiser(folder: str | os.PathLike[str], device: torch.device) -> Denoiser:
    """A Denoiser (see run.py) of a model folder, ready on a torch.device. Raises ValueError as io.model.read_model."""
    return Denoiser(*read_model(find_model(folder, "denoiser"), "denoiser"), device)
