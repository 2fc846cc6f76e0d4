# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls of a denoiser on images that hold nothing of its training molecule; see controls.py for what is
compared."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import circle
from ...core.frc import frc, mean_frc
from ...core.projections import Projector
from ...likelihood.observed import prepare, resample
from .controls import MAX_IMAGES, judge_controls, pure_noise, random_molecule, target_similarities
from .evaluate import Bench, means_of, random_molecule_images

if typing.TYPE_CHECKING:
    from .evaluate import Curves


@dataclasses.dataclass(frozen=True)
class OtherMolecule:
    """Images of a molecule that the network never saw. bench: whose denoiser, filter and pixel size are theirs. images:
    (n, box, box) prepared. ctf: (n, box, box // 2 + 1). ground_truth: (n, box, box) projections, or None. what:
    in words."""

    bench: Bench
    images: torch.Tensor
    ctf: torch.Tensor
    ground_truth: torch.Tensor | None
    what: str

    @classmethod
    def of(cls, bench: Bench, what: str) -> OtherMolecule:
        """All particles of a Bench, whose projector may be None."""
        rows = np.arange(len(bench.particles))
        return cls(bench, *bench.prepared(rows), None if bench.projector is None else bench.ground_truth(rows), what)


def random_other_molecule(bench: Bench, rng: np.random.Generator) -> OtherMolecule:
    """OtherMolecule that does not exist, with the size, CTFs and noise of the bench's particles."""
    molecule = Projector(random_molecule(bench.particles.box, bench.diameter_px, rng))
    return OtherMolecule(
        bench, *random_molecule_images(bench, molecule, rng, MAX_IMAGES), "an artificial molecule of the same size"
    )


def run_controls(
    bench: Bench, curves: Curves, targets: torch.Tensor, other: OtherMolecule, rng: np.random.Generator
) -> tuple[dict[str, typing.Any], dict[str, np.ndarray]]:
    """Metrics of the controls (see judge) with their verdict, and {what: (n,) similarities to the training targets}.

    bench: Bench with a projector. curves: its evaluate.Curves. targets: (m, box, box) training targets. other:
    OtherMolecule.
    """
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
    mean = None if other.ground_truth is None else means_of(other.images, plain, answer, other.ground_truth)
    metrics = dict(
        noise=noise["frc"],
        unrelated=noise["unrelated"],
        noise_contrast=noise["contrast"] / max(float(curves.contrast.mean()), 1e-12),
        unseen=dict(
            what=other.what,
            similarity=float(shown["other molecule, denoised"].mean()),
            own_similarity=float(own.mean()),
            mean_frc=mean,
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
    sums: dict[str, list[typing.Any]] = {"frc": [], "unrelated": [], "contrast": []}
    first: dict[str, typing.Any] = {}
    for rows in bench.chunks():
        images = prepare(pure_noise(len(rows), box, bench.noise, rng), bench.diameter_px)
        ctf, ground_truth = bench.particles.ctf(rows), bench.ground_truth(rows)
        denoised = bench.denoised(images, ctf)
        other = bench.ground_truth((rows + 1 + rng.integers(count - 1, size=len(rows))) % count)
        sums["frc"].append(mean_frc(frc(denoised, ground_truth)))
        sums["unrelated"].append(mean_frc(frc(other, ground_truth)))
        sums["contrast"].append(denoised[:, inside].std(1))
        first = first or dict(denoised=denoised, filtered=bench.filtered(images, ctf))
    return dict({key: float(torch.cat(values).mean()) for key, values in sums.items()}, **first)
