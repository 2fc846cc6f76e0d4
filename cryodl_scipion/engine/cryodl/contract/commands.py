# SPDX-License-Identifier: GPL-3.0-or-later
"""All commands of the engine. The row of each stands beside its config and its outputs, in the folder of its wing."""

import collections
import importlib
import typing

from .command import Command
from .params import Config, param


class DoctorConfig(Config):
    """Check the installation: list packages, devices and models, and say how to fix what is missing."""

    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")


# The files with the rows, in the order of the commands.
_FILES = (
    *("micrographs.picking", "micrographs.training", "micrographs.labelling", "micrographs.comparing"),
    *("micrographs.images", "micrographs.simulating", "particles.classes2d", "particles.orienting"),
    *("particles.denoising", "recipes.heterogeneity", "particles.latent", "particles.integrity"),
    *("particles.simulating", "tomograms.segmenting", "tomograms.features", "tomograms.denoising"),
    *("tomograms.detecting", "tomograms.classifying", "tomograms.exporting", "tomograms.simulating"),
    *("maps.improving", "maps.evaluating", "recipes.comparing_maps", "recipes.reporting"),
)
_ROWS: typing.List[Command] = [
    row for file in _FILES for row in importlib.import_module(f".{file}", __package__).COMMANDS
]
COMMANDS = {row.name: row for row in _ROWS if not row.dev}
COMMANDS["doctor"] = Command("doctor", DoctorConfig, None, kept="it writes nothing.", form=False, gpu=True)
# What only those call who make the shipped models: `cryodl dev COMMAND`.
DEV_COMMANDS = {row.name: row for row in _ROWS if row.dev}
EVERY_COMMAND = collections.ChainMap(COMMANDS, DEV_COMMANDS)


def command_of(config: Config) -> str:
    """The name of the command that takes a config."""
    return command_name(type(config))


def command_name(config_class: type) -> str:
    """The name of the command that takes configs of a class; '' if none does."""
    return next((c.name for c in EVERY_COMMAND.values() if c.config is config_class), "")
