# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a volume into parts that fit the memory."""

GIGABYTE = 1e9


def slabs(shape: tuple[int, ...], bytes_per_voxel: float, memory: float, multiple: int = 1) -> list[tuple[int, int]]:
    """[(start, stop)] of z that cover a volume, each of whole slices.

    shape: (z, y, x). memory: GB. multiple: starts are multiples of it. A slab has at least that many slices, whatever
    the memory: less than one slice is never read.
    """
    slices = int(memory * GIGABYTE / (bytes_per_voxel * shape[1] * shape[2]))
    step = max(1, slices // multiple) * multiple
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]
