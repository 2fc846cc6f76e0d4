# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found in tomograms, and how well, as tables. No windows here."""

import csv
import json
import os
import re
from typing import Dict, List, Optional, Tuple

FOUND_TITLES = ("Tomogram", "Feature", "Volume (nm³)", "Components", "Surface (nm²)", "Voxels")
JUDGED_TITLES = (
    "Feature",
    "Dice",
    "Precision",
    "Recall",
    "Boundary error (Å)",
    "Components found",
    "Correct components",
)
# column of membranes.csv: title
_MEMBRANE = {
    "tomogram": "Tomogram",
    "membrane": "Membrane",
    "area_nm2": "Area (nm²)",
    "closed": "Closed",
    "thickness_angstrom": "Thickness (Å)",
    "mean_curvature_per_nm": "Mean curvature (1/nm)",
    "nearest_membrane": "Nearest membrane",
    "distance_angstrom": "Distance (Å)",
}
MEMBRANE_TITLES = tuple(_MEMBRANE.values())
_ALL = "all tomograms"


def featuresIn(folder: str) -> Dict[str, Dict[str, Dict[str, Optional[float]]]]:
    """{tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}} of features.json in a folder."""
    with open(os.path.join(folder, "features.json"), encoding="utf-8") as file:
        return {name: dict(entry["found"]) for name, entry in json.load(file)["tomograms"].items()}


def foundRows(found: Dict[str, Dict[str, Dict[str, Optional[float]]]]) -> List[Tuple[str, ...]]:
    """Rows of FOUND_TITLES, sums last. found: {tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}}."""
    rows, sums = [], {}
    for tomogram, features in sorted(found.items()):
        for feature, metrics in features.items():
            rows.append(_row(tomogram, feature, metrics))
            total = sums.setdefault(feature, {})
            for key, value in metrics.items():
                if isinstance(value, (int, float)):
                    total[key] = total.get(key, 0) + value
    return rows + ([_row(_ALL, feature, total) for feature, total in sums.items()] if len(found) > 1 else [])


def membraneRows(path: str) -> List[Tuple[str, ...]]:
    """Rows of MEMBRANE_TITLES. path: membranes.csv; what it does not have is '-'. Raises OSError."""
    with open(path, newline="", encoding="utf-8") as file:
        return [tuple(_plain(row.get(column)) for column in _MEMBRANE) for row in csv.DictReader(file)]


def _plain(text: Optional[str]) -> str:
    """A number of the table without a power of ten, which has four digits; anything else as it is."""
    return f"{float(text):.0f}" if text and re.fullmatch(r"-?[\d.]+e[+-]\d+", text) else text or "-"


def _row(tomogram: str, feature: str, metrics: Dict[str, Optional[float]]) -> Tuple[str, ...]:
    return (
        tomogram,
        feature,
        _size(metrics["volume_nm3"]),
        f"{metrics['components']}",
        _size(metrics.get("area_nm2")),
        f"{metrics['voxels']}",
    )


def _size(value: Optional[float]) -> str:
    """A volume or area with three or more figures, never as a power of ten."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def judgedRows(features: Dict[str, Dict[str, Optional[float]]]) -> List[Tuple[str, ...]]:
    """Rows of JUDGED_TITLES. features: {name: {dice, precision, ...}}; what was not measured is '-'."""
    return [
        (name,)
        + tuple(
            _number(metrics.get(key), form)
            for key, form in (
                ("dice", "%.3f"),
                ("precision", "%.3f"),
                ("recall", "%.3f"),
                ("boundary_error", "%.3g"),
                ("component_recall", "%.3f"),
                ("component_precision", "%.3f"),
            )
        )
        for name, metrics in features.items()
    ]


def _number(value: Optional[float], form: str) -> str:
    return "-" if value is None else form % value
