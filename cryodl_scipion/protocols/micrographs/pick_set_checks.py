# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of several sets of coordinates that are to be compared or combined. Each gives sentences for the form."""

from typing import Any, List, Sequence, Tuple

from pwem.objects import SetOfCoordinates

from ...convert.micrograph_names import repeatedNames
from ...convert.micrographs.pick_sets import commonMicrographs, micrographsByName
from ..checks import listed

# Micrographs of another pixel size cover the same area but for the binning's rounding and cut edges.
_SAME_EXTENT = 0.05


def checkPickSets(labelled: Sequence[Tuple[str, SetOfCoordinates]], growing: bool = False) -> List[str]:
    """What is wrong with sets of coordinates. labelled: [(label, SetOfCoordinates)], the first gives the frame.

    growing: whether picks may still be arriving.
    """
    errors = [sentence for label, coordinates in labelled for sentence in _checkOne(label, coordinates, growing)]
    errors = errors or _checkTwice(labelled)
    if errors or len(labelled) < 2:
        return errors
    arriving = any(c.isStreamOpen() or c.getMicrographs().isStreamOpen() for _, c in labelled)
    if not arriving and not commonMicrographs([coordinates for _, coordinates in labelled]):
        return [_nothingInCommon(labelled)]
    return _checkExtents(labelled)


def _checkOne(label: str, coordinates: SetOfCoordinates, growing: bool) -> List[str]:
    micrographs = coordinates.getMicrographs()
    if micrographs is None or micrographs.getSize() == 0:
        return [f"{label} is not linked to micrographs. Choose coordinates that belong to a set of micrographs."]
    if coordinates.isStreamOpen() and not growing:
        return [f"{label} is still growing. Wait until its run has finished."]
    if coordinates.getSize() == 0 and not coordinates.isStreamOpen():
        return [f"{label} is empty. Remove it from the list."]
    if not micrographs.getSamplingRate() or micrographs.getSamplingRate() <= 0:
        return [
            f"The micrographs of {label} have no pixel size (sampling rate). Import them again with their pixel size."
        ]
    repeated = repeatedNames(micrographs)
    if repeated:
        return [
            f"Several micrographs of {label} have the same name: {listed(repeated)}. Picks are matched by micrograph "
            "name; import the micrographs with different names."
        ]
    strange = set(coordinates.getUniqueValues("_micId")) - set(micrographsByName(coordinates).values())
    if strange:
        return [
            f"{label} has coordinates on micrographs that are missing in its set of micrographs (ids "
            f"{listed([str(i) for i in sorted(strange)])}). Choose coordinates that are linked to all their "
            "micrographs."
        ]
    return []


def _checkTwice(labelled: Sequence[Tuple[str, SetOfCoordinates]]) -> List[str]:
    """A set compared with itself agrees, and in a consensus it would vote twice."""
    seen = {}
    for label, coordinates in labelled:
        path = coordinates.getFileName()
        if path in seen:
            return [f"{seen[path]} and {label} are the same set of coordinates. Remove one of them."]
        seen[path] = label
    return []


def _nothingInCommon(labelled: Any) -> str:
    parts = [
        f"{label} has {listed(sorted(micrographsByName(coordinates), key=str)[:2])}" for label, coordinates in labelled
    ]
    return (
        f"No micrograph is common to all sets: {'; '.join(parts)}. Micrographs are matched by name. Choose sets "
        "picked on the same micrographs."
    )


def _checkExtents(labelled: Sequence[Tuple[str, SetOfCoordinates]]) -> List[str]:
    frame = labelled[0][1].getMicrographs()
    errors = []
    for label, coordinates in labelled[1:]:
        other = coordinates.getMicrographs()
        if not frame.getDim() or not other.getDim():
            continue
        sides = [[side * m.getSamplingRate() for side in m.getDim()[:2]] for m in (frame, other)]
        if any(abs(b / a - 1) > _SAME_EXTENT for a, b in zip(*sides)):
            errors.append(
                f"The micrographs of {labelled[0][0]} cover {sides[0][0]:.0f} x {sides[0][1]:.0f} Å and those of "
                f"{label} {sides[1][0]:.0f} x {sides[1][1]:.0f} Å, so their coordinates cannot be compared. Check "
                "the pixel sizes."
            )
    return errors


def leftOutLines(labelled: Any) -> Any:
    """Sentences about micrographs that are not in all sets, and so are not compared or combined."""
    common = set(commonMicrographs([coordinates for _, coordinates in labelled]))
    lines = []
    for label, coordinates in labelled:
        others = sorted(str(name) for name in micrographsByName(coordinates) if name not in common)
        if others:
            lines.append(
                f"{len(others)} micrographs of {label} are not in all sets and are left out: {listed(others)}."
            )
    return lines
