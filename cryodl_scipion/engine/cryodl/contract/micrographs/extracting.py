# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that cuts particles out of micrographs."""

import dataclasses
import typing

from ..fields import Paths, micrographs_field, names_field, output_file_field, pixel_size_field, threads_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .pick_fields import box_field, particle_diameter_field, picks_field, protein_contrast_field

BORDERS = ("drop", "fill")


@dataclasses.dataclass(frozen=True)
class ExtractParticlesConfig:
    """Cut particles out of micrographs, normalised and with their CTF, as RELION's STAR with a stack per micrograph."""

    coordinates: str = picks_field()
    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of a circle that just holds the particle. What lies outside of the circle is the background."
    )
    output: str = output_file_field(
        "STAR file for the particles. A folder beside it, of the same name without .star, takes the stacks. A stopped "
        "run continues there."
    )
    ctf: typing.Optional[str] = param(
        "STAR file with the defocus of each micrograph, as `cryodl estimate-ctf` and RELION write it. Micrographs "
        "that it does not have are left out.",
        default=None,
        label="CTF",
        path="file",
        none_means="particles without CTF",
    )
    box: int = box_field(
        "Side of the boxes in pixels of the micrographs. 0: 1.5 particle diameters, rounded up to an even number."
    )
    scaled_box: int = param(
        "Side of the particle images after resampling, which keeps the field of view. 0: they are not resampled.",
        default=0,
        label="Resampled box size",
        unit="px",
        minimum=0,
        maximum=8192,
    )
    contrast: str = protein_contrast_field(
        "Protein in the micrographs. Dark protein is inverted: it is bright in all particle images."
    )
    normalise: bool = param(
        "Give the background of each image a mean of 0 and a standard deviation of 1, and subtract a linear gradient "
        "from the background.",
        default=True,
        label="Normalise",
        expert=True,
    )
    flip_phases: bool = param(
        "Correct the phases that the CTF has flipped, in the whole micrograph before the boxes are cut.",
        default=False,
        label="Flip phases",
        expert=True,
    )
    edge: str = param(
        "Boxes that reach over the micrograph's edge. drop: these particles are left out and counted. fill: the "
        "nearest pixel of the edge is repeated.",
        default="drop",
        label="At the edge",
        choices=BORDERS,
        expert=True,
        former=("border",),
    )
    voltage: typing.Optional[float] = param(
        "Acceleration voltage of the microscope.",
        default=None,
        label="Voltage",
        unit="kV",
        minimum=20,
        maximum=1000,
        none_means="that of the CTF file",
        expert=True,
    )
    spherical_aberration: typing.Optional[float] = param(
        "Spherical aberration of the microscope.",
        default=None,
        label="Cs",
        unit="mm",
        minimum=0,
        maximum=10,
        none_means="that of the CTF file",
        expert=True,
    )
    amplitude_contrast: typing.Optional[float] = param(
        "Amplitude contrast as a fraction of the contrast.",
        default=None,
        label="Amplitude contrast",
        minimum=0,
        maximum=1,
        none_means="that of the CTF file",
        expert=True,
    )
    names: Paths = names_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about values that do not fit each other."""
        problems = []
        if not self.output.lower().endswith(".star"):
            problems.append(f"Output (--output) is {self.output}; it must end in .star.")
        for flag, side in (("Box (--box)", self.box), ("Resampled box (--scaled-box)", self.scaled_box)):
            if side % 2:
                problems.append(f"{flag} is {side} px; it must be even. Give {side + 1}.")
        box = self.box_in_pixels()
        if box * self.pixel_size < self.particle_diameter:
            problems.append(
                f"Box (--box) is {box} px, {box * self.pixel_size:.0f} Å; it must be wider than the particle "
                f"(--particle-diameter {self.particle_diameter:g} Å)."
            )
        if self.scaled_box > box:
            problems.append(
                f"Resampled box (--scaled-box) is {self.scaled_box} px, more than the box of {box} px: there is no "
                "finer detail to be had."
            )
        if self.flip_phases and not self.ctf:
            problems.append("Flip phases (--flip-phases) needs the CTF (--ctf).")
        return problems

    def box_in_pixels(self) -> int:
        """Side of the boxes in pixels of the micrographs."""
        return self.box or 2 * int(-(-0.75 * self.particle_diameter / self.pixel_size // 1))


@dataclasses.dataclass(frozen=True, eq=False)
class ExtractParticlesOutputs(Outputs):
    """What `extract-particles` wrote, of the micrographs of this run."""

    particles: str = output("STAR file of all particles.", path="file", becomes="outputParticles: SetOfParticles")
    folder: str = output("Folder of the stacks.", path="folder")
    stacks: Texts = output("Stack by micrograph; micrographs without a particle have none.", path="file")
    counts: Counts = output("Particles of each micrograph.")
    at_edge: Counts = output("Picks of each micrograph that were left out since their box reaches over the edge.")
    unusable: Counts = output("Picks whose box holds no finite or no changing values, by micrograph.")
    count: int = output("Particles of all micrographs.")
    box: int = output("Side of the particle images.", unit="px")
    pixel_size: float = output("Of the particle images.", unit="Å/px")
