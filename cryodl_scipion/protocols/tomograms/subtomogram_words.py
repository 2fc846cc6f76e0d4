# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with subtomograms, in sentences for summaries and for the methods of a paper, and whom to cite."""

from ...convert.tomograms.subtomograms import UNKNOWN
from ...engine.cryodl import __version__
from ...engine.cryodl.contract import CLASSIFIER_NETWORKS, counted, network_citations, network_words
from ..methods import versionIn

# Correlation of what both subtomograms have measured.
CONSTRAINED = ("Xu2012",)


def citationsOf(network):
    """Keys of the bibliography for work with a classifier; network: its name, or None if no model is known yet."""
    return ["cryodl"] + list(network_citations("classifier", network))


def simulationInWords(config, result):
    """Methods of a simulation. config: SimulateSubtomogramsConfig."""
    made = result.outputs
    return (
        "%s of %s were simulated with cryodl %s at %g Å/px, with tilts from %g to %g° in steps of %g° and a "
        "signal-to-noise ratio of %g."
        % (
            counted(made["count"], "subtomogram"),
            ", ".join(made["classes"]),
            versionIn([result]),
            made["pixel_size"],
            config.tilt_min,
            config.tilt_max,
            config.tilt_step,
            config.snr,
        )
    )


# ----- training
def classifierLines(card):
    """A trained classifier in the lines of a summary."""
    validation, training = card.get("validation") or {}, card.get("training") or {}
    lines = [
        "*%d classes*: %s" % (len(card["classes"]), ", ".join(map(str, card["classes"]))),
        "Model %s, network %s, box %d px at %.4g Å/px, particles of %.4g Å."
        % (card["name"], card["network"], card["box"], card["pixel_size"], card["particle_diameter"]),
    ]
    if training.get("steps"):
        lines.append("%s, stopped: %s." % (counted(training["steps"], "step"), training.get("stop_reason")))
    if validation.get("accuracy") is not None:
        lines.append("On the subtomograms kept for validation: accuracy %.3f." % validation["accuracy"])
    return lines


def classifierInWords(card):
    """Methods of a training run. card: of its model."""
    validation = card.get("validation") or {}
    text = "The model %s was trained with cryodl %s to classify subtomograms (%s) %s" % (
        card["name"],
        (card.get("versions") or {}).get("cryodl", __version__),
        ", ".join(map(str, card["classes"])),
        _how(card["network"]),
    )
    if validation.get("accuracy") is not None:
        text += "; the accuracy on subtomograms kept for validation was %.3f" % validation["accuracy"]
    return text + "."


def _how(network):
    return network_words("classifier", network) if network in CLASSIFIER_NETWORKS else "by the network %s" % network


# ----- classifying and clustering
def classifiedLines(outputs):
    """Result.outputs of `classify-subtomograms` in the lines of a summary."""
    counts = outputs["counts"]
    lines = ["*%s*" % counted(sum(counts.values()), "subtomogram")] + ["  %s: %d" % pair for pair in counts.items()]
    if outputs.get("accuracy") is not None:
        lines.append("Accuracy, against the classes of the input: %.3f" % outputs["accuracy"])
    return lines


def classifyingInWords(outputs, card, result):
    """Methods of a classification. card: the model's, or None if it is gone."""
    counts = outputs["counts"]
    text = "%s were classified with cryodl %s" % (counted(sum(counts.values()), "subtomogram"), versionIn([result]))
    if card:
        text += " %s (model %s)" % (_how(card["network"]), card["name"])
    return text + "; %d were left out as unknown." % counts.get(UNKNOWN, 0)


_ALIGNED = {
    "given": "Compared in the orientations of the input.",
    "search": "They were aligned for the comparison.",
    "none": "Compared as they are, without orientations.",
}
_EMBEDDINGS = {
    "pca": "principal components of the differences from their mean",
    "similarity": "the correlations of all pairs",
    "autoencoder": "an autoencoder",
}


def clusteredLines(outputs):
    """Result.outputs of `cluster-subtomograms` in the lines of a summary."""
    counts = outputs["counts"]
    lines = ["*%s in %s*" % (counted(sum(counts.values()), "subtomogram"), counted(len(counts), "group"))]
    lines += ["  group %s: %d%s" % (number, count, _resolution(outputs, number)) for number, count in counts.items()]
    return lines + [_ALIGNED[outputs["aligned"]]]


def _resolution(outputs, number):
    found = outputs["resolutions"].get(number)
    return "" if found is None else ", its halves agree to %.3g Å" % found


def clusteringInWords(outputs, embedding, compensate, result):
    """Methods of a clustering."""
    text = "%s were grouped into %d classes with cryodl %s by %s" % (
        counted(sum(outputs["counts"].values()), "subtomogram"),
        len(outputs["counts"]),
        versionIn([result]),
        _EMBEDDINGS[embedding],
    )
    return text + (
        ", comparing only Fourier coefficients that both had measured."
        if compensate
        else ", without regard to the missing wedge."
    )
