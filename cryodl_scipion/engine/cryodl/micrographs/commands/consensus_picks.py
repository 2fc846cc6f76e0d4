# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl consensus-picks`: several sets of picks in, the particles that they agree on out.

<output>/<micrograph>.star each, with the combined score as rlnAutopickFigureOfMerit and the number of sets that found
the particle as cryodlNumberOfSets; the same with all that any set found in <output>/candidates; and consensus.json.
Result.outputs are the contract's ConsensusPicksOutputs.
"""

import collections
import os
import typing

import numpy as np

from ...contract import ConsensusPicksConfig, Result, counted
from ...contract.micrographs.consensus import ConsensusPicksOutputs
from ...contract.result import write_json
from ...io.coordinates import write_coordinates
from ...io.pick_sets import lacking_in_words, read_pick_sets
from ...io.unfinished import check_output, finish_folder, working_folder
from ..compare.consensus import comparable_scores, group_picks, merge_group
from .evaluate_picks import match_distance
from .pick import CANDIDATES

RECORD = "consensus.json"


def run(config: ConsensusPicksConfig) -> Result:
    """Write everything into <output>.partial, then rename."""
    check_output(config.output)
    sets = read_pick_sets(config.picks)
    names = sorted({name for picks in sets.values() for name in picks})
    notes = lacking_in_words(sets, names)
    for name, picks in sets.items():
        sets[name], note = comparable_scores(picks)
        notes += [f"{name} {note}."] if note else []
    rule = _rule_in_words(config, len(sets))
    folder = working_folder(config, continues=False)
    (folder / CANDIDATES).mkdir()
    counts, groups = dict[str, int](), collections.Counter[str]()
    for name in names:
        yx, scores, found_by = combine(sets, name, config)
        groups.update(" + ".join(labels) for labels in found_by)
        numbers = np.array([len(labels) for labels in found_by], int)
        keep = numbers >= config.minimum_sets if config.rule == "at-least" else scores >= config.minimum_score
        counts[name] = int(keep.sum())
        write_coordinates(
            folder / f"{name}.star",
            yx[keep],
            scores[keep],
            cryodlNumberOfSets=numbers[keep],
            comment=f"cryodl: particles of {name} that {rule}, of {', '.join(sets)}",
        )
        write_coordinates(
            folder / CANDIDATES / f"{name}.star",
            yx,
            scores,
            cryodlNumberOfSets=numbers,
            comment=f"cryodl: everything that any of {', '.join(sets)} found in {name}",
        )
    by_pickers = {key: groups[key] for key in sorted(groups, key=lambda k: (k.count(" + "), k))}
    record: dict[str, typing.Any] = dict(sets=list(sets), picks=sum(counts.values()), counts=counts, groups=by_pickers)
    write_json(folder / RECORD, dict(record, rule=rule, notes=notes))
    finish_folder(folder, config.output)
    for key, count in by_pickers.items():
        print(f"{count:8d} particles found by {key}")
    print(
        f"{counted(sum(counts.values()), 'particle')} in {counted(len(names), 'micrograph')} that {rule}: "
        f"{config.output}/<micrograph>.star"
    )
    coordinates = {name: os.path.join(config.output, f"{name}.star") for name in names}
    if not record["picks"]:
        notes.append("No particle is left. Lower --minimum-sets or --minimum-score, or check the particle diameter.")
    outputs = ConsensusPicksOutputs(
        **record, folder=str(config.output), coordinates=coordinates, pixel_size=config.pixel_size
    )
    return Result("consensus-picks", outputs, warnings=tuple(notes))


def combine(
    sets: typing.Mapping[str, typing.Any], name: str, config: ConsensusPicksConfig
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, ...]]]:
    """All that any set found in one micrograph, best first.

    sets: {set: {micrograph: (yx, scores)}}. Returns yx (n, 2), combined scores (n,), and the labels of the
    sets that found each.
    """
    lists = [picks.get(name, (np.zeros((0, 2)), np.zeros(0))) for picks in sets.values()]
    labels, found = list(sets), []
    for group in group_picks(lists, match_distance(config)):
        position, score = merge_group(group, lists)
        found.append((-score, *position, tuple(labels[which] for which, _ in group)))
    found.sort()
    values = np.array([row[:3] for row in found]).reshape(-1, 3)
    return values[:, 1:], -values[:, 0], [row[3] for row in found]


def _rule_in_words(config: ConsensusPicksConfig, number: int) -> str:
    if config.rule == "at-least":
        return f"at least {config.minimum_sets} of {number} sets found"
    return f"score at least {config.minimum_score:g} on average over {number} sets"
