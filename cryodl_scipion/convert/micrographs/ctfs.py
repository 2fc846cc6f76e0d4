# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl estimate-ctf` found, as Scipion's CTF models; metrics of assessed micrographs as attributes of them."""

import collections
from statistics import median_high
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from pwem.objects import CTFModel, Micrograph, SetOfCTF
from pyworkflow.object import Float, Integer

from ...engine.cryodl import contract
from ..particles.particles import ctfOf
from ..reading import readJson

# name: the engine's name of the metric. label: with unit. limit: field of the contract that bounds it, or None.
Metric = collections.namedtuple("Metric", "name kind label limit")

METRICS = {
    "_cryodlParticles": Metric("particles", Integer, "Particles", "minimum_particles"),
    "_cryodlMeanScore": Metric("mean_score", Float, "Mean score", "minimum_score"),
    "_cryodlContaminated": Metric("contaminated_percent", Float, "Contaminated area (%)", "maximum_contaminated"),
    "_cryodlCarbon": Metric("carbon_percent", Float, "Carbon area (%)", "maximum_carbon"),
    "_cryodlIceGradient": Metric("ice_gradient", Float, "Ice gradient (noise sigma)", "maximum_gradient"),
    "_cryodlBackground": Metric("background", Float, "Background (grey value)", None),
}
# Attribute of a micrograph: why it is bad, in words; empty for a good one.
REASON = "_cryodlReason"


def metricsOf(micrograph: Micrograph) -> Dict[str, Any]:
    return {attribute: getattr(micrograph, attribute).get() for attribute in METRICS}


def readAreas(path: str) -> Any:
    """(rows, columns) array of a file of the engine: 1 contaminated, 2 carbon, 0 neither; None if it has none."""
    rows = readJson(path, {}).get("areas")
    return np.array([[int(letter) for letter in row] for row in rows]) if rows else None


# Attribute of a CTF model: how far its rings stand out, in standard deviations of the noise.
STRENGTH = "_cryodlStrength"
TITLES = (
    "Micrograph",
    "DefocusU (Å)",
    "DefocusV (Å)",
    "Angle (°)",
    "Astigmatism (Å)",
    "Resolution (Å)",
    "Correlation",
    "Strength",
)


def ctfModel(micrograph: Micrograph, metrics: Dict[str, Any], picture: str, phaseShift: bool) -> CTFModel:
    """The CTF of a micrograph. metrics: the engine's, lengths in Å, angles in degrees. picture: file of its power
    spectrum beside the fit. phaseShift: whether one was looked for."""
    ctf = ctfOf(metrics["defocus_u"], metrics["defocus_v"], metrics["defocus_angle"])
    if phaseShift:
        ctf.setPhaseShift(metrics["phase_shift"])
    ctf.setResolution(metrics["resolution"])
    ctf.setFitQuality(metrics["correlation"])
    ctf.setPsdFile(picture)
    setattr(ctf, STRENGTH, Float(metrics["strength"]))
    ctf.setMicrograph(micrograph)
    return ctf


def ctfRows(ctfs: SetOfCTF) -> List[Tuple]:
    """The micrograph's name and the metrics of each CTF, in the order of TITLES. ctfs: they may still be growing."""
    return [
        (c.getMicrograph().getMicName(), *c.getDefocus(), c.getDefocusU() - c.getDefocusV())
        + (c.getResolution(), c.getFitQuality(), getattr(c, STRENGTH).get())
        for c in ctfs.iterItems()
    ]


def ctfLines(ctfs: Optional[SetOfCTF]) -> List[str]:
    rows = [] if ctfs is None else ctfRows(ctfs)
    if not rows:
        return ["No CTF yet."]
    return [
        f"*{len(rows)}* CTFs: mean defocus {contract.span([(row[1] + row[2]) / 2 for row in rows], '.0f')} Å, "
        f"median astigmatism {median_high(row[4] for row in rows):.0f} Å",
        f"Rings agree with the fit to {median_high(row[5] for row in rows):.1f} Å (median)",
    ]
