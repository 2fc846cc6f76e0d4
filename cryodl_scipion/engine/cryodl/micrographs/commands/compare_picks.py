# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl compare-picks`: several sets of picks against a reference and against each other. Print the metrics and the
agreement of each pair; write them and their pictures if there is an output folder."""

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import ComparePicksConfig, ComparePicksOutputs, counted, write_json
from ...core.matching import precision_recall, score_matched
from ...io import coordinates, pick_sets, plots
from ...running.runner import Run, command
from .. import compare
from ..pickers.pick_record import other_binning

Curves = dict[str, tuple[np.ndarray, np.ndarray, tuple[float, float]]]


@command
def compare_picks(config: ComparePicksConfig, run: Run) -> ComparePicksOutputs:
    shapes, distance = compare.micrograph_shapes(config), compare.match_distance(config)
    reference = compare.read_reference(config, shapes) if config.reference else None
    frame = reference if reference is not None else shapes
    sets = {
        k: picks if frame is None else coordinates.align_keys(picks, frame)
        for k, picks in pick_sets.read_pick_sets(config.picks, config.pixel_size, config.particle_diameter).items()
    }
    names = list(frame or sorted({name for picks in sets.values() for name in picks}))
    if reference is not None:
        for name, path in pick_sets.name_sets(config.picks).items():
            compare.check_common(path, sets[name], config, reference)
    outside = {k: sum(len(picks[n][1]) for n in picks.keys() - set(names)) for k, picks in sets.items()}
    notes = other_binning((*pick_sets.name_sets(config.picks).values(), config.reference), config.pixel_size)
    every = sets if reference is None else {"the reference": reference, **sets}
    notes += [*pick_sets.lacking_in_words(sets, names), *pick_sets.in_a_corner(every)]
    notes += compare.turned_in_words(every, distance)
    notes += [f"On micrographs that are not compared: {counted(n, 'pick')} of {k}." for k, n in outside.items() if n]
    sets = {name: compare.within_border(picks, shapes, config.border) for name, picks in sets.items()}
    metrics, candidates, curves = dict[str, typing.Any](), dict[str, typing.Any](), Curves()
    known: compare.Positions = {} if reference is None else reference
    for name, path in pick_sets.name_sets(config.picks).items() if reference is not None else ():
        metrics[name], curve = _score(sets[name], known, distance)
        if folder := compare.candidates_beside(path):
            picks = compare.within_border(
                coordinates.align_keys(coordinates.read_coordinates(folder), known), shapes, config.border
            )
            candidates[name], curve = _score(picks, known, distance)
        curves[name] = (*curve, (metrics[name]["recall"], metrics[name]["precision"]))
    made = ComparePicksOutputs(
        sets=list(sets),
        counts={name: sum(len(picks[n][1]) for n in names if n in picks) for name, picks in sets.items()},
        metrics=metrics,
        all_candidates=candidates,
        agreement=compare.agreement_matrix(sets, names, distance).tolist(),
        micrographs=len(names),
        reference=config.reference,
        tolerance=config.tolerance,
        match_distance_px=distance,
        notes=notes,
        folder=None,
        comparison=None,
        agreement_plot=None,
        curves_plot=None,
    )
    run.warn(*made.notes)
    rows = [
        (label, part[name])
        for name in made.sets
        for label, part in ((name, made.metrics), (f"{name} (all candidates)", made.all_candidates))
        if name in part
    ]
    if rows:
        compare.print_table(rows, "set")
        print()
    print(
        f"Agreement: F1 of each pair on {counted(made.micrographs, 'micrograph')}, matched one to one within "
        f"{made.match_distance_px:.1f} px."
    )
    for name, row in zip(made.sets, made.agreement):
        print("  ".join(f"{value:6.3f}" for value in row) + f"  {name} ({made.counts[name]} picks)")
    run.summary(*_in_words(made))
    run.methods(
        f"{counted(len(made.sets), 'set')} of coordinates were compared"
        f"{' with reference picks' if made.metrics else ' with each other'} on "
        f"{counted(made.micrographs, 'micrograph')}; picks were matched one to one within {made.tolerance:.2f} "
        "particle radii."
    )
    return _written(Path(config.output), made, curves) if config.output else made


def _score(
    picks: compare.Positions, reference: compare.Positions, distance: float
) -> tuple[dict[str, float], tuple[np.ndarray, np.ndarray]]:
    """Metrics of all picks, whatever their score, and (precision, recall) at each of their scores."""
    hit, scores, count = compare.pooled(compare.match_micrographs(picks, reference, list(reference), distance))
    curve = precision_recall(hit, scores, count)[1:] if count else (np.zeros(0), np.zeros(0))
    return dataclasses.asdict(score_matched(hit, scores, count, float(scores.min()) if len(scores) else 0.0)), curve


def _in_words(made: ComparePicksOutputs) -> typing.Iterator[str]:
    yield f"{counted(len(made.sets), 'set')} compared on {counted(made.micrographs, 'micrograph')}"
    for name in made.sets:
        metrics = made.metrics.get(name)
        yield f"{name}: {made.counts[name]} picks" + (
            f", precision {metrics['precision']:.3f}, recall {metrics['recall']:.3f}, F1 {metrics['f1']:.3f}, average "
            f"precision {metrics['average_precision']:.3f}"
            if metrics
            else ""
        )
    if pairs := sorted((made.agreement[i][j], i, j) for i in range(len(made.sets)) for j in range(i)):
        words = [f"{made.sets[j]} and {made.sets[i]} {value:.3f}" for value, i, j in (pairs[-1], pairs[0])]
        yield f"Agreement (F1): {words[0]}" + (f" at best; {words[1]} at worst" if len(pairs) > 1 else "")


def _written(folder: Path, made: ComparePicksOutputs, curves: Curves) -> ComparePicksOutputs:
    folder.mkdir(parents=True, exist_ok=True)
    files = ("folder", "comparison", "agreement_plot", "curves_plot")
    write_json(folder / "comparison.json", {key: value for key, value in made.items() if key not in files})
    table = np.array(made.agreement), [[f"{value:.2f}" for value in row] for row in made.agreement]
    plots.plot_squares(*table, made.sets, made.sets, folder / "agreement.png", "F1", title="Agreement of the sets")
    (folder / "curves.png").unlink(missing_ok=True)  # of an earlier comparison with a reference
    if curves:
        plots.plot_precision_recall(curves, folder / "curves.png")
    return dataclasses.replace(
        made,
        folder=str(folder),
        comparison=str(folder / "comparison.json"),
        agreement_plot=str(folder / "agreement.png"),
        curves_plot=str(folder / "curves.png") if curves else None,
    )
