# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl segment`: tomograms and models in, one volume of scores for each tomogram and feature out.

Finished volumes are not made again, and a stopped run continues in the middle of a tomogram, so that tomograms may
arrive in several runs.
Result.outputs are the contract's SegmentOutputs. Bad tomograms are in Result.skipped.
"""

from __future__ import annotations

import dataclasses
import math
import os
import typing
from pathlib import Path

from ...contract import (
    AllSkipped,
    Result,
    SegmentConfig,
    Skipped,
    counted,
    in_words,
    noise_in_words,
    read_card,
    said_skipped,
)
from ...contract.tomograms.segmenting import SegmentOutputs
from ...io.files import expand_paths, name_tomograms
from ...io.model import find_model
from ...io.tomograms import Tomogram, working_pixel_size
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ..segmenters.combine import CombinedFeature
    from ..segmenters.score_folder import Unfinished
    from ..segmenters.segmenter import Segmenter

NOISY = 0.001  # part of the tomogram that is called a feature, from which it is warned of as no more than in noise
DIFFERENT, TOO_DIFFERENT = 2.0, 8.0  # times the pixel size that a model learned at: warned of; refused


@dataclasses.dataclass(frozen=True)
class SegmentSource:
    """One tomogram to segment, and the pixel size to take for it (Å/px)."""

    name: str
    path: str
    tomogram: Tomogram
    pixel_size: float


def run(config: SegmentConfig) -> Result:
    """Write the scores of all tomograms that are not segmented yet."""
    from ..segmenters.combine import combined_features, compared_features
    from ..segmenters.score_folder import ScoreFolder

    named = name_tomograms(expand_paths(config.tomograms), config.names)
    folders = [find_model(model, "segmenter") for model in config.model]
    cards = [read_card(folder, "segmenter") for folder in folders]
    features = combined_features(cards, folders, config.annotators)
    settings = dict(_settings(config, cards), boundaries=[f.between and list(f.between) for f in features])
    scores = ScoreFolder(
        Path(config.output), features, compared_features(cards), settings, _described(features, folders)
    )
    skipped, notes = list[Skipped](), list[str]()
    sources = list(_sources(config, named, cards, skipped, notes))
    finished = {s.name: scores.finished(s.name, s.path, s.tomogram.shape, s.pixel_size) for s in sources}
    todo = [s for s in sources if not finished[s.name]]
    print(
        f"{counted(len(named), 'tomogram')}, {len(sources) - len(todo)} of them already segmented; features: "
        f"{', '.join(f.name for f in features)}."
    )
    for note in dict.fromkeys(notes):
        warn(note)
    device = _segment(todo, config, folders, scores, skipped, notes) if todo else "none: nothing was segmented"
    if len(skipped) == len(named):
        raise AllSkipped(
            f"None of the {counted(len(named), 'tomogram')} could be segmented. The first: {in_words(skipped[0])}"
        )
    notes += said_skipped(skipped, "tomogram")
    outputs = _outputs(scores, sources, {item.item for item in skipped}, folders)
    notes += list(_noisy(outputs["noise"]))
    print(f"Scores of {counted(len(outputs['files']), 'tomogram')}: {config.output}/<tomogram>__<feature>.mrc")
    return Result("segment", outputs, device=device, skipped=tuple(skipped), warnings=tuple(dict.fromkeys(notes)))


def _noisy(noise: typing.Mapping[str, typing.Mapping[str, typing.Any]]) -> typing.Iterator[str]:
    """Warnings of SegmentOutputs.noise."""
    for name, found in noise.items():
        for feature, parts in found.items():
            if NOISY < parts["tomogram"] <= 2 * parts["noise"]:
                yield noise_in_words(name, feature, parts)


def _settings(config: SegmentConfig, cards: typing.Sequence[typing.Mapping[str, typing.Any]]) -> dict[str, typing.Any]:
    """What decides the scores, for segment.json."""
    return dict(models=[card["weights_sha256"] for card in cards], scores=config.scores, annotators=config.annotators)


def _described(
    features: typing.Sequence[CombinedFeature], folders: typing.Sequence[str | os.PathLike[str]]
) -> list[dict[str, typing.Any]]:
    """Features for segment.json."""
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
    config: SegmentConfig,
    named: typing.Sequence[tuple[str, str]],
    cards: typing.Sequence[typing.Mapping[str, typing.Any]],
    skipped: list[Skipped],
    notes: list[str],
) -> typing.Iterator[typing.Any]:
    """The Sources that can be read; the others go to skipped, sentences about pixel sizes to notes."""
    learnt = [card.get("trained_pixel_size") or card["pixel_size"] for card in cards]
    for name, path in named:
        try:
            tomogram = Tomogram(path)
            pixel_size, note = working_pixel_size(tomogram, config.pixel_size, learnt[0])
            notes += [note] if note else []
            notes += _differences(tomogram, pixel_size, cards, learnt)
            if tomogram.shape[0] == 1:
                notes.append(
                    f"{path} has a single slice: it is an image, not a tomogram, and networks for several slices see "
                    "it repeated. Check the file; micrographs are for `cryodl pick`."
                )
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            print(f"Skipped {in_words(skipped[-1])}")
            continue
        yield SegmentSource(name, str(path), tomogram, pixel_size)


def _differences(
    tomogram: Tomogram,
    pixel_size: float,
    cards: typing.Sequence[typing.Mapping[str, typing.Any]],
    learnt: typing.Sequence[typing.Any],
) -> typing.Iterator[str]:
    """Sentences about models that learned at other pixel sizes. Raises ValueError for one that cannot serve."""
    from ..segmenters.working_scale import resampling_factor

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
            yield (
                f"Tomograms of {pixel_size:g} Å/px are resampled to {working:g} Å/px for the model {card['name']}; "
                "the scores are resampled back."
            )


def _segment(
    todo: typing.Sequence[typing.Any],
    config: SegmentConfig,
    folders: typing.Sequence[Path],
    scores: typing.Any,
    skipped: list[Skipped],
    notes: list[str],
) -> str:
    """Write the scores of one tomogram after the other. Returns the device in words."""
    from ...core.devices import choose_device, device_name, set_threads
    from ..segmenters import load_segmenter

    device = choose_device()
    set_threads()
    segmenters = [load_segmenter(folder, device) for folder in folders]
    print(f"Segmenting on {device_name(device)}.")
    for source in todo:
        unfinished = scores.unfinished(source.name, source.path, source.tomogram.shape, source.pixel_size)
        broken = False
        try:
            _segment_one(source, segmenters, unfinished, config, notes)
            unfinished.finish(source.path)
        except (ValueError, FileNotFoundError) as error:
            broken = True
            skipped.append(Skipped(source.name, source.path, str(error)))
            print(f"Skipped {in_words(skipped[-1])}")
        finally:
            unfinished.close(remove=broken)
    return device_name(device)


def _segment_one(
    source: typing.Any,
    segmenters: typing.Sequence[Segmenter],
    unfinished: Unfinished,
    config: SegmentConfig,
    notes: list[str],
) -> None:
    """All slices of a tomogram that are not done yet. unfinished: score_folder.Unfinished."""
    from tqdm import tqdm

    from ..segmenters.noise_control import noise_answers
    from ..segmenters.predict import TomogramScores

    slices = source.tomogram.shape[0]
    found = TomogramScores(source.tomogram, source.pixel_size, segmenters, config.memory)
    answers = noise_answers(found, unfinished.features)
    unfinished.noise = {feature.name: answers[feature.name].parts(feature.between) for feature in unfinished.features}
    for feature, parts in unfinished.noise.items():
        print(noise_in_words(source.name, feature, parts))
    if unfinished.slices:
        print(f"{source.name} continues at slice {unfinished.slices} of {slices}.")
    with tqdm(total=slices, initial=unfinished.slices, unit="slice", desc=source.name, mininterval=1.0) as bar:
        for start, stop, results in found.slabs(unfinished.slices):
            for z, models in results:
                _write_slice(z, models, unfinished, config.scores)
            unfinished.done(stop)
            bar.update(stop - start)
    notes += found.notes


def _write_slice(z: int, models: torch.Tensor, unfinished: Unfinished, kind: str) -> None:
    """Combine and write one slice. models: (models, y, x) float32 scores."""
    from ..segmenters.combine import combined_scores
    from ..segmenters.noise_control import lowered

    for feature in unfinished.features:
        values = combined_scores(models[list(feature.models)])[None]
        values = lowered(values, unfinished.noise[feature.name].get("raised", 0.0))
        if kind != "float32":
            values = values.half() if kind == "float16" else (100 * values).round().char()
        unfinished.write(z, feature, values.numpy())
    for feature in unfinished.compared:
        unfinished.agreements[feature.name].add(models[list(feature.models)], feature.thresholds)


def _outputs(
    scores: typing.Any,
    sources: typing.Sequence[typing.Any],
    bad: typing.Collection[str],
    folders: typing.Sequence[str | os.PathLike[str]],
) -> SegmentOutputs:
    """Result.outputs of the tomograms that are in the folder now."""
    record, good = scores.read(), [s for s in sources if s.name not in bad]
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
    """Metrics of the models of a feature over all voxels of some tomograms."""
    from ..segmenters.combine import Agreement

    parts = (Agreement.from_dict(entry["agreements"][feature.name]) for entry in entries)
    return sum(parts, Agreement.none(len(feature.models))).metrics(feature.annotators)
