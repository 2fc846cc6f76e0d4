# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl segment`: tomograms and models in, one volume of scores for each tomogram and feature out.

Finished volumes are not made again, and a stopped run continues in the middle of a tomogram, so that tomograms may
arrive in several runs."""

import dataclasses
import math
import typing
from pathlib import Path

from ...contract import SegmentConfig, SegmentOutputs, counted, network_words, read_card, span
from ...io import files, memory, messages, tomograms
from ...io.model import find_model
from ...running.runner import PROGRAM, Run, command
from ..features.scores import noise_notes
from ..features.volumes import opened
from ..segmenters import combine, load_segmenter, predict, score_folder, slabs, working_scale

Card = typing.Mapping[str, typing.Any]
SMALL = 0.65  # GB of working memory for a slice of 1000 x 1000; more is no quicker there
DIFFERENT, TOO_DIFFERENT = 2.0, 8.0  # times the pixel size that a model learned at: warned of; refused


@dataclasses.dataclass(frozen=True)
class SegmentSource:
    """One tomogram to segment, and the pixel size to take for it (Å/px)."""

    name: str
    tomogram: tomograms.Tomogram
    pixel_size: float


@command
def segment(config: SegmentConfig, run: Run) -> SegmentOutputs:
    named = files.name_tomograms(files.expand_paths(config.tomograms, config.names), config.names)
    folders = [find_model(model, "segmenter") for model in config.model]
    cards = [read_card(folder, "segmenter") for folder in folders]
    features = combine.combined_features(cards, folders, config.annotators)
    compared = tuple(feature for feature in combine.by_feature(cards) if len(feature.models) > 1)
    settings = dict(
        models=[card["weights_sha256"] for card in cards],
        scores=config.scores,
        annotators=config.annotators,
        boundaries=[f.rule and [*f.rule, *map(list, predict.PLACES)] for f in features],
    )
    models = {f.name: [str(folders[n]) for n in f.models] for f in features}
    described = [
        dict(name=f.name, threshold=f.threshold, annotators=[*f.annotators], model=found[0], models=found)
        for f, found in zip(features, models.values(), strict=True)
    ]
    scores = score_folder.ScoreFolder(Path(config.output), features, compared, settings, described)
    scores.forget_changed(named)
    sources = list(_sources(config, named, cards, run))
    finished = {s.name: scores.finished(s.name, s.tomogram.path, s.tomogram.shape, s.pixel_size) for s in sources}
    todo = [s for s in sources if not finished[s.name]]
    print(
        f"{counted(len(named), 'tomogram')}, {len(sources) - len(todo)} of them already segmented; features: "
        f"{', '.join(f.name for f in features)}."
    )
    if todo:
        segmenters = [load_segmenter(folder, run.device) for folder in folders]
        print(f"Segmenting on {run.device_name}.")
        for source in todo:
            unfinished = scores.unfinished(source.name, source.tomogram.path, source.tomogram.shape, source.pixel_size)
            before = len(run.skipped)
            try:
                with run.item(source.name, source.tomogram.path):
                    _segment_one(source, segmenters, unfinished, config, run)
                    unfinished.finish(source.tomogram.path)
            finally:
                unfinished.close(remove=len(run.skipped) > before)
    run.require_some(named, "tomogram", "segmented")
    bad = {each.item for each in run.skipped}
    record, good = scores.read()["tomograms"], [s for s in sources if s.name not in bad]
    agreements = {
        f.name: sum(
            (combine.Agreement.from_dict(record[s.name]["agreements"][f.name]) for s in good),
            combine.Agreement.none(len(f.models)),
        )
        for f in compared
    }
    outputs = SegmentOutputs(
        scores=str(scores.folder),
        features=[f.name for f in features],
        files={s.name: {f: run.at(file) for f, file in record[s.name]["files"].items()} for s in good},
        thresholds={f.name: f.threshold for f in features},
        pixel_size=good[0].pixel_size,
        pixel_sizes={s.name: s.pixel_size for s in good},
        models=models,
        agreement={f.name: agreements[f.name].metrics(f.annotators) for f in compared},
        noise={s.name: record[s.name].get("noise", {}) for s in good},
    )
    _tell(outputs, cards, run)
    return outputs


def _tell(made: SegmentOutputs, cards: typing.Sequence[Card], run: Run) -> None:
    run.summary(f"Tomograms segmented, {', '.join(made.features)}: {made.scores}/<tomogram>__<feature>.mrc")
    for feature in made.features:
        found = [parts[feature] for parts in made.noise.values() if feature in parts]
        spread = lambda key, unit, found=found: span(unit * round(p[key], 6) for p in found if key in p)
        if found:
            run.summary(
                f"{feature}: {spread('tomogram', 100)} % of the voxels of the blocks that were compared, and "
                f"{spread('noise', 100)} % of noise with the same spectrum"
                + (
                    f"; threshold, by the tomogram's scores: the model's {spread('boundary', 1)}."
                    if any("boundary" in parts for parts in found)
                    else "."
                )
            )
        run.warn(*noise_notes(feature, made.noise))
    by = " and ".join(
        f"{card['feature']} by {card['name']} ({network_words('segmenter', card['network'])})" for card in cards
    )
    run.methods(f"Tomograms were segmented with {PROGRAM}: {by}.")


def _sources(
    config: SegmentConfig, named: typing.Sequence[tuple[str, str]], cards: typing.Sequence[Card], run: Run
) -> typing.Iterator[SegmentSource]:
    learnt = [card.get("trained_pixel_size") or card["pixel_size"] for card in cards]
    for name, path in named:
        with run.item(name, path):
            tomogram, pixel_size = opened(path, config.pixel_size, run)
            run.warn(*_differences(tomogram, pixel_size, cards, learnt))
            if tomogram.shape[0] == 1:
                run.warn(
                    f"{path} has a single slice: it is an image, not a tomogram, and networks for several slices see "
                    "it repeated. Check the file; micrographs are for `cryodl pick`."
                )
            yield SegmentSource(name, tomogram, pixel_size)


def _differences(
    tomogram: tomograms.Tomogram, pixel_size: float, cards: typing.Sequence[Card], learnt: typing.Sequence[typing.Any]
) -> typing.Iterator[str]:
    """Sentences about models that learned at other pixel sizes. Raises ValueError for one that cannot serve."""
    for card, trained in zip(cards, learnt):
        if working_scale.trained_elsewhere(tomogram.path, pixel_size, card["name"], trained, DIFFERENT, TOO_DIFFERENT):
            yield (
                f"The model {card['name']} was trained on tomograms of {trained:g} Å/px, but some have "
                f"{pixel_size:g} Å/px, and it may not find features at that resolution. Check the result, or train "
                "on such tomograms."
            )
        if working_scale.resampling_factor(pixel_size, card["pixel_size"]) != 1.0:
            yield messages.Line(
                f"Tomograms of {pixel_size:g} Å/px are resampled to {card['pixel_size']:g} Å/px, and their scores back."
            )


def _segment_one(
    source: SegmentSource,
    segmenters: typing.Sequence[slabs.Segmenter],
    unfinished: score_folder.Unfinished,
    config: SegmentConfig,
    run: Run,
) -> None:
    slices = source.tomogram.shape[0]
    room = min(memory.WORKING_MEMORY, SMALL * max(1.0, math.prod(source.tomogram.shape[1:]) / 1e6))
    found = predict.TomogramScores(source.tomogram, source.pixel_size, segmenters, room)
    answers, skew = predict.noise_answers(found, unfinished.features), predict.block_skewness(found)
    for card in (segmenter.card for segmenter in segmenters):
        run.warn(*working_scale.turned_contrast(source.tomogram.path, card["name"], skew, card.get("skew")))
    unfinished.noise = {feature.name: answers[feature.name].parts(feature.rule) for feature in unfinished.features}
    if unfinished.slices:
        print(f"{source.name} continues at slice {unfinished.slices} of {slices}.")
    with run.progress(slices, "slice", unfinished.slices, source.name) as bar:
        for start, stop, results in found.slabs(unfinished.slices):
            for z, models in results:  # (models, y, x) float32 scores
                for feature in unfinished.features:
                    values = combine.combined_scores(models[list(feature.models)])[None]
                    values = predict.lowered(values, unfinished.noise[feature.name].get("raised", 0.0))
                    if config.scores != "float32":
                        values = values.half() if config.scores == "float16" else (100 * values).round().char()
                    unfinished.write(z, feature, values.numpy())
                for feature in unfinished.compared:
                    unfinished.agreements[feature.name].add(models[list(feature.models)], feature.thresholds)
            unfinished.done(stop)
            bar.update(stop - start)
    run.warn(*found.notes)
