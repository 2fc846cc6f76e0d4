# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of score volumes: segment.json says what is in it; <tomogram>.partial is what a stopped run left."""

import contextlib
import fcntl
import json
import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract.result import write_json
from ...io import files, tomograms, volume_writer
from ...io.stamps import changed_since, file_stamp
from .combine import Agreement, CombinedFeature
from .predict import PLACES

RECORD, PROGRESS = "segment.json", "progress.json"
LABEL = tomograms.SCORES + " {}, {} (a voxel belongs to it from {:g})"
_WORDS = dict(
    models="other models, or the same in another order",
    scores="another kind of scores (--scores)",
    annotators="another treatment of several annotators",
    boundaries="another way to choose the thresholds",
)


class ScoreFolder:
    """folder: of the volumes; made when there is something to write. features: combine.Features to write. compared:
    those whose models are compared. settings: dict of what decides the scores: models (list of checksums), scores,
    annotators. described: what segment.json says of the features. Raises ValueError for a folder of others."""

    def __init__(
        self,
        folder: Path,
        features: typing.Sequence[CombinedFeature],
        compared: typing.Sequence[CombinedFeature],
        settings: typing.Mapping[str, typing.Any],
        described: typing.Sequence[typing.Mapping[str, typing.Any]],
    ) -> None:
        self.folder, self.features, self.compared, self.settings = Path(folder), features, compared, settings
        self._empty = dict(features=described, settings=settings, tomograms={})
        other = [words for key, words in _WORDS.items() if self.read()["settings"].get(key) != settings[key]]
        other = other[:1] if _WORDS["models"] in other else other  # what follows from them says nothing more
        if other:
            raise ValueError(
                f"{self.folder} has scores made with {' and '.join(other)} (see its {RECORD}). Choose "
                "another --output, or remove the folder."
            )

    def read(self) -> dict[str, typing.Any]:
        """What segment.json says, or would say if there is none yet. Raises ValueError if it is not ours."""
        path = self.folder / RECORD
        return files.folder_record(path) if path.exists() else json.loads(json.dumps(self._empty))

    def file_of(self, name: str, feature: CombinedFeature) -> Path:
        """Path of a tomogram's volume of a Feature."""
        return self.folder / f"{name}__{feature.name}.mrc"

    def finished(
        self, name: str, path: str | os.PathLike[str], shape: tuple[int, ...], pixel_size: float
    ) -> dict[str, typing.Any] | None:
        """The entry of a finished tomogram, None if it is not finished. Raises ValueError if the volumes in the folder
        are of another tomogram or pixel size, or of nobody knows what."""
        entry = self.read()["tomograms"].get(name)
        there = [f for f in self.features if self.file_of(name, f).exists()]
        if entry is None:
            if there and not (self._partial(name) / PROGRESS).exists():
                raise ValueError(
                    f"{self.file_of(name, there[0])} exists, but {RECORD} does not name it; it is not "
                    "replaced. Remove it, or choose another --output."
                )
            return None
        other = tuple(entry["shape"]) != tuple(shape) or abs(entry["pixel_size"] / pixel_size - 1) > 1e-3
        if other or changed_since(entry, path):
            raise ValueError(
                f"{self.folder} has scores of another tomogram with the name {name}: {entry['path']}, "
                f"{tomograms.sides_of(entry['shape'])} voxels at {entry['pixel_size']:g} Å/px; this one is {path}, "
                f"{tomograms.sides_of(shape)} at {pixel_size:g} Å/px. Choose another --output, or --names."
            )
        return entry if len(there) == len(self.features) else None

    def forget_changed(self, named: typing.Iterable[tuple[str, str]]) -> None:
        """Remove the scores of tomograms (names and files) made anew since, even if the new file cannot be used."""
        known = self.read()["tomograms"]
        for name, path in named:
            entry = known.get(name)
            there = entry and os.path.exists(path) and entry["path"] == os.path.abspath(path)
            if there and changed_since(entry, path):
                print(f"{path} has changed since it was segmented; it is segmented again.")
                with self.record() as items:
                    del items[name]
                for file in entry["files"].values():
                    files.path_within(self.folder, file).unlink(missing_ok=True)

    @contextlib.contextmanager
    def record(self) -> typing.Iterator[dict[str, typing.Any]]:
        """The tomograms of segment.json, to be changed: several processes may fill one folder."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            record = self.read()
            yield record["tomograms"]
            write_json(self.folder / RECORD, record)
        finally:
            os.close(handle)

    def unfinished(
        self, name: str, path: str | os.PathLike[str], shape: tuple[int, ...], pixel_size: float
    ) -> "Unfinished":
        """An Unfinished for a tomogram."""
        self.folder.mkdir(parents=True, exist_ok=True)
        of = dict(shape=shape, pixel_size=pixel_size, places=PLACES, **file_stamp(path))  # one threshold for all slices
        return Unfinished(self, name, dict(self.settings, **of))

    def _partial(self, name: str) -> Path:
        return self.folder / f"{name}.partial"


class Unfinished:
    """The volumes of a tomogram on their way: in <tomogram>.partial until all slices are there. key: dict of what makes
    it another piece of work. slices: how many are done. agreements: {feature: Agreement} of the compared features.
    noise: what noise_control says of the features; to be set before the work is finished."""

    def __init__(self, scores: ScoreFolder, name: str, key: dict[str, typing.Any]) -> None:
        self._scores, self._name, self._key = scores, name, json.loads(json.dumps(key))
        self.folder, self.features, self.compared = scores._partial(name), scores.features, scores.compared
        self.slices, known = 0, {}
        self.noise: dict[str, typing.Any] = {}
        found = self._read()
        if found:
            self.slices, known = found["slices"], found["known"]
        else:
            self._begin()
        agreements = found["agreements"] if found else {}
        self.agreements = {
            f.name: Agreement.from_dict(agreements[f.name]) if f.name in agreements else Agreement.none(len(f.models))
            for f in scores.compared
        }
        self.volumes = {
            f.name: volume_writer.OpenVolume(self._path(f), key["shape"], key["scores"], known.get(f.name))
            for f in self.features
            if self._path(f).exists()
        }

    def _path(self, feature: CombinedFeature) -> Path:
        return self.folder / self._scores.file_of(self._name, feature).name

    def _read(self) -> dict[str, typing.Any] | None:
        """The progress of a stopped run of the same work; None if there is none."""
        try:
            found = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        finished = found["slices"] == self._key["shape"][0]  # then some may have their final names already
        whole = all(
            self._path(f).exists() or finished and self._scores.file_of(self._name, f).exists() for f in self.features
        )
        return found if whole and found["key"] == self._key else None

    def _begin(self) -> None:
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (self.folder / PROGRESS).exists():
                raise ValueError(
                    f"{self.folder}, the folder for unfinished volumes, contains other files. Remove it, or choose "
                    "another --output."
                )
            shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        # first, so that a stopped run knows the folder for its own
        write_json(self.folder / PROGRESS, dict(key=self._key, slices=0, known={}, agreements={}))
        for feature in self.features:
            volume_writer.new_volume(
                self._path(feature),
                self._key["shape"],
                self._key["pixel_size"],
                self._key["scores"],
                LABEL.format(feature.name, " and ".join(feature.annotators), feature.threshold)[:80],
            )

    def write(self, z: int, feature: CombinedFeature, values: np.ndarray) -> None:
        """Write a slice of a CombinedFeature: (1, y, x) array of the type of the volumes."""
        try:
            self.volumes[feature.name].write(z, values)
        except OSError as error:
            raise OSError(
                error.errno,
                f"Cannot write {self._path(feature)}: {error.strerror or error}. The same "
                "command continues when there is room",
            ) from error

    def done(self, slices: int) -> None:
        """Remember that so many slices are written."""
        for volume in self.volumes.values():
            volume.flush()
        self.slices = slices
        write_json(
            self.folder / PROGRESS,
            dict(
                key=self._key,
                slices=slices,
                known={name: volume.known for name, volume in self.volumes.items()},
                agreements={name: agreement.to_dict() for name, agreement in self.agreements.items()},
            ),
        )

    def finish(self, path: str | os.PathLike[str]) -> dict[str, typing.Any]:
        """Give the volumes their names and note the tomogram (its file is path). Returns its entry in segment.json."""
        for feature in self.features:
            if feature.name in self.volumes:
                self.volumes[feature.name].close(complete=True)
                volume_writer.keep_origin(self._path(feature), path)
                os.replace(self._path(feature), self._scores.file_of(self._name, feature))
        entry = dict(
            path=os.path.abspath(path),
            **{name: self._key[name] for name in ("pixel_size", "shape", "bytes", "changed")},
            files={f.name: self._scores.file_of(self._name, f).name for f in self.features},
            agreements={name: agreement.to_dict() for name, agreement in self.agreements.items()},
            noise=self.noise,
        )
        with self._scores.record() as items:
            items[self._name] = entry
        shutil.rmtree(self.folder)
        return entry

    def close(self, remove: bool) -> None:
        """Leave the work as it is, or remove it."""
        for volume in self.volumes.values():
            volume.close(complete=False)
        if remove:
            shutil.rmtree(self.folder)
