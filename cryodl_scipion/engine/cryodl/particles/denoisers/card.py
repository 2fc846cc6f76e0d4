# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a denoiser: training data, and warnings about the training."""

import hashlib
import typing
from pathlib import Path

from ...contract import TrainDenoiserConfig
from ...io.particle_sets import ParticleSet
from ...learning.recipe import TrainingRun
from .pairs import Pairs
from .train import DenoiserTask

FEW_PARTICLES = 20  # validation particles
POOR_GAIN = 1.05  # mean FRC over the raw images' below which nothing was learnt
TARGETS = 64  # kept beside the model, for the noise control


def model_card(
    config: TrainDenoiserConfig, pairs: Pairs, diameter: float, task: DenoiserTask, run: TrainingRun
) -> dict[str, typing.Any]:
    """The model card: all that denoising and a reader need to know. pairs: Pairs. diameter: Å. task: DenoiserTask after
    training. run: after it."""
    structures = list(config.structure) * (len(config.particles) if len(config.structure) == 1 else 1)
    sets = [
        dict(
            particles=str(one.path),
            structure=str(structure),
            number=len(one),
            training=len(training),
            validation=len(validation),
            sha256=names_digest(one, training),
            contrast=contrast,
            snr=round(float(snr), 5),
            ctf_state=fit.ctf_state,
        )
        for one, structure, training, validation, contrast, snr, fit in zip(
            pairs.particles, structures, pairs.training, pairs.validation, pairs.contrasts, pairs.snrs, pairs.fits
        )
    ]
    training = dict(
        particles=sum(s["training"] for s in sets),
        validation_particles=sum(s["validation"] for s in sets),
        simulated=config.simulated_fraction,
        **run.record(),
        batch_size=task.batch_size,
        loss=config.loss,
        adversarial=task.method.adversarial,
    )
    return dict(
        kind="denoiser",
        name=Path(config.output).name,
        network=config.network,
        pixel_size=pairs.pixel_size,
        box=pairs.box,
        particle_diameter=round(diameter, 1),
        structures=[Path(s).name for s in dict.fromkeys(structures)],
        ctf="wiener" if task.method.uses_ctf else "none",
        scales=[float(s) for s in pairs.scales],
        training=training,
        training_particles=sets,
        validation=run.metrics(),
    )


def names_digest(particles: ParticleSet, rows: typing.Iterable[int]) -> str:
    """sha256 of the training particles' names, a line each in the file's order: tells whether others are the same."""
    return hashlib.sha256("\n".join(particles.names[row] for row in sorted(rows)).encode()).hexdigest()


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    metrics, training = card["validation"], card["training"]
    if training["validation_particles"] < FEW_PARTICLES:
        yield (
            f"Only {training['validation_particles']} particles were held out for validation, so its metrics are "
            "uncertain."
        )
    elif metrics["frc"] < POOR_GAIN * metrics["frc_raw"]:
        yield (
            f"The mean FRC with the projections is {metrics['frc']:.3f} on the validation data, and "
            f"{metrics['frc_raw']:.3f} for the raw images: the network has learnt nothing. Check that structure, "
            "angles and pixel size belong to these particles, and check the sample pictures."
        )
