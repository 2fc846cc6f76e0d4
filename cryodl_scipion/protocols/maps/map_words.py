# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with maps, in sentences for summaries and for the methods of a paper, and whom to cite."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ...engine.cryodl import __version__
from ...engine.cryodl.contract import (
    Result,
    counted,
    half_map_resolutions,
    half_map_verdict,
    network_citations,
    network_words,
    resolution_in_words,
    split_verdict,
)
from ...engine.cryodl.contract.maps.simulating import SimulateHalfMapsOutputs
from ..methods import versionIn

# Of the measures: FSC between half-maps at 0.143, Q-score, local resolution.
MEASURES = ("Rosenthal2003", "Pintilie2020", "Cardone2013")
WHAT_FOR = (
    "An improved map is the network's interpretation of the map. Use it for viewing, chain tracing and model "
    "building. Do not use it to determine a resolution by FSC, and do not deposit it as the only map: where the "
    "data lack information, the network fills it in from its training data. Keep the original map and the half-maps."
)

OF_IMPROVING = "Half-map test of the run that improved this map:"


def mapCitations(network: Any) -> List[str]:
    """Keys of the bibliography for work with an improver; network: its name, or None if no model is known yet."""
    return ["cryodl"] + list(network_citations("map_improver", network))


def networkOf(card: Dict[str, Any]) -> str:
    return network_words("map_improver", card["network"])


def _said(test: Dict[str, float]) -> List[str]:
    """Lines of a half-map test but its warning, which the engine's Result has."""
    return split_verdict(half_map_verdict(test)[1])[0]


# ----- improving
def improvedLines(results: Any, volumes: int) -> List[str]:
    """Improved maps in the lines of a summary. results: of `improve-map`, {name of the map: Result}."""
    improved = volumes - sum(bool(result.outputs.unchanged) for result in results.values())
    lines = [
        f"*{counted(improved, 'map') if improved else 'No map was'} improved* by the model "
        f"{', '.join(sorted({result.outputs.model for result in results.values()}))}"
    ]
    for name, result in results.items():
        if result.outputs.unchanged:
            lines.append(f"*Not changed*: {result.outputs.unchanged}")
        if result.outputs.half_map_test:
            prefix = f"{name}: " if len(results) > 1 else ""
            lines += [prefix + line for line in _said(result.outputs.half_map_test)]
    if not any(result.outputs.half_map_test or result.outputs.unchanged for result in results.values()):
        lines.append(
            "Without half-maps it is not known what the network gains and what it invents; the half-map test shows it."
        )
    return lines + ["Not for FSC-based resolution, and not for deposition alone."]


def improvingInWords(count: int, card: Optional[Dict[str, Any]], results: Iterable[Any]) -> str:
    """Methods of an improvement. card: of the model, or None if it is gone."""
    results = list(results)
    alone = sum(bool(result.outputs.unchanged) for result in results)
    if alone == count:
        return (
            f"{counted(count, 'map').capitalize()} {'was' if count == 1 else 'were'} outside the map improver's "
            "training range, and not changed."
        )
    by = f"the model {card['name']} ({networkOf(card)})" if card else "a model that no longer exists"
    text = (
        f"The local contrast of {counted(count - alone, 'map')} was improved with cryodl {versionIn(results)} by {by}"
    )
    if alone:
        text += f" ({counted(alone, 'other')} outside the range of its training: not changed)"
    tests = [result.outputs.half_map_test for result in results if result.outputs.half_map_test]
    if not tests:
        return text + "."
    if len(tests) == 1:
        raw, improved, crossed = (resolution_in_words(tests[0][n]) for n in ("raw", "improved", "crossed"))
        text += (
            f"; the FSC of the half-maps falls to 0.143 at {raw}, that of both improved half-maps at {improved}, and "
            f"that of one improved half-map with the control of the other half at {crossed}"
        )
    return text + ". Resolution was measured on the original maps."


# ----- training
def improverLines(card: Dict[str, Any]) -> List[str]:
    """A trained map improver in the lines of a summary."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    lines = [
        f"Model {card['name']}, network {card['network']}, for maps of "
        f"{' to '.join(f'{r:.3g}' for r in card['resolutions'])} Å, "
        f"resampled to {card['working_pixel_size']:g} Å/px."
    ]
    if training:
        lines.append(
            f"Trained on {counted(training['maps'], 'map')} of "
            f"{counted(len(training['molecules']), 'molecule')}, {counted(training['validation_maps'], 'map')} "
            f"of {counted(len(training['validation_molecules']), 'other')} for validation; "
            f"{counted(training['steps'], 'step')}, stopped: {training['stop_reason']}."
        )
    if validation:
        lines.append(
            f"On the validation molecules: correlation with the targets {validation['correlation']:.3f}, of the "
            f"original maps {validation['correlation_before']:.3f}."
        )
    return lines


def improverInWords(card: Dict[str, Any]) -> str:
    """Methods of a training run. card: of its model."""
    training, validation = card.get("training") or {}, card.get("validation") or {}
    text = (
        f"The map improver {card['name']}, {networkOf(card)}, was trained with cryodl "
        f"{(card.get('versions') or {}).get('cryodl', __version__)}"
    )
    if training:
        text += (
            f" in {counted(training['steps'], 'step')} on {counted(training['maps'], 'map')} of "
            f"{counted(len(training['molecules']), 'molecule')}{_whence(training)}"
        )
    if validation:
        text += (
            "; on held-out molecules the correlation with the density of the models was "
            f"{validation['correlation']:.3f}, and {validation['correlation_before']:.3f} for the original maps"
        )
    return text + "."


def _whence(training: Dict[str, Any]) -> str:
    """Where training maps came from, after a comma, or ''. Cards of old models do not tell how many were real."""
    if not training.get("simulated"):
        return ""
    if training.get("real_maps"):
        return (
            f", {counted(training['real_maps'], 'real map')} (with those for validation) and others simulated from "
            "atomic models"
        )
    return ", simulated from their atomic models"


# ----- evaluation
_METRICS = (
    ("fsc05_angstrom", "Map-model FSC 0.5"),
    ("fsc0143_angstrom", "Map-model FSC 0.143"),
    ("fsc05_unmasked_angstrom", "Map-model FSC 0.5, whole box"),
    ("q_score", "Q-score, mean of the atoms"),
    ("local_correlation", "Local correlation at the atoms"),
)


def metricInWords(name: str, value: float) -> str:
    return resolution_in_words(value) if name.endswith("angstrom") else f"{value:.3f}"


def evaluationRows(evaluation: Dict[str, Any]) -> Any:
    """[(label, metric of the map, of the one before)] of evaluation.json; the last is missing without such a map."""
    both = [evaluation] + ([evaluation["before"]] if evaluation.get("before") else [])
    return [(label,) + tuple(metricInWords(name, e[name]) for e in both) for name, label in _METRICS]


def halfMapRows(evaluation: Dict[str, Any]) -> List[Tuple[str, str]]:
    """[(label, metric)] of the half-maps of evaluation.json: their FSC and local resolution, as far as measured."""
    halves = evaluation.get("half_maps") or {}
    local = halves.get("local_resolution_angstrom")
    rows = [("Half-maps, FSC 0.143", resolution_in_words(halves["resolution_angstrom"]))] if halves else []
    if local:
        rows.append(
            (
                "Local resolution, median (10 % to 90 %)",
                f"{local['median']:.2f} Å ({local['p10']:.2f} to {local['p90']:.2f})",
            )
        )
    return rows


def evaluationLines(evaluation: Dict[str, Any], improving: Optional[Dict[str, float]] = None) -> List[str]:
    """evaluation.json in the lines of a summary. improving: half-map test of the run that improved the map."""
    before = evaluation.get("before")
    lines = [f"*Against the model* ({counted(evaluation['atoms'], 'atom')}; mask: {evaluation['mask']})"]
    lines += [f"{row[0]}: {row[1]}{f'; original {row[2]}' if before else ''}" for row in evaluationRows(evaluation)]
    chains = evaluation["q_score_chains"]
    if len(chains) > 1:
        lines.append(
            "Q-score of the chains: " + ", ".join(f"{name} {score:.2f}" for name, score in list(chains.items())[:20])
        )
    lines += [f"{name}: {value}" for name, value in halfMapRows(evaluation)]
    if evaluation.get("half_map_test"):
        lines += _said(half_map_resolutions(evaluation["half_map_test"]))
    elif improving:
        lines += [OF_IMPROVING, *_said(improving)]
    return lines


def evaluationInWords(evaluation: Dict[str, Any], results: Sequence[Result]) -> str:
    """Methods of an evaluation."""
    text = (
        f"The map was compared with its atomic model with cryodl {versionIn(results)}: their FSC falls to 0.5 "
        f"at {resolution_in_words(evaluation['fsc05_angstrom'])}, the mean Q-score is "
        f"{evaluation['q_score']:.3f}"
    )
    before = evaluation.get("before")
    if before:
        text += (
            f" (before improvement: {resolution_in_words(before['fsc05_angstrom'])} and {before['q_score']:.3f}, "
            "with the same mask)"
        )
    halves = evaluation.get("half_maps")
    if halves:
        text += f"; the FSC of the half-maps falls to 0.143 at {resolution_in_words(halves['resolution_angstrom'])}"
    return text + "."


# ----- models
def comparedLines(made: Any) -> List[str]:
    """A comparison of two models in the lines of a summary. made: Result.outputs."""
    rmsd = made.rmsd_angstrom
    return [
        f"*{made.matched} of {counted(made.reference_residues, 'residue')} matched* "
        f"({100 * made.coverage:.1f} %), in {counted(made.fragments, 'fragment')}",
        f"RMSD of matched residues: {'none' if rmsd is None else f'{rmsd:.2f} Å'}; correct residue names: "
        f"{100 * made.sequence_match:.1f} %",
        f"{made.false_residues} of the {counted(made.residues, 'residue')} in the model match no residue of the "
        "reference.",
        "Chains: " + ", ".join(f"{name} {100 * part:.0f} %" for name, part in list(made.chains.items())[:20]),
    ]


def comparedInWords(made: Any, distance: float, results: Sequence[Result]) -> str:
    rmsd = made.rmsd_angstrom
    return (
        f"Of the {made.reference_residues} residues of the reference {100 * made.coverage:.1f} % were matched within "
        f"{distance:g} Å (cryodl {versionIn(results)}){'' if rmsd is None else f', with an RMSD of {rmsd:.2f} Å'}, "
        f"and {100 * made.sequence_match:.1f} % of these had the correct residue name."
    )


# ----- simulation
def simulatedLines(made: SimulateHalfMapsOutputs, name: str) -> List[str]:
    return [
        f"*Half-maps of {name}*, {made.box} px, {made.pixel_size:.4g} Å/px",
        f"FSC of the half-maps 0.143: {resolution_in_words(made.resolution)}",
        f"The full map was sharpened by a B-factor of {made.b_factor:.0f} Å²."
        if made.b_factor
        else "The full map is the mean of the half-maps.",
    ]


def simulatedInWords(made: Any, name: str, results: Sequence[Result]) -> str:
    return (
        f"Two half-maps of {name} with the imperfections of real reconstructions were simulated with cryodl "
        f"{versionIn(results)} at {made.pixel_size:.4g} Å/px; their FSC falls to 0.143 at "
        f"{resolution_in_words(made.resolution)}."
    )
