# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command runs a training: a working folder that a killed one continues from, devices, and the finished folder."""
import dataclasses
import json
import os
from pathlib import Path

from ..contract import config_to_dict
from ..contract.result import write_json
from ..io.files import rename_folder

MOST_VALIDATIONS = 16
RECORD = "config.json"  # of an unfinished training: its parameters


def check_output(output):
    """Raises FileExistsError if the model folder is there."""
    if os.path.exists(output):
        raise FileExistsError(f"Model folder {output} (--output) exists already; it is not replaced. Choose another name or "
                              "remove it.")


def working_folder(config):
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


def fit_task(task, config, folder, device):
    """Train a PickerTask in a working folder. Returns FitReport.

    config: has steps, batch_size, learning_rate, seed and perhaps patience. Raises ValueError if memory does not suffice.
    """
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
    rate = config.learning_rate or task.method.learning_rate
    schedule = Schedule(steps, every, getattr(config, "patience", steps), rate, config.seed, decay=task.method.decay)
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


def finish(folder, output):
    """Draw the learning curve, give the folder its name, and leave only what belongs to a model."""
    from ..plots import plot_learning_curve
    from ..training import CHECKPOINT, METRICS
    plot_learning_curve(folder / METRICS, folder / "learning_curve.png")
    rename_folder(folder, output)
    for leftover in (CHECKPOINT, RECORD):  # after the rename: till then a killed run needs them
        (Path(output) / leftover).unlink(missing_ok=True)
