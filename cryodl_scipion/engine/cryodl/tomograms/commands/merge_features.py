# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl merge-features`: score volumes in, one label volume for each tomogram, and a table of what was found, out.

A finished tomogram is not merged again, so that tomograms may arrive in several runs; other parameters are refused.
Result.outputs are the contract's MergeFeaturesOutputs. Tomograms that could not be merged are in
Result.skipped.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import typing
from pathlib import Path

from ...contract import AllSkipped, MergeFeaturesConfig, Result, Skipped, counted, in_words, said_skipped, score_text
from ...contract.tomograms.features import MergeFeaturesOutputs
from ...io.files import whole_file
from ...io.warn import warn
from ..features.record import FolderRecord
from ..features.scores import read_folder

if typing.TYPE_CHECKING:
    from ..features.scores import Feature, Scored, ScoreIndex

INDEX, TABLE = "features.json", "features.csv"
COLUMNS = ("tomogram", "feature", "label", "voxels", "volume_nm3", "components", "area_nm2", "volume_percent")


def run(config: MergeFeaturesConfig) -> Result:
    """Merge what is not merged yet."""
    found = read_folder(config.scores, config.threshold)
    folder = Path(config.output)
    if folder.resolve() == Path(config.scores).resolve():
        raise ValueError(f"Output folder (--output) is the folder of the scores, {folder}. Choose another.")
    notes = list(found.notes)
    for note in notes:
        warn(note)
    folder.mkdir(parents=True, exist_ok=True)
    record = _record(config, found, folder)
    names = ", ".join(f"{f.label} {f.name} (from {score_text(f.threshold)})" for f in found.features)
    print(f"{counted(len(found.tomograms), 'tomogram')}; features: {names}.")
    skipped = _merge_all(config, found, folder, record)
    done = [t.name for t in found.tomograms if t.name not in {s.item for s in skipped}]
    if not done:
        raise AllSkipped(
            f"None of the {counted(len(found.tomograms), 'tomogram')} could be merged. The first: "
            f"{in_words(skipped[0])}"
        )
    notes += _warnings(record, done, found.features, skipped)
    _write_table(folder / TABLE, record.items, found.features)
    outputs = _outputs(config, folder, record, done, found.features)
    print(f"Label volumes of {counted(len(done), 'tomogram')}: {folder}/<tomogram>.mrc; table: {outputs['table']}.")
    return Result("merge-features", outputs, device="cpu", skipped=tuple(skipped), warnings=tuple(notes))


def _record(config: MergeFeaturesConfig, found: ScoreIndex, folder: Path) -> FolderRecord:
    settings = {
        "thresholds": {f.name: round(f.threshold, 6) for f in found.features},
        "order of the labels": ", ".join(f.name for f in found.features),  # a dict is equal in any order
        "minimum component size": config.minimum_size,
        "smoothing": config.smoothing,
        "competitive": config.competitive,
    }
    record = FolderRecord(folder / INDEX, settings)
    record.write(
        labels={str(f.label): f.name for f in found.features}, features=[dataclasses.asdict(f) for f in found.features]
    )
    return record


def _merge_all(config: MergeFeaturesConfig, found: ScoreIndex, folder: Path, record: FolderRecord) -> list[Skipped]:
    """Merge one tomogram after the other. Returns those that were skipped."""
    from tqdm import tqdm

    from ..features.merging import merge_tomogram, write_pictures

    skipped = []
    for scored in tqdm(found.tomograms, unit="tomogram", mininterval=1.0):
        try:
            sources = _sources(scored, found.features)
            if not record.has(scored.name, sources):
                entry = merge_tomogram(scored, found.features, folder, config)
                record.put(scored.name, sources, entry)
            if config.surfaces:
                write_pictures(scored, found.features, folder, record.items[scored.name], config.memory)
        except (ValueError, FileNotFoundError) as error:
            path = next(iter(scored.files.values()), (config.scores,))[0]
            skipped.append(Skipped(scored.name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
    return skipped


def _sources(scored: Scored, features: typing.Sequence[Feature]) -> list[str]:
    """All score files of a tomogram. Raises FileNotFoundError naming the features that it lacks."""
    lacking = [f.name for f in features if f.name not in scored.files]
    lacking += [path for paths in scored.files.values() for path in paths if not Path(path).exists()]
    if lacking:
        raise FileNotFoundError(
            f"The tomogram {scored.name} has no scores of {', '.join(lacking)}: the features could "
            "not compete. Segment it with all models."
        )
    return [path for f in features for path in scored.files[f.name]]


def _warnings(
    record: FolderRecord, done: typing.Sequence[str], features: typing.Sequence[Feature], skipped: list[Skipped]
) -> typing.Iterator[str]:
    yield from said_skipped(skipped, "tomogram")
    for feature in features:
        without = [name for name in done if not record.items[name]["found"][feature.name]["components"]]
        if without:
            yield (
                f"No voxel of {feature.name} in {len(without)} of {len(done)} tomograms ({', '.join(without[:5])}"
                + (" ..." if len(without) > 5 else "")
                + f"): no score reached {score_text(feature.threshold)}, others were "
                "higher, or all components were too small."
            )


def _write_table(
    path: str | os.PathLike[str], items: typing.Mapping[str, dict[str, typing.Any]], features: typing.Sequence[Feature]
) -> None:
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name, item in sorted(items.items()):
            for feature in features:
                found = item["found"][feature.name]
                row = {key: found[key] for key in COLUMNS[3:]}
                writer.writerow(dict(row, tomogram=name, feature=feature.name, label=feature.label))


def _outputs(
    config: MergeFeaturesConfig,
    folder: Path,
    record: FolderRecord,
    done: typing.Sequence[str],
    features: typing.Sequence[Feature],
) -> MergeFeaturesOutputs:
    from ..features.merging import picture_paths

    items = {name: record.items[name] for name in done}
    sizes = {item["pixel_size"] for item in items.values()}
    surfaces, scripts = {}, {}
    for name in done if config.surfaces else ():
        files, script = picture_paths(folder, name, features)
        surfaces[name] = {feature: str(path) for feature, path in files.items() if path.exists()}
        scripts[name] = str(script)
    return MergeFeaturesOutputs(
        files={name: str(folder / item["file"]) for name, item in items.items()},
        features=[f.name for f in features],
        table=str(folder / TABLE),
        pixel_size=sizes.pop() if len(sizes) == 1 else None,
        counts={name: {f.name: item["found"][f.name]["components"] for f in features} for name, item in items.items()},
        surfaces=surfaces,
        scripts=scripts,
    )
