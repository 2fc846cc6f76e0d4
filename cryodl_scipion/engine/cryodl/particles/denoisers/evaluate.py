# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw, Wiener-filtered and denoised particle images against the projections that they should show, and their maps
at the given angles against the structure. The filter has the true CTF and spectra."""

import dataclasses
import hashlib
import os
import typing

import numpy as np
import torch

from ...core.backproject import Slices, solve
from ...core.fourier import THRESHOLDS, circle, filtered, frc, fsc, mean_frc, on_grid, resolution_at
from ...core.projections import Projector, random_angles
from ...io.particle_sets import ParticleSet, read_particles
from ...likelihood.observed import noise_spectra, prepare, ring_powers, sample_rows
from ...likelihood.reference import contrast_of, find_contrast, fit_structure
from ...reconstruction.halves import factors, soft_sphere
from ...simulate.particle_images import noise_images
from .run import Denoiser


def map_curves(bench: "Bench", symmetry: str) -> dict[str, typing.Any]:
    """{raw, denoised: FSC with the structure, of maps from all particles; resolution {kind: {threshold: Å or None}}}.
    Maps are made at the particles' angles and shifts; the raw one is corrected for the CTF.

    bench: evaluate.Bench. symmetry: point group. Maps are compared within a soft sphere of its diameter."""
    structure, device = bench.known_projector.density().cpu(), bench.known_projector.device
    box, pixel_size = bench.particles.box, bench.particles.pixel_size
    slices = {kind: Slices(box, device) for kind in ("raw", "denoised")}
    for rows in bench.chunks():
        for part in np.array_split(rows, -(-len(rows) // slices["raw"].chunk())):
            images, ctf = bench.prepared(part)
            position = bench.particles.poses(part)
            slices["raw"].add(images, *position, *factors(bench.particles, part, slices["raw"].padded, True))
            slices["denoised"].add(bench.denoised(images, ctf), *position, None, None)
    mask = soft_sphere(box, min(bench.diameter_px, 0.9 * box))
    made = ((kind, solve(*one.finished(symmetry), box).cpu()) for kind, one in slices.items())
    curves = {kind: fsc(volume * mask, structure * mask) for kind, volume in made}
    reached = {
        kind: {f"{t:g}": resolution_at(curve, t, pixel_size, box) for t in THRESHOLDS} for kind, curve in curves.items()
    }
    return dict({kind: [round(float(v), 5) for v in curve] for kind, curve in curves.items()}, resolution=reached)


def wiener_filter(
    images: torch.Tensor, ctf: torch.Tensor, signal_power: torch.Tensor, noise_power: torch.Tensor
) -> torch.Tensor:
    """Linear estimates of the projections behind images = CTF x projection + noise, with the least mean square error.

    images: (n, box, box) tensor. ctf: (n, box, box // 2 + 1), as ParticleSet.ctf. signal_power: (box // 2 + 1,) mean
    power of the projections, on the images' scale, at the rings of core.fourier.shells; zero where the projections have
    none. noise_power: the noise's, (box // 2 + 1,), in the same unit (see ring_powers). Returns (n, box, box). A filter
    that depends on the radius alone cannot change a Fourier ring correlation; the CTF's signs and zeros can."""
    signal, noise = (on_grid(power.to(images), images.shape[-1]) for power in (signal_power, noise_power))
    return filtered(images, ctf * signal / (ctf.square() * signal + noise).clamp(min=1e-30))


CHUNK = 64
VIEWS = 128  # random projections of which the structure's spectrum is measured
KINDS = ("raw", "wiener", "denoised")
OVERLAP = 0.01  # part of the test particles that may be in the training's files without a warning


@dataclasses.dataclass(frozen=True)
class Bench:
    """Particles that a denoiser is measured on, and what is known of them.

    particles: ParticleSet. projector: of their structure, None if it is unknown. denoiser: see run.Denoiser. contrast:
    'bright' or 'dark'. diameter_px: of the circle that the background lies outside of. amplitude: images = amplitude x
    CTF x projections + noise. signal: (r,) power of amplitude x projections; noise: (r,) of the noise, both as
    ring_powers."""

    particles: ParticleSet
    projector: Projector | None
    denoiser: Denoiser
    contrast: str
    diameter_px: float
    amplitude: float
    signal: torch.Tensor
    noise: torch.Tensor

    @property
    def known_projector(self) -> Projector:
        """The projector of a bench whose structure is known."""
        return typing.cast("Projector", self.projector)

    def prepared(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(m, box, box) images with bright protein, background of mean 0 and standard deviation 1, and their CTF."""
        return prepare(self.particles.images(rows), self.diameter_px, self.contrast), self.particles.ctf(rows)

    def ground_truth(self, rows: np.ndarray) -> torch.Tensor:
        """(m, box, box) projections."""
        return self.known_projector.project(*self.particles.poses(rows), self.particles.box).cpu()

    def denoised(self, images: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        """(m, box, box) what the denoiser makes of prepared images."""
        return self.denoiser.denoise(images, ctf, self.particles.pixel_size)

    def filtered(self, images: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        """(m, box, box) Wiener estimates of prepared images."""
        return wiener_filter(images, ctf, self.signal, self.noise)

    def chunks(self) -> list[np.ndarray]:
        """All rows, CHUNK at a time."""
        return self.particles.parts(CHUNK)


@dataclasses.dataclass(frozen=True)
class Curves:
    """FRC with the ground truth, (n, box // 2 + 1) each. contrast: (n,) deviation of denoised images in the circle."""

    raw: torch.Tensor
    wiener: torch.Tensor
    denoised: torch.Tensor
    contrast: torch.Tensor

    def means(self) -> dict[str, float]:
        """{kind: mean FRC over rings 1 to Nyquist and all particles}."""
        return {kind: float(mean_frc(getattr(self, kind)).mean()) for kind in KINDS}

    def resolutions(self, pixel_size: float, box: int) -> dict[str, dict[str, float | None]]:
        """{kind: {threshold: Å or None}} of the mean curves."""
        return {
            kind: {f"{t:g}": resolution_at(getattr(self, kind).mean(0), t, pixel_size, box) for t in THRESHOLDS}
            for kind in KINDS
        }


def bench_of(
    particles: ParticleSet,
    projector: Projector | None,
    denoiser: Denoiser,
    contrast: str,
    diameter_px: float,
    like: Bench | None = None,
) -> tuple[Bench, list[str]]:
    """Bench of particles, and sentences for the user. contrast: 'auto', 'bright' or 'dark'. like: Bench from which
    signal and amplitude are taken where the structure is unknown."""
    fit, notes = None if projector is None else fit_structure(particles, projector, diameter_px), []
    if contrast == "auto":
        contrast, sure, sentence = (  # a structure tells it of a tenth of the particles that a ball needs
            contrast_of(fit.amplitude, fit.error, "the structure's projections")
            if fit
            else find_contrast(particles, diameter_px)
        )
        notes = [] if sure else [f"{particles.path}: {sentence}"]
    noise = noise_spectra(
        prepare(particles.images(sample_rows(len(particles))), diameter_px, contrast), diameter_px
    ).mean(0)
    if projector is None or fit is None:
        if like is None:
            raise ValueError(f"{particles.path}: without a structure, a Bench is needed whose signal is like theirs.")
        return Bench(particles, None, denoiser, contrast, diameter_px, like.amplitude, like.signal, noise), notes
    amplitude = abs(fit.amplitude)
    if amplitude < 5 * fit.error:
        notes.append(
            f"{particles.path}: the images hardly show the structure's projections at their angles "
            f"({amplitude / max(fit.error, 1e-30):.1f} standard errors). Is it the right structure, "
            "of the right hand and frame?"
        )
    if fit.ctf_state != particles.ctf_state:
        notes.append(
            f"{particles.path}: the phases seem to be flipped, though the file does not say it; they are taken to be."
        )
        particles = dataclasses.replace(particles, ctf_state=fit.ctf_state)
    signal = amplitude**2 * ring_powers(
        projector.project(random_angles(VIEWS, np.random.default_rng(0)), None, particles.box).cpu()
    ).mean(0)
    return Bench(particles, projector, denoiser, contrast, diameter_px, amplitude, signal, noise), notes


def measure_bench(bench: Bench) -> Curves:
    """Curves of all particles of a bench with a projector."""
    found, inside = [], circle(bench.particles.box, bench.diameter_px)
    for rows in bench.chunks():
        images, ctf = bench.prepared(rows)
        denoised, ground_truth = bench.denoised(images, ctf), bench.ground_truth(rows)
        found.append(
            Curves(
                frc(images, ground_truth),
                frc(bench.filtered(images, ctf), ground_truth),
                frc(denoised, ground_truth),
                denoised[:, inside].std(1),
            )
        )
    return Curves(*(torch.cat([getattr(c, f.name) for c in found]) for f in dataclasses.fields(Curves)))


def means_of(
    images: torch.Tensor, filtered: torch.Tensor, denoised: torch.Tensor, ground_truth: torch.Tensor
) -> dict[str, float]:
    """{kind: mean FRC of some images with their ground truth}."""
    return {kind: float(mean_frc(frc(x, ground_truth)).mean()) for kind, x in zip(KINDS, (images, filtered, denoised))}


def random_molecule_images(
    bench: Bench, projector: Projector, rng: np.random.Generator, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, CTF and ground truth of a molecule that does not exist: as strong, with the CTFs and noise of a bench's
    particles.

    projector: Projector of the molecule. Returns prepared images (count, box, box), their CTF, and the truth."""
    rows, box = rng.integers(len(bench.particles), size=count), bench.particles.box
    ground_truth = projector.project(random_angles(count, rng), None, box).cpu()
    ctf, inside = bench.particles.ctf(rows), circle(box, bench.diameter_px)
    seen = lambda views: torch.fft.irfft2(torch.fft.rfft2(views) * ctf, s=(box, box))
    strength = lambda views: seen(views)[:, inside].var(1).mean().sqrt()
    ground_truth = (
        ground_truth * bench.amplitude * strength(bench.ground_truth(rows)) / strength(ground_truth).clamp(min=1e-12)
    )
    images = seen(ground_truth) + noise_images(count, box, rng, bench.noise)
    return prepare(images, bench.diameter_px), ctf, ground_truth


def learnt_from(card: typing.Mapping[str, typing.Any], particles: ParticleSet) -> str | None:
    """A sentence if test particles were training particles of a denoiser, else None. card: its model card."""
    mine = {(os.path.realpath(file), int(number)) for file, number in zip(particles.files, particles.numbers)}
    digest = hashlib.sha256("\n".join(particles.names).encode()).hexdigest()
    for entry in card.get("training_particles", []):
        if entry["sha256"] == digest:
            return f"The denoiser learned from exactly these particles ({entry['particles']}): its metrics are no test."
        try:
            known = read_particles(entry["particles"])
        except (ValueError, OSError):
            continue  # it has changed since, or its stacks are gone: nothing can be said of it
        common = len(mine & {(os.path.realpath(file), int(number)) for file, number in zip(known.files, known.numbers)})
        if common > OVERLAP * len(mine):
            return (
                f"{common} of these {len(mine)} particles are in {entry['particles']}, which the denoiser was "
                f"trained on ({entry['training']} of its {entry['number']}): its metrics here are better than "
                "on new particles."
            )
    return None


def some_particles(particles: ParticleSet, count: int, rng: np.random.Generator) -> ParticleSet:
    """At most `count` of the particles, drawn at random, in their order."""
    rows = rng.choice(len(particles), count, replace=False) if count < len(particles) else np.arange(len(particles))
    return particles.subset(np.sort(rows))
