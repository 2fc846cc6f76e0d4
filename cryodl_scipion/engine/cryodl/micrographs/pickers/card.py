# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a picker: calibration, default threshold, and warnings about the training."""

import typing
from pathlib import Path

import numpy as np

from ...contract import TrainPickerConfig, counted, network_words, score_text
from ...core.calibration import best_threshold, calibrate, fit_calibration, logit
from ...core.matching import score_matched
from ...learning.recipe import TrainingRun
from ...running.runner import PROGRAM
from .corrected_calibration import MINIMUM, fit_corrected_calibration, fit_ranked_calibration, fit_sparse_calibration
from .fill_in import FilledIn
from .labels import Labels
from .train import FEW_PARTICLES, Hits, PickerTask

# Where only boxes are labelled: a little under the middle. F1 is largest at half its own value (Lipton et al. 2014),
# which is below one half.
BOX_THRESHOLD = 0.42
RANKS = 5  # held-back boxes that tell a threshold by where they rank
_LABELS = {"complete": "complete labels", "boxes": "labelled boxes only", "sparse": "sparse labels"}
GAIN = 1.25  # by which crops differ in contrast as they teach, and by which a micrograph may exceed those that taught
UNCERTAIN = 0.1  # of a threshold: F1 is then lost on other micrographs
REPEATS = 40  # of the bootstrap; the standard deviation of so many is known to 11 %
MIN_GROUPS = 5  # micrographs below which the bootstrap draws candidates instead


def model_card(
    config: TrainPickerConfig,
    filled: FilledIn,
    split: tuple[list[Labels], list[Labels]],
    task: PickerTask,
    run: TrainingRun,
    held: Hits | None = None,
) -> dict[str, typing.Any]:
    """The model card: all that picking and a reader need to know. filled: FilledIn. split: training and validation
    entries of split_items. task and run: after training. held: hits on clicks that were held back in turn, where no
    images are held out."""
    by_micrograph = [held] if held else [task.hits([item]) for item in task.validation]
    calibration, threshold, uncertainty = calibrate_model(task, by_micrograph)
    names = lambda part: [name for name, *_ in part]
    count = lambda images, field: sum(len(getattr(im, field)) for im in images)
    training = dict(
        micrographs=names(split[0]),
        validation_micrographs=names(split[1]),
        particles=count(task.training, "positives"),
        validation_particles=count(task.validation, "positives"),
        background_boxes=count(filled.images, "negatives"),
        contamination_boxes=count(filled.images, "contamination"),
        **run.record(),
    )
    if unconfirmed := count(task.training, "positives") - count(task.training, "certain"):
        training["unconfirmed_picks"] = unconfirmed
    if task.labels == "sparse":
        training["expected_particles"] = round(float(np.mean([im.expected for im in filled.images])), 1)
    gains = [task.method.gain(image) for image in task.training if task.labels == "boxes" and run.report]
    return dict(
        kind="picker",
        name=Path(config.output).name,
        network=config.network,
        contrast=filled.contrast,
        labels=task.labels,
        particle_diameter=config.particle_diameter,
        pixel_sizes=[config.pixel_size],
        threshold=threshold,
        threshold_uncertainty=uncertainty,
        calibration=list(calibration),
        minimum_distance=task.minimum_distance,
        picking_scales=list(task.scales),
        **({"gains": [min(gains) / GAIN, max(gains) * GAIN]} if gains else {}),
        training=training,
        validation=card_validation(merge(by_micrograph), calibration, threshold),
    )


def card_validation(hits: Hits, calibration: tuple[float, float], threshold: float) -> dict[str, typing.Any]:
    """What a card says of a validation. calibration: (slope, offset) of the raw scores. threshold: calibrated."""
    found = score_matched(hits.hit, calibrate(hits.raw, calibration), hits.reference, threshold)
    return {k: getattr(found, k) for k in ("f1", "precision", "recall", "average_precision", "threshold", "reference")}


def merge(parts: typing.Sequence[Hits]) -> Hits:
    """One Hits of several."""
    return Hits(
        np.concatenate([p.hit for p in parts]), np.concatenate([p.raw for p in parts]), sum(p.reference for p in parts)
    )


def calibrate_model(task: PickerTask, by_micrograph: typing.Sequence[Hits]) -> tuple[tuple[float, float], float, float]:
    """(slope, offset) of the scores, the default threshold, and the threshold's uncertainty (one standard deviation).
    task: PickerTask. by_micrograph: Hits of each validation micrograph. With complete and with sparse labels all comes
    from the validation part. With boxes only, the few held-out ones say little: all labelled boxes give the curve, as
    if particles and background were equally frequent; or, where picks of a machine were corrected or boxes were held
    back in turn, all candidates of these micrographs (corrected_calibration.py). The uncertainty is that of a bootstrap
    over validation micrographs, over candidates where there are few micrographs, or over the held-back boxes: how far
    curve and threshold move the cut between picks and the rest, told on the scale of the model's scores."""
    if task.labels == "boxes":
        seen, known = [*task.training, *task.validation], np.array(by_micrograph[0].ranks if by_micrograph else ())
        # networks that miss most of what is held back say nothing of where it ranks
        ranked = np.isfinite(known).sum() >= max(RANKS, len(known) / 2)
        found = task.corrected_candidates(seen if ranked or any(len(image.machine) for image in seen) else [])
        if found.left.sum() >= MINIMUM and any(len(image.positives) > len(image.certain) for image in seen):
            of = lambda some: _with_threshold(*fit_corrected_calibration(some), some.raw)
            calibration, threshold = of(found)
            return calibration, threshold, _uncertainty(lambda rng: of(found.drawn(rng)), calibration)
        boxes = task.box_hits(seen)
        fit = lambda hits: (fit_calibration(hits.hit, hits.raw, fraction=0.5), BOX_THRESHOLD)
        if ranked and len(found.raw):
            (slope, offset), level = fit(boxes)
            cut = (logit(np.asarray(level)) - offset) / slope
            by = lambda ranks, *counts: fit_ranked_calibration(found, ranks, cut, counts)
            calibration, threshold = by(known, *by_micrograph[0].counts)
            return calibration, threshold, _uncertainty(lambda rng: by(rng.choice(known, len(known))), calibration)
        by_micrograph = [boxes]
    elif task.labels == "sparse":
        fraction = sum(im.expected or 0.0 for im in task.validation) / max(
            1, sum(len(im.positives) for im in task.validation)
        )
        # particles that there are, labelled or not, are so many times the labelled ones
        fit = lambda h: _with_threshold(fit_sparse_calibration(h.hit, h.raw, fraction), fraction * h.reference, h.raw)
    else:
        fit = lambda hits: _with_threshold(fit_calibration(hits.hit, hits.raw), hits.reference, hits.raw)
    calibration, threshold = fit(merge(by_micrograph))
    if not sum(len(p.raw) for p in by_micrograph):
        return calibration, threshold, 0.0
    return calibration, threshold, _uncertainty(lambda rng: fit(_drawn(by_micrograph, rng)), calibration)


def _with_threshold(calibration: tuple[float, float], number: float, raw: np.ndarray) -> typing.Any:
    return calibration, best_threshold(calibrate(raw, calibration), number)


def _uncertainty(
    refit: typing.Callable[[np.random.Generator], tuple[tuple[float, float], float]], calibration: tuple[float, float]
) -> float:
    """Standard deviation of the cut over drawn samples, on the scale of the calibrated scores. refit: gives ((slope,
    offset), threshold) of a drawn sample."""
    rng, cuts = np.random.default_rng(0), []
    for _ in range(REPEATS):
        (slope, offset), threshold = refit(rng)
        raw = 1 / (1 + np.exp(-(logit(np.asarray(threshold)) - offset) / slope))  # the cut, as the network scores
        cuts.append(float(calibrate(raw, calibration)))
    return round(float(np.std(cuts)), 4)


def _drawn(parts: typing.Sequence[Hits], rng: np.random.Generator) -> Hits:
    if len(parts) >= MIN_GROUPS:
        return merge([parts[i] for i in rng.integers(len(parts), size=len(parts))])
    whole = merge(parts)
    chosen = rng.integers(len(whole.raw), size=len(whole.raw))
    missed = whole.reference - int(whole.hit.sum())  # labelled particles that are no candidate stay missed
    return Hits(whole.hit[chosen], whole.raw[chosen], missed + int(whole.hit[chosen].sum()))


def training_summary(card: typing.Mapping[str, typing.Any]) -> list[str]:
    """A trained model in the lines of a summary."""
    training, validation = card["training"], card["validation"]
    doubt = card["threshold_uncertainty"]
    told = f"threshold {score_text(card['threshold'])}" + f" ± {doubt:.2g}" * (doubt > 0)
    told += " (uncertain: label another micrograph)." if doubt >= UNCERTAIN else "."
    if card["labels"] == "boxes":  # 0.68 to 0.93 was promised by them where 0.48 to 0.63 was true
        told = f"Default {told} The held-out boxes are too few to tell precision or recall."
    else:
        told = (
            f"On the validation micrographs: F1 {validation['f1']:.3f}, average precision "
            f"{validation['average_precision']:.3f}, at {told}"
        )
    return [
        f"Model {card['name']} for particles of {card['particle_diameter']:.4g} Å, network {card['network']}.",
        f"Trained on {counted(training['particles'], 'particle')} of "
        f"{counted(len(training['micrographs']), 'micrograph')}, {len(training['validation_micrographs'])} more for "
        f"validation; {_LABELS[card['labels']]}, protein {card['contrast']}; {counted(training['steps'], 'step')}, "
        f"stopped: {training['stop_reason']}.",
        told,
    ]


def training_in_words(card: typing.Mapping[str, typing.Any]) -> str:
    """Methods of a training."""
    training, validation = card["training"], card["validation"]
    judged = ""
    if card["labels"] != "boxes":
        judged = (
            f"; on {counted(len(training['validation_micrographs']), 'micrograph')} held out for validation its F1 was "
            f"{validation['f1']:.3f} and its average precision {validation['average_precision']:.3f}, at a score "
            f"threshold of {score_text(card['threshold'])}"
        )
    return (
        f"The model {card['name']} for particles of {card['particle_diameter']:.4g} Å, "
        f"{network_words('picker', card['network'])}, was trained on {counted(training['particles'], 'particle')} of "
        f"{counted(len(training['micrographs']), 'micrograph')} with {PROGRAM} in "
        f"{counted(training['steps'], 'step')}, from {_LABELS[card['labels']]}{judged}."
    )


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    metrics, training = card["validation"], card["training"]
    learnt = metrics["f1"] if card["labels"] != "sparse" else metrics["recall"]
    if metrics["reference"] < FEW_PARTICLES:
        yield (
            f"Only {metrics['reference']} particles were held out for validation, so its metrics and the default "
            "threshold are uncertain. Check the picks before you trust the threshold."
        )
    elif learnt < 0.3 and not training.get("held_back"):  # that has told how well they are found
        yield (
            f"The {'recall' if card['labels'] == 'sparse' else 'F1'} on the validation data is only {learnt:.2f}: "
            "the network has not learnt these particles. Check that coordinates, pixel size and particle diameter "
            f"belong to these micrographs, and that protein is {card['contrast']}."
        )
    if card["labels"] == "sparse":
        yield (
            "Labels are sparse: F1 and precision on the validation data count unlabelled particles as false picks "
            "and are too low. Recall is correct."
        )
    if training["particles"] < FEW_PARTICLES:
        yield (
            f"There are only {training['particles']} particles to learn from. Compare the picks with those of the "
            "general model, which may be better."
        )
    if training.get("unconfirmed_picks"):
        yield (
            f"{training['unconfirmed_picks']} of the {training['particles']} training particles are picks that were "
            "neither confirmed nor removed on corrected micrographs. They count as right, in the metrics of the "
            "validation, too: remove wrong ones."
        )
    if set(training["micrographs"]) & set(training["validation_micrographs"]):
        yield "Only one micrograph has labelled particles; validation uses a part of it."
