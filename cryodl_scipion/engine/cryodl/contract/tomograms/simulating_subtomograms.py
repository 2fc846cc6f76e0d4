# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that simulates subtomograms."""

import dataclasses
import typing

from ..fields import Paths, device_field, seed_field, threads_field, tilt_problems
from ..optics import optics_field
from ..outputs import Outputs, output
from ..params import param
from .tilt_fields import tilt_series_field


@dataclasses.dataclass(frozen=True)
class SimulateSubtomogramsConfig:
    """Simulate subtomograms of several structures, with missing wedge, CTF, noise, and exact classes and angles."""

    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz), at least one (glob, files or list "
        "file). Each is a class: 1, 2, ... in this order.",
        label="Structures",
        path="file",
    )
    output: str = param(
        "STAR file to write (RELION 3.1: classes, true angles and shifts, half sets). The volumes lie "
        "beside it in NAME/.",
        label="Output",
        path="file",
    )
    pixel_size: float = param("Pixel size.", default=10.0, label="Pixel size", unit="Å/px", minimum=0.5, maximum=200)
    box: int = param("Side of the cubes; even.", default=40, label="Box size", unit="px", minimum=16, maximum=512)
    count: int = param(
        "Subtomograms of each structure.", default=100, label="Subtomograms per structure", minimum=1, maximum=1000000
    )
    snr: float = param(
        "Signal-to-noise ratio: variance of the clean subtomogram, inside the particle's sphere and "
        "with its missing wedge, over the variance of the noise.",
        default=0.1,
        label="SNR",
        minimum=1e-6,
        maximum=1000000,
    )
    max_shift: float = param(
        "Largest distance of a particle from its box's centre, along each axis.",
        default=20.0,
        label="Maximum shift",
        unit="Å",
        minimum=0,
        maximum=1000,
    )
    tilt_min: float = tilt_series_field("tilt_min")
    tilt_max: float = tilt_series_field("tilt_max")
    tilt_step: float = tilt_series_field("tilt_step")
    defocus: float = tilt_series_field("defocus")
    defocus_spread: float = tilt_series_field("defocus_spread")
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    contrast: str = param(
        "Whether protein is brighter or darker than its surroundings.",
        default="bright",
        label="Contrast",
        choices=("dark", "bright"),
    )
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        problems = tilt_problems(self)
        if self.box % 2:
            problems.append(f"Box size (--box) is {self.box} px; it must be even. Choose {self.box + 1}.")
        return problems


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateSubtomogramsOutputs(Outputs):
    """What `simulate-subtomograms` wrote."""

    subtomograms: str = output("STAR file with the truth.", path="file")
    count: int = output("Subtomograms.")
    box: int = output("Side of the subtomograms.", unit="px")
    pixel_size: float = output("Of the subtomograms.", unit="Å/px")
    classes: typing.List[str] = output("Names in the order of the class numbers.")
