# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking: by networks, by templates, by a network that improves itself, and of filaments."""

import typing

from .. import fields
from ..command import Command, Config, Counts, Details, Numbers, Texts, TrainingOutputs, found, output, param
from . import pick_fields


class PickConfig(pick_fields.OnMicrographs):
    """Pick particles in micrographs with a trained model, or by templates."""

    output: str = fields.output_folder(
        "Folder for one <micrograph>.star each. An interrupted run continues here; finished micrographs are not "
        "picked again."
    )
    method: str = param(
        "network: a trained model. templates: correlation with projections of a structure, or with round blobs of the "
        "particle diameter, for comparison with pickers that learn.",
        "network",
        choices=("network", "templates"),
    )
    model: str = fields.model(
        "Model folder, or the name of a shipped model (`cryodl doctor` lists them).", default="general"
    )
    structure: typing.Optional[str] = param(
        "Map (.mrc) or atomic model (.pdb, .cif, also .gz) of the particle, or of a similar molecule, whose "
        "projections are the templates.",
        None,
        path="file",
        none_means="round blobs of the particle diameter",
    )
    particle_diameter: typing.Optional[float] = pick_fields.particle_diameter(
        default=None, none_means="the model's or the structure's; a general model estimates it from the micrographs"
    )
    keep_diameter: bool = param(
        "Pick at the particle diameter that is given, whatever the micrographs show.",
        False,
        label="Keep the diameter",
        expert=True,
    )
    threshold: typing.Optional[float] = pick_fields.pick_threshold(none_means="chosen by the threshold rule")
    threshold_rule: str = param(
        "How the threshold is chosen if none is given. model: the model's threshold, chosen on its validation "
        "micrographs. f1: for each micrograph, the threshold with the largest expected F1. count: for each "
        "micrograph, as many picks as the expected number of particles (the sum of the scores).",
        "model",
        choices=fields.THRESHOLD_RULES,
        expert=True,
    )
    answers: typing.Optional[str] = param(
        "Folder in which the questions of an earlier run were answered (pick-by-hand --ask): the threshold then "
        "follows from the answers.",
        None,
        path="folder",
        none_means="from the scores alone",
    )
    expected_particles: typing.Optional[float] = param(
        "Mean number of particles per micrograph, as you would guess it by eye. Where the scores of a general model do "
        "not tell particles from the rest, so many are picked; elsewhere the scores decide.",
        None,
        label="Expected particles per micrograph",
        limits=(0.1, 1e6),
        none_means="from the scores alone",
    )
    contrast: str = pick_fields.micrograph_contrast(
        "Whether protein is darker or brighter than its surroundings. auto: the contrast of the model's training; a "
        "general model tries both on some micrographs and reports what it found; templates are of dark protein."
    )
    minimum_distance: typing.Optional[float] = pick_fields.minimum_distance(
        none_means="about half a diameter: set by the training labels, 0.6 for templates"
    )
    border: float = pick_fields.border()
    avoid: str = pick_fields.avoid()
    overwrite: bool = pick_fields.overwrite()
    pictures: int = pick_fields.pictures(
        "Pictures of picks to draw beside the STAR files, of the first micrographs: circles of the particle's "
        "diameter, coloured by score. 0: none."
    )
    feature_maps: int = param(
        "Draw the network's feature maps for the middle of so many micrographs, the first that are picked: PNG files "
        "in the folder feature_maps of the picks.",
        0,
        limits=(0, 1000),
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        network, diameter = self.method == "network", self.particle_diameter
        other = "Threshold (--threshold)" if self.threshold is not None else "Threshold rule (--threshold-rule)"
        asked = "Answers (--answers)" if self.answers is not None else "Expected particles (--expected-particles)"
        told = self.answers if self.answers is not None else self.expected_particles
        return found(
            (
                self.keep_diameter and diameter is None,
                "Keep the diameter (--keep-diameter) is set, but no Particle diameter (--particle-diameter) is given.",
            ),
            (
                told is not None and not network,
                f"{asked} are given, which are about a network's picks. Choose --method network.",
            ),
            (
                told is not None and (self.threshold is not None or self.threshold_rule != "model"),
                f"{other} and {asked} are both given, and each chooses the threshold. Leave one out.",
            ),
            (
                self.answers is not None and self.expected_particles is not None,
                "Answers (--answers) and Expected particles (--expected-particles) are both given, and each chooses "
                "the threshold. Leave one out.",
            ),
            (
                network and self.structure is not None,
                "Structure (--structure) is given, which a network does not use. Choose --method templates.",
            ),
            (
                not network and (self.structure is None) == (diameter is None),
                "Structure (--structure) and Particle diameter (--particle-diameter): "
                f"{'neither is' if diameter is None else 'both are'} given. "
                "Give either a structure, whose projections are the templates, or the diameter of round blobs.",
            ),
        )[:1]


class PickOutputs(pick_fields.PicksOutputs):
    """What `pick` wrote. With templates scores are correlation coefficients, and nothing is expected of them."""

    coordinates: Texts = output(
        "STAR file of the picks of each micrograph.", path="file", becomes="outputCoordinates: SetOfCoordinates"
    )
    candidates: Texts = output(
        "STAR file of all candidates of each micrograph, down to a low score; none where no particles of any size "
        "were found.",
        path="file",
    )
    counts: Counts = output("Number of picks of each micrograph.")
    picks: int = output("Total number of picks.")
    threshold: float = output("Score threshold; the median if each micrograph has its own.")
    threshold_uncertainty: typing.Optional[float] = output(
        "Standard deviation of the model's threshold; null for another threshold, or if the model has none."
    )
    thresholds: Numbers = output("Score threshold of each micrograph.")
    particle_diameter: typing.Optional[float] = output("The given diameter, or else the one that was estimated.", "Å")
    contrast: str = output("Contrast of protein, 'dark' or 'bright'.")
    expected_particles: Numbers = output(
        "Expected number of particles among all candidates (number), and its standard deviation (deviation)."
    )
    expected: typing.Optional[Numbers] = output(
        "Expected precision, recall and f1 of the picks, with the ends of 90 % intervals (precision_low, ...); null if "
        "the scores do not tell them, or widths or heights vary."
    )
    model: str = output("Model folder; empty for templates.", path="folder")
    pictures: Texts = output("Pictures of the first micrographs.", path="file")
    picked_diameter: typing.Optional[float] = output(
        "Diameter used for picking: a general model's is what the micrographs show; null if no size was found.",
        "Å",
        default=None,
    )
    size: typing.Optional[Details] = output("Details of the diameter search; null if there was none.", default=None)
    templates: typing.Optional[int] = output("Number of templates; null for a network.", default=None)
    state: typing.Optional[str] = output(
        "clear; unsure: the scores do not tell particles from the rest, and questions are asked; answered: the "
        "threshold is chosen by answers; nothing found. Null for templates and models of one particle.",
        default=None,
    )
    questions: typing.Optional[str] = output(
        "File of questions for `pick-by-hand --ask`; null where nothing is asked.", path="file", default=None
    )
    expected_false_picks: typing.Optional[int] = output(
        "Number of picks at this threshold in the micrographs with inverted contrast, which contain no particles; "
        "null for a network.",
        default=None,
    )


class AutoPickConfig(pick_fields.OnMicrographs):
    """Pick without labels: a general model picks, and is retrained on its confident picks until it no longer
    improves."""

    output: str = fields.output_folder(
        "Folder for one <micrograph>.star each, the rounds (rounds/<number>) and the last model (model). An "
        "interrupted run continues here."
    )
    particle_diameter: typing.Optional[float] = pick_fields.particle_diameter(
        default=None, none_means="a general model estimates it from the micrographs"
    )
    model: str = fields.model(
        "Model of the first picking: a model folder, or the name of a shipped model.",
        default="general",
        label="First model",
    )
    rounds: int = param(
        "Maximum number of rounds of training on picks of these micrographs. They end earlier when a round is not "
        "better. Not used with corrections.",
        3,
        limits=(0, 20),
    )
    training_micrographs: int = param(
        "Number of micrographs to learn from, spread over the set. All micrographs are picked at the end. With "
        "corrections, only size and contrast of the particles are measured on them.",
        12,
        limits=(2, 1000),
    )
    corrections: typing.Optional[str] = param(
        "Folder of picks that were corrected by hand (pick-by-hand). They teach as in train-picker, once, in place of "
        "the rounds on automatic picks.",
        None,
        label="Corrected picks",
        path="folder",
        none_means="the rounds learn from automatic picks only",
    )
    confident: float = param(
        "Picks with at least this score are learnt as particles; positions with a score below 1 minus this value as "
        "background. The rest is not used. Not used with corrections.",
        0.8,
        label="Confident score",
        limits=(0.5, 0.99),
        expert=True,
    )
    steps: typing.Optional[int] = param(
        "Training steps per round.", None, label="Training steps", limits=(1, 1000000), none_means="200", expert=True
    )
    threshold: typing.Optional[float] = pick_fields.pick_threshold(none_means="the last model's")
    contrast: str = pick_fields.micrograph_contrast(
        "Whether protein is darker or brighter than its surroundings. auto: a general model tries both on some "
        "micrographs; other models have the contrast of their training."
    )


class AutoPickOutputs(PickOutputs):
    model: str = output("Folder of the best round's model.", path="folder", becomes="outputModel: CryodlModel")
    rounds: typing.List[typing.Any] = output("The rounds, as in rounds.csv.", default=())
    best_round: int = output("Number of the round whose model made the picks.", default=0)
    stop_reason: str = output("Why the rounds ended.", default="")


def best_round(entries: typing.Sequence[typing.Mapping[str, typing.Any]]) -> int:
    """Number of the round with the largest separation, the first of equals; a round without one is worse than all."""
    return int(max(entries, key=lambda e: (-1.0 if e["separation"] is None else e["separation"], -e["round"]))["round"])


class PickFilamentsConfig(pick_fields.OnMicrographs):
    """Trace filaments in micrographs and place segments along them."""

    filament_diameter: float = param(
        "Diameter of the filament: 250 Å for a microtubule, 70 to 80 Å for actin. A value that is a quarter too small "
        "misses many filaments.",
        unit="Å",
        limits=(20, 2000),
    )
    output: str = fields.output_folder(
        "Folder for one <micrograph>.star each. An interrupted run continues here; finished micrographs are not "
        "picked again."
    )
    model: str = fields.model("Model folder, or the name of a shipped model.", default="filaments")
    segment_distance: typing.Optional[float] = param(
        "Distance between the centres of neighbouring segments: the helical rise times the number of asymmetric units "
        "that each box adds.",
        None,
        "Å",
        limits=(1, 5000),
        none_means="half the filament's diameter",
    )
    minimum_length: typing.Optional[float] = param(
        "Shorter filaments are left out.", None, "Å", limits=(0, 100000), none_means="five diameters"
    )
    threshold: typing.Optional[float] = param(
        "Filaments with a lower mean score are left out.",
        None,
        label="Score threshold",
        limits=(0.05, 1),
        none_means="the model's",
    )
    contrast: str = fields.protein_contrast(default="dark", expert=True)
    keep_edges: bool = param(
        "Keep filaments that run along the edge of a carbon film, of a filled margin or of the field. Most of these "
        "are the edge itself.",
        False,
        label="Keep filaments along edges",
        expert=True,
    )
    border: typing.Optional[float] = pick_fields.border(
        help="Segments whose centre is closer than this to the micrograph's edge are left out.",
        default=None,
        none_means="half the filament's diameter",
    )
    overwrite: bool = pick_fields.overwrite()
    pictures: int = pick_fields.pictures(
        "Pictures of the first micrographs to draw beside the STAR files, with the traced filaments. 0: none."
    )


class PickFilamentsOutputs(pick_fields.PicksOutputs):
    coordinates: Texts = output(
        "STAR file of each micrograph: segments with the columns of RELION's helical processing.",
        path="file",
        becomes="outputCoordinates: SetOfCoordinates",
    )
    counts: Counts = output("Number of segments of each micrograph.")
    filaments: Counts = output("Number of filaments of each micrograph.")
    lengths: Numbers = output("Total filament length of each micrograph.", "Å")
    segments: int = output("Total number of segments.")
    threshold: float = output("Minimum mean score of a filament.")
    filament_diameter: float = output("Filament diameter used for picking.", "Å")
    segment_distance: float = output("Distance between the centres of neighbouring segments.", "Å")
    model: str = output("Model folder.", path="folder")
    pictures: Texts = output("Pictures of the first micrographs.", path="file")
    at_edges: typing.Optional[Counts] = output(
        "Number of traces of each micrograph that were left out because they run along the edge of a carbon film or "
        "of a filled margin.",
        default=None,
    )


class TrainFilamentPickerConfig(Config):
    """Train a filament picker on simulated micrographs of filaments of every kind."""

    output: str = fields.model_folder()
    simulated: int = param(
        "Number of simulated training micrographs. A fifteenth of this number is added for validation, and another "
        "fifteenth for the test metrics in the model card.",
        1500,
        label="Simulated micrographs",
        limits=(4, 100000),
    )
    steps: typing.Optional[int] = fields.steps(none_means="10000")
    batch_size: int = fields.batch_size("Crops per training step.", default=8, none_means="")
    learning_rate = None  # the network's own


class TrainFilamentPickerOutputs(TrainingOutputs):
    threshold: float = output(
        "Lowest threshold at which 95 % of the traced length on the validation micrographs is correct."
    )
    validation: Details = output(
        "precision, recall and f1 by length, and angle_median and angle_mean (degrees), on simulated test micrographs."
    )


COMMANDS = (
    Command(
        "pick",
        PickConfig,
        PickOutputs,
        named=True,
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
        "auto-pick",
        AutoPickConfig,
        AutoPickOutputs,
        named=True,
        seeded=True,
        gpu=True,
        example="cryodl auto-pick --micrographs 'mics/*.mrc' --pixel-size 1.77 --particle-diameter 190 --output picks/",
        kept="round",
    ),
    Command(
        "pick-filaments",
        PickFilamentsConfig,
        PickFilamentsOutputs,
        named=True,
        gpu=True,
        example="cryodl pick-filaments --micrographs 'mics/*.mrc' --pixel-size 1.2 --filament-diameter 250 "
        "--output segments/",
        kept="micrograph",
    ),
    Command(
        "train-filament-picker",
        TrainFilamentPickerConfig,
        TrainFilamentPickerOutputs,
        seeded=True,
        gpu=True,
        several=True,
        example="cryodl dev train-filament-picker --output models/filaments",
        dev=True,
    ),
)
