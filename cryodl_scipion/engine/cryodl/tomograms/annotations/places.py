# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the annotated tomograms lie: relative to the annotations, so that both can be moved and shared together."""

import os


class Places:
    """Paths and shapes of tomograms by name. folder: of the annotations. table: of the JSON, {name: {"path" relative to
    the folder, "absolute", "shape"}}."""

    def __init__(self, folder, table=()):
        self.folder, self._table, self._open = folder, dict(table), {}

    def __contains__(self, name):
        return name in self._table

    def table(self, names):
        """The entries of these tomograms."""
        return {name: self._table[name] for name in self._table if name in names}

    def set(self, name, path, shape=None):
        """Say where a tomogram lies. The first shape that was told is kept: another tomogram is then noticed."""
        shape = self.shape(name) or (None if shape is None else [int(n) for n in shape])
        self._table[name] = dict(path=os.path.relpath(path, self.folder), absolute=os.path.abspath(path), shape=shape)
        self._open.pop(name, None)

    def path(self, name):
        """Where the tomogram is: beside the folder as when it was annotated, or else where it was then; or None."""
        if name not in self._table:
            return None
        place = self._table[name]
        beside = os.path.normpath(os.path.join(self.folder, place["path"]))
        return beside if os.path.isfile(beside) or not os.path.isfile(place["absolute"]) else place["absolute"]

    def shape(self, name):
        """(z, y, x) of the tomogram when it was annotated, None if that is not known."""
        return self._table.get(name, {}).get("shape")

    def open(self, name):
        """The io.tomograms.Tomogram. Raises FileNotFoundError or ValueError with what to do."""
        from ...io.tomograms import Tomogram  # here: it needs a newer Python than the rest

        if name in self._open:
            return self._open[name]
        path = self.path(name)
        if path is None or not os.path.isfile(path):
            raise FileNotFoundError(
                f"The tomogram {name} of the annotations {self.folder} is not at {path}. Put it "
                "back, or give the place where it is now (--tomograms); it is found by its name."
            )
        tomogram, was = Tomogram(path), self.shape(name)
        if was and list(tomogram.shape) != was:
            raise ValueError(
                f"{path} has {_size(tomogram.shape)} voxels; when {name} was annotated it had "
                f"{_size(was)}. Give the tomogram that was annotated (--tomograms)."
            )
        self._open[name] = tomogram
        return tomogram


def _size(shape):
    return " x ".join(str(n) for n in reversed(shape))
