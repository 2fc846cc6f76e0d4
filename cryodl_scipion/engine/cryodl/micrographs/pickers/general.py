# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of a general picker: simulated micrographs of many structures, and labelled real sets."""

from __future__ import annotations

import csv
import dataclasses
import glob
import os
import typing

import numpy as np

from ...core.geometry import inside
from ...io.coordinates import align_keys, read_coordinates
from ...io.files import name_micrographs
from ...simulate.varied import random_scene
from ..normalize import prepare_micrograph
from .crops import LabelledImage
from .labels import leave_out_unlabelled_edge, load_labelled
from .partial import spare_unmarked
from .scene_cache import cache_folder, keep, kept

if typing.TYPE_CHECKING:
    import torch

    from ...simulate.pool import PoolMember
    from .method import PickerMethod
    from .predict import Picker

COLUMNS = ("name", "micrographs", "coordinates", "pixel_size", "particle_diameter")
HELD_OUT = 0.1  # of the structures; the validation micrographs show only these
STATED_REAL = (0.65, 0.82, 1.0, 1.25, 1.55)  # stated diameters over a real set's own
STRAY = 12  # densities of which fragments are strewn about


@dataclasses.dataclass(frozen=True)
class RealSet:
    """name; items: [(micrograph name, path, positives yx, background yx)]; pixel_size: Å/px; diameter: Å."""

    name: str
    items: list
    pixel_size: float
    diameter: float


def read_sets(path: str | os.PathLike[str], leave_out: typing.Collection[str] = ()) -> list[RealSet]:
    """RealSets of a table, without those named in leave_out.

    Raises ValueError that names the table, the line and what is wrong with it.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = [c for c in COLUMNS if not rows or c not in rows[0]]
    if missing:
        raise ValueError(
            f"{path} is empty or has no column {', '.join(missing)}; it must have the columns {', '.join(COLUMNS)}."
        )
    return [_read_set(path, line, row) for line, row in enumerate(rows, 2) if row["name"] not in leave_out]


def _read_set(table: str | os.PathLike[str], line: int, row: typing.Mapping[str, str]) -> RealSet:
    folder = os.path.dirname(os.path.abspath(table))
    try:
        pixel_size, diameter = float(row["pixel_size"]), float(row["particle_diameter"])
    except (TypeError, ValueError):
        raise ValueError(
            f"{table}, line {line}: pixel_size is {row['pixel_size']!r} and particle_diameter "
            f"{row['particle_diameter']!r}; both must be numbers."
        ) from None
    named = name_micrographs(sorted(glob.glob(os.path.join(folder, row["micrographs"]))))
    coordinates = align_keys(read_coordinates(os.path.join(folder, row["coordinates"])), {name for name, _ in named})
    items = [(name, path, coordinates[name][0], np.zeros((0, 2))) for name, path in named if name in coordinates]
    if not items:
        raise ValueError(
            f"{table}, line {line}: no micrograph of {row['micrographs']} has coordinates in {row['coordinates']}."
        )
    return RealSet(row["name"], items, pixel_size, diameter)


def load_set(
    real: RealSet, method: PickerMethod, picker: Picker | None = None, distance: float = 0.0
) -> list[LabelledImage]:
    """LabelledImages of a RealSet as people would state its diameter: each at several scales, in float16.

    Published diameters are often wider than what shows, so no size is learnt from them. picker: where marks leave
    particles out, the one that tells where these may be (partial.py); distance: between its candidates, diameters.
    """
    images = []
    for stated in STATED_REAL:
        scaled = [
            load_labelled(item, method, real.pixel_size, real.diameter * stated, "complete") for item in real.items
        ]
        scaled = leave_out_unlabelled_edge(scaled, method.working_diameter / stated)
        scaled = [dataclasses.replace(im, size=1 / stated, teaches_size=False) for im in scaled]
        scaled = spare_unmarked(scaled, picker, distance) if picker else scaled
        images += [dataclasses.replace(im, image=im.image.half()) for im in scaled]
    return images


def split_members(
    members: typing.Sequence[PoolMember], seed: int, held_before: typing.Collection[str] = ()
) -> tuple[list[PoolMember], list[PoolMember]]:
    """Structures to learn from, and others to validate on (at least one each).

    held_before: names of those that the model to continue from did not learn from; where some are among the members,
    they are held out again, so that no model is judged on what it learnt from.
    """
    if any(m.name in held_before for m in members):
        return [m for m in members if m.name not in held_before], [m for m in members if m.name in held_before]
    order = np.random.default_rng((seed, 3)).permutation(len(members))
    held = max(1, int(round(HELD_OUT * len(members))))
    return [members[i] for i in order[held:]], [members[i] for i in order[:held]]


def simulated_images(
    groups: typing.Sequence[list[PoolMember]],
    count: int,
    method: PickerMethod,
    seed: int,
    tag: int,
    cache: typing.Any = None,
    faint: float = 0.0,
) -> typing.Iterator[LabelledImage]:
    """LabelledImages of `count` varied micrographs, one generated at a time.

    groups: lists of PoolMembers (files' and artificial ones); micrographs take them in turn. tag: a number that keeps
    training and validation micrographs apart. The same arguments give the same micrographs. cache: folder in which they
    are kept, or None. faint: share of micrographs whose particles hardly stand out and mostly lie close together.
    """
    groups = [g for g in groups if g]
    members = [m for g in groups for m in g]
    folder = cache and cache_folder(cache, members, seed, tag, faint, method.working_diameter)
    for index in range(count):
        image = kept(folder / f"{index:06d}.npz") if cache else None
        if image is None:
            image = _simulated_image(groups, index, method, (seed, tag), faint)
            if cache:
                keep(folder / f"{index:06d}.npz", image)
        yield image


def _simulated_image(
    groups: typing.Sequence[list[PoolMember]], index: int, method: PickerMethod, seeds: tuple[int, int], faint: float
) -> LabelledImage:
    strays = [m.density for m in groups[-1][:STRAY]]
    rng = np.random.default_rng((*seeds, index))
    members = groups[index % len(groups)]
    member = members[rng.integers(len(members))]
    extent = max(60.0, member.extent * rng.uniform(0.8, 1.25))
    # a generator of its own, so that the other micrographs stay the same whatever the share
    is_faint = np.random.default_rng((*seeds, index, 5)).random() < faint
    return labelled_scene(member, extent, strays, method, rng, is_faint)


def labelled_scene(
    member: PoolMember,
    extent: float,
    strays: typing.Sequence[torch.Tensor],
    method: PickerMethod,
    rng: np.random.Generator,
    faint: bool = False,
) -> LabelledImage:
    """One varied micrograph of a structure, prepared as a real one. extent: Å of its widest extent. faint: as
    random_scene's."""
    from ...simulate.pool import EXTENT_PX

    scene = random_scene(member.density, EXTENT_PX, extent, strays, method.working_diameter, rng, faint=faint)
    prepared = prepare_micrograph(scene.image.numpy(), 1.0, method.working_diameter)
    particles = scene.particles[inside(scene.particles, prepared.image.shape)]
    return LabelledImage(
        member.name,
        prepared.image,
        prepared.valid,
        particles,
        np.zeros((0, 2)),
        "complete",
        ~scene.uncertain,
        size=scene.size,
    )


def chances_of(
    simulated: typing.Sequence[LabelledImage], real_sets: typing.Sequence[list[LabelledImage]], real_fraction: float
) -> np.ndarray:
    """How often each image is drawn: real sets share `real_fraction` evenly, images of a set and simulated ones by the
    square root of their particles, so that a crowded one does not drown the rest.

    simulated: list of LabelledImages. real_sets: list of such lists. Returns (n,) in the order simulated, sets.
    """
    parts = [(simulated, 1 - real_fraction if real_sets else 1.0)] + [
        (s, real_fraction / len(real_sets)) for s in real_sets
    ]
    chances = []
    for images, share in parts:
        weight = np.array([1.0 + len(im.positives) ** 0.5 for im in images])
        chances.append(share * weight / weight.sum())
    return np.concatenate(chances)
