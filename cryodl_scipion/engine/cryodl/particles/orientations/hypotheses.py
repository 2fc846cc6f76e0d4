# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypotheses about the particle images: contrast, treatment of their CTF, and whether a denoiser comes first."""

import itertools
import os
import typing

import numpy as np

from ...io.particle_sets import ParticleSet
from ...likelihood.observed import WIDEST, Source, sample_groups
from ...likelihood.reference import DIRTY
from . import amplitude, assign

IN_GROUPS = 96  # particles that tell whether optics groups are treated alike


def hypotheses(particles: ParticleSet, diameter: float, contrast: str) -> list[Source]:
    """Sources of all possible readings, the default one first. diameter: Å. contrast: 'auto', 'bright' or 'dark'."""
    diameter_px = min(diameter / particles.pixel_size, WIDEST * particles.box)
    if particles.denoiser:
        return [Source(particles, diameter_px, "bright", "denoised")]
    contrasts = ("bright", "dark") if contrast == "auto" else (contrast,)
    said = particles.ctf_state
    # phases are often flipped without the file saying so; what it does say is believed
    states = (said, "flipped") if said == "none" and particles.optics is not None else (said,)
    return [Source(particles, diameter_px, c, s) for c, s in itertools.product(contrasts, states)]


def choose_hypothesis(
    search: assign.Search, sources: typing.Sequence[Source], path: str | os.PathLike[str]
) -> tuple[str, list[str]]:
    """Give a Search the most probable of `sources`, with its noise measured. Returns sentences: what was found, and
    warnings. path: of the particles, for the sentences."""
    sources = [source.measured() for source in sources]
    found = search.compare(sources)
    contrasts = {r.contrast: max(f for f, s in zip(found, sources) if s.contrast == r.contrast) for r in sources}
    (contrast, said), warnings = _decided(contrasts, sources[0].contrast), []
    if len(contrasts) > 1 and not said:
        warnings.append(
            f"{path}: the contrast could not be determined by comparing the images with the structure; protein is "
            f"assumed to be {contrast}. Set --contrast if that is wrong."
        )
    states = {s.ctf_state: f for f, s in zip(found, sources) if s.contrast == contrast}
    state = _decided(states, sources[0].ctf_state)[0]
    search.source = next(s for s in sources if (s.contrast, s.ctf_state) == (contrast, state))
    return f"Protein is {contrast} in the particle images" + (
        ", as they fit the structure best." if said else "."
    ), warnings + flipped_notes(search, sources, path)


def flipped_notes(search: assign.Search, sources: typing.Sequence[Source], path: str | os.PathLike[str]) -> list[str]:
    """A sentence, in a list, if the structure shows that images, all or those of some optics groups, are phase-flipped
    and the file does not say so. search: with the source that was chosen of `sources`; the first is what it says."""
    source, particles = search.source, search.source.particles
    readings = {s.ctf_state: s for s in sources if s.contrast == source.contrast}
    rows = sample_groups(particles, IN_GROUPS)
    groups = np.array(particles.columns["rlnOpticsGroup"])[rows]
    large = [name for name, count in zip(*np.unique(groups, return_counts=True)) if count > DIRTY]
    if len(readings) > 1 and len(large) > 1:
        shifts = search.shifts(search.fit.sigma if search.fit else search.spread)
        both = [readings[state].measured() for state in readings]
        raw, flipped = amplitude.evidences(both, rows, search.bank, shifts, search.width)
        better = (flipped - raw).clip(*(sign * 3 * (flipped - raw).std() for sign in (-1, 1))).cpu().numpy()  # of dirt
        kinds = [
            ", ".join(name for name in large if sign * better[groups == name].sum() > amplitude.SURE)
            for sign in (1, -1)
        ]
        if all(kinds):
            return [
                f"{path}: the structure fits best if the images of optics group {kinds[0]} are phase-flipped and those "
                f"of {kinds[1]} are not. All are compared as {'not ' * (source.ctf_state != 'flipped')}flipped. Give "
                "both kinds in STAR files of their own, and set rlnCtfDataArePhaseFlipped of the flipped ones to 1."
            ]
    return [
        f"{path}: the structure fits best if the images are phase-flipped, although the file does not state it "
        "(rlnCtfDataArePhaseFlipped). They are compared as phase-flipped; correct the column before you use RELION."
    ] * (source.ctf_state == "flipped" != sources[0].ctf_state)


def _decided(evidences: typing.Mapping[typing.Any, float], default: typing.Any) -> tuple[typing.Any, bool]:
    """The most probable of {reading: logarithmic evidence}, whether that is sure (else the default is given)."""
    best = max(evidences, key=lambda reading: evidences[reading])
    sure = evidences[best] - max((e for key, e in evidences.items() if key != best), default=np.inf) > amplitude.SURE
    return best if sure else default, sure
