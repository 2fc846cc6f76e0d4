# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done to denoise tomograms, in sentences for summaries and methods, and whom to cite."""

from typing import Any, Dict, List, Sequence

from ...engine.cryodl.contract import Result, counted, network_citations, network_words
from ..methods import versionIn

ONLY_FOR = "For viewing, annotating and segmenting. Average subtomograms of the original tomograms."
GUESS = "The content of the missing wedge is predicted by the network: do not use it for measurements."
_MAXIMUM = 10  # tomograms whose controls a summary lists


def tomogramDenoisingCitations(card: Dict[str, Any], fillWedge: Any) -> List[str]:
    """Keys of the bibliography. card: of the model, or None; fillWedge: of the form, while there is no model."""
    fills = card["fills_wedge"] if card else fillWedge
    network = card["network"] if card else "unet3d"
    keys = ["cryodl", "Lehtinen2018", "Buchholz2019"] + (["Liu2022IsoNet", "Wiedemann2024"] if fills else [])
    return keys + list(network_citations("tomogram_denoiser", network))


def denoisedLines(count: int, card: Dict[str, Any], controls: Any) -> Any:
    """A run in the lines of a summary. controls: of the result."""
    lines = [
        f"*{counted(count, 'tomogram')} denoised*{', missing wedge filled,' if card['fills_wedge'] else ''} by "
        f"the model {card['name']}, at {card['pixel_size']:.4g} Å/px.",
        ONLY_FOR,
    ]
    if card["fills_wedge"]:
        found = card["validation"]
        lines.append(
            f"{GUESS} In measured Fourier coefficients that were hidden from the network, its prediction correlated "
            f"by {found.get('wedge_correlation', 0):.3f} with the other raw half (the measured coefficients: "
            f"{found.get('wedge_measured_correlation', 0):.3f})."
        )
    known = [(name, metrics) for name, metrics in sorted(controls.items()) if metrics]
    lines += [controlLine(name, metrics) for name, metrics in known[:_MAXIMUM]]
    if len(known) > _MAXIMUM:
        lines.append(f"... and {len(known) - _MAXIMUM} more, in denoise.json.")
    if len(known) < len(controls):
        lines.append("Tomograms without halves have no control: it is not known what was invented in them.")
    return lines


def controlLine(name: str, metrics: Dict[str, Any]) -> str:
    """What is known of a tomogram from its halves alone."""
    before, after = (metrics[f"signal_correlation_{when}"] for when in ("before", "after"))
    gained = "not known" if after is None else f"{before:.2f} before, {after:.2f} after (estimated from the halves)"
    return (
        f"{name}: correlation with the signal {gained}; of noise alone "
        f"{100 * metrics['noise_left']:.0f} % of the contrast is left (Wiener filter: "
        f"{100 * metrics['wiener_noise_left']:.0f} %), of random phases "
        f"{100 * metrics['random_phases_left']:.0f} %."
    )


def denoisedInWords(count: int, card: Dict[str, Any], results: Sequence[Result]) -> str:
    """Methods of a run."""
    learned = len((card.get("training") or {}).get("tomograms") or ())
    return (
        f"{counted(count, 'tomogram')} were "
        f"denoised{', and their missing wedge filled,' if card['fills_wedge'] else ''} with cryodl "
        f"{versionIn(results)} by {network_words('tomogram_denoiser', card['network'])} that had learned to predict "
        f"one half of {counted(learned, 'tomogram') if learned else 'tomograms'} from the "
        f"other{', rotated and with a second wedge removed' if card['fills_wedge'] else ''}."
    )
