# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a map improver, with warnings about the training."""

import typing
from pathlib import Path

import numpy as np

from ...contract import TrainMapImproverConfig, counted, network_words
from ...learning.recipe import TrainingRun
from ...running.runner import PROGRAM
from .pairs import MapPairs
from .train import ATOMS, SHELLS, SSIM, ImproverTask

POOR_GAIN = 0.02  # of the correlation with the targets, below which hardly anything was learnt


def model_card(
    config: TrainMapImproverConfig, pairs: MapPairs, task: ImproverTask, run: TrainingRun
) -> dict[str, typing.Any]:
    """The model card: all that improving and a reader need to know. task and run: after training."""
    resolutions = pairs.resolutions()
    training = dict(
        maps=len(pairs.training),
        validation_maps=len(pairs.validation),
        molecules=sorted(pairs.names["training"]),
        validation_molecules=sorted(pairs.names["validation"]),
        simulated=config.simulated if config.structures else 0,
        real_maps=sum(kind == "real" for kind, _ in pairs.sources),
        **run.record(),
        batch_size=task.batch_size,
        ssim=SSIM,
        shells=SHELLS,
        atoms=ATOMS,
        target_resolution=config.target_resolution,
        started_from=config.start_from and Path(config.start_from).name,
    )
    return dict(
        kind="map_improver",
        name=Path(config.output).name,
        network=config.network,
        working_pixel_size=config.working_pixel_size,
        attention=True,
        width=task.method.width,
        resolutions=[round(float(r), 2) for r in (resolutions.min(), resolutions.max())],
        mean_resolution=round(float(np.mean(resolutions)), 2),
        training=training,
        validation=run.metrics(),
    )


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    metrics = card["validation"]
    if metrics["correlation"] < metrics["correlation_before"] + POOR_GAIN:
        yield (
            f"The correlation with the targets is {metrics['correlation']:.3f} on the validation data, and "
            f"{metrics['correlation_before']:.3f} for the original maps: the network has hardly learnt anything. "
            "Train longer, and check the sample pictures."
        )


def card_lines(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """A trained map improver in lines."""
    training, validation = card["training"], card["validation"]
    yield (
        f"Model {card['name']}, network {card['network']}, for maps of "
        f"{' to '.join(f'{r:.3g}' for r in card['resolutions'])} Å, resampled to {card['working_pixel_size']:g} Å/px."
    )
    yield (
        f"Trained on {counted(training['maps'], 'map')} of {counted(len(training['molecules']), 'molecule')}, "
        f"{counted(training['validation_maps'], 'map')} of {counted(len(training['validation_molecules']), 'other')} "
        f"for validation; {counted(training['steps'], 'step')}, stopped: {training['stop_reason']}."
    )
    yield (
        f"On the validation molecules: correlation with the targets {validation['correlation']:.3f}, of the original "
        f"maps {validation['correlation_before']:.3f}."
    )


def methods_of(card: typing.Mapping[str, typing.Any]) -> str:
    """A training for the methods of a paper."""
    training, validation = card["training"], card["validation"]
    simulated = ", simulated from their atomic models" if training["simulated"] else ""
    if training["real_maps"]:
        simulated = f", {counted(training['real_maps'], 'real map')} (with those for validation)" + (
            " and others simulated from atomic models" if simulated else ""
        )
    return (
        f"The map improver {card['name']}, {network_words('map_improver', card['network'])}, was trained with "
        f"{PROGRAM} in {counted(training['steps'], 'step')} on {counted(training['maps'], 'map')} of "
        f"{counted(len(training['molecules']), 'molecule')}{simulated}; on held-out molecules the correlation with "
        f"the density of the models was {validation['correlation']:.3f}, and {validation['correlation_before']:.3f} "
        "for the original maps."
    )
