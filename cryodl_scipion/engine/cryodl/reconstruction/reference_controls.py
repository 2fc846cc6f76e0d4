# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls of particles whose angles come from a reference: which files are theirs."""

from __future__ import annotations

import typing
from pathlib import Path

from ..io.reference_columns import BEYOND, COMPARED, DIGEST, NOISE, REFERENCE, SUBSTITUTED, control_name

if typing.TYPE_CHECKING:
    from ..io.particle_sets import ParticleSet

SAME_PIXEL = 1e-3  # relative difference of pixel sizes that are the same


def control_of(particles: ParticleSet, wanted: str | None, kind: str = NOISE) -> tuple[ParticleSet | None, list[str]]:
    """The control that belongs to particles: oriented noise, or themselves with noise in place of fine detail.

    Parameters
    ----------
    wanted : str, optional
        A STAR file; the one beside the particles if None.
    kind : str
        NOISE or SUBSTITUTED, of io.reference_columns.

    Returns
    -------
    control : ParticleSet or None
        None if there is none, if it was oriented by another reference or with other detail, or if the particles' angles
        come from no reference.
    sentences : list of str
        For the user.
    """
    from ..io.particle_sets import read_particles

    if not shared_value(particles, REFERENCE):
        return None, [
            f"The control {wanted} was not used: {particles.path} does not state the reference of its angles "
            f"({REFERENCE})."
        ] * bool(wanted)
    path = Path(wanted or control_name(str(particles.path), kind))
    if wanted is None and not path.exists():
        return None, []
    control = read_particles(path, need=("angles",))
    wrong = _difference(particles, control)
    if not wrong and kind == SUBSTITUTED:
        wrong = _unlike(particles, control)
    if not wrong:
        return control, []
    what, option = {NOISE: ("noise control", "noise-control"), SUBSTITUTED: ("substituted control", "substituted")}[
        kind
    ]
    return None, [
        f"{path} is not the {what} of {particles.path}, and was not used: {wrong}. Give the NAME{kind}.star that "
        f"assign-orientations wrote with these particles (--{option})."
    ]


def _difference(particles: ParticleSet, noise: ParticleSet) -> str:
    """How oriented noise differs from the particles whose control it should be; '' if it does not."""
    for name, what in ((REFERENCE, "reference"), (DIGEST, "reference's content (SHA-256)"), (COMPARED, "detail in Å")):
        theirs, its = (shared_value(one, name) for one in (particles, noise))
        if name == REFERENCE and not its:
            return "it does not state the reference of its angles"
        if theirs and its and theirs != its and not _same_number(theirs, its):
            return f"the {what} of its angles is {its}, that of the particles' is {theirs}"
    if noise.box != particles.box or abs(noise.pixel_size / particles.pixel_size - 1) > SAME_PIXEL:
        return (
            f"its images are {noise.box} px x {noise.pixel_size:g} Å, the particles' {particles.box} px x "
            f"{particles.pixel_size:g} Å"
        )
    return ""


def _unlike(particles: ParticleSet, control: ParticleSet) -> str:
    """How particles with noise in place of fine detail differ from those that they should be made of, or ''."""
    if not shared_value(control, BEYOND):
        return f"it does not state beyond which resolution it has noise ({BEYOND})"
    if len(control) != len(particles):
        return f"it has {len(control)} particles, not {len(particles)}"
    return ""


def shared_value(particles: ParticleSet, name: str) -> str:
    """The value of a column that all particles share.

    Returns
    -------
    str
        '' if there is none.
    """
    return next((v for v in particles.columns.get(name, []) if v not in ("", "None")), "")


def _same_number(one: str, two: str) -> bool:
    try:
        return abs(float(one) - float(two)) < 1e-3
    except ValueError:
        return False
