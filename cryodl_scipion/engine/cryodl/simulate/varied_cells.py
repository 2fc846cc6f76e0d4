# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms of cells of every kind, for the training of segmenters that nobody draws a tile for: other bilayers,
filaments, neighbours, tilts, errors, noise and filters in each, some of them empty."""

import dataclasses
import math
import typing

import numpy as np
import torch

from ..contract.tomograms.simulating import SimulateTomogramsConfig
from ..core.fourier import frequencies
from . import artefacts, cells, tilt_series
from .tomograms import Appearance, Particle, fill_cell, photograph, reconstruct_tomogram

FEATURES = ("membrane", "ribosome", "microtubule", "filament")  # labels 1 to 4 of a varied cell
PIXEL_SIZES = (10.0, 12.0, 13.0, 15.0, 17.0)  # Å/px that cells are simulated at
WIDTH, DEPTH = 2500.0, 850.0  # Å, of a cell
EMPTY, CLEAN = 0.1, 0.08  # parts of the tomograms that hold nothing, that have hardly any noise
SNRS = (0.05, 3.0)  # of the others
FEW_TRIES = 15  # proposals, one after the other, that do not fit: nothing more of that kind is put in
INVERTED = 0.25  # part of the tomograms in which protein is bright


@dataclasses.dataclass(frozen=True)
class VariedCell:
    """volume: (z, y, x) float32 tensor. labels: (z, y, x) int8, FEATURES from 1 on, 0 for all else. pixel_size: Å."""

    volume: torch.Tensor
    labels: np.ndarray
    pixel_size: float


def random_cell(
    ribosomes: typing.Sequence[Particle],
    others: typing.Sequence[Particle],
    pixel_size: float,
    rng: np.random.Generator,
    device: torch.device | None = None,
) -> VariedCell:
    """A VariedCell. ribosomes: at the pixel size. others: that are no ribosomes. pixel_size: Å/px."""
    config, appearance = random_config(pixel_size, rng), random_appearance(rng)
    particles, copies = _drawn(ribosomes, others, config, rng)
    if rng.random() < EMPTY:
        config = dataclasses.replace(config, vesicles=0, membranes=0, microtubules=0, filaments=0, crowding=0.0)
        particles, copies = [], []
    cell, _, _ = fill_cell(config, particles, copies, rng, appearance)
    tilts, voltage = tilt_series.tilt_angles(config), float(rng.choice([300.0, 300.0, 200.0]))
    amplitude_contrast = 0.9 if rng.random() < 0.08 else float(rng.uniform(0.07, 0.2))
    device = device or torch.device("cpu")
    images = photograph(cell.density, config, tilts, rng, device, (voltage, amplitude_contrast))
    volume = varied_filter(reconstruct_tomogram(images, config, tilts)[0], pixel_size, rng)
    names = [p.name for p in particles] + ["membrane"] * (config.vesicles + config.membranes > 0)
    names += [n for n, k in (("microtubule", config.microtubules), ("filament", config.filaments)) if k]
    known = {p.name: "ribosome" for p in ribosomes}
    numbers = {feature: number for number, feature in enumerate(FEATURES, 1)}
    classes = [0] + [numbers.get(known.get(name, name), 0) for name in names] + [0]
    return VariedCell(volume, np.array(classes, np.int8)[cell.labels], pixel_size)


def _drawn(
    ribosomes: typing.Sequence[Particle],
    others: typing.Sequence[Particle],
    config: SimulateTomogramsConfig,
    rng: np.random.Generator,
) -> tuple[list[Particle], list[int]]:
    """Particles and copies of them for a cell."""
    chosen = [ribosomes[k] for k in rng.permutation(len(ribosomes))[: rng.integers(1 - (rng.random() < 0.15), 4)]]
    chosen += [others[k] for k in rng.permutation(len(others))[: rng.integers(0, 7)]]
    most = [0.15 * WIDTH**2 * DEPTH / (particle.side * config.pixel_size) ** 3 for particle in chosen]
    return chosen, [max(1, int(maximum * rng.uniform(0.05, 1) ** 1.5)) for maximum in most]


def random_config(pixel_size: float, rng: np.random.Generator) -> SimulateTomogramsConfig:
    """A SimulateTomogramsConfig of one tomogram."""
    beads = int(rng.integers(1, 7)) if rng.random() < 0.3 else 0
    snr = 100.0 if rng.random() < CLEAN else math.exp(rng.uniform(*np.log(SNRS)))
    return SimulateTomogramsConfig(
        output="",
        pixel_size=pixel_size,
        size=2 * round(WIDTH / pixel_size / 2),
        thickness=2 * round(DEPTH * rng.uniform(0.6, 1.25) / pixel_size / 2),
        vesicles=int(rng.choice([0, 1, 1, 2, 3, 5])),
        membranes=int(rng.choice([0, 0, 1, 1, 2])),
        microtubules=int(rng.choice([0, 0, 1, 2, 4, 7])),
        filaments=int(rng.choice([0, 0, 2, 6, 14, 25])),
        fiducials=beads,
        snr=snr * (3 if beads else 1),  # gold takes its part of the variance
        tilt_min=-float(rng.uniform(40, 70)),
        tilt_max=float(rng.uniform(40, 70)),
        tilt_step=float(rng.choice([2.0, 3.0, 3.0, 4.0, 5.0])),
        dose=float(rng.uniform(0, 150)),
        defocus=0.0 if rng.random() < 0.08 else float(rng.uniform(10000, 80000)),
        contrast="bright" if rng.random() < INVERTED else "dark",
        alignment_error=float(rng.uniform(0, 10)) if rng.random() < 0.7 else 0.0,
        ctf_gradient=bool(rng.random() < 0.5),
        crowding=float(rng.uniform(0, 0.2)) if rng.random() < 0.7 else 0.0,
    )


def random_appearance(rng: np.random.Generator) -> Appearance:
    """Looks of what is no structure, another for each membrane."""
    microtubule, filament = cells.MICROTUBULE, cells.FILAMENT
    strands = int(rng.choice([13, 13, 13, 11, 12, 14, 15]))
    return Appearance(
        lambda: random_bilayer(rng),
        dataclasses.replace(
            microtubule,
            strands=strands,
            at=microtubule.at * strands / 13,
            radius=microtubule.radius + microtubule.at * (strands / 13 - 1),
            helical_rise=3 * 40 / strands,
            volume=microtubule.volume * rng.uniform(0.7, 1.3),
            bend=rng.uniform(0.1, 0.8),
        ),
        dataclasses.replace(
            filament,
            rise=filament.rise * rng.uniform(0.9, 1.2),
            at=filament.at * rng.uniform(0.7, 1.3),
            sigma=filament.sigma * rng.uniform(0.85, 1.2),
            volume=filament.volume * rng.uniform(0.7, 1.5),
            bend=rng.uniform(0.2, 1.6),
        ),
        FEW_TRIES,
    )


def random_bilayer(rng: np.random.Generator) -> cells.Bilayer:
    """A Bilayer: thinner or thicker, with or without proteins and coat."""
    leaflets, coated = rng.uniform(30, 46), rng.random() < 0.35
    coat = (rng.choice([-1, 1]) * rng.uniform(55, 140), rng.uniform(8, 25), rng.uniform(0.2, 0.9)) if coated else None
    return cells.Bilayer(
        leaflets=leaflets,
        thickness=leaflets + 15,
        head_sigma=rng.uniform(5, 10),
        heads=rng.uniform(0.9, 2.2),
        core=rng.uniform(-0.4, 0.1),
        coat=coat,
        proteins=rng.uniform(0, 4e-4) if rng.random() < 0.6 else 0.0,
        reach=(rng.uniform(10, 40), rng.uniform(60, 160)),
        protein_sigma=rng.uniform(12, 26),
    )


def varied_filter(volume: torch.Tensor, pixel_size: float, rng: np.random.Generator) -> torch.Tensor:
    """A tomogram (z, y, x) as programs leave it: smoothed, its coarse parts weighed otherwise, its ground uneven."""
    frequency = frequencies(volume.shape, pixel_size, volume.device)
    kept = torch.ones_like(frequency)
    if rng.random() < 0.55:  # low-pass, from hardly any to very strong
        cutoff = 1 / math.exp(rng.uniform(math.log(25), math.log(90)))
        kept = kept / (1 + (frequency / cutoff) ** (2 * int(rng.integers(1, 5))))
    if rng.random() < 0.3:  # as of an iterative reconstruction of few rounds: coarse parts are stronger
        kept = kept / (frequency + 1 / rng.uniform(60, 400)) ** rng.uniform(0.3, 1.0)
    if rng.random() < 0.25:  # high-pass
        kept = kept * (1 - torch.exp(-((frequency * rng.uniform(300, 1500)) ** 2)))
    kept = kept / kept.max()
    result = torch.fft.irfftn(torch.fft.rfftn(volume) * kept, s=volume.shape)
    result = result / result.std().clamp(min=1e-9)
    if rng.random() < 0.3:  # ice of uneven thickness
        ground = artefacts.smooth_noise(volume.shape[1:], rng.uniform(30, 120), rng).to(volume.device)
        result = result + rng.uniform(0, 0.7) * ground / ground.std().clamp(min=1e-9)
    return result
