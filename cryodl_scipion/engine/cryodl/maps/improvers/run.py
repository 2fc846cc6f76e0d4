# SPDX-License-Identifier: GPL-3.0-or-later
"""Improving a map with a trained network: box by box, blended without seams, given back on the map's own grid. A
network that learned from simulated maps errs on real ones in ways of its own. The input, filtered so that it comes
nearest to the network's answer, has no such errors, but noise. A mean of both is on average nearer to the truth than
either, as shrinkage estimators are (James and Stein 1961)."""

import os
import typing

import numpy as np
import scipy.fft
import torch
from scipy.ndimage import gaussian_filter

from ...contract import INPUT_WEIGHT
from ...core.devices import fast_dtype, in_memory_format
from ...io import model, progress
from ...learning.task import method_of, with_weights
from ..measures.shells import shell_numbers
from ..measures.volume import Volume
from .method import VolumeSwinConvUNet
from .pairs import BOX
from .working_grid import PERCENTILE, from_grid, map_scale, scale_of, scaled_map, to_grid, without_background

COARSE = 20.0  # Å; the network, which sees boxes, knows the shape of a whole molecule less well than the map
REACH = 2.0  # Å, standard deviation of the Gaussian that tells where the network sees density
LEVEL = 0.3  # of the mean density there, from which on the input is kept in full


def with_input(improved: np.ndarray, data: np.ndarray, voxels_zyx: np.ndarray, fraction: float) -> np.ndarray:
    """The mean of an improved map and its filtered input, where the improved map has density. improved: (z, y, x)
    float32, the network's answer. Resampled, it has small negative ripples; cut off, they would cost FSC at all
    frequencies. data: (z, y, x) float32, the map that was improved, on the same grid. voxels_zyx: (3,), Å. fraction:
    weight of the input, 0 to 1. The filter has one factor for each Fourier shell: the regression of the improved map on
    the input, 0 where they are opposed. What is coarser than COARSE comes from the input, which has no noise there.
    Returns ndarray, (z, y, x) float32."""
    if not fraction or not improved.any():
        return improved
    spectrum = scipy.fft.rfftn(np.asarray(data, np.float32))
    index, _, length = shell_numbers(data.shape, voxels_zyx)
    products = (spectrum * scipy.fft.rfftn(improved).conj()).real, spectrum.real**2 + spectrum.imag**2
    cross, power = (np.bincount(index.ravel(), values.ravel()) for values in products)
    coarse = (index > 0) & (index < 1.5 * length / COARSE)  # not the mean, which is any
    weight, own = np.clip(3 - 2 * COARSE / length * index[coarse], 0, 1), spectrum[coarse]
    spectrum *= np.maximum(cross / np.maximum(power, 1e-30), 0).astype(np.float32)[index]
    seen = density_seen(improved, voxels_zyx)
    mean = improved + fraction * seen * (scipy.fft.irfftn(spectrum, s=data.shape) - improved)
    spectrum = scipy.fft.rfftn(mean)
    other = spectrum[coarse]
    factor = (weight * own.conj() * other).real.sum() / max((weight * np.abs(own) ** 2).sum(), 1e-30)
    spectrum[:] = 0
    spectrum[coarse] = weight * (max(factor, 0) * own - other)
    return (mean + seen * scipy.fft.irfftn(spectrum, s=data.shape)).astype(np.float32)


def density_seen(improved: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """How far the network sees density at each voxel, 0 to 1. improved: (z, y, x), its answer, not 0 everywhere.
    voxels_zyx: (3,), Å. Returns ndarray, (z, y, x) float32."""
    density = gaussian_filter(np.maximum(improved, 0), REACH / np.asarray(voxels_zyx, float), mode="constant")
    mean = float((density.astype(float) ** 2).sum() / density.sum(dtype=float))  # weighted by itself: solvent counts 0
    return np.clip(density / (LEVEL * mean), 0, 1)


EMPTY = 1e-6  # a box whose values all are within this of nothing is not looked at
BATCHES = {"cpu": 4, "cuda": 64}
OVERLAP = 27  # px; odd, so that the boxes lie on all phases of the network's strides


def load_network(
    card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], source: str | os.PathLike[str]
) -> VolumeSwinConvUNet:
    """The network of a card with its weights. Raises ValueError if they do not fit; source: for the message."""
    network = method_of("map_improver", card["network"]).build(card.get("attention", True), card.get("width"))
    if network.told is not None:  # models of before are not told
        weights = {"told": torch.zeros_like(network.told.data), **weights}
    return with_weights(network, weights, source, card["network"])


def load_improver(name_or_folder: str, device: torch.device) -> "Improver":
    """Improver of a model folder, or of a shipped model's name."""
    folder = model.find_model(name_or_folder, "map_improver")
    card, weights = model.read_model(folder, "map_improver")
    return Improver(card, load_network(card, weights, folder), device)


class Improver:
    """A trained network, ready on a device. network: of its method."""

    def __init__(self, card: dict[str, typing.Any], network: VolumeSwinConvUNet, device: torch.device) -> None:
        self.card, self.device, self.dtype = card, device, fast_dtype(device)
        self.method = method_of("map_improver", card["network"])
        self.network = in_memory_format(network.to(device), torch.channels_last_3d).eval()

    def improve(
        self,
        volume: Volume,
        overlap: int = OVERLAP,
        batch_size: int | None = None,
        input_weight: float = INPUT_WEIGHT,
        resolution: float | None = None,
    ) -> np.ndarray:
        """The improved map on the grid of a Volume, (z, y, x) float32, at its scale. resolution: Å, if known."""
        seen = without_background(volume.data, volume.voxels_zyx)
        data = to_grid(seen, volume.voxels_zyx, self.card["working_pixel_size"])
        try:
            scale_of(seen)  # spline ripples may be positive where no voxel is
            scale = map_scale(data)
        except ValueError:
            raise ValueError(
                f"{volume.path} has no density: at least {100 - PERCENTILE:.3f} % of its voxels should be positive. "
                "Check its contrast."
            ) from None
        data = scaled_map(data, scale, self.method.lowest)
        # the highest voxel of the blurred map moves with it: a map moved by whole voxels gives the moved result
        z, y, x = np.unravel_index(gaussian_filter(data, 2.0, mode="constant").argmax(), data.shape)
        output = apply_boxes(
            lambda boxes: self._run(boxes, resolution or 0.0),
            data,
            overlap,
            batch_size or BATCHES[self.device.type],
            (int(z), int(y), int(x)),
        )
        working = self.card["working_pixel_size"]
        answer = from_grid(np.maximum(output, 0), working, volume.data.shape, volume.voxels_zyx) * scale
        return with_input(answer, volume.data, volume.voxels_zyx, input_weight)

    @torch.inference_mode()
    def _run(self, boxes: np.ndarray, resolution: float) -> np.ndarray:
        data = torch.from_numpy(boxes)[:, None].to(self.device, memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self.network(data, torch.full((len(data),), resolution, device=self.device)).float()
        return output[:, 0].cpu().numpy()


def apply_boxes(
    function: typing.Callable[..., typing.Any],
    data: np.ndarray,
    overlap: int,
    batch_size: int,
    anchor: tuple[int, int, int] = (0, 0, 0),
) -> np.ndarray:
    """Run a function of (b, BOX, BOX, BOX) boxes over a (z, y, x) array: (z, y, x) float32. Neighbouring boxes
    overlap by `overlap` voxels, where their answers fade into each other. The array is surrounded by zeros, so that its
    border is not at a box's. Empty boxes are not computed: their answer is 0. anchor: zyx, a voxel that keeps its place
    in the pattern of the boxes. Raises ValueError if the overlap is no less than a box."""
    if not 0 <= overlap < BOX:
        raise ValueError(f"Overlap (--overlap) is {overlap} px; it must be less than the box of {BOX} px.")
    step = BOX - overlap
    before = [overlap // 2 + -a % step for a in anchor]
    counts = [max(1, -(-(n + b - overlap // 2) // step)) for n, b in zip(data.shape, before)]
    padded = np.pad(data, [(b, c * step + BOX - step - n - b) for n, c, b in zip(data.shape, counts, before)])
    total, weight = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
    border = np.minimum(np.arange(BOX), np.arange(BOX)[::-1]) + 0.5
    axis = np.clip(border / max(overlap, 1), 0, 1) if overlap else np.ones(BOX)
    taper = (axis[:, None, None] * axis[:, None] * axis).astype(np.float32)  # falls over the overlap, never 0
    starts = [tuple(k * step for k in position) for position in np.ndindex(*counts)]
    positions = [tuple(slice(s, s + BOX) for s in start) for start in starts]
    full = [position for position in positions if np.abs(padded[position]).max() > EMPTY]
    for position in positions:
        weight[position] += taper
    for start in progress.ProgressBar(range(0, len(full), batch_size), unit="batch", mininterval=1.0):
        part = full[start : start + batch_size]
        for position, answer in zip(part, function(np.stack([padded[position] for position in part]))):
            total[position] += answer * taper
    inner = tuple(slice(b, b + n) for b, n in zip(before, data.shape))
    return total[inner] / weight[inner]
