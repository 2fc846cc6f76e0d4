# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-features`: label volumes or score volumes in, 3-D coordinates out.

A finished tomogram is not picked again, so that tomograms may arrive in several runs; other parameters are refused."""

import typing
from functools import partial
from pathlib import Path

from ...contract import PickFeaturesConfig, PickFeaturesOutputs, counted, some_names
from ...io import tomogram_coordinates, tomograms
from ...running.runner import PROGRAM, Run, command
from ..features import picking, volumes
from ..features.points import Points, point_columns

INDEX = "pick_features.json"
SHAPES = dict(
    centres="the centres of the connected components",
    particles="the centres of the particles, split where they touch",
    filaments="points along the centre lines of filaments, {:g} Å apart, with their directions",
    membranes="points on membranes, {:g} Å apart, with their normals",
)


@command
def pick_features(config: PickFeaturesConfig, run: Run) -> PickFeaturesOutputs:
    def found(path: str) -> tuple[Points, float]:
        points, pixel_size, said = picking.pick_feature(path, config)
        run.warn(*said)
        return points, pixel_size

    done = volumes.each_volume(run, INDEX, found, partial(_write, config), star=volumes.OF_CRYODL)
    counts = {name: item["count"] for name, item in done.items.items()}
    without = [name for name, count in counts.items() if not count]
    if without:
        mask = (
            f"no voxel has the value {config.label} (--label)"
            if config.label is not None
            else f"no score reaches {config.threshold:g} (--threshold; label volumes need --label)"
        )
        run.warn(
            f"Nothing was found in {len(without)} of {len(counts)} tomograms ({some_names(without, 5)}): {mask}, or "
            f"all components were left out because of size or border.{volumes.labels_there(config, without)}"
        )
    total = counted(sum(counts.values()), "point")
    run.summary(
        f"{total} in {counted(len(counts), 'tomogram')}: {done.folder / volumes.ALL}",
        *(f"{name}: {count}." for name, count in sorted(counts.items())),
    )
    run.methods(
        f"From the segmentation, {total} were picked with {PROGRAM}: {SHAPES[config.shape].format(config.spacing)}."
    )
    return PickFeaturesOutputs(
        files=done.files(), particles=str(done.folder / volumes.ALL), counts=counts, pixel_size=done.pixel_size
    )


def _write(config: PickFeaturesConfig, name: str, path: str, found: tuple[Points, float]) -> dict[str, typing.Any]:
    points, pixel_size = found
    columns = point_columns(name, points, config.seed, tomograms.Tomogram(path).shape, pixel_size)
    tomogram_coordinates.write_coordinates3d(Path(config.output) / f"{name}.star", [columns], [pixel_size])
    return dict(file=f"{name}.star", count=len(points), pixel_size=pixel_size)
