# SPDX-License-Identifier: GPL-3.0-or-later
"""Division of a tomogram into slabs and tiles that fit into a given memory. Segmenters with the same working pixel size
share a SlabGrid: what is read and resampled for one serves all of them."""

import dataclasses
import math
import typing

import torch
import torch.nn.functional as F

from ...core.devices import fast_dtype
from ...core.geometry import resampled_shape
from ...core.tiles import tile_spans
from ...io.files import lists_by_key
from ...learning import inference, task
from .method import load_network
from .working_scale import needed_range, resampling_factor

HEAD = ("head.weight", "head.bias")  # of networks whose features have all but these in common


class Segmenter:
    """A network ready to segment on a device. weights: {name: tensor}. method: its SegmenterMethod. context: slices
    that scores() needs before and after those that it answers for. slices_out: it is quickest for slabs of 2 * context
    + a multiple of this. granularity: tiles whose y and x are multiples of it (px) need no padding. overlap: px; tiles
    that overlap by it on each inner side leave no seam. bytes_per_voxel: of memory for each voxel of a slab that
    scores() is given, beside the slab and its answer. Raises ValueError if weights and card do not fit."""

    def __init__(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        self.card, self.device, self.dtype, self.weights = card, device, fast_dtype(device), weights
        self.method = task.method_of("segmenter", card["network"])
        self.network = inference.for_inference(load_network(self.method, weights, card["name"]), device, self.dtype)
        self.context, self.slices_out = self.method.context, self.method.slices_out
        self.granularity, self.overlap = self.method.granularity, self.method.overlap
        self.bytes_per_voxel = self.method.bytes_per_voxel * self.dtype.itemsize // 2
        self.slopes = torch.tensor([card["calibration"][0] / card["raw_scale"]])
        self.offsets = torch.tensor([card["calibration"][1]])

    @torch.inference_mode()
    def scores(self, slab: torch.Tensor) -> torch.Tensor:
        """Probabilities (z - 2 * context, y, x), float32 on the CPU, of the slices that have their whole context; (n, z
        - 2 * context, y, x) of `joined_segmenters` segmenters. slab: (z, y, x) float32 tensor at the model's pixel
        size, normalised; slices and positions beyond the tomogram's border are for the caller to reflect. 0.5 is the
        boundary of the feature. Raises ValueError for a slab without a slice that has its context."""
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
        raw = self.network(window[None].contiguous(memory_format=torch.channels_last)).float()
        if self.method.stride > 1:
            raw = F.interpolate(raw, scale_factor=float(self.method.stride), mode="bilinear")
        slopes, offsets = (x[:, None, None, None].to(raw.device) for x in (self.slopes, self.offsets))
        return (raw[0].unflatten(0, (len(slopes), -1)) * slopes + offsets).sigmoid()

    @classmethod
    def of_several(cls, segmenters: "typing.Sequence[Segmenter]") -> "Segmenter":
        """A Segmenter that answers for all of these, which differ in their heads alone, in their order."""
        first = segmenters[0]
        heads = {name: torch.cat([s.weights[name] for s in segmenters]) for name in HEAD}
        result = cls(first.card, first.weights, first.device)
        network = load_network(first.method, dict(first.weights, **heads), first.card["name"], len(segmenters))
        result.network = inference.for_inference(network, first.device, first.dtype)
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


THICKNESSES = (64, 48, 32, 24, 16, 12, 8, 4)  # slices of a slab, the best first
SLICE_COPIES = 20  # bytes for each voxel of a slice of the tomogram while it is combined and written
BUFFER = 2  # bytes of a score that waits for its slab
PART_COPIES = 4  # float32 copies of what a tile is made of, while it is resampled
LARGEST_TILE = 1024  # px: larger ones are slower, because they leave the processor's cache


@dataclasses.dataclass(frozen=True)
class SlabGrid:
    """The working grid of some segmenters over a tomogram. shape, working: (z, y, x) of the tomogram, and of the same
    space at the working pixel size. factor: working voxels for each of the tomogram's, along an axis. members: numbers
    of the segmenters. context: slices that they need before and after. slices: groups of so many slices are answered at
    once. granularity, overlap: px of tiles in y and x. bytes_per_pixel: memory of the network for each."""

    shape: tuple[int, ...]
    working: tuple[int, ...]
    factor: float
    members: tuple[int, ...]
    context: int
    slices: int
    granularity: int
    overlap: int
    bytes_per_pixel: float

    @property
    def padded(self) -> tuple[int, ...]:
        """(y, x) of the working grid, up to the granularity."""
        return tuple(-(-n // self.granularity) * self.granularity for n in self.working[1:])

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """(start, stop) of working slices that scores of the tomogram's slices [start, stop) are made of."""
        return needed_range(start, stop, self.working[0], self.shape[0])

    def grouped(self, start: int, stop: int) -> tuple[int, int]:
        """(start, stop) of working slices widened to whole groups of slices, which are counted from slice 0."""
        return start // self.slices * self.slices, min(-(-stop // self.slices) * self.slices, self.working[0])

    def spans(self, tile: int) -> list[list[tuple[int, int, int, int]]]:
        """What tile_spans gives for y, and for x."""
        return [tile_spans(n, tile, self.overlap, self.granularity) for n in self.padded]


def grids_of(shape: tuple[int, ...], pixel_size: float, segmenters: typing.Sequence[Segmenter]) -> tuple[SlabGrid, ...]:
    """The Grids of segmenters (segmenter.Segmenter) over a tomogram of a shape (z, y, x) and pixel size in Å/px."""
    factors = [resampling_factor(pixel_size, segmenter.card["pixel_size"]) for segmenter in segmenters]
    members = lists_by_key(zip(factors, range(len(segmenters))))
    return tuple(_grid(shape, factor, numbers, [segmenters[n] for n in numbers]) for factor, numbers in members.items())


def _grid(
    shape: tuple[int, ...], factor: float, numbers: typing.Sequence[int], segmenters: typing.Sequence[Segmenter]
) -> SlabGrid:
    granularity = math.lcm(*(s.granularity for s in segmenters))
    return SlabGrid(
        tuple(shape),
        tuple(shape) if factor == 1.0 else resampled_shape(shape, factor),
        factor,
        tuple(numbers),
        max(s.context for s in segmenters),
        math.lcm(*(s.slices_out for s in segmenters)),
        granularity,
        -(-max(s.overlap for s in segmenters) // granularity) * granularity,
        max(s.bytes_per_voxel * s.method.slices_in for s in segmenters),
    )


@dataclasses.dataclass(frozen=True)
class Plan:
    """thickness: slices of a slab of the tomogram. tiles: for each SlabGrid the largest side of a tile, working px,
    with its overlap. memory: GB that this takes, by estimate."""

    thickness: int
    tiles: tuple[int, ...]
    memory: float

    def slabs(self, slices: int, first: int = 0) -> list[tuple[int, int]]:
        """(start, stop) of all slabs of a tomogram of so many slices, from the first that is not done. A thickness that
        is a multiple of all groups cuts none of them."""
        return [(a, min(a + self.thickness, slices)) for a in range(first, slices, self.thickness)]


def choose_plan(grids: typing.Sequence[SlabGrid], memory: float) -> Plan:
    """The Plan that reads and computes least twice within `memory` GB; the smallest possible if nothing fits."""
    plans = [plan for plan in (_plan(grids, memory * 1e9, thickness) for thickness in THICKNESSES) if plan]
    if not plans:
        smallest = tuple(_smallest_tile(grid) for grid in grids)
        return Plan(THICKNESSES[-1], smallest, _bytes(grids, THICKNESSES[-1], smallest) / 1e9)
    return min(plans, key=lambda plan: _surplus(grids, plan))


def _plan(grids: typing.Sequence[SlabGrid], memory: float, thickness: int) -> Plan | None:
    """The Plan of a thickness, with the largest tiles; None if it does not fit into `memory` bytes."""
    rest, tiles = memory - _fixed_bytes(grids, thickness), []
    for grid in grids:
        side = math.sqrt(max(0.0, rest) / _bytes_per_tile_pixel(grid, thickness))
        side = int(min(side, LARGEST_TILE + 2 * grid.overlap)) // grid.granularity * grid.granularity
        if side < min(_smallest_tile(grid), max(grid.padded)):
            return None
        tiles.append(side)
    return Plan(thickness, tuple(tiles), _bytes(grids, thickness, tiles) / 1e9)


def _smallest_tile(grid: SlabGrid) -> int:
    return 4 * max(grid.overlap, grid.granularity)


def _bytes(grids: typing.Sequence[SlabGrid], thickness: int, tiles: typing.Sequence[int]) -> float:
    """Estimate of the memory at the worst moment. Grids are computed one after the other."""
    area = lambda grid, tile: min(tile, grid.padded[0]) * min(tile, grid.padded[1])
    return _fixed_bytes(grids, thickness) + max(
        area(grid, tile) * _bytes_per_tile_pixel(grid, thickness) for grid, tile in zip(grids, tiles)
    )


def _fixed_bytes(grids: typing.Sequence[SlabGrid], thickness: int) -> float:
    """Bytes of scores that wait, and of a slice on its way into the files."""
    plane = lambda grid: grid.working[1] * grid.working[2] * len(grid.members) * BUFFER
    waiting = sum(_working_slices(grid, thickness) * plane(grid) for grid in grids)
    return waiting + SLICE_COPIES * grids[0].shape[1] * grids[0].shape[2] * (1 + len(grids) / 2)


def _bytes_per_tile_pixel(grid: SlabGrid, thickness: int) -> float:
    slices = _working_slices(grid, thickness) + 2 * grid.context
    return grid.bytes_per_pixel + 4 * slices * PART_COPIES + (4 * slices / grid.factor**3 if grid.factor != 1 else 0)


def _working_slices(grid: SlabGrid, thickness: int) -> int:
    if grid.factor == 1:
        return -(-thickness // grid.slices) * grid.slices
    return math.ceil(thickness * grid.factor + 2 * max(1, grid.factor) + 1) + 2 * grid.slices


def _surplus(grids: typing.Sequence[SlabGrid], plan: Plan) -> float:
    """How much is computed (overlaps in y and x) and read (context in z) more than once, as a part of the whole."""
    total = 0.0
    for grid, tile in zip(grids, plan.tiles):
        rows, columns = ([stop - start for start, stop, _, _ in spans] for spans in grid.spans(tile))
        computed = sum(rows) * sum(columns) / (grid.padded[0] * grid.padded[1]) - 1
        total += len(grid.members) * computed + 0.2 * grid.context / (plan.thickness * grid.factor)
    return total
