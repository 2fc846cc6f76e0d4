# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a detector, with warnings about the training."""

import typing
from pathlib import Path

from ...contract import counted
from ...learning.recipe import TrainingRun
from .calibrate import calibrate_species
from .labels import GatheredLabels
from .train import DetectorTask

POOR = 0.3  # F-beta on held-out particles
FEW = 10  # held-out particles below which a threshold is uncertain


def model_card(
    config: typing.Any, gathered: GatheredLabels, task: DetectorTask, split_in_words: str, run: TrainingRun
) -> dict[str, typing.Any]:
    """The model card: all that detecting and a reader need to know. task and run: after training."""
    sizes = [diameter / gathered.pixel_size for diameter in gathered.diameters]
    found = calibrate_species(task.networks["detector"], task.method, task.validation, sizes, config.beta)
    count = lambda part: [sum(len(one.points[n]) for one in part) for n in range(len(gathered.species))]
    return dict(
        kind="detector",
        name=Path(config.output).name,
        network=config.network,
        species=list(gathered.species),
        diameters=list(gathered.diameters),
        pixel_size=gathered.pixel_size,
        trained_pixel_size=gathered.trained_pixel_size,
        thresholds=[one.threshold for one in found],
        beta=config.beta,
        skew=round(gathered.skew, 4),
        particles=dict(zip(gathered.species, count(task.training))),
        validation={name: one.metrics for name, one in zip(gathered.species, found)},
        training_tomograms=sorted({one.name for one in task.training}),
        validation_tomograms=sorted({one.name for one in task.validation}),
        split=split_in_words,
        training=run.record(),
    )


def card_warnings(card: dict[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    for name in card["species"]:
        metrics = card["validation"][name]
        if not metrics["particles"]:
            yield (
                f"No particle of {name} was held out, so it is not known how well it was learnt, and its threshold "
                "is not validated. Label more."
            )
        elif metrics["f_beta"] < POOR:
            yield (
                f"Of {name} {metrics['found']} of {metrics['particles']} held-out particles were found, with "
                f"{metrics['false']} false detections: it was hardly learnt. Check coordinates and diameter, or "
                "label more."
            )
        elif metrics["particles"] < FEW:
            number = counted(metrics["particles"], "particle")
            yield f"Only {number} of {name} for validation: its metrics and threshold are uncertain."
