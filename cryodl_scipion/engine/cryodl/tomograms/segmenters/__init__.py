# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenters of tomograms: one network per file, and its line in the registry.

The names are those of contract.SEGMENTER_NETWORKS (a test keeps them equal).
"""


def segmenter_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    from .eman2 import EMAN2
    from .unet import UNet, UNet2D
    from .unet3d import UNet3D

    registry = {method.name: method for method in (UNet, UNet2D, UNet3D, EMAN2)}
    if name not in registry:
        raise ValueError(f"Network {name!r} is not known; choose one of: {', '.join(registry)}.")
    return registry[name]()


def load_segmenter(folder, device):
    """A Segmenter (see segmenter.py) of a model folder, ready on a torch.device. Raises ValueError as
    io.model.read_model."""
    from ...io.model import find_model, read_model
    from .segmenter import Segmenter

    return Segmenter(*read_model(find_model(folder, "segmenter"), "segmenter"), device)
