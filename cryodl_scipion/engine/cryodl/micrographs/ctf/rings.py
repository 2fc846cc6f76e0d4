# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a power spectrum's variance the Thon rings of a CTF explain."""

import numpy as np

from .cells import SpectrumCells, background_terms
from .model import Microscope, defocus_at, window_loss

DECAYS = (0.0, 30.0, 100.0, 300.0)  # Å^2: how fast rings become weaker with the squared frequency


class Rings:
    """Scores of rings against the cells of a spectrum."""

    def __init__(self, cells: SpectrumCells, microscope: Microscope) -> None:
        self.cells, self.microscope = cells, microscope
        self._root = np.sqrt(cells.weights)
        terms = background_terms(cells.values.shape[1])
        # (sectors, rings, terms): what the smooth background of each sector can explain
        self._bases = np.linalg.qr(np.swapaxes(terms * self._root[:, None], 1, 2))[0]
        self._data = self._flat((cells.values * self._root)[:, None])[:, 0]
        self.noise = float(1.4826 * np.median(np.abs(self._data[cells.weights > 0])))
        self._factor = microscope.defocus_factor(cells.squared)
        self._fixed = microscope.fixed_phase(cells.squared)
        self._envelopes = {decay: self._root * np.exp(-decay * cells.squared) for decay in DECAYS}

    def _flat(self, values: np.ndarray) -> np.ndarray:
        """(sectors, n, rings) values without what the background explains."""
        return values - (values @ self._bases) @ np.swapaxes(self._bases, 1, 2)

    def _waves(self, defocus: np.ndarray, phase_shift: float, decay: float) -> np.ndarray:
        """Rings (sectors, n, rings) at defocus values (sectors, n): the CTF's power without its mean, weakened by the
        window, times the root of the weights, without what the background explains."""
        phase = defocus[..., None] * self._factor[:, None] + self._fixed[:, None] + phase_shift
        return self._flat(-np.cos(2 * phase) * self._loss(defocus) * self._envelopes[decay][:, None])

    def tables(self, grid: np.ndarray, phase_shift: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """What the rings of each sector at each defocus explain.

        Parameters
        ----------
        grid : (n,) array
            Defocus, Å.
        phase_shift : float
            Radians.

        Returns
        -------
        list of pairs of (sectors, n) arrays
            For each of DECAYS: the product of rings and spectrum, and the squared length of the rings.
        """
        loss = self._loss(grid).astype(np.float32)
        tables = np.empty((len(DECAYS), 2, len(self._data), len(grid)))
        for sector, data in enumerate(self._data):  # one at a time bounds memory
            phase = np.outer(grid, self._factor[sector]) + self._fixed[sector] + phase_shift
            waves = -np.cos(2 * phase.astype(np.float32)) * loss
            basis = self._bases[sector].astype(np.float32)
            for position, decay in enumerate(DECAYS):
                root = self._envelopes[decay][sector].astype(np.float32)
                tables[position, 0, sector] = waves @ (root * data.astype(np.float32))  # data has no background left
                length = np.square(waves) @ np.square(root)
                tables[position, 1, sector] = length - np.square(waves @ (root[:, None] * basis)).sum(1)
        return [(products, lengths) for products, lengths in tables]

    def _loss(self, defocus: np.ndarray) -> np.ndarray:
        """(..., rings) what the window leaves of rings at defocus values (...)."""
        lag = 2 * self.microscope.wavelength / self.cells.tile * defocus[..., None] * self.cells.frequency
        return window_loss(lag)

    def strength(self, defocus: float, astigmatism: np.ndarray, phase_shift: float, decay: float) -> float:
        """How far rings stand out, in standard deviations of the noise; see Found.

        Parameters
        ----------
        defocus, astigmatism, phase_shift, decay
            As in Found.
        """
        values = defocus_at(self.cells.azimuth, defocus, astigmatism)
        model = self._waves(values[:, None], phase_shift, decay)[:, 0]
        return float((model * self._data).sum() / np.sqrt(max(np.square(model).sum(), 1e-12)) / self.noise)
