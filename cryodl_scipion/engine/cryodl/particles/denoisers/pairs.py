# SPDX-License-Identifier: GPL-3.0-or-later
"""Training pairs: particle images with their CTF, and projections of the known structure as targets.

Training and validation particles, never of one micrograph or half set where these are known."""

import typing

import numpy as np
import torch

from ...core.fourier import circle, filtered, low_pass
from ...core.projections import Projector, random_angles
from ...io.particle_sets import ParticleSet
from ...likelihood.observed import noise_spectra, sample_rows
from ...likelihood.reference import fit_structure
from .pair_sources import PairImages, RealPairs, SimulatedPairs
from .scales import ROTATIONS


def split_particles(particles: ParticleSet, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows (integer arrays) of training and of validation particles, and a sentence that says how they were kept apart.

    They are split by micrograph, by half set (half 2 validates) or at random, the first of these that they allow.
    fraction: part that validates. Raises ValueError for fewer than two images."""
    if not particles.same_images().any():
        raise ValueError(
            f"{particles.path} has one particle image; at least two are needed, one for training and one for "
            "validation, and thousands for a good model."
        )
    ways: tuple[tuple[str, bool, typing.Callable[..., typing.Any]], ...] = (
        (
            "by micrograph",
            len(set(particles.micrographs) - {""}) > 1 and "" not in particles.micrographs,
            _by_micrograph,
        ),
        (
            "by half set",
            {1, 2} <= set([] if particles.halves is None else particles.halves.tolist()),
            lambda *_: particles.halves == 2,
        ),
        ("at random", True, _at_random),
    )
    how, split = next((how, split) for how, can, split in ways if can)
    held = split(particles, fraction, np.random.default_rng((seed, 77)))
    training, validation = np.nonzero(~held)[0], np.nonzero(held)[0]
    said = f"{particles.path}: {len(training)} training particles and {len(validation)} validation particles"
    return training, validation, f"{said}, split {how}."


def _by_micrograph(particles: ParticleSet, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: whole micrographs until the fraction is reached, at least one and never all."""
    names, number, counts = np.unique(particles.micrographs, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), fraction * len(particles))) + 1
    held = np.isin(number, order[: min(enough, len(names) - 1)])
    return held if held.mean() <= 0.5 else ~held


def _at_random(particles: ParticleSet, fraction: float, rng: np.random.Generator) -> np.ndarray:
    image = particles.same_images()  # copies of one, as an expansion by symmetry makes them, stay together
    number = int(image.max()) + 1
    return np.isin(image, rng.permutation(number)[: min(max(1, round(fraction * number)), number - 1)])


VIEWS = 128  # random projections that a structure's strength is measured on


class Pairs(PairImages):
    """Training and validation pairs of one or several molecules, real and simulated.

    particles: list of ParticleSet with angles. projectors: as many Projectors, of the structures at `box` and
    `pixel_size` (see simulate.particle_images.load_projector). box: px of the pairs. pixel_size: Å/px of the pairs;
    particles with others are resampled. diameter: Å of the circle that holds every molecule. simulated: part of the
    training pairs that is made anew. contrast: 'auto', 'bright' or 'dark'. resolution: Å, the finest detail of targets,
    None for that of the pixels. fraction, seed: see split_particles. turns: those of
    rotations.rotated_images that training pairs get at random.

    Known afterwards, a list with an entry for each molecule: training and validation (rows), scales (what projections
    are multiplied with, so that their standard deviation inside the circle is 1 in the mean), fits (signal.SignalFit;
    its amplitude belongs to the scaled projections), contrasts, snrs (variance of the signal inside the circle over
    that of the noise), spectra (noise). notes: sentences for the user; warnings: those that need attention."""

    def __init__(
        self,
        particles: typing.Sequence[ParticleSet],
        projectors: typing.Sequence[Projector],
        box: int,
        pixel_size: float,
        diameter: float,
        simulated: float = 0.5,
        contrast: str = "auto",
        resolution: float | None = None,
        fraction: float = 0.1,
        seed: int = 0,
        rotations: typing.Sequence[int] = ROTATIONS,
    ) -> None:
        finest = None if resolution is None else low_pass(box, pixel_size, resolution)
        super().__init__(box, pixel_size, diameter / pixel_size, finest, rotations, seed)
        self.particles, self.projectors, self.simulated = particles, projectors, simulated
        self.training, self.validation = list[np.ndarray](), list[np.ndarray]()
        self.scales, self.fits, self.contrasts = list[float](), list[typing.Any](), list[str]()
        self.snrs, self.spectra = list[float](), list[torch.Tensor]()
        self.notes, self.warnings = list[str](), list[str]()
        self._real, self._made = list[RealPairs](), list[SimulatedPairs]()
        for one, projector in zip(particles, projectors, strict=True):
            self._add(one, projector, contrast, fraction)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Random training pairs: noisy (b, 1, h, w), ctf (b, 1, h, w // 2 + 1), target (b, 1, h, w), on the CPU.

        noisy: protein bright, background of mean 0 and standard deviation 1. ctf: what the images were changed by (see
        ParticleSet.ctf), 1 where it is unknown. target: projections, scaled, rotated, mirrored and shifted."""
        made = rng.random(count) < self.simulated
        molecule = rng.integers(len(self.particles), size=count)
        parts = []
        for index in range(len(self.particles)):
            wanted = int((made & (molecule == index)).sum()), int((~made & (molecule == index)).sum())
            if wanted[0]:
                parts.append(self._made[index].draw(rng, wanted[0]))
            if wanted[1]:
                parts.append(self._real[index].fetch(rng.choice(self.training[index], wanted[1]), rng))
        return _joined(parts)

    def validation_batches(
        self, batch: int, maximum: int = 1024
    ) -> typing.Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The validation pairs as they are, at most `maximum`, evenly spread, molecule by molecule; always the same."""
        for index, rows in enumerate(self.validation):
            rows = rows[sample_rows(len(rows), max(1, maximum // len(self.validation)))]
            for start in range(0, len(rows), batch):
                yield _joined([self._real[index].fetch(rows[start : start + batch], None)])

    def examples(self, index: int, maximum: int = 256) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Training pairs of one molecule as they are, at most `maximum`, evenly spread: noisy (n, h, w), ctf (n, h,
        w // 2 + 1), target (n, h, w)."""
        rows = self.training[index]
        return self._real[index].fetch(rows[sample_rows(len(rows), maximum)], None)

    def state(self) -> list[list[float]]:
        """What later draws depend on besides their rng, as JSON can hold it."""
        return [source.state() for source in self._made]

    def restore(self, values: typing.Sequence[typing.Sequence[float]]) -> None:
        """Take up what state() gave: a continued training sees the same pairs."""
        for source, value in zip(self._made, values, strict=True):
            source.restore(value)

    def targets(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """(count, box, box) random targets, of the molecules in turn."""
        images = []
        for index, projector in enumerate(self.projectors):
            number = len(range(index, count, len(self.projectors)))
            views = filtered(projector.project(random_angles(number, rng)), self.low_pass)
            images.append(self.scales[index] * views.cpu())
        return torch.cat(images)

    def _add(self, particles: ParticleSet, projector: Projector, contrast: str, fraction: float) -> None:
        """Measure one molecule's particles, and make the sources of its pairs."""
        if particles.angles is None:
            raise ValueError(f"{particles.path} has particles without angles; their projections cannot be made.")
        if projector.side != self.box:
            raise ValueError(
                f"The structure of {particles.path} has a box of {projector.side} px; {self.box} px are needed."
            )
        training, validation, how = split_particles(particles, fraction, self.seed)
        views = filtered(projector.project(random_angles(VIEWS, np.random.default_rng(self.seed))), self.low_pass)
        scale = 1 / float(views[:, circle(self.box, self.diameter_px, views.device)].std(dim=1).mean().clamp(min=1e-30))
        fit = fit_structure(particles.subset(training), projector, self.diameter_px, self.pixel_size)
        sign = self._contrast(particles, fit, contrast)
        real = RealPairs(particles, projector, self, scale, sign, fit.ctf_state)
        amplitude = max(abs(fit.amplitude) / scale, 1e-3)
        spectrum = noise_spectra(real.images(training[sample_rows(len(training))])[0], self.diameter_px).mean(0)
        made = SimulatedPairs(particles.subset(training), projector, self, scale, amplitude, spectrum, fit.ctf_state)
        snr = made.snr()
        self.notes += [how, f"{particles.path}: SNR about {snr:.3g} inside of the particle."]
        if particles.box != self.box or abs(particles.pixel_size / self.pixel_size - 1) >= 1e-3:
            self.notes.append(
                f"{particles.path}: images of {particles.box} px x {particles.pixel_size:.4g} Å were resampled to "
                f"{self.box} px x {self.pixel_size:.4g} Å."
            )
        known: tuple[tuple[list[typing.Any], typing.Any], ...] = (
            (self.training, training),
            (self.validation, validation),
            (self.scales, scale),
            (self.fits, fit),
            (self.snrs, snr),
            (self.spectra, spectrum),
            (self._real, real),
            (self._made, made),
            (self.contrasts, "bright" if sign > 0 else "dark"),
        )
        for values, value in known:
            values.append(value)

    def _contrast(self, particles: ParticleSet, fit: typing.Any, contrast: str) -> int:
        """1 for bright protein, -1 for dark; says what was found."""
        warnings = (
            (
                not fit.significant,
                f"{particles.path}: the images do not show the structure's projections at their angles "
                f"({abs(fit.amplitude) / max(fit.error, 1e-30):.1f} standard errors). Check the structure, its "
                "handedness, pixel size and symmetry axes.",
            ),
            (particles.optics is None, f"{particles.path} has no CTF; training treats the images as CTF-corrected."),
            (
                fit.ctf_state != particles.ctf_state,
                f"{particles.path}: the images fit the structure only if they are phase-flipped; they are assumed to "
                "be, although the file does not state it (rlnCtfDataArePhaseFlipped).",
            ),
        )
        self.warnings += [warning for there, warning in warnings if there]
        found = "bright" if fit.amplitude > 0 or not fit.significant else "dark"
        if contrast == "auto":
            self.notes.append(
                f"{particles.path}: protein is {found} in the images"
                + ("; they are inverted." if found == "dark" else "." if fit.significant else ", it is assumed.")
            )
        elif fit.significant and contrast != found:
            self.warnings.append(
                f"{particles.path}: Contrast (--contrast) is {contrast}, but according to the structure's "
                f"projections protein is {found}."
            )
        return 1 if (found if contrast == "auto" else contrast) == "bright" else -1


def _joined(
    parts: typing.Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    noisy, ctf, target = (torch.cat(tensors)[:, None] for tensors in zip(*parts))
    return noisy, ctf, target
