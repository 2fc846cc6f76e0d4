# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of particles with a template."""

import dataclasses
import functools
import itertools
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.fft import next_fast_len

from ...contract import DetectParticlesConfig, rescaled, sha256
from ...contract.reading import absent
from ...core import healpix_grid, names, projections
from ...core.peaks import find_peaks_3d, refined_peaks, separate
from ...io.files import expand_paths
from ...io.memory import GIGABYTE, WORKING_MEMORY
from ...io.progress import ProgressBar
from ...io.structures import dark_notes, structure_names
from ...io.tomograms import Tomogram, working_pixel_size
from ...likelihood.decoys import scrambled_harmonics
from ..detectors.predict import SpeciesFound, well_inside
from ..segmenters.working_scale import WorkingTomogram, check_volume
from . import correlate


class TemplateFinder:
    """What detect-particles does with a template. named: (name, path) of tomograms."""

    def __init__(
        self, config: DetectParticlesConfig, named: typing.Sequence[tuple[str, str]], device: torch.device
    ) -> None:
        path = str(config.template)
        if not Path(path).is_file():
            raise FileNotFoundError(f"The template {path} {absent(path)}. Give a map (.mrc) or an atomic model.")
        self.paths = [path, *(one for one in expand_paths(config.others) if sha256(one) != sha256(path))]
        self.config, self.device = config, device
        name, *self.others = structure_names(self.paths)
        self.species = (name,)
        self.threshold = names.numbers_by_name(config.threshold, (name,), "Thresholds (--threshold)", 0, 1).get(name)
        self.decoys = 0 if self.threshold else DECOYS  # who gives a threshold gets all that reaches it
        self.identity = {
            "checksums of template and others": " ".join(map(sha256, self.paths)),
            "resolution of their comparison": FINELY,
        }
        self.notes: list[str] = []
        self.angular_step: float | None = None
        self.orientations: int | None = None
        self._loaded: dict[float, tuple[list[correlate.Template], list[str], list[correlate.Template]]] = {}
        self._first(named)

    def _first(self, named: typing.Sequence[tuple[str, str]]) -> None:
        """Load the template at the pixel size of the first tomogram that has one, so that what is wrong with it is
        told before the work."""
        for _, path in named:
            try:
                pixel_size, _ = working_pixel_size(Tomogram(path), self.config.pixel_size)
            except (ValueError, FileNotFoundError, PermissionError):
                continue  # it is skipped with its reason when its turn comes
            template, (structures, notes, finely) = self._template(pixel_size), self._loaded[pixel_size]
            self.notes += notes
            if template.moved:  # what was found before it was moved is elsewhere
                self.identity["Å of the template's centre from its box's"] = round(template.moved)
            print(
                f"Template {template.name}: {template.diameter:.0f} Å wide, compared to {template.resolution:.3g} Å at "
                f"{template.pixel_size:.3g} Å/px in {len(template.angles)} orientations, {template.step:.3g}° apart, "
                f"{self._beside}{f', which are compared to {finely[0].resolution:.3g} Å' * (len(structures) > 1)}."
            )
            return

    @property
    def in_words(self) -> str:
        """How it finds particles, for the methods of a paper."""
        how = (
            "" if self.orientations is None else f" in {self.orientations} orientations, {self.angular_step:.3g}° apart"
        )
        return (
            f"by locally normalised cross-correlation with {Path(str(self.config.template)).name}{how}, {self._beside}"
        )

    @property
    def _beside(self) -> str:
        if not self.decoys:
            return " ".join(["without decoys (--threshold is given)", *(f"and against {one}" for one in self.others)])
        return f"in competition with {', '.join([f'{DECOYS} decoys of it', *self.others])}"

    def _template(self, pixel_size: float) -> correlate.Template:
        if pixel_size not in self._loaded:
            structures, notes = self._structures(self.config, pixel_size)
            limit = self.config.resolution or max(correlate.NYQUIST * pixel_size, FINELY * structures[0].resolution)
            same, _ = self._structures(dataclasses.replace(self.config, resolution=limit), pixel_size)
            finely = [dataclasses.replace(one, step=structures[0].step) for one in same]
            self._loaded[pixel_size] = structures, notes, finely
        template = self._loaded[pixel_size][0][0]
        self.angular_step, self.orientations = template.step, len(template.angles)
        return template

    def _structures(
        self, config: DetectParticlesConfig, pixel_size: float
    ) -> tuple[list[correlate.Template], list[str]]:
        """The template, its decoys and the other particles, seen in the same sphere, and sentences for the user."""
        template, notes = correlate.load_template(config, pixel_size)
        decoys = (self.decoys, config.seed, config.symmetry)  # the same shapes at each resolution
        made = scrambled_harmonics(template.density, *decoys) if self.decoys else []
        found = [template, *(dataclasses.replace(template, density=one) for one in made)]
        for path in self.paths[1:]:
            notes = notes + dark_notes(path)
            density = correlate.structure_density(path, template.pixel_size, template.box)
            found.append(
                dataclasses.replace(template, density=density, angles=correlate.orientations(template.step, "C1"))
            )
        return found, notes

    def search(self, name: str, tomogram: Tomogram, pixel_size: float) -> tuple[list[SpeciesFound], list[str]]:
        """SpeciesFound in a tomogram, and sentences for the user. Raises ValueError if it cannot be searched."""
        check_volume(tomogram)
        template, shortest = self._template(pixel_size), min(tomogram.shape) * pixel_size
        if template.diameter > shortest:
            raise ValueError(
                f"The template is {template.diameter:.0f} Å wide, and {tomogram.path} is {shortest:.0f} Å thick at its "
                "shortest side. Check the pixel sizes of both, and the template's --diameter."
            )
        structures, _, finely = self._loaded[pixel_size]
        fine = self._search(tomogram, pixel_size, finely) if len(finely) > 1 else None  # alone it has nothing to beat
        search = self._search(tomogram, pixel_size, structures, self.decoys, fine)
        with ProgressBar(total=search.work, unit="orientation", desc=name, mininterval=1.0) as bar:
            zyx, scores, angles, won, inverted = search.run(self.threshold, bar.update)
        other = "bright" if self.config.contrast == "dark" else "dark"
        notes = [f"In {name} the inverted template fits better: protein seems to be {other}. Try --contrast {other}."]
        there = well_inside(zyx, tomogram.shape, self.config.border / pixel_size) & (scores >= (self.threshold or 0.0))
        taken = {name: scores[there & (won == number)] for number, name in enumerate(self.others, BY_ANOTHER)}
        rivals = scores[there & (won == BY_DECOY)] if self.decoys else None
        won = there & (won == 0)
        more = self.threshold or 0.0, None, template.diameter, rivals, taken
        return [SpeciesFound(template.name, zyx[won], scores[won], angles[won], *more)], notes if inverted else []

    def judging(self, tomogram: Tomogram, pixel_size: float) -> "TemplateSearch":
        """The search for the template alone, at the resolution at which the best places are judged."""
        self._template(pixel_size)
        return self._search(tomogram, pixel_size, self._loaded[pixel_size][2][:1])

    def _search(
        self, tomogram: Tomogram, pixel_size: float, these: typing.Sequence[correlate.Template], *more: typing.Any
    ) -> "TemplateSearch":
        working = WorkingTomogram(tomogram, pixel_size, these[0].pixel_size)
        return TemplateSearch(working, these, self.config, self.device, *more)


# ----- Search of a tomogram, tile by tile, for the template and its decoys: each place goes to the one that fits best.
DECOYS = 6
WORTH = 2  # decoys that win as often by chance as these: one molecule is more like another than they are
FEWEST = 12  # best places of a tile that are looked at in any case
Place = tuple[np.ndarray, float, np.ndarray, int]
BY_DECOY, BY_ANOTHER = 1, 2  # whose a place is that is not the template's; 3 of the second other particle, and so on
FINELY = 0.6  # of the usual resolution, at which the best places are judged
HOPELESS = 0.5  # wins of one decoy, for each of the target, from which places are not looked at
BYTES, EACH = 36, 8  # of memory for each voxel of a tile that is searched, and for each structure beside
MEMORY = WORKING_MEMORY * GIGABYTE / 5
SIDES = (48, 320)  # of what is kept of a tile, voxels
SAMPLED = 4  # tiles that the spectrum is measured on
INVERTED = 1.1  # times the highest score that the lowest is below 0 where protein has the other sign


class TemplateSearch:
    """The search for a Template in one WorkingTomogram. structures: the template, its decoys, and other particles.
    decoys: how many these are. finely: the same at a higher resolution, which judges what is found; None: this."""

    def __init__(
        self,
        source: WorkingTomogram,
        structures: typing.Sequence[correlate.Template],
        config: DetectParticlesConfig,
        device: torch.device,
        decoys: int = 0,
        finely: "TemplateSearch | None" = None,
    ) -> None:
        self.source, self.config, self.device, self.decoys, self.finely = source, config, device, decoys, finely or self
        self.template = template = structures[0]
        self.kept, self.starts = tiling(source.shape, template.box, MEMORY / (BYTES + EACH * len(structures)))
        self.sign = -1.0 if config.contrast == "dark" else 1.0
        sampled = np.random.default_rng(config.seed).permutation(len(self.starts))[:SAMPLED]
        power = correlate.volume_ring_power(self._voxels(self.starts[n]) for n in sampled)
        tilts = (config.tilt_min, config.tilt_max)
        self.filters = correlate.Filters(
            power, template.resolution, source.pixel_size, tilts, config.defocus, config.phase_flipped
        )
        self.kernels = [correlate.Kernels(one, self.filters, device) for one in structures]
        self.work = len(self.starts) * sum(len(one.angles) for one in structures)  # orientations, of all tiles
        self.typical = float(np.median([self._tile(self._voxels(self.starts[n]), None).typical for n in sampled]))

    def run(self, threshold: float | None, progress: typing.Callable[[int], object]) -> tuple[typing.Any, ...]:
        """Places of a tomogram where one of the structures fits, best first, with at least a score, and the best ones
        in any case: (n, 3) zyx px of the tomogram; (n,) scores of what fits best; (n, 3) its rot, tilt, psi in degrees;
        (n,) 0 where it is the template, or else BY_DECOY, or from BY_ANOTHER on the number of another; and whether the
        template fits better with its sign changed."""
        rows: list[Place] = []
        highest = lowest = 0.0
        # one structure alone takes less by itself
        many = len(self.kernels) > 1 and correlate.FEW < self.work / len(self.starts) < correlate.MANY
        patterns = (
            correlate.Patterns(self.kernels) if many and len(self.kernels[0].mask.nonzero()) <= correlate.WIDE else None
        )
        for start in self.starts:
            tile = self._tile(self._voxels(start), self.typical)
            if patterns:
                sides = [min(k, n - a) for k, n, a in zip(self.kept, self.source.shape, start)]
                found = patterns.best_scores(tile, sides, progress)
            else:
                found = [correlate.best_scores(tile, one, progress) for one in self.kernels]
            best, which, low = zip(*found)
            rows += self._places(tile, best, which, start, threshold)
            highest, lowest = max(highest, float(best[0].max())), min(lowest, low[0])
        zyx, scores, angles = (np.array([row[k] for row in rows], float) for k in range(3))
        won, zyx, angles = np.array([row[3] for row in rows], int), zyx.reshape(-1, 3), angles.reshape(-1, 3)
        order = np.argsort(-scores, kind="stable")
        distance = self.config.minimum_distance or 0.7 * self.template.diameter
        order = order[separate(zyx[order], max(1.0, distance / (self.source.pixel_size * self.source.factor)))]
        inverted = -lowest > INVERTED * highest and -lowest > (threshold or 0.0)
        return zyx[order], scores[order], angles[order], won[order], inverted

    def _places(
        self,
        tile: correlate.SearchTile,
        best: typing.Sequence[torch.Tensor],
        which: typing.Sequence[torch.Tensor],
        start: typing.Sequence[int],
        threshold: float | None,
    ) -> list[Place]:
        """px of the tomogram, score, angles and winner of the best places in what is kept of a tile. The two structures
        that fit best by the grid of the search, often near to each other, and the other particles are refined, and
        judged at the finer resolution. Where a threshold is given, the score is that of the search."""
        keep = [(0, min(k, n - a)) for k, n, a in zip(self.kept, self.source.shape, start)]
        rivals = best[: 1 + self.decoys]
        _, scores, voxels = find_peaks_3d(functools.reduce(torch.maximum, rivals), 0.0, keep)
        near = separate(voxels.astype(float), max(1.0, 0.35 * self.template.diameter / self.source.pixel_size))
        pooled = (torch.nn.functional.max_pool3d(one[None, None], 3, 1, 1)[0, 0] for one in best)
        around = np.stack([one[tuple(voxels[near].T)].cpu().numpy() for one in pooled], axis=1)
        ranks = np.argsort(-around[:, : len(rivals)], axis=1)[:, :2]
        rows, hopeful = [], self._hopeful(scores[near], ranks[:, 0] == 0, threshold)
        places = list(zip(near[:hopeful], ranks, around))
        for number, pair, least in ProgressBar(places, desc="Best places", unit="place", mininterval=1.0):
            at, found = tuple(voxels[number]), []
            first = [one.template.angles[int(each[at])] for one, each in zip(self.kernels, which)]
            for one in (*pair, *range(len(rivals), len(best))):
                position, angles, score = refine_detection(tile, self.kernels[one], voxels[number], first[one])
                fit = self.finely.judged(int(one), self.source.in_tomogram(position + start), angles)
                found.append((*fit, int(one), max(score, float(least[one]))))
            place, angles, score, won, searched = max(found, key=lambda row: row[2])
            won = BY_ANOTHER + won - len(rivals) if won >= len(rivals) else BY_DECOY if won else 0
            rows.append((place, score if threshold is None else searched, angles, won))
        return rows

    def judged(self, number: int, zyx: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """px of the tomogram (3,), rot, tilt, psi (3,) in degrees and score of a structure by its number. zyx, angles:
        where a search found it and how, refined."""
        start, tile = self.around(zyx)
        position, turned, score = refine_detection(tile, self.kernels[number], np.full(3, NEAR), angles, 1, ROUNDS)
        return self.source.in_tomogram(position + start), turned, score

    def around(self, zyx: np.ndarray) -> tuple[np.ndarray, correlate.SearchTile]:
        """The first voxel of the (2 NEAR + 1)^3 about a place, zyx (3,) in px of the tomogram, and their SearchTile."""
        scale = np.array(self.source.shape) / np.array(self.source.tomogram.shape)
        start = np.round(rescaled(zyx, scale)).astype(int) - NEAR
        return start, self._tile(self._voxels(start, (2 * NEAR + 1,) * 3), self.typical)

    @staticmethod
    def _hopeful(scores: np.ndarray, won: np.ndarray, threshold: float | None) -> int:
        """How many of some places, best first, may hold the target by their scores (n,) and the winners (n,)."""
        if threshold is not None:
            return max(FEWEST, int((scores >= threshold).sum()))
        likely = (1 + np.cumsum(~won)) / (DECOYS * np.maximum(np.cumsum(won), 1)) <= HOPELESS
        return max(FEWEST, int(np.nonzero(likely)[0].max(initial=-1)) + 1)

    def _voxels(
        self, start: typing.Sequence[int] | np.ndarray, kept: typing.Sequence[int] | None = None
    ) -> torch.Tensor:
        """Voxels of the tile whose kept part begins at `start`; zero beyond the tomogram's border."""
        half = self.template.box // 2
        wanted = [(a - half, a - half + k + self.template.box - 1) for a, k in zip(start, kept or self.kept)]
        there = [(max(0, a), min(n, b)) for (a, b), n in zip(wanted, self.source.shape)]
        result = torch.zeros([b - a for a, b in wanted])
        position = tuple(slice(c - a, d - a) for (a, _), (c, d) in zip(wanted, there))
        result[position] = self.sign * self.source.part(there)
        return result.to(self.device)

    def _tile(self, voxels: torch.Tensor, typical: float | None) -> correlate.SearchTile:
        return correlate.SearchTile(voxels, self.filters, self.kernels[0].mask, typical)


def tiling(shape: typing.Sequence[int], box: int, voxels: float) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Side of what is kept of each tile, and where these begin. All tiles are alike. Their sides with box - 1 voxels
    around are lengths that transform fast. voxels: at most in one."""
    maximum, kept = min(SIDES[1], max(SIDES[0], int(voxels ** (1 / 3)) - box)), []
    for side in shape:
        counts = range(-(-side // maximum), -(-side // maximum) + 4)
        number = min([(n * next_fast_len(-(-side // n) + box - 1, real=True), n) for n in counts])[1]
        kept.append(next_fast_len(-(-side // number) + box - 1, real=True) - box + 1)
    return tuple(kept), list(itertools.product(*(range(0, n, k) for n, k in zip(shape, kept))))


# ----- Orientations and places of detections made finer than the grid of the search.
ROUNDS = 2  # each halves the step; of a detection there is one more
NEAR = 1  # voxels along each axis that a position may move by


def refine_detection(
    tile: correlate.SearchTile,
    kernels: correlate.Kernels,
    voxel: np.ndarray,
    angles: np.ndarray,
    rounds: int = ROUNDS,
    done: int = 0,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The position (3,) in kept voxels of a tile, rot, tilt, psi (3,) in degrees and the score of one detection. voxel:
    (3,) where the search found it. angles: (3,) of the search, or after some rounds that are done. Turns of half a
    step, then of a quarter ... are tried; the best is kept. The position is the top of a parabola through the scores
    around it."""
    patches, inverse = _around(tile, voxel)
    base, step = projections.rotation_matrices(angles[None])[0], kernels.template.step / 2**done
    best = -1.0, angles, torch.zeros((2 * NEAR + 1,) * 3)
    for _ in range(rounds):
        step /= 2
        matrices = base @ healpix_grid.ball_of_rotations(step * 1.01, step)
        tried = projections.euler_angles(matrices)
        scores = (kernels.at(tried).flatten(1) @ patches.T) * inverse
        number = int(scores.amax(dim=1).argmax())
        if float(scores[number].max()) > best[0]:
            best = float(scores[number].max()), tried[number], scores[number].reshape((2 * NEAR + 1,) * 3)
            base = matrices[number]
    cube = best[2].cpu()
    highest = torch.tensor(np.unravel_index(int(cube.argmax()), cube.shape))  # torch's loads sympy: 0.4 s
    return voxel + refined_peaks(cube, highest[None])[0].numpy() - NEAR, best[1], best[0]


def _around(tile: correlate.SearchTile, voxel: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    around = voxel - NEAR + np.indices((2 * NEAR + 1,) * 3).reshape(3, -1).T
    corners = np.clip(around, 0, np.array(tile.inverse.shape) - 1)
    patches = [tile.seen[tuple(slice(a, a + tile.box) for a in corner)].flatten() for corner in corners.tolist()]
    return torch.stack(patches), tile.inverse[tuple(corners.T)]
