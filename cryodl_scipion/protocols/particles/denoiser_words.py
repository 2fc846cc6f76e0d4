# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with denoisers and particles, in sentences for summaries and for the methods of a paper."""

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import counted, resolution_in_words
from ..methods import networkInWords, versionIn

KINDS = (("raw", "raw"), ("wiener", "Wiener filter"), ("denoised", "denoised"))


def denoiserLines(card):
    """A trained denoiser in the lines of a summary."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    lines = [
        "Model %s, network %s, of %s; learned at %.4g Å/px, box %d px."
        % (
            card["name"],
            card["network"],
            ", ".join(card.get("structures") or ["unknown structures"]),
            card["pixel_size"],
            card["box"],
        )
    ]
    if training:
        lines.append(
            "%s on %s, %d more for validation; %s."
            % (
                "Trained" if training["steps"] else "Measured",
                counted(training["particles"], "particle"),
                training["validation_particles"],
                "%s, stopped: %s" % (counted(training["steps"], "step"), training["stop_reason"])
                if training["steps"]
                else training["stop_reason"],
            )
        )
    if validation:
        lines.append(
            "On the particles kept for validation: mean FRC with the truth %.3f, of the raw images %.3f."
            % (validation["frc"], validation["frc_raw"])
        )
    return lines + ["What it makes is no raw data: measure what it invents with *cryodl - evaluate denoiser*."]


def denoiserInWords(card):
    """Methods of a training run. card: of its model."""
    training = card.get("training") or {}
    structures = ", ".join(card.get("structures") or ["the structure"])
    text = "The denoiser %s, %s, was %s with cryodl %s" % (
        card["name"],
        networkInWords(card),
        "trained" if training.get("steps", 1) else "made",
        (card.get("versions") or {}).get("cryodl", __version__),
    )
    if not training.get("steps", 1):
        return text + " from %s; strength, noise and shifts were measured on %s." % (
            structures,
            counted(training["particles"], "particle"),
        )
    if training:
        text += " in %s on %s" % (counted(training["steps"], "step"), counted(training["particles"], "particle"))
    return text + " with projections of %s as targets." % structures


def denoisingInWords(count, card, result):
    """Methods of a denoising run. card: of the model, or None if it is gone."""
    by = "the model %s (%s)" % (card["name"], networkInWords(card)) if card else "a model that is no longer there"
    return "%s were denoised with cryodl %s by %s; the raw images were kept." % (
        counted(count, "particle"),
        versionIn([result]),
        by,
    )


def orientingInWords(count, structure, card, result, step):
    """Methods of an assignment of orientations. step: degrees; card: the denoiser's, or None."""
    text = "%s were given initial orientations with cryodl %s by comparison with projections of %s" % (
        counted(count, "particle"),
        versionIn([result]),
        structure,
    )
    text += " in %d directions %.3g° apart" % (result.outputs["directions"], step)
    return text + (
        ", of images denoised by %s." % card["name"] if card else ", of the raw images with their CTF and noise."
    )


def backProjectingInWords(result, symmetry, denoiser):
    """Methods of a back-projection. denoiser: name, '' for raw particles."""
    made = result.outputs
    text = "%s%s were back-projected with cryodl %s under symmetry %s" % (
        counted(made["count"], "particle"),
        " denoised by the model %s" % denoiser if denoiser else "",
        versionIn([result]),
        symmetry,
    )
    if denoiser:
        return text + "; the map shows what the model learned."
    return text + "; the resolution by the Fourier shell correlation of half-maps at 0.143 is %s." % (
        resolution_in_words(made["resolution"])
    )


def referenceLines(made):
    """Lines about a map whose angles come from a reference: what of its FSC is the map's own. made: the outputs of
    `reconstruct`."""
    if not made.get("reference"):
        return []
    lines = ["Angles from the reference %s, which both half-maps share" % made["reference"]]
    if made.get("noise_fsc") is None:
        return lines + ["As many images of noise, oriented likewise: not tested"]
    lines.append(
        "As many images of noise, oriented likewise: %s; without what noise has as well: %s"
        % tuple(resolution_in_words(made.get(name)) for name in ("noise_resolution", "own_resolution"))
    )
    if made.get("fsc_beyond") is not None:
        lines.append(
            "Mean FSC beyond %.3g Å, which was not compared with the reference: %.3f"
            % (made["compared"], made["fsc_beyond"])
        )
    return lines


def evaluationLines(evaluation):
    """evaluation.json in the lines of a summary: gain, then control."""
    mean, resolution, control = evaluation["mean_frc"], evaluation["resolution"], evaluation["control"]
    lines = [
        "*%s* of %d px, %.4g Å/px against the truth"
        % (counted(evaluation["count"], "particle"), evaluation["box"], evaluation["pixel_size"])
    ]
    for kind, word in KINDS:
        if mean.get(kind) is not None:
            lines.append(
                "%s: mean FRC %.3f; FRC 0.5 at %s, 0.143 at %s"
                % (
                    (word.capitalize(), mean[kind])
                    + tuple(resolution_in_words((resolution.get(kind) or {}).get(level)) for level in ("0.5", "0.143"))
                )
            )
    lines.append(
        "*Control: %s*" % ("passed" if control["verdict"] == "ok" else "WARNING, for the reason that comes first")
    )
    lines += ["  %s" % sentence for sentence in control["sentences"]]
    return lines


def evaluationInWords(evaluation, card, results):
    """Methods of an evaluation. card: of the model, or None if it is gone."""
    mean, control = evaluation["mean_frc"], evaluation["control"]
    text = "The denoiser %s was evaluated with cryodl %s on %s" % (
        card["name"] if card else "",
        versionIn(results),
        counted(evaluation["count"], "particle"),
    )
    text += (
        ": the mean Fourier ring correlation with the truth was %.3f, for raw images %.3f and for "
        "Wiener-filtered ones %.3f" % (mean["denoised"], mean["raw"], mean["wiener"])
    )
    return text + "; for denoised pure noise it was %.3f (unrelated projections: %.3f)." % (
        control["noise"],
        control["unrelated"],
    )


def integrityLines(result, subsets, least):
    """An assessment of compositions in the lines of a summary. subsets: {name: particles in its subset}."""
    made = result.outputs
    lines = ["*Likeliest composition of %s*" % counted(sum(made["counts"].values()), "particle")]
    lines += [
        "  %s: %d, of them %d with a probability of %g or more"
        % (name, made["counts"].get(name, 0), subsets[name], least)
        for name in made["names"]
    ]
    if made.get("separation") is not None:
        lines.append("About %.0f %% of these classes should be right." % (100 * made["separation"]))
    return lines + ["Images and alignments are those of the input."]


def integrityInWords(count, result, card):
    """Methods of an assessment of compositions. card: the denoiser's, or None."""
    made = result.outputs
    text = "The compositions %s were told apart for each of %s with cryodl %s" % (
        ", ".join(made["names"]),
        counted(count, "particle"),
        versionIn([result]),
    )
    text += ", with the denoiser %s beside the raw images" % card["name"] if card else ", from the raw images"
    return text + "; the likeliest was %s." % ", ".join(
        "%s for %d" % (name, made["counts"].get(name, 0)) for name in made["names"]
    )
