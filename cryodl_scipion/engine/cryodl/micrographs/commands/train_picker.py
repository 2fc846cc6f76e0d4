# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-picker`: labelled micrographs in, a model folder out.

Result.outputs are the contract's TrainPickerOutputs.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ...contract import Result, TrainPickerConfig, in_words, recursion_problems, score_text
from ...contract.micrographs.training import TrainPickerOutputs
from ...core.devices import choose_device

if typing.TYPE_CHECKING:
    import torch

    from ..pickers.crops import LabelledImage
    from ..pickers.fill_in import FilledIn
    from ..pickers.labels import Labels
    from ..pickers.method import PickerMethod
    from ..pickers.train import PickerTask

# Parts of the usual steps and learning rate with which boxes teach a network that was trained before.
GENTLE_STEPS, GENTLE_RATE = 0.4, 1 / 3


def run(config: TrainPickerConfig) -> Result:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...io.micrographs import pixel_size_warnings
    from ...learning.recipe import TrainingRun, said, say_weakness
    from ..pickers import picker_method
    from ..pickers.card import card_warnings, model_card
    from ..pickers.labels import label_kind, load_labels, match_labels, with_corrections
    from ..pickers.recursive import recursion_folder, train_recursively
    from ..pickers.seen import decide_labels
    from ..pickers.splits import split_items

    config, notes = with_corrections(config)
    training = TrainingRun(config)
    items = match_labels(config, notes.append)
    notes += pixel_size_warnings([item.path for item in items], config.pixel_size)
    method = picker_method(config.network)
    training.take_folder()
    config, told = decide_labels(config, items, method)
    if problems := recursion_problems(config.recursions, label_kind(config)):
        raise ValueError(problems[0])
    notes += told
    said(notes)  # before the work, which may be in vain; they also stand in the result
    # The small crops around boxes gain nothing from a second thread (0.077 against 0.084 s a step) and wait for it on a
    # machine that is shared (0.5 s).
    alone = label_kind(config) == "boxes" and choose_device().type == "cpu"
    device = training.take_device(threads=1 if alone else None)
    items, images, skipped = load_labels(items, method, config)
    for entry in skipped:
        print(f"Skipped {in_words(entry)}")
    filled = _fill_in(images, config, method, notes)
    _say_start(config, filled.images, training.device_name)
    say_weakness(config.network, method)
    training.start()
    split = split_items(items, config.validation_fraction, np.random.default_rng(config.seed))
    task = _task(config, method, {image.name: image for image in filled.images}, split, device)
    task, training.report, rounds = train_recursively(task, _gently(config, task), training.folder, device)
    card = model_card(config, filled, split, task, training)
    if rounds:
        card["training"]["recursions"] = [dataclasses.asdict(entry) for entry in rounds]
    leftovers = [recursion_folder(number + 1) for number in range(config.recursions)]
    training.finish(card, task.networks["picker"].state_dict(), *leftovers)
    print(
        f"Model: {config.output} (F1 {card['validation']['f1']:.3f}, average precision "
        f"{card['validation']['average_precision']:.3f} on the validation data, threshold "
        f"{score_text(card['threshold'])} ± {card['threshold_uncertainty']:.2g})"
    )
    outputs = TrainPickerOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        recursions=[entry.false_positives for entry in rounds],
        **{key: card[key] for key in ("threshold", "threshold_uncertainty", "contrast", "labels")},
    )
    return training.result(outputs, notes + list(card_warnings(card, skipped)), skipped)


def _fill_in(
    images: typing.Sequence[LabelledImage], config: TrainPickerConfig, method: PickerMethod, notes: list[str]
) -> FilledIn:
    """FilledIn of the labelled images; what it says is printed, its warnings are added to notes."""
    from ...learning.recipe import said
    from ..pickers.fill_in import fill_in

    filled = fill_in(images, config, method)
    for sentence in filled.said:
        print(sentence)
    notes += said(filled.warnings)
    return filled


def _say_start(config: TrainPickerConfig, images: typing.Sequence[LabelledImage], device: str) -> None:
    count = lambda field: sum(len(getattr(image, field)) for image in images)
    boxes = [
        f"{count(field)} {kind} boxes"
        for field, kind in (("negatives", "background"), ("contamination", "contamination"))
        if count(field)
    ]
    print(
        f"Training the {config.network} picker on {device}: "
        f"{', '.join([str(count('positives')) + ' particles', *boxes])}, {len(images)} micrographs, "
        f"{images[0].labels} labels."
    )


def _task(
    config: TrainPickerConfig,
    method: PickerMethod,
    images: typing.Mapping[str, LabelledImage],
    split: tuple[list[Labels], list[Labels]],
    device: torch.device,
) -> PickerTask:
    """PickerTask. images: {name: LabelledImage}. split: training and validation entries of split_items."""
    from ...learning.recipe import start_weights
    from ..pickers import load_network
    from ..pickers.labels import leave_out_unlabelled_edge
    from ..pickers.splits import split_image
    from ..pickers.train import PickerTask

    if all(image.dense for image in images.values()):
        images = dict(zip(images, leave_out_unlabelled_edge(list(images.values()), method.working_diameter)))
    training, validation = ([images[name] for name, *_ in part] for part in split)
    if any(image is validation[0] for image in training):
        parts = split_image(validation[0], config.validation_fraction, 1.5 * method.working_diameter)
        training = [parts[0] if image is validation[0] else image for image in training]
        validation = [parts[1]]
    network = method.build()
    if config.start_from:
        _, weights = start_weights(config, "picker", network=config.network)
        network = load_network(method, weights, config.start_from)
    known = (config.pu_criterion, bool(config.start_from))
    return PickerTask(method, network, training, validation, config.batch_size, device, *known)


def _gently(config: TrainPickerConfig, task: PickerTask) -> TrainPickerConfig:
    """The config with the steps and learning rate of a trained network that is taught some boxes, unless it states
    them: the usual ones make it forget what it knew (docs/labels.md)."""
    if not task.keeps_statistics:
        return config
    steps = config.steps or max(1, round(GENTLE_STEPS * task.default_steps))
    rate = config.learning_rate or GENTLE_RATE * task.method.learning_rate
    return dataclasses.replace(config, steps=steps, learning_rate=rate)
