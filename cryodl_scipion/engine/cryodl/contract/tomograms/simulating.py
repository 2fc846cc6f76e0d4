# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that simulate tomograms and subtomograms."""

import re
import typing

from .. import fields
from ..command import Command, Config, Counts, ImagesOutputs, Outputs, Paths, Texts, even_problems, found, output, param
from . import tomogram_fields


class SimulateTomogramsConfig(Config):
    """Simulate tomograms of cells with structures, membranes, filaments and fiducials, and their exact labels,
    positions and angles."""

    output: str = fields.output_folder(
        "Folder for tomograms/*.mrc, labels/*.mrc, features.json, coordinates/*.star, tilt_series/*.mrc and "
        "halves/*.mrc. It must not exist."
    )
    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) of particles (glob, files or list file). Each is a "
        "separate feature.",
        (),
        path="file",
    )
    copies: Paths = param(
        "Number of copies of each structure: one number for all, or one for each in the same order.", ("30",)
    )
    pixel_size: float = fields.new_pixel_size("Pixel size of the tomograms.", default=13.0, limits=(0.5, 200))
    size: int = param("Width and height of the tomograms.", 256, "px", limits=(32, 4096))
    thickness: int = param("Depth of the tomograms, along the beam.", 96, "px", limits=(16, 2048))
    count: int = param("Number of tomograms.", 1, label="Number of tomograms", limits=(1, 10000))
    vesicles: int = param(
        "Number of closed membranes per tomogram: spheres and ellipsoids of several sizes.", 3, limits=(0, 10000)
    )
    membranes: int = param("Number of open, curved membranes that cross each tomogram.", 1, limits=(0, 1000))
    microtubules: int = param("Number of microtubules per tomogram: hollow, 250 Å wide.", 2, limits=(0, 1000))
    filaments: int = param(
        "Number of thin filaments per tomogram, 70 Å wide, like actin.", 4, label="Thin filaments", limits=(0, 10000)
    )
    fiducials: int = param("Number of gold beads per tomogram, of 100 Å diameter.", 0, limits=(0, 10000), expert=True)
    snr: float = fields.snr(
        "Signal-to-noise ratio of the tilt images: variance of the noise-free image over the variance of the noise.",
        default=0.2,
    )
    tilt_min: float = tomogram_fields.series_tilt_min()
    tilt_max: float = tomogram_fields.series_tilt_max()
    tilt_step: float = tomogram_fields.series_tilt_step()
    dose: float = param(
        "Total dose of the tilt series. Fine detail fades with it.", 100.0, "e/Å²", limits=(0, 10000), expert=True
    )
    defocus: float = tomogram_fields.series_defocus()
    contrast: str = fields.protein_contrast(default="dark")
    tilt_series: bool = param("Also write the tilt series.", False, label="Keep the tilt images", expert=True)
    halves: bool = param(
        "Also write two half tomograms, halves/*_even.mrc and *_odd.mrc, each with independent noise of half the "
        "dose. Their mean is the tomogram.",
        False,
        label="Half tomograms",
        expert=True,
    )
    alignment_error: float = param(
        "Standard deviation of shifts of the tilt images, along each axis, that the reconstruction does not correct.",
        0.0,
        "Å",
        limits=(0, 1000),
        expert=True,
    )
    ctf_gradient: bool = param(
        "Vary the defocus across tilted images with the height of the specimen.",
        False,
        label="CTF gradient",
        expert=True,
    )
    membrane_proteins: float = param(
        "Density of proteins of different heights on the membranes. They are not labelled.",
        0.0,
        "per 100 nm²",
        limits=(0, 100),
        expert=True,
    )
    crowding: float = param(
        "Fraction of the solvent filled by small proteins. They are not labelled.", 0.0, limits=(0, 0.5), expert=True
    )
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        whole, number = all(c.strip().isdigit() for c in self.copies), len(self.structures)
        expanded = any(re.search(r"[*?[]|\.(txt|star)$", one, re.IGNORECASE) for one in self.structures)  # counted then
        return tomogram_fields.tilt_problems(self) + found(
            (not whole, f"Copies (--copies) is {', '.join(self.copies)}; give whole numbers."),
            (
                whole and number and not expanded and len(self.copies) not in (1, number),
                f"There are {number} structures (--structures) and {len(self.copies)} numbers of copies (--copies). "
                "Give one number for all, or one for each.",
            ),
        )


class SimulateTomogramsOutputs(Outputs):
    tomograms: Texts = output("Tomograms by name.", path="file", becomes="outputTomograms: SetOfTomograms")
    labels: Texts = output("Label volume of each tomogram.", path="file", becomes="outputLabels: SetOfTomoMasks")
    coordinates: Texts = output(
        "STAR file of each tomogram.", path="file", becomes="outputCoordinates: SetOfCoordinates3D"
    )
    features: typing.List[str] = output("Names, in the order of the labels 1, 2, ...")
    pixel_size: float = output("Pixel size of the tomograms.", "Å/px")
    counts: Counts = output("Number of copies of each feature in all tomograms.")
    tilt_min: float = output("First tilt angle.", "degrees")
    tilt_max: float = output("Last tilt angle.", "degrees")
    tilt_series: typing.Optional[Texts] = output("Tilt series of each tomogram; null if not requested.", path="file")
    even: typing.Optional[Texts] = output(
        "Even half of each tomogram; null if not requested.", path="file", default=None
    )
    odd: typing.Optional[Texts] = output("Odd half of each tomogram; null if not requested.", path="file", default=None)


class SimulateSubtomogramsConfig(Config):
    """Simulate subtomograms of several structures with missing wedge, CTF and noise, and their exact classes and
    angles."""

    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz), at least one (glob, files or list file). Each is a "
        "class: 1, 2, ... in this order.",
        path="file",
    )
    output: str = fields.output_file(
        "STAR file to write (RELION 3.1: classes, true angles and shifts, half sets). The volumes are written beside "
        "it, into NAME/."
    )
    pixel_size: float = fields.new_pixel_size("Pixel size of the subtomograms.", default=10.0, limits=(0.5, 200))
    box: int = fields.box_size("Box size of the subtomograms; an even number.", limits=(16, 512), default=40)
    count: int = param(
        "Number of subtomograms of each structure.", 100, label="Subtomograms per structure", limits=(1, 1000000)
    )
    snr: float = fields.snr(
        "Signal-to-noise ratio: variance of the noise-free subtomogram with its missing wedge, within the particle's "
        "sphere, over the variance of the noise.",
        default=0.1,
    )
    max_shift: float = fields.max_shift(
        "Maximum distance of a particle from the centre of its box, along each axis.", default=20.0
    )
    tilt_min: float = tomogram_fields.series_tilt_min()
    tilt_max: float = tomogram_fields.series_tilt_max()
    tilt_step: float = tomogram_fields.series_tilt_step()
    defocus: float = tomogram_fields.series_defocus()
    contrast: str = fields.protein_contrast(default="bright")
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        return tomogram_fields.tilt_problems(self) + even_problems(self, box="Box size")


class SimulateSubtomogramsOutputs(ImagesOutputs):
    subtomograms: str = output(
        "STAR file with the true classes, angles and shifts.",
        path="file",
        becomes="outputSubtomograms: SetOfSubTomograms",
    )
    classes: typing.List[str] = output("Names of the classes, in the order of their numbers.")


COMMANDS = (
    Command(
        "simulate-tomograms",
        SimulateTomogramsConfig,
        SimulateTomogramsOutputs,
        fresh="Output folder",
        gpu=True,
        example="cryodl dev simulate-tomograms --structures ribosome.cif proteasome.pdb --copies 40 30 --count 2 "
        "--output simulated/",
        kept="tomogram",
        dev=True,
    ),
    Command(
        "simulate-subtomograms",
        SimulateSubtomogramsConfig,
        SimulateSubtomogramsOutputs,
        fresh="Subtomograms",
        gpu=True,
        example="cryodl dev simulate-subtomograms --structures 'structures/*.pdb' --snr 0.1 --output simulated.star",
        kept="chunk",
        dev=True,
    ),
)
