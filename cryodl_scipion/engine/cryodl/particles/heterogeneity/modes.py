# SPDX-License-Identifier: GPL-3.0-or-later
"""Principal motions of Gaussians that a few anchors carry: what the gradient of every image says of them.

To first order an image changes by its derivatives by the anchors' shifts and amplitudes. Their products with what the
mean leaves of the image, the gradient, and with each other are all that a fit of principal components needs (Tipping
and Bishop 1999); e2gmm's encoder sees these gradients, too (Chen and Ludtke 2021).
How well Gaussians explain images, with small errors of orientation and CTF fitted."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ...core.volumes import side_by_side
from ...latent import components, cube, expectation
from .gaussians import Gaussians


@dataclasses.dataclass
class Batch:
    """A batch of m images.

    rows : (m,). base : (m, d) complex64, what the static volume leaves of the data. transfer : (m, d), CTF times
    contrast. errors : (m, d, 9) complex64, see coefficients.FIRST_SPREAD. root, offset : (m, 9, 9), (m, 9), of the
    errors' equations. matrices : (m, 3, 3). interpolation : see Cube."""

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
        errors = side_by_side(self.errors.transpose(1, 2)).transpose(1, 2)
        known = (side_by_side(flat) @ errors - self.offset[:, None]) @ self.root
        return 0.5 * (torch.view_as_real(flat).square().sum((-1, -2)) - known.square().sum(-1)).reshape(left.shape[:-1])


class Images:
    """The images of a Setting to a frequency, beside a static volume. mean: (box, box, box), of which the errors are
    derivatives. radius: waves per box. sigmas: (9,)."""

    def __init__(
        self, setting: components.Setting, mean: np.ndarray, radius: float, sigmas: np.ndarray, device: torch.device
    ) -> None:
        self.setting, self.mean, self.sigmas, self.device = setting, mean, sigmas, device
        self.cube, self.count = setting.cube(radius), setting.coefficients.count(radius)
        self.box = setting.box
        self._tables = np.concatenate([self.cube.table(mean), self.cube.gradient_tables(mean)], axis=1)
        self.set_static(mean)
        self.y, self.x = setting.coefficients.disc.waves[:, : self.count].to(device)

    def set_static(self, volume: np.ndarray) -> None:
        """What all images show besides the Gaussians."""
        self._static = self.cube.table(volume)

    def batches(self, rows: np.ndarray) -> typing.Iterator[Batch]:
        """Batches of some rows."""
        return (self._batch(part) for part in expectation.batches(rows, self.count))

    def _batch(self, rows: np.ndarray) -> Batch:
        views = self.setting.views
        seen = self.setting.coefficients.look(views, rows, self.cube, self._tables, self.count)
        transfer = seen.transfer * views.contrast[rows, None].astype(np.float32)
        static = cube.as_complex(seen.matrix @ self._static).reshape(transfer.shape)
        flat = np.concatenate([seen.errors.real, seen.errors.imag], axis=1)
        precision = expectation.precisions(self.sigmas)
        root = np.linalg.cholesky(np.linalg.inv((flat.transpose(0, 2, 1) @ flat).astype(float) + np.diag(precision)))
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
        values = cube.as_complex(batch.interpolation @ tables).reshape(len(batch.rows), self.count, -1)
        return torch.from_numpy(values).to(self.device).transpose(1, 2)

    def tables(self, volumes: torch.Tensor) -> np.ndarray:
        """(side³, 2 k) of volumes (k, box, box, box)."""
        return np.concatenate([self.cube.table(v) for v in volumes.cpu().numpy()], axis=1)


STEP = 0.25  # voxels: of the differences that the derivatives are taken from
PARTS = 4  # of an anchor: shift (3) and amplitude
LENGTH = 15.0  # Å: anchors nearer than this move alike
SHIFT = 5.0  # Å: standard deviation of an anchor's shift that is expected
CHANGE = 0.2  # and of its amplitude, a fraction
ROUNDS = 20  # of the components' fit
CHUNK = 250  # images at a time


@dataclasses.dataclass
class Basis:
    """Changes of a volume. gaussians : those that move. anchors : (a, 3), voxels from the middle. volumes :
    (4 a, box, box, box), for an anchor's shift of one voxel along x, y and z, and for its amplitude doubled. prior :
    (4 a, 4 a) covariance of their factors."""

    gaussians: Gaussians
    anchors: torch.Tensor
    volumes: torch.Tensor
    prior: np.ndarray

    def changes(self, factors: np.ndarray) -> np.ndarray:
        """(q, box, box, box) of factors (4 a, q)."""
        return torch.einsum("pq,pzyx->qzyx", torch.as_tensor(factors, dtype=torch.float32), self.volumes).numpy()


@dataclasses.dataclass
class Gradients:
    """match : (n, p), gram : (n, p, p) products of the derivatives of n images with what the mean leaves, and with
    each other; errors of orientation, shift, contrast and CTF are integrated out. rows : (n,) of the images."""

    rows: np.ndarray
    match: np.ndarray
    gram: np.ndarray


def place_anchors(gaussians: Gaussians, count: int, seed: int) -> torch.Tensor:
    """(count, 3) means of clusters of the Gaussians, xyz; as many as there are Gaussians at most."""
    from sklearn.cluster import KMeans

    weight = gaussians.amplitudes.clamp(min=1e-6 * float(gaussians.amplitudes.abs().max())).numpy()
    found = KMeans(min(count, len(gaussians)), n_init=2, random_state=seed).fit(gaussians.centres.numpy(), None, weight)
    return torch.as_tensor(found.cluster_centers_, dtype=torch.float32)


def anchor_weights(centres: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """(N, a) weights of the anchors for Gaussians at (N, 3), of sum 1: within about the distance of anchors."""
    if len(anchors) == 1:
        return torch.ones((len(centres), 1), device=centres.device)
    distance = torch.cdist(anchors, anchors)
    distance.fill_diagonal_(torch.inf)
    return torch.softmax(-0.5 * (torch.cdist(centres, anchors) / distance.min(1).values.mean()).square(), dim=1)


def basis_of(gaussians: Gaussians, anchors: torch.Tensor, box: int, voxel: float) -> Basis:
    """The Basis of some Gaussians. voxel: Å."""
    share, volumes = anchor_weights(gaussians.centres, anchors), []
    moved = lambda step: dataclasses.replace(gaussians, centres=gaussians.centres + step).render(box)
    for part in share.T:
        for axis in torch.eye(3):
            step = STEP * part[:, None] * axis
            volumes.append((moved(step) - moved(-step)) / (2 * STEP))
        volumes.append(dataclasses.replace(gaussians, amplitudes=gaussians.amplitudes * part).render(box))
    prior = np.kron(anchor_correlations(anchors, voxel), np.diag(np.array([SHIFT / voxel] * 3 + [CHANGE]) ** 2))
    return Basis(gaussians, anchors, torch.stack(volumes), prior)


def anchor_correlations(anchors: torch.Tensor, voxel: float) -> np.ndarray:
    """(a, a) correlations of the anchors' changes that are expected."""
    distance = torch.cdist(anchors, anchors).double().numpy() * voxel
    return np.exp(-0.5 * (distance / LENGTH) ** 2) + 1e-3 * np.eye(len(anchors))


def gradients_of(images: Images, volumes: torch.Tensor, rows: np.ndarray) -> Gradients:
    """The Gradients of some rows by volumes (p, box, box, box)."""
    tables, done = images.tables(volumes), 0
    match = np.empty((len(rows), len(volumes)), np.float32)
    gram = np.empty((len(rows), len(volumes), len(volumes)), np.float32)
    for batch in images.batches(rows):
        shown = side_by_side(images.slices(batch, tables) * batch.transfer[:, None])
        errors, base = side_by_side(batch.errors.transpose(1, 2)), side_by_side(batch.base[:, None])
        lost = shown @ errors.transpose(1, 2) @ batch.root
        known = (base @ errors.transpose(1, 2) - batch.offset[:, None]) @ batch.root
        position = slice(done, done + len(batch.rows))
        match[position] = (shown @ base.transpose(1, 2) - lost @ known.transpose(1, 2))[..., 0].cpu().numpy()
        gram[position] = (shown @ shown.transpose(1, 2) - lost @ lost.transpose(1, 2)).cpu().numpy()
        done += len(batch.rows)
    return Gradients(rows, match, gram)


def principal_motions(found: Gradients, chosen: np.ndarray, prior: np.ndarray, count: int) -> np.ndarray:
    """(p, count) factors of the components that some images show, their coordinates of unit variance. chosen: (k,),
    indices of its rows that take part. prior: (p, p), covariance of a component's factors. count: components."""
    inverse, factors = np.linalg.inv(prior), _first(found, chosen, prior, count)
    size = len(factors)
    for _ in range(ROUNDS):
        left, right = np.zeros((size * size, count * count)), np.zeros((size, count))
        second = np.zeros((count, count))
        for part in np.split(chosen, range(CHUNK, len(chosen), CHUNK)):
            # expected coordinates (n, count) of the images, and their products
            own = np.einsum("pk,npl->nkl", factors, found.gram[part] @ factors.astype(np.float32))
            covariance = np.linalg.inv(own + np.eye(count))
            value = np.einsum("nkl,nl->nk", covariance, found.match[part] @ factors)
            both = covariance + value[:, :, None] * value[:, None]
            left += found.gram[part].reshape(len(part), -1).T @ both.reshape(len(part), -1).astype(np.float32)
            right += found.match[part].T @ value
            second += both.sum(0) / len(chosen)
        whole = left.reshape(size, size, count, count).transpose(0, 2, 1, 3)
        whole = whole + inverse[:, None, :, None] * np.eye(count)[:, None]
        factors = np.linalg.solve(whole.reshape(size * count, -1), right.ravel()).reshape(size, count)
        factors = factors @ np.linalg.cholesky(second)
    return factors


def _first(found: Gradients, chosen: np.ndarray, prior: np.ndarray, count: int) -> np.ndarray:
    """Factors along which the gradients vary most beyond noise."""
    size = len(prior)
    scatter, mean = np.zeros((size, size)), np.zeros((size, size))
    for part in np.split(chosen, range(CHUNK, len(chosen), CHUNK)):
        scatter += found.match[part].T @ found.match[part]
        mean += found.gram[part].sum(0)
    root = np.linalg.cholesky(prior)
    scatter, mean = (root.T @ array @ root / len(chosen) for array in (scatter, mean))
    values, vectors = np.linalg.eigh(mean)
    whiten = vectors / np.sqrt(np.maximum(values, 0) + 1 / 3)
    values, vectors = np.linalg.eigh(whiten.T @ (scatter - mean) @ whiten)
    best = np.argsort(values)[::-1][:count]
    return root @ whiten @ (vectors[:, best] * np.sqrt(np.maximum(values[best], 1e-3)))
