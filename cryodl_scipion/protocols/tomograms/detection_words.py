# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles found in tomograms, in sentences for summaries and for the methods of a paper."""

from typing import Any, Dict, List, Optional

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import counted, network_citations, network_words, score_text
from ..methods import versionIn

MATCHING = ["Roseman2003", "Chaillet2023", "Gorski2005"]


def detectorLines(card: Dict[str, Any]) -> List[str]:
    """A trained detector in the lines of a summary."""
    training, species = card.get("training") or {}, ", ".join(card["species"])
    lines = [f"*{species}*: model {card['name']}, network {card['network']}, at {card['pixel_size']:.4g} Å/px."]
    if training.get("steps"):
        lines.append(f"{counted(training['steps'], 'step')}, stopped: {training.get('stop_reason')}.")
    for name, threshold in zip(card["species"], card["thresholds"]):
        metrics = card["validation"].get(name) or {}
        if not metrics.get("particles"):
            lines.append(
                f"  {name}: no particles were held out, so the threshold {score_text(threshold)} is not validated"
            )
        else:
            lines.append(
                f"  {name}: {metrics['found']} of {metrics['particles']} held-out particles found, "
                f"{metrics['false']} false, at threshold {score_text(threshold)} (F{card['beta']:g} "
                f"{metrics['f_beta']:.2f})"
            )
    return lines


def detectorInWords(card: Dict[str, Any]) -> str:
    """Methods of a training run. card: of its model."""
    count = sum((card.get("particles") or {}).values())
    version = (card.get("versions") or {}).get("cryodl", __version__)
    return (
        f"The model {card['name']}, {network_words('detector', card['network'])}, was trained with cryodl {version} on "
        f"{counted(count, 'particle')} to find {', '.join(card['species'])} in tomograms at {card['pixel_size']:.4g} "
        f"Å/px; thresholds were chosen for the largest F{card['beta']:g} on held-out data."
    )


def detectedLines(made: Any) -> List[str]:
    """Detections in the lines of a summary. made: Result.outputs of detect-particles."""
    lines = []
    for name, counts in sorted(made["counts"].items()):
        lines.append(f"*{name}*")
        for species, count in counts.items():
            chance = made["expected_false_detections"].get(name, {}).get(species)
            told = "" if chance is None else chanceInWords(chance)
            lines.append(f"  {species}: {count} from score {score_text(made['thresholds'][name][species])}{told}")
    if any(made["expected_false_detections"].values()):
        lines.append(
            "Expected in noise: in copies of the tomogram with its spectrum and random phases. It does not count "
            "other structures that look like the particle."
        )
    return lines


def chanceInWords(chance: float) -> str:
    """What the control says of a number of detections."""
    number = "less than 0.1" if chance < 0.1 else f"{chance:.2g}" if chance < 10 else f"{chance:.0f}"
    return f", {number} expected in noise at this threshold"


def detectionInWords(made: Any, structure: str, card: Optional[Dict[str, Any]], results: Any) -> str:
    """Methods of a detection. structure: name of the template's file. card: of the detector, None with a template."""
    total = sum(sum(counts.values()) for counts in made["counts"].values())
    start = (
        f"{counted(total, 'particle')} of {', '.join(made['species'])} were found in "
        f"{counted(len(made['counts']), 'tomogram')} with cryodl {versionIn(results)}"
    )
    if made["method"] == "template":
        return (
            f"{start} by locally normalised cross-correlation with {structure} in {made['orientations']} orientations, "
            f"{made['angular_step']:.3g}° apart."
        )
    how = f" ({network_words('detector', card['network'])})" if card else ""
    return f"{start} by the model {card['name'] if card else 'that no longer exists'}{how}."


def detectorCitations(network: Optional[str]) -> List[str]:
    """Keys of the bibliography for work with a detector; network: its name, None if no model is known."""
    return ["cryodl"] + list(network_citations("detector", network))
