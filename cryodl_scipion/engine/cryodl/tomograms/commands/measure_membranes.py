# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl measure-membranes`: segmentations in; membranes one by one, meshes, a table and points on them out.

A finished tomogram is not measured again, so that tomograms may arrive in several runs; other parameters are refused.
Measure what is not measured yet."""

import typing
from functools import partial
from pathlib import Path

import numpy as np

from ...contract import MeasureMembranesConfig, MeasureMembranesOutputs, counted, some_names
from ...io import files, tomogram_coordinates, tomograms, volume_writer
from ...runner import PROGRAM, Run, command
from ..features.measured_membranes import COLUMNS, Membranes, measured_membranes
from ..features.membrane_meshes import write_ply
from ..features.points import Points, point_columns, points_inside
from ..features.volumes import ALL, each_volume

INDEX, TABLE = "measure_membranes.json", "membranes.csv"


@command
def measure_membranes(config: MeasureMembranesConfig, run: Run) -> MeasureMembranesOutputs:
    def measured(path: str) -> Membranes:
        membranes = measured_membranes(path, config)
        run.warn(membranes.segmentation.note)
        return membranes

    done = each_volume(run, INDEX, ("segmentations", "output", "names"), measured, partial(_write, config))
    rows = (row for _, item in sorted(done.record.items.items()) for row in item["rows"])
    files.write_csv(done.folder / TABLE, COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    counts = {name: len(item["rows"]) for name, item in done.items.items()}
    points = {name: item["count"] for name, item in done.items.items()}
    without = [name for name, count in counts.items() if not count]
    if without:
        run.warn(
            f"No membrane was found in {some_names(without, 5)}: nothing of the label or above the threshold is larger "
            f"than {config.minimum_size:g} nm³ (--minimum-size). Check label, threshold and minimum size."
        )
    run.summary(
        f"{counted(sum(counts.values()), 'membrane')} in {counted(len(counts), 'tomogram')}: {done.folder / TABLE}",
        *(f"{n}: {counted(counts[n], 'membrane')}, {counted(points[n], 'point')}." for n in sorted(counts)),
    )
    run.methods(
        f"{counted(sum(counts.values()), 'membrane')} were measured with {PROGRAM} at points "
        f"{config.spacing:g} Å apart on their middle surfaces."
    )
    return MeasureMembranesOutputs(
        files=done.files(),
        particles=str(done.folder / ALL),
        instances=done.files("instances"),
        meshes={name: [str(done.folder / mesh) for mesh in item["meshes"]] for name, item in done.items.items()},
        table=str(done.folder / TABLE),
        counts=counts,
        points=points,
        pixel_size=done.pixel_size,
    )


def _write(config: MeasureMembranesConfig, name: str, path: str, membranes: Membranes) -> dict[str, typing.Any]:
    folder = Path(config.output)
    size, shape = membranes.segmentation.pixel_size, membranes.segmentation.shape
    with tomograms.VolumeWriter(
        folder / f"{name}.mrc", shape, size, np.int16, "cryodl: numbers of membranes", path
    ) as volume:
        for z, slab in membranes.instances():
            volume.write(z, slab)
    meshes = []
    for number, mesh in membranes.meshes.items():
        own = np.flatnonzero(membranes.number == number)
        first, second = membranes.curvatures[:, own[mesh.nearest]]
        values = dict(
            curvature_per_nm=5 * (first + second),
            thickness_angstrom=membranes.thickness[own[mesh.nearest]],
            distance_angstrom=membranes.distance[own[mesh.nearest]],
        )
        meshes.append(f"{name}_membrane_{number:03d}.ply")
        write_ply(folder / meshes[-1], mesh, size, volume_writer.origin_of(path), values)
    columns = _columns(membranes, name, config)
    tomogram_coordinates.write_coordinates3d(folder / f"{name}.star", [columns], [size])
    return dict(
        file=f"{name}.star",
        instances=f"{name}.mrc",
        meshes=meshes,
        rows=list(membranes.rows(name)),
        count=len(columns["rlnTomoName"]),
        pixel_size=size,
    )


def _columns(membranes: Membranes, name: str, config: MeasureMembranesConfig) -> dict[str, list[typing.Any]]:
    """Columns of the STAR file: those of pick-features, and what was measured at each point (0 where it cannot be
    told)."""
    size, shape = membranes.segmentation.pixel_size, membranes.segmentation.shape
    component = membranes.kept[membranes.number - 1]
    volumes = membranes.voxels[membranes.number - 1] * (size / 10) ** 3
    scores = membranes.components_found.scores[component]
    points = Points(membranes.zyx, membranes.number, volumes, scores, membranes.normals, np.arange(len(component)))
    points = points_inside(points, shape, config.border / size)
    row = points.lines
    first, second = np.nan_to_num(10 * membranes.curvatures[:, row])
    more = dict(
        cryodlMeanCurvature=(first + second) / 2,
        cryodlGaussianCurvature=first * second,
        cryodlThickness=np.nan_to_num(membranes.thickness[row]),
        cryodlDistance=np.where(np.isfinite(membranes.distance[row]), membranes.distance[row], 0),
        cryodlNearestMembrane=membranes.other[row],
    )
    found = point_columns(name, points, config.seed, shape, size)
    found.pop("rlnHelicalTubeID")
    return dict(found, **{key: list(values) for key, values in more.items()})
