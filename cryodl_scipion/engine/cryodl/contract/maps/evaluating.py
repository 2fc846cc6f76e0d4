# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that measure maps, compare atomic models, and simulate half-maps."""

import typing
from functools import partial

from .. import fields
from ..command import Command, Config, Details, MapsOutputs, Outputs, Paths, found, output, param
from . import map_fields

# Metrics of a map in words.
MAP_METRICS = {
    "fsc05_angstrom": "Map-model FSC 0.5",
    "fsc0143_angstrom": "Map-model FSC 0.143",
    "fsc05_unmasked_angstrom": "Map-model FSC 0.5, whole box",
    "q_score": "Q-score, mean of the atoms",
    "local_correlation": "Local correlation at the atoms",
}
_model_resolution_field = partial(
    param,
    "Resolution of the map. The windows for local resolution are five times as wide.",
    default=None,
    label="Resolution",
    unit="Å",
    limits=(1, 50),
    none_means="FSC of the half-maps at 0.143",
)


class EvaluateMapConfig(Config):
    """Measure a map against an atomic model, and two half-maps against each other."""

    map: str = map_fields.map("Map to measure.")
    structure: typing.Optional[str] = param(
        "Atomic model in the frame of the map (.pdb, .cif, also .gz).", None, path="file", none_means="half-maps alone"
    )
    half_maps: Paths = map_fields.half_maps()
    before: typing.Optional[str] = map_fields.map(
        "Map to compare with, such as the map before improvement. It is measured with the same mask.",
        default=None,
        none_means="none",
        label="Original map",
    )
    processed: Paths = param(
        "Both half-maps after any program (DeepEMhancer, EMReady, LocScale, improve-map), each processed alone, in the "
        "order of Half-maps: for the half-map test and, in the output folder, a map of doubt.",
        (),
        label="Processed half-maps",
        path="file",
    )
    mask: typing.Optional[str] = param(
        "Mask on the grid of the map.", None, path="file", none_means="a soft mask of structure or half-maps"
    )
    mask_radius: float = map_fields.mask_radius()
    resolution: typing.Optional[float] = _model_resolution_field()
    pixel_size: typing.Optional[float] = map_fields.map_pixel_size()
    output: typing.Optional[str] = fields.output_folder(
        "Folder for evaluation.json, tables and pictures. It must not exist.",
        default=None,
        none_means="results are only printed",
    )

    def check_together(self) -> typing.List[str]:
        numbers = f"{len(self.processed)} and {len(self.half_maps)} are given"
        needs = f"Processed half-maps (--processed) need the half-maps (--half-maps), two of each; {numbers}."
        both = len(self.processed) == len(self.half_maps) == 2
        alone = "An atomic structure (--structure) is missing. Without it, give --processed, and no --before."
        return found(
            (self.processed and not both, needs),
            (not self.structure and bool(self.before or not self.processed), alone),
        ) or map_fields.half_map_problems(self)


class EvaluateMapOutputs(Outputs):
    evaluation: typing.Optional[str] = output(
        "evaluation.json; null if no output folder was given.",
        path="file",
        becomes="outputFSCs: SetOfFSCs, outputLocalResolution: Volume",
    )
    fsc05_angstrom: typing.Optional[float] = output("Resolution of the map against its atomic model, at FSC 0.5.", "Å")
    fsc0143_angstrom: typing.Optional[float] = output(
        "Resolution of the map against its atomic model, at FSC 0.143.", "Å"
    )
    q_score: typing.Optional[float] = output("Mean Q-score of the atoms.")
    local_correlation: typing.Optional[float] = output("Mean local correlation with the density of the atomic model.")
    before: typing.Optional[Details] = output("The same metrics of the original map; null if none was given.")
    half_maps: typing.Optional[Details] = output("Metrics of the half-maps; null if none were given.")
    half_map_test: typing.Optional[Details] = output("Half-map test of the processed half-maps; null without these.")
    doubt: typing.Optional[str] = output(
        "Map of doubt of the processed half-maps: 0 where their density is in the data, 1 where it is not.",
        path="file",
        becomes="outputDoubt: Volume",
    )


class CompareModelsConfig(Config):
    """Compare an atomic model with a reference model: matched residues, sequence, RMSD."""

    structure: str = param("Atomic model to evaluate (.pdb, .cif, also .gz).", path="file")
    reference: str = param("Reference model in the same coordinate frame.", path="file")
    distance: float = param(
        "Maximum distance between matched residues (C-alpha or P atoms).", 3.0, "Å", limits=(0.1, 20)
    )
    output: typing.Optional[str] = param(
        "Table of the matched residues (.csv). It must not exist.",
        None,
        label="Table",
        path="file",
        none_means="results are only printed",
    )


class CompareModelsOutputs(Outputs):
    residues: int = output("Number of residues of the evaluated model.")
    reference_residues: int = output("Number of residues of the reference.")
    matched: int = output("Number of matched residues.")
    coverage: typing.Optional[float] = output("Fraction of the reference's residues that are matched.")
    sequence_match: typing.Optional[float] = output("Fraction of the matched residues that have the same residue type.")
    rmsd_angstrom: typing.Optional[float] = output("Root mean square distance of matched residues.", "Å")
    false_residues: int = output("Number of residues of the evaluated model that match no residue of the reference.")
    fragments: int = output("Number of fragments: unbroken stretches of the evaluated model's chains.")
    chains: typing.Dict[str, typing.Optional[float]] = output(
        "Fraction of matched residues, for each chain of the reference."
    )
    table: typing.Optional[str] = output("Table of the matched residues.", path="file")


class SimulateHalfMapsConfig(Config):
    """Simulate half-maps, full map and ground truth of an atomic model, with the imperfections of real maps."""

    structure: str = param("Atomic model (.pdb, .cif, also .gz).", path="file")
    resolution: float = param(
        "Resolution at which the FSC of the half-maps falls to 0.143.", unit="Å", limits=(1.5, 20)
    )
    output: str = fields.output_file(
        "PREFIX of PREFIX_half1.mrc, _half2.mrc, _full.mrc (their mean), _truth.mrc (the model's density without "
        "noise and blur), _model.pdb or .cif (in the frame of the maps)."
    )
    pixel_size: float = fields.new_pixel_size("Pixel size of the maps.", default=1.0, limits=(0.2, 10))
    box: typing.Optional[int] = fields.box_size(
        "Box size of the volumes.",
        limits=(16, 1024),
        default=None,
        none_means="the structure with 20 Å of solvent on each side",
    )
    b_factor: float = param(
        "B-factor that blurs the maps, as in an unsharpened reconstruction.",
        100.0,
        "Å²",
        label="B-factor",
        limits=(0, 1000),
    )
    flexibility: float = param(
        "Increase of the B-factor from the core to the surface and to flexible domains.", 100.0, "Å²", limits=(0, 1000)
    )
    anisotropy: float = param(
        "Anisotropy of the orientation distribution: 0 is uniform; at 1 there are almost no views along one direction.",
        0.2,
        label="Preferred orientation",
        limits=(0, 1),
    )
    detergent: bool = param(
        "Add a belt of detergent around the middle, as around a membrane protein.", False, label="Detergent belt"
    )


class SimulateHalfMapsOutputs(MapsOutputs):
    half1: str = output("First half-map.", path="file")
    half2: str = output("Second half-map.", path="file")
    full: str = output("Full map: the mean of both half-maps.", path="file", becomes="outputVolume: Volume")
    ground_truth: str = output("Map without noise and blur.", path="file", becomes="outputTruth: Volume")
    structure: str = output(
        "Atomic model in the frame of the maps.", path="file", becomes="outputStructure: AtomStruct"
    )
    resolution: typing.Optional[float] = output(
        "Resolution at which the half-maps' FSC around the atoms falls below 0.143.", "Å"
    )
    b_factor: float = output("B-factor by which the full map was sharpened; 0 for none.", "Å²")


COMMANDS = (
    Command(
        "evaluate-map",
        EvaluateMapConfig,
        EvaluateMapOutputs,
        fresh="Output folder",
        example="cryodl evaluate-map --map improved.mrc --before map.mrc --structure model.pdb --output evaluated/",
    ),
    Command(
        "compare-models",
        CompareModelsConfig,
        CompareModelsOutputs,
        fresh="Table",
        threads=False,
        example="cryodl dev compare-models --structure built.pdb --reference deposited.cif",
        dev=True,
    ),
    Command(
        "simulate-half-maps",
        SimulateHalfMapsConfig,
        SimulateHalfMapsOutputs,
        seeded=True,
        example="cryodl dev simulate-half-maps --structure 6vxx.cif --resolution 4 --output simulated/spike",
        dev=True,
    ),
)
