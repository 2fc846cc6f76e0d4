# SPDX-License-Identifier: GPL-3.0-or-later
"""One round of automatic picking: a network learns from the last round's sure picks, and is calibrated and judged."""

import dataclasses
import time
import typing
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from ...contract import AutoPickConfig
from ...core.calibration import best_threshold, calibrate, fit_to_probabilities
from ...core.geometry import map_positions, values_at
from ...core.matching import match_picks
from ...io.model import write_model
from ...learning.recipe import finish, fit_task
from .card import card_validation
from .crops import LabelledImage
from .method import PickerMethod
from .self_labels import Picked, teacher_probabilities
from .thresholds import SURE, threshold_uncertainty
from .train import PickerTask

STEPS = 200
# Part of the method's peak rate: the weights are good already, and a few hundred picks must not undo what the model
# knows of other ice and dirt.
RATE = 1 / 3
BATCH = 8


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
    seed: int,
) -> None:
    """Train a model folder `folder` (its work lies in <folder>.partial till then). Returns nothing; the card says it
    all. network: with the weights to start from. previous: card of the model that they are of; `clear`: whether the
    first one's scores were. images: (training, validation) LabelledImages of the last round's picks. teachers: Picked
    of the validation micrographs. config: AutoPickConfig. folder: Path. contrast: 'dark' or 'bright'."""
    start, partial = time.monotonic(), folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    task = PickerTask(method, network, images[0], images[1], BATCH, device)
    task.minimum_distance = previous["minimum_distance"]
    task.rate = RATE
    report = fit_task(task, dataclasses.replace(config, steps=config.steps or STEPS), partial, device, seed=seed)
    scores, calibration = _calibrated(task, teachers)
    best = best_threshold(np.concatenate(scores))
    threshold = max(best, SURE) if previous["clear"] else best  # as `pick` takes it
    count = lambda part, field: sum(len(getattr(im, field)) for im in part)
    card = dict(
        kind="picker",
        name=config.output.rstrip("/").split("/")[-1] or "auto-pick",
        network=method.name,
        contrast=contrast,
        labels="own picks",
        clear=previous["clear"],
        particle_diameter=config.particle_diameter,
        pixel_sizes=[config.pixel_size],
        threshold=threshold,
        threshold_uncertainty=round(threshold_uncertainty(scores), 4) if threshold == best else None,
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
            steps=report.steps,
            best_step=report.best_step,
            stop_reason=report.stop_reason,
            seconds=round(time.monotonic() - start, 1),
            device=str(device),
            seed=seed,
        ),
        validation=card_validation(task.hits(task.validation), calibration, threshold),
    )
    write_model(partial, card, task.networks["picker"].state_dict())
    finish(partial, folder)


def _calibrated(task: PickerTask, teachers: typing.Sequence[Picked]) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Scores (n,) of all candidates of each validation micrograph, and the (slope, offset) that they came by."""
    yx, raw, _ = zip(*task.candidates(task.validation))
    known = teacher_probabilities(task.validation, yx, teachers, task.method.working_diameter)
    calibration = fit_to_probabilities(np.concatenate(known), np.concatenate(raw))
    return [calibrate(one, calibration) for one in raw], calibration


def judge_round(
    prepared: typing.Mapping[str, typing.Any],
    held_out: typing.Sequence[str],
    picked: typing.Mapping[str, Picked],
    numbers: typing.Mapping[str, int],
    diameter: float,
) -> float | None:
    """Separation (observer.separation) of the best picks of a round; None if there are too few to tell. prepared:
    {name: LabelledImage or Prepared}. held_out: names that are judged; the plane is drawn on the others. picked: {name:
    Picked}. numbers: {name: how many picks count}, the same in every round; a round that has fewer gets random
    positions for the missing ones, since picking only the easy ones is no merit."""
    parts: tuple[list[typing.Any], list[typing.Any]] = ([], [])
    for index, (name, image) in enumerate(prepared.items()):
        positions = map_positions(best_picks(picked[name], numbers[name]), picked[name].shape, image.image.shape)
        missing, last = numbers[name] - len(positions), np.array(image.image.shape) - 1
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
    """F1 of the best picks of two rounds, each taken as the other's reference, over some micrographs. first, second:
    {name: Picked}. numbers: {name: how many count}. reach: px of the file within which picks are the same."""
    pairs = [[best_picks(picked[name], numbers[name]) for picked in (first, second)] for name in names]
    total = sum(len(a) + len(b) for a, b in pairs)
    return 2 * int(sum(match_picks(a, b, reach).sum() for a, b in pairs)) / max(total, 1)


# a position by rotationally averaged profiles of density and of detail at three scales, and draws one plane between
# picks and background (Fisher's linear discriminant) on some micrographs. The separation is how far picks and
# background lie apart from that plane's view on other micrographs, in standard deviations (d'). Background in the
# picks, and particles among the background, both bring them nearer; how sure the network is of itself does not
# count, since each round is judged by the same number of its best picks.
RADIUS = 0.75  # diameters around a position that are looked at
RING = 1 / 16  # diameters that a ring of the profiles is wide
SCALES = (1 / 32, 1 / 16, 1 / 8)  # diameters, sigma of the smoothing
BACKGROUND_DISTANCE = 0.35  # diameters that background keeps from picks
RIDGE = 0.05  # of the mean variance; keeps the plane steady with few picks
MINIMUM = 20  # picks on either side below which nothing is judged


def separation(
    training: typing.Sequence[tuple[typing.Any, np.ndarray]],
    validation: typing.Sequence[tuple[typing.Any, np.ndarray]],
    diameter: float,
    seed: int = 0,
) -> float | None:
    """d' of picks and background of the validation micrographs, of a plane drawn on the training ones; None if there
    are too few picks to tell. training, validation: lists of (image, picks): Prepared or LabelledImage, and (n, 2) yx
    working px. diameter: working px."""
    (x, is_pick), (other_x, other_pick) = (_table(part, diameter, seed) for part in (training, validation))
    if min(is_pick.sum(), other_pick.sum(), (~is_pick).sum(), (~other_pick).sum()) < MINIMUM:
        return None
    middle, scale = x.mean(0), x.std(0) + 1e-6
    value = ((other_x - middle) / scale) @ _discriminant((x - middle) / scale, is_pick)
    picks, rest = value[other_pick], value[~other_pick]
    return float((picks.mean() - rest.mean()) / np.sqrt(0.5 * (picks.var() + rest.var()) + 1e-12))


def _table(
    part: typing.Sequence[tuple[typing.Any, np.ndarray]], diameter: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions (n, f) of picks and as many background positions, and which are picks (n,)."""
    rows, is_pick = [np.zeros((0, 4 * _rings(diameter).shape[1]))], [np.zeros(0, bool)]
    for index, (image, picks) in enumerate(part):
        background = _background(image, picks, diameter, np.random.default_rng((seed, index)))
        rows.append(ring_profiles(image.image.numpy(), np.concatenate([picks, background]), diameter))
        is_pick.append(np.arange(len(picks) + len(background)) < len(picks))
    return np.concatenate(rows), np.concatenate(is_pick)


def _background(image: typing.Any, picks: np.ndarray, diameter: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) random valid positions away from the picks, as many as there are picks where there is room."""
    tried = rng.uniform(0, 1, (8 * len(picks), 2)) * (np.array(image.image.shape) - 1)
    far = cKDTree(picks).query(tried)[0] > BACKGROUND_DISTANCE * diameter
    return tried[far & values_at(image.valid.numpy(), tried)][: len(picks)]


def ring_profiles(image: np.ndarray, positions: np.ndarray, diameter: float) -> np.ndarray:
    """(n, f) ring profiles around places (n, 2) of an image (h, w): density, and detail at three scales (log power)."""
    rings = _rings(diameter)
    side = int(round(len(rings) ** 0.5))
    smooth = [gaussian_filter(image, max(0.5, s * diameter)) for s in SCALES]
    layers = [smooth[0]] + [(fine - coarse) ** 2 for fine, coarse in zip([image] + smooth, smooth)]
    nearest = np.clip(np.rint(positions), 0, np.array(image.shape) - 1).astype(int)
    profiles = []
    for number, layer in enumerate(layers):
        windows = sliding_window_view(np.pad(layer, side // 2, mode="reflect"), (side, side))
        profile = windows[nearest[:, 0], nearest[:, 1]].reshape(len(positions), side * side) @ rings
        profiles.append(profile if number == 0 else np.log(profile + 1e-3))
    return np.concatenate(profiles, 1)


def _rings(diameter: float) -> np.ndarray:
    """(k * k, r) weights that average a (k, k) window over each of r rings."""
    radius = int(round(RADIUS * diameter))
    distance = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]).ravel()
    width = max(1.0, RING * diameter)
    weights = ((distance / width).astype(int)[:, None] == np.arange(int(radius / width))[None]).astype(np.float32)
    return weights / weights.sum(0)


def _discriminant(x: np.ndarray, is_pick: np.ndarray) -> np.ndarray:
    means = [x[group].mean(0) for group in (~is_pick, is_pick)]
    within = np.cov(np.concatenate([x[~is_pick] - means[0], x[is_pick] - means[1]]).T)
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    return np.linalg.solve(within, means[1] - means[0])
