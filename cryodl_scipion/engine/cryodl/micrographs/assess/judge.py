# SPDX-License-Identifier: GPL-3.0-or-later
"""Which signs make a micrograph a bad one: logistic models of two signs at most, learnt from simulated micrographs.
judge.json has their weights, and says what it learnt from and which program of which commit wrote it. A micrograph is
bad if any model says so."""

import functools
import json
import math
import typing
from pathlib import Path

# Signs of each defect, and what is added to each before its logarithm is taken: what noise alone varies by.
DEFECTS = {
    "unseen": {"seen": 0.3, "thickness": 10.0},
    "drift": {"loss": 0.03},
    "dirt": {"lost": 0.01},
    "crystals": {"spots": 0.0},
}


def weighed_signs(defect: str, signs: typing.Mapping[str, float]) -> list[float] | None:
    """What a model of DEFECTS weighs of the signs, None if one of them could not be measured."""
    offsets = DEFECTS[defect]
    return [math.log(signs[n] + offset) for n, offset in offsets.items()] if all(n in signs for n in offsets) else None


def judged_reasons(signs: typing.Mapping[str, float], with_dirt: bool = True) -> list[str]:
    """Why a micrograph is bad, in words; none if it is good. signs: of `signs_of`. with_dirt: count lost positions."""
    found = []
    for defect, model in weights().items():
        values = weighed_signs(defect, signs)
        if values is None or (defect == "dirt" and not with_dirt):
            continue
        if sum(w * (v - u) for w, v, u in zip(model["weights"], values, model["usual"])) > model["limit"]:
            found.append(_in_words(defect, signs))
    return found


@functools.lru_cache(maxsize=1)
def weights() -> dict[str, dict[str, typing.Any]]:
    """The models of judge.json: {defect: weights and usual evidence of good micrographs, limit of their sum}."""
    return json.loads((Path(__file__).parent / "judge.json").read_text(encoding="utf-8"))["models"]


def _in_words(defect: str, signs: typing.Mapping[str, float]) -> str:
    if defect == "unseen":
        return "no particles stand out of the noise: empty, all carbon, or thick ice"
    if defect == "drift":
        return f"drift: along {signs['angle']:.0f}° detail finer than {signs['finest']:.0f} Å is lost"
    if defect == "dirt":
        return f"contamination: {100 * signs['lost']:.0f} % of the positions are lost to it"
    return f"crystalline ice: spots near 3.7 Å, {signs['spots']:.0f} times the power around them"
