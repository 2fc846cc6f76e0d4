# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of example particles of each composition beside its projections."""

from __future__ import annotations

import os
import typing

import numpy as np
import torch

from ...core.fourier import on_grid
from ...core.projections import phase_ramp
from ..denoisers.plots import draw_rows

if typing.TYPE_CHECKING:
    from ...core.projections import Projector
    from ...likelihood.observed import Source
    from .candidates import Given, Searched

EACH = 4  # particles of each composition
SHOWN = 35.0  # Å: detail at which the filtered image has faded to 1/e; the eye sees nothing in finer noise


def draw_examples(
    candidates: Searched | Given,
    projectors: typing.Sequence[Projector],
    evidence: typing.Mapping[str, np.ndarray],
    names: typing.Sequence[str],
    probability: np.ndarray,
    path: str | os.PathLike[str],
) -> None:
    """The surest particles of each composition as a PNG: filtered image, and the projections of all compositions at its
    orientation.

    candidates: see candidates.py. projectors: of the compositions. evidence: dict with matrices (n, 3, 3) and
    shifts (n, 2) px. probability: (n, c).
    """
    from scipy.spatial.transform import Rotation

    rows, labels = [], []
    for number, name in enumerate(names):
        mine = np.nonzero(probability.argmax(1) == number)[0]
        chosen = mine[np.argsort(probability[mine, number])[::-1][:EACH]]
        if not len(chosen):
            continue
        images = _filtered(candidates.source, chosen, evidence["shifts"][chosen])
        angles = Rotation.from_matrix(evidence["matrices"][chosen]).as_euler("ZYZ", degrees=True)
        views = [projector.project(angles).cpu().numpy() for projector in projectors]
        for position, particle in enumerate(chosen):
            rows.append([images[position], *(v[position] for v in views)])
            labels.append(f"{name}\n{probability[particle, number]:.3f}")
    draw_rows(rows, ["particle"] + [str(name) for name in names], path, labels)


def _filtered(source: Source, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(m, box, box) images with their CTF's phases mended, their particles in the middle, and detail faded by
    frequency."""
    images = source.images(rows).cpu()
    box = images.shape[-1]
    transform = torch.fft.rfft2(images)
    if source.particles.optics is not None:
        transform = transform * source.particles.ctf(rows)
    envelope = torch.exp(-((torch.arange(box // 2 + 1) / (box * source.particles.pixel_size / SHOWN)) ** 2))
    transform = transform * on_grid(envelope, box) * phase_ramp((box, box), -shifts, "cpu")
    return torch.fft.irfft2(transform, s=(box, box)).numpy()
