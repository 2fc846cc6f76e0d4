# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on tomograms, masks and subtomograms."""

import dataclasses
import glob
import os
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

import pyworkflow.utils as pwutils
from pwem.objects import EMSet
from tomo.objects import (
    SetOfAverageSubTomograms,
    SetOfClassesSubTomograms,
    SetOfTomograms,
    SetOfTomoMasks,
    Tomogram,
    TomoMask,
)

from ...convert.arriving import ArrivingItems
from ...convert.maps import insteadOfHeader
from ...convert.names import emptyFolder, inputName
from ...convert.tomograms.subtomograms import (
    appendSubtomogramAverages,
    classNumbers,
    fillSubtomogramClasses,
    imagesOf,
    joinedBefore,
    tickedItems,
    writeSubtomograms,
)
from ...convert.tomograms.tomograms import (
    MRC_ENDINGS,
    byId,
    clonesOf,
    engineNames,
    featureOf,
    featuresOf,
    fileOf,
    idOf,
    sizeOf,
)
from ...engine.cryodl.contract import absent, annotations, read_tiles
from ...objects import CryodlAnnotations
from .. import kinds, protocol_base
from ..checks import checkPixelSize, listed, sayIf

# Subtomograms of one class below which nothing can be learned.
MIN_OF_CLASS = 4


def checkTomograms(volumes: SetOfTomograms, what: str = "tomograms", some: bool = False) -> List[str]:
    """What is wrong with a set of tomograms or masks: empty, without pixel size, of another format, absent. some: one
    that can be used is enough, since the run leaves out the others and says so."""
    names, files = [idOf(item) for item in clonesOf(volumes)], sorted(map(fileOf, clonesOf(volumes)))
    repeated = sorted({name for name in names if names.count(name) > 1})
    wrong = [problem for path in files for problem in _unusable(path)]
    return (
        sayIf(volumes.getSize() == 0 and not volumes.isStreamOpen(), f"The set of {what} is empty. Choose another.")
        or checkPixelSize(volumes, what)
        or sayIf(
            repeated,
            f"Several {what} have the same name (tsId): {listed(repeated)}. Tomograms are identified by it; import "
            "them with different names.",
        )
        or sayIf(
            wrong and not (some and len(wrong) < len(files)),
            f"The {what} cannot be used: {' '.join(wrong[:3])} Restore them or convert them to MRC, and import again.",
        )
    )


def _unusable(path: str) -> List[str]:
    return (
        sayIf(
            not path.lower().endswith(MRC_ENDINGS),
            f"{path} does not have the name of an MRC file ({', '.join(MRC_ENDINGS)}).",
        )
        or sayIf(not (os.path.isfile(path) and os.access(path, os.R_OK)), f"{path} {absent(path)}, or cannot be read.")
        or sayIf(insteadOfHeader(path), f"{path} begins with {insteadOfHeader(path)}, not with an MRC header.")
    )


def checkPaired(
    tomograms: SetOfTomograms, masks: SetOfTomoMasks, what: str = "label volumes", other: str = "tomograms"
) -> List[str]:
    """What is wrong with masks of tomograms: of others, or of another size. Both sets are good by themselves."""
    known, theirs = byId(tomograms), byId(masks)
    strange = [name for name in theirs if name not in known]
    if strange:
        return [
            f"The {what} of {strange[0]} match none of the {other}: {listed(sorted(known))}. They are matched by name "
            "(tsId)."
        ]
    sizes = {name: (sizeOf(mask), sizeOf(known[name])) for name, mask in theirs.items()}
    return [
        f"The {what} of {name} have {' x '.join(map(str, size))} px and the {other} {' x '.join(map(str, others))}. "
        "Their sizes must be equal; resample or crop one of them."
        for name, (size, others) in sizes.items()
        if size != others
    ][:1]


def checkLabelField(masks: SetOfTomoMasks, label: Optional[int], what: str = "Label") -> List[str]:
    """What is wrong with the value of a feature in a set of masks, chosen on a form; None is none."""
    names = featuresOf(masks)
    known = ", ".join(f"{value} {name}" for value, name in enumerate(names, 1))
    return sayIf(
        not featureOf(masks) and (label is None or (names and not 0 < label <= len(names))),
        f"{what} is {'empty' if label is None else f'{label}, which the masks do not have'}. Give the value of the "
        f"feature in the masks{f': {known}' if known else ''}.",
    )


def checkSubtomograms(subtomograms: EMSet, classes: bool = False) -> List[str]:
    """What is wrong with a SetOfSubTomograms, or a set of classes of them. classes: whether classes are needed."""
    if subtomograms.getSize() == 0:
        return ["The set of subtomograms is empty. Choose another."]
    images = imagesOf(subtomograms)
    usable = (item.clone() for item, _ in tickedItems(subtomograms) if not _unusable(fileOf(item)))
    first = next(usable, None)  # the engine leaves out the others, and says why
    problems = next((_unusable(fileOf(item)) for item, _ in tickedItems(subtomograms)), ["all are unticked."])
    subtomograms.close()  # it holds a lock
    size = () if first is None or first.getIndex() else sizeOf(first)
    return (
        checkPixelSize(images, "subtomograms")
        or sayIf(first is None, f"No subtomogram can be used: {' '.join(problems)} Extract them again, as MRC.")
        or sayIf(len(set(size)) > 1, f"The subtomograms have {' x '.join(map(str, size))} px; cubes are needed.")
        or (_checkClasses(subtomograms) if classes else [])
    )


def _checkClasses(subtomograms: EMSet) -> List[str]:
    counts = classNumbers(subtomograms)
    unnamed = counts.pop(0, 0)
    few = sorted(f"{number} ({count})" for number, count in counts.items() if count < MIN_OF_CLASS)
    return (
        sayIf(
            len(counts) < 2,
            f"The subtomograms have {'no classes' if not counts else f'only one class ({list(counts)[0]})'}; at "
            "least two are needed. Choose a set of classes, or subtomograms with class numbers.",
        )
        or sayIf(unnamed, f"{unnamed} of the subtomograms have no class. Remove them from the set, or classify them.")
        or sayIf(
            few,
            f"Some classes have fewer than {MIN_OF_CLASS} subtomograms, too few for training and validation: "
            f"{listed(few)}.",
        )
    )


def checkNames(feature: str, annotator: str) -> List[str]:
    for name, what in ((feature, "feature"), (annotator, "annotator")):
        if not name:
            return [f"{what.capitalize()} is empty. Give a short name."]
        try:
            annotations.check_name(name, what)
        except ValueError as error:
            return [str(error)]
    return []


def checkTileStacks(tiles: str, drawings: str) -> List[str]:
    """What is wrong with the paths of stacks of tiles and drawings, '' or None where nothing was given."""
    return sayIf(not tiles, "Tiles is empty. Give the stack of tiles (.mrcs).") or [
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


# The range of tilts, asked for because not all packages keep it with the subtomograms.
TILTS = tuple(
    kinds.Options(
        name,
        help=f"{word} tilt angle of the series, about the y axis; it defines the missing wedge. Used if neither the "
        "subtomograms nor their tomograms store their tilt range.",
    )
    for name, word in (("tilt_min", "Minimum"), ("tilt_max", "Maximum"))
)


class Subtomograms(kinds.Pointing):
    """Subtomograms, as a STAR file for the engine. classes: whether they need classes, which are written too."""

    CLASSES, LABEL, to = "SetOfSubTomograms", "Input subtomograms", ("subtomograms",)

    def __init__(self, help: str, classes: bool = False, **others: Any) -> None:
        super().__init__("inputSubtomograms", help, **others)
        self._classes = classes

    def valuesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        return {
            self.fills[0]: os.path.join(protocol._inputFolder(), inputName("subtomograms", imagesOf(found)) + ".star")
        }

    def filesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        pwutils.makePath(protocol._inputFolder())
        tilts = protocol.tiltMin.get(), protocol.tiltMax.get()
        asked = getattr(protocol._config(), "ground_truth", False)  # of the classes that the input has
        path = self.valuesOf(protocol, found)[self.fills[0]]
        writeSubtomograms(path, found, tilts, self._classes or asked, joinedBefore(protocol))
        return {}

    def check(self, protocol: Any, found: EMSet) -> List[str]:
        return checkSubtomograms(found, self._classes)


class Tomograms(kinds.Growing):
    """Tomograms that may still be arriving; what decides the output is their set."""

    CLASSES, LABEL, to = "SetOfTomograms", "Input tomograms", ("tomograms", "names", "pixel_size")

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        known = dict(tomograms=(found.getFileName(),), names=(), pixel_size=found.getSamplingRate())
        return {name: known[name] for name in self.fills}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        values = self.values(protocol)
        return dict(set_of_tomograms=(values["tomograms"] or ("",))[0], pixel_size=values["pixel_size"])

    def arriving(self, protocol: Any) -> ArrivingItems:
        return ArrivingItems(self.of(protocol), idOf)

    def fileOf(self, item: Tomogram) -> str:
        return fileOf(item)

    def check(self, protocol: Any, found: SetOfTomograms) -> List[str]:
        return checkTomograms(found, some=True)


class WholeTomograms(kinds.Pointing):
    CLASSES, LABEL = "SetOfTomograms", "Input tomograms"
    to: Tuple[str, ...] = ("tomograms", "names", "pixel_size")

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        items, names = clonesOf(found), engineNames(found)
        files = tuple(map(fileOf, items))
        return dict(zip(self.fills, (files, tuple(names[idOf(item)] for item in items), found.getSamplingRate())))

    def check(self, protocol: Any, found: SetOfTomograms) -> List[str]:
        return checkTomograms(found, some="names" in self.fills)  # the engine names what is not there


class LinksToTomograms(WholeTomograms):
    """Tomograms as links that are named as the engine is to call them, in the order of these names."""

    to, KNOWN_AS = ("tomograms", "pixel_size"), "set_of_tomograms"

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        items = protocol._inOrder(clonesOf(found))
        return dict(tomograms=protocol._linkPaths("tomograms", items), pixel_size=found.getSamplingRate())

    def filesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        protocol._linkVolumes("tomograms", protocol._inOrder(clonesOf(found)))
        return {}


class LinkedTomograms(WholeTomograms):
    to, KNOWN_AS = (), "inputTomograms"


class Masks(WholeTomograms):
    """Labels, or scores of one feature. what: they are, in sentences."""

    CLASSES, LABEL = "SetOfTomoMasks", "Input segmentations"
    to: Tuple[str, ...] = ("segmentations", "names", "pixel_size")

    def __init__(self, name: str, help: str, what: str = "segmentations", **others: Any) -> None:
        super().__init__(name, help, **others)
        self._what = what

    def check(self, protocol: Any, found: SetOfTomoMasks) -> List[str]:
        return checkTomograms(found, self._what)


class LabelVolumes(Masks):
    """Label volumes of the form's tomograms. more: what else the help says."""

    to, KNOWN_AS = ("labels",), "set_of_labels"

    def __init__(self, more: str, when: str = "True", **others: Any) -> None:
        help = f"TomoMasks of these tomograms, of the same size; matched by their names (tsId). {more}"
        super().__init__("inputMasks", help, "label volumes", label="Label volumes", when=when, **others)

    def valuesOf(self, protocol: Any, found: SetOfTomoMasks) -> Dict[str, Any]:
        return {}


class Annotations(kinds.Pointing):
    CLASSES, LABEL, to = "CryodlAnnotations", "Annotations", ("annotations",)

    def valuesOf(self, protocol: Any, found: CryodlAnnotations) -> Dict[str, Any]:
        return {name: found.getFolder() for name in self.fills}

    def check(self, protocol: Any, found: CryodlAnnotations) -> List[str]:
        return checkAnnotations(found.getFolder())


CLASSES, AVERAGES, UNKNOWN_SET = "outputClasses", "outputAverages", "outputUnknown"


class TomogramsBase(protocol_base.OneRunBase):
    def _linkVolumes(self, folder: str, items: Sequence[Tomogram], files: Optional[List[str]] = None) -> None:
        """Links, in the items' order, to their files or others of theirs, named as the engine is to call them."""
        paths = self._linkPaths(folder, items)
        emptyFolder(os.path.dirname(paths[0]))
        for file, path in zip(files or [fileOf(item) for item in items], paths):
            os.symlink(os.path.relpath(os.path.realpath(file), os.path.realpath(os.path.dirname(path))), path)

    def _linkPaths(self, folder: str, items: Sequence[Tomogram]) -> Tuple[str, ...]:
        """Where _linkVolumes puts its links, of the same names for a tomogram and its labels."""
        names = engineNames(items)
        return tuple(os.path.join(self._inputFolder(), folder, names[idOf(item)] + ".mrc") for item in items)

    def _inOrder(self, items: Sequence[Tomogram]) -> List[Tomogram]:
        names = engineNames(items)
        return sorted(items, key=lambda item: names[idOf(item)])

    def _labelled(self) -> Tuple[List[Tomogram], List[TomoMask]]:
        tomograms, masks = byId(self.inputTomograms.get()), clonesOf(self.inputMasks.get())
        return self._inOrder([tomograms[idOf(mask)] for mask in masks]), self._inOrder(masks)

    def _withLabelled(self, config: Any) -> Any:
        """The config with the links of the tomograms that have label volumes, and of these."""
        tomograms, labels = map(self._linkPaths, ("tomograms", "labels"), self._labelled())
        size = self.inputTomograms.get().getSamplingRate()
        return dataclasses.replace(config, tomograms=tomograms, labels=labels, pixel_size=size)

    def _linkLabelled(self) -> None:
        for folder, items in zip(("tomograms", "labels"), self._labelled()):
            self._linkVolumes(folder, items)


class SubtomogramsBase(protocol_base.OneRunBase):
    def _filesMade(self, config: Any) -> List[str]:
        """The engine's STAR file, and averages beside it of an earlier start, which the engine does not replace."""
        return [config.output] + sorted(glob.glob(glob.escape(os.path.splitext(config.output)[0]) + "_*"))

    def _classesOf(self, path: str, names: Dict[int, str], averages: Dict[int, str]) -> Dict[str, EMSet]:
        """The classes and their averages. names, averages: {class number: name, file}."""
        images = self.inputSubtomograms.get()
        classes = SetOfClassesSubTomograms.create(self._getPath(), template="classes%s.sqlite")
        classes.setImages(self.inputSubtomograms)
        if images.hasCoordinates3D():
            classes.setCoordinates3D(images.getCoordinates3D(asPointer=True))
        fillSubtomogramClasses(classes, path, names, averages)
        outputs = {CLASSES: classes}
        if averages:
            outputs[AVERAGES] = SetOfAverageSubTomograms.create(self._getPath(), template="averages%s.sqlite")
            outputs[AVERAGES].setSamplingRate(images.getSamplingRate())
            appendSubtomogramAverages(outputs[AVERAGES], names, averages)
        return outputs
