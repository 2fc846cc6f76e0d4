# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that picks without a trained model."""

import dataclasses
import typing

from ..fields import (
    Paths,
    device_field,
    micrographs_field,
    model_field,
    names_field,
    output_folder_field,
    pixel_size_field,
    seed_field,
    threads_field,
)
from ..outputs import output
from ..params import param
from .pick_fields import border_field, micrograph_contrast_field, particle_diameter_field, pick_threshold_field
from .picking import PickOutputs


@dataclasses.dataclass(frozen=True)
class AutoPickConfig:
    """Pick without labels: a general model picks, and its confident picks retrain it until it is no better."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = output_folder_field(
        "Folder for one <micrograph>.star each, the rounds (rounds/<number>) and the last model (model). A stopped run "
        "continues here."
    )
    particle_diameter: typing.Optional[float] = particle_diameter_field(
        default=None, none_means="a general model finds it in the micrographs"
    )
    model: str = model_field(
        "Model to begin with: a folder or a shipped model.", default="general", label="First model"
    )
    rounds: int = param(
        "Maximum number of rounds of training on the micrographs' own picks. It stops earlier if a round is no better.",
        default=3,
        label="Rounds",
        minimum=0,
        maximum=20,
    )
    training_micrographs: int = param(
        "Micrographs that the rounds learn from, spread over the set; all are picked at the end.",
        default=12,
        label="Training micrographs",
        minimum=2,
        maximum=1000,
    )
    corrections: typing.Optional[str] = param(
        "Folder of picks that were corrected by hand (pick-by-hand). Confirmed picks and removed picks are learnt in "
        "every round, beside the confident picks.",
        default=None,
        label="Corrected picks",
        path="folder",
        none_means="the rounds learn from their own picks alone",
    )
    confident: float = param(
        "Picks with at least this score are learnt as particles, positions with a score below 1 minus it as "
        "background. The rest is left out.",
        default=0.8,
        label="Confident score",
        minimum=0.5,
        maximum=0.99,
        expert=True,
    )
    steps: typing.Optional[int] = param(
        "Training steps of a round.",
        default=None,
        label="Training steps",
        minimum=1,
        maximum=1000000,
        none_means="200",
        expert=True,
    )
    threshold: typing.Optional[float] = pick_threshold_field("the last model's")
    contrast: str = micrograph_contrast_field(
        "Whether protein is darker or brighter than its surroundings. auto: a general model compares both on some "
        "micrographs, another model has its own."
    )
    border: float = border_field()
    seed: int = seed_field()
    names: Paths = names_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AutoPickOutputs(PickOutputs):
    """What `auto-pick` wrote: its picks, by the best round's model."""

    model: str = output("Folder of that model.", path="folder", becomes="outputModel: CryodlModel")
    rounds: typing.List[typing.Any] = output("The rounds, as rounds.csv holds them.", default=())
    best_round: int = output("Number of the round whose model picked.", default=0)
    stop_reason: str = output("Why no further round was done.", default="")
