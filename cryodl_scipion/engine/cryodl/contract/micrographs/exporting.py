# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that takes picks to other programs."""

import dataclasses
import typing

from ..fields import Paths, micrographs_field, names_field, output_folder_field, pixel_size_field
from ..optics import optics_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .pick_fields import box_field, particle_diameter_field, picks_field, protein_contrast_field


@dataclasses.dataclass(frozen=True)
class ExportRelionConfig:
    """Write picks as RELION 3.1, 4 and 5 and cryoSPARC read them, and print the command that extracts the particles."""

    coordinates: str = picks_field()
    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the particle; the box of the printed command is 1.5 times as wide, unless a box is given."
    )
    output: str = output_folder_field("Folder of the new files, inside RELION's project folder. It must not exist.")
    project: str = param(
        "RELION's project folder: the one that RELION is started in. Micrographs are named relative to it.",
        default=".",
        label="RELION project",
        path="folder",
    )
    box: int = box_field("Side of the particle images. 0: 1.5 particle diameters, rounded up to an even number.")
    contrast: str = protein_contrast_field(
        "Protein in the micrographs. RELION expects bright protein in particle images: dark protein is inverted."
    )
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    names: Paths = names_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if self.box % 2:
            return [f"Box (--box) is {self.box} px; RELION takes even boxes only. Give {self.box + 1}."]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ExportRelionOutputs(Outputs):
    """What `export-relion` wrote."""

    folder: str = output("Folder of the files.", path="folder")
    micrographs: str = output("STAR file of the micrographs that the commands take, relative to RELION's project.")
    picks: int = output("Picks of all micrographs.")
    counts: Counts = output("Picks of each micrograph.")
    commands: Texts = output("The command that extracts the particles, by RELION's version.")
    pixel_size: typing.Optional[float] = output(
        "Of the micrographs, in whose pixels the coordinates are.", unit="Å/px", default=None
    )
