# SPDX-License-Identifier: GPL-3.0-or-later
"""Symmetric molecules, and sets that were expanded by their symmetry: what is said of them."""

from __future__ import annotations

import os
import typing

import numpy as np

from ..core.symmetry import SIMILAR, symmetry_correlation
from ..reconstruction.halves import same_images

if typing.TYPE_CHECKING:
    import torch

    from ..io.particle_sets import ParticleSet
    from ..io.subtomograms import SubtomogramSet

GROUPS = ("C2", "C3", "C4", "C5", "C6", "C7", "C8", "D2")


def copy_notes(particles: ParticleSet | SubtomogramSet, items: str = "particles", of: str = "image") -> list[str]:
    """A sentence if images or volumes stand several times in a set, as after an expansion by symmetry.

    Parameters
    ----------
    items, of : str
        What the rows are, in the plural, and what each is in its file.

    Returns
    -------
    list of str
        Empty without copies.

    Raises
    ------
    ValueError
        If copies of an image are in both halves.
    """
    image = same_images(particles)
    number = int(image.max()) + 1
    if number == len(particles):
        return []
    if particles.halves is not None:
        mixed = np.unique(np.stack([image, particles.halves], axis=1), axis=0)
        twice = np.nonzero(np.bincount(mixed[:, 0]) > 1)[0]
        if len(twice):
            raise ValueError(
                f"{particles.path}: the {of} {particles.names[int(np.argmax(image == twice[0]))]} occurs several "
                f"times, in both halves (rlnRandomSubset). Copies of one {of} must be in the same half: remove the "
                f"column, or use that of the {items} before the expansion."
            )
    return [
        f"{particles.path} has {len(particles)} {items} of {number} {of}s: they are assumed to be "
        f"symmetry-expanded, and copies of one {of} are kept in one half."
    ]


def symmetry_notes(
    density: torch.Tensor, path: str | os.PathLike[str], items: str = "particles", by: str = ""
) -> list[str]:
    """A sentence if a map is symmetric about RELION's axes.

    Parameters
    ----------
    density : Tensor, (d, d, d)
    path : path
        What shows it, for the sentence.
    items : str
        What is to be expanded.
    by : str
        The program that does it, in brackets after a blank.

    Returns
    -------
    list of str
        Empty without symmetry.
    """
    found = [group for group in GROUPS if symmetry_correlation(density, group) > SIMILAR]
    if not found:
        return []
    return [
        f"{path} looks symmetric ({found[-1]}). The latent space is fitted without symmetry: the same change of each "
        f"subunit is a separate direction. Expand the {items} by the symmetry first{by}, and give a mask of one "
        "subunit."
    ]
