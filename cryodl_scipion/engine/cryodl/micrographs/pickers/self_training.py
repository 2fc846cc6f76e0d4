# SPDX-License-Identifier: GPL-3.0-or-later
"""One round of automatic picking: a network learns from the last round's sure picks, and is calibrated and judged."""

from __future__ import annotations

import dataclasses
import os
import time
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import AutoPickConfig
from ...core.calibration import best_threshold, calibrate, fit_to_probabilities
from ...core.geometry import map_positions
from ...core.matching import match_picks, score_matched
from ...io.model import read_model, write_model
from ...learning.run_training import finish, fit_task
from .observer import separation
from .predict import Picker
from .self_labels import teacher_probabilities
from .thresholds import threshold_uncertainty
from .train import PickerTask

if typing.TYPE_CHECKING:
    from .crops import LabelledImage
    from .method import PickerMethod
    from .self_labels import Picked

STEPS = 200
# Part of the method's peak rate: the weights are good already, and a few hundred picks must not undo what the model
# knows of other ice and dirt.
RATE = 1 / 3


@dataclasses.dataclass(frozen=True)
class RoundConfig:
    """What fit_task asks for."""

    steps: int
    learning_rate: float
    seed: int
    batch_size: int = 8


def train_round(
    method: PickerMethod,
    network: torch.nn.Module,
    previous: typing.Mapping[str, typing.Any],
    images: typing.Sequence[typing.Sequence[LabelledImage]],
    teachers: typing.Sequence[Picked],
    config: AutoPickConfig,
    folder: Path,
    device: torch.device,
    contrast: str,
) -> None:
    """Train a model folder `folder` (its work lies in <folder>.partial till then). Returns nothing; the card says it
    all.

    network: with the weights to start from. previous: card of the model that they are of. images: (training,
    validation) LabelledImages of the last round's picks. teachers: Picked of the validation micrographs. config:
    AutoPickConfig.
    folder: Path. contrast: 'dark' or 'bright'.
    """
    start = time.monotonic()
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    task = PickerTask(method, network, images[0], images[1], RoundConfig.batch_size, device)
    task.minimum_distance = previous["minimum_distance"]
    report = fit_task(
        task, RoundConfig(config.steps or STEPS, RATE * method.learning_rate, config.seed), partial, device
    )
    scores, calibration = _calibrated(task, teachers)
    hits = task.validation_hits()
    threshold = best_threshold(np.concatenate(scores))
    metrics = dataclasses.asdict(score_matched(hits.hit, calibrate(hits.raw, calibration), hits.reference, threshold))
    count = lambda part, field: sum(len(getattr(im, field)) for im in part)
    card = dict(
        kind="picker",
        name=config.output.rstrip("/").split("/")[-1] or "auto-pick",
        network=method.name,
        contrast=contrast,
        labels="own picks",
        particle_diameter=config.particle_diameter,
        pixel_sizes=[config.pixel_size],
        threshold=threshold,
        threshold_uncertainty=round(threshold_uncertainty(scores), 4),
        calibration=list(calibration),
        minimum_distance=task.minimum_distance,
        training=dict(
            micrographs=[im.name for im in images[0]],
            validation_micrographs=[im.name for im in images[1]],
            particles=count(images[0], "positives"),
            validation_particles=count(images[1], "positives"),
            background_boxes=count(images[0], "negatives"),
            contamination_boxes=count(images[0], "contamination"),
            first_model=previous["name"],
            **report.record(time.monotonic() - start, str(device), config.seed),
        ),
        validation={
            k: metrics[k] for k in ("f1", "precision", "recall", "average_precision", "threshold", "reference")
        },
    )
    write_model(partial, card, task.networks["picker"].state_dict())
    finish(partial, folder)


def _calibrated(task: PickerTask, teachers: typing.Sequence[Picked]) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Scores (n,) of all candidates of each validation micrograph, and the (slope, offset) that they came by."""
    picker = Picker(task.method, task.networks["picker"], task.device)
    diameter = task.method.working_diameter
    found = [picker.candidates_prepared(image, task.minimum_distance * diameter) for image in task.validation]
    known = teacher_probabilities(task.validation, [yx for yx, _ in found], teachers, diameter)
    calibration = fit_to_probabilities(np.concatenate(known), np.concatenate([raw for _, raw in found]))
    return [calibrate(raw, calibration) for _, raw in found], calibration


def start_network(method: PickerMethod, model: str | os.PathLike[str]) -> torch.nn.Module:
    """A method's network with the weights of a model folder."""
    from . import load_network

    return load_network(method, read_model(model, "picker")[1], model)


def judge_round(
    prepared: typing.Mapping[str, typing.Any],
    held_out: typing.Sequence[str],
    picked: typing.Mapping[str, Picked],
    numbers: typing.Mapping[str, int],
    diameter: float,
) -> float | None:
    """Separation (observer.separation) of the best picks of a round; None if there are too few to tell.

    prepared: {name: LabelledImage or Prepared}. held_out: names that are judged; the plane is drawn on the others.
    picked: {name: Picked}. numbers: {name: how many picks count}, the same in every round; a round that has fewer gets
    random positions for the missing ones, since picking only the easy ones is no merit.
    """
    parts: tuple[list[typing.Any], list[typing.Any]] = ([], [])
    for index, (name, image) in enumerate(prepared.items()):
        positions = map_positions(best_picks(picked[name], numbers[name]), picked[name].shape, image.image.shape)
        missing = numbers[name] - len(positions)
        last = np.array(image.image.shape) - 1
        anywhere = np.random.default_rng((1, index)).uniform(0, 1, (max(missing, 0), 2)) * last
        parts[name in held_out].append((image, np.concatenate([positions, anywhere])))
    return separation(*parts, diameter)


def best_picks(picked: Picked, number: int) -> np.ndarray:
    """The (n, 2) positions of the `number` best candidates of Picked."""
    return picked.yx[np.argsort(-picked.scores, kind="stable")[:number]]


def round_agreement(
    first: typing.Mapping[str, Picked],
    second: typing.Mapping[str, Picked],
    numbers: typing.Mapping[str, int],
    names: typing.Sequence[str],
    reach: float,
) -> float:
    """F1 of the best picks of two rounds, each taken as the other's reference, over some micrographs.

    first, second: {name: Picked}. numbers: {name: how many count}. reach: px of the file within which picks are the
    same.
    """
    matched = total = 0
    for name in names:
        a, b = (best_picks(picked[name], numbers[name]) for picked in (first, second))
        matched += 2 * int(match_picks(a, b, reach).sum())
        total += len(a) + len(b)
    return matched / total if total else 0.0
