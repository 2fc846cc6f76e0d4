# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl merge-features`: score volumes in, one label volume for each tomogram, and a table of what was found, out.

A finished tomogram is not merged again, so that tomograms may arrive in several runs; other parameters are refused."""

import dataclasses
import typing
from pathlib import Path

from ...contract import MergeFeaturesConfig, MergeFeaturesOutputs, counted, score_text, some_names
from ...io.files import write_csv
from ...running.runner import PROGRAM, Run, command
from ..features import merging, scores, volumes

INDEX, TABLE = "features.json", "features.csv"
COLUMNS = ("tomogram", "feature", "label", "voxels", "volume_nm3", "components", "area_nm2", "volume_percent")
NAMED = 20  # tomograms whose features a summary lists


@command
def merge_features(config: MergeFeaturesConfig, run: Run) -> MergeFeaturesOutputs:
    found = scores.read_folder(config.scores, config.threshold)
    folder, features = Path(config.output), found.features
    if folder.resolve() == Path(config.scores).resolve():
        raise ValueError(f"Output folder (--output) is the folder of the scores, {folder}. Choose another.")
    run.warn(*found.notes)
    settings = {
        "thresholds": {f.name: round(f.threshold, 6) for f in features},
        "order of the labels": ", ".join(f.name for f in features),  # a dict is equal in any order
        "minimum component size": config.minimum_size,
    }
    record = volumes.FolderRecord(folder / INDEX, settings)
    named = [(one.name, next(iter(one.files.values()), [config.scores])[0]) for one in found.tomograms]
    record.prepare(named, mrc=merging.LABEL.encode())
    record.write(labels={str(f.label): f.name for f in features}, features=[dataclasses.asdict(f) for f in features])
    names = ", ".join(f"{f.label} {f.name} (from {score_text(f.threshold)})" for f in features)
    run.summary(f"{counted(len(found.tomograms), 'tomogram')}; labels: {names}.")
    scored, here = {one.name: one for one in found.tomograms}, Path(config.scores).resolve()
    # segment.json forgets a tomogram that changed and can no longer be segmented
    own = [name for name, item in record.items.items() if item.get("scores") == str(here)]
    for name in [name for name in own if name not in scored and (here / scores.INDEX).exists()]:
        print(f"{here} has no scores of {name} any more: what was merged of them is removed.")
        record.forget(name)

    def merged(name: str, _: str) -> dict[str, typing.Any]:
        sources = _sources(scored[name], features)
        if not record.has(name, sources):
            entry = merging.merge_tomogram(scored[name], features, folder, config)
            record.put(name, sources, dict(entry, scores=str(here)))
        if config.surfaces:
            merging.write_pictures(scored[name], features, folder, record.items[name])
        return record.items[name]

    items = run.each(named, "tomogram", "merged", merged)
    for feature in features:
        without = [name for name, item in items.items() if not item["found"][feature.name]["components"]]
        if without:
            run.warn(
                f"No voxel of {feature.name} in {len(without)} of {len(items)} tomograms ({some_names(without, 5)}): "
                f"no score reached {score_text(feature.threshold)}, others were higher, or all components were too "
                "small."
            )
    rows = (
        [name, one.name, one.label, *(item["found"][one.name][key] for key in COLUMNS[3:])]
        for name, item in sorted(record.items.items())
        for one in features
    )
    write_csv(folder / TABLE, COLUMNS, rows)
    _tell(config, items, features, run)
    pictures = {name: merging.picture_paths(folder, name, features) for name in items if config.surfaces}
    return MergeFeaturesOutputs(
        files={name: str(folder / item["file"]) for name, item in items.items()},
        features=[f.name for f in features],
        table=str(folder / TABLE),
        pixel_size=volumes.one_pixel_size(items),
        counts={name: {f.name: item["found"][f.name]["components"] for f in features} for name, item in items.items()},
        surfaces={name: {f: str(p) for f, p in files.items() if p.exists()} for name, (files, _) in pictures.items()},
        scripts={name: str(script) for name, (_, script) in pictures.items()},
    )


def _sources(scored: scores.Scored, features: typing.Sequence[scores.Feature]) -> list[str]:
    """All score files of a tomogram. Raises FileNotFoundError naming the features that it lacks."""
    lacking = [f.name for f in features if f.name not in scored.files]
    lacking += [path for paths in scored.files.values() for path in paths if not Path(path).exists()]
    if lacking:
        raise FileNotFoundError(
            f"The tomogram {scored.name} has no scores of {', '.join(lacking)}: the features could "
            "not compete. Segment it with all models."
        )
    return [path for f in features for path in scored.files[f.name]]


def _tell(
    config: MergeFeaturesConfig,
    items: dict[str, dict[str, typing.Any]],
    features: typing.Sequence[scores.Feature],
    run: Run,
) -> None:
    for name, item in list(items.items())[:NAMED]:
        for feature, found in item["found"].items():
            area = found.get("area_nm2")
            run.summary(
                f"{name}: {counted(found['components'], 'component')} of {feature}, {found['volume_nm3']:.4g} nm³"
                f"{'' if area is None else f', surface {area:.4g} nm²'}."
                if found["voxels"]
                else f"{name}: no {feature}."
            )
    run.summary(f"Label volumes: {Path(config.output)}/<tomogram>.mrc; table: {Path(config.output) / TABLE}")
    run.methods(
        f"The features {', '.join(f.name for f in features)} of {counted(len(items), 'tomogram')} were merged with "
        f"{PROGRAM}: every voxel was given to the feature whose score was farthest above its threshold "
        "(in log odds)."
    )
