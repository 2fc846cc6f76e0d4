# SPDX-License-Identifier: GPL-3.0-or-later
"""How likely each classified particle shows more than noise, by the scores that made-up noise reaches in the same
classes."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from .bank import ClassBank
from .classify import Classification
from .polar_ctf import polar_ctf
from .records import Records, noise_power
from .settings import ClassSettings

MADE = 500  # images of noise
SMOOTHED = 0.2  # of the scores, in standard deviations of the noise: both densities are smoothed alike
STEP = 0.05  # of the densities


class MadeNoise(Records):
    """Records of images of noise alone, whitened, with the CTFs of particles of the set; in memory, not in a folder."""

    def __init__(self, settings: ClassSettings, rows: np.ndarray, rng: np.random.Generator) -> None:
        self.grid, self.rows = settings.scale.grid, rows
        box, particles = self.grid.box, settings.particles
        white = torch.from_numpy(rng.normal(size=(len(rows), box, box)).astype(np.float32))
        self._samples = self.grid.sample(white) / torch.from_numpy(noise_power(white, self.grid)).sqrt()[:, None]
        self._squared = torch.ones(len(rows), self.grid.rings)
        if particles.optics is not None:
            width = particles.box * particles.pixel_size
            ctf = polar_ctf(self.grid, particles.optics[rows], width, particles.ctf_state, white.device)
            self._samples, self._squared = self._samples * ctf, ctf.square().mean(-1)

    def read(self, positions: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """As Records.read."""
        return self._samples[positions].to(device), self._squared[positions].to(device)


def noise_scores(
    bank: ClassBank, settings: ClassSettings, rows: np.ndarray, reach_px: float, seed: int, device: torch.device
) -> np.ndarray:
    """(m,) scores that made-up noise reaches, searched for among all classes as particles are.

    rows: usable particles of the set, whose CTFs the noise gets; without any there are no scores.
    """
    if not len(rows):
        return np.zeros(0)
    rng = np.random.default_rng(seed)
    noise = MadeNoise(settings, rng.choice(rows, MADE), rng)
    work = Classification(noise, bank.classes, reach_px, seed, device)
    work.assign_all(bank, lambda done: None, add=False)
    return work.state.scores


def signal_probabilities(scores: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(n,) probability that each particle shows more than noise, rising with its score.

    One minus the local false discovery rate (Efron 2001): the fraction of noise among the particles, from how many
    score below the median of noise, times the density of noise's scores over that of the particles'.

    Parameters
    ----------
    scores : ndarray, (n,)
        Of particles.
    noise : ndarray, (m,)
        Of made-up noise.
    """
    if not len(scores):
        return np.zeros(0)
    grid = np.arange(min(scores.min(), noise.min()) - 1, max(scores.max(), noise.max()) + 1, STEP)
    of_noise, of_all = _density(noise, grid), _density(scores, grid)
    part = min(1.0, 2 * float((scores < np.median(noise)).mean()))
    raw = 1 - part * of_noise / np.maximum(of_all, 1e-12)
    rising = isotonic_regression(np.clip(raw, 0, 1), weights=of_all + 1e-9).x
    return np.interp(scores, grid, np.clip(rising, 0, 1))


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    counts = np.histogram(values, bins=np.append(grid, grid[-1] + STEP) - STEP / 2)[0] / (len(values) * STEP)
    reach = np.arange(-4 * SMOOTHED, 4 * SMOOTHED + STEP / 2, STEP)
    kernel = np.exp(-0.5 * (reach / SMOOTHED) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same")
