# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands share, and their choices.

Parameters of the microscope, for all simulations.

Fields of searches that several commands share: limits and steps.

Fields that several simulations share.

Parameters that all trainings share, declared once.

Limits of a particle's size in its micrograph, for both forms and engine.
"""

import functools
import typing

from .params import found, param

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
    return found(
        (
            config.maximum_defocus < config.minimum_defocus,
            f"Maximum defocus (--maximum-defocus) is {config.maximum_defocus:g} Å, below the minimum defocus "
            f"(--minimum-defocus) of {config.minimum_defocus:g} Å.",
        )
    )


symmetry_field = functools.partial(
    param, "Point group of the structure: C1, C4, D2, T, O, I ... (RELION's axes).", default="C1", label="Symmetry"
)
resolution_field = functools.partial(param, default=None, label="Resolution", unit="Å", minimum=2, maximum=200)
max_shift_field = functools.partial(param, default=None, label="Maximum shift", unit="Å", minimum=0, maximum=1000)
mask_diameter_field = functools.partial(
    param, default=None, label="Mask diameter", unit="Å", minimum=10, maximum=10000, none_means="0.9 of the box size"
)
angular_step_field = functools.partial(param, default=7.5, label="Angular step", unit="°", minimum=1, maximum=30)
correct_ctf_field = functools.partial(param, default=True, label="Correct the CTF", expert=True)
new_pixel_size_field = functools.partial(param, label="Pixel size", unit="Å/px", minimum=0.05, maximum=100)
snr_field = functools.partial(param, label="SNR", minimum=1e-6, maximum=1000000)
protein_contrast_field = functools.partial(
    param, "Whether protein is darker or brighter than its surroundings.", label="Contrast", choices=("dark", "bright")
)
orientations_field = functools.partial(
    param,
    "STAR file with rlnAngleRot, rlnAngleTilt and rlnAnglePsi to draw the particles' orientations from.",
    default=None,
    label="Orientations",
    path="file",
    none_means="uniform over all orientations",
)
box_size_field = functools.partial(param, label="Box size", unit="px", minimum=16)
cache_field = functools.partial(param, default=None, path="folder", expert=True)
leave_out_field = functools.partial(param, default=(), label="Hold out")


OWN = "the network's own"
model_folder_field = functools.partial(
    param, "Folder of the new model. It must not exist.", label="Model folder", path="folder"
)
steps_field = functools.partial(
    param,
    "Maximum number of training steps. Training stops earlier when the validation metric no longer improves.",
    default=None,
    label="Training steps",
    minimum=1,
    maximum=10_000_000,
    none_means=f"{OWN} number",
)
learning_rate_field = functools.partial(
    param,
    "Peak learning rate.",
    default=None,
    label="Learning rate",
    minimum=1e-7,
    maximum=1,
    none_means=OWN,
    expert=True,
)
batch_size_field = functools.partial(
    param, default=None, label="Batch size", minimum=1, maximum=4096, none_means=OWN, expert=True
)
start_from_field = functools.partial(
    param,
    "Model to continue from, instead of random weights: a folder, or the name of a shipped model. It must be of the "
    "same network.",
    default=None,
    label="Start from model",
    path="model",
    none_means="start from random weights",
    expert=True,
)
validation_fraction_field = functools.partial(
    param, default=0.2, label="Validation fraction", minimum=0.05, maximum=0.5, expert=True
)


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
micrographs_field = functools.partial(
    param,
    "Micrographs: MRC (also .gz, .bz2) or TIFF. A quoted glob ('mics/*.mrc'), files, or one list file "
    "(.txt with a path per line, or .star with rlnMicrographName).",
    label="Micrographs",
    path="file",
)
names_field = functools.partial(
    param,
    "Names to use instead of the file names, one per micrograph, in the same order. Outputs and "
    "coordinates are matched by them.",
    default=(),
    label="Micrograph names",
    expert=True,
)
pixel_size_field = functools.partial(
    param,
    "Pixel size of the micrograph files. The value in their headers is not used.",
    label="Pixel size",
    unit="Å/px",
    minimum=0.05,
    maximum=100,
)


def particles_field(help: str, label: str = "Particles", **more: typing.Any) -> typing.Any:
    """STAR file of particles. help: its first sentence."""
    text = f"{help} STAR file of RELION 3.1 or later, with its image stacks."
    return param(text, label=label, path="file", **more)


structure_field = functools.partial(
    param,
    "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz). Its handedness must be right; a "
    "mirrored map is not detected.",
    label="Structure",
    path="file",
)
seed_field = functools.partial(
    param,
    "Seed of the random number generators; the same seed on the same machine gives the same result.",
    default=0,
    label="Random seed",
    minimum=0,
    maximum=2**31 - 1,
    expert=True,
)
particle_contrast_field = functools.partial(
    param,
    "Whether protein is brighter (as after RELION's extraction) or darker than its surroundings in the particle "
    "images. auto: determined from the images; the log and the result state it.",
    default="auto",
    label="Contrast",
    choices=CONTRASTS,
    expert=True,
)
output_folder_field = functools.partial(param, label="Output folder", path="folder")
output_file_field = functools.partial(param, label="Output", path="file")
model_field = functools.partial(param, label="Model", path="model")
network_field = functools.partial(param, label="Network")
batch_field = functools.partial(param, label="Batch size", minimum=1, maximum=4096, expert=True)
