# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-general-picker`: simulated micrographs of many structures, and labelled real ones, in; a model that
picks molecules that it never saw out. A killed training continues from <output>.partial."""

import csv
import typing
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ...contract import TrainGeneralPickerConfig, TrainGeneralPickerOutputs, counted, read_card
from ...core.calibration import calibrate
from ...io import model, plots, progress
from ...io.files import expand_paths
from ...learning.recipe import TrainingRun
from ...running.runner import Run, command
from ...simulate.pool import load_member, procedural_assemblies
from ..pickers import general, general_training, picker_method, predict

VALIDATION_FRACTION = 0.16  # of the number of simulated micrographs, that many more are made for validation
MAX_VALIDATION = 64  # and no more than these
TRAINING, VALIDATION, CONTINUED = 1, 2, 3  # kinds of simulated micrographs: a training that continues sees new ones


@command
def train_general_picker(config: TrainGeneralPickerConfig, run: Run) -> TrainGeneralPickerOutputs:
    before, training = _card_before(config), TrainingRun(run)
    training.take_folder()
    device, method = training.take_device(), picker_method(config.network)
    real = general.read_sets(config.sets, config.leave_out) if config.sets else []
    partial = real and config.real_marks == "partial"  # then the model looks at the real sets before it learns of them
    seen = predict.Picker(method, general_training.general_network(config, method), device) if partial else None
    held_before = list(before.get("training", {}).get("validation_structures", []))
    files = [load_member(path) for name, path in _check_left_out(config) if name not in config.leave_out]
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
    members = [m for group in zip_longest(*held) for m in group if m]
    plain = [
        general.plain_image(members[n % len(members)], method, np.random.default_rng((run.seed, 9, n)))
        for n in range(2 * count)
    ]
    material = general_training.Material(
        [simulated] + [general.load_set(s, method, seen, general_training.MINIMUM_DISTANCE) for s in real],
        make(held, count, VALIDATION),
        plain[::2],
        plain[1::2],
        [m.name for m in learnt[0]] if files else [],
        [m.name for m in held[0]] if files else [],
        real,
    )
    print(
        f"Training a general picker on {training.device_name}: {len(material.training[0])} simulated micrographs of "
        f"{len(material.names)} structures and {config.procedural} artificial assemblies; real sets: "
        f"{', '.join(s.name for s in material.real) or 'none'}."
    )
    training.start()
    task = general_training.general_task(config, method, material, device)
    training.fit(task)
    card, hits = general_training.general_card(config, material, task, training)
    plots.plot_reliability(hits.hit, calibrate(hits.raw, card["calibration"]), training.folder / "reliability.png")
    training.finish(card, task.networks["picker"].state_dict())
    lines = _in_words(card)
    run.summary(f"Model: {config.output}", *lines)
    run.methods(" ".join(lines))
    return TrainGeneralPickerOutputs(
        model=str(config.output),
        stop_reason=training.stop_reason,
        threshold=card["threshold"],
        threshold_uncertainty=card["threshold_uncertainty"],
        validation=card["validation"],
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
        sets = [row["name"] for row in csv.DictReader(Path(config.sets).read_text("utf-8").splitlines())]
    if strange := [n for n in config.leave_out if n not in sets and n not in dict(named)]:
        raise ValueError(
            f"Hold out (--leave-out) names {', '.join(strange)}, which is neither a real set ({', '.join(sets)}) nor "
            "a structure's file name without extension. Correct the names."
        )
    return named
