# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands share, and their choices."""

import typing

from .params import REQUIRED, param

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
