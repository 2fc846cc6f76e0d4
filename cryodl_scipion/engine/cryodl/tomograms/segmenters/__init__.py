# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenters of tomograms: one network per file, and its row in contract/networks.py."""

from __future__ import annotations

import typing
from pathlib import Path

from ...learning.task import method_of

if typing.TYPE_CHECKING:
    import torch

    from .method import SegmenterMethod
    from .slabs import Segmenter


def segmenter_method(name: str) -> SegmenterMethod:
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("segmenter", name)


def load_segmenter(folder: Path, device: torch.device) -> Segmenter:
    """A Segmenter (see segmenter.py) of a model folder, ready on a torch.device. Raises ValueError as
    io.model.read_model."""
    from ...io.model import find_model, read_model
    from .slabs import Segmenter

    return Segmenter(*read_model(find_model(folder, "segmenter"), "segmenter"), device)
