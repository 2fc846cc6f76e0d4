# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that estimates the CTF of micrographs."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, micrographs_field, names_field, output_file_field, pixel_size_field
from ..outputs import Details, Outputs, Texts, output
from ..params import param


@dataclasses.dataclass(frozen=True)
class EstimateCtfConfig:
    """Estimate defocus and astigmatism of micrographs from the Thon rings in their power spectra."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    voltage: float = param(
        "Acceleration voltage of the microscope.", label="Voltage", unit="kV", minimum=20, maximum=1000
    )
    spherical_aberration: float = param(
        "Spherical aberration of the microscope.", label="Cs", unit="mm", minimum=0, maximum=10
    )
    output: str = output_file_field(
        "STAR file for the results. Power spectra and fits are written to a folder beside it, of the same name "
        "without .star. An interrupted run continues there."
    )
    amplitude_contrast: float = param(
        "Amplitude contrast as a fraction of the total contrast.",
        default=0.1,
        label="Amplitude contrast",
        minimum=0,
        maximum=1,
    )
    minimum_defocus: float = param(
        "Minimum defocus to search; positive values are underfocus.",
        default=3000.0,
        label="Minimum defocus",
        unit="Å",
        minimum=500,
        maximum=200000,
    )
    maximum_defocus: float = param(
        "Maximum defocus to search.", default=50000.0, label="Maximum defocus", unit="Å", minimum=500, maximum=200000
    )
    maximum_astigmatism: float = param(
        "Maximum difference of DefocusU and DefocusV to search. 0: no astigmatism.",
        default=2000.0,
        label="Maximum astigmatism",
        unit="Å",
        minimum=0,
        maximum=20000,
        expert=True,
    )
    lowest_resolution: float = param(
        "Lower resolutions are not fitted, since the signal of the particles there is stronger than the Thon rings.",
        default=30.0,
        label="Lowest resolution",
        unit="Å",
        minimum=8,
        maximum=100,
    )
    highest_resolution: float = param(
        "Higher resolutions are not fitted. The pixel size also limits the fit.",
        default=5.0,
        label="Highest resolution",
        unit="Å",
        minimum=2,
        maximum=30,
    )
    find_phase_shift: bool = param(
        "Also search the phase shift of a phase plate. The search takes longer, and is less accurate if there is no "
        "phase plate.",
        default=False,
        label="Search phase shift",
        expert=True,
    )
    names: Paths = names_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields whose values contradict each other; else empty."""
        problems = []
        if self.maximum_defocus <= self.minimum_defocus:
            problems.append(
                f"Maximum defocus (--maximum-defocus) is {self.maximum_defocus:g} Å, not above the minimum "
                f"defocus (--minimum-defocus) of {self.minimum_defocus:g} Å."
            )
        finest = max(self.highest_resolution, 2 * self.pixel_size / 0.95)
        if self.lowest_resolution < 1.5 * finest:
            what = (
                "highest resolution (--highest-resolution)"
                if finest == self.highest_resolution
                else "finest resolution that the pixel size allows"
            )
            problems.append(
                f"Lowest resolution (--lowest-resolution) is {self.lowest_resolution:g} Å; it must be at least 1.5 "
                f"times the {what}, {finest:.3g} Å, so that there are Thon rings in between."
            )
        if not self.output.lower().endswith(".star"):
            problems.append(f"Output (--output) is {self.output}; it must end in .star.")
        return problems


@dataclasses.dataclass(frozen=True, eq=False)
class EstimateCtfOutputs(Outputs):
    """What `estimate-ctf` wrote for the micrographs of this run."""

    star: str = output("STAR file with the defocus of each micrograph.", path="file")
    folder: str = output("Folder of the fits and spectra.", path="folder")
    spectra: Texts = output("Power spectrum and fit side by side, of each micrograph.", path="file")
    fits: Details = output(
        "By micrograph: defocus_u, defocus_v, resolution (Å), defocus_angle, phase_shift (degrees), correlation "
        "and strength of the fit.",
        becomes="outputCTF: SetOfCTF",
    )


COMMANDS = (
    Command(
        "estimate-ctf",
        EstimateCtfConfig,
        EstimateCtfOutputs,
        example="cryodl estimate-ctf --micrographs 'mics/*.mrc' --pixel-size 1.06 --voltage 300 "
        "--spherical-aberration 2.7 --output ctf.star",
        kept="micrograph",
    ),
)
