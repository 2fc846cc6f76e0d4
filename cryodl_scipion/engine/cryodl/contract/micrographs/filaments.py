# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters and outputs of the commands that pick filaments."""

import dataclasses
import typing

from ..command import Command
from ..fields import (
    Paths,
    micrographs_field,
    model_field,
    names_field,
    output_folder_field,
    pixel_size_field,
    seed_field,
)
from ..outputs import Counts, Details, Numbers, Outputs, Texts, output
from ..params import param
from ..training_fields import batch_size_field, learning_rate_field, model_folder_field, steps_field
from .pick_fields import border_field, overwrite_field, pictures_field, tile_memory_field

FILAMENT_CONTRASTS = ("dark", "bright")


@dataclasses.dataclass(frozen=True)
class PickFilamentsConfig:
    """Trace filaments in micrographs and place segments along them."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    filament_diameter: float = param(
        "Diameter of the filament: 250 Å for a microtubule, 70 to 80 Å for actin. A value that is a quarter too "
        "small misses many filaments.",
        label="Filament diameter",
        unit="Å",
        minimum=20,
        maximum=2000,
    )
    output: str = output_folder_field(
        "Folder for one <micrograph>.star each. An interrupted run continues here; finished micrographs are not "
        "picked again."
    )
    model: str = model_field("Model folder, or the name of a shipped model.", default="filaments")
    segment_distance: typing.Optional[float] = param(
        "Distance between the centres of neighbouring segments: the helical rise times the number of asymmetric units "
        "that each box adds.",
        default=None,
        label="Segment distance",
        unit="Å",
        minimum=1,
        maximum=5000,
        none_means="half the filament's diameter",
    )
    minimum_length: typing.Optional[float] = param(
        "Shorter filaments are left out.",
        default=None,
        label="Minimum length",
        unit="Å",
        minimum=0,
        maximum=100000,
        none_means="five diameters",
    )
    threshold: typing.Optional[float] = param(
        "Filaments with a lower mean score are left out.",
        default=None,
        label="Score threshold",
        minimum=0.05,
        maximum=1,
        none_means="the model's",
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings.",
        default="dark",
        label="Contrast",
        choices=FILAMENT_CONTRASTS,
        expert=True,
    )
    keep_edges: bool = param(
        "Keep filaments that run along the edge of a carbon film or of a filled margin. Most of these are the edge "
        "itself.",
        default=False,
        label="Keep filaments along edges",
        expert=True,
    )
    border: typing.Optional[float] = border_field(
        what="Segments", default=None, none_means="half the filament's diameter"
    )
    overwrite: bool = overwrite_field()
    memory: float = tile_memory_field()
    pictures: int = pictures_field(
        "Pictures of the first micrographs to draw beside the STAR files, with the traced filaments. 0: none."
    )
    names: Paths = names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class PickFilamentsOutputs(Outputs):
    """What `pick-filaments` wrote."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output(
        "STAR file of each micrograph: segments with the columns of RELION's helical processing.",
        path="file",
        becomes="outputCoordinates: SetOfCoordinates",
    )
    counts: Counts = output("Number of segments of each micrograph.")
    filaments: Counts = output("Number of filaments of each micrograph.")
    lengths: Numbers = output("Total filament length of each micrograph.", unit="Å")
    segments: int = output("Total number of segments.")
    threshold: float = output("Minimum mean score of a filament.")
    filament_diameter: float = output("Filament diameter used for picking.", unit="Å")
    segment_distance: float = output("Distance between the centres of neighbouring segments.", unit="Å")
    model: str = output("Model folder.", path="folder")
    pictures: Texts = output("Pictures of the first micrographs.", path="file")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px", default=None
    )
    at_edges: typing.Optional[Counts] = output(
        "Number of traces of each micrograph that were left out because they run along the edge of a carbon film or of "
        "a filled margin.",
        default=None,
    )


@dataclasses.dataclass(frozen=True)
class TrainFilamentPickerConfig:
    """Train a filament picker on simulated micrographs of filaments of every kind."""

    output: str = model_folder_field()
    simulated: int = param(
        "Number of simulated training micrographs. A fifteenth of this number is added for validation, and another "
        "fifteenth for the test metrics in the model card.",
        default=450,
        label="Simulated micrographs",
        minimum=4,
        maximum=100000,
    )
    steps: typing.Optional[int] = steps_field("4000")
    batch_size: int = batch_size_field("Crops", default=8)
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainFilamentPickerOutputs(Outputs):
    """What `train-filament-picker` wrote."""

    model: str = output("Model folder.", path="folder")
    threshold: float = output(
        "Lowest threshold at which 98 % of the traced length on the validation micrographs is correct."
    )
    validation: Details = output(
        "precision, recall and f1 by length, and angle_median and angle_mean (degrees), on simulated test micrographs."
    )


COMMANDS = (
    Command(
        "pick-filaments",
        PickFilamentsConfig,
        PickFilamentsOutputs,
        gpu=True,
        example="cryodl pick-filaments --micrographs 'mics/*.mrc' --pixel-size 1.2 --filament-diameter 250 "
        "--output segments/",
        kept="micrograph",
    ),
    Command(
        "train-filament-picker",
        TrainFilamentPickerConfig,
        TrainFilamentPickerOutputs,
        gpu=True,
        example="cryodl dev train-filament-picker --output models/filaments",
        dev=True,
    ),
)
