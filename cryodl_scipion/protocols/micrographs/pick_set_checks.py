# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of several sets of coordinates that are to be compared or combined. Each gives sentences for the form."""

from ...convert.micrograph_names import repeatedNames
from ...convert.micrographs.pick_sets import commonMicrographs, micrographsByName
from ..checks import listed

# Micrographs of another pixel size cover the same area but for the binning's rounding and cut edges.
_SAME_EXTENT = 0.05


def checkPickSets(labelled):
    """What is wrong with sets of coordinates. labelled: [(label, SetOfCoordinates)], the first gives the frame."""
    errors = [sentence for label, coordinates in labelled for sentence in _checkOne(label, coordinates)]
    errors = errors or _checkTwice(labelled)
    if errors or len(labelled) < 2:
        return errors
    if not commonMicrographs([coordinates for _, coordinates in labelled]):
        return [_nothingInCommon(labelled)]
    return _checkExtents(labelled)


def _checkOne(label, coordinates):
    micrographs = coordinates.getMicrographs()
    if micrographs is None or micrographs.getSize() == 0:
        return ["%s belongs to no micrographs. Choose coordinates of a set of micrographs." % label]
    if coordinates.isStreamOpen():
        return ["%s is still growing. Wait until its run has finished." % label]
    if coordinates.getSize() == 0:
        return ["%s is empty: there is nothing to compare or combine. Remove it from the list." % label]
    if not micrographs.getSamplingRate() or micrographs.getSamplingRate() <= 0:
        return ["The micrographs of %s have no pixel size (sampling rate). Import them again with it." % label]
    repeated = repeatedNames(micrographs)
    if repeated:
        return [
            "Several micrographs of %s have the same name: %s. Picks are matched by the micrographs' names; "
            "import them with different names." % (label, listed(repeated))
        ]
    strange = set(coordinates.getUniqueValues("_micId")) - set(micrographsByName(coordinates).values())
    if strange:
        return [
            "%s has coordinates on micrographs that its own set of micrographs lacks (ids %s). Choose a set that "
            "belongs to all its micrographs." % (label, listed([str(i) for i in sorted(strange)]))
        ]
    return []


def _checkTwice(labelled):
    """A set compared with itself agrees, and in a consensus it would vote twice."""
    seen = {}
    for label, coordinates in labelled:
        path = coordinates.getFileName()
        if path in seen:
            return ["%s and %s are the same set of coordinates. Remove one of them." % (seen[path], label)]
        seen[path] = label
    return []


def _nothingInCommon(labelled):
    parts = [
        "%s has %s" % (label, listed(sorted(micrographsByName(coordinates), key=str)[:2]))
        for label, coordinates in labelled
    ]
    return (
        "There is not one micrograph that all sets belong to: %s. They are matched by name. Choose sets picked "
        "on the same micrographs." % "; ".join(parts)
    )


def _checkExtents(labelled):
    frame = labelled[0][1].getMicrographs()
    errors = []
    for label, coordinates in labelled[1:]:
        other = coordinates.getMicrographs()
        if not frame.getDim() or not other.getDim():
            continue
        sides = [[side * m.getSamplingRate() for side in m.getDim()[:2]] for m in (frame, other)]
        if any(abs(b / a - 1) > _SAME_EXTENT for a, b in zip(*sides)):
            errors.append(
                "The micrographs of %s cover %.0f x %.0f Å and those of %s %.0f x %.0f Å, so their "
                "positions do not fit each other. Check the pixel sizes."
                % ((labelled[0][0],) + tuple(sides[0]) + (label,) + tuple(sides[1]))
            )
    return errors


def leftOutLines(labelled):
    """Sentences about micrographs that are not in all sets, and so are not compared or combined."""
    common = set(commonMicrographs([coordinates for _, coordinates in labelled]))
    lines = []
    for label, coordinates in labelled:
        others = sorted(str(name) for name in micrographsByName(coordinates) if name not in common)
        if others:
            lines.append(
                "Not all sets have these %d micrographs of %s, which are left out: %s."
                % (len(others), label, listed(others))
            )
    return lines
