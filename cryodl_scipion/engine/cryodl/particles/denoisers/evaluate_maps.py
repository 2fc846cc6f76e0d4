# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps from raw and from denoised images at the same, given angles, against the structure."""

from __future__ import annotations

import typing

import numpy as np

from ...core.frc import THRESHOLDS, fsc, resolution_at

if typing.TYPE_CHECKING:
    import torch

    from .evaluate import Bench


def map_curves(bench: Bench, symmetry: str) -> dict[str, typing.Any]:
    """{raw, denoised: FSC with the structure, of maps from all particles; resolution {kind: {threshold: Å or None}}}.

    bench: evaluate.Bench. symmetry: point group. Both maps are compared within a soft sphere of the structure's
    diameter.
    """
    from ...reconstruction.halves import soft_sphere

    structure, maps = bench.known_projector.density().cpu(), maps_of(bench, symmetry)
    box, pixel_size = bench.particles.box, bench.particles.pixel_size
    mask = soft_sphere(box, min(bench.diameter_px, 0.9 * box))
    curves = {kind: fsc(made * mask, structure * mask) for kind, made in maps.items()}
    reached = {
        kind: {f"{t:g}": resolution_at(curve, t, pixel_size, box) for t in THRESHOLDS} for kind, curve in curves.items()
    }
    return dict({kind: [round(float(v), 5) for v in curve] for kind, curve in curves.items()}, resolution=reached)


def maps_of(bench: Bench, symmetry: str) -> dict[str, torch.Tensor]:
    """{raw, denoised: (d, d, d) maps} at the particles' angles and shifts; the raw one is corrected for the CTF."""
    from ...reconstruction.backproject import Slices, solve
    from ...reconstruction.halves import factors

    box, device = bench.particles.box, bench.known_projector.device
    slices = {kind: Slices(box, device) for kind in ("raw", "denoised")}
    for rows in bench.chunks():
        for part in np.array_split(rows, -(-len(rows) // slices["raw"].chunk())):
            images, ctf = bench.prepared(part)
            position = bench.particles.poses(part)
            slices["raw"].add(images, *position, *factors(bench.particles, part, slices["raw"].padded, True))
            slices["denoised"].add(bench.denoised(images, ctf), *position, None, None)
    return {kind: solve(*one.finished(symmetry), box).cpu() for kind, one in slices.items()}
