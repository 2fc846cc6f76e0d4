# SPDX-License-Identifier: GPL-3.0-or-later
"""Structures of Scipion as files that the engine reads."""

import glob
import os
import shutil
from typing import List, Tuple

import mrcfile
from pwem.objects import AtomStruct, EMObject, Volume

from .names import checksum

_MODELS = (".pdb", ".ent", ".cif", ".mmcif")
_MAPS = (".mrc", ".map", ".ccp4", ".rec")
_IMPORTED = "import_"  # what Scipion puts before the name of an imported map, and users do not know


def structureFileOf(structure: EMObject) -> str:
    """The file of an AtomStruct or Volume, without the kind that Scipion may put behind it."""
    return (structure.getFileName() or "").split(":")[0]


def patternProblems(patterns: Tuple[str, ...]) -> List[str]:
    """Sentences about file names and patterns that no file fits."""
    said = []
    for pattern in patterns:
        if os.path.isdir(pattern):
            said.append(f"{pattern} is a folder; give its files, for example '{pattern.rstrip('/')}/*.cif'.")
        elif not os.path.exists(pattern) and not glob.glob(pattern):
            said.append(f"No file matches {pattern!r}. Give a file name, or a pattern such as 'structures/*.cif'.")
    return said


def stemOf(path: str) -> str:
    """Name of a structure's file without folder and ending."""
    name = os.path.basename(path)
    return os.path.splitext(name[:-3] if name.endswith(".gz") else name)[0]


def structureProblem(structure: EMObject) -> str:
    """A sentence about a structure that cannot be used, or ''."""
    path = structureFileOf(structure)
    known = _MODELS if isinstance(structure, AtomStruct) else _MAPS
    name = path[:-3] if path.endswith(".gz") and known is _MODELS else path
    if not os.path.isfile(path):
        return f"The file of the structure, {path or '(no name)'}, does not exist. Import the structure again."
    if not name.lower().endswith(known):
        return (
            f"The structure is in {path}; its name must end in one of {', '.join(known)}. Convert and import it again."
        )
    if known is _MAPS and (structure.getSamplingRate() or 0) <= 0:
        return f"The map {path} has no pixel size (sampling rate). Import it again with its pixel size."
    return ""


def structureForEngine(structure: Volume, folder: str, named: bool = False) -> str:
    """Path of a structure for the engine; of a map a copy in `folder` with the pixel size of Scipion's object.

    The engine takes a map's pixel size from the header, which Scipion does not believe. named: the copy has the map's
    name, in a folder of its own, where the engine calls what it makes by the name of the file.
    """
    path = structureFileOf(structure)
    if isinstance(structure, AtomStruct):
        return path
    # named by the file, so that another input is another file, and a run that continues finds its own untouched
    key = checksum(path, structure.getSamplingRate())
    stem = stemOf(path)
    known = stem[len(_IMPORTED) :] if stem.startswith(_IMPORTED) else stem
    # a run of an earlier version goes on with the name that it gave
    copies = [os.path.join(folder, *([key, n + ".mrc"] if named else [f"{n}_{key}.mrc"])) for n in (stem, known)]
    copy = copies[0] if os.path.exists(copies[0]) else copies[1]
    if os.path.exists(copy):
        return copy
    os.makedirs(os.path.dirname(copy) or ".", exist_ok=True)
    shutil.copyfile(path, copy + ".tmp")
    with mrcfile.open(copy + ".tmp", "r+", permissive=True) as mrc:
        mrc.voxel_size = structure.getSamplingRate()
    os.replace(copy + ".tmp", copy)
    return copy
