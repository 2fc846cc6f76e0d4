# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain of an atomic model, and its rotation about a hinge."""

from __future__ import annotations

import re
import typing

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

if typing.TYPE_CHECKING:
    from .states import AtomModel

CONTACT = 8.0  # Å between atoms of the domain and of the rest that make the hinge


def selected(model: AtomModel, words: str, option: str) -> np.ndarray:
    """(n,) bool: atoms of a states.AtomModel that a selection names.

    Parameters
    ----------
    words : str
        Chains and ranges of residues, with commas or spaces: 'B', 'A:100-250', 'A:1-99,C'.
    option : str
        The option that holds the words, for messages.

    Raises
    ------
    ValueError
        A word is no selection, it selects no atom, or all atoms are selected.
    """
    chosen = np.zeros(len(model.xyz), bool)
    for word in words.replace(",", " ").split():
        found = re.fullmatch(r"([^:]+)(?::(-?\d+)-(-?\d+))?", word)
        if not found:
            raise ValueError(f"{option} has {word!r}; a chain (B) or residues of one (A:100-250) are expected.")
        atoms = model.chain == found[1]
        if found[2]:
            atoms &= (model.residue >= int(found[2])) & (model.residue <= int(found[3]))
        if not atoms.any():
            raise ValueError(
                f"{option} names {word!r}, but {model.path} has no such atoms. Its chains are "
                f"{', '.join(dict.fromkeys(model.chain.tolist()))}."
            )
        chosen |= atoms
    if chosen.all() or not chosen.any():
        raise ValueError(
            f"{option} selects {'every' if chosen.any() else 'no'} atom of {model.path}; select a part of the molecule."
        )
    return chosen


def hinge_of(model: AtomModel, domain: np.ndarray, words: str | None) -> tuple[np.ndarray, np.ndarray]:
    """A point on the hinge and its direction.

    Parameters
    ----------
    domain : ndarray, (n,) bool
        Atoms that move.
    words : str or None
        Direction 'x,y,z'. None: at right angles to the line from the hinge to the domain's centre, and to the line
        from the molecule's centre to the hinge.

    Returns
    -------
    point, axis : ndarray, (3,)
        Å, xyz; `axis` of length 1. The point is the mean of the domain's atoms that touch the rest; the nearest 20
        where none does.
    """
    distance = cKDTree(model.xyz[~domain]).query(model.xyz[domain])[0]
    near = distance <= max(CONTACT, np.sort(distance)[min(19, len(distance) - 1)])
    point = model.xyz[domain][near].mean(axis=0)
    if words:
        axis = _direction(words)
    else:
        arm, body = model.xyz[domain].mean(axis=0) - point, point - model.xyz[~domain].mean(axis=0)
        axis = np.cross(arm, body)
        if np.linalg.norm(axis) < 1e-3 * np.linalg.norm(arm) * np.linalg.norm(body):  # on one line
            axis = np.cross(arm, np.eye(3)[np.argmin(np.abs(arm))])
    return point, axis / np.linalg.norm(axis)


def _direction(words: str) -> np.ndarray:
    try:
        axis = np.array([float(word) for word in words.replace(",", " ").split()])
    except ValueError:
        axis = np.zeros(0)
    if axis.shape != (3,) or not np.linalg.norm(axis) > 0:
        raise ValueError(
            f"Hinge axis (--hinge-axis) is {words!r}; a direction of three numbers such as 0,0,1 is expected."
        )
    return axis


def hinged(xyz: np.ndarray, domain: np.ndarray, point: np.ndarray, axis: np.ndarray, degrees: float) -> np.ndarray:
    """(n, 3) Å: positions with those of the domain rotated about the hinge."""
    rotation = Rotation.from_rotvec(np.radians(degrees) * axis)
    moved = xyz.copy()
    moved[domain] = rotation.apply(xyz[domain] - point) + point
    return moved
