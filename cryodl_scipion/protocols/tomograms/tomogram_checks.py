# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of tomograms, masks and subtomograms before a run: sentences for the form. None changes anything."""

import os

from ...convert.tomograms.subtomograms import classNumbers, fileOf, imagesOf
from ...convert.tomograms.tomograms import MRC_ENDINGS, byId, clonesOf, featureOf, featuresOf, idOf, sizeOf
from ..checks import listed

# Subtomograms of one class below which nothing can be learned.
FEWEST_OF_CLASS = 4


def checkTomograms(volumes, what="tomograms"):
    """What is wrong with a set of tomograms or masks: empty, without pixel size, of another format, absent."""
    if volumes.getSize() == 0 and not volumes.isStreamOpen():
        return ["The set of %s is empty. Choose another." % what]
    if not volumes.getSamplingRate() or volumes.getSamplingRate() <= 0:
        return ["The %s have no pixel size (sampling rate). Import them again with it." % what]
    items = clonesOf(volumes)
    names = [idOf(item) for item in items]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        return [
            "Several %s have the same name (tsId): %s. Tomograms are told apart by it; import them with different "
            "names." % (what, listed(repeated))
        ]
    return ["The %s cannot be used: %s" % (what, problem) for problem in [_filesProblem(items)] if problem]


def _filesProblem(items):
    strange = sorted(fileOf(item) for item in items if not fileOf(item).lower().endswith(MRC_ENDINGS))
    if strange:
        return "%s is no MRC file by its name (%s). Convert the volumes to MRC and import them again." % (
            listed(strange),
            ", ".join(MRC_ENDINGS),
        )
    lost = sorted(fileOf(item) for item in items if not os.path.exists(fileOf(item)))
    if lost:
        return "%s is not there. Bring it back, or import it again." % listed(lost)
    for item in items:
        try:
            sizeOf(item)
        except (ValueError, OSError, EOFError) as error:
            return "%s is not a readable MRC file (%s)." % (fileOf(item), error)
    return ""


def checkPaired(tomograms, masks, what="label volumes", other="tomograms"):
    """What is wrong with masks of tomograms: of others, or of another size. Both sets are good by themselves."""
    known = byId(tomograms)
    for mask in clonesOf(masks):
        tomogram = known.get(idOf(mask))
        if tomogram is None:
            return [
                "The %s of %s have no partner among the %s: %s. They are matched by their names (tsId)."
                % (what, idOf(mask), other, listed(sorted(known)))
            ]
        if sizeOf(tomogram) != sizeOf(mask):
            return [
                "The %s of %s have %d x %d x %d px and the %s %d x %d x %d. They must be the same; bring them to "
                "one size." % ((what, idOf(mask)) + sizeOf(mask) + (other,) + sizeOf(tomogram))
            ]
    return []


def checkLabelField(masks, label, what="Label"):
    """What is wrong with the value of a feature in a set of masks, chosen on a form; None is none."""
    if featureOf(masks) or label is not None:
        return []
    known = ", ".join("%d %s" % pair for pair in enumerate(featuresOf(masks), 1))
    return ["%s is empty. Give the value of the feature in the masks%s." % (what, ": %s" % known if known else "")]


def checkSubtomograms(subtomograms, classes=False):
    """What is wrong with a SetOfSubTomograms, or a set of classes of them. classes: whether classes are needed."""
    images = imagesOf(subtomograms)
    if subtomograms.getSize() == 0:
        return ["The set of subtomograms is empty. Choose another."]
    if not images.getSamplingRate() or images.getSamplingRate() <= 0:
        return ["The subtomograms have no pixel size (sampling rate). Import them again with it."]
    first = images.getFirstItem()
    if not fileOf(first).lower().endswith(MRC_ENDINGS):
        return [
            "The subtomograms are in files such as %s; MRC is needed (%s). Convert and import them again."
            % (fileOf(first), ", ".join(MRC_ENDINGS))
        ]
    if not os.path.exists(fileOf(first)):
        return ["The subtomogram %s is not there. Bring it back, or extract the subtomograms again." % fileOf(first)]
    if len(set(sizeOf(first))) > 1 and not first.getIndex():
        return ["The subtomogram %s has %d x %d x %d px; cubes are needed." % ((fileOf(first),) + sizeOf(first))]
    return _checkClasses(subtomograms) if classes else []


def _checkClasses(subtomograms):
    counts = classNumbers(subtomograms)
    unnamed = counts.pop(0, 0)
    if len(counts) < 2:
        return [
            "The subtomograms have %s; at least two are needed. Choose a set of classes, or subtomograms with "
            "class numbers." % ("no classes" if not counts else "only one class (%d)" % list(counts)[0])
        ]
    if unnamed:
        return ["%d of the subtomograms have no class. Take them out of the set, or classify them." % unnamed]
    few = sorted("%d (%d)" % item for item in counts.items() if item[1] < FEWEST_OF_CLASS)
    if few:
        return [
            "Some classes have fewer than %d subtomograms, too few to learn from and to validate: %s."
            % (FEWEST_OF_CLASS, listed(few))
        ]
    return []
