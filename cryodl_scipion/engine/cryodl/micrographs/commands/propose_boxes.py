# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl propose-boxes`: micrographs and their labelled particles in; background and contamination boxes out.

Result.outputs: folder, background and contamination (folders with one <micrograph>.star each), background_boxes and
contamination_boxes ({name: number}). Micrographs that cannot be used are in Result.skipped.
"""

from __future__ import annotations

import os
import typing
from pathlib import Path

import numpy as np

from ...contract import AllSkipped, ProposeBoxesConfig, Result, Skipped, counted, in_words
from ...contract.micrographs.picking import ProposeBoxesOutputs
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    from ..pickers.crops import LabelledImage
    from ..pickers.labels import Labels
    from ..pickers.propose import Proposal

KINDS = ("background", "contamination")
# px of the particle's diameter at which boxes are looked for: enough to tell particles from noise, and quick
WORKING_DIAMETER = 32.0


def run(config: ProposeBoxesConfig) -> Result:
    """Propose into <output>.partial, then rename."""
    check_output(config.output)
    from ...core.devices import set_threads
    from ...io.micrographs import pixel_size_warnings
    from ..pickers.labels import match_particles
    from ..pickers.propose import appearance_of, propose_boxes
    from ..pickers.seen import seen_particles

    set_threads()
    warnings: list[str] = []
    items = match_particles(config, warnings.append)
    warnings += pixel_size_warnings([item.path for item in items], config.pixel_size)
    for sentence in warnings:
        warn(sentence)
    images, shapes, skipped = _prepare(items, config)
    look = appearance_of(images, WORKING_DIAMETER)
    seen = seen_particles(images, WORKING_DIAMETER)
    proposals = {image.name: propose_boxes(image, look, config.count, seen=s) for image, s in zip(images, seen)}
    folder = working_folder(config, continues=False)
    _write(folder, proposals, {image.name: tuple(image.image.shape) for image in images}, shapes)
    finish_folder(folder, config.output)
    counts = {kind: {name: len(getattr(found, kind)) for name, found in proposals.items()} for kind in KINDS}
    print(
        f"{sum(counts['background'].values())} background and {sum(counts['contamination'].values())} contamination "
        f"boxes in {counted(len(images), 'micrograph')}: {config.output}"
    )
    if skipped:
        warnings.append(f"{counted(len(skipped), 'micrograph')} skipped: " + "; ".join(map(in_words, skipped[:5])))
    return Result(
        "propose-boxes",
        ProposeBoxesOutputs(
            folder=str(config.output),
            background=os.path.join(config.output, "background"),
            contamination=os.path.join(config.output, "contamination"),
            background_boxes=counts["background"],
            contamination_boxes=counts["contamination"],
            pixel_size=config.pixel_size,
        ),
        device="CPU",
        skipped=tuple(skipped),
        warnings=tuple(warnings),
    )


class _Scale(typing.NamedTuple):
    """Stands for a picker where none is run."""

    working_diameter: float


def _prepare(
    items: typing.Sequence[Labels], config: ProposeBoxesConfig
) -> tuple[list[LabelledImage], dict[str, tuple[int, ...]], list[Skipped]]:
    """LabelledImages, {name: shape of the micrograph}, and Skipped. The sign of bright protein is inverted.

    Raises AllSkipped if none can be used.
    """
    import dataclasses

    from ...io.micrographs import micrograph_shape
    from ..pickers.label_checks import judge_contrast, label_signal
    from ..pickers.labels import load_labelled

    scale, skipped = _Scale(WORKING_DIAMETER), list[Skipped]()
    images: list[LabelledImage] = []
    for item in items:
        try:
            images.append(load_labelled(item, scale, config.pixel_size, config.particle_diameter, "boxes"))
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(item.name, str(item.path), str(error)))
            print(f"Skipped {in_words(skipped[-1])}")
    if not images:
        raise AllSkipped(f"None of the {len(items)} micrographs could be used. The first: {in_words(skipped[0])}")
    if any(len(im.positives) for im in images):
        contrast, _ = judge_contrast(label_signal(images, WORKING_DIAMETER), "auto")
        if contrast == "bright":
            images = [dataclasses.replace(im, image=-im.image) for im in images]
    paths = {item.name: item.path for item in items}
    return images, {im.name: micrograph_shape(paths[im.name]) for im in images}, skipped


def _write(
    folder: Path,
    proposals: typing.Mapping[str, Proposal],
    working_shapes: typing.Mapping[str, tuple[int, ...]],
    shapes: typing.Mapping[str, tuple[int, ...]],
) -> None:
    """<kind>/<name>.star of each Proposal, in px of the micrographs."""
    from ...core.geometry import map_positions
    from ...io.coordinates import write_coordinates

    for kind in KINDS:
        (folder / kind).mkdir()
        for name, found in proposals.items():
            yx = map_positions(getattr(found, kind), working_shapes[name], shapes[name])
            write_coordinates(
                folder / kind / f"{name}.star", yx, np.ones(len(yx)), f"cryodl: {kind} boxes proposed for {name}"
            )
