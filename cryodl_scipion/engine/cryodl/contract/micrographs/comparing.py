# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that compare picks."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, output_folder_field, pixel_size_field
from ..outputs import Counts, Details, Outputs, output
from ..params import param
from .pick_fields import (
    border_problems,
    border_px_field,
    particle_diameter_field,
    pick_sets_field,
    picks_field,
    scored_micrographs_field,
    tolerance_field,
)


@dataclasses.dataclass(frozen=True)
class EvaluatePicksConfig:
    """Compare picks with reference coordinates, matched one to one."""

    coordinates: str = picks_field()
    reference: str = param("Folder (or file) with the reference coordinates.", label="Reference", path="folder")
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the particle; a pick is correct if it lies within `tolerance` times the radius of a "
        "reference."
    )
    tolerance: float = tolerance_field(
        "Maximum distance of a matched pair, in particle radii. At 1, even mirrored picks match on dense "
        "micrographs; 0.5 is stricter."
    )
    micrographs: Paths = scored_micrographs_field(
        "Micrographs to evaluate (glob, files or list file); a border needs their sizes. Without them, all "
        "micrographs with a reference are evaluated."
    )
    border: float = border_px_field()
    threshold: float = param(
        "Picks with a lower score are not counted in precision, recall and F1.",
        default=0.0,
        label="Score threshold",
        minimum=-1e9,
        maximum=1e9,
    )

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        return border_problems(self)


@dataclasses.dataclass(frozen=True)
class ComparePicksConfig:
    """Compare several sets of picks with a reference, and with each other."""

    picks: Paths = pick_sets_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the particle; picks match if they lie within `tolerance` times the radius."
    )
    reference: typing.Optional[str] = param(
        "Folder (or file) with reference coordinates.",
        default=None,
        label="Reference",
        path="folder",
        none_means="the sets are only compared with each other",
    )
    tolerance: float = tolerance_field("Maximum distance of a matched pair, in particle radii.")
    micrographs: Paths = scored_micrographs_field(
        "Micrographs to compare on (glob, files or list file); a border needs their sizes. Without them, all "
        "micrographs with a reference (or, without a reference, any pick) are compared."
    )
    border: float = border_px_field()
    output: typing.Optional[str] = output_folder_field(
        "Folder for comparison.json, curves.png and agreement.png.", default=None, none_means="nothing is written"
    )

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        if len(self.picks) < (1 if self.reference else 2):
            return [
                "Sets of picks (--picks) has one set, and no Reference (--reference) is given. Give at least two "
                "sets, or a reference."
            ]
        return border_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatePicksOutputs(Outputs):
    """What `evaluate-picks` found."""

    metrics: Details = output("Precision, recall, F1 ... over all micrographs, and how picks were matched.")
    micrographs: Details = output("The same metrics of each micrograph.")
    all_candidates: typing.Optional[Details] = output(
        "The same metrics over all candidates, whatever their score; null if there are none."
    )
    missing: typing.List[str] = output("Micrographs of the reference without picks.")


@dataclasses.dataclass(frozen=True, eq=False)
class ComparePicksOutputs(Outputs):
    """What `compare-picks` found."""

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
    match_distance_px: float = output("The same maximum distance, in pixels.", unit="px")
    notes: typing.List[str] = output("Remarks on the comparison.")
    folder: typing.Optional[str] = output("Output folder; null if nothing was written.", path="folder")
    comparison: typing.Optional[str] = output("comparison.json.", path="file")
    agreement_plot: typing.Optional[str] = output("Picture of the agreement.", path="file")
    curves_plot: typing.Optional[str] = output(
        "Picture of the precision-recall curves; null without a reference.", path="file"
    )


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
)
