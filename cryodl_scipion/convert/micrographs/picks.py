# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of our picks tells about itself."""

import os

from pyworkflow.object import Float, String

from ...engine.cryodl.contract import counted
from ..micrograph_names import micrographNames
from .coordinates import picksByMicrograph, readPicks

# Attribute of a set that we made: the folder with all candidates down to a low score, one STAR file per micrograph.
CANDIDATES = "_cryodlCandidates"
# Attribute of a set that we made: the particle diameter in Å; the box may be any.
DIAMETER = "_cryodlDiameter"
# A box half as wide again as the particle leaves room for the spread of the signal by the CTF.
_BOX_PER_DIAMETER = 1.5


def boxSizeFor(diameter, pixelSize):
    """Even box size in px. diameter: Å; pixelSize: Å/px."""
    return max(2, 2 * int(round(_BOX_PER_DIAMETER * diameter / pixelSize / 2)))


def diameterInPixels(coordinates):
    """Particle diameter in px; of sets that are not ours what their box suggests, None without a box."""
    diameter = getattr(coordinates, DIAMETER, None)
    if diameter is not None and diameter.hasValue():
        return diameter.get() / coordinates.getMicrographs().getSamplingRate()
    return coordinates.getBoxSize() / _BOX_PER_DIAMETER if coordinates.getBoxSize() else None


def describeOutput(coordinates, folder, diameter):
    """Write on a set where its candidates are and how large (Å) its particles."""
    setattr(coordinates, CANDIDATES, String(folder))
    setDiameter(coordinates, diameter)


def foundDiameter(results):
    """Å: the particles' diameter as the runs of `pick` state it, given or found; None as long as none did."""
    return next((r.outputs["particle_diameter"] for r in results if r.outputs.get("particle_diameter")), None)


def setDiameter(coordinates, diameter):
    """Write on a set how large (Å) its particles are."""
    setattr(coordinates, DIAMETER, Float(diameter))


def candidatesFolder(coordinates):
    """The folder of a set's candidates, None for sets that are not ours."""
    folder = getattr(coordinates, CANDIDATES, None)
    return None if folder is None else folder.get()


def hasCandidates(coordinates):
    """True if the weaker candidates of a set of ours are still on disk."""
    folder = candidatesFolder(coordinates)
    return bool(folder) and os.path.isdir(folder)


def scoredPicks(coordinates):
    """[(Micrograph, [(x, y, score), ...])] of all candidates, or of the set itself where there are none.

    A micrograph that was skipped has no candidates and no picks.
    """
    micrographs = [m.clone() for m in coordinates.getMicrographs()]
    names, folder = micrographNames(micrographs), candidatesFolder(coordinates)
    if hasCandidates(coordinates):
        files = [(m, os.path.join(folder, names[m.getObjId()] + ".star")) for m in micrographs]
        return [(m, readPicks(path) if os.path.exists(path) else []) for m, path in files]
    picks = picksByMicrograph(coordinates)
    return [(m, picks.get(m.getObjId(), [])) for m in micrographs]


def modelLine(card):
    """The summary's line about the model of a run, in a list; empty without a card."""
    if not card:
        return []
    f1 = (card.get("validation") or {}).get("f1")
    return [
        "Model: %s (network %s%s)" % (card["name"], card["network"], "" if f1 is None else ", validation F1 %.3f" % f1)
    ]


def thresholdsInWords(results):
    """'0.400', or '0.350 to 0.450, for each micrograph its own'. results: the contract's Results of `pick`."""
    ofEach = [t for r in results for t in (r.outputs.get("thresholds") or {}).values()]
    thresholds = sorted(
        set(
            "%.3f" % t
            for t in ofEach or [r.outputs["threshold"] for r in results if r.outputs.get("threshold") is not None]
        )
    )
    if ofEach and len(thresholds) > 1:
        return "%s to %s, for each micrograph its own" % (thresholds[0], thresholds[-1])
    return " and ".join(thresholds)


def _expectedLines(results):
    """How many particles the scores tell of, and how certain that is; nothing where the engine says nothing."""
    expected = [r.outputs["expected_particles"] for r in results if r.outputs.get("expected_particles")]
    if not expected:
        return []
    deviation = sum(e["deviation"] ** 2 for e in expected) ** 0.5
    return [
        "By their scores these micrographs hold about %.0f particles (standard deviation %.0f)."
        % (sum(e["number"] for e in expected), deviation)
    ]


def pickLines(coordinates, results):
    """Sentences for a summary: picks, per micrograph, threshold, box. results: the contract's Results of `pick`."""
    count = sum(len(r.outputs.get("counts", {})) for r in results)
    lines = ["*%s* on %s" % (counted(coordinates.getSize(), "particle"), counted(count, "micrograph"))]
    if count:
        lines[0] += ", %.1f per micrograph" % (coordinates.getSize() / count)
    if any(r.outputs.get("threshold") is not None for r in results):
        lines.append("Score threshold: %s" % thresholdsInWords(results))
    lines += _expectedLines(results)
    contrasts = sorted({r.outputs["contrast"] for r in results if r.outputs.get("contrast")})
    if contrasts:
        lines.append("Protein is %s in these micrographs." % " and ".join(contrasts))
    diameters = sorted({r.outputs["particle_diameter"] for r in results if r.outputs.get("particle_diameter")})
    if diameters:
        lines.append(
            "Particle diameter: %s Å, box %d px"
            % (", ".join("%g" % d for d in diameters), coordinates.getBoxSize() or 0)
        )
    if count and coordinates.getSize() == 0:
        lines.append("Nothing scored above the threshold. Lower it with *cryodl - filter picks by score*.")
    return lines
