# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that picks without a trained model."""

import dataclasses
import typing

from ..fields import CONTRASTS, Paths, device_field, micrographs_field, names_field, pixel_size_field, threads_field
from ..outputs import output
from ..params import param
from .picking import PickOutputs


@dataclasses.dataclass(frozen=True)
class AutoPickConfig:
    """Pick without labels: a general model picks, and its confident picks retrain it until it is no better."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = param(
        "Folder for one <micrograph>.star each, the rounds (rounds/<number>) and the last model "
        "(model). A stopped run continues here.",
        label="Output folder",
        path="folder",
    )
    particle_diameter: typing.Optional[float] = param(
        "Diameter of a circle that just holds the particle.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
        none_means="a general model finds it in the micrographs",
    )
    model: str = param(
        "Model to begin with: a folder or a shipped model.", default="general", label="First model", path="model"
    )
    rounds: int = param(
        "Most rounds of training on the micrographs' own picks; it stops earlier when a round is no better.",
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
        "Folder of picks that were corrected by hand (pick-by-hand). What a human is certain of teaches in every "
        "round, beside the confident picks.",
        default=None,
        label="Corrected picks",
        path="folder",
        none_means="the rounds learn from their own picks alone",
    )
    confident: float = param(
        "Picks with at least this score teach as particles, places with less than 1 minus it as "
        "background; the rest is left out as uncertain.",
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
    threshold: typing.Optional[float] = param(
        "Picks with a lower score are left out. 0 keeps every candidate.",
        default=None,
        label="Score threshold",
        minimum=0,
        maximum=1,
        none_means="the last model's",
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings. auto: a general model compares "
        "both on some micrographs, another model has its own.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )
    border: float = param(
        "Picks whose centre is nearer than this to the micrograph's edge are left out.",
        default=0.0,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=10000,
        expert=True,
    )
    seed: int = param(
        "Seed of every random choice.", default=0, label="Random seed", minimum=0, maximum=2**31 - 1, expert=True
    )
    names: Paths = names_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AutoPickOutputs(PickOutputs):
    """What `auto-pick` wrote: its picks, by the best round's model."""

    rounds: typing.List[typing.Any] = output("The rounds, as rounds.csv holds them.", default=())
    best_round: int = output("Number of the round whose model picked.", default=0)
    stop_reason: str = output("Why no further round was done.", default="")
