# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls of a tomogram denoiser from the two halves: how much signal it keeps, and what it invents.

The noise of a raw half is independent of the other half, denoised or not. So the product of the raw halves is the power
of the signal, and that of a denoised half with the raw other one the product of the denoised with the signal: both
correlations with the signal follow, of the mean of the halves and of the mean of the denoised. Rows with structure that
the training did not see are taken, so that a network that has learned noise by heart gains nothing. Where the products
are hardly above their own noise, no correlation is stated. Matched noise is the difference of the halves: it has no
signal and exactly their noise. What the network leaves of it, and of a copy of the half with random phases, is
structure that was not there."""

import typing

import numpy as np
import torch

from .examples import Tilts, inputs_of
from .spectra import WINDOW, HalfScale, Powers, measure_powers

UNSURE = 0.2  # standard error of an estimated correlation, from which it is not stated
CLEAR = 0.25  # of the signal's power: in noise alone a standard error of 32 ranges is below it in 2 to 5 % of cases
MIN_SHARED = 0.02  # FSC of raw halves below which a shell tells nothing of what is kept


def control_metrics(
    denoise: typing.Callable[[torch.Tensor], torch.Tensor],
    pairs: typing.Sequence[tuple[torch.Tensor, ...]],
    scale: HalfScale,
    pixel_size: float,
    tilts: Tilts | None = None,
) -> dict[str, typing.Any]:
    """Metrics of a denoiser on bricks of both halves. denoise: (z, y, x) grey values of a half -> denoised. pixel_size:
    Å/px. tilts: of a denoiser that fills the wedge: only measured coefficients are compared. Returns what the result of
    the command says of a tomogram."""
    mask = None if tilts is None else lambda shape: _measured(shape, tilts)
    centred, clean = _centred(pairs), _centred([tuple(denoise(x) for x in pair) for pair in pairs])
    raw = measure_powers(centred, mask)
    mixed = measure_powers([(c[k], x[1 - k]) for c, x in zip(clean, centred) for k in (0, 1)], mask)
    means = measure_powers([((x + y) / 2, (c + d) / 2) for (x, y), (c, d) in zip(centred, clean)], mask)
    generator, noises = torch.Generator().manual_seed(0), [(a - b) / 2**0.5 for a, b in centred]
    drawn = [torch.fft.rfftn(torch.randn(a.shape, generator=generator)) for a, _ in centred]
    phases = [one / one.abs().clamp(min=1e-12) for one in drawn]
    random = [torch.fft.irfftn(p * torch.fft.rfftn(a).abs(), s=tuple(a.shape)) for p, (a, _) in zip(phases, centred)]
    left = lambda images: _rms([denoise(x + scale.middle) - scale.middle for x in images]) / _rms([c[0] for c in clean])
    filtered = lambda images: _rms([inputs_of(x / scale.width, scale)[1] for x in images])
    both = np.minimum(raw.fsc, 1.0)
    return dict(
        frequencies=[round(float(f), 6) for f in (np.arange(len(both)) + 0.5) / (2 * len(both) * pixel_size)],
        fsc_halves=_listed(both),
        fsc_denoised=_listed(np.minimum(mixed.fsc, 1.0)),
        kept=_listed(np.clip(np.where(both > MIN_SHARED, mixed.cross / np.maximum(2 * raw.cross, 1e-300), 0.0), 0, 10)),
        **_signal_correlations(raw, mixed, means),
        noise_left=round(left(noises), 4),
        wiener_noise_left=round(filtered(noises) / filtered([a for a, _ in centred]), 4),
        random_phases_left=round(left(random), 4),
    )


def _centred(pairs: typing.Sequence[tuple[torch.Tensor, ...]]) -> list[tuple[torch.Tensor, ...]]:
    """Bricks less the mean of all: that rows with structure are darker than others is no detail that they show."""
    mean = float(np.mean([[x.mean() for x in pair] for pair in pairs]))
    return [tuple(x - mean for x in pair) for pair in pairs]


def _measured(shape: typing.Sequence[int], tilts: Tilts) -> torch.Tensor:
    kz, kx = torch.fft.fftfreq(shape[0])[:, None], torch.fft.rfftfreq(shape[2])
    tilt = torch.rad2deg(torch.atan2(kz, kx))
    inside = ((tilt >= tilts.minimum) & (tilt <= tilts.maximum)) | ((kz == 0) & (kx == 0))
    return inside.float()[:, None].expand(-1, shape[1], -1)


def _signal_correlations(raw: Powers, mixed: Powers, means: Powers) -> dict[str, float | None]:
    """Correlation with the signal of the mean of the halves, of the denoised ones, and the standard error of the
    latter; None where they are not known. Of the ranges of frequencies, up to each, that with the smallest relative
    error is taken from which the value changes no more than by the error of wider ones (Lepskii 1991): a narrower one
    leaves signal out. raw: of the halves. mixed: of each denoised half and the raw other one. means: of both means."""
    products = [np.maximum(np.cumsum(powers.cross), 1e-300) for powers in (raw, mixed)]  # up to each frequency
    noises = [np.cumsum(WINDOW * p.first * p.second / np.maximum(p.count, 1)) ** 0.5 for p in (raw, mixed)]
    before = (products[0] / means.first.sum()) ** 0.5
    after = products[1] / 2 / (products[0] * means.second.sum()) ** 0.5
    parts = [np.minimum(noise / product, 1e3) for noise, product in zip(noises, products)]
    errors = np.where(parts[0] < CLEAR, after * (parts[1] ** 2 + parts[0] ** 2 / 4) ** 0.5, np.inf)
    settled = [n for n in np.flatnonzero(errors < np.inf) if not (np.abs(after - after[n]) > errors)[n:].any()]
    best = min(settled, key=lambda n: errors[n] / max(after[n], 1e-9), default=0)
    values = [None] * 3 if errors[best] > UNSURE else [before[best], after[best], errors[best]]
    words = [f"signal_correlation_{what}" for what in ("before", "after", "error")]
    return {word: value and round(float(min(value, 1.0)), 4) for word, value in zip(words, values)}


def _rms(images: typing.Sequence[torch.Tensor]) -> float:
    return max(1e-12, float(np.mean([x.square().mean() for x in images])) ** 0.5)


def _listed(curve: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in curve]


def control_in_words(name: str, metrics: dict[str, typing.Any]) -> str:
    """A sentence on a tomogram's metrics."""
    before, after, error = (metrics[f"signal_correlation_{what}"] for what in ("before", "after", "error"))
    gained = (
        "in rows that were not learned from (of a tomogram that was, those with most structure; it is lower elsewhere) "
        f"the estimated correlation with the signal is {before:.2f}, and after denoising {after:.2f} ± {error:.2f}"
        + " (less than before: the halves may share noise, or the model does not suit this tomogram)"
        * (after < before)
        if after is not None
        else "the halves share too little to estimate the correlation with the signal"
    )
    return (
        f"{name}: {gained}; of pure noise it keeps {100 * metrics['noise_left']:.0f} % of the contrast that it "
        f"gives the tomogram (a Wiener filter {100 * metrics['wiener_noise_left']:.0f} %), of random phases "
        f"{100 * metrics['random_phases_left']:.0f} %."
    )
