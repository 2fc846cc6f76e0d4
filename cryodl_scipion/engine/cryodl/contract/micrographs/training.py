# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that trains pickers."""

import dataclasses
import typing

from ..fields import (
    LABEL_KINDS,
    PU_CRITERIA,
    Paths,
    device_field,
    micrographs_field,
    names_field,
    network_field,
    pixel_size_field,
    seed_field,
    threads_field,
)
from ..networks import PICKER_NETWORKS
from ..outputs import output
from ..params import param
from ..training_fields import (
    TrainingOutputs,
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    start_from_field,
    steps_field,
    validation_fraction_field,
)
from .pick_fields import micrograph_contrast_field, particle_diameter_field


@dataclasses.dataclass(frozen=True)
class TrainPickerConfig:
    """Train a particle picker on labelled micrographs."""

    micrographs: Paths = micrographs_field()
    coordinates: str = param(
        "Folder (or file) with the particles' coordinates: RELION .star, EMAN .box or Topaz .txt, in pixels of the "
        "micrographs, matched by micrograph name without folder and extension. From a folder of pick-by-hand, "
        "confirmed picks are learnt as particles and removed ones as background; unconfirmed picks and ignored areas "
        "are left out.",
        label="Coordinates",
        path="folder",
    )
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of a circle that just holds the particle. Micrographs are rescaled by it, so that every "
        "particle has the same size for the network."
    )
    output: str = model_folder_field()
    background: typing.Optional[str] = param(
        "Folder (or file) with boxes on background, ice or dirt. With it, the network learns from the labelled boxes "
        "alone: give it when not all particles are picked. Without it, everything that is not picked is background.",
        default=None,
        label="Background boxes",
        path="folder",
        none_means="unpicked areas are background",
    )
    network: str = network_field(
        "Network and training method. unet: small U-net of this project, fast on CPUs, and the most accurate here with "
        "complete labels. The others are published methods, kept as their papers have them. deeppicker: patch "
        "classifier that never learns what lies between touching particles. deepem: patch classifier with sigmoids and "
        "squared error, a loss with a very small gradient for confident mistakes. cryolo: boxes of a grid of cells in "
        "one pass; large, some minutes of training without a GPU. topaz: learns from few particles among unlabelled "
        "ones (set Labels to sparse). eman2: two networks, against background and against contamination; both must "
        "agree; its large kernels are slow on CPUs.",
        "unet",
        choices=PICKER_NETWORKS,
    )
    labels: str = param(
        "What the labels mean. complete: all particles of these micrographs are labelled, the rest is background. "
        "boxes: the network learns from the labelled boxes alone; background and contamination boxes are proposed "
        "where none are given. sparse: some particles are labelled; there may be more among the unlabelled ones "
        "(positive-unlabelled learning). auto: boxes where background or contamination is given, sparse for topaz, "
        "else complete.",
        default="auto",
        label="Labels",
        choices=LABEL_KINDS,
    )
    contamination: typing.Optional[str] = param(
        "Folder (or file) with boxes on contamination: ice crystals, aggregates, carbon edges. 10 to 15 are enough.",
        default=None,
        label="Contamination boxes",
        path="folder",
        none_means="proposed where it is needed",
    )
    uncertain: typing.Optional[str] = param(
        "Folder with regions that are excluded from training and validation: coordinates (circles of one particle "
        "diameter), or masks <micrograph>.mrc of the micrographs' size, not 0 where uncertain.",
        default=None,
        label="Uncertain regions",
        path="folder",
        none_means="nothing is left out",
        expert=True,
    )
    expected_particles: typing.Optional[float] = param(
        "Particles that a micrograph holds on average, labelled or not; for sparse labels.",
        default=None,
        label="Expected particles per micrograph",
        minimum=0.1,
        maximum=1e6,
        none_means="estimated from the labels and from what looks like them",
    )
    pu_criterion: str = param(
        "For sparse labels. ge-binomial: the number of particles found follows the expected one (Topaz's choice). "
        "nnpu: non-negative positive-unlabelled risk.",
        default="ge-binomial",
        label="Criterion for sparse labels",
        choices=PU_CRITERIA,
        expert=True,
    )
    contrast: str = micrograph_contrast_field(
        "Whether protein is darker or brighter than its surroundings in the micrographs. auto: what the labelled "
        "particles show; the log and the model's card say it."
    )
    start_from: typing.Optional[str] = start_from_field("Model folder or name of a shipped model")
    steps: typing.Optional[int] = steps_field(
        "the method's own number; for unet 400, 800 from 1,000 particles on, 250 where only boxes teach", 1_000_000
    )
    recursions: int = param(
        "Rounds of training that follow the first one. Before each, the network picks the micrographs that it learnt "
        "from, and what it picks wrongly is taught as background. A round that is no gain on the validation part ends "
        "them. Only where all particles are labelled.",
        default=0,
        label="Recursions",
        minimum=0,
        maximum=20,
        expert=True,
    )
    patience: int = patience_field(10)
    validation_fraction: float = validation_fraction_field(
        "Fraction of the labelled micrographs kept for validation (at least one; with a single micrograph a part of "
        "it). The best weights and the default threshold are chosen on it."
    )
    batch_size: int = batch_size_field("Crops", 8, most=1024)
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()
    names: Paths = names_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Recursions need complete labels."""
        return recursion_problems(self.recursions, self.labels) if self.labels != "auto" else []


def recursion_problems(recursions: int, labels: str) -> typing.List[str]:
    """Errors of recursions with labels that leave particles out.

    Parameters
    ----------
    recursions : int
        How many are asked for.
    labels : str
        'complete', 'boxes' or 'sparse'.

    Returns
    -------
    list of str
    """
    if not recursions or labels == "complete":
        return []
    return [
        f"Recursions (--recursions) is {recursions}, but the labels are {labels}: particles that nobody labelled "
        "would be taught as background. Label all particles and set Labels (--labels) to complete, or set "
        "Recursions to 0."
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainPickerOutputs(TrainingOutputs):
    """What `train-picker` made."""

    threshold: float = output("Score at which F1 on the validation micrographs is best.")
    threshold_uncertainty: typing.Optional[float] = output("Standard deviation of the threshold.")
    contrast: str = output("'dark' or 'bright' protein.")
    labels: str = output("What the labels were taken for: complete, boxes or sparse.")
    recursions: typing.Optional[typing.List[int]] = output(
        "False positives that each recursion taught as background.", default=None
    )
