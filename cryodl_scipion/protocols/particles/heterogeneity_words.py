# SPDX-License-Identifier: GPL-3.0-or-later
"""A latent space of particles in words, for summaries and methods."""

from typing import Any

from ...engine.cryodl.contract import Result, counted
from ..latent_words import pathsLine, verdictLine
from ..methods import versionIn


def heterogeneityLines(result: Result) -> Any:
    """Lines of a summary."""
    made = result.outputs
    way = f", method {made.method}" if made.method else ""  # results of earlier versions do not say it
    lines = [
        verdictLine(made, "particles", "orientation and CTF", "maps"),
        f"{made.latent} latent coordinates of {counted(made.count, 'particle')}{way}",
    ]
    lines += pathsLine(made, "map")
    if made.classes:
        lines.append(f"{counted(len(made.classes), 'discrete class', 'discrete classes')}, each with half-maps")
    return lines


_WAYS = {
    "linear": "expectation-maximisation of principal components of the volumes",
    "gaussian": "expectation-maximisation of principal motions of Gaussians moved by anchors, followed by a "
    "decoder network",
}


def heterogeneityInWords(result: Result, method: Any, auto: bool = False) -> str:
    """Methods. method: of the latent coordinates. auto: the fit was asked for by the method auto."""
    made = result.outputs
    both = ", corrected for the number of tests," if auto else ""
    return (
        f"A latent space of {made.latent} dimensions was fitted to {counted(made.count, 'particle')} with "
        f"cryodl {versionIn([result])} by {_WAYS[method]}, with the CTF and with errors of orientation, shift, "
        "contrast and defocus to first order. Components of each half of the particles were tested on the "
        f"other half: p = {made.p_value:.2g} for a rigid molecule{both} ({made.verdict})."
    )
