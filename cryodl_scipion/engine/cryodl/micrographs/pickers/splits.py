# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled micrographs for training and for validation, never the same position in both."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

if typing.TYPE_CHECKING:
    from .crops import LabelledImage


def split_items(
    items: typing.Sequence[typing.Any], fraction: float, rng: np.random.Generator
) -> tuple[list[typing.Any], list[typing.Any]]:
    """Training and validation entries, by micrograph.

    items: Labels, or other tuples with the particles third. If only one micrograph has particles it stands in both
    lists: it must be cut in two (split_image).
    """
    with_particles = [i for i, item in enumerate(items) if len(item[2])]
    if len(with_particles) == 1:
        return list(items), [items[with_particles[0]]]
    order = rng.permutation(len(items))
    number = max(1, int(round(fraction * len(items))))
    held = set(order[:number].tolist())
    if held.isdisjoint(with_particles) or held.issuperset(with_particles):
        # both parts need particles: hold out the micrographs with a middling number of them
        ranked = sorted(with_particles, key=lambda i: len(items[i][2]))
        held = set(ranked[len(ranked) // 2 :][: min(number, len(ranked) - 1)])
    return [items[i] for i in range(len(items)) if i not in held], [items[i] for i in sorted(held)]


def split_image(image: LabelledImage, fraction: float, margin: float) -> list[LabelledImage]:
    """One labelled image as a training and a validation part, left and right with a gap of `margin` px between.

    The cut lies where about `fraction` of the particles are right of it. Expected particles go with the area.
    """
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
