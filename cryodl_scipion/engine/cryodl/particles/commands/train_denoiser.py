# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-denoiser`: oriented particles and the structure that they show in, a model folder out.

Result.outputs are the contract's TrainDenoiserOutputs.
"""

from __future__ import annotations

import time
import typing
from pathlib import Path

import numpy as np

from ...contract import Result, TrainDenoiserConfig
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...io.particle_sets import ParticleSet
    from ..denoisers.method import DenoiserMethod
    from ..denoisers.pairs import Pairs
    from ..denoisers.scales import Statistics
    from ..denoisers.train import DenoiserTask

MARGIN = 1.02  # a pixel size coarser than the particles' by less than this is not worth resampling


def run(config: TrainDenoiserConfig) -> Result | None:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...io.model import write_model
    from ...io.particle_sets import read_particles
    from ...learning.run_training import check_output, finish, fit_task, working_folder
    from ...learning.training import measured
    from ..denoisers import denoiser_method
    from ..denoisers.card import card_warnings, model_card
    from ..denoisers.scales import measure

    check_output(config.output)
    need = ("angles", "raw") + ("ctf",) * denoiser_method(config.network).uses_ctf
    particles = [read_particles(path, need=need) for path in config.particles]
    import torch

    from ...core.devices import choose_device, device_name, set_threads

    device = choose_device(config.device)
    set_threads(config.threads)
    method = denoiser_method(config.network)
    _check_options(config, method)
    pairs, diameter, notes = _pairs(config, particles, device)  # what it refuses leaves no folder behind
    folder = working_folder(config)
    _say_start(config, method, pairs, diameter, notes, device_name(device))
    if method.weak:
        print(f"Known weakness of {config.network}: {method.weak}")
    start = time.monotonic()
    torch.manual_seed(config.seed)
    task = _task(config, method, pairs, measure(pairs, config.seed))
    report = fit_task(task, config, folder, device) if method.learns else measured(task, folder, device)
    card = model_card(config, pairs, diameter, task, report, device_name(device), time.monotonic() - start)
    _write_targets(folder, pairs)
    write_model(folder, card, task.networks["denoiser"].state_dict())
    finish(folder, config.output)
    print(
        f"Model: {config.output} (mean FRC with the projections {card['validation']['frc']:.3f} on the validation "
        f"part, {card['validation']['frc_raw']:.3f} of the raw images)"
    )
    outputs = dict(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=report.stop_reason,
        pixel_size=pairs.pixel_size,
        box=pairs.box,
    )
    return Result(
        "train-denoiser", outputs, device=device_name(device), warnings=tuple([*pairs.warnings, *card_warnings(card)])
    )


def _check_options(config: TrainDenoiserConfig, method: DenoiserMethod) -> None:
    """Raises ValueError for options of a training by steps, where there is none: they would have no effect."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("steps", "learning_rate", "adversarial", "start_from")
        if getattr(config, name) is not None
    ]
    if given and not method.learns:
        raise ValueError(
            f"{', '.join(given)} {'has' if len(given) == 1 else 'have'} no effect with the network "
            f"{config.network}, which learns nothing by steps. Leave it out, or choose another --network."
        )


def _pairs(
    config: TrainDenoiserConfig, particles: typing.Sequence[ParticleSet], device: torch.device
) -> tuple[Pairs, float, list[str]]:
    """Pairs of the config, the largest structure's diameter in Å, and sentences about the structures."""
    from ...simulate.particle_images import load_projector
    from ..denoisers import denoiser_method
    from ..denoisers.pairs import Pairs

    pixel_size, box = working_grid(particles, config.resolution)
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
        config.simulated,
        config.contrast,
        config.resolution,
        config.split_by,
        config.validation_fraction,
        config.seed,
        denoiser_method(config.network).turns,
    )
    return pairs, max(diameters), notes


def working_grid(particles: typing.Sequence[ParticleSet], resolution: float | None) -> tuple[float, int]:
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
    made = f", {config.simulated:.0%} of the pairs made from the structure" if method.learns else ""
    print(
        f"{'Training' if method.learns else 'Measuring for'} the {config.network} denoiser on {device}: {count} "
        f"particles of {diameter:.0f} Å, box {pairs.box} px x {pairs.pixel_size:.4g} Å{made}."
    )


def _task(config: TrainDenoiserConfig, method: DenoiserMethod, pairs: Pairs, statistics: Statistics) -> DenoiserTask:
    """DenoiserTask with a new network, or with that of --start-from."""
    from ...io.model import find_model, read_model
    from ..denoisers.method import load_network
    from ..denoisers.train import DenoiserTask

    if config.start_from:
        card, weights = read_model(find_model(config.start_from, "denoiser"), "denoiser")
        for name, mine in (("network", config.network), ("box", pairs.box)):
            if card[name] != mine:
                raise ValueError(
                    f"Start from model (--start-from) {config.start_from} has the {name} {card[name]}, "
                    f"but this training has {mine}."
                )
        network = load_network(method, pairs.box, weights, config.start_from, len(card["scales"]))
    else:
        network = method.build(pairs.box, len(pairs.particles))
    method.learn(network, pairs, statistics)
    return DenoiserTask(
        method, network, pairs, statistics.amplitude, config.loss, config.adversarial, config.batch_size
    )


def _write_targets(folder: Path, pairs: Pairs) -> None:
    """Some targets beside the model: what the noise control compares with."""
    from ...io.particles import write_stack
    from ..denoisers.card import TARGETS

    targets = pairs.targets(TARGETS, np.random.default_rng(pairs.seed))
    write_stack(folder / "training_targets.mrcs", targets, pairs.pixel_size)
