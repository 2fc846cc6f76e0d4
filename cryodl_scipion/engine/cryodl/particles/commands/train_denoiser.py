# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-denoiser`: oriented particles and the structure that they show in, a model folder out.

Result.outputs are the contract's TrainDenoiserOutputs.
"""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...contract import Result, TrainDenoiserConfig
from ...contract.particles.training import TrainDenoiserOutputs
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...io.particle_sets import ParticleSet
    from ..denoisers.method import DenoiserMethod
    from ..denoisers.pairs import Pairs
    from ..denoisers.scales import Statistics
    from ..denoisers.train import DenoiserTask

MARGIN = 1.02  # a pixel size coarser than the particles' by less than this is not worth resampling


def run(config: TrainDenoiserConfig) -> Result:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...io.particle_sets import read_particles
    from ...learning.recipe import TrainingRun, refuse_steps, say_weakness
    from ..denoisers import denoiser_method
    from ..denoisers.card import card_warnings, model_card
    from ..denoisers.scales import measure_pairs

    training, method = TrainingRun(config), denoiser_method(config.network)
    if not method.learns:
        refuse_steps(config, "steps", "learning_rate", "adversarial_weight", "start_from")
    need = ("angles", "raw") + ("ctf",) * method.uses_ctf
    particles = [read_particles(path, need=need) for path in config.particles]
    device = training.take_device()
    pairs, diameter, notes = _pairs(config, particles, device)  # what it refuses leaves no folder behind
    folder = training.take_folder()
    _say_start(config, method, pairs, diameter, notes, training.device_name)
    say_weakness(config.network, method)
    training.start()
    task = _task(config, method, pairs, measure_pairs(pairs, config.seed))
    training.fit(task) if method.learns else training.measure(task)
    card = model_card(config, pairs, diameter, task, training)
    _write_targets(folder, pairs)
    training.finish(card, task.networks["denoiser"].state_dict())
    print(
        f"Model: {config.output} (mean FRC with the projections {card['validation']['frc']:.3f} on the validation "
        f"data, {card['validation']['frc_raw']:.3f} for the raw images)"
    )
    outputs = TrainDenoiserOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        pixel_size=pairs.pixel_size,
        box=pairs.box,
    )
    return training.result(outputs, [*pairs.warnings, *card_warnings(card)])


def _pairs(
    config: TrainDenoiserConfig, particles: typing.Sequence[ParticleSet], device: torch.device
) -> tuple[Pairs, float, list[str]]:
    """Pairs of the config, the largest structure's diameter in Å, and sentences about the structures."""
    from ...simulate.particle_images import load_projector
    from ..denoisers import denoiser_method
    from ..denoisers.pairs import Pairs

    pixel_size, box = denoiser_grid(particles, config.resolution)
    structures = config.structure * (len(particles) if len(config.structure) == 1 else 1)
    projectors, notes, diameters = {}, [], []
    for structure in dict.fromkeys(structures):
        projectors[structure], diameter, said = load_projector(structure, pixel_size, box, device)
        diameters.append(diameter)
        notes += said
    pairs = Pairs(
        particles,
        [projectors[s] for s in structures],
        box,
        pixel_size,
        max(diameters),
        config.simulated_fraction,
        config.contrast,
        config.resolution,
        config.split_by,
        config.validation_fraction,
        config.seed,
        denoiser_method(config.network).rotations,
    )
    return pairs, max(diameters), notes


def denoiser_grid(particles: typing.Sequence[ParticleSet], resolution: float | None) -> tuple[float, int]:
    """Pixel size (Å/px) and even box (px) that the network works at.

    The coarsest pixels of the sets, or half of the resolution where that is coarser: nothing finer is to be learnt, and
    a small box is quick. The box is the largest of the sets in Å. particles: list of ParticleSet. resolution: Å or
    None.
    """
    finest = max(one.pixel_size for one in particles)
    pixel_size = resolution / 2 if resolution and resolution / 2 > MARGIN * finest else finest
    widest = max(one.box * one.pixel_size for one in particles)
    return pixel_size, max(16, 2 * int(np.floor(widest / pixel_size / 2 + 1e-6)))


def _say_start(
    config: TrainDenoiserConfig,
    method: DenoiserMethod,
    pairs: Pairs,
    diameter: float,
    notes: typing.Sequence[str],
    device: str,
) -> None:
    for sentence in [*notes, *pairs.notes]:
        print(sentence)
    for sentence in pairs.warnings:
        warn(sentence)
    count = sum(len(rows) for rows in pairs.training)
    made = f", {config.simulated_fraction:.0%} of the pairs simulated from the structure" if method.learns else ""
    print(
        f"{'Training' if method.learns else 'Measuring for'} the {config.network} denoiser on {device}: {count} "
        f"particles of {diameter:.0f} Å, box {pairs.box} px x {pairs.pixel_size:.4g} Å{made}."
    )


def _task(config: TrainDenoiserConfig, method: DenoiserMethod, pairs: Pairs, statistics: Statistics) -> DenoiserTask:
    """DenoiserTask with a new network, or with that of --start-from."""
    from ...learning.recipe import start_weights
    from ..denoisers.method import load_network
    from ..denoisers.train import DenoiserTask

    if config.start_from:
        card, weights = start_weights(config, "denoiser", network=config.network, box=pairs.box)
        network = load_network(method, pairs.box, weights, config.start_from, len(card["scales"]))
    else:
        network = method.build(pairs.box, len(pairs.particles))
    method.learn(network, pairs, statistics)
    return DenoiserTask(
        method, network, pairs, statistics.amplitude, config.loss, config.adversarial_weight, config.batch_size
    )


def _write_targets(folder: Path, pairs: Pairs) -> None:
    """Some targets beside the model: what the noise control compares with."""
    from ...io.particles import write_stack
    from ..denoisers.card import TARGETS

    targets = pairs.targets(TARGETS, np.random.default_rng(pairs.seed))
    write_stack(folder / "training_targets.mrcs", targets, pairs.pixel_size)
