# SPDX-License-Identifier: GPL-3.0-or-later
"""What automatic picking writes down of its rounds: rounds.csv, and a folder of picks for each."""

import csv
import os
from typing import Any, Dict, List, Optional, Sequence

from ...engine.cryodl.contract import counted

TABLE = "rounds.csv"
_ROUNDS = "rounds"


def readRounds(folder: str) -> List[Dict[str, Any]]:
    """[{column: number or None}] of <folder>/rounds.csv, one for each round; [] before the first is finished.

    Columns: round, separation (how far picks and background of held-out micrographs are apart, in standard deviations),
    picks, confident, agreement (with the round before), threshold, and what else the engine writes.
    A last line that is being written is left out.
    """
    path = os.path.join(folder, TABLE)
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [{name: _number(text) for name, text in row.items()} for row in rows]


def _number(text: str) -> Optional[float]:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return None  # an empty cell, or a word: nothing to draw


def bestRound(rounds: Sequence[Dict[str, Any]]) -> int:
    """Number of the round with the largest separation, the first of equals. rounds: of readRounds, not empty."""
    return int(max(rounds, key=lambda r: (-1 if r["separation"] is None else r["separation"], -r["round"]))["round"])


def roundInWords(entry: Dict[str, Any]) -> str:
    """'512 picks, 430 confident, separation 2.91, agreement with the round before 0.88' of one round."""
    words = [
        ("picks", "%.0f picks"),
        ("confident", "%.0f confident"),
        ("separation", "separation %.2f"),
        ("agreement", "agreement with the previous round %.2f"),
    ]
    return ", ".join(form % entry[name] for name, form in words if entry.get(name) is not None)


def roundsInWords(rounds: Sequence[Dict[str, Any]], stopped: Optional[str] = None) -> List[str]:
    """What each finished round did, for a summary. stopped: why there was no further one."""
    if not rounds:
        return []
    head = f"{counted(len(rounds) - 1, 'round')} of training; the best was round {bestRound(rounds)}"
    lines = [head + (f"; stopped: {stopped}." if stopped else ".")]
    return lines + [f"  round {r['round']}: {roundInWords(r)}" for r in rounds]


def picksOfRound(folder: str, number: int) -> str:
    """Folder with the STAR files of one round's picks, on the micrographs that it learned from."""
    return os.path.join(folder, _ROUNDS, f"{number}", "picks")
