# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that simulates subtomograms."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, output_file_field, seed_field
from ..optics import optics_field
from ..outputs import Outputs, output
from ..params import param
from ..search_fields import max_shift_field
from ..simulation_fields import box_size_field, new_pixel_size_field, protein_contrast_field, snr_field
from .tilt_fields import tilt_problems, tilt_series_field


@dataclasses.dataclass(frozen=True)
class SimulateSubtomogramsConfig:
    """Simulate subtomograms of several structures with missing wedge, CTF and noise, and their exact classes and
    angles."""

    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz), at least one (glob, files or list "
        "file). Each is a class: 1, 2, ... in this order.",
        label="Structures",
        path="file",
    )
    output: str = output_file_field(
        "STAR file to write (RELION 3.1: classes, true angles and shifts, half sets). The volumes are written "
        "beside it, into NAME/."
    )
    pixel_size: float = new_pixel_size_field("Pixel size of the subtomograms.", default=10.0, minimum=0.5, maximum=200)
    box: int = box_size_field("Box size of the subtomograms; an even number.", maximum=512, default=40)
    count: int = param(
        "Number of subtomograms of each structure.",
        default=100,
        label="Subtomograms per structure",
        minimum=1,
        maximum=1000000,
    )
    snr: float = snr_field(
        "Signal-to-noise ratio: variance of the noise-free subtomogram with its missing wedge, within the "
        "particle's sphere, over the variance of the noise.",
        default=0.1,
    )
    max_shift: float = max_shift_field(
        "Maximum distance of a particle from the centre of its box, along each axis.", default=20.0
    )
    tilt_min: float = tilt_series_field("tilt_min")
    tilt_max: float = tilt_series_field("tilt_max")
    tilt_step: float = tilt_series_field("tilt_step")
    defocus: float = tilt_series_field("defocus")
    defocus_spread: float = tilt_series_field("defocus_spread")
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    contrast: str = protein_contrast_field("bright")
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        problems = tilt_problems(self)
        if self.box % 2:
            problems.append(f"Box size (--box) is {self.box} px; it must be even. Choose {self.box + 1}.")
        return problems


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateSubtomogramsOutputs(Outputs):
    """What `simulate-subtomograms` wrote."""

    subtomograms: str = output(
        "STAR file with the true classes, angles and shifts.",
        path="file",
        becomes="outputSubtomograms: SetOfSubTomograms",
    )
    count: int = output("Subtomograms.")
    box: int = output("Box size of the subtomograms.", unit="px")
    pixel_size: float = output("Pixel size of the subtomograms.", unit="Å/px")
    classes: typing.List[str] = output("Names of the classes, in the order of their numbers.")


COMMANDS = (
    Command(
        "simulate-subtomograms",
        SimulateSubtomogramsConfig,
        SimulateSubtomogramsOutputs,
        gpu=True,
        example="cryodl simulate-subtomograms --structures 'structures/*.pdb' --snr 0.1 --output simulated.star",
        kept="chunk",
    ),
)
