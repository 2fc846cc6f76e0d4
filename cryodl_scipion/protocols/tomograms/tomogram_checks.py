# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of tomograms, masks, annotations and subtomograms before a run: sentences for the form."""

import os
from typing import Any, Iterable, List, Optional, Sequence, Set, Union

from pwem.objects import EMSet
from tomo.objects import SetOfTomograms, SetOfTomoMasks, Tomogram

from ...convert.tomograms.subtomograms import classNumbers, fileOf, imagesOf
from ...convert.tomograms.tomograms import MRC_ENDINGS, byId, clonesOf, featureOf, featuresOf, idOf, sizeOf
from ...engine.cryodl.contract.annotations import check_name, read_tiles
from ..checks import listed

# Subtomograms of one class below which nothing can be learned.
MIN_OF_CLASS = 4


def checkTomograms(volumes: SetOfTomograms, what: str = "tomograms") -> List[str]:
    """What is wrong with a set of tomograms or masks: empty, without pixel size, of another format, absent."""
    if volumes.getSize() == 0 and not volumes.isStreamOpen():
        return [f"The set of {what} is empty. Choose another."]
    if not volumes.getSamplingRate() or volumes.getSamplingRate() <= 0:
        return [f"The {what} have no pixel size (sampling rate). Import them again with their pixel size."]
    items = clonesOf(volumes)
    names = [idOf(item) for item in items]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        return [
            f"Several {what} have the same name (tsId): {listed(repeated)}. Tomograms are identified by it; import "
            "them with different names."
        ]
    return [f"The {what} cannot be used: {problem}" for problem in [_filesProblem(items)] if problem]


def _filesProblem(items: Sequence[Tomogram]) -> str:
    strange = sorted(fileOf(item) for item in items if not fileOf(item).lower().endswith(MRC_ENDINGS))
    if strange:
        return (
            f"{listed(strange)} does not have the name of an MRC file ({', '.join(MRC_ENDINGS)}). Convert the "
            "volumes to MRC and import them again."
        )
    lost = sorted(fileOf(item) for item in items if not os.path.exists(fileOf(item)))
    if lost:
        return f"{listed(lost)} does not exist. Restore it, or import it again."
    for item in items:
        try:
            sizeOf(item)
        except (ValueError, OSError, EOFError) as error:
            return f"{fileOf(item)} is not a readable MRC file ({error})."
    return ""


def checkPaired(
    tomograms: SetOfTomograms, masks: SetOfTomoMasks, what: str = "label volumes", other: str = "tomograms"
) -> List[str]:
    """What is wrong with masks of tomograms: of others, or of another size. Both sets are good by themselves."""
    known = byId(tomograms)
    for mask in clonesOf(masks):
        tomogram = known.get(idOf(mask))
        if tomogram is None:
            return [
                f"The {what} of {idOf(mask)} match none of the {other}: {listed(sorted(known))}. They are matched by "
                "name (tsId)."
            ]
        if sizeOf(tomogram) != sizeOf(mask):
            return [
                f"The {what} of {idOf(mask)} have {' x '.join(map(str, sizeOf(mask)))} px and the {other} "
                f"{' x '.join(map(str, sizeOf(tomogram)))}. Their sizes must be equal; resample or crop one of them."
            ]
    return []


def checkLabelField(masks: SetOfTomoMasks, label: Optional[int], what: str = "Label") -> List[str]:
    """What is wrong with the value of a feature in a set of masks, chosen on a form; None is none."""
    if featureOf(masks) or label is not None:
        return []
    known = ", ".join(f"{value} {name}" for value, name in enumerate(featuresOf(masks), 1))
    return [f"{what} is empty. Give the value of the feature in the masks{f': {known}' if known else ''}."]


def checkSubtomograms(subtomograms: EMSet, classes: bool = False) -> List[str]:
    """What is wrong with a SetOfSubTomograms, or a set of classes of them. classes: whether classes are needed."""
    images = imagesOf(subtomograms)
    if subtomograms.getSize() == 0:
        return ["The set of subtomograms is empty. Choose another."]
    if not images.getSamplingRate() or images.getSamplingRate() <= 0:
        return ["The subtomograms have no pixel size (sampling rate). Import them again with their pixel size."]
    first = images.getFirstItem()
    if not fileOf(first).lower().endswith(MRC_ENDINGS):
        return [
            f"The subtomograms are in files such as {fileOf(first)}; MRC is needed ({', '.join(MRC_ENDINGS)}). "
            "Convert and import them again."
        ]
    if not os.path.exists(fileOf(first)):
        return [f"The subtomogram {fileOf(first)} does not exist. Restore it, or extract the subtomograms again."]
    if len(set(sizeOf(first))) > 1 and not first.getIndex():
        return [f"The subtomogram {fileOf(first)} has {' x '.join(map(str, sizeOf(first)))} px; cubes are needed."]
    return _checkClasses(subtomograms) if classes else []


def _checkClasses(subtomograms: EMSet) -> List[str]:
    counts = classNumbers(subtomograms)
    unnamed = counts.pop(0, 0)
    if len(counts) < 2:
        return [
            f"The subtomograms have {'no classes' if not counts else f'only one class ({list(counts)[0]})'}; at "
            "least two are needed. Choose a set of classes, or subtomograms with class numbers."
        ]
    if unnamed:
        return [f"{unnamed} of the subtomograms have no class. Remove them from the set, or classify them."]
    few = sorted(f"{number} ({count})" for number, count in counts.items() if count < MIN_OF_CLASS)
    if few:
        return [
            f"Some classes have fewer than {MIN_OF_CLASS} subtomograms, too few for training and validation: "
            f"{listed(few)}."
        ]
    return []


def checkNames(feature: str, annotator: str) -> List[str]:
    """What is wrong with the names on a form."""
    for name, what in ((feature, "feature"), (annotator, "annotator")):
        if not name:
            return [f"{what.capitalize()} is empty. Give a short name."]
        try:
            check_name(name, what)
        except ValueError as error:
            return [str(error)]
    return []


def checkTileStacks(tiles: str, drawings: str) -> List[str]:
    """What is wrong with the paths of stacks of tiles and drawings, '' or None where nothing was given."""
    if not tiles:
        return ["Tiles is empty. Give the stack of tiles (.mrcs)."]
    return [
        f"{path} does not exist. Check the path." for path in (tiles, drawings) if path and not os.path.isfile(path)
    ]


def checkAnnotations(folder: Optional[str], moved: Optional[Union[Iterable[Any], Set[Any]]] = None) -> List[str]:
    """What is wrong with a folder of annotations. moved: names of tomograms at hand; None: they are not looked for."""
    if not folder:
        return ["Folder of annotations is empty. Give the folder that contains annotations.json."]
    try:
        tiles = read_tiles(folder)
    except (ValueError, OSError) as error:
        return [str(error)]
    lost = {
        t.tomogram: t.path
        for t in tiles
        if moved is not None and t.path and t.tomogram not in moved and not os.path.exists(t.path)
    }
    return [
        f"The annotated tomogram {name} is not at {path}, and none of the Tomograms has this name (tsId). Choose a "
        "set that contains it."
        for name, path in sorted(lost.items())[:1]
    ]
