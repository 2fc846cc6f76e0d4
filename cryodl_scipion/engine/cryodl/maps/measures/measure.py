# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of a map against its atomic model, and of its half-maps."""

import dataclasses
import typing

import numpy as np

from .atoms import Atoms
from .density import model_density, soft_mask
from .local import local_correlation, local_resolution
from .qscore import chain_scores, q_scores, residue_scores
from .shells import Curve, shell_correlation
from .volume import Volume

WIDTH = 0.6  # Å; atoms of the model map, wider where the grid is coarser. The FSC does not depend on it.
COARSEST = 0.55  # of a voxel: narrower Gaussians would slip between grid points


@dataclasses.dataclass(frozen=True)
class MapReference:
    """What maps on one grid are compared with. atoms: maps.atoms.Atoms. density: of the model. mask: (z, y, x), 0 to 1.
    inside: (n,) bool, atoms inside of the grid."""

    atoms: Atoms
    density: np.ndarray
    mask: np.ndarray
    inside: np.ndarray


def reference_for(
    volume: Volume, atoms: Atoms, mask: np.ndarray | None = None, mask_radius: float = 4.0
) -> MapReference:
    """Reference on the grid of a Volume. mask: (z, y, x) array, or None for a soft one around the atoms (Å)."""
    density = model_density(atoms, volume, max(WIDTH, COARSEST * float(volume.voxels_zyx.max())))
    if mask is None:
        mask = soft_mask(atoms.xyz, volume, mask_radius)
    positions = volume.positions(atoms.xyz)
    inside = ((positions >= 0) & (positions <= np.array(volume.data.shape) - 1)).all(axis=1)
    return MapReference(atoms, density, mask, np.asarray(inside))


def measure_map(volume: Volume, reference: MapReference) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """Metrics of one map against its model, and their details. Returns (metrics, details). metrics: fsc05_angstrom,
    fsc0143_angstrom (of map and model in the mask), the same _unmasked, q_score (mean of the atoms), q_score_chains,
    local_correlation (mean over the atoms). details: Curve fsc, Curve fsc_unmasked, q (n,), q_residues, correlation
    (n,)."""
    voxels, mask = volume.voxels_zyx, reference.mask
    masked = shell_correlation(volume.data * mask, reference.density * mask, voxels)
    unmasked = shell_correlation(volume.data, reference.density, voxels)
    scores = q_scores(volume, reference.atoms)
    near = local_correlation(volume.data, reference.density, voxels, volume.positions(reference.atoms.xyz))
    inside = reference.inside
    metrics = dict(
        fsc05_angstrom=masked.resolution(0.5),
        fsc0143_angstrom=masked.resolution(0.143),
        fsc05_unmasked_angstrom=unmasked.resolution(0.5),
        fsc0143_unmasked_angstrom=unmasked.resolution(0.143),
        q_score=float(scores[inside].mean()),
        q_score_chains=chain_scores(scores, reference.atoms, inside),
        local_correlation=float(near[inside].mean()),
    )
    return metrics, dict(
        fsc=masked,
        fsc_unmasked=unmasked,
        q=scores,
        q_residues=residue_scores(scores, reference.atoms),
        correlation=near,
    )


def measure_halves(
    halves: typing.Sequence[Volume], mask: np.ndarray, resolution: float | None = None
) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """(metrics, details) of two half-maps on one grid: the FSC in a mask, and local resolution. halves: two Volumes.
    resolution: Å, of the whole map, for the windows of local resolution; that of the FSC if None. metrics:
    resolution_angstrom (FSC 0.143), resolution05_angstrom, local_resolution_angstrom {median, p10, p90} where the mask
    is above 0.5. details: Curve fsc, local: (z, y, x) array in Å."""
    curve = shell_correlation(halves[0].data * mask, halves[1].data * mask, halves[0].voxels_zyx)
    metrics: dict[str, typing.Any] = dict(
        resolution_angstrom=curve.resolution(0.143), resolution05_angstrom=curve.resolution(0.5)
    )
    resolution, local = resolution or metrics["resolution_angstrom"], None
    if resolution and halves[0].isotropic:
        local = local_resolution(halves[0].data, halves[1].data, halves[0].pixel_size, mask, resolution)
        inside = local[local > 0]
        if inside.size:
            low, middle, high = np.percentile(inside, [10, 50, 90])
            metrics["local_resolution_angstrom"] = dict(p10=float(low), median=float(middle), p90=float(high))
    return metrics, dict(fsc=curve, local=local)


def dependent(halves: typing.Sequence[Volume], curve: Curve) -> list[str]:
    """Sentences, in a list, if the Curve of half-maps falls below 0.143 nowhere: then they may not be independent."""
    if not (curve.value[1:] >= 0.143).all():
        return []
    return [
        f"The FSC of the half-maps {halves[0].path} and {halves[1].path} does not fall below 0.143 up to "
        f"{1 / curve.frequency[-1]:.2f} Å, the Nyquist limit. One of them may be the full map, or they share a mask "
        "or a filter, or the pixel size is too large for their resolution."
    ]
