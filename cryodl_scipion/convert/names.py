# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files that are written for an input, and of a set's micrographs for the engine.

Scipion gives the outputs of a run new object ids whenever a project is refreshed, so a name that is made of such an id
is another one when the run is continued. Files keep their names."""

import collections
import re
import zlib
from typing import Any, Dict, Iterable, List, Sequence, Set

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfImages

# The engine leaves these endings out when it matches a coordinate file with its micrograph.
_IMAGE_ENDING = re.compile(r"\.(mrc|mrcs|tif|tiff|map)(\.gz|\.bz2)?$", re.IGNORECASE)
_PICK_ENDING = re.compile(r"(_autopick|_manualpick|_pick|_extract|\.star|\.box|\.txt|\.gz|\.bz2)$", re.IGNORECASE)


def micrographNames(micrographs: Sequence[Micrograph]) -> Dict[int, str]:
    """{id: name} of Micrograph objects, see namesForEngine."""
    return namesForEngine((m.getObjId(), m.getMicName()) for m in micrographs)


def namesByMicName(micrographs: Any) -> Dict[str, str]:
    """{micName: name} of a SetOfMicrographs, see namesForEngine."""
    items = [micrograph.clone() for micrograph in micrographs]
    names = micrographNames(items)
    return {item.getMicName(): names[item.getObjId()] for item in items}


def namesForEngine(named: Iterable[Any], otherwise: str = "micrograph") -> Dict[int, str]:
    """{id: name} with unique names that can be file names. named: (id, name in Scipion) of items. The name is that of
    Scipion without extension; where two would be the same, those with the higher ids get the id as well. So a name does
    not change while a stream grows. otherwise: the name of those without any."""
    names: Dict[int, str] = {}
    _extend(names, set(), named, otherwise)
    return names


def _extend(names: Dict[int, str], taken: Set[str], named: Iterable[Any], otherwise: str) -> None:
    for objId, given in sorted((objId, given or "") for objId, given in named):
        name = re.sub(r"[/@\s]", "_", _IMAGE_ENDING.sub("", given)).lstrip(".")
        if not name or name in taken or _PICK_ENDING.search(name):
            name = f"{name or otherwise}_{objId:06d}"
        while name in taken:
            name += f"_{objId:06d}"
        taken.add(name)
        names[objId] = name


class NamesOnce:
    """namesForEngine of a set that grows: the names that are known are not made again."""

    def __init__(self) -> None:
        self._names: Dict[int, str] = {}
        self._taken: Set[str] = set()

    def of(self, named: Dict[Any, int]) -> Dict[int, str]:
        """{id: name for the engine}, not to be changed. named: {name in Scipion: id} of all items by now."""
        new = [(objId, name) for name, objId in named.items() if objId not in self._names]
        lower = bool(self._names and new) and min(new)[0] < next(reversed(self._names))
        if lower or len(named) != len(self._names) + len(new):
            self._names, self._taken = {}, set()  # an item with a lower id may take a name that was given
            new = [(objId, name) for name, objId in named.items()]
        _extend(self._names, self._taken, new, "micrograph")
        return self._names


def imageEnding(path: str) -> str:
    """'.mrc', '.tif.gz' ...; '' for an ending that is no image's."""
    found = _IMAGE_ENDING.search(path)
    return found.group(0) if found else ""


def repeatedNames(micrographs: Any) -> List[str]:
    counts = collections.Counter(micrograph.getMicName() for micrograph in micrographs)
    return sorted(name for name, count in counts.items() if count > 1)


def inputName(kind: str, source: SetOfImages) -> str:
    """Name for files written from an input set, such as 'particles_1c291ca3_120'; another set has another name."""
    return f"{kind}_{checksum(source.getFileName(), source.getPrefix() or '')}_{source.getSize()}"


def checksum(*words: Any) -> str:
    """Eight letters that tell apart what words (paths, numbers) tell apart."""
    return format(zlib.crc32("\n".join(map(str, words)).encode("utf-8", "surrogateescape")), "08x")


def emptyFolder(path: str) -> str:
    pwutils.cleanPath(path)
    pwutils.makePath(path)
    return path


def withoutChecksum(text: str) -> str:
    """A file's name, or a sentence with one, as the user knows it: without the letters that checksum() gave, the run's
    folder of inputs, and what Scipion's import puts before it."""
    text = re.sub(r"\b(?:map_)?import_(?=[^\s/]+\.(mrc|map|pdb|cif)\b)", "", text)
    text = re.sub(r"[^\s,;'(]*\b(particles|subtomograms)_[0-9a-f]{8}_(\d+)\.star\b", r"a set of \2 \1", text)
    return re.sub(r"(?:[^\s,;'(]*/extra/input/)?([^\s/]+)_[0-9a-f]{8}(?=\.(mrc|map|pdb|cif)\b)", r"\1", text)
