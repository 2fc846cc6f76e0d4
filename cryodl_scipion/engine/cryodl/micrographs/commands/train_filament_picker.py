# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-filament-picker`: a model that traces filaments, learnt from simulated micrographs. Simulate, train
and write the model. A killed training continues from <output>.partial."""

from pathlib import Path

import numpy as np

from ...contract import TrainFilamentPickerConfig, TrainFilamentPickerOutputs
from ...io.progress import ProgressBar
from ...learning.recipe import TrainingRun
from ...learning.task import method_of
from ...running.runner import Run, command
from ...simulate.filament_scenes import STATED, WIDTHS, random_filament_scene
from ..filaments import scenes, train

NETWORK = "unet"
VALIDATION_FRACTION = 1 / 15


@command
def train_filament_picker(config: TrainFilamentPickerConfig, run: Run) -> TrainFilamentPickerOutputs:
    training = TrainingRun(run)
    training.take_folder()
    device, method = training.take_device(), method_of("filament_picker", NETWORK)
    print(f"Training a filament picker on {training.device_name}: {config.simulated} simulated micrographs.")
    training.start()
    held_out = max(4, int(VALIDATION_FRACTION * config.simulated))
    parts, width = [], method.working_diameter
    for tag, count in ((1, config.simulated), (2, held_out), (3, held_out)):
        numbers = ProgressBar(range(count), unit="micrograph", mininterval=5.0)
        made = (random_filament_scene(width, np.random.default_rng((run.seed, tag, i))) for i in numbers)
        parts.append([scenes.labelled_item(scene, width) for scene in made])
    learnt, validation, test = parts
    task = train.FilamentTask(method, method.build(), learnt, validation, config.batch_size, device)
    training.fit(task)
    threshold = task.best_threshold(validation)
    metrics = task.agreement(test, threshold).metrics()
    card = dict(
        kind="filament_picker",
        name=Path(config.output).name,
        network=NETWORK,
        threshold=threshold,
        diameters=list(WIDTHS),
        stated=list(STATED),
        validation=metrics,
        training=dict(simulated_micrographs=config.simulated, **training.record()),
    )
    training.finish(card, task.networks["picker"].state_dict())
    run.summary(f"Model: {config.output} (on simulated test micrographs: F1 by length {metrics['f1']:.3f})")
    return TrainFilamentPickerOutputs(
        model=str(config.output), stop_reason=training.stop_reason, threshold=threshold, validation=metrics
    )
