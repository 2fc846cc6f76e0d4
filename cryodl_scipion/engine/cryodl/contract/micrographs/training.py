# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of pickers: from labels, and of general ones."""

import typing

from .. import fields, networks
from ..command import Command, Config, Details, Paths, TrainingOutputs, found, output, param
from . import pick_fields


class TrainPickerConfig(Config):
    """Train a particle picker on labelled micrographs."""

    micrographs: Paths = fields.micrographs()
    coordinates: str = param(
        "Folder (or file) with the particles' coordinates: RELION .star, EMAN .box or Topaz .txt, in pixels of the "
        "micrographs, matched by micrograph name without folder and extension. In a folder of pick-by-hand, confirmed "
        "picks are particles and removed picks are background; of the unconfirmed picks on corrected micrographs some "
        "may be learnt as particles, and ignored areas are not used.",
        path="folder",
    )
    pixel_size: float = fields.pixel_size()
    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the smallest circle around the particle. Micrographs are rescaled by it, so that all "
        "particles have the same size for the network."
    )
    output: str = fields.model_folder()
    background: typing.Optional[str] = param(
        "Folder (or file) with boxes on background, ice or dirt. With them, the network learns only from labelled "
        "boxes; give them if not all particles are picked.",
        None,
        label="Background boxes",
        path="folder",
        none_means="unpicked areas are what Labels says",
    )
    network: str = fields.network(
        "Network and training method. unet: small U-Net of this project, fast on CPUs, and the most accurate in our "
        "benchmarks with complete labels. The others follow their publications. deeppicker: patch classifier, which "
        "does not learn the gaps between touching particles. deepem: patch classifier with sigmoids and squared "
        "error, a loss with a very small gradient for confident errors. cryolo: predicts boxes in a grid of cells in "
        "one pass; large, trains for minutes without a GPU. topaz: learns from few labelled particles among "
        "unlabelled ones (set Labels to sparse). eman2: two networks, one against background and one against "
        "contamination, which must both accept a particle; its large kernels are slow on CPUs.",
        default="unet",
        choices=networks.PICKER_NETWORKS,
    )
    labels: str = param(
        "How complete the labels are. complete: all particles of these micrographs are labelled, the rest is "
        "background. boxes: the network learns only from labelled boxes; background and contamination boxes are "
        "proposed if none are given. sparse: only some of the particles are labelled (positive-unlabelled learning). "
        "auto: boxes if background or contamination is given, or up to 40 labels teach the general model; sparse for "
        "topaz; boxes (up to 200) or sparse if labelled are fewer than half of what that model surely sees; else "
        "complete.",
        "auto",
        choices=fields.LABEL_KINDS,
    )
    contamination: typing.Optional[str] = param(
        "Folder (or file) with boxes on contamination: ice crystals, aggregates, carbon edges. 10 to 15 are enough.",
        None,
        label="Contamination boxes",
        path="folder",
        none_means="proposed if needed",
    )
    uncertain: typing.Optional[str] = param(
        "Folder with regions that are excluded from training and validation: coordinates (circles of one particle "
        "diameter), or masks <micrograph>.mrc of the micrographs' size, non-zero in uncertain regions.",
        None,
        label="Uncertain regions",
        path="folder",
        none_means="nothing is excluded",
        expert=True,
    )
    expected_particles: typing.Optional[float] = param(
        "Mean number of particles per micrograph, labelled or not; for sparse labels.",
        None,
        label="Expected particles per micrograph",
        limits=(0.1, 1e6),
        none_means="estimated from the labels and from what looks like the labelled particles",
    )
    pu_criterion: str = param(
        "Loss for sparse labels. ge-binomial: fits the number of found particles to the expected number (as Topaz "
        "does). nnpu: non-negative positive-unlabelled risk.",
        "ge-binomial",
        label="Criterion for sparse labels",
        choices=fields.PU_CRITERIA,
        expert=True,
    )
    contrast: str = pick_fields.micrograph_contrast(
        "Whether protein is darker or brighter than its surroundings in the micrographs. auto: determined from the "
        "labelled particles; the log and the model card state it."
    )
    start_from: typing.Optional[str] = fields.start_from()
    steps: typing.Optional[int] = fields.steps(
        none_means="the default of the method; for unet 400, or 800 with 1,000 or more particles, or 250 with labels "
        "of kind boxes (100 from a trained model)",
        limits=(1, 1_000_000),
    )
    recursions: int = param(
        "Further rounds of training. Before each round, the network picks its training micrographs, and its false "
        "picks are added as background. A round that does not improve the validation metric ends them. It needs "
        "labels of all particles.",
        0,
        limits=(0, 20),
        expert=True,
    )
    patience = 10  # validations
    validation_fraction: float = fields.validation_fraction(
        "Fraction of the labelled micrographs held out for validation (at least one micrograph; of a single "
        "micrograph, a part of it). Weights and default threshold are chosen on it."
    )
    batch_size: int = fields.batch_size("Crops per training step.", default=8, none_means="", limits=(1, 1024))
    learning_rate: typing.Optional[float] = fields.learning_rate()

    def check_together(self) -> typing.List[str]:
        return recursion_problems(self.recursions, self.labels) if self.labels != "auto" else []


def recursion_problems(recursions: int, labels: str) -> typing.List[str]:
    """Problem if recursions are asked for with incomplete labels. recursions: requested number of recursions. labels:
    'complete', 'boxes' or 'sparse'."""
    incomplete = (
        f"Recursions (--recursions) is {recursions}, but the labels are {labels}: unlabelled particles would be "
        "learnt as background. Label all particles and set Labels (--labels) to complete, or set Recursions to 0."
    )
    return found((recursions and labels != "complete", incomplete))


class TrainPickerOutputs(TrainingOutputs):
    threshold: float = output("Score threshold with the best F1 on the validation micrographs.")
    threshold_uncertainty: typing.Optional[float] = output("Standard deviation of the threshold.")
    contrast: str = output("Contrast of protein, 'dark' or 'bright'.")
    labels: str = output("Kind of labels: complete, boxes or sparse.")
    recursions: typing.Optional[typing.List[int]] = output(
        "Number of false picks that each recursion added as background.", default=None
    )


class TrainGeneralPickerConfig(Config):
    """Train a general picker on simulated micrographs of many shapes, and on labelled real micrographs."""

    output: str = fields.model_folder()
    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) to simulate from (glob, files or list file).",
        (),
        path="file",
    )
    procedural: int = param(
        "Number of artificial assemblies (blobs, rings, shells, rods, membrane proteins ...) to simulate beside the "
        "structures.",
        120,
        label="Artificial assemblies",
        limits=(0, 100000),
    )
    sets: typing.Optional[str] = param(
        "Table of labelled real micrographs: a .csv file with the columns name, micrographs (glob), coordinates "
        "(folder), pixel_size (Å/px), particle_diameter (Å). Paths are relative to the table.",
        None,
        label="Real sets",
        path="file",
        none_means="simulated micrographs only",
    )
    leave_out: Paths = fields.leave_out(
        "Names of real sets, and of structure files without extension, to hold out from training, for tests on "
        "molecules that the model never saw."
    )
    simulated: int = param(
        "Number of simulated micrographs, each of 512 x 512 px at the network's scale.",
        360,
        label="Simulated micrographs",
        limits=(2, 1000000),
    )
    faint_fraction: float = param(
        "Fraction of the simulated micrographs with very low contrast (SNR 0.008 to 0.12) and mostly touching "
        "particles.",
        0.5,
        expert=True,
        label="Fraction of faint micrographs",
        limits=(0, 1),
    )
    real_fraction: float = param(
        "Fraction of the training crops that is taken from real sets, if there are any.",
        0.2,
        expert=True,
        label="Fraction of real crops",
        limits=(0, 1),
    )
    real_marks: str = param(
        "How complete the labels of the real sets are. complete: everything that is not labelled is background. "
        "partial: some particles are not labelled; unlabelled positions that Start from model scores like labelled "
        "ones are ignored in training.",
        "complete",
        label="Labels of real sets",
        choices=("complete", "partial"),
    )
    network: str = fields.network(
        "Network. unet (wider than that of train-picker) also estimates the particles' size, so that its models need "
        "no particle diameter. Models of the other networks need one.",
        default="unet",
        choices=networks.PICKER_NETWORKS,
    )
    steps: int = param("Training steps.", 1800, label="Training steps", limits=(1, 10000000))
    start_from: typing.Optional[str] = param(
        "General model of the same network to continue from, instead of random weights: a folder or a shipped model.",
        None,
        label="Start from model",
        path="model",
        none_means="start from random weights",
        expert=True,
    )
    cache: typing.Optional[str] = fields.cache(
        "Folder in which the simulated micrographs are kept (0.6 MB each), so that another training can use them "
        "again.",
        label="Keep simulated micrographs in",
        none_means="they are simulated anew in each run",
    )
    batch_size: int = fields.batch_size("Crops per training step.", default=8, none_means="", limits=(1, 1024))
    learning_rate = None  # the network's own

    def check_together(self) -> typing.List[str]:
        return found(
            (
                not self.structures and not self.procedural,
                "There is nothing to simulate from. Give Structures (--structures), or a number of Artificial "
                "assemblies (--procedural).",
            ),
            (
                self.real_marks == "partial" and not (self.sets and self.start_from),
                "Partial labels (--real-marks partial) need Real sets (--sets) and a general model that scores "
                "them: Start from model (--start-from).",
            ),
        )


class TrainGeneralPickerOutputs(TrainingOutputs):
    threshold: float = output("Score at which F1 on the validation micrographs is best.")
    threshold_uncertainty: typing.Optional[float] = output("Standard deviation of the threshold.")
    validation: Details = output(
        "Metrics on simulated micrographs of held-out molecules, and the expected calibration error."
    )
    structures: int = output("Number of training structures.")
    procedural: int = output("Number of artificial assemblies in the training.")
    real_sets: typing.List[str] = output("Names of the real sets in the training.")


COMMANDS = (
    Command(
        "train-picker",
        TrainPickerConfig,
        TrainPickerOutputs,
        named=True,
        seeded=True,
        gpu=True,
        several=True,
        example="cryodl train-picker --micrographs 'mics/*.mrc' --coordinates picks/ --pixel-size 1.77 "
        "--particle-diameter 190 --output models/betagal\n"
        "With a few good boxes and boxes on background:\n"
        "cryodl train-picker ... --coordinates good/ --background bad/ --output models/quick",
    ),
    Command(
        "train-general-picker",
        TrainGeneralPickerConfig,
        TrainGeneralPickerOutputs,
        seeded=True,
        gpu=True,
        several=True,
        example="cryodl dev train-general-picker --structures 'structures/*.cif' --output general",
        dev=True,
    ),
)
