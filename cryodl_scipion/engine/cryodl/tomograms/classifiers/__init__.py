# SPDX-License-Identifier: GPL-3.0-or-later
"""Classifiers of subtomograms: one method per file, and its line in the registry.

The names are those of contract.CLASSIFIER_NETWORKS (a test keeps them equal).
"""

import importlib

# Name on the command line: module and class.
REGISTRY = {
    "likelihood": ("likelihood", "Likelihood"),
    "dsrf3d": ("dsrf3d", "DSRF3D"),
    "rb3d": ("rb3d", "RB3D"),
    "cb3d": ("cb3d", "CB3D"),
}


def classifier_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    if name not in REGISTRY:
        raise ValueError(f"Network {name!r} is not known; choose one of: {', '.join(REGISTRY)}.")
    module, method = REGISTRY[name]
    return getattr(importlib.import_module(f".{module}", __name__), method)()


def load_classifier(folder, device):
    """A Classifier (see run.py) of a model folder, on a torch.device. Raises ValueError as io.model.read_model."""
    from ...io.model import find_model, read_model
    from .run import Classifier

    return Classifier(*read_model(find_model(folder, "classifier"), "classifier"), device)
