# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of where the molecule may change, and what is said of symmetric molecules."""

import os

import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from ..contract import say_if
from ..core.symmetry import largest_symmetry
from ..io.structures import read_focus_mask
from ..reconstruction.halves import soft_sphere


def symmetry_notes(density: torch.Tensor, path: str | os.PathLike[str], items: str = "particles") -> list[str]:
    """A sentence if a map is symmetric about RELION's axes. density: (d, d, d). path: what shows it, for the sentence.
    items: what is to be expanded. Empty without symmetry."""
    found, program = largest_symmetry(density), " (relion_particle_symmetry_expand)" * (items == "particles")
    return say_if(
        found != "C1",
        f"{path} looks symmetric ({found}). The latent space is fitted without symmetry: the same change of each "
        f"subunit is a separate direction. Expand the {items} by the symmetry first{program}, and give a mask of one "
        "subunit.",
    )


WIDEST = 0.9  # of the box: diameter of the sphere that everything is held in
BODY = 0.1  # of the mean volume's highest density that is the molecule
MARGIN = 12.0  # Å beyond it
INSIDE = 0.05  # of the molecule's mass, that a mask must hold
LIVELY = 0.1  # of the largest variance that the halves share, from which a position is taken to change


def checked_mask(path: str, voxel: float, density: np.ndarray, of: str) -> np.ndarray:
    """A focus mask that holds a part of the molecule. voxel: Å. density: (box, box, box), of the molecule, protein
    bright. of: what shows it, for the message. Returns (box, box, box), between 0 and 1. Raises ValueError if the mask
    is empty, or lies outside the molecule."""
    values = read_focus_mask(path, voxel, len(density))
    held = float((values * density).sum() / max(density.sum(), 1e-30))
    if held < INSIDE:
        raise ValueError(
            f"The mask {path} lies outside the molecule: it contains {held:.1%} of the density of {of}. Give a mask of "
            f"the box and pixel size of {of}, with its middle where that has it."
        )
    return values


def molecule_mask(mean: np.ndarray, voxel: float) -> np.ndarray:
    """(box, box, box) soft mask of a mean volume and MARGIN around it. voxel: Å."""
    smooth = gaussian_filter(mean, 1.0)
    wide = distance_transform_edt(smooth <= BODY * np.percentile(smooth, 99.9)) <= max(1, int(round(MARGIN / voxel)))
    return gaussian_filter(wide.astype(np.float32), 0.7) * soft_sphere(len(mean), WIDEST * len(mean)).numpy()


def changing(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where two halves of the particles agree that the molecule changes. first, second: (q, box, box, box), components
    of the halves, in units of their deviations. Noise is not alike in both. mask: (box, box, box). Returns
    (box, box, box), soft mask, all of `mask` where nothing agrees."""
    one, two = (part.reshape(len(part), -1).astype(float) for part in (first, second))
    shared = gaussian_filter((one * ((one @ two.T) @ two)).sum(0).reshape(mask.shape), 1.5) * mask
    highest = np.percentile(shared[mask > 0.5], 99.5)
    if not highest > 0:
        return mask
    return gaussian_filter(binary_dilation(shared > LIVELY * highest, iterations=2).astype(np.float32), 0.7) * mask
