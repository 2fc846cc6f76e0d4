# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-denoiser`: oriented particles and the structure that they show in, a model folder out. Train and write
the model. A killed training continues from <output>.partial."""

import typing

import numpy as np
import torch

from ...contract import TrainDenoiserConfig, TrainDenoiserOutputs, counted, network_words
from ...io.particle_sets import ParticleSet, read_particles, usable
from ...io.particles import write_stack
from ...learning.recipe import TrainingRun, refuse_steps, say_weakness, start_weights
from ...running.runner import PROGRAM, Run, command
from ...simulate.particle_images import load_projector
from ..denoisers import denoiser_method, scales
from ..denoisers.method import DenoiserMethod, load_network
from ..denoisers.pairs import Pairs
from ..denoisers.train import TARGETS, DenoiserTask, card_warnings, model_card

MARGIN = 1.02  # a pixel size coarser than the particles' by less than this is not worth resampling


@command
def train_denoiser(config: TrainDenoiserConfig, run: Run) -> TrainDenoiserOutputs:
    training, method = TrainingRun(run), denoiser_method(config.network)
    if not method.learns:
        refuse_steps(config, "steps", "start_from")
    need = ("angles", "raw") + ("ctf",) * method.uses_ctf
    particles = [usable(read_particles(path, need=need), run.skip).divided() for path in config.particles]
    pairs, diameter, notes = _pairs(run, particles, training.take_device())  # what it refuses leaves no folder behind
    folder = training.take_folder(*dict.fromkeys(file for one in particles for file in one.files))
    _say_start(run, method, pairs, diameter, notes)
    say_weakness(config.network, method)
    training.start()
    task = _task(config, method, pairs, scales.measure_pairs(pairs, run.seed))
    training.fit(task) if method.learns else training.measure(task)
    card = model_card(config, pairs, diameter, task, training)
    targets = pairs.targets(TARGETS, np.random.default_rng(pairs.seed))  # what the noise control compares with
    write_stack(folder / "training_targets.mrcs", targets, pairs.pixel_size)
    training.finish(card, task.networks["denoiser"].state_dict())
    run.warn(*card_warnings(card))
    _tell(run, card)
    return TrainDenoiserOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        pixel_size=pairs.pixel_size,
        box=pairs.box,
    )


def _pairs(
    run: Run[TrainDenoiserConfig], particles: typing.Sequence[ParticleSet], device: torch.device
) -> tuple[Pairs, float, list[str]]:
    config = run.config
    pixel_size, box = denoiser_grid(particles, config.resolution)
    structures = config.structure * (len(particles) if len(config.structure) == 1 else 1)
    loaded = {one: load_projector(one, pixel_size, box, device) for one in dict.fromkeys(structures)}
    diameter = max(diameter for _, diameter, _ in loaded.values())
    pairs = Pairs(
        particles,
        [loaded[one][0] for one in structures],
        box,
        pixel_size,
        diameter,
        config.simulated_fraction,
        config.contrast,
        config.resolution,
        seed=run.seed,
        rotations=denoiser_method(config.network).rotations,
    )
    return pairs, diameter, [note for _, _, notes in loaded.values() for note in notes]


def denoiser_grid(particles: typing.Sequence[ParticleSet], resolution: float | None) -> tuple[float, int]:
    """Pixel size (Å/px) and even box (px) that the network works at.

    The coarsest pixels of the sets, or half of the resolution where that is coarser: nothing finer is to be learnt, and
    a small box is quick. The box is the largest of the sets in Å. particles: ParticleSets. resolution: Å or None."""
    finest = max(one.pixel_size for one in particles)
    pixel_size = resolution / 2 if resolution and resolution / 2 > MARGIN * finest else finest
    widest = max(one.box * one.pixel_size for one in particles)
    return pixel_size, max(16, 2 * int(np.floor(widest / pixel_size / 2 + 1e-6)))


def _say_start(
    run: Run[TrainDenoiserConfig], method: DenoiserMethod, pairs: Pairs, diameter: float, notes: typing.Sequence[str]
) -> None:
    config = run.config
    print(*notes, *pairs.notes, sep="\n")
    run.warn(*pairs.warnings)
    made = f", {config.simulated_fraction:.0%} of the pairs simulated from the structure" if method.learns else ""
    print(
        f"{'Training' if method.learns else 'Measuring for'} the {config.network} denoiser on {run.device_name}: "
        f"{sum(len(rows) for rows in pairs.training)} "
        f"particles of {diameter:.0f} Å, box {pairs.box} px x {pairs.pixel_size:.4g} Å{made}."
    )


def _task(
    config: TrainDenoiserConfig, method: DenoiserMethod, pairs: Pairs, statistics: scales.Statistics
) -> DenoiserTask:
    if config.start_from:
        card, weights = start_weights(config, "denoiser", network=config.network, box=pairs.box)
        network = load_network(method, pairs.box, weights, config.start_from, len(card["scales"]))
    else:
        network = method.build(pairs.box, len(pairs.particles))
    method.learn(network, pairs, statistics)
    return DenoiserTask(method, network, pairs, statistics.amplitude, config.loss, config.batch_size)


def _tell(run: Run[TrainDenoiserConfig], card: dict[str, typing.Any]) -> None:
    training, validation, of = card["training"], card["validation"], ", ".join(card["structures"])
    particles = counted(training["particles"], "particle")
    learns, steps = bool(training.get("steps")), counted(training.get("steps", 0), "step")
    run.summary(
        f"Model {run.config.output}, network {card['network']}, of {of}; working pixel size {card['pixel_size']:.4g} "
        f"Å/px, box size {card['box']} px.",
        f"{'Trained' if learns else 'Measured'} on {particles}, {training['validation_particles']} more for "
        f"validation; {f'{steps}, stopped: ' if learns else ''}{training['stop_reason']}.",
        f"On the held-out particles: mean FRC with the projections {validation['frc']:.3f}, of the raw images "
        f"{validation['frc_raw']:.3f}.",
        "Denoised images are not raw data. Evaluate the denoiser to measure what it invents.",
    )
    words = f"The denoiser {card['name']}, {network_words('denoiser', card['network'])}, was "
    run.methods(
        f"{words}trained with {PROGRAM} in {steps} on {particles} with projections of {of} as targets."
        if learns
        else f"{words}made with {PROGRAM} from {of}; strength, noise and shifts were measured on {particles}."
    )
