# SPDX-License-Identifier: GPL-3.0-or-later
"""Classifiers of subtomograms: one method per file, and its row in contract/networks.py."""

from __future__ import annotations

import os
import typing
from pathlib import Path

from ...learning.task import method_of

if typing.TYPE_CHECKING:
    import torch

    from .method import ClassifierMethod
    from .run import Classifier


def classifier_method(name: str) -> ClassifierMethod:
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("classifier", name)


def load_classifier(folder: str | os.PathLike[str], device: torch.device) -> Classifier:
    """A Classifier (see run.py) of a model folder, on a torch.device. Raises ValueError as io.model.read_model."""
    from ...io.model import find_model, read_model
    from .run import Classifier

    return Classifier(*read_model(find_model(folder, "classifier"), "classifier"), device)
