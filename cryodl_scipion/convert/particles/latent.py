# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles with their latent coordinates, as an ordinary set and as a flexibility set."""

from typing import Any, Sequence

from pwem.objects import Particle, ParticleFlex, SetOfClasses3D, SetOfParticles, SetOfParticlesFlex
from pyworkflow.object import Float

from ..latent import describeLatent, latentColumns
from ..star import iterColumns
from .particles import pairedRows

# Attribute of items, with an underscore before it.
CLASS_PROBABILITY = "cryodlClassProbability"
PROGRAM = "cryodl"


def appendLatent(output: SetOfParticles, particles: SetOfParticles, path: str, count: int, umap: bool = False) -> None:
    """Append copies of all items with `count` latent coordinates, two of UMAP if they are there, and the cluster of the
    engine's STAR file.

    Raises ValueError unless every particle is there.
    """
    names, kinds = latentColumns(count, umap)
    for item, row in pairedRows(particles, path, names, kinds):
        output.append(describeLatent(item.clone(), names, row))
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
    for item, row in pairedRows(particles, path, *latentColumns(count, umap)):
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
