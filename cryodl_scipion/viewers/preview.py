# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs small enough to look at."""

import collections
import os
from typing import Any, Tuple

import mrcfile
import numpy as np

# More pixels than a window shows only make it slow.
LARGEST_SIDE = 1000
# Hot pixels and holes must not decide the contrast.
_DARKEST, _BRIGHTEST = 0.5, 99.5

# pixels: (h, w) float in [0, 1], row 0 first; binning: micrograph px per preview px; width, height: micrograph px
Preview = collections.namedtuple("Preview", "pixels binning width height")


def loadPreview(path: str, largestSide: Any = LARGEST_SIDE) -> Any:
    """Preview of a micrograph file, averaged over blocks and stretched between percentiles.

    Raises FileNotFoundError, or ValueError that names the file.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"The micrograph {path} does not exist.")
    try:
        image = readImage(path)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"The micrograph {path} cannot be read: {error}") from None
    height, width = image.shape
    binning = max(1, -(-max(height, width) // largestSide))
    return Preview(stretch(_binned(image, binning)), binning, width, height)


def readImage(path: str) -> Any:
    """The (h, w) array of a micrograph file, rows as coordinates count them. Raises OSError or ValueError."""
    if path.lower().endswith((".tif", ".tiff")):
        import tifffile

        image = tifffile.imread(path)[..., ::-1, :]  # coordinates count rows from the last one, as RELION (frames.py)
    elif path.lower().endswith((".gz", ".bz2")):
        with mrcfile.open(path, permissive=True) as mrc:
            image = mrc.data
    else:
        with mrcfile.mmap(path, permissive=True) as mrc:
            image = mrc.data
    if image is None:
        raise ValueError("it contains no image")
    # a stack of frames, or a micrograph saved as a volume of one slice
    while image.ndim > 2:
        image = image[0]
    return image


def _binned(image: np.ndarray, binning: Any) -> Any:
    """Mean of blocks; the last incomplete ones are left out. Returns float32."""
    height, width = (side // binning * binning for side in image.shape)
    blocks = image[:height, :width].reshape(height // binning, binning, width // binning, binning)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def stretch(image: np.ndarray) -> np.ndarray:
    """Values between two percentiles spread over [0, 1]; a flat or empty image becomes grey."""
    return stretchedTo(image, percentilesOf(image))


def percentilesOf(image: np.ndarray) -> Tuple[float, float]:
    """(black, white): values between which a picture is stretched."""
    finite = image[np.isfinite(image)]
    return tuple(np.percentile(finite, [_DARKEST, _BRIGHTEST])) if finite.size else (0, 0)


def stretchedTo(image: np.ndarray, limits: Tuple[float, float]) -> np.ndarray:
    """Values from black to white spread over [0, 1]; all grey if these are the same. limits: of percentilesOf."""
    low, high = limits
    if not high > low:
        return np.full(image.shape, 0.5, np.float32)
    return np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1)
