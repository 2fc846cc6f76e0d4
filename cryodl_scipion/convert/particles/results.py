# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine found of particles - angles, latent coordinates, compositions, simulated ground truth - as sets and
classes.

Sets of denoised particles from raw ones, and of raw ones from denoised ones."""

import re
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from pwem.objects import (
    Coordinate,
    CTFModel,
    EMObject,
    EMSet,
    Micrograph,
    Particle,
    ParticleFlex,
    SetOfClasses3D,
    SetOfParticles,
    SetOfParticlesFlex,
    Transform,
    Volume,
)
from pyworkflow.object import Float, Integer, String

from ..arriving import firstOf
from ..micrographs.picks import scaled
from ..reading import ENABLED
from ..relion_star import ANGLES, columnsOf, iterColumns, matrixOf, writeTable
from .denoised import RAW_IMAGE, markSet, rawImageOf, unmarkSet
from .particles import OPTICS_GROUP, ctfOf, itemsOf, locationOf, nameOf, newParticle, pairedRows

# Attributes of items, with an underscore before them.
LATENT, CLUSTER, UMAP = "cryodlLatent%d", "cryodlCluster", "cryodlUmap%d"
LATENTS = r"_cryodl(Latent\d+|Umap\d|Cluster)"


def latentColumns(count: int, umap: bool) -> Any:
    """Columns of the engine's STAR file, and the types of their values: coordinates, those of UMAP, cluster."""
    names = [LATENT % number for number in range(1, count + 1)] + [UMAP % number for number in (1, 2) if umap]
    return names + [CLUSTER], (float,) * len(names) + (int,)


def describeLatent(item: EMObject, names: Sequence[str], row: Sequence[Any]) -> Any:
    forget(item, LATENTS)
    for name, value in zip(names[:-1], row):
        setattr(item, "_" + name, Float(float(value)))
    setattr(item, "_" + CLUSTER, Integer(int(float(row[-1]))))
    return item


def forget(item: EMObject, names: str) -> None:
    """Take from an item what an earlier run noted on it. names: regular expression of attributes."""
    for name in [name for name, _ in item.getAttributes() if re.fullmatch(names, name)]:
        delattr(item, name)


def latentOf(items: EMSet) -> Any:
    """Ids, [(coordinates)], clusters and the names of the coordinates of a set that carries them."""
    words = {LATENT % number: str(number) for number in range(1, 21)}
    words.update({UMAP % number: f"UMAP {number}" for number in (1, 2)})
    names = [name for name in words if firstOf(items).hasAttribute("_" + name)]
    columns = items.getUniqueValues(["id", "_" + CLUSTER, *("_" + name for name in names)])
    values = [columns["_" + name] for name in names]
    return columns["id"], list(zip(*values)), columns["_" + CLUSTER], [words[name] for name in names]


ORIGIN = ("rlnOriginXAngst", "rlnOriginYAngst")
# Attributes of items, with an underscore before them.
SCORES = ("rlnMaxValueProbDistribution", "cryodlScore", "cryodlMargin", "cryodlExplained", "cryodlReferenceResolution")
# of the structure that the angles come from: its file's name, and the beginning of its SHA-256
REFERENCE = ("cryodlReference", "cryodlReferenceDigest")
CLASS_PROBABILITY = "cryodlClassProbability"
# Attributes: the engine's STAR file of noise oriented likewise; probability of composition 1, 2 ..., as in the form.
NOISE, PROBABILITY, PROBABILITIES = "_cryodlNoiseControl", "_cryodlProbability%d", r"_cryodlProbability\d+"
PROGRAM = "cryodl"
_SIMULATED = ("rlnImageName", "rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle") + ANGLES + ORIGIN
_HALF = "rlnRandomSubset"
# What belongs to angles, and its types; a particle may be in neither half.
_OF_ANGLES: Dict[str, Any] = {**dict.fromkeys(SCORES, Float), **dict.fromkeys(REFERENCE, String)}
_OF_ANGLES[_HALF] = lambda text: Integer(int(text) if text.isdigit() else None)


def appendRows(
    output: SetOfParticles,
    particles: SetOfParticles,
    path: str,
    columns: Sequence[str],
    kinds: Sequence[type],
    describe: Callable[[Any, Any], Any],
    done: Collection[int] = (),
) -> None:
    """Append copies of the items that the engine's STAR file has, each described by its row: it leaves out those whose
    images cannot be used. done: ids of the particles that the output has already."""
    first = firstOf(output)
    for item, row in pairedRows(particles, path, columns, tuple(kinds)):
        if item.getObjId() not in done:
            copy = item.clone()
            describe(copy, row)
            if first is not None:  # an earlier version may have begun the set; its rows have no names, but an order
                own = {name: vars(copy).pop(name) for name, _ in [*copy.getAttributes()]}
                vars(copy).update({name: own.get(name, type(value)()) for name, value in first.getAttributes()})
            output.append(copy)


def _fillClasses(
    classes: SetOfClasses3D, path: str, columns: Sequence[str], kinds: Sequence[type], item: Any, one: Any
) -> None:
    """Fill a SetOfClasses3D by the engine's STAR file. item, one: describe an item by its row, and a class."""
    found = {row[0]: row[1:] for row in iterColumns(path, ("rlnImageId", *columns), (int, *kinds), "particles")}
    describe = lambda copy, _: item(copy, found.get(copy.getObjId(), [0] * len(columns)))
    classes.classifyItems(updateItemCallback=describe, updateClassCallback=one)


def setRepresentative(made: Any, path: str, pixelSize: float) -> Any:
    """Give a class its map, which is returned."""
    representative = made.getRepresentative()
    representative.setFileName(path)
    representative.setSamplingRate(pixelSize)
    return representative


def transformOf(pose: Any, pixelSize: float) -> Any:
    """Scipion's Transform of (rot, tilt, psi, origin x, origin y); origin in Å."""
    return Transform(matrixOf(pose[:3], [shift / pixelSize for shift in pose[3:5]]))


def appendOriented(
    output: SetOfParticles, particles: SetOfParticles, path: str, noise: Any = None, done: Collection[int] = ()
) -> None:
    """Append copies of items with the angles, shifts, scores and half sets that the engine found, and no others; see
    appendRows. output: set with projection alignment. noise: STAR file of oriented noise, or None."""
    there = [name for name in columnsOf(path, "particles") if name in _OF_ANGLES]

    def describe(copy: Particle, row: Any) -> None:
        forget(copy, f"_({'|'.join((*SCORES, *REFERENCE))})|{NOISE}")
        copy.setTransform(transformOf(row, particles.getSamplingRate()))
        for name, value in zip(there, row[5:]):
            setattr(copy, "_" + name, value)
        if noise:
            setattr(copy, NOISE, String(noise))

    kinds = (float,) * 5 + tuple(_OF_ANGLES[name] for name in there)
    appendRows(output, particles, path, [*ANGLES, *ORIGIN, *there], kinds, describe, done)


def appendLatent(output: SetOfParticles, particles: SetOfParticles, path: str, count: int, umap: bool = False) -> None:
    """Append copies of the items with `count` latent coordinates, two of UMAP if they are there, and the cluster of the
    engine's STAR file; see appendRows."""
    names, kinds = latentColumns(count, umap)
    appendRows(output, particles, path, names, kinds, lambda copy, row: describeLatent(copy, names, row))


def appendFlex(
    output: SetOfParticlesFlex, particles: SetOfParticles, path: str, count: int, umap: bool = False
) -> None:
    """Append all items as ParticleFlex, whose position in the latent space other plugins read (getZFlex, and getZRed in
    two dimensions: those of UMAP if they are there)."""
    output.getFlexInfo().setProgName(PROGRAM)
    for item, row in pairedRows(particles, path, *latentColumns(count, umap)):
        flex = ParticleFlex(progName=PROGRAM)
        flex.copyInfo(item)
        forget(flex, LATENTS)
        flex.setObjId(item.getObjId())
        flex.setZFlex(row[:count])
        flex.setZRed(row[count : count + 2] if umap else row[:2])
        output.append(flex)


def classifyByLatentClass(classes: SetOfClasses3D, path: str, maps: Sequence[str], pixelSize: float) -> None:
    """Fill a SetOfClasses3D by rlnClassNumber of the engine's STAR file. maps: of the classes, class 1 first."""

    def describeItem(item: Particle, row: Any) -> None:
        forget(item, LATENTS)
        item.setClassId(row[0])
        setattr(item, "_" + CLASS_PROBABILITY, Float(row[1]))

    def describeClass(made: Any) -> None:
        name = maps[made.getObjId() - 1]
        halves = [f"{name[: -len('.mrc')]}_half{half}.mrc" for half in (1, 2)]
        setRepresentative(made, name, pixelSize).setHalfMaps(halves)

    _fillClasses(classes, path, ["rlnClassNumber", CLASS_PROBABILITY], (int, float), describeItem, describeClass)


def appendAssessed(output: SetOfParticles, particles: SetOfParticles, path: str, count: int) -> None:
    """Append copies of the items, with class and probabilities; see appendRows. count: compositions."""
    columns, kinds = _compositions(count)
    appendRows(output, particles, path, columns, kinds, _describeComposition)


def appendLikely(output: SetOfParticles, particles: SetOfParticles, path: str, number: int, minimum: Any) -> int:
    """Append copies of the items that have composition `number` with at least that probability, but for those of class
    0, which show none of the compositions; returns how many."""
    columns = ("rlnClassNumber", (PROBABILITY % number)[1:])
    for item, (kind, probability) in pairedRows(particles, path, columns, (int, float)):
        if kind and probability >= minimum:
            copy = item.clone()
            forget(copy, PROBABILITIES)
            setattr(copy, PROBABILITY % number, Float(probability))
            output.append(copy)
    return output.getSize()


def _compositions(count: int) -> Any:
    columns = ("rlnClassNumber",) + tuple((PROBABILITY % number)[1:] for number in range(1, count + 1))
    return columns, (int,) + (float,) * count


def classifyByComposition(
    classes: SetOfClasses3D, path: str, names: Sequence[str], volumes: Optional[Sequence[Volume]]
) -> None:
    """Fill a SetOfClasses3D: a class for each composition, by the likeliest of each particle. volumes: Volumes of the
    compositions as representatives, or None."""

    def describeClass(made: Any) -> None:
        number = made.getObjId()
        made.setObjLabel(names[number - 1])
        made.setObjComment(names[number - 1])
        if volumes:
            setRepresentative(made, volumes[number - 1].getFileName(), volumes[number - 1].getSamplingRate())

    columns, kinds = _compositions(len(names))
    _fillClasses(classes, path, columns, kinds, _describeComposition, describeClass)


def _describeComposition(item: Particle, row: Any) -> Particle:
    forget(item, PROBABILITIES)
    item.setClassId(row[0])
    for number, probability in enumerate(row[1:], 1):
        setattr(item, PROBABILITY % number, Float(probability))
    return item


def appendSimulated(particles: Any, path: Any, cleanPath: str, clean: SetOfParticles) -> None:
    """Append the simulated particles with true alignment, CTF, micrograph and half set; clean images to their own set.
    particles, clean: new sets with pixel size and acquisition; the clean one has no CTF. path: the engine's STAR file.
    cleanPath: the stack of clean images, in the same order. Items of one particle have the same id in both sets."""
    hasHalf = _HALF in columnsOf(path, "particles")
    columns = _SIMULATED + (_HALF,) * hasHalf
    kinds: Tuple[type, ...] = (str, str) + (float,) * 8 + (int,) * hasHalf
    micrographs, pixelSize, acquisition = {}, particles.getSamplingRate(), particles.getAcquisition()
    for number, row in enumerate(iterColumns(path, columns, kinds, "particles"), 1):
        # There are no micrographs; RELION and the validation split want particles of one defocus under one name.
        coordinate = Coordinate(x=0, y=0)
        coordinate.setMicName(row[1])
        coordinate.setMicId(micrographs.setdefault(row[1], len(micrographs) + 1))
        transform = transformOf(row[5:10], pixelSize)
        item = newParticle(locationOf(row[0], path), pixelSize, acquisition, coordinate, transform=transform)
        if hasHalf:
            setattr(item, "_" + _HALF, Integer(row[10]))
        bare = item.clone()
        bare.setLocation(number, cleanPath)
        clean.append(bare)
        item.setCTF(ctfOf(*row[2:5]))
        particles.append(item)


def appendDenoised(
    denoised: SetOfParticles, particles: SetOfParticles, path: str, model: str, done: Collection[int] = ()
) -> None:
    """Append copies of the raw items with the images of the engine's STAR file, and mark them and the set. denoised:
    set with the raw set's information. path: STAR file of `cryodl denoise`. model: its name. done: ids that it has."""
    # how much the denoiser found (near 0 nothing; ice and edges of carbon have much, too), and the structure's evidence
    numbers = tuple(
        name for name in ("cryodlDenoisedStrength", "cryodlExplained") if name in columnsOf(path, "particles")
    )

    def describe(copy: Particle, row: Any) -> None:
        setattr(copy, RAW_IMAGE, String(nameOf(copy)))
        for name, value in zip(numbers, row[1:]):
            setattr(copy, "_" + name, Float(value))
        copy.setLocation(*locationOf(row[0], path))

    appendRows(denoised, particles, path, ("rlnImageName",) + numbers, (str,) + (float,) * len(numbers), describe, done)
    markSet(denoised, model)


def appendRaw(output: SetOfParticles, particles: SetOfParticles, raw: Optional[SetOfParticles] = None) -> None:
    """Append copies of denoised items with their raw images. output: new set with the denoised set's information. raw:
    the set that was denoised, by whose ids the images are found, and to whose pixels shifts are rescaled; None: the
    positions that the items know."""
    positions = {item.getObjId(): item.getLocation() for item in raw or ()}
    output.setSamplingRate((raw or particles).getSamplingRate())
    ratio = particles.getSamplingRate() / output.getSamplingRate()
    for item in particles.iterItems(where=ENABLED):
        copy = item.clone()
        copy.setLocation(*(positions[item.getObjId()] if positions else locationOf(rawImageOf(item))))
        copy.setSamplingRate(output.getSamplingRate())
        forget(copy, RAW_IMAGE)
        if copy.hasTransform() and abs(ratio - 1) > 1e-6:
            matrix = np.array(copy.getTransform().getMatrix(), float)
            matrix[:3, 3] *= ratio
            copy.getTransform().setMatrix(matrix)
        output.append(copy)
    unmarkSet(output)
    if raw is not None:  # the later set may have lost what the raw one was
        output.setIsPhaseFlipped(raw.isPhaseFlipped())


def movedIds(particles: SetOfParticles, raw: SetOfParticles, some: int = 1000) -> List[int]:
    """Ids of items whose coordinates are others in the raw set. some: items that are looked at."""
    place = lambda item: item.getCoordinate() and item.getCoordinate().getPosition()
    here = {item.getObjId(): place(item) for item in particles.iterItems(limit=some)}
    there = {item.getObjId(): place(item) for item in itemsOf(raw, set(here))}
    return [number for number in here if here[number] and there.get(number, here[number]) not in (here[number], None)]


_COLUMNS = ("rlnImageName", "rlnMicrographName", "cryodlPickNumber")


def writeCtfs(path: Any, ctfs: Dict[str, CTFModel]) -> None:
    """Write CTFs of micrographs, by their names in the engine, as a STAR file. The microscope's are given apart."""
    names = ["rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift"]
    rows = ((name + ".mrc", *ctf.getDefocus(), ctf.getPhaseShift() or 0.0) for name, ctf in ctfs.items())
    writeTable(path, "micrographs", names, rows)


def extractedParticles(
    path: str,
    files: Dict[str, Micrograph],
    coordinates: Dict[str, List[Coordinate]],
    ctfs: Optional[Dict[str, CTFModel]],
    scale: float,
    pixelSize: float,
) -> Iterator[Particle]:
    """Particles of the engine's STAR file, without ids, each with its coordinate and its CTF. files: by file name, as
    the engine was given it; particles of others are not read. coordinates, ctfs: by the micrographs' names, in the
    order in which the engine was given them. scale: micrographs' px per coordinates' px. pixelSize: particles' Å/px."""
    rows = iterColumns(path, _COLUMNS, (str, str, int), "particles")
    for image, file, number in (row for row in rows if row[1] in files):
        micrograph, name = files[file], files[file].getMicName()
        coordinate = coordinates[name][number - 1].clone()  # with all its attributes
        coordinate.setPosition(*(int(round(p)) for p in scaled(coordinate.getPosition(), scale)))
        coordinate.setMicrograph(micrograph)
        ctf = None if ctfs is None else ctfs[name].clone()
        item = newParticle(locationOf(image), pixelSize, micrograph.getAcquisition(), coordinate, ctf)
        if micrograph.hasAttribute(OPTICS_GROUP):
            setattr(item, OPTICS_GROUP, getattr(micrograph, OPTICS_GROUP).clone())
        yield item
