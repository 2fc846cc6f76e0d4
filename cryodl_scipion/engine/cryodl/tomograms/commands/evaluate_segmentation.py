# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-segmentation`: how well segmentations fit labels, for each feature and tomogram.

<output>/evaluation.json: features {name: metrics of all tomograms together}, tomograms {name: {segmentation, labels,
pixel_size, shape, features {name: metrics}}}, threshold. Metrics: label, dice, iou, precision, recall,
voxels_found, voxels_true, boundary_error and boundary_error_95 (Å), boundary_alone, components_true,
components_detected, components_found, components_right, component_recall, component_precision; of score volumes also
average_precision, best_threshold, best_dice, calibration_error. docs/tomograms.md explains them. Beside it
metrics.png, curve.png of score volumes, and <tomogram>.png.
"""

import os
import typing
from pathlib import Path

from ...contract import EvaluateSegmentationConfig, EvaluateSegmentationOutputs, write_json
from ...io.files import expand_paths, name_micrographs, name_tomograms, pair_by_name
from ...io.progress import ProgressBar
from ...io.tomograms import Tomogram
from ...runner import PROGRAM, Run, command
from ..evaluation.measure import FeatureMeasures, ScoreCurve, measure_labelled_pair
from ..evaluation.pairs import LabelledPair, feature_names, refuse_labels, renamed, same_names
from ..evaluation.pictures import draw_curve, draw_metrics, draw_slices

MAX_PICTURES = 8  # tomograms that are drawn
# metric: how it is called, and its unit
SHOWN = dict(
    dice=("Dice", ""),
    precision=("precision", ""),
    recall=("recall", ""),
    boundary_error=("boundary error", " Å"),
    boundary_error_95=("of 95 % of the boundary", " Å"),
    component_recall=("components found", ""),
    component_precision=("correct components", ""),
)
OF_SCORES = dict(
    average_precision=("average precision", ""),
    best_dice=("best Dice", ""),
    best_threshold=("at threshold", ""),
    calibration_error=("calibration error", ""),
)


@command
def evaluate_segmentation(config: EvaluateSegmentationConfig, run: Run) -> EvaluateSegmentationOutputs:
    """Measure into <output>.partial, then rename."""
    paired = _paired(config, run)
    values = _values(config, paired, run)
    pairs = [
        LabelledPair(name, found, labels, config.label, config.threshold, config.pixel_size, values)
        for name, found, labels in paired
    ]
    run.warn(*(pair.note for pair in pairs if pair.note))
    tomograms = _tomograms(config, pairs, run)
    measured = [measure_labelled_pair(pair) for pair in ProgressBar(pairs, unit="tomogram", mininterval=1.0)]
    labels = sorted({label for by_label, _, _ in measured for label in by_label})
    _check_labels(config, measured, labels, pairs)
    names = _names(config, labels, values is not None, run)
    record = _record(config, pairs, measured, names)
    folder = run.folder(continues=False)
    write_json(folder / "evaluation.json", record)
    pictures = _draw(folder, pairs, measured, names, record, tomograms)
    path_of = lambda name: os.path.join(config.output, name)
    _tell(config, record, run)
    return EvaluateSegmentationOutputs(
        evaluation=path_of("evaluation.json"),
        folder=str(config.output),
        features=record["features"],
        pictures={name: path_of(f"{name}.png") for name in pictures},
    )


def _paired(config: EvaluateSegmentationConfig, run: Run) -> list[tuple[str, str, str]]:
    """(name, segmentation, labels) of each tomogram, paired by their names."""
    found = name_tomograms(expand_paths(config.segmentations))
    labels = name_micrographs(expand_paths(config.labels), what="label volume")
    names = [name for name, _ in found]
    tomograms = [name if name in dict(labels) else name.rsplit("__", 1)[0] for name in names]  # <tomogram>__<feature>
    mine = tomograms if len(set(tomograms)) == len(names) else names
    positions = _positions(mine, labels, "label volumes", "--labels", "one label volume for each", run)
    return [(name, path, labels[position][1]) for (name, path), position in zip(found, positions)]


def _positions(
    mine: list[str], theirs: typing.Sequence[tuple[str, str]], what: str, option: str, way_out: str, run: Run
) -> typing.Sequence[int]:
    """Which of the others belongs to each segmentation, by their names."""
    if len(mine) != len(theirs):
        raise ValueError(
            f"There are {len(mine)} segmentations (--segmentations) and {len(theirs)} {what} ({option}). "
            f"Give {way_out}."
        )
    sides = (("segmentations", "--segmentations"), (what, option))
    positions, warning = pair_by_name(mine, [name for name, _ in theirs], *sides)
    run.warn(*[warning] if warning else [])
    return positions


def _tomograms(
    config: EvaluateSegmentationConfig, pairs: typing.Sequence[LabelledPair], run: Run
) -> dict[str, Tomogram]:
    """{name of a pair: Tomogram} to draw, {} if there are none."""
    if not config.tomograms:
        return {}
    named = name_tomograms(expand_paths(config.tomograms))
    names = [pair.name for pair in pairs]
    positions = _positions(names, named, "tomograms", "--tomograms", "one tomogram for each, or none", run)
    found = {pair.name: Tomogram(named[position][1]) for pair, position in zip(pairs, positions)}
    for pair in pairs:
        if found[pair.name].shape != pair.shape:
            sizes = [" x ".join(str(n) for n in reversed(shape)) for shape in (found[pair.name].shape, pair.shape)]
            raise ValueError(
                f"The tomogram {found[pair.name].path} has {sizes[0]} voxels (x, y, z), the segmentation "
                f"{pair.segmentation} {sizes[1]}. Give the tomogram that was segmented, or none."
            )
    return found


def _check_labels(
    config: EvaluateSegmentationConfig,
    measured: typing.Sequence[typing.Any],
    labels: typing.Sequence[int],
    pairs: typing.Sequence[LabelledPair],
) -> None:
    """Raises ValueError if there is nothing to compare."""
    if not labels:
        raise ValueError(
            f"Neither {pairs[0].segmentation} nor its labels contain a feature: all values are 0 or 255 (not "
            "annotated)."
        )
    if config.label is not None and not any(m[config.label].overlap.ground_truth for m, _, _ in measured):
        raise ValueError(
            f"No label volume has the value {config.label} (--label) in its annotated part. Check the value, and "
            "that the labels belong to these tomograms."
        )


def _values(
    config: EvaluateSegmentationConfig, paired: typing.Sequence[tuple[str, str, str]], run: Run
) -> dict[int, int] | None:
    """{value in the segmentations: that of the same name in the labels}, or None where equal values are compared.
    Raises ValueError if --label is given for label volumes."""
    if config.label is not None:
        run.warn(*(sentence for _, path, _ in paired for sentence in refuse_labels(path)))
        return None
    mine, theirs = _both_names(config)
    values = same_names(mine, theirs)
    if values is None:
        return None
    print(
        "Features are compared by their names (features.json): "
        + ", ".join(f"{name} {k} with {values[k]}" for k, name in mine.items() if values[k])
        + " of the labels."
    )
    run.warn(
        *(
            f"The value {k} is called {mine[k]} in the segmentations and {theirs[k]} in the labels (features.json), "
            "and neither name occurs in the other: they are compared as one feature. If they are different features, "
            "change one of the values."
            for k in mine
            if renamed(k, mine, theirs)
        )
    )
    lost = [name for k, name in mine.items() if not values[k]]
    missed = [name for k, name in theirs.items() if k not in values.values()]
    if lost:
        run.warn(f"The labels have no {', '.join(lost)} (features.json); in the segmentations it is not evaluated.")
    if missed:
        run.warn(
            f"The segmentations have no {', '.join(missed)} (features.json); in the labels it counts as not found."
        )
    return values


def _both_names(config: EvaluateSegmentationConfig) -> list[dict[int, str]]:
    """{value: name} of the segmentations and of the labels."""
    return [feature_names(expand_paths(files)[0]) for files in (config.segmentations, config.labels)]


def _names(config: EvaluateSegmentationConfig, labels: typing.Sequence[int], by_name: bool, run: Run) -> dict[int, str]:
    """{label: name}, no name twice, from features.json beside the volumes where there is one. by_name:
    whether the segmentations' values were made those of the labels."""
    mine, theirs = _both_names(config)
    if config.label is not None:
        of_file = name_tomograms(expand_paths(config.segmentations))[0][0].rpartition("__")[2]  # <tomogram>__<feature>
        named = "__" in os.path.basename(expand_paths(config.segmentations)[0])
        name = theirs.get(config.label) or (of_file if named else str(config.label))
        if named and name != of_file.partition("@")[0]:
            run.warn(
                f"The scores are of {of_file} by their file's name, the value {config.label} (--label) is {name} in "
                "the features.json of the labels."
            )
        return {config.label: name}
    mine = theirs if by_name else mine
    different = [k for k in labels if mine.get(k, theirs.get(k)) != theirs.get(k, mine.get(k))]
    run.warn(
        *(
            f"The value {k} is called {mine[k]} in the segmentations and {theirs[k]} in the labels (features.json); "
            "equal values are compared, whatever their names."
            for k in different
        )
    )
    names = {k: mine.get(k) or theirs.get(k) or str(k) for k in labels}
    often = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {k: f"{name} ({k})" if name in often else name for k, name in names.items()}


def _record(
    config: EvaluateSegmentationConfig,
    pairs: typing.Sequence[LabelledPair],
    measured: typing.Sequence[typing.Any],
    names: typing.Mapping[int, str],
) -> dict[str, typing.Any]:
    """The dict of evaluation.json."""
    totals = {label: sum((m[label] for m, _, _ in measured if label in m), FeatureMeasures()) for label in names}
    coarse = sum(pair.pixel_size for pair in pairs) / len(pairs)
    features = {names[k]: dict(label=k, **total.metrics(coarse)) for k, total in totals.items()}
    tomograms = {}
    for pair, (by_label, _, curve) in zip(pairs, measured):
        metrics = {
            names[k]: dict(label=k, **one.metrics(pair.pixel_size), **(curve.metrics() if curve else {}))
            for k, one in by_label.items()
        }
        tomograms[pair.name] = dict(
            segmentation=pair.segmentation, pixel_size=pair.pixel_size, shape=list(pair.shape), features=metrics
        )
    if config.label is not None:
        features[names[config.label]].update(_all_scores(measured).metrics())
    return dict(features=features, tomograms=tomograms, threshold=config.threshold if config.label else None)


def _all_scores(measured: typing.Sequence[typing.Any]) -> ScoreCurve:
    """The curve of all tomograms together."""
    total = ScoreCurve()
    for _, _, curve in measured:
        total += curve
    return total


def _draw(
    folder: Path,
    pairs: typing.Sequence[LabelledPair],
    measured: typing.Sequence[typing.Any],
    names: typing.Mapping[int, str],
    record: dict[str, typing.Any],
    tomograms: typing.Mapping[str, Tomogram],
) -> list[str]:
    """Write the pictures. tomograms: {name: Tomogram}. Returns their names."""
    drawn = ["metrics"]
    draw_metrics(record["features"], folder / "metrics.png")
    if pairs[0].label is not None and next(iter(record["features"].values()))["average_precision"] is not None:
        (name,) = names.values()
        draw_curve(_all_scores(measured), name, folder / "curve.png")
        drawn.append("curve")
    for pair, (_, slices, _) in list(zip(pairs, measured))[:MAX_PICTURES]:
        if slices:
            draw_slices(pair, slices, names, folder / f"{pair.name}.png", tomograms.get(pair.name))
            drawn.append(pair.name)
    return drawn


def _tell(config: EvaluateSegmentationConfig, record: dict[str, typing.Any], run: Run) -> None:
    """Summary and methods."""
    for name, row in record["features"].items():
        shown = dict(SHOWN, **(OF_SCORES if record["threshold"] is not None else {}))
        known = [
            f"{word} {row[key]:.{3 if row[key] < 10 else 0}f}{unit}"
            for key, (word, unit) in shown.items()
            if row[key] is not None
        ]
        run.summary(f"{name}: {', '.join(known) or 'nothing to compare'}.")
    run.summary(f"Table: {os.path.join(config.output, 'evaluation.json')}")
    dice = ", ".join(f"{row['dice']:.3f} for {n}" for n, row in record["features"].items() if row["dice"] is not None)
    run.methods(
        f"The segmentation was compared with labels with {PROGRAM}; the Dice coefficient is {dice or 'not defined'}."
    )
