# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with maps, in sentences for summaries and for the methods of a paper, and whom to cite."""

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import (
    counted,
    half_map_resolutions,
    half_map_verdict,
    network_citations,
    network_words,
    resolution_in_words,
    split_verdict,
)
from ..methods import versionIn

# Of the measures: FSC between half-maps at 0.143, Q-score, local resolution.
MEASURES = ("Rosenthal2003", "Pintilie2020", "Cardone2013")
WHAT_FOR = (
    "An improved map is the network's reading of the map: it may be used for looking, for tracing chains and "
    "for building. It must not be used for a resolution by FSC, nor be deposited as the only map: what the "
    "data lack, the network takes from what it learned from. Keep the map and the half-maps beside it."
)


def citationsOf(network):
    """Keys of the bibliography for work with an improver; network: its name, or None if no model is known yet."""
    return ["cryodl"] + list(network_citations("map_improver", network))


def networkOf(card):
    return network_words("map_improver", card["network"])


def _said(test):
    """Lines of a half-map test but its warning, which the engine's Result has."""
    return split_verdict(half_map_verdict(test)[1])[0]


# ----- improving
def improvedLines(results, volumes):
    """Improved maps in the lines of a summary. results: of `improve-map`, {name of the map: Result}."""
    improved = volumes - sum(bool(result.outputs.get("left_alone")) for result in results.values())
    lines = [
        "*%s improved* by the model %s"
        % (
            counted(improved, "map") if improved else "No map was",
            ", ".join(sorted({result.outputs["model"] for result in results.values()})),
        )
    ]
    for name, result in results.items():
        if result.outputs.get("left_alone"):
            lines.append("*Left as it is*: %s" % result.outputs["left_alone"])
        if result.outputs["half_map_test"]:
            prefix = "%s: " % name if len(results) > 1 else ""
            lines += [prefix + line for line in _said(result.outputs["half_map_test"])]
    if not any(result.outputs["half_map_test"] or result.outputs.get("left_alone") for result in results.values()):
        lines.append(
            "Without half-maps nothing tells what is gained and what invented; with them the half-map test does."
        )
    return lines + ["Not for FSC-based resolution, and not for deposition alone."]


def improvingInWords(count, card, results):
    """Methods of an improvement. card: of the model, or None if it is gone."""
    results = list(results)
    alone = sum(bool(result.outputs.get("left_alone")) for result in results)
    if alone == count:
        return "%s lay outside the range that the map improver was trained on, and %s not changed." % (
            counted(count, "map").capitalize(),
            "was" if count == 1 else "were",
        )
    by = "the model %s (%s)" % (card["name"], networkOf(card)) if card else "a model that is no longer there"
    text = "The local contrast of %s was improved with cryodl %s by %s" % (
        counted(count - alone, "map"),
        versionIn(results),
        by,
    )
    if alone:
        text += " (%s outside the range of its training: not changed)" % counted(alone, "other")
    tests = [result.outputs["half_map_test"] for result in results if result.outputs["half_map_test"]]
    if not tests:
        return text + "."
    if len(tests) == 1:
        text += (
            "; the FSC of the half-maps falls to 0.143 at %s, that of both improved at %s, and that of one "
            "improved with the control of the other half at %s"
            % tuple(resolution_in_words(tests[0][n]) for n in ("raw", "improved", "crossed"))
        )
    return text + ". Resolution was measured on the maps as they were before."


# ----- training
def improverLines(card):
    """A trained map improver in the lines of a summary."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    lines = [
        "Model %s, network %s, for maps of %s Å, on a grid of %g Å."
        % (card["name"], card["network"], " to ".join("%.3g" % r for r in card["resolutions"]), card["grid"])
    ]
    if training:
        lines.append(
            "Trained on %s of %s, %s of %s for validation; %s, stopped: %s."
            % (
                counted(training["maps"], "map"),
                counted(len(training["molecules"]), "molecule"),
                counted(training["validation_maps"], "map"),
                counted(len(training["validation_molecules"]), "other"),
                counted(training["steps"], "step"),
                training["stop_reason"],
            )
        )
    if validation:
        lines.append(
            "On the validation molecules: correlation with the targets %.3f, of the maps as they are %.3f."
            % (validation["correlation"], validation["correlation_before"])
        )
    return lines


def improverInWords(card):
    """Methods of a training run. card: of its model."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    text = "The map improver %s, %s, was trained with cryodl %s" % (
        card["name"],
        networkOf(card),
        (card.get("versions") or {}).get("cryodl", __version__),
    )
    if training:
        text += " in %s on %s of %s%s" % (
            counted(training["steps"], "step"),
            counted(training["maps"], "map"),
            counted(len(training["molecules"]), "molecule"),
            _whence(training),
        )
    if validation:
        text += (
            "; on molecules unlike these the correlation with the density of the models was %.3f, and %.3f for "
            "the maps as they were" % (validation["correlation"], validation["correlation_before"])
        )
    return text + "."


def _whence(training):
    """Where training maps came from, after a comma, or ''. Cards of old models do not tell how many were real."""
    if not training.get("simulated"):
        return ""
    if training.get("real_maps"):
        return ", of %s (validation's included) and others simulated from atomic models" % counted(
            training["real_maps"], "real map"
        )
    return ", simulated from their atomic models"


# ----- evaluation
_FIGURES = (
    ("fsc05_angstrom", "Map-model FSC 0.5"),
    ("fsc0143_angstrom", "Map-model FSC 0.143"),
    ("fsc05_unmasked_angstrom", "Map-model FSC 0.5, whole box"),
    ("q_score", "Q-score, mean of the atoms"),
    ("local_correlation", "Local correlation at the atoms"),
)


def figureInWords(name, value):
    return resolution_in_words(value) if name.endswith("angstrom") else "%.3f" % value


def evaluationRows(evaluation):
    """[(label, figure of the map, of the one before)] of evaluation.json; the last is missing without such a map."""
    both = [evaluation] + ([evaluation["before"]] if evaluation.get("before") else [])
    return [(label,) + tuple(figureInWords(name, e[name]) for e in both) for name, label in _FIGURES]


def halfMapRows(evaluation):
    """[(label, figure)] of the half-maps of evaluation.json: their FSC and local resolution, as far as measured."""
    halves = evaluation.get("half_maps") or {}
    local = halves.get("local_resolution_angstrom")
    rows = [("Half-maps, FSC 0.143", resolution_in_words(halves["resolution_angstrom"]))] if halves else []
    if local:
        rows.append(
            (
                "Local resolution, median (10 % to 90 %)",
                "%.2f Å (%.2f to %.2f)" % (local["median"], local["p10"], local["p90"]),
            )
        )
    return rows


def evaluationLines(evaluation):
    """evaluation.json in the lines of a summary."""
    before = evaluation.get("before")
    lines = ["*Against the model* (%s; mask: %s)" % (counted(evaluation["atoms"], "atom"), evaluation["mask"])]
    lines += [
        "%s: %s%s" % (row[0], row[1], "; before %s" % row[2] if before else "") for row in evaluationRows(evaluation)
    ]
    chains = evaluation["q_score_chains"]
    if len(chains) > 1:
        lines.append("Q-score of the chains: %s" % ", ".join("%s %.2f" % pair for pair in list(chains.items())[:20]))
    lines += ["%s: %s" % row for row in halfMapRows(evaluation)]
    if evaluation.get("half_map_test"):
        lines += _said(half_map_resolutions(evaluation["half_map_test"]))
    return lines


def evaluationInWords(evaluation, results):
    """Methods of an evaluation."""
    text = (
        "The map was compared with its atomic model with cryodl %s: their FSC falls to 0.5 at %s, the mean "
        "Q-score is %.3f"
        % (versionIn(results), resolution_in_words(evaluation["fsc05_angstrom"]), evaluation["q_score"])
    )
    before = evaluation.get("before")
    if before:
        text += " (before improvement: %s and %.3f, with the same mask)" % (
            resolution_in_words(before["fsc05_angstrom"]),
            before["q_score"],
        )
    halves = evaluation.get("half_maps")
    if halves:
        text += "; the FSC of the half-maps falls to 0.143 at %s" % resolution_in_words(halves["resolution_angstrom"])
    return text + "."


# ----- models
def comparedLines(made):
    """A comparison of two models in the lines of a summary. made: Result.outputs."""
    rmsd = made["rmsd_angstrom"]
    return [
        "*%d of %s matched* (%.1f %%), in %s"
        % (
            made["matched"],
            counted(made["reference_residues"], "residue"),
            100 * made["coverage"],
            counted(made["fragments"], "fragment"),
        ),
        "RMSD of the matched: %s; residue names right: %.1f %%"
        % ("none" if rmsd is None else "%.2f Å" % rmsd, 100 * made["sequence_match"]),
        "%d of the %s built match nothing." % (made["false_residues"], counted(made["residues"], "residue")),
        "Chains: %s" % ", ".join("%s %.0f %%" % (name, 100 * part) for name, part in list(made["chains"].items())[:20]),
    ]


def comparedInWords(made, distance, results):
    rmsd = made["rmsd_angstrom"]
    return (
        "Of the %d residues of the reference %.1f %% were matched within %g Å (cryodl %s)%s, and %.1f %% of these "
        "had the right residue name."
        % (
            made["reference_residues"],
            100 * made["coverage"],
            distance,
            versionIn(results),
            "" if rmsd is None else ", with an RMSD of %.2f Å" % rmsd,
            100 * made["sequence_match"],
        )
    )


# ----- simulation
def simulatedLines(made, name):
    return [
        "*Half-maps of %s*, %d px, %.4g Å/px" % (name, made["box"], made["pixel_size"]),
        "FSC of the half-maps 0.143: %s" % resolution_in_words(made["resolution"]),
        "The whole map was sharpened by a B factor of %.0f Å²." % made["b_factor"]
        if made["b_factor"]
        else "The whole map is the mean of the half-maps.",
    ]


def simulatedInWords(made, name, results):
    return (
        "Two half-maps of %s with the faults of reconstructed ones were simulated with cryodl %s at %.4g Å/px; "
        "their FSC falls to 0.143 at %s."
        % (name, versionIn(results), made["pixel_size"], resolution_in_words(made["resolution"]))
    )
