# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoisers of particle images: one network per file, and its line in the registry.

The names are those of contract.DENOISER_NETWORKS (a test keeps them equal).
"""


def denoiser_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    from .cgan import ConditionalGAN
    from .posterior import Posterior
    from .swinconv import SwinConv

    registry = {method.name: method for method in (SwinConv, ConditionalGAN, Posterior)}
    if name not in registry:
        raise ValueError(f"Network {name!r} is not known; choose one of: {', '.join(registry)}.")
    return registry[name]()


def load_denoiser(folder, device):
    """A Denoiser (see run.py) of a model folder, ready on a torch.device. Raises ValueError as io.model.read_model."""
    from ...io.model import find_model, read_model
    from .run import Denoiser

    return Denoiser(*read_model(find_model(folder, "denoiser"), "denoiser"), device)
