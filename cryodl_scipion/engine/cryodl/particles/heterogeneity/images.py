# SPDX-License-Identifier: GPL-3.0-or-later
"""How well Gaussians explain images, with small errors of orientation and CTF fitted."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ...latent.components import Setting
from ...latent.cube import as_complex
from ...latent.expectation import batches, precisions


@dataclasses.dataclass
class Batch:
    """A batch of m images.

    rows : (m,). base : (m, d) complex64, what the static volume leaves of the data. transfer : (m, d), CTF times
    contrast. errors : (m, d, 9) complex64, see views.ERRORS. root, offset : (m, 9, 9), (m, 9), of the errors'
    equations. matrices : (m, 3, 3). interpolation : see Cube.
    """

    rows: np.ndarray
    base: torch.Tensor
    transfer: torch.Tensor
    errors: torch.Tensor
    root: torch.Tensor
    offset: torch.Tensor
    matrices: torch.Tensor
    interpolation: csr_matrix

    def misfit(self, slices: torch.Tensor) -> torch.Tensor:
        """(m, ...) negative logarithm of the likelihood of central slices (m, ..., d), but for a constant of each
        image; errors integrated out."""
        shape = (len(self.base), *(1,) * (slices.ndim - 2), -1)
        left = self.base.reshape(shape) - self.transfer.reshape(shape) * slices
        flat = left.reshape(len(left), -1, left.shape[-1])
        match = torch.view_as_real(flat).flatten(2) @ torch.view_as_real(self.errors.transpose(1, 2)).flatten(
            2
        ).transpose(1, 2)
        known = (match - self.offset[:, None]) @ self.root
        square = torch.view_as_real(flat).square().sum((-1, -2)) - known.square().sum(-1)
        return 0.5 * square.reshape(left.shape[:-1])


class Images:
    """The images of a Setting to a frequency, beside a static volume.

    Parameters
    ----------
    mean : ndarray, (box, box, box)
        Of which the errors are derivatives.
    radius : float
        Waves per box.
    sigmas : ndarray, (9,)
    """

    def __init__(
        self, setting: Setting, mean: np.ndarray, radius: float, sigmas: np.ndarray, device: torch.device
    ) -> None:
        self.setting, self.mean, self.sigmas, self.device = setting, mean, sigmas, device
        self.cube, self.count = setting.cube(radius), setting.coefficients.count(radius)
        self.box = setting.box
        table = [self.cube.table(mean), self.cube.gradient_tables(mean)]
        self._tables = np.concatenate(table, axis=1)
        self.set_static(mean)
        disc = setting.coefficients.disc
        self.y, self.x = disc.y[: self.count].to(device), disc.x[: self.count].to(device)
        self.ring = disc.ring[: self.count].to(device)

    def set_static(self, volume: np.ndarray) -> None:
        """What all images show besides the Gaussians."""
        self._static = self.cube.table(volume)

    def batches(self, rows: np.ndarray) -> typing.Iterator[Batch]:
        """Batches of some rows."""
        for part in batches(rows, self.count):
            yield self._batch(part)

    def _batch(self, rows: np.ndarray) -> Batch:
        views = self.setting.views
        seen = self.setting.coefficients.look(views, rows, self.cube, self._tables, self.count)
        transfer = seen.transfer * views.contrast[rows, None].astype(np.float32)
        static = as_complex(seen.matrix @ self._static).reshape(transfer.shape)
        flat = np.concatenate([seen.errors.real, seen.errors.imag], axis=1)
        precision = precisions(self.sigmas)
        gram = (flat.transpose(0, 2, 1) @ flat).astype(float) + np.diag(precision)
        root = np.linalg.cholesky(np.linalg.inv(gram))
        send = lambda array: torch.as_tensor(array).to(self.device)
        return Batch(
            rows,
            send(seen.data - transfer * static),
            send(transfer),
            send(seen.errors),
            send(root.astype(np.float32)),
            send((precision * views.moved[rows]).astype(np.float32)),
            send(views.matrices[rows].astype(np.float32)),
            seen.matrix,
        )

    def slices(self, batch: Batch, tables: np.ndarray) -> torch.Tensor:
        """(m, k, d) central slices of k tables, (side³, 2 k)."""
        values = as_complex(batch.interpolation @ tables).reshape(len(batch.rows), self.count, -1)
        return torch.from_numpy(values).to(self.device).transpose(1, 2)

    def tables(self, volumes: torch.Tensor) -> np.ndarray:
        """(side³, 2 k) of volumes (k, box, box, box)."""
        return np.concatenate([self.cube.table(v) for v in volumes.cpu().numpy()], axis=1)
