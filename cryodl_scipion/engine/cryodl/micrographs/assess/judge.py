# SPDX-License-Identifier: GPL-3.0-or-later
"""Which signs make a micrograph a bad one: logistic models of two signs at most, learnt from simulated micrographs.
judge.json has their weights, and says what it learnt from and which program of which commit wrote it. A micrograph is
bad if any model says so, or a limit that was given. Records of assessed micrographs in a folder: which still hold,
their picks, and the verdict on each."""

import functools
import json
import math
import typing
from pathlib import Path

import numpy as np

from ...contract import AssessMicrographsConfig, write_json
from ...io import stamps

KIND = "micrograph assessment"

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


def read_records(folder: Path, config: AssessMicrographsConfig) -> dict[str, stamps.Record]:
    """{name: record} of the micrographs measured before; other JSON files are left alone. Raises ValueError for metrics
    measured with other parameters."""
    records = {}
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("kind") == KIND:
            records[record["name"]] = record
            other = [
                f"{k.replace('_', ' ')} {record[k]:g} (now {getattr(config, k):g})"
                for k in ("pixel_size", "particle_diameter")
                if record[k] != getattr(config, k)
            ]
            if other:
                raise ValueError(
                    f"{folder} holds metrics measured with other parameters: {'; '.join(other)}. Choose another "
                    "--output."
                )
    return records


def is_measured(record: typing.Mapping[str, typing.Any] | None, path: str) -> bool:
    """Whether a record is of the file as it is now. Records without signs are of earlier versions."""
    if record is None or "signs" not in record:
        return False
    same = None in (record.get("made_of"), stamps.stamp_of(path)) or record["made_of"] == stamps.stamp_of(path)
    if not same:
        print(f"{path} has changed since it was measured; it is measured again.")
    return same


def add_picks(
    name: str,
    picks: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    folder: Path,
    records: dict[str, stamps.Record],
) -> None:
    """Note the number and mean score of a micrograph's picks in its record; those of an earlier run's picks go. picks:
    {name: ((n, 2) yx, (n,) scores)}."""
    scores = picks[name][1] if name in picks else None
    mean = float(scores.mean()) if scores is not None and scores.any() else None
    new = dict(records[name], particles=None if scores is None else len(scores), mean_score=mean)
    if new != records[name]:
        records[name] = new
        write_json(folder / f"{name}.json", new)


def judge_record(record: typing.Mapping[str, typing.Any], config: AssessMicrographsConfig) -> tuple[str, str]:
    """('good', '') or ('bad', why) of a record, by the judge and under the limits of a config."""
    limits = (
        ("particles", config.minimum_particles, -1, "{} particles, fewer than {:g}"),
        ("mean_score", config.minimum_score, -1, "mean score {:.3g}, below {:g}"),
        ("contaminated_percent", config.maximum_contaminated, 1, "{:.1f} % contaminated, more than {:g} %"),
        ("carbon_percent", config.maximum_carbon, 1, "{:.1f} % carbon, more than {:g} %"),
        ("ice_gradient", config.maximum_gradient, 1, "ice gradient {:.2f}, more than {:g}"),
    )
    reasons = judged_reasons(record["signs"], with_dirt=config.maximum_contaminated is None)
    for figure, limit, sign, sentence in limits:
        value = record[figure]
        if limit is None or (value is None and figure == "mean_score" and record["particles"] == 0 and limit == 0):
            continue
        if value is None:
            reasons.append(f"{figure.replace('_', ' ')} could not be measured")
        elif sign * value > sign * limit:
            reasons.append(sentence.format(value, limit))
    return ("bad" if reasons else "good"), "; ".join(reasons)
