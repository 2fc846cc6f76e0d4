# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-picker`: labelled micrographs in, a model folder out.

Result.outputs: model (folder), threshold, threshold_uncertainty, validation (figures), stop_reason, contrast ('dark' or
'bright' protein), labels (what they were taken for).
"""
import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np

from ..contract import Result, config_to_dict, in_words
from ..contract.result import write_json
from ..io.files import rename_folder
from ..io.model import find_model, read_model, write_model

MOST_VALIDATIONS = 16
RECORD = "config.json"  # of an unfinished training: its parameters


def run(config):
    """Train and write the model. A killed training continues from <output>.partial."""
    from ..io.micrographs import pixel_size_warnings
    from ..pickers import picker_method
    from ..pickers.card import card_warnings, model_card
    from ..pickers.labels import label_kind, load_labels, match_labels
    from ..pickers.splits import split_items
    if os.path.exists(config.output):
        raise FileExistsError(f"Model folder {config.output} (--output) exists already; it is not replaced. Choose "
                              "another name or remove it.")
    notes = []
    items = match_labels(config, notes.append)
    notes += pixel_size_warnings([item.path for item in items], config.pixel_size)
    _warn(notes)  # before the work, which may be in vain; they also stand in the result
    folder = _working_folder(config)
    import torch
    from ..devices import choose_device, device_name, set_threads
    device = choose_device(config.device)
    # The small crops around boxes gain nothing from a second thread (0.077 against 0.084 s a step) and wait for it on a
    # machine that is shared (0.5 s).
    set_threads(1 if label_kind(config) == "boxes" and device.type == "cpu" else config.threads)
    method = picker_method(config.network)
    items, images, skipped = load_labels(items, method, config)
    for entry in skipped:
        print(f"Skipped {in_words(entry)}")
    filled = _fill_in(images, config, method, notes)
    _say_start(config, filled.images, device_name(device))
    start = time.monotonic()
    torch.manual_seed(config.seed)
    split = split_items(items, config.validation_fraction, np.random.default_rng(config.seed))
    task = _task(config, method, {image.name: image for image in filled.images}, split, device)
    report = _fit(task, config, folder, device)
    card = model_card(config, filled, split, task, report, device_name(device), time.monotonic() - start)
    write_model(folder, card, task.networks["picker"].state_dict())
    _finish(folder, config.output)
    print(f"Model: {config.output} (F1 {card['validation']['f1']:.3f}, average precision "
          f"{card['validation']['average_precision']:.3f} on the validation part, threshold {card['threshold']:.2f} +- "
          f"{card['threshold_uncertainty']:.2f})")
    outputs = dict(model=str(config.output), validation=card["validation"], stop_reason=report.stop_reason,
                   **{key: card[key] for key in ("threshold", "threshold_uncertainty", "contrast", "labels")})
    return Result("train-picker", outputs, device=device_name(device), skipped=tuple(skipped),
                  warnings=tuple(notes + list(card_warnings(card, skipped))))


def _warn(sentences):
    for sentence in sentences:
        print(f"Warning: {sentence}")


def _fill_in(images, config, method, notes):
    """FilledIn of the labelled images; what it says is printed, its warnings are added to notes."""
    from ..pickers.fill_in import fill_in
    filled = fill_in(images, config, method)
    for sentence in filled.said:
        print(sentence)
    _warn(filled.warnings)
    notes += filled.warnings
    return filled


def _say_start(config, images, device):
    count = lambda field: sum(len(getattr(image, field)) for image in images)
    boxes = [f"{count(field)} {kind} boxes" for field, kind in (("negatives", "background"), ("contamination", "contamination"))
             if count(field)]
    print(f"Training the {config.network} picker on {device}: {', '.join([str(count('positives')) + ' particles', *boxes])}, "
          f"{len(images)} micrographs, {images[0].labels} labels.")


def _working_folder(config):
    """<output>.partial, new or of the same training. Raises ValueError if it is of another one."""
    folder = Path(str(config.output).rstrip("/") + ".partial")
    mine = {k: v for k, v in config_to_dict(config).items() if k not in ("device", "threads", "output")}
    record = folder / RECORD
    found = json.loads(record.read_text()) if record.exists() else None
    if found not in (None, json.loads(json.dumps(mine))):
        from ..training import CHECKPOINT, METRICS
        if (folder / CHECKPOINT).exists():
            other = ", ".join(k.replace("_", " ") for k in mine if found.get(k) != json.loads(json.dumps(mine[k])))
            raise ValueError(f"{folder} holds an unfinished training with other parameters ({other}). Remove it, or "
                             "choose another --output.")
        (folder / METRICS).unlink(missing_ok=True)  # it failed before anything was learnt: nothing is lost
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, mine)
    return folder


def _task(config, method, images, split, device):
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
        card, weights = read_model(find_model(config.start_from), "picker")
        if card["network"] != config.network:
            raise ValueError(f"Start from model (--start-from) {config.start_from} has the network {card['network']}, "
                             f"but --network is {config.network}.")
        network = load_network(method, weights, config.start_from)
    return PickerTask(method, network, training, validation, config.batch_size, device, config.pu_criterion)


def _fit(task, config, folder, device):
    from accelerate import Accelerator

    from ..devices import device_name, fast_dtype
    from ..pickers.card import FEW_PARTICLES
    from ..pickers.predict import is_out_of_memory
    from ..training import Schedule, fit
    import torch
    os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)  # accelerate takes the first GPU otherwise
    accelerator = Accelerator(cpu=device.type == "cpu",
                              mixed_precision="bf16" if fast_dtype(device) == torch.bfloat16 else "no")
    steps = config.steps or task.usual_steps
    every = max(10, -(-steps // MOST_VALIDATIONS))
    schedule = Schedule(steps, every, config.patience, config.learning_rate or task.method.learning_rate, config.seed,
                        decay=task.method.decay)
    if sum(len(im.positives) for im in task.validation) < FEW_PARTICLES:
        # so few cannot tell a better network from a worse one: all steps are done and the last weights kept
        schedule = dataclasses.replace(schedule, every=max(10, steps // 5), patience=steps, tolerance=1.0)
    try:
        return fit(task, schedule, folder, accelerator)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(f"The memory of {device_name(device)} is too small for batches of {config.batch_size} crops. Choose "
                         "a smaller --batch-size, or --device cpu.") from error


def _finish(folder, output):
    """Draw the learning curve, give the folder its name, and leave only what belongs to a model."""
    from ..plots import plot_learning_curve
    from ..training import CHECKPOINT, METRICS
    plot_learning_curve(folder / METRICS, folder / "learning_curve.png")
    rename_folder(folder, output)
    for leftover in (CHECKPOINT, RECORD):  # after the rename: till then a killed run needs them
        (Path(output) / leftover).unlink(missing_ok=True)
