# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of a general picker: simulated micrographs of many structures, and labelled real sets. Simulated
micrographs at the found particle size, for the calibration and validation of a general model."""

import csv
import dataclasses
import glob
import hashlib
import itertools
import json
import math
import os
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ...contract.reading import reader
from ...contract.result import write_json
from ...core.geometry import inside, map_positions
from ...core.optics import Optics
from ...core.projections import Projector
from ...io.coordinates import align_keys, read_coordinates
from ...io.files import name_micrographs, read_kept, whole_file
from ...running.runner import PROGRAM
from ...simulate.micrographs import Surroundings, simulate_micrograph
from ...simulate.pool import EXTENT_PX, PoolMember
from ...simulate.training_micrographs import random_scene
from ..normalize import Prepared, prepare_micrograph
from .crops import LabelledImage
from .labels import Labels, leave_out_unlabelled_edge, load_labelled
from .method import PickerMethod
from .predict import Picker
from .train import MATCH_RADII

SIDE = 640
SNRS = (0.02, 0.5)
STATED = (0.9, 1.15)  # the diameter that is picked at, over the extent: what finding it leaves open
DEFOCUS = (8000.0, 25000.0)  # Å


def plain_image(member: PoolMember, method: PickerMethod, rng: np.random.Generator) -> LabelledImage:
    """A micrograph of a structure, with ice, gradients, some carbon and clumps."""
    around = Surroundings(
        minimum_distance=float(rng.choice([0.7, 0.9, 1.15])), ice=2.0, carbon=0.2, gradient=1.0, aggregates=0.3
    )
    pixel_size, mean = member.extent / EXTENT_PX, rng.uniform(*DEFOCUS)
    optics = Optics(mean + 100, mean - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
    count = int(rng.uniform(0.05, 0.55) * (SIDE / EXTENT_PX) ** 2)
    snr = float(np.exp(rng.uniform(*np.log(SNRS))))
    made = simulate_micrograph(
        Projector(member.density), pixel_size, (SIDE, SIDE), count, snr, optics, rng, EXTENT_PX, around
    )
    stated = float(np.exp(rng.uniform(math.log(STATED[0]), math.log(STATED[1]))))
    wide = method.working_diameter
    prepared = prepare_micrograph(made.image.numpy(), wide / (EXTENT_PX * stated), wide)
    positions = map_positions(made.centres_yx, (SIDE, SIDE), prepared.image.shape)
    return _complete(member.name, prepared, positions, 1 / stated)


def _complete(
    name: str, seen: Prepared, yx: np.ndarray, size: float, allowed: torch.Tensor | None = None
) -> LabelledImage:
    """A simulated micrograph, all of whose particles, at (n, 2) working px, are known."""
    return LabelledImage(
        name, seen.image, seen.valid, yx[inside(yx, seen.image.shape)], np.zeros((0, 2)), "complete", allowed, size=size
    )


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


@reader
def read_sets(path: str | os.PathLike[str], leave_out: typing.Collection[str] = ()) -> list[RealSet]:
    """RealSets of a table, without those named in leave_out. Raises ValueError that names the table, the line and what
    is wrong with it."""
    rows = list(csv.DictReader(Path(path).read_text("utf-8").splitlines()))
    if missing := [c for c in COLUMNS if not rows or c not in rows[0]]:
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
    """LabelledImages of a RealSet as people would state its diameter: each at several scales, in float16. Published
    diameters are often wider than what shows, so no size is learnt from them. picker: where marks leave particles out,
    the one that tells where these may be (below); distance: between its candidates, diameters."""
    images = []
    for stated in STATED_REAL:
        scaled = [
            load_labelled(Labels(*im), method, real.pixel_size, real.diameter * stated, "complete") for im in real.items
        ]
        scaled = leave_out_unlabelled_edge(scaled, method.working_diameter / stated)
        scaled = [dataclasses.replace(im, size=1 / stated, teaches_size=False) for im in scaled]
        scaled = spare_unmarked(scaled, picker, distance) if picker else scaled
        images += [dataclasses.replace(im, image=im.image.half()) for im in scaled]
    return images


def split_members(
    members: typing.Sequence[PoolMember], seed: int, held_before: typing.Collection[str] = ()
) -> tuple[list[PoolMember], list[PoolMember]]:
    """Structures to learn from, and others to validate on (at least one each). held_before: names of those that the
    model to continue from did not learn from; where some are among the members, they are held out again, so that no
    model is judged on what it learnt from."""
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
    """LabelledImages of `count` varied micrographs, one generated at a time. groups: lists of PoolMembers (files' and
    artificial ones); micrographs take them in turn. tag: a number that keeps training and validation micrographs apart.
    The same arguments give the same micrographs. cache: folder in which they are kept, or None. faint: share of
    micrographs whose particles hardly stand out and mostly lie close together."""
    groups = [g for g in groups if g]
    folder = cache and cache_folder(cache, [m for g in groups for m in g], seed, tag, faint, method.working_diameter)
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
    rng, members = np.random.default_rng((*seeds, index)), groups[index % len(groups)]
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
    """One varied micrograph of a structure, prepared as a real one. extent: its widest, Å. faint: as random_scene's."""
    scene = random_scene(member.density, EXTENT_PX, extent, strays, method.working_diameter, rng, faint=faint)
    prepared = prepare_micrograph(scene.image.numpy(), 1.0, method.working_diameter)
    return _complete(member.name, prepared, scene.particles, scene.size, ~scene.uncertain)


def chances_of(
    simulated: typing.Sequence[LabelledImage], real_sets: typing.Sequence[list[LabelledImage]], real_fraction: float
) -> np.ndarray:
    """How often each image is drawn: real sets share `real_fraction` evenly, images of a set and simulated ones by the
    square root of their particles, so that a crowded one does not drown the rest. simulated: list of LabelledImages.
    real_sets: list of such lists. Returns (n,) in the order simulated, sets."""
    parts = [(simulated, 1 - real_fraction if real_sets else 1.0)] + [
        (s, real_fraction / len(real_sets)) for s in real_sets
    ]
    weights = [(share, np.array([1.0 + len(im.positives) ** 0.5 for im in images])) for images, share in parts]
    return np.concatenate([share * weight / weight.sum() for share, weight in weights])


# ----- Real sets with incomplete published labels: which areas a general model may learn from. Taught as
# background, the unmarked particles of such a set teach that faint particles are specks of dirt. So a model that
# never saw the set's marks looks at it first. Unmarked places that it scores like the marked ones teach nothing;
# the rest is background. This holds if the marked particles are a fair sample of all (selected completely at
# random; Elkan & Noto 2008, Learning classifiers from only positive and unlabeled data).
MISSED = 0.4  # of the marked particles score lower than an unmarked position that teaches nothing


def spare_unmarked(images: typing.Sequence[LabelledImage], picker: Picker, distance: float) -> list[LabelledImage]:
    """Images of one real set without the unmarked positions that may be particles. images: sequence of LabelledImage,
    with complete labels and all at one scale. picker: of the model that the training continues from. distance:
    diameters, between two candidates. Circles of a particle's width around these places are not allowed. Marks with a
    candidate within half the radius are moved there, as published centres scatter."""
    own = [picker.method.working_diameter * (im.size or 1.0) for im in images]
    found = [picker.candidates_prepared(im, distance * wide) for im, wide in zip(images, own)]
    looks = [_matched(im.positives, *one, MATCH_RADII * wide / 2) for im, one, wide in zip(images, found, own)]
    marked = np.concatenate([np.zeros(0), *(mark_scores for _, mark_scores, _ in looks)])
    limit = float(np.quantile(marked, MISSED)) if len(marked) else 1.0
    spared = []
    for image, (yx, scores), (marks, _, taken), wide in zip(images, found, looks, own):
        unmarked = yx[~taken & (scores >= limit)]
        from_place, from_mark = (_nearest(points, image.image.shape) for points in (unmarked, marks))
        spare = torch.from_numpy((from_place < wide / 2) & (from_place < from_mark))
        allowed = ~spare if image.allowed is None else ~spare & image.allowed
        spared.append(dataclasses.replace(image, positives=marks, allowed=allowed))
    return spared


def _matched(
    marks: np.ndarray, yx: np.ndarray, scores: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 2) marks, moved to their candidates; (n,) scores of these, 0 where there is none; (m,) which candidates are
    marked."""
    moved, mark_scores = marks.copy(), np.zeros(len(marks))
    apart, nearest = cKDTree(yx).query(marks)
    near = apart < reach
    moved[near], mark_scores[near] = yx[nearest[near]], scores[nearest[near]]
    return moved, mark_scores, cKDTree(marks).query(yx)[0] < reach


def _nearest(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) px to the nearest of points (n, 2); infinite where there is none."""
    if not len(points):
        return np.full(shape, np.inf)
    empty = np.ones(shape, bool)
    empty[tuple(np.clip(np.rint(points).astype(int), 0, np.array(shape) - 1).T)] = False
    return distance_transform_edt(empty)


# ----- Simulated micrographs kept on disk, so that a continued or changed training can use them again.
RECORD = "structures.json"
UNET = 32.0  # working diameter of folders that were begun when there was no other


def cache_folder(
    cache: str, members: typing.Sequence[PoolMember], seed: int, tag: int, faint: float, diameter_px: float = UNET
) -> Path:
    """The folder within `cache` of the micrographs of these structures, seed, tag, share of faint ones and working
    diameter; another version has another, and so have other structures of the same names."""
    known = [PROGRAM, [m.name for m in members], seed, tag, faint, *([diameter_px] if diameter_px != UNET else [])]
    key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
    mine = [_summary(member) for member in members]
    for number in itertools.count(1):
        folder = Path(cache) / f"scenes-{tag}-{key}{f'-{number}' if number > 1 else ''}"
        record = folder / RECORD
        if not record.exists():  # of an older version, or new
            folder.mkdir(parents=True, exist_ok=True)
            write_json(record, mine)
            break
        if np.allclose(read_kept(record), mine, rtol=1e-3, atol=1e-6):
            break
    return folder


def _summary(member: PoolMember) -> list[float]:
    """Numbers that tell two structures apart, and differ little where one is computed on another machine."""
    density = member.density.double()
    thirds = [float(density.narrow(axis, 0, density.shape[axis] // 3).mean()) for axis in range(3)]
    return [member.extent, float(density.mean()), float(density.std()), *thirds]


def keep(path: Path, image: LabelledImage) -> None:
    """Write a simulated LabelledImage; images lose what float16 cannot hold."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            image=image.image.numpy().astype(np.float16),
            valid=np.packbits(image.valid.numpy()),
            allowed=np.packbits(typing.cast("torch.Tensor", image.allowed).numpy()),  # simulated ones have both
            positives=image.positives,
            size=typing.cast("float", image.size),
            name=image.name,
        )


def kept(path: Path) -> LabelledImage | None:
    """The LabelledImage of a file of `keep`, its image in float16; None if the file is not there."""
    try:
        with np.load(path) as stored:
            image = torch.from_numpy(stored["image"])
            valid, allowed = (
                torch.from_numpy(np.unpackbits(stored[key], count=image.numel()).reshape(image.shape).astype(bool))
                for key in ("valid", "allowed")
            )
            return LabelledImage(
                str(stored["name"]),
                image,
                valid,
                stored["positives"],
                np.zeros((0, 2)),
                "complete",
                allowed,
                size=float(stored["size"]),
            )
    except FileNotFoundError:
        return None
