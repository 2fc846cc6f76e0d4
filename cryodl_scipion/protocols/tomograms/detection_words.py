# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles found in tomograms, in sentences for summaries and for the methods of a paper."""

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import counted, network_citations, network_words
from ..methods import versionIn

MATCHING = ["Roseman2003", "Chaillet2023", "Gorski2005"]


def detectorLines(card):
    """A trained detector in the lines of a summary."""
    training = card.get("training") or {}
    lines = [
        "*%s*: model %s, network %s, at %.4g Å/px."
        % (", ".join(card["species"]), card["name"], card["network"], card["pixel_size"])
    ]
    if training.get("steps"):
        lines.append("%s, stopped: %s." % (counted(training["steps"], "step"), training.get("stop_reason")))
    for name, threshold in zip(card["species"], card["thresholds"]):
        figures = card["validation"].get(name) or {}
        if not figures.get("particles"):
            lines.append("  %s: none was held out; its threshold %.2f is a guess" % (name, threshold))
        else:
            lines.append(
                "  %s: %d of %d held-out particles found, %d wrong, at threshold %.2f (F%g %.2f)"
                % (
                    name,
                    figures["found"],
                    figures["particles"],
                    figures["false"],
                    threshold,
                    card["beta"],
                    figures["f_beta"],
                )
            )
    return lines


def detectorInWords(card):
    """Methods of a training run. card: of its model."""
    count = sum((card.get("particles") or {}).values())
    return (
        "The model %s, %s, was trained with cryodl %s on %s to find %s in tomograms at %.4g Å/px; thresholds were "
        "chosen for the largest F%g on held-out data."
        % (
            card["name"],
            network_words("detector", card["network"]),
            (card.get("versions") or {}).get("cryodl", __version__),
            counted(count, "particle"),
            ", ".join(card["species"]),
            card["pixel_size"],
            card["beta"],
        )
    )


def detectedLines(made):
    """Detections in the lines of a summary. made: Result.outputs of detect-particles."""
    lines = []
    for name, counts in sorted(made["counts"].items()):
        lines.append("*%s*" % name)
        for species, count in counts.items():
            chance = made["by_chance"].get(name, {}).get(species)
            lines.append(
                "  %s: %d from score %.3g%s"
                % (species, count, made["thresholds"][name][species], "" if chance is None else chanceInWords(chance))
            )
    if any(made["by_chance"].values()):
        lines.append(
            "Expected in noise: in copies of the tomogram with its spectrum and random phases. It says nothing of "
            "other structures that look like the particle."
        )
    return lines


def chanceInWords(chance):
    number = "less than 0.1" if chance < 0.1 else "%.2g" % chance if chance < 10 else "%.0f" % chance
    return ", %s expected in noise at this threshold" % number


def detectionInWords(made, structure, card, results):
    """Methods of a detection. structure: name of the template's file. card: of the detector, None with a template."""
    total = sum(sum(counts.values()) for counts in made["counts"].values())
    start = "%s of %s were found in %s with cryodl %s" % (
        counted(total, "particle"),
        ", ".join(made["species"]),
        counted(len(made["counts"]), "tomogram"),
        versionIn(results),
    )
    if made["method"] == "template":
        return "%s by locally normalised cross-correlation with %s in %d orientations, %.3g° apart." % (
            start,
            structure,
            made["orientations"],
            made["angular_step"],
        )
    how = " (%s)" % network_words("detector", card["network"]) if card else ""
    return "%s by the model %s%s." % (start, card["name"] if card else "that is gone", how)


def detectorCitations(network):
    """Keys of the bibliography for work with a detector; network: its name, None if no model is known."""
    return ["cryodl"] + list(network_citations("detector", network))
