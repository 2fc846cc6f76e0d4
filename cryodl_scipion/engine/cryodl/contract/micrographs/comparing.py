# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that compare picks."""

import dataclasses
import typing

from ..fields import Paths, pixel_size_field
from ..outputs import Counts, Outputs, output
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
