# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-general-segmenter`: structures in; segmenters for tomograms in which nobody drew anything, out. Train
and write <output>/<feature> for each feature. A killed training continues from <output>.partial."""

from pathlib import Path

from ...contract.tomograms.segmenting import TrainGeneralSegmenterConfig, TrainGeneralSegmenterOutputs
from ...learning.recipe import TrainingRun
from ...running.runner import Run, command
from ...simulate.varied_cells import FEATURES
from ..pretraining.cells import CellMaker
from ..pretraining.task import Cells, CellsTask, joined_network, write_models
from ..segmenters import segmenter_method

CELLS = "cells"  # folder of the simulated cells, if they are not kept elsewhere
FIRST_VALIDATION = 9000  # number of the first validation cell


@command
def train_general_segmenter(config: TrainGeneralSegmenterConfig, run: Run) -> TrainGeneralSegmenterOutputs:
    training = TrainingRun(run)
    training.take_device()
    folder = training.take_folder()
    training.start()
    method = segmenter_method(config.network)  # a model that does not fit is refused before the cells are simulated
    network = joined_network(method, Path(config.start_from)) if config.start_from else None
    cells = Path(config.cache) if config.cache else folder / CELLS
    cells.mkdir(parents=True, exist_ok=True)
    maker = CellMaker(cells, config)
    validation = Cells(lambda number: maker.path(FIRST_VALIDATION + number))
    validation.grow(config.validation_cells)
    learnt = Cells(maker.path)
    learnt.grow(maker.there(config.cells))
    task = CellsTask(method, learnt, config.cells, validation, None, network)
    print(
        f"Training the {config.network} segmenters of {', '.join(FEATURES)} on {training.device_name}: {config.cells} "
        f"simulated cells at {config.working_pixel_size:g} Å/px, {config.validation_cells} for validation."
    )
    training.fit(task)
    metrics = write_models(folder, config, task, training)
    training.rename(CELLS)
    run.summary(
        *(
            f"Model: {config.output}/{feature} (Dice {found['dice']:.3f} on the validation cells; finds it in "
            f"{100 * found['noise_fraction']:.2g} % of noise)"
            for feature, found in metrics.items()
        )
    )
    return TrainGeneralSegmenterOutputs(
        models={feature: str(Path(config.output) / feature) for feature in FEATURES},
        validation=metrics,
        stop_reason=training.stop_reason,
        pixel_size=config.working_pixel_size,
    )
