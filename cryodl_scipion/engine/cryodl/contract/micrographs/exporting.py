# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that exports picks to other programs."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, micrographs_field, names_field, output_folder_field, pixel_size_field
from ..optics import optics_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .pick_fields import box_field, flip_y_field, particle_diameter_field, picks_field, stated_contrast_field


@dataclasses.dataclass(frozen=True)
class ExportRelionConfig:
    """Export picks to RELION 3.1, 4, 5 and cryoSPARC, and print the command that extracts the particles."""

    coordinates: str = picks_field()
    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the particle; the box of the printed command is 1.5 times as large, unless a box size is "
        "given."
    )
    output: str = output_folder_field("Folder of the new files, inside RELION's project folder. It must not exist.")
    project: str = param(
        "RELION's project folder, in which RELION is started. Paths of micrographs are written relative to it.",
        default=".",
        label="RELION project",
        path="folder",
    )
    box: int = box_field("Side of the particle images. 0: 1.5 particle diameters, rounded up to an even number.")
    contrast: str = stated_contrast_field(
        "Contrast of the protein in the micrographs. RELION expects bright protein in particle images, so dark "
        "protein is inverted."
    )
    flip_y: bool = flip_y_field()
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    names: Paths = names_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        if self.box % 2:
            return [f"Box (--box) is {self.box} px; RELION takes even boxes only. Give {self.box + 1}."]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ExportRelionOutputs(Outputs):
    """What `export-relion` wrote."""

    folder: str = output("Folder of the files.", path="folder")
    micrographs: str = output(
        "STAR file of the micrographs for RELION's commands, relative to RELION's project folder."
    )
    picks: int = output("Total number of picks.")
    counts: Counts = output("Number of picks of each micrograph.")
    commands: Texts = output("The command that extracts the particles, for each version of RELION.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px", default=None
    )


COMMANDS = (
    Command(
        "export-relion",
        ExportRelionConfig,
        ExportRelionOutputs,
        threads=False,
        example="cryodl export-relion --coordinates picks/ --micrographs 'mics/*/*.mrc' --pixel-size 1.77 "
        "--particle-diameter 190 --output cryodl/picks",
        form=False,
    ),
)
