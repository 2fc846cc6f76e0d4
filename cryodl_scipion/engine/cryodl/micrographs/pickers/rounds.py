# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of automatic picking: rounds/<n>/round.json, rounds.csv and rounds.png; which is best, and when to
stop."""

import csv
import json
import os
import typing
from pathlib import Path

from ...contract import counted
from ...contract.result import write_json
from ...io.files import whole_file

RECORD, TABLE, PICTURE = "round.json", "rounds.csv", "rounds.png"
# Confident picks on the micrographs to learn from, and on the held-out ones, below which no round is trained.
MIN_CONFIDENT, MIN_HELD_OUT = 20, 5
# Of the picks that a round shares with the first one. Training moves the doubtful fifth or so; if half of the picks is
# elsewhere, another thing is picked.
MIN_AGREEMENT = 0.5


def round_folder(folder: str | os.PathLike[str], number: int) -> Path:
    """rounds/<number> of an output folder."""
    return Path(folder) / "rounds" / str(number)


def read_round(folder: str | os.PathLike[str], number: int) -> dict[str, typing.Any] | None:
    """The entry of a finished round, or None."""
    path = round_folder(folder, number) / RECORD
    if not path.exists():
        return None
    entry: dict[str, typing.Any] = json.loads(path.read_text(encoding="utf-8"))
    return entry


def write_round(folder: str | os.PathLike[str], entries: typing.Sequence[dict[str, typing.Any]]) -> None:
    """Write the last of the entries into its round's folder, which finishes the round, and table and picture of all."""
    from ...io.plots import plot_rounds

    with whole_file(Path(folder) / TABLE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[k for k in entries[-1] if k != "warnings"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(entries)
    plot_rounds(entries, Path(folder) / PICTURE)
    write_json(round_folder(folder, entries[-1]["round"]) / RECORD, entries[-1])


def round_in_words(entry: dict[str, typing.Any]) -> str:
    """One line of the log about a finished round."""
    words = (
        f"Round {entry['round']}: {counted(entry['picks'], 'pick')} in {counted(entry['micrographs'], 'micrograph')}"
    )
    words += f", {entry['confident']} confident picks on the training micrographs"
    for name, value in (("separation", entry["separation"]), ("agreement with the previous round", entry["agreement"])):
        words += "" if value is None else f"; {name} {value:.3f}"
    return words + "."


def best_round(entries: typing.Sequence[dict[str, typing.Any]]) -> int:
    """Number of the round with the largest separation, the first of equals; a round without one is worse than all."""
    return max(entries, key=lambda e: (-1.0 if e["separation"] is None else e["separation"], -e["round"]))["round"]


def why_stop(
    entries: typing.Sequence[dict[str, typing.Any]], maximum: int, confident: float
) -> tuple[str, bool] | None:
    """Why no further round is trained: a sentence, and whether the user must be warned; None if one is.

    entries: of all rounds so far. maximum: rounds of training that the user allows. confident: minimum score of a
    confident pick.
    """
    last = entries[-1]
    number, found = last["round"], last["confident"] + last["confident_held_out"]
    if not last["micrographs"]:
        return "no particles were found to train on", True
    if number and last["separation"] is None:
        if last["agreement_first"] < MIN_AGREEMENT:
            return (
                f"round {number} drifted away: only {100 * last['agreement_first']:.0f} % of its picks are those "
                "of round 0, so it is not used"
            ), True
        return (
            f"{_too_few(number)}; it is not used, and the picks are those of round {best_round(entries)}. Use more "
            "--training-micrographs"
        ), True
    if number and best_round(entries) != number:
        return (
            f"round {number} is no better than round {best_round(entries)} (separation {last['separation']:.2f}, "
            f"before {max(e['separation'] for e in entries):.2f})"
        ), False
    if number >= maximum:
        return f"all {maximum} rounds were done", False
    if last["micrographs"] < 2:
        return (
            "only one of the training micrographs could be picked, and a round needs one for training and one for "
            f"validation; the picks are those of round {number}"
        ), True
    if last["confident"] < MIN_CONFIDENT or last["confident_held_out"] < MIN_HELD_OUT:
        return (
            f"round {number} has hardly any confident pick ({found} with a score of at least {confident:g} in "
            f"{last['micrographs']} micrographs), too few to train on; the picks are those of round "
            f"{best_round(entries)}. Check them, and particle diameter, pixel size and contrast, or start from "
            "another model"
        ), True
    if last["separation"] is None:
        return (
            f"{_too_few(number)}; the picks are those of round {best_round(entries)}. Use more --training-micrographs"
        ), True
    return None


def _too_few(number: int) -> str:
    return (
        f"the held-out micrographs of round {number} have too few picks to evaluate it (at least 20 are needed, and "
        "as many positions without a pick)"
    )
