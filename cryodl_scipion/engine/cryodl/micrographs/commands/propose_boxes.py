# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl propose-boxes`: micrographs and their labelled particles in; background and contamination boxes out. Propose
into <output>.partial, then rename."""

import dataclasses
import typing

import numpy as np

from ...contract import ProposeBoxesConfig, ProposeBoxesOutputs, counted
from ...core.geometry import map_positions
from ...io import coordinates, micrographs
from ...running.runner import Run, command
from ..pickers import fill_in, label_checks
from ..pickers.general_view import seen_particles
from ..pickers.labels import load_labelled, match_particles

KINDS = ("background", "contamination")
# px of the particle's diameter at which boxes are looked for: enough to tell particles from noise, and quick
WORKING_DIAMETER = 32.0


class _Scale(typing.NamedTuple):
    """Stands for a picker where none is run."""

    working_diameter: float


@command
def propose_boxes(config: ProposeBoxesConfig, run: Run) -> ProposeBoxesOutputs:
    run.take_device()
    items = match_particles(config, run.warn, run.names)
    run.warn(*micrographs.pixel_size_warnings([item.path for item in items], config.pixel_size))
    labels, scale = {item.name: item for item in items}, _Scale(WORKING_DIAMETER)
    load = lambda name, _: load_labelled(labels[name], scale, config.pixel_size, config.particle_diameter, "boxes")
    images = list(run.each([(item.name, str(item.path)) for item in items], "micrograph", "used", load).values())
    if any(len(im.positives) for im in images):
        contrast, _ = label_checks.judge_contrast(label_checks.label_signal(images, WORKING_DIAMETER), "auto")
        if contrast == "bright":
            images = [dataclasses.replace(im, image=-im.image) for im in images]
    look, seen = fill_in.appearance_of(images, WORKING_DIAMETER), seen_particles(images, WORKING_DIAMETER)
    proposals = {im.name: fill_in.proposed_boxes(im, look, config.count, seen=s) for im, s in zip(images, seen)}
    paths = {item.name: item.path for item in items}
    folder, counts = run.folder(continues=False), dict[str, dict[str, int]]()
    for kind in KINDS:
        (folder / kind).mkdir()
        for image in images:
            found = getattr(proposals[image.name], kind)
            yx = map_positions(found, tuple(image.image.shape), micrographs.micrograph_shape(paths[image.name]))
            title = f"cryodl: {kind} boxes proposed for {image.name}"
            coordinates.write_coordinates(folder / kind / f"{image.name}.star", yx, np.ones(len(yx)), title)
            counts.setdefault(kind, {})[image.name] = len(found)
    run.summary(
        f"{sum(counts['background'].values())} background and {sum(counts['contamination'].values())} contamination "
        f"boxes in {counted(len(images), 'micrograph')}: {config.output}"
    )
    return ProposeBoxesOutputs(
        folder=str(config.output),
        background=run.at("background"),
        contamination=run.at("contamination"),
        background_boxes=counts["background"],
        contamination_boxes=counts["contamination"],
        pixel_size=config.pixel_size,
    )
