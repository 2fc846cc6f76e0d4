# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with their latent coordinates: as an ordinary set, as a flexibility set, and subsets of them."""

import shutil
import sqlite3
from typing import Any, Sequence

from pwem.objects import Particle, ParticleFlex, SetOfClasses3D, SetOfParticles, SetOfParticlesFlex
from pyworkflow.object import Float, Integer

from ..star import iterColumns
from .particles import pairedRows

# Attributes of items, with an underscore before them.
LATENT, CLUSTER, UMAP = "cryodlLatent%d", "cryodlCluster", "cryodlUmap%d"
CLASS_PROBABILITY = "cryodlClassProbability"
PROGRAM = "cryodl"


def _columns(count: int, umap: bool) -> Any:
    names = [LATENT % number for number in range(1, count + 1)] + [UMAP % number for number in (1, 2) if umap]
    return names + [CLUSTER], (float,) * len(names) + (int,)


def appendLatent(output: SetOfParticles, particles: SetOfParticles, path: str, count: int, umap: bool = False) -> None:
    """Append copies of all items with `count` latent coordinates, two of UMAP if they are there, and the cluster of the
    engine's STAR file.

    Raises ValueError unless every particle is there.
    """
    names, kinds = _columns(count, umap)
    for item, row in pairedRows(particles, path, names, kinds):
        copy = item.clone()
        for name, value in zip(names[:-1], row):
            setattr(copy, "_" + name, Float(value))
        setattr(copy, "_" + CLUSTER, Integer(row[-1]))
        output.append(copy)
    if output.getSize() != particles.getSize():
        raise ValueError(
            f"{path} has {output.getSize()} of the {particles.getSize()} particles. Run the protocol again."
        )


def appendFlex(
    output: SetOfParticlesFlex, particles: SetOfParticles, path: str, count: int, umap: bool = False
) -> None:
    """Append all items as ParticleFlex, whose position in the latent space other plugins read (getZFlex, and getZRed in
    two dimensions: those of UMAP if they are there)."""
    output.getFlexInfo().setProgName(PROGRAM)
    for item, row in pairedRows(particles, path, *_columns(count, umap)):
        flex = ParticleFlex(progName=PROGRAM)
        flex.copyInfo(item)
        flex.setObjId(item.getObjId())
        flex.setZFlex(row[:count])
        flex.setZRed(row[count : count + 2] if umap else row[:2])
        output.append(flex)


def classifyByLatentClass(classes: SetOfClasses3D, path: str, maps: Sequence[str], pixelSize: float) -> None:
    """Fill a SetOfClasses3D by rlnClassNumber of the engine's STAR file. maps: of the classes, class 1 first."""

    def describeItem(item: Particle, row: Any) -> None:
        item.setClassId(row[0])
        setattr(item, "_" + CLASS_PROBABILITY, Float(row[1]))

    def describeClass(made: Any) -> None:
        name = maps[made.getObjId() - 1]
        representative = made.getRepresentative()
        representative.setLocation(1, name)
        representative.setSamplingRate(pixelSize)
        representative.setHalfMaps([f"{name[: -len('.mrc')]}_half{half}.mrc" for half in (1, 2)])

    classes.classifyItems(
        updateItemCallback=describeItem,
        updateClassCallback=describeClass,
        itemDataIterator=iterColumns(path, ["rlnClassNumber", CLASS_PROBABILITY], (int, float), "particles"),
    )


def latentOf(particles: SetOfParticles) -> Any:
    """Ids, [(coordinates)], clusters and the names of the coordinates of a set that appendLatent made."""
    words = {LATENT % number: str(number) for number in range(1, 21)}
    words.update({UMAP % number: f"UMAP {number}" for number in (1, 2)})
    ids, coordinates, clusters = [], [], []
    for item in particles.iterItems():
        if not ids:
            names = [name for name in words if item.hasAttribute("_" + name)]
        ids.append(item.getObjId())
        coordinates.append(tuple(item.getAttributeValue("_" + name) for name in names))
        clusters.append(item.getAttributeValue("_" + CLUSTER))
    return ids, coordinates, clusters, [words[name] for name in names]


def writeSelection(particles: SetOfParticles, ids: Any, path: str) -> None:
    """Write a copy of a set's file in which only the items of `ids` are enabled, for pwem's ProtUserSubSet."""
    particles.write()
    shutil.copy(particles.getFileName(), path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE Objects SET enabled = 0")
        connection.executemany("UPDATE Objects SET enabled = 1 WHERE id = ?", [(int(number),) for number in ids])
    connection.close()
