# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-classifier`: subtomograms with their classes, a model folder out.

Result.outputs are the contract's TrainClassifierOutputs.
"""

from __future__ import annotations

import dataclasses
import typing

from ...contract import Result, TrainClassifierConfig
from ...contract.tomograms.classifying import TrainClassifierOutputs

if typing.TYPE_CHECKING:
    import torch

    from ...learning.recipe import TrainingRun
    from ..classifiers.examples import Examples
    from ..classifiers.method import ClassifierMethod


def run(config: TrainClassifierConfig) -> Result:
    """Train and write the model. A killed training by steps continues from <output>.partial."""
    import numpy as np

    from ...learning.recipe import TrainingRun, refuse_steps, said
    from ..classifiers import classifier_method
    from ..classifiers.card import card_warnings, first_card, validated, whole_card
    from ..classifiers.examples import folds
    from ..classifiers.pictures import plot_confusion

    training, method = TrainingRun(config), classifier_method(config.network)
    if not method.learns_by_steps:
        refuse_steps(config, "steps", "learning_rate")
    examples, notes = _examples(config, method)
    folder, device = training.take_folder(), training.take_device()
    _say_start(config, method, examples, notes, training.device_name)
    training.start()
    weights = _learn(config, method, examples, training)
    card = first_card(config, examples)
    parts = [] if method.learns_by_steps else folds(examples, config.seed)
    if parts:
        how = f"cross-validation in {len(parts)} parts, because a fifth of so few would tell little."
        examples = dataclasses.replace(examples, split=f"{config.subtomograms}: {how}")
        print(examples.split)
        weights, prediction = method.cross_validated(examples, parts, weights, config, device)
        examples = dataclasses.replace(examples, validation=np.arange(len(examples.labels)))
    else:
        predictor = method.predictor(card, weights, device)
        prediction = method.validated(predictor, examples, config.batch_size or method.batch_size)
    temperature, metrics = validated(prediction, examples.labels[examples.validation])
    card = whole_card(card, examples, temperature, metrics, training)
    title = f"{card['name']}: validation, accuracy {metrics['accuracy']:.3f}"
    plot_confusion(metrics["confusion"], card["classes"], card["classes"], folder / "confusion.png", title)
    training.finish(card, method.completed(weights, examples, config, device))
    print(
        f"Model: {config.output} (accuracy {metrics['accuracy']:.3f} ± {metrics['standard_error']:.3f} on "
        f"{metrics['number']} validation subtomograms)"
    )
    outputs = TrainClassifierOutputs(
        model=str(config.output),
        classes=card["classes"],
        validation={k: v for k, v in metrics.items() if k != "unknown_confidence"},
        stop_reason=training.stop_reason,
        contrast=examples.contrast,
    )
    return training.result(outputs, [*notes, *said(card_warnings(card))])


def _examples(config: TrainClassifierConfig, method: ClassifierMethod) -> tuple[Examples, list[str]]:
    """Examples of the config, and warnings."""
    from ...io.subtomograms import read_subtomograms
    from ..classifiers.examples import Examples, labelled, split
    from ..classifiers.prepare import find_subtomogram_contrast, resolution_notes, subtomogram_diameter

    found = read_subtomograms(config.subtomograms, ("classes",), config.tilt_min, config.tilt_max)
    found, labels, numbers, names, notes = labelled(found, config.class_names)
    diameter = subtomogram_diameter(found, config.particle_diameter)
    notes += resolution_notes(found, diameter, config.resolution)
    contrast, said, warning = find_subtomogram_contrast(found, diameter, config.contrast)
    if said:
        print(said)
    notes += [warning] if warning else []
    training, validation, how = split(found, labels, config.validation_fraction, config.seed)
    print(how)
    pixel_size, box = method.grid(found, diameter, config.resolution)
    return Examples(
        found, labels, numbers, names, training, validation, how, contrast, float(diameter), float(pixel_size), int(box)
    ), notes


def _say_start(
    config: TrainClassifierConfig, method: ClassifierMethod, examples: Examples, notes: list[str], device: str
) -> None:
    from ...learning.recipe import said, say_weakness

    said(notes)
    one, counts = examples.subtomograms, [int((examples.labels == k).sum()) for k in range(len(examples.names))]
    print(f"Classes: {', '.join(f'{name} ({count})' for name, count in zip(examples.names, counts))}.")
    if examples.box != one.box or abs(examples.pixel_size / one.pixel_size - 1) > 1e-3:
        print(
            f"The {config.network} classifier works with {examples.box} px x {examples.pixel_size:.4g} Å; "
            f"subtomograms of {one.box} px x {one.pixel_size:.4g} Å are resampled, and cropped or padded with zeros."
        )
    print(f"Training the {config.network} classifier on {device} with {len(examples.training)} subtomograms.")
    say_weakness(config.network, method)


def _learn(
    config: TrainClassifierConfig, method: ClassifierMethod, examples: Examples, training: TrainingRun
) -> dict[str, torch.Tensor]:
    """Weights, {name: tensor}, learnt by steps or from all examples at once."""
    from ..classifiers.train import ClassifierTask

    if not method.learns_by_steps:
        return method.learn(examples, config, training.device)
    task = ClassifierTask(method, examples, config.batch_size)
    training.fit(task)
    return task.weights()
