# SPDX-License-Identifier: GPL-3.0-or-later
"""SetOfTomograms and SetOfTomoMasks: their names and files for the engine, and sets of what it made of them.

Items of a set are read into clones first: while a set is iterated, any other access to it ends it silently."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import mrcfile
from pwem.objects import Volume
from pyworkflow.object import Float, String
from tomo.objects import SetOfTomograms, SetOfTomoMasks, TomoAcquisition, Tomogram, TomoMask

from ..maps import structureFileOf as fileOf
from ..names import namesForEngine
from ..reading import ENABLED

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
