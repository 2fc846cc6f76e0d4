# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the training of the shipped segmenters."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, network_field, seed_field
from ..networks import SEGMENTER_NETWORKS
from ..outputs import Details, Outputs, Texts, output
from ..params import param
from ..simulation_fields import cache_field
from ..training_fields import model_folder_field, steps_field


@dataclasses.dataclass(frozen=True)
class TrainGeneralSegmenterConfig:
    """Train segmenters of membranes, ribosomes, microtubules and thin filaments on simulated cells."""

    output: str = model_folder_field()
    ribosomes: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) of ribosomes; each is also used stretched to the sizes "
        "of others.",
        label="Ribosomes",
        path="file",
    )
    others: Paths = param(
        "Maps or atomic models of other structures to put into the cells as background.",
        default=(),
        label="Other structures",
        path="file",
    )
    cells: int = param(
        "Number of simulated training cells, 0.25 x 0.25 x 0.09 µm each.",
        default=150,
        label="Cells",
        minimum=1,
        maximum=9000,
    )
    validation_cells: int = param(
        "Number of further cells, for validation and calibration.",
        default=20,
        label="Validation cells",
        minimum=1,
        maximum=1000,
    )
    working_pixel_size: float = param(
        "Pixel size that tomograms are resampled to for the network.",
        default=14.0,
        label="Working pixel size",
        unit="Å/px",
        minimum=5,
        maximum=30,
    )
    network: str = network_field(
        "Network of the segmenters, which share all layers but the last.",
        "unet32",
        choices=tuple(name for name in SEGMENTER_NETWORKS if name in ("unet", "unet3d", "unet16", "unet32")),
    )
    cache: typing.Optional[str] = cache_field(
        "Folder in which the simulated cells are kept (5 MB each), so that another training can use them again.",
        "cells",
        "they are removed at the end",
    )
    start_from: typing.Optional[str] = param(
        "Output folder of an earlier training to continue from (it has a folder for each feature).",
        default=None,
        label="Start from models",
        path="folder",
        none_means="start from random weights",
        expert=True,
    )
    steps: typing.Optional[int] = steps_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainGeneralSegmenterOutputs(Outputs):
    """What `train-general-segmenter` made."""

    models: Texts = output("Model folder of each feature.", path="folder")
    validation: typing.Dict[str, Details] = output("Metrics of each feature on the validation cells, by name.")
    stop_reason: str = output("Why the training ended.")
    pixel_size: float = output("Pixel size that the models work at.", unit="Å/px")


COMMANDS = (
    Command(
        "train-general-segmenter",
        TrainGeneralSegmenterConfig,
        TrainGeneralSegmenterOutputs,
        gpu=True,
        example="cryodl dev train-general-segmenter --ribosomes 70S.mrc --others '*.pdb' --output models/tomograms",
        dev=True,
    ),
)
