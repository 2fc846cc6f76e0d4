# SPDX-License-Identifier: GPL-3.0-or-later
"""The structures that particles are compared with, from a folder or a list of files, and the evidence for them and for
their look-alikes, in two finenesses."""

import dataclasses
import functools
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import fourier_shift

from ...core.fourier import from_middle
from ...core.projections import Projector, rotation_matrices
from ...core.volumes import cube_crop
from ...io import files, particle_sets
from ...io.structures import MODEL_SUFFIXES, dark_notes, load_density, structure_names
from ...likelihood.decoys import decoys
from ...likelihood.observed import WIDEST, AverageSource, Source, sample_images, sample_rows, smoothed_notes
from ...likelihood.reference import group_notes
from ...likelihood.search import Bank, evidence, log_likelihoods
from ...running.runner import Run
from ...simulate.micrographs import particle_diameter
from ..initial.alignment import align, centred
from ..initial.climb import Climb, SliceSums, cube_side
from ..orientations.amplitude import AmplitudeFit, RingPower, evidences, improved
from ..orientations.assign import DETAIL, FINEST_SEARCH, Search, SearchSettings
from ..orientations.explained import Explained, explained
from ..orientations.hypotheses import hypotheses

DIAMETER = 0.9  # of the box: what lies outside of it is background, whatever the structure
MAX_SHIFT = 0.1  # of the box
READINGS, SIZES = 32, 6  # particles that tell how the images are to be read, from so many structures
DECOYS = 24  # of a structure
RELATED = 0.87  # correlation, aligned: states and species had 0.90 to 1, ABC transporters of two families 0.83
LEARNT = 48  # particles from which it is learnt how strongly they show a structure
EXPLAINED = 128  # particles of which it is asked how far a structure explains them
# of the way from a structure to what particles make of it: all the way is worse even where the structure is wrong, for
# 150 particles make a noisy map
STEP = 0.25
TOLD = slice(3, 10)  # rings in which it is asked how much of averages a structure explains
NOISIEST = 0.75  # part of their power: noise around right structures was 0.1 to 0.6 of it, dirt around junk over 0.95
SPARSE = 7  # every so many orientations of a search hold all of a structure


@dataclasses.dataclass(frozen=True)
class Fineness:
    """How finely particles are compared. step: degrees between directions. waves: in the box, of the finest detail;
    that of such a step, and as long to compute in any box. particles: at most."""

    step: float
    waves: float
    particles: int


COARSE, FULL = Fineness(15.0, 10.0, 100), Fineness(10.0, 13.0, 500)
OVERSAMPLING = 3  # voxels of a structure in the finest detail


def compared_pixel_size(particles: particle_sets.ParticleSet) -> float:
    """Å/px of the densities that particles are compared with."""
    return max(
        particles.pixel_size, max(particles.box * particles.pixel_size / FULL.waves, FINEST_SEARCH) / OVERSAMPLING
    )


class ParticleComparison:
    """Particles, with CTF, that are compared with structures. run: told of images that are left out. fewest: particles
    from which it is learnt how strongly they show one of several structures. weights: see ranking.shares_of."""

    fewest = 30
    weights: np.ndarray | None = None

    def __init__(self, particles: particle_sets.ParticleSet, run: Run) -> None:
        self.particles, self.device = particles, run.device
        self.width, self.pixel_size = particles.box * particles.pixel_size, compared_pixel_size(particles)
        few = particle_sets.usable(particles.subset(sample_images(particles, FULL.particles)), run.skip)
        run.warn(*smoothed_notes(few), *group_notes(few))
        self.sources = [s.measured() for s in hypotheses(few, DIAMETER * self.width, "auto")]
        self.source = self.sources[0]

    def resolution(self, detail: Fineness) -> float:
        """Å of the finest detail that is compared."""
        return max(self.width / detail.waves, FINEST_SEARCH)

    def choose_reading(self, candidates: "typing.Sequence[Candidate]") -> None:
        """Take the contrast and the treatment of the CTF with which structures fit best: some of all sizes."""
        rows = sample_rows(len(self.source.particles), READINGS)
        by_size = sorted(candidates, key=lambda candidate: candidate.diameter)
        searches = (self.search(by_size[row].density, COARSE) for row in sample_rows(len(by_size), SIZES))
        found = [evidences(self.sources, rows, one.bank, one.shifts(), self.width) for one in searches]
        self.source = self.sources[int(np.max(found, axis=0).argmax())]

    def search(
        self, density: torch.Tensor, detail: Fineness, fit: AmplitudeFit | None = None, source: Source | None = None
    ) -> Search:
        """A Search of a density. fit: how strongly the images show it, as far as is known."""
        # such a diameter does not limit the detail: that of all structures must be the same
        diameter = self.resolution(detail) / (DETAIL * np.radians(detail.step))
        settings = SearchSettings(detail.step, MAX_SHIFT * self.width, self.resolution(detail), diameter)
        few = self.source.particles.subset(sample_rows(len(self.source.particles), detail.particles))
        source = source or dataclasses.replace(self.source, particles=few)
        return Search(source, Projector(density.to(self.device)), self.pixel_size, settings, self.device, fit)

    def coarse(self, candidate: "Candidate") -> tuple[AmplitudeFit, np.ndarray]:
        """How strongly the images show a structure, and the evidence of each particle, coarsely."""
        search = self.search(candidate.density, COARSE)
        observed = search.source.observed(search.sample(COARSE.particles), search.disc)
        search.fit = RingPower.of(observed, search.plain).fit(search.width)
        refit(search, first=True)
        refit(search)
        return search.fit, evidence_of(search)

    def turned(self, candidate: "Candidate", others: "typing.Sequence[Candidate]") -> "Candidate":
        """A structure, to be searched as it lies best, in either hand, on that of others which it resembles most. Grids
        meet those that lie differently at other places, which can make more of a difference than two states do."""
        side = max(len(one.density) for one in (candidate, *others))
        mine, waves = cube_crop(candidate.density, side), FULL.waves * side * self.pixel_size / self.width
        pairs = ((align(cube_crop(other.density, side), mine, waves), other) for other in others)
        found, other = max(pairs, key=lambda one: one[0].correlation)
        # what is no relative would be moved out of reach of the shifts that are searched
        by = found.matrix @ found.shift.flip(0) * (found.correlation > RELATED)
        moved = np.fft.ifftn(fourier_shift(np.fft.fftn(candidate.density.numpy()), by.numpy()[::-1])).real
        return dataclasses.replace(candidate, density=torch.from_numpy(moved).float(), turn=found.matrix @ other.turn)

    def full(
        self, candidate: "Candidate", fit: AmplitudeFit, rows: np.ndarray | None = None
    ) -> tuple[Search, np.ndarray]:
        """A Search in full detail, and the evidence of each particle. rows: bool, of the particles that show the
        structure, as far as is known."""
        search = self.search(candidate.density, FULL, fit)
        search.bank = Bank(search.plain.turned(candidate.turn), search.grid)
        refit(search, rows)
        return search, evidence_of(search)

    def explained(self, candidate: "Candidate", fit: AmplitudeFit, rows: np.ndarray) -> Explained:
        """How well a structure explains some of the particles, rows (n,) bool. What lies outside of it counts as
        background: neighbours may be there."""
        few = np.nonzero(rows)[0][sample_rows(int(rows.sum()), EXPLAINED)]
        diameter = min(candidate.diameter / self.particles.pixel_size, WIDEST * self.particles.box)
        source = dataclasses.replace(
            self.source, particles=self.source.particles.subset(few), diameter_px=diameter
        ).measured()
        search = self.search(candidate.density, FULL, fit, source)
        refit(search)
        return explained(search, evidence_of(search), not rows.all())

    def held_out_gain(self, candidate: "Candidate", fit: AmplitudeFit, rows: np.ndarray) -> float:
        """Part of the evidence that particles gain if a structure is changed towards the map that others make of it,
        two halves of the particles for each other. rows: (n,) bool, of the particles.

        Of the right structure nothing is left to learn: the change is noise, and the others lose. What a wrong one
        lacks both halves have, however little it may be of what lacks in all."""
        few = self.source.particles.subset(np.nonzero(rows)[0])
        search = self.search(candidate.density, FULL, fit, dataclasses.replace(self.source, particles=few))
        observed, density, gained = search.source.observed(np.arange(rows.sum()), search.disc), _shown(search), []
        waves, diameter = (x * candidate.diameter for x in (search.disc.radius / search.width, 1 / search.pixel_size))
        for half in (0, 1):
            one, other = (Climb(observed[start::2], diameter, half) for start in (half, 1 - half))
            one.sigma = other.sigma = fit.sigma
            made = one.finish(density, (waves, waves)).density
            gained += [other.evidence_for(x, waves).sum() for x in (density, torch.lerp(density, made, STEP))]
        return float(sum(gained[1::2]) / max(sum(gained[::2]), 1e-6) - 1)

    def decoy_evidence(
        self, candidate: "Candidate", fit: AmplitudeFit, others: "typing.Sequence[Candidate]", own: float
    ) -> typing.Iterator[list[np.ndarray]]:
        """(m, n) evidence of n particles for the decoys of a structure, those made of others, but no relatives, and
        those of its own envelope, coarsely: of a third of them, then of all. own: mean evidence for the structure."""
        made = decoys(candidate.density, [other.density for other in others], DECOYS)
        found: dict[int, np.ndarray] = {}
        known, order = min(len(others), 2 * DECOYS // 3), sorted(range(DECOYS), key=lambda k: k % 3)
        finest = COARSE.waves * len(candidate.density) * self.pixel_size / self.width
        related = functools.cache(lambda k: align(candidate.density, made[k], finest).correlation > RELATED)
        for k in order:
            search = self.search(made[k], COARSE, fit)
            refit(search)
            found[k] = evidence_of(search)
            if k in (order[DECOYS // 3 - 1], order[-1]):
                grains = [found[j] for j in found if j >= known]
                # those that fit hardly better than grains are not aligned: it takes as long as a decoy
                own_kind = lambda j: 2 * found[j].mean() > own + np.mean(grains) and related(j)
                kept = [found[j] for j in found if j < known and not own_kind(j)]
                yield [np.reshape(kind, (-1, len(found[k]))) for kind in (kept, grains)]


class AverageComparison(ParticleComparison):
    """2-D class averages, see particle_sets.read_class_averages, that are compared with structures."""

    fewest = 5

    def __init__(self, averages: particle_sets.ParticleSet, run: Run) -> None:
        self.particles, self.device, self.warn = averages, run.device, run.warn
        self.width, self.pixel_size = averages.box * averages.pixel_size, compared_pixel_size(averages)
        kept = particle_sets.usable(averages, run.skip)
        radius = from_middle(kept.box).round().long().flatten()
        spread = torch.bincount(radius, kept.images(slice(None)).var(0).flatten()) / torch.bincount(radius)
        mask = min(2 * float((spread > 1e-3 * spread.max()).nonzero()[-1]), kept.box)  # beyond, they hardly differ
        read = lambda word: AverageSource(kept, min(DIAMETER * kept.box, mask), word, "denoised", mask_px=mask)
        self.sources = [read(word).measured() for word in ("bright", "dark")]
        self.source, self.weights = self.sources[0], kept.members() / kept.members().mean()

    def explained(self, candidate: "Candidate", fit: AmplitudeFit, rows: np.ndarray) -> Explained:
        """How much of its averages' power beyond the noise a structure explains, in coarse rings: right ones 0.78 to
        0.93, relatives 0.58 or less. There is always a signal."""
        source = typing.cast("AverageSource", self.source)
        source = dataclasses.replace(source, particles=source.particles.subset(rows))
        search, pixel = self.search(candidate.density, FULL, fit, source.measured()), self.particles.pixel_size
        seen = source.diameter_px * pixel
        refit(search)
        left = 0.25 * search.fit.residual[TOLD]  # of the power, of which Source.measured takes so much for noise
        noise = source.around(candidate.diameter / pixel)[TOLD][: len(left)]
        noise = noise * bool(noise.clamp(max=1).mean() < NOISIEST)  # more excuses whatever a structure leaves
        self.warn(
            f"{candidate.path} is {candidate.diameter:.0f} Å wide, but of the averages of {self.particles.path} a "
            f"circle of {seen:.0f} Å is seen. Classify in a larger box, with a wider mask, for a sure answer."
            * bool(candidate.diameter > seen)
        )
        whole = 1 - float((left - noise).clamp(min=0).sum() / (1 - noise).clamp(min=0.1).sum())
        return Explained(np.ones(int(rows.sum())), max(0.0, whole), np.inf)


def _shown(search: Search) -> torch.Tensor:
    """(m, m, m) density over the images' width, as strong as a Search shows it."""
    sums = SliceSums(search.disc, cube_side(search.disc))
    matrices = torch.as_tensor(
        rotation_matrices(search.grid.angles(np.arange(0, len(search.grid), SPARSE))),
        dtype=torch.float32,
        device=search.disc.device,
    )
    slices = search.strong_bank(search.fit).reference.at(matrices)
    sums.add(matrices, slices, torch.ones_like(slices.real))
    return sums.map(torch.full((search.disc.rings,), 1e-3))


def refit(search: Search, rows: np.ndarray | None = None, first: bool = False) -> None:
    """Learn once more how strongly the images show a structure, from a sample of those that do. rows: bool, of these.
    first: nothing is known of their shifts."""
    rows = np.arange(len(search.source.particles)) if rows is None else np.nonzero(rows)[0]
    observed = search.source.observed(rows[sample_rows(len(rows), LEARNT)], search.disc)
    shifts = search.shifts(None if first else search.fit.sigma)
    search.fit = improved(search.fit, observed, search.bank, shifts, search.width)


def evidence_of(search: Search) -> np.ndarray:
    """(n,) logarithmic evidence of each particle for a structure in some orientation."""
    fit, observed = search.fit, search.source.observed(np.arange(len(search.source.particles)), search.disc)
    return evidence(log_likelihoods(observed, search.strong_bank(fit), search.shifts(fit.sigma))).cpu().numpy()


SUFFIXES = (*MODEL_SUFFIXES, ".mrc", ".map")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A structure. density: (d, d, d) tensor, at the pixel size that was asked for. diameter: Å. turn: (3, 3), as of
    Reference.turned, in which it is searched in full detail."""

    name: str
    path: str
    density: torch.Tensor
    diameter: float
    turn: torch.Tensor = dataclasses.field(default_factory=lambda: torch.eye(3))


def structure_files(given: typing.Sequence[str]) -> list[str]:
    """Files of structures: those that lie in folders, and all that are named. Folders and stacks of images in a folder
    are in, too, to be skipped and named. Raises FileNotFoundError for what does not exist, ValueError if none is in."""
    named = lambda one: one.is_dir() or one.name.lower().removesuffix(".gz").endswith((*SUFFIXES, ".mrcs"))
    inside = lambda folder: sorted(map(str, filter(named, folder.iterdir())))
    found = [p for word in given for p in (inside(Path(word)) if Path(word).is_dir() else files.expand_paths([word]))]
    if not found:
        raise ValueError(
            f"{', '.join(given)} (--structures) has no structure: no file ends in {', '.join(SUFFIXES)} (or with .gz "
            "behind it). Give a folder of atomic models or maps, or the files."
        )
    return list({Path(path).resolve(): path for path in found[::-1]}.values())[::-1]  # each file once


def read_candidates(paths: typing.Sequence[str], particles: particle_sets.ParticleSet, run: Run) -> list[Candidate]:
    """The structures that can be read and fit into the particles' box; the others are skipped, and named. paths: of
    files. particles: whose box they must fit into. run: that has skipped nothing yet."""
    width, pixel_size, found = particles.box * particles.pixel_size, compared_pixel_size(particles), []
    for name, path in run.items(list(zip(_names(paths), paths)), "structure"):
        with run.item(name, path):
            density = centred(load_density(path, pixel_size))  # a map's molecule may lie anywhere in its box
            run.warn(*dark_notes(path))
            diameter = particle_diameter(density, pixel_size)
            if diameter > width:
                raise ValueError(
                    f"{path} is {diameter:.0f} Å wide, but the images are only {width:.0f} Å wide ({particles.box} px "
                    f"x {particles.pixel_size:g} Å): they cannot show the whole of it."
                )
            found.append(Candidate(name, path, density, diameter))
    run.require_some(paths, "structure", "compared")
    return found


def _names(paths: typing.Sequence[str]) -> list[str]:
    """Names of files without endings; where two would be alike, with them."""
    short = [structure_names([path])[0] for path in paths]
    long = [name if short.count(name) == 1 else Path(path).name for name, path in zip(short, paths)]
    return [name if long.count(name) == 1 else path for name, path in zip(long, paths)]
