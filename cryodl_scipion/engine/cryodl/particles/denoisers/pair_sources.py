# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of training pairs: particles with projections at their angles, and pairs simulated from the structure."""

import functools
import typing

import numpy as np
import torch

from ...core.fourier import circle, filtered
from ...core.optics import ctf_of_optics
from ...core.projections import Projector, phase_ramp, random_angles
from ...io.particle_sets import ParticleSet, treated_ctf
from ...likelihood.observed import prepare, resample
from ...simulate.particle_images import noise_images
from .scales import rotated_images, rotated_optics

CACHE_BYTES = 2**30  # of targets, half precision: projecting is slower than all the rest of a pair
POOL_BYTES = 2**28
LARGEST_POOL = 4096
FIRST_POOL = 256  # projections before the first pair; some seconds
FRESH = 0.25  # new projections for each pair drawn: the pool goes on changing
STRENGTHS = 0.2  # spread of the logarithm of a particle's contrast: ice, defocus, damage
VIEW = 8  # of the seed of a view of the pool
SHIFT = 0.03  # of the box: largest extra shift of training pairs


class PairImages:
    """What the images of all pairs have in common. box: px. pixel_size: Å/px. diameter_px: px, of the circle that holds
    every molecule. low_pass: (box // 2 + 1,) factors of targets, or None. rotations, seed: as of Pairs."""

    def __init__(
        self,
        box: int,
        pixel_size: float,
        diameter_px: float,
        low_pass: torch.Tensor | None,
        rotations: typing.Sequence[int],
        seed: int,
    ) -> None:
        self.box, self.pixel_size, self.diameter_px, self.low_pass = box, pixel_size, diameter_px, low_pass
        self.rotations, self.seed = np.asarray(rotations), seed

    def ctf(
        self, particles: ParticleSet, rows: np.ndarray, rotations: np.ndarray, pixel_size: float, state: str
    ) -> torch.Tensor:
        """(m, box, box // 2 + 1) CTF of some particles' rotated images; 1 without. state: as ParticleSet.ctf_state."""
        if particles.optics is None:
            return torch.ones((len(rows), self.box, self.box // 2 + 1))
        optics = [rotated_optics(particles.optics[row], rotation) for row, rotation in zip(rows, rotations)]
        return treated_ctf(ctf_of_optics(optics, self.box, pixel_size), state)


class RealPairs:
    """Particles and the projections at their angles and shifts.

    particles: ParticleSet. projector: at the box and pixel size of `pairs`. scale: of the projections. sign: -1 turns
    dark protein bright. ctf_state: as ParticleSet's."""

    def __init__(
        self, particles: ParticleSet, projector: Projector, pairs: PairImages, scale: float, sign: int, ctf_state: str
    ) -> None:
        self.particles, self.projector, self.pairs = particles, projector, pairs
        self.scale, self.sign, self.ctf_state = scale, sign, ctf_state
        self._targets, self._maximum = dict[int, torch.Tensor](), max(1, CACHE_BYTES // (2 * pairs.box**2))

    def images(self, rows: np.ndarray) -> tuple[torch.Tensor, float]:
        """(m, box, box) prepared images, protein bright, and the exact pixel size that they got."""
        raw, exact = resample(
            self.particles.images(rows), self.particles.pixel_size, self.pairs.pixel_size, self.pairs.box
        )
        return prepare(raw, self.pairs.diameter_px, "bright" if self.sign > 0 else "dark"), exact

    def fetch(
        self, rows: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Noisy images, CTFs and targets of rows (repeats are allowed). rng: for rotations and shifts, or None."""
        noisy, exact = self.images(rows)
        target, rotations = self.targets(rows, exact), np.zeros(len(rows), int)
        if rng is not None:
            rotations, reach = rng.choice(self.pairs.rotations, len(rows)), int(SHIFT * self.pairs.box)
            moves = rng.integers(-reach, reach + 1, (len(rows), 2)).tolist()
            noisy, target = (
                torch.stack(
                    [
                        rotated_images(image, int(rotation)).roll(move, (0, 1))
                        for image, rotation, move in zip(images, rotations, moves)
                    ]
                )
                for images in (noisy, target)
            )
        return noisy, self.pairs.ctf(self.particles, rows, rotations, exact, self.ctf_state), target

    def targets(self, rows: np.ndarray, exact: float) -> torch.Tensor:
        """(m, box, box) scaled projections; kept for the next time while there is room."""
        rows = np.asarray(rows).tolist()
        missing = np.array(sorted(set(rows) - set(self._targets)), int)
        new = {}
        if len(missing):
            angles, shifts = self.particles.poses(missing)
            views = self.projector.project(angles, shifts * (self.particles.pixel_size / exact))
            views = filtered(views, self.pairs.low_pass)
            new = dict(zip(missing.tolist(), (self.scale * views).cpu().half()))
        found = torch.stack([new[row] if row in new else self._targets[row] for row in rows]).float()
        self._targets.update(list(new.items())[: max(0, self._maximum - len(self._targets))])
        return found


class SimulatedPairs:
    """Pairs made from a structure: its projections with the particles' CTFs, shifts, strength and noise.

    Projections come from a pool that is renewed while it is used, each rotated, mirrored and shifted anew. amplitude:
    of the signal of scaled projections in noise of variance 1. spectrum: (r,) of the noise. The rest as RealPairs."""

    def __init__(
        self,
        particles: ParticleSet,
        projector: Projector,
        pairs: PairImages,
        scale: float,
        amplitude: float,
        spectrum: torch.Tensor,
        ctf_state: str,
    ) -> None:
        self.particles, self.projector, self.pairs = particles, projector, pairs
        self.scale, self.amplitude, self.spectrum, self.ctf_state = scale, amplitude, spectrum, ctf_state
        self._largest = max(16, min(LARGEST_POOL, POOL_BYTES // (4 * pairs.box**2)))
        self._made, self._owed = 0, 0.0

    @functools.cached_property
    def _pool(self) -> torch.Tensor:
        """(largest, box, box); what is not made yet is not read."""
        return torch.empty((self._largest, self.pairs.box, self.pairs.box))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Noisy images, CTFs and targets: (count, box, box), (count, box, box // 2 + 1), (count, box, box)."""
        box, views = self.pairs.box, self._chosen(rng, count)
        views = torch.stack(
            [rotated_images(view, rotation) for view, rotation in zip(views, rng.choice(self.pairs.rotations, count))]
        )
        transform = torch.fft.rfft2(views) * phase_ramp((box, box), self._shifts(rng, count), "cpu")
        ctf = self._ctf(rng, count)
        strength = self.amplitude * torch.from_numpy(np.exp(rng.normal(0, STRENGTHS, count))).float()
        seen = torch.fft.irfft2(transform * ctf, s=(box, box)) * strength[:, None, None]
        noisy = prepare(seen + noise_images(count, box, rng, self.spectrum), self.pairs.diameter_px)
        return noisy, ctf, torch.fft.irfft2(transform, s=(box, box))

    def snr(self) -> float:
        """Variance of the signal inside of the particle's circle over that of the noise, mean over random pairs."""
        rng = np.random.default_rng(self.pairs.seed)
        box, count = self.pairs.box, 64
        views = torch.fft.rfft2(self._chosen(rng, count)) * self._ctf(rng, count)
        seen = self.amplitude * torch.fft.irfft2(views, s=(box, box))
        return float(seen[:, circle(box, self.pairs.diameter_px)].var(dim=1).mean())

    def _ctf(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        rows, rotations = rng.integers(len(self.particles), size=count), rng.choice(self.pairs.rotations, count)
        return self.pairs.ctf(self.particles, rows, rotations, self.pairs.pixel_size, self.ctf_state)

    def _shifts(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, 2) px: those of random particles, and some more."""
        own = self.particles.poses(rng.integers(len(self.particles), size=count))[1]
        reach = SHIFT * self.pairs.box
        return own * (self.particles.pixel_size / self.pairs.pixel_size) + rng.uniform(-reach, reach, (count, 2))

    def state(self) -> list[float]:
        """What decides on the pool, for JSON: its views are numbered, and each follows from its number."""
        return [self._made, self._owed]

    def restore(self, values: typing.Sequence[float]) -> None:
        """Take up what state() gave: the pool is made again."""
        made, self._owed = int(values[0]), values[1]
        if made:
            self._made = max(0, made - self._largest)
            self._renew(made - self._made)

    def _chosen(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """(count, box, box) views of the pool, which is filled at first and renewed little by little."""
        if not self._made:
            self._renew(min(FIRST_POOL, self._largest))
        self._owed += FRESH * count
        fresh, self._owed = int(self._owed), self._owed % 1
        if fresh:
            self._renew(min(fresh, self._largest))
        return self._pool[torch.from_numpy(rng.integers(min(self._made, self._largest), size=count))]

    def _renew(self, count: int) -> None:
        """Project `count` new views and put them where there is room, else in the place of the oldest."""
        numbers = range(self._made, self._made + count)
        angles = np.concatenate(
            [random_angles(1, np.random.default_rng((self.pairs.seed, VIEW, number))) for number in numbers]
        )
        views = self.scale * filtered(self.projector.project(angles), self.pairs.low_pass)
        self._pool[torch.tensor(numbers) % self._largest] = views.cpu()
        self._made += count
