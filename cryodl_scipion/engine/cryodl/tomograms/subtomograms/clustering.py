# SPDX-License-Identifier: GPL-3.0-or-later
"""Alignment and embedding of subtomograms that are to be clustered."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...io.subtomograms import SubtomogramSet
from ...learning.run_training import accelerator_for
from .autoencoder import learned_coordinates
from .components import principal_components
from .em import Grids, learn_average
from .observed import Frame, ObservedSubtomograms, observe
from .similarity import embedded, pairwise_similarities

if typing.TYPE_CHECKING:
    from .search import Poses

MAX_SHIFT = 1 / 12  # of the box: farthest from its middle that a particle is looked for


def alignment_of(found: SubtomogramSet, asked: str) -> str:
    """'given', 'search' or 'none'. Raises ValueError if angles are asked for and there are none."""
    if asked == "given" and found.angles is None:
        raise ValueError(
            f"{found.path} has no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi), which --align given needs. Choose "
            "--align search, or align the subtomograms first."
        )
    if asked != "auto":
        return asked
    if found.angles is not None and not np.any(found.angles):
        print(
            f"All angles of {found.path} are zero, so an alignment is searched for. If all subtomograms really have "
            "the same orientation, choose --align given."
        )
        return "search"
    return "search" if found.angles is None else "given"


def aligned_poses(
    found: SubtomogramSet, frame: Frame, how: str, contrast: str, seed: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) angles in degrees and (n, 3) shifts in px of the files. how: of alignment_of."""
    if how == "none":
        return np.zeros((len(found), 3)), np.zeros((len(found), 3))
    if how == "given":
        return typing.cast("np.ndarray", found.angles), found.shifts_zyx  # alignment_of has looked for them
    print("Aligning all subtomograms to a common average.")
    observed = observe(found, slice(None), frame, contrast, device)
    estimate = learn_average(observed, Grids(frame, MAX_SHIFT * frame.box, device), seed)
    matrices, shifts = (one.double().cpu().numpy() for one in typing.cast("Poses", estimate.poses).best())
    angles = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
    return angles, shifts * frame.pixel_size / found.pixel_size


def embedding_of(
    observed: ObservedSubtomograms, kind: str, count: int, folder: Path, seed: int, device: torch.device
) -> np.ndarray:
    """(n, count) positions of aligned subtomograms. kind: 'pca', 'similarity' or 'autoencoder', which keeps its
    training in the folder."""
    if kind == "similarity":
        return embedded(pairwise_similarities(observed), count).cpu().numpy()
    if kind == "pca":
        return principal_components(observed, count, seed).cpu().numpy()
    return learned_coordinates(observed, count, folder, accelerator_for(device), seed).numpy()
