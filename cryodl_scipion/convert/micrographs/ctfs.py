# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl estimate-ctf` found, as Scipion's CTF models."""

from typing import Any, Dict, List, Tuple

from pwem.objects import CTFModel, Micrograph, SetOfCTF
from pyworkflow.object import Float

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
    """The CTF of a micrograph.

    Parameters
    ----------
    micrograph : Micrograph
    metrics : dict
        The engine's, of one micrograph: lengths in Å, angles in degrees.
    picture : str
        File of its power spectrum beside the fit.
    phaseShift : bool
        Whether a phase shift was looked for.

    Returns
    -------
    CTFModel
    """
    ctf = CTFModel()
    ctf.setStandardDefocus(metrics["defocus_u"], metrics["defocus_v"], metrics["defocus_angle"])
    if phaseShift:
        ctf.setPhaseShift(metrics["phase_shift"])
    ctf.setResolution(metrics["resolution"])
    ctf.setFitQuality(metrics["correlation"])
    ctf.setPsdFile(picture)
    setattr(ctf, STRENGTH, Float(metrics["strength"]))
    ctf.setMicrograph(micrograph)
    return ctf


def ctfRows(ctfs: SetOfCTF) -> List[Tuple]:
    """Metrics of each CTF, in the order of TITLES.

    Parameters
    ----------
    ctfs : SetOfCTF
        It may still be growing.

    Returns
    -------
    list of tuples
        The name of the micrograph, and floats.
    """
    rows = []
    for ctf in ctfs.iterItems():
        u, v, angle = ctf.getDefocus()
        rows.append(
            (
                ctf.getMicrograph().getMicName(),
                u,
                v,
                angle,
                u - v,
                ctf.getResolution(),
                ctf.getFitQuality(),
                getattr(ctf, STRENGTH).get(),
            )
        )
    return rows


def ctfLines(ctfs: SetOfCTF) -> List[str]:
    """Sentences for a summary.

    Parameters
    ----------
    ctfs : SetOfCTF or None

    Returns
    -------
    list of str
    """
    rows = [] if ctfs is None else ctfRows(ctfs)
    if not rows:
        return ["No CTF yet."]
    means = sorted((row[1] + row[2]) / 2 for row in rows)
    middle = lambda values: sorted(values)[len(values) // 2]
    return [
        f"*{len(rows)}* CTFs: mean defocus {means[0]:.0f} to {means[-1]:.0f} Å, median astigmatism "
        f"{middle([row[4] for row in rows]):.0f} Å",
        f"Rings agree with the fit to {middle([row[5] for row in rows]):.1f} Å (median)",
    ]
