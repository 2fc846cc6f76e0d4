# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that find particles in tomograms."""

import dataclasses
import typing

from ..fields import Paths, device_field, model_field, output_folder_field, seed_field, threads_field
from ..outputs import Counts, Numbers, Outputs, Texts, output
from ..params import param
from ..search_fields import resolution_field, symmetry_field
from .tilt_fields import tilt_problems, tilt_series_field
from .tomogram_fields import (
    memory_field,
    tomogram_names_field,
    tomogram_pixel_size_field,
    tomograms_field,
    volume_border_field,
)

TOMOGRAM_CONTRASTS = ("dark", "bright")


@dataclasses.dataclass(frozen=True)
class DetectParticlesConfig:
    """Find particles in tomograms: with a template in all orientations, or with a trained detector."""

    tomograms: Paths = tomograms_field("Tomograms to search.")
    output: str = output_folder_field(
        "Folder for <tomogram>.star and particles.star (RELION 5). Finished tomograms in it are not searched again."
    )
    template: typing.Optional[str] = param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz) to search for in all orientations. "
        "Its hand matters little at the resolutions of this search.",
        default=None,
        label="Template",
        path="file",
        none_means="a model is given",
    )
    model: typing.Optional[str] = model_field(
        "Folder of a detector that train-detector made.", default=None, none_means="a template is given"
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field(
        "that of each header, or the model's where the header has none"
    )
    threshold: Paths = param(
        "Minimum score: one number, or for a model one for each species as name=number. Empty: those of the model; "
        "with a template the score that noise reaches as often as False detections allows.",
        default=(),
        label="Thresholds",
    )
    false_detections: float = param(
        "Detections in each tomogram that noise alone may give, from which the threshold for a template is chosen.",
        default=1.0,
        label="False detections",
        minimum=1e-6,
        maximum=100000,
    )
    minimum_distance: typing.Optional[float] = param(
        "Minimum distance between two particles of one species.",
        default=None,
        label="Minimum distance",
        unit="Å",
        minimum=1,
        maximum=100000,
        none_means="0.7 times the diameter",
        former=("distance",),
    )
    border: float = volume_border_field("Particles")
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
    resolution: typing.Optional[float] = resolution_field(
        "Resolution to which the template is compared. A higher one needs smaller angular steps and more time.",
        "a quarter of the diameter, but not finer than 2.5 px of the tomogram",
        minimum=4,
        maximum=500,
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
    tilt_min: float = tilt_series_field("tilt_min")
    tilt_max: float = tilt_series_field("tilt_max")
    defocus: float = param(
        "Mean underfocus of the series: the template is multiplied by its contrast transfer function (300 kV, 2.7 mm, "
        "amplitude contrast 0.07). 0: no CTF.",
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
        "Fraction of each tomogram in which the same search is repeated in noise of the same spectrum (phases drawn at "
        "random), to estimate how many detections are false. 0: no control, for a model alone; a template needs one.",
        default=0.25,
        label="Control",
        minimum=0,
        maximum=1,
        expert=True,
    )
    memory: float = memory_field()
    names: Paths = tomogram_names_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if bool(self.template) == bool(self.model):
            return ["Give either a template (--template) or the folder of a trained detector (--model)."]
        return tilt_problems(self) if self.template else []


@dataclasses.dataclass(frozen=True, eq=False)
class DetectParticlesOutputs(Outputs):
    """What `detect-particles` wrote."""

    files: Texts = output("STAR file of each tomogram.", path="file")
    particles: str = output(
        "One STAR file of all tomograms of the folder.", path="file", becomes="outputCoordinates: SetOfCoordinates3D"
    )
    method: str = output("template or network.")
    species: typing.List[str] = output("Names of the species.")
    counts: typing.Dict[str, Counts] = output("Detections of each tomogram and species.")
    thresholds: typing.Dict[str, Numbers] = output("Minimum score of each tomogram and species.")
    expected_false_detections: typing.Dict[str, Numbers] = output(
        "Detections that noise of the tomogram's spectrum gives at the threshold, scaled to the whole tomogram; empty "
        "where no control was made.",
        former=("by_chance",),
    )
    diameters: Numbers = output("Diameter of each species.", unit="Å")
    pixel_size: typing.Optional[float] = output("Of the tomograms; null if they differ.", unit="Å/px")
    angular_step: typing.Optional[float] = output("Of the search with a template.", unit="°")
    orientations: typing.Optional[int] = output("Number of orientations of the search with a template.")
    model: typing.Optional[str] = output("Folder of the detector.", path="folder")
