# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-segmentation`: how well segmentations fit labels, for each feature and tomogram.

<output>/evaluation.json: features {name: metrics of all tomograms together}, tomograms {name: {segmentation, labels,
pixel_size, shape, features {name: metrics}}}, threshold. Metrics: label, dice, iou, precision, recall, voxels_found,
voxels_true, boundary_error and boundary_error_95 (Å), boundary_alone, components_true, components_detected,
components_found, components_right, component_recall, component_precision; of score volumes also average_precision,
best_threshold, best_dice, calibration_error. docs/tomograms.md explains them. Beside it metrics.png, curve.png of score
volumes, and <tomogram>.png. Measure into <output>.partial, then rename."""

import typing

from ...contract import EvaluateSegmentationConfig, EvaluateSegmentationOutputs, write_json
from ...io.progress import ProgressBar
from ...running.runner import PROGRAM, Run, command
from ..evaluation.measure import (
    FeatureMeasures,
    ScoreCurve,
    Shared,
    boundary_metrics,
    measure_labelled_pair,
    misplaced,
    other_numbers,
)
from ..evaluation.pairs import LabelledPair, names_of_labels, paired_volumes, tomograms_to_draw, values_by_name
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
    calibration_error=("calibration error, scores taken as probabilities,", ""),
)


@command
def evaluate_segmentation(config: EvaluateSegmentationConfig, run: Run) -> EvaluateSegmentationOutputs:
    paired = paired_volumes(config, run)
    values = values_by_name(config, paired, run)
    pairs = [
        LabelledPair(name, found, labels, config.label, config.threshold, config.pixel_size, values)
        for name, found, labels in paired
    ]
    run.warn(*(note for pair in pairs for note in pair.notes))
    tomograms = tomograms_to_draw(config, pairs, run)
    measured = [measure_labelled_pair(pair) for pair in ProgressBar(pairs, unit="tomogram", mininterval=1.0)]
    labels = sorted({label for by_label, *_ in measured for label in by_label})
    if not labels:
        raise ValueError(
            f"Neither {pairs[0].segmentation} nor its labels contain a feature: all values are 0 or 255 (not "
            "annotated)."
        )
    if config.label is not None and not any(m[config.label].voxels["ground_truth"] for m, *_ in measured):
        raise ValueError(
            f"No label volume has the value {config.label} (--label) in its annotated part. Check the value, and "
            "that the labels belong to these tomograms."
        )
    names = names_of_labels(config, labels, values is not None, run)
    run.warn(*other_numbers(sum((shared for *_, shared in measured), Shared()), names, config.label is not None))
    run.warn(
        *(line for pair, (each, *_, shared) in zip(pairs, measured) for line in misplaced(pair, each, shared)),
        *(
            f"All annotated voxels of the labels {path} have the value {value}, and none is background: they tell of "
            "recall alone. Check the file; 0 is background, 255 what nobody annotated."
            for (_, _, path), (*_, shared) in zip(paired, measured)
            for value in {value for _, value in shared} - {0}
            if all(value == other for _, other in shared)
        ),
    )
    record, folder = _record(config, pairs, measured, names), run.folder(continues=False)
    write_json(folder / "evaluation.json", record)
    drawn = ["metrics"]
    draw_metrics(record["features"], folder / "metrics.png")
    if pairs[0].label is not None and next(iter(record["features"].values()))["average_precision"] is not None:
        draw_curve(_all_scores(measured), next(iter(names.values())), folder / "curve.png")
        drawn.append("curve")
    for pair, (_, slices, *_) in list(zip(pairs, measured))[:MAX_PICTURES]:
        if slices:
            draw_slices(pair, slices, names, folder / f"{pair.name}.png", tomograms.get(pair.name))
            drawn.append(pair.name)
    for name, row in record["features"].items():
        known = [
            f"{word} {row[key]:.{3 if row[key] < 10 else 0}f}{unit}"
            for key, (word, unit) in dict(SHOWN, **(OF_SCORES if record["threshold"] is not None else {})).items()
            if row[key] is not None
        ]
        run.summary(f"{name}: {', '.join(known) or 'nothing to compare'}.")
    run.summary(f"Metrics: {run.at('evaluation.json')}")
    dice = [f"{row['dice']:.3f} for {n}" for n, row in record["features"].items() if row["dice"] is not None]
    run.methods(
        f"The segmentation was compared with labels with {PROGRAM}; the Dice coefficient is "
        f"{', '.join(dice) or 'not defined'}."
    )
    return EvaluateSegmentationOutputs(
        evaluation=run.at("evaluation.json"),
        folder=str(config.output),
        features=record["features"],
        pictures={name: run.at(f"{name}.png") for name in drawn},
    )


def _record(
    config: EvaluateSegmentationConfig,
    pairs: typing.Sequence[LabelledPair],
    measured: typing.Sequence[typing.Any],
    names: typing.Mapping[int, str],
) -> dict[str, typing.Any]:
    features, tomograms = {}, {}
    for k, name in names.items():
        each = [(m[k], pair.pixel_size) for pair, (m, *_) in zip(pairs, measured) if k in m]
        total = sum((one for one, _ in each), FeatureMeasures()).metrics(1.0)
        features[name] = {"label": k, **total, **boundary_metrics((one.distances, size) for one, size in each)}
    for pair, (by_label, _, curve, _) in zip(pairs, measured):
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
    return sum((curve for _, _, curve, _ in measured), ScoreCurve())
