# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-features`: label volumes or score volumes in, 3-D coordinates out.

A finished tomogram is not picked again, so that tomograms may arrive in several runs; other parameters are refused.
Result.outputs are the contract's PickFeaturesOutputs. Volumes that could not be read are in Result.skipped.
"""

from __future__ import annotations

import typing
from functools import partial
from pathlib import Path

from ...contract import PickFeaturesConfig, Result, Skipped, counted, said_skipped
from ...contract.tomograms.features import PickFeaturesOutputs
from ..features.volumes import ALL, each_volume

if typing.TYPE_CHECKING:
    from ..features.points import Points

INDEX = "pick_features.json"
PARAMETERS = (
    "label",
    "shape",
    "threshold",
    "pixel_size",
    "diameter",
    "spacing",
    "minimum_size",
    "maximum_size",
    "border",
    "seed",
)


def run(config: PickFeaturesConfig) -> Result:
    """Pick what is not picked yet."""
    done = each_volume(config, INDEX, PARAMETERS, lambda path: _found(path, config), partial(_write, config))
    counts = {name: item["count"] for name, item in done.items.items()}
    notes = [*done.notes, *_warnings(config, counts, done.skipped)]
    print(
        f"{counted(sum(counts.values()), 'point')} in {counted(len(counts), 'tomogram')}: "
        f"{done.folder}/<tomogram>.star; all: {done.folder / ALL}."
    )
    outputs = PickFeaturesOutputs(
        files={name: str(done.folder / item["file"]) for name, item in done.items.items()},
        particles=str(done.folder / ALL),
        counts=counts,
        pixel_size=done.pixel_size,
    )
    return Result(
        "pick-features", outputs, device="cpu", skipped=tuple(done.skipped), warnings=tuple(dict.fromkeys(notes))
    )


def _found(path: str, config: PickFeaturesConfig) -> tuple[tuple[Points, float], list[str]]:
    """Points of a volume with its pixel size in Å, and sentences for the user."""
    from ..features.picking import pick_feature

    points, pixel_size, said = pick_feature(path, config)
    return (points, pixel_size), said


def _write(config: PickFeaturesConfig, name: str, path: str, found: tuple[Points, float]) -> dict[str, typing.Any]:
    """Write the STAR file of a tomogram. Returns its entry in the record."""
    from ...io.tomogram_coordinates import write_coordinates3d
    from ...io.tomograms import Tomogram
    from ..features.points import point_columns

    points, pixel_size = found
    columns = point_columns(name, points, config.seed, Tomogram(path).shape, pixel_size)
    write_coordinates3d(Path(config.output) / f"{name}.star", [columns], [pixel_size], config.tilt_series_pixel_size)
    return dict(
        file=f"{name}.star",
        count=len(points),
        pixel_size=pixel_size,
        tilt_series_pixel_size=config.tilt_series_pixel_size,
    )


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
            + f"): {mask}, or all components were left out because of size or border."
        )
