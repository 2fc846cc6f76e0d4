# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of ice crystals, dirt, aggregates and holes: features that are much stronger than the particles.

How strong particles are is read off the micrograph itself: from the heights of its dark spots of a particle's size,
most of which are particles, or noise. What stands out of them, dark or bright, is contamination, and so is the area
around it that is at least half as strong; a feature smaller than a particle must be stronger still, as particles seen
along their length are. A large crystal is flat inside: it is compared with a surface through the whole micrograph, not
with its surroundings.
In an aggregate only some spots are stronger than single particles: there is more dark matter around its spots."""

import numpy as np
from scipy import ndimage

from ...contract.frames import rescaled

SPOT = 3.0  # of the smoothed image's noise: spots lower than this are noise
_REACH = 0.75  # diameters, standard deviation of the weights around a position
# Times the median spot, and robust standard deviations above it: simulated aggregates have 3 to 15 times the median
# inside, single particles up to 2.5; particles of EMPIAR-10017 and 10028 up to 2.
_CROWDED = (2.3, 5.0)
_CROWDED_EDGE = 0.33  # of the highest density nearby, above the usual one; simulated ones have their true area then
_FEWEST = 3  # spots
_ENOUGH = 8  # spots of a micrograph, to say what is usual


def find_aggregates(
    strength: np.ndarray, good: np.ndarray, spots: np.ndarray, diameter_px: float, limit: float
) -> np.ndarray:
    """(h, w) bool: where aggregates are. strength: (h, w), smoothed image over its noise, particles negative; beyond
    `limit` it counts as the limit. good: (h, w) bool, where to look. spots: of dark_spots, there. diameter_px: of a
    particle."""
    if spots.sum() < _ENOUGH:
        return np.zeros(strength.shape, bool)
    density, weight = (
        ndimage.gaussian_filter(part.astype(float), _REACH * diameter_px, truncate=3)
        for part in (np.clip(-strength, 0, limit) * good, good)
    )
    density = np.where(good, density / np.maximum(weight, 0.5), 0)
    usual = np.median(density[spots])
    crowded = max(_CROWDED[0] * usual, usual + _CROWDED[1] * 1.4826 * np.median(np.abs(density[spots] - usual)))
    nearby = ndimage.maximum_filter(density, max(3, int(2 * diameter_px) | 1))
    label, count = ndimage.label((nearby > crowded) & (density > usual + _CROWDED_EDGE * (nearby - usual)))
    keep = (_largest(density, label, count) > crowded) & (np.bincount(label[spots], minlength=count + 1) >= _FEWEST)
    keep[0] = False
    return keep[label]


def _largest(values: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    """(count + 1,) largest value with each label from 1 on. ndimage.maximum sorts the whole image for it."""
    inside, found = label > 0, np.full(count + 1, -np.inf)
    np.maximum.at(found, label[inside], values[inside])
    return found


# Of the smoothed image's noise. Peaks of noise reach 4.5, particles of EMPIAR-10028 (much contrast) 6 to 8, crystals 10
# to 100. What is stronger is dirt, however alike its pieces are: particles of six times the usual SNR reach 20.
_MIN_STRENGTH, _MAX_STRENGTH = 7.0, 40.0
_OBJECT = 0.6  # of a spot's height: touching particles are lower between them
_ALIKE = 0.3  # most that the heights of particles vary, of their median: 0.15 to 0.25 on EMPIAR-10028 and 10017
_BEYOND_SPOTS = 4.5  # robust standard deviations above the median spot
_HALF = 0.5
_RIM = 0.35  # of the strongest nearby: 0.5 is the edge of a flat piece, less that of one with a thin edge
_SMALLEST = 0.06  # area of a feature, squared particle diameters
# A feature no larger than a particle (area, squared diameters) must reach so many times the limit. On simulated
# micrographs with few particles, whose limit is that of noise, particles reach 1 to 3, pieces of ice 2 to 35.
_SINGLE, _SINGLE_STRENGTH = 0.6, 2.5
_STRONG = 3.0  # times the limit: ice and dirt, which are no aggregates


def find_contamination(image: np.ndarray, good: np.ndarray, diameter_px: float) -> np.ndarray:
    """(h, w) bool: contaminated positions. image: (h, w) float array, any scale. good: (h, w) bool, where to look; one
    kind of area (ice, or carbon). diameter_px: of a particle in these pixels. Areas that a crystal encloses count as
    contaminated whether they are good or not."""
    nothing = np.zeros(image.shape, bool)
    if not good.any():
        return nothing
    inner = ndimage.distance_transform_edt(np.pad(good, 1, mode="edge"))[1:-1, 1:-1] > diameter_px / 3
    if not inner.any():
        return nothing
    cells = _cells(image, good, diameter_px)
    surface = _surface(cells)
    level = surface + ndimage.median_filter(cells - surface, size=min(11, min(cells.shape)), mode="nearest")
    level = _enlarged(level, image.shape)  # over about six diameters: particles and small dirt leave no trace in it
    # what is not good must not leak into the smoothed image
    smooth = ndimage.gaussian_filter(np.where(good, image, level), diameter_px / 8)
    local, wide = smooth - level, smooth - _enlarged(surface, image.shape)
    # how far ice is from the surface is in the noise of `wide`: where the surface fits badly, less is said
    local, wide = local / _noise(local[inner]), wide / _noise(wide[inner])
    spots = inner & dark_spots(local, diameter_px)
    limit = strength_limit(local, spots)
    strength = np.maximum(np.abs(local), np.abs(wide))
    around = _grown(inner & (np.abs(local) > limit), good & (strength > _HALF * limit))
    # the blurred rim of something very strong is still stronger than the limit
    found = around & (strength > _RIM * ndimage.maximum_filter(strength, max(3, int(diameter_px) | 1)))
    found = _with_enclosed(ndimage.binary_fill_holes(found), good)
    found, strong = _judged(found, np.abs(local) / limit, diameter_px)
    strong = strong | _grown(strong, around)
    beside = ~ndimage.binary_dilation(strong, iterations=max(1, round(diameter_px / 6)))
    return found | find_aggregates(local, good & beside, spots & beside, diameter_px, limit)


def _noise(values: np.ndarray) -> float:
    return 1.4826 * np.median(np.abs(values - np.median(values))) + 1e-12


def dark_spots(strength: np.ndarray, diameter_px: float) -> np.ndarray:
    """(h, w) bool: the lowest points of spots. strength: (h, w), smoothed image over its noise, particles negative.
    diameter_px: of a particle."""
    return (strength == ndimage.minimum_filter(strength, max(3, int(diameter_px / 2) | 1))) & (strength < -SPOT)


def strength_limit(strength: np.ndarray, spots: np.ndarray) -> float:
    """The strength that only contamination has. strength, spots: (h, w), of dark_spots. Particles are much alike; spots
    that are not are contamination for the greater part, and their weaker half is taken."""
    y, x = np.nonzero(spots)
    heights = -strength[y, x]
    order = np.argsort(-heights)
    y, x, heights = y[order], x[order], heights[order]
    step, kept = np.floor(np.log(heights / SPOT) / np.log(1.3)), [heights[:0]]
    for index in np.unique(step):
        own = step == index
        # spots of about one height are one object if it is nowhere much lower between them: a large crystal has many
        label, _ = ndimage.label(strength < -(_OBJECT * SPOT * 1.3**index))
        kept.append(heights[own][np.unique(label[y[own], x[own]], return_index=True)[1]])
    heights = np.sort(np.concatenate(kept))
    while len(heights) >= 5:
        middle = np.median(heights)
        deviation = 1.4826 * np.median(np.abs(heights - middle))
        if deviation <= _ALIKE * middle:
            return float(np.clip(middle + _BEYOND_SPOTS * deviation, _MIN_STRENGTH, _MAX_STRENGTH))
        heights = heights[: len(heights) // 2]
    return _MIN_STRENGTH


def _surface(cells: np.ndarray) -> np.ndarray:
    """Cells of a cubic surface through most of the image: what a smooth change of ice is, and a crystal is not."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in cells.shape), indexing="ij")
    terms = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], -1).reshape(-1, 10)
    values = cells.ravel()
    rest = values - np.median(values)
    for _ in range(10):  # Tukey's weights: a crystal in a quarter of the image does not draw the surface down
        weights = np.clip(1 - (rest / (4.7 * (1.4826 * np.median(np.abs(rest)) + 1e-12))) ** 2, 0, None)
        fit = np.linalg.lstsq(terms * weights[:, None], values * weights, rcond=None)[0]
        rest = values - terms @ fit
    return (terms @ fit).reshape(cells.shape)


def _cells(image: np.ndarray, good: np.ndarray, diameter_px: float) -> np.ndarray:
    """Medians of cells of half a diameter, those of the nearest good cell where there is nothing to measure."""
    side = max(2, int(diameter_px / 2))
    shape = tuple(-(-n // side) for n in image.shape)
    padded = np.full(tuple(n * side for n in shape), np.nan)
    padded[: image.shape[0], : image.shape[1]] = np.where(good, image, np.nan)
    blocks = padded.reshape(shape[0], side, shape[1], side).transpose(0, 2, 1, 3).reshape(*shape, -1)
    there = np.isfinite(blocks).sum(-1)
    # what is not there comes last
    cells = np.take_along_axis(np.sort(blocks, -1), (there // 2)[..., None].clip(max=side * side - 1), -1)[..., 0]
    empty = there < min(0.3 * side * side, there.max())
    return cells[tuple(ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True))]


def _enlarged(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    at = [np.clip(rescaled(np.arange(n), m / n), 0, m - 1) for n, m in zip(shape, cells.shape)]
    y, x = (np.maximum(0, 1 - np.abs(a[:, None] - np.arange(m))) for a, m in zip(at, cells.shape))
    return y @ cells @ x.T


def _grown(strong: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """The connected parts of `weak` that hold something strong."""
    label, _ = ndimage.label(weak, np.ones((3, 3)))
    return np.isin(label, np.unique(label[strong & weak]))


def _with_enclosed(found: np.ndarray, good: np.ndarray) -> np.ndarray:
    """The mask with those parts of the image that are not good and lie inside of it: crystals that are black
    throughout."""
    label, count = ndimage.label(~good)
    found = found.copy()
    for index, position in enumerate(ndimage.find_objects(label), 1):
        position = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in position)
        part = label[position] == index
        ring = ndimage.binary_dilation(part, iterations=2) & ~part
        if ring.any() and found[position][ring].mean() > 0.6:
            found[position] |= part
    return found


def _judged(mask: np.ndarray, ratio: np.ndarray, diameter_px: float) -> tuple[np.ndarray, np.ndarray]:
    """The parts of a mask that are large or strong enough, and of these the very strong. ratio: strength over limit."""
    label, count = ndimage.label(mask, np.ones((3, 3)))
    area = np.bincount(label.ravel(), minlength=count + 1) / diameter_px**2
    strength = _largest(ratio, label, count)
    keep = (area >= _SMALLEST) & ((area >= _SINGLE) | (strength >= _SINGLE_STRENGTH))
    keep[0] = False
    return keep[label], (keep & (strength > _STRONG))[label]
