# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the grey values of a tomogram are turned: its protein bright where a model learnt from dark, or dark where
from bright."""

import torch
import torch.nn.functional as F

SKEWED = 0.1  # skewness from which the contrast shows


def skewness(volume: torch.Tensor) -> float:
    """Third standardised moment of the grey values after a blur of four voxels: negative where dark things lie. volume:
    (z, y, x)."""
    step = max(1, volume.shape[0] // 32)
    blurred = F.avg_pool3d(volume[None, None, : 32 * step].float(), 4) if min(volume.shape) >= 4 else volume.float()
    values = blurred.flatten() - blurred.mean()
    return float((values**3).mean() / values.square().mean().clamp(min=1e-12) ** 1.5)


def turned_contrast(path: str, model: str, found: float, learnt: float | None) -> list[str]:
    """A sentence if the grey values are skewed the other way than those that a model learnt from, else nothing. path:
    Of the tomogram. model: Its name. found: no unit, skewness of the tomogram. learnt: no unit, optional, that of the
    training; None: not known, and dark protein is usual."""
    usual = -1.0 if learnt is None else learnt
    if min(abs(found), abs(usual)) <= SKEWED or found * usual > 0:
        return []
    values = f"skewness of the grey values {found:.2f}"
    if learnt is None:
        return [
            f"In {path} protein seems to be bright ({values}); in most tomograms it is dark. If the file has the wrong "
            f"sign, multiply it by -1. What {model} makes of bright protein was not measured."
        ]
    return [
        f"The contrast of {path} seems to be opposite to that in the training of {model} ({values}, in training "
        f"{learnt:.2f}). Multiply the tomogram by -1, or train on such tomograms."
    ]
