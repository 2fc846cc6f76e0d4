# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl export-tomograms`: volumes and coordinates in; OME-Zarr, and files of other programs out. Write everything
into <output>.partial, then rename."""

from ...contract import ExportTomogramsConfig, ExportTomogramsOutputs, counted
from ...io import volume_writer, zarr_writer
from ...io.files import expand_paths, name_tomograms
from ...running.runner import Run, command
from ..features import particle_coordinates, point_files
from ..features.volumes import opened


@command
def export_tomograms(config: ExportTomogramsConfig, run: Run) -> ExportTomogramsOutputs:
    named = name_tomograms(expand_paths(config.tomograms), config.names)
    sources = run.each(named, "volume", "written", lambda _, path: opened(path, config.pixel_size, run))
    tomograms = {name: tomogram for name, (tomogram, _) in sources.items()}
    sizes = {name: size for name, (_, size) in sources.items()}
    notes: list[str] = []
    poses = particle_coordinates.read_poses(config.coordinates, tomograms, sizes, notes) if config.coordinates else {}
    there = {name: each for name, each in poses.items() if each}
    folder = run.folder(continues=False)
    for name, (tomogram, size) in sources.items() if config.volumes else ():
        levels = zarr_writer.write_zarr(
            folder / f"{name}.zarr", tomogram, size, volume_writer.origin_of(tomogram.path), config.labels
        )
        print(f"{name}.zarr: {counted(levels, 'level')}.")
    volumes = {name: run.at(f"{name}.zarr") for name in sources if config.volumes}
    points = point_files.write_points(folder, there, tomograms, sizes, config)
    run.warn(*notes, *point_files.left_unsaid(there, config))
    counts = {name: sum(map(len, each.values())) for name, each in there.items()}
    run.summary(
        f"{counted(len(volumes), 'volume')} and {counted(sum(counts.values()), 'coordinate')} of "
        f"{counted(len(tomograms), 'tomogram')}: {config.output}"
    )
    return ExportTomogramsOutputs(
        folder=str(config.output),
        volumes=volumes,
        points={name: {form: run.at(file) for form, file in files.items()} for name, files in points.items()},
        counts=counts,
        pixel_sizes=sizes,
    )
