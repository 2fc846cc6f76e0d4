# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that picks without a trained model."""

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
from ..outputs import output
from ..params import param
from .pick_fields import border_field, micrograph_contrast_field, particle_diameter_field, pick_threshold_field
from .picking import PickOutputs


@dataclasses.dataclass(frozen=True)
class AutoPickConfig:
    """Pick without labels: a general model picks, and is retrained on its confident picks until it no longer
    improves."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = output_folder_field(
        "Folder for one <micrograph>.star each, the rounds (rounds/<number>) and the last model (model). An "
        "interrupted run continues here."
    )
    particle_diameter: typing.Optional[float] = particle_diameter_field(
        default=None, none_means="a general model estimates it from the micrographs"
    )
    model: str = model_field(
        "Model of the first picking: a model folder, or the name of a shipped model.",
        default="general",
        label="First model",
    )
    rounds: int = param(
        "Maximum number of rounds of training on picks of these micrographs. They end earlier when a round is not "
        "better.",
        default=3,
        label="Rounds",
        minimum=0,
        maximum=20,
    )
    training_micrographs: int = param(
        "Number of micrographs to learn from, spread over the set. All micrographs are picked at the end.",
        default=12,
        label="Training micrographs",
        minimum=2,
        maximum=1000,
    )
    corrections: typing.Optional[str] = param(
        "Folder of picks that were corrected by hand (pick-by-hand). Every round also learns from the confirmed and "
        "removed picks, beside the confident ones.",
        default=None,
        label="Corrected picks",
        path="folder",
        none_means="the rounds learn from automatic picks only",
    )
    confident: float = param(
        "Picks with at least this score are learnt as particles; positions with a score below 1 minus this value as "
        "background. The rest is not used.",
        default=0.8,
        label="Confident score",
        minimum=0.5,
        maximum=0.99,
        expert=True,
    )
    steps: typing.Optional[int] = param(
        "Training steps per round.",
        default=None,
        label="Training steps",
        minimum=1,
        maximum=1000000,
        none_means="200",
        expert=True,
    )
    threshold: typing.Optional[float] = pick_threshold_field("the last model's")
    contrast: str = micrograph_contrast_field(
        "Whether protein is darker or brighter than its surroundings. auto: a general model tries both on some "
        "micrographs; other models have the contrast of their training."
    )
    border: float = border_field()
    seed: int = seed_field()
    names: Paths = names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AutoPickOutputs(PickOutputs):
    """What `auto-pick` wrote: the picks of the best round's model."""

    model: str = output("Folder of the best round's model.", path="folder", becomes="outputModel: CryodlModel")
    rounds: typing.List[typing.Any] = output("The rounds, as in rounds.csv.", default=())
    best_round: int = output("Number of the round whose model made the picks.", default=0)
    stop_reason: str = output("Why the rounds ended.", default="")


COMMANDS = (
    Command(
        "auto-pick",
        AutoPickConfig,
        AutoPickOutputs,
        gpu=True,
        example="cryodl auto-pick --micrographs 'mics/*.mrc' --pixel-size 1.77 --particle-diameter 190 --output picks/",
        kept="round",
    ),
)
