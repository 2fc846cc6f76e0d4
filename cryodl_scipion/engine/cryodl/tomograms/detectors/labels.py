# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that a detector learns from, in tomograms at the working pixel size, and which of them validate."""

import dataclasses
import typing

import numpy as np
import torch

from ...contract import TrainDetectorConfig, rescaled, some_names
from ...core.names import numbers_by_name
from ...io import files, memory, messages
from ...io.tomograms import Tomogram, working_pixel_size
from ...running.runner import Run
from ..features.particle_coordinates import read_poses
from ..segmenters.working_scale import WorkingTomogram, check_volume, grey_statistics, skewness

SMALLEST_PX = 12.0  # working px that the smallest particle is wide at least, where nobody says another size
SLAB = 32  # working slices that are resampled at a time
MINIMUM = 5  # particles of a species below which it is not learnt


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A tomogram, or a part of it, with its particles. name: of the tomogram. volume: (z, y, x) float16 tensor,
    normalised, at the working pixel size. points: for each species (n, 3) zyx in px of this volume."""

    name: str
    volume: torch.Tensor
    points: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class GatheredLabels:
    """What a training has: species with their diameters (Å), the working pixel size (Å/px), Labelled tomograms. skew:
    mean skewness of the grey values, by which inverted contrast is noticed later."""

    species: tuple[str, ...]
    diameters: tuple[float, ...]
    pixel_size: float
    trained_pixel_size: float
    tomograms: tuple[Labelled, ...]
    skew: float
    notes: tuple[str, ...]


def gather_labels(config: TrainDetectorConfig, run: Run) -> GatheredLabels:
    """Gathered of a TrainDetectorConfig, of tomograms that can be read. Raises ValueError if inputs do not fit."""
    given, notes = files.name_tomograms(files.expand_paths(config.tomograms), config.names), list[str]()
    tomograms, sizes = dict[str, Tomogram](), dict[str, float]()
    for name, path in given:
        with run.item(name, path):
            tomogram = Tomogram(path)
            check_volume(tomogram)
            grey_statistics(tomogram)  # an empty one is passed over before its particles are counted
            sizes[name], note = working_pixel_size(tomogram, config.pixel_size)
            tomograms[name], notes = tomogram, [*notes, *filter(None, [note])]
    run.require_some(given, "tomogram", "learnt from")
    asked = set(config.species) or {str(text).rpartition("=")[0] for text in config.diameter} - {""}
    poses = read_poses(config.coordinates, tomograms, sizes, notes, asked.pop() if len(asked) == 1 else "")
    positions = {name: {one: found.zyx for one, found in each.items()} for name, each in poses.items()}
    without = [name for name, each in positions.items() if not each]
    if without:
        notes.append(f"No coordinates lie in {some_names(without, 5)}: all there is learnt as background.")
    species = _species(config, positions)
    diameters = _diameters(config, species)
    working = config.working_pixel_size or max(max(sizes.values()), min(diameters) / SMALLEST_PX)
    labelled, skews = [], []
    for name, tomogram in tomograms.items():
        source = WorkingTomogram(tomogram, sizes[name], working)
        across = tomogram.shape[1] * tomogram.shape[2]
        memory.require_memory(
            2.0 * float(np.prod(source.shape)) + 8.0 * SLAB / source.factor * across,
            f"Training on {tomogram.path}",
            "Give fewer tomograms, or a larger --working-pixel-size.",
        )
        with run.item(name, tomogram.path):
            volume = torch.empty(source.shape, dtype=torch.float16)
            for start in range(0, source.shape[0], SLAB):
                slab = (start, min(start + SLAB, source.shape[0]))
                volume[slice(*slab)] = source.part([slab, *((0, n) for n in source.shape[1:])]).half()
            skews.append(skewness(volume))
            points = tuple(rescaled(positions[name].get(one, np.zeros((0, 3))), source.factor) for one in species)
            labelled.append(Labelled(name, volume, points))
    run.require_some(given, "tomogram", "learnt from")
    return GatheredLabels(
        species,
        diameters,
        working,
        max(sizes.values()),
        tuple(labelled),
        float(np.mean(skews)),
        tuple(dict.fromkeys(notes)),
    )


def _species(config: TrainDetectorConfig, positions: dict[str, dict[str, np.ndarray]]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for each in positions.values():
        for name, points in each.items():
            counts[name] = counts.get(name, 0) + len(points)
    for name in config.species or sorted(counts):
        if counts.get(name, 0) < MINIMUM:
            raise ValueError(
                f"There are {counts.get(name, 0)} examples of the species {name}; at least {MINIMUM} are needed, and "
                f"fifty are recommended. The files have: {', '.join(f'{k} {n}' for k, n in sorted(counts.items()))}. "
                "Label more, or leave the species out (--species)."
            )
    return tuple(config.species) or tuple(sorted(counts))


def _diameters(config: TrainDetectorConfig, species: tuple[str, ...]) -> tuple[float, ...]:
    given = numbers_by_name(config.diameter, species, "Diameters (--diameter)", 1, 100000)
    missing = [name for name in species if name not in given]
    if missing:
        raise ValueError(f"Diameters (--diameter) has no number for {', '.join(missing)}. Give name=number for each.")
    return tuple(given[name] for name in species)


THINNEST = 8  # px along y of either part of a tomogram


def split_tomograms(
    tomograms: typing.Sequence[Labelled], fraction: float, rng: np.random.Generator, diameter: float = 0.0
) -> tuple[list[Labelled], list[Labelled], str]:
    """Labelled to learn from, those held out, and how they were split, in words. Whole tomograms are held out if each
    species then has particles on both sides; of a single one, and else of all, the last part along y, or where no
    particle lies in it, the part with the last particles along y. diameter: px, of the largest particle; parts whose
    particles are nearer than that along y are warned of."""
    if len(tomograms) > 1:
        count = max(1, round(fraction * len(tomograms)))
        for _ in range(50):
            order = rng.permutation(len(tomograms))
            held, learnt = ([tomograms[i] for i in sorted(part)] for part in (order[:count], order[count:]))
            if learnt and _all_species(held) and _all_species(learnt):
                return learnt, held, f"{len(held)} of {len(tomograms)} tomograms held out"
    learnt, held = _cut_all(tomograms, [_last_part(one, fraction) for one in tomograms])
    if _particles(held):
        return learnt, held, f"the last {fraction:.0%} of each tomogram along y held out"
    learnt, held = _cut_all(tomograms, [_last_particles(one, fraction) for one in tomograms])
    _warn_if_near(learnt, held, diameter)
    return learnt, held, "of each tomogram the part with its last particles along y held out"


def _all_species(part: typing.Sequence[Labelled]) -> bool:
    return all(sum(len(one.points[s]) for one in part) for s in range(len(part[0].points)))


def _particles(part: typing.Sequence[Labelled]) -> int:
    return sum(len(points) for one in part for points in one.points)


def _last_part(one: Labelled, fraction: float) -> int:
    return max(THINNEST, one.volume.shape[1] - max(THINNEST, round(fraction * one.volume.shape[1])))


def _last_particles(one: Labelled, fraction: float) -> int:
    """Position along y of the plane before the last particles of a tomogram, or of _last_part if it has too few. It
    lies in the widest gap between particles that leaves half to twice the fraction of them behind it: a particle close
    to it is seen on both sides."""
    y = np.sort(np.concatenate([points[:, 1] for points in one.points]))
    if len(y) < 2:
        return _last_part(one, fraction)
    wanted = fraction * len(y)
    counts = np.arange(max(1, round(wanted / 2)), max(1, round(2 * wanted)) + 1)  # of those held out
    firsts = len(y) - counts[counts < len(y)]
    gaps = y[firsts] - y[firsts - 1]
    widest = firsts[gaps == gaps.max()]
    first = widest[np.abs(len(y) - widest - wanted).argmin()]
    position = int(np.ceil((y[first - 1] + y[first]) / 2))
    return int(np.clip(position, THINNEST, max(THINNEST, one.volume.shape[1] - THINNEST)))


def _warn_if_near(learnt: typing.Sequence[Labelled], held: typing.Sequence[Labelled], diameter: float) -> None:
    near = {}
    for before, behind in zip(learnt, held):
        if _particles([before]) and _particles([behind]):
            last = max(points[:, 1].max() for points in before.points if len(points))
            first = min(points[:, 1].min() for points in behind.points if len(points)) + before.volume.shape[1]
            near[before.name] = first - last
    if near and min(near.values()) < diameter:
        name = min(near, key=lambda n: near[n])
        messages.warn(
            f"In {name}, particles held out for validation begin {near[name] / diameter:.2g} diameters (of the largest "
            "particle) along y behind the last one that is learned from, so validation sees parts of the same "
            "particles and its figures are too high. Label a further tomogram."
        )


def _cut_all(
    tomograms: typing.Sequence[Labelled], positions: typing.Sequence[int]
) -> tuple[list[Labelled], list[Labelled]]:
    parts = [_cut(one, position) for one, position in zip(tomograms, positions)]
    return [before for before, _ in parts], [behind for _, behind in parts]


def _cut(one: Labelled, position: int) -> tuple[Labelled, Labelled]:
    before = tuple(p[p[:, 1] < position] for p in one.points)
    behind = tuple(p[p[:, 1] >= position] - [0, position, 0] for p in one.points)
    return Labelled(one.name, one.volume[:, :position], before), Labelled(one.name, one.volume[:, position:], behind)
