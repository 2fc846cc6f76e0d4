# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-picker`: labelled micrographs in, a model folder out. Train and write the model. A killed training
continues from <output>.partial."""

import dataclasses
import typing

import numpy as np
import torch

from ...contract import TrainPickerConfig, TrainPickerOutputs, recursion_problems
from ...core.devices import choose_device
from ...io.micrographs import pixel_size_warnings
from ...learning.recipe import TrainingRun, say_weakness, start_weights
from ...runner import Run, command
from ..pickers import crops, labels, load_network, picker_method, recursive, seen, train
from ..pickers.card import card_warnings, model_card, training_in_words, training_summary
from ..pickers.fill_in import fill_in
from ..pickers.method import PickerMethod

# Parts of the usual steps and learning rate with which boxes teach a network that was trained before.
GENTLE_STEPS, GENTLE_RATE = 0.4, 1 / 3


@command
def train_picker(config: TrainPickerConfig, run: Run) -> TrainPickerOutputs:
    config, notes = labels.with_corrections(config, run.names)
    run.warn(*notes)
    training = TrainingRun(run, config)
    items = labels.match_labels(config, run.warn, run.names, run.seed)
    run.warn(*pixel_size_warnings([item.path for item in items], config.pixel_size))
    method = picker_method(config.network)
    training.take_folder()
    config, notes = seen.decide_labels(config, items, method)
    if problems := recursion_problems(config.recursions, labels.label_kind(config)):
        raise ValueError(problems[0])
    run.warn(*notes)  # before the work, which may be in vain
    # The small crops around boxes gain nothing from a second thread (0.077 against 0.084 s a step) and wait for it on a
    # machine that is shared (0.5 s).
    alone = labels.label_kind(config) == "boxes" and choose_device().type == "cpu"
    device = training.take_device(threads=1 if alone else None)
    items, images, skipped = labels.load_labels(items, method, config)
    for entry in skipped:
        run.skip(entry.item, entry.path, entry.reason, "micrograph")
    filled = fill_in(images, config, method)
    for sentence in filled.said:
        print(sentence)
    run.warn(*filled.warnings)
    count = lambda field: sum(len(getattr(image, field)) for image in filled.images)
    boxes = [
        f"{count(field)} {kind} boxes"
        for field, kind in (("negatives", "background"), ("contamination", "contamination"))
        if count(field)
    ]
    print(
        f"Training the {config.network} picker on {training.device_name}: "
        f"{', '.join([str(count('positives')) + ' particles', *boxes])}, {len(filled.images)} micrographs, "
        f"{filled.images[0].labels} labels."
    )
    say_weakness(config.network, method)
    training.start()
    split = recursive.split_items(items, config.validation_fraction, np.random.default_rng(run.seed))
    task = _task(config, method, {image.name: image for image in filled.images}, split, device)
    with training.together():
        task, training.report, rounds = recursive.train_recursively(
            task, _gently(config, task), training.folder, device
        )
    card = model_card(config, filled, split, task, training)
    if rounds:
        card["training"]["recursions"] = [dataclasses.asdict(entry) for entry in rounds]
    leftovers = [recursive.recursion_folder(number + 1) for number in range(config.recursions)]
    training.finish(card, task.networks["picker"].state_dict(), *leftovers)
    run.warn(*card_warnings(card))
    run.summary(*training_summary(card))
    run.methods(training_in_words(card))
    return TrainPickerOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        threshold=card["threshold"],
        threshold_uncertainty=card["threshold_uncertainty"],
        contrast=card["contrast"],
        labels=card["labels"],
        recursions=[entry.false_positives for entry in rounds],
    )


def _task(
    config: TrainPickerConfig,
    method: PickerMethod,
    images: typing.Mapping[str, crops.LabelledImage],
    split: tuple[list[labels.Labels], list[labels.Labels]],
    device: torch.device,
) -> train.PickerTask:
    if all(image.dense for image in images.values()):
        images = dict(zip(images, labels.leave_out_unlabelled_edge(list(images.values()), method.working_diameter)))
    training, validation = ([images[name] for name, *_ in part] for part in split)
    if any(image is validation[0] for image in training):
        parts = recursive.split_image(validation[0], config.validation_fraction, 1.5 * method.working_diameter)
        training = [parts[0] if image is validation[0] else image for image in training]
        validation = [parts[1]]
    network = method.build()
    if config.start_from:
        _, weights = start_weights(config, "picker", network=config.network)
        network = load_network(method, weights, config.start_from)
    known = (config.pu_criterion, bool(config.start_from))
    return train.PickerTask(method, network, training, validation, config.batch_size, device, *known)


def _gently(config: TrainPickerConfig, task: train.PickerTask) -> TrainPickerConfig:
    """The config with the steps and learning rate of a trained network that is taught some boxes, unless it states
    them: the usual ones make it forget what it knew (docs/labels.md)."""
    if not task.keeps_statistics:
        return config
    steps = config.steps or max(1, round(GENTLE_STEPS * task.default_steps))
    rate = config.learning_rate or GENTLE_RATE * task.method.learning_rate
    return dataclasses.replace(config, steps=steps, learning_rate=rate)
