# SPDX-License-Identifier: GPL-3.0-or-later
"""A segmentation and the labels that it is compared with."""

import itertools
import json
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import UNANNOTATED
from ...io.tomograms import Tomogram, working_pixel_size
from ..annotations.label_volumes import LabelVolume
from ..features.scores import as_probabilities, is_listed

SLAB = 16  # slices that are looked at together
MAX_LABELS = 20  # different values that are taken for labels where nothing names them


class LabelledPair:
    """name: of the tomogram. segmentation, labels: paths. label: value of the feature in the labels where the
    segmentation holds scores, or None. threshold: minimum score. pixel_size: Å/px, None for the headers'. values:
    {value in a label volume that is judged: that of the same feature in the labels, 0 for none}; others stay.

    shape: (z, y, x). note: a sentence for the user, or "". Raises ValueError if shapes differ, or if there is no pixel
    size.
    """

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
            sizes = [" x ".join(str(n) for n in reversed(volume.shape)) for volume in (found, ground_truth)]
            raise ValueError(
                f"The segmentation {segmentation} has {sizes[0]} voxels (x, y, z), its labels {labels} "
                f"have {sizes[1]}. They are paired by their names, or else in sorted order; check both, "
                "or resample the labels."
            )
        self.shape = found.shape
        self.pixel_size, self.note = working_pixel_size(found, pixel_size, ground_truth.pixel_size)
        if self.note and found.pixel_size is None:
            self.note = f"The header of {segmentation} has no pixel size; that of its labels is used."
        self._ground_truth = LabelVolume(labels, found)
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
            return self._renumbered(self._found.labels(*ranges)), ground_truth, None
        scores = as_probabilities(typing.cast("Tomogram", self._found).raw(*ranges), self.segmentation)
        return np.where(scores >= self._threshold, np.int32(self.label), np.int32(0)), ground_truth, scores

    def _renumbered(self, found: np.ndarray) -> np.ndarray:
        result = found.copy()
        for mine, theirs in self._values.items():
            result[found == mine] = theirs
        return result


def blocks(shape: tuple[int, ...], side: int) -> typing.Iterator[tuple[tuple[int, int], ...]]:
    """Ranges of blocks that cover a volume: tuples of three (start, stop)."""
    return itertools.product(*([(a, min(a + side, n)) for a in range(0, n, side)] for n in shape))


def annotated_voxels(ground_truth: np.ndarray) -> np.ndarray:
    """Where somebody knows."""
    return ground_truth != UNANNOTATED


def feature_names(volume: str | os.PathLike[str]) -> dict[int, str]:
    """{label: name} from the features.json beside a label volume or one folder above; {} if there is none."""
    folder = Path(volume).resolve().parent
    return _names_in(folder) or _names_in(folder.parent)


def _names_in(folder: Path) -> dict[int, str]:
    try:
        record = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        return {int(f["label"]): str(f["name"]) for f in record["features"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # names are only for reading: another program's file of this name does no harm


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
    """Whether a value is named on both sides of two {value: name}, each time as the other side names nothing."""
    return (
        value in mine and value in theirs and mine[value] not in theirs.values() and theirs[value] not in mine.values()
    )


def labels_in(path: str | os.PathLike[str]) -> typing.Any:
    """(names, values) of a volume that seems to hold labels and no scores: whole numbers from 1 on, without gaps or all
    of them in the features.json beside it or one folder above; None of any other. names: {value: name}, {} if nothing
    names them. A volume that `segment` lists as scores is none."""
    volume = Tomogram(path)
    if volume.dtype.kind == "f" or is_listed(path):
        return None
    names, values = feature_names(path), set()
    for z in range(0, volume.shape[0], SLAB):
        values |= set(np.unique(volume.raw((z, min(z + SLAB, volume.shape[0])))).tolist())
        values -= {0, UNANNOTATED, -1}  # -1: 255 as a signed byte
        if not values <= {*names, *range(1, MAX_LABELS + 1)}:
            return None  # scores, as a rule in the first slab: the rest need not be read
    if values and values <= set(names):
        return names, sorted(values)
    return ({}, sorted(values)) if values and values == set(range(1, len(values) + 1)) else None


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
        f"{path} contains only 0 and whole numbers from 1 to {values[-1]}: as scores (in hundredths), none would be "
        f"above {values[-1] / 100:g}. If it is a label volume, leave out --label."
    ]
