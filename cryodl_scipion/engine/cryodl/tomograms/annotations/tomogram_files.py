# SPDX-License-Identifier: GPL-3.0-or-later
"""The annotated tomograms, opened at the paths that contract/annotations.py gives."""

import os
import typing

from ...contract.annotations import TomogramPaths
from ...io.tomograms import Tomogram


class OpenTomograms(TomogramPaths):
    """TomogramPaths that opens the tomograms, each once."""

    def __init__(self, folder: str, table: typing.Mapping[str, typing.Any] | typing.Sequence[typing.Any] = ()) -> None:
        super().__init__(folder, table)
        self._open: dict[str, Tomogram] = {}

    def set(self, name: str, path: str, shape: typing.Sequence[int] | None = None) -> None:
        """As TomogramPaths.set."""
        super().set(name, path, shape)
        self._open.pop(name, None)

    def open(self, name: str) -> Tomogram:
        """The io.tomograms.Tomogram. Raises FileNotFoundError or ValueError with what to do."""
        if name in self._open:
            return self._open[name]
        path = self.path(name)
        if path is None or not os.path.exists(path):
            raise FileNotFoundError(
                f"The tomogram {name} of the annotations {self.folder} is not at {path}. Restore it, or give its "
                "present path (--tomograms); it is matched by name."
            )
        tomogram, was = Tomogram(path), self.shape(name)
        if was and list(tomogram.shape) != was:
            raise ValueError(
                f"{path} has {_size(tomogram.shape)} voxels; when {name} was annotated it had "
                f"{_size(was)}. Give the tomogram that was annotated (--tomograms)."
            )
        self._open[name] = tomogram
        return tomogram


def _size(shape: typing.Sequence[int]) -> str:
    return " x ".join(str(n) for n in reversed(shape))
