# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with denoisers and particles, in sentences for summaries and for the methods of a paper."""

from typing import Any, Dict, List, Sequence

from pwem.objects import AtomStruct

from ...convert.names import withoutChecksum
from ...engine.cryodl import __version__
from ...engine.cryodl.contract import Result, counted, resolution_in_words
from ..methods import networkInWords, versionIn

# Of a denoising without a known structure.
BLIND_CITATIONS = ["cryodl", "Zhang2023SCUNet", "Bepler2020", "Pang2021"]
KINDS = (("raw", "raw"), ("wiener", "Wiener filter"), ("denoised", "denoised"))


def denoiserLines(card: Dict[str, Any]) -> List[str]:
    """A trained denoiser in the lines of a summary."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    lines = [
        f"Model {card['name']}, network {card['network']}, of "
        f"{', '.join(card.get('structures') or ['unknown structures'])}; working pixel size {card['pixel_size']:.4g} "
        f"Å/px, box size {card['box']} px."
    ]
    if training:
        steps = f"{counted(training['steps'], 'step')}, stopped: " if training["steps"] else ""
        lines.append(
            f"{'Trained' if training['steps'] else 'Measured'} on {counted(training['particles'], 'particle')}, "
            f"{training['validation_particles']} more for validation; {steps}{training['stop_reason']}."
        )
    if validation:
        lines.append(
            f"On the held-out particles: mean FRC with the ground truth {validation['frc']:.3f}, of the raw images "
            f"{validation['frc_raw']:.3f}."
        )
    return lines + [
        "Denoised images are not raw data. Measure what the denoiser invents with *cryodl - evaluate denoiser*."
    ]


def denoiserInWords(card: Dict[str, Any]) -> str:
    """Methods of a training run. card: of its model."""
    training = card.get("training") or {}
    structures = withoutChecksum(", ".join(card.get("structures") or ["the structure"]))
    text = (
        f"The denoiser {card['name']}, {networkInWords(card)}, was "
        f"{'trained' if training.get('steps', 1) else 'made'} with cryodl "
        f"{(card.get('versions') or {}).get('cryodl', __version__)}"
    )
    if not training.get("steps", 1):
        return text + (
            f" from {structures}; strength, noise and shifts were measured on "
            f"{counted(training['particles'], 'particle')}."
        )
    if training:
        text += f" in {counted(training['steps'], 'step')} on {counted(training['particles'], 'particle')}"
    return text + f" with projections of {structures} as targets."


def denoisingInWords(count: int, card: Dict[str, Any], result: Result) -> str:
    """Methods of a denoising run. card: of the model, or None if it is gone."""
    by = f"the model {card['name']} ({networkInWords(card)})" if card else "a model that no longer exists"
    return (
        f"{counted(count, 'particle')} were denoised with cryodl {versionIn([result])} by {by}; the raw images were "
        "kept."
    )


def blindInWords(count: int, card: Dict[str, Any], result: Result) -> str:
    """Methods of a denoising without a known structure. card: of the model, or None if it is gone."""
    learnt = ((card or {}).get("training") or {}).get("simulated_micrographs")
    taught = f"{counted(learnt, 'simulated micrograph')} of" if learnt else "simulated micrographs of"
    return (
        f"For inspection, {counted(count, 'particle')} were denoised blindly with cryodl {versionIn([result])}: by a "
        f"U-Net that was trained on {taught} other structures, with spectra of signal and noise that were measured on "
        "the particles, and without a known structure; the raw images were kept."
    )


def orientingInWords(count: int, structure: AtomStruct, card: Dict[str, Any], result: Result, step: int) -> str:
    """Methods of an assignment of orientations. step: degrees; card: the denoiser's, or None."""
    text = (
        f"{counted(count, 'particle')} were given initial orientations with cryodl {versionIn([result])} by "
        f"comparison with projections of {structure}"
    )
    text += f" in {result.outputs.directions} directions {step:.3g}° apart"
    return text + (
        f", of images denoised by {card['name']}." if card else ", of the raw images with their CTF and noise."
    )


def backProjectingInWords(result: Result, symmetry: str, denoiser: str) -> str:
    """Methods of a back-projection. denoiser: name, '' for raw particles."""
    made = result.outputs
    text = (
        f"{counted(made.count, 'particle')}{f' denoised by the model {denoiser}' if denoiser else ''} were "
        f"back-projected with cryodl {versionIn([result])} under symmetry {symmetry}"
    )
    if denoiser:
        return text + "; the map shows what the denoiser learned."
    return text + (
        "; the resolution at a Fourier shell correlation of the half-maps of 0.143 is "
        f"{resolution_in_words(made.resolution)}."
    )


def referenceLines(made: Any) -> Any:
    """Lines about a map whose angles come from a reference: what of its FSC is the map's own. made: the outputs of
    `reconstruct`."""
    if not made.reference:
        return []
    lines = [f"Angles from the reference {withoutChecksum(made.reference)}, which both half-maps share"]
    if made.noise_fsc is None:
        return lines + ["Noise control (as many images of noise, oriented in the same way): not tested"]
    noise, own = resolution_in_words(made.noise_resolution), resolution_in_words(made.corrected_resolution)
    lines.append(
        f"Noise control (as many images of noise, oriented in the same way): {noise}; map corrected for it: {own}"
    )
    if made.fsc_beyond is not None:
        lines.append(
            f"Mean FSC beyond {made.search_resolution:.3g} Å, which was not compared with the reference: "
            f"{made.fsc_beyond:.3f}"
        )
    return lines


def denoiserEvaluationLines(evaluation: Dict[str, Any]) -> Any:
    """evaluation.json in the lines of a summary: gain, then control."""
    mean, resolution, control = evaluation["mean_frc"], evaluation["resolution"], evaluation["control"]
    lines = [
        f"*{counted(evaluation['count'], 'particle')}* of {evaluation['box']} px, {evaluation['pixel_size']:.4g} "
        "Å/px, compared with the ground truth"
    ]
    for kind, word in KINDS:
        if mean.get(kind) is not None:
            half, seventh = (resolution_in_words((resolution.get(kind) or {}).get(level)) for level in ("0.5", "0.143"))
            lines.append(f"{word.capitalize()}: mean FRC {mean[kind]:.3f}; FRC 0.5 at {half}, 0.143 at {seventh}")
    lines.append(f"*Control: {'passed' if control['verdict'] == 'ok' else 'WARNING, see the next line'}*")
    lines += [f"  {sentence}" for sentence in control["sentences"]]
    return lines


def denoiserEvaluationInWords(evaluation: Dict[str, Any], card: Dict[str, Any], results: Sequence[Result]) -> str:
    """Methods of an evaluation. card: of the model, or None if it is gone."""
    mean, control = evaluation["mean_frc"], evaluation["control"]
    text = (
        f"The denoiser {card['name'] if card else ''} was evaluated with cryodl {versionIn(results)} on "
        f"{counted(evaluation['count'], 'particle')}"
    )
    text += (
        f": the mean Fourier ring correlation with the ground truth was {mean['denoised']:.3f}, for raw images "
        f"{mean['raw']:.3f} and for Wiener-filtered ones {mean['wiener']:.3f}"
    )
    return text + (
        f"; for denoised pure noise it was {control['noise']:.3f} (unrelated projections: {control['unrelated']:.3f})."
    )


def integrityLines(result: Result, subsets: Any, minimum: Any) -> List[str]:
    """An assessment of compositions in the lines of a summary. subsets: {name: particles in its subset}."""
    made = result.outputs
    lines = [f"*Most probable composition of {counted(sum(made.counts.values()), 'particle')}*"]
    lines += [
        f"  {name}: {made.counts.get(name, 0)}, of which {subsets[name]} have a probability of at least {minimum:g}"
        for name in made.names
    ]
    if made.separation is not None:
        lines.append(f"About {100 * made.separation:.0f} % of these classes are expected to be correct.")
    return lines + ["Images and alignments are those of the input."]


def integrityInWords(count: int, result: Result, card: Dict[str, Any]) -> str:
    """Methods of an assessment of compositions. card: the denoiser's, or None."""
    made = result.outputs
    text = (
        f"The compositions {', '.join(made.names)} were distinguished for each of {counted(count, 'particle')} with "
        f"cryodl {versionIn([result])}"
    )
    text += f", from the raw images and those of the denoiser {card['name']}" if card else ", from the raw images"
    likeliest = ", ".join(f"{name} for {made.counts.get(name, 0)}" for name in made.names)
    return text + f"; the most probable was {likeliest}."
