# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenters of tomograms: one network per file, and its row in contract/networks.py."""

import functools
from pathlib import Path

import torch

from ...io.model import find_model, read_model
from ...learning.task import method_of
from .slabs import Segmenter

segmenter_method = functools.partial(method_of, "segmenter")


def load_segmenter(folder: Path, device: torch.device) -> Segmenter:
    """A Segmenter of a model folder, ready on a torch.device. Raises ValueError as io.model.read_model."""
    return Segmenter(*read_model(find_model(folder, "segmenter"), "segmenter"), device)
