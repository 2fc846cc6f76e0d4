# SPDX-License-Identifier: GPL-3.0-or-later
"""Frequency weighting before and after a network: statistics measured on the pairs, and the filters.

The eight rotations and reflections of a square image about pixel box // 2. None interpolates, and each belongs to a
projection of the same molecule: the mirror image is the view from behind."""

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import filtered, on_grid, radial_mean
from ...core.optics import Optics

ROTATIONS = tuple(range(8))
LEFT_RIGHT = (0, 4)  # as it is, or columns reversed


def rotated_images(images: torch.Tensor, rotation: int) -> torch.Tensor:
    """(..., box, box) images, rotated. rotation: 0 to 7."""
    if rotation & 1:
        images = images.transpose(-2, -1)
    for axis, flips in ((-2, rotation & 2), (-1, rotation & 4)):
        if flips:
            # with an even side the first row has no counterpart: it stays, and so does pixel box // 2
            images = images.flip(axis).roll(1 - images.shape[axis] % 2, axis)
    return images


def rotated_optics(optics: Optics, rotation: int) -> Optics:
    """The Optics of a rotated image: only the direction of its astigmatism changes."""
    angle = 90 - optics.defocus_angle if rotation & 1 else optics.defocus_angle
    return dataclasses.replace(optics, defocus_angle=-angle if bool(rotation & 2) != bool(rotation & 4) else angle)


MEASURED = 256  # pairs
NEGLIGIBLE = 1e-6  # of the strongest ring: power below which a ring holds no target


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What is known of noisy = amplitude x CTF x target + noise. signal, noise: (box // 2 + 1,) power of the targets
    and of the noise at fourier.shells; white noise of variance 1 has power 1. largest: absolute value of targets."""

    amplitude: float
    signal: torch.Tensor
    noise: torch.Tensor
    largest: float


def measure_pairs(pairs: typing.Any, seed: int) -> Statistics:
    """Statistics of training pairs. pairs: a Pairs, or anything with draw(rng, count) and box."""
    rng = np.random.default_rng((seed, 4321))
    sums, box, largest = [], pairs.box, 0.0
    for _ in range(MEASURED // 32):
        noisy, ctf, target = (x[:, 0] for x in pairs.draw(rng, 32))
        seen, image, ground_truth = torch.fft.rfft2(target) * ctf, torch.fft.rfft2(noisy), torch.fft.rfft2(target)
        products = (image * seen.conj()).real, *(x.abs().square() for x in (seen, image, ground_truth))
        sums.append(torch.stack([radial_mean((x / box**2).mean(0), box).double() for x in products]))
        largest = max(largest, float(target.abs().max()))
    match, seen, image, ground_truth = torch.stack(sums).mean(0)
    weight = torch.arange(len(match), dtype=torch.float64)  # coefficients of a ring
    amplitude = max(float((match * weight).sum() / (seen * weight).sum().clamp(min=1e-30)), 1e-3)
    noise = (image - 2 * amplitude * match + amplitude**2 * seen).clamp(min=1e-6)
    noise[0] = noise[1]
    return Statistics(amplitude, ground_truth.float(), noise.float(), largest)


class FrequencyScale(torch.nn.Module):
    """A Wiener filter in front of a network, and a sharpening of the pictures that it works with.

    The fine detail of a projection is a thousand times weaker than its outline. A network that learns on the projection
    itself spends its effort on the outline; on the sharpened one all rings count. box: px. sharpening: exponent; 0:
    none, 1: all rings equally strong. Buffers are learnt by `learn` and kept with the weights."""

    signal: torch.Tensor
    noise: torch.Tensor
    sharpen: torch.Tensor
    amplitude: torch.Tensor

    def __init__(self, box: int, sharpening: float) -> None:
        super().__init__()
        self.box, self.sharpening = box, sharpening
        rings = box // 2 + 1
        for name in ("signal", "noise", "sharpen"):
            self.register_buffer(name, torch.ones(rings))
        self.register_buffer("amplitude", torch.ones(()))

    def learn(self, statistics: Statistics) -> None:
        """Take the filters from Statistics."""
        signal = statistics.signal
        self.signal.copy_(signal)
        self.noise.copy_(statistics.noise)
        self.amplitude.fill_(statistics.amplitude)
        present = signal > NEGLIGIBLE * signal.max()
        sharpen = torch.where(present, signal.clamp(min=1e-30) ** (-self.sharpening / 2), torch.zeros(()))
        rings = torch.arange(len(signal), dtype=signal.dtype)  # coefficients of a ring, but for a factor
        # so that sharpened targets have the variance of targets
        self.sharpen.copy_(sharpen * ((signal * rings).sum() / (signal * sharpen**2 * rings).sum()).sqrt())

    def restored(self, noisy: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        """(b, 1, h, w) sharpened Wiener estimates of the targets."""
        signal, noise, sharpen = (on_grid(x, self.box) for x in (self.signal, self.noise, self.sharpen))
        seen = ctf * self.amplitude
        return filtered(noisy, sharpen * seen * signal / (seen.square() * signal + noise))

    def working(self, target: torch.Tensor) -> torch.Tensor:
        """(b, 1, h, w) sharpened targets."""
        return filtered(target, on_grid(self.sharpen, self.box))

    def finished(self, output: torch.Tensor) -> torch.Tensor:
        """(b, 1, h, w) pictures without the sharpening of `working`."""
        sharpen = on_grid(self.sharpen, self.box)
        return filtered(output, torch.where(sharpen > 0, 1 / sharpen.clamp(min=1e-12), torch.zeros_like(sharpen)))
