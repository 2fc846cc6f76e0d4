# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl consensus-picks`: several sets of picks in, the particles that they agree on out.

<output>/<micrograph>.star each, with the combined score as rlnAutopickFigureOfMerit and the number of sets that found
the particle as cryodlNumberOfSets; the same with all that any set found in <output>/candidates; and consensus.json.
Write everything into <output>.partial, then rename."""

import collections
import typing

import numpy as np

from ...contract import ConsensusPicksConfig, ConsensusPicksOutputs, counted, some_names, write_json
from ...io import coordinates, pick_sets
from ...running.runner import Run, command
from ..compare import comparable_scores, group_picks, match_distance, merge_group, turned_in_words
from ..pickers.pick_record import CANDIDATES, other_binning

RECORD = "consensus.json"


@command
def consensus_picks(config: ConsensusPicksConfig, run: Run) -> ConsensusPicksOutputs:
    sets = pick_sets.read_pick_sets(config.picks, config.pixel_size, config.particle_diameter)
    names = sorted({name for picks in sets.values() for name in picks})
    notes = other_binning(pick_sets.name_sets(config.picks).values(), config.pixel_size)
    turned = turned_in_words(sets, match_distance(config))
    notes += [*pick_sets.lacking_in_words(sets, names), *pick_sets.in_a_corner(sets), *turned]
    made = {name: comparable_scores(picks) for name, picks in sets.items()}
    notes += [f"{name} {note}." for name, (_, note) in made.items() if note]
    sets = {name: picks for name, (picks, _) in made.items()}
    run.warn(*notes)
    rule = (
        f"at least {config.minimum_sets} of {len(sets)} sets found"
        if config.rule == "at-least"
        else f"score at least {config.minimum_score:g} on average over {len(sets)} sets"
    )
    folder = run.folder(continues=False)
    (folder / CANDIDATES).mkdir()
    counts, found = dict[str, int](), collections.Counter[str]()
    for name in names:
        yx, scores, found_by = combine(sets, name, config)
        found.update(" + ".join(labels) for labels in found_by)
        numbers = np.array([len(labels) for labels in found_by], int)
        keep = numbers >= config.minimum_sets if config.rule == "at-least" else scores >= config.minimum_score
        counts[name] = int(keep.sum())
        kept = f"cryodl: particles of {name} that {rule}, of {', '.join(sets)}"
        coordinates.write_coordinates(
            folder / f"{name}.star", yx[keep], scores[keep], kept, cryodlNumberOfSets=numbers[keep]
        )
        every = f"cryodl: everything that any of {', '.join(sets)} found in {name}"
        coordinates.write_coordinates(
            folder / CANDIDATES / f"{name}.star", yx, scores, every, cryodlNumberOfSets=numbers
        )
    groups = {key: found[key] for key in sorted(found, key=lambda k: (k.count(" + "), k))}
    record: typing.Any = dict(sets=list(sets), picks=sum(counts.values()), counts=counts, groups=groups)
    write_json(folder / RECORD, dict(record, rule=rule, notes=notes))
    for key, count in groups.items():
        print(f"{count:8d} particles found by {key}")
    run.summary(
        f"{counted(sum(counts.values()), 'particle')} in {counted(len(names), 'micrograph')} that {rule}: "
        f"{config.output}/<micrograph>.star"
    )
    run.methods(
        f"Particles that {rule} were kept; picks within {config.tolerance:.2f} particle radii were regarded as the "
        "same particle."
    )
    if not any(counts.values()):
        lists = "; ".join(f"{name} is on {some_names(picks)}" for name, picks in sets.items())
        run.warn(
            f"No particle is left: no two sets have a micrograph in common ({lists}). Names are compared without "
            "folder and extension."
            if len(names) == sum(map(len, sets.values()))
            else "No particle is left. Lower --minimum-sets or --minimum-score, or check the particle diameter."
        )
    return ConsensusPicksOutputs(
        folder=str(config.output),
        coordinates={name: run.at(f"{name}.star") for name in names},
        pixel_size=config.pixel_size,
        **record,
    )


def combine(
    sets: typing.Mapping[str, typing.Any], name: str, config: ConsensusPicksConfig
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, ...]]]:
    """All that any set found in one micrograph, best first.

    sets: {set: {micrograph: (yx, scores)}}. Returns yx (n, 2), combined scores (n,), and the labels of the
    sets that found each."""
    lists = [picks.get(name, (np.zeros((0, 2)), np.zeros(0))) for picks in sets.values()]
    labels, found = list(sets), []
    for group in group_picks(lists, match_distance(config)):
        position, score = merge_group(group, lists)
        found.append((-score, *position, tuple(labels[which] for which, _ in group)))
    found.sort()
    values = np.array([row[:3] for row in found]).reshape(-1, 3)
    return values[:, 1:], -values[:, 0], [row[3] for row in found]
