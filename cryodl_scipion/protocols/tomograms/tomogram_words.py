# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with tomograms, in sentences for summaries and for the methods of a paper, and whom to cite."""

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import counted, network_citations, network_words, noise_in_words
from ..methods import versionIn

# One network for each feature, and the competition of features, are of this paper.
METHOD = "Chen2017"
MOST_NOISE_LINES = 5  # tomograms whose answer to noise stands in a summary


def citationsOf(network):
    """Keys of the bibliography for work with a segmenter; network: its name, or None if no model is known yet."""
    return ["cryodl", METHOD] + [key for key in network_citations("segmenter", network) if key != METHOD]


def _network(card):
    return network_words("segmenter", card["network"])


# ----- training
def segmenterLines(card):
    """A trained segmenter in the lines of a summary."""
    tiles, training, validation = card.get("tiles") or {}, card.get("training") or {}, card.get("validation") or {}
    by = card["annotator"] if card["annotator"] != "unknown" else None
    lines = [
        "*%s*%s: model %s, network %s, at %.4g Å/px."
        % (card["feature"], " as %s draws it" % by if by else "", card["name"], card["network"], card["pixel_size"])
    ]
    if tiles:
        lines.append(
            "Learned from %s with and %d without the feature; %d more for validation."
            % (counted(tiles.get("positive", 0), "tile"), tiles.get("negative", 0), tiles.get("validation", 0))
        )
    if training.get("steps"):
        lines.append("%s, stopped: %s." % (counted(training["steps"], "step"), training.get("stop_reason")))
    if validation.get("dice") is not None:
        lines.append(
            "On the validation tiles: Dice %.3f%s, at threshold %.2f."
            % (validation["dice"], _boundary(validation.get("boundary_error_angstrom")), card["threshold"])
        )
    return lines


def _boundary(error):
    return "" if error is None else ", boundary off by %.3g Å" % error


def segmenterInWords(card):
    """Methods of a training run. card: of its model."""
    tiles, validation = card.get("tiles") or {}, card.get("validation") or {}
    text = "The model %s, %s, was trained with cryodl %s to find the feature %s" % (
        card["name"],
        _network(card),
        (card.get("versions") or {}).get("cryodl", __version__),
        card["feature"],
    )
    if tiles:
        text += ", on %s with and %d without it" % (counted(tiles.get("positive", 0), "tile"), tiles.get("negative", 0))
    if validation.get("dice") is not None:
        text += "; the Dice coefficient on validation tiles was %.3f" % validation["dice"]
    return text + "."


# ----- segmenting, merging, picking, judging
def segmentedLines(outputs):
    """Sets of score volumes in the lines of a summary. outputs: {feature: SetOfTomoMasks}."""
    return ["*%s*: %s" % (feature, counted(masks.getSize(), "tomogram")) for feature, masks in sorted(outputs.items())]


def noiseLines(results):
    """What the models found in noise, the feature with the highest part of each tomogram. results: of `segment`."""
    found = {}
    for result in results:
        found.update(result.outputs.get("noise") or {})
    lines = []
    for tomogram, features in sorted(found.items()):
        if features:
            worst = max(features, key=lambda feature: features[feature]["noise"])
            lines.append(noise_in_words(tomogram, worst, features[worst]))
    if len(lines) > MOST_NOISE_LINES:
        lines[MOST_NOISE_LINES:] = ["... and so on for %d more tomograms." % (len(lines) - MOST_NOISE_LINES)]
    return lines


def segmentingInWords(count, cards, results):
    """Methods of a segmentation. cards: of the models that are still there."""
    by = " and ".join("%s by %s (%s)" % (card["feature"], card["name"], _network(card)) for card in cards)
    return "%s were segmented with cryodl %s%s." % (
        counted(count, "tomogram"),
        versionIn(results),
        ": %s" % by if by else "",
    )


def mergedLines(found):
    """The table of features. found: {tomogram: {feature: {voxels, volume_nm3, pieces, area_nm2}}}."""
    lines = []
    for tomogram, features in sorted(found.items()):
        lines.append("*%s*" % tomogram)
        for name, figures in features.items():
            lines.append(
                "  %s: %s, %.4g nm³%s"
                % (
                    name,
                    counted(figures["pieces"], "piece"),
                    figures["volume_nm3"],
                    "" if figures.get("area_nm2") is None else ", surface %.4g nm²" % figures["area_nm2"],
                )
                if figures["voxels"]
                else "  %s: nothing found" % name
            )
    return lines


def mergingInWords(count, features, competitive, results):
    """Methods of a merging of features."""
    how = (
        "every voxel was given to the feature whose score was farthest above its threshold (in log odds)"
        if competitive
        else "every voxel above a feature's threshold was given to it"
    )
    return "The features %s of %s were merged with cryodl %s: %s." % (
        ", ".join(features),
        counted(count, "tomogram"),
        versionIn(results),
        how,
    )


_SHAPES = {
    "centres": "the centres of the connected pieces",
    "particles": "the centres of the particles, parted where they touch",
    "filaments": "points along the centre lines of filaments, %g Å apart, with their directions",
    "membranes": "points on membranes, %g Å apart, with their normals",
}


def pickedInWords(count, shape, spacing, what, results):
    """Methods of a picking in segmentations. what: the feature in words."""
    places = _SHAPES[shape] % spacing if "%" in _SHAPES[shape] else _SHAPES[shape]
    return "In the segmentation of %s, %s were taken with cryodl %s: %s." % (
        what,
        counted(count, "place"),
        versionIn(results),
        places,
    )


def judgedLines(features):
    """A comparison of segmentations. features: {name: {dice, precision, recall, boundary_error ...}}."""
    lines = []
    for name, figures in features.items():
        known = [
            (word, figures[key])
            for word, key in (("Dice", "dice"), ("precision", "precision"), ("recall", "recall"))
            if figures.get(key) is not None
        ]
        lines.append(
            "*%s*: %s%s"
            % (
                name,
                ", ".join("%s %.3f" % pair for pair in known) or "nothing to compare",
                _boundary(figures.get("boundary_error")),
            )
        )
    return lines


def judgedInWords(features, results):
    dice = ", ".join(
        "%.3f for %s" % (figures["dice"], name) for name, figures in features.items() if figures.get("dice") is not None
    )
    return "The segmentation was compared with labels with cryodl %s; the Dice coefficient is %s." % (
        versionIn(results),
        dice or "not defined",
    )


# ----- simulating
def simulationLines(config, made):
    """config: SimulateTomogramsConfig; made: Result.outputs."""
    return [
        "*%s* of %d x %d x %d px, at %g Å/px"
        % (counted(config.count, "tomogram"), config.size, config.size, config.thickness, made["pixel_size"]),
        "Labels: %s" % ", ".join("%d %s" % pair for pair in enumerate(made["features"], 1)),
        "Labels, places and angles are the true ones.",
    ]


def simulationInWords(config, made, results):
    return (
        "%s with %s were simulated with cryodl %s at %g Å/px, from tilts of %g to %g° in steps of %g°, with a "
        "signal-to-noise ratio of %g."
        % (
            counted(config.count, "tomogram"),
            ", ".join(made["features"]),
            versionIn(results),
            made["pixel_size"],
            config.tilt_min,
            config.tilt_max,
            config.tilt_step,
            config.snr,
        )
    )
