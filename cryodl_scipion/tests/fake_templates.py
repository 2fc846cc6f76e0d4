# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake engine finds by templates: two places in each micrograph, one of which reaches a threshold of 0.5."""

import os

from cryodl import contract

DIAMETER = 120.0  # of every structure
PLACES = ((20.4, 30.0, 0.62), (40.0, 60.0, 0.31))


def pickTemplates(config):
    """Files with one pick and two candidates each; short files are bad."""
    folders = [config.output, os.path.join(config.output, "candidates")]
    threshold = 0.5 if config.threshold is None else config.threshold
    files, counts, skipped = [{}, {}], {}, []
    os.makedirs(folders[1], exist_ok=True)
    for name, path in zip(config.names, config.micrographs):
        if os.path.getsize(path) < 4096:
            skipped.append(contract.Skipped(name, path, "the file is shorter than its header says"))
            continue
        for folder, ofKind, minimum in zip(folders, files, (threshold, 0.0)):
            ofKind[name] = os.path.join(folder, name + ".star")
            columns = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")
            with open(ofKind[name], "w") as file:
                file.write("data_\n\nloop_\n" + "".join(f"_{column} #{n}\n" for n, column in enumerate(columns, 1)))
                file.writelines(" ".join(map(str, position)) + "\n" for position in PLACES if position[2] >= minimum)
        counts[name] = sum(score >= threshold for _, _, score in PLACES)
    return dict(
        folder=config.output,
        coordinates=files[0],
        candidates=files[1],
        counts=counts,
        picks=sum(counts.values()),
        threshold=threshold,
        thresholds={},
        threshold_uncertainty=None,
        contrast="dark",
        expected_particles={},
        expected=None,
        model="",
        expected_false_picks=0,
        particle_diameter=config.particle_diameter or DIAMETER,
        pixel_size=config.pixel_size,
        templates=3 if config.structure is None else 720,
        pictures={},
    ), skipped
