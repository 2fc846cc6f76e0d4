# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that trains the general picker."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, network_field, seed_field
from ..networks import PICKER_NETWORKS
from ..outputs import Details, Outputs, output
from ..params import param
from ..simulation_fields import cache_field, leave_out_field
from ..training_fields import batch_size_field, model_folder_field

REAL_MARKS = ("complete", "partial")


@dataclasses.dataclass(frozen=True)
class TrainGeneralPickerConfig:
    """Train a general picker on simulated micrographs of many shapes, and on labelled real micrographs."""

    output: str = model_folder_field()
    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) to simulate from (glob, files or list file).",
        default=(),
        label="Structures",
        path="file",
    )
    procedural: int = param(
        "Number of artificial assemblies (blobs, rings, shells, rods, membrane proteins ...) to simulate beside the "
        "structures.",
        default=120,
        label="Artificial assemblies",
        minimum=0,
        maximum=100000,
    )
    sets: typing.Optional[str] = param(
        "Table of labelled real micrographs: a .csv file with the columns name, micrographs (glob), coordinates "
        "(folder), pixel_size (Å/px), particle_diameter (Å). Paths are relative to the table.",
        default=None,
        label="Real sets",
        path="file",
        none_means="simulated micrographs only",
    )
    leave_out: Paths = leave_out_field(
        "Names of real sets, and of structure files without extension, to hold out from training, for tests on "
        "molecules that the model never saw."
    )
    simulated: int = param(
        "Number of simulated micrographs, each of 512 x 512 px at the network's scale.",
        default=360,
        label="Simulated micrographs",
        minimum=2,
        maximum=1000000,
    )
    faint_fraction: float = param(
        "Fraction of the simulated micrographs with very low contrast (SNR 0.008 to 0.12) and mostly touching "
        "particles.",
        default=0.5,
        label="Fraction of faint micrographs",
        minimum=0,
        maximum=1,
    )
    real_fraction: float = param(
        "Fraction of the training crops that is taken from real sets, if there are any.",
        default=0.2,
        label="Fraction of real crops",
        minimum=0,
        maximum=1,
    )
    real_marks: str = param(
        "How complete the labels of the real sets are. complete: everything that is not labelled is background. "
        "partial: some particles are not labelled; unlabelled positions that Start from model scores like labelled "
        "ones are ignored in training.",
        default="complete",
        label="Labels of real sets",
        choices=REAL_MARKS,
    )
    network: str = network_field(
        "Network. unet (wider than that of train-picker) also estimates the particles' size, so that its models need "
        "no particle diameter. Models of the other networks need one.",
        "unet",
        choices=PICKER_NETWORKS,
    )
    steps: int = param("Training steps.", default=1800, label="Training steps", minimum=1, maximum=10000000)
    start_from: typing.Optional[str] = param(
        "General model of the same network to continue from, instead of random weights: a folder or a shipped model.",
        default=None,
        label="Start from model",
        path="model",
        none_means="start from random weights",
        expert=True,
    )
    cache: typing.Optional[str] = cache_field(
        "Folder in which the simulated micrographs are kept (0.6 MB each), so that another training can use them "
        "again.",
        "micrographs",
        "they are simulated anew in each run",
    )
    batch_size: int = batch_size_field("Crops", 8, maximum=1024)
    learning_rate: typing.Optional[float] = param(
        "Peak learning rate of the optimiser.",
        default=None,
        label="Learning rate",
        minimum=1e-7,
        maximum=1,
        none_means="the network's, 0.003 for unet",
        expert=True,
    )
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        if not self.structures and not self.procedural:
            return [
                "There is nothing to simulate from. Give Structures (--structures), or a number of Artificial "
                "assemblies (--procedural)."
            ]
        if self.real_marks == "partial" and not (self.sets and self.start_from):
            return [
                "Partial labels (--real-marks partial) need Real sets (--sets) and a general model that scores "
                "them: Start from model (--start-from)."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class TrainGeneralPickerOutputs(Outputs):
    """What `train-general-picker` made."""

    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    threshold: float = output("Score at which F1 on the validation micrographs is best.")
    threshold_uncertainty: typing.Optional[float] = output("Standard deviation of the threshold.")
    validation: Details = output(
        "Metrics on simulated micrographs of held-out molecules, and the expected calibration error."
    )
    structures: int = output("Number of training structures.")
    procedural: int = output("Number of artificial assemblies in the training.")
    real_sets: typing.List[str] = output("Names of the real sets in the training.")


COMMANDS = (
    Command(
        "train-general-picker",
        TrainGeneralPickerConfig,
        TrainGeneralPickerOutputs,
        gpu=True,
        example="cryodl dev train-general-picker --structures 'structures/*.cif' --output general",
        dev=True,
    ),
)
