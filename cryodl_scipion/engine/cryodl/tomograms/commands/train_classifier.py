# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-classifier`: subtomograms with their classes, a model folder out.

Result.outputs are the contract's TrainClassifierOutputs.
"""

from __future__ import annotations

import time
import typing
from pathlib import Path

from ...contract import Result, TrainClassifierConfig
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...learning.schedule import FitReport
    from ..classifiers.examples import Examples
    from ..classifiers.method import ClassifierMethod

DIAMETER = 0.8  # of the box, where none is given


def run(config: TrainClassifierConfig) -> Result:
    """Train and write the model. A killed training by steps continues from <output>.partial."""
    import torch

    from ...core.devices import choose_device, device_name, set_threads
    from ...io.model import write_model
    from ...io.unfinished import finish_folder
    from ...learning.run_training import check_output, finish, working_folder
    from ..classifiers import classifier_method
    from ..classifiers.card import card_warnings, first_card, stop_reason, validated, whole_card
    from ..classifiers.pictures import plot_confusion

    check_output(config.output)
    method = classifier_method(config.network)
    _check_options(config, method)
    examples, notes = _examples(config, method)
    folder = working_folder(config)
    device = choose_device(config.device)
    set_threads(config.threads)
    _say_start(config, method, examples, notes, device_name(device))
    start = time.monotonic()
    torch.manual_seed(config.seed)
    weights, report = _learn(config, method, examples, folder, device)
    card = first_card(config, examples)
    rows = examples.validation
    prediction = method.predictor(card, weights, device).predict(
        examples.subtomograms, rows, examples.contrast, config.batch_size or method.batch_size
    )
    temperature, figures = validated(prediction, examples.labels[rows])
    card = whole_card(
        card, config, examples, temperature, figures, report, time.monotonic() - start, device_name(device)
    )
    plot_confusion(
        figures["confusion"],
        card["classes"],
        card["classes"],
        folder / "confusion.png",
        f"{card['name']}: validation, accuracy {figures['accuracy']:.3f}",
    )
    write_model(folder, card, method.completed(weights, examples, config, device))
    if report is None:
        finish_folder(folder, config.output)
    else:
        finish(folder, config.output)
    print(
        f"Model: {config.output} (accuracy {figures['accuracy']:.3f} ± {figures['standard_error']:.3f} on "
        f"{figures['number']} validation subtomograms)"
    )
    warnings = [*notes, *card_warnings(card)]
    for sentence in warnings[len(notes) :]:
        warn(sentence)
    shown = {k: v for k, v in figures.items() if k != "unknown_confidence"}
    outputs = dict(
        model=str(config.output),
        classes=card["classes"],
        validation=shown,
        stop_reason=stop_reason(report),
        contrast=examples.contrast,
    )
    return Result("train-classifier", outputs, device=device_name(device), warnings=tuple(warnings))


def _check_options(config: TrainClassifierConfig, method: ClassifierMethod) -> None:
    """Raises ValueError for options of a training by steps, where there is none: they would have no effect."""
    given = [f"--{name.replace('_', '-')}" for name in ("steps", "learning_rate") if getattr(config, name) is not None]
    if given and not method.learns_by_steps:
        raise ValueError(
            f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect with the network "
            f"{config.network}, which learns nothing by steps. Leave it out, or choose another --network."
        )


def _examples(config: TrainClassifierConfig, method: ClassifierMethod) -> tuple[Examples, list[str]]:
    """Examples of the config, and warnings."""
    from ...io.subtomograms import read_subtomograms
    from ..classifiers.examples import Examples, labelled, split
    from ..classifiers.prepare import find_contrast, resolution_notes

    found = read_subtomograms(config.subtomograms, ("classes",), config.tilt_min, config.tilt_max)
    found, labels, numbers, names, notes = labelled(found, config.class_names)
    width = found.box * found.pixel_size
    diameter = config.particle_diameter or DIAMETER * width
    if diameter > width:
        raise ValueError(
            f"Particle diameter (--particle-diameter) is {diameter:g} Å, but the subtomograms of "
            f"{found.path} are only {width:g} Å wide ({found.box} px x {found.pixel_size:g} Å). Extract "
            "larger ones, or give the diameter of the particle."
        )
    notes += resolution_notes(found, diameter, config.resolution)
    contrast, said, warning = find_contrast(found, diameter, config.contrast)
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
    for sentence in notes:
        warn(sentence)
    one, counts = examples.subtomograms, [int((examples.labels == k).sum()) for k in range(len(examples.names))]
    print(f"Classes: {', '.join(f'{name} ({count})' for name, count in zip(examples.names, counts))}.")
    if examples.box != one.box or abs(examples.pixel_size / one.pixel_size - 1) > 1e-3:
        print(
            f"The {config.network} classifier works with {examples.box} px x {examples.pixel_size:.4g} Å; "
            f"subtomograms of {one.box} px x {one.pixel_size:.4g} Å are resampled, and cut or surrounded by zeros."
        )
    print(f"Training the {config.network} classifier on {device} with {len(examples.training)} subtomograms.")
    if method.weak:
        print(f"Known weakness of {config.network}: {method.weak}")


def _learn(
    config: TrainClassifierConfig, method: ClassifierMethod, examples: Examples, folder: Path, device: torch.device
) -> tuple[dict[str, torch.Tensor], FitReport | None]:
    """Weights, {name: tensor}, and the FitReport of a training by steps, or None."""
    if not method.learns_by_steps:
        return method.learn(examples, config, device), None
    from ...learning.run_training import fit_task
    from ..classifiers.train import ClassifierTask

    task = ClassifierTask(method, examples, config.batch_size)
    report = fit_task(task, config, folder, device)
    return task.weights(), report
