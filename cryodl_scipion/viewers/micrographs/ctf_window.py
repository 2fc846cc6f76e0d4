# SPDX-License-Identifier: GPL-3.0-or-later
"""Power spectra beside the fitted CTFs, one micrograph after the other, and all metrics as a table."""

import json
import os
from typing import Any

import mrcfile
from pwem.objects import SetOfCTF

from ...convert.micrographs.ctfs import TITLES, ctfRows
from ..ctf_plots import drawProfile
from ..micrograph_window import MicrographWindow
from ..particles_to_measure import previewOf
from ..window import CanvasWindow, addTable

_ROWS = 30  # of the table that are seen at once


class EstimatedCTFs:
    """Metrics and pictures of a SetOfCTF, which may still be growing.

    Parameters
    ----------
    ctfs : SetOfCTF
    """

    def __init__(self, ctfs: SetOfCTF) -> None:
        self.rows = ctfRows(ctfs)
        self.paths = [ctf.getPsdFile() for ctf in ctfs.iterItems()]
        self.names = [row[0] for row in self.rows]

    def inWords(self, index: int) -> str:
        """The metrics of one micrograph.

        Parameters
        ----------
        index : int

        Returns
        -------
        str
        """
        _, u, v, angle, astigmatism, resolution, correlation, strength = self.rows[index]
        return (
            f"Defocus {u:.0f} and {v:.0f} Å, U at {angle:.0f}° to x, astigmatism {astigmatism:.0f} Å, rings fitted "
            f"to {resolution:.1f} Å, correlation {correlation:.2f}, strength {strength:.0f}"
        )

    def profile(self, index: int) -> Any:
        """The spectrum over equal phases of one micrograph.

        Parameters
        ----------
        index : int

        Returns
        -------
        dict, or None if its file is gone
        """
        path = os.path.splitext(self.paths[index])[0] + ".json"
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            return json.load(file)["profile"]


class CtfWindow(MicrographWindow):
    """Fitted CTF (left half) and power spectrum (right half). data: EstimatedCTFs."""

    def __init__(self, parent: Any, data: Any, title: str) -> None:
        self._data = data
        MicrographWindow.__init__(self, parent, title, data.names, data.paths, None, 0)

    def _load(self, index: int) -> Any:
        path = self._paths[index]
        if not path or not os.path.exists(path):
            raise ValueError(f"The power spectrum {path} does not exist.")
        return previewOf(mrcfile.read(path))

    def _look(self) -> None:
        self._axes.set_position((0.14, 0.27, 0.72, 0.72))
        profile = self._data.profile(self.index())
        if profile:
            drawProfile(self._figure.add_axes((0.06, 0.08, 0.9, 0.17)), profile)

    def _text(self) -> Any:
        return "There are no CTFs." if self.index() is None else self._data.inWords(self.index())


class CtfTable(CanvasWindow):
    """All metrics. data: EstimatedCTFs."""

    def __init__(self, parent: Any, data: Any, title: str) -> None:
        CanvasWindow.__init__(self, parent, title)
        addTable(
            self.root,
            TITLES,
            [
                row[:1] + tuple(f"{v:.0f}" for v in row[1:5]) + (f"{row[5]:.2f}", f"{row[6]:.2f}", f"{row[7]:.1f}")
                for row in data.rows
            ],
            maximum=_ROWS,
        )
