# SPDX-License-Identifier: GPL-3.0-or-later
"""A latent space and its verdict in words, for summaries and methods."""

from ...engine.cryodl.contract import counted
from ..methods import versionIn


def verdictLine(made):
    """The verdict as a sentence. made: outputs of fit-heterogeneity."""
    amount = "(p = %.2g; variability %.2f %% of the molecule's power)" % (made["p_value"], 100 * made["variability"])
    if made["verdict"] == "motion":
        return "*Motion found* %s." % amount
    return (
        "*No motion found* %s: the particles differ by no more than noise and errors of orientation and CTF. The "
        "latent coordinates and maps below show noise." % amount
    )


def heterogeneityLines(result):
    """Lines of a summary."""
    made = result.outputs
    lines = [verdictLine(made), "%d latent coordinates of %s" % (made["latent"], counted(made["count"], "particle"))]
    if any(made["paths"]):
        lines.append(
            "%s along %s, with half-maps"
            % (counted(sum(map(len, made["paths"])), "map"), counted(len(made["paths"]), "axis", "axes"))
        )
    return lines


_WAYS = {
    "linear": "expectation-maximisation of principal components of the volumes",
    "gaussian": "expectation-maximisation of principal motions of Gaussians that anchors carry, and of a decoder "
    "network of the first of them",
}


def heterogeneityInWords(result, method):
    """Methods. method: of fit-heterogeneity."""
    made = result.outputs
    return (
        "A latent space of %d dimensions was fitted to %s with cryodl %s by %s, with the CTF and with errors of "
        "orientation, shift, contrast and defocus to first order. Components of each half of the particles were "
        "tested on the other half: p = %.2g for a rigid molecule (%s)."
        % (
            made["latent"],
            counted(made["count"], "particle"),
            versionIn([result]),
            _WAYS[method],
            made["p_value"],
            made["verdict"],
        )
    )
