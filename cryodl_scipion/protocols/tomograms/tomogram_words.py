# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with tomograms, in sentences for summaries and for the methods of a paper, and whom to cite."""

from typing import Any, Dict, List, Optional, Sequence

from tomo.objects import SetOfTomoMasks

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import (
    Result,
    SimulateTomogramsConfig,
    counted,
    network_citations,
    network_words,
    noise_in_words,
    score_text,
)
from ...engine.cryodl.contract.tomograms.simulating import SimulateTomogramsOutputs
from ..methods import versionIn

# One network for each feature, and the competition of features, are of this paper.
METHOD = "Chen2017"
MAX_NOISE_LINES = 5  # tomograms whose answer to noise stands in a summary


def tomogramCitations(network: Optional[str]) -> List[str]:
    """Keys of the bibliography for work with a segmenter; network: its name, or None if no model is known yet."""
    return ["cryodl", METHOD] + [key for key in network_citations("segmenter", network) if key != METHOD]


def _network(card: Dict[str, Any]) -> str:
    return network_words("segmenter", card["network"])


# ----- training
def segmenterLines(card: Dict[str, Any]) -> List[str]:
    """A trained segmenter in the lines of a summary."""
    tiles, training, validation = card.get("tiles") or {}, card.get("training") or {}, card.get("validation") or {}
    by = card["annotator"] if card["annotator"] != "unknown" else None
    lines = [
        f"*{card['feature']}*{f' as annotated by {by}' if by else ''}: model {card['name']}, network "
        f"{card['network']}, at {card['pixel_size']:.4g} Å/px."
    ]
    if tiles:
        lines.append(
            f"Trained on {counted(tiles.get('positive', 0), 'tile')} with and {tiles.get('negative', 0)} without the "
            f"feature; {tiles.get('validation', 0)} more for validation."
        )
    if training.get("steps"):
        lines.append(f"{counted(training['steps'], 'step')}, stopped: {training.get('stop_reason')}.")
    if validation.get("dice") is not None:
        lines.append(
            "On the validation tiles: Dice "
            f"{validation['dice']:.3f}{_boundary(validation.get('boundary_error_angstrom'))}, at threshold "
            f"{score_text(card['threshold'])}."
        )
    return lines


def _boundary(error: Optional[float]) -> str:
    return "" if error is None else f", boundary error {error:.3g} Å"


def segmenterInWords(card: Dict[str, Any]) -> str:
    """Methods of a training run. card: of its model."""
    tiles, validation = card.get("tiles") or {}, card.get("validation") or {}
    text = (
        f"The model {card['name']}, {_network(card)}, was trained with cryodl "
        f"{(card.get('versions') or {}).get('cryodl', __version__)} to find the feature {card['feature']}"
    )
    if tiles:
        text += f", on {counted(tiles.get('positive', 0), 'tile')} with and {tiles.get('negative', 0)} without it"
    if validation.get("dice") is not None:
        text += f"; the Dice coefficient on validation tiles was {validation['dice']:.3f}"
    return text + "."


# ----- segmenting, merging, picking, judging
def segmentedLines(outputs: Dict[str, SetOfTomoMasks]) -> List[str]:
    """Sets of score volumes in the lines of a summary. outputs: {feature: SetOfTomoMasks}."""
    return [f"*{feature}*: {counted(masks.getSize(), 'tomogram')}" for feature, masks in sorted(outputs.items())]


def noiseLines(results: Sequence[Result]) -> List[str]:
    """What the models found in noise, the feature with the highest part of each tomogram. results: of `segment`."""
    found: Dict[str, Any] = {}
    for result in results:
        found.update(result.outputs.get("noise") or {})
    lines = []
    for tomogram, features in sorted(found.items()):
        if features:
            worst = max(features, key=lambda name: features[name]["noise"])
            lines.append(noise_in_words(tomogram, worst, features[worst]))
    if len(lines) > MAX_NOISE_LINES:
        lines[MAX_NOISE_LINES:] = [f"... and {len(lines) - MAX_NOISE_LINES} more tomograms."]
    return lines


def segmentingInWords(count: int, cards: Sequence[Dict[str, Any]], results: Sequence[Result]) -> str:
    """Methods of a segmentation. cards: of the models that are still there."""
    by = " and ".join(f"{card['feature']} by {card['name']} ({_network(card)})" for card in cards)
    return f"{counted(count, 'tomogram')} were segmented with cryodl {versionIn(results)}{f': {by}' if by else ''}."


def mergedLines(found: Dict[str, Any]) -> List[str]:
    """The table of features. found: {tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}}."""
    lines = []
    for tomogram, features in sorted(found.items()):
        lines.append(f"*{tomogram}*")
        for name, metrics in features.items():
            area = metrics.get("area_nm2")
            surface = "" if area is None else f", surface {area:.4g} nm²"
            lines.append(
                f"  {name}: {counted(metrics['components'], 'component')}, {metrics['volume_nm3']:.4g} nm³{surface}"
                if metrics["voxels"]
                else f"  {name}: nothing found"
            )
    return lines


def mergingInWords(count: int, features: Sequence[str], competitive: bool, results: Sequence[Result]) -> str:
    """Methods of a merging of features."""
    how = (
        "every voxel was given to the feature whose score was farthest above its threshold (in log odds)"
        if competitive
        else "every voxel above a feature's threshold was given to it"
    )
    return (
        f"The features {', '.join(features)} of {counted(count, 'tomogram')} were merged with cryodl "
        f"{versionIn(results)}: {how}."
    )


_SHAPES = {
    "centres": "the centres of the connected components",
    "particles": "the centres of the particles, split where they touch",
    "filaments": "points along the centre lines of filaments, %g Å apart, with their directions",
    "membranes": "points on membranes, %g Å apart, with their normals",
}


def pickedInWords(count: int, shape: str, spacing: float, what: str, results: Sequence[Result]) -> str:
    """Methods of a picking in segmentations. what: the feature in words."""
    positions = _SHAPES[shape] % spacing if "%" in _SHAPES[shape] else _SHAPES[shape]
    return (
        f"From the segmentation of {what}, {counted(count, 'point')} were picked with cryodl {versionIn(results)}: "
        f"{positions}."
    )


def judgedLines(features: Dict[str, Dict[str, float]]) -> List[str]:
    """A comparison of segmentations. features: {name: {dice, precision, recall, boundary_error ...}}."""
    lines = []
    for name, metrics in features.items():
        known = [
            (word, metrics[key])
            for word, key in (("Dice", "dice"), ("precision", "precision"), ("recall", "recall"))
            if metrics.get(key) is not None
        ]
        overlap = ", ".join(f"{word} {value:.3f}" for word, value in known) or "nothing to compare"
        lines.append(f"*{name}*: {overlap}{_boundary(metrics.get('boundary_error'))}")
    return lines


def judgedInWords(features: Dict[str, Dict[str, float]], results: Sequence[Result]) -> str:
    dice = ", ".join(
        f"{metrics['dice']:.3f} for {name}" for name, metrics in features.items() if metrics.get("dice") is not None
    )
    return (
        f"The segmentation was compared with labels with cryodl {versionIn(results)}; the Dice coefficient is "
        f"{dice or 'not defined'}."
    )


# ----- simulating
def simulationLines(config: SimulateTomogramsConfig, made: SimulateTomogramsOutputs) -> List[str]:
    """config: SimulateTomogramsConfig; made: Result.outputs."""
    return [
        f"*{counted(config.count, 'tomogram')}* of {config.size} x {config.size} x {config.thickness} px, at "
        f"{made.pixel_size:g} Å/px",
        "Labels: " + ", ".join(f"{value} {name}" for value, name in enumerate(made.features, 1)),
        "Labels, positions and angles are exact.",
    ]


def tomogramSimulationInWords(config: Any, made: Any, results: Any) -> str:
    return (
        f"{counted(config.count, 'tomogram')} with {', '.join(made.features)} were simulated with cryodl "
        f"{versionIn(results)} at {made.pixel_size:g} Å/px, from tilts of {config.tilt_min:g} to "
        f"{config.tilt_max:g}° in steps of {config.tilt_step:g}°, with a signal-to-noise ratio of "
        f"{config.snr:g}."
    )
