# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of input sets, shared by the protocols. Each gives sentences for the form; none changes anything."""

import functools
import os
from typing import Any, Dict, List, Optional

from pwem.objects import EMSet, SetOfCoordinates, SetOfMicrographs

from ..convert import arriving, relion_star
from ..convert.form import sayIf
from ..convert.micrographs.picks import positionsByMicrograph
from ..convert.names import repeatedNames
from ..convert.particles.denoised import DENOISER
from ..engine.cryodl import contract

# 'a, b and 7 more': enough names to recognise the mistake; more would hide the sentence.
listed = functools.partial(contract.some_names, maximum=5)


def checkPixelSize(items: Any, what: str) -> List[str]:
    return sayIf(
        (items.getSamplingRate() or 0) <= 0,
        f"The {what} have no pixel size (sampling rate). Import them again with their pixel size.",
    )


def checkMicrographs(micrographs: Any, of: str = "") -> List[str]:
    """What is wrong with a set of micrographs to work on. of: whose they are, ' of ...'."""
    repeated = repeatedNames(micrographs)
    return (
        sayIf(
            micrographs.getSize() == 0 and not micrographs.isStreamOpen(),
            "The set of micrographs is empty. Import micrographs first.",
        )
        or checkPixelSize(micrographs, f"micrographs{of}")
        or sayIf(
            repeated,
            f"Several micrographs{of} have the same name: {listed(repeated)}. Scipion identifies micrographs by name; "
            "import them with different names.",
        )
    )


def checkAsTaken(micrographs: Any, oneForAll: bool = True) -> List[str]:
    first = arriving.firstOf(micrographs)
    model = first and first.getAttributeValue(DENOISER, None)
    return sayIf(
        model,
        f"The micrographs are denoised (model {model}): they are for viewing only. Choose the micrographs "
        "that were denoised; for the extraction of particles that were picked on denoised ones, as Other micrographs.",
    ) or sayIf(
        oneForAll
        and any(len(relion_star.acquired(micrographs, name)) > 1 for name in ("_voltage", "_sphericalAberration")),
        "The micrographs have several voltages or spherical aberrations, and one is used for all. Work on each set by "
        "itself, and join the particles.",
    )


def checkChosen(items: Any) -> List[str]:
    """What is wrong with an input, whatever it is for: its file, that no item may be used, joined picks."""
    whole = isinstance(items, EMSet) and items.getSize() and items.isStreamClosed()
    file = items.getFileName() if whole else os.curdir
    return (
        sayIf(not os.path.exists(file), f"{file} is gone. Restore the folder of its run, or choose another input.")
        or sayIf(
            whole and arriving.firstOf(items, arriving.ENABLED) is None,
            f"All of {file} is unticked in Scipion's table. Tick some items, or choose another input.",
        )
        or checkJoined(items)
    )


def checkJoined(coordinates: Any) -> List[str]:
    """Picks are found by the number of their micrograph; of joined sets Scipion keeps the first one's micrographs."""
    if not isinstance(coordinates, SetOfCoordinates) or arriving.firstOf(coordinates) is None:
        return []
    bare = lambda name: os.path.splitext(os.path.basename(name or ""))[0]
    columns, micrographs = coordinates.getUniqueValues(["_micId", "_micName"]), coordinates.getMicrographs()
    coordinates.close()
    picked = {(number, bare(name)) for number, name in zip(columns["_micId"], columns["_micName"]) if name}
    own = {micrograph.getObjId(): bare(micrograph.getMicName()) for micrograph in micrographs or ()}
    mayCome = micrographs is not None and micrographs.isStreamOpen()
    strange = [name for number, name in picked if own.get(number, name if mayCome else None) != name]
    return sayIf(
        0 < len(strange) < len(picked),  # all of them: a program that names micrographs in its own way
        "The coordinates were joined from several sets of micrographs. Scipion keeps those of the first set alone, and "
        f"their numbers do not fit {listed(sorted(strange))}. Work on each set by itself, and join the particles.",
    )


def checkLabels(coordinates: SetOfCoordinates, others: Any, micrographs: SetOfMicrographs) -> Any:
    """What is wrong with coordinates to learn from. others: {word: SetOfCoordinates} of the labels that are no
    particles: background, contamination, uncertain. micrographs: to use instead of the coordinates' own, or None."""
    own = coordinates.getMicrographs()
    wrong = (
        sayIf(
            own is None or own.getSize() == 0,
            "The particle coordinates are not linked to micrographs. Choose coordinates of a set of micrographs.",
        )
        or sayIf(coordinates.getSize() == 0, "The set of particle coordinates is empty. Pick some particles first.")
        or checkMicrographs(own, " of the coordinates")
    )
    if wrong:
        return wrong
    errors = _outside("particle coordinates", coordinates, own)
    for word, other in others.items():
        errors += _checkOtherLabels(word, other, own) or _outside(f"{word} coordinates", other, own)
    errors += [] if micrographs is None else _checkOther(micrographs, coordinates, own)
    return errors + sayIf(
        coordinates.getSize() < contract.MIN_PARTICLES,
        f"The set has {contract.counted(coordinates.getSize(), 'particle coordinate')}; training needs at least "
        f"{contract.MIN_PARTICLES}, and a useful model needs 20 or more. Pick more.",
    )


def _checkOtherLabels(word: str, coordinates: SetOfCoordinates, own: Any) -> List[str]:
    if coordinates.getSize() == 0:
        return [f"The set of {word} coordinates is empty. Leave the field empty, or choose another set."]
    theirs = {m.getObjId(): m.getMicName() for m in coordinates.getMicrographs()}
    ours = {m.getObjId(): m.getMicName() for m in own}
    strange = sorted(
        theirs.get(i) or f"id {i}"
        for i in positionsByMicrograph(coordinates)
        if theirs.get(i) != ours.get(i) or i not in ours
    )
    return sayIf(
        strange,
        f"The {word} coordinates lie on other micrographs than the particles: {listed(strange)}. Choose "
        "coordinates picked on the same set of micrographs.",
    )


def _checkOther(other: Any, coordinates: SetOfCoordinates, own: Any) -> List[str]:
    return lackedBy(other, coordinates) or sayIf(
        abs(other.getSamplingRate() / own.getSamplingRate() - 1) > 0.001,
        f"The other micrographs have {other.getSamplingRate():g} Å/px and those of the coordinates "
        f"{own.getSamplingRate():g} Å/px, so the coordinates do not fit them. Choose micrographs of the "
        "same pixel size.",
    )


def lackedBy(other: Optional[SetOfMicrographs], coordinates: Optional[SetOfCoordinates]) -> List[str]:
    """A sentence about coordinates whose micrographs are not in another set; none where one is None or empty."""
    if other is None or coordinates is None or arriving.firstOf(coordinates) is None:
        return []
    there, picked = {m.getMicName() for m in other}, set(coordinates.getUniqueValues("_micId", arriving.ENABLED))
    missing = sorted({m.getMicName() for m in coordinates.getMicrographs() if m.getObjId() in picked} - there)
    yet = " yet" if other.isStreamOpen() else ""
    return sayIf(
        missing,
        f"Other micrographs has no {listed(missing)}, whose coordinates cannot be used{yet}. Choose a set with "
        "micrographs of these names.",
    )


def _outside(what: str, coordinates: SetOfCoordinates, micrographs: SetOfMicrographs) -> List[str]:
    """Coordinates that are not on their micrograph; sizes are read only of micrographs that may be concerned."""
    width, height = micrographs.getDim()[:2]
    suspects = {
        micId: positions
        for micId, positions in positionsByMicrograph(coordinates).items()
        if any(not (0 <= x < width and 0 <= y < height) for x, y in positions)
    }
    found = []
    for micrograph in [m.clone() for m in micrographs if m.getObjId() in suspects]:
        if os.path.exists(micrograph.getFileName()):
            width, height = micrograph.getDim()[:2]
        out = [p for p in suspects[micrograph.getObjId()] if not (0 <= p[0] < width and 0 <= p[1] < height)]
        if out:
            found.append(
                f"{micrograph.getMicName()} ({len(out)}; such as x={out[0][0]}, y={out[0][1]} on {width} x {height} px)"
            )
    return sayIf(
        found,
        f"Some {what} lie outside their micrograph: {listed(found)}. They may belong to micrographs of "
        "another pixel size; scale or remove them.",
    )


def checkDiameter(diameter: Optional[float], micrographs: SetOfMicrographs) -> List[str]:
    """What is wrong with a particle's size in these micrographs. diameter: Å, or None if it is not given."""
    if diameter is None or not micrographs.getDim():
        return []
    problem = contract.particle_size_problem(diameter, micrographs.getSamplingRate(), min(micrographs.getDim()[:2]))
    return [problem] if problem else []


def checkModelFolder(folder: str, kind: Optional[str] = "picker") -> List[str]:
    try:
        contract.check_model(folder, kind)
    except (ValueError, OSError) as error:
        return [str(error)]
    return []


def modelWarnings(card: Dict[str, Any], pixelSize: float, diameter: float) -> Any:
    """Sentences about micrographs (Å/px) and particles (Å) unlike those that a picker learned from. diameter: None
    where it is not known yet. A general model learned from all kinds."""
    if card.get("general") or diameter is None:
        return []
    known = card["pixel_sizes"] or [pixelSize]
    # Micrographs are rescaled by the particle's diameter; only far coarser ones lack detail that the network knows.
    return sayIf(
        pixelSize > 2 * max(known) or pixelSize < min(known) / 4,
        f"The micrographs have {pixelSize:g} Å/px; the model learned from {', '.join(f'{p:g}' for p in known)} Å/px. "
        "Micrographs are rescaled, but check the picks.",
    ) + sayIf(
        not 0.5 <= diameter / card["particle_diameter"] <= 2,
        f"The particle diameter of {diameter:g} Å is far from the model's {card['particle_diameter']:g} Å. Particles "
        "are rescaled to the same size for the network, but check the picks.",
    )
