# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps with their position in space: read and written with the header's grid, origin and order of axes."""

import dataclasses
import os
import typing
from pathlib import Path

import mrcfile
import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter

from ...contract.reading import absent, reader
from ...io import files, volume_writer
from ...io.mrc import MrcHeader, axes_zyx, of_ordinary_size, read_data, read_header
from ...io.structures import COARSEST, FINEST, MAX_UNEQUAL
from ...io.tomograms import sides_of

ISOTROPIC = 1e-3
BLUR = 4.0  # Å; leaves the molecule and takes the noise
WIDE = 16  # blurs along each axis of a map, below which chance leaves a tail
TAIL, BLURRED_TAIL = 1.5, 2.5  # how much longer the tail of a map that is upside down is than its other end
SOLID, FLAT = 0.6, 0.9  # of a mask's highest voxels have only such around them; or of those above half of the maximum
# have it: wide soft masks have 0.68 to 0.90 of the first, maps whose highest 1 % was cut off at most 0.59 and 0.84
LEAST = 1e-3  # of all voxels: one bright voxel may stand above all others


@dataclasses.dataclass(frozen=True)
class Volume:
    """A map. data: (z, y, x) float32 array, protein positive. voxels_zyx: (3,) Å. origin_zyx: (3,) Å, where the centre
    of voxel (0, 0, 0) lies in the frame of atomic models. order: axes of the file in terms of data's, for writing.
    header: of the file, or None."""

    path: str
    data: np.ndarray
    voxels_zyx: np.ndarray
    origin_zyx: np.ndarray
    order: tuple[int, ...] = (0, 1, 2)
    header: MrcHeader | None = None

    @property
    def pixel_size(self) -> float:
        """Å; the mean of the three axes."""
        return float(np.mean(self.voxels_zyx))

    @property
    def isotropic(self) -> bool:
        """Whether the voxels are cubes."""
        return float(np.ptp(self.voxels_zyx)) < ISOTROPIC * self.pixel_size

    def positions(self, xyz: np.ndarray | typing.Sequence[list[int]]) -> np.ndarray:
        """(n, 3) positions in Å as (n, 3) fractional zyx voxels."""
        return (np.asarray(xyz)[:, ::-1] - self.origin_zyx) / self.voxels_zyx

    def holds(self, xyz: np.ndarray) -> np.ndarray:
        """(n,) bool: whether (n, 3) positions in Å lie inside the map."""
        positions = self.positions(xyz)
        return np.asarray(((positions >= 0) & (positions <= np.array(self.data.shape) - 1)).all(axis=1))


@reader
def read_volume(path: str | os.PathLike[str], pixel_size: float | None = None, what: str = "map") -> Volume:
    """Volume of an MRC or CCP4 file (also .gz). pixel_size: Å to take instead of the header's. what: for messages. The
    origin is the header's, or its start of the grid (NXSTART ...) where the origin is zero. Very large and very small
    values are scaled (of_ordinary_size). Raises FileNotFoundError, or ValueError that says what is wrong with the file
    and what to do."""
    if not Path(path).exists():
        raise FileNotFoundError(f"The {what} {path} {absent(path)}.")
    found = read_header(path)
    data, header = read_data(path, found), found.record
    if data.ndim != 3 or np.iscomplexobj(data):
        raise ValueError(
            f"{path} has an array of shape {data.shape} and type {data.dtype}; a {what} must have three axes of real "
            "numbers."
        )
    order = axes_zyx(header, path)
    data = np.ascontiguousarray(np.transpose(data, order), np.float32)
    if not np.isfinite(data).all():
        raise ValueError(f"{path} has voxels that are not finite numbers (NaN or infinite). Make the {what} again.")
    if not np.ptp(data) > 0 and not (what == "mask" and data.flat[0] > 0):  # a mask may let everything through
        raise ValueError(f"{path} is empty: all its voxels are {data.flat[0]:g}.")
    data = of_ordinary_size(data, path)
    voxels = np.full(3, float(pixel_size)) if pixel_size else _voxels(found, path)
    return Volume(str(path), data, voxels, volume_writer.header_origin(header, voxels[::-1])[::-1], order, found)


def write_volume(path: str | os.PathLike[str], data: np.ndarray, like: Volume) -> None:
    """Write (z, y, x) data on the grid of the Volume `like`: its axes, origin and starts; whole or not at all."""
    with files.whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(np.transpose(np.asarray(data, np.float32), np.argsort(like.order).tolist())))
        mrc.set_volume()
        header = like.header
        if header is not None:
            starts, axes = ("nxstart", "nystart", "nzstart"), ("mapc", "mapr", "maps", "mx", "my", "mz")
            for name in (*starts, *axes, "cella", "origin"):
                mrc.header[name] = header.record[name]
            if not np.allclose(header.voxels_zyx, like.voxels_zyx, rtol=1e-3):  # it was wrong, and --pixel-size given
                mrc.header.mz, mrc.header.my, mrc.header.mx = like.data.shape
                mrc.voxel_size = like.pixel_size
        else:
            mrc.voxel_size = tuple(like.voxels_zyx[::-1].tolist())
            mrc.header.origin = tuple(np.asarray(like.origin_zyx)[::-1])


def check_same_grid(volume: Volume, other: Volume, what: str) -> list[str]:
    """Sentences, in a list, if two Volumes of one size begin at different positions by their headers, as those of masks
    and half-maps often do. what: of `other`: 'mask'. Raises ValueError unless they have as many and as large voxels."""
    if volume.data.shape != other.data.shape or not np.allclose(volume.voxels_zyx, other.voxels_zyx, rtol=0.01):
        raise ValueError(
            f"The {what} {other.path} has {sides_of(other.data.shape)} voxels of {other.pixel_size:.4g} Å, the map "
            f"{volume.path} {sides_of(volume.data.shape)} of {volume.pixel_size:.4g} Å. They must have the same grid; "
            "resample one to the grid of the other first."
        )
    moved = not np.allclose(volume.origin_zyx, other.origin_zyx, atol=0.1 * volume.pixel_size)
    if not moved and np.allclose(volume.voxels_zyx, other.voxels_zyx, rtol=1e-3):
        return []
    position = lambda v: ", ".join(f"{value:.2f}" for value in v.origin_zyx[::-1])
    return [
        f"The {what} {other.path} begins at ({position(other)}) Å (x, y, z) by its header, the map {volume.path} at "
        f"({position(volume)}) Å; their voxels are {other.pixel_size:.4g} and {volume.pixel_size:.4g} Å wide. They "
        f"were compared voxel by voxel; if the headers are correct, resample the {what} to the grid of the map first."
    ]


@reader
def read_mask(path: str, volume: Volume, pixel_size: float | None = None) -> tuple[np.ndarray, list[str]]:
    """A mask on the grid of a Volume, (z, y, x) float32 from 0 to 1, and sentences for the user. pixel_size: Å to take
    instead of the header's. Raises FileNotFoundError, or ValueError for a mask of another grid or of nothing."""
    given = read_volume(path, pixel_size, "mask")
    sentences, low, high = check_same_grid(volume, given, "mask"), given.data.min(), given.data.max()
    if high <= 0:
        raise ValueError(
            f"The mask {path} has values from {low:.3g} to {high:.3g}: nothing is inside it. A mask is 1 inside and 0 "
            "outside; give another one, or invert this one."
        )
    if low < -0.01 or high > 1.01:
        sentences.append(
            f"The mask {path} has values from {low:.3g} to {high:.3g}; it was clipped to 0 and 1. Check that it is a "
            "mask and not a map."
        )
    return np.clip(given.data, 0, 1), sentences


def above_solvent(volume: Volume, mask: np.ndarray) -> Volume:
    """A Volume whose level outside of a mask is 0: a mask would draw its own shape into any other, and share it. Its
    standard deviation is 1."""
    outside = mask < 0.01
    level = np.median(volume.data[outside]) if outside.any() else 0
    return dataclasses.replace(volume, data=of_unit_width(volume.data - level))


def of_unit_width(data: np.ndarray) -> np.ndarray:
    """Data over their standard deviation: the squares of very small densities are 0 as float32."""
    return data / np.float32(data.std(dtype=np.float64) or 1)


def check_density(volume: Volume) -> None:
    """Raises ValueError for a mask, and if protein seems to be negative: the long tail of a map's voxels is its
    protein's."""
    wide = bool((volume.voxels_zyx * volume.data.shape).min() >= WIDE * BLUR)
    for blur, tail in ((0.0, TAIL), (BLUR, BLURRED_TAIL))[: 1 + wide]:  # noise hides the tail of a raw map
        data = gaussian_filter(volume.data, blur / volume.voxels_zyx) if blur else volume.data
        values = data - np.median(data)
        low, high = np.percentile(values, [0.05, 99.95])
        if float((values.astype(np.float64) ** 3).mean()) < 0 and -low > tail * high:
            where = f", after a blur of {blur:g} Å" if blur else ""
            raise ValueError(
                f"Protein seems to be negative in {volume.path}{where} (the strongest voxels are {data.min():.3g}, "
                f"the others reach {data.max():.3g}). Invert the map first (relion_image_handler --multiply_constant "
                "-1)."
            )
    highest = volume.data.max()
    same, high = volume.data == highest, volume.data > highest / 2
    flat = same.sum() > FLAT * high.sum() or binary_erosion(same).sum() > SOLID * same.sum()
    two = (same | (volume.data == volume.data.min())).all()  # values: however small, it is a mask
    if highest > 0 and (two or flat and same.sum() > LEAST * same.size):
        raise ValueError(
            f"{volume.path} seems to be a mask, not a map: where it is highest, all has the value {highest:g}. Give "
            "the map."
        )


def _voxels(header: MrcHeader, path: str | os.PathLike[str]) -> np.ndarray:
    voxels = header.voxels_zyx
    if not (np.isfinite(voxels).all() and (voxels > 0).all()):
        raise ValueError(
            f"The header of {path} has no pixel size (it says {' x '.join(f'{v:.3g}' for v in voxels[::-1])} Å). Give "
            "--pixel-size."
        )
    angles = [float(header.record["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    if any(angle not in (0.0, 90.0) for angle in angles):
        raise ValueError(f"{path} has a cell with the angles {angles} degrees; only right angles are supported.")
    if not FINEST <= voxels.min() <= voxels.max() <= min(COARSEST, MAX_UNEQUAL * voxels.min()):
        raise ValueError(
            f"{path} has voxels of {' x '.join(f'{v:.3g}' for v in voxels[::-1])} Å by its header; they must be cubes "
            f"of {FINEST:g} to {COARSEST:g} Å. Correct the header, or give --pixel-size."
        )
    return voxels


INVERTED = -0.1  # correlation of a half-map with the other, or with the map, below which one is upside down
SAME_MAP = 0.99999  # correlation of a map with itself after a change of its numbers' format


def check_contrast(half: Volume, volume: Volume) -> float:
    """The correlation of a half-map with the map of all data, on the same grid; above SAME_MAP they are one map. Raises
    ValueError if it is upside down."""
    found = float(np.corrcoef(half.data.ravel(), volume.data.ravel())[0, 1])
    if found < INVERTED:
        raise ValueError(
            f"The half-map {half.path} and the map {volume.path} have opposite contrast: their correlation is "
            f"{found:.2f}. Invert the one whose protein is negative (relion_image_handler --multiply_constant -1)."
        )
    return found


def check_halves(halves: typing.Sequence[Volume]) -> None:
    """Raises ValueError if both half-maps are the same map, or of opposite contrast."""
    if check_contrast(*halves) > SAME_MAP:
        raise ValueError(
            f"The half-maps {halves[0].path} and {halves[1].path} are the same map. Give the two maps of "
            "independent halves of the data."
        )
