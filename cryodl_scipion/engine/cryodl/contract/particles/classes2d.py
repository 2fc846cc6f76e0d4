# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of 2-D classification and of the selection of 2-D classes."""

import typing

from .. import fields
from ..command import Command, Config, Outputs, output, param


class Classify2DConfig(Config):
    """Classify particles into 2-D classes: aligned, CTF-corrected averages, each with a score."""

    particles: str = fields.particles(
        "Particles to classify; no angles are needed. The CTF is used if the file has one."
    )
    output: str = fields.output_folder(
        "Folder for particles.star (with rlnClassNumber), classes.mrcs, classes.star, and sums.npz, to which later "
        "particles are added (--classes-from). It must not exist."
    )
    classes: int = param(
        "Number of classes. Each needs a few tens of particles.", 50, label="Number of classes", limits=(1, 1000)
    )
    classes_from: typing.Optional[str] = param(
        "Output folder of an earlier `cryodl classify-2d`, to whose classes the particles are assigned. The averages "
        "are then of both; the classes keep their numbers. The number of classes, mask, shifts, resolution, CTF "
        "correction and contrast are those of that run.",
        None,
        path="folder",
        none_means="new classes",
    )
    again: bool = param(
        "With classes of an earlier run: classify all particles again, starting from its averages, instead of only "
        "assigning new ones. Give all particles, also those of the earlier run.",
        False,
        label="Classify again",
    )
    mask_diameter: typing.Optional[float] = fields.mask_diameter(
        "Diameter of the circle within which particles are compared; about 1.1 times the longest dimension of the "
        "particle."
    )
    max_shift: typing.Optional[float] = fields.max_shift(
        "Maximum distance of a particle from the centre of its box.", none_means="a twelfth of the box size"
    )
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the comparison. The averages are not limited.",
        none_means="1/22 of the box size, or 2.7 pixels if that is coarser",
    )
    correct_ctf: bool = fields.correct_ctf(
        "Correct the averages for the CTF. Without correction they keep the contrast of the microscope."
    )
    epochs: int = param(
        "Maximum number of passes over all particles with the full number of classes. They end earlier when the "
        "classes no longer change.",
        8,
        label="Maximum passes",
        limits=(1, 100),
        expert=True,
    )
    contrast: str = fields.particle_contrast()


class SelectClassesConfig(Config):
    """Select 2-D classes and keep their particles."""

    classes: str = param(
        "classes.star of a 2-D classification, or a copy beside it with the rows that are wanted.", path="file"
    )
    output: str = fields.output_folder(
        "Folder for particles.star, classes.mrcs and classes.star of the kept classes, and selection.json. It must "
        "not exist."
    )
    threshold: typing.Optional[float] = param(
        "Classes with at least this score are kept. The score is the fraction of a class's particles that is expected "
        "to be good, that is, one whole, centred particle.",
        None,
        label="Score threshold",
        limits=(0, 1),
        none_means="chosen from the scores: a class is left out only if its bad particles harm a map more than its "
        "good ones help",
    )
    minimum_particles: typing.Optional[int] = param(
        "Classes with fewer particles are not kept.",
        None,
        label="Minimum number of particles",
        limits=(1, 10**7),
        none_means="10, or half of the classes' mean if that is fewer: averages of so few cannot be scored",
        expert=True,
    )
    good_lost: float = param(
        "Fraction of the particles with signal that may be left out together with those that show only noise. 0: all "
        "particles of the kept classes are kept.",
        0.02,
        label="Fraction of good particles lost",
        limits=(0, 0.5),
    )
    particles: typing.Optional[str] = fields.particles(
        "Particles to choose from: particles.star of an earlier folder, if the classes are those of a later one that "
        "`classify-2d --classes-from` made from it.",
        label="Other particles",
        default=None,
        none_means="particles.star beside the classes",
    )


class Classify2DOutputs(Outputs):
    particles: str = output(
        "STAR file of the particles with in-plane angle, shift and rlnClassNumber: 1 is the largest class (with "
        "classes_from: the number of that run), 0 a particle that could not be used.",
        path="file",
    )
    classes: str = output("STAR file of the classes.", path="file", becomes="outputClasses: SetOfClasses2D")
    stack: str = output("Averages.", path="file", becomes="outputAverages: SetOfAverages")
    counts: typing.List[int] = output("Number of particles of each class, class 1 first.")
    scores: typing.List[float] = output("Probability that each average is good.")
    resolutions: typing.List[typing.Optional[float]] = output("Resolution of each average.", "Å")
    count: int = output("Number of classified particles, with those of the run in --classes-from.")
    converged: bool = output("Whether the classes no longer changed at the end.")
    pixel_size: float = output("Pixel size of the averages.", "Å/px")
    box: int = output("Box size of the averages.", "px")
    assigned: int = output("Number of particles that were assigned to classes of an earlier run.", default=0)


class SelectClassesOutputs(Outputs):
    particles: str = output("STAR file of the kept particles.", path="file", becomes="outputParticles: SetOfParticles")
    classes: str = output("STAR file of the kept classes.", path="file", becomes="outputClasses: SetOfClasses2D")
    stack: str = output("Averages of the kept classes.", path="file")
    selection: str = output("selection.json: every class with its score and whether it was kept.", path="file")
    kept: typing.List[int] = output("Numbers of the kept classes.")
    count: int = output("Number of kept particles.")
    dropped: int = output("Number of particles of rejected classes.")
    unclassified: int = output("Number of particles in no class.")
    threshold: float = output("Score threshold that was used, given or chosen.")
    expected_good: float = output(
        "Expected fraction of good ones among the kept particles, by the scores of their classes."
    )
    pixel_size: typing.Optional[float] = output("Pixel size of the particle images and averages.", "Å/px", default=None)
    rejected: typing.Optional[str] = output(
        "STAR file of all other particles; null if there are none.",
        path="file",
        becomes="outputRejected: SetOfParticles",
        default=None,
    )
    noise: int = output(
        "Number of particles of kept classes that were left out, since they may show only noise.", default=0
    )
    probability: float = output("Probability of signal below which particles were left out; 0: none.", default=0.0)


COMMANDS = (
    Command(
        "classify-2d",
        Classify2DConfig,
        Classify2DOutputs,
        fresh="Output folder",
        seeded=True,
        gpu=True,
        example="cryodl classify-2d --particles particles.star --classes 50 --output classes\n"
        "cryodl classify-2d --particles later.star --classes-from classes --output classes2",
        kept="pass",
    ),
    Command(
        "select-classes",
        SelectClassesConfig,
        SelectClassesOutputs,
        fresh="Output folder",
        threads=False,
        example="cryodl select-classes --classes classes/classes.star --threshold 0.5 --output good",
    ),
)
