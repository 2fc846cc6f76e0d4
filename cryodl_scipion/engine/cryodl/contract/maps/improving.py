# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that improve maps, and of what their networks learn from."""

import typing

from .. import fields, networks
from ..command import Command, Config, Details, Outputs, Paths, TrainingOutputs, found, output, param
from . import map_fields

INPUT_WEIGHT = 0.4  # weight of the input in an improved map


class ImproveMapConfig(Config):
    """Improve the local contrast of a map with a trained network."""

    map: typing.Optional[str] = map_fields.map("Map to improve.", default=None, none_means="none")
    half_maps: Paths = map_fields.half_maps()
    output: typing.Optional[str] = param(
        "Improved map to write, on the grid of the input. If only half-maps are given, their mean is improved.",
        None,
        label="Improved map",
        path="file",
        none_means="the input's name with _improved, in the current folder",
    )
    model: str = fields.model("Map improver: a model folder, or the name of a shipped model.", default="improver")
    pixel_size: typing.Optional[float] = map_fields.map_pixel_size()
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution of the map. Outside the range that the model was trained for, the map is not changed.",
        none_means="FSC 0.143 of the half-maps; without them, or if they agree up to Nyquist, an estimate from the map",
        limits=(1, 100),
    )
    mask: typing.Optional[str] = map_fields.mask()
    mask_structure: typing.Optional[str] = param(
        "Atomic model to mask with: farther than Mask radius from its atoms, the map is set to zero.",
        None,
        label="Structure for the mask",
        path="file",
        none_means="no mask from a structure",
    )
    mask_radius: float = map_fields.mask_radius()
    input_weight: float = param(
        "Weight of the input in the improved map, where the network sees density. The input is first filtered to "
        "match the network's output as well as possible; what is coarser than 20 Å is the input's alone. 0: the "
        "network's output alone. Higher values are safer for maps unlike the training maps, but improve them less.",
        INPUT_WEIGHT,
        label="Weight of the input",
        limits=(0, 1),
        expert=True,
    )
    overlap: int = param(
        "Overlap of neighbouring boxes, which are 48 px wide. With more overlap the result depends less on the "
        "positions of the boxes, but takes longer. Odd numbers are better, since boxes then start at both odd and "
        "even voxels.",
        27,
        "px",
        limits=(0, 44),
        expert=True,
    )
    batch_size: typing.Optional[int] = fields.batch(
        "Number of boxes that the network processes at a time.",
        default=None,
        limits=(1, 1024),
        none_means="chosen for the device",
    )

    def check_together(self) -> typing.List[str]:
        missing = "No map is given. Give a map (--map) or two half-maps (--half-maps)."
        return found((not self.map and not self.half_maps, missing)) or map_fields.half_map_problems(self)


class ImproveMapOutputs(Outputs):
    map: str = output(
        "The improved map, on the grid of the input.",
        path="file",
        becomes="outputVolume: Volume, outputVolumes: SetOfVolumes",
    )
    doubt: typing.Optional[str] = output(
        "Map of doubt: 0 where the density is in the data, 1 where it is not; null without half-maps.",
        path="file",
        becomes="outputDoubt: Volume, outputDoubts: SetOfVolumes",
    )
    residues: typing.Optional[str] = output(
        "Table (.csv) of the doubt of each residue of the structure for the mask; null without.", path="file"
    )
    half1: typing.Optional[str] = output("First improved half-map; null without half-maps.", path="file")
    half2: typing.Optional[str] = output("Second improved half-map; null without half-maps.", path="file")
    pixel_size: float = output("Pixel size of the maps.", "Å/px")
    model: str = output("Name of the model.")
    working_pixel_size: float = output("Working pixel size of the network.", "Å/px")
    resolution: typing.Optional[float] = output("Resolution of the input; null if it could not be estimated.", "Å")
    unchanged: typing.Optional[str] = output("Why the map was not changed; null if it was improved.")
    half_map_test: typing.Optional[Details] = output(
        "Half-map test with its control (contract.half_map_verdict); null without half-maps."
    )


class TrainMapImproverConfig(Config):
    """Train a network that turns reconstructed maps into maps simulated from their atomic models."""

    output: str = fields.model_folder()
    pairs: typing.Optional[str] = param(
        "Table (.csv) with the columns map, structure, resolution (Å); paths are relative to the table. The "
        "structures must be in the coordinate frame of their maps.",
        None,
        label="Map and model pairs",
        path="file",
        none_means="simulated maps only",
    )
    structures: Paths = param(
        "Atomic models to simulate maps from (glob, files or list file).",
        (),
        label="Structures to simulate from",
        path="file",
    )
    leave_out: Paths = fields.leave_out(
        "Structures not to learn from, by file name without extension, to keep molecules for tests. Similar proteins "
        "are left out with them."
    )
    network: str = fields.network(
        "fast: this project's small 3-D Swin-Conv-UNet for CPUs. swinconv: the published network (EMReady); large, "
        "meant for a GPU.",
        default="fast",
        choices=networks.IMPROVER_NETWORKS,
    )
    simulated: int = param(
        "Number of maps simulated from each structure, with different resolutions and imperfections.",
        4,
        label="Simulated maps per structure",
        limits=(0, 1000),
    )
    resolution_min: float = param(
        "Finest resolution of simulated maps.", 3.0, "Å", label="Finest resolution", limits=(1, 20)
    )
    resolution_max: float = param(
        "Coarsest resolution of simulated maps.", 6.0, "Å", label="Coarsest resolution", limits=(1, 20)
    )
    working_pixel_size: float = param(
        "Pixel size that maps are resampled to. Use 0.5 for maps of a resolution better than 3 Å.",
        1.0,
        "Å/px",
        limits=(0.3, 3),
        expert=True,
    )
    target_resolution: float = param(
        "Resolution of the targets, whatever the map's resolution: with sharp targets the network recovers all detail "
        "that the map supports. 0: the map's resolution (as published).",
        3.0,
        "Å",
        label="Resolution of targets",
        limits=(0, 20),
        expert=True,
    )
    start_from: typing.Optional[str] = fields.start_from()
    steps: typing.Optional[int] = fields.steps()
    batch_size: typing.Optional[int] = fields.batch_size("Boxes per training step.", limits=(1, 1024))

    def check_together(self) -> typing.List[str]:
        return found(
            (
                not self.pairs and not self.structures,
                "No training data are given. Give pairs of maps and models (--pairs), or structures to simulate "
                "from (--structures).",
            ),
            (
                not self.pairs and self.structures and not self.simulated,
                "Simulated maps per structure (--simulated) is 0 and there are no pairs (--pairs): there are no "
                "training data. Give one of them.",
            ),
            (
                self.resolution_max < self.resolution_min,
                f"Coarsest resolution (--resolution-max) is {self.resolution_max:g} Å, finer than the finest "
                f"(--resolution-min) of {self.resolution_min:g} Å.",
            ),
        )


class TrainMapImproverOutputs(TrainingOutputs):
    maps: int = output("Number of training maps.")
    working_pixel_size: float = output("Working pixel size of the network.", "Å/px")


COMMANDS = (
    Command(
        "improve-map",
        ImproveMapConfig,
        ImproveMapOutputs,
        gpu=True,
        example="cryodl improve-map --map map.mrc --half-maps half1.mrc half2.mrc --output improved.mrc",
    ),
    Command(
        "train-map-improver",
        TrainMapImproverConfig,
        TrainMapImproverOutputs,
        gpu=True,
        several=True,
        seeded=True,
        example="cryodl dev train-map-improver --structures 'structures/*.cif' --pairs pairs.csv --output models/mine",
        dev=True,
    ),
)
