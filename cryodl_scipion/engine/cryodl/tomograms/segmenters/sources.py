# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of training examples: label volumes beside their tomograms, or a folder of annotations."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...contract import TrainSegmenterConfig
from ...contract.annotations import check_name
from ...io.tomograms import working_pixel_size
from ..annotations.label_volumes import Position, choose_negative, choose_positions, open_pairs
from .annotated_examples import examples_of_annotations
from .examples import TILE, Depth, Gathered, cut_example
from .label_tiles import find_tiles
from .working_scale import grey_statistics, working_sizes

if typing.TYPE_CHECKING:
    from ..annotations.label_volumes import LabelVolume
    from .method import SegmenterMethod

FEW = 20  # tiles without the feature, below which a network hardly learns what it does not look like


def gather(config: TrainSegmenterConfig, method: SegmenterMethod) -> Gathered:
    """Gathered of a TrainSegmenterConfig. Raises ValueError for inputs that do not fit, or from which nothing can be
    learnt."""
    gathered = _from_labels(config, method) if config.labels else examples_of_annotations(config, method)
    _check_kinds(gathered, config)
    return gathered


def _check_kinds(gathered: Gathered, config: TrainSegmenterConfig) -> None:
    source = config.annotations or "the label volumes"
    if not any(e.positive for e in gathered.examples):
        raise ValueError(
            f"There is no tile with the feature {gathered.feature} in {source}. Draw it on at least one "
            "tile; ten are better."
        )
    if not any(bool((e.labelled & (e.target < 0.5)).any()) for e in gathered.examples):
        raise ValueError(
            f"There are only annotations of {gathered.feature} itself in {source}, so the network cannot learn the "
            "background. Mark tiles without the feature; a hundred are recommended."
        )
    negative = sum(not e.positive for e in gathered.examples)
    if 0 < negative < FEW:
        gathered.warnings.append(
            f"There {'is' if negative == 1 else 'are'} only {negative} tile{'' if negative == 1 else 's'} without "
            f"{gathered.feature}. The network learns the background from them; at least {FEW} are needed, and a "
            "hundred are recommended."
        )
    if not negative:
        gathered.warnings.append(
            f"There are no tiles without {gathered.feature}: the network knows only the background of the drawn "
            "tiles and may find the feature elsewhere. Mark tiles without it."
        )


def _from_labels(config: TrainSegmenterConfig, method: SegmenterMethod) -> Gathered:
    feature, annotator = _checked_names(config)
    names, tomograms, volumes, warnings = open_pairs(config)
    sizes, said = zip(*[working_pixel_size(tomogram, config.pixel_size) for tomogram in tomograms])
    notes, label = [note for note in said if note], typing.cast("int", config.label)  # its check asks for one
    working, factors = working_sizes(sizes, config.working_pixel_size, notes)
    rng, found, seen = np.random.default_rng(config.seed), (list[Position](), list[Position]()), set[int]()
    for number, (volume, factor) in enumerate(zip(volumes, factors)):
        size, wanted = int(round(TILE / factor)), -(-config.tiles // len(volumes))
        *positions, values = find_tiles(volume, number, label, size, wanted, rng)
        seen |= values
        for kind, new in zip(found, positions):
            kind.extend(new)
    if not found[0]:
        raise ValueError(_nothing_found(config, volumes, seen))
    statistics = [grey_statistics(t, f) for t, f in zip(tomograms, factors)]
    examples, depth = [], Depth.of(method)
    for position in choose_positions(found[0], config.tiles, rng) + choose_negative(found[1], config.tiles, rng):
        n, size = position.volume, int(round(TILE / factors[position.volume]))
        centre = (position.z, position.corner_yx[0] + size // 2, position.corner_yx[1] + size // 2)
        read = lambda z, y, x, n=n: volumes[n].labels(z, y, x)
        examples.append(
            cut_example(tomograms[n], read, label, names[n], centre, size, statistics[n], factors[n], depth)
        )
    return Gathered(examples, feature, annotator, working, max(sizes), notes, warnings)


def _nothing_found(
    config: TrainSegmenterConfig, volumes: typing.Sequence[LabelVolume], seen: typing.Collection[int]
) -> str:
    values = ", ".join(str(v) for v in sorted(seen)[:20]) or "none"
    return (
        f"The value {config.label} (--label) is not in the label volumes "
        f"({volumes[0].path}{' ...' if len(volumes) > 1 else ''}); its values are {values}. Give the value of the "
        "feature."
    )


def _checked_names(config: TrainSegmenterConfig) -> tuple[str, str]:
    """Names of the feature, otherwise that of the model, and of the annotator. Raises ValueError for those that could
    not stand in the names of score volumes."""
    feature, annotator = config.feature or Path(config.output).name, config.annotator or "unknown"
    try:
        check_name(feature)
    except ValueError as error:
        raise ValueError(f"{error} Give the name with --feature.") from None
    check_name(annotator, "annotator")
    return feature, annotator
