# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations in sentences for summaries and for the methods of a paper."""

from typing import List, Sequence

from ...engine.cryodl.contract import Result, counted
from ...objects import CryodlAnnotations
from ..methods import versionIn

# Fewer tiles than these seldom make a good network; the numbers of Chen et al. 2017.
FEW_WITH, FEW_WITHOUT = 10, 100


def annotationLines(annotations: CryodlAnnotations) -> List[str]:
    """CryodlAnnotations in the lines of a summary."""
    lines = [
        f"*{feature}*: {counted(counts['positive'], 'tile')} with it, {counts['negative']} without"
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
            f"About {FEW_WITH} tiles with a feature and {FEW_WITHOUT} without are recommended; there are fewer for "
            f"{', '.join(few)}."
        )
    return lines + [
        f"By {', '.join(annotations.getAnnotators())}, on {counted(len(annotations.getTomograms()), 'tomogram')}."
    ]


def annotatedInWords(annotations: CryodlAnnotations, results: Sequence[Result]) -> str:
    """Methods of an annotation."""
    tiles = "; ".join(
        f"{feature} on {counted(counts['positive'], 'tile')} with and {counts['negative']} without it"
        for feature, counts in annotations.getCounts().items()
    )
    return (
        f"Features were annotated with cryodl {versionIn(results)} on "
        f"{counted(len(annotations.getTomograms()), 'tomogram')} by {', '.join(annotations.getAnnotators())}: "
        f"{tiles}."
    )
