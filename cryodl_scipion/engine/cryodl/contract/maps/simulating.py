# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that simulates half-maps."""

import dataclasses
import typing

from ..command import Command, Outputs, output
from ..fields import box_size_field, new_pixel_size_field, output_file_field
from ..params import Config, param


@dataclasses.dataclass(frozen=True)
class SimulateHalfMapsConfig(Config):
    """Simulate half-maps, full map and ground truth of an atomic model, with the imperfections of real maps."""

    structure: str = param("Atomic model (.pdb, .cif, also .gz).", label="Structure", path="file")
    resolution: float = param(
        "Resolution at which the FSC of the half-maps falls to 0.143.",
        label="Resolution",
        unit="Å",
        minimum=1.5,
        maximum=20,
    )
    output: str = output_file_field(
        "PREFIX of PREFIX_half1.mrc, _half2.mrc, _full.mrc (their mean), _truth.mrc (the model's density without noise "
        "and blur), _model.pdb or .cif (in the frame of the maps)."
    )
    pixel_size: float = new_pixel_size_field("Pixel size of the maps.", default=1.0, minimum=0.2, maximum=10)
    box: typing.Optional[int] = box_size_field(
        "Box size of the volumes.",
        maximum=1024,
        default=None,
        none_means="the structure with 20 Å of solvent on each side",
    )
    b_factor: float = param(
        "B-factor that blurs the maps, as in an unsharpened reconstruction.",
        default=100.0,
        label="B-factor",
        unit="Å²",
        minimum=0,
        maximum=1000,
    )
    flexibility: float = param(
        "Increase of the B-factor from the core to the surface and to flexible domains.",
        default=100.0,
        label="Flexibility",
        unit="Å²",
        minimum=0,
        maximum=1000,
    )
    anisotropy: float = param(
        "Anisotropy of the orientation distribution: 0 is uniform; at 1 there are almost no views along one direction.",
        default=0.2,
        label="Preferred orientation",
        minimum=0,
        maximum=1,
    )
    detergent: bool = param(
        "Add a belt of detergent around the middle, as around a membrane protein.",
        default=False,
        label="Detergent belt",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateHalfMapsOutputs(Outputs):
    """What `simulate-half-maps` wrote."""

    half1: str = output("First half-map.", path="file")
    half2: str = output("Second half-map.", path="file")
    full: str = output("Full map: the mean of both half-maps.", path="file", becomes="outputVolume: Volume")
    ground_truth: str = output("Map without noise and blur.", path="file", becomes="outputTruth: Volume")
    structure: str = output(
        "Atomic model in the frame of the maps.", path="file", becomes="outputStructure: AtomStruct"
    )
    pixel_size: float = output("Pixel size of the maps.", unit="Å/px")
    box: int = output("Box size of the maps.", unit="px")
    resolution: typing.Optional[float] = output(
        "Resolution at which the half-maps' FSC around the atoms falls below 0.143.", unit="Å"
    )
    b_factor: float = output("B-factor by which the full map was sharpened; 0 for none.", unit="Å²")


COMMANDS = (
    Command(
        "simulate-half-maps",
        SimulateHalfMapsConfig,
        SimulateHalfMapsOutputs,
        seeded=True,
        example="cryodl dev simulate-half-maps --structure 6vxx.cif --resolution 4 --output simulated/spike",
        dev=True,
    ),
)
