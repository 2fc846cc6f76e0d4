# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that compare and combine picks and assess micrographs."""

import dataclasses
import typing

from ..fields import Paths, micrographs_field, names_field, pixel_size_field, threads_field
from ..outputs import Counts, Details, Outputs, Texts, output
from ..params import param


@dataclasses.dataclass(frozen=True)
class EvaluatePicksConfig:
    """Compare picks with reference coordinates, matched one to one."""

    coordinates: str = param(
        "Folder (or file) with the picks: .star, .box or Topaz .txt.", label="Picks", path="folder"
    )
    reference: str = param("Folder (or file) with the reference coordinates.", label="Reference", path="folder")
    pixel_size: float = pixel_size_field()
    particle_diameter: float = param(
        "Diameter of the particle; a pick counts within `tolerance` times its half.",
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
    )
    tolerance: float = param(
        "Largest distance of a matched pair, in particle radii. At 1 even mirrored picks score on "
        "dense micrographs; 0.5 is the strict rule.",
        default=0.5,
        label="Tolerance",
        unit="radii",
        minimum=0.01,
        maximum=10,
    )
    micrographs: Paths = param(
        "Micrographs to score (glob, files or list file); their sizes are needed for a border. "
        "Without them, all that have a reference are scored.",
        default=(),
        label="Micrographs",
        path="file",
    )
    border: float = param(
        "Picks and reference nearer than this to the edge are left out. Needs the micrographs.",
        default=0.0,
        label="Border",
        unit="px",
        minimum=0,
        maximum=100000,
    )
    threshold: float = param(
        "Picks with a lower score are left out of precision, recall and f1.",
        default=0.0,
        label="Score threshold",
        minimum=-1e9,
        maximum=1e9,
    )
    json: bool = param("Print one JSON object instead of a table.", default=False, label="JSON")

    def check_together(self) -> typing.List[str]:
        if self.border > 0 and not self.micrographs:
            return [
                "Border (--border) is set but Micrographs (--micrographs) is not; their sizes are needed to know "
                "where the edge is."
            ]
        return []


@dataclasses.dataclass(frozen=True)
class ComparePicksConfig:
    """Compare several sets of picks with a reference, and with each other."""

    picks: Paths = param(
        "Two or more sets of picks: folders (or files), each as it is or as name=folder.",
        label="Sets of picks",
        path="folder",
    )
    pixel_size: float = pixel_size_field()
    particle_diameter: float = param(
        "Diameter of the particle; picks match within `tolerance` times its half.",
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
    )
    reference: typing.Optional[str] = param(
        "Folder (or file) with reference coordinates.",
        default=None,
        label="Reference",
        path="folder",
        none_means="the sets are only compared with each other",
    )
    tolerance: float = param(
        "Largest distance of a matched pair, in particle radii.",
        default=0.5,
        label="Tolerance",
        unit="radii",
        minimum=0.01,
        maximum=10,
    )
    micrographs: Paths = param(
        "Micrographs to compare on (glob, files or list file); their sizes are needed for a "
        "border. Without them, all that have a reference (or any pick) count.",
        default=(),
        label="Micrographs",
        path="file",
    )
    border: float = param(
        "Picks and reference nearer than this to the edge are left out. Needs the micrographs.",
        default=0.0,
        label="Border",
        unit="px",
        minimum=0,
        maximum=100000,
    )
    output: typing.Optional[str] = param(
        "Folder for comparison.json, curves.png and agreement.png.",
        default=None,
        label="Output folder",
        path="folder",
        none_means="nothing is written",
    )
    json: bool = param("Print one JSON object instead of a table.", default=False, label="JSON")

    def check_together(self) -> typing.List[str]:
        if len(self.picks) < (1 if self.reference else 2):
            return [
                "Sets of picks (--picks) has one set and there is no Reference (--reference); give at least two "
                "sets, or a reference."
            ]
        if self.border > 0 and not self.micrographs:
            return [
                "Border (--border) is set but Micrographs (--micrographs) is not; their sizes are needed to know "
                "where the edge is."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ComparePicksOutputs(Outputs):
    """What `compare-picks` found."""

    sets: typing.List[str] = output("Names of the sets of picks.")
    counts: Counts = output("Picks of each set.")
    figures: typing.Dict[str, typing.Any] = output(
        "Precision, recall, F1 ... of the picks of each set; empty without a reference."
    )
    all_candidates: typing.Dict[str, typing.Any] = output("The same of all candidates, of sets that have them.")
    agreement: typing.List[typing.List[float]] = output("F1 of each set against each other one.")
    micrographs: int = output("Micrographs that were compared.")
    reference: typing.Optional[str] = output("Reference coordinates, as they were given.")
    tolerance: float = output("Part of the particle radius within which two picks are the same.")
    match_distance_px: float = output("The same distance.", unit="px")
    notes: typing.List[str] = output("Sentences for the user.")
    folder: typing.Optional[str] = output("Folder of the files below; null if nothing was written.", path="folder")
    comparison: typing.Optional[str] = output("comparison.json.", path="file")
    agreement_plot: typing.Optional[str] = output("Picture of the agreement.", path="file")
    curves_plot: typing.Optional[str] = output(
        "Picture of the precision-recall curves; null without a reference.", path="file"
    )


@dataclasses.dataclass(frozen=True)
class ConsensusPicksConfig:
    """Combine several sets of picks: keep what several of them found."""

    picks: Paths = param(
        "Two or more sets of picks: folders (or files), each as it is or as name=folder.",
        label="Sets of picks",
        path="folder",
    )
    pixel_size: float = pixel_size_field()
    particle_diameter: float = param(
        "Diameter of the particle; picks of different sets are the same particle within `tolerance` times its half.",
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
    )
    output: str = param(
        "Folder for one <micrograph>.star each. It must not exist.", label="Output folder", path="folder"
    )
    rule: str = param(
        "at-least: particles that at least so many sets found. score: particles whose score, summed over "
        "the sets and divided by their number, reaches the least score.",
        default="at-least",
        label="Rule",
        choices=("at-least", "score"),
    )
    at_least: int = param("Sets that must have found a particle.", default=2, label="At least", minimum=1, maximum=100)
    least_score: float = param(
        "Least mean score over all sets; a set that did not find the particle counts as 0.",
        default=0.4,
        label="Least score",
        minimum=0,
        maximum=1,
    )
    tolerance: float = param(
        "Largest distance of picks of the same particle, in particle radii.",
        default=0.5,
        label="Tolerance",
        unit="radii",
        minimum=0.01,
        maximum=10,
    )

    def check_together(self) -> typing.List[str]:
        if len(self.picks) < 2:
            return [f"Sets of picks (--picks) has {len(self.picks)} set; a consensus needs at least two."]
        if self.rule == "at-least" and self.at_least > len(self.picks):
            return [
                f"At least (--at-least) is {self.at_least}, but there are only {len(self.picks)} sets of picks "
                "(--picks)."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ConsensusPicksOutputs(Outputs):
    """What `consensus-picks` wrote."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output("STAR file of each micrograph.", path="file")
    counts: Counts = output("Particles of each micrograph.")
    picks: int = output("Particles of all micrographs.")
    sets: typing.List[str] = output("Names of the sets of picks.")
    groups: Counts = output("Particles that just these sets found, kept or not; names as a + b.")


@dataclasses.dataclass(frozen=True)
class AssessMicrographsConfig:
    """Measure micrographs (particles, scores, contaminated and carbon area, ice) and split them into good and bad."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = param(
        "Diameter of a circle that just holds the particle; contamination is judged at this scale.",
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
    )
    output: str = param(
        "Folder for micrographs.csv, good.txt, bad.txt and one <micrograph>.json each. A stopped run continues here.",
        label="Output folder",
        path="folder",
    )
    coordinates: typing.Optional[str] = param(
        "Folder (or file) with picks and their scores.",
        default=None,
        label="Picks",
        path="folder",
        none_means="particles and scores are not measured",
    )
    least_particles: typing.Optional[int] = param(
        "Micrographs with fewer picks are bad.",
        default=None,
        label="Least particles",
        minimum=0,
        maximum=1000000,
        none_means="no limit",
    )
    least_score: typing.Optional[float] = param(
        "Micrographs with a lower mean score are bad.",
        default=None,
        label="Least mean score",
        minimum=0,
        maximum=1,
        none_means="no limit",
    )
    most_contaminated: typing.Optional[float] = param(
        "Micrographs with more contaminated area are bad.",
        default=20.0,
        label="Most contaminated area",
        unit="%",
        minimum=0,
        maximum=100,
        none_means="no limit",
    )
    most_carbon: typing.Optional[float] = param(
        "Micrographs with more carbon are bad.",
        default=50.0,
        label="Most carbon area",
        unit="%",
        minimum=0,
        maximum=100,
        none_means="no limit",
    )
    most_gradient: typing.Optional[float] = param(
        "Micrographs whose background varies more are bad: its range (5th to 95th percentile) over the noise, a proxy "
        "of uneven ice.",
        default=None,
        label="Most ice gradient",
        unit="noise sigma",
        minimum=0,
        maximum=1000,
        none_means="no limit",
    )
    names: Paths = names_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AssessMicrographsOutputs(Outputs):
    """What `assess-micrographs` measured of the micrographs of this run."""

    folder: str = output("Folder of the measurements.", path="folder")
    table: str = output("micrographs.csv of all that the folder holds.", path="file")
    figures: typing.Dict[str, Details] = output("Measures of each micrograph, its verdict and the reason.")
    good: typing.List[str] = output("Names of the good micrographs.")
    bad: typing.List[str] = output("Names of the others.")
