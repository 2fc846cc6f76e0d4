# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of our picks tells about itself."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import Micrograph, SetOfCoordinates
from pyworkflow.object import Float, String

from ...engine.cryodl.contract import Result, counted, score_text
from ..micrograph_names import micrographNames
from .coordinates import picksByMicrograph, readPicks

# Attribute of a set that we made: the folder with all candidates down to a low score, one STAR file per micrograph.
CANDIDATES = "_cryodlCandidates"
# The engine's folder of the areas that were avoided, beside that of the candidates.
AVOIDED = "avoided"
# Attribute of a set that we made: the particle diameter in Å; the box may be any.
DIAMETER = "_cryodlDiameter"
# Attribute of a set that was corrected by hand: the folder of the corrections, as the engine keeps it.
CORRECTIONS = "_cryodlCorrections"
# A box half as wide again as the particle leaves room for the spread of the signal by the CTF.
_BOX_PER_DIAMETER = 1.5


def boxSizeFor(diameter: float, pixelSize: float) -> int:
    """Even box size in px. diameter: Å; pixelSize: Å/px."""
    return max(2, 2 * int(round(_BOX_PER_DIAMETER * diameter / pixelSize / 2)))


def diameterInPixels(coordinates: SetOfCoordinates) -> Any:
    """Particle diameter in px; of sets that are not ours what their box suggests, None without a box."""
    diameter = getattr(coordinates, DIAMETER, None)
    if diameter is not None and diameter.hasValue():
        return diameter.get() / coordinates.getMicrographs().getSamplingRate()
    return coordinates.getBoxSize() / _BOX_PER_DIAMETER if coordinates.getBoxSize() else None


def describeOutput(coordinates: SetOfCoordinates, folder: Optional[str], diameter: float) -> None:
    """Write on a set where its candidates are and how large (Å) its particles."""
    setattr(coordinates, CANDIDATES, String(folder))
    setDiameter(coordinates, diameter)


def foundDiameter(results: Sequence[Result]) -> Any:
    """Å: the larger of the diameter that the runs of `pick` were given and of the one that they picked at.

    A box of a given diameter that is too small would cut every particle. None as long as neither is known.
    """
    sizes = [size for r in results for size in (r.outputs.particle_diameter, r.outputs.picked_diameter) if size]
    return max(sizes, default=None)


def setDiameter(coordinates: SetOfCoordinates, diameter: float) -> None:
    """Write on a set how large (Å) its particles are."""
    setattr(coordinates, DIAMETER, Float(diameter))


def describeCorrections(coordinates: SetOfCoordinates, folder: str) -> None:
    """Write on a set where its corrections are."""
    setattr(coordinates, CORRECTIONS, String(folder))


def correctionsFolder(coordinates: SetOfCoordinates) -> Optional[str]:
    """The folder of a set's corrections; None for sets that were not corrected, and when it is gone."""
    folder = getattr(coordinates, CORRECTIONS, None)
    return folder.get() if folder is not None and os.path.isdir(folder.get() or "") else None


def candidatesFolder(coordinates: SetOfCoordinates) -> Any:
    """The folder of a set's candidates, None for sets that are not ours."""
    folder = getattr(coordinates, CANDIDATES, None)
    return None if folder is None else folder.get()


def avoidedFolder(coordinates: SetOfCoordinates) -> Optional[str]:
    """The folder with the areas of the micrographs where nothing was picked; None if there is none."""
    candidates = candidatesFolder(coordinates)
    folder = os.path.join(os.path.dirname(candidates), AVOIDED) if candidates else ""
    return folder if os.path.isdir(folder) else None


def hasCandidates(coordinates: SetOfCoordinates) -> bool:
    """True if the weaker candidates of a set of ours are still on disk."""
    folder = candidatesFolder(coordinates)
    return bool(folder) and os.path.isdir(folder)


def scoredPicks(
    coordinates: SetOfCoordinates,
    micrographs: Optional[Sequence[Micrograph]] = None,
    names: Optional[Dict[int, str]] = None,
) -> List[Tuple[Any, Any]]:
    """[(Micrograph, [(x, y, score), ...])] of all candidates, or of the set itself where there are none.

    A micrograph that was skipped has no candidates and no picks. micrographs: some of the coordinates' micrographs; all
    if None. names: {id: name for the engine} of them at least.
    """
    if micrographs is None:
        micrographs = [m.clone() for m in coordinates.getMicrographs()]
    names, folder = micrographNames(micrographs) if names is None else names, candidatesFolder(coordinates)
    if hasCandidates(coordinates):
        files = [(m, os.path.join(folder, names[m.getObjId()] + ".star")) for m in micrographs]
        return [(m, readPicks(path) if os.path.exists(path) else []) for m, path in files]
    picks = picksByMicrograph(coordinates, [m.getObjId() for m in micrographs]) if micrographs else {}
    return [(m, picks.get(m.getObjId(), [])) for m in micrographs]


def modelLine(card: Optional[Dict[str, Any]]) -> List[str]:
    """The summary's line about the model of a run, in a list; empty without a card."""
    if not card:
        return []
    f1 = (card.get("validation") or {}).get("f1")
    return [f"Model: {card['name']} (network {card['network']}{'' if f1 is None else f', validation F1 {f1:.3f}'})"]


def thresholdsInWords(results: Sequence[Result]) -> str:
    """'0.4', or '0.35 to 0.45, for each micrograph its own'. results: the contract's Results of `pick`."""
    ofEach = [t for r in results for t in (r.outputs.thresholds or {}).values()]
    thresholds = sorted(
        set(score_text(t) for t in ofEach or [r.outputs.threshold for r in results if r.outputs.threshold is not None])
    )
    if ofEach and len(thresholds) > 1:
        return f"{thresholds[0]} to {thresholds[-1]}, chosen for each micrograph"
    return " and ".join(thresholds)


def _expectedLines(results: Sequence[Result]) -> List[str]:
    """How many particles the scores tell of, and how certain that is; nothing where the engine says nothing."""
    expected = [r.outputs.expected_particles for r in results if r.outputs.expected_particles]
    if not expected:
        return []
    deviation = sum(e["deviation"] ** 2 for e in expected) ** 0.5
    return [
        f"According to the scores, these micrographs contain about {sum(e['number'] for e in expected):.0f} "
        f"particles (standard deviation {deviation:.0f})."
    ]


def pickLines(coordinates: SetOfCoordinates, results: Sequence[Result]) -> Any:
    """Sentences for a summary: picks, per micrograph, threshold, box. results: the contract's Results of `pick`."""
    count = sum(len(r.outputs.counts or {}) for r in results)
    lines = [f"*{counted(coordinates.getSize(), 'particle')}* on {counted(count, 'micrograph')}"]
    if count:
        lines[0] += f", {coordinates.getSize() / count:.1f} per micrograph"
    if any(r.outputs.threshold is not None for r in results):
        lines.append(f"Score threshold: {thresholdsInWords(results)}")
    lines += _expectedLines(results)
    contrasts = sorted({r.outputs.contrast for r in results if r.outputs.contrast})
    if contrasts:
        lines.append(f"Protein is {' and '.join(contrasts)} in these micrographs.")
    diameters = sorted({r.outputs.particle_diameter for r in results if r.outputs.particle_diameter})
    if diameters:
        lines.append(
            f"Particle diameter: {', '.join(f'{d:g}' for d in diameters)} Å, box {coordinates.getBoxSize() or 0} px"
        )
    if count and coordinates.getSize() == 0:
        lines.append("No candidate scored above the threshold. Lower it with *cryodl - filter picks by score*.")
    return lines
