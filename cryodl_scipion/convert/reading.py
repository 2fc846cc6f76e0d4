# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON and CSV files of the engine, values of MRC files, and what is read of Scipion's tables."""

import csv
import json
import os
import warnings
from pathlib import Path
from typing import Any, Dict, List

import mrcfile

# in tables of Scipion: items that were taken out there are in no output, as pwem copies sets
ENABLED = "enabled=1"


def readJson(path: str, otherwise: Any = None) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8")) if os.path.exists(path) else otherwise


def mapped(path: str) -> Any:
    """Values of an MRC file, read from the disk as they are needed; None if it has none. Raises OSError, ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its header lacks
        return mrcfile.mmap(path, permissive=True).data


def readCsv(path: str) -> List[Dict[str, str]]:
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def readNumbers(path: str) -> List[Dict[str, Any]]:
    """[{column: number or None}] of a table; a last line that is being written is left out."""

    def number(text: str) -> Any:
        try:
            return int(text) if text.isdigit() else float(text)
        except ValueError:
            return None  # an empty cell, or a word: nothing to draw

    rows = [row for row in readCsv(path) if None not in row and None not in row.values()]
    return [{name: number(text) for name, text in row.items()} for row in rows]
