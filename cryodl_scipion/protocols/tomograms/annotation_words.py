# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations in sentences for summaries and for the methods of a paper."""

from ...engine.cryodl.contract import counted
from ..methods import versionIn

# Fewer tiles than these seldom make a good network; the numbers of Chen et al. 2017.
FEW_WITH, FEW_WITHOUT = 10, 100


def annotationLines(annotations):
    """CryodlAnnotations in the lines of a summary."""
    lines = [
        "*%s*: %s with it, %d without" % (feature, counted(counts["positive"], "tile"), counts["negative"])
        for feature, counts in annotations.getCounts().items()
    ]
    if not lines:
        return ["Nothing is annotated yet."]
    few = [
        feature
        for feature, counts in annotations.getCounts().items()
        if counts["positive"] < FEW_WITH or counts["negative"] < FEW_WITHOUT
    ]
    if few:
        lines.append(
            "About %d tiles with and %d without are wanted; there are fewer for %s."
            % (FEW_WITH, FEW_WITHOUT, ", ".join(few))
        )
    return lines + [
        "By %s, on %s." % (", ".join(annotations.getAnnotators()), counted(len(annotations.getTomograms()), "tomogram"))
    ]


def annotatedInWords(annotations, results):
    """Methods of an annotation."""
    tiles = "; ".join(
        "%s on %s with and %d without it" % (feature, counted(counts["positive"], "tile"), counts["negative"])
        for feature, counts in annotations.getCounts().items()
    )
    return "Features were annotated with cryodl %s on %s by %s: %s." % (
        versionIn(results),
        counted(len(annotations.getTomograms()), "tomogram"),
        ", ".join(annotations.getAnnotators()),
        tiles,
    )
