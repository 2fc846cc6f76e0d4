# SPDX-License-Identifier: GPL-3.0-or-later
"""A trained segmenter, ready to give scores to slabs of tomograms."""

from __future__ import annotations

import typing

import torch
import torch.nn.functional as F

from ...core.devices import fast_dtype
from ...learning.inference import for_inference
from ...learning.task import method_of
from .method import load_network

LIMIT = 8.0  # widths of the grey values: gold is tens of them dark, and would be all that a network sees


HEAD = ("head.weight", "head.bias")  # of networks whose features have all but these in common


class Segmenter:
    """A network ready to segment on a device.

    card: the model's card. weights: {name: tensor}. device: torch.device. method: its SegmenterMethod. context:
    slices that scores() needs before and after those that it answers for. slices_out: it is quickest for slabs of 2 *
    context + a multiple of this. granularity: tiles whose y and x are multiples of it (px) need no padding. overlap:
    px; tiles that overlap by it on each inner side leave no seam. bytes_per_voxel: of memory for each voxel of a slab
    that scores() is given, beside the slab and its answer. Raises ValueError if weights and card do not fit.
    """

    def __init__(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        self.card, self.device, self.dtype, self.weights = card, device, fast_dtype(device), weights
        self.method = method_of("segmenter", card["network"])
        self.network = for_inference(load_network(self.method, weights, card["name"]), device, self.dtype)
        self.context, self.slices_out = self.method.context, self.method.slices_out
        self.granularity, self.overlap = self.method.granularity, self.method.overlap
        self.bytes_per_voxel = self.method.bytes_per_voxel * self.dtype.itemsize // 2
        self.slopes = torch.tensor([card["calibration"][0] / card["raw_scale"]])
        self.offsets = torch.tensor([card["calibration"][1]])

    @staticmethod
    def normalise(slab: torch.Tensor, statistics: tuple[float, float]) -> torch.Tensor:
        """Grey values as the network knows them: middle 0, width 1.

        slab: tensor at the model's pixel size. statistics: (middle, width) of the whole tomogram at that pixel size, as
        grid.grey_statistics gives it, so that all slabs agree.
        """
        middle, width = statistics
        return ((slab - middle) / width).clamp_(-LIMIT, LIMIT)

    @torch.inference_mode()
    def scores(self, slab: torch.Tensor) -> torch.Tensor:
        """Probabilities (z - 2 * context, y, x), float32 on the CPU, of the slices that have their whole context; (n,
        z - 2 * context, y, x) of `joined_segmenters` segmenters.

        slab: (z, y, x) float32 tensor at the model's pixel size, normalised; slices and positions beyond the tomogram's
        border are for the caller to reflect. 0.5 is the boundary of the feature. Raises ValueError for a slab without a
        slice that has its context.
        """
        answered = len(slab) - 2 * self.context
        if answered < 1:
            raise ValueError(f"A slab of {len(slab)} slices has none with a context of {self.context} on each side.")
        h, w = slab.shape[1:]
        padded = F.pad(
            slab[None].to(self.device, self.dtype),
            (0, -w % self.granularity, 0, -h % self.granularity),
            mode="replicate",
        )[0]
        padded = torch.cat([padded, padded[-1:].expand(-answered % self.slices_out, -1, -1)])
        result = torch.empty((len(self.slopes), answered, h, w))
        for start in range(0, answered, self.slices_out):
            window = padded[start : start + self.method.slices_in]
            stop = min(start + self.slices_out, answered)
            result[:, start:stop] = self._window(window)[:, : stop - start, :h, :w].float().cpu()
        return result if len(result) > 1 else result[0]

    def _window(self, window: torch.Tensor) -> torch.Tensor:
        """Probabilities (features, slices_out, y, x) of as many slices as the network takes."""
        raw = self.network(window[None].contiguous(memory_format=torch.channels_last)).float()
        if self.method.stride > 1:
            raw = F.interpolate(raw, scale_factor=float(self.method.stride), mode="bilinear")
        slopes, offsets = (x[:, None, None, None].to(raw.device) for x in (self.slopes, self.offsets))
        return (raw[0].unflatten(0, (len(slopes), -1)) * slopes + offsets).sigmoid()

    @classmethod
    def of_several(cls, segmenters: typing.Sequence[Segmenter]) -> Segmenter:
        """A Segmenter that answers for all of these, which differ in their heads alone, in their order."""
        first = segmenters[0]
        heads = {name: torch.cat([s.weights[name] for s in segmenters]) for name in HEAD}
        result = cls(first.card, first.weights, first.device)
        network = load_network(first.method, dict(first.weights, **heads), first.card["name"], len(segmenters))
        result.network = for_inference(network, first.device, first.dtype)
        result.slopes, result.offsets = (torch.cat([getattr(s, n) for s in segmenters]) for n in ("slopes", "offsets"))
        return result


def joined_segmenters(segmenters: typing.Sequence[Segmenter]) -> list[tuple[tuple[int, ...], Segmenter]]:
    """[(numbers, segmenter)] that answer for all segmenters: those of one training, which differ in their heads alone,
    are asked together, at the cost of one."""
    groups: list[list[int]] = []
    for number, segmenter in enumerate(segmenters):
        group = next((g for g in groups if _differ_in_heads(segmenters[g[0]], segmenter)), None)
        groups.append([number]) if group is None else group.append(number)
    return [
        (tuple(g), segmenters[g[0]] if len(g) == 1 else Segmenter.of_several([segmenters[n] for n in g]))
        for g in groups
    ]


def _differ_in_heads(one: Segmenter, other: Segmenter) -> bool:
    ours, theirs = getattr(one, "weights", None), getattr(other, "weights", None)
    if not ours or not theirs or any(one.card[key] != other.card[key] for key in ("network", "pixel_size")):
        return False
    same = set(HEAD) <= set(ours) and set(ours) == set(theirs)
    return same and all(torch.equal(ours[name], theirs[name]) for name in ours if name not in HEAD)
