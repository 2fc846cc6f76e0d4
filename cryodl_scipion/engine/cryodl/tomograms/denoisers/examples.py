# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tomogram denoiser learns from: one half as input, and the other, whose noise is independent, as target
(noise2noise: Lehtinen et al. 2018; for tomograms Buchholz et al. 2019). To fill the missing wedge, both halves are
rotated so that their wedge lies elsewhere, and a second wedge, where that of the tomogram is, is taken from the input:
what was measured there in the target can then be learned (IsoNet: Liu et al. 2022; with halves DeepDeWedge: Wiedemann
and Heckel 2024). Ours: only the 48 rotations and reflections of the cube are used, which need no interpolation. The
loss counts measured coefficients alone."""

import dataclasses
import functools
import itertools
import typing

import numpy as np
import torch

from ...core.fourier import curve_on_grid
from ...core.volumes import rotated_wedge, wedge
from .spectra import HalfScale, volume_mean

MARGIN = 8  # px around a crop that is filtered and then cut off: filters go around at the borders
MIN_GAIN = 0.02  # in the weights of the loss: a frequency without signal is asked for a little
PLAIN = ((0, 1, 2), ())
_FLIPS = tuple(flips for n in range(4) for flips in itertools.combinations(range(3), n))
ROTATIONS = tuple(itertools.product(itertools.permutations(range(3)), _FLIPS))
MIRRORS = tuple(((0, 1, 2), flips) for flips in _FLIPS)  # the tilt range is taken for symmetric


@dataclasses.dataclass(frozen=True)
class Region:
    """A part of a tomogram to learn from. halves: (2, z, y, x) float32, normalised."""

    halves: torch.Tensor
    scale: HalfScale


@dataclasses.dataclass(frozen=True)
class Tilts:
    """Range of tilts about the y axis, degrees: what lies beyond was not measured."""

    minimum: float
    maximum: float

    @functools.lru_cache(maxsize=256)
    def measured(self, side: int, rotation: typing.Any = PLAIN) -> torch.Tensor:
        """1 where a cube of a side that was rotated was measured, 0 elsewhere, on the grid of rfftn."""
        ends = side, self.minimum, self.maximum
        return wedge(*ends) if rotation == PLAIN else rotated_wedge(*ends, *rotation)


def rotated_subvolume(volume: torch.Tensor, rotation: typing.Any) -> torch.Tensor:
    """(..., z, y, x) with its last three axes in another order and some of them reversed."""
    axes, flips = rotation
    lead = volume.ndim - 3
    return volume.permute(*range(lead), *(lead + a for a in axes)).flip([lead + a for a in flips])


def inputs_of(volume: torch.Tensor, scale: HalfScale, measured: torch.Tensor | None = None) -> torch.Tensor:
    """What the network sees of a normalised (z, y, x) volume: (2, z, y, x), itself and after its Wiener filter.
    measured: what is kept of it, on the grid of rfftn; None keeps all."""
    shape, transform = tuple(volume.shape), torch.fft.rfftn(volume)
    if measured is not None:
        transform = transform * measured
        volume = torch.fft.irfftn(transform, s=shape)
    return torch.stack(
        [volume, torch.fft.irfftn(transform * (curve_on_grid(scale.gain, shape) / scale.strength), s=shape)]
    )


def answered(network: typing.Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """(b, 1, z, y, x) signal in units of the strength, of (b, 2, z, y, x) inputs."""
    return inputs[:, 1:].float() + network(inputs).float()


@functools.lru_cache(maxsize=256)
def _weight_of(gain: bytes, strength: float, side: int) -> torch.Tensor:
    """Factor on the grid of rfftn of a cube, by which answer and target are compared: it makes the noise of all
    tomograms 1, and lets frequencies count as the Wiener filter keeps them. gain, strength: of a HalfScale."""
    curve = np.frombuffer(gain) + MIN_GAIN
    return curve_on_grid(np.sqrt(curve / max(volume_mean(curve), 1e-12)) * strength, (side,) * 3)


def weighted_volumes(volumes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(b, 1, s, s, s) volumes times factors (b, 1, s, s, s // 2 + 1) on the grid of rfftn."""
    axes = (-3, -2, -1)
    return torch.fft.irfftn(torch.fft.rfftn(volumes, dim=axes) * weights, s=volumes.shape[-3:], dim=axes)


@dataclasses.dataclass(frozen=True)
class SubvolumeExample:
    """seen: (2, s, s, s) input. hidden: (1, s, s, s) target, in units of the strength. weight: (1, s, s, s // 2 + 1)
    of the loss. unseen: the same positions: 1 where the target was measured and the input was not given it."""

    seen: torch.Tensor
    hidden: torch.Tensor
    weight: torch.Tensor
    unseen: torch.Tensor
    raw: torch.Tensor  # (1, s, s, s) the half that the input was made of, rotated as the target, in units of strength


def draw(
    region: Region,
    side: int,
    rng: np.random.Generator,
    tilts: Tilts | None = None,
    fill: typing.Callable[[torch.Tensor, HalfScale], torch.Tensor] | None = None,
) -> SubvolumeExample:
    """A random SubvolumeExample of a region. side: px of its cubes. tilts: None to denoise alone. fill: gives the (z,
    y, x) answer to inputs_of a half, whose part in the missing wedge is put in before it is rotated; None leaves the
    wedge empty."""
    reach = [min(side + 2 * MARGIN, n // 8 * 8) for n in region.halves.shape[1:]]
    reach = [min(reach)] * 3 if tilts else reach
    corner = [int(rng.integers(n - r + 1)) for n, r in zip(region.halves.shape[1:], reach)]
    cut = region.halves[(slice(None), *(slice(c, c + r) for c, r in zip(corner, reach)))]
    seen, hidden = (cut[k] for k in rng.permutation(2))
    rotation = (ROTATIONS if tilts else MIRRORS)[int(rng.integers(len(ROTATIONS if tilts else MIRRORS)))]
    given, raw = None, rotated_subvolume(seen, rotation)
    gain = np.asarray(region.scale.gain, float).tobytes()
    weight, unseen = _weight_of(gain, region.scale.strength, side), torch.zeros(side, side, side // 2 + 1)
    if tilts:
        if fill is not None:
            seen = filled(seen, fill(seen, region.scale), tilts)
        given, target = tilts.measured(reach[0]), tilts.measured(side, rotation)
        weight, unseen = weight * target, target * (1 - tilts.measured(side))
    strength = region.scale.strength
    inside = tuple(slice((r - side) // 2, (r - side) // 2 + side) for r in (reach[a] for a in rotation[0]))
    return SubvolumeExample(
        inputs_of(rotated_subvolume(seen, rotation), region.scale, given)[(slice(None), *inside)],
        rotated_subvolume(hidden, rotation)[inside][None] / strength,
        weight[None],
        unseen[None],
        raw[inside][None] / strength,
    )


def filled(volume: torch.Tensor, answer: torch.Tensor, tilts: Tilts) -> torch.Tensor:
    """A normalised cube with what was not measured taken from an answer, in the same units."""
    missing = 1 - tilts.measured(volume.shape[-1])
    return volume + torch.fft.irfftn(torch.fft.rfftn(answer) * missing, s=tuple(volume.shape))
