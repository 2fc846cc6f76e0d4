# SPDX-License-Identifier: GPL-3.0-or-later
"""One tile: where it lies, what is drawn on it, and what its neighbours say about the same voxels."""

import numpy as np
from scipy.ndimage import binary_fill_holes

from ...contract.annotations import FEATURE, UNCERTAIN, WITHOUT, Tile
from ...io.tomograms import Tomogram, mirrored_part

EMPTY, WITH, WITHOUT_IT = "empty", "with", "without"  # states of a sheet


class Sheet:
    """A tile of the window. centre_zyx: px of the tomogram. drawing: (size, size) int16, changed in place. negative:
    marked as a tile without the feature. tile: the Tile of the store, None while it is not kept."""

    def __init__(
        self,
        centre_zyx: tuple[int, int, int],
        size: int,
        drawing: np.ndarray | None = None,
        negative: bool = False,
        tile: Tile | None = None,
    ) -> None:
        z, y, x = centre_zyx
        self.centre_zyx, self.size, self.negative, self.tile = (z, y, x), size, negative, tile
        self.drawing = np.full((size, size), WITHOUT, np.int16) if drawing is None else drawing

    @property
    def z(self) -> int:
        """Its slice."""
        return self.centre_zyx[0]

    @property
    def corner_yx(self) -> tuple[int, int]:
        """px of its first pixel."""
        return self.centre_zyx[1] - self.size // 2, self.centre_zyx[2] - self.size // 2

    @property
    def state(self) -> str:
        """One of "with" the feature, "without" it, or "empty": placed, but nothing is drawn, and so it is not kept."""
        return WITH if (self.drawing == FEATURE).any() else WITHOUT_IT if self.negative else EMPTY

    def contains(self, y: float, x: float) -> bool:
        """Whether a position, px of the tomogram, is on the tile."""
        return all(-0.5 <= position - corner < self.size - 0.5 for position, corner in zip((y, x), self.corner_yx))

    def paint(self, start_yx: tuple[float, float], stop_yx: tuple[float, float], diameter: float, value: int) -> None:
        """Draw a line with a round brush. start_yx, stop_yx: px of the tomogram. diameter: px."""
        rows, columns = np.indices(self.drawing.shape)
        y, x = (rows + self.corner_yx[0] - start_yx[0], columns + self.corner_yx[1] - start_yx[1])
        dy, dx = stop_yx[0] - start_yx[0], stop_yx[1] - start_yx[1]
        length = dy**2 + dx**2
        along = np.clip((y * dy + x * dx) / length, 0, 1) if length else 0.0
        distance = np.hypot(y - along * dy, x - along * dx)
        self.drawing[distance <= max(diameter / 2, 0.71)] = value  # 0.71: at least the pixel under the pointer

    def fill(self) -> None:
        """Fill what the drawn outlines enclose."""
        feature = self.drawing == FEATURE
        self.drawing[binary_fill_holes(feature) & ~feature & (self.drawing == WITHOUT)] = FEATURE


def check_drawing(drawing: np.ndarray, size: int) -> np.ndarray:
    """(size, size) int16 copy. Raises ValueError for another shape or for values other than 0, 1 and 255."""
    drawing = np.array(drawing)
    if drawing.shape != (size, size):
        raise ValueError(f"A drawing has the shape {drawing.shape}, but its tile is {size} x {size} px.")
    wrong = np.setdiff1d(drawing, (WITHOUT, FEATURE, UNCERTAIN))
    if len(wrong):
        raise ValueError(
            f"A drawing has the value {wrong[0]}; allowed are 0 (without the feature), 1 (the feature) and 255 "
            "(uncertain)."
        )
    return drawing.astype(np.int16)


def check_image(image: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32 copy. Raises ValueError for another shape or values that are no numbers."""
    image = np.array(image, np.float32)
    if image.shape != (size, size):
        raise ValueError(f"The image of a tile has the shape {image.shape}; it must be {size} x {size} px.")
    if not np.isfinite(image).all():
        raise ValueError("The image of a tile has values that are not finite numbers (NaN or infinite).")
    return image


def cut_tile(tomogram: Tomogram, centre_zyx: tuple[int, int, int], size: int, context: int) -> np.ndarray:
    """(2 * context + 1, size, size) float32 around a centre, mirrored beyond the border; only this part is read."""
    starts = (centre - half for centre, half in zip(centre_zyx, (context, size // 2, size // 2)))
    return mirrored_part(tomogram, [(start, start + n) for start, n in zip(starts, (2 * context + 1, size, size))])
