# SPDX-License-Identifier: GPL-3.0-or-later
"""One feature of a label volume or score volume, as a mask that is read by parts."""

import os

import numpy as np

from ...io.tomograms import Tomogram, working_pixel_size
from .scores import as_probabilities, is_listed

MAX_LABELS = 20  # different numbers in what may be a label volume
LABELS_AT, LABELS_BYTES, SCORES_STAMP = 224, 800, b"cryodl: scores of"  # of an MRC header; see score_folder.LABEL
MAX_VOXELS = 2**26  # of a part that is read at once; larger ones are read on bins


class Segmentation:
    """The mask of one feature.

    path: of the volume. label: its value in a label volume, or None for scores, of which the mask is what reaches the
    threshold. pixel_size: Å/px, None for the header's. Raises ValueError if a volume without label cannot hold scores,
    or has no pixel size, or if one with a label holds scores. note: a sentence for the user, or "".
    """

    def __init__(
        self, path: str | os.PathLike[str], label: int | None, threshold: float, pixel_size: float | None = None
    ) -> None:
        self._volume = Tomogram(path)
        self.path, self.shape = self._volume.path, self._volume.shape
        self.label, self._threshold = label, threshold
        self.pixel_size, self.note = working_pixel_size(self._volume, pixel_size)
        if label is None and self._volume.dtype not in (np.int8, np.float16, np.float32):
            raise ValueError(
                f"{path} has the data type {self._volume.dtype}, which scores cannot have. If it is a label volume, "
                "give the feature's value (--label)."
            )
        if label is None and self._volume.dtype == np.int8 and not (is_listed(path) or says_scores(self.path)):
            self._refuse_labels()
        if label is not None and (self._volume.dtype == np.float16 or is_listed(path)):
            raise ValueError(
                f"{path} has scores, but a value of label volumes (--label {label}) was given. These are scores; "
                "leave out --label."
            )

    def _refuse_labels(self) -> None:
        """Raises ValueError for bytes that are labels rather than hundredths: a few small numbers that reach no
        threshold."""
        seen: set[int] = set()
        for z in range(self.shape[0]):
            seen.update(np.unique(self._volume.raw((z, z + 1))).tolist())
            if max(seen) >= 100 * self._threshold or len(seen) > MAX_LABELS:
                return
        if max(seen) > 0:
            raise ValueError(
                f"{self.path} holds the whole numbers {', '.join(map(str, sorted(seen)))} and does not say that they "
                "are scores, which are hundredths: it looks like a label volume. Say which value to pick (--label)."
            )

    def read(self, *ranges: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Mask (z, y, x) bool of the places [start, stop) for the first axes, and the scores there, None for labels."""
        if self.label is not None:
            labels = self._volume.labels(*ranges, otherwise="If they are scores, leave out --label.")
            return labels == self.label, None
        scores = as_probabilities(self._volume.raw(*ranges), self.path)
        return scores >= self._threshold, scores

    def crop(self, box: np.ndarray) -> tuple[np.ndarray, int]:
        """Mask of a box, on bins if it is large, and the voxels of a bin. A bin is in the mask if any of its voxels is.

        box: (3, 2) first voxel and end along z, y, x.
        """
        sizes = np.diff(box, axis=1)[:, 0]
        step = int(np.ceil((np.prod(sizes, dtype=float) / MAX_VOXELS) ** (1 / 3)))
        if step <= 1:
            return self.read(*map(tuple, box))[0], 1
        slices = max(1, int(MAX_VOXELS / (sizes[1] * sizes[2] * step)))
        parts = []
        for start in range(int(box[0][0]), int(box[0][1]), slices * step):
            part = (start, min(start + slices * step, int(box[0][1])))
            parts.append(any_bins(self.read(part, *map(tuple, box[1:]))[0], step))
        return np.concatenate(parts), step


def says_scores(path: str) -> bool:
    """True for a score volume of `segment`, which says so in the labels of its MRC header."""
    if os.path.isdir(path):
        return False
    with open(path, "rb") as file:
        file.seek(LABELS_AT)
        return SCORES_STAMP in file.read(LABELS_BYTES)


def any_bins(mask: np.ndarray, step: int) -> np.ndarray:
    """A mask (z, y, x) on bins of `step` voxels along each axis; a bin is in it if any of its voxels is."""
    for axis in range(3):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], step), axis)
    return mask


def isolated(mask: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The connected component of a mask that holds a voxel. position: zyx of it."""
    from scipy.ndimage import label

    from .components import TOUCH

    parts = label(mask, TOUCH)[0]
    return parts == parts[tuple(position)]
