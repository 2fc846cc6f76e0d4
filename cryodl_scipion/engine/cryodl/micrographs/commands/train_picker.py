# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-picker`: labelled micrographs in, a model folder out. Train and write the model. A killed training
continues from <output>.partial."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainPickerConfig, TrainPickerOutputs, recursion_problems
from ...core.devices import choose_device
from ...io.micrographs import pixel_size_warnings
from ...learning.recipe import TrainingRun, say_weakness, start_weights
from ...running.runner import Run, command
from ..byhand.store import notes_of_labels
from ..pickers import crops, general_view, labels, load_network, picker_method, recursive, train
from ..pickers.card import card_warnings, model_card, training_in_words, training_summary
from ..pickers.fill_in import fill_in
from ..pickers.held_back import TRIALS, hold_back, taught
from ..pickers.method import PickerMethod


@command
def train_picker(config: TrainPickerConfig, run: Run) -> TrainPickerOutputs:
    config, notes = labels.with_corrections(config, run.names)
    run.warn(*notes)
    training, items = TrainingRun(run, config), labels.match_labels(config, run.warn, run.names, run.seed)
    run.warn(*pixel_size_warnings([item.path for item in items], config.pixel_size))
    run.warn(*notes_of_labels(config.coordinates, [item[:2] for item in items]))
    method = picker_method(config.network)
    training.take_folder(*(item.path for item in items))
    config, notes = general_view.decide_labels(config, items, method)
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
    given = {image.name: len(image.negatives) for image in images}
    filled = fill_in(images, config, method)
    print(*filled.said, sep="\n", end="\n" * bool(filled.said))
    run.warn(*filled.warnings)
    _say_start(config, filled.images, training.device_name)
    say_weakness(config.network, method)
    training.start()
    split = recursive.split_items(items, config.validation_fraction, np.random.default_rng(run.seed))
    start, task_of = _tasks(config, method, device)
    parts = recursive.split_images(filled.images, split, config.validation_fraction, method.working_diameter)
    held, hits, rounds = None, None, list[recursive.Recursion]()
    with training.together():
        if start.get("general") and filled.images[0].labels == "boxes":
            held, hits = hold_back(task_of, filled.images, given, start, config, training.folder, device, run.seed)
            # these have judged: more that are held out could not choose weights, and would be lost for learning
            split, parts = (items, []), [[taught(image, held.way) for image in filled.images], []]
        task = task_of(*parts)
        if held is None or held.learns:
            task, training.report, rounds = recursive.train_recursively(task, config, training.folder, device, run.seed)
        else:
            task.scales = (1.0,)
    own = dict(contrast=filled.contrast)  # which the labels or the user tell, also where nothing else is learnt
    card = start | own if held and held.unchanged else model_card(config, filled, split, task, training, hits)
    told = dict(recursions=[dataclasses.asdict(entry) for entry in rounds], held_back=held and dataclasses.asdict(held))
    learnt = (card if training.report else start)["training"] | {name: one for name, one in told.items() if one}
    card = dict(card, name=Path(config.output).name, training=learnt)
    folders = [recursive.recursion_folder(number + 1) for number in range(config.recursions)]
    training.finish(card, task.networks["picker"].state_dict(), *folders, *TRIALS)
    run.warn(*card_warnings(card), *(held.elsewhere if held else ()))
    run.summary(*([held.sentence()] if held else []), *(training_summary(card) if training.report else []))
    run.methods(*([training_in_words(card)] if training.report else []))
    return TrainPickerOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason if training.report else "the general model is better as it is",
        threshold=card["threshold"],
        threshold_uncertainty=card["threshold_uncertainty"],
        contrast=card["contrast"],
        labels=card["labels"],
        recursions=[entry.false_positives for entry in rounds],
    )


def _say_start(config: TrainPickerConfig, images: typing.Sequence[crops.LabelledImage], device: str) -> None:
    count = lambda field: sum(len(getattr(image, field)) for image in images)
    counts = {
        "particles": count("certain"),
        "unconfirmed picks": count("positives") - count("certain"),
        "background boxes": count("negatives"),
        "contamination boxes": count("contamination"),
    }
    said = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    print(f"Training {config.network} on {device}: {said}, {len(images)} micrographs, {images[0].labels} labels.")


def _tasks(
    config: TrainPickerConfig, method: PickerMethod, device: torch.device
) -> tuple[dict[str, typing.Any], typing.Callable[..., train.PickerTask]]:
    """Card of the model to start from, and what makes the task of images to learn from and, if any, to validate on."""
    card, weights = start_weights(config, "picker", network=config.network) if config.start_from else ({}, {})

    def task_of(
        training: list[crops.LabelledImage], validation: typing.Sequence[crops.LabelledImage] = ()
    ) -> train.PickerTask:
        network = load_network(method, weights, str(config.start_from)) if weights else method.build()
        known = (config.batch_size, device, config.pu_criterion, bool(weights))
        return train.PickerTask(method, network, training, validation, *known)

    return card, task_of
