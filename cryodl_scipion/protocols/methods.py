# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done, in sentences for summaries and for the methods of a paper, and whom to cite."""

from ..convert.micrographs.picks import thresholdsInWords
from ..engine.cryodl import __version__
from ..engine.cryodl.contract import DENOISER_NETWORKS, counted, network_citations, network_words

_LABELS = {"complete": "complete labels", "boxes": "labelled places only", "sparse": "sparse labels"}


def citationsOf(network):
    """Keys of the bibliography for work with a picker or denoiser, whose names differ; network: its name, or None if no
    model is known yet."""
    return ["cryodl"] + list(network_citations("picker", network) or network_citations("denoiser", network))


def pickingInWords(coordinates, results, card):
    """Methods of a picking run. results: the contract's Results of `pick`; card: the model's, or None if it is gone."""
    counts = {name for r in results for name in r.outputs.get("counts", {})}
    text = "%s were picked on %s with cryodl %s" % (
        counted(coordinates.getSize(), "particle"),
        counted(len(counts), "micrograph"),
        versionIn(results),
    )
    if card:
        text += ", by the model %s (%s%s)" % (card["name"], networkInWords(card), _learned(card))
    if any(r.outputs.get("threshold") is not None for r in results):
        text += ", at a score threshold of %s" % thresholdsInWords(results)
    return text + "."


def autoPickingInWords(coordinates, results, card, rounds):
    """Methods of automatic picking. card: of the first model, or None; rounds: of readRounds."""
    text = pickingInWords(coordinates, results, None)[:-1]
    text += ", without labels"
    if card:
        text += ": by the model %s (%s)" % (card["name"], networkInWords(card))
    if len(rounds) > 1:
        text += ", trained in %s on its own confident picks" % counted(len(rounds) - 1, "round")
    return text + "."


def trainingInWords(card):
    """Methods of a training run. card: of its model."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    text = "The model %s for particles of %.4g Å, %s, was%s with cryodl %s" % (
        card["name"],
        card["particle_diameter"],
        networkInWords(card),
        _learned(card).lstrip(",") or " trained",
        (card.get("versions") or {}).get("cryodl", __version__),
    )
    if training:
        text += " in %s" % counted(training["steps"], "step")
    if card.get("labels") in ("boxes", "sparse"):
        text += ", from %s" % _LABELS[card["labels"]]
    if validation:
        text += "; on %s kept for validation its F1 was %.3f and its average precision %.3f, " % (
            counted(len(training.get("validation_micrographs", ())), "micrograph"),
            validation["f1"],
            validation["average_precision"],
        )
        text += "at a score threshold of %.3f" % card["threshold"]
    return text + "."


def simulationInWords(config, made, source, results):
    """Methods of a simulation. config: SimulateMicrographsConfig; made: Result.outputs; source: the structure's
    name."""
    text = "%s with %s of %s were simulated with cryodl %s at %g Å/px and %g kV, " % (
        counted(config.count, "micrograph"),
        counted(made["particles"], "particle"),
        source,
        versionIn(results),
        config.pixel_size,
        config.voltage,
    )
    text += "with defoci from %.0f to %.0f Å, %g e/Å² and a signal-to-noise ratio of %s" % (
        config.defocus_min,
        config.defocus_max,
        config.dose,
        "%g" % config.snr if config.snr_max is None else "%g to %g" % (config.snr, config.snr_max),
    )
    return text + ("; the noise has the spectrum of our own micrographs." if config.noise_from else ".")


def particleSimulationInWords(config, source, results):
    """Methods of a simulation of particles. config: SimulateParticlesConfig; source: the structure's name."""
    return (
        "%s of %s were simulated with cryodl %s at %g Å/px and %g kV, with defoci from %.0f to %.0f Å and a "
        "signal-to-noise ratio of %g."
        % (
            counted(config.count, "particle"),
            source,
            versionIn(results),
            config.pixel_size,
            config.voltage,
            config.defocus_min,
            config.defocus_max,
            config.snr,
        )
    )


def trainingLines(card):
    """A trained model in the lines of a summary. card: of the model."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    lines = [
        "Model %s for particles of %.4g Å, network %s." % (card["name"], card["particle_diameter"], card["network"])
    ]
    if training:
        lines.append(
            "Trained on %s of %s, %d more for validation; %s, stopped: %s."
            % (
                counted(training["particles"], "particle"),
                counted(len(training["micrographs"]), "micrograph"),
                len(training["validation_micrographs"]),
                counted(training["steps"], "step"),
                training["stop_reason"],
            )
        )
    facts = ([_LABELS[card["labels"]]] if card.get("labels") in _LABELS else []) + (
        ["protein %s" % card["contrast"]] if card.get("contrast") else []
    )
    if facts:
        lines.append("Learned from: %s." % ", ".join(facts))
    if validation:
        lines.append(
            "On the validation micrographs: F1 %.3f, average precision %.3f, at threshold %s."
            % (validation["f1"], validation["average_precision"], thresholdInWords(card))
        )
    return lines


def thresholdInWords(card):
    """'0.400', or '0.400 ± 0.043' where the card knows its standard deviation."""
    uncertainty = card.get("threshold_uncertainty")
    return "%.3f" % card["threshold"] + ("" if uncertainty is None else " ± %.3f" % uncertainty)


def networkInWords(card):
    """The network of a picker or denoiser; their names differ."""
    return network_words("denoiser" if card["network"] in DENOISER_NETWORKS else "picker", card["network"])


def versionIn(results):
    """The cryodl that worked, which an update may have replaced since."""
    return ", ".join(sorted({r.versions["cryodl"] for r in results if "cryodl" in r.versions})) or __version__


def _learned(card):
    training = card.get("training")
    if not training or "particles" not in training:
        return ""
    return ", trained on %s of %s" % (
        counted(training["particles"], "particle"),
        counted(len(training.get("micrographs", ())), "micrograph"),
    )


_NO_TRUTH = {
    "even-odd": "from averages of even and odd frames (noise2noise)",
    "added-noise": "from these alone, with noise of their own spectra added (recorrupted-to-recorrupted)",
}


def denoisedMicrographsInWords(denoised, results, card):
    """Methods of a denoising of micrographs. denoised: SetOfMicrographs; card: the model's."""
    return (
        "For picking and inspection, %s were denoised with cryodl %s to %.3g Å by a U-Net that was trained on %s "
        "of them, %s; particles were extracted from the micrographs as they were before."
        % (
            counted(denoised.getSize(), "micrograph"),
            versionIn(results),
            card["resolution"],
            counted(len(card["training"]["micrographs"]), "micrograph"),
            _NO_TRUTH[card["method"]],
        )
    )
