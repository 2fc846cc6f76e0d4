# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles simulated from the user's structure, CTFs and noise, whose known orientations calibrate probabilities.
Controls oriented by the same search as the particles: noise, and particles whose fine detail is noise."""

import dataclasses
import typing
import zlib
from pathlib import Path

import numpy as np
import torch
from scipy import special

from ...contract import AssignOrientationsConfig
from ...core import fourier, projections
from ...core.calibration import logistic_regression
from ...core.symmetry import angular_distance
from ...io.particle_sets import ORIGINAL, ParticleSet, StackWriter, pose_columns, read_particles, write_particles_star
from ...io.particles import BEYOND, COORDINATES, SUBSTITUTED, control_name
from ...likelihood.observed import Source
from ...simulate.particle_images import noise_images
from .assign import Search


def _values(particles: ParticleSet) -> dict[str, typing.Any]:
    return {field.name: getattr(particles, field.name) for field in dataclasses.fields(ParticleSet)}


@dataclasses.dataclass(frozen=True)
class SimulatedSet(ParticleSet):
    """Particles of a ParticleSet, with their CTFs, and images that are made: (n, box, box)."""

    made: torch.Tensor = dataclasses.field(kw_only=True)

    def images(self, indices: slice | typing.Sequence[int]) -> torch.Tensor:
        return self.made[indices]

    @classmethod
    def of(cls, particles: ParticleSet, made: torch.Tensor, contrast: str) -> "SimulatedSet":
        """A ParticleSet with other images, (n, box, box), made bright; of this contrast."""
        return cls(**_values(particles), made=made if contrast == "bright" else -made)


def simulate_alike(
    search: Search, count: int, seed: int, gain: torch.Tensor | None = None, there: bool = False
) -> SimulatedSet:
    """Images like those of a Search, of its structure in random orientations, or in those of the set if `there`.

    search: assign.Search, with its source and fit learnt; the source holds raw images. count: number of particles;
    their CTFs are those of random ones of the set. seed: of the random numbers. gain: (rings,), factors of the
    structure's amplitudes; the fit's if None, zero for noise alone. Returns with the true angles and shifts."""
    rng = np.random.default_rng(seed)
    source, disc = search.source, search.fine_disc
    base = source.particles.subset(rng.integers(len(source.particles), size=count))
    angles, shifts_yx = projections.random_angles(count, rng), rng.normal(scale=search.fit.sigma, size=(count, 2))
    if there:
        angles, shifts_yx = base.poses(np.arange(count))
    base = dataclasses.replace(base, angles=angles, shifts_yx=shifts_yx)
    gain = search.fit.gain(disc.rings, search.width) if gain is None else gain
    shifts = torch.as_tensor(shifts_yx, dtype=torch.float32, device=disc.device)
    values = search.fine.with_gain(gain.to(disc.device)).at_angles(angles) * disc.ramp(shifts)
    transfer = base.ctf(slice(None)).abs() if source.ctf_state == "flipped" else base.ctf(slice(None))
    images = disc.back(values * disc.on_grid(transfer.to(disc.device))).cpu()
    return SimulatedSet.of(base, images + noise_alike(source, transfer, rng), source.contrast)


def noise_alike(source: Source, transfer: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Noise like that of a Source, (n, box, box); that of images multiplied by their CTF was multiplied as well.
    transfer: (n, box, box // 2 + 1), as ParticleSet.ctf."""
    box, power = source.particles.box, source.power.cpu()
    variance = (fourier.on_grid(power.float(), box) * fourier.plane_weights(box)).sum() / box**2
    if source.ctf_state != "multiplied":
        return variance.sqrt() * noise_images(len(transfer), box, rng, power)

    mean = fourier.radial_mean(transfer.mean(0), box)
    white = torch.fft.rfft2(noise_images(len(transfer), box, rng))
    return torch.fft.irfft2(
        white * (transfer.clamp(min=0) * fourier.on_grid(power / mean.clamp(min=1e-6), box)).sqrt(), s=(box, box)
    )


RIGHT = 15.0  # degrees: an answer nearer to the ground truth counts as right
COUNT = 256  # made-up particles: half as many as there are, at most ...
MINIMUM = 64  # ... and at least
RIDGE = 0.3  # penalty of the squared weights: few particles cannot say more
SEED = 20  # of the made-up particles


@dataclasses.dataclass(frozen=True)
class AnswerCalibration:
    """A logistic regression of 'the answer is right' on what the search says of it. weights: (f + 1,), the last one is
    the constant. mean, scale: (f,) of the features. right: part of the made-up particles' answers that were right."""

    weights: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    right: float

    def probability(self, found: typing.Any) -> np.ndarray:
        """(n,) probabilities that the answers of Orientations lie within RIGHT degrees of the truth."""
        scaled = (features(found) - self.mean) / self.scale
        return np.asarray(special.expit(scaled @ self.weights[:-1] + self.weights[-1]))


def features(found: typing.Any) -> np.ndarray:
    """(n, 3): log odds of the answer's share of the refined answers' probability, and of its share of the whole
    search's, and the evidence for a particle, damped."""
    fraction, coarse = (special.logit(np.clip(v, 1e-4, 1 - 1e-4)) for v in (found.probability, found.coarse))
    return np.stack([fraction, coarse, np.sign(found.evidence) * np.sqrt(np.abs(found.evidence))], axis=1)


def made_up_count(particles: int, most: int = COUNT) -> int:
    """Number of made-up particles, or of images of noise, that are oriented beside so many particles."""
    return int(np.clip(particles // 2, MINIMUM, most))


def calibrated(search: typing.Any) -> tuple[AnswerCalibration, typing.Any]:
    """The AnswerCalibration of a Search whose fit is learnt, and the made-up particles' Orientations."""
    count = made_up_count(len(search.source.particles))
    particles = simulate_alike(search, count, SEED)
    found = search.like(particles).run()
    right = angular_distance(particles.poses(np.arange(count))[0], found.angles, search.settings.symmetry) < RIGHT
    return learnt(features(found), right), found


def learnt(values: np.ndarray, right: np.ndarray) -> AnswerCalibration:
    """Calibration from features (n, f) and whether answers were right (n,). A right and a wrong answer are added at the
    mean, so that no set makes an answer certain."""
    mean, scale = values.mean(0), np.maximum(values.std(0), 1e-6)
    table = np.hstack([(values - mean) / scale, np.ones((len(values), 1))])
    table = np.vstack([table, [[*np.zeros(values.shape[1]), 1.0]] * 2])
    target = np.concatenate([right.astype(float), [0.0, 1.0]])
    penalty = np.array([RIDGE] * values.shape[1] + [1e-6])
    of_both, truth = np.stack([table, 0 * table], 1), np.stack([target, 1 - target], 1)
    weights = logistic_regression(of_both, truth, 0 * penalty, penalty**-0.5)
    return AnswerCalibration(weights, mean, scale, float(right.mean()))


NOISE_COUNT = 200  # images of noise at most
NOISE_SEED = 40
CHUNK = 256  # images written at a time


@dataclasses.dataclass(frozen=True)
class Substituted(ParticleSet):
    """Particles of which detail finer than `beyond` Å has the phases of noise, for one image always the same."""

    beyond: float = dataclasses.field(kw_only=True)

    def images(self, indices: typing.Any) -> torch.Tensor:
        rows = np.arange(len(self))[indices].reshape(-1)
        images, noise = super().images(rows), torch.empty((len(rows), self.box, self.box))
        for position, row in enumerate(rows):
            seed = zlib.crc32(f"{Path(str(self.files[row])).name}:{self.numbers[row]}".encode())
            noise[position] = torch.randn(self.box, self.box, generator=torch.Generator().manual_seed(seed))
        values, phases = torch.fft.rfft2(images), torch.fft.rfft2(noise)
        phases = phases / phases.abs().clamp(min=1e-12)
        along = torch.fft.fftfreq(self.box, self.pixel_size), torch.fft.rfftfreq(self.box, self.pixel_size)
        fine = along[0][:, None].square() + along[1].square() > self.beyond**-2
        return torch.fft.irfft2(torch.where(fine, values.abs() * phases, values), s=(self.box, self.box))


def check_substitution(config: AssignOrientationsConfig, particles: ParticleSet) -> None:
    """Whether fine detail of particles can be replaced by noise as the config asks; if not, an error. Raises ValueError
    for denoised images, and for detail that the pixels do not hold."""
    beyond, finest = config.noise_substitution, 2 * particles.pixel_size
    if beyond is None:
        return
    if config.model or particles.denoiser:
        raise ValueError(
            "Noise substitution (--noise-substitution) needs raw images, but a denoiser is given. Leave one of them "
            "out."
        )
    if beyond <= finest:
        raise ValueError(
            f"Noise substitution (--noise-substitution) is {beyond:g} Å, but the Nyquist limit of {particles.path} "
            f"is {finest:.3g} Å. Choose a lower resolution, such as that at an FSC of 0.5."
        )


def copy_noise_control(noise: str, output: str, columns: dict) -> str:
    """Write another run's oriented noise (STAR) as NAME.star's; returns its path. columns: of write_noise_control."""
    path, particles = control_name(output), read_particles(noise)
    changes = dict({k: [v] * len(particles) for k, v in columns.items()}, **{ORIGINAL: particles.columns[ORIGINAL]})
    write_particles_star(path, particles, changes, stack=_write_stack(path, particles))
    return path


def write_noise_control(search: typing.Any, output: str, columns: dict) -> str:
    """Write NAME_noise.star and NAME_noise.mrcs beside the STAR file NAME.star; returns the first one's path. search:
    assign.Search, with its fit learnt, on raw images: what is written has their noise, and the search's answers for it.
    output: the STAR file of the particles. columns: of one value for all, that say where the angles come from."""
    count = made_up_count(len(search.source.particles), NOISE_COUNT)
    noise = simulate_alike(search, count, NOISE_SEED, torch.zeros(search.fine_disc.rings))
    same = {name: [value] * count for name, value in columns.items()}
    # noise has no place
    changes = {"rlnRandomSubset": [1 + k % 2 for k in range(count)], **dict.fromkeys(COORDINATES), **same}
    return _write(control_name(output), noise, search.like(noise).run(), changes)


def write_substituted(search: typing.Any, output: str, columns: dict, beyond: float, folder: Path) -> str:
    """Write NAME_substituted.star and .mrcs beside the STAR file NAME.star; returns the first one's path.

    search: assign.Search, with its fit learnt, on raw images. output: the STAR file of the particles. columns: columns,
    of one value for all, that say where the angles come from. beyond: Å, detail finer than that is replaced by noise.
    folder: where parts of the work are kept, so that a stopped run goes on. Source: Chen et al. 2013, Ultramicroscopy
    135, 24-35."""
    changed = Substituted(**_values(search.source.particles), beyond=beyond)
    folder.mkdir(parents=True, exist_ok=True)
    same = {name: [value] * len(changed) for name, value in {**columns, BEYOND: round(beyond, 3)}.items()}
    return _write(control_name(output, SUBSTITUTED), changed, search.like(changed).run(folder=folder), same)


def _write(path: str, particles: ParticleSet, found: typing.Any, changes: dict) -> str:
    """A STAR file of images that are in no file yet, with their stack beside it and the orientations found."""
    columns = pose_columns(found.angles, found.shifts_yx, particles.pixel_size) | changes
    write_particles_star(path, particles, columns, stack=_write_stack(path, particles))
    return path


def _write_stack(path: str, particles: ParticleSet) -> str:
    stack = f"{path[: -len('.star')]}.mrcs"
    with StackWriter(stack, len(particles), particles.box, particles.pixel_size) as writer:
        for rows in particles.parts(CHUNK):
            writer.add(particles.images(rows))
    return stack
