# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that improve maps and measure them against models."""

import dataclasses
import typing

from ..fields import Paths, device_field, seed_field, threads_field
from ..networks import IMPROVER_NETWORKS
from ..outputs import Details, Outputs, output
from ..params import param
from ..training_fields import (
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    start_from_field,
    steps_field,
)


def _map_field(help: str, optional: bool = False, label: str = "Map") -> typing.Any:
    text = help + " MRC, protein positive; the header's pixel size, origin and axes are used."
    if optional:
        return param(text, default=None, label=label, path="file", none_means="none")
    return param(text, label=label, path="file")


def _half_maps_field() -> typing.Any:
    return param("The two half-maps, unmasked and unsharpened.", default=(), label="Half-maps", path="file")


def _half_map_problems(config: typing.Any) -> typing.List[str]:
    if len(config.half_maps) in (0, 2):
        return []
    return [f"There are {len(config.half_maps)} half-maps (--half-maps); give both, or none."]


def _mask_field() -> typing.Any:
    return param(
        "Mask on the grid of the map: 1 inside, 0 outside.",
        default=None,
        label="Mask",
        path="file",
        none_means="no mask is applied",
    )


def _pixel_size_field() -> typing.Any:
    return param(
        "Pixel size of the map, where its header is wrong or says nothing.",
        default=None,
        label="Pixel size",
        unit="Å/px",
        minimum=0.1,
        maximum=20,
        none_means="that of the header",
    )


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


def _resolution_problems(config: typing.Any) -> typing.List[str]:
    if config.resolution_max >= config.resolution_min:
        return []
    return [
        f"Coarsest resolution (--resolution-max) is {config.resolution_max:g} Å, finer than the finest "
        f"(--resolution-min) of {config.resolution_min:g} Å."
    ]


@dataclasses.dataclass(frozen=True)
class ImproveMapConfig:
    """Improve the local contrast of a map with a trained network."""

    map: typing.Optional[str] = _map_field("Map to improve.", optional=True)
    half_maps: Paths = _half_maps_field()
    output: typing.Optional[str] = param(
        "Map to write, on the grid of the input. With half-maps alone their mean is improved.",
        default=None,
        label="Improved map",
        path="file",
        none_means="the input's name with _improved, in the current folder",
    )
    model: str = param(
        "Folder of a map improver, or the name of a shipped one.", default="improver", label="Model", path="model"
    )
    pixel_size: typing.Optional[float] = _pixel_size_field()
    resolution: typing.Optional[float] = param(
        "Resolution of the map. Outside the range that the model was trained for, the map is left as it is.",
        default=None,
        label="Resolution",
        unit="Å",
        minimum=1,
        maximum=100,
        none_means="FSC 0.143 of the half-maps; without half-maps a rough estimate from the map",
    )
    mask: typing.Optional[str] = _mask_field()
    mask_structure: typing.Optional[str] = param(
        "Atomic model; what is farther than Mask radius from its atoms is set to zero.",
        default=None,
        label="Mask by structure",
        path="file",
        none_means="no mask by a structure",
    )
    mask_radius: float = param(
        "Distance from the atoms that a mask by a structure reaches.",
        default=4.0,
        label="Mask radius",
        unit="Å",
        minimum=0.5,
        maximum=50,
        expert=True,
    )
    confidence: bool = param(
        "Also write NAME_confidence.mrc: how sure the network is that there is density, from 0 "
        "to 1. What is bright in the improved map and dark there is not to be trusted.",
        default=True,
        label="Confidence map",
    )
    overlap: int = param(
        "Overlap of neighbouring boxes of 48 px; more is slower, and the result depends less on where "
        "the boxes lie. Odd numbers are better: the boxes then lie on all phases of the network's grid.",
        default=27,
        label="Overlap",
        unit="px",
        minimum=0,
        maximum=44,
        expert=True,
    )
    batch_size: typing.Optional[int] = param(
        "Boxes that go through the network at a time.",
        default=None,
        label="Batch size",
        minimum=1,
        maximum=1024,
        none_means="what suits the device",
        expert=True,
    )
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        if not self.map and not self.half_maps:
            return ["There is nothing to improve: give a map (--map) or two half-maps (--half-maps)."]
        return _half_map_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ImproveMapOutputs(Outputs):
    """What `improve-map` wrote."""

    map: str = output("The improved map, on the grid of the input.", path="file")
    confidence: typing.Optional[str] = output(
        "Map of the confidence that there is density; null if the network has none.", path="file"
    )
    half1: typing.Optional[str] = output("First improved half-map; null without half-maps.", path="file")
    half2: typing.Optional[str] = output("Second improved half-map; null likewise.", path="file")
    pixel_size: float = output("Of the maps.", unit="Å/px")
    model: str = output("Name of the model.")
    grid: float = output("Pixel size that the network works at.", unit="Å/px")
    resolution: typing.Optional[float] = output("Resolution of the input; null if it could not be told.", unit="Å")
    left_alone: typing.Optional[str] = output("Why the map was given back as it is; null if it was improved.")
    half_map_test: typing.Optional[Details] = output(
        "Half-map test with its control (contract.half_map_verdict); null without half-maps."
    )


@dataclasses.dataclass(frozen=True)
class TrainMapImproverConfig:
    """Train a network that turns reconstructed maps into what their atomic models look like."""

    output: str = model_folder_field()
    pairs: typing.Optional[str] = param(
        "Table (.csv) with the columns map, structure, resolution (Å); paths are relative to the table. The structures "
        "must lie in the frame of their maps.",
        default=None,
        label="Map and model pairs",
        path="file",
        none_means="simulated maps only",
    )
    structures: Paths = param(
        "Atomic models to simulate maps from (glob, files or list file).",
        default=(),
        label="Structures to simulate from",
        path="file",
    )
    leave_out: Paths = param(
        "Names of structures' files (without extensions) not to learn from, for tests on "
        "molecules that the network never saw; similar proteins are left out with them.",
        default=(),
        label="Leave out",
    )
    network: str = param(
        "fast: this project's small 3-D Swin-Conv-UNet for CPUs. swinconv: the published network (EMReady); large, "
        "meant for a GPU.",
        default="fast",
        label="Network",
        choices=IMPROVER_NETWORKS,
    )
    simulated: int = param(
        "Maps that are simulated from each structure, of different resolutions and faults.",
        default=4,
        label="Simulated maps per structure",
        minimum=0,
        maximum=1000,
    )
    resolution_min: float = param(
        "Finest resolution of simulated maps.", default=3.0, label="Finest resolution", unit="Å", minimum=1, maximum=20
    )
    resolution_max: float = param(
        "Coarsest resolution of simulated maps.",
        default=6.0,
        label="Coarsest resolution",
        unit="Å",
        minimum=1,
        maximum=20,
    )
    grid: float = param(
        "Pixel size that maps are brought to. 0.5 for maps finer than that of 3 Å resolution.",
        default=1.0,
        label="Grid",
        unit="Å/px",
        minimum=0.3,
        maximum=3,
        expert=True,
    )
    target_resolution: float = param(
        "Resolution that the targets are drawn at, whatever that of the map: a network cannot tell more than is known, "
        "and a sharp target lets it tell all of that. 0: that of the map (as published).",
        default=3.0,
        label="Resolution of targets",
        unit="Å",
        minimum=0,
        maximum=20,
        expert=True,
    )
    local_resolution: bool = param(
        "Targets as blurred as the map is at each atom, instead of the same everywhere.",
        default=False,
        label="Targets of local resolution",
        expert=True,
    )
    local_effects: bool = param(
        "Simulated maps differ from place to place in resolution and contrast, as real ones do. Off: for comparison.",
        default=True,
        label="Local effects",
        expert=True,
    )
    ssim: float = param(
        "Weight of the loss of structural similarity beside the smooth L1 loss. 0: none.",
        default=1.0,
        label="Weight of SSIM",
        minimum=0,
        maximum=100,
        expert=True,
    )
    atoms: float = param(
        "Weight of the loss of Q-scores: how much the density about each atom looks like an atom. 0: none (as "
        "published).",
        default=2.0,
        label="Weight of atoms",
        minimum=0,
        maximum=100,
        expert=True,
    )
    shells: float = param(
        "Weight of the loss of the FSC with the target, in which every resolution counts alike. 0: none (as "
        "published).",
        default=1.0,
        label="Weight of FSC",
        minimum=0,
        maximum=100,
        expert=True,
    )
    attention: bool = param(
        "Window attention in the network. Off: for comparison.", default=True, label="Attention", expert=True
    )
    start_from: typing.Optional[str] = start_from_field("Map improver")
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(8)
    validation_fraction: float = param(
        "Part of the molecules kept for validation; similar ones stay together.",
        default=0.2,
        label="Validation fraction",
        minimum=0.05,
        maximum=0.5,
        expert=True,
    )
    batch_size: typing.Optional[int] = batch_size_field("Boxes", most=1024)
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        problems = []
        if not self.pairs and not self.structures:
            problems.append(
                "There is nothing to learn from: give pairs of maps and models (--pairs), or structures to "
                "simulate from (--structures)."
            )
        elif not self.pairs and not self.simulated:
            problems.append(
                "Simulated maps per structure (--simulated) is 0 and there are no pairs (--pairs): there "
                "is nothing to learn from. Give one of them."
            )
        return problems + _resolution_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainMapImproverOutputs(Outputs):
    """What `train-map-improver` made."""

    model: str = output("Model folder.", path="folder")
    validation: Details = output("Measures on the validation data, by name.")
    stop_reason: str = output("Why the training ended.")
    maps: int = output("Training maps.")
    grid: float = output("Pixel size that the network works at.", unit="Å/px")


@dataclasses.dataclass(frozen=True)
class ListPairsConfig:
    """Turn a list of EMDB and PDB ids into addresses to download and a table of pairs to train a map improver on."""

    ids: str = param(
        "List (.csv) with the columns emdb_id, pdb_id (or fitted_pdbs, as EMDB's own tables call it) and "
        "resolution (Å); other columns are not looked at.",
        label="List of ids",
        path="file",
    )
    output: str = param(
        "Folder for addresses.txt, one address per line, and pairs.csv; the files are to be downloaded "
        "there. It must not exist.",
        label="Output folder",
        path="folder",
    )
    resolution_min: float = param(
        "Finest resolution to take.", default=3.0, label="Finest resolution", unit="Å", minimum=0.5, maximum=50
    )
    resolution_max: float = param(
        "Coarsest resolution to take.", default=6.0, label="Coarsest resolution", unit="Å", minimum=0.5, maximum=50
    )

    def check_together(self) -> typing.List[str]:
        return _resolution_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ListPairsOutputs(Outputs):
    """What `list-pairs` wrote."""

    addresses: str = output("Addresses for a download, one per line.", path="file")
    pairs: str = output("Table of pairs for train-map-improver.", path="file")
    listed: int = output("Pairs.")
    maps: int = output("Maps to download.")
    models: int = output("Atomic models to download.")
    outside: int = output("Pairs of other resolutions, which were left out.")


@dataclasses.dataclass(frozen=True)
class EvaluateMapConfig:
    """Measure a map against an atomic model, and two half-maps against each other."""

    map: str = _map_field("Map to measure.")
    structure: str = param(
        "Atomic model in the frame of the map (.pdb, .cif, also .gz).", label="Structure", path="file"
    )
    half_maps: Paths = _half_maps_field()
    before: typing.Optional[str] = _map_field(
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
    mask_radius: float = param(
        "Distance from the atoms that the mask made from the structure reaches.",
        default=4.0,
        label="Mask radius",
        unit="Å",
        minimum=0.5,
        maximum=50,
        expert=True,
    )
    resolution: typing.Optional[float] = _model_resolution_field()
    pixel_size: typing.Optional[float] = _pixel_size_field()
    output: typing.Optional[str] = param(
        "Folder for evaluation.json, tables and pictures. It must not exist.",
        default=None,
        label="Output folder",
        path="folder",
        none_means="figures are printed only",
    )
    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        if self.improver and not self.half_maps:
            return ["The half-map test (--improver) needs the half-maps (--half-maps)."]
        return _half_map_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateMapOutputs(Outputs):
    """What `evaluate-map` found."""

    evaluation: typing.Optional[str] = output("evaluation.json; null if nothing was to be written.", path="file")
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
        "Farthest that two matching residues (C-alpha or P atoms) may lie apart.",
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
    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")


@dataclasses.dataclass(frozen=True, eq=False)
class CompareModelsOutputs(Outputs):
    """What `compare-models` found."""

    residues: int = output("Residues that were built.")
    reference_residues: int = output("Residues of the reference.")
    matched: int = output("Residues with a partner.")
    coverage: typing.Optional[float] = output("Part of the reference that has a partner.")
    sequence_match: typing.Optional[float] = output("Part of the partners of the same residue type.")
    rmsd_angstrom: typing.Optional[float] = output("Root mean square distance of partners.", unit="Å")
    false_residues: int = output("Residues that were built without a partner.")
    fragments: int = output("Unbroken pieces of the built chains.")
    chains: typing.Dict[str, typing.Optional[float]] = output("Coverage of each chain of the reference.")
    table: typing.Optional[str] = output("Table of the partners.", path="file")


@dataclasses.dataclass(frozen=True)
class SimulateHalfMapsConfig:
    """Simulate two half-maps, the whole map and the truth of an atomic model, with the faults of real maps."""

    structure: str = param("Atomic model (.pdb, .cif, also .gz).", label="Structure", path="file")
    resolution: float = param(
        "Resolution at which the FSC of the half-maps falls to 0.143.",
        label="Resolution",
        unit="Å",
        minimum=1.5,
        maximum=20,
    )
    output: str = param(
        "PREFIX of PREFIX_half1.mrc, _half2.mrc, _full.mrc (their mean), _truth.mrc (the model's "
        "density without noise and blur), _model.pdb or .cif (in the frame of the maps).",
        label="Output",
        path="file",
    )
    pixel_size: float = param(
        "Pixel size of the maps.", default=1.0, label="Pixel size", unit="Å/px", minimum=0.2, maximum=10
    )
    box: typing.Optional[int] = param(
        "Side of the cubes.",
        default=None,
        label="Box size",
        unit="px",
        minimum=16,
        maximum=1024,
        none_means="the structure with 20 Å of solvent on each side",
    )
    b_factor: float = param(
        "B factor that the maps are blurred by, as they come out of a reconstruction.",
        default=100.0,
        label="B factor",
        unit="Å²",
        minimum=0,
        maximum=1000,
    )
    flexibility: float = param(
        "How much the B factor rises from the core to the surface and to flexible domains.",
        default=100.0,
        label="Flexibility",
        unit="Å²",
        minimum=0,
        maximum=1000,
    )
    anisotropy: float = param(
        "How unevenly orientations are spread: 0 evenly, 1 one direction is hardly seen.",
        default=0.2,
        label="Preferred orientation",
        minimum=0,
        maximum=1,
    )
    detergent: bool = param(
        "A belt of detergent around the middle, as of a membrane protein.", default=False, label="Detergent belt"
    )
    side_chains: float = param(
        "How much the B factor rises with each bond that an atom is away from the backbone.",
        default=30.0,
        label="Flexibility of side chains",
        unit="Å²",
        minimum=0,
        maximum=500,
        expert=True,
    )
    solvent: float = param(
        "Density of the ice around the molecule over that of the molecule. 0: vacuum.",
        default=0.6,
        label="Solvent",
        minimum=0,
        maximum=1,
        expert=True,
    )
    carboxylates: float = param(
        "Part of their density that the carboxyl groups of Asp and Glu keep: charge and damage "
        "by the beam weaken them.",
        default=0.3,
        label="Carboxylates",
        minimum=0,
        maximum=1,
        expert=True,
    )
    sharpen: bool = param(
        "The whole map is sharpened by its B factor and filtered by its FSC, as deposited maps are.",
        default=True,
        label="Sharpen the whole map",
    )
    seed: int = seed_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateHalfMapsOutputs(Outputs):
    """What `simulate-half-maps` wrote."""

    half1: str = output("First half-map.", path="file")
    half2: str = output("Second half-map.", path="file")
    full: str = output("Mean of both.", path="file")
    truth: str = output("Map without noise.", path="file")
    structure: str = output("Atomic model in the frame of the maps.", path="file")
    pixel_size: float = output("Of the maps.", unit="Å/px")
    box: int = output("Side of the maps.", unit="px")
    resolution: typing.Optional[float] = output(
        "Where the half-maps' FSC around the atoms falls below 0.143.", unit="Å"
    )
    b_factor: float = output("B-factor by which the full map was sharpened; 0 for none.", unit="Å²")
