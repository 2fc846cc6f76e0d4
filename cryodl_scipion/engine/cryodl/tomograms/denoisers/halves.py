# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of even and odd half tomograms. Pairing of the even and odd halves of tomograms by name."""

import dataclasses
import functools
import os
import re
import typing

import numpy as np
import torch

from ...contract import DenoiseTomogramsConfig, Skipped
from ...io.files import copick_run, expand_paths, file_key, name_tomograms, names_with_runs, pair_by_name
from ...io.tomograms import Tomogram, working_pixel_size
from ..segmenters.working_scale import GreyValues, grey_statistics
from .spectra import BINS, HalfScale, scale_of_halves

_EVEN = re.compile(r"(?<![a-z0-9])(even|evn|half[-_]?1|half[-_]?map[-_]?1|h1)(?![a-z0-9])", re.I)
_ODD = re.compile(r"(?<![a-z0-9])(odd|half[-_]?2|half[-_]?map[-_]?2|h2)(?![a-z0-9])", re.I)
_HALVES = ("even", "odd")


@dataclasses.dataclass(frozen=True)
class Named:
    """A tomogram by its name. paths: of its even and odd halves, or of the one file that there is."""

    name: str
    paths: tuple[str, ...]


def named_tomograms(config: DenoiseTomogramsConfig) -> tuple[list[Named], list[Skipped], list[str]]:
    """The tomograms of a DenoiseTomogramsConfig, halves without their other half, and sentences for the user. Raises
    ValueError if even and odd halves are not as many, or if two tomograms have one name."""
    if not config.even:
        return _by_their_names(expand_paths(config.tomograms, config.names), config.names)
    even, odd = expand_paths(config.even), expand_paths(config.odd)
    if len(even) != len(odd):
        raise ValueError(
            f"There are {len(even)} even halves (--even) and {len(odd)} odd halves (--odd). Give one of each for "
            "every tomogram."
        )
    if config.names:  # files of one tomogram may have any names
        named = name_tomograms(even, config.names)
        return [Named(name, pair) for (name, _), pair in zip(named, zip(even, odd))], [], []
    names, others = (
        names_with_runs([*map(copick_run, paths)], [_stem(path, pattern) or file_key(path) for path in paths])
        for paths, pattern in ((even, _EVEN), (odd, _ODD))
    )
    positions, note = pair_by_name(names, others, ("even halves", "--even"), ("odd halves", "--odd"))
    named = name_tomograms(even, names)
    return [Named(name, (e, odd[k])) for (name, e), k in zip(named, positions)], [], [note] if note else []


def _by_their_names(paths: list[str], names: typing.Sequence[str]) -> tuple[list[Named], list[Skipped], list[str]]:
    """As named_tomograms, of one list of files in which halves are told apart by their names."""
    halves: dict[tuple[str, str], dict[int, str]] = {}  # of a folder and the file's own name without its half
    whole: list[str] = []
    for path in paths:
        kinds = [kind for kind, pattern in enumerate((_EVEN, _ODD)) if pattern.search(os.path.basename(path))]
        if len(kinds) != 1:
            whole.append(path)
            continue
        found = halves.setdefault((os.path.dirname(path), _stem(path, (_EVEN, _ODD)[kinds[0]])), {})
        if kinds[0] in found:
            raise ValueError(
                f"{found[kinds[0]]} and {path} are both the {_HALVES[kinds[0]]} half of one tomogram by their names "
                "(--tomograms). Give one of them, or rename one."
            )
        found[kinds[0]] = path
    groups = [tuple(found[kind] for kind in sorted(found)) for found in halves.values()] + [(path,) for path in whole]
    own = [stem or _folder_or_file(found) for (_, stem), found in zip(halves, groups)] + [file_key(p) for p in whole]
    called = list(zip(names_with_runs([copick_run(found[0]) for found in groups], own), groups))
    lonely = [
        (name, kind, path)
        for (name, _), found in zip(called, halves.values())
        if len(found) == 1
        for kind, path in found.items()
    ]
    skipped = [
        Skipped(
            name,
            path,
            f"{path} is the {_HALVES[kind]} half of {name} by its name, and its {_HALVES[1 - kind]} half "
            "is not among the tomograms (--tomograms). Give both.",
        )
        for name, kind, path in lonely
    ]
    used = [(name, found) for k, (name, found) in enumerate(called) if len(found) == 2 or k >= len(halves)]
    named = name_tomograms([found[0] for _, found in used], names or [name for name, _ in used])
    return [Named(name, found) for (name, _), (_, found) in zip(named, used)], skipped, []


def _folder_or_file(found: tuple[str, ...]) -> str:
    """The name of halves that are called even.mrc and odd.mrc: that of their folder; of one alone, the file's."""
    folder = os.path.basename(os.path.dirname(os.path.abspath(found[0])))
    return folder if len(found) == 2 and not copick_run(found[0]) else file_key(found[0])


def _stem(path: str, pattern: re.Pattern[str]) -> str:
    """A file's own name without its ending and without the word that tells its half; '' if nothing else is left."""
    return re.sub(r"^[-_. ]+|[-_. ]+$", "", re.sub(r"[-_. ]*\|", "", pattern.sub("|", file_key(path))))


SMALLEST = 16  # px along each axis
SIDE, ROWS, MAXIMUM = 64, 4, 24  # bricks that spectra are measured on: px, along an axis, and in all
SAME_PIXEL = 0.02
# FSC over the finest fifth of frequencies: above the first the halves are hardly independent, above the second not.
DEPENDENT, COPIES = 0.5, 0.9
ALIKE = 1.25  # times that the grey values of one half may spread wider than those of the other
CERTAIN = 5.0  # standard deviations of the correlation above 0, below which halves have nothing in common
HELD_OUT, BANDS = 0.15, 5  # part of the rows that a training does not see; bands that it is chosen from
SEEN, FEWEST = 64, 8  # rows beside the held-out ones that are worth learning from, where there are as many; at least


@dataclasses.dataclass(frozen=True)
class HalfSource:
    """A Named whose files can be read. pixel_size: Å/px."""

    name: str
    paths: tuple[str, ...]
    volumes: tuple[Tomogram, ...]
    pixel_size: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) voxels."""
        return self.volumes[0].shape


class UnfilledTomogram(Tomogram):
    """A Tomogram whose filling, if it has one, is read as its middle: both halves share it, and it is no signal."""

    @functools.cached_property
    def _grey(self) -> GreyValues:
        return grey_statistics(Tomogram(self.path))

    def part(self, *ranges: tuple[int, int]) -> np.ndarray:
        return self._grey.unfilled(super().part(*ranges)).numpy()


def open_source(named: Named, pixel_size: float | None) -> tuple[HalfSource, list[str]]:
    """A Source, and sentences for the user. Raises ValueError or FileNotFoundError for files that cannot be used.
    pixel_size: Å/px of the request."""
    volumes = tuple(UnfilledTomogram(path) for path in named.paths)
    first, other = named.paths[0], named.paths[-1]
    if len(volumes) == 2 and os.path.realpath(first) == os.path.realpath(other):
        raise ValueError(
            f"{first} is given as both even and odd half of {named.name}. Two halves with independent noise are needed."
        )
    shapes = [" x ".join(str(n) for n in v.shape[::-1]) for v in volumes]
    if len(set(shapes)) > 1:
        raise ValueError(f"{first} has {shapes[0]} px and {other} has {shapes[1]}; halves must have the same size.")
    if min(volumes[0].shape) < SMALLEST:
        raise ValueError(
            f"{first} has {shapes[0]} px (x, y, z); at least {SMALLEST} are needed along each axis. "
            + ("It is an image, not a tomogram." if volumes[0].shape[0] == 1 else "Reconstruct a thicker tomogram.")
        )
    sizes = [v.pixel_size for v in volumes if v.pixel_size]
    if len(sizes) == 2 and abs(sizes[0] / sizes[1] - 1) > SAME_PIXEL:
        raise ValueError(
            f"The headers of {first} and {other} state {sizes[0]:g} and {sizes[1]:g} Å/px; halves must have the same "
            "pixel size. Correct the headers, or use the same binning."
        )
    size, note = working_pixel_size(volumes[0], pixel_size)
    return HalfSource(named.name, named.paths, volumes, size), [note] if note else []


def of_one_pixel_size(sources: typing.Sequence[HalfSource], times: float) -> list[HalfSource]:
    """The largest part of the sources whose pixel sizes differ from that of its first by less than so many times; of
    parts of one size the coarsest. A network learns features of one size."""
    alike = lambda size: [s for s in sources if max(s.pixel_size / size, size / s.pixel_size) <= times]
    return max((alike(size) for size in sorted({s.pixel_size for s in sources}, reverse=True)), key=len)


def subvolumes_of(source: HalfSource, rows: tuple[int, int] | None = None) -> list[tuple[torch.Tensor, ...]]:
    """Bricks spread over a tomogram, of each of its volumes; empty ones are left out. rows: [start, stop) of y that
    they lie in. Raises ValueError if all of the tomogram has one value."""
    start, stop = rows or (0, source.shape[1])
    ranges = [_spans(0, source.shape[0]), _spans(start, stop), _spans(0, source.shape[2])]
    positions = [(z, y, x) for z in ranges[0] for y in ranges[1] for x in ranges[2]]
    chosen = [
        positions[k] for k in np.unique(np.linspace(0, len(positions) - 1, MAXIMUM).round().astype(int)) if positions
    ]
    subvolumes = [tuple(torch.from_numpy(v.part(*position)) for v in source.volumes) for position in chosen]
    subvolumes = [subvolume for subvolume in subvolumes if all(x.min() < x.max() for x in subvolume)]
    if not subvolumes:
        raise ValueError(
            f"{source.paths[0]} has the same value nearly everywhere. Check that it is the reconstruction, and not a "
            "mask or an empty volume."
        )
    return subvolumes


def _spans(start: int, stop: int) -> list[tuple[int, int]]:
    side = min(SIDE, (stop - start) // 8 * 8)
    count = min(ROWS, max(1, 2 * (stop - start) // side - 1))  # windowed bricks see all where they overlap by half
    return [(start + round(k), start + round(k) + side) for k in np.linspace(0, stop - start - side, count)]


def held_out_rows(source: HalfSource) -> tuple[int, int]:
    """[start, stop) of the rows y that a training on a tomogram does not see: those in which its halves share most, as
    rows without structure tell nothing of a denoiser. Rows beside them that were too few to learn from would be lost:
    such bands are taken only where no other one has half as much."""
    rows = source.shape[1]
    height = min(rows - FEWEST, max(SMALLEST, min(32, rows // 4), round(HELD_OUT * rows)))
    bands = [(int(start), int(start) + height) for start in np.linspace(0, rows - height, BANDS)]
    lost = lambda band: 0 < min(band[0], rows - band[1]) < SEEN  # of small tomograms up to half
    enough = [band for band in bands if max(band[0], rows - band[1]) >= FEWEST]
    return max(enough, key=lambda band: _shared(source, band) / (1 + lost(band)))


def _shared(source: HalfSource, rows: tuple[int, int]) -> float:
    """How certainly some rows hold structure; 0 where they are empty."""
    try:
        return float(scale_of_halves(subvolumes_of(source, rows))[1].certainty.max())
    except ValueError:
        return 0.0


def measured_halves(source: HalfSource) -> tuple[HalfScale, np.ndarray, list[str]]:
    """The HalfScale of a HalfSource's halves, the (BINS,) FSC between them, and sentences for the user. Raises
    ValueError for halves that are copies of each other, or that have nothing in common."""
    subvolumes = subvolumes_of(source)
    means, widths = ([float(np.mean([f(b[k]) for b in subvolumes])) for k in (0, 1)] for f in (torch.mean, torch.std))
    if max(widths) > ALIKE * min(widths) or abs(means[0] - means[1]) > min(widths) / 2:
        raise ValueError(
            f"{source.paths[0]} and {source.paths[1]} have different grey values (mean {means[0]:.3g} and "
            f"{means[1]:.3g}, standard deviation {widths[0]:.3g} and {widths[1]:.3g}): they were scaled separately. "
            "Reconstruct both in the same way, in floating point."
        )
    scale, powers = scale_of_halves(subvolumes)
    fsc = powers.fsc
    fine, both = float(np.mean(fsc[-BINS // 5 :])), f"{source.paths[0]} and {source.paths[1]}"
    if fine > COPIES:
        raise ValueError(
            f"{both} agree at the finest detail (FSC {fine:.2f}): their noise is not independent. They are copies, "
            "or were denoised before. Give the halves as reconstructed."
        )
    if not powers.certainty.max() > CERTAIN:
        raise ValueError(
            f"{both} have nothing in common (correlation below {CERTAIN:g} standard errors): they are not halves of "
            "one tomogram, one is shifted or inverted, or they contain only noise."
        )
    alike = (
        f"{both} agree strongly at the finest detail (FSC {fine:.2f}). If they were filtered or denoised before, the "
        "result is not reliable: noise that they share is treated as signal."
    )
    return scale, fsc, [alike] if fine > DEPENDENT else []
