# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels: picked by hand, from 2-D classes, and proposed boxes."""

import typing

from .. import fields
from ..command import Command, Config, Counts, Outputs, Paths, found, output, param
from . import pick_fields


class PickByHandConfig(pick_fields.OnMicrographs):
    """Pick particles by hand, or correct picks, in a window. Every change is saved immediately."""

    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the drawn circles: the smallest circle around the particle."
    )
    coordinates: str = param(
        "Folder of the picks, one <micrograph>.star each. Picks that it already contains are shown and can be "
        "corrected.",
        path="folder",
    )
    start_from: typing.Optional[str] = param(
        "Picks to start from: a folder written by `pick` or another program, which is not changed. They are used for "
        "micrographs that have no file in the folder of coordinates yet.",
        None,
        label="Start from picks",
        path="folder",
        none_means="start without picks",
    )
    ask: typing.Optional[str] = param(
        "File of questions (questions.json) that `pick` wrote because it was unsure. Its places are shown one by one, "
        "and you say whether there is a particle.",
        None,
        label="Questions",
        path="file",
        none_means="whole micrographs are shown",
    )

    def check_together(self) -> typing.List[str]:
        return found(
            (
                self.ask is not None and self.start_from is not None,
                "Start from picks (--start-from) and Questions (--ask) are both given. Questions start from the picks "
                "beside their file; leave out --start-from.",
            )
        )


class PickByHandOutputs(Outputs):
    folder: str = output("Folder of the coordinates.", path="folder", becomes="outputCoordinates: SetOfCoordinates")
    counts: Counts = output("Number of picks of each micrograph that has a file.")
    removed: Counts = output("Number of removed picks of each of these micrographs.")
    changed: typing.List[str] = output("Names of the micrographs that were changed in this session.")
    precision: typing.Optional[typing.List[float]] = output(
        "Fraction of the picks that are particles by the answers, and the ends of its 90 % interval; null without "
        "questions, or if too few are answered.",
        default=None,
    )
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", "Å/px", default=None
    )


class LabelsFromClassesConfig(Config):
    """Make labels for a picker from 2-D classes: particles of kept classes are certain, those of rejected classes are
    removed."""

    kept: str = param(
        "Particles of the classes that were kept: a RELION STAR file with rlnMicrographName, rlnCoordinateX and "
        "rlnCoordinateY, or a .cs file of cryoSPARC. Shifts of the alignment (rlnOriginXAngst or rlnOriginX) are "
        "applied.",
        label="Kept particles",
        path="file",
    )
    micrographs: Paths = fields.micrographs()
    pixel_size: float = fields.pixel_size()
    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the smallest circle around the particle. Positions less than a quarter of it apart are the "
        "same particle."
    )
    output: str = fields.output_folder(
        "Folder of the labels, as pick-by-hand writes them: <micrograph>.star and removed/<micrograph>.star. It must "
        "not exist, or be empty."
    )
    classified: typing.Optional[str] = param(
        "All particles that were classified (or the rejected ones only): those that are not among the kept particles "
        "are rejected. A RELION STAR file.",
        None,
        label="Classified particles",
        path="file",
        none_means="no particle counts as rejected, and the labels have no examples of wrong picks",
    )
    coordinates: typing.Optional[str] = param(
        "Picks from which the particles were extracted. Those that were not classified become unconfirmed picks, "
        "which are neither particles nor background.",
        None,
        label="Picks",
        path="folder",
        none_means="the labels contain the particles only",
    )
    minimum_score: typing.Optional[float] = param(
        "Particles of kept classes whose pick has a lower score of the picker are unconfirmed. Good classes of faint "
        "particles also contain noise, which the score tells from particles; 0.5 is a good value for scores of "
        "`cryodl pick`.",
        None,
        label="Minimum score of kept particles",
        limits=(0, 1),
        none_means="all particles of kept classes are certain",
    )
    flip_y: bool = pick_fields.flip_y()
    scale: float = param(
        "Factor by which the particles' coordinates are multiplied to give pixels of these micrographs: 2 for "
        "particles that were extracted from micrographs binned by 2.",
        1.0,
        label="Scale of the coordinates",
        limits=(0.01, 100),
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        return found(
            (
                self.minimum_score is not None and not self.coordinates,
                "Minimum score of kept particles (--minimum-score) is set, but there are no Picks (--coordinates), "
                "which have the scores. Give the picks.",
            )
        )


class LabelsFromClassesOutputs(pick_fields.PicksOutputs):
    certain: Counts = output("Number of kept particles of each micrograph with labels.")
    removed: Counts = output("Number of rejected particles of each of these micrographs.")
    unconfirmed: Counts = output(
        "Number of picks of each of these micrographs that were not classified, or kept with too low a score."
    )
    merged: int = output(
        "Number of particles that were left out because another kept particle is at the same position."
    )


COMMANDS = (
    Command(
        "pick-by-hand",
        PickByHandConfig,
        PickByHandOutputs,
        named=True,
        threads=False,
        example="cryodl pick-by-hand --micrographs 'mics/*.mrc' --pixel-size 1.77 --particle-diameter 190 "
        "--coordinates labels/\n"
        "To correct picks: --start-from picks/",
        kept="every change is in the folder of coordinates.",
        locks="coordinates",
    ),
    Command(
        "labels-from-classes",
        LabelsFromClassesConfig,
        LabelsFromClassesOutputs,
        named=True,
        threads=False,
        example="cryodl labels-from-classes --kept good/particles.star --classified classes/particles.star "
        "--coordinates picks/candidates --minimum-score 0.5 --micrographs 'mics/*.mrc' --pixel-size 1.77 "
        "--particle-diameter 190 --output labels/\n"
        "Then: cryodl train-picker --coordinates labels/ --start-from general ...",
    ),
)
