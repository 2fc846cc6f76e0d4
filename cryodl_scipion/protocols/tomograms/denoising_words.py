# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done to denoise tomograms, in sentences for summaries and methods, and whom to cite."""

from ...engine.cryodl.contract import counted, network_citations, network_words
from ..methods import versionIn

ONLY_FOR = "For looking, annotating and segmenting. Average subtomograms of the tomograms as they were."
GUESS = "What stands in the missing wedge is the network's guess: do not measure in it."
_MOST = 10  # tomograms whose controls a summary lists


def citationsOf(card, fillWedge):
    """Keys of the bibliography. card: of the model, or None; fillWedge: of the form, while there is no model."""
    fills = card["fills_wedge"] if card else fillWedge
    network = card["network"] if card else "unet3d"
    keys = ["cryodl", "Lehtinen2018", "Buchholz2019"] + (["Liu2022IsoNet", "Wiedemann2024"] if fills else [])
    return keys + list(network_citations("tomogram_denoiser", network))


def denoisedLines(count, card, controls):
    """A run in the lines of a summary. controls: of the result."""
    lines = [
        "*%s denoised*%s by the model %s, at %.4g Å/px."
        % (
            counted(count, "tomogram"),
            ", missing wedge filled," if card["fills_wedge"] else "",
            card["name"],
            card["pixel_size"],
        ),
        ONLY_FOR,
    ]
    if card["fills_wedge"]:
        found = card["validation"]
        lines.append(
            "%s Where it was hidden from the network and measured, its guess correlated by %.3f with the other raw "
            "half (a measurement: by %.3f)."
            % (GUESS, found.get("wedge_correlation", 0), found.get("wedge_measured_correlation", 0))
        )
    known = [(name, figures) for name, figures in sorted(controls.items()) if figures]
    lines += [controlLine(name, figures) for name, figures in known[:_MOST]]
    if len(known) > _MOST:
        lines.append("... and %d more, in denoise.json." % (len(known) - _MOST))
    if len(known) < len(controls):
        lines.append("Tomograms without halves cannot be controlled: nothing tells what was invented in them.")
    return lines


def controlLine(name, figures):
    """What is known of a tomogram from its halves alone."""
    return (
        "%s: correlation of a half with the signal %.2f before, %.2f after (estimated from the other half); of noise "
        "alone %.0f %% of the contrast is left (Wiener filter: %.0f %%), of random phases %.0f %%."
        % (
            name,
            figures["signal_correlation_before"],
            figures["signal_correlation_after"],
            100 * figures["noise_left"],
            100 * figures["wiener_noise_left"],
            100 * figures["random_phases_left"],
        )
    )


def denoisedInWords(count, card, results):
    """Methods of a run."""
    learned = len((card.get("training") or {}).get("tomograms") or ())
    return "%s were denoised%s with cryodl %s by %s that had learned to predict one half of %s from the other%s." % (
        counted(count, "tomogram"),
        ", and their missing wedge filled," if card["fills_wedge"] else "",
        versionIn(results),
        network_words("tomogram_denoiser", card["network"]),
        counted(learned, "tomogram") if learned else "tomograms",
        ", turned and with a second wedge taken out" if card["fills_wedge"] else "",
    )
