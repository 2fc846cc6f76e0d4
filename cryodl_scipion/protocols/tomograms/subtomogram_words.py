# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with subtomograms, in sentences for summaries and for the methods of a paper, and whom to cite."""

from typing import Any, Dict, List, Optional

from ...convert.tomograms.subtomograms import UNKNOWN
from ...engine.cryodl import __version__
from ...engine.cryodl.contract import (
    CLASSIFIER_NETWORKS,
    Result,
    SimulateSubtomogramsConfig,
    counted,
    network_citations,
    network_words,
)
from ...engine.cryodl.contract.tomograms.classifying import ClassifySubtomogramsOutputs
from ...engine.cryodl.contract.tomograms.clustering import ClusterSubtomogramsOutputs
from ..methods import versionIn

# Correlation of what both subtomograms have measured.
CONSTRAINED = ("Xu2012",)


def subtomogramCitations(network: Optional[str]) -> List[str]:
    """Keys of the bibliography for work with a classifier; network: its name, or None if no model is known yet."""
    return ["cryodl"] + list(network_citations("classifier", network))


def subtomogramSimulationInWords(config: SimulateSubtomogramsConfig, result: Any) -> str:
    """Methods of a simulation. config: SimulateSubtomogramsConfig."""
    made = result.outputs
    return (
        f"{counted(made.count, 'subtomogram')} of {', '.join(made.classes)} were simulated with cryodl "
        f"{versionIn([result])} at {made.pixel_size:g} Å/px, with tilts from {config.tilt_min:g} to "
        f"{config.tilt_max:g}° in steps of {config.tilt_step:g}° and a signal-to-noise ratio of {config.snr:g}."
    )


# ----- training
def classifierLines(card: Dict[str, Any]) -> List[str]:
    """A trained classifier in the lines of a summary."""
    validation, training = card.get("validation") or {}, card.get("training") or {}
    lines = [
        f"*{len(card['classes'])} classes*: {', '.join(map(str, card['classes']))}",
        f"Model {card['name']}, network {card['network']}, box size {card['box']} px at {card['pixel_size']:.4g} "
        f"Å/px, particles of {card['particle_diameter']:.4g} Å.",
    ]
    if training.get("steps"):
        lines.append(f"{counted(training['steps'], 'step')}, stopped: {training.get('stop_reason')}.")
    if validation.get("accuracy") is not None:
        lines.append(f"On the held-out subtomograms: accuracy {validation['accuracy']:.3f}.")
    return lines


def classifierInWords(card: Dict[str, Any]) -> str:
    """Methods of a training run. card: of its model."""
    validation = card.get("validation") or {}
    text = (
        f"The model {card['name']} was trained with cryodl "
        f"{(card.get('versions') or {}).get('cryodl', __version__)} to classify subtomograms "
        f"({', '.join(map(str, card['classes']))}) {_how(card['network'])}"
    )
    if validation.get("accuracy") is not None:
        text += f"; the accuracy on held-out subtomograms was {validation['accuracy']:.3f}"
    return text + "."


def _how(network: str) -> str:
    return network_words("classifier", network) if network in CLASSIFIER_NETWORKS else f"by the network {network}"


# ----- classifying and clustering
def classifiedLines(outputs: ClassifySubtomogramsOutputs) -> List[str]:
    """Result.outputs of `classify-subtomograms` in the lines of a summary."""
    counts = outputs.counts
    lines = [f"*{counted(sum(counts.values()), 'subtomogram')}*"] + [
        f"  {name}: {count}" for name, count in counts.items()
    ]
    if outputs.accuracy is not None:
        lines.append(f"Accuracy, compared with the classes of the input: {outputs.accuracy:.3f}")
    return lines


def classifyingInWords(outputs: ClassifySubtomogramsOutputs, card: Optional[Dict[str, Any]], result: Result) -> str:
    """Methods of a classification. card: the model's, or None if it is gone."""
    counts = outputs.counts
    text = f"{counted(sum(counts.values()), 'subtomogram')} were classified with cryodl {versionIn([result])}"
    if card:
        text += f" {_how(card['network'])} (model {card['name']})"
    return text + f"; {counts.get(UNKNOWN, 0)} were rejected as unknown."


_ALIGNED = {
    "given": "Compared in the orientations of the input.",
    "search": "Aligned for the comparison.",
    "none": "Compared without alignment.",
}
_EMBEDDINGS = {
    "pca": "principal components of the differences from their mean",
    "similarity": "the correlations of all pairs",
    "autoencoder": "an autoencoder",
}


def clusteredLines(outputs: ClusterSubtomogramsOutputs) -> List[str]:
    """Result.outputs of `cluster-subtomograms` in the lines of a summary."""
    counts = outputs.counts
    lines = [f"*{counted(sum(counts.values()), 'subtomogram')} in {counted(len(counts), 'cluster')}*"]
    lines += [f"  cluster {number}: {count}{_resolution(outputs, number)}" for number, count in counts.items()]
    return lines + [_ALIGNED[outputs.aligned]]


def _resolution(outputs: ClusterSubtomogramsOutputs, number: str) -> str:
    found = outputs.resolutions.get(number)
    return "" if found is None else f", half-maps agree to {found:.3g} Å"


def clusteringInWords(outputs: ClusterSubtomogramsOutputs, embedding: str, compensate: bool, result: Result) -> str:
    """Methods of a clustering."""
    text = (
        f"{counted(sum(outputs.counts.values()), 'subtomogram')} were clustered into {len(outputs.counts)} classes "
        f"with cryodl {versionIn([result])} by {_EMBEDDINGS[embedding]}"
    )
    return text + (
        ", comparing only Fourier coefficients measured in both."
        if compensate
        else ", without compensation of the missing wedge."
    )
