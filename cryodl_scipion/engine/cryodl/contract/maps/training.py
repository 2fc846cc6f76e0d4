# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that trains map improvers."""

import dataclasses
import typing

from ..command import Command, output
from ..fields import (
    Paths,
    TrainingOutputs,
    batch_size_field,
    leave_out_field,
    model_folder_field,
    network_field,
    start_from_field,
    steps_field,
)
from ..networks import IMPROVER_NETWORKS
from ..params import Config, found, param
from .map_fields import resolution_problems


@dataclasses.dataclass(frozen=True)
class TrainMapImproverConfig(Config):
    """Train a network that turns reconstructed maps into maps simulated from their atomic models."""

    output: str = model_folder_field()
    pairs: typing.Optional[str] = param(
        "Table (.csv) with the columns map, structure, resolution (Å); paths are relative to the table. The "
        "structures must be in the coordinate frame of their maps.",
        default=None,
        label="Map and model pairs",
        path="file",
        none_means="simulated maps only",
    )
    structures: Paths = param(
        "Atomic models to simulate maps from (glob, files or list file).",
        default=(),
        label="Structures to simulate from",
        path="file",
    )
    leave_out: Paths = leave_out_field(
        "Structures not to learn from, by file name without extension, to keep molecules for tests. Similar "
        "proteins are left out with them."
    )
    network: str = network_field(
        "fast: this project's small 3-D Swin-Conv-UNet for CPUs. swinconv: the published network (EMReady); large, "
        "meant for a GPU.",
        default="fast",
        choices=IMPROVER_NETWORKS,
    )
    simulated: int = param(
        "Number of maps simulated from each structure, with different resolutions and imperfections.",
        default=4,
        label="Simulated maps per structure",
        minimum=0,
        maximum=1000,
    )
    resolution_min: float = param(
        "Finest resolution of simulated maps.", default=3.0, label="Finest resolution", unit="Å", minimum=1, maximum=20
    )
    resolution_max: float = param(
        "Coarsest resolution of simulated maps.",
        default=6.0,
        label="Coarsest resolution",
        unit="Å",
        minimum=1,
        maximum=20,
    )
    working_pixel_size: float = param(
        "Pixel size that maps are resampled to. Use 0.5 for maps of a resolution better than 3 Å.",
        default=1.0,
        label="Working pixel size",
        unit="Å/px",
        minimum=0.3,
        maximum=3,
        expert=True,
    )
    target_resolution: float = param(
        "Resolution of the targets, whatever the map's resolution: with sharp targets the network recovers all "
        "detail that the map supports. 0: the map's resolution (as published).",
        default=3.0,
        label="Resolution of targets",
        unit="Å",
        minimum=0,
        maximum=20,
        expert=True,
    )
    start_from: typing.Optional[str] = start_from_field()
    steps: typing.Optional[int] = steps_field()
    batch_size: typing.Optional[int] = batch_size_field("Boxes per training step.", maximum=1024)

    def check_together(self) -> typing.List[str]:
        return [
            *found(
                (
                    not self.pairs and not self.structures,
                    "No training data are given. Give pairs of maps and models (--pairs), or structures to simulate "
                    "from (--structures).",
                ),
                (
                    not self.pairs and self.structures and not self.simulated,
                    "Simulated maps per structure (--simulated) is 0 and there are no pairs (--pairs): there are no "
                    "training data. Give one of them.",
                ),
            ),
            *resolution_problems(self),
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainMapImproverOutputs(TrainingOutputs):
    """What `train-map-improver` made."""

    maps: int = output("Number of training maps.")
    working_pixel_size: float = output("Working pixel size of the network.", unit="Å/px")


COMMANDS = (
    Command(
        "train-map-improver",
        TrainMapImproverConfig,
        TrainMapImproverOutputs,
        gpu=True,
        several=True,
        seeded=True,
        example="cryodl dev train-map-improver --structures 'structures/*.cif' --pairs pairs.csv --output models/mine",
        dev=True,
    ),
)
