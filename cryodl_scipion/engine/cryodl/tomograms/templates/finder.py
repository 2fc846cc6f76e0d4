# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of particles with a template."""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...contract import sha256
from ...core.healpix_grid import ball_of_rotations
from ...core.names import numbers_by_name
from ...core.peaks import find_peaks_3d, separate
from ...core.projections import rotation_matrices
from ...core.volumes import phases_at_random
from ...io.memory import GIGABYTE, WORKING_MEMORY
from ...io.tomograms import Tomogram, working_pixel_size
from ...simulate.structures import structure_names
from ..detectors.answer import SpeciesFound
from ..segmenters.working import WorkingTomogram, check_volume
from .correlate import Kernels, SearchTile, best_scores
from .filters import Filters, volume_ring_power
from .template import Template, load_template


class TemplateFinder:
    """What detect-particles does with a template. config: DetectParticlesConfig. named: (name, path) of tomograms."""

    typical_pixel_size = None

    def __init__(self, config: typing.Any, named: typing.Sequence[tuple[str, str]], device: torch.device) -> None:
        if Path(config.template).is_dir():
            raise ValueError(f"The template {config.template} is a folder; a map (.mrc) or an atomic model is needed.")
        if not Path(config.template).is_file():
            raise FileNotFoundError(f"The template {config.template} does not exist.")
        self.config, self.device = config, device
        self.species = tuple(structure_names([config.template]))
        given = numbers_by_name(config.threshold, self.species, "Thresholds (--threshold)", 0, 1)
        self.threshold = given.get(self.species[0])
        if self.threshold is None and not config.control:
            raise ValueError(
                "The threshold for a template is determined in noise. Give a fraction of the tomogram for this "
                "control (--control), or a threshold (--threshold)."
            )
        self.identity = {"checksum of the template": sha256(config.template)}
        self.notes: list[str] = []
        self.angular_step: float | None = None
        self.orientations: int | None = None
        self._loaded: dict[float, tuple[Template, list[str]]] = {}
        self._first(named)

    def _first(self, named: typing.Sequence[tuple[str, str]]) -> None:
        """Load the template at the pixel size of the first tomogram that has one, so that what is wrong with it is
        told before the work."""
        for _, path in named:
            try:
                pixel_size, _ = working_pixel_size(Tomogram(path), self.config.pixel_size)
            except (ValueError, FileNotFoundError):
                continue  # it is skipped with its reason when its turn comes
            template = self._template(pixel_size)
            self.notes += self._loaded[pixel_size][1]
            print(
                f"Template {template.name}: {template.diameter:.0f} Å wide, compared to {template.resolution:.3g} Å at "
                f"{template.pixel_size:.3g} Å/px in {len(template.angles)} orientations, {template.step:.3g}° apart."
            )
            return

    @property
    def in_words(self) -> str:
        """How it finds particles, for the methods of a paper."""
        how = (
            "" if self.orientations is None else f" in {self.orientations} orientations, {self.angular_step:.3g}° apart"
        )
        return f"by locally normalised cross-correlation with {Path(self.config.template).name}{how}"

    def _template(self, pixel_size: float) -> Template:
        if pixel_size not in self._loaded:
            self._loaded[pixel_size] = load_template(self.config, pixel_size)
        template = self._loaded[pixel_size][0]
        self.angular_step, self.orientations = template.step, len(template.angles)
        return template

    def search(self, name: str, tomogram: Tomogram, pixel_size: float) -> tuple[list[SpeciesFound], list[str]]:
        """SpeciesFound in a tomogram, and sentences for the user. Raises ValueError if it cannot be searched."""
        from ...io.progress import ProgressBar

        check_volume(tomogram)
        template = self._template(pixel_size)
        source = WorkingTomogram(tomogram, pixel_size, template.pixel_size)
        search = TemplateSearch(source, template, self.config, self.device, [self.config.seed, *name.encode()])
        with ProgressBar(total=search.work, unit="orientation", desc=name, mininterval=1.0) as bar:
            found = search.run(self.threshold, bar.update)
        notes = []
        if found.inverted:
            other = "bright" if self.config.contrast == "dark" else "dark"
            notes.append(
                f"In {name} the inverted template fits better: protein seems to be {other}. Try --contrast {other}."
            )
        one = SpeciesFound(
            template.name, found.zyx, found.scores, found.angles, found.threshold, found.expected, template.diameter
        )
        return [one], notes


# ----- Template search in a tomogram, tile by tile: first in noise, for the threshold, then in the tomogram.
BYTES = 28  # of memory for each voxel of a tile that is searched
SIDES = (48, 320)  # of what is kept of a tile, voxels
SAMPLED = 4  # tiles that the spectrum is measured on
INVERTED = 1.1  # times the highest score that the lowest is below 0 where protein has the other sign


@dataclasses.dataclass(frozen=True)
class Detections:
    """Detections in a tomogram.

    zyx: (n, 3) px of the tomogram. scores: (n,). angles: (n, 3) rot, tilt, psi in degrees. threshold: minimum score.
    expected: detections that noise gives on average; None where no control was made. inverted: the template fits better
    with its sign changed.
    """

    zyx: np.ndarray
    scores: np.ndarray
    angles: np.ndarray
    threshold: float
    expected: float | None
    inverted: bool


class TemplateSearch:
    """The search for one Template in one WorkingTomogram. config: DetectParticlesConfig. device: torch.device."""

    def __init__(
        self, source: WorkingTomogram, template: Template, config: typing.Any, device: torch.device, seed: typing.Any
    ) -> None:
        self.source, self.template, self.config, self.device = source, template, config, device
        self.rng = np.random.default_rng(seed)
        shortest = min(source.shape) * source.pixel_size
        if template.diameter > shortest:
            raise ValueError(
                f"The template is {template.diameter:.0f} Å wide, and {source.tomogram.path} is {shortest:.0f} Å thick "
                "at its shortest side. Check the pixel sizes of both, or give the template's --diameter."
            )
        self.kept, self.starts = tiling(source.shape, template.box, WORKING_MEMORY * GIGABYTE / BYTES)
        self.sign = -1.0 if config.contrast == "dark" else 1.0
        sampled = self.rng.permutation(len(self.starts))[:SAMPLED]
        power = volume_ring_power(self._voxels(self.starts[n]) for n in sampled)
        tilts = (config.tilt_min, config.tilt_max)
        self.filters = Filters(
            power, template.resolution, source.pixel_size, tilts, config.defocus, config.phase_flipped
        )
        self.kernels = Kernels(template, self.filters, device)
        self.typical = float(np.median([self._tile(self._voxels(self.starts[n]), None).typical for n in sampled]))

    @property
    def work(self) -> int:
        """Tiles times orientations of the whole search, for a progress bar."""
        return (len(self.starts) + self._controls()) * len(self.template.angles)

    def _controls(self) -> int:
        return math.ceil(self.config.control * len(self.starts)) if self.config.control else 0

    def run(self, threshold: float | None, progress: typing.Callable[[int], object] | None = None) -> Detections:
        """Found with a threshold, or with that of the noise if None."""
        voxels = float(np.prod(self.source.shape))
        chance = self._chance(progress) if self._controls() else None
        if threshold is None:
            if chance is None:
                raise ValueError("Without a control (--control 0) a threshold (--threshold) must be given.")
            threshold = chance.threshold(self.config.false_detections, voxels)
        rows, highest, lowest = [], 0.0, 0.0
        for start in self.starts:
            tile = self._tile(self._voxels(start), self.typical)
            ((best, which, low),) = best_scores([tile], self.kernels, progress)
            highest, lowest = max(highest, float(best.max())), min(lowest, low)
            rows += self._detections(tile, best, which, start, threshold)
        zyx, scores, angles = (np.array([row[k] for row in rows], float) for k in range(3))
        zyx, angles = zyx.reshape(-1, 3), angles.reshape(-1, 3)
        order = np.argsort(-scores, kind="stable")
        distance = self.config.minimum_distance or 0.7 * self.template.diameter
        order = order[separate(zyx[order], max(1.0, distance / self.source.pixel_size))]
        return Detections(
            self.source.in_tomogram(zyx[order]),
            scores[order],
            angles[order],
            threshold,
            None if chance is None else chance.expected(threshold, voxels),
            -lowest > INVERTED * highest and -lowest > threshold,
        )

    def _chance(self, progress: typing.Callable[[int], object] | None) -> NullDistribution:
        side = max(2, round(self.template.diameter / self.source.pixel_size))
        maxima = []
        for number in self.rng.permutation(len(self.starts))[: self._controls()]:
            start = self.starts[number]
            tile = self._tile(phases_at_random(self._voxels(start), self.rng), self.typical)
            best = best_scores([tile], self.kernels, progress)[0][0]
            inside = tuple(slice(0, n - a) for n, a in zip(self.source.shape, start))
            maxima.append(block_maxima(best[inside], side))
        return fit_null(maxima, float(side**3))

    def _detections(
        self, tile: SearchTile, best: torch.Tensor, which: torch.Tensor, start: typing.Sequence[int], threshold: float
    ) -> list[tuple[np.ndarray, float, np.ndarray]]:
        """Working px, score and angles of the peaks in what is kept of a tile."""
        keep = [(0, min(k, n - a)) for k, n, a in zip(self.kept, self.source.shape, start)]
        zyx, scores, voxels = find_peaks_3d(best, threshold, keep)
        near = separate(zyx, max(1.0, 0.35 * self.template.diameter / self.source.pixel_size))
        rows = []
        for number in near:
            voxel = voxels[number]
            angles = self.template.angles[int(which[tuple(voxel)])]
            position, angles, score = refine_detection(tile, self.kernels, voxel, angles)
            rows.append((position + start, max(score, float(scores[number])), angles))
        return rows

    def _voxels(self, start: typing.Sequence[int]) -> torch.Tensor:
        """Voxels of the tile whose kept part begins at `start`; zero beyond the tomogram's border."""
        half = self.template.box // 2
        wanted = [(a - half, a - half + k + self.template.box - 1) for a, k in zip(start, self.kept)]
        there = [(max(0, a), min(n, b)) for (a, b), n in zip(wanted, self.source.shape)]
        result = torch.zeros([b - a for a, b in wanted])
        position = tuple(slice(c - a, d - a) for (a, _), (c, d) in zip(wanted, there))
        result[position] = self.sign * self.source.part(there)
        return result.to(self.device)

    def _tile(self, voxels: torch.Tensor, typical: float | None) -> SearchTile:
        return SearchTile(voxels, self.filters, self.kernels.mask, typical)


def tiling(
    shape: typing.Sequence[int], box: int, voxels: float
) -> tuple[tuple[int, int, int], list[tuple[int, int, int]]]:
    """Side of what is kept of each tile, and where these begin.

    All tiles are alike. Their sides with box - 1 voxels around are lengths that transform fast. voxels: at most in one.
    """
    from scipy.fft import next_fast_len

    maximum = min(SIDES[1], max(SIDES[0], int(voxels ** (1 / 3)) - box))
    kept = []
    for side in shape:
        counts = range(-(-side // maximum), -(-side // maximum) + 4)
        choices = [(n * next_fast_len(-(-side // n) + box - 1, real=True), n) for n in counts]
        number = min(choices)[1]
        kept.append(next_fast_len(-(-side // number) + box - 1, real=True) - box + 1)
    starts = itertools.product(*(range(0, n, k) for n, k in zip(shape, kept)))
    return (kept[0], kept[1], kept[2]), [(a, b, c) for a, b, c in starts]


# ----- Distribution of the highest scores in noise: an extreme-value distribution, fitted to the maxima of blocks.
EULER = 0.5772156649015329
FEWEST_BLOCKS = 8


@dataclasses.dataclass(frozen=True)
class NullDistribution:
    """A Gumbel distribution of the highest score in a block of noise.

    location, scale: of the distribution. block: voxels of a block. seen: number of blocks it was fitted to.
    """

    location: float
    scale: float
    block: float
    seen: int

    def expected(self, threshold: float, voxels: float) -> float:
        """Blocks of a volume of noise whose highest score reaches a threshold, on average."""
        reach = math.exp(min(-(threshold - self.location) / self.scale, 700.0))
        return voxels / self.block * -math.expm1(-reach)

    def threshold(self, wanted: float, voxels: float) -> float:
        """The score that so many blocks of a volume of noise reach on average."""
        part = min(wanted * self.block / voxels, 0.5)
        return self.location - self.scale * math.log(-math.log1p(-part))


def block_maxima(scores: torch.Tensor, side: int) -> np.ndarray:
    """(n,) highest values of the whole blocks of a volume. side: voxels."""
    blocks = [max(1, n // side) for n in scores.shape]
    sides = [n // b for n, b in zip(scores.shape, blocks)]
    cut = scores[tuple(slice(0, b * s) for b, s in zip(blocks, sides))]
    shape = [v for b, s in zip(blocks, sides) for v in (b, s)]
    return cut.reshape(shape).amax(dim=(1, 3, 5)).flatten().double().cpu().numpy()


def fit_null(maxima: typing.Sequence[np.ndarray], block: float) -> NullDistribution:
    """NullDistribution by the mean and the standard deviation of maxima of blocks. Raises ValueError for too few."""
    values = np.concatenate(list(maxima)) if len(maxima) else np.zeros(0)
    if len(values) < FEWEST_BLOCKS:
        raise ValueError(
            f"The control has only {len(values)} blocks of noise, too few to estimate the scores of noise; "
            f"{FEWEST_BLOCKS} are needed. Give a larger --control, or a larger tomogram."
        )
    scale = max(float(values.std(ddof=1)) * math.sqrt(6) / math.pi, 1e-6)
    return NullDistribution(float(values.mean()) - EULER * scale, scale, block, len(values))


# ----- Orientations and places of detections made finer than the grid of the search.
ROUNDS = 3  # each halves the step
NEAR = 1  # voxels along each axis that a position may move by


def refine_detection(
    tile: SearchTile, kernels: Kernels, voxel: np.ndarray, angles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The position (3,) in kept voxels of a tile, rot, tilt, psi (3,) in degrees and the score of one detection.

    voxel: (3,) where the search found it. angles: (3,) of the search. Turns of half a step, then of a quarter, then of
    an eighth are tried; the best is kept. The position is the top of a parabola through the scores around it.
    """
    patches, inverse = _around(tile, voxel)
    base, step = rotation_matrices(angles[None])[0], kernels.template.step
    best: tuple[float, np.ndarray, torch.Tensor] | None = None
    for _ in range(ROUNDS):
        step /= 2
        matrices = base @ ball_of_rotations(step * 1.01, step)
        tried = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
        scores = (kernels.at(tried).flatten(1) @ patches.T) * inverse
        number = int(scores.amax(dim=1).argmax())
        if best is None or float(scores[number].max()) > best[0]:
            best = float(scores[number].max()), tried[number], scores[number].reshape((2 * NEAR + 1,) * 3)
            base = matrices[number]
    assert best is not None
    return voxel + _top(best[2]), best[1], best[0]


def _around(tile: SearchTile, voxel: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(27, b³) what the box covers at the positions around a voxel, and (27,) the inverse local widths there."""
    side, limits = tile.box, [n - 1 for n in tile.inverse.shape]
    patches, inverse = [], []
    for shift in np.ndindex((2 * NEAR + 1,) * 3):
        z, y, x = (int(min(max(v + s - NEAR, 0), limit)) for v, s, limit in zip(voxel, shift, limits))
        patches.append(tile.seen[z : z + side, y : y + side, x : x + side].flatten())
        inverse.append(tile.inverse[z, y, x])
    return torch.stack(patches), torch.stack(inverse)


def _top(scores: torch.Tensor) -> np.ndarray:
    """(3,) voxels from the middle to the top of a (3, 3, 3) cube of scores."""
    position = np.array(np.unravel_index(int(scores.argmax()), scores.shape))
    moved = position - NEAR
    result = moved.astype(float)
    for axis in range(3):
        if moved[axis]:
            continue  # at the border of what was looked at
        line = [float(scores[tuple(position + (np.arange(3) == axis) * s)]) for s in (-1, 0, 1)]
        curvature = line[0] + line[2] - 2 * line[1]
        result[axis] += 0.5 * (line[0] - line[2]) / curvature if curvature < 0 else 0.0
    return np.clip(result, -NEAR, NEAR)
