# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on tomograms, masks and subtomograms."""

from typing import Any, Dict, List, Sequence, Tuple

from pwem.objects import EMSet
from tomo.objects import SetOfTomograms, SetOfTomoMasks, Tomogram

from ...convert.tomograms.tomograms import ArrivingTomograms, clonesOf, engineNames, fileOf, filesOf, idOf
from ...objects import CryodlAnnotations
from ..kinds import Growing, Options, Pointing
from .tomogram_checks import checkAnnotations, checkSubtomograms, checkTomograms

# The range of tilts, asked for because not all packages keep it with the subtomograms.
TILTS = tuple(
    Options(
        name,
        help=f"{word} tilt angle of the series, about the y axis; it defines the missing wedge. Used if neither the "
        "subtomograms nor their tomograms store their tilt range.",
    )
    for name, word in (("tilt_min", "Minimum"), ("tilt_max", "Maximum"))
)


class Subtomograms(Pointing):
    """Subtomograms, as a STAR file for the engine. classes: whether they need classes, which are written too."""

    CLASSES, LABEL, to = "SetOfSubTomograms", "Input subtomograms", ("subtomograms",)

    def __init__(self, help: str, classes: bool = False, **others: Any) -> None:
        super().__init__("inputSubtomograms", help, **others)
        self._classes = classes

    def valuesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        return dict(subtomograms=protocol._starFile(found))

    def filesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        protocol._writeInput(self._classes or protocol._writesClasses())
        return {}

    def check(self, protocol: Any, found: EMSet) -> List[str]:
        return checkSubtomograms(found, self._classes)


class LabelledSubtomograms(Subtomograms):
    """Subtomograms that know their class, or classes of them."""

    CLASSES = "SetOfSubTomograms,SetOfClassesSubTomograms"


class Tomograms(Growing):
    """Tomograms that may still be arriving; what decides the output is their set."""

    CLASSES, LABEL, to = "SetOfTomograms", "Input tomograms", ("tomograms", "names", "pixel_size")

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        known = dict(tomograms=(found.getFileName(),), names=(), pixel_size=found.getSamplingRate())
        return {name: known[name] for name in self.fills}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        values = self.values(protocol)
        return dict(set_of_tomograms=(values["tomograms"] or ("",))[0], pixel_size=values["pixel_size"])

    def arriving(self, protocol: Any) -> ArrivingTomograms:
        return ArrivingTomograms(self.of(protocol))

    def fileOf(self, item: Tomogram) -> str:
        return fileOf(item)

    def check(self, protocol: Any, found: SetOfTomograms) -> List[str]:
        return checkTomograms(found)


class WholeTomograms(Pointing):
    """Tomograms that are all there, by their own files."""

    CLASSES, LABEL = "SetOfTomograms", "Input tomograms"
    to: Tuple[str, ...] = ("tomograms", "names", "pixel_size")

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        return dict(zip(self.fills, (*filesAndNames(found), found.getSamplingRate())))

    def check(self, protocol: Any, found: SetOfTomograms) -> List[str]:
        return checkTomograms(found)


class LinksToTomograms(WholeTomograms):
    """Tomograms as links that are named as the engine is to call them, in the order of these names."""

    to = ("tomograms", "pixel_size")

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        items = protocol._inOrder(clonesOf(found))
        return dict(tomograms=protocol._linkPaths("tomograms", items), pixel_size=found.getSamplingRate())

    def filesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        protocol._linkVolumes("tomograms", protocol._inOrder(clonesOf(found)))
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return dict(set_of_tomograms=None if found is None else found.getFileName())


class LinkedTomograms(WholeTomograms):
    """Tomograms that the engine is not given: what is found belongs to them."""

    to = ()

    def valuesOf(self, protocol: Any, found: SetOfTomograms) -> Dict[str, Any]:
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return {self.name: None if found is None else found.getFileName()}


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

    to = ("labels",)

    def __init__(self, more: str, when: str = "True", **others: Any) -> None:
        help = f"TomoMasks of these tomograms, of the same size; matched by their names (tsId). {more}"
        super().__init__("inputMasks", help, "label volumes", label="Label volumes", when=when, **others)

    def valuesOf(self, protocol: Any, found: SetOfTomoMasks) -> Dict[str, Any]:
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return dict(set_of_labels=None if found is None else found.getFileName())


class Annotations(Pointing):
    """Annotations of features on tiles."""

    CLASSES, LABEL, to = "CryodlAnnotations", "Annotations", ("annotations",)

    def valuesOf(self, protocol: Any, found: CryodlAnnotations) -> Dict[str, Any]:
        return {name: found.getFolder() for name in self.fills}

    def check(self, protocol: Any, found: CryodlAnnotations) -> List[str]:
        return checkAnnotations(found.getFolder())


def filesAndNames(volumes: EMSet) -> Tuple[Sequence[str], Sequence[str]]:
    """Files of a set's items, and their names for the engine, in the set's order."""
    items, names = clonesOf(volumes), engineNames(volumes)
    return filesOf(items), tuple(names[idOf(item)] for item in items)
