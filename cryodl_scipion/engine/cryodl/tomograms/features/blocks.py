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


def halo_blocks(
    shape: tuple[int, ...], bytes_per_voxel: float, memory: float, halo: int
) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """[((z, z), [(y, y), ...])] of parts that, each with `halo` voxels more on all sides in z and y, fit the memory.

    memory: GB. Raises ValueError if not even one voxel with its halo does.
    """
    area = memory * GIGABYTE / (bytes_per_voxel * shape[2])  # of a part in z and y
    deep = int(area / shape[1]) - 2 * halo
    if deep >= max(1, halo) or deep >= shape[0]:
        step_z, step_y = deep, shape[1]
    else:
        step_z = step_y = int(area**0.5) - 2 * halo
    if step_z < 1:
        needed = (2 * halo + 1) ** 2 * bytes_per_voxel * shape[2] / GIGABYTE
        raise ValueError(
            f"Smoothing (--smoothing) reaches {halo} voxels far, which takes {needed:.1f} GB for a volume {shape[2]} "
            f"voxels wide; Memory (--memory) is {memory:g} GB. Reduce the smoothing, or increase the memory."
        )
    cut = lambda length, step: [(start, min(start + step, length)) for start in range(0, length, step)]
    return [(z, cut(shape[1], step_y)) for z in cut(shape[0], step_z)]


def widened(part: tuple[int, int], halo: int, length: int) -> tuple[tuple[int, int], slice]:
    """(start, stop) with a halo as far as the volume goes, and the slice that takes the halo off again."""
    start, stop = max(0, part[0] - halo), min(length, part[1] + halo)
    return (start, stop), slice(part[0] - start, part[1] - start)
