# SPDX-License-Identifier: GPL-3.0-or-later
"""SetOfTomograms and SetOfTomoMasks: their names and files for the engine, and sets of what it made of them; STAR files
of positions in tomograms as SetOfCoordinates3D.

Items of a set are read into clones first: while a set is iterated, any other access to it ends it silently.
The engine counts x, y, z in px from the first voxel's centre, as an index into the array [z, y, x] does: in tomo's
words BOTTOM_LEFT_CORNER. Orientations are RELION's rot, tilt, psi; matrices are those of relion_star.py."""

import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import mrcfile
from pwem.objects import Volume
from pyworkflow.object import Float, String
from tomo.constants import BOTTOM_LEFT_CORNER, SCIPION
from tomo.objects import (
    Coordinate3D,
    SetOfCoordinates3D,
    SetOfTomograms,
    SetOfTomoMasks,
    TomoAcquisition,
    Tomogram,
    TomoMask,
)

from ...engine.cryodl.contract import rescaled
from ..maps import structureFileOf as fileOf
from ..names import namesForEngine
from ..reading import ENABLED
from ..relion_star import ANGLES, columnsOf, matrixOf, readColumns, writeTable

# Attributes of a set of score volumes: the feature, its threshold, and whose drawings and which models made it.
FEATURE, THRESHOLD, MODELS = "_cryodlFeature", "_cryodlThreshold", "_cryodlModels"
# Attribute of a set of label volumes: the names of labels 1, 2, ... in this order, one after another by commas.
FEATURES = "_cryodlFeatures"
# Attribute of denoised tomograms and their sets: the model that made them.
DENOISER = "_cryodlDenoiser"
# Files that the engine reads as MRC, whatever their name says.
MRC_ENDINGS = (".mrc", ".rec", ".st", ".map", ".ccp4", ".ali", ".mrcs")


def idOf(tomogram: Tomogram) -> str:
    """What tells a tomogram, or the mask of one, from others: its tsId; of old sets the name of its file."""
    return tomogram.getTsId() or os.path.splitext(os.path.basename(fileOf(tomogram)))[0]


def clonesOf(volumes: SetOfTomograms) -> List[Tomogram]:
    return [item.clone() for item in volumes.iterItems(where=ENABLED)]


def byId(volumes: SetOfTomograms) -> Dict[str, Tomogram]:
    """{tsId: item} of a set of tomograms or masks."""
    return {idOf(item): item for item in clonesOf(volumes)}


def engineNames(volumes: Union[List[Tomogram], SetOfTomograms]) -> Dict[str, str]:
    """{tsId: name for the engine} of a set, or of a list of items."""
    items = volumes if isinstance(volumes, list) else clonesOf(volumes)
    names = namesForEngine(((item.getObjId(), idOf(item)) for item in items), "tomogram")
    return {idOf(item): names[item.getObjId()] for item in items}


def tomogramFileOf(item: TomoMask) -> Optional[str]:
    """File of a tomogram, or of the tomogram of a mask; None if the mask does not say, or if that is gone."""
    if not isinstance(item, TomoMask):
        return fileOf(item)
    path = (item.getVolName() or "").split(":")[0]
    return path if os.path.exists(path) else None


def tomogramsBehind(masks: Sequence[TomoMask]) -> Any:
    """[file] of the tomograms of a list of masks, of the same size; None unless all are there."""
    files = [tomogramFileOf(mask) for mask in masks]
    if not all(path and path.lower().endswith(MRC_ENDINGS) for path in files):
        return None
    return files if [sizeOfFile(path) for path in files] == [sizeOf(mask) for mask in masks] else None


def sizeOf(volume: Volume) -> Any:
    """(x, y, z) px of an item's file by its header, whatever the name of the file is."""
    return sizeOfFile(fileOf(volume))


def sizeOfFile(path: Optional[str]) -> Tuple[int, ...]:
    with mrcfile.open(path, header_only=True, permissive=True) as mrc:
        return tuple(int(mrc.header[name]) for name in ("nx", "ny", "nz"))


def maskOf(tomogram: Tomogram, path: str) -> TomoMask:
    """A TomoMask in the place of a tomogram: same tsId, pixel size, origin and acquisition; path: its volume."""
    mask = TomoMask()
    mask.copyInfo(tomogram)
    mask.setFileName(path)
    mask.setSamplingRate(tomogram.getSamplingRate())
    mask.setTsId(idOf(tomogram))
    # a mask of a mask is one of the same tomogram
    mask.setVolName(tomogram.getVolName() if isinstance(tomogram, TomoMask) else tomogram.getFileName())
    return mask


def markScores(masks: SetOfTomoMasks, feature: str, threshold: float, models: str) -> None:
    setattr(masks, FEATURE, String(feature))
    setattr(masks, THRESHOLD, Float(threshold))
    setattr(masks, MODELS, String(models))


def markLabels(masks: SetOfTomoMasks, features: Sequence[str]) -> None:
    for name in (FEATURE, THRESHOLD, MODELS):
        if masks.hasAttribute(name):  # copyInfo of scores hands on what they say of themselves
            delattr(masks, name)
    setattr(masks, FEATURES, String(", ".join(features)))


def featureOf(masks: SetOfTomoMasks) -> str:
    return masks.getAttributeValue(FEATURE, None) or ""


def featuresOf(masks: SetOfTomoMasks) -> List[str]:
    """Names of labels 1, 2, ... of a set of label volumes, [] if they are not known."""
    return [name.strip() for name in (masks.getAttributeValue(FEATURES, None) or "").split(",") if name.strip()]


def halfTomogramsOf(tomogram: Any) -> List[str]:
    """[even, odd] files of a tomogram; [] if it has none."""
    files = [path for path in tomogram.getHalfMaps(asList=True) if path] if tomogram.hasHalfMaps() else []
    return [path.split(":")[0] for path in files] if len(files) == 2 else []


def appendTomograms(
    tomograms: SetOfTomograms, files: Dict[str, str], even: Dict[str, str], odd: Dict[str, str]
) -> Dict[str, Tomogram]:
    """Append all to a SetOfTomograms, which has pixel size and acquisition. files: {name: path}; the name is the tsId.
    even, odd: the same of half tomograms, or empty. Returns {name: Tomogram with its id}."""
    made = {}
    for name, path in sorted(files.items()):
        tomogram = Tomogram()
        tomogram.setFileName(path)
        tomogram.setSamplingRate(tomograms.getSamplingRate())
        tomogram.setTsId(name)
        acquisition = TomoAcquisition()
        acquisition.copy(tomograms.getAcquisition())
        tomogram.setAcquisition(acquisition)
        tomogram.setOrigin()  # the middle, as tomo has it
        if name in even:
            tomogram.setHalfMaps([even[name], odd[name]])
        tomograms.append(tomogram)
        made[name] = tomogram.clone()
    return made


POSITION = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
SCORE, PIECE, VOLUME, STRUCTURE = "cryodlScore", "cryodlPiece", "cryodlVolume", "cryodlStructure"
Q = "cryodlQ"  # estimated part of look-alikes among detections of such a score
SPECIES = "cryodlSpecies"
_TABLE = "particles"  # of all files of 3-D coordinates that the engine writes


def readCoordinates3D(path: Any) -> List[Dict[str, Any]]:
    """[{column: value}] of the rows of a STAR file; columns that the file lacks are absent."""
    kinds = dict(
        {name: float for name in POSITION + ANGLES + (SCORE, VOLUME, Q)},
        **{PIECE: lambda text: int(float(text)), STRUCTURE: str, SPECIES: str},
    )
    there = [*POSITION, *(name for name in columnsOf(path, _TABLE) if name in kinds and name not in POSITION)]
    return [dict(zip(there, row)) for row in readColumns(path, there, [kinds[name] for name in there], _TABLE)]


def appendCoordinates3D(
    coordinates: SetOfCoordinates3D,
    tomogram: Tomogram,
    rows: Sequence[Dict[str, Any]],
    groups: Any = None,
    scale: float = 1.0,
) -> None:
    """Append rows of readCoordinates3D to a SetOfCoordinates3D, or a SetOfMeshes. tomogram: the one that the positions
    lie in, of the set's precedents. groups: {structure or species: group number}; None: the number of the piece is the
    group. scale: px of this tomogram per px of the volume of the rows; the two cover the same space."""
    for row in rows:
        item = coordinates.ITEM_TYPE()
        item.setVolume(tomogram)  # before the position, which needs the origin
        item.setPosition(*[rescaled(row[name], scale) for name in POSITION], BOTTOM_LEFT_CORNER)
        item.setTomoId(tomogram.getTsId())
        item.setGroupId(row.get(PIECE, 0) if groups is None else groups.get(speciesOfRow(row), 0))
        item.setScore(row.get(SCORE, 0.0))
        if ANGLES[0] in row:
            item.setMatrix(matrixOf([row[name] for name in ANGLES], (0.0, 0.0, 0.0)))
        for name, kind in ((VOLUME, Float), (Q, Float), (STRUCTURE, String), (SPECIES, String)):
            if name in row:
                setattr(item, "_" + name, kind(row[name]))
        coordinates.append(item)


def speciesOfRow(row: Dict[str, Any]) -> Any:
    """What a row of readCoordinates3D is of; None if it does not say."""
    return row.get(SPECIES, row.get(STRUCTURE))


def speciesOf(item: Coordinate3D, otherwise: Any) -> Any:
    """What a Coordinate3D is of: what cryodl noted on it, else `otherwise`."""
    noted = [item.getAttributeValue("_" + name, None) for name in (SPECIES, STRUCTURE)]
    return next((name for name in noted if name), otherwise)


def writeCoordinates3D(
    path: str, sets: Sequence[Tuple[SetOfCoordinates3D, str]], tomograms: Any, names: Dict[str, str]
) -> int:
    """STAR file of coordinates for the engine, in px of the tomograms. sets: [(SetOfCoordinates3D, species of those
    that do not say)]. tomograms: SetOfTomograms that the engine is given. names: {tsId: name for the engine}.
    Coordinates of other tomograms are left out. Returns how many were written."""
    known = byId(tomograms)

    def rows() -> Iterator[Tuple[Any, ...]]:
        for coordinates, otherwise in sets:
            scale, own = coordinates.getSamplingRate() / tomograms.getSamplingRate(), byId(coordinates.getPrecedents())
            for item in coordinates.iterItems(where=ENABLED):
                tsId = item.getTomoId()
                if tsId in known:
                    item.setVolume(own.get(tsId, known[tsId]))
                    corner = item.getPosition(BOTTOM_LEFT_CORNER)
                    if tsId not in own:  # of joined sets Scipion keeps the first one's: the middle of ours is the same
                        corner = [at + (c - at) / scale for at, c in zip(item.getPosition(SCIPION), corner)]
                    yield (names[tsId], *(rescaled(value, scale) for value in corner), speciesOf(item, otherwise))

    return writeTable(path, "particles", ("rlnTomoName",) + POSITION + (SPECIES,), rows())
