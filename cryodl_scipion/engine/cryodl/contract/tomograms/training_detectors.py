# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that trains detectors of particles in tomograms."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, network_field, seed_field
from ..networks import DETECTOR_NETWORKS
from ..outputs import Details, Numbers, output
from ..params import param
from ..training_fields import (
    TrainingOutputs,
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    start_from_field,
    steps_field,
    validation_fraction_field,
)
from .tomogram_fields import tomogram_names_field, tomogram_pixel_size_field, tomograms_field, working_pixel_size_field


@dataclasses.dataclass(frozen=True)
class TrainDetectorConfig:
    """Train a network that detects particles of one or several species in tomograms, from their coordinates."""

    output: str = model_folder_field()
    tomograms: Paths = tomograms_field(
        "Tomograms in which the coordinates of all particles of the species are known; the rest is background."
    )
    coordinates: Paths = param(
        "Files of the particles' coordinates: STAR (RELION 5 centred coordinates in Å, or rlnCoordinateX/Y/Z in px "
        "of these tomograms, with rlnTomoName), Dynamo tables (.tbl), IMOD models (.mod) or copick picks (.json). "
        "The species is read from the column cryodlSpecies, cryodlStructure or rlnClassNumber, or else from the "
        "file name; where the file is named as its tomogram, the species is the only one of Diameters or Species, or "
        "'particle'.",
        label="Coordinates",
        path="file",
    )
    diameter: Paths = param(
        "Diameter of the particles, in Å: one number for all species, or one for each as name=number.",
        label="Diameters",
        unit="Å",
    )
    species: Paths = param("Species to learn. Other species are background.", default=(), label="Species")
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    working_pixel_size: typing.Optional[float] = working_pixel_size_field(
        "that of the tomograms, or a larger one at which the smallest particle is still 12 px wide"
    )
    network: str = network_field(
        "unet3d: 3-D U-Net that predicts a heat map of each species, with peaks at the particles' centres. wide: "
        "the same with twice the channels; slower, for many tomograms.",
        "unet3d",
        choices=DETECTOR_NETWORKS,
    )
    beta: float = param(
        "Weight of recall relative to precision. Thresholds are chosen for the largest F-beta on the held-out data. "
        "1: recall and precision have the same weight. 4: a missed particle is much worse than a false one.",
        default=4.0,
        label="Beta",
        minimum=0.1,
        maximum=20,
    )
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(8)
    validation_fraction: float = validation_fraction_field(
        "Fraction of the tomograms held out to choose weights and thresholds; of a single tomogram, a part of it."
    )
    batch_size: typing.Optional[int] = batch_size_field("Crops")
    learning_rate: typing.Optional[float] = learning_rate_field()
    start_from: typing.Optional[str] = start_from_field("Detector")
    names: Paths = tomogram_names_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainDetectorOutputs(TrainingOutputs):
    """What `train-detector` made."""

    species: typing.List[str] = output("Names of the species.")
    thresholds: Numbers = output("Score threshold of each species.")
    validation: typing.Dict[str, Details] = output("Metrics of each species on the held-out data.")
    pixel_size: float = output("Working pixel size of the model.", unit="Å/px")


COMMANDS = (
    Command(
        "train-detector",
        TrainDetectorConfig,
        TrainDetectorOutputs,
        gpu=True,
        example="cryodl train-detector --tomograms 'tomograms/*.mrc' --coordinates labels.star --diameter "
        "ribosome=300 ferritin=120 --output models/particles",
    ),
)
