# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled micrographs for training: coordinates matched with files, checked, prepared, split."""
import dataclasses

import numpy as np
import torch

from ..contract import FEWEST_PARTICLES, Skipped
from ..crops import LabelledImage
from ..geometry import inside, map_positions
from ..io.coordinates import align_keys, read_coordinates
from ..io.files import expand_paths, name_micrographs
from ..io.micrographs import micrograph_shape, read_micrograph
from ..normalize import prepare_micrograph
from .predict import check_particle_fits, working_factor



def match_labels(config, warn=print):
    """Micrographs that have labels: list of (name, path, positives yx, negatives yx) in px of the micrograph.

    config: TrainPickerConfig. warn: called with a sentence about coordinates of micrographs that were not given (people
    train on a part of what they have picked). Raises ValueError naming what does not match: names in two folders, no
    coordinates for any micrograph, coordinates outside of their micrograph, too few particles.
    """
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    positives = _of_micrographs(read_coordinates(config.coordinates), named, config.coordinates, warn)
    negatives = (_of_micrographs(read_coordinates(config.background), named, config.background, warn)
                 if config.background else {})
    items = []
    for name, path in named:
        if name in positives or name in negatives:
            groups = [g.get(name, np.zeros((0, 2))) for g in (positives, negatives)]
            _check_positions(name, path, groups)
            items.append((name, path, *groups))
    total = sum(len(item[2]) for item in items)
    if total < FEWEST_PARTICLES:
        raise ValueError(f"{config.coordinates} has {total} particles for these micrographs; training needs at least "
                         f"{FEWEST_PARTICLES}, and 20 or more to be of use.")
    return items


def _of_micrographs(coordinates, named, source, warn):
    """{name: yx} of the micrographs at hand. Raises ValueError with both lists if there are none."""
    names = {name for name, _ in named}
    coordinates = align_keys(coordinates, names)
    strangers = sorted(k for k, (yx, _) in coordinates.items() if k not in names and len(yx))
    if not names & set(coordinates):
        raise ValueError(f"No coordinates of {source} belong to these micrographs. Coordinates are for: "
                         f"{_some(sorted(coordinates))}; micrographs are: {_some(sorted(names))}. Names are compared "
                         "without folder and extension.")
    if strangers:
        warn(f"{source} has coordinates of {len(strangers)} micrographs that are not among the {len(names)} given; they "
             f"are not used: {_some(strangers)}.")
    return {k: yx for k, (yx, _) in coordinates.items() if k in names}


def _some(names, most=8):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _check_positions(name, path, groups):
    try:
        shape = micrograph_shape(path)
    except (ValueError, FileNotFoundError):
        return  # a bad file: load_labels leaves it out and says why
    for yx in groups:
        outside = yx[~inside(yx + 0.5, np.add(shape, 1))]
        if len(outside):
            y, x = outside[0]
            raise ValueError(f"{len(outside)} coordinates of {name} lie outside of {path} ({shape[1]} x {shape[0]} px), "
                             f"for example x {x:g}, y {y:g}. Were they picked on micrographs of another binning?")


def load_labels(items, method, config):
    """Labelled images of the entries of match_labels that can be used.

    Returns those entries, their LabelledImages in the same order, and Skipped for the others.
    Raises ValueError, with the first reason, if too few particles are left.
    """
    usable, images, skipped = [], [], []
    for item in items:
        try:
            images.append(load_labelled(item, method, config.pixel_size, config.particle_diameter,
                                        dense=config.background is None))
            usable.append(item)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(item[0], str(item[1]), str(error)))
    left = sum(len(item[2]) for item in usable)
    if left < FEWEST_PARTICLES:
        raise ValueError(f"{len(skipped)} of the {len(items)} labelled micrographs cannot be used, which leaves {left} "
                         f"particles; training needs at least {FEWEST_PARTICLES}. The first: {skipped[0].reason}")
    return usable, images, skipped


def load_labelled(item, method, pixel_size, diameter, dense):
    """LabelledImage of one entry of match_labels."""
    name, path, positives, negatives = item
    image = read_micrograph(path)
    try:
        check_particle_fits(image.shape, pixel_size, diameter)
        prepared = prepare_micrograph(image, working_factor(method, pixel_size, diameter), method.working_diameter)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    groups = [map_positions(yx, prepared.shape, prepared.image.shape) for yx in (positives, negatives)]
    return LabelledImage(name, prepared.image, prepared.valid, *groups, "complete" if dense else "boxes")


def leave_out_unlabelled_edge(images, diameter_px):
    """The same images with the strip along the edges marked as unknown in which nobody ever labelled a particle.

    People and programs do not label particles whose box would leave the micrograph; taught as background, that strip
    would count particles as mistakes. images: densely labelled, LabelledImage. diameter_px: in working px.
    """
    labelled = [im for im in images if len(im.positives)]
    if sum(len(im.positives) for im in labelled) < 30:
        return images
    nearest = min(float(np.minimum(im.positives, np.array(im.image.shape) - 1 - im.positives).min()) for im in labelled)
    width = int(min(max(nearest, 0), 1.5 * diameter_px))
    if not width:
        return images
    strips = []
    for im in images:
        allowed = torch.zeros(im.image.shape, dtype=torch.bool)
        allowed[width:-width, width:-width] = True
        strips.append(dataclasses.replace(im, allowed=allowed))
    return strips


def split_items(items, fraction, rng):
    """Training and validation entries, by micrograph.

    If only one micrograph has particles it stands in both lists: it must be cut in two (split_image).
    """
    with_particles = [i for i, item in enumerate(items) if len(item[2])]
    if len(with_particles) == 1:
        return items, [items[with_particles[0]]]
    order = rng.permutation(len(items))
    number = max(1, int(round(fraction * len(items))))
    held = set(order[:number].tolist())
    if held.isdisjoint(with_particles) or held.issuperset(with_particles):
        # both parts need particles: hold out the micrographs with a middling number of them
        ranked = sorted(with_particles, key=lambda i: len(items[i][2]))
        held = set(ranked[len(ranked) // 2:][:min(number, len(ranked) - 1)])
    return [items[i] for i in range(len(items)) if i not in held], [items[i] for i in sorted(held)]


def split_image(image, fraction, margin):
    """One labelled image as a training and a validation part, left and right with a gap of `margin` px between.

    The cut lies where about `fraction` of the particles are right of it.
    """
    columns = np.sort(image.positives[:, 1])
    cut = columns[int((1 - fraction) * (len(columns) - 1))] + 1.0
    x = torch.arange(image.image.shape[1])
    parts = []
    for side, chosen in ((x < cut - margin / 2, lambda p: p[:, 1] < cut - margin / 2),
                         (x > cut + margin / 2, lambda p: p[:, 1] > cut + margin / 2)):
        allowed = side[None].expand(image.image.shape)
        parts.append(dataclasses.replace(
            image, positives=image.positives[chosen(image.positives)],
            negatives=image.negatives[chosen(image.negatives)],
            allowed=allowed if image.allowed is None else allowed & image.allowed))
    return parts
