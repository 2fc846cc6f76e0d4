# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that compares sets of picks by the maps of their particles."""

import typing

from .. import fields
from ..command import Command, Counts, MapsOutputs, Paths, Texts, even_problems, found, output, param
from ..micrographs import pick_fields

COARSE = 12.0  # Å: finest detail of the search without a stated one; finer detail of single particles tells little

Resolutions = typing.Dict[str, typing.Optional[float]]
Curves = typing.Dict[str, typing.List[float]]


class CompareMapsOfPicksConfig(pick_fields.OnMicrographs):
    """Compare sets of picks by the resolution of the maps that their particles give, oriented by a known structure."""

    picks: Paths = pick_fields.pick_sets()
    structure: str = fields.structure()
    output: str = fields.output_folder(
        "Folder for the half-maps, the table of resolutions (maps.csv, maps.json) and the curves (fsc.png). An "
        "interrupted run continues in OUTPUT.partial."
    )
    reference: typing.Optional[str] = param(
        "Folder (or file) with reference coordinates, such as the ground truth of simulated micrographs or picks made "
        "by hand. Their map is the one that the others are measured by, and only micrographs with reference "
        "coordinates are used.",
        None,
        path="folder",
        none_means="the maps are measured by the best of them",
    )
    ctf: typing.Optional[str] = pick_fields.ctf(
        none_means="it is estimated from the micrographs, which needs voltage and Cs"
    )
    particle_diameter: typing.Optional[float] = pick_fields.particle_diameter(
        default=None, none_means="the diameter of the structure"
    )
    symmetry: str = fields.symmetry()
    contrast: str = pick_fields.stated_contrast("Contrast of the protein in the micrographs.")
    maximum_particles: typing.Optional[int] = param(
        "Maximum number of particles of each set. Of larger sets as many are drawn at random, so that the run takes "
        "less time; sets are then compared with equal numbers of particles.",
        None,
        limits=(50, 10**8),
        none_means="all particles",
        expert=True,
    )
    box: int = pick_fields.box()
    scaled_box: int = pick_fields.scaled_box(
        "Box size after resampling, which keeps the field of view. 0: no resampling. The resolution of the maps ends "
        "at two of the resampled pixels."
    )
    angular_step: float = fields.angular_step("Angle between neighbouring directions of the first search.", expert=True)
    resolution: typing.Optional[float] = fields.resolution(
        "Finest detail at which particles are compared with the structure. Agreement of the half-maps at finer detail "
        "cannot come from the structure; at coarser detail even images of noise agree.",
        none_means="a tenth of the particle diameter, but 12 Å at the finest",
        label="Resolution of the search",
        expert=True,
    )
    max_shift: typing.Optional[float] = fields.max_shift(
        "Maximum distance of a particle from its pick.", none_means="a tenth of the box size", expert=True
    )
    voltage: typing.Optional[float] = pick_fields.ctf_voltage(
        "Acceleration voltage of the microscope. It is needed where the CTF is estimated."
    )
    spherical_aberration: typing.Optional[float] = pick_fields.ctf_cs(
        "Spherical aberration of the microscope. It is needed where the CTF is estimated."
    )
    amplitude_contrast: typing.Optional[float] = pick_fields.ctf_amplitude(
        none_means="the value in the CTF file, or 0.1 where the CTF is estimated"
    )

    def search_resolution(self, diameter: float) -> float:
        """Å: finest detail at which particles of a diameter in Å are compared with the structure."""
        return max(COARSE, diameter / 10) if self.resolution is None else self.resolution

    def check_together(self) -> typing.List[str]:
        microscope = {"Voltage (--voltage)": self.voltage, "Cs (--spherical-aberration)": self.spherical_aberration}
        missing = [] if self.ctf else [words for words, value in microscope.items() if value is None]
        needed = (
            f"CTF (--ctf) is not given, and to estimate it {' and '.join(missing)} must be known. Give the CTF, or the "
            "microscope's values."
        )
        even = even_problems(self, box="Box", scaled_box="Resampled box")
        return pick_fields.too_few_sets(self) + found((missing, needed)) + even


class CompareMapsOfPicksOutputs(MapsOutputs):
    sets: typing.List[str] = output("Names of the sets that gave a map, the reference first.")
    picks: Counts = output("Picks of each set on the micrographs compared.")
    particles: Counts = output("Particles of each set in its map.")
    resolution: Resolutions = output(
        "Resolution of each set, at which the FSC of its half-maps falls below 0.143.", "Å"
    )
    noise_resolution: Resolutions = output(
        "The same of as many images of noise, oriented by the same structure. Agreement at detail that was not "
        "compared with the structure is chance, and not counted. None: nothing agrees.",
        "Å",
    )
    structure_resolution: Resolutions = output(
        "Resolution at which the FSC of the map with the structure falls below 0.5.", "Å"
    )
    loss: Resolutions = output(
        "By how much the resolution is worse than that of the map it is measured by, in per cent; negative if better."
    )
    measured_by: str = output("The set whose map the others are measured by: the reference, or the best set.")
    fsc: Curves = output("FSC of the half-maps of each set, shell 0 first.")
    structure_fsc: Curves = output("FSC of each map with the structure.")
    maps: Texts = output("Map of each set.", path="file", becomes="outputVolumes: SetOfVolumes")
    half1: Texts = output("First half-map of each set.", path="file")
    half2: Texts = output("Second half-map of each set.", path="file")
    micrographs: int = output("Number of micrographs compared.")
    search_resolution: float = output("Finest detail at which particles were compared with the structure.", "Å")
    particle_diameter: float = output("Diameter of the particle.", "Å")
    folder: str = output("Output folder.", path="folder")
    comparison: str = output("maps.json: this record.", path="file")
    table: str = output("maps.csv: a row for each set.", path="file")
    curves_plot: str = output("Picture of the FSC curves.", path="file")
    ctf: str = output("CTFs that were used.", path="file")
    notes: typing.List[str] = output("Remarks on the comparison.")


COMMANDS = (
    Command(
        "compare-maps-of-picks",
        CompareMapsOfPicksConfig,
        CompareMapsOfPicksOutputs,
        fresh="Output folder",
        gpu=True,
        seeded=True,
        named=True,
        example="cryodl compare-maps-of-picks --picks general=picks/general blobs=picks/blobs --reference manual/ "
        "--micrographs 'mics/*.mrc' --pixel-size 1.77 --ctf ctf.star --structure 1abc.cif --symmetry D2 "
        "--output maps/",
        kept="step",
    ),
)
