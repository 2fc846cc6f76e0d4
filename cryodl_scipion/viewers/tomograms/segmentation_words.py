# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found in tomograms, and how well, as tables. No windows here."""

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
_ALL = "all tomograms"


def foundRows(found: Dict[str, Dict[str, Dict[str, Optional[float]]]]) -> List[Tuple[str, ...]]:
    """Rows of FOUND_TITLES. found: {tomogram: {feature: {voxels, volume_nm3, pieces, area_nm2}}}; sums come last."""
    rows, sums = [], {}
    for tomogram, features in sorted(found.items()):
        for feature, figures in features.items():
            rows.append(_row(tomogram, feature, figures))
            total = sums.setdefault(feature, {})
            for key, value in figures.items():
                if isinstance(value, (int, float)):
                    total[key] = total.get(key, 0) + value
    return rows + ([_row(_ALL, feature, total) for feature, total in sums.items()] if len(found) > 1 else [])


def _row(tomogram: str, feature: str, figures: Dict[str, Optional[float]]) -> Tuple[str, ...]:
    return (
        tomogram,
        feature,
        _size(figures["volume_nm3"]),
        f"{figures['pieces']}",
        _size(figures.get("area_nm2")),
        f"{figures['voxels']}",
    )


def _size(value: Optional[float]) -> str:
    """A volume or area with three or more figures, never as a power of ten."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def judgedRows(features: Dict[str, Dict[str, Optional[float]]]) -> List[Tuple[str, ...]]:
    """Rows of JUDGED_TITLES. features: {name: {dice, precision, ...}}; what was not measured is '-'."""
    return [
        (name,)
        + tuple(
            _figure(figures.get(key), form)
            for key, form in (
                ("dice", "%.3f"),
                ("precision", "%.3f"),
                ("recall", "%.3f"),
                ("boundary_error", "%.3g"),
                ("piece_recall", "%.3f"),
                ("piece_precision", "%.3f"),
            )
        )
        for name, figures in features.items()
    ]


def _figure(value: Optional[float], form: str) -> str:
    return "-" if value is None else form % value
