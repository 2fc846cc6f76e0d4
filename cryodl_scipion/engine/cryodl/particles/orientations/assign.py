# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations of particles by maximum likelihood: one search for all, and a refinement of the likeliest answers."""

import copy
import dataclasses

import numpy as np
import torch

from ...core.projections import rotation_matrices
from ...io.files import whole_file
from ...likelihood.modes import distances, find_modes
from ...likelihood.reference import HalfDisc, Reference
from ...likelihood.refine import Neighbourhood, Pose, refine, refined_where
from ...likelihood.search import Bank, Grid, Shifts, evidence, log_likelihoods
from .amplitude import ROUNDS, evidences, first_fit, improved
from .answers import Orientations, answer
from .settings import Settings  # noqa: F401, whoever makes a Search needs it

SAMPLE = 192  # particles from which strength and spread of shifts are learnt
CONVENTION_SAMPLE = 64  # ... and contrast and treatment
MODES = 5  # answers of the search that are refined
# of the likeliest answer's probability in the search: less likely ones are not refined. Of 80 particles at SNR 0.02 none
# would have won below a tenth
LEAST = 0.003
MEMORY = 2e8  # bytes of a chunk's likelihoods
TURN = 0.75  # first step of the refinement, in angular steps
WIDEST_PRIOR = 3.5  # standard deviations of the shifts that are searched


class Search:
    """A structure prepared for finding the orientations of a source's particles.

    source: observed.Source with its noise measured. projector: core.projections.Projector of the structure.
    pixel_size: of the projector, Å/px. settings: Settings. fit: amplitude.Fit; learnt from the particles if None.
    """

    def __init__(self, source, projector, pixel_size, settings, device, fit=None):
        particles = source.particles
        self.settings, self.width = settings, particles.box * particles.pixel_size
        self.pixel_size = particles.pixel_size
        self.zoom, self.projector = pixel_size / particles.pixel_size, projector
        self.grid = Grid(settings.angular_step, settings.symmetry)
        self.disc = self._disc(settings.search_resolution(), particles.box, device)
        self.fine_disc = self._disc(settings.fine_resolution(), particles.box, device)
        self.plain = Reference(projector, self.disc, zoom=self.zoom)
        self.fine = Reference(projector, self.fine_disc, zoom=self.zoom)
        self.source = source
        self.fit = fit

    def _disc(self, resolution, box, device):
        return HalfDisc(box, max(2.0, self.width / resolution), device)

    def shifts(self, sigma=None):
        """Shifts of the search: as far apart as a quarter of its finest detail."""
        step = self.settings.search_resolution() / 4 / self.pixel_size
        radius = self.settings.max_shift / self.pixel_size
        if sigma is not None:
            sigma = max(sigma, step / 2)
            radius = min(radius, max(WIDEST_PRIOR * sigma, 1.5 * step))
        return Shifts.within(radius, step, sigma, self.disc.device)

    def sample(self, most):
        """Rows of at most `most` particles, evenly spread; fewer if the grid is so fine that memory would not do."""
        count = len(self.source.particles)
        most = int(np.clip(MEMORY / (4 * len(self.grid)), 16, most))
        return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))

    def compare(self, sources):
        """Logarithmic evidence of each of several readings of the images (Sources), from a sample of the particles."""
        if len(sources) == 1:
            return [0.0]
        rows = self.sample(CONVENTION_SAMPLE)
        return evidences(sources, rows, self.disc, self.plain, self.grid, self.shifts(), self.width)

    def learn(self):
        """Learn from a sample of the particles how strongly they show the structure, and how far they are shifted."""
        observed = self.source.observed(self.sample(SAMPLE), self.disc)
        fit, shifts = first_fit(observed, self.plain), self.shifts()
        for _ in range(ROUNDS if self.source.denoise is None else 2 * ROUNDS):
            fit = improved(fit, observed, self.plain, self.grid, shifts, self.width)
            shifts = self.shifts(fit.sigma)
            if self.source.denoise is not None or self.source.ctf_state == "denoised":
                self._noise_from(fit)
                observed = self.source.observed(self.sample(SAMPLE), self.disc)
        self.fit = fit

    def _noise_from(self, fit):
        rings = torch.arange(len(self.source.noise)).clamp(max=len(fit.residual) - 1)
        self.source = dataclasses.replace(self.source, noise=self.source.noise * fit.residual.clamp(min=1e-3)[rings])

    def run(self, progress=None, folder=None):
        """Orientations of all particles, chunk by chunk. progress: called with the number of particles done. folder:
        where chunks are kept, so that a stopped run goes on; None: nowhere."""
        bank = Bank(self._strong(self.plain), self.grid)
        fine = self._strong(self.fine)
        count, parts = len(self.source.particles), []
        size = int(max(16, min(4096, MEMORY / (4 * len(self.grid)))))
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count))
            kept = folder and folder / f"{start:09d}.npz"
            if kept and kept.exists():
                with np.load(kept) as file:
                    parts.append(Orientations(**file))
            else:
                parts.append(self._orient(rows, bank, fine))
            if kept and not kept.exists():
                with whole_file(kept) as temporary:
                    np.savez(temporary, **vars(parts[-1]))
            if progress:
                progress(int(rows[-1]) + 1)
        return Orientations(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Orientations)}
        )

    def like(self, particles):
        """The same search on other particles, read in the same way."""
        other = copy.copy(self)
        other.source = dataclasses.replace(self.source, particles=particles)
        return other

    def _strong(self, reference):
        return reference.with_gain(self.fit.gain(reference.disc.rings, self.width))

    def _orient(self, rows, bank, fine):
        observed, shifts = self.source.observed(rows, self.disc), self.shifts(self.fit.sigma)
        values = log_likelihoods(observed, bank, shifts)
        apart = 2 * self.settings.angular_step
        modes = find_modes(values, self.grid, MODES, apart)
        total = evidence(values).cpu().numpy()
        del values
        poses = [self._placed(observed, bank.reference, numbers, shifts) for numbers in modes.numbers.T]
        if not self.settings.refine:
            return answer(poses[0], modes.mass, total, modes.mass[:, 0], self.settings.symmetry)
        return self._refined(self.source.observed(rows, self.fine_disc), fine, poses, total, modes.mass)

    def _placed(self, observed, reference, numbers, shifts):
        """Pose of orientations of the grid, with the shifts that suit them."""
        device = observed.match.device
        matrices = torch.from_numpy(rotation_matrices(self.grid.angles(numbers.cpu().numpy()))).float().to(device)
        still = Neighbourhood(torch.eye(3, device=device)[None], torch.zeros((1, 3), device=device), shifts.yx)
        middle = torch.zeros((len(matrices), 2), device=device)
        return refine(observed, reference, matrices, middle, still, self._sigma())

    def _sigma(self):
        """px: standard deviation of the shifts, not taken to be less than the search could tell."""
        return max(self.fit.sigma, self.settings.search_resolution() / 8 / self.pixel_size)

    def _refined(self, observed, reference, poses, total, coarse):
        """Orientations from the likeliest answers: they are refined once with the fine detail, the best one further.

        coarse: (n, m) probability of the Poses in the search. What the fine detail would say of those that are hardly
        probable is not asked: they keep their probability beside the first one's.
        """
        turn = TURN * self.settings.angular_step
        shift = self.settings.search_resolution() / 8 / self.pixel_size
        near = Neighbourhood.of(turn, shift, reference.disc.device)
        kept = coarse >= LEAST * coarse[:, :1]
        poses = [
            refined_where(rows, observed, reference, pose, near, self._sigma()) for rows, pose in zip(kept.T, poses)
        ]
        every = torch.stack([p.evidence for p in poses], 1)
        every = torch.where(kept, every, every[:, :1] + (coarse / coarse[:, :1]).clamp(min=1e-30).log())
        best = every.argmax(1)
        rows = torch.arange(len(best), device=best.device)
        pose = Pose(
            **{
                f.name: torch.stack([getattr(p, f.name) for p in poses], 1)[rows, best]
                for f in dataclasses.fields(Pose)
            }
        )
        for finer in (2, 4):
            near = Neighbourhood.of(turn / finer, shift / finer, reference.disc.device)
            pose = refine(observed, reference, pose.matrices, pose.shifts_yx, near, self._sigma())
        return answer(pose, self._mass(poses, every, best), total, coarse[rows, best], self.settings.symmetry)

    def _mass(self, poses, every, best):
        """(n, m) probability of the best answer, then of the others; 0 for those that have become the same answer.

        every: (n, m) evidence of the Poses. best: (n,) place of the best.
        """
        near = distances(torch.stack([p.matrices for p in poses], 1), self.settings.symmetry)
        rows = torch.arange(len(best), device=best.device)
        same = near[rows, best] < self.settings.angular_step
        same[rows, best] = False
        mass = torch.softmax(every.masked_fill(same, -torch.inf), 1)
        others = mass.clone()
        others[rows, best] = 0
        return torch.cat([mass[rows, best][:, None], others], 1)
