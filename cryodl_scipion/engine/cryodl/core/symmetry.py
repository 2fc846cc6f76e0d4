# SPDX-License-Identifier: GPL-3.0-or-later
"""Point groups of rotations, with their axes where RELION has them (checked against `relion_refine
--print_symmetry_ops`)."""

import re
import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation

_GOLDEN = (1 + 5**0.5) / 2
# order and axis (xyz) of rotations that generate each group; I is RELION's I2
_GENERATORS = {
    "T": ((3, (0, 0, 1)), (2, (0, (2 / 3) ** 0.5, (1 / 3) ** 0.5))),
    "O": ((3, (1, 1, 1)), (4, (0, 0, 1))),
    "I": ((2, (0, 0, 1)), (5, (1, 0, _GOLDEN)), (3, (0, 1, _GOLDEN**2))),
    "I1": ((2, (1, 0, 0)), (5, (_GOLDEN, 0, -1)), (3, (_GOLDEN**2, 1, 0))),
    "I2": ((2, (0, 0, 1)), (5, (1, 0, _GOLDEN)), (3, (0, 1, _GOLDEN**2))),
    "I3": ((2, (-1, 0, _GOLDEN)), (5, (0, 0, 1))),
    "I4": ((2, (1, 0, _GOLDEN)), (5, (0, 0, 1))),
}
LARGEST_FOLD = 100
SIMILAR = 0.9  # correlation of a map with itself rotated, from which it is taken to have a symmetry
CHECK_SIDE = 48  # px of the maps that are compared


def operations(symmetry: str) -> np.ndarray:
    """Rotation matrices on xyz of a point group, the identity first, (m, 3, 3). The n-fold axis of C and D is z; a
    2-fold of D is x. symmetry: C1, C4, D2, T, O, I (as I2), I1 to I4, in RELION's words; ValueError for others."""
    name = str(symmetry).strip().upper()
    cyclic = re.fullmatch(r"([CD])(\d+)", name)
    if cyclic and 1 <= int(cyclic[2]) <= LARGEST_FOLD:
        generators: typing.Sequence[tuple[int, typing.Sequence[float]]] = ((int(cyclic[2]), (0, 0, 1)),) + (
            ((2, (1, 0, 0)),) if cyclic[1] == "D" else ()
        )
    elif name in _GENERATORS:
        generators = _GENERATORS[name]
    else:
        raise ValueError(
            f"Symmetry (--symmetry) is {symmetry!r}; it must be C1 to C{LARGEST_FOLD}, D1 to D{LARGEST_FOLD}, T, O, "
            "I, or I1 to I4, in RELION's axes. Helical symmetry and mirror planes are not supported."
        )
    vectors = [2 * np.pi / order * np.array(axis) / np.linalg.norm(axis) for order, axis in generators]
    return _closed([np.asarray(Rotation.from_rotvec(vector).as_matrix()) for vector in vectors])


def _closed(generators: typing.Sequence[np.ndarray]) -> np.ndarray:
    group = [np.eye(3)]
    for element in group:  # it grows while it is read, until no product is new
        for generator in generators:
            product = generator @ element
            if not any(np.abs(product - known).max() < 1e-6 for known in group):
                group.append(product)
    return np.array(group)


def angular_distance(angles: np.ndarray, others: np.ndarray, symmetry: str = "C1") -> np.ndarray:
    """The smallest rotation between orientations, over all equivalent ones. angles, others: (n, 3), rot, tilt, psi in
    degrees. symmetry: point group, see operations. Returns (n,), degrees."""
    first, second = (
        Rotation.from_euler("ZYZ", np.asarray(a, float).reshape(-1, 3), degrees=True) for a in (angles, others)
    )
    every = [(first.inv() * Rotation.from_matrix(matrix) * second).magnitude() for matrix in operations(symmetry)]
    return np.degrees(np.min(every, axis=0))


def symmetry_correlation(density: torch.Tensor, symmetry: str) -> float:
    """Smallest correlation of a density with itself rotated by an operation of the group. It is compared on at most
    CHECK_SIDE px. density: (d, d, d), zyx, the axes through voxel d // 2. symmetry: point group, see operations."""
    side = density.shape[-1]
    bins = max(1, round(side / CHECK_SIDE))
    # voxel d // 2 must stay where grid_sample has its middle: an odd cube around it
    cube, half = density.cpu().float(), min(side // 2, side - 1 - side // 2)
    cube = cube[tuple(slice(side // 2 - half, side // 2 + half + 1) for _ in range(3))][None, None]
    odd = bins + 1 - bins % 2
    for size in ((odd, 1, 1), (1, odd, 1), (1, 1, odd)):  # axis by axis: a sixth of the time at 320 px
        cube = F.avg_pool3d(cube, size, stride=1, padding=[width // 2 for width in size])
    points = max(2, (2 * half + 1) // bins)
    axis = torch.linspace(-1, 1, points)
    inside = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < 1
    rotated = [_rotated(cube, rotation, points)[inside] for rotation in operations(symmetry)]
    return min(float(torch.corrcoef(torch.stack([rotated[0], other]))[0, 1]) for other in rotated)


def largest_symmetry(density: torch.Tensor) -> str:
    """The largest of C1 to C12, D2 to D12, T, O and I1 to I4 that a (d, d, d) density has about RELION's axes."""
    has: typing.Callable[[str], bool] = lambda group: symmetry_correlation(density, group) > SIMILAR
    found = ["C1"]
    for fold in range(2, 13):
        if all(f"C{part}" in found for part in range(2, fold) if fold % part == 0) and has(f"C{fold}"):
            more = {2: ("I1", "I2"), 3: ("T",), 4: ("O",), 5: ("I3", "I4")}  # by their axis along z
            found += [f"C{fold}", *filter(has, (f"D{fold}", *more.get(fold, ())))]
    return max(found, key=lambda group: len(operations(group)))


def _rotated(cube: torch.Tensor, rotation: np.ndarray, points: int) -> torch.Tensor:
    """(points,) * 3 samples of a (1, 1, d, d, d) cube, rotated about its middle by a (3, 3) rotation of xyz."""
    matrix = torch.cat([torch.from_numpy(rotation).float(), torch.zeros(3, 1)], 1)[None]
    grid = F.affine_grid(matrix, [1, 1, points, points, points], align_corners=True)
    return F.grid_sample(cube, grid, align_corners=True)[0, 0]


def check_symmetry(density: torch.Tensor, symmetry: str, path: str) -> None:
    """Whether a density has a symmetry about RELION's axes; if not, an error. density: (d, d, d). symmetry: point
    group, see operations. path: of the density, for the message. Raises ValueError if it does not."""
    found = symmetry_correlation(density, symmetry)
    if found < SIMILAR:
        raise ValueError(
            f"{path} does not have the symmetry {symmetry} about RELION's axes: the correlation of the map with its "
            f"rotated copies is only {found:.2f}. Align it (relion_align_symmetry --sym {symmetry}), or give "
            "--symmetry C1."
        )
