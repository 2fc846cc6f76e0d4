# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON and CSV files of the engine."""

import csv
import json
import os
from typing import Any, Dict, List


def readJson(path: str, otherwise: Any = None) -> Any:
    if not os.path.exists(path):
        return otherwise
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def readCsv(path: str) -> List[Dict[str, str]]:
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
