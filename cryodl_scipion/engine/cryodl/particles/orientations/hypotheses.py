# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypotheses about the particle images: contrast, treatment of their CTF, and whether a denoiser comes first."""

import itertools
import os
import typing

import numpy as np

from ...contract import say_if
from ...io.particle_sets import ParticleSet
from ...likelihood.observed import WIDEST, Source
from . import amplitude, assign


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
    ), warnings + flipped_notes(search.source, sources[0], path)


def flipped_notes(source: Source, stated: Source, path: str | os.PathLike[str]) -> list[str]:
    """A sentence, in a list, if images are read as phase-flipped and the file does not say so. stated: what it says."""
    return say_if(
        source.ctf_state == "flipped" != stated.ctf_state,
        f"{path}: the structure fits best if the images are phase-flipped, although the file does not state it "
        "(rlnCtfDataArePhaseFlipped). They are compared as phase-flipped; correct the column before you use RELION, "
        "but if there are several optics groups, ask `cryodl reconstruct` which of them.",
    )


def _decided(evidences: typing.Mapping[typing.Any, float], default: typing.Any) -> tuple[typing.Any, bool]:
    """The most probable of {reading: logarithmic evidence}, whether that is sure (else the default is given)."""
    best = max(evidences, key=lambda reading: evidences[reading])
    sure = evidences[best] - max((e for key, e in evidences.items() if key != best), default=np.inf) > amplitude.SURE
    return best if sure else default, sure
