# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled micrographs for training: coordinates matched with files, checked, prepared."""

import dataclasses
import os
import typing

import numpy as np
import torch
from scipy.spatial import cKDTree

from ...contract import MIN_PARTICLES, Skipped, TrainPickerConfig, counted, say_if, some_names
from ...core.geometry import inside, map_positions, values_at
from ...core.peaks import separate
from ...io.coordinates import align_keys
from ...io.files import expand_paths, name_micrographs
from ...io.micrographs import micrograph_shape, read_micrograph
from ...io.particle_positions import read_centred
from ..byhand.store import IGNORED, Corrections, is_corrected, read_corrections
from ..normalize import prepare_micrograph
from .crops import LabelledImage
from .method import PickerMethod
from .predict import check_particle_fits, working_factor
from .uncertain import Uncertain, certain_area, check_mask, read_uncertain

_NOWHERE = np.zeros((0, 2))
COPY = 0.1  # particle diameters within which labels are of one particle
LEFT_PER_BOX = 2  # picks of the machine that are learnt beside each box of the user's


class Labels(typing.NamedTuple):
    """What is known of one micrograph: particles, boxes on background and contamination, (n, 2) yx px of the file.
    machine: picks of a picker that the user saw and neither confirmed nor removed."""

    name: str
    path: str
    positives: np.ndarray
    negatives: np.ndarray = _NOWHERE
    contamination: np.ndarray = _NOWHERE
    uncertain: Uncertain | None = None
    machine: np.ndarray = _NOWHERE


def label_kind(config: TrainPickerConfig) -> str:
    """What the labels of a TrainPickerConfig mean: 'complete', 'boxes' or 'sparse'."""
    if config.labels != "auto":
        return config.labels
    if config.background or config.contamination:
        return "boxes"
    return "sparse" if config.network == "topaz" else "complete"


def with_corrections(
    config: TrainPickerConfig, names: typing.Sequence[str] = ()
) -> tuple[TrainPickerConfig, list[str]]:
    """The config, and sentences about it, if the coordinates are a folder of `pick-by-hand`; else as it is. Areas to
    ignore are taken from the folder where the config names none; match_labels takes what was removed. Picks that nobody
    confirmed make labels of a few positions, unless the config says what the labels are."""
    if not is_corrected(config.coordinates):
        return config, []
    named = name_micrographs(expand_paths(config.micrographs, names), names)
    found = read_corrections(config.coordinates, [name for name, _ in named])
    if found.masks and not config.uncertain:
        config = dataclasses.replace(config, uncertain=os.path.join(config.coordinates, IGNORED))
    if not found.partial:
        marked = sum(map(len, found.certain.values()))
        return config, say_if(
            config.labels in ("auto", "complete") and marked > 0,
            f"All {marked} picks of {config.coordinates} are confirmed: everything else on these micrographs counts as "
            "background. If particles are missing there, use train-picker --labels boxes.",
        )
    if config.labels == "auto":
        config = dataclasses.replace(config, labels="boxes")
    counts = {word: sum(map(len, getattr(found, word).values())) for word in ("certain", "machine")}
    removed = sum(map(len, _gone(config, found).values()))
    by_hand = "has answers to questions" if found.asked else "was corrected by hand"
    made = "has labels from 2-D classes" if found.from_classes else by_hand
    beside = ""
    if config.labels == "boxes" and not found.unseen:
        seen = sum(len(yx) for name, yx in found.machine.items() if name in found.names)
        beside = f", and, unless the model is unsure of them, some of {seen} unconfirmed picks, which count as right"
        counts["machine"] -= seen
    return config, [
        f"{config.coordinates} {made}: {counts['certain']} confirmed picks are used for training, {removed} removed "
        f"picks as background{beside}; {counts['machine']} {'other ' if beside else ''}unconfirmed picks and "
        f"unlabelled areas are not used (labels: {config.labels})."
    ]


def match_labels(
    config: TrainPickerConfig,
    warn: typing.Callable[[str], typing.Any] = print,
    names: typing.Sequence[str] = (),
    seed: int = 0,
) -> list[Labels]:
    """Labels of the micrographs that have some. config: TrainPickerConfig. warn: called with a sentence about
    coordinates of micrographs that were not given (people train on a part of what they have picked). Raises ValueError
    naming what does not match: names in two folders, no coordinates for any micrograph, coordinates outside of their
    micrograph, masks of another size, too few particles."""
    named = name_micrographs(expand_paths(config.micrographs, names), names)
    sources = (config.coordinates, config.background, config.contamination)
    given = [read_centred(one, config.pixel_size, config.particle_diameter) if one else {} for one in sources]
    groups = [
        _of_micrographs({k: yx for k, (yx, _) in lists.items()}, named, source, warn) if source else {}
        for source, lists in zip(sources, given)
    ]
    uncertain, machine = {}, dict[str, np.ndarray]()
    if config.uncertain:
        uncertain = _of_micrographs(read_uncertain(config.uncertain), named, config.uncertain, warn)
    if is_corrected(config.coordinates):
        found = read_corrections(config.coordinates, [name for name, _ in named])
        if not found.unseen:  # of picks that were not classified nobody saw anything
            machine = {name: yx for name, yx in found.machine.items() if name in found.names}
        groups[1] = _with_removed(config, groups[1], found)
        groups[0], uncertain = _certain(config, groups[0], uncertain, found)
    labelled = groups[0] if label_kind(config) != "boxes" else {**groups[0], **groups[1], **groups[2]}
    if boxed := [name for name in {**groups[1], **groups[2]} if name not in labelled]:
        warn(
            f"Boxes on background or contamination of {counted(len(boxed), 'micrograph')} without a list of particles "
            f"are not used with {label_kind(config)} labels (train-picker --labels): {some_names(boxed)}."
        )
    # in both halves of what is held back, copies would judge what learnt them; and they stand for close neighbours
    reach = COPY * config.particle_diameter / config.pixel_size
    single = [{name: yx[separate(yx, reach)] for name, yx in group.items() if name in labelled} for group in groups]
    if copies := sum(len(group[name]) - len(yx) for group, kept in zip(groups, single) for name, yx in kept.items()):
        warn(f"{counted(copies, 'label')} at the place of another one of its kind: left out.")
    boxes_of = lambda name: (group.get(name, _NOWHERE) for group in single)
    items = [
        Labels._make((name, path, *boxes_of(name), uncertain.get(name), machine.get(name, _NOWHERE)))
        for name, path in named
        if name in labelled
    ]
    if label_kind(config) == "boxes":
        items = [_beside_corrections(item, np.random.default_rng((seed, n))) for n, item in enumerate(items)]
    for item in items:
        _check_positions(item)
    total = sum(len(item.positives) for item in items)
    if total < MIN_PARTICLES:
        raise ValueError(
            f"{config.coordinates} has {counted(total, 'particle')} for these micrographs; training needs at least "
            f"{MIN_PARTICLES}, and a useful model needs 20 or more."
        )
    return items


def _certain(
    config: TrainPickerConfig, picks: dict[str, np.ndarray], uncertain: dict[str, Uncertain], found: Corrections
) -> tuple[dict[str, np.ndarray], dict[str, Uncertain]]:
    """Particles and uncertain places of corrected picks: those that nobody confirmed are uncertain. Where boxes alone
    teach, nothing need be left out around them, and certain picks beside them would be lost."""
    positions = dict(uncertain)
    for name, yx in found.machine.items():
        if len(yx) and label_kind(config) != "boxes":
            known = uncertain.get(name, Uncertain(_NOWHERE))
            positions[name] = Uncertain(np.concatenate([known.circles, yx]), known.mask)
    kept = found.names if found.partial else set(picks)
    return {name: yx for name, yx in found.certain.items() if name in kept}, positions


def _with_removed(
    config: TrainPickerConfig, background: dict[str, np.ndarray], found: Corrections
) -> dict[str, np.ndarray]:
    """Boxes on background with the removed picks, except those that a certain pick has taken the place of."""
    boxes = dict(background)
    for name, yx in _gone(config, found).items():
        known = boxes.get(name, _NOWHERE)
        # the user may have named the folder of removed picks as the background, too
        boxes[name] = np.concatenate([known, yx[cKDTree(known).query(yx)[0] > 0.5]])
    return boxes


def _gone(config: TrainPickerConfig, found: Corrections) -> dict[str, np.ndarray]:
    """Removed picks that no certain pick has taken the place of, of the micrographs that have some."""
    reach = config.particle_diameter / config.pixel_size / 4
    certain = {name: cKDTree(found.certain.get(name, _NOWHERE)) for name in found.removed}
    gone = {name: yx[certain[name].query(yx)[0] >= reach] for name, yx in found.removed.items()}
    return {name: yx for name, yx in gone.items() if len(yx)}


def _beside_corrections(item: Labels, rng: np.random.Generator) -> Labels:
    """The Labels with some of the picks that the user saw and left among the particles. Corrections are where a picker
    errs: a network that learns from them alone forgets what usual particles look like."""
    count = LEFT_PER_BOX * (len(item.positives) + len(item.negatives))
    drawn = item.machine[rng.permutation(len(item.machine))[:count]]
    return item._replace(positives=np.concatenate([item.positives, drawn]))


def _of_micrographs(
    values: typing.Mapping[str, typing.Any],
    named: typing.Sequence[tuple[str, str]],
    source: str | os.PathLike[str],
    warn: typing.Callable[[str], typing.Any],
) -> dict[str, typing.Any]:
    """{name: value} of the micrographs at hand. Raises ValueError with both lists if there are none. values: {key: (n,
    2) positions or Uncertain}, of a folder or file `source`."""
    names = {name for name, _ in named}
    values = align_keys(values, names)
    unmatched = sorted(k for k, value in values.items() if k not in names and len(value))
    if not names & set(values):
        raise ValueError(
            f"None of the coordinates of {source} belong to these micrographs. Coordinates are for: "
            f"{some_names(values)}; micrographs are: {some_names(names)}. Names are compared without folder "
            "and extension. A file of several micrographs needs a column that names them (rlnMicrographName)."
        )
    if unmatched:
        warn(
            f"{source} also has coordinates of {counted(len(unmatched), 'other micrograph')}, which are not used: "
            f"{some_names(unmatched)}."
        )
    return {k: value for k, value in values.items() if k in names}


def _check_positions(item: Labels) -> None:
    try:
        shape = micrograph_shape(item.path)
    except (ValueError, FileNotFoundError):
        return  # a bad file: load_labels leaves it out and says why
    groups = [item.positives, item.negatives, item.contamination, item.machine]
    if item.uncertain:
        groups.append(item.uncertain.circles)
        if item.uncertain.mask:
            check_mask(item.uncertain.mask, item.path, shape)
    for yx in groups:
        outside = yx[~inside(yx + 0.5, (shape[0] + 1, shape[1] + 1))]
        if len(outside):
            y, x = outside[0]
            raise ValueError(
                f"{counted(len(outside), 'coordinate')} of {item.name} outside {item.path} ({shape[1]} x {shape[0]} "
                f"px), for example x {x:g}, y {y:g}. Check whether they were picked on micrographs of another binning."
            )


def load_labels(
    items: typing.Sequence[Labels], method: PickerMethod, config: TrainPickerConfig
) -> tuple[list[Labels], list[LabelledImage], list[Skipped]]:
    """Labelled images of the entries of match_labels that can be used. Returns those entries, their LabelledImages in
    the same order, and Skipped for the others. Raises ValueError, with the first reason, if too few are left."""
    usable, images, skipped = [], [], []
    for item in items:
        try:
            images.append(load_labelled(item, method, config.pixel_size, config.particle_diameter, label_kind(config)))
            usable.append(item)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(item.name, str(item.path), str(error)))
    left = sum(len(image.positives) for image in images)
    if left < MIN_PARTICLES:
        raise ValueError(_too_few(items, skipped, left))
    return usable, images, skipped


def _too_few(items: typing.Sequence[Labels], skipped: list[Skipped], left: int) -> str:
    needed = f"which leaves {counted(left, 'particle')}; training needs at least {MIN_PARTICLES}"
    if not skipped:
        return f"Nearly all labelled particles lie in uncertain regions (--uncertain), {needed}."
    return (
        f"{len(skipped)} of the {len(items)} labelled micrographs cannot be used, {needed}. "
        f"The first: {skipped[0].reason}"
    )


def load_labelled(item: Labels, method: typing.Any, pixel_size: float, diameter: float, kind: str) -> LabelledImage:
    """LabelledImage of Labels, for dark protein. kind: of label_kind. Labels on uncertain positions are left out,
    except where labels are complete: there a particle half inside is no background. ValueError names the file."""
    image = read_micrograph(item.path)
    try:
        check_particle_fits(image.shape, pixel_size, diameter)
        prepared = prepare_micrograph(image, working_factor(method, pixel_size, diameter), method.working_diameter)
        shape, wide = tuple(prepared.image.shape), method.working_diameter
        allowed = certain_area(item.uncertain, prepared.shape, shape, wide) if item.uncertain else None
    except ValueError as error:
        raise ValueError(f"{item.path}: {error}") from None
    given = (item.positives, item.negatives, item.contamination, item.machine)
    groups = [map_positions(yx, prepared.shape, shape) for yx in given]
    if allowed is not None and kind != "complete":
        groups = [yx[values_at(allowed.numpy(), yx)] for yx in groups]
    positives, negatives, contamination, machine = groups
    boxes = (positives, negatives, kind, allowed, contamination)
    return LabelledImage(item.name, prepared.image, prepared.valid, *boxes, machine=machine)


def leave_out_unlabelled_edge(images: typing.Sequence[LabelledImage], diameter_px: float) -> list[LabelledImage]:
    """The same images with the strip along the edges marked as unknown in which nobody ever labelled a particle. People
    and programs do not label particles whose box would leave the micrograph; taught as background, that strip would
    count particles as mistakes. images: densely labelled, LabelledImage. diameter_px: in working px."""
    labelled = [im for im in images if len(im.positives)]
    if sum(len(im.positives) for im in labelled) < 30:
        return list(images)
    nearest = min(float(np.minimum(im.positives, np.array(im.image.shape) - 1 - im.positives).min()) for im in labelled)
    if not (width := int(min(max(nearest, 0), 1.5 * diameter_px))):
        return list(images)
    strips = []
    for im in images:
        allowed = torch.zeros(im.image.shape, dtype=torch.bool)
        allowed[width:-width, width:-width] = True
        strips.append(dataclasses.replace(im, allowed=allowed if im.allowed is None else allowed & im.allowed))
    return strips
