# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that sort particles into 2-D classes and choose among the classes."""

import dataclasses
import typing

from ..fields import (
    device_field,
    output_folder_field,
    particle_contrast_field,
    particles_field,
    seed_field,
    threads_field,
)
from ..outputs import Outputs, output
from ..params import param
from ..search_fields import correct_ctf_field, mask_diameter_field, max_shift_field, resolution_field


@dataclasses.dataclass(frozen=True)
class Classify2DConfig:
    """Sort particles into 2-D classes: aligned averages with CTF, each with a score."""

    particles: str = particles_field("Particles to classify; no angles are needed. A CTF is used where there is one.")
    output: str = output_folder_field(
        "Folder for particles.star (with rlnClassNumber), classes.mrcs and classes.star. It must not exist."
    )
    classes: int = param(
        "Number of classes. A few tens of particles of each are needed.",
        default=50,
        label="Number of classes",
        minimum=1,
        maximum=1000,
    )
    mask_diameter: typing.Optional[float] = mask_diameter_field(
        "Diameter of the circle that the particles are compared in: a tenth more than the particle's longest side."
    )
    max_shift: typing.Optional[float] = max_shift_field(
        "Maximum distance of a particle from its box's centre.", none_means="a twelfth of the box"
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the comparison. The averages have all detail.",
        "22 waves per box, or 2.7 pixels where that is coarser",
    )
    correct_ctf: bool = correct_ctf_field(
        "Take the CTF into account. Without it averages have the contrast of the microscope."
    )
    epochs: int = param(
        "Maximum number of passes over all particles with the full number of classes; it ends earlier when the classes "
        "no longer change.",
        default=8,
        label="Maximum number of passes",
        minimum=1,
        maximum=100,
        expert=True,
    )
    ranker: typing.Optional[str] = param(
        "Model that scores the averages.",
        default=None,
        label="Ranker",
        path="model",
        none_means="the one that comes with the program",
        expert=True,
    )
    contrast: str = particle_contrast_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True)
class SelectClassesConfig:
    """Keep the particles of the 2-D classes that are not bad."""

    classes: str = param(
        "classes.star of a 2-D classification; particles.star lies beside it.", label="Classes", path="file"
    )
    output: str = output_folder_field(
        "Folder for particles.star, classes.mrcs and classes.star of the kept classes, and selection.json. It must not "
        "exist."
    )
    threshold: typing.Optional[float] = param(
        "Classes with at least this score are kept. The score is the fraction of a class's particles that is expected "
        "to be good: one whole particle in the middle.",
        default=None,
        label="Threshold",
        minimum=0,
        maximum=1,
        none_means="chosen from the scores: a class is left out only if its bad particles would take more from a map "
        "than its good ones give",
    )
    minimum_particles: int = param(
        "Classes with fewer particles are not kept.",
        default=1,
        label="Minimum number of particles",
        minimum=1,
        maximum=10**7,
        expert=True,
        former=("fewest",),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Classify2DOutputs(Outputs):
    """What `classify-2d` found."""

    particles: str = output(
        "STAR file of the particles with rlnClassNumber, from 1, the largest class first; 0 where a particle could not "
        "be used; angle and shift in the plane.",
        path="file",
    )
    classes: str = output("STAR file of the classes.", path="file", becomes="outputClasses: SetOfClasses2D")
    stack: str = output("Averages.", path="file", becomes="outputAverages: SetOfAverages")
    counts: typing.List[int] = output("Particles of each class, class 1 first.")
    scores: typing.List[float] = output("Probability that each average is good.")
    resolutions: typing.List[typing.Optional[float]] = output("Resolution of each average.", unit="Å")
    count: int = output("Particles that were classified.")
    converged: bool = output("Whether the classes had stopped changing.")
    pixel_size: float = output("Of the averages.", unit="Å/px")
    box: int = output("Side of the averages.", unit="px")


@dataclasses.dataclass(frozen=True, eq=False)
class SelectClassesOutputs(Outputs):
    """What `select-classes` kept."""

    particles: str = output("STAR file of the kept particles.", path="file", becomes="outputParticles: SetOfParticles")
    classes: str = output("STAR file of the kept classes.", path="file", becomes="outputClasses: SetOfClasses2D")
    stack: str = output("Their averages.", path="file")
    selection: str = output("selection.json: every class with its score and whether it was kept.", path="file")
    kept: typing.List[int] = output("Numbers of the kept classes.")
    count: int = output("Kept particles.")
    dropped: int = output("Particles of other classes.")
    unclassified: int = output("Particles in no class.")
    threshold: float = output("Lowest score that was kept: the one asked for, or the one that was chosen.")
    expected_good: float = output("Mean score of the kept particles: the fraction of them expected to be good.")
    pixel_size: typing.Optional[float] = output("Of the particle images and the averages.", unit="Å/px", default=None)
