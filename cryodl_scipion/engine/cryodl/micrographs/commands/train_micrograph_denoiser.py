# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-micrograph-denoiser`: simulated micrographs of many structures in; a model that denoises micrographs
that it never saw out. Simulate, train and write the model. A killed training continues from <output>.partial."""

import typing
from pathlib import Path

from ...contract import TrainMicrographDenoiserConfig, TrainMicrographDenoiserOutputs
from ...io.files import expand_paths
from ...io.progress import ProgressBar
from ...learning.recipe import TrainingRun
from ...learning.training import Schedule
from ...running.runner import Run, command
from ...simulate import denoising_scenes, pool
from ..denoise import general, scaling
from ..pickers.general import split_members

SCENES = "scenes"  # in the working folder
VALIDATION_FRACTION, FEWEST_VALIDATION = 0.08, 4
TRAINING, VALIDATION = 1, 2
VALIDATIONS = 20


@command
def train_micrograph_denoiser(config: TrainMicrographDenoiserConfig, run: Run) -> TrainMicrographDenoiserOutputs:
    training = TrainingRun(run)
    folder, device = training.take_folder(), training.take_device()
    paths = expand_paths(config.structures) if config.structures else []
    named = [(Path(path).name.split(".")[0], path) for path in paths]
    if strange := [name for name in config.leave_out if name not in dict(named)]:
        raise ValueError(
            f"Leave out (--leave-out) names {', '.join(strange)}, which is not the file name (without extensions) of "
            "any of the structures (--structures). Nothing would be left out."
        )
    files = [denoising_scenes.detailed_member(path) for name, path in named if name not in config.leave_out]
    parts = [
        split_members(members, run.seed) if len(members) > 1 else (members, [])
        for members in (files, pool.procedural_assemblies(config.procedural, run.seed))
    ]
    learnt, held = [list(part[0]) for part in parts], [list(part[1]) for part in parts]
    count = max(FEWEST_VALIDATION, round(VALIDATION_FRACTION * config.simulated))
    examples = _simulated(learnt, config.simulated, (run.seed, TRAINING), folder)
    validation = _simulated(held, count, (run.seed, VALIDATION), folder)
    names = [[m.name for m in part[0]] for part in (learnt, held)]
    print(
        f"Training a micrograph denoiser on {training.device_name}: {len(examples)} simulated micrographs of "
        f"{len(names[0])} structures and {config.procedural} artificial assemblies."
    )
    training.start()
    task = general.GeneralTask(examples, validation, device)
    steps = config.steps or general.GeneralTask.default_steps
    training.fit(
        task, Schedule(steps, max(1, -(-steps // VALIDATIONS)), VALIDATIONS, general.RATE, run.seed, ema=0.998)
    )
    metrics = training.metrics()
    card = dict(
        kind="micrograph_denoiser",
        name=Path(config.output).name,
        network="unet",
        method="simulated",
        resolution=scaling.DEFAULT_RESOLUTION,
        pixel_sizes=list(denoising_scenes.PIXEL_SIZES),
        training=dict(
            simulated_micrographs=config.simulated,
            snr=list(denoising_scenes.SNR),
            structures=names[0],
            held_out=names[1],
            left_out=list(config.leave_out),
            procedural=config.procedural,
            **training.record(),
        ),
        validation=metrics,
    )
    training.finish(card, task.networks["denoiser"].state_dict(), SCENES)
    run.summary(
        f"Model: {config.output} (on simulated micrographs of other structures: correlation with the noise-free "
        f"micrograph {metrics['correlation']:.3f}, of a Wiener filter {metrics['wiener_correlation']:.3f})"
    )
    return TrainMicrographDenoiserOutputs(
        model=str(config.output), stop_reason=training.stop_reason, structures=len(names[0]), validation=metrics
    )


def _simulated(
    groups: typing.Sequence[typing.Sequence[pool.PoolMember]], count: int, seeds: tuple[int, int], folder: Path
) -> list[general.CleanExample]:
    made = general.clean_examples(groups, count, seeds, folder / SCENES)
    return list(ProgressBar(made, total=count, unit="micrograph", mininterval=5.0))
