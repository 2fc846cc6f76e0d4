# SPDX-License-Identifier: GPL-3.0-or-later
"""The denoiser that knows the structure: the mean of its projections, weighted by their probability given the image.

For known structure, CTF and noise the image with the least expected squared error is the posterior mean: every
projection of the structure, in every orientation and shift, times its probability given the noisy image (Scheres 2012,
section 2, for the likelihood). As a network it is one layer of attention: the image is the query, the projections are
keys and values, the likelihood is the score. Nothing is learnt by gradients; strength, noise and spread of shifts are
measured on the pairs.
What is not in the structure cannot come out: another conformation looks like this one. Where the image tells nothing
the output is faint: 'no particle' is one of the answers that are weighed.
Per image: all orientations of a HEALPix grid with detail that its steps can tell apart (likelihood.search), the
neighbourhoods of the best few with finer detail, then the mean over the most probable of those."""

import dataclasses
import typing

import numpy as np
import torch

from ...core import projections, volumes
from ...core.fourier import circle, radial_mean
from ...core.half_transforms import HalfDisc
from ...likelihood import refine
from ...likelihood.observed import Observed
from ...likelihood.reference import Reference
from ...likelihood.search import Bank, Grid, Shifts, evidence, find_modes, log_likelihoods
from ..orientations.amplitude import smooth_amplitude
from .method import DenoiserMethod, DenoiserNetwork
from .pairs import Pairs
from .scales import Statistics

# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    (
        "denoiser",
        0,
        "posterior",
        "Posterior",
        "the mean of the structure's projections, weighted by their probability",
        ("Scheres2012",),
    ),
)

STEP = 7.5  # degrees between directions of the search
MODES = 4  # neighbourhoods of each molecule that are looked at closely
AVERAGED = 32  # most probable orientations of all neighbourhoods that the mean is taken of
# Å, at best: finer detail of one image tells nothing, or is lost
SEARCH_DETAIL, FINE_DETAIL, OUTPUT_DETAIL = 14.0, 8.0, 5.0
ARC = 0.85  # of the arc between neighbouring directions at the particle's edge: detail that the search compares
CHUNK = 32  # images at a time


@dataclasses.dataclass(frozen=True)
class _Near:
    """Neighbourhoods of the best orientations of n images: m of them, each with t rotations and s shifts. matrices:
    (n, m, t, 3, 3). shifts: (n, m, s, 2) px. log: (n, m, t, s) logarithms of the likelihood times the prior, up to a
    constant of each image."""

    matrices: torch.Tensor
    shifts: torch.Tensor
    log: torch.Tensor


class PosteriorMean(DenoiserNetwork):
    """Posterior mean over projections of one or several structures.

    box: px. molecules: number of structures. Buffers: densities (k, box, box, box), protein positive, on the targets'
    scale; gain (k, r) strength of the rings in the images; noise (r,) their noise power (white of variance 1: 1);
    geometry: pixel size (Å/px), diameter (Å), standard deviation of the shifts (px)."""

    densities: torch.Tensor
    gain: torch.Tensor
    noise: torch.Tensor
    geometry: torch.Tensor

    def __init__(self, box: int, molecules: int = 1) -> None:
        super().__init__()
        self.box = box
        self.register_buffer("densities", torch.zeros(molecules, box, box, box))
        self.register_buffer("gain", torch.ones(molecules, box // 2 + 1))
        self.register_buffer("noise", torch.ones(box // 2 + 1))
        self.register_buffer("geometry", torch.tensor([1.0, box / 2, 1.0]))
        self.prepared: _Tools | None = None  # banks and references, made when they are needed first

    def learn(self, pairs: Pairs, statistics: Statistics) -> None:
        """Take structures, strengths and noise from Pairs and their scales.Statistics."""
        shifts = np.concatenate(
            [one.poses(np.arange(len(one)))[1] * one.pixel_size / pairs.pixel_size for one in pairs.particles]
        )
        sigma = max(0.5, float(np.sqrt((shifts**2).mean())))
        self.geometry.copy_(torch.tensor([pairs.pixel_size, pairs.diameter_px * pairs.pixel_size, sigma]))
        self.noise.copy_(statistics.noise)
        for index, (projector, scale) in enumerate(zip(pairs.projectors, pairs.scales)):
            self.densities[index] = scale * projector.density()
            self.gain[index] = _strength(pairs, index)
        self.prepared = None

    def prepare(self, noisy: torch.Tensor, ctf: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return noisy, ctf

    @torch.no_grad()
    def forward(self, given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """given: (b, 1, box, box) images, noise of variance 1, and (b, 1, box, box // 2 + 1) CTFs. Returns images."""
        noisy, ctf = (x[:, 0].float() for x in given)
        with torch.autocast(noisy.device.type, enabled=False):  # differences of large logarithms
            parts = [self._mean(*part) for part in zip(noisy.split(CHUNK), ctf.split(CHUNK))]
        return torch.cat(parts)[:, None]

    def _mean(self, noisy: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        if self.prepared is None or self.prepared.device != noisy.device:
            self.prepared = _Tools(self, noisy.device)
        tools = self.prepared
        coarse, fine = (tools.observed(noisy, ctf, disc) for disc in (tools.search_disc, tools.fine_disc))
        values = [log_likelihoods(coarse, bank, tools.shifts) for bank in tools.banks]
        near = [tools.neighbourhood(fine, index, value) for index, value in enumerate(values)]
        total = torch.logsumexp(torch.stack([evidence(value) for value in values]), 0) - np.log(len(values))
        log = torch.cat([n.log for n in near], 1)
        weight = torch.softmax(log.flatten(1), 1).reshape(log.shape)
        images = sum(
            tools.mean_image(index, n, w)
            for index, (n, w) in enumerate(zip(near, weight.split([n.log.shape[1] for n in near], 1)))
        )
        # a particle, or nothing: equally probable before the image is seen
        return images * torch.sigmoid(total)[:, None, None]


class _Tools:
    """What is computed once from a PosteriorMean's buffers."""

    def __init__(self, network: PosteriorMean, device: torch.device) -> None:
        pixel_size, diameter, sigma = (float(v) for v in network.geometry)
        width, finest = network.box * pixel_size, 2 * pixel_size
        search = max(SEARCH_DETAIL, finest, ARC * diameter * np.radians(STEP))
        self.device, self.box, self.noise = device, network.box, network.noise.to(device)
        self.circle = circle(network.box, min(diameter / pixel_size, network.box - 1), device)
        self.search_disc, self.fine_disc, self.output_disc = (
            HalfDisc(network.box, width / max(detail, finest), device)
            for detail in (search, FINE_DETAIL, OUTPUT_DETAIL)
        )
        projectors = [projections.Projector(density.to(device)) for density in network.densities]
        reference = lambda disc, p, gain: Reference(p, disc, gain.to(device)[: disc.rings])
        grid = Grid(STEP)
        self.banks = [Bank(reference(self.search_disc, p, g), grid) for p, g in zip(projectors, network.gain)]
        self.fine = [reference(self.fine_disc, p, g) for p, g in zip(projectors, network.gain)]
        self.output = [Reference(p, self.output_disc) for p in projectors]
        step = search / 4 / pixel_size
        self.shifts = Shifts.within(max(3 * sigma, 1.5 * step), step, max(sigma, step / 2), device)
        self.near, self.sigma = refine.Neighbourhood.of(STEP / 2, step / 2, device), max(sigma, step / 2)

    def observed(self, noisy: torch.Tensor, ctf: torch.Tensor, disc: HalfDisc) -> Observed:
        """Observed (see likelihood.observed) of images and their CTF."""
        inverse = (1 / (self.noise.clamp(min=1e-6) * self.box**2))[disc.ring]
        transfer = disc.on_grid(ctf)
        return Observed(2 * disc.coefficients(noisy) * transfer * inverse, transfer.square() * inverse, disc)

    def neighbourhood(self, observed: Observed, index: int, values: torch.Tensor) -> _Near:
        """_Near of one molecule. values: (n, orientations) of the search."""
        grid = self.banks[index].grid
        numbers, _ = find_modes(values, grid, MODES, 2 * STEP)
        parts = [self._around(observed, index, grid.angles(column.cpu().numpy())) for column in numbers.T]
        return _Near(*(torch.stack([getattr(p, f.name) for p in parts], 1) for f in dataclasses.fields(_Near)))

    def _around(self, observed: Observed, index: int, angles: np.ndarray) -> _Near:
        """_Near of one orientation of each image, without the axis m. angles: (n, 3)."""
        centre = torch.as_tensor(projections.rotation_matrices(angles), dtype=torch.float32, device=self.device)
        back = volumes.side_by_side(observed.disc.ramp(-self.shifts.yx).conj())
        fit = volumes.side_by_side(observed.match * self.fine[index].at(centre).conj()) @ back.T + self.shifts.log_prior
        position = self.shifts.yx[fit.argmax(1)]  # px: the most probable shift of each image in this orientation
        matrices = centre[:, None] @ self.near.rotations
        slices = self.fine[index].at(matrices)
        shifts = position[:, None] + self.near.shifts
        ramp = observed.disc.ramp(-shifts.reshape(-1, 2)).reshape(*shifts.shape[:2], -1)
        # n, rotations, shifts
        fit = volumes.side_by_side(slices) @ volumes.side_by_side(observed.match[:, None] * ramp).transpose(1, 2)
        energy = slices.abs().square() @ observed.weight[..., None]
        return _Near(matrices, shifts, fit - energy + (-shifts.square().sum(-1) / (2 * self.sigma**2))[:, None])

    def mean_image(self, index: int, near: _Near, weight: torch.Tensor) -> torch.Tensor:
        """(n, box, box) mean projections of one molecule, times its probability. weight: (n, m, t, s) probabilities."""
        count, modes, rotations, shifts = weight.shape
        share, rows = weight.sum(3).flatten(1).topk(min(AVERAGED, modes * rotations), 1)
        image, mode = torch.arange(count, device=self.device)[:, None], rows // rotations
        slices = self.output[index].at(near.matrices.flatten(1, 2)[image, rows])
        # every rotation has the shifts of its own mode: as zeros among those of all modes, one product does them all
        apart = weight.new_zeros(*rows.shape, modes, shifts)
        apart[image, torch.arange(rows.shape[1], device=self.device), mode] = weight.flatten(1, 2)[image, rows]
        ramp = self.output_disc.ramp(near.shifts.reshape(-1, 2)).reshape(count, modes * shifts, -1)
        moved = apart.flatten(2).to(ramp.dtype) @ ramp
        # what is left out of the mean lies elsewhere, not nowhere
        mean = (slices * moved).sum(1) * (weight.sum((1, 2, 3)) / share.sum(1).clamp(min=1e-30))[:, None]
        images = self.output_disc.back(mean)
        # the half disc holds no mean value: around the particle there is nothing
        return images - images[:, ~self.circle].mean(1)[:, None, None]


def _strength(pairs: Pairs, index: int) -> torch.Tensor:
    """(r,) how strongly the images of one molecule show the targets, ring by ring: constant times a Gaussian."""
    noisy, ctf, target = pairs.examples(index)
    image, seen = torch.fft.rfft2(noisy), torch.fft.rfft2(target) * ctf
    rings = torch.arange(pairs.box // 2 + 1, dtype=torch.float64)  # coefficients of a ring, but for a factor
    match, power = (
        radial_mean(x.mean(0), pairs.box).double() * rings for x in ((image * seen.conj()).real, seen.abs().square())
    )
    width = pairs.box * pairs.pixel_size
    amplitude, b_factor = smooth_amplitude(match.numpy(), power.numpy(), width)
    return (max(amplitude, 1e-3) * torch.exp(-b_factor / 4 * (rings / width) ** 2)).float()


class Posterior(DenoiserMethod):
    """Mean of the structure's projections, weighed by their probability."""

    name = "posterior"
    weak = (
        "It shows only the structure that it was given: other conformations, damage or a partner that is not in the "
        "structure look like it, or are missing. Train on several structures to distinguish them."
    )
    learns = False

    def learn(self, network: DenoiserNetwork, pairs: Pairs, statistics: Statistics) -> None:
        typing.cast("PosteriorMean", network).learn(pairs, statistics)

    def build(self, box: int, molecules: int = 1) -> DenoiserNetwork:
        return PosteriorMean(box, molecules)

    def default_steps(self, particles: int) -> int:
        return 1
