# SPDX-License-Identifier: GPL-3.0-or-later
"""All commands of the engine. The row of each stands beside its config and its outputs, in the folder of its wing."""

import collections
import dataclasses
import typing

from .command import Command
from .maps import evaluating as evaluating_maps
from .maps import improving, listing
from .maps import simulating as simulating_maps
from .maps import training as training_improvers
from .micrographs import comparing, images, labelling, picking
from .micrographs import simulating as simulating_micrographs
from .micrographs import training as training_pickers
from .params import Config, param
from .particles import classes2d, integrity, latent, orienting
from .particles import denoising as denoising_particles
from .particles import simulating as simulating_particles
from .recipes import comparing_maps, heterogeneity, reporting
from .tomograms import annotating, classifying, detecting, features, segmenting, simulating
from .tomograms import denoising as denoising_tomograms
from .tomograms import exporting as exporting_tomograms


@dataclasses.dataclass(frozen=True)
class DoctorConfig(Config):
    """Check the installation: list packages, devices and models, and say how to fix what is missing."""

    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")


_MODULES: typing.Tuple[typing.Any, ...] = (
    *(picking, training_pickers, labelling, comparing, images, simulating_micrographs),
    *(classes2d, orienting, denoising_particles, heterogeneity, latent, integrity),
    *(simulating_particles, segmenting, annotating, features, denoising_tomograms),
    *(detecting, classifying, exporting_tomograms),
    *(simulating, improving, evaluating_maps, training_improvers),
    *(simulating_maps, listing, comparing_maps, reporting),
)
_ROWS: typing.List[Command] = [row for module in _MODULES for row in module.COMMANDS]
COMMANDS = {row.name: row for row in _ROWS if not row.dev}
COMMANDS["doctor"] = Command("doctor", DoctorConfig, None, kept="it writes nothing.", form=False, gpu=True)
# What only those call who make the shipped models: `cryodl dev COMMAND`.
DEV_COMMANDS = {row.name: row for row in _ROWS if row.dev}
EVERY_COMMAND = collections.ChainMap(COMMANDS, DEV_COMMANDS)


def command_of(config: typing.Any) -> str:
    """The name of the command that takes a config."""
    return command_name(type(config))


def command_name(config_class: type) -> str:
    """The name of the command that takes configs of a class; '' if none does."""
    return next((c.name for c in EVERY_COMMAND.values() if c.config is config_class), "")
