# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of Scipion as files that the engine reads, in the frame of atomic models.

Where a map lies is told twice: by Scipion's origin (Å of the first voxel, by default that of a map about 0) and by the
file's header, which the engine and ChimeraX believe. They often differ: an imported map of the EMDB has Scipion's
default origin and the deposited header. The model lies in one of the two; the density at its atoms tells in which."""

import collections
import glob
import gzip
import os
import shutil
from typing import Any, Iterator, List, Optional, Sequence, TextIO, Tuple

import mrcfile
import numpy as np
from pwem.emlib.image import ImageHandler
from pwem.objects import AtomStruct, EMObject, SetOfVolumes, Transform, Volume, VolumeMask

from ..engine.cryodl.contract import absent
from .form import sayIf
from .names import checksum

_MODELS = (".pdb", ".ent", ".cif", ".mmcif")
_MAPS = (".mrc", ".map", ".ccp4", ".rec")
_IMPORTED = "import_"  # what Scipion puts before the name of an imported map, and users do not know


def structureFileOf(structure: EMObject) -> str:
    """The file of an AtomStruct or Volume, without the kind that Scipion may put behind it."""
    return (structure.getFileName() or "").split(":")[0]


def patternProblems(patterns: Tuple[str, ...]) -> List[str]:
    folders = [pattern for pattern in patterns if os.path.isdir(pattern)]
    missing = [pattern for pattern in patterns if not os.path.exists(pattern) and not glob.glob(pattern)]
    return [f"{name} is a folder; give its files, for example '{name.rstrip('/')}/*.cif'." for name in folders] + [
        f"No file matches {name!r}. Give a file name, or a pattern such as 'structures/*.cif'." for name in missing
    ]


def stemOf(path: str) -> str:
    name = os.path.basename(path)
    return os.path.splitext(name[:-3] if name.endswith(".gz") else name)[0]


def structureProblem(structure: EMObject) -> List[str]:
    path, known = structureFileOf(structure), _MODELS if isinstance(structure, AtomStruct) else _MAPS
    return (
        sayIf(
            not os.path.isfile(path),
            f"The file of the structure, {path or '(no name)'}, {absent(path)}. Import the structure again.",
        )
        or sayIf(
            not (path[:-3] if path.endswith(".gz") and known is _MODELS else path).lower().endswith(known),
            f"The structure is in {path}; its name must end in one of {', '.join(known)}. Convert and import it again.",
        )
        or (mapProblem(structure) if known is _MAPS else [])
    )


def mapProblem(volume: Volume, what: str = "map") -> List[str]:
    """What is wrong with a map, before it is read. what: its name in sentences."""
    path = structureFileOf(volume)
    return (
        sayIf(
            not os.path.isfile(path), f"The file of the {what}, {path or '(no name)'}, {absent(path)}. Import it again."
        )
        or sayIf(
            not volume.getSamplingRate() or volume.getSamplingRate() <= 0,
            f"The {what} {path} has no pixel size (sampling rate). Import it again with its pixel size.",
        )
        or sayIf(
            isMrc(volume) and insteadOfHeader(path),
            f"The {what} {path} begins with {insteadOfHeader(path)}, not with an MRC header. Import the map itself.",
        )
    )


def insteadOfHeader(path: str) -> str:
    """What is found where an MRC file has its header; empty if that may be one."""
    with open(path, "rb") as file:
        head = file.read(1024)
    return f"only {len(head)} bytes" if len(head) < 1024 else "text" if head.isascii() and b"\0" not in head else ""


def structureForEngine(structure: Volume, folder: str, named: bool = False) -> str:
    """Path of a structure for the engine; of a map a copy in `folder` with the pixel size of Scipion's object. The
    engine takes a map's pixel size from the header, which Scipion does not believe. named: the copy has the map's name,
    in a folder of its own, where the engine calls what it makes by the name of the file."""
    path = structureFileOf(structure)
    if isinstance(structure, AtomStruct):
        return path
    # named by the file, so that another input is another file, and a run that continues finds its own untouched
    number = [max(1, structure.getIndex())] * isOneOfStack(structure)
    key, stem = checksum(path, structure.getSamplingRate(), *number), "_".join([stemOf(path), *map(str, number)])
    known = stem[len(_IMPORTED) :] if stem.startswith(_IMPORTED) else stem
    # a run of an earlier version goes on with the name that it gave
    copies = [os.path.join(folder, *([key, n + ".mrc"] if named else [f"{n}_{key}.mrc"])) for n in (stem, known)]
    copy = copies[0] if os.path.exists(copies[0]) else copies[1]
    return copy if os.path.exists(copy) else _copyMap(structure, copy, alone=not number)


def positionsOf(path: str, maximum: Optional[int] = None) -> np.ndarray:
    """(n, 3) x, y, z in Å of the atoms of a .pdb or .cif file (also .gz). maximum: of them, evenly spaced. Raises
    ValueError if the file has no atoms."""
    with gzip.open(path, "rt", errors="replace") if path.endswith(".gz") else open(path, errors="replace") as file:
        name = path[:-3] if path.endswith(".gz") else path
        positions = list(_ofCif(file) if name.lower().endswith((".cif", ".mmcif")) else _ofPdb(file))
    if not positions:
        raise ValueError(f"{path} contains no atoms. Import the atomic model again.")
    return np.array(positions[:: max(1, -(-len(positions) // maximum))] if maximum else positions)


def _ofPdb(lines: TextIO) -> Iterator[List[float]]:
    for line in lines:
        if line.startswith(("ATOM  ", "HETATM")):
            yield [float(line[first : first + 8]) for first in (30, 38, 46)]
        elif line.startswith("ENDMDL"):
            return


def _ofCif(lines: TextIO) -> Iterator[List[float]]:
    columns = []
    for line in lines:
        if line.startswith("_atom_site."):
            columns.append(line.split()[0])
        elif columns and line.startswith(("ATOM", "HETATM")):
            words = line.split()
            if len(words) == len(columns):  # a name with a blank in it: one atom more or less tells nothing
                yield [float(words[columns.index("_atom_site.Cartn_" + axis)]) for axis in "xyz"]


AUTOMATIC, SCIPION, HEADER = range(3)
FRAMES = ("by the density", "Scipion's origin of the map", "the header of the map's file")
_ROUNDED = 1e-3  # of a pixel size that was typed in

# where the first voxel's centre lies: xyz, Å. word: of FRAMES, or why it was chosen
Frame = collections.namedtuple("Frame", "xyz word")


def isMrc(volume: Volume) -> bool:
    known = structureFileOf(volume).lower().endswith((".mrc", ".map", ".ccp4")) and volume.getIndex() <= 1
    return known and not isOneOfStack(volume)


def isOneOfStack(structure: EMObject) -> bool:
    """Whether an MRC file holds a stack of maps, if of one alone, by the number of its space group."""
    path = structureFileOf(structure)
    words = np.fromfile(path if os.path.isfile(path) else os.devnull, "<i4", 23)
    return len(words) == 23 and bool(401 <= words[22] <= 630)


def halfMapsOf(volume: Volume) -> List[str]:
    """[file, file] of a Volume's half-maps, [] if it has none."""
    halves = [path for path in (volume.getHalfMaps() or "").split(",") if path]
    return halves if len(halves) == 2 else []


def scipionOrigin(volume: Volume) -> Tuple[float, ...]:
    """(x, y, z) Å of the first voxel, by Scipion's object."""
    return tuple(float(shift) for shift in volume.getOrigin(force=True).getShifts())


def headerOrigin(path: str, pixelSize: float) -> Any:
    """(x, y, z) Å of the first voxel, by the header of an MRC file; its start of the grid counts where that is 0."""
    with mrcfile.open(path, header_only=True, permissive=True) as mrc:
        header = mrc.header
        origin = tuple(float(header.origin[axis]) for axis in "xyz")
        starts = (int(header.nxstart), int(header.nystart), int(header.nzstart))
        return origin if any(origin) else tuple(float(starts[axis] * pixelSize) for axis in np.argsort(_axes(header)))


def _axes(header: Any) -> List[int]:
    """0, 1, 2 for x, y, z of the file's columns, rows and sections."""
    axes = [int(header.mapc) - 1, int(header.mapr) - 1, int(header.maps) - 1]
    return axes if sorted(axes) == [0, 1, 2] else [0, 1, 2]


def headerWarnings(chosen: Sequence[Any]) -> List[str]:
    """Sentences about maps, also in sets, whose headers contradict Scipion's pixel size. Tomograms, which have classes
    of their own, are left to the engine; a header of 0 or 1 Å tells nothing."""
    said, several = [], [found if type(found) is SetOfVolumes else [found] for found in chosen]
    for volume in (v for found in several for v in found if type(v) in (Volume, VolumeMask)):
        path, size = structureFileOf(volume), volume.getSamplingRate()
        sizes = voxelsOf(path) if isMrc(volume) and os.path.isfile(path) else (size,)
        if not (min(sizes) <= 0 or set(sizes) == {1.0} or np.allclose(sizes, size, rtol=_ROUNDED)):
            equal = max(sizes) <= (1 + _ROUNDED) * min(sizes)
            said.append(
                f"The voxels of {path} are {' x '.join(f'{one:.4g}' for one in sizes)} Å according to its header; "
                f"Scipion's pixel size of {size:.4g} Å, from the import, is used instead. If the header is right, "
                + ("import the map again with its pixel size." if equal else "resample the map first.")
            )
    return said


def voxelsOf(path: str) -> Tuple[float, ...]:
    """(x, y, z) Å of a voxel, by the header of an MRC file."""
    with mrcfile.open(path, header_only=True, permissive=True) as mrc:
        return tuple(float(mrc.voxel_size[axis]) for axis in "xyz")


def frameOf(volume: Volume, structure: str, choice: int = AUTOMATIC) -> "Frame":
    """Frame in which a map and an atomic model (its file) belong together. choice: position in FRAMES. Where Scipion's
    origin and the header differ, and the choice is automatic, it is the one by which the map is denser at the atoms."""
    ours = scipionOrigin(volume)
    if not isMrc(volume):
        return Frame(ours, FRAMES[SCIPION])
    theirs = headerOrigin(structureFileOf(volume), volume.getSamplingRate())
    if choice != AUTOMATIC:
        return Frame(theirs if choice == HEADER else ours, FRAMES[choice])
    if np.allclose(ours, theirs, atol=0.1 * volume.getSamplingRate()):
        return Frame(theirs, "Scipion's origin and the header agree")
    atoms = positionsOf(structure, 20000)  # atoms: more tell no more
    found = [_densityAt(volume, origin, atoms) for origin in (ours, theirs)]
    best = HEADER if found[1] > found[0] else SCIPION
    return Frame((ours, theirs)[best == HEADER], f"{FRAMES[best]}, with which the map has higher density at the atoms")


def _densityAt(volume: Volume, origin: Any, atoms: np.ndarray) -> float:
    """Mean density at atoms (n, 3) Å, x, y, z; outside of the map it counts as the map's median."""
    with mrcfile.mmap(structureFileOf(volume), permissive=True) as mrc:
        # array axes are sections, rows, columns; with x, y, z behind each other a position is an index
        data = np.transpose(mrc.data, [2 - int(position) for position in np.argsort(_axes(mrc.header))])
        voxels = np.rint((atoms - np.array(origin)) / volume.getSamplingRate()).astype(int)
        inside = ((voxels >= 0) & (voxels < data.shape)).all(axis=1)
        values = np.full(len(atoms), np.median(data[::4, ::4, ::4]), float)
        values[inside] = data[tuple(voxels[inside].T)]
        return values.mean()


def mapForEngine(
    volume: Volume, folder: str, origin: Optional[Tuple[float, float, float]] = None, pixelSize: bool = False
) -> str:
    """Path of a map for the engine: the file itself, or a copy in `folder` where its header must say something else.
    origin: (x, y, z) Å that the header has to have; None for what it has. pixelSize: whether the header has to have
    Scipion's pixel size; else the engine is told it."""
    path, size = structureFileOf(volume), volume.getSamplingRate()
    right = isMrc(volume) and (not pixelSize or np.allclose(voxelsOf(path), size, rtol=1e-4))
    if right and (origin is None or np.allclose(origin, headerOrigin(path, size), atol=1e-3)):
        return path
    # half-maps of two folders may have one name
    number = [str(max(1, volume.getIndex()))] * isOneOfStack(volume)
    stem = "_".join([os.path.splitext(os.path.basename(path))[0], *number])
    copy = f"map_{stem}_{checksum(path, volume.getIndex(), size)}.mrc"
    place: Any = scipionOrigin(volume) if origin is None else origin
    return _copyMap(volume, os.path.join(folder, copy), isMrc(volume), place)


def halfForEngine(path: str, volume: Volume, folder: str, origin: Optional[Tuple[float, float, float]] = None) -> str:
    half = volume.clone()
    half.setLocation(path)
    return mapForEngine(half, folder, origin)


def _copyMap(volume: Volume, copy: str, alone: bool, origin: Any = None) -> str:
    """Copy a map, or convert one that is not alone in an MRC file. origin: see mapForEngine; None: the file's."""
    os.makedirs(os.path.dirname(copy) or ".", exist_ok=True)
    temporary = copy + ".tmp.mrc"
    if alone:
        shutil.copyfile(structureFileOf(volume), temporary)
    else:
        ImageHandler().convert(volume, temporary)
    with mrcfile.open(temporary, "r+", permissive=True) as mrc:
        if origin is not None:
            for name, position in zip(("mx", "my", "mz"), np.argsort(_axes(mrc.header))):
                mrc.header[name] = mrc.data.shape[::-1][position]
            mrc.header.ispg = max(1, int(mrc.header.ispg))
            mrc.header.nxstart = mrc.header.nystart = mrc.header.nzstart = 0
            mrc.header.origin = tuple(origin)
        mrc.voxel_size = volume.getSamplingRate()
    os.replace(temporary, copy)
    return copy


def originTransformOf(path: str, pixelSize: float) -> Transform:
    """Scipion's origin of a map that lies where its header says."""
    transform = Transform()
    transform.setShifts(*headerOrigin(path, pixelSize))
    return transform
