# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that find particles in tomograms, and train for it."""

import typing

from .. import fields, networks
from ..command import Command, Config, Counts, Details, Numbers, Paths, Texts, TrainingOutputs, found, output, param
from . import tomogram_fields


class DetectParticlesConfig(Config):
    """Find particles in tomograms, with a template in all orientations or with a trained detector."""

    tomograms: Paths = tomogram_fields.tomograms("Tomograms to search.")
    output: str = fields.output_folder(
        "Folder for <tomogram>.star and particles.star (RELION 5). Tomograms already searched into this folder are "
        "not searched again."
    )
    template: typing.Optional[str] = param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz) to search for in all orientations. Of the "
        "wrong hand it finds few or nothing.",
        None,
        path="file",
        none_means="a model is given",
    )
    others: Paths = param(
        "Maps or atomic models of other particles that may be there, above all of the template's kind. A place where "
        "one of these fits better is not taken; decoys alone cannot tell such particles apart. Each takes time.",
        (),
        label="Other particles",
        path="file",
    )
    model: typing.Optional[str] = fields.model(
        "Model folder of a detector trained with train-detector.", default=None, none_means="a template is given"
    )
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    threshold: Paths = param(
        "Minimum score: one number or, with a model, one number for each species as name=number. Empty: the model's "
        "thresholds or, with a template, that of False discovery rate. With a template, a threshold gives all places "
        "that are so like it, without decoys.",
        (),
        label="Thresholds",
    )
    fdr: float = param(
        "Part of a template's detections that may be look-alikes, in all tomograms of the output folder together. It "
        "is estimated from the places where decoys of the template fit better than it does. A few detections that "
        "stand out are kept in any case. Of two groups of scores the lower one, as of a relative, is left out.",
        0.05,
        label="False discovery rate",
        limits=(0.001, 0.5),
    )
    minimum_distance: typing.Optional[float] = param(
        "Minimum distance between two particles of the same species.",
        None,
        "Å",
        limits=(1, 100000),
        none_means="0.7 times the diameter",
        expert=True,
    )
    border: float = tomogram_fields.volume_border("Particles closer than this to the volume's border are left out.")
    diameter: typing.Optional[float] = param(
        "Diameter of the sphere within which the template is compared.",
        None,
        "Å",
        label="Template diameter",
        limits=(10, 5000),
        none_means="that of the structure",
    )
    symmetry: str = fields.symmetry()
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the comparison. A higher resolution needs smaller angular steps and more time.",
        none_means="a quarter of the diameter, but no finer than 2.5 px of the tomogram",
        limits=(4, 500),
    )
    angular_step: typing.Optional[float] = param(
        "Angle between neighbouring orientations of the search. Orientations of detections are refined to an eighth "
        "of it.",
        None,
        "°",
        limits=(1, 60),
        none_means="chosen so that steps at the particle's edge match the resolution",
        expert=True,
    )
    tilt_min: float = tomogram_fields.series_tilt_min()
    tilt_max: float = tomogram_fields.series_tilt_max()
    defocus: typing.Optional[float] = param(
        "Mean defocus of the tilt series (positive is underfocus). The template is multiplied by the CTF at this "
        "defocus, for 300 kV, spherical aberration 2.7 mm and amplitude contrast 0.07. 0: no CTF, as in tomograms that "
        "were corrected for its amplitudes.",
        None,
        "Å",
        limits=(0, 200000),
        none_means="the mean CTF of defoci of 20000 to 50000 Å",
    )
    phase_flipped: bool = param(
        "Whether the tomogram was reconstructed from phase-flipped images.", False, label="Phases flipped", expert=True
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings in the tomograms; for a template.",
        "dark",
        choices=("dark", "bright"),
    )
    control: float = param(
        "Fraction of each tomogram in which a model also looks at noise of the same spectrum (random phases), to "
        "estimate the number of false detections. 0: no control. A template has decoys instead.",
        0.25,
        limits=(0, 1),
        expert=True,
    )
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        one = "Give either a template (--template) or the folder of a trained detector (--model)."
        alone = "Other particles (--others) compete with a template: give --template, or leave them out."
        wrong = found((bool(self.template) == bool(self.model), one), (self.others and not self.template, alone))
        return wrong or (tomogram_fields.tilt_problems(self) if self.template else [])


class DetectParticlesOutputs(tomogram_fields.OfTomograms):
    files: Texts = output("STAR file of each tomogram.", path="file")
    particles: str = output(
        "STAR file of all tomograms of the folder together.",
        path="file",
        becomes="outputCoordinates: SetOfCoordinates3D, coordinates_*: SetOfCoordinates3D",
    )
    method: str = output("Method: 'template' or 'network'.")
    species: typing.List[str] = output("Names of the species.")
    counts: typing.Dict[str, Counts] = output("Number of detections of each tomogram and species.")
    thresholds: typing.Dict[str, Numbers] = output("Score threshold of each tomogram and species.")
    expected_false_detections: typing.Dict[str, Numbers] = output(
        "Expected number of false detections: with a template, look-alikes, by its decoys; with a model, detections "
        "at the threshold in noise of the tomogram's spectrum, scaled to the whole tomogram, empty without a control."
    )
    diameters: Numbers = output("Diameter of each species.", "Å")
    angular_step: typing.Optional[float] = output("Angular step of the search with a template.", "°")
    orientations: typing.Optional[int] = output("Number of orientations of the search with a template.")
    model: typing.Optional[str] = output("Folder of the detector.", path="folder")


class TrainDetectorConfig(Config):
    """Train a network that detects particles of one or several species in tomograms, from their coordinates."""

    output: str = fields.model_folder()
    tomograms: Paths = tomogram_fields.tomograms(
        "Tomograms in which the coordinates of all particles of the species are known; the rest is background."
    )
    coordinates: Paths = param(
        "Files of the particles' coordinates: STAR (RELION 5 centred coordinates in Å, or rlnCoordinateX/Y/Z in px of "
        "these tomograms, with rlnTomoName), Dynamo tables (.tbl), IMOD models (.mod) or copick picks (.json). The "
        "species is read from the column cryodlSpecies, cryodlStructure or rlnClassNumber, or else from the file "
        "name; where the file is named as its tomogram, the species is the only one of Diameters or Species, or "
        "'particle'.",
        path="file",
    )
    diameter: Paths = param(
        "Diameter of the particles, in Å: one number for all species, or one for each as name=number.",
        label="Diameters",
        unit="Å",
    )
    species: Paths = param("Species to learn. Other species are background.", ())
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    working_pixel_size: typing.Optional[float] = tomogram_fields.working_pixel_size(
        none_means="that of the tomograms, or a larger one at which the smallest particle is still 12 px wide"
    )
    network: str = fields.network(
        "unet3d: 3-D U-Net that predicts a heat map of each species, with peaks at the particles' centres. wide: the "
        "same with twice the channels; slower, for many tomograms.",
        default="unet3d",
        choices=networks.DETECTOR_NETWORKS,
    )
    beta: float = param(
        "Weight of recall relative to precision. Thresholds are chosen for the largest F-beta on the held-out data. "
        "1: recall and precision have the same weight. 4: a missed particle is much worse than a false one.",
        4.0,
        limits=(0.1, 20),
    )
    steps: typing.Optional[int] = fields.steps()
    batch_size: typing.Optional[int] = fields.batch_size("Crops per training step.")
    start_from: typing.Optional[str] = fields.start_from()
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()


class TrainDetectorOutputs(TrainingOutputs):
    species: typing.List[str] = output("Names of the species.")
    thresholds: Numbers = output("Score threshold of each species.")
    validation: typing.Dict[str, Details] = output("Metrics of each species on the held-out data.")
    pixel_size: float = output("Working pixel size of the model.", "Å/px")


COMMANDS = (
    Command(
        "detect-particles",
        DetectParticlesConfig,
        DetectParticlesOutputs,
        gpu=True,
        example="cryodl detect-particles --tomograms 'tomograms/*.mrc' --template ribosome.mrc --output found/\n"
        "cryodl detect-particles --tomograms 'tomograms/*.mrc' --model models/particles --output found/",
        kept="tomogram",
    ),
    Command(
        "train-detector",
        TrainDetectorConfig,
        TrainDetectorOutputs,
        gpu=True,
        several=True,
        example="cryodl train-detector --tomograms 'tomograms/*.mrc' --coordinates labels.star --diameter "
        "ribosome=300 ferritin=120 --output models/particles",
    ),
)
