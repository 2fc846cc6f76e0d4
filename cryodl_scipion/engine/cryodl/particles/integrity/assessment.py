# SPDX-License-Identifier: GPL-3.0-or-later
"""What particles of a complex are compared with, how they are compared, and what the answers are worth."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ...contract import AssessIntegrityConfig
from ...core.half_transforms import HalfDisc
from ...core.projections import Projector, euler_angles
from ...core.symmetry import angular_distance
from ...io import files, particle_sets
from ...likelihood import reference
from ...likelihood.observed import Observed, sample_rows, smoothed_notes
from ...simulate.particle_images import voxel_notes
from . import calibration, compositions
from .candidates import SAMPLE, Given, Searched
from .evidence import Comparison, Evidence, fitted_amplitude

STEP = 7.5  # degrees between neighbouring directions of the search
ROUNDS = 3  # in which the common strength is learnt from SAMPLE particles
SIMULATED, EACH = 240, 60  # particles made up to learn what likelihoods are worth, and at least of each composition
TIMES, PARTS = 2, 4  # as the set has, and these at most: the calibration then adds little to the chance of the set
MOVED = 1.538  # median length of a vector of three normal numbers of standard deviation 1
STEADY = 1.0  # degrees about each axis: given angles that are so near the truth count as right


@dataclasses.dataclass
class IntegrityAssessment:
    """candidates: the particles and the orientations that are tried. projectors: of the compositions; mean: of their
    mean. diameter: Å. given: whether the angles are known. strength: common to all compositions, 1 where it is not
    known yet. wobble: degrees about each axis by which the given angles are off."""

    comparison: Comparison
    candidates: Given | Searched
    projectors: list[Projector]
    mean: Projector
    diameter: float
    given: bool
    notes: list[str]
    strength: float = 1.0
    wobble: float = 0.0

    def evidence(self, rows: np.ndarray, matrices: torch.Tensor | None = None) -> Evidence:
        """Evidence of some particles (array of int); its shifts are those of the images as they are in the file.
        matrices: candidates' rotations, searched if None."""
        observed = self.candidates.source.observed(rows, self.comparison.disc)
        offset = self.candidates.offset(rows)
        observed = Observed(observed.match * self.comparison.disc.ramp(-offset), observed.weight, self.comparison.disc)
        matrices = self.candidates.matrices(rows) if matrices is None else matrices
        found = self.comparison.evidence(observed, matrices, self.candidates.shifts, self.strength)
        return dataclasses.replace(found, shifts_yx=found.shifts_yx + offset)

    def learn_strength(self) -> None:
        """The strength common to all compositions, from a sample, by expectation-maximisation."""
        rows = sample_rows(len(self.candidates.source.particles), SAMPLE)
        matrices = self.candidates.matrices(rows)
        for _ in range(ROUNDS):
            found, before = self.evidence(rows, matrices), self.strength
            self.strength = min(max(fitted_amplitude(found), before / 2), before * 2)
            if abs(self.strength / before - 1) < 0.02:
                return

    def kept_evidence(self, path: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """{logs, matrices, shifts} of some particles, from a file that is written if it is not there."""
        if not path.exists():
            found = self.evidence(rows)
            with files.whole_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, logs=found.logs.cpu(), matrices=found.matrices.cpu(), shifts=found.shifts_yx.cpu())
        return dict(files.read_kept(path))

    def made_up(self, matrices: np.ndarray, folder: Path) -> calibration.MadeUp:
        """Made-up particles of known composition, compared like the real ones, TIMES as many as these or more, at most
        PARTS times the fewest. Where given angles are farther from what fits best (matrices) than those of made-up
        particles, which have the right ones, these are made again with angles as far off. folder: of kept files."""
        logs: list[np.ndarray] = []
        size, particles = len(self.projectors), self.candidates.source.particles
        number = np.arange(max(SIMULATED // size, EACH) * size)
        kinds, strength = number % size, np.array(calibration.STRENGTHS)[number // size % len(calibration.STRENGTHS)]
        amplitudes, parts = self.strength * (1 + strength), min(-(-TIMES * len(particles) // len(number)), PARTS)
        while len(logs) < parts:
            made = compositions.simulated(
                self.candidates, self.projectors, kinds, amplitudes, self.wobble, seed=len(logs)
            )
            other = dataclasses.replace(self, candidates=self.candidates.like(made))
            found = other.kept_evidence(folder / f"made_up_{self.wobble:.2f}_{len(logs)}.npz", number)
            logs.append(found["logs"])
            if len(logs) > 1 or self.wobble or not self.given:
                continue
            far = [
                np.median(angular_distance(np.asarray(one.angles), euler_angles(best), self.candidates.symmetry))
                for one, best in ((particles, matrices), (made, found["matrices"]))
            ]
            wobble = np.sqrt(max(far[0] ** 2 - far[1] ** 2, 0)) / MOVED
            if wobble >= STEADY:
                self.wobble, logs = float(wobble), []
        return calibration.MadeUp(np.concatenate(logs), np.tile(kinds, len(logs)), np.tile(strength, len(logs)))


def assessment_of(
    config: AssessIntegrityConfig, particles: particle_sets.ParticleSet, device: torch.device
) -> IntegrityAssessment:
    """What all particles are compared with. Raises ValueError for compositions that do not fit each other."""
    finest = 2 * particles.pixel_size
    densities, diameter, notes = compositions.load_compositions(
        config.structures, particles.pixel_size, particles.box, finest
    )
    notes += [note for path in config.structures for note in voxel_notes(path, particles.pixel_size)]
    notes += smoothed_notes(particles) + reference.group_notes(particles)
    projectors = [Projector(density.to(device)) for density in densities]
    mean = Projector((sum(densities) / len(densities)).to(device))
    given = particles.angles is not None and config.orientations != "search"
    candidates = (Given if given else Searched)(particles, mean, diameter, config.contrast, STEP, finest, device)
    disc = HalfDisc(particles.box, particles.box * particles.pixel_size / finest, device)
    if given and not particles.copy_notes() and (group := compositions.ambiguous_symmetry(densities)) != "C1":
        candidates.symmetry = group
        notes.append(
            f"A composition looks symmetric ({group}), and another one differs at one of the equivalent places. Given "
            "angles may not tell at which, so all places are compared."
        )
    comparison = Comparison(projectors, disc, candidates.gain, STEP, diameter / particles.pixel_size)
    return IntegrityAssessment(comparison, candidates, projectors, mean, diameter, given, notes)
