# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that pick."""

import dataclasses
import typing

from ..command import Command
from ..fields import (
    THRESHOLD_RULES,
    Paths,
    micrographs_field,
    model_field,
    names_field,
    output_folder_field,
    pixel_size_field,
)
from ..outputs import Counts, Details, Numbers, Outputs, Texts, output
from ..params import param
from .pick_fields import (
    avoid_field,
    border_field,
    micrograph_contrast_field,
    minimum_distance_field,
    overwrite_field,
    particle_diameter_field,
    pick_threshold_field,
    pictures_field,
    tile_memory_field,
)

PICK_METHODS = ("network", "templates")


@dataclasses.dataclass(frozen=True)
class PickConfig:
    """Pick particles in micrographs with a trained model, or by templates."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = output_folder_field(
        "Folder for one <micrograph>.star each. An interrupted run continues here; finished micrographs are not "
        "picked again."
    )
    method: str = param(
        "network: a trained model. templates: correlation with projections of a structure, or with round blobs of the "
        "particle diameter, for comparison with pickers that learn.",
        default="network",
        label="Method",
        choices=PICK_METHODS,
    )
    model: str = model_field(
        "Model folder, or the name of a shipped model (`cryodl doctor` lists them).", default="general"
    )
    structure: typing.Optional[str] = param(
        "Map (.mrc) or atomic model (.pdb, .cif, also .gz) of the particle, or of a similar molecule, whose "
        "projections are the templates.",
        default=None,
        label="Structure",
        path="file",
        none_means="round blobs of the particle diameter",
    )
    particle_diameter: typing.Optional[float] = particle_diameter_field(
        default=None, none_means="the model's or the structure's; a general model estimates it from the micrographs"
    )
    threshold: typing.Optional[float] = pick_threshold_field("chosen by the threshold rule")
    threshold_rule: str = param(
        "How the threshold is chosen if none is given. model: the model's threshold, chosen on its validation "
        "micrographs. f1: for each micrograph, the threshold with the largest expected F1. count: for each "
        "micrograph, as many picks as the expected number of particles (the sum of the scores).",
        default="model",
        label="Threshold rule",
        choices=THRESHOLD_RULES,
        expert=True,
    )
    contrast: str = micrograph_contrast_field(
        "Whether protein is darker or brighter than its surroundings. auto: the contrast of the model's training; a "
        "general model tries both on some micrographs and reports what it found; templates are of dark protein."
    )
    minimum_distance: typing.Optional[float] = minimum_distance_field(
        "about half a diameter: set by the training labels, 0.6 for templates"
    )
    border: float = border_field()
    avoid: str = avoid_field()
    overwrite: bool = overwrite_field()
    memory: float = tile_memory_field()
    pictures: int = pictures_field(
        "Pictures of picks to draw beside the STAR files, of the first micrographs: circles of the particle's "
        "diameter, coloured by score. 0: none."
    )
    feature_maps: int = param(
        "Draw the network's feature maps for the middle of so many micrographs, the first that are picked: PNG files "
        "in the folder feature_maps of the picks.",
        default=0,
        label="Feature maps",
        minimum=0,
        maximum=1000,
        expert=True,
    )
    names: Paths = names_field()

    def check_together(self) -> typing.List[str]:
        """Templates are of a structure or a diameter, not both; a network takes no structure."""
        if self.method == "network":
            wrong = "Structure (--structure) is given, which a network does not use. Choose --method templates."
            return [] if self.structure is None else [wrong]
        if (self.structure is None) == (self.particle_diameter is None):
            found = "neither is" if self.structure is None else "both are"
            return [
                f"Structure (--structure) and Particle diameter (--particle-diameter): {found} given. "
                "Give either a structure, whose projections are the templates, or the diameter of round blobs."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class PickOutputs(Outputs):
    """What `pick` wrote. With templates scores are correlation coefficients, and nothing is expected of them."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output(
        "STAR file of the picks of each micrograph.", path="file", becomes="outputCoordinates: SetOfCoordinates"
    )
    candidates: Texts = output(
        "STAR file of all candidates of each micrograph, down to a low score; none where no particles of any size were "
        "found.",
        path="file",
    )
    counts: Counts = output("Number of picks of each micrograph.")
    picks: int = output("Total number of picks.")
    threshold: float = output("Score threshold; the median if each micrograph has its own.")
    threshold_uncertainty: typing.Optional[float] = output(
        "Standard deviation of the model's threshold; null for another threshold, or if the model has none."
    )
    thresholds: Numbers = output("Score threshold of each micrograph.")
    particle_diameter: typing.Optional[float] = output(
        "The given diameter, or else the one that was estimated.", unit="Å"
    )
    contrast: str = output("Contrast of protein, 'dark' or 'bright'.")
    expected_particles: Numbers = output(
        "Expected number of particles among all candidates (number), and its standard deviation (deviation)."
    )
    expected: typing.Optional[Numbers] = output(
        "Expected precision, recall and f1 of the picks; null if they cannot be estimated from the scores."
    )
    model: str = output("Model folder; empty for templates.", path="folder")
    pictures: Texts = output("Pictures of the first micrographs.", path="file")
    picked_diameter: typing.Optional[float] = output(
        "Diameter used for picking: the given one, or another if the micrographs contradict it; null if no size was "
        "found.",
        unit="Å",
        default=None,
    )
    size: typing.Optional[Details] = output("Details of the diameter search; null if there was none.", default=None)
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px", default=None
    )
    templates: typing.Optional[int] = output("Number of templates; null for a network.", default=None)
    expected_false_picks: typing.Optional[int] = output(
        "Number of picks at this threshold in the micrographs with inverted contrast, which contain no particles; null "
        "for a network.",
        default=None,
    )


@dataclasses.dataclass(frozen=True)
class ProposeBoxesConfig:
    """Propose background and contamination boxes on micrographs whose particles are labelled."""

    micrographs: Paths = micrographs_field()
    coordinates: str = param("Folder (or file) with the particles' coordinates.", label="Coordinates", path="folder")
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field()
    output: str = output_folder_field("Folder for background/*.star and contamination/*.star. It must not exist.")
    count: int = param(
        "Maximum number of boxes of each kind per micrograph.",
        default=15,
        label="Boxes per micrograph",
        minimum=1,
        maximum=10000,
    )
    names: Paths = names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class ProposeBoxesOutputs(Outputs):
    """What `propose-boxes` wrote."""

    folder: str = output("Folder of both kinds of boxes.", path="folder")
    background: str = output("Folder of the background boxes, one STAR file for each micrograph.", path="folder")
    contamination: str = output("Folder of the contamination boxes, one STAR file for each micrograph.", path="folder")
    background_boxes: Counts = output("Number of background boxes of each micrograph.")
    contamination_boxes: Counts = output("Number of contamination boxes of each micrograph.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px", default=None
    )


COMMANDS = (
    Command(
        "pick",
        PickConfig,
        PickOutputs,
        gpu=True,
        example="cryodl pick --micrographs 'mics/*.mrc' --pixel-size 1.77 --model models/betagal --output picks/\n"
        "To change the threshold, repeat the command with --threshold. It is fast, because the candidates "
        "are kept in picks/candidates.\n"
        "cryodl pick --micrographs 'mics/*.mrc' --pixel-size 1.2 --method templates --structure 1abc.cif --output "
        "templates/",
        kept="micrograph",
        shared="micrographs",
    ),
    Command(
        "propose-boxes",
        ProposeBoxesConfig,
        ProposeBoxesOutputs,
        example="cryodl propose-boxes --micrographs 'mics/*.mrc' --coordinates good/ --pixel-size 1.77 "
        "--particle-diameter 190 --output proposed/",
        form=False,
    ),
)
