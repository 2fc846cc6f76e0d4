# SPDX-License-Identifier: GPL-3.0-or-later
"""Working pixel size of a segmenter, and the grey-value statistics of a tomogram at it. Volumes on another grid over
the same space, whole or by parts: a part is exactly what it is in the whole. The position p of n voxels lies at (p +
0.5) * m / n - 0.5 of m (frames.py). Towards finer grids this is linear interpolation; towards coarser ones the triangle
is as wide as the new voxels, so that nothing folds back (as resizing of images does it)."""

import functools
import itertools
import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import maximum_filter, minimum_filter

from ...contract.frames import rescaled
from ...core.geometry import resampled_shape
from ...io import messages
from ...io.tomograms import Tomogram, sides_of

SKEWED = 0.1  # skewness from which the contrast shows


def skewness(volume: torch.Tensor) -> float:
    """Third standardised moment of grey values (z, y, x) after a blur of four voxels: negative with dark things."""
    step = max(1, volume.shape[0] // 32)
    blurred = F.avg_pool3d(volume[None, None, : 32 * step].float(), 4) if min(volume.shape) >= 4 else volume.float()
    values = blurred.flatten() - blurred.mean()
    return float((values**3).mean() / values.square().mean().clamp(min=1e-12) ** 1.5)


def turned_contrast(path: str, model: str, found: float, learnt: float | None) -> list[str]:
    """A sentence if the grey values are skewed the other way than those that a model learnt from, else nothing. path:
    Of the tomogram. model: Its name. found: no unit, skewness of the tomogram. learnt: no unit, optional, that of the
    training; None: not known, and dark protein is usual."""
    usual = -1.0 if learnt is None else learnt
    if min(abs(found), abs(usual)) <= SKEWED or found * usual > 0:
        return []
    values = f"skewness of the grey values {found:.2f}"
    if learnt is None:
        return [
            f"In {path} protein seems to be bright ({values}); in most tomograms it is dark. If you see that too, "
            "multiply the tomogram by -1: the shipped models find clearly less where protein is bright."
        ]
    return [
        f"The contrast of {path} seems to be opposite to that in the training of {model} ({values}, in training "
        f"{learnt:.2f}). Multiply the tomogram by -1, or train on such tomograms."
    ]


LIMIT = 8.0  # widths of the grey values: gold is tens of them dark, and would be all that a network sees
THINNEST = 8  # slices of what is called a tomogram


class WorkingTomogram:
    """Parts of a tomogram at a working pixel size: grey values with middle 0 and width 1, extremes clipped. pixel_size:
    Å/px to take for it. working: Å/px. shape: (z, y, x) at the working pixel size. Raises ValueError for images, and
    for tomograms that are the same everywhere."""

    def __init__(self, tomogram: Tomogram, pixel_size: float, working: float) -> None:
        check_volume(tomogram)
        self.tomogram = tomogram
        self.factor = resampling_factor(pixel_size, working)
        self.pixel_size = pixel_size / self.factor
        self.shape = resampled_shape(tomogram.shape, self.factor)
        self.grey = grey_statistics(tomogram, self.factor, flat=True)

    def part(self, ranges: typing.Sequence[tuple[int, int]]) -> torch.Tensor:
        """(z, y, x) float32 tensor of the working voxels [start, stop) along each axis."""
        return self.grey.normalised(self.grey.read(self.tomogram, ranges, self.shape))

    def in_tomogram(self, zyx: np.ndarray) -> np.ndarray:
        """(n, 3) px of the tomogram of positions (n, 3) in working px."""
        return rescaled(zyx, np.array(self.tomogram.shape) / np.array(self.shape))


def check_volume(tomogram: Tomogram) -> None:
    """Raises ValueError for an image or a thin stack."""
    z, y, x = tomogram.shape
    if min(tomogram.shape) < THINNEST:
        raise ValueError(
            f"{tomogram.path} has {z} {'slice' if z == 1 else 'slices'} of {x} x {y} px: it is an image or a thin "
            "stack, not a tomogram. Give volumes."
        )


def needed_range(start: int, stop: int, size_in: int, size_out: int) -> tuple[int, int]:
    """(start, stop) of the input's voxels along an axis from which the output's [start, stop) is made."""
    if size_in == size_out:
        return start, stop
    centres, reach = _centres((start, stop - 1), size_in, size_out)
    low, high = float(centres[0]) - reach, float(centres[1]) + reach
    return max(0, int(low)), min(size_in, int(high) + 2)


def resample_part(
    part: torch.Tensor,
    starts: typing.Sequence[int],
    shape_in: typing.Sequence[int],
    shape_out: typing.Sequence[int],
    ranges: typing.Sequence[tuple[int, int]],
) -> torch.Tensor:
    """A part of a resampled volume. part: (z, y, x) float32 tensor of the input, large enough (needed_range). starts:
    where its first voxel lies in the input. shape_in, shape_out: of the whole volumes. ranges: three (start, stop) of
    the output that are wanted. Returns a tensor of that size."""
    todo = []
    for axis in range(3):
        size_in, size_out, (start, stop) = shape_in[axis], shape_out[axis], ranges[axis]
        if size_in == size_out:
            part = part.narrow(axis, start - starts[axis], stop - start)
        else:
            todo.append((size_out / size_in, axis))
    for _, axis in sorted(todo):  # first where most goes
        taps, weights = _taps(*ranges[axis], shape_in[axis], shape_out[axis])
        part = _along(part, axis, taps - starts[axis], weights)
    return part


def resample_whole(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(z, y, x) tensor resampled to a shape."""
    return resample_part(volume, (0, 0, 0), tuple(volume.shape), shape, [(0, n) for n in shape])


def _centres(positions: typing.Sequence[int], size_in: int, size_out: int) -> tuple[torch.Tensor, float]:
    scale = size_in / size_out
    return rescaled(torch.as_tensor(positions, dtype=torch.float64), scale), max(1.0, scale)


@functools.lru_cache(maxsize=64)
def _taps(start: int, stop: int, size_in: int, size_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Voxels of the input (n, k) and their weights (n, k) float32 for the output's [start, stop)."""
    centres, reach = _centres(range(start, stop), size_in, size_out)
    taps = torch.ceil(centres - reach).long()[:, None] + torch.arange(int(2 * reach) + 1)
    weights = (1 - (taps - centres[:, None]).abs() / reach).clamp(min=0)
    weights[(taps < 0) | (taps >= size_in)] = 0
    kept = weights.sum(dim=0) > 0
    taps, weights = taps[:, kept].clamp(0, size_in - 1), weights[:, kept]
    return taps, (weights / weights.sum(dim=1, keepdim=True)).float()


def _along(part: torch.Tensor, axis: int, taps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sums of a tensor along an axis. taps, weights: (n, k); taps of weight 0 may lie outside."""
    taps, shape = taps.clamp(0, part.shape[axis] - 1), [1, 1, 1]
    shape[axis] = len(taps)

    def term(k: int) -> torch.Tensor:
        return part.index_select(axis, taps[:, k].to(part.device)).mul_(weights[:, k].reshape(shape).to(part.device))

    result = term(0)
    for k in range(1, taps.shape[1]):
        result.add_(term(k))
    return result


SAME = 0.02  # pixel sizes nearer to each other than this are the same
SUBVOLUMES, SIDE, LONGEST = 5, 40, 96  # bricks along each axis, at most; their side in working px, and at most in px
MOSTLY = 0.5  # part of a brick that may be of one value: masks tell nothing
BENT = 0.15  # of the rise of a background that is bent: by how much medians may lie off a parabola
RISING, EVEN = 0.5, 0.5  # times the noise that a background rises at least; of a ramp, by how much steps may differ
FILLED = 8  # px along each side of a cube that is of one value only where nothing was measured


def trained_elsewhere(
    tomogram: str, pixel_size: float, model: str, trained: float, different: float, too_different: float
) -> bool:
    """Whether the pixel size of a tomogram (its path) is more than so many times larger or smaller than that which a
    model (its name) was trained at. pixel_size, trained: Å/px. Raises ValueError if `too_different`."""
    times = max(pixel_size / trained, trained / pixel_size)
    if times > too_different:
        raise ValueError(
            f"{tomogram} has {pixel_size:g} Å/px; the model {model} was trained at {trained:g} Å/px. The difference is "
            "too large. Check the pixel size (--pixel-size), bin the tomogram, or train a model on it."
        )
    return times > different


def resampling_factor(pixel_size: float, working: float) -> float:
    """Pixel size of a tomogram over the working pixel size: its resampling factor; 1.0 if nearly the same."""
    factor = pixel_size / working
    return 1.0 if abs(factor - 1) < SAME else factor


def working_sizes(sizes: typing.Sequence[float], wanted: float | None, notes: list[str]) -> tuple[float, list[float]]:
    """Working pixel size of a network (Å/px), and the resampling factor of each tomogram. sizes: Å/px of the tomograms.
    wanted: Å/px or None for the coarsest. notes: list that a sentence is added to where pixel sizes differ."""
    working = wanted or max(sizes)
    if wanted is None and min(sizes) < (1 - SAME) * working:
        notes.append(
            f"Pixel sizes range from {min(sizes):g} to {working:g} Å/px; all are resampled to {working:g} Å/px."
        )
    return working, [resampling_factor(size, working) for size in sizes]


class GreyValues(typing.NamedTuple):
    """Of a tomogram at the working pixel size. middle: their median. width: half of what 68 % of them span. filling:
    the value of the parts that hold one value alone, as what was cut out and laid into a larger volume; else None.
    background: (3, 3), coefficients (px of the tomogram from its middle) of parabolas along z, y, x, which are taken
    away, or None."""

    middle: float
    width: float
    filling: float | None = None
    background: np.ndarray | None = None

    def unfilled(
        self, part: np.ndarray, places: typing.Iterable[np.ndarray] = (), shape: typing.Sequence[int] = ()
    ) -> torch.Tensor:
        """A part of the tomogram without the background, and with the middle in place of the filling, whose edges look
        like walls. part: (z, y, x). places: its z, y, x in the tomogram, px. shape: of the tomogram; neither is needed
        where no background was looked for."""
        flat = part
        if self.background is not None and self.background.any():
            z, y, x = (np.polyval(fit, at - n // 2).astype("f4") for fit, at, n in zip(self.background, places, shape))
            flat = part - z[:, None, None] - y[:, None] - x
        if self.filling is not None:
            flat = np.where(_filled(part, self.filling), self.middle, flat)
        return torch.from_numpy(flat)

    def read(self, source: Tomogram, ranges: typing.Sequence[tuple[int, int]], shape: tuple[int, ...]) -> torch.Tensor:
        """(z, y, x) float32 of the voxels [start, stop) along each axis of the tomogram resampled to a shape."""
        needed = [needed_range(*r, n, m) for r, n, m in zip(ranges, source.shape, shape)]
        part = source.part(*needed)
        flat = self.unfilled(part, itertools.starmap(np.arange, needed), source.shape)
        return resample_part(flat, [start for start, _ in needed], source.shape, shape, ranges)

    def normalised(self, part: torch.Tensor) -> torch.Tensor:
        """A part of the tomogram at the working pixel size as networks know it: middle 0, width 1, extremes clipped."""
        return ((part - self.middle) / self.width).clamp_(-LIMIT, LIMIT)


def grey_statistics(tomogram: Tomogram, factor: float = 1.0, flat: bool = False) -> GreyValues:
    """GreyValues of a tomogram, of which up to 125 bricks spread over it are read. factor: of resampling_factor. flat:
    whether a background is looked for. Raises ValueError if it is the same everywhere."""
    _, y, _ = shape = tomogram.shape
    if 2 * y < min(shape[0], shape[2]):
        messages.warn(
            f"{tomogram.path} ({sides_of(shape)} px) is thin along y, as IMOD's tilt writes tomograms. The beam must "
            "run along z: rotate it (`trimvol -rx`)."
        )
    side, values = min(LONGEST, max(1, round(SIDE / factor))), list[np.ndarray]()
    spans = [_spans(n, FILLED) for n in shape]
    cubes = [tomogram.part(*ranges) for ranges in itertools.product(*spans)]  # up to 125 small ones
    filling = next((float(cube.flat[0]) for cube in cubes if not np.ptp(cube)), None)
    background = _background(spans, [cube[~_filled(cube, filling)] for cube in cubes], shape) if flat else None
    grey = GreyValues(np.nan, 1.0, filling, background)
    for ranges in itertools.product(*(_spans(n, side) for n in tomogram.shape)):
        subvolume = tomogram.part(*ranges)
        subvolume[_filled(subvolume, filling)] = np.nan
        if np.mean(subvolume == np.median(subvolume)) <= MOSTLY:
            known = grey.unfilled(subvolume, itertools.starmap(np.arange, ranges), shape)
            known = resample_whole(known, resampled_shape(subvolume.shape, factor))
            values.append(known[known.isfinite()].numpy())
    try:
        found = values_statistics(np.concatenate([*values, np.zeros(0)]))
        return found._replace(filling=filling, background=background)
    except ValueError:
        raise ValueError(
            f"{tomogram.path} has the same value nearly everywhere. Check that it is the reconstruction, and not a "
            "mask or an empty volume."
        ) from None


def _background(
    spans: typing.Sequence[list[tuple[int, int]]], measured: list[np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """The background of GreyValues, 0 along axes where it is lost in the noise. By medians over all cubes side by side,
    so that gold in some does not count. spans: of the cubes. measured: (n,) values of each. shape: of the tomogram."""
    medians = np.reshape([np.median(values) if len(values) else np.nan for values in measured], [*map(len, spans)])
    noise, background = np.median([values.std() for values in measured if len(values)] or [0.0]), np.zeros((3, 3))
    for axis, each in enumerate(spans):
        along = np.ma.median(np.ma.masked_invalid(medians), axis=tuple({0, 1, 2} - {axis}))
        at = np.ma.array(np.mean(each, axis=1) - 0.5 - shape[axis] // 2, mask=np.ma.getmaskarray(along))
        fit = _smooth(at.compressed(), along.compressed()) if along.count() > 1 else np.zeros(3)
        if np.ptp(np.polyval(fit, np.arange(shape[axis]) - shape[axis] // 2)) > RISING * noise:
            background[axis] = fit
    return background


def _smooth(at: np.ndarray, along: np.ndarray) -> np.ndarray:
    """(3,) coefficients, without a level, of a parabola through the medians along an axis where a line leaves much
    more, or of a line where they rise by even steps; 0 where they do neither, as at an edge of ice and in layers.
    at: (n,) px. along: (n,) medians, two at least."""
    fits = [np.polyfit(at, along, degree) for degree in ((2, 1) if len(at) > 3 else (1, 1))]
    bend, line = (np.ptp(along - np.polyval(fit, at)) for fit in fits)
    if bend < min(BENT * np.ptp(along), line / 2):
        return np.append(fits[0][:2], 0.0)
    even = np.ptp(np.diff(along)) < EVEN * np.ptp(along)
    return np.array([0.0, fits[1][0] if even else 0.0, 0.0])


def _filled(part: np.ndarray, filling: float | None) -> np.ndarray:
    """Where a part of a tomogram is filled: all that cubes of 3 px cover that hold nothing else, since measured voxels
    may have that value, too, above all whole numbers and what is clipped."""
    filled = np.zeros(part.shape, bool) if filling is None else part == filling
    return maximum_filter(minimum_filter(filled, 3), 3) if filled.any() else filled


def values_statistics(values: np.ndarray) -> GreyValues:
    """GreyValues of an array. Raises ValueError if most of it is of one value."""
    low, middle, high = np.percentile(values, (16, 50, 84)) if len(values) else np.zeros(3)
    if not high > low:
        raise ValueError("The images have the same value nearly everywhere.")
    return GreyValues(float(middle), float(high - low) / 2)


def _spans(size: int, side: int) -> list[tuple[int, int]]:
    count, side = min(SUBVOLUMES, max(1, size // side)), min(side, size)
    if count == 1:
        return [((size - side) // 2, (size - side) // 2 + side)]
    return [(round(k), round(k) + side) for k in np.linspace(0, size - side, count)]
