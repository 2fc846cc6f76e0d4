# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoisers of particle images: one network per file, and its row in contract/networks.py."""

from ...learning.registry import method_of


def denoiser_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("denoiser", name)


def load_denoiser(folder, device):
    """A Denoiser (see run.py) of a model folder, ready on a torch.device. Raises ValueError as io.model.read_model."""
    from ...io.model import find_model, read_model
    from .run import Denoiser

    return Denoiser(*read_model(find_model(folder, "denoiser"), "denoiser"), device)
