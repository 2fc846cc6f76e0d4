# SPDX-License-Identifier: GPL-3.0-or-later
"""Even and odd halves of tomograms: which files belong together, and whether they can be what they are given for."""

from __future__ import annotations

import dataclasses
import os
import re
import typing

import numpy as np
import torch

from ...contract import Skipped
from ...io.files import expand_paths, name_tomograms
from ...io.pairing import pair_by_name
from ...io.tomograms import Tomogram, working_pixel_size
from .spectra import BINS, Powers, Scale, scale_of_halves

SMALLEST = 16  # px along each axis
SIDE, ROWS, MOST = 64, 4, 24  # bricks that spectra are measured on: px, along an axis, and in all
SAME_PIXEL = 0.02
# FSC over the finest fifth of frequencies: above the first the halves are hardly independent, above the second not.
DEPENDENT, COPIES = 0.5, 0.9
CERTAIN = 5.0  # standard deviations of the correlation above 0, below which halves have nothing in common
WINDOW = 1.5**3  # a Hann window along each axis makes so many neighbouring coefficients tell the same
_EVEN = re.compile(r"(?<![a-z0-9])(even|evn|half[-_]?1|half[-_]?map[-_]?1|h1)(?![a-z0-9])", re.I)
_ODD = re.compile(r"(?<![a-z0-9])(odd|half[-_]?2|half[-_]?map[-_]?2|h2)(?![a-z0-9])", re.I)


@dataclasses.dataclass(frozen=True)
class Named:
    """A tomogram by its name. paths: of its even and odd halves, or of the one file that there is."""

    name: str
    paths: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """A Named whose files can be read. pixel_size: Å/px."""

    name: str
    paths: tuple[str, ...]
    volumes: tuple[Tomogram, ...]
    pixel_size: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.volumes[0].shape


def named_tomograms(config: typing.Any) -> tuple[list[Named], list[Skipped], list[str]]:
    """The tomograms of a DenoiseTomogramsConfig, halves without their other half, and sentences for the user.

    Raises ValueError if even and odd halves are not as many, or if two tomograms have one name.
    """
    if not config.even:
        return _by_their_names(expand_paths(config.tomograms), config.names)
    even, odd = expand_paths(config.even), expand_paths(config.odd)
    if len(even) != len(odd):
        raise ValueError(
            f"There are {len(even)} even halves (--even) and {len(odd)} odd ones (--odd). Give one of each for every "
            "tomogram."
        )
    if config.names:  # files of one tomogram may have any names
        named = name_tomograms(even, config.names)
        return [Named(name, pair) for (name, _), pair in zip(named, zip(even, odd))], [], []
    names, others = ([_stem(path, pattern) for path in paths] for paths, pattern in ((even, _EVEN), (odd, _ODD)))
    places, note = pair_by_name(names, others, ("even halves", "--even"), ("odd halves", "--odd"))
    named = name_tomograms(even, names)
    return [Named(name, (e, odd[k])) for (name, e), k in zip(named, places)], [], [note] if note else []


def _by_their_names(paths: list[str], names: typing.Sequence[str]) -> tuple[list[Named], list[Skipped], list[str]]:
    """As named_tomograms, of one list of files in which halves are told apart by their names."""
    halves: dict[tuple[str, str], dict[int, str]] = {}
    whole: list[str] = []
    for path in paths:
        kinds = [kind for kind, pattern in enumerate((_EVEN, _ODD)) if pattern.search(os.path.basename(path))]
        if len(kinds) == 1:
            halves.setdefault((os.path.dirname(path), _stem(path, (_EVEN, _ODD)[kinds[0]])), {})[kinds[0]] = path
        else:
            whole.append(path)
    pairs = {key[1]: (found[0], found[1]) for key, found in halves.items() if len(found) == 2}
    lonely = [(key[1], *item) for key, found in halves.items() if len(found) == 1 for item in found.items()]
    skipped = [
        Skipped(
            name,
            path,
            f"{path} is the {('even', 'odd')[kind]} half of {name} by its name, and its {('odd', 'even')[kind]} half "
            "is not among the tomograms (--tomograms). Give both.",
        )
        for name, kind, path in lonely
    ]
    files = [paths[0] for paths in pairs.values()] + whole
    named = name_tomograms(files, names or [*pairs, *(_stem(path, None) for path in whole)])
    every = [*pairs.values(), *((path,) for path in whole)]
    return [Named(name, found) for (name, _), found in zip(named, every)], skipped, []


def _stem(path: str, pattern: re.Pattern[str] | None) -> str:
    """A file's name without its ending and without the word that tells its half."""
    from ...io.files import micrograph_key

    key = micrograph_key(path)
    bare = re.sub(r"^[-_. ]+|[-_. ]+$", "", re.sub(r"[-_. ]*\|", "", pattern.sub("|", key))) if pattern else key
    return bare or key


def open_source(named: Named, pixel_size: float | None, otherwise: float | None) -> tuple[Source, list[str]]:
    """A Source, and sentences for the user. Raises ValueError or FileNotFoundError for files that cannot be used.

    pixel_size: of the request. otherwise: Å/px to take where the headers say nothing, or None.
    """
    volumes = tuple(Tomogram(path) for path in named.paths)
    first, other = named.paths[0], named.paths[-1]
    if len(volumes) == 2 and os.path.realpath(first) == os.path.realpath(other):
        raise ValueError(
            f"{first} is given as even and as odd half of {named.name}. Two halves with noise of their own are needed."
        )
    shapes = [" x ".join(str(n) for n in v.shape[::-1]) for v in volumes]
    if len(set(shapes)) > 1:
        raise ValueError(f"{first} has {shapes[0]} px and {other} has {shapes[1]}; halves have the same size.")
    if min(volumes[0].shape) < SMALLEST:
        raise ValueError(
            f"{first} has {shapes[0]} px (x, y, z); at least {SMALLEST} are needed along each axis. "
            + ("It is an image, not a tomogram." if volumes[0].shape[0] == 1 else "Reconstruct a thicker tomogram.")
        )
    sizes = [v.pixel_size for v in volumes if v.pixel_size]
    if len(sizes) == 2 and abs(sizes[0] / sizes[1] - 1) > SAME_PIXEL:
        raise ValueError(
            f"The headers of {first} and {other} say {sizes[0]:g} and {sizes[1]:g} Å/px; halves have the same pixel "
            "size. Correct the headers, or bin both alike."
        )
    size, note = working_pixel_size(volumes[0], pixel_size, otherwise)
    return Source(named.name, named.paths, volumes, size), [note] if note else []


def bricks_of(source: Source, rows: tuple[int, int] | None = None) -> list[tuple[torch.Tensor, ...]]:
    """Bricks spread over a tomogram, of each of its volumes; empty ones are left out.

    rows: [start, stop) of y that they lie in. Raises ValueError if all of the tomogram has one value.
    """
    start, stop = rows or (0, source.shape[1])
    ranges = [_spans(0, source.shape[0]), _spans(start, stop), _spans(0, source.shape[2])]
    places = [(z, y, x) for z in ranges[0] for y in ranges[1] for x in ranges[2]]
    chosen = [places[k] for k in np.unique(np.linspace(0, len(places) - 1, MOST).round().astype(int)) if places]
    bricks = [tuple(torch.from_numpy(v.part(*place)) for v in source.volumes) for place in chosen]
    bricks = [brick for brick in bricks if all(float(x.std()) > 0 for x in brick)]
    if not bricks:
        raise ValueError(
            f"{source.paths[0]} has the same value nearly everywhere: there is nothing to see in it. Check that it is "
            "the reconstruction, and not a mask or an empty volume."
        )
    return bricks


def _spans(start: int, stop: int) -> list[tuple[int, int]]:
    side = min(SIDE, (stop - start) // 8 * 8)
    count = min(ROWS, max(1, (stop - start) // side))
    return [(start + round(k), start + round(k) + side) for k in np.linspace(0, stop - start - side, count)]


def measured_halves(source: Source) -> tuple[Scale, np.ndarray, list[str]]:
    """The Scale of a Source's halves, the (BINS,) FSC between them, and sentences for the user.

    Raises ValueError for halves that are copies of each other, or that have nothing in common.
    """
    scale, powers = scale_of_halves(bricks_of(source))
    fsc = powers.fsc
    fine = float(np.mean(fsc[-BINS // 5 :]))
    both = f"{source.paths[0]} and {source.paths[1]}"
    if fine > COPIES:
        raise ValueError(
            f"{both} agree at the finest detail (FSC {fine:.2f}): their noise is not independent. They are copies, or "
            "were denoised before. Give the halves as they were reconstructed."
        )
    if not _certainty(powers) > CERTAIN:
        raise ValueError(
            f"{both} have nothing in common (largest FSC {fsc.max():.2f}): they are not halves of one tomogram, one is "
            "moved or of opposite contrast, or they hold noise alone."
        )
    if fine > DEPENDENT:
        return (
            scale,
            fsc,
            [
                f"{both} agree much at the finest detail (FSC {fine:.2f}). If they were filtered or denoised before, "
                "what is learned from them is not to be relied on: noise that they share is taken for signal."
            ],
        )
    return scale, fsc, []


def _certainty(powers: Powers) -> float:
    """By how many standard deviations the correlation up to some frequency, whichever tells most, is above that of
    noise."""
    count = powers.count / (2 * WINDOW)  # a coefficient and its conjugate tell the same
    return float((np.cumsum(powers.fsc * count) / np.sqrt(np.maximum(np.cumsum(count), 1e-12))).max())
