# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that improves maps."""

import dataclasses
import typing

from ..command import Command, Details, Outputs, output
from ..fields import Paths, batch_field, model_field, resolution_field
from ..params import Config, found, param
from .map_fields import (
    half_map_problems,
    half_maps_field,
    map_field,
    map_pixel_size_field,
    mask_field,
    mask_radius_field,
)

INPUT_WEIGHT = 0.3  # weight of the input in an improved map


@dataclasses.dataclass(frozen=True)
class ImproveMapConfig(Config):
    """Improve the local contrast of a map with a trained network."""

    map: typing.Optional[str] = map_field("Map to improve.", default=None, none_means="none")
    half_maps: Paths = half_maps_field()
    output: typing.Optional[str] = param(
        "Improved map to write, on the grid of the input. If only half-maps are given, their mean is improved.",
        default=None,
        label="Improved map",
        path="file",
        none_means="the input's name with _improved, in the current folder",
    )
    model: str = model_field("Map improver: a model folder, or the name of a shipped model.", default="improver")
    pixel_size: typing.Optional[float] = map_pixel_size_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution of the map. Outside the range that the model was trained for, the map is not changed.",
        none_means="FSC 0.143 of the half-maps; without them, or if they agree up to Nyquist, an estimate from the map",
        minimum=1,
        maximum=100,
    )
    mask: typing.Optional[str] = mask_field()
    mask_structure: typing.Optional[str] = param(
        "Atomic model to mask with: farther than Mask radius from its atoms, the map is set to zero.",
        default=None,
        label="Structure for the mask",
        path="file",
        none_means="no mask from a structure",
    )
    mask_radius: float = mask_radius_field()
    confidence: bool = param(
        "Also write NAME_confidence.mrc: the network's probability that there is density. Do not trust density of "
        "the improved map where this probability is low.",
        default=True,
        label="Confidence map",
    )
    input_weight: float = param(
        "Weight of the input in the improved map, where the network sees density. The input is first filtered to "
        "match the network's output as well as possible. 0: the network's output alone. Higher values are safer for "
        "maps unlike the training maps, but improve the map less.",
        default=INPUT_WEIGHT,
        label="Weight of the input",
        minimum=0,
        maximum=1,
        expert=True,
    )
    overlap: int = param(
        "Overlap of neighbouring boxes, which are 48 px wide. With more overlap the result depends less on the "
        "positions of the boxes, but takes longer. Odd numbers are better, since boxes then start at both odd and "
        "even voxels.",
        default=27,
        label="Overlap",
        unit="px",
        minimum=0,
        maximum=44,
        expert=True,
    )
    batch_size: typing.Optional[int] = batch_field(
        "Number of boxes that the network processes at a time.",
        default=None,
        maximum=1024,
        none_means="chosen for the device",
    )

    def check_together(self) -> typing.List[str]:
        missing = "No map is given. Give a map (--map) or two half-maps (--half-maps)."
        return found((not self.map and not self.half_maps, missing)) or half_map_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ImproveMapOutputs(Outputs):
    """What `improve-map` wrote."""

    map: str = output(
        "The improved map, on the grid of the input.",
        path="file",
        becomes="outputVolume: Volume, outputVolumes: SetOfVolumes",
    )
    confidence: typing.Optional[str] = output(
        "Confidence map: the probability that there is density; null if the network gives none.",
        path="file",
        becomes="outputConfidence: Volume, outputConfidences: SetOfVolumes",
    )
    half1: typing.Optional[str] = output("First improved half-map; null without half-maps.", path="file")
    half2: typing.Optional[str] = output("Second improved half-map; null without half-maps.", path="file")
    pixel_size: float = output("Pixel size of the maps.", unit="Å/px")
    model: str = output("Name of the model.")
    working_pixel_size: float = output("Working pixel size of the network.", unit="Å/px")
    resolution: typing.Optional[float] = output("Resolution of the input; null if it could not be estimated.", unit="Å")
    unchanged: typing.Optional[str] = output("Why the map was not changed; null if it was improved.")
    half_map_test: typing.Optional[Details] = output(
        "Half-map test with its control (contract.half_map_verdict); null without half-maps."
    )


COMMANDS = (
    Command(
        "improve-map",
        ImproveMapConfig,
        ImproveMapOutputs,
        gpu=True,
        example="cryodl improve-map --map map.mrc --half-maps half1.mrc half2.mrc --output improved.mrc",
    ),
)
