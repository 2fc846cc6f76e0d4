# SPDX-License-Identifier: GPL-3.0-or-later
"""What an evaluation of a denoiser found, as tables and lists of pictures. No windows here."""

import os
from typing import Any, Dict

from ..engine.cryodl.contract import resolution_in_words

TITLES = ("Images", "Mean FRC with the ground truth", "FRC 0.5", "FRC 0.143")
_IMAGES = (("raw", "raw"), ("wiener", "Wiener filter (best linear filter)"), ("denoised", "denoised"))
_CONTROLS = (
    ("noise", "denoised pure noise, random ground truth"),
    ("unrelated", "unrelated projections, random ground truth"),
)
# File names of the engine's pictures, in the order of reading.
PICTURES = {
    "frc": "FRC with the ground truth",
    "fsc": "FSC of maps",
    "control": "Control",
    "triplets": "Triplets",
    "gallery": "Gallery",
    "q_score": "Q-score",
    "slices": "Slices",
    "local_resolution": "Local resolution",
}


def tableRows(evaluation: Dict[str, Any]) -> Any:
    """Rows of TITLES: raw, filtered and denoised images, and below them the controls."""
    rows = []
    for key, label in _IMAGES:
        if key in evaluation["mean_frc"]:
            reached = (evaluation.get("resolution") or {}).get(key) or {}
            rows.append(
                (
                    label,
                    _number(evaluation["mean_frc"][key]),
                    resolution_in_words(reached.get("0.5")),
                    resolution_in_words(reached.get("0.143")),
                )
            )
    control = evaluation.get("control") or {}
    return rows + [("control: " + label, _number(control[key]), "", "") for key, label in _CONTROLS if key in control]


def _number(value: float) -> str:
    return "-" if value is None else f"{value:.3f}"


def picturesIn(folder: str) -> Dict[str, Any]:
    """{name: file} of the pictures that are there, in the order of reading."""
    paths = [(label, os.path.join(folder, key + ".png")) for key, label in PICTURES.items()]
    return {label: path for label, path in paths if os.path.exists(path)}


def verdictOf(evaluation: Dict[str, Any]) -> Any:
    """(no warning?, sentences) of the control."""
    control = evaluation.get("control") or {}
    return control.get("verdict") == "ok", list(control.get("sentences") or [])
