# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-picker`: labelled micrographs in, a model folder out.

Result.outputs: model (folder), threshold, threshold_uncertainty, validation (figures), stop_reason, contrast ('dark' or
'bright' protein), labels (what they were taken for).
"""

from __future__ import annotations

import dataclasses
import time
import typing

import numpy as np

from ...contract import Result, TrainPickerConfig, in_words, recursion_problems
from ...io.model import find_model, read_model, write_model
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ..pickers.crops import LabelledImage
    from ..pickers.fill_in import FilledIn
    from ..pickers.labels import Labels
    from ..pickers.method import PickerMethod
    from ..pickers.train import PickerTask


def run(config: TrainPickerConfig) -> Result | None:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...io.micrographs import pixel_size_warnings
    from ...learning.run_training import check_output, finish, working_folder
    from ..pickers import picker_method
    from ..pickers.card import card_warnings, model_card
    from ..pickers.labels import label_kind, load_labels, match_labels, with_corrections
    from ..pickers.recursive import round_folder, train_recursively
    from ..pickers.seen import decide_labels
    from ..pickers.splits import split_items

    check_output(config.output)
    config, notes = with_corrections(config)
    items = match_labels(config, notes.append)
    notes += pixel_size_warnings([item.path for item in items], config.pixel_size)
    method, folder = picker_method(config.network), working_folder(config)
    config, said = decide_labels(config, items, method)
    if problems := recursion_problems(config.recursions, label_kind(config)):
        raise ValueError(problems[0])
    notes += said
    _warn(notes)  # before the work, which may be in vain; they also stand in the result
    import torch

    from ...core.devices import choose_device, device_name, set_threads

    device = choose_device(config.device)
    # The small crops around boxes gain nothing from a second thread (0.077 against 0.084 s a step) and wait for it on a
    # machine that is shared (0.5 s).
    set_threads(1 if label_kind(config) == "boxes" and device.type == "cpu" else config.threads)
    items, images, skipped = load_labels(items, method, config)
    for entry in skipped:
        print(f"Skipped {in_words(entry)}")
    filled = _fill_in(images, config, method, notes)
    _say_start(config, filled.images, device_name(device))
    if method.weak:
        print(f"Known weakness of {config.network}: {method.weak}")
    start = time.monotonic()
    torch.manual_seed(config.seed)
    split = split_items(items, config.validation_fraction, np.random.default_rng(config.seed))
    task = _task(config, method, {image.name: image for image in filled.images}, split, device)
    task, report, rounds = train_recursively(task, config, folder, device)
    card = model_card(config, filled, split, task, report, device_name(device), time.monotonic() - start)
    if rounds:
        card["training"]["recursions"] = [dataclasses.asdict(entry) for entry in rounds]
    write_model(folder, card, task.networks["picker"].state_dict())
    finish(folder, config.output, *(round_folder(number + 1) for number in range(config.recursions)))
    print(
        f"Model: {config.output} (F1 {card['validation']['f1']:.3f}, average precision "
        f"{card['validation']['average_precision']:.3f} on the validation part, threshold {card['threshold']:.2f} +- "
        f"{card['threshold_uncertainty']:.2f})"
    )
    outputs = dict(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=report.stop_reason,
        recursions=[entry.false_positives for entry in rounds],
        **{key: card[key] for key in ("threshold", "threshold_uncertainty", "contrast", "labels")},
    )
    return Result(
        "train-picker",
        outputs,
        device=device_name(device),
        skipped=tuple(skipped),
        warnings=tuple(notes + list(card_warnings(card, skipped))),
    )


def _warn(sentences: typing.Sequence[str]) -> None:
    for sentence in sentences:
        warn(sentence)


def _fill_in(
    images: typing.Sequence[LabelledImage], config: TrainPickerConfig, method: PickerMethod, notes: list[str]
) -> FilledIn:
    """FilledIn of the labelled images; what it says is printed, its warnings are added to notes."""
    from ..pickers.fill_in import fill_in

    filled = fill_in(images, config, method)
    for sentence in filled.said:
        print(sentence)
    _warn(filled.warnings)
    notes += filled.warnings
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
        card, weights = read_model(find_model(config.start_from, "picker"), "picker")
        if card["network"] != config.network:
            raise ValueError(
                f"Start from model (--start-from) {config.start_from} has the network {card['network']}, "
                f"but --network is {config.network}."
            )
        network = load_network(method, weights, config.start_from)
    return PickerTask(method, network, training, validation, config.batch_size, device, config.pu_criterion)
