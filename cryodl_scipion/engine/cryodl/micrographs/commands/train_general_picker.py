# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-general-picker`: simulated micrographs of many structures, and labelled real ones, in; a model that
picks molecules that it never saw out. Simulate, train and write the model. A killed training continues from
<output>.partial."""

import csv
import dataclasses
import typing
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainGeneralPickerConfig, TrainGeneralPickerOutputs, counted, read_card
from ...core.calibration import calibrate, expected_calibration_error, fit_calibration
from ...core.matching import score_matched
from ...io import model, plots, progress
from ...io.files import expand_paths
from ...learning.recipe import TrainingRun
from ...runner import Run, command
from ...simulate.pool import of_files, procedural_assemblies
from ..pickers import crops, general, load_network, picker_method, predict, thresholds, train
from ..pickers.card import calibrate_model, merge
from ..pickers.method import PickerMethod

MINIMUM_DISTANCE = 0.5  # diameters: crowded fields are among those to come
VALIDATION_FRACTION = 0.16  # of the number of simulated micrographs, that many more are made for validation
MAX_VALIDATION = 64  # and no more than these
TRAINING, VALIDATION, CONTINUED = 1, 2, 3  # kinds of simulated micrographs: a training that continues sees new ones


@command
def train_general_picker(config: TrainGeneralPickerConfig, run: Run) -> TrainGeneralPickerOutputs:
    before = _card_before(config)
    training = TrainingRun(run)
    training.take_folder()
    device, method = training.take_device(), picker_method(config.network)
    real = general.read_sets(config.sets, config.leave_out) if config.sets else []
    partial = real and config.real_marks == "partial"  # then the model looks at the real sets before it learns of them
    seen = predict.Picker(method, _network(config, method), device) if partial else None
    held_before = list(before.get("training", {}).get("validation_structures", []))
    files = of_files([p for n, p in _check_left_out(config) if n not in config.leave_out])
    learnt, held = zip(
        *(
            general.split_members(members, run.seed, held_before) if len(members) > 1 else (members, members)
            for members in (files, procedural_assemblies(config.procedural, run.seed))
            if members
        )
    )
    count = min(MAX_VALIDATION, max(8, int(VALIDATION_FRACTION * config.simulated)))
    make = lambda groups, number, tag: list(
        progress.ProgressBar(
            general.simulated_images(groups, number, method, run.seed, tag, config.cache, config.faint_fraction),
            total=number,
            unit="micrograph",
            mininterval=5.0,
        )
    )
    simulated = make(learnt, config.simulated, CONTINUED if config.start_from else TRAINING)
    plain = list(
        general.plain_images([m for members in zip_longest(*held) for m in members if m], 2 * count, method, run.seed)
    )
    material = _Material(
        [simulated] + [general.load_set(s, method, seen, MINIMUM_DISTANCE) for s in real],
        make(held, count, VALIDATION),
        plain[::2],
        plain[1::2],
        [m.name for m in learnt[0]] if files else [],
        [m.name for m in held[0]] if files else [],
        real,
    )
    print(
        f"Training a general picker on {training.device_name}: {material.simulated} simulated micrographs of "
        f"{len(material.names)} structures and {config.procedural} artificial assemblies; real sets: "
        f"{', '.join(s.name for s in material.real) or 'none'}."
    )
    training.start()
    task = _task(config, method, material, device)
    training.fit(task)
    card, hits = _card(config, material, task, training)
    plots.plot_reliability(hits.hit, calibrate(hits.raw, card["calibration"]), training.folder / "reliability.png")
    training.finish(card, task.networks["picker"].state_dict())
    metrics = card["validation"]
    lines = _in_words(card)
    run.summary(f"Model: {config.output}", *lines)
    run.methods(" ".join(lines))
    return TrainGeneralPickerOutputs(
        model=str(config.output),
        stop_reason=training.stop_reason,
        threshold=card["threshold"],
        threshold_uncertainty=card["threshold_uncertainty"],
        validation=metrics,
        structures=len(material.names),
        procedural=config.procedural,
        real_sets=[s.name for s in material.real],
    )


def _in_words(card: dict[str, typing.Any]) -> list[str]:
    training, metrics = card["training"], card["validation"]
    size = "It estimates the particles' size" if card.get("tells_size") else "It needs the particles' diameter"
    return [
        f"General model {card['name']}, network {card['network']}. {size}.",
        f"Trained on {training['simulated_micrographs']} simulated micrographs of "
        f"{counted(len(training['structures']), 'structure')} and {training['made_up']} artificial assemblies, and on "
        f"{counted(len(training['real_sets']), 'labelled set')}; {counted(training['steps'], 'step')}, stopped: "
        f"{training['stop_reason']}.",
        f"On simulated micrographs of structures that it did not learn from: F1 {metrics['f1']:.3f}, average precision "
        f"{metrics['average_precision']:.3f}, expected calibration error {metrics['calibration_error']:.3f}.",
    ]


@dataclasses.dataclass(frozen=True)
class _Material:
    """training: [simulated images, one list for each real set]. validation, plain, test: simulated images of held-out
    structures: varied ones to choose the weights by, and plain ones for calibration and for the card's metrics.
    names: of structures' files that were learnt from. held_out: of the others. real: RealSets."""

    training: list[list[crops.LabelledImage]]
    validation: list[crops.LabelledImage]
    plain: list[crops.LabelledImage]
    test: list[crops.LabelledImage]
    names: list[str]
    held_out: list[str]
    real: list[general.RealSet]

    @property
    def simulated(self) -> int:
        return len(self.training[0])


def _card_before(config: TrainGeneralPickerConfig) -> typing.Mapping[str, typing.Any]:
    """Card of the model to continue from; {} without one. Raises ValueError, before anything is simulated, for a model
    that is of another network."""
    if not config.start_from:
        return {}
    card = read_card(model.find_model(config.start_from, "picker"), "picker")
    if card["network"] != config.network or not card.get("general"):
        kind = "a general model" if card.get("general") else "a model of one kind of particle"
        raise ValueError(
            f"Start from model (--start-from {config.start_from}) is {kind} of the network {card['network']}, but a "
            f"general model of {config.network} is trained. Choose a general model of the same network, or another "
            "Network (--network)."
        )
    return card


def _check_left_out(config: TrainGeneralPickerConfig) -> list[tuple[str, str]]:
    """[(name, path)] of the structures. Raises ValueError for a name to leave out that nothing has."""
    named = [(Path(p).name.split(".")[0], p) for p in (expand_paths(config.structures) if config.structures else [])]
    sets: list[str] = []
    if config.sets:
        with open(config.sets, newline="", encoding="utf-8") as file:
            sets = [row["name"] for row in csv.DictReader(file)]
    strange = [n for n in config.leave_out if n not in sets and n not in dict(named)]
    if strange:
        raise ValueError(
            f"Hold out (--leave-out) names {', '.join(strange)}, which is neither a real set ({', '.join(sets)}) nor "
            "a structure's file name without extension. Correct the names."
        )
    return named


def _task(
    config: TrainGeneralPickerConfig, method: PickerMethod, material: _Material, device: torch.device
) -> train.PickerTask:
    simulated, *real = material.training
    task = train.PickerTask(
        method,
        _network(config, method),
        simulated + [im for images in real for im in images],
        material.validation,
        config.batch_size,
        device,
    )
    task.minimum_distance = MINIMUM_DISTANCE
    task.chances = general.chances_of(simulated, real, config.real_fraction)
    return task


def _network(config: TrainGeneralPickerConfig, method: PickerMethod) -> torch.nn.Module:
    if not config.start_from:
        return method.build_general()
    weights = model.read_model(model.find_model(config.start_from, "picker"), "picker")[1]
    return load_network(method, weights, config.start_from)


def _card(
    config: TrainGeneralPickerConfig, material: _Material, task: train.PickerTask, training: TrainingRun
) -> tuple[dict[str, typing.Any], train.Hits]:
    """The model card, and Hits by which it was judged: its calibration and threshold are of one half of the held-out
    micrographs, its metrics of the other."""
    plain = task.hits(material.plain)
    calibration = fit_calibration(plain.hit, plain.raw)
    sizes = typing.cast("np.ndarray", plain.sizes)
    tells_size = bool(len(sizes)) and not np.isnan(sizes).any()
    if tells_size:
        task.narrow = thresholds.fit_narrow(plain.hit, plain.raw, sizes, calibration)
    _, threshold, uncertainty = calibrate_model(task, [task.hits([item]) for item in material.plain])
    hits = merge([task.hits([item]) for item in material.test])
    scores = calibrate(hits.raw, calibration)
    metrics = dataclasses.asdict(score_matched(hits.hit, scores, hits.reference, threshold))
    metrics["calibration_error"] = round(float(expected_calibration_error(hits.hit, scores)), 4)
    count = lambda images: sum(len(im.positives) for im in images)
    return dict(
        kind="picker",
        name=Path(config.output).name,
        network=config.network,
        general=True,
        tells_size=tells_size,
        contrast="dark",
        labels="complete",
        particle_diameter=200.0,
        pixel_sizes=[],
        threshold=threshold,
        threshold_uncertainty=uncertainty,
        calibration=list(calibration),
        **(dict(narrow=list(task.narrow)) if task.narrow else {}),
        minimum_distance=MINIMUM_DISTANCE,
        training=dict(
            micrographs=[f"{s.name}/{item[0]}" for s in material.real for item in s.items],
            validation_micrographs=[],
            particles=count(task.training),
            validation_particles=count(task.validation),
            background_boxes=0,
            contamination_boxes=0,
            simulated_micrographs=material.simulated,
            structures=material.names,
            validation_structures=material.held_out,
            made_up=config.procedural,
            faint=config.faint_fraction,
            real_sets=[s.name for s in material.real],
            **(dict(real_fraction=config.real_fraction, real_marks=config.real_marks) if material.real else {}),
            left_out=list(config.leave_out),
            **dict(start_from=config.start_from) if config.start_from else {},
            **training.record(),
        ),
        validation={
            k: metrics[k]
            for k in ("f1", "precision", "recall", "average_precision", "threshold", "reference", "calibration_error")
        },
    ), hits
