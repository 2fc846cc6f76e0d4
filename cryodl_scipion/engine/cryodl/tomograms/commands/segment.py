# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl segment`: tomograms and models in, one volume of scores for each tomogram and feature out.

Finished volumes are not made again, and a stopped run continues in the middle of a tomogram, so that tomograms may
arrive in several runs. Write the scores of all tomograms that are not segmented yet.
"""

import dataclasses
import math
import os
import typing
from pathlib import Path

import torch

from ...contract import SegmentConfig, SegmentOutputs, counted, network_words, read_card
from ...io.files import expand_paths, name_tomograms
from ...io.memory import WORKING_MEMORY
from ...io.messages import Line
from ...io.model import find_model
from ...io.tomograms import Tomogram, working_pixel_size
from ...runner import PROGRAM, Run, command
from ..segmenters import load_segmenter
from ..segmenters.combine import Agreement, CombinedFeature, combined_features, combined_scores, compared_features
from ..segmenters.predict import TomogramScores, block_skewness, lowered, noise_answers
from ..segmenters.score_folder import ScoreFolder, Unfinished
from ..segmenters.slabs import Segmenter
from ..segmenters.working_scale import resampling_factor, turned_contrast

NOISY = 0.001  # part of the tomogram that is called a feature, from which it is warned of as no more than in noise
Card = typing.Mapping[str, typing.Any]
NAMED = 5  # tomograms whose answer to noise a summary lists
DIFFERENT, TOO_DIFFERENT = 2.0, 8.0  # times the pixel size that a model learned at: warned of; refused


@dataclasses.dataclass(frozen=True)
class SegmentSource:
    """One tomogram to segment, and the pixel size to take for it (Å/px)."""

    name: str
    path: str
    tomogram: Tomogram
    pixel_size: float


@command
def segment(config: SegmentConfig, run: Run) -> SegmentOutputs:
    named = name_tomograms(expand_paths(config.tomograms), config.names)
    folders = [find_model(model, "segmenter") for model in config.model]
    cards = [read_card(folder, "segmenter") for folder in folders]
    features = combined_features(cards, folders, config.annotators)
    settings = dict(_settings(config, cards), boundaries=[f.between and list(f.between) for f in features])
    scores = ScoreFolder(
        Path(config.output), features, compared_features(cards), settings, _described(features, folders)
    )
    sources = list(_sources(config, named, cards, run))
    finished = {s.name: scores.finished(s.name, s.path, s.tomogram.shape, s.pixel_size) for s in sources}
    todo = [s for s in sources if not finished[s.name]]
    print(
        f"{counted(len(named), 'tomogram')}, {len(sources) - len(todo)} of them already segmented; features: "
        f"{', '.join(f.name for f in features)}."
    )
    if todo:
        _segment(todo, config, folders, scores, run)
    run.require_some(named, "tomogram", "segmented")
    bad = {each.item for each in run.skipped}
    outputs = _outputs(scores, [s for s in sources if s.name not in bad], folders)
    run.warn(*_noisy(outputs.noise))
    _tell(outputs, cards, run)
    return outputs


def _tell(made: SegmentOutputs, cards: typing.Sequence[Card], run: Run) -> None:
    run.summary(
        f"{counted(len(made.files), 'tomogram')} segmented, {', '.join(made.features)}: "
        f"{made.scores}/<tomogram>__<feature>.mrc"
    )
    noisy = {name: parts for name, parts in sorted(made.noise.items()) if parts}
    for name, parts in list(noisy.items())[:NAMED]:
        worst = max(parts, key=lambda feature: parts[feature]["noise"])
        run.summary(_noise_in_words(name, worst, parts[worst]))
    if len(noisy) > NAMED:
        run.summary(f"... and {len(noisy) - NAMED} more tomograms.")
    by = " and ".join(
        f"{card['feature']} by {card['name']} ({network_words('segmenter', card['network'])})" for card in cards
    )
    run.methods(f"{counted(len(made.files), 'tomogram')} were segmented with {PROGRAM}: {by}.")


def _noisy(noise: typing.Mapping[str, typing.Mapping[str, typing.Any]]) -> typing.Iterator[str]:
    for name, found in noise.items():
        for feature, parts in found.items():
            if NOISY < parts["tomogram"] <= 2 * parts["noise"]:
                yield _noise_in_words(name, feature, parts)


def _percent(part: float) -> str:
    return "%.3g" % (100 * round(part, 6))


def _noise_in_words(tomogram: str, feature: str, parts: typing.Mapping[str, typing.Any]) -> str:
    """A sentence about the response of a model to noise. parts: entry of SegmentOutputs.noise."""
    words = (
        f"{tomogram}, {feature}: the model finds the feature in {_percent(parts['noise'])} % of noise with the "
        f"tomogram's spectrum, and in {_percent(parts['tomogram'])} % of the tomogram's blocks that the spectrum was "
        "measured on."
    )
    if parts.get("raised"):
        words += f" Its threshold is the model's score {parts['boundary']:.3g}, by the scores of this tomogram."
    if parts["tomogram"] <= 2 * parts["noise"]:
        words += " This is hardly more than noise gives: regard the feature as not found."
    return words


def _settings(config: SegmentConfig, cards: typing.Sequence[Card]) -> dict[str, typing.Any]:
    return dict(models=[card["weights_sha256"] for card in cards], scores=config.scores, annotators=config.annotators)


def _described(
    features: typing.Sequence[CombinedFeature], folders: typing.Sequence[str | os.PathLike[str]]
) -> list[dict[str, typing.Any]]:
    return [
        dict(
            name=f.name,
            threshold=f.threshold,
            annotators=list(f.annotators),
            model=str(folders[f.models[0]]),
            models=[str(folders[n]) for n in f.models],
        )
        for f in features
    ]


def _sources(
    config: SegmentConfig, named: typing.Sequence[tuple[str, str]], cards: typing.Sequence[Card], run: Run
) -> typing.Iterator[SegmentSource]:
    learnt = [card.get("trained_pixel_size") or card["pixel_size"] for card in cards]
    for name, path in named:
        with run.item(name, path):
            tomogram = Tomogram(path)
            pixel_size, note = working_pixel_size(tomogram, config.pixel_size, learnt[0])
            run.warn(*[note] if note else [], *_differences(tomogram, pixel_size, cards, learnt))
            if tomogram.shape[0] == 1:
                run.warn(
                    f"{path} has a single slice: it is an image, not a tomogram, and networks for several slices see "
                    "it repeated. Check the file; micrographs are for `cryodl pick`."
                )
            yield SegmentSource(name, str(path), tomogram, pixel_size)


def _differences(
    tomogram: Tomogram, pixel_size: float, cards: typing.Sequence[Card], learnt: typing.Sequence[typing.Any]
) -> typing.Iterator[str]:
    """Sentences about models that learned at other pixel sizes. Raises ValueError for one that cannot serve."""
    for card, trained in zip(cards, learnt):
        times, working = math.exp(abs(math.log(pixel_size / trained))), card["pixel_size"]
        if times > TOO_DIFFERENT:
            raise ValueError(
                f"{tomogram.path} has {pixel_size:g} Å/px; the model {card['name']} was trained at {trained:g} Å/px. "
                "The difference is too large. Check the pixel size (--pixel-size), or bin the tomogram."
            )
        if times > DIFFERENT:
            yield (
                f"The model {card['name']} was trained on tomograms of {trained:g} Å/px, but some have "
                f"{pixel_size:g} Å/px, and it may not find features at that resolution. Check the result, or train "
                "on such tomograms."
            )
        if resampling_factor(pixel_size, working) != 1.0:
            yield Line(
                f"Tomograms of {pixel_size:g} Å/px are resampled to {working:g} Å/px for the model {card['name']}; "
                "the scores are resampled back."
            )


def _segment(
    todo: typing.Sequence[SegmentSource],
    config: SegmentConfig,
    folders: typing.Sequence[Path],
    scores: ScoreFolder,
    run: Run,
) -> None:
    segmenters = [load_segmenter(folder, run.device) for folder in folders]
    print(f"Segmenting on {run.device_name}.")
    for source in todo:
        unfinished = scores.unfinished(source.name, source.path, source.tomogram.shape, source.pixel_size)
        before = len(run.skipped)
        try:
            with run.item(source.name, source.path):
                _segment_one(source, segmenters, unfinished, config, run)
                unfinished.finish(source.path)
        finally:
            unfinished.close(remove=len(run.skipped) > before)


def _segment_one(
    source: SegmentSource,
    segmenters: typing.Sequence[Segmenter],
    unfinished: Unfinished,
    config: SegmentConfig,
    run: Run,
) -> None:
    slices = source.tomogram.shape[0]
    found = TomogramScores(source.tomogram, source.pixel_size, segmenters, WORKING_MEMORY)
    answers = noise_answers(found, unfinished.features)
    skew = block_skewness(found)
    for card in (segmenter.card for segmenter in segmenters):
        run.warn(*turned_contrast(source.path, card["name"], skew, card.get("skew")))
    unfinished.noise = {feature.name: answers[feature.name].parts(feature.between) for feature in unfinished.features}
    if unfinished.slices:
        print(f"{source.name} continues at slice {unfinished.slices} of {slices}.")
    with run.progress(slices, "slice", unfinished.slices, source.name) as bar:
        for start, stop, results in found.slabs(unfinished.slices):
            for z, models in results:
                _write_slice(z, models, unfinished, config.scores)
            unfinished.done(stop)
            bar.update(stop - start)
    run.warn(*found.notes)


def _write_slice(z: int, models: torch.Tensor, unfinished: Unfinished, kind: str) -> None:
    """Combine and write one slice. models: (models, y, x) float32 scores."""
    for feature in unfinished.features:
        values = combined_scores(models[list(feature.models)])[None]
        values = lowered(values, unfinished.noise[feature.name].get("raised", 0.0))
        if kind != "float32":
            values = values.half() if kind == "float16" else (100 * values).round().char()
        unfinished.write(z, feature, values.numpy())
    for feature in unfinished.compared:
        unfinished.agreements[feature.name].add(models[list(feature.models)], feature.thresholds)


def _outputs(
    scores: ScoreFolder, good: typing.Sequence[SegmentSource], folders: typing.Sequence[str | os.PathLike[str]]
) -> SegmentOutputs:
    record = scores.read()
    entries = {s.name: record["tomograms"][s.name] for s in good}
    return SegmentOutputs(
        scores=str(scores.folder),
        features=[f.name for f in scores.features],
        files={
            name: {feature: os.path.join(scores.folder, file) for feature, file in entry["files"].items()}
            for name, entry in entries.items()
        },
        thresholds={f.name: f.threshold for f in scores.features},
        pixel_size=good[0].pixel_size,
        pixel_sizes={s.name: s.pixel_size for s in good},
        models={f.name: [str(folders[n]) for n in f.models] for f in scores.features},
        agreement={f.name: _agreement(f, list(entries.values())) for f in scores.compared},
        noise={name: entry.get("noise", {}) for name, entry in entries.items()},
    )


def _agreement(feature: CombinedFeature, entries: typing.Sequence[dict[str, typing.Any]]) -> dict[str, typing.Any]:
    parts = (Agreement.from_dict(entry["agreements"][feature.name]) for entry in entries)
    return sum(parts, Agreement.none(len(feature.models))).metrics(feature.annotators)
