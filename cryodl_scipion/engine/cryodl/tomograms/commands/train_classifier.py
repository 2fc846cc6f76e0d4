# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-classifier`: subtomograms with their classes, a model folder out. Train and write the model. A killed
training by steps continues from <output>.partial."""

import dataclasses

import numpy as np
import torch

from ...contract import TrainClassifierConfig, TrainClassifierOutputs, network_words
from ...io.subtomograms import read_subtomograms
from ...learning.recipe import HELD_OUT, TrainingRun, refuse_steps, say_weakness
from ...running.runner import PROGRAM, Run, command
from ..classifiers import classifier_method, confusion, prepare
from ..classifiers.examples import Examples, folds, labelled, split
from ..classifiers.method import ClassifierMethod
from ..classifiers.train import ClassifierTask, card_warnings, first_card, validated, whole_card


@command
def train_classifier(config: TrainClassifierConfig, run: Run) -> TrainClassifierOutputs:
    training, method = TrainingRun(run), classifier_method(config.network)
    if not method.learns_by_steps:
        refuse_steps(config, "steps")
    examples = _examples(config, method, run)
    parts = [] if method.learns_by_steps else folds(examples, config.seed)
    if parts:
        how = f"cross-validation in {len(parts)} parts, because a fifth of so few would tell little."
        everything = np.arange(len(examples.labels))
        examples = dataclasses.replace(examples, training=everything, split=f"{config.subtomograms}: {how}")
    print(examples.split)
    folder, device = training.take_folder(*examples.subtomograms.sources), training.take_device()
    _say_start(config, method, examples, training.device_name)
    training.start()
    weights, card = _learn(config, method, examples, training), first_card(config, examples)
    if parts:
        weights, prediction = method.cross_validated(examples, parts, weights, config, device)
        examples = dataclasses.replace(examples, validation=examples.training)
    else:
        predictor = method.predictor(card, weights, device)
        prediction = method.validated(predictor, examples, config.batch_size or method.batch_size)
        weights = method.completed(weights, examples, config, device)
    temperature, metrics = validated(prediction, examples.labels[examples.validation])
    card = whole_card(card, examples, temperature, metrics, training)
    names, title = card["classes"], f"{card['name']}: validation, accuracy {metrics['accuracy']:.3f}"
    confusion.plot_confusion(metrics["confusion"], names, names, folder / "confusion.png", title)
    training.finish(card, weights)
    run.warn(*card_warnings(card))
    run.summary(
        f"Model: {config.output}, {config.network}, of {', '.join(names)}: accuracy {metrics['accuracy']:.3f} (95 %: "
        f"{metrics['interval'][0]:.3f} to {metrics['interval'][1]:.3f}) for classes as frequent as in the "
        f"{metrics['number']} validation subtomograms, {metrics['balanced_accuracy']:.3f} for equal numbers (right: "
        + ", ".join(f"{name} {row[k]} of {sum(row)}" for k, (name, row) in enumerate(zip(names, metrics["confusion"])))
        + ")."
    )
    run.methods(
        f"The model {card['name']} was trained with {PROGRAM} to classify subtomograms "
        f"({', '.join(names)}) {network_words('classifier', config.network)}; the accuracy on held-out "
        f"subtomograms was {metrics['accuracy']:.3f}, its mean over the classes {metrics['balanced_accuracy']:.3f}."
    )
    return TrainClassifierOutputs(
        model=str(config.output),
        classes=names,
        validation={k: v for k, v in metrics.items() if k != "unknown_confidence"},
        stop_reason=training.stop_reason,
        contrast=examples.contrast,
    )


def _examples(config: TrainClassifierConfig, method: ClassifierMethod, run: Run) -> Examples:
    found = read_subtomograms(config.subtomograms, ("classes",), config.tilt_min, config.tilt_max, run.skip)
    found, labels, numbers, names, notes = labelled(found, config.class_names)
    diameter = prepare.subtomogram_diameter(found, config.particle_diameter)
    run.warn(*notes, *prepare.resolution_notes(found, diameter, config.resolution))
    contrast = prepare.find_subtomogram_contrast(found, diameter, config.contrast)
    training, validation, how = split(found, labels, HELD_OUT, config.seed)
    pixel_size, box = method.grid(found, diameter, config.resolution)
    return Examples(
        found, labels, numbers, names, training, validation, how, contrast, float(diameter), float(pixel_size), int(box)
    )


def _say_start(config: TrainClassifierConfig, method: ClassifierMethod, examples: Examples, device: str) -> None:
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
    if not method.learns_by_steps:
        training.alone()
        return method.learn(examples, config, training.device)
    task = ClassifierTask(method, examples, config.batch_size)
    training.fit(task)
    return task.weights()
