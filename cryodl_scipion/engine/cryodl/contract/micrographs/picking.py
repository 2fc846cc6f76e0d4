# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that pick."""

import dataclasses
import typing

from ..fields import (
    AVOIDABLE,
    CONTRASTS,
    THRESHOLD_RULES,
    Paths,
    device_field,
    micrographs_field,
    names_field,
    pixel_size_field,
    threads_field,
)
from ..outputs import Counts, Details, Numbers, Outputs, Texts, output
from ..params import param


@dataclasses.dataclass(frozen=True)
class PickConfig:
    """Pick particles in micrographs with a trained model."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    model: str = param(
        "Model folder, or the name of a shipped model (`cryodl doctor` lists them).", label="Model", path="model"
    )
    output: str = param(
        "Folder for one <micrograph>.star each. A stopped run continues here; finished micrographs are "
        "not picked again.",
        label="Output folder",
        path="folder",
    )
    particle_diameter: typing.Optional[float] = param(
        "Diameter of a circle that just holds the particle.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
        none_means="the model's; a general model finds it in the micrographs",
    )
    threshold: typing.Optional[float] = param(
        "Picks with a lower score are left out. 0 keeps every candidate.",
        default=None,
        label="Score threshold",
        minimum=0,
        maximum=1,
        none_means="what the threshold rule says",
    )
    threshold_rule: str = param(
        "Where no threshold is given. model: the model's, chosen on its validation micrographs. f1: for each "
        "micrograph the one with the largest expected F1. count: for each micrograph as many picks as particles are "
        "expected, the sum of the scores.",
        default="model",
        label="Threshold rule",
        choices=THRESHOLD_RULES,
        expert=True,
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings. auto: the model's; a general model compares both "
        "on some micrographs, and says what it found.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )
    minimum_distance: typing.Optional[float] = param(
        "Minimum distance between picks; of two closer ones the one with the higher score stays.",
        default=None,
        label="Minimum distance",
        unit="Å",
        minimum=0,
        maximum=5000,
        none_means="what the training labels allow, about half a diameter",
        expert=True,
    )
    border: float = param(
        "Picks whose centre is nearer than this to the micrograph's edge are left out.",
        default=0.0,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=10000,
        expert=True,
    )
    avoid: str = param(
        "Areas that are left out while picking. contamination: ice crystals, dirt and aggregates that stand out of the "
        "particles. Carbon film is found by its edge; particles on it may be good ones.",
        default="nothing",
        label="Leave out",
        choices=AVOIDABLE,
        expert=True,
    )
    overwrite: bool = param(
        "Pick finished micrographs again, and allow other parameters than those of the files that "
        "are in the output folder already.",
        default=False,
        label="Pick again",
        expert=True,
    )
    memory: float = param(
        "Memory that the network may use for one tile.",
        default=0.4,
        label="Memory for tiles",
        unit="GB",
        minimum=0.05,
        maximum=1000,
        expert=True,
    )
    pictures: int = param(
        "Pictures of picks to draw beside the STAR files, of the first micrographs: circles of the particle's "
        "diameter, coloured by score. 0: none.",
        default=3,
        label="Pictures",
        minimum=0,
        maximum=100000,
    )
    names: Paths = names_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class PickOutputs(Outputs):
    """What `pick` wrote."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output("STAR file of each micrograph: its picks.", path="file")
    candidates: Texts = output("STAR file of each micrograph: all candidates, down to a low score.", path="file")
    counts: Counts = output("Picks of each micrograph.")
    picks: int = output("Picks of all micrographs.")
    threshold: float = output("Score of the picks at least; the median, where each micrograph has its own.")
    threshold_uncertainty: typing.Optional[float] = output(
        "Standard deviation of the model's threshold; null for another one, or if the model does not know it."
    )
    thresholds: Numbers = output("Threshold of each micrograph.")
    particle_diameter: typing.Optional[float] = output("The stated diameter, else the one that was found.", unit="Å")
    contrast: str = output("'dark' or 'bright' protein.")
    expected_particles: Numbers = output(
        "Expected number of particles among all candidates (number) and its deviation."
    )
    expected: typing.Optional[typing.Dict[str, typing.Optional[float]]] = output(
        "Expected precision, recall and f1 of the picks; null where the scores do not tell."
    )
    model: str = output("Model folder.", path="folder")
    pictures: Texts = output("Picture of each of the first micrographs.", path="file")
    picked_diameter: typing.Optional[float] = output(
        "Diameter that was picked at: the stated one, or another if the micrographs contradict it; null if no size was "
        "found.",
        unit="Å",
        default=None,
    )
    size: typing.Optional[Details] = output("The search for the diameter; null if there was none.", default=None)


@dataclasses.dataclass(frozen=True)
class ProposeBoxesConfig:
    """Propose background and contamination boxes for micrographs on which particles are labelled."""

    micrographs: Paths = micrographs_field()
    coordinates: str = param("Folder (or file) with the particles' coordinates.", label="Coordinates", path="folder")
    pixel_size: float = pixel_size_field()
    particle_diameter: float = param(
        "Diameter of a circle that just holds the particle.",
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
    )
    output: str = param(
        "Folder for background/*.star and contamination/*.star. It must not exist.",
        label="Output folder",
        path="folder",
    )
    count: int = param(
        "Most boxes of each kind per micrograph.", default=15, label="Boxes per micrograph", minimum=1, maximum=10000
    )
    names: Paths = names_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class ProposeBoxesOutputs(Outputs):
    """What `propose-boxes` wrote."""

    folder: str = output("Folder of both.", path="folder")
    background: str = output("Folder of the background boxes, one STAR file for each micrograph.", path="folder")
    contamination: str = output("Folder of the contamination boxes, likewise.", path="folder")
    background_boxes: Counts = output("Background boxes of each micrograph.")
    contamination_boxes: Counts = output("Contamination boxes of each micrograph.")
