# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-picker`: labelled micrographs in, a model folder out.

Result.outputs: model (folder), threshold, validation (figures), stop_reason.
"""
import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np

from .. import __version__
from ..contract import Result, config_to_dict, in_words
from ..contract.result import write_json
from ..io.files import rename_folder
from ..io.model import find_model, read_model, write_model

MOST_VALIDATIONS = 16
FEW_PARTICLES = 20
RECORD = "config.json"  # of an unfinished training: its parameters


def run(config):
    """Train and write the model. A killed training continues from <output>.partial."""
    from ..io.micrographs import pixel_size_warnings
    from ..pickers import picker_method
    from ..pickers.labels import load_labels, match_labels, split_items
    if os.path.exists(config.output):
        raise FileExistsError(f"Model folder {config.output} (--output) exists already; it is not replaced. Choose "
                              "another name or remove it.")
    notes = []
    items = match_labels(config, notes.append)
    notes += pixel_size_warnings([path for _, path, *_ in items], config.pixel_size)
    for note in notes:
        print(f"Warning: {note}")  # before the work, which may be in vain; it also stands in the result
    folder = _working_folder(config)
    import torch
    from ..devices import choose_device, device_name, set_threads
    device = choose_device(config.device)
    # The small crops around boxes gain nothing from a second thread (0.077 against 0.084 s a step) and wait for it on a
    # machine that is shared (0.5 s).
    set_threads(1 if config.background and device.type == "cpu" else config.threads)
    method = picker_method(config.network)
    items, images, skipped = load_labels(items, method, config)
    for entry in skipped:
        print(f"Skipped {in_words(entry)}")
    print(f"Training the {config.network} picker on {device_name(device)}: {sum(len(i[2]) for i in items)} particles, "
          f"{sum(len(i[3]) for i in items)} background boxes, {len(items)} micrographs.")
    start = time.monotonic()
    torch.manual_seed(config.seed)
    split = split_items(items, config.validation_fraction, np.random.default_rng(config.seed))
    task = _task(config, method, {item[0]: image for item, image in zip(items, images)}, split, device)
    report = _fit(task, config, folder, device)
    card = _card(config, items, split, task, report, device_name(device), time.monotonic() - start)
    write_model(folder, card, task.networks["picker"].state_dict())
    _finish(folder, config.output)
    print(f"Model: {config.output} (F1 {card['validation']['f1']:.3f}, average precision "
          f"{card['validation']['average_precision']:.3f} on the validation part, threshold {card['threshold']:.2f})")
    return Result("train-picker", dict(model=str(config.output), threshold=card["threshold"],
                                       validation=card["validation"], stop_reason=report.stop_reason),
                  device=device_name(device), skipped=tuple(skipped),
                  warnings=tuple(notes + list(_warnings(card, skipped))))


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
    from ..pickers.labels import leave_out_unlabelled_edge, split_image
    from ..pickers.train import PickerTask
    if config.background is None:
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
    return PickerTask(method, network, training, validation, config.batch_size, device)


def _fit(task, config, folder, device):
    from accelerate import Accelerator

    from ..devices import device_name, fast_dtype
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


def _card(config, items, split, task, report, device, seconds):
    """The model card: all that picking and a reader need to know."""
    import torch
    from ..matching import score_matched
    from ..calibration import calibrate
    hits = task.validation_hits()
    calibration, threshold = _calibration(hits, task, dense=config.background is None)
    scores = calibrate(hits.raw, calibration)
    figures = dataclasses.asdict(score_matched(hits.hit, scores, hits.reference, threshold))
    names = lambda part: [name for name, *_ in part]
    return dict(
        kind="picker", name=Path(config.output).name, network=config.network,
        particle_diameter=config.particle_diameter, pixel_sizes=[config.pixel_size], threshold=threshold,
        calibration=list(calibration), minimum_distance=task.minimum_distance,
        training=dict(micrographs=names(split[0]), validation_micrographs=names(split[1]),
                      particles=sum(len(im.positives) for im in task.training),
                      validation_particles=sum(len(im.positives) for im in task.validation),
                      background_boxes=sum(len(i[3]) for i in items),
                      steps=report.steps, best_step=report.best_step, stop_reason=report.stop_reason,
                      seconds=round(seconds, 1), device=device, seed=config.seed),
        validation={k: figures[k] for k in ("f1", "precision", "recall", "average_precision", "threshold", "reference")},
        versions=dict(cryodl=__version__, torch=torch.__version__))


def _calibration(hits, task, dense):
    """(slope, offset) of the scores, and the default threshold.

    With full labels both come from the validation part. With boxes only, the few held-out ones say little: all labelled
    boxes give the curve, as if particles and background were equally frequent. The threshold is then a little under the
    middle: F1 is largest at half its own value (Lipton et al. 2014), which is below one half.
    """
    from ..calibration import best_threshold, calibrate, fit_calibration
    if dense:
        calibration = fit_calibration(hits.hit, hits.raw)
        return calibration, best_threshold(calibrate(hits.raw, calibration), hits.reference)
    boxes = task.box_hits(task.training + task.validation)
    return fit_calibration(boxes.hit, boxes.raw, share=0.5), 0.42


def _finish(folder, output):
    """Draw the learning curve, give the folder its name, and leave only what belongs to a model."""
    from ..plots import plot_learning_curve
    from ..training import CHECKPOINT, METRICS
    plot_learning_curve(folder / METRICS, folder / "learning_curve.png")
    rename_folder(folder, output)
    for leftover in (CHECKPOINT, RECORD):  # after the rename: till then a killed run needs them
        (Path(output) / leftover).unlink(missing_ok=True)


def _warnings(card, skipped):
    if skipped:
        yield (f"{len(skipped)} labelled micrographs were skipped: "
               + "; ".join(map(in_words, skipped[:5])) + (" ..." if len(skipped) > 5 else ""))
    figures, training = card["validation"], card["training"]
    if figures["reference"] < FEW_PARTICLES:
        yield (f"Only {figures['reference']} particles were held out for validation, so its figures and the default "
               "threshold are uncertain. Look at the picks before you trust the threshold.")
    elif figures["f1"] < 0.3:
        yield (f"The F1 on the validation part is only {figures['f1']:.2f}: these particles were not learnt. Check that "
               "coordinates, pixel size and particle diameter belong to these micrographs, and that protein is dark.")
    if set(training["micrographs"]) & set(training["validation_micrographs"]):
        yield "Only one micrograph has labelled particles; validation used a part of it."
