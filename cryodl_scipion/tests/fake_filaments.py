# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake engine says of filaments: mic_002 has two of three segments, mic_009 none; short files are bad."""

import os

from cryodl import contract

COLUMNS = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnHelicalTubeID",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    "rlnHelicalTrackLengthAngst",
    "rlnAnglePsiFlipRatio",
    "rlnAutopickFigureOfMerit",
)


def pickFilaments(config):
    """Files with three segments on each filament."""
    os.makedirs(config.output, exist_ok=True)
    counts, filaments, coordinates, skipped = {}, {}, {}, []
    for name, path in zip(config.names, config.micrographs):
        if os.path.getsize(path) < 4096:
            skipped.append(contract.Skipped(name, path, "the file is shorter than its header says"))
            continue
        number = int(name.rsplit("_", 1)[1])
        rows = [
            (20.4 + 10 * position, 30.0 * tube, tube, 90, -45.0, 40.0 * position, 0.5, 0.9)
            for tube in range(1, (number % 9) + 1)
            for position in range(3)
        ]
        coordinates[name] = os.path.join(config.output, name + ".star")
        with open(coordinates[name], "w") as file:
            file.write("data_\n\nloop_\n" + "".join(f"_{column} #{n}\n" for n, column in enumerate(COLUMNS, 1)))
            file.writelines(" ".join(str(value) for value in row) + "\n" for row in rows)
        counts[name], filaments[name] = len(rows), number % 9
    if not counts:
        raise contract.AllSkipped(f"None of {len(skipped)} micrographs could be picked. The first: {skipped[0].reason}")
    return dict(
        folder=config.output,
        pixel_size=config.pixel_size,
        coordinates=coordinates,
        counts=counts,
        filaments=filaments,
        lengths={name: 80.0 * n for name, n in filaments.items()},
        segments=sum(counts.values()),
        threshold=0.5,
        filament_diameter=config.filament_diameter,
        segment_distance=40.0,
        model="filaments",
        pictures={},
    ), skipped


WORK = {"pick-filaments": pickFilaments}
