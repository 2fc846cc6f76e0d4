# SPDX-License-Identifier: GPL-3.0-or-later
"""cryodl: deep learning for cryo-EM. Importing the package imports neither torch nor numpy.

Every command is a function of the package: cryodl.pick(micrographs="mics/*.mrc", pixel_size=1.77, model="general",
output="picks") gives the contract's Result. cryodl.table(path) reads a table that a command has written."""

import importlib  # by name: the layers below import the version from here
import typing

__version__ = "0.2.0"


def __getattr__(name: str) -> typing.Callable[..., typing.Any]:
    """The function of a command. Raises AttributeError for other names."""
    if name.startswith("_"):
        raise AttributeError(f"module 'cryodl' has no attribute {name!r}")
    calls = importlib.import_module(f"{__name__}.running.calls")
    return calls.table if name == "table" else calls.function_of(name)


def __dir__() -> typing.List[str]:
    """The commands, for completion."""
    return ["__version__", "table", *importlib.import_module(f"{__name__}.running.calls").dir_of_commands()]
