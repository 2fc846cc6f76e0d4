# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands share, and the words that their choices are made of."""
import typing

from .params import param

Paths = typing.Tuple[str, ...]

# Names of the pickers' registry (pickers/__init__.py; a test keeps them equal). Append at the end.
PICKER_NETWORKS = ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2")
# What the labels of a training mean, see TrainPickerConfig.labels.
LABEL_KINDS = ("auto", "complete", "boxes", "sparse")
CONTRASTS = ("auto", "dark", "bright")
PU_CRITERIA = ("ge-binomial", "nnpu")
THRESHOLD_RULES = ("model", "f1", "count")

# Labelled particles below which a picker is not trained at all.
FEWEST_PARTICLES = 5


def micrographs_field():
    return param("Micrographs: MRC (also .gz, .bz2) or TIFF. A quoted glob ('mics/*.mrc'), files, or one list file "
                 "(.txt with a path per line, or .star with rlnMicrographName).", label="Micrographs", path="file")


def names_field():
    return param("Names to use instead of the file names, one per micrograph, in the same order. Outputs and "
                 "coordinates are matched by them.", default=(), label="Micrograph names", expert=True)


def pixel_size_field():
    return param("Pixel size of the micrographs as they are in the files. Headers are not believed.",
                 label="Pixel size", unit="Å/px", minimum=0.05, maximum=100)


def device_field():
    return param("Where to compute: 'auto' (the first GPU if there is one, else CPU; the log says which), 'cpu', or the "
                 "number of a GPU such as '0'. A GPU that is asked for and absent is an error.", default="auto",
                 label="Device", expert=True)


def threads_field():
    return param("CPU threads; 0 takes all that the process may use.", default=0, label="CPU threads", minimum=0,
                 maximum=1024, expert=True)
