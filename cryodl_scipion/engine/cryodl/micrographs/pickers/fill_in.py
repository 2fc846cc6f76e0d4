# SPDX-License-Identifier: GPL-3.0-or-later
"""What labels do not contain but a training needs: contrast, background and contamination boxes, the number of
particles.

Background and contamination boxes proposed from a prepared micrograph and its labelled particles.
Background: places far from every labelled particle around which nothing looks like the average particle. Contamination:
positions that stand out as no labelled particle does, by their density, their contrast or an edge (ice, aggregates,
carbon). Nothing here is random: the same micrograph and labels give the same boxes."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude, map_coordinates, maximum_filter

from ...contract import TrainPickerConfig, counted, say_if
from ...core.geometry import inside, values_at
from ...core.peaks import LocalCorrelation, find_peaks, separate
from ...io.messages import warn
from .crops import LabelledImage
from .general_view import LOOKS_LIKE, general_candidates, seen_contrast
from .label_checks import judge_contrast, label_signal, upside_down_warning
from .method import PickerMethod

TEMPLATE_RADIUS = 0.75  # particle diameters: the particle and the fringe around it
# diameters that a proposed box keeps from labelled particles: two circles may just overlap a little
FREE_DISTANCE = 0.9
APART = 0.6  # diameters between proposed boxes
QUIET_FRACTION = 0.15  # background comes from this part of the free area, that which is least like a particle
# Contamination exceeds the strongest labelled particles by this many standard deviations. Looked at on three real sets:
# at 1.5 pairs of particles that nobody labelled are taken for it, at 3 pale carbon edges are lost.
OUTSTANDING = 2.0


@dataclasses.dataclass(frozen=True)
class Proposal:
    """background, contamination: (n, 2) yx in px of the prepared image, best first."""

    background: np.ndarray
    contamination: np.ndarray


@dataclasses.dataclass(frozen=True)
class LabelledAppearance:
    """What the labelled particles of some micrographs look like. diameter: working px. template: (k, k) rotationally
    averaged mean particle, of zero mean and unit norm; k is odd. strongest, deviation: (3,) of the features of
    `_features` at the particles: about the largest, and the spread."""

    diameter: float
    template: np.ndarray
    strongest: np.ndarray
    deviation: np.ndarray


def appearance_of(items: typing.Sequence[typing.Any], diameter: float) -> LabelledAppearance:
    """Look of the particles of prepared micrographs with labels (attributes image, positives). Raises ValueError if no
    particle is labelled."""
    if not any(len(item.positives) for item in items):
        raise ValueError(
            "Boxes are proposed by comparison with labelled particles, but no particle is labelled. Label some "
            "particles."
        )
    seen = ((_features(im.image.numpy(), diameter), im.positives.T) for im in items if len(im.positives))
    values = np.hstack([[map_coordinates(f, yx, order=1, mode="nearest") for f in features] for features, yx in seen])
    middle = np.median(values, 1)
    deviation = np.array([_deviation(row) for row in values])
    # the quantile of a dozen labels is hardly above their middle
    strongest = np.maximum(np.quantile(values, 0.98, axis=1), middle + 2.5 * deviation)
    return LabelledAppearance(diameter, _average_particle(items, diameter), strongest, deviation)


def proposed_boxes(
    item: typing.Any,
    look: LabelledAppearance,
    count: int,
    always: bool = False,
    seen: np.ndarray | typing.Sequence[np.ndarray] = (),
) -> Proposal:
    """Proposal for one micrograph. item: LabelledImage, or what has the attributes image, valid and positives. look: of
    appearance_of. count: most boxes of each kind. always: contamination is proposed even where nothing stands out
    clearly (the most outstanding positions), for methods that cannot do without. seen: (n, 2) positions that another
    picker takes for particles; boxes keep away from them as from labelled ones."""
    image, diameter = item.image.numpy(), look.diameter
    free = _free_positions(item, diameter) & _far_from(seen, image.shape, FREE_DISTANCE * diameter)
    outlier_score = outstanding(image, look)
    contamination = _largest_outliers(outlier_score, free, diameter, count, -np.inf if always else OUTSTANDING)
    # half a diameter wide: in crowded fields a wider one reaches the neighbours and says the same everywhere
    near_best = maximum_filter(similarity_map(image, look.template), size=max(3, int(diameter / 2)))
    # neither particles that nobody labelled nor contamination: those teach something else
    quiet = free & (outlier_score < OUTSTANDING) & _far_from(contamination, image.shape, diameter)
    if not quiet.any():
        return Proposal(np.zeros((0, 2)), contamination)
    quiet &= near_best <= np.quantile(near_best[quiet], QUIET_FRACTION)
    return Proposal(_evenly_spaced(quiet, APART * diameter, count), contamination)


def outstanding(image: np.ndarray, look: LabelledAppearance) -> np.ndarray:
    """(h, w) how much each place exceeds the labelled particles in its most outstanding feature, in standard deviations
    of the micrograph's positions or of the particles, whichever are larger."""
    score = np.full(image.shape, -np.inf)
    for feature, strongest, deviation in zip(_features(image, look.diameter), look.strongest, look.deviation):
        ordinary = max(_deviation(feature), 1e-6)
        score = np.maximum(score, (feature - max(strongest, np.median(feature) + ordinary)) / max(ordinary, deviation))
    return score


def _features(image: np.ndarray, diameter: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three (h, w) maps, of a particle's size: density (either sign), contrast and edges."""
    image = np.asarray(image, float)
    # nothing outside: mirrored at the border, half a particle would look like a whole large one
    blur = dict(sigma=0.4 * diameter, mode="constant")
    return (
        np.abs(gaussian_filter(image, **blur)),
        np.sqrt(gaussian_filter(image**2, **blur)),
        gaussian_gradient_magnitude(image, **blur),
    )


def _average_particle(items: typing.Sequence[typing.Any], diameter: float) -> np.ndarray:
    """Template of Look. A disc where no labelled particle lies whole inside its image."""
    radius = int(round(TEMPLATE_RADIUS * diameter))
    total = np.zeros((2 * radius + 1,) * 2)
    for item in items:
        image = item.image.numpy()
        for y, x in np.rint(item.positives[inside(item.positives, image.shape, radius + 0.5)]).astype(int):
            total += image[y - radius : y + radius + 1, x - radius : x + radius + 1]
    distance = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
    ring = np.rint(distance).astype(int)
    if not total.any():
        total = (distance < diameter / 2).astype(float)
    profile = np.bincount(ring.ravel(), total.ravel()) / np.bincount(ring.ravel())
    template = np.where(distance <= radius, profile[ring], 0)
    template[distance <= radius] -= template[distance <= radius].mean()
    return template / max(np.linalg.norm(template), 1e-12)


def similarity_map(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """(h, w) correlation coefficient of every position with a template of zero mean and unit norm (Look)."""
    pixels, disc = (torch.from_numpy(np.ascontiguousarray(array, float)) for array in (image, template))
    return np.asarray(LocalCorrelation(pixels, disc != 0).scores(disc[None])[0])


def _deviation(values: np.ndarray) -> float:
    # of a normal distribution; outliers do not count
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _free_positions(item: typing.Any, diameter: float) -> np.ndarray:
    """(h, w) bool: valid pixels that keep a box inside and FREE_DISTANCE from all labelled particles."""
    shape, edge = item.image.shape, int(np.ceil(diameter / 2))
    free = item.valid.numpy().copy()
    free[:edge], free[-edge:], free[:, :edge], free[:, -edge:] = False, False, False, False
    return free & _far_from(item.positives, shape, FREE_DISTANCE * diameter)


def _far_from(points: np.ndarray | typing.Sequence[np.ndarray], shape: tuple[int, ...], distance: float) -> np.ndarray:
    """(h, w) bool: pixels at least `distance` from all points (n, 2)."""
    far = np.ones(shape, bool)
    for y, x in points:
        rows = slice(max(int(y - distance), 0), int(y + distance) + 2)
        columns = slice(max(int(x - distance), 0), int(x + distance) + 2)
        yy, xx = np.ogrid[: shape[0], : shape[1]]
        far[rows, columns] &= (yy[rows] - y) ** 2 + (xx[:, columns] - x) ** 2 >= distance**2
    return far


def _largest_outliers(
    outlier_score: np.ndarray, free: np.ndarray, diameter: float, count: int, minimum: float
) -> np.ndarray:
    """(n, 2) free places of more than the least strangeness, best first, not nearer than a diameter to each other."""
    chosen = outlier_score == maximum_filter(outlier_score, size=max(3, int(diameter) | 1))
    # the maximum of a wall of carbon beside labelled particles lies on forbidden ground: places of a grid will do, too
    chosen[:: max(1, int(diameter / 6)), :: max(1, int(diameter / 6))] = True
    chosen &= free & (outlier_score > minimum)
    yx = np.argwhere(chosen)[np.argsort(-outlier_score[chosen], kind="stable")].astype(float)
    return yx[separate(yx, diameter)[:count]]


def _evenly_spaced(allowed: np.ndarray, distance: float, count: int) -> np.ndarray:
    """(n, 2) at most `count` places of a mask, evenly spread and at least `distance` apart."""
    # Points of the R2 sequence (Roberts 2018) fill a rectangle evenly, whatever their number.
    steps = np.arange(1, 200 * count + 1)[:, None] * np.array([0.7548776662466927, 0.5698402909980532])
    yx = ((0.5 + steps) % 1 * np.array(allowed.shape)).astype(int)
    yx = yx[allowed[yx[:, 0], yx[:, 1]]].astype(float)
    return yx[separate(yx, distance)[:count]]


# Proposed boxes of one kind per micrograph: 10 to 15 do, more where there are more particles to tell them from.
MIN_BOXES, BOXES_PER_PARTICLE = 15, 3
LOOKING_ALIKE = 0.25  # quantile of the labelled particles' likeness above which a place is counted as looking like them
# Places that look like particles may be noise: trusted if noise (places that look like a particle's negative) makes up
# less.
MAX_NOISE = 0.5


@dataclasses.dataclass(frozen=True)
class FilledIn:
    """images: LabelledImages with everything. contrast: 'dark' or 'bright' protein. said: sentences for the log.
    warnings: sentences for the user, in the result too."""

    images: list[LabelledImage]
    contrast: str
    said: tuple[str, ...]
    warnings: tuple[str, ...]


def fill_in(images: typing.Sequence[LabelledImage], config: TrainPickerConfig, method: PickerMethod) -> FilledIn:
    """FilledIn of loaded LabelledImages. config: TrainPickerConfig. The images are of dark protein; the sign of bright
    is rotated."""
    diameter = method.working_diameter
    signal = label_signal(images, diameter)
    upside_down = upside_down_warning(signal, label_signal(images, diameter, upside_down=True))
    contrast, warnings = judge_contrast(signal, config.contrast)
    how = "as given" if config.contrast != "auto" else "determined from the labelled particles"
    if config.contrast == "auto" and not signal.clear:
        # faint particles, or few labels: what a general model sees on the whole micrographs tells more
        found = seen_contrast(images, diameter)
        how = "what the general model sees" if found.clear else "assumed"
        unlike = (
            f"{found.sentence()} The labelled positions differ from the rest by {abs(signal.difference):.2f} standard "
            "deviations only: unless the particles are faint, check that the labels are on particles of these "
            "micrographs."
        )
        contrast, warnings = found.contrast, [unlike] if found.clear else warnings
    warnings = upside_down or warnings  # labels that lie elsewhere tell nothing of the contrast
    if contrast == "bright":
        images = [dataclasses.replace(image, image=-image.image) for image in images]
    said = [f"Contrast: {contrast} protein ({how})."]
    images, sentences = _with_boxes(images, config, method)
    said += sentences
    if images[0].labels == "sparse":
        images, sentence, clear = _with_expected(images, config.expected_particles, diameter)
        said.append(sentence)
        warnings += say_if(not clear, sentence)
    return FilledIn(images, contrast, tuple(said), tuple(warnings))


def _with_boxes(
    images: typing.Sequence[LabelledImage], config: TrainPickerConfig, method: PickerMethod
) -> tuple[list[LabelledImage], list[str]]:
    """Images with proposed boxes of the kinds that are needed and not given, and sentences that say so. Picks that were
    removed by hand are background, and tell nothing of what no picker takes for a particle: boxes are proposed beside
    them."""
    removed = sum(len(image.negatives) for image in images)
    only_good = images[0].labels == "boxes" and config.background is None
    contamination = config.contamination is None and (only_good or method.needs_contamination)
    if not only_good and not contamination:
        return list(images), []
    look, filled = appearance_of(images, method.working_diameter), []
    proposed = dict.fromkeys((["background"] if only_good else []) + (["contamination"] if contamination else []), 0)
    for image, (yx, scores) in zip(images, general_candidates(images, method.working_diameter)):
        count = max(MIN_BOXES, BOXES_PER_PARTICLE * len(image.certain)) if only_good else MIN_BOXES
        seen = np.concatenate([yx[scores >= LOOKS_LIKE], image.machine])
        found = proposed_boxes(image, look, count, always=method.needs_contamination, seen=seen)
        if only_good:
            proposed["background"] += len(found.background)
            image = dataclasses.replace(image, negatives=np.concatenate([image.negatives, found.background]))
        if contamination:
            proposed["contamination"] += len(found.contamination[:MIN_BOXES])
            image = dataclasses.replace(image, contamination=found.contamination[:MIN_BOXES])
        filled.append(image)
    kinds = " and ".join(f"{number} boxes on {kind}" for kind, number in proposed.items())
    if proposed.get("background") == 0:
        warn(
            "No place for boxes on background was found: everything is near a box, or the particle fills the "
            "micrograph. Check pixel size and particle diameter, or give some (--background)."
        )
    why = f"beside {counted(removed, 'removed pick')}" if only_good and removed else "because none were given"
    return filled, [f"Proposed, {why}: {kinds}."]


def _with_expected(
    images: typing.Sequence[LabelledImage], expected: float | None, diameter: float
) -> tuple[list[LabelledImage], str, bool]:
    """Images with expected numbers of particles, a sentence about them, and whether they are more than a guess.
    expected: the user's average per micrograph, or None: what looks like the labelled ones."""
    if expected is not None:
        filled = [dataclasses.replace(im, expected=max(expected, float(len(im.positives)))) for im in images]
        return filled, f"{expected:g} particles are expected per micrograph, as given.", True
    counts, clear = estimate_particles(images, diameter)
    filled = [dataclasses.replace(im, expected=n) for im, n in zip(images, counts)]
    labelled = np.mean([len(im.positives) for im in images])
    sentence = f"About {np.mean(counts):.0f} particles are expected per micrograph, {labelled:.0f} of them labelled"
    how = (
        " (estimated from what looks like the labelled ones)."
        if clear
        else "; this estimate is uncertain, because particles hardly differ from noise. If you know the number, give "
        "it (--expected-particles)."
    )
    return filled, sentence + how, clear


def estimate_particles(images: typing.Sequence[LabelledImage], diameter: float) -> tuple[list[float], bool]:
    """Numbers of particles, labelled or not, that each LabelledImage seems to hold, and whether that is more than a
    guess. Counted are the places that correlate with the average labelled particle (rotationally averaged) as three
    quarters of the labelled ones do, less those that do so with its negative, which are noise. On EMPIAR-10017 and
    10028 this gives 1.1 to 2.2 times the published number, whose makers left particles out. If noise prevails: twice
    the labelled ones."""
    look = appearance_of(images, diameter)
    maps = [similarity_map(im.image.numpy(), look.template) for im in images]
    width = int(diameter / 3) | 1
    labelled = np.concatenate(
        [values_at(maximum_filter(similarity, size=width), im.positives) for similarity, im in zip(maps, images)]
    )
    limit = float(np.quantile(labelled, LOOKING_ALIKE))
    alike, noise = (
        np.array(
            [
                len(find_peaks(torch.from_numpy(sign * similarity), diameter / 2, limit, im.usable)[0])
                for similarity, im in zip(maps, images)
            ],
            np.float64,
        )
        for sign in (1, -1)
    )
    own = np.array([len(im.positives) for im in images], float)
    if limit <= 0 or noise.sum() > MAX_NOISE * alike.sum():
        return (2 * own).tolist(), False
    return np.maximum(own, (alike - noise).clip(0) / (1 - LOOKING_ALIKE)).tolist(), True
