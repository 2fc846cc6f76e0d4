# SPDX-License-Identifier: GPL-3.0-or-later
"""A latent space and its verdict in words, for summaries and methods."""

from typing import Any

from ...engine.cryodl.contract import Result, counted
from ..methods import versionIn


def verdictLine(made: Any) -> str:
    """The verdict as a sentence. made: outputs of fit-heterogeneity."""
    amount = f"(p = {made.p_value:.2g}; variability {100 * made.variability:.2f} % of the molecule's power)"
    if made.verdict == "motion":
        return f"*Motion found* {amount}."
    return (
        f"*No motion found* {amount}: noise and errors of orientation and CTF explain the differences between "
        "particles. The latent coordinates and maps below show noise."
    )


def heterogeneityLines(result: Result) -> Any:
    """Lines of a summary."""
    made = result.outputs
    way = f", method {made.method}" if made.method else ""  # results of earlier versions do not say it
    lines = [verdictLine(made), f"{made.latent} latent coordinates of {counted(made.count, 'particle')}{way}"]
    if any(made.paths):
        lines.append(
            f"{counted(sum(map(len, made.paths)), 'map')} along {counted(len(made.paths), 'axis', 'axes')}, "
            "with half-maps"
        )
    if made.classes:
        lines.append(f"{counted(len(made.classes), 'discrete class', 'discrete classes')}, each with half-maps")
    return lines


_WAYS = {
    "linear": "expectation-maximisation of principal components of the volumes",
    "gaussian": "expectation-maximisation of principal motions of Gaussians moved by anchors, followed by a "
    "decoder network",
}


def heterogeneityInWords(result: Result, method: Any) -> str:
    """Methods. method: of fit-heterogeneity."""
    made = result.outputs
    return (
        f"A latent space of {made.latent} dimensions was fitted to {counted(made.count, 'particle')} with "
        f"cryodl {versionIn([result])} by {_WAYS[method]}, with the CTF and with errors of orientation, shift, "
        "contrast and defocus to first order. Components of each half of the particles were tested on the "
        f"other half: p = {made.p_value:.2g} for a rigid molecule ({made.verdict})."
    )
