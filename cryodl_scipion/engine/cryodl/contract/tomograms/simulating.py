# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that simulates tomograms."""

import dataclasses
import typing

from ..fields import Paths, device_field, output_folder_field, seed_field, threads_field
from ..optics import optics_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from ..simulation_fields import new_pixel_size_field, protein_contrast_field, snr_field
from .tilt_fields import tilt_problems, tilt_series_field


@dataclasses.dataclass(frozen=True)
class SimulateTomogramsConfig:
    """Simulate tomograms of cells: structures, membranes, filaments, fiducials; exact labels, positions and angles."""

    output: str = output_folder_field(
        "Folder for tomograms/*.mrc, labels/*.mrc, features.json, coordinates/*.star, tilt_series/*.mrc and "
        "halves/*.mrc. It must not exist."
    )
    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) of particles (glob, files or list "
        "file). Each is a feature of its own.",
        default=(),
        label="Structures",
        path="file",
    )
    copies: Paths = param(
        "Copies of each structure: one number for all, or one for each in the same order.",
        default=("30",),
        label="Copies",
    )
    pixel_size: float = new_pixel_size_field("Pixel size of the tomograms.", default=13.0, minimum=0.5, maximum=200)
    size: int = param("Width and height.", default=256, label="Size", unit="px", minimum=32, maximum=4096)
    thickness: int = param("Depth, along the beam.", default=96, label="Thickness", unit="px", minimum=16, maximum=2048)
    count: int = param("Number of tomograms.", default=1, label="Number of tomograms", minimum=1, maximum=10000)
    vesicles: int = param(
        "Closed membranes per tomogram, spheres and ellipsoids of several sizes.",
        default=3,
        label="Vesicles",
        minimum=0,
        maximum=10000,
    )
    membranes: int = param(
        "Open, curved membranes that cross the tomogram.", default=1, label="Membranes", minimum=0, maximum=1000
    )
    microtubules: int = param(
        "Microtubules per tomogram: hollow, 250 Å wide.", default=2, label="Microtubules", minimum=0, maximum=1000
    )
    filaments: int = param(
        "Thin filaments per tomogram, 70 Å wide, as actin.", default=4, label="Thin filaments", minimum=0, maximum=10000
    )
    fiducials: int = param("Gold beads of 100 Å.", default=0, label="Fiducials", minimum=0, maximum=10000)
    snr: float = snr_field(
        "Signal-to-noise ratio of the tilt images: variance of the clean image over that of the noise.", default=0.2
    )
    tilt_min: float = tilt_series_field("tilt_min")
    tilt_max: float = tilt_series_field("tilt_max")
    tilt_step: float = tilt_series_field("tilt_step")
    dose: float = param(
        "Exposure of the whole series; fine detail fades with it.",
        default=100.0,
        label="Dose",
        unit="e/Å²",
        minimum=0,
        maximum=10000,
    )
    defocus: float = tilt_series_field("defocus")
    defocus_spread: float = tilt_series_field("defocus_spread")
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    contrast: str = protein_contrast_field("dark")
    tilt_series: bool = param("Also keep the tilt images.", default=False, label="Keep the tilt images")
    halves: bool = param(
        "Also write two halves of each tomogram, halves/*_even.mrc and *_odd.mrc, each with its own noise as of half "
        "of the exposure; their mean is the tomogram.",
        default=False,
        label="Half tomograms",
    )
    alignment_error: float = param(
        "Standard deviation of the shifts of the tilt images that the reconstruction does not correct, along each "
        "axis.",
        default=0.0,
        label="Alignment error",
        unit="Å",
        minimum=0,
        maximum=1000,
    )
    ctf_gradient: bool = param(
        "Defocus changes across tilted images, as the height of the specimen does.", default=False, label="CTF gradient"
    )
    membrane_proteins: float = param(
        "Proteins of different heights on the membranes; they are not labelled.",
        default=0.0,
        label="Membrane proteins",
        unit="per 100 nm²",
        minimum=0,
        maximum=100,
    )
    crowding: float = param(
        "Fraction of the solvent filled by small proteins; they are not labelled.",
        default=0.0,
        label="Crowding",
        minimum=0,
        maximum=0.5,
    )
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        problems = tilt_problems(self)
        if not all(c.strip().isdigit() for c in self.copies):
            problems.append(f"Copies (--copies) is {', '.join(self.copies)}; whole numbers are needed.")
        elif self.structures and len(self.copies) not in (1, len(self.structures)):
            problems.append(
                f"There are {len(self.structures)} structures (--structures) and {len(self.copies)} "
                "numbers of copies (--copies). Give one number for all, or one for each."
            )
        return problems


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateTomogramsOutputs(Outputs):
    """What `simulate-tomograms` wrote."""

    tomograms: Texts = output("Tomograms by name.", path="file", becomes="outputTomograms: SetOfTomograms")
    labels: Texts = output("Label volume of each tomogram.", path="file", becomes="outputLabels: SetOfTomoMasks")
    coordinates: Texts = output(
        "STAR file of each tomogram.", path="file", becomes="outputCoordinates: SetOfCoordinates3D"
    )
    features: typing.List[str] = output("Names, in the order of the labels 1, 2, ...")
    pixel_size: float = output("Of the tomograms.", unit="Å/px")
    counts: Counts = output("Copies of each feature in all tomograms.")
    tilt_min: float = output("First tilt angle.", unit="degrees")
    tilt_max: float = output("Last tilt angle.", unit="degrees")
    tilt_series: typing.Optional[Texts] = output(
        "Tilt series of each tomogram; null if they were not asked for.", path="file"
    )
    even: typing.Optional[Texts] = output(
        "Even half of each tomogram; null if they were not asked for.", path="file", default=None
    )
    odd: typing.Optional[Texts] = output("Odd half of each tomogram.", path="file", default=None)
