# SPDX-License-Identifier: GPL-3.0-or-later
"""Blind denoising of particles: no structure is known, only what the set itself tells of signal and noise.

The network is that of the general micrograph denoiser, which learnt from simulated micrographs of many structures
(blind denoising by synthesised degradations, Zhang et al. 2022). Here it sees a particle with its phases flipped and
white noise, and beside it the particle after a Wiener filter; both filters come from spectra of the set: of the noise,
measured in the corners of the images, and of the signal, which is what the images have beyond it. How far the network
is trusted beyond the Wiener filter is measured on the set as well, at each frequency: noise z is added to images y, and
the answers to y + a z are compared with y - z / a, whose noise is independent (recorrupted-to-recorrupted, Pang et al.
2021). The answer is corrected for the CTF. No template takes part, so the answer cannot be drawn towards one.
Spectra of signal and noise of a set of particles whose structure is not known, and images whitened with them."""

import dataclasses
import os
import typing

import torch
import torch.nn.functional as F

from ...contract import MICROGRAPH_DENOISER, counted, denoises_blindly
from ...core.fourier import circle, filtered, fourier_resize, on_grid, plane_weights, radial_mean, resampled_side
from ...io import model, particle_sets
from ...learning.inference import ImageDenoiser
from ...likelihood.observed import WIDEST, noise_spectra, prepare, ring_powers, sample_rows

WHITE = 512  # images of white noise that tell what the corners miss
SURE = 4.0  # standard errors by which a set with signal has more power than noise in at least one ring
UNSURE = 0.5  # standard errors: least signal of a ring in such a set
NEAR = 4  # rings to either side that sums are taken over


@dataclasses.dataclass(frozen=True)
class SetSpectra:
    """What a set tells of itself, at the rings of fourier.shells of working images of `side` px. noise: (r,) power of
    the noise. signal: (r,) of the projections, 0 if the set has nothing but noise. Of white noise of variance 1 the
    power is 1. trust: (r,) how far the network's answer replaces the Wiener filter's, 0 to 1."""

    side: int
    noise: torch.Tensor
    signal: torch.Tensor
    trust: torch.Tensor

    @property
    def deviation(self) -> float:
        """Standard deviation of a projection within the images' circle."""
        power = on_grid(self.signal, self.side) * plane_weights(self.side)
        power[0, 0] = 0  # the mean value is no variation
        return float(power.sum() / self.side**2 * 4 / torch.pi) ** 0.5


def measure_spectra(images: torch.Tensor, ctf: torch.Tensor) -> SetSpectra:
    """SetSpectra of prepared images (n, side, side) and their CTF (n, side, side // 2 + 1), without trust.

    The corners that the noise is measured in are narrow, which costs the coarsest rings; what white noise loses there
    says how much."""
    side = images.shape[-1]
    noise, powers, transfer = noise_spectra(images, WIDEST * side), ring_powers(images), radial_mean(ctf.square(), side)
    white = prepare(torch.randn((WHITE, side, side), generator=torch.Generator().manual_seed(1)), WIDEST * side)
    mean = noise.mean(0) * ring_powers(white).mean(0) / noise_spectra(white, WIDEST * side).mean(0)
    rest, weight = (powers - mean) * transfer, transfer.square().sum(0).clamp(min=1e-12)
    signal, error = rest.sum(0) / weight, (rest - rest.mean(0)).square().sum(0).sqrt() / weight
    signal = torch.maximum(signal, UNSURE * error) * bool((signal > SURE * error).any())
    return SetSpectra(side, mean.clamp(min=1e-6), signal, torch.zeros_like(signal))


def whitened(images: torch.Tensor, ctf: torch.Tensor, spectra: SetSpectra) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, side, side) with white noise of variance 1, flipped phases and dark protein, as in the micrographs
    that the network learnt from; and the power of their signal (n, side, side // 2 + 1)."""
    signal, noise = (on_grid(x, images.shape[-1]) for x in (spectra.signal, spectra.noise))
    return -filtered(images, torch.where(ctf < 0, -1.0, 1.0) * noise.rsqrt()), ctf.square() * signal / noise


SAMPLE = 512  # particles that the spectra are measured on
CHUNK = 64  # of them at a time
FEW = 50  # particles: with fewer the spectra are uncertain
SMALLEST_SIDE = 32  # px that the network works with: smaller images have too few to tell noise from particles
MARGIN = 16  # px by which images are continued at their borders
RESIDUAL = 0.1  # part of the noise's power that the network leaves, for the correction of the CTF
TURNS = 4  # quarter turns that the answer is the mean of
TRUSTED = 256  # particles that the trust in the network is measured on
ADDED = 0.5  # noise that is added for that, in units of the images'
EXPECTED = 0.3  # standard deviation of the best trust about the part of the power that is signal


def load_blind(folder: str | os.PathLike[str], device: torch.device) -> "BlindDenoiser":
    """A BlindDenoiser of a model folder or shipped name. Raises ValueError as io.model.read_model, and for a model that
    learnt from one set of micrographs."""
    card, weights = model.read_model(model.find_model(folder, MICROGRAPH_DENOISER), MICROGRAPH_DENOISER)
    if not denoises_blindly(card):
        raise ValueError(
            f"The model {card['name']} learnt from the micrographs of one data set, and denoises these only. For "
            "particles choose --model general_denoiser, or a denoiser of their structure (train-denoiser)."
        )
    return BlindDenoiser(card, weights, device)


class BlindDenoiser:
    """A general micrograph denoiser for particles. card, weights: of the model. device: torch.device. `measure` comes
    before `denoise`."""

    def __init__(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        self.card, self.network = card, ImageDenoiser(weights, device)
        self.spectra: SetSpectra | None = None

    def working_side(self, box: int, pixel_size: float) -> int:
        """Side in px of the images that the network sees: never finer than what it learnt from. Raises ValueError."""
        side, _ = resampled_side(box, pixel_size, max(pixel_size, self.card["pixel_sizes"][0]))
        if side < SMALLEST_SIDE:
            raise ValueError(
                f"The images are {box * pixel_size:.0f} Å wide ({box} px x {pixel_size:g} Å); without a known "
                f"structure {SMALLEST_SIDE * max(pixel_size, self.card['pixel_sizes'][0]):.0f} Å are needed to tell "
                "noise from particles. Extract them with a larger box."
            )
        return side

    def notes(self, particles: particle_sets.ParticleSet) -> list[str]:
        """Sentences about particles that differ from what the model learnt from, or that cannot be corrected."""
        low, high = self.card["pixel_sizes"]
        notes = (
            (
                particles.pixel_size * 1.02 < low,
                f"The model works at {low:g} Å/px or more, these images have {particles.pixel_size:g} Å/px: they are "
                f"resampled, and detail finer than {2 * low:g} Å is lost.",
            ),
            (
                particles.pixel_size > 1.02 * high,
                f"The model learned from images of {low:g} to {high:g} Å/px, these have {particles.pixel_size:g} "
                "Å/px: particles appear smaller to it than those of its training.",
            ),
            (
                len(particles) < FEW,
                f"{particles.path} has {counted(len(particles), 'particle')}. The spectra of signal and noise are "
                f"measured on them and are uncertain; with {FEW} or more the denoised images are better.",
            ),
            (
                particles.optics is None,
                f"{particles.path} has no CTF: the denoised images keep the effect of the CTF on theirs. Give "
                "particles with CTF columns to have it corrected.",
            ),
        )
        return [note for there, note in notes if there]

    def measure(self, particles: particle_sets.ParticleSet, contrast: str) -> SetSpectra:
        """Measure and keep the SetSpectra of a set. contrast: 'bright' or 'dark'. ValueError if corners are empty."""
        box, rows = particles.box, sample_rows(len(particles), SAMPLE)
        side, diameter = self.working_side(box, particles.pixel_size), WIDEST * box
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            raw = particles.images(part)
            kept = raw[:, ~circle(box, diameter)].std(1) > 1e-6 * raw.flatten(1).std(1)
            if not bool(kept.any()):
                continue
            part, images = part[kept.numpy()], fourier_resize(prepare(raw[kept], diameter, contrast), side)
            plain, size = torch.ones((len(images), side, side // 2 + 1)), box * particles.pixel_size / side
            found.append((images, plain if particles.optics is None else particles.ctf(part, side, size)))
        if not found:
            raise ValueError(
                f"{particles.path}: the corners of the images are empty, as after a mask. Noise is measured there: "
                "give images without a mask."
            )
        working, transfers = (torch.cat(x) for x in zip(*found))
        self.spectra = measure_spectra(working, transfers)
        if self.spectra.deviation:
            some = sample_rows(len(working), TRUSTED)
            trust = self._trust(*whitened(working[some], transfers[some], self.spectra))
            self.spectra = dataclasses.replace(self.spectra, trust=trust)
        return self.spectra

    @torch.inference_mode()
    def _trust(self, white: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """SetSpectra.trust: the best on these images, but at least the part of the power that is signal, which holds
        where they cannot tell as well. white, seen: as set_spectra.whitened gives them."""
        side, louder, sums = white.shape[-1], (1 + ADDED**2) ** 0.5, []
        generator = torch.Generator().manual_seed(1)
        for part, below in zip(white.split(CHUNK), seen.split(CHUNK)):
            added = torch.randn(part.shape, generator=generator)
            network, linear = self._answers((part + ADDED * added) / louder, below / louder**2)
            change = torch.fft.rfft2(network - linear) * louder
            missed = torch.fft.rfft2(part - added / ADDED - linear * louder)
            sums.append(torch.stack([(change * missed.conj()).real, change.abs().square()], 1))
        weight = torch.arange(side // 2 + 1).clamp(min=1)  # coefficients of a ring
        # over NEAR rings to either side, the farther the less
        kernel = NEAR + 1 - (torch.arange(2 * NEAR + 1) - NEAR).abs().float()
        near = F.pad(radial_mean(torch.cat(sums), side) * weight, (NEAR, NEAR), mode="replicate")
        match, power = (F.conv1d(x[:, None], kernel[None, None])[:, 0] for x in near.unbind(1))
        total = power.sum(0).clamp(min=1e-30)
        best = match.sum(0) / total
        variance = (match - best * power).square().sum(0) / total**2
        expected = radial_mean((seen / (seen + 1)).mean(0), side)
        best = (best * EXPECTED**2 + expected * variance) / (EXPECTED**2 + variance)
        return torch.maximum(best, expected).clamp(0, 1)

    def _answers(self, white: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, side, side) twice: the network's and the Wiener filter's answers to whitened images."""
        strength = (seen * seen / (seen + 1)).mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)
        linear = filtered(white, seen / (seen + 1))
        both = torch.stack([white, linear / strength], 1)
        answer = lambda turn: torch.rot90(self.network.batch(torch.rot90(both, turn, (2, 3)), MARGIN), -turn, (1, 2))
        return torch.stack([answer(turn) for turn in range(TURNS)]).mean(0) * strength, linear

    @torch.inference_mode()
    def denoise(
        self, images: torch.Tensor, ctf: torch.Tensor | None, pixel_size: float, batch_size: int = 16
    ) -> torch.Tensor:
        """Denoised images, protein bright, corrected for the CTF: (n, box, box) float32 tensor on the CPU.

        images, ctf, pixel_size: as for run.Denoiser.denoise. Their unit is the standard deviation of the set's
        projections. Zero where the set has no signal."""
        if self.spectra is None:
            raise ValueError("The spectra of the set are measured before its images are denoised.")
        box, parts, unit = images.shape[-1], [], self.spectra.deviation
        side = self.working_side(box, pixel_size)
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            small = fourier_resize(images[part], side)
            plain = torch.ones((len(small), side, side // 2 + 1))
            transfer = plain if ctf is None else _cropped_ctf(ctf[part], box, side)
            answer = self._denoised(small, transfer, self.spectra) / unit if unit else torch.zeros_like(small)
            # prepare makes zeros of images without variation
            parts.append(fourier_resize(answer, box) * (images[part] != 0).any((1, 2), keepdim=True))
        return torch.cat(parts) if parts else images.new_zeros(images.shape)

    def _denoised(self, images: torch.Tensor, ctf: torch.Tensor, spectra: SetSpectra) -> torch.Tensor:
        signal, noise, trust = (on_grid(x, images.shape[-1]) for x in (spectra.signal, spectra.noise, spectra.trust))
        white, seen = whitened(images, ctf, spectra)
        network, linear = self._answers(white, seen)
        answer = linear + filtered(network - linear, trust)
        return -filtered(answer, ctf.abs() * signal / (seen + RESIDUAL) * noise.rsqrt())


def _cropped_ctf(ctf: torch.Tensor, box: int, side: int) -> torch.Tensor:
    """A CTF (n, box, box // 2 + 1) on the grid of images that were resampled to `side` px."""
    return ctf if side == box else ctf[:, (torch.fft.fftfreq(side) * side).round().long() % box, : side // 2 + 1]
