# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that measure maps and compare atomic models."""

import dataclasses
import typing

from ..fields import Paths, device_field, json_field, output_folder_field, threads_field
from ..outputs import Details, Outputs, output
from ..params import param
from .map_fields import half_map_problems, half_maps_field, map_field, map_pixel_size_field, mask_radius_field


def _model_resolution_field() -> typing.Any:
    return param(
        "Resolution of the map; windows of local resolution are five times as wide.",
        default=None,
        label="Resolution",
        unit="Å",
        minimum=1,
        maximum=50,
        none_means="measured: FSC of the half-maps at 0.143",
    )


@dataclasses.dataclass(frozen=True)
class EvaluateMapConfig:
    """Measure a map against an atomic model, and two half-maps against each other."""

    map: str = map_field("Map to measure.")
    structure: str = param(
        "Atomic model in the frame of the map (.pdb, .cif, also .gz).", label="Structure", path="file"
    )
    half_maps: Paths = half_maps_field()
    before: typing.Optional[str] = map_field(
        "Map to compare with, such as the one before improvement; it is measured with the same mask.",
        optional=True,
        label="Map before",
    )
    improver: typing.Optional[str] = param(
        "For the half-map test: each half-map is improved alone by this model, then compared with the other improved "
        "half and with the other half as it is.",
        default=None,
        label="Improver for the half-map test",
        path="model",
        none_means="no half-map test",
    )
    mask: typing.Optional[str] = param(
        "Mask on the grid of the map.",
        default=None,
        label="Mask",
        path="file",
        none_means="a soft one, made from the structure",
    )
    mask_radius: float = mask_radius_field()
    resolution: typing.Optional[float] = _model_resolution_field()
    pixel_size: typing.Optional[float] = map_pixel_size_field()
    output: typing.Optional[str] = output_folder_field(
        "Folder for evaluation.json, tables and pictures. It must not exist.",
        default=None,
        none_means="figures are printed only",
    )
    json: bool = json_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if self.improver and not self.half_maps:
            return ["The half-map test (--improver) needs the half-maps (--half-maps)."]
        return half_map_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateMapOutputs(Outputs):
    """What `evaluate-map` found."""

    evaluation: typing.Optional[str] = output(
        "evaluation.json; null if nothing was to be written.",
        path="file",
        becomes="outputFSCs: SetOfFSCs, outputLocalResolution: Volume",
    )
    fsc05_angstrom: typing.Optional[float] = output(
        "Resolution of the map against its atomic model, at FSC 0.5.", unit="Å"
    )
    fsc0143_angstrom: typing.Optional[float] = output("The same at FSC 0.143.", unit="Å")
    q_score: typing.Optional[float] = output("Mean Q-score of the atoms.")
    local_correlation: typing.Optional[float] = output(
        "Mean of the local correlation with the density of the atomic model."
    )
    before: typing.Optional[Details] = output("The same measures of the map before; null without one.")
    half_maps: typing.Optional[Details] = output("Measures of the half-maps; null without them.")
    half_map_test: typing.Optional[Details] = output("Half-map test of an improver; null if it was not asked for.")


@dataclasses.dataclass(frozen=True)
class CompareModelsConfig:
    """Compare an atomic model that was built into a map with a reference: matched residues, sequence, RMSD."""

    structure: str = param("Atomic model to judge (.pdb, .cif, also .gz).", label="Structure", path="file")
    reference: str = param("Reference model in the same frame.", label="Reference", path="file")
    distance: float = param(
        "Maximum distance of two matching residues (C-alpha or P atoms).",
        default=3.0,
        label="Distance",
        unit="Å",
        minimum=0.1,
        maximum=20,
    )
    output: typing.Optional[str] = param(
        "Table of the matched residues (.csv). It must not exist.",
        default=None,
        label="Table",
        path="file",
        none_means="figures are printed only",
    )
    json: bool = json_field()


@dataclasses.dataclass(frozen=True, eq=False)
class CompareModelsOutputs(Outputs):
    """What `compare-models` found."""

    residues: int = output("Residues that were built.")
    reference_residues: int = output("Residues of the reference.")
    matched: int = output("Residues with a partner.")
    coverage: typing.Optional[float] = output("Fraction of the reference's residues with a partner.")
    sequence_match: typing.Optional[float] = output("Fraction of the partners with the same residue type.")
    rmsd_angstrom: typing.Optional[float] = output("Root mean square distance of partners.", unit="Å")
    false_residues: int = output("Residues that were built without a partner.")
    fragments: int = output("Fragments: unbroken stretches of the built chains.")
    chains: typing.Dict[str, typing.Optional[float]] = output("Coverage of each chain of the reference.")
    table: typing.Optional[str] = output("Table of the partners.", path="file")
