# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations of particles by maximum likelihood, and their confidence: one search for all, and a refinement of the
likeliest answers."""

import copy
import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...core.half_transforms import HalfDisc
from ...core.healpix_grid import into_unit
from ...core.projections import Projector, euler_angles, rotation_matrices
from ...io import files, particle_sets
from ...likelihood.observed import Observed, Source, sample_rows
from ...likelihood.reference import Reference
from ...likelihood.refine import Neighbourhood, Pose, refine, refined_where
from ...likelihood.search import FAR, Bank, Grid, Shifts, distances, evidence, find_modes, log_likelihoods
from .amplitude import ROUNDS, SURE, AmplitudeFit, RingPower, evidences, improved


@dataclasses.dataclass(frozen=True)
class Orientations:
    """angles: (n, 3) rot, tilt, psi in degrees. shifts_yx: (n, 2) px, where the particle lies relative to pixel box //
    2. score: (n,) logarithmic likelihood ratio of this orientation to 'no particle'. margin: (n,) logarithm of how much
    more probable it is than the best answer more than two steps away. probability: (n,) its share of the probability of
    the answers that were refined. coarse: (n,) the share of its neighbourhood in the whole search's probability.
    evidence: (n,) logarithmic likelihood ratio of 'a particle in any orientation' to 'no particle'."""

    angles: np.ndarray
    shifts_yx: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    probability: np.ndarray
    evidence: np.ndarray
    coarse: np.ndarray


def answer(pose: Pose, mass: torch.Tensor, total: np.ndarray, coarse: torch.Tensor, symmetry: str) -> Orientations:
    """Orientations of Pose. mass: (n, m) probability of the answer and of others. total: (n,) evidence. coarse: (n,)
    the answer's probability in the search."""
    angles = euler_angles(into_unit(pose.matrices.cpu().double().numpy(), symmetry))
    fraction = mass.double().cpu().numpy()
    margin = np.log(np.maximum(fraction[:, 0], 1e-30)) - np.log(
        np.maximum(fraction[:, 1:].max(axis=1, initial=0), 1e-30)
    )
    shifts, peak = (tensor.cpu().double().numpy() for tensor in (pose.shifts_yx, pose.peak))
    return Orientations(angles, shifts, peak, margin, fraction[:, 0], total, coarse.double().cpu().numpy())


def answer_probabilities(
    poses: typing.Sequence[Pose], every: torch.Tensor, best: torch.Tensor, settings: "SearchSettings"
) -> torch.Tensor:
    """(n, m) probability of the best answer, then of the others; 0 for those that have become the same answer. every:
    (n, m) evidence of the Poses. best: (n,) place of the best."""
    near = distances(torch.stack([p.matrices for p in poses], 1), settings.symmetry)
    rows = torch.arange(len(best), device=best.device)
    same = near[rows, best] < settings.angular_step
    same[rows, best] = False
    mass = torch.softmax(every.masked_fill(same, -torch.inf), 1)
    others = mass.clone()
    others[rows, best] = 0
    return torch.cat([mass[rows, best][:, None], others], 1)


# Å: finer detail of a single particle tells nothing in a search, and next to nothing later
FINEST_SEARCH, FINEST = 12.0, 7.0
# of the arc between neighbouring directions at the particle's edge: detail that the search compares. Particles right at
# SNR 0.02: 4ZXB 58 % at 0.85, 64 % at 0.65 (80 particles), 9BE6 52 % at 13.1 Å, 57 % at 12 Å (100); finer is slower.
DETAIL = 0.65


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """angular_step: degrees. max_shift: Å. resolution: Å, finest detail that may be used. diameter: Å, of the
    structure. symmetry: point group."""

    angular_step: float
    max_shift: float
    resolution: float
    diameter: float
    symmetry: str = "C1"

    def search_resolution(self) -> float:
        """Å of the finest detail that the search compares."""
        return max(DETAIL * self.diameter * np.radians(self.angular_step), self.resolution, FINEST_SEARCH)

    def fine_resolution(self) -> float:
        """Å of the finest detail that the refinement compares."""
        return max(self.search_resolution() / 2, self.resolution, FINEST)


SAMPLE = 192  # particles from which strength and spread of shifts are learnt
# logarithmic evidence by which a reading is behind already in coarse detail or in an eighth or a third of these: five
# times what all of them need, as a few particles may be junk
CLEARLY = 5 * SURE
ROUGH = 64  # particles at least of the first two rounds; the very first looks at all shifts where no spread is known
# degrees, Å: contrast, the spread of the shifts and the structure's size are seen in coarse detail already
COARSE_STEP, COARSE = 15.0, 20.0
MODES = 5  # answers of the search that are refined
# logarithmic evidence behind the best answer's from which answers are not refined: 100 particles at SNR 0.02 and 0.05
# were right as often (60 and 100 %), with 4.4 and 1.5 answers refined instead of 5
HOPELESS = 8.0
MEMORY = 2e8  # bytes of a chunk's likelihoods
KEPT_CHUNK = 64  # particles of a chunk at most, where small ones cost no time
ROTATION = 0.75  # first step of the refinement, in angular steps
WIDEST_PRIOR = 3.5  # standard deviations of the shifts that are searched


class Search:
    """A structure prepared for finding the orientations of a source's particles.

    source: observed.Source with its noise measured. projector: core.projections.Projector of the structure. pixel_size:
    of the projector, Å/px. settings: Settings. fit: amplitude.AmplitudeFit; learnt from the particles if None."""

    def __init__(
        self,
        source: Source,
        projector: Projector,
        pixel_size: float,
        settings: SearchSettings,
        device: torch.device,
        fit: AmplitudeFit | None = None,
    ) -> None:
        particles = source.particles
        self.settings, self.width = settings, particles.box * particles.pixel_size
        self.pixel_size = particles.pixel_size
        self.zoom, self.projector = pixel_size / particles.pixel_size, projector
        self.grid = Grid(settings.angular_step, settings.symmetry)
        self.disc = self._disc(settings.search_resolution(), particles.box, device)
        self.fine_disc = self._disc(settings.fine_resolution(), particles.box, device)
        self.plain = Reference(projector, self.disc, zoom=self.zoom)
        self.fine = Reference(projector, self.fine_disc, zoom=self.zoom)
        self.bank = Bank(self.plain, self.grid)
        self.source = source
        self.fit = typing.cast("AmplitudeFit", fit)  # learn() gives it where none is given
        self.spread: float | None = None  # px: standard deviation of the shifts, roughly; compare() gives it

    def _disc(self, resolution: float, box: int, device: torch.device) -> HalfDisc:
        return HalfDisc(box, max(2.0, self.width / resolution), device)

    def shifts(self, sigma: float | None = None) -> Shifts:
        """Shifts of the search: as far apart as a quarter of its finest detail."""
        step = self.settings.search_resolution() / 4 / self.pixel_size
        radius = self.settings.max_shift / self.pixel_size
        if sigma is not None:
            sigma = max(sigma, step / 2)
            radius = min(radius, max(WIDEST_PRIOR * sigma, 1.5 * step))
        return Shifts.within(radius, step, sigma, self.disc.device)

    def sample(self, maximum: int) -> np.ndarray:
        """Rows of at most `maximum` particles, evenly spread; fewer if the grid is so fine that memory would not do."""
        return sample_rows(len(self.source.particles), int(np.clip(MEMORY / (4 * len(self.grid)), 16, maximum)))

    def coarse(self, source: Source, size: float = 1.0, finest: float = COARSE) -> "Search":
        """A search of a source in coarse detail. size: of the structure. finest: Å, of the detail."""
        settings = dataclasses.replace(
            self.settings,
            angular_step=max(self.settings.angular_step, COARSE_STEP),
            resolution=max(self.settings.resolution, finest),
        )
        return Search(source, self.projector, size * self.zoom * self.pixel_size, settings, self.disc.device)

    def compare(self, sources: typing.Sequence[Source]) -> list[float]:
        """Logarithmic evidence of each of several readings (Sources) of some of the images over the best one's. Those
        that coarse detail or a few leave far behind are not compared further: a sequential test (Wald 1945)."""
        behind = dict.fromkeys(range(len(sources)), 0.0)
        left, coarse = list(behind), self.coarse(sources[0])
        for search, every in ((coarse, 1), (self, 8), (self, 3), (self, 1)):
            rows, shifts = search.sample(ROUGH)[::every], search.shifts(self.spread)
            found = evidences([sources[number] for number in left], rows, search.bank, shifts, self.width)
            behind.update({number: value - max(found) for number, value in zip(left, found)})
            left = [number for number in left if behind[number] > -CLEARLY]
            if self.spread is None:
                observed = sources[max(left, key=behind.__getitem__)].observed(rows, search.disc)
                fit = RingPower.of(observed, search.plain).fit(self.width)
                self.spread = improved(fit, observed, search.bank, shifts, self.width).sigma
            if len(left) == 1:
                break
        return list(behind.values())

    def learn(self) -> None:
        """Learn from a sample of the particles how strongly they show the structure, and how far they are shifted."""
        observed = self.source.observed(self.sample(SAMPLE), self.disc)
        fit, shifts = RingPower.of(observed, self.plain).fit(self.width), self.shifts(self.spread)
        for number in range(ROUNDS if self.source.denoise is None else 2 * ROUNDS):
            seen = observed if number > 1 else observed[:: max(1, len(observed) // ROUGH)]
            fit = improved(fit, seen, self.bank, shifts, self.width)
            shifts = self.shifts(fit.sigma)
            if self.source.denoise is not None or self.source.ctf_state == "denoised":
                rings = torch.arange(len(self.source.power)).clamp(max=len(fit.residual) - 1)
                self.source = dataclasses.replace(
                    self.source, noise=self.source.power * fit.residual.clamp(min=1e-3)[rings]
                )
                observed = self.source.observed(self.sample(SAMPLE), self.disc)
        self.fit = fit

    def run(
        self, progress: typing.Callable[[int], typing.Any] = lambda done: None, folder: Path | None = None
    ) -> Orientations:
        """Orientations of all particles, chunk by chunk. progress: called with the number of particles done. folder:
        where chunks are kept, so that a stopped run goes on; None: nowhere."""
        bank = self.strong_bank(self.fit)
        fine = self.fine.with_gain(self.fit.gain(self.fine_disc.rings, self.width))
        parts = []
        # slices that are not kept are made anew for each chunk
        size = int(max(16, min(4096 if bank.kept is None else KEPT_CHUNK, MEMORY / (4 * len(self.grid)))))
        for rows in self.source.particles.parts(size):
            kept = folder / f"{rows[0]:09d}.npz" if folder else None
            known = kept if kept and kept.exists() else None
            parts.append(Orientations(**files.read_kept(known)) if known else self._orient(rows, bank, fine))
            if kept and not known:
                with files.whole_file(kept) as temporary:
                    np.savez(temporary, **vars(parts[-1]))
            progress(int(rows[-1]) + 1)
        return Orientations(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Orientations)}
        )

    def like(self, particles: particle_sets.ParticleSet) -> "Search":
        """The same search on other particles, read in the same way."""
        other = copy.copy(self)
        other.source = dataclasses.replace(self.source, particles=particles)
        return other

    def strong_bank(self, fit: AmplitudeFit) -> Bank:
        """Slices of the search's grid, as strong as a fit says."""
        return self.bank.with_gain(fit.gain(self.disc.rings, self.width))

    def log_likelihoods(self, rows: np.ndarray) -> torch.Tensor:
        """(m, orientations) as of likelihood.search, of the images of some rows, with the fit that was learnt."""
        observed, bank = self.source.observed(rows, self.disc), self.strong_bank(self.fit)
        return log_likelihoods(observed, bank, self.shifts(self.fit.sigma), FAR)

    def _orient(self, rows: np.ndarray, bank: Bank, fine: Reference) -> Orientations:
        observed, shifts = self.source.observed(rows, self.disc), self.shifts(self.fit.sigma)
        values = log_likelihoods(observed, bank, shifts, FAR)
        found, mass = find_modes(values, self.grid, MODES, 2 * self.settings.angular_step)
        total = evidence(values).cpu().numpy()
        del values
        poses = [self._placed(observed, bank.reference, numbers, shifts) for numbers in found.T]
        return self._refined(self.source.observed(rows, self.fine_disc), fine, poses, total, mass)

    def _placed(self, observed: Observed, reference: Reference, numbers: torch.Tensor, shifts: Shifts) -> Pose:
        """Pose of orientations of the grid, with the shifts that suit them."""
        device = observed.match.device
        matrices = torch.from_numpy(rotation_matrices(self.grid.angles(numbers.cpu().numpy()))).float().to(device)
        still = Neighbourhood(torch.eye(3, device=device)[None], torch.zeros((1, 3), device=device), shifts.yx)
        return refine(observed, reference, matrices, torch.zeros_like(matrices[:, 0, :2]), still, self._sigma())

    def _sigma(self) -> float:
        """px: standard deviation of the shifts, not taken to be less than the search could tell."""
        return max(self.fit.sigma, self.settings.search_resolution() / 8 / self.pixel_size)

    def _refined(
        self,
        observed: Observed,
        reference: Reference,
        poses: typing.Sequence[Pose],
        total: np.ndarray,
        coarse: torch.Tensor,
    ) -> Orientations:
        """Orientations from the likeliest answers: they are refined once with the fine detail, the best one further.
        Those that the search finds hopeless beside the best are not refined: their evidence stays that far below."""
        rotation, shift = ROTATION * self.settings.angular_step, self.settings.search_resolution() / 8 / self.pixel_size
        near = Neighbourhood.of(rotation, shift, reference.disc.device)
        first = torch.stack([p.evidence for p in poses], 1)
        behind = first - first.amax(1, keepdim=True)
        kept = behind >= -HOPELESS
        poses = [refined_where(rows, observed, reference, one, near, self._sigma()) for rows, one in zip(kept.T, poses)]
        every = torch.stack([p.evidence for p in poses], 1).masked_fill(~kept, -torch.inf)
        every = torch.where(kept, every, every.amax(1, keepdim=True) + behind)
        best = every.argmax(1)
        rows = torch.arange(len(best), device=best.device)
        pose = Pose(
            **{
                f.name: torch.stack([getattr(p, f.name) for p in poses], 1)[rows, best]
                for f in dataclasses.fields(Pose)
            }
        )
        for finer in (2, 4):
            near = Neighbourhood.of(rotation / finer, shift / finer, reference.disc.device)
            pose = refine(observed, reference, pose.matrices, pose.shifts_yx, near, self._sigma())
        mass = answer_probabilities(poses, every, best, self.settings)
        return answer(pose, mass, total, coarse[rows, best], self.settings.symmetry)
