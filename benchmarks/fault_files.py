# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that are broken in ten ways."""

import gzip
import os
import struct
from pathlib import Path

import mrcfile
import numpy as np
import tifffile


def spoil(folder: Path) -> int:
    """mics/ in a folder: two good micrographs and ten bad files. Returns the number of bad ones."""
    mics, good = folder / "mics", sorted((folder / "data/sim/micrographs").glob("*.mrc"))[:2]
    mics.mkdir()
    for path in good:
        (mics / path.name).write_bytes(path.read_bytes())
    whole = good[0].read_bytes()
    with mrcfile.open(good[0]) as mrc:
        image = np.array(mrc.data, np.float32)
    side = len(image)
    files = {
        "cut.mrc": whole[: len(whole) // 2],
        "empty.mrc": b"",
        "extended.mrc": _patched(whole, 92, "<i", 2**31 - 1),
        "large.mrc": _patched(whole, 0, "<ii", 10**6, 10**6),
        "expands.mrc.gz": gzip.compress(_patched(whole, 0, "<ii", 40000, 40000) + bytes(1 << 20)),
        "nan.mrc": whole[:1024] + np.full((side, side), np.nan, np.float32).tobytes(),
    }
    for name, values in files.items():
        (mics / name).write_bytes(values)
    tifffile.imwrite(mics / "tag.tif", image)
    tag = bytearray((mics / "tag.tif").read_bytes())
    (start,) = struct.unpack_from("<I", tag, 4)
    struct.pack_into("<HHI", tag, start + 2 + 12, 257, 99, 2**31)  # type and count of the second tag
    (mics / "tag.tif").write_bytes(tag)
    tifffile.imwrite(mics / "movie.tif", np.stack([image, image]), photometric="minisblack")
    tifffile.imwrite(mics / "overflow.tif", image.astype(np.float64) * 1e300)
    with open(os.fsencode(mics) + b"/name\xe9.mrc", "wb") as file:
        file.write(whole)
    return len(files) + 4


def _patched(whole, offset, form, *values):
    data = bytearray(whole)
    struct.pack_into(form, data, offset, *values)
    return bytes(data)
