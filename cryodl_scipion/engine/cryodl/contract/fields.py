# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands share, and their choices.

Parameters of the microscope, for all simulations.

Fields of searches that several commands share: limits and steps.

Fields that several simulations share.

Parameters that all trainings share, declared once.

Limits of a particle's size in its micrograph, for both forms and engine.
"""

import dataclasses
import typing

from .command import Details, Outputs, output
from .params import REQUIRED, param

_OPTICS: typing.Dict[str, typing.Dict[str, typing.Any]] = dict(
    minimum_defocus=dict(
        help="Minimum mean defocus; positive is underfocus.",
        default=8000.0,
        label="Minimum defocus",
        unit="Å",
        minimum=0,
        maximum=100000,
    ),
    maximum_defocus=dict(
        help="Maximum mean defocus.", default=25000.0, label="Maximum defocus", unit="Å", minimum=0, maximum=100000
    ),
    astigmatism=dict(
        help="Maximum difference between DefocusU and DefocusV.",
        default=300.0,
        expert=True,
        label="Astigmatism",
        unit="Å",
        minimum=0,
        maximum=20000,
    ),
    voltage=dict(
        help="Acceleration voltage.", default=300.0, expert=True, label="Voltage", unit="kV", minimum=20, maximum=1000
    ),
    spherical_aberration=dict(
        help="Spherical aberration.", default=2.7, expert=True, label="Cs", unit="mm", minimum=0, maximum=10
    ),
    amplitude_contrast=dict(
        help="Amplitude contrast as a fraction of the total contrast.",
        default=0.1,
        expert=True,
        label="Amplitude contrast",
        minimum=0,
        maximum=1,
    ),
)


def optics_field(name: str) -> typing.Any:
    """The field of a microscope parameter, by its name."""
    return param(**_OPTICS[name])


def defocus_problems(config: typing.Any) -> typing.List[str]:
    """Problem if the maximum defocus is below the minimum."""
    if config.maximum_defocus >= config.minimum_defocus:
        return []
    return [
        f"Maximum defocus (--maximum-defocus) is {config.maximum_defocus:g} Å, below the minimum defocus "
        f"(--minimum-defocus) of {config.minimum_defocus:g} Å."
    ]


def symmetry_field() -> typing.Any:
    """The parameter `symmetry`."""
    return param(
        "Point group of the structure: C1, C4, D2, T, O, I ... (RELION's axes).", default="C1", label="Symmetry"
    )


def resolution_field(
    help: str,
    none_means: str,
    minimum: float = 2,
    maximum: float = 200,
    label: str = "Resolution",
    expert: bool = False,
) -> typing.Any:
    """Resolution limit. none_means: the limit without one."""
    return param(
        help,
        default=None,
        label=label,
        unit="Å",
        minimum=minimum,
        maximum=maximum,
        none_means=none_means,
        expert=expert,
    )


def max_shift_field(help: str, default: typing.Optional[float] = None, none_means: str = "") -> typing.Any:
    """Maximum shift of a particle. none_means: the maximum without one."""
    return param(help, default=default, label="Maximum shift", unit="Å", minimum=0, maximum=1000, none_means=none_means)


def mask_diameter_field(help: str, minimum: float = 10, maximum: float = 10000) -> typing.Any:
    """Diameter of the mask within which images or maps are compared."""
    return param(
        help,
        default=None,
        label="Mask diameter",
        unit="Å",
        minimum=minimum,
        maximum=maximum,
        none_means="0.9 of the box size",
    )


def angular_step_field(help: str, expert: bool = False) -> typing.Any:
    """Angle between neighbouring directions of a search."""
    return param(help, default=7.5, label="Angular step", unit="°", minimum=1, maximum=30, expert=expert)


def correct_ctf_field(help: str) -> typing.Any:
    """Whether averages and maps are corrected for the CTF."""
    return param(help, default=True, label="Correct the CTF", expert=True)


def new_pixel_size_field(
    help: str, default: typing.Any = REQUIRED, minimum: float = 0.05, maximum: float = 100
) -> typing.Any:
    """Pixel size of simulated data."""
    return param(help, default=default, label="Pixel size", unit="Å/px", minimum=minimum, maximum=maximum)


def snr_field(help: str, default: typing.Any = REQUIRED, maximum: float = 1000000) -> typing.Any:
    """Signal-to-noise ratio. help: its definition."""
    return param(help, default=default, label="SNR", minimum=1e-6, maximum=maximum)


def protein_contrast_field(default: str) -> typing.Any:
    """Contrast of simulated protein."""
    return param(
        "Whether protein is darker or brighter than its surroundings.",
        default=default,
        label="Contrast",
        choices=("dark", "bright"),
    )


def orientations_field() -> typing.Any:
    """Source of the orientations of simulated particles."""
    return param(
        "STAR file with rlnAngleRot, rlnAngleTilt and rlnAnglePsi to draw the particles' orientations from.",
        default=None,
        label="Orientations",
        path="file",
        none_means="uniform over all orientations",
    )


def box_size_field(help: str, maximum: int, default: typing.Any = REQUIRED, none_means: str = "") -> typing.Any:
    """Box size of simulated images or volumes."""
    return param(help, default=default, label="Box size", unit="px", minimum=16, maximum=maximum, none_means=none_means)


def cache_field(help: str, what: str, none_means: str) -> typing.Any:
    """Folder in which simulated training data are kept. what: their name, such as cells or micrographs."""
    return param(
        help, default=None, label=f"Keep simulated {what} in", path="folder", none_means=none_means, expert=True
    )


def leave_out_field(help: str) -> typing.Any:
    """Structures that are held out from a training on simulated data."""
    return param(help, default=(), label="Hold out")


OWN = "the network's own"


def model_folder_field() -> typing.Any:
    """Folder that the model is written to."""
    return param("Folder of the new model. It must not exist.", label="Model folder", path="folder")


def steps_field(none_means: str = f"{OWN} number", maximum: int = 10_000_000) -> typing.Any:
    """Maximum number of training steps. none_means: what is done without one."""
    return param(
        "Maximum number of training steps. Training stops earlier when the validation metric no longer improves.",
        default=None,
        label="Training steps",
        minimum=1,
        maximum=maximum,
        none_means=none_means,
    )


def learning_rate_field() -> typing.Any:
    """Peak learning rate."""
    return param(
        "Peak learning rate.", default=None, label="Learning rate", minimum=1e-7, maximum=1, none_means=OWN, expert=True
    )


def batch_size_field(
    what: str, default: typing.Optional[int] = None, none_means: str = OWN, maximum: int = 4096
) -> typing.Any:
    """Number of items per training step. what: their name in the plural."""
    return param(
        f"{what} per training step.",
        default=default,
        label="Batch size",
        minimum=1,
        maximum=maximum,
        none_means="" if default else none_means,
        expert=True,
    )


def start_from_field(what: str) -> typing.Any:
    """The model that a training starts from. what: what may be given, capitalised."""
    return param(
        f"{what} to continue from, instead of random weights. It must be of the same network.",
        default=None,
        label="Start from model",
        path="model",
        none_means="start from random weights",
        expert=True,
    )


def validation_fraction_field(help: str, default: float = 0.2, minimum: float = 0.05) -> typing.Any:
    """Fraction of the data held out for validation. help: the fraction of what, and how it is chosen."""
    return param(help, default=default, label="Validation fraction", minimum=minimum, maximum=0.5, expert=True)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingOutputs(Outputs):
    """Outputs of all trainings."""

    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    validation: Details = output("Metrics on the validation data, by name.")
    stop_reason: str = output("Why the training ended.")


# A smaller particle is a spot without shape; nearly always its pixel size is wrong.
SMALLEST_PX = 8


def particle_size_problem(diameter: float, pixel_size: float, side: int) -> str:
    """The problem if a particle cannot be picked at this size.

    Parameters
    ----------
    diameter : float, Å
    pixel_size : float, Å/px
    side : int
        Shorter side of the micrograph, px.

    Returns
    -------
    str
        Empty if it can be picked.
    """
    pixels = diameter / pixel_size
    if pixels > side / 2:
        return (
            f"The particle diameter of {diameter:g} Å is more than half of the micrograph's shorter side "
            f"({side} px x {pixel_size:g} Å/px = {side * pixel_size:g} Å). Check pixel size and diameter."
        )
    if pixels < SMALLEST_PX:
        return (
            f"The particle diameter of {diameter:g} Å is only {pixels:.1f} px at {pixel_size:g} Å/px; at least "
            f"{SMALLEST_PX} px are needed. Check pixel size and diameter."
        )
    return ""


Paths = typing.Tuple[str, ...]

# Kinds of training labels, see TrainPickerConfig.labels.
LABEL_KINDS = ("auto", "complete", "boxes", "sparse")
CONTRASTS = ("auto", "dark", "bright")
AVOIDABLE = ("nothing", "contamination", "contamination and carbon")
PU_CRITERIA = ("ge-binomial", "nnpu")
THRESHOLD_RULES = ("model", "f1", "count")
RECONSTRUCTION_LOSSES = ("l1", "exponential")
DENOISING_METHODS = ("auto", "even-odd", "added-noise")

SCORE_TYPES = ("float16", "int8", "float32")
FEATURE_SHAPES = ("centres", "particles", "filaments", "membranes")
# Value of voxels in label volumes that were not annotated, or are uncertain.
UNANNOTATED = 255

# Minimum number of labelled particles to train a picker.
MIN_PARTICLES = 5


def micrographs_field() -> typing.Any:
    """The parameter `micrographs`."""
    return param(
        "Micrographs: MRC (also .gz, .bz2) or TIFF. A quoted glob ('mics/*.mrc'), files, or one list file "
        "(.txt with a path per line, or .star with rlnMicrographName).",
        label="Micrographs",
        path="file",
    )


def names_field() -> typing.Any:
    """The parameter `names`."""
    return param(
        "Names to use instead of the file names, one per micrograph, in the same order. Outputs and "
        "coordinates are matched by them.",
        default=(),
        label="Micrograph names",
        expert=True,
    )


def pixel_size_field() -> typing.Any:
    """The parameter `pixel_size` of micrographs."""
    return param(
        "Pixel size of the micrograph files. The value in their headers is not used.",
        label="Pixel size",
        unit="Å/px",
        minimum=0.05,
        maximum=100,
    )


def particles_field(help: str, many: bool = False, optional: str = "") -> typing.Any:
    """STAR file of particles. optional: what is done without one; then the field is optional."""
    text = help + " STAR file of RELION 3.1 or later, with its image stacks."
    if many:
        return param(text, label="Particles", path="file")
    if optional:
        return param(text, default=None, label="Other particles", path="file", none_means=optional)
    return param(text, label="Particles", path="file")


def structure_field() -> typing.Any:
    """The parameter `structure`."""
    return param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz). Its handedness must be right; a "
        "mirrored map is not detected.",
        label="Structure",
        path="file",
    )


def seed_field() -> typing.Any:
    """The parameter `seed`."""
    return param(
        "Seed of the random number generators; the same seed on the same machine gives the same result.",
        default=0,
        label="Random seed",
        minimum=0,
        maximum=2**31 - 1,
        expert=True,
    )


def particle_contrast_field() -> typing.Any:
    """The parameter `contrast` of particle images."""
    return param(
        "Whether protein is brighter (as after RELION's extraction) or darker than its surroundings in the particle "
        "images. auto: determined from the images; the log and the result state it.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )


def output_folder_field(help: str, default: typing.Any = REQUIRED, none_means: str = "") -> typing.Any:
    """Folder that a command writes. help: its contents. none_means: what is done without one."""
    return param(help, default=default, label="Output folder", path="folder", none_means=none_means)


def output_file_field(help: str) -> typing.Any:
    """File that a command writes. help: its contents, and files written beside it."""
    return param(help, label="Output", path="file")


def model_field(help: str, default: typing.Any = REQUIRED, label: str = "Model", none_means: str = "") -> typing.Any:
    """Trained model that a command uses. none_means: what is done without one."""
    return param(help, default=default, label=label, path="model", none_means=none_means)


def network_field(help: str, default: str, choices: typing.Sequence[str], expert: bool = False) -> typing.Any:
    """Network to train. help: a sentence about each of the choices."""
    return param(help, default=default, label="Network", choices=choices, expert=expert)


def batch_field(help: str, default: typing.Optional[int], maximum: int = 4096, none_means: str = "") -> typing.Any:
    """Number of inputs that a trained network processes at a time."""
    return param(
        help, default=default, label="Batch size", minimum=1, maximum=maximum, none_means=none_means, expert=True
    )


def json_field(instead_of: str = "text") -> typing.Any:
    """Whether the result is printed as JSON."""
    return param(f"Print one JSON object instead of {instead_of}.", default=False, label="JSON")
