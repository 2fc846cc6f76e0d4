# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise that is like a volume: the same amplitudes of its transform, phases drawn at random."""

import numpy as np
import torch


def phases_at_random(volume: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A copy of a volume with its amplitudes and random phases: nothing that has a position is left.

    The phases are those of white noise, so that the copy is real; the mean stays.

    Parameters
    ----------
    volume : Tensor, (z, y, x)

    Returns
    -------
    Tensor, (z, y, x)
    """
    noise = torch.from_numpy(rng.standard_normal(tuple(volume.shape), dtype=np.float32)).to(volume.device)
    phases = torch.fft.rfftn(noise)
    phases /= phases.abs().clamp_(min=1e-12)
    transform = torch.fft.rfftn(volume)
    mean = transform[0, 0, 0].clone()
    phases *= transform.abs()
    phases[0, 0, 0] = mean
    copy: torch.Tensor = torch.fft.irfftn(phases, s=volume.shape)
    return copy
