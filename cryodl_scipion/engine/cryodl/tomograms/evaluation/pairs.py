# SPDX-License-Identifier: GPL-3.0-or-later
"""A segmentation and the labels that it is compared with."""

import os
import typing

import numpy as np

from ...contract import EvaluateSegmentationConfig
from ...io.files import expand_paths, name_micrographs, name_tomograms, pair_by_name
from ...io.tomograms import Tomogram, sides_of, working_pixel_size
from ...running.runner import Run
from ..annotations.label_volumes import LabelVolume, elsewhere
from ..features.scores import as_probabilities, feature_names, labels_in


class LabelledPair:
    """name: of the tomogram. segmentation, labels: paths. label: value of the feature in the labels where the
    segmentation holds scores, or None. threshold: minimum score. pixel_size: Å/px, None for the headers'. values:
    {value in a label volume that is judged: that of the same feature in the labels, 0 for none}; others stay. shape:
    (z, y, x). notes: sentences for the user. Raises ValueError if shapes differ, or without a pixel size."""

    def __init__(
        self,
        name: str,
        segmentation: str | os.PathLike[str],
        labels: str | os.PathLike[str],
        label: int | None,
        threshold: float,
        pixel_size: float | None = None,
        values: typing.Mapping[int, int] | None = None,
    ) -> None:
        self.name, self.segmentation, self.label, self._threshold = name, segmentation, label, threshold
        self._values = {mine: theirs for mine, theirs in (values or {}).items() if mine != theirs}
        found, ground_truth = Tomogram(segmentation), Tomogram(labels)
        if found.shape != ground_truth.shape:
            raise ValueError(
                f"The segmentation {segmentation} has {sides_of(found.shape)} voxels (x, y, z), its labels {labels} "
                f"have {sides_of(ground_truth.shape)}. They are paired by their names, or else in sorted order; check "
                "both, or resample the labels."
            )
        self.shape = found.shape
        self.pixel_size, note = working_pixel_size(found, pixel_size, ground_truth.pixel_size)
        self._ground_truth = LabelVolume(labels, found)
        self.notes = note, working_pixel_size(ground_truth, self.pixel_size)[1], elsewhere(self._ground_truth, found)
        self._found = (
            found
            if label is not None
            else LabelVolume(
                segmentation,
                ground_truth,
                "If it contains scores, give the value of the feature in the labels (--label).",
            )
        )

    def read(self, *ranges: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(found, truth, scores) of the places given as in Tomogram.raw: int32 labels, UNANNOTATED in the truth where
        nobody knows; scores are float32, None for label volumes."""
        ground_truth = self._ground_truth.labels(*ranges)
        if self.label is None:
            found = self._found.labels(*ranges)
            renumbered = found.copy()
            for mine, theirs in self._values.items():
                renumbered[found == mine] = theirs
            return renumbered, ground_truth, None
        scores = as_probabilities(typing.cast("Tomogram", self._found).raw(*ranges), self.segmentation)
        return np.where(scores >= self._threshold, np.int32(self.label), np.int32(0)), ground_truth, scores


def same_names(mine: typing.Mapping[int, str], theirs: typing.Mapping[int, str]) -> dict[int, int] | None:
    """{value in the segmentation: value of the same feature in the labels, 0 for none} of two {value: name}; None if
    they have no name in common, or if one of them has a name twice. A feature is the same if its name is, or if its
    value is and neither name is known to the other side: one says ribosome, the other 70S."""
    values = {name: value for value, name in theirs.items()}
    if not set(mine.values()) & set(values) or any(len(set(n.values())) < len(n) for n in (mine, theirs)):
        return None
    # a value that only the labels name is not that feature in the segmentation
    return {
        **dict.fromkeys(theirs, 0),
        **{value: values.get(name, value if renamed(value, mine, theirs) else 0) for value, name in mine.items()},
    }


def renamed(value: int, mine: typing.Mapping[int, str], theirs: typing.Mapping[int, str]) -> bool:
    """Whether a value is named on both sides of two {value: name}, each time as the other side names nothing, and all
    names that both sides have are of equal values."""
    ours, others = set(mine.values()), set(theirs.values())
    alike = all(theirs.get(k) == name for k, name in mine.items() if name in others)
    return alike and value in mine and value in theirs and mine[value] not in others and theirs[value] not in ours


def refuse_labels(path: str | os.PathLike[str]) -> list[str]:
    """Sentences, in a list, for a volume that should hold scores and may be a label volume. Raises ValueError if it is
    one by a features.json."""
    found = labels_in(path)
    if found is None:
        return []
    names, values = found
    if names:
        raise ValueError(
            f"{path} is a label volume: it contains only values of the features.json beside it "
            f"({', '.join(f'{k} {name}' for k, name in names.items())}). --label is for score volumes. These are "
            "label volumes; leave out --label."
        )
    return [
        f"{path} contains only 0 and whole numbers up to {values[-1]}: as scores (in hundredths), none would be "
        f"above {values[-1] / 100:g}. If it is a label volume, leave out --label."
    ]


def paired_volumes(config: EvaluateSegmentationConfig, run: Run) -> list[tuple[str, str, str]]:
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
    if len(mine) != len(theirs):
        raise ValueError(
            f"There are {len(mine)} segmentations (--segmentations) and {len(theirs)} {what} ({option}). "
            f"Give {way_out}."
        )
    sides = (("segmentations", "--segmentations"), (what, option))
    positions, warning = pair_by_name(mine, [name for name, _ in theirs], *sides)
    run.warn(*[warning] if warning else [])
    return positions


def tomograms_to_draw(
    config: EvaluateSegmentationConfig, pairs: typing.Sequence[LabelledPair], run: Run
) -> dict[str, Tomogram]:
    """{name of a pair: Tomogram} to draw, {} if there are none."""
    if not config.tomograms:
        return {}
    named, names = name_tomograms(expand_paths(config.tomograms)), [pair.name for pair in pairs]
    positions = _positions(names, named, "tomograms", "--tomograms", "one tomogram for each, or none", run)
    found = {pair.name: Tomogram(named[position][1]) for pair, position in zip(pairs, positions)}
    for pair in pairs:
        if found[pair.name].shape != pair.shape:
            raise ValueError(
                f"The tomogram {found[pair.name].path} has {sides_of(found[pair.name].shape)} voxels (x, y, z), the "
                f"segmentation {pair.segmentation} {sides_of(pair.shape)}. Give the tomogram that was segmented, or "
                "none."
            )
    return found


def values_by_name(
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
    return [feature_names(expand_paths(files)[0]) for files in (config.segmentations, config.labels)]


def names_of_labels(
    config: EvaluateSegmentationConfig, labels: typing.Sequence[int], by_name: bool, run: Run
) -> dict[int, str]:
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
    run.warn(
        *(
            f"The value {k} is called {mine[k]} in the segmentations and {theirs[k]} in the labels (features.json); "
            "equal values are compared, whatever their names."
            for k in labels
            if mine.get(k, theirs.get(k)) != theirs.get(k, mine.get(k))
        )
    )
    names = {k: mine.get(k) or theirs.get(k) or str(k) for k in labels}
    often = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {k: f"{name} ({k})" if name in often else name for k, name in names.items()}
