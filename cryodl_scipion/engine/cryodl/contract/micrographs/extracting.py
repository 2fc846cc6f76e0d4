# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that extracts particles from micrographs."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, micrographs_field, names_field, output_file_field, pixel_size_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .pick_fields import box_field, particle_diameter_field, picks_field, stated_contrast_field

BORDERS = ("drop", "fill")


@dataclasses.dataclass(frozen=True)
class ExtractParticlesConfig:
    """Extract normalised particles with their CTF from micrographs, into a RELION STAR file with one stack per
    micrograph."""

    coordinates: str = picks_field()
    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the smallest circle around the particle. The area outside the circle is the background."
    )
    output: str = output_file_field(
        "STAR file for the particles. The stacks are written to a folder beside it, of the same name without .star. "
        "An interrupted run continues there."
    )
    ctf: typing.Optional[str] = param(
        "STAR file with the defocus of each micrograph, as `cryodl estimate-ctf` and RELION write it. Micrographs "
        "that it does not contain are left out.",
        default=None,
        label="CTF",
        path="file",
        none_means="particles without CTF",
    )
    box: int = box_field(
        "Box size in pixels of the micrographs. 0: 1.5 particle diameters, rounded up to an even number."
    )
    scaled_box: int = param(
        "Box size after resampling, which keeps the field of view. 0: no resampling.",
        default=0,
        label="Resampled box size",
        unit="px",
        minimum=0,
        maximum=8192,
    )
    contrast: str = stated_contrast_field(
        "Contrast of the protein in the micrographs. Dark protein is inverted, so that it is bright in all particle "
        "images."
    )
    normalise: bool = param(
        "Normalise the background of each image to a mean of 0 and a standard deviation of 1, and subtract a linear "
        "gradient.",
        default=True,
        label="Normalise",
        expert=True,
    )
    flip_phases: bool = param(
        "Correct the phases flipped by the CTF, in the whole micrograph before boxes are extracted.",
        default=False,
        label="Flip phases",
        expert=True,
    )
    edge: str = param(
        "What to do with boxes that extend beyond the micrograph's edge. drop: leave these particles out and count "
        "them. fill: repeat the nearest pixel of the edge.",
        default="drop",
        label="Boxes at the edge",
        choices=BORDERS,
        expert=True,
    )
    voltage: typing.Optional[float] = param(
        "Acceleration voltage of the microscope.",
        default=None,
        label="Voltage",
        unit="kV",
        minimum=20,
        maximum=1000,
        none_means="the value in the CTF file",
        expert=True,
    )
    spherical_aberration: typing.Optional[float] = param(
        "Spherical aberration of the microscope.",
        default=None,
        label="Cs",
        unit="mm",
        minimum=0,
        maximum=10,
        none_means="the value in the CTF file",
        expert=True,
    )
    amplitude_contrast: typing.Optional[float] = param(
        "Amplitude contrast as a fraction of the contrast.",
        default=None,
        label="Amplitude contrast",
        minimum=0,
        maximum=1,
        none_means="the value in the CTF file",
        expert=True,
    )
    names: Paths = names_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields whose values contradict each other; else empty."""
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
                f"Resampled box (--scaled-box) is {self.scaled_box} px, larger than the box of {box} px. Upsampling "
                "adds no detail; give a smaller number, or 0."
            )
        if self.flip_phases and not self.ctf:
            problems.append("Flip phases (--flip-phases) needs the CTF (--ctf).")
        return problems

    def box_in_pixels(self) -> int:
        """Side of the boxes in pixels of the micrographs."""
        return self.box or 2 * int(-(-0.75 * self.particle_diameter / self.pixel_size // 1))


@dataclasses.dataclass(frozen=True, eq=False)
class ExtractParticlesOutputs(Outputs):
    """What `extract-particles` wrote for the micrographs of this run."""

    particles: str = output("STAR file of all particles.", path="file", becomes="outputParticles: SetOfParticles")
    folder: str = output("Folder of the stacks.", path="folder")
    stacks: Texts = output("Stack of each micrograph; micrographs without particles have none.", path="file")
    counts: Counts = output("Particles of each micrograph.")
    at_edge: Counts = output(
        "Number of picks of each micrograph that were left out because their box extends beyond the edge."
    )
    unusable: Counts = output(
        "Number of picks of each micrograph that were left out because their box has non-finite or constant values."
    )
    count: int = output("Particles of all micrographs.")
    box: int = output("Box size of the particle images.", unit="px")
    pixel_size: float = output("Pixel size of the particle images.", unit="Å/px")


COMMANDS = (
    Command(
        "extract-particles",
        ExtractParticlesConfig,
        ExtractParticlesOutputs,
        example="cryodl extract-particles --coordinates picks/ --micrographs 'mics/*.mrc' --ctf ctf.star "
        "--pixel-size 1.06 --particle-diameter 190 --output particles.star",
        kept="micrograph",
    ),
)
