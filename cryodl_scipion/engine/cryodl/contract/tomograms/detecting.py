# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that find particles in tomograms."""

import dataclasses
import typing

from ..fields import (
    Paths,
    device_field,
    seed_field,
    symmetry_field,
    threads_field,
    tilt_problems,
    tomogram_names_field,
    tomogram_pixel_size_field,
    tomograms_field,
)
from ..networks import DETECTOR_NETWORKS
from ..outputs import Counts, Details, Numbers, Outputs, Texts, output
from ..params import param
from ..training_fields import (
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    start_from_field,
    steps_field,
)

TOMOGRAM_CONTRASTS = ("dark", "bright")


@dataclasses.dataclass(frozen=True)
class TrainDetectorConfig:
    """Train a network that finds particles of one or several species in tomograms, from their coordinates."""

    output: str = model_folder_field()
    tomograms: Paths = tomograms_field(
        "Tomograms in which all particles of the species are known; what has no coordinate counts as background."
    )
    coordinates: Paths = param(
        "Files of the particles' places: STAR (RELION 5 centred coordinates in Å, or rlnCoordinateX/Y/Z in px of "
        "these tomograms, with rlnTomoName), Dynamo tables (.tbl), IMOD models (.mod) or copick picks (.json). The "
        "species is the column cryodlSpecies, cryodlStructure or rlnClassNumber, or the name of the file.",
        label="Coordinates",
        path="file",
    )
    diameter: Paths = param(
        "Diameter of the particles in Å: one number for all species, or one for each as name=number.", label="Diameters"
    )
    species: Paths = param("Species to learn. Others count as background.", default=(), label="Species")
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    working_pixel_size: typing.Optional[float] = param(
        "Pixel size that tomograms are resampled to for the network. Coarser is faster.",
        default=None,
        label="Working pixel size",
        unit="Å/px",
        minimum=0.5,
        maximum=200,
        none_means="the tomograms', or coarser where the smallest particle stays 12 px wide",
    )
    network: str = param(
        "unet3d: 3-D U-Net that answers with a map of each species, high at the particles' centres. wide: the same "
        "with twice the channels; slower, for many tomograms.",
        default="unet3d",
        label="Network",
        choices=DETECTOR_NETWORKS,
    )
    beta: float = param(
        "Thresholds are chosen for the largest F-beta on the held-out data: how many times recall counts as much "
        "as precision. 1: both alike. 4: a missed particle is much worse than a wrong one.",
        default=4.0,
        label="Beta",
        minimum=0.1,
        maximum=20,
    )
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(8)
    validation_fraction: float = param(
        "Part of the tomograms held out to choose weights and thresholds; of a single tomogram a part of it.",
        default=0.2,
        label="Validation fraction",
        minimum=0.05,
        maximum=0.5,
        expert=True,
    )
    batch_size: typing.Optional[int] = batch_size_field("Crops")
    learning_rate: typing.Optional[float] = learning_rate_field()
    start_from: typing.Optional[str] = start_from_field("Detector")
    names: Paths = tomogram_names_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainDetectorOutputs(Outputs):
    """What `train-detector` made."""

    model: str = output("Model folder.", path="folder")
    species: typing.List[str] = output("What it finds.")
    thresholds: Numbers = output("Least score of a particle of each species.")
    validation: typing.Dict[str, Details] = output("Measures of each species on the held-out data.")
    stop_reason: str = output("Why the training ended.")
    pixel_size: float = output("Pixel size that the model works at.", unit="Å/px")


@dataclasses.dataclass(frozen=True)
class DetectParticlesConfig:
    """Find particles in tomograms: with a template in all orientations, or with a trained detector."""

    tomograms: Paths = tomograms_field("Tomograms to search.")
    output: str = param(
        "Folder for <tomogram>.star and particles.star (RELION 5). Finished tomograms in it are not searched again.",
        label="Output folder",
        path="folder",
    )
    template: typing.Optional[str] = param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz) to search for in all orientations. "
        "Its hand matters little at the resolutions of this search.",
        default=None,
        label="Template",
        path="file",
        none_means="a model is given",
    )
    model: typing.Optional[str] = param(
        "Folder of a detector that train-detector made.",
        default=None,
        label="Model",
        path="model",
        none_means="a template is given",
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field(
        "that of each header, or the model's where the header has none"
    )
    threshold: Paths = param(
        "Least score: one number, or for a model one for each species as name=number. Empty: those of the model; "
        "with a template the score that noise reaches as often as False detections allows.",
        default=(),
        label="Thresholds",
    )
    false_detections: float = param(
        "Detections in each tomogram that noise alone may give, by which the threshold for a template is chosen.",
        default=1.0,
        label="False detections",
        minimum=1e-6,
        maximum=100000,
    )
    distance: typing.Optional[float] = param(
        "Least distance of two particles of one species.",
        default=None,
        label="Distance",
        unit="Å",
        minimum=1,
        maximum=100000,
        none_means="0.7 times the diameter",
    )
    border: float = param(
        "Particles nearer than this to the tomogram's border are left out.",
        default=0.0,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=100000,
    )
    diameter: typing.Optional[float] = param(
        "Diameter of the sphere in which the template is compared.",
        default=None,
        label="Template diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
        none_means="that of the template",
    )
    template_pixel_size: typing.Optional[float] = param(
        "Pixel size of the template's map, for maps whose header has none.",
        default=None,
        label="Template pixel size",
        unit="Å/px",
        minimum=0.1,
        maximum=100,
        none_means="that of its header",
        expert=True,
    )
    symmetry: str = symmetry_field()
    resolution: typing.Optional[float] = param(
        "Detail of the template that is compared. Finer needs smaller angular steps, and time.",
        default=None,
        label="Resolution",
        unit="Å",
        minimum=4,
        maximum=500,
        none_means="a quarter of the diameter, but not finer than 2.5 px of the tomogram",
    )
    angular_step: typing.Optional[float] = param(
        "Step of the orientations that are searched; those of detections are refined to an eighth of it.",
        default=None,
        label="Angular step",
        unit="°",
        minimum=1,
        maximum=60,
        none_means="what the resolution asks for at the particle's rim",
    )
    tilt_min: float = param(
        "Least tilt of the series, about the y axis.",
        default=-60.0,
        label="Least tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    )
    tilt_max: float = param(
        "Largest tilt of the series.", default=60.0, label="Largest tilt", unit="°", minimum=-90, maximum=90
    )
    defocus: float = param(
        "Mean underfocus of the series: the template is multiplied by its contrast transfer function (300 kV, "
        "2.7 mm, amplitude contrast 0.07). 0: it is not.",
        default=0.0,
        label="Defocus",
        unit="Å",
        minimum=0,
        maximum=200000,
    )
    phase_flipped: bool = param(
        "Whether the tomogram was reconstructed from images whose phases were flipped.",
        default=False,
        label="Phases flipped",
        expert=True,
    )
    whitening: bool = param(
        "Divide tomogram and template by the amplitudes of the tomogram's rings of frequencies, so that all "
        "frequencies count alike.",
        default=True,
        label="Whitening",
        expert=True,
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings in the tomograms; for a template.",
        default="dark",
        label="Contrast",
        choices=TOMOGRAM_CONTRASTS,
    )
    control: float = param(
        "Part of each tomogram in which the same search is repeated in noise of the same spectrum (phases drawn at "
        "random), to tell how many detections come by chance. 0: not done for a model; a template needs some.",
        default=0.25,
        label="Control",
        minimum=0,
        maximum=1,
        expert=True,
    )
    memory: float = param(
        "Most memory that may be used beside what the libraries take.",
        default=1.5,
        label="Memory",
        unit="GB",
        minimum=0.2,
        maximum=1000,
        expert=True,
    )
    names: Paths = tomogram_names_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        if bool(self.template) == bool(self.model):
            return ["Give either a template (--template) or the folder of a trained detector (--model)."]
        return tilt_problems(self) if self.template else []


@dataclasses.dataclass(frozen=True, eq=False)
class DetectParticlesOutputs(Outputs):
    """What `detect-particles` wrote."""

    files: Texts = output("STAR file of each tomogram.", path="file")
    particles: str = output("One STAR file of all tomograms of the folder.", path="file")
    method: str = output("template or network.")
    species: typing.List[str] = output("Names of the species.")
    counts: typing.Dict[str, Counts] = output("Detections of each tomogram and species.")
    thresholds: typing.Dict[str, Numbers] = output("Least score of each tomogram and species.")
    by_chance: typing.Dict[str, Numbers] = output(
        "Detections that noise of the tomogram's spectrum gives at the threshold, scaled to the whole tomogram; empty "
        "where no control was made."
    )
    diameters: Numbers = output("Diameter of each species.", unit="Å")
    pixel_size: typing.Optional[float] = output("Of the tomograms; null if they differ.", unit="Å/px")
    angular_step: typing.Optional[float] = output("Of the search with a template.", unit="°")
    orientations: typing.Optional[int] = output("Number of orientations of the search with a template.")
    model: typing.Optional[str] = output("Folder of the detector.", path="folder")
