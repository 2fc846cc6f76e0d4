# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that the fake engine cuts out: boxes inverted, nothing else. The number in a micrograph's name decides its
CTF."""

import os

import fake_compare
import mrcfile
import numpy as np
from fake_stops import dieSometimes

from cryodl import contract


def extract(config):
    """As `cryodl extract-particles`; extracted.log tells what was done."""
    folder, side = os.path.splitext(config.output)[0], config.box_in_pixels()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(os.path.dirname(config.output), "..", "extracted.log"), "a") as log:
        log.write("".join(name + "\n" for name in config.names))
    known = None if config.ctf is None else open(config.ctf).read()
    rows, counts, edge, skipped = [], {}, {}, []
    for done, (name, path) in enumerate(zip(config.names, config.micrographs)):
        dieSometimes(folder, done)
        if os.path.getsize(path) < 4096 or known is not None and name + ".mrc" not in known:
            skipped.append(contract.Skipped(name, path, "it has no CTF (--ctf)"))
            continue
        image, boxes = mrcfile.read(path), []
        for number, (x, y, *_) in enumerate(fake_compare.rows(os.path.join(config.coordinates, name + ".star")), 1):
            top, left = int(y) - side // 2, int(x) - side // 2
            if min(top, left) < 0 or top + side > image.shape[0] or left + side > image.shape[1]:
                edge[name] = edge.get(name, 0) + 1
                continue
            boxes.append(-image[top : top + side, left : left + side].astype(np.float32))
            rows.append(f"{len(boxes):06d}@{folder}/{name}.mrcs {path} {number}")
        counts[name] = len(boxes)
        if boxes:
            with mrcfile.new(os.path.join(folder, name + ".mrcs"), overwrite=True) as mrc:
                mrc.set_data(np.array(boxes))
    if not counts:
        raise contract.AllSkipped(f"No particle could be extracted. The first: {skipped[0].reason}")
    columns = ["rlnImageName", "rlnMicrographName", "cryodlPickNumber"]
    lines = (
        ["data_particles", "", "loop_"] + [f"_{column} #{number}" for number, column in enumerate(columns, 1)] + rows
    )
    with open(config.output, "w") as file:
        file.write("\n".join(lines) + "\n")
    return dict(
        particles=config.output,
        folder=folder,
        stacks={name: os.path.join(folder, name + ".mrcs") for name, count in counts.items() if count},
        counts=counts,
        at_edge=edge,
        unusable={},
        count=len(rows),
        box=side,
        pixel_size=config.pixel_size,
    ), skipped


WORK = {"extract-particles": extract}
