# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that improve maps, and of what their networks learn from."""

import dataclasses
import typing

from ..command import Command, Details, Outputs, TrainingOutputs, output
from ..fields import (
    Paths,
    batch_field,
    batch_size_field,
    leave_out_field,
    model_field,
    model_folder_field,
    network_field,
    output_folder_field,
    resolution_field,
    start_from_field,
    steps_field,
)
from ..networks import IMPROVER_NETWORKS
from ..params import Config, found, param
from .map_fields import (
    half_map_problems,
    half_maps_field,
    map_field,
    map_pixel_size_field,
    mask_field,
    mask_radius_field,
    resolution_problems,
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


@dataclasses.dataclass(frozen=True)
class TrainMapImproverConfig(Config):
    """Train a network that turns reconstructed maps into maps simulated from their atomic models."""

    output: str = model_folder_field()
    pairs: typing.Optional[str] = param(
        "Table (.csv) with the columns map, structure, resolution (Å); paths are relative to the table. The "
        "structures must be in the coordinate frame of their maps.",
        default=None,
        label="Map and model pairs",
        path="file",
        none_means="simulated maps only",
    )
    structures: Paths = param(
        "Atomic models to simulate maps from (glob, files or list file).",
        default=(),
        label="Structures to simulate from",
        path="file",
    )
    leave_out: Paths = leave_out_field(
        "Structures not to learn from, by file name without extension, to keep molecules for tests. Similar "
        "proteins are left out with them."
    )
    network: str = network_field(
        "fast: this project's small 3-D Swin-Conv-UNet for CPUs. swinconv: the published network (EMReady); large, "
        "meant for a GPU.",
        default="fast",
        choices=IMPROVER_NETWORKS,
    )
    simulated: int = param(
        "Number of maps simulated from each structure, with different resolutions and imperfections.",
        default=4,
        label="Simulated maps per structure",
        minimum=0,
        maximum=1000,
    )
    resolution_min: float = param(
        "Finest resolution of simulated maps.", default=3.0, label="Finest resolution", unit="Å", minimum=1, maximum=20
    )
    resolution_max: float = param(
        "Coarsest resolution of simulated maps.",
        default=6.0,
        label="Coarsest resolution",
        unit="Å",
        minimum=1,
        maximum=20,
    )
    working_pixel_size: float = param(
        "Pixel size that maps are resampled to. Use 0.5 for maps of a resolution better than 3 Å.",
        default=1.0,
        label="Working pixel size",
        unit="Å/px",
        minimum=0.3,
        maximum=3,
        expert=True,
    )
    target_resolution: float = param(
        "Resolution of the targets, whatever the map's resolution: with sharp targets the network recovers all "
        "detail that the map supports. 0: the map's resolution (as published).",
        default=3.0,
        label="Resolution of targets",
        unit="Å",
        minimum=0,
        maximum=20,
        expert=True,
    )
    start_from: typing.Optional[str] = start_from_field()
    steps: typing.Optional[int] = steps_field()
    batch_size: typing.Optional[int] = batch_size_field("Boxes per training step.", maximum=1024)

    def check_together(self) -> typing.List[str]:
        return [
            *found(
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
            ),
            *resolution_problems(self),
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainMapImproverOutputs(TrainingOutputs):
    """What `train-map-improver` made."""

    maps: int = output("Number of training maps.")
    working_pixel_size: float = output("Working pixel size of the network.", unit="Å/px")


@dataclasses.dataclass(frozen=True)
class ListPairsConfig(Config):
    """Turn a list of EMDB and PDB ids into download addresses and a table of pairs for training a map improver."""

    ids: str = param(
        "List (.csv) with the columns emdb_id, pdb_id (or fitted_pdbs, as EMDB's own tables call it) and resolution "
        "(Å); other columns are ignored.",
        label="List of ids",
        path="file",
    )
    output: str = output_folder_field(
        "Folder for addresses.txt (one address per line) and pairs.csv. Download the files into it. It must not exist."
    )
    resolution_min: float = param(
        "Pairs of a finer resolution are left out.",
        default=3.0,
        label="Finest resolution",
        unit="Å",
        minimum=0.5,
        maximum=50,
    )
    resolution_max: float = param(
        "Pairs of a coarser resolution are left out.",
        default=6.0,
        label="Coarsest resolution",
        unit="Å",
        minimum=0.5,
        maximum=50,
    )

    def check_together(self) -> typing.List[str]:
        return resolution_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ListPairsOutputs(Outputs):
    """What `list-pairs` wrote."""

    addresses: str = output("Download addresses, one per line.", path="file")
    pairs: str = output("Table of pairs for train-map-improver.", path="file")
    count: int = output("Pairs.")
    maps: int = output("Number of maps to download.")
    models: int = output("Number of atomic models to download.")
    excluded: int = output("Number of pairs that were left out because of their resolution.")


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
    Command(
        "list-pairs",
        ListPairsConfig,
        ListPairsOutputs,
        fresh="Output folder",
        threads=False,
        example="cryodl dev list-pairs --ids emdb.csv --output pairs/\ncd pairs && wget -c -i addresses.txt",
        dev=True,
    ),
)
