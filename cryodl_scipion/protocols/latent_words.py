# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a latent space, of particles or of subtomograms, in words."""

from typing import Any, List

from ..engine.cryodl.contract import counted


def verdictLine(made: Any, items: str, errors: str, volumes: str) -> str:
    """The verdict as a sentence. made: outputs of a fit. items: 'particles'. errors: of what, that matter. volumes:
    'maps'."""
    amount = f"(p = {made.p_value:.2g}; variability {100 * made.variability:.2f} % of the molecule's power)"
    if made.verdict == "motion":
        return f"*Motion found* {amount}."
    return (
        f"*No motion found* {amount}: noise and errors of {errors} explain the differences between "
        f"{items}. The latent coordinates and {volumes} show noise."
    )


def pathsLine(made: Any, word: str) -> List[str]:
    """A sentence, in a list, on the maps along axes, if there are any. word: 'map'."""
    if not any(made.paths):
        return []
    axes = counted(len(made.paths), "axis", "axes")
    return [f"{counted(sum(map(len, made.paths)), word)} along {axes}, with half-maps"]
