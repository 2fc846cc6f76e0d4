# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands share, and their choices."""

import typing
from functools import partial

from .params import found, param

minimum_defocus = partial(param, "Minimum mean defocus; positive is underfocus.", 8000.0, "Å", limits=(0, 100000))
maximum_defocus = partial(param, "Maximum mean defocus.", 25000.0, "Å", limits=(0, 100000))
astigmatism = partial(
    param, "Maximum difference between DefocusU and DefocusV.", 300.0, "Å", limits=(0, 20000), expert=True
)
voltage = partial(param, "Acceleration voltage.", default=300.0, unit="kV", limits=(20, 1000), expert=True)
cs = partial(param, "Spherical aberration.", default=2.7, unit="mm", limits=(0, 10), label="Cs", expert=True)
amplitude_contrast = partial(
    param, "Amplitude contrast as a fraction of the total contrast.", default=0.1, limits=(0, 1), expert=True
)


def defocus_problems(config: typing.Any) -> typing.List[str]:
    """Problem if the maximum defocus is below the minimum."""
    return found(
        (
            config.maximum_defocus < config.minimum_defocus,
            f"Maximum defocus (--maximum-defocus) is {config.maximum_defocus:g} Å, below the minimum defocus "
            f"(--minimum-defocus) of {config.minimum_defocus:g} Å.",
        )
    )


symmetry = partial(
    param, "Point group of the structure: C1, C4, D2, T, O, I ... (RELION's axes).", default="C1", label="Symmetry"
)
resolution = partial(param, default=None, label="Resolution", unit="Å", limits=(2, 200))
max_shift = partial(param, default=None, label="Maximum shift", unit="Å", limits=(0, 1000))
mask_diameter = partial(
    param, default=None, label="Mask diameter", unit="Å", limits=(10, 10000), none_means="0.9 of the box size"
)
angular_step = partial(param, default=7.5, label="Angular step", unit="°", limits=(1, 30))
correct_ctf = partial(param, default=True, label="Correct the CTF", expert=True)
new_pixel_size = partial(param, label="Pixel size", unit="Å/px", limits=(0.05, 100))
snr = partial(param, label="SNR", limits=(1e-6, 1000000))
protein_contrast = partial(
    param, "Whether protein is darker or brighter than its surroundings.", label="Contrast", choices=("dark", "bright")
)
orientations = partial(
    param,
    "STAR file with rlnAngleRot, rlnAngleTilt and rlnAnglePsi to draw the particles' orientations from.",
    default=None,
    label="Orientations",
    path="file",
    none_means="uniform over all orientations",
)
box_size = partial(param, label="Box size", unit="px", limits=(16, None))
cache = partial(param, default=None, path="folder", expert=True)
leave_out = partial(param, default=(), label="Hold out")


OWN = "the network's own"
model_folder = partial(param, "Folder of the new model. It must not exist.", label="Model folder", path="folder")
steps = partial(
    param,
    "Maximum number of training steps. Training stops earlier when the validation metric no longer improves.",
    default=None,
    label="Training steps",
    limits=(1, 10_000_000),
    none_means=f"{OWN} number",
)
learning_rate = partial(
    param, "Peak learning rate.", default=None, label="Learning rate", limits=(1e-7, 1), none_means=OWN, expert=True
)
batch_size = partial(param, default=None, label="Batch size", limits=(1, 4096), none_means=OWN, expert=True)
start_from = partial(
    param,
    "Model to continue from, instead of random weights: a folder, or the name of a shipped model. It must be of "
    "the same network.",
    default=None,
    label="Start from model",
    path="model",
    none_means="start from random weights",
    expert=True,
)
validation_fraction = partial(param, default=0.2, label="Validation fraction", limits=(0.05, 0.5), expert=True)


# A smaller particle is a spot without shape; nearly always its pixel size is wrong.
SMALLEST_PX = 8


def particle_size_problem(diameter: float, pixel_size: float, side: int) -> str:
    """The problem if a particle cannot be picked at this size. diameter: Å. pixel_size: Å/px. side: shorter side of the
    micrograph, px. Empty if it can be picked."""
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


# Kinds of training labels, see TrainPickerConfig.labels.
LABEL_KINDS = ("auto", "complete", "boxes", "sparse")
CONTRASTS = ("auto", "dark", "bright")
AVOIDABLE = ("nothing", "contamination", "contamination and carbon")
PU_CRITERIA = ("ge-binomial", "nnpu")
THRESHOLD_RULES = ("model", "f1", "count")
RECONSTRUCTION_LOSSES = ("l1", "exponential")

FEATURE_SHAPES = ("centres", "particles", "filaments", "membranes")
# Value of voxels in label volumes that were not annotated, or are uncertain.
UNANNOTATED = 255

# Minimum number of labelled particles to train a picker.
MIN_PARTICLES = 5
micrographs = partial(
    param,
    "Micrographs: MRC (also .gz, .bz2) or TIFF. A quoted glob ('mics/*.mrc'), files, or one list file (.txt with "
    "a path per line, or .star with rlnMicrographName).",
    label="Micrographs",
    path="file",
)
names = partial(
    param,
    "Names to use instead of the file names, one per micrograph, in the same order. Outputs and coordinates are "
    "matched by them.",
    default=(),
    label="Micrograph names",
    expert=True,
)
pixel_size = partial(
    param,
    "Pixel size of the micrograph files. The value in their headers is not used.",
    label="Pixel size",
    unit="Å/px",
    limits=(0.05, 100),
)


def particles(help: str, label: str = "Particles", **more: typing.Any) -> typing.Any:
    """STAR file of particles. help: its first sentence."""
    return param(f"{help} STAR file of RELION 3.1 or later, with its image stacks.", label=label, path="file", **more)


structure = partial(
    param,
    "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz). Its handedness must be right; a "
    "mirrored map is not detected.",
    label="Structure",
    path="file",
)
seed = partial(
    param,
    "Seed of the random number generators; the same seed on the same machine gives the same result.",
    default=0,
    label="Random seed",
    limits=(0, 2**31 - 1),
    expert=True,
)
particle_contrast = partial(
    param,
    "Whether protein is brighter (as after RELION's extraction) or darker than its surroundings in the particle "
    "images. auto: determined from the images; the log and the result state it.",
    default="auto",
    label="Contrast",
    choices=CONTRASTS,
    expert=True,
)
output_folder = partial(param, label="Output folder", path="folder")
output_file = partial(param, label="Output", path="file")
model = partial(param, label="Model", path="model")
network = partial(param, label="Network")
batch = partial(param, label="Batch size", limits=(1, 4096), expert=True)
