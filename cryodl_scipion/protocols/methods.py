# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done, in sentences for summaries and for the methods of a paper, and whom to cite."""

from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import EMSet

from ..engine.cryodl import __version__
from ..engine.cryodl.contract import DENOISER_NETWORKS, Result, counted, network_citations, network_words, score_text

_LABELS = {"complete": "complete labels", "boxes": "labelled boxes only", "sparse": "sparse labels"}


def citationsOf(network: Optional[str]) -> List[str]:
    """Keys of the bibliography for work with a picker or denoiser, whose names differ; network: its name, or None if no
    model is known yet."""
    return ["cryodl"] + list(network_citations("picker", network) or network_citations("denoiser", network))


def trainingInWords(card: Dict[str, Any]) -> str:
    """Methods of a training run. card: of its model."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    text = (
        f"The model {card['name']} for particles of {card['particle_diameter']:.4g} Å, {networkInWords(card)}, "
        f"was{_learned(card).lstrip(',') or ' trained'} with cryodl "
        f"{(card.get('versions') or {}).get('cryodl', __version__)}"
    )
    if training:
        text += f" in {counted(training['steps'], 'step')}"
    if card.get("labels") in ("boxes", "sparse"):
        text += f", from {_LABELS[card['labels']]}"
    if validation:
        text += (
            f"; on {counted(len(training.get('validation_micrographs', ())), 'micrograph')} held out for validation "
            f"its F1 was {validation['f1']:.3f} and its average precision {validation['average_precision']:.3f}, "
        )
        text += f"at a score threshold of {score_text(card['threshold'])}"
    return text + "."


def simulationInWords(config: Any, made: Any, source: EMSet, results: Sequence[Result]) -> str:
    """Methods of a simulation. config: SimulateMicrographsConfig; made: Result.outputs; source: the structure's
    name."""
    text = (
        f"{counted(config.count, 'micrograph')} with {counted(made.particles, 'particle')} of {source} were "
        f"simulated with cryodl {versionIn(results)} at {config.pixel_size:g} Å/px and {config.voltage:g} kV, "
    )
    text += (
        f"with defoci from {config.minimum_defocus:.0f} to {config.maximum_defocus:.0f} Å, {config.dose:g} e/Å² and a "
        "signal-to-noise ratio of "
        f"{f'{config.snr:g}' if config.snr_max is None else f'{config.snr:g} to {config.snr_max:g}'}"
    )
    return text + ("; the noise has the spectrum of our own micrographs." if config.noise_from else ".")


def trainingLines(card: Dict[str, Any]) -> Any:
    """A trained model in the lines of a summary. card: of the model."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    lines = [f"Model {card['name']} for particles of {card['particle_diameter']:.4g} Å, network {card['network']}."]
    if training:
        lines.append(
            f"Trained on {counted(training['particles'], 'particle')} of "
            f"{counted(len(training['micrographs']), 'micrograph')}, {len(training['validation_micrographs'])} "
            f"more for validation; {counted(training['steps'], 'step')}, stopped: {training['stop_reason']}."
        )
    facts = ([_LABELS[card["labels"]]] if card.get("labels") in _LABELS else []) + (
        [f"protein {card['contrast']}"] if card.get("contrast") else []
    )
    if facts:
        lines.append(f"Training data: {', '.join(facts)}.")
    if validation:
        lines.append(
            f"On the validation micrographs: F1 {validation['f1']:.3f}, average precision "
            f"{validation['average_precision']:.3f}, at threshold {thresholdInWords(card)}."
        )
    return lines


def thresholdInWords(card: Dict[str, Any]) -> str:
    """'0.4', or '0.4 ± 0.043' where the card knows its standard deviation."""
    uncertainty = card.get("threshold_uncertainty")
    return f"{score_text(card['threshold'])}" + ("" if uncertainty is None else f" ± {uncertainty:.2g}")


def networkInWords(card: Dict[str, Any]) -> Any:
    """The network of a picker or denoiser; their names differ."""
    return network_words("denoiser" if card["network"] in DENOISER_NETWORKS else "picker", card["network"])


def versionIn(results: Sequence[Result]) -> str:
    """The cryodl that worked, which an update may have replaced since."""
    return ", ".join(sorted({r.versions["cryodl"] for r in results if "cryodl" in r.versions})) or __version__


def _learned(card: Dict[str, Any]) -> str:
    training = card.get("training")
    if not training or "particles" not in training:
        return ""
    return (
        f", trained on {counted(training['particles'], 'particle')} of "
        f"{counted(len(training.get('micrographs', ())), 'micrograph')}"
    )
