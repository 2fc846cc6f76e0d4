# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls of a denoiser: its output for images without its training molecule (pure noise, another molecule).

A network that has learnt what one molecule looks like can draw it anywhere. What it makes of noise must therefore
look less like its training targets than what it makes of real particles, and be fainter; and what it makes of
another molecule must look like that molecule."""

import dataclasses
import os
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ...contract import EvaluateDenoiserConfig
from ...core import peaks, projections
from ...core.fourier import circle, filtered, fourier_resize, frc, mean_frc, on_grid
from ...io import particle_sets, stacks
from ...io.model import find_model
from ...likelihood.observed import prepare, resample, ring_powers
from ...simulate.particle_images import load_projector, noise_images
from ..classes2d.averages import rotated_averages
from .evaluate import Bench, Curves, bench_of, means_of, random_molecule_images, some_particles

SIDE = 48  # px: images are compared with targets at this size, at most
ROTATION = 15.0  # degrees between the rotated copies of a target
SHIFT = 0.1  # of the box: largest shift between image and target
MAX_IMAGES, MAX_TARGETS = 48, 48
ALLOWED_FRC = 0.02  # mean FRC of denoised noise with the ground truth beyond that of unrelated projections
CLOSE = 0.8  # part of the way from chance to the real particles' similarity from which a control is too close
NEGLIGIBLE = 1e-4  # of the strongest ring: power below which a ring of the targets is not compared
LOOKS = 0.02  # of similarity: what a molecule must gain to be said to look more like the targets than it does
UNSEEN = 96  # particles of another molecule, at most
FAINT = 0.3  # of the real particles' contrast, below which denoised noise is next to nothing


def random_molecule(box: int, diameter_px: float, rng: np.random.Generator, smallest_px: float = 1.5) -> torch.Tensor:
    """(box,) * 3 density of a molecule that does not exist: a chain that winds at random through some overlapping
    balls. It has the size and about the spectrum of a protein, and no resemblance to any. diameter_px: of the whole."""
    radius, balls = diameter_px / 2, rng.normal(size=(5, 3))
    balls *= 0.45 * radius * rng.random((5, 1)) ** (1 / 3) / np.linalg.norm(balls, axis=1, keepdims=True)
    sizes = radius * rng.uniform(0.3, 0.5, 5)
    position, positions = balls[0], list[np.ndarray]()
    while len(positions) < 40 * len(balls) * max(1, int(radius)):
        step = position + rng.normal(scale=max(1.0, 0.06 * radius), size=3)
        if (np.linalg.norm(step - balls, axis=1) < sizes).any():
            position = step
            positions.append(step)
        elif rng.random() < 0.05:
            position = balls[rng.integers(len(balls))]
    index = np.clip(np.rint(np.array(positions)[:, ::-1] + box // 2).astype(int), 0, box - 1)
    density = np.zeros((box,) * 3, np.float32)
    np.add.at(density, tuple(index.T), 1.0)
    return torch.from_numpy(gaussian_filter(density, smallest_px))


def target_similarities(images: torch.Tensor, targets: torch.Tensor, diameter_px: float) -> torch.Tensor:
    """(n,) largest correlation of each image with any of the targets, rotated and shifted: how much it looks like them.

    images: (n, box, box). targets: (m, box, box). diameter_px: of the circle that is compared. Both may be of any
    scale. Rings are weighed by the fourth root of the targets' power, upside down: else the outline, which most
    molecules share, is all that counts."""
    box = images.shape[-1]
    side = min(box, SIDE)
    diameter = diameter_px * side / box
    small, known = (fourier_resize(x.float(), side) for x in (images, targets))
    power = ring_powers(known).mean(0)
    sharpen = torch.where(power > NEGLIGIBLE * power.max(), power.clamp(min=1e-30) ** -0.25, torch.zeros(()))
    small, known = (filtered(x, on_grid(sharpen, side)) for x in (small, known))
    turns = torch.deg2rad(torch.arange(0, 360, ROTATION)).repeat_interleave(len(known))
    copies = rotated_averages(known.repeat(len(turns) // len(known), 1, 1), turns, "bilinear")
    small, copies = (peaks.disc_normalised(x, circle(side, diameter)) for x in (small, copies))
    near = circle(side, 2 * SHIFT * side).roll((-(side // 2),) * 2, (0, 1))
    ours, best = torch.fft.rfft2(small), torch.full((len(small),), -1.0)
    for part in torch.fft.rfft2(copies).split(64):
        match = torch.fft.irfft2(ours[:, None] * part.conj(), s=(side, side))[:, :, near]
        best = torch.maximum(best, match.amax((1, 2)))
    return best


def closeness(control: float, real: float, chance: float) -> float:
    """How far a control's mean similarity is on the way from chance (0) to that of the real particles (1)."""
    return float((control - chance) / max(real - chance, 1e-6)) if real > chance else float("inf")


def judge_controls(metrics: typing.Mapping[str, typing.Any]) -> tuple[str, list[str]]:
    """('ok' or 'warning', sentences) of the controls.

    metrics: dict with noise, unrelated (mean FRCs), chance_similarity, noise_similarity, noise_contrast,
    real_similarity, mean_frc ({raw, wiener, denoised}), and unseen: dict with similarity, own_similarity (of its
    projections, or without them of its filtered images), and mean_frc of the same kind, or None without truth."""
    along = metrics["noise"] - metrics["unrelated"] > ALLOWED_FRC
    close = closeness(metrics["noise_similarity"], metrics["real_similarity"], metrics["chance_similarity"])
    drawn, mean = close > CLOSE and metrics["noise_contrast"] > FAINT, metrics["mean_frc"]
    found = [
        (
            along,
            f"Denoised pure noise has a mean FRC of {metrics['noise']:.3f} with the projections it was paired with, "
            f"and unrelated projections one of {metrics['unrelated']:.3f}: "
            + (
                "the network produces the structure from noise."
                if along
                else "the network alone contributes nothing of the ground truth."
            ),
        ),
        (
            drawn,
            f"Denoised pure noise looks like the training targets by {metrics['noise_similarity']:.2f} (real particles "
            f"{metrics['real_similarity']:.2f}, filtered noise {metrics['chance_similarity']:.2f}), at "
            f"{100 * metrics['noise_contrast']:.0f} % of the real particles' contrast"
            + (
                ": it draws its molecule where there is none, so that a particle's look is no proof of a particle."
                if drawn
                else "."
            ),
        ),
    ]
    no_better = f"(mean FRC {mean['denoised']:.3f}) is no better than a Wiener filter ({mean['wiener']:.3f})."
    found += [(True, f"On these particles the network {no_better}")] * bool(mean["denoised"] <= mean["wiener"])
    found += _judge_unseen(metrics)
    bad, good = ([said for warns, said in found if warns == wanted] for wanted in (True, False))
    return ("warning" if bad else "ok"), bad + good


def _judge_unseen(metrics: typing.Mapping[str, typing.Any]) -> list[tuple[bool, str]]:
    """Sentences about a molecule that the network never saw, and whether they warn."""
    unseen, real = metrics["unseen"], metrics["real_similarity"]
    close, mean = closeness(unseen["similarity"], real, unseen["own_similarity"]), unseen["mean_frc"]
    made = unseen["similarity"] > unseen["own_similarity"] + LOOKS and close > CLOSE
    looks = (
        f"Denoised images of {unseen['what']} look like the training targets by {unseen['similarity']:.2f}, "
        f"{'its own projections' if mean else 'its filtered images'} by {unseen['own_similarity']:.2f} (real particles "
        f"{real:.2f}){': the network makes its own molecule of another one.' if made else '.'}"
    )
    if mean is None:
        return [(made, looks)]
    shown = (
        f"With their own truth, denoised images of {unseen['what']} have a mean FRC of {mean['denoised']:.3f}, "
        f"Wiener-filtered ones {mean['wiener']:.3f}"
        + (
            ": of molecules that it was not trained on the network shows less than a filter does. Use it for its "
            "own alone."
            if mean["denoised"] < 0.95 * mean["wiener"]
            else "."
        )
    )
    return [(made, looks), (False, shown)]


@dataclasses.dataclass(frozen=True)
class OtherMolecule:
    """Images of a molecule that the network never saw. bench: whose denoiser, filter and pixel size are theirs. images:
    (n, box, box) prepared. ctf: (n, box, box // 2 + 1). ground_truth: projections alike, or None. what: in words."""

    bench: Bench
    images: torch.Tensor
    ctf: torch.Tensor
    ground_truth: torch.Tensor | None
    what: str

    @classmethod
    def of(cls, bench: Bench, what: str) -> "OtherMolecule":
        """All particles of a Bench, whose projector may be None."""
        rows = np.arange(len(bench.particles))
        return cls(bench, *bench.prepared(rows), None if bench.projector is None else bench.ground_truth(rows), what)


def random_other_molecule(bench: Bench, rng: np.random.Generator) -> OtherMolecule:
    """OtherMolecule that does not exist, with the size, CTFs and noise of the bench's particles."""
    molecule = projections.Projector(random_molecule(bench.particles.box, bench.diameter_px, rng))
    return OtherMolecule(
        bench, *random_molecule_images(bench, molecule, rng, MAX_IMAGES), "an artificial molecule of the same size"
    )


def run_controls(
    bench: Bench, curves: Curves, targets: torch.Tensor, other: OtherMolecule, rng: np.random.Generator
) -> tuple[dict[str, typing.Any], dict[str, np.ndarray]]:
    """Metrics of the controls (see judge) with their verdict, and {what: (n,) similarities to the training targets}.

    bench: Bench with a projector. curves: its evaluate.Curves. targets: (m, box, box), of the training."""
    noise = _noise(bench, rng)
    looks = lambda images: target_similarities(images[:MAX_IMAGES], targets, bench.diameter_px)
    first = np.arange(min(len(bench.particles), MAX_IMAGES))
    shown = {
        "particles, denoised": looks(bench.denoised(*bench.prepared(first))),
        "pure noise, denoised": looks(noise["denoised"]),
        "pure noise, filtered": looks(noise["filtered"]),
    }
    answer, plain = (work(other.images, other.ctf) for work in (other.bench.denoised, other.bench.filtered))
    own = plain if other.ground_truth is None else other.ground_truth
    shown["other molecule, denoised"], own = (
        looks(resample(images, other.bench.particles.pixel_size, bench.particles.pixel_size, bench.particles.box)[0])
        for images in (answer, own)
    )
    metrics = dict(
        noise=noise["frc"],
        unrelated=noise["unrelated"],
        noise_contrast=noise["contrast"] / max(float(curves.contrast.mean()), 1e-12),
        unseen=dict(
            what=other.what,
            similarity=float(shown["other molecule, denoised"].mean()),
            own_similarity=float(own.mean()),
            mean_frc=None if other.ground_truth is None else means_of(other.images, plain, answer, other.ground_truth),
        ),
        real_similarity=float(shown["particles, denoised"].mean()),
        noise_similarity=float(shown["pure noise, denoised"].mean()),
        chance_similarity=float(shown["pure noise, filtered"].mean()),
    )
    verdict, sentences = judge_controls(dict(metrics, mean_frc=curves.means()))
    return dict(metrics, verdict=verdict, sentences=sentences), {what: values.numpy() for what, values in shown.items()}


def _noise(bench: Bench, rng: np.random.Generator) -> dict[str, float]:
    """What the network makes of as many images of pure noise as there are particles: {frc: mean FRC with the ground
    truth of the particle whose CTF it was given, unrelated: that of another projection, contrast: mean standard
    deviation in the circle, denoised, filtered: the first images}."""
    count, box = len(bench.particles), bench.particles.box
    inside = circle(box, bench.diameter_px)
    found = list[tuple[torch.Tensor, ...]]()
    first: dict[str, typing.Any] = {}
    for rows in bench.chunks():
        images = prepare(noise_images(len(rows), box, rng, bench.noise), bench.diameter_px)
        ctf, ground_truth = bench.particles.ctf(rows), bench.ground_truth(rows)
        denoised = bench.denoised(images, ctf)
        other = bench.ground_truth((rows + 1 + rng.integers(count - 1, size=len(rows))) % count)
        found.append((*(mean_frc(frc(one, ground_truth)) for one in (denoised, other)), denoised[:, inside].std(1)))
        first = first or dict(denoised=denoised, filtered=bench.filtered(images, ctf))
    means = (float(torch.cat(values).mean()) for values in zip(*found))
    return dict(zip(("frc", "unrelated", "contrast"), means), **first)


def training_targets(model: str | os.PathLike[str], bench: Bench) -> torch.Tensor:
    """(m, box, box) training targets of a model at the bench's box and pixel size. Raises ValueError without any."""
    path = str(find_model(model) / "training_targets.mrcs")
    if not os.path.exists(path):
        raise ValueError(
            f"The model {model} has no training_targets.mrcs, with which its response to noise is compared. Copy the "
            "whole folder, or train it again."
        )
    count = min(stacks.stack_shape(path)[0], MAX_TARGETS)
    images = torch.from_numpy(stacks.read_images([path] * count, np.arange(count)))
    return resample(images, bench.denoiser.card["pixel_size"], bench.particles.pixel_size, bench.particles.box)[0]


def other_molecule(
    config: EvaluateDenoiserConfig, bench: Bench, rng: np.random.Generator, skip: typing.Callable[..., object]
) -> tuple[OtherMolecule, list[str]]:
    """The images that the network never saw (see run_OtherMolecule), and sentences. skip: see particle_sets.usable."""
    if not config.unseen:
        return random_other_molecule(bench, rng), []
    known = config.unseen_structure
    need = ("ctf", "raw", "angles") if known is not None else ("ctf", "raw")
    particles = some_particles(particle_sets.read_particles(config.unseen, need=need), UNSEEN, rng)
    particles = bench.denoiser.readable(particle_sets.usable(particles, skip))
    projector, notes = None, list[str]()
    diameter = bench.diameter_px * bench.particles.pixel_size
    if known is not None:
        projector, diameter, notes = load_projector(
            known, particles.pixel_size, particles.box, bench.known_projector.device
        )
    elif particles.box != bench.particles.box:
        raise ValueError(
            f"{config.unseen} has a box of {particles.box} px, {config.particles} one of {bench.particles.box} px. "
            "Give the structure of the unseen particles (--unseen-structure), or particles of the same box size."
        )
    other, more = bench_of(
        particles, projector, bench.denoiser, config.contrast, diameter / particles.pixel_size, bench
    )
    return OtherMolecule.of(other, f"the particles of {config.unseen}"), list(notes) + more
