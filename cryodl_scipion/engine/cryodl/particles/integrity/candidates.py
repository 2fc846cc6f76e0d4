# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidate orientations at which compositions are compared: around the particles' angles, or from a search. Both have
source (observed.Source with its noise measured), gain(rings), apart (degrees between a candidate and the truth),
offset(rows) ((m, 2) px that the images are moved by first), shifts ((t, 2) px, of all candidates to begin with) and
matrices(rows) ((m, k, 3, 3), image to density). Pictures of example particles beside projections."""

import copy
import dataclasses
import os
import typing

import numpy as np
import torch

from ...contract import say_if
from ...core import fourier, healpix_grid
from ...core.half_transforms import HalfDisc
from ...core.projections import Projector, euler_angles, phase_ramp, rotation_matrices
from ...core.symmetry import operations
from ...io.particle_sets import ParticleSet
from ...likelihood.observed import Source, sample_rows
from ...likelihood.reference import Reference, contrast_of, fit_structure
from ...likelihood.search import find_modes, log_likelihoods
from ..denoisers.plots import draw_rows
from ..orientations.amplitude import RingPower, smooth_amplitude
from ..orientations.assign import MODES, Search, SearchSettings
from ..orientations.hypotheses import choose_hypothesis, hypotheses

EACH = 4  # particles of each composition
SHOWN = 35.0  # Å: detail at which the filtered image has faded to 1/e; the eye sees nothing in finer noise


def draw_examples(
    candidates: "Searched | Given",
    projectors: typing.Sequence[Projector],
    evidence: typing.Mapping[str, np.ndarray],
    names: typing.Sequence[str],
    probability: np.ndarray,
    path: str | os.PathLike[str],
) -> None:
    """The surest particles of each composition as a PNG: filtered image, and the projections of all compositions at its
    orientation. projectors: of the compositions. evidence: dict with matrices (n, 3, 3) and shifts (n, 2) px.
    probability: (n, c)."""
    rows, labels = [], []
    for number, name in enumerate(names):
        mine = np.nonzero((probability.argmax(1) == number) & probability.any(1))[0]
        chosen = mine[np.argsort(probability[mine, number])[::-1][:EACH]]
        if not len(chosen):
            continue
        images = _filtered(candidates.source, chosen, evidence["shifts"][chosen])
        angles = euler_angles(evidence["matrices"][chosen])
        views = [projector.project(angles).cpu().numpy() for projector in projectors]
        for position, particle in enumerate(chosen):
            rows.append([images[position], *(v[position] for v in views)])
            labels.append(f"{name}\n{probability[particle, number]:.3f}")
    draw_rows(rows, ["particle"] + [str(name) for name in names], path, labels)


def _filtered(source: Source, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(m, box, box) images with the CTF's phases mended, particles in the middle, and detail faded by frequency."""
    images = source.images(rows).cpu()
    box, transform = images.shape[-1], torch.fft.rfft2(images)
    ctf = source.particles.ctf(rows)
    transform = transform * (ctf.abs() if source.ctf_state == "flipped" else ctf)
    envelope = torch.exp(-((torch.arange(box // 2 + 1) / (box * source.particles.pixel_size / SHOWN)) ** 2))
    transform = transform * fourier.on_grid(envelope, box) * phase_ramp((box, box), -shifts, "cpu")
    return torch.fft.irfft2(transform, s=(box, box)).numpy()


WIDEST_SHIFT = 0.1  # of the box
SAMPLE = 96  # particles from which the common strength is learnt


class Searched:
    """Candidates from a search for the mean of all compositions. particles: ParticleSet. projector: of the mean
    density. diameter: Å. contrast: 'auto', 'bright' or 'dark'. resolution: Å. notes: sentences for the user."""

    def __init__(
        self,
        particles: ParticleSet,
        projector: Projector,
        diameter: float,
        contrast: str,
        step: float,
        resolution: float,
        device: torch.device,
    ) -> None:
        pixel_size = particles.pixel_size
        settings = SearchSettings(step, WIDEST_SHIFT * particles.box * pixel_size, resolution, diameter)
        sources = hypotheses(particles, diameter, contrast)
        self.search = Search(sources[0], projector, pixel_size, settings, device)
        said, self.notes = choose_hypothesis(self.search, sources, particles.path)
        print(said)
        self.source = self.search.source
        self.search.learn()
        self.spread = self.search.fit.sigma  # px: standard deviation of the shifts
        self.shifts = self.search.shifts(self.spread).yx
        self.symmetry, self.apart, self._width = "C1", step, particles.box * pixel_size
        self._bank = self.search.strong_bank(self.search.fit)

    def gain(self, rings: int) -> torch.Tensor:
        """(rings,) factors of the projections' amplitudes."""
        return self.search.fit.gain(rings, self._width)

    def like(self, particles: ParticleSet) -> "Searched":
        """The same candidates' search on other particles, read in the same way."""
        other = copy.copy(self)
        other.source = dataclasses.replace(self.source, particles=particles)
        other.search = self.search.like(particles)
        return other

    def offset(self, rows: np.ndarray) -> torch.Tensor:
        """(m, 2) px by which images are moved before they are compared: 0."""
        return torch.zeros((len(rows), 2), device=self.search.disc.device)

    def matrices(self, rows: np.ndarray) -> torch.Tensor:
        """(m, k, 3, 3) candidates' rotations, image to density."""
        search = self.search
        values = log_likelihoods(search.source.observed(rows, search.disc), self._bank, search.shifts(self.spread))
        numbers = find_modes(values, search.grid, MODES, 2 * self.apart)[0].cpu().numpy()
        found = rotation_matrices(search.grid.angles(numbers).reshape(-1, 3)).reshape(len(rows), -1, 3, 3)
        return torch.as_tensor(found, dtype=torch.float32, device=search.disc.device)


class Given:
    """The particles' own angles and shifts; see Searched. projector: of the mean density."""

    def __init__(
        self,
        particles: ParticleSet,
        projector: Projector,
        diameter: float,
        contrast: str,
        step: float,
        resolution: float,
        device: torch.device,
    ) -> None:
        diameter_px = diameter / particles.pixel_size
        fit = fit_structure(particles, projector, diameter_px)
        found, sure, sentence = contrast_of(fit.amplitude, fit.error, "the structure's projections")
        self.notes = say_if(contrast == "auto" and not sure, sentence)
        contrast = found if contrast == "auto" else contrast
        self.source = Source(particles, diameter_px, contrast, fit.ctf_state).measured()
        if fit.ctf_state != particles.ctf_state:
            self.notes.append(
                f"{particles.path}: the images fit the compositions better if they are phase-flipped; they are "
                "assumed to be, although the file does not state it (rlnCtfDataArePhaseFlipped)."
            )
        # compositions are compared in the frame of the first, which need not be that of the refinement's reference
        radius = WIDEST_SHIFT * particles.box
        self.shifts = torch.as_tensor(healpix_grid.ball_of_points(radius, 1.0, 2), dtype=torch.float32, device=device)
        self.apart, self.particles, self.device = step, particles, device
        self._width = particles.box * particles.pixel_size
        self._amplitude, self._b_factor = self._fitted(projector, self._width / resolution)

    def gain(self, rings: int) -> torch.Tensor:
        """(rings,) factors of the projections' amplitudes."""
        return self._amplitude * torch.exp(-self._b_factor / 4 * (torch.arange(rings) / self._width) ** 2).float()

    def like(self, particles: ParticleSet) -> "Given":
        """The same on other particles."""
        other = copy.copy(self)
        other.source, other.particles = dataclasses.replace(self.source, particles=particles), particles
        return other

    spread = 0.0  # px: shifts are given, too
    symmetry = "C1"  # up to which the angles are known

    def offset(self, rows: np.ndarray) -> torch.Tensor:
        """(m, 2) px: the given shifts."""
        return torch.as_tensor(self.particles.poses(rows)[1], dtype=torch.float32, device=self.device)

    def matrices(self, rows: np.ndarray) -> torch.Tensor:
        """(m, k, 3, 3) the given rotations, image to density, and those that the symmetry makes of them."""
        matrices = operations(self.symmetry) @ rotation_matrices(self.particles.poses(rows)[0])[:, None]
        return torch.as_tensor(matrices, dtype=torch.float32, device=self.device)

    def _fitted(self, projector: Projector, radius: float) -> tuple[float, float]:
        """Strength and fall (Å²) with which projections at the given angles explain a sample best."""
        disc = HalfDisc(self.particles.box, radius, self.device)
        rows = sample_rows(len(self.particles), SAMPLE)
        observed, reference = self.source.observed(rows, disc), Reference(projector, disc)
        views = reference.at(self.matrices(rows)[:, 0]) * disc.ramp(self.offset(rows))
        match = disc.ring_sum((views.conj() * observed.match).real / 2).cpu().numpy()
        power = disc.ring_sum(views.abs().square() * observed.weight).cpu().numpy()
        amplitude, b_factor = smooth_amplitude(match, power, self._width)
        if amplitude > 0:
            return amplitude, b_factor
        self.notes.append(
            f"{self.particles.path}: the images do not show the compositions at their angles. Choose orientations: "
            "search, or check that structures and angles have the same coordinate frame and handedness."
        )
        fit = RingPower.of(observed, reference).fit(self._width)
        return fit.amplitude, fit.b_factor
