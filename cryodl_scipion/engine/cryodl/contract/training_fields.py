# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters that all trainings share, declared once."""

import dataclasses
import typing

from .outputs import Details, Outputs, output
from .params import param

OWN = "the network's own"


def model_folder_field() -> typing.Any:
    """Folder that the model is written to."""
    return param("Folder of the new model. It must not exist.", label="Model folder", path="folder")


def steps_field(none_means: str = f"{OWN} number", maximum: int = 10_000_000) -> typing.Any:
    """Maximum number of training steps. none_means: what is done without one."""
    return param(
        "Maximum number of training steps. Training stops earlier when the validation metric no longer improves.",
        default=None,
        label="Training steps",
        minimum=1,
        maximum=maximum,
        none_means=none_means,
    )


def learning_rate_field() -> typing.Any:
    """Peak learning rate."""
    return param(
        "Peak learning rate.", default=None, label="Learning rate", minimum=1e-7, maximum=1, none_means=OWN, expert=True
    )


def batch_size_field(
    what: str, default: typing.Optional[int] = None, none_means: str = OWN, maximum: int = 4096
) -> typing.Any:
    """Number of items per training step. what: their name in the plural."""
    return param(
        f"{what} per training step.",
        default=default,
        label="Batch size",
        minimum=1,
        maximum=maximum,
        none_means="" if default else none_means,
        expert=True,
    )


def start_from_field(what: str) -> typing.Any:
    """The model that a training starts from. what: what may be given, capitalised."""
    return param(
        f"{what} to continue from, instead of random weights. It must be of the same network.",
        default=None,
        label="Start from model",
        path="model",
        none_means="start from random weights",
        expert=True,
    )


def validation_fraction_field(help: str, default: float = 0.2, minimum: float = 0.05) -> typing.Any:
    """Fraction of the data held out for validation. help: the fraction of what, and how it is chosen."""
    return param(help, default=default, label="Validation fraction", minimum=minimum, maximum=0.5, expert=True)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingOutputs(Outputs):
    """Outputs of all trainings."""

    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    validation: Details = output("Metrics on the validation data, by name.")
    stop_reason: str = output("Why the training ended.")
