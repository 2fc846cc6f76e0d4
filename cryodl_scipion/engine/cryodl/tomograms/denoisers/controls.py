# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls of a tomogram denoiser from the two halves: how much signal it keeps, and what it invents.

The noise of a raw half is independent of the other half, denoised or not. So the correlation of a denoised half with
the raw other one, against that between the raw halves, tells how near to the signal denoising came: with r between the
raw halves and d between denoised and raw, the raw half correlates with the signal by sqrt(r), the denoised one by
d / sqrt(r). Rows of the tomogram that the training did not see are taken, so that a network that has learned noise by
heart gains nothing.
Matched noise is the difference of the halves: it has no signal and exactly their noise. What the network leaves of it,
and of a copy of the half with random phases, is structure that was not there.
"""

from __future__ import annotations

import typing

import numpy as np
import torch

from .examples import Tilts, inputs_of
from .spectra import HalfScale, Powers, measure_powers

MIN_SHARED = 0.02  # FSC of raw halves below which a shell tells nothing of what is kept


def control_metrics(
    denoise: typing.Callable[[torch.Tensor], torch.Tensor],
    pairs: typing.Sequence[tuple[torch.Tensor, ...]],
    scale: HalfScale,
    pixel_size: float,
    tilts: Tilts | None = None,
) -> dict[str, typing.Any]:
    """Metrics of a denoiser on bricks of both halves.

    denoise: (z, y, x) grey values of a half -> denoised. pixel_size: Å/px. tilts: of a denoiser that fills the wedge:
    only measured coefficients are compared. Returns what the result of the command says of a tomogram.
    """
    mask = None if tilts is None else lambda shape: _measured(shape, tilts)
    centred = [tuple(x - scale.middle for x in pair) for pair in pairs]
    clean = [tuple(denoise(x) - scale.middle for x in pair) for pair in pairs]
    raw = measure_powers(centred, mask)
    mixed = measure_powers([(c[k], x[1 - k]) for c, x in zip(clean, centred) for k in (0, 1)], mask)
    shared, found = _broad(raw), _broad(mixed)
    signal = max(shared, 1e-6) ** 0.5
    generator = torch.Generator().manual_seed(0)
    noises = [(a - b) / 2**0.5 for a, b in centred]
    random = [_random_phases(a, generator) for a, _ in centred]
    left = lambda images: _rms([denoise(x + scale.middle) - scale.middle for x in images]) / _rms([c[0] for c in clean])
    filtered = lambda images: _rms([inputs_of(x / scale.width, scale)[1] for x in images])
    both = np.minimum(raw.fsc, 1.0)
    kept = np.where(both > MIN_SHARED, mixed.cross / np.maximum(2 * raw.cross, 1e-300), 0.0)
    return dict(
        frequencies=[round(float(f), 6) for f in (np.arange(len(both)) + 0.5) / (2 * len(both) * pixel_size)],
        fsc_halves=_listed(both),
        fsc_denoised=_listed(np.minimum(mixed.fsc, 1.0)),
        kept=_listed(np.clip(kept, 0, 10)),
        signal_correlation_before=round(min(signal, 1.0), 4),
        signal_correlation_after=round(min(found / signal, 1.0), 4),
        noise_left=round(left(noises), 4),
        wiener_noise_left=round(filtered(noises) / filtered([a for a, _ in centred]), 4),
        random_phases_left=round(left(random), 4),
    )


def _measured(shape: typing.Sequence[int], tilts: Tilts) -> torch.Tensor:
    """1 where a brick of a shape was measured, on the grid of rfftn."""
    kz, kx = torch.fft.fftfreq(shape[0])[:, None], torch.fft.rfftfreq(shape[2])
    tilt = torch.rad2deg(torch.atan2(kz, kx))
    inside = ((tilt >= tilts.minimum) & (tilt <= tilts.maximum)) | ((kz == 0) & (kx == 0))
    return inside.float()[:, None].expand(-1, shape[1], -1)


def _broad(powers: Powers) -> float:
    """Correlation over all frequencies."""
    return float(powers.cross.sum() / max((powers.first.sum() * powers.second.sum()) ** 0.5, 1e-300))


def _rms(images: typing.Sequence[torch.Tensor]) -> float:
    return max(1e-12, float(np.mean([x.square().mean() for x in images])) ** 0.5)


def _random_phases(subvolume: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A brick of the same power spectrum, with the phases of white noise."""
    transform = torch.fft.rfftn(torch.randn(subvolume.shape, generator=generator))
    phases = transform / transform.abs().clamp(min=1e-12)
    return torch.fft.irfftn(phases * torch.fft.rfftn(subvolume).abs(), s=tuple(subvolume.shape))


def _listed(curve: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in curve]


def control_in_words(name: str, metrics: dict[str, typing.Any]) -> str:
    """A sentence on a tomogram's metrics."""
    return (
        f"{name}: estimated correlation of a half with the signal {metrics['signal_correlation_before']:.2f}, after "
        f"denoising {metrics['signal_correlation_after']:.2f} (in held-out rows); of pure noise it keeps "
        f"{100 * metrics['noise_left']:.0f} % of the contrast that it gives the tomogram (a Wiener filter "
        f"{100 * metrics['wiener_noise_left']:.0f} %), of random phases {100 * metrics['random_phases_left']:.0f} %."
    )
