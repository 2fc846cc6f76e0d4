# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl merge-features`: score volumes in, one label volume for each tomogram, and a table of what was found, out.

A finished tomogram is not merged again, so that tomograms may arrive in several runs; other parameters are refused.
Result.outputs are the contract's MergeFeaturesOutputs. Tomograms that could not be merged are in Result.skipped. Merge
what is not merged yet.
"""

import dataclasses
import typing
from pathlib import Path

from ...contract import MergeFeaturesConfig, MergeFeaturesOutputs, counted, score_text
from ...io.files import write_csv
from ...runner import PROGRAM, Run, command
from ..features.merging import merge_tomogram, picture_paths, write_pictures
from ..features.scores import Feature, Scored, ScoreIndex, read_folder
from ..features.volumes import FolderRecord

INDEX, TABLE = "features.json", "features.csv"
COLUMNS = ("tomogram", "feature", "label", "voxels", "volume_nm3", "components", "area_nm2", "volume_percent")
NAMED = 20  # tomograms whose features a summary lists


@command
def merge_features(config: MergeFeaturesConfig, run: Run) -> MergeFeaturesOutputs:
    found = read_folder(config.scores, config.threshold)
    folder = Path(config.output)
    if folder.resolve() == Path(config.scores).resolve():
        raise ValueError(f"Output folder (--output) is the folder of the scores, {folder}. Choose another.")
    run.warn(*found.notes)
    folder.mkdir(parents=True, exist_ok=True)
    record = _record(config, found, folder)
    names = ", ".join(f"{f.label} {f.name} (from {score_text(f.threshold)})" for f in found.features)
    run.summary(f"{counted(len(found.tomograms), 'tomogram')}; labels: {names}.")
    named = [(scored.name, next(iter(scored.files.values()), [config.scores])[0]) for scored in found.tomograms]
    for (name, path), scored in zip(run.items(named, "tomogram"), found.tomograms):
        with run.item(name, path):
            sources = _sources(scored, found.features)
            if not record.has(name, sources):
                record.put(name, sources, merge_tomogram(scored, found.features, folder, config))
            if config.surfaces:
                write_pictures(scored, found.features, folder, record.items[name])
    run.require_some(named, "tomogram", "merged")
    bad = {each.item for each in run.skipped}
    done = [name for name, _ in named if name not in bad]
    run.warn(*_warnings(record, done, found.features))
    rows = (
        [name, one.name, one.label, *(item["found"][one.name][key] for key in COLUMNS[3:])]
        for name, item in sorted(record.items.items())
        for one in found.features
    )
    write_csv(folder / TABLE, COLUMNS, rows)
    _tell(config, record, done, found.features, run)
    return _outputs(config, folder, record, done, found.features)


def _record(config: MergeFeaturesConfig, found: ScoreIndex, folder: Path) -> FolderRecord:
    settings = {
        "thresholds": {f.name: round(f.threshold, 6) for f in found.features},
        "order of the labels": ", ".join(f.name for f in found.features),  # a dict is equal in any order
        "minimum component size": config.minimum_size,
    }
    record = FolderRecord(folder / INDEX, settings)
    record.write(
        labels={str(f.label): f.name for f in found.features}, features=[dataclasses.asdict(f) for f in found.features]
    )
    return record


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
    record: FolderRecord, done: typing.Sequence[str], features: typing.Sequence[Feature]
) -> typing.Iterator[str]:
    for feature in features:
        without = [name for name in done if not record.items[name]["found"][feature.name]["components"]]
        if without:
            yield (
                f"No voxel of {feature.name} in {len(without)} of {len(done)} tomograms ({', '.join(without[:5])}"
                + (" ..." if len(without) > 5 else "")
                + f"): no score reached {score_text(feature.threshold)}, others were "
                "higher, or all components were too small."
            )


def _tell(
    config: MergeFeaturesConfig,
    record: FolderRecord,
    done: typing.Sequence[str],
    features: typing.Sequence[Feature],
    run: Run,
) -> None:
    for name in done[:NAMED]:
        for feature, found in record.items[name]["found"].items():
            area = found.get("area_nm2")
            run.summary(
                f"{name}: {counted(found['components'], 'component')} of {feature}, {found['volume_nm3']:.4g} nm³"
                f"{'' if area is None else f', surface {area:.4g} nm²'}."
                if found["voxels"]
                else f"{name}: no {feature}."
            )
    run.summary(f"Label volumes: {config.output}/<tomogram>.mrc; table: {Path(config.output) / TABLE}")
    run.methods(
        f"The features {', '.join(f.name for f in features)} of {counted(len(done), 'tomogram')} were merged with "
        f"{PROGRAM}: every voxel was given to the feature whose score was farthest above its threshold "
        "(in log odds)."
    )


def _outputs(
    config: MergeFeaturesConfig,
    folder: Path,
    record: FolderRecord,
    done: typing.Sequence[str],
    features: typing.Sequence[Feature],
) -> MergeFeaturesOutputs:

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
