# SPDX-License-Identifier: GPL-3.0-or-later
"""The training of a general picker: what it learns from, its task, its model card."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainGeneralPickerConfig
from ...core.calibration import calibrate, expected_calibration_error, fit_calibration
from ...io import model
from ...learning.recipe import TrainingRun
from . import crops, general, load_network, thresholds, train
from .card import calibrate_model, card_validation, merge
from .method import PickerMethod

MINIMUM_DISTANCE = 0.5  # diameters: crowded fields are among those to come


@dataclasses.dataclass(frozen=True)
class Material:
    """training: [simulated images, one list for each real set]. validation, plain, test: simulated images of held-out
    structures: varied ones to choose the weights by, and plain ones for calibration and for the card's metrics.
    names: of structures' files that were learnt from. held_out: of the others. real: RealSets."""

    training: list[list[crops.LabelledImage]]
    validation: list[crops.LabelledImage]
    plain: list[crops.LabelledImage]
    test: list[crops.LabelledImage]
    names: list[str]
    held_out: list[str]
    real: list[general.RealSet]


def general_task(
    config: TrainGeneralPickerConfig, method: PickerMethod, material: Material, device: torch.device
) -> train.PickerTask:
    """The task, with each image's chance to be learnt from."""
    simulated, *real = material.training
    task = train.PickerTask(
        method,
        general_network(config, method),
        simulated + [im for images in real for im in images],
        material.validation,
        config.batch_size,
        device,
    )
    task.minimum_distance = MINIMUM_DISTANCE
    task.chances = general.chances_of(simulated, real, config.real_fraction)
    return task


def general_network(config: TrainGeneralPickerConfig, method: PickerMethod) -> torch.nn.Module:
    """A new network, or that of the model to start from."""
    if not config.start_from:
        return method.build_general()
    weights = model.read_model(model.find_model(config.start_from, "picker"), "picker")[1]
    return load_network(method, weights, config.start_from)


def general_card(
    config: TrainGeneralPickerConfig, material: Material, task: train.PickerTask, training: TrainingRun
) -> tuple[dict[str, typing.Any], train.Hits]:
    """The model card, and Hits by which it was judged: its calibration and threshold are of one half of the held-out
    micrographs, its metrics of the other."""
    plain = task.hits(material.plain)
    calibration = fit_calibration(plain.hit, plain.raw)
    sizes = typing.cast("np.ndarray", plain.sizes)
    tells_size = bool(len(sizes)) and not np.isnan(sizes).any()
    if tells_size:
        task.narrow = thresholds.fit_narrow(plain.hit, plain.raw, sizes, calibration)
    _, threshold, uncertainty = calibrate_model(task, [task.hits([item]) for item in material.plain])
    hits = merge([task.hits([item]) for item in material.test])
    scores = calibrate(hits.raw, calibration)
    count = lambda images: sum(len(im.positives) for im in images)
    return dict(
        kind="picker",
        name=Path(config.output).name,
        network=config.network,
        general=True,
        tells_size=tells_size,
        contrast="dark",
        labels="complete",
        particle_diameter=200.0,
        pixel_sizes=[],
        threshold=threshold,
        threshold_uncertainty=uncertainty,
        calibration=list(calibration),
        **(dict(narrow=list(task.narrow)) if task.narrow else {}),
        minimum_distance=MINIMUM_DISTANCE,
        training=dict(
            micrographs=[f"{s.name}/{item[0]}" for s in material.real for item in s.items],
            validation_micrographs=[],
            particles=count(task.training),
            validation_particles=count(task.validation),
            background_boxes=0,
            contamination_boxes=0,
            simulated_micrographs=len(material.training[0]),
            structures=material.names,
            validation_structures=material.held_out,
            made_up=config.procedural,
            faint=config.faint_fraction,
            real_sets=[s.name for s in material.real],
            **(dict(real_fraction=config.real_fraction, real_marks=config.real_marks) if material.real else {}),
            left_out=list(config.leave_out),
            **dict(start_from=config.start_from) if config.start_from else {},
            **training.record(),
        ),
        validation=dict(
            card_validation(hits, calibration, threshold),
            calibration_error=round(float(expected_calibration_error(hits.hit, scores)), 4),
        ),
    ), hits
