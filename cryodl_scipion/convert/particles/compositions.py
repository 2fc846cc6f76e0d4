# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with the probabilities of the compositions of their complex, as sets and classes."""

from typing import Any, Optional, Sequence

from pwem.objects import Particle, SetOfClasses3D, SetOfParticles, Volume
from pyworkflow.object import Float

from ..star import iterColumns
from .particles import pairedRows

# Attribute of items: probability of composition 1, 2 ..., in the order of the form.
PROBABILITY = "_cryodlProbability%d"


def _columns(count: int) -> Any:
    """Columns of `cryodl assess-integrity`'s STAR file, and their kinds."""
    columns = ("rlnClassNumber",) + tuple((PROBABILITY % number)[1:] for number in range(1, count + 1))
    return columns, (int,) + (float,) * count


def appendAssessed(output: SetOfParticles, particles: SetOfParticles, path: str, count: int) -> None:
    """Append copies of all items, with class and probabilities. count: compositions.

    Raises ValueError unless every particle is there.
    """
    for item, row in pairedRows(particles, path, *_columns(count)):
        output.append(_described(item.clone(), row))
    if output.getSize() != particles.getSize():
        raise ValueError(
            f"{path} has {output.getSize()} of the {particles.getSize()} particles. Run the protocol again."
        )


def appendLikely(output: SetOfParticles, particles: SetOfParticles, path: str, number: int, minimum: Any) -> int:
    """Append copies of the items that have composition `number` with at least that probability; returns how many."""
    column = (PROBABILITY % number)[1:]
    for item, (probability,) in pairedRows(particles, path, (column,), (float,)):
        if probability >= minimum:
            copy = item.clone()
            setattr(copy, PROBABILITY % number, Float(probability))
            output.append(copy)
    return output.getSize()


def classifyByComposition(
    classes: SetOfClasses3D, path: str, names: Sequence[str], volumes: Optional[Sequence[Volume]]
) -> None:
    """Fill a SetOfClasses3D: a class for each composition, by the likeliest of each particle.

    volumes: Volumes of the compositions as representatives, or None. The file has all particles, see appendAssessed.
    """
    columns, kinds = _columns(len(names))

    def describeClass(made: Any) -> None:
        number = made.getObjId()
        made.setObjLabel(names[number - 1])
        made.setObjComment(names[number - 1])
        if volumes:
            representative = made.getRepresentative()
            representative.setLocation(1, volumes[number - 1].getFileName())
            representative.setSamplingRate(volumes[number - 1].getSamplingRate())

    classes.classifyItems(
        updateItemCallback=_described,
        updateClassCallback=describeClass,
        itemDataIterator=iterColumns(path, columns, kinds, "particles"),
    )


def _described(item: Particle, row: Any) -> Particle:
    item.setClassId(row[0])
    for number, probability in enumerate(row[1:], 1):
        setattr(item, PROBABILITY % number, Float(probability))
    return item
