# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison, consensus and export of picks."""

import typing

from .. import fields
from ..command import Command, Config, Counts, Details, Outputs, Paths, Texts, found, output, param
from . import pick_fields


class EvaluatePicksConfig(Config):
    """Compare picks with reference coordinates, matched one to one."""

    coordinates: str = pick_fields.picks()
    reference: str = param("Folder (or file) with the reference coordinates.", path="folder")
    pixel_size: float = fields.pixel_size()
    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the particle; a pick is correct if it lies within `tolerance` times the radius of a "
        "reference."
    )
    tolerance: float = pick_fields.tolerance(
        "Maximum distance of a matched pair, in particle radii. At 1, even mirrored picks match on dense micrographs; "
        "0.5 is stricter."
    )
    micrographs: Paths = pick_fields.scored_micrographs(
        "Micrographs to evaluate (glob, files or list file); a border needs their sizes. Without them, all "
        "micrographs with a reference are evaluated."
    )
    border: float = pick_fields.border_px()
    threshold: typing.Optional[float] = param(
        "Picks with a lower score are not counted in precision, recall and F1.",
        None,
        label="Score threshold",
        limits=(-1e9, 1e9),
        none_means="all picks are counted",
    )

    def check_together(self) -> typing.List[str]:
        return pick_fields.border_problems(self)


class ComparePicksConfig(Config):
    """Compare several sets of picks with a reference, and with each other."""

    picks: Paths = pick_fields.pick_sets()
    pixel_size: float = fields.pixel_size()
    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the particle; picks match if they lie within `tolerance` times the radius."
    )
    reference: typing.Optional[str] = param(
        "Folder (or file) with reference coordinates.",
        None,
        path="folder",
        none_means="the sets are only compared with each other",
    )
    tolerance: float = pick_fields.tolerance("Maximum distance of a matched pair, in particle radii.")
    micrographs: Paths = pick_fields.scored_micrographs(
        "Micrographs to compare on (glob, files or list file); a border needs their sizes. Without them, all "
        "micrographs with a reference (or, without a reference, any pick) are compared."
    )
    border: float = pick_fields.border_px()
    output: typing.Optional[str] = fields.output_folder(
        "Folder for comparison.json, curves.png and agreement.png.", default=None, none_means="nothing is written"
    )

    def check_together(self) -> typing.List[str]:
        return pick_fields.too_few_sets(self) or pick_fields.border_problems(self)


class EvaluatePicksOutputs(Outputs):
    metrics: Details = output("Precision, recall, F1 ... over all micrographs, and how picks were matched.")
    micrographs: Details = output("The same metrics of each micrograph.")
    all_candidates: typing.Optional[Details] = output(
        "The same metrics over all candidates, whatever their score; null if there are none."
    )
    missing: typing.List[str] = output("Micrographs of the reference without picks.")


class ComparePicksOutputs(Outputs):
    sets: typing.List[str] = output("Names of the sets of picks.")
    counts: Counts = output("Number of picks of each set.")
    metrics: typing.Dict[str, typing.Any] = output(
        "Precision, recall, F1 ... of the picks of each set; empty without a reference."
    )
    all_candidates: typing.Dict[str, typing.Any] = output(
        "The same metrics over all candidates, for sets that have them."
    )
    agreement: typing.List[typing.List[float]] = output("F1 of each set against each other set.")
    micrographs: int = output("Number of micrographs compared.")
    reference: typing.Optional[str] = output("Reference coordinates, as they were given.")
    tolerance: float = output("Maximum distance of a matched pair, in particle radii.")
    match_distance_px: float = output("The same maximum distance, in pixels.", "px")
    notes: typing.List[str] = output("Remarks on the comparison.")
    folder: typing.Optional[str] = output("Output folder; null if nothing was written.", path="folder")
    comparison: typing.Optional[str] = output("comparison.json.", path="file")
    agreement_plot: typing.Optional[str] = output("Picture of the agreement.", path="file")
    curves_plot: typing.Optional[str] = output(
        "Picture of the precision-recall curves; null without a reference.", path="file"
    )


class ConsensusPicksConfig(Config):
    """Combine several sets of picks: keep the particles that several of them found."""

    picks: Paths = pick_fields.pick_sets()
    pixel_size: float = fields.pixel_size()
    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the particle; picks of different sets closer than `tolerance` times the radius are the same "
        "particle."
    )
    output: str = fields.output_folder("Folder for one <micrograph>.star each. It must not exist.")
    rule: str = param(
        "at-least: particles that a minimum number of sets found. score: particles whose mean score over all sets "
        "reaches the minimum score.",
        "at-least",
        choices=("at-least", "score"),
    )
    minimum_sets: int = param(
        "Minimum number of sets in which a particle must be found.", 2, label="Minimum number of sets", limits=(1, 100)
    )
    minimum_score: float = param(
        "Minimum mean score over all sets; a set that did not find the particle counts as 0.", 0.4, limits=(0, 1)
    )
    tolerance: float = pick_fields.tolerance("Maximum distance between picks of the same particle, in particle radii.")

    def check_together(self) -> typing.List[str]:
        sets = len(self.picks)
        return found(
            (sets < 2, f"Sets of picks (--picks) has {sets} set; a consensus needs at least two."),
            (
                self.rule == "at-least" and self.minimum_sets > sets,
                f"Minimum number of sets (--minimum-sets) is {self.minimum_sets}, but there are only {sets} sets of "
                "picks (--picks).",
            ),
        )[:1]


class ConsensusPicksOutputs(pick_fields.PicksOutputs):
    coordinates: Texts = output(
        "STAR file of each micrograph.", path="file", becomes="outputCoordinates: SetOfCoordinates"
    )
    counts: Counts = output("Number of particles of each micrograph.")
    picks: int = output("Total number of particles.")
    sets: typing.List[str] = output("Names of the sets of picks.")
    groups: Counts = output(
        "Number of particles found by exactly these sets (names joined as a + b), whether kept or not."
    )


class ExportRelionConfig(pick_fields.OnMicrographs):
    """Export picks to RELION 3.1, 4, 5 and cryoSPARC, and print the command that extracts the particles."""

    coordinates: str = pick_fields.picks()
    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the particle; the box of the printed command is 1.5 times as large, unless a box size is "
        "given."
    )
    output: str = fields.output_folder("Folder of the new files, inside RELION's project folder. It must not exist.")
    project: str = param(
        "RELION's project folder, in which RELION is started. Paths of micrographs are written relative to it.",
        ".",
        label="RELION project",
        path="folder",
    )
    box: int = pick_fields.box(
        help="Side of the particle images. 0: 1.5 particle diameters, rounded up to an even number."
    )
    contrast: str = pick_fields.stated_contrast(
        "Contrast of the protein in the micrographs. RELION expects bright protein in particle images, so dark "
        "protein is inverted."
    )
    flip_y: bool = pick_fields.flip_y()
    voltage: float = fields.voltage()
    spherical_aberration: float = fields.cs()
    amplitude_contrast: float = fields.amplitude_contrast()

    def check_together(self) -> typing.List[str]:
        odd = f"Box (--box) is {self.box} px; RELION takes even boxes only. Give {self.box + 1}."
        return found((self.box % 2, odd))


class ExportRelionOutputs(pick_fields.PicksOutputs):
    micrographs: str = output(
        "STAR file of the micrographs for RELION's commands, relative to RELION's project folder."
    )
    picks: int = output("Total number of picks.")
    counts: Counts = output("Number of picks of each micrograph.")
    commands: Texts = output("The command that extracts the particles, for each version of RELION.")


COMMANDS = (
    Command(
        "compare-picks",
        ComparePicksConfig,
        ComparePicksOutputs,
        threads=False,
        example="cryodl compare-picks --picks unet=picks/unet topaz=picks/topaz --reference manual/ --pixel-size "
        "1.77 --particle-diameter 190 --output comparison/",
    ),
    Command(
        "evaluate-picks",
        EvaluatePicksConfig,
        EvaluatePicksOutputs,
        threads=False,
        example="cryodl evaluate-picks --coordinates picks/ --reference manual/ --pixel-size 1.77 "
        "--particle-diameter 190",
        form=False,
    ),
    Command(
        "consensus-picks",
        ConsensusPicksConfig,
        ConsensusPicksOutputs,
        fresh="Output folder",
        threads=False,
        example="cryodl consensus-picks --picks unet=picks/unet topaz=picks/topaz other/ --minimum-sets 2 "
        "--pixel-size 1.77 --particle-diameter 190 --output picks/consensus",
    ),
    Command(
        "export-relion",
        ExportRelionConfig,
        ExportRelionOutputs,
        fresh="Output folder",
        named=True,
        threads=False,
        example="cryodl export-relion --coordinates picks/ --micrographs 'mics/*/*.mrc' --pixel-size 1.77 "
        "--particle-diameter 190 --output cryodl/picks",
        form=False,
    ),
)
