# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of assessed micrographs as attributes of Scipion's Micrograph objects."""

import collections
from typing import Any, Dict

from pwem.objects import Micrograph
from pyworkflow.object import Float, Integer, String

from ...engine.cryodl import contract
from ...engine.cryodl.contract import counted

# name: the engine's name of the figure. label: with unit. limit: field of the contract that bounds it, or None.
Figure = collections.namedtuple("Figure", "name kind label limit")

FIGURES = {
    "_cryodlParticles": Figure("particles", Integer, "Particles", "minimum_particles"),
    "_cryodlMeanScore": Figure("mean_score", Float, "Mean score", "minimum_score"),
    "_cryodlContaminated": Figure("contaminated_percent", Float, "Contaminated area (%)", "maximum_contaminated"),
    "_cryodlCarbon": Figure("carbon_percent", Float, "Carbon area (%)", "maximum_carbon"),
    "_cryodlIceGradient": Figure("ice_gradient", Float, "Ice gradient (noise sigma)", "maximum_gradient"),
    "_cryodlBackground": Figure("background", Float, "Background (grey value)", None),
}
LIMITS = [figure.limit for figure in FIGURES.values() if figure.limit]
# Attribute of a micrograph: why it is bad, in words; empty for a good one.
REASON = "_cryodlReason"


def setFigures(micrograph: Micrograph, figures: Dict[str, Any]) -> None:
    """Write an assessment on a Micrograph. figures: the engine's dict of one micrograph; None where it was not
    measured."""
    for attribute, figure in FIGURES.items():
        setattr(micrograph, attribute, figure.kind(figures.get(figure.name)))
    setattr(micrograph, REASON, String(figures.get("reason") or ""))


def figuresOf(micrograph: Micrograph) -> Dict[str, Any]:
    """{attribute: number or None} of an assessed Micrograph."""
    return {attribute: getattr(micrograph, attribute).get() for attribute in FIGURES}


def splitLines(good: int, bad: int, config: Any) -> Any:
    """Sentences for a summary: how many are good and bad, and the limits that are set. config:
    AssessMicrographsConfig."""
    if not good + bad:
        return ["No micrographs yet."]
    lines = [f"*{good} good*, {bad} bad of {counted(good + bad, 'micrograph')}"]
    for name in LIMITS:
        info, value = contract.describe(type(config), name), getattr(config, name)
        if value is not None:
            lines.append(f"  {info.label}: {value:g}{' ' + info.unit if info.unit else ''}")
    return lines
