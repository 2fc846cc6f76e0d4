# SPDX-License-Identifier: GPL-3.0-or-later
"""What an evaluation of a map has measured, from its files, and drawings of it. No windows here."""

import csv
import os
from typing import Any, Dict, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...engine.cryodl.contract import half_map_resolutions, half_map_verdict, resolution_in_words
from ...protocols.maps.protocol_evaluate_map import LOCAL, OF_IMPROVING, RESIDUES
from ..map_plots import readMap

TITLES = ("Measure", "Map")
_METRICS = {
    "fsc05_angstrom": "Map-model FSC 0.5",
    "fsc0143_angstrom": "Map-model FSC 0.143",
    "fsc05_unmasked_angstrom": "Map-model FSC 0.5, whole box",
    "q_score": "Q-score, mean of the atoms",
    "local_correlation": "Local correlation at the atoms",
}
# Columns of residues.csv in words; the column of the map before ends with _before.
MEASURES = {"Q-score": "q_score", "Local correlation": "local_correlation"}
_BEFORE = "_before"
_NOW, _THEN = "#4477aa", "#999999"


def tableOf(evaluation: Dict[str, Any]) -> Any:
    """(titles, rows) of an evaluation.json, for a table."""
    before, halves = evaluation.get("before"), evaluation.get("half_maps") or {}
    maps = [evaluation, before] if before else [evaluation]
    rows = [(label, *(_inWords(name, each[name]) for each in maps)) for name, label in _METRICS.items()]
    empty = ("",) * (len(maps) - 1)  # half-maps have no map before
    if halves:
        rows.append(("Half-maps, FSC 0.143", _inWords("angstrom", halves["resolution_angstrom"]), *empty))
    local = halves.get("local_resolution_angstrom")
    if local:
        words = f"{local['median']:.2f} Å ({local['p10']:.2f} to {local['p90']:.2f})"
        rows.append(("Local resolution, median (10 % to 90 %)", words, *empty))
    return (*TITLES, *(["Original map"] if before else [])), rows


def _inWords(name: str, value: Any) -> str:
    return resolution_in_words(value) if name.endswith("angstrom") else f"{value:.3f}"


def mapVerdictOf(evaluation: Dict[str, Any], improving: Optional[Dict[str, float]] = None) -> Any:
    """(good, sentences) of the half-map test; (None, a sentence) without one. improving: the test of the run that
    improved the map."""
    if evaluation.get("half_map_test"):
        return half_map_verdict(half_map_resolutions(evaluation["half_map_test"]))
    if improving:
        good, sentences = half_map_verdict(improving)
        return good, [OF_IMPROVING, *sentences]
    return None, ["No half-map test was made, so it is not known whether a gain is in the data or invented."]


def readResidues(folder: str) -> Dict[str, Dict[str, Any]]:
    """{chain: {'names': ['12 ALA', ...], column of residues.csv: (n,) array}}, chains in the model's order."""
    chains = {}
    with open(os.path.join(folder, RESIDUES), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            chain = chains.setdefault(row.pop("chain"), {"names": []})
            chain["names"].append(f"{row.pop('number')} {row.pop('name')}")
            for column, value in row.items():
                chain.setdefault(column, []).append(float(value))
    return {
        name: {column: values if column == "names" else np.array(values) for column, values in chain.items()}
        for name, chain in chains.items()
    }


def drawResidues(axes: Axes, chain: Dict[str, Any], measure: str) -> None:
    """A measure along one chain, of the map and of the one before. chain: of readResidues; measure: of MEASURES."""
    column, names = MEASURES[measure], chain["names"]
    position = np.arange(len(names))
    if column + _BEFORE in chain:
        axes.plot(
            position,
            chain[column + _BEFORE],
            color=_THEN,
            linewidth=1,
            label=f"original: mean {chain[column + _BEFORE].mean():.3f}",
        )
    axes.plot(position, chain[column], color=_NOW, linewidth=1.2, label=f"map: mean {chain[column].mean():.3f}")
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(
        lambda value, _: names[int(value)] if value == int(value) and 0 <= value < len(names) else ""
    )
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlim(-0.5, max(len(names) - 0.5, 0.5))
    axes.set_ylim(min(-0.05, chain[column].min() - 0.05), 1)
    axes.set_xlabel("Residue")
    axes.set_ylabel(measure)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def localResolutions(folder: str) -> Optional[np.ndarray]:
    """(n,) Å inside the mask, None if the evaluation had no half-maps."""
    path = os.path.join(folder, LOCAL)
    if not os.path.exists(path):
        return None
    data = readMap(path)
    return np.array(data[data > 0], float)


def drawLocalResolution(axes: Axes, values: np.ndarray) -> None:
    """Histogram with median and the limits of 10 and 90 %. values: of localResolutions."""
    axes.hist(values, bins=40, color=_NOW)
    for part, style in ((10, ":"), (50, "-"), (90, ":")):
        value = np.percentile(values, part)
        axes.axvline(
            value,
            color="#cc6677",
            linestyle=style,
            label=f"{'median' if part == 50 else f'{part} % of the voxels are better'}: {value:.2f} Å",
        )
    axes.set_xlabel("Local resolution (Å), windowed FSC of the half-maps at 0.5")
    axes.set_ylabel("Voxels in the mask")
    axes.legend()
