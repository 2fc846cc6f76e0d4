# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading micrographs: MRC (modes 0, 1, 2, 6, 12; plain, .gz, .bz2) and TIFF. Writing them: MRC."""

import os
import struct
import warnings
import zlib

import numpy as np

from .files import whole_file

TIFF_SUFFIXES = (".tif", ".tiff")
_MRC_ERRORS = (ValueError, OSError, EOFError, RuntimeError, zlib.error)  # of mrcfile, gzip and bz2


def read_micrograph(path):
    """The image of a micrograph file, float32 (h, w), rows as RELION counts them: an MRC's as they lie in the file, a
    TIFF's from the last one.

    A stack of one image is taken as the image. Not-a-number pixels are left as they are.
    Raises FileNotFoundError, or ValueError that says what is wrong with the file.
    """
    image = _read_tiff(path) if is_tiff(path) else _read_mrc(path)
    if image.ndim == 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 2:
        raise ValueError(
            f"{path} holds an array of shape {tuple(image.shape)}; a micrograph is one image. "
            "Movies must be averaged (motion-corrected) first."
        )
    if min(image.shape) < 16:
        raise ValueError(f"{path} is {image.shape[1]} x {image.shape[0]} px; that is no micrograph.")
    if np.iscomplexobj(image):
        raise ValueError(f"{path} holds complex numbers (a Fourier transform); give the micrograph itself.")
    return np.ascontiguousarray(image, dtype=np.float32)


def micrograph_shape(path):
    """(h, w) of a micrograph, from its header alone. Raises as read_micrograph does."""
    if is_tiff(path):
        return _read_tiff(path).shape[-2:]
    _check_exists(path)
    import mrcfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, permissive=True, header_only=True) as mrc:
                return int(mrc.header.ny), int(mrc.header.nx)
    except _MRC_ERRORS as error:
        raise ValueError(f"{path} is not a readable MRC file: {error}.") from None


def pixel_size_warnings(paths, pixel_size):
    """Sentences about headers that contradict the pixel size given, or each other. It is used all the same.

    Headers often lie (a binned image with the old value; 1.0 for "unknown" is passed over), so this is no error, but
    nothing makes a picker miss everything as surely as a wrong pixel size. pixel_size: Å/px.
    """
    found = {}
    for path in paths:
        size = _header_pixel_size(path)
        if size is not None and abs(size / pixel_size - 1) > 0.02:
            found.setdefault(round(size, 2), []).append(path)
    return [
        f"The header of {files[0]}{f' and {len(files) - 1} others' if len(files) > 1 else ''} says {size:g} Å/px; "
        f"{pixel_size:g} Å/px (--pixel-size) was used for all micrographs."
        for size, files in sorted(found.items())
    ]


def _header_pixel_size(path):
    """Å/px of an uncompressed MRC header, None if it is not one or says nothing."""
    if str(path).lower().endswith((".gz", ".bz2")) or is_tiff(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        header = file.read(1024)
    if len(header) < 1024:
        return None
    order = ">" if header[212:213] == b"\x11" else "<"
    (columns,) = struct.unpack(order + "i", header[28:32])
    (length,) = struct.unpack(order + "f", header[40:44])
    size = length / columns if columns > 0 else 0
    return size if 0.05 < size < 100 and abs(size - 1) > 1e-3 else None


def write_micrograph(path, image, pixel_size, label=""):
    """Write an (h, w) array as an MRC file of its type, whole or not at all. label: a line for the header, at most 80
    letters."""
    import mrcfile

    with whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(image)
        mrc.voxel_size = pixel_size
        if label:
            mrc.add_label(label)


def is_tiff(path):
    name = str(path).lower()
    for ending in (".gz", ".bz2"):
        name = name[: -len(ending)] if name.endswith(ending) else name
    return name.endswith(TIFF_SUFFIXES)


def _check_exists(path):
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise FileNotFoundError(f"Micrograph {path} {what}.")
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} is empty (0 bytes); it was probably not copied to the end.")


def _read_mrc(path):
    _check_exists(path)
    import mrcfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is raised below, with the file's name
            with mrcfile.open(path, permissive=True) as mrc:
                data, header = mrc.data, mrc.header
                expected = (int(header.nz), int(header.ny), int(header.nx))
                mode = int(header.mode)
    except _MRC_ERRORS as error:
        raise ValueError(f"{path} is not a readable MRC file: {error}.") from None
    if data is None or data.size != np.prod(expected, dtype=np.int64):
        found = 0 if data is None else data.size
        raise ValueError(
            f"{path} is damaged or cut short: its header promises {expected[2]} x {expected[1]} x "
            f"{expected[0]} values of mode {mode}, {found or 'fewer'} could be read. Copy it again."
        )
    return data


def _read_tiff(path):
    _check_exists(path)
    import bz2
    import gzip

    import tifffile

    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(os.path.splitext(path)[1].lower(), open)
    try:
        with opener(path, "rb") as file:
            image = tifffile.imread(file)
    except Exception as error:  # every codec raises types of its own; whichever it is, this file cannot be read
        raise ValueError(f"{path} is not a readable TIFF file: {error}.") from None
    return image[..., ::-1, :]  # a TIFF begins with its top row, and RELION counts y from the bottom (frames.py)
