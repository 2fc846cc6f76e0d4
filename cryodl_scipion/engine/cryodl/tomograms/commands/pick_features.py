# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-features`: label volumes or score volumes in, 3-D coordinates out.

A finished tomogram is not picked again, so that tomograms may arrive in several runs; other parameters are refused.
Result.outputs are the contract's PickFeaturesOutputs. Volumes that could not be read are in Result.skipped.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import AllSkipped, PickFeaturesConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.tomograms.features import PickFeaturesOutputs
from ...io.files import expand_paths, name_micrographs
from ..features.record import FolderRecord

if typing.TYPE_CHECKING:
    from ...contract.tomograms.membranes import MeasureMembranesConfig

INDEX, ALL = "pick_features.json", "particles.star"
PARAMETERS = (
    "label",
    "shape",
    "threshold",
    "pixel_size",
    "diameter",
    "spacing",
    "smallest",
    "largest",
    "border",
    "seed",
)


def run(config: PickFeaturesConfig) -> Result:
    """Pick what is not picked yet."""
    named = named_volumes(config)
    if config.label is None:
        refuse_labels(named)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    record = FolderRecord(folder / INDEX, {name.replace("_", " "): getattr(config, name) for name in PARAMETERS})
    skipped, notes = _pick_all(config, named, folder, record)
    bad = {s.item for s in skipped}
    done = [name for name, _ in named if name not in bad]
    if not done:
        raise AllSkipped(
            f"None of the {counted(len(named), 'volume')} could be used. The first: {in_words(skipped[0])}"
        )
    write_all(folder, record)
    counts = {name: record.items[name]["count"] for name in done}
    notes += _warnings(config, counts, skipped)
    print(
        f"{counted(sum(counts.values()), 'point')} in {counted(len(done), 'tomogram')}: {folder}/<tomogram>.star; "
        f"all: {folder / ALL}."
    )
    sizes = {record.items[name]["pixel_size"] for name in done}
    outputs = PickFeaturesOutputs(
        files={name: str(folder / record.items[name]["file"]) for name in done},
        particles=str(folder / ALL),
        counts=counts,
        pixel_size=sizes.pop() if len(sizes) == 1 else None,
    )
    return Result("pick-features", outputs, device="cpu", skipped=tuple(skipped), warnings=tuple(dict.fromkeys(notes)))


def refuse_labels(named: typing.Sequence[tuple[str, str]]) -> None:
    """Raises ValueError for a label volume in place of scores, before anything is written."""
    from ..evaluation.pairs import labels_in

    for _, path in named:
        try:
            found = labels_in(path)
        except (ValueError, OSError):
            continue  # it is skipped with its reason when its turn comes
        if found and found[0]:
            raise ValueError(
                f"{path} is a label volume ({', '.join(f'{k} {n}' for k, n in found[0].items())} by its "
                "features.json). Say which value to pick (--label)."
            )


def named_volumes(config: PickFeaturesConfig | MeasureMembranesConfig) -> list[tuple[str, str]]:
    """Pairs of the tomogram's name and the volume. Scores are called <tomogram>__<feature>; the tomogram's name
    remains."""
    paths = expand_paths(config.segmentations)
    pairs = name_micrographs(paths, config.names, "tomogram")
    if config.names or config.label is not None:
        named = pairs
    else:
        named = name_micrographs(paths, tuple(name.rpartition("__")[0] or name for name, _ in pairs), "tomogram")
    if "particles" in dict(named):
        raise ValueError(
            "A tomogram is called 'particles', as the file of all points is. Give it another name (--names)."
        )
    return named


def _pick_all(
    config: PickFeaturesConfig, named: typing.Sequence[tuple[str, str]], folder: Path, record: FolderRecord
) -> tuple[list[Skipped], list[str]]:
    """Write one STAR file after the other. Returns the Skipped, and sentences for the user."""
    from tqdm import tqdm

    from ...io.tomogram_coordinates import write_coordinates3d
    from ...io.tomograms import Tomogram
    from ..features.picking import pick
    from ..features.points import point_columns

    skipped, notes = [], []
    for name, path in tqdm(named, unit="tomogram", mininterval=1.0):
        target = folder / f"{name}.star"
        try:
            if record.has(name, [path]):
                continue
            points, pixel_size, said = pick(path, config)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
            continue
        notes += said
        columns = point_columns(name, points, config.seed, Tomogram(path).shape, pixel_size)
        write_coordinates3d(target, [columns], [pixel_size])
        record.put(name, [path], dict(file=target.name, count=len(points), pixel_size=pixel_size))
    return skipped, notes


def write_all(folder: Path, record: FolderRecord) -> None:
    """Write the points of all tomograms of a folder as one STAR file."""
    from ...io.tomogram_coordinates import join_coordinates3d

    items = [item for _, item in sorted(record.items.items())]
    join_coordinates3d(folder / ALL, [folder / item["file"] for item in items], [item["pixel_size"] for item in items])


def _warnings(
    config: PickFeaturesConfig, counts: typing.Mapping[str, int], skipped: list[Skipped]
) -> typing.Iterator[str]:
    yield from said_skipped(skipped, "volume")
    without = [name for name, count in counts.items() if not count]
    if without:
        mask = (
            f"no voxel has the value {config.label} (--label)"
            if config.label is not None
            else f"no score reaches {config.threshold:g} (--threshold; label volumes need --label)"
        )
        yield (
            f"Nothing was found in {len(without)} of {len(counts)} tomograms ({', '.join(without[:5])}"
            + (" ..." if len(without) > 5 else "")
            + f"): {mask}, or what there is was left out by size or border."
        )
