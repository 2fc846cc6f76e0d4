# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a structure explains the particles: its evidence, compared with that of simulated particles with the same
signal.

How much signal images hold above their noise does not depend on what they show. If they show the structure, the search
finds as much evidence for it as in particles made up with all of that signal; if they show something else, less."""

import copy
import dataclasses
import typing

import numpy as np
import torch

from ...core.projections import Projector, random_angles
from ...io.progress import ProgressBar
from ...likelihood.observed import Observed, Source, noise_spectra, sample_rows
from ...likelihood.search import FAR, evidence, log_likelihoods
from . import amplitude, assign
from .simulated_set import simulate_alike

COUNT = 96  # made-up particles
SEED = 30  # of them
CHUNK, FEW = 1024, 256  # particles at a time, and where they are compared with all orientations
MINIMUM = 0.75  # part of the evidence below which particles are not explained by the structure
MAXIMUM = 2.0  # above, the particles are not like the made-up ones; genuine sets had at most 1.35
UNSURE = 3.0  # over `signal`: relative error of the expected evidence, which grows faster than the signal's strength
ERRORS = 3.0  # standard errors by which the signal must exceed nothing
UNLIKE = 10.0  # standard errors below the noise: of noise alone it is 1
COARSE = 0.35  # part of the signal's power in the rings that also a coarse map has


@dataclasses.dataclass(frozen=True)
class Explained:
    """particle: (n,) evidence of each particle over the expected one of its CTF, or of its own signal where that is
    more. whole: of all of them, of their CTFs. signal: how many standard errors the images' power exceeds the noise.
    coarse: as whole, from detail to `detail` Å alone, if whole is not enough."""

    particle: np.ndarray
    whole: float
    signal: float
    coarse: float = 0.0
    detail: float = 0.0

    @property
    def can_be_told(self) -> bool:
        """Whether the comparison with made-up particles says anything."""
        return self.whole <= MAXIMUM and self.signal > -UNLIKE

    @property
    def error(self) -> float:
        """Of `whole`."""
        return self.whole * UNSURE / max(self.signal, ERRORS)

    @property
    def foreign(self) -> bool:
        """Whether the structure does not explain the particles, in coarse detail either."""
        return self.signal > -UNLIKE and (self.signal < ERRORS or max(self.whole + self.error, self.coarse) < MINIMUM)

    def warnings(self, path: str, structure: str) -> list[str]:
        """Sentences if the particles are not explained by the structure."""
        if -UNLIKE < self.signal < ERRORS:
            return [
                f"The images of {path} have no signal above the noise around the particles ({self.signal:.1f} standard "
                f"errors): {structure} does not explain these particles, and all results from them would only "
                f"reproduce {structure}."
            ]
        if not self.can_be_told:
            why = (
                f"The evidence for {structure} in {path} is {self.whole:,.{int(self.whole < 10)}f} times that in "
                "particles made up with the same signal"
                if self.signal > -UNLIKE
                else f"The images of {path} have less power than their noise ({self.signal:.0f} standard errors)"
            )
            return [
                f"{why}, so they are unlike raw ones: denoised, filtered or compressed, perhaps, or of a wrong CTF. "
                f"Whether {structure} explains them cannot be told, and there are no probabilities."
            ]
        if self.whole + self.error >= MINIMUM:
            return []
        share = f"{int(100 * self.whole)} % of that of particles of this structure with the same signal"
        return [
            f"{structure} explains these particles to {self.detail:.0f} Å ({100 * self.coarse:.0f} % of the "
            f"evidence), but not in finer detail: in all the evidence is {share}. It may be a coarse first map, "
            "another state or a related molecule, or some particles are junk."
            if self.coarse >= MINIMUM
            else f"{structure} does not explain these particles: the evidence for it is {share} (at least "
            f"{100 * MINIMUM:.0f} % are expected). They may show another molecule, another state or junk, or finer "
            "detail than a coarse first map has."
        ]


def explained(search: typing.Any, found_evidence: np.ndarray, chosen: bool = False) -> Explained:
    """How well a Search's structure explains its particles. search: assign.Search, with its fit learnt, on raw images.
    found_evidence: (n,), logarithmic evidence of each particle, as in Orientations. chosen: whether those without any
    were left out; of the made-up particles they are left out then, too."""
    # a spread of shifts that particles of the structure could have: of other particles the likeliest one is the widest,
    # and would excuse all evidence that lacks
    search, widest = copy.copy(search), search.settings.max_shift / 2 / search.pixel_size
    search.fit = dataclasses.replace(search.fit, sigma=min(search.fit.sigma, widest))
    rows = search.sample(len(search.source.particles))
    observed = search.source.observed(rows, search.disc)
    power = amplitude.RingPower.of(observed, search.plain, _surroundings(search, observed, rows))
    signal = float(power.seen.sum() / observed.weight.double().square().sum().sqrt().clamp(min=1e-30))
    gain = power.gain(search.width)
    made = search.like(
        simulate_alike(search, COUNT, SEED, gain[torch.arange(search.fine_disc.rings).clamp(max=len(gain) - 1)])
    ).source.observed(np.arange(COUNT), search.disc)
    bank = search.bank.with_gain(gain.to(search.disc.device))
    values = evidence(log_likelihoods(made, bank, search.shifts(search.fit.sigma), FAR)).cpu().numpy()
    views = bank.reference.at_angles(random_angles(64, np.random.default_rng(0))).abs().square().mean(0)

    def energies(part: Observed) -> np.ndarray:
        """(2, n): what the CTFs let through of the structure; what the images show, of another molecule, too."""
        alone, seen = part.weight @ views, (part.match.abs().square() / 4 - part.weight) @ views
        excess = seen / (part.weight.square() @ views.square()).clamp(min=1e-30)
        return torch.stack([alone, alone * excess.clamp(min=1)]).cpu().numpy()

    parts = np.array_split(np.arange(len(found_evidence)), -(-len(found_evidence) // CHUNK))
    every = np.concatenate([energies(search.source.observed(part, search.disc)) for part in parts], axis=1)
    kept = (values > 0) | (not chosen or (values > 0).sum() < COUNT / 4)
    # what a particle's evidence is, on average, for such energy
    usual, own = (
        np.maximum(np.polyval(_line(known, values[kept]), energy), 1e-3 * max(values.mean(), 1e-3))
        for known, energy in zip(energies(made)[:, kept], every)
    )
    found = Explained(found_evidence / own, max(float(found_evidence.mean() / usual.mean()), 0.0), signal)
    if signal < ERRORS or not found.foreign:
        return found
    coarse, detail = _coarsely(search, observed, made, gain, power.shown)
    return dataclasses.replace(found, coarse=coarse, detail=detail)


def _coarsely(
    search: assign.Search, observed: Observed, made: Observed, gain: torch.Tensor, shown: np.ndarray
) -> tuple[float, float]:
    """Evidence of particles over that of made-up ones in the coarse rings that hold COARSE of the signal, and their
    finest detail, Å. A first map has little of the finer rings, and that little is raised to the images' power: what
    is expected of it there, no map of that detail gives. Another molecule fails in the coarse rings as well."""
    power = np.cumsum(gain.numpy() ** 2 * shown)
    finest = int(np.searchsorted(power, COARSE * power[-1]))
    kept = (torch.arange(len(gain)) <= finest).float()
    shifts, few = search.shifts(search.fit.sigma), observed[:: -(-len(observed) // COUNT)]
    mean = lambda images, strength: float(
        evidence(
            log_likelihoods(images, search.bank.with_gain((strength * kept).to(search.disc.device)), shifts, FAR)
        ).mean()
    )
    part = mean(few, search.fit.gain(len(gain), search.width)) / max(mean(made, gain), 1e-6)
    return part, search.width / max(finest, 1)


def _line(energy: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slope and constant of the line through values over energies; through 0 if these hardly differ."""
    if energy.std() < 0.01 * energy.mean():
        return np.array([values.mean() / max(energy.mean(), 1e-30), 0.0])
    return np.polyfit(energy, values, 1)


def _surroundings(search: assign.Search, observed: Observed, rows: np.ndarray) -> torch.Tensor:
    """(rings,) the part of the images' power above the mean noise that their backgrounds have as well.

    The noise is measured over all images together. Ice and neighbours are seen through the CTF of their own image, so
    where its CTF is large an image has more noise than the mean. That is no signal: it shows around particles, too."""
    source, total = search.source, torch.zeros(search.disc.rings, dtype=torch.float64, device=search.disc.device)
    if source.ctf_state == "multiplied" or source.particles.optics is None or source.noise is None:
        return total
    mean = source.noise.clamp(min=1e-6 * float(source.noise.max())).cpu()
    for start in range(0, len(rows), CHUNK):
        chunk = slice(start, start + CHUNK)
        ratio = noise_spectra(source.images(rows[chunk]), source.diameter_px).cpu() / mean - 1
        total += search.disc.ring_sum(observed.weight[chunk] * ratio.to(total.device)[:, search.disc.ring])
    return total


SAMPLE = 128  # particles that are looked at
STEP = 10.0  # degrees between directions, where nothing finer is asked
FINEST = 15.0  # Å
WIDEST_SHIFT = 0.1  # of the box


def explained_by(
    source: Source,
    projector: Projector,
    pixel_size: float,
    diameter: float,
    device: torch.device,
    count: int,
    step: float = STEP,
) -> tuple[Explained, assign.Search]:
    """Explained of `count` of a source's particles, evenly spread, and the Search that learnt from a sample of them.
    Parameters: see sample_search."""
    search = sample_search(source, projector, pixel_size, diameter, device, min(count, SAMPLE), step)
    rows = sample_rows(len(source.particles), count)
    every = search.like(source.particles.subset(rows))
    parts = np.array_split(np.arange(len(rows)), -(-len(rows) // FEW))
    bar = ProgressBar(parts, desc="Explaining", unit="chunk", mininterval=1.0)
    return explained(every, np.concatenate([evidence(every.log_likelihoods(part)).cpu() for part in bar])), search


def sample_search(
    source: Source, projector: Projector, voxel: float, diameter: float, device: torch.device, count: int, step: float
) -> assign.Search:
    """A coarse Search on `count` of a source's particles, from which it has learnt. source: raw images, read as is
    known by now; its noise is measured here. projector: of the structure, at `voxel` Å/px. diameter: of
    the structure, Å. step: degrees between directions; a fine search tells better what is not like it."""
    particles = source.particles.subset(sample_rows(len(source.particles), count))
    source = dataclasses.replace(source, particles=particles, denoise=None).measured()
    settings = assign.SearchSettings(step, WIDEST_SHIFT * particles.box * particles.pixel_size, FINEST, diameter)
    search = assign.Search(source, projector, voxel, settings, device)
    search.learn()
    return search
