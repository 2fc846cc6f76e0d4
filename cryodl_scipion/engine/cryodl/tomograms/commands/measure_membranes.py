# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl measure-membranes`: segmentations in; membranes one by one, meshes, a table and points on them out.

A finished tomogram is not measured again, so that tomograms may arrive in several runs; other parameters are refused.
Measure what is not measured yet."""

from functools import partial

from ...contract import MeasureMembranesConfig, MeasureMembranesOutputs, counted, some_names
from ...io import files
from ...running.runner import PROGRAM, Run, command
from ..features.measured_membranes import COLUMNS, INSTANCES, Membranes, measured_membranes, write_membranes
from ..features.volumes import ALL, OF_CRYODL, each_volume, labels_there

INDEX, TABLE = "measure_membranes.json", "membranes.csv"


@command
def measure_membranes(config: MeasureMembranesConfig, run: Run) -> MeasureMembranesOutputs:
    def measured(path: str) -> Membranes:
        membranes = measured_membranes(path, config)
        run.warn(membranes.segmentation.note)
        return membranes

    done = each_volume(run, INDEX, measured, partial(write_membranes, config), star=OF_CRYODL, mrc=INSTANCES.encode())
    rows = (row for _, item in sorted(done.record.items.items()) for row in item["rows"])
    files.write_csv(done.folder / TABLE, COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    counts = {name: len(item["rows"]) for name, item in done.items.items()}
    points = {name: item["count"] for name, item in done.items.items()}
    without = [name for name, count in counts.items() if not count]
    if without:
        run.warn(
            f"No membrane was found in {some_names(without, 5)}: nothing of the label or above the threshold is larger "
            f"than {config.minimum_size:g} nm³ (--minimum-size). Check label, threshold and minimum size."
            + labels_there(config, without)
        )
    run.summary(
        f"{counted(sum(counts.values()), 'membrane')} in {counted(len(counts), 'tomogram')}: {done.folder / TABLE}",
        *(f"{n}: {counted(counts[n], 'membrane')}, {counted(points[n], 'point')}." for n in sorted(counts)),
    )
    run.methods(
        f"{counted(sum(counts.values()), 'membrane was', 'membranes were')} measured with {PROGRAM} at points "
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
