# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine found of particles - angles, probabilities, simulated ground truth - as items of sets."""

import os
from typing import Any, Collection

from pwem.objects import SetOfParticles, Transform
from pyworkflow.object import Float, String

from ..alignment import matrixOf
from ..star import columnsOf
from .particles import pairedRows

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGIN = ("rlnOriginXAngst", "rlnOriginYAngst")
# Attributes of items, with an underscore before them.
SCORES = ("rlnMaxValueProbDistribution", "cryodlScore", "cryodlMargin", "cryodlExplained", "cryodlReferenceResolution")
# of the structure that the angles come from: its file's name, and the beginning of its SHA-256
REFERENCE = ("cryodlReference", "cryodlReferenceDigest")
NOISE = "_cryodlNoiseControl"  # attribute: the engine's STAR file of noise that was oriented likewise


def transformOf(pose: Any, pixelSize: float) -> Any:
    """Scipion's Transform of (rot, tilt, psi, origin x, origin y); origin in Å."""
    return Transform(matrixOf(pose[:3], [shift / pixelSize for shift in pose[3:5]]))


def appendOriented(
    output: SetOfParticles,
    particles: SetOfParticles,
    path: str,
    noise: Any = None,
    done: Collection[int] = (),
    some: bool = False,
) -> None:
    """Append copies of items with the angles, shifts and scores of `cryodl assign-orientations`.

    output: set with projection alignment. path: the engine's STAR file. noise: that of oriented noise, or None. done:
    ids of the particles that it has already. some: whether the file may have some of the particles alone.
    Raises ValueError unless every particle is there.
    """
    there = columnsOf(path, "particles")
    scores = [name for name in SCORES if name in there]
    words = [name for name in REFERENCE if name in there]
    columns, kinds = ANGLES + ORIGIN + tuple(scores + words), (float,) * (5 + len(scores)) + (str,) * len(words)
    found = 0
    for item, row in pairedRows(particles, path, columns, kinds):
        found += 1
        if item.getObjId() in done:
            continue
        copy = item.clone()
        copy.setTransform(transformOf(row, particles.getSamplingRate()))
        for name, value in zip(scores + words, row[5:]):
            setattr(copy, "_" + name, String(value) if name in words else Float(value))
        if noise:
            setattr(copy, NOISE, String(noise))
        output.append(copy)
    if found != particles.getSize() and not some:
        raise ValueError(f"{path} has {found} of the {particles.getSize()} particles. Run the protocol again.")


def noiseControlOf(particles: SetOfParticles) -> Any:
    """Path of the oriented noise that belongs to the angles of a set; None if there is none, or it is gone."""
    first = particles.getFirstItem() if particles.getSize() else None
    path = first.getAttributeValue(NOISE, None) if first is not None else None
    return path if path and os.path.exists(path) else None
