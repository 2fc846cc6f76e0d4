# SPDX-License-Identifier: GPL-3.0-or-later
"""Score volumes of a folder: whose they are, their thresholds, their values as probabilities, and what is no score
volume but one of labels."""

import dataclasses
import json
import os
import typing
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from ...contract import UNANNOTATED, some_names
from ...core.names import numbers_by_name
from ...io.files import lists_by_key
from ...io.stamps import changed_since
from ...io.tomograms import Tomogram, sides_of

INDEX = "segment.json"  # what `segment` writes beside its volumes
MINIMUM = 2.0**-12  # probabilities nearer to 0 and 1 are taken to be this near: float16 holds no more
DEFAULT_THRESHOLD = 0.5
SLAB = 16  # slices that are looked at together
MAX_LABELS = 20  # different values that are taken for labels where nothing names them
NOISY, THIRD = 0.0003, 1 / 3  # parts of noise, and of what is found, above which a feature's part of noise is warned of
SAME = 0.01  # relative difference of pixel sizes that are taken to be equal


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature of a folder. label: its value in label volumes. threshold: of its scores, above 0 and below 1."""

    label: int
    name: str
    threshold: float


@dataclasses.dataclass(frozen=True)
class Scored:
    """A tomogram's score volumes. files: {feature: paths of its volumes, of one annotator each, or of one only}.
    tomogram: path of the tomogram itself, or None. pixel_size: that segment.json says, or None."""

    name: str
    files: dict[str, tuple[str, ...]]
    tomogram: str | None = None
    pixel_size: float | None = None


@dataclasses.dataclass(frozen=True)
class ScoreIndex:
    """features: in the order of their labels. tomograms: list of Scored. notes: sentences for the user."""

    features: tuple[Feature, ...]
    tomograms: tuple[Scored, ...]
    notes: tuple[str, ...]


def read_folder(folder: str | os.PathLike[str], thresholds: typing.Sequence[str] = ()) -> ScoreIndex:
    """The scores of a folder that `segment` wrote, or of any with <tomogram>__<feature>.mrc. thresholds: as the user
    gave them, see core.names.numbers_by_name. Raises FileNotFoundError or ValueError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} (--scores) is not a folder. Give the folder that `cryodl segment` wrote.")
    index, notes = _read_index(folder), []
    if index is None:
        files: dict[str, dict[str, str]] = {}
        for path in sorted(folder.glob("[!.]*__*.mrc")):
            tomogram, _, feature = path.stem.rpartition("__")
            files.setdefault(tomogram, {})[feature] = str(path)
        tomograms = [Scored(name, _by_feature(found)) for name, found in sorted(files.items())]
        names, usual = sorted({feature for t in tomograms for feature in t.files}), {}
        notes.append(f"{folder} has no {INDEX}; the features are taken in alphabetical order: {', '.join(names)}.")
    else:
        tomograms = [
            Scored(
                name,
                _by_feature({feature: str(folder / file) for feature, file in entry["files"].items()}),
                entry.get("path"),
                entry.get("pixel_size"),
            )
            for name, entry in index["tomograms"].items()
        ]
        names = list(dict.fromkeys(_plain(f["name"]) for f in index["features"]))
        stated = lists_by_key(
            (_plain(e["name"]), float(e.get("threshold", DEFAULT_THRESHOLD))) for e in index["features"]
        )
        # of several annotators the mean in log odds, as their scores are
        usual = {name: float(expit(np.mean(log_odds(np.array(values))))) for name, values in stated.items()}
        known = {t.name for t in tomograms}
        other = sorted(path.name for path in folder.glob("[!.]*__*.mrc") if path.stem.rpartition("__")[0] not in known)
        if other:
            notes.append(
                f"{folder} holds score volumes that {INDEX} does not list; they are left out: {', '.join(other[:5])}"
                + (" ..." if len(other) > 5 else "")
                + ". They may be unfinished."
            )
        stamped = {n: e for n, e in index["tomograms"].items() if os.path.exists(e.get("path") or "")}
        if old := [name for name, entry in stamped.items() if changed_since(entry, entry["path"])]:
            notes.append(f"{some_names(old, 5)} changed after the scores were made. Segment again.")
        noise = {name: entry.get("noise", {}) for name, entry in index["tomograms"].items()}
        notes += [] if thresholds else [note for name in names for note in noise_notes(name, noise)]
    if not tomograms:
        raise FileNotFoundError(f"{folder} (--scores) holds no score volume named <tomogram>__<feature>.mrc.")
    if len(names) > 127:
        raise ValueError(f"{folder} has {len(names)} features; label volumes can have at most 127.")
    given = numbers_by_name(thresholds, names, "Thresholds (--threshold)", 0, 1)
    chosen = [given.get(name, usual.get(name, DEFAULT_THRESHOLD)) for name in names]
    features = tuple(Feature(label, name, t) for label, (name, t) in enumerate(zip(names, chosen), 1))
    return ScoreIndex(features, tuple(tomograms), tuple(notes))


def noise_notes(feature: str, noise: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """A sentence about tomograms where noise gives much of a feature. noise: SegmentOutputs.noise."""
    found = [(name, parts[feature]) for name, parts in noise.items() if feature in parts]
    doubtful = [name for name, p in found if p["noise"] > max(NOISY, THIRD * p["tomogram"])]
    if doubtful:
        yield (
            f"In {some_names(doubtful, 5)}, noise alone gives more than a third as many voxels of {feature} as the "
            "blocks that it was compared with. Check by eye what is found."
        )


def as_probabilities(values: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """(...) float32 in [0, 1] of the raw values of a score volume: floats as they are, whole numbers per cent. Raises
    ValueError if they cannot be scores."""
    scores = values.astype(np.float32)
    if values.dtype.kind != "f":
        scores /= 100
    if scores.size and not (scores.min() >= -1e-3 and scores.max() <= 1.001):  # also for NaN
        kind = "0 to 1" if values.dtype.kind == "f" else "0 to 100"
        raise ValueError(
            f"{path} has values from {values.min():g} to {values.max():g}; scores must be {kind}. Check that it is "
            "not a label volume or a tomogram."
        )
    return scores


def log_odds(probabilities: np.ndarray | float) -> np.ndarray:
    """log(p / (1 - p)), finite."""
    return np.asarray(logit(np.clip(probabilities, MINIMUM, 1 - MINIMUM)))


class FeatureScores:
    """The scores of one feature in one tomogram: the mean of the log odds of all its volumes. paths: of the volumes.
    shape: (z, y, x). pixel_size: Å/px of the headers, or None. Raises ValueError if they do not fit together."""

    def __init__(self, paths: typing.Sequence[str | os.PathLike[str]]) -> None:
        self._volumes = [Tomogram(path) for path in paths]
        agree(self._volumes)
        self.shape, self.path = self._volumes[0].shape, self._volumes[0].path
        self.pixel_size = self._volumes[0].pixel_size

    def read(self, *ranges: tuple[int, int]) -> np.ndarray:
        """(z, y, x) float32 probabilities of the positions [start, stop) for the first axes."""
        parts = (as_probabilities(volume.raw(*ranges), volume.path) for volume in self._volumes)
        if len(self._volumes) == 1:
            return next(parts)
        return np.asarray(expit(sum(log_odds(part) for part in parts) / len(self._volumes)))


def agree(volumes: typing.Sequence[typing.Any]) -> None:
    """Raises ValueError if volumes of one tomogram differ in shape or pixel size; both are named."""
    first = volumes[0]
    for other in volumes[1:]:
        if other.shape != first.shape:
            raise ValueError(
                f"{first.path} has {sides_of(first.shape)} voxels and {other.path} {sides_of(other.shape)}; scores "
                "of one tomogram must have its shape. Segment it again with all models."
            )
        one, two = first.pixel_size, other.pixel_size
        if one is not None and two is not None and abs(one / two - 1) > SAME:
            raise ValueError(
                f"{first.path} has {one:g} Å/px and {other.path} {two:g} Å/px; scores of one "
                "tomogram must have its pixel size. Segment it again with all models."
            )


def _plain(name: str) -> str:
    """The feature of a name that may end with its annotator: 'membrane@anna' gives 'membrane'."""
    return name.partition("@")[0]


def _read_index(folder: Path) -> dict[str, typing.Any] | None:
    path = folder / INDEX
    if not path.exists():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        for entry in index["features"]:
            entry["name"]
        index["tomograms"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not readable ({error!r}). Remove it to find the volumes by name, or segment again."
        ) from None
    return index


def _by_feature(files: typing.Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    grouped = lists_by_key((_plain(name), files[name]) for name in sorted(files))
    return {name: (files[name],) if name in files else tuple(paths) for name, paths in grouped.items()}


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


def labels_in(path: str | os.PathLike[str]) -> typing.Any:
    """(names, values) of a volume that seems to hold labels, no scores, by header and values: small whole numbers, or
    those in the features.json beside or above it; None of any other. names: {value: name}, {} unless of all values."""
    volume = Tomogram(path)
    if volume.dtype.kind == "f" or volume.says_scores:
        return None
    names, values = feature_names(path), set()
    for z in range(0, volume.shape[0], SLAB):
        values |= set(np.unique(volume.raw((z, min(z + SLAB, volume.shape[0])))).tolist())
        values -= {0, UNANNOTATED, -1}  # -1: 255 as a signed byte
        if not values <= {*names, *range(1, MAX_LABELS + 1)}:
            return None  # scores, as a rule in the first slab: the rest need not be read
    return (names if values <= set(names) else {}, sorted(values)) if values else None
