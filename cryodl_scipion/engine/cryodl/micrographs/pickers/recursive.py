# SPDX-License-Identifier: GPL-3.0-or-later
"""Recursive training: what a trained picker picks wrongly on its own training micrographs is taught as background.

After Zhu et al. (2017, "A deep convolutional neural network approach to single-particle recognition in cryo-electron
microscopy", BMC Bioinformatics 18:348), whose false positives of a round join the negatives of the next. Ours: a round
starts from the weights of the one before, and is kept only if its validation metric is no lower.
Labelled micrographs for training and for validation, never the same position in both."""

import copy
import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainPickerConfig
from ...core.calibration import calibrate
from ...io.files import whole_rows, write_csv
from ...learning.recipe import fit_task
from ...learning.training import METRICS, FitReport
from ...simulate.particles import far
from .card import calibrate_model
from .crops import LabelledImage
from .labels import Labels, leave_out_unlabelled_edge
from .train import PickerTask, judge_candidates


def split_items(
    items: typing.Sequence[typing.Any], fraction: float, rng: np.random.Generator
) -> tuple[list[typing.Any], list[typing.Any]]:
    """Training and validation entries, by micrograph. items: Labels, or other tuples with the particles third. If only
    one micrograph has particles it stands in both lists: it must be cut in two (split_image)."""
    with_particles = [i for i, item in enumerate(items) if len(item[2])]
    if len(with_particles) == 1:
        return list(items), [items[with_particles[0]]]
    number = max(1, int(round(fraction * len(items))))
    held = set(rng.permutation(len(items))[:number].tolist())
    if held.isdisjoint(with_particles) or held.issuperset(with_particles):
        # both parts need particles: hold out the micrographs with a middling number of them
        ranked = sorted(with_particles, key=lambda i: len(items[i][2]))
        held = set(ranked[len(ranked) // 2 :][: min(number, len(ranked) - 1)])
    return [items[i] for i in range(len(items)) if i not in held], [items[i] for i in sorted(held)]


def split_images(
    images: typing.Sequence[LabelledImage], split: typing.Sequence[list[Labels]], fraction: float, diameter: float
) -> list[list[LabelledImage]]:
    """Images to learn from and to validate on. split: entries of split_items. fraction: of a single micrograph that is
    held out. diameter: working px."""
    if all(image.dense for image in images):
        images = leave_out_unlabelled_edge(images, diameter)
    known = {image.name: image for image in images}
    training, validation = ([known[name] for name, *_ in part] for part in split)
    if any(image is validation[0] for image in training):
        parts = split_image(validation[0], fraction, 1.5 * diameter)
        return [[parts[0] if image is validation[0] else image for image in training], [parts[1]]]
    return [training, validation]


def split_image(image: LabelledImage, fraction: float, margin: float) -> list[LabelledImage]:
    """One labelled image as a training and a validation part, left and right with a gap of `margin` px between. The cut
    lies where about `fraction` of the particles are right of it. Expected particles go with the area."""
    columns = np.sort(image.positives[:, 1])
    cut = columns[int((1 - fraction) * (len(columns) - 1))] + 1.0
    x = torch.arange(image.image.shape[1])
    return [
        _part(image, x < cut - margin / 2, lambda p: p[p[:, 1] < cut - margin / 2]),
        _part(image, x > cut + margin / 2, lambda p: p[p[:, 1] > cut + margin / 2]),
    ]


def _part(
    image: LabelledImage, columns: torch.Tensor, keep: typing.Callable[[np.ndarray], np.ndarray]
) -> LabelledImage:
    """The image with what lies in some of its columns, (w,) bool; keep: takes the points that lie there."""
    allowed = columns[None].expand(image.image.shape)
    part = dataclasses.replace(
        image,
        positives=keep(image.positives),
        negatives=keep(image.negatives),
        contamination=keep(image.contamination),
        machine=keep(image.machine),
        allowed=allowed if image.allowed is None else allowed & image.allowed,
    )
    if image.expected is None:
        return part
    share = float(part.usable.sum()) / max(float(image.usable.sum()), 1.0)
    return dataclasses.replace(part, expected=max(image.expected * share, float(len(part.positives))))


RATE = 1 / 3  # of the peak learning rate: the weights are good already
CLEAR = 0.75  # diameters from every label: nearer, a pick is a particle that is badly centred


@dataclasses.dataclass(frozen=True)
class Recursion:
    """One round. false_positives: how many it was taught. metric: of its validation, to be compared with the round
    before. kept: whether its weights took the place of the ones before."""

    false_positives: int
    metric: float
    kept: bool


def train_recursively(
    task: PickerTask, config: TrainPickerConfig, folder: Path, device: torch.device, seed: int
) -> tuple[PickerTask, FitReport, list[Recursion]]:
    """Train a task, and then as many rounds more as the config's recursions say. config: with recursions, steps and
    learning_rate. folder: working folder; each round continues from its own checkpoint in it. Returns the PickerTask of
    the best round, whose networks hold the weights, and its FitReport with the steps and seconds of all rounds."""
    report, rounds = fit_task(task, config, folder, device, seed=seed), list[Recursion]()
    typical = config.learning_rate or task.method.learning_rate
    for number in range(1, config.recursions + 1):
        images = [
            dataclasses.replace(image, negatives=np.concatenate([image.negatives, positions]))
            for image, positions in zip(task.training, false_positives(task))
        ]
        count = sum(len(new.negatives) - len(old.negatives) for new, old in zip(images, task.training))
        if not count:
            print(f"Recursion {number}: no false picks are left on the training micrographs.")
            break
        network = copy.deepcopy(task.networks["picker"])
        following = PickerTask(task.method, network, images, task.validation, config.batch_size, device)
        following.minimum_distance = task.minimum_distance
        print(f"Recursion {number}: {count} false picks on the training micrographs are added as background.")
        (part := folder / recursion_folder(number)).mkdir(exist_ok=True)
        later = fit_task(following, dataclasses.replace(config, learning_rate=RATE * typical), part, device, seed=seed)
        kept = later.best["metric"] >= report.best["metric"]
        rounds.append(Recursion(count, round(later.best["metric"], 4), kept))
        if not kept:
            print(f"Recursion {number} did not improve the validation metric: the model stays as it was.")
            break
        _add_metrics(folder, part, report.steps)
        before, task = report, following
        report = dataclasses.replace(
            later,
            steps=before.steps + later.steps,
            best_step=before.steps + later.best_step,
            seconds=before.seconds + later.seconds,
        )
    return task, report, rounds


def recursion_folder(number: int) -> str:
    """Name of a round's folder within the working folder."""
    return f"recursion_{number}"


def false_positives(task: PickerTask) -> list[np.ndarray]:
    """Picks of a trained task on its own training images that are no labelled particles. Returns [(n, 2) yx, working
    px] for each training image: candidates whose score reaches the threshold that the validation part asks for, on
    usable ground, clear of every label and of the negatives that are known."""
    diameter = task.method.working_diameter
    calibration, threshold, _ = calibrate_model(task, [task.hits([item]) for item in task.validation])
    found = []
    for item, (yx, raw, _) in zip(task.training, task.candidates(task.training)):
        matched, judged = judge_candidates(yx, item, diameter)
        wrong = yx[(calibrate(raw, calibration) >= threshold) & judged & ~matched]
        known = np.concatenate([item.positives, item.negatives, item.contamination])
        found.append(wrong[far(wrong, known, CLEAR * diameter)])
    return found


def _add_metrics(folder: Path, part: Path, steps: int) -> None:
    """Add a round's learning curve to that of the rounds before, which end at `steps`; done again, it is the same."""
    rows = [row for row in whole_rows(folder / METRICS) if int(row["step"]) <= steps]
    last = float(rows[-1]["seconds"])
    rows += [
        {**row, "step": str(int(row["step"]) + steps), "seconds": str(round(float(row["seconds"]) + last, 2))}
        for row in whole_rows(part / METRICS)
    ]
    write_csv(folder / METRICS, list(rows[0]), (list(row.values()) for row in rows))
