# SPDX-License-Identifier: GPL-3.0-or-later
"""Check of the pixel size: whether the structure fits the images better at another size."""

import dataclasses

import numpy as np

from ...likelihood.observed import sample_rows
from .amplitude import evidences
from .assign import Search
from .settings import SearchSettings

SIZES = (0.67, 0.75, 0.83, 0.9, 1.0, 1.11, 1.2, 1.33, 1.5)  # of the structure
SAMPLE = 96  # particles
STEP, FINEST = 15.0, 20.0  # degrees, Å: the size is seen in coarse detail
# logarithmic evidence of the sample by which another size must be better; see pixel_sizes in benchmarks/NOTES.md
SURE = 15.0


def best_size(search: Search) -> tuple[float, float]:
    """The size, of SIZES, at which a Search's structure fits the images best, and by how much logarithmic evidence it
    is better than 1.

    Parameters
    ----------
    search : Search
        With the reading of its source chosen; raw images.
    """
    source, settings = search.source, search.settings
    particles = source.particles.subset(sample_rows(len(source.particles), SAMPLE))
    source = dataclasses.replace(source, particles=particles)
    width, rows = particles.box * particles.pixel_size, np.arange(len(particles))
    coarse = SearchSettings(
        STEP, settings.max_shift, max(settings.resolution, FINEST), settings.diameter, settings.symmetry
    )
    found = {}
    for size in SIZES:
        if size * settings.diameter > width:
            continue
        other = Search(source, search.projector, size * search.zoom * search.pixel_size, coarse, search.disc.device)
        found[size] = evidences([source], rows, other.bank, other.shifts(), width)[0]
    best = max(found, key=found.__getitem__)
    return best, found[best] - found.get(1.0, found[best])


def size_notes(search: Search, particles: str, structure: str) -> list[str]:
    """A sentence, in a list, if the structure fits better at another size. particles, structure: their files."""
    size, gain = best_size(search)
    if gain < SURE:
        return []
    return [
        f"{particles} fits {structure} better if the structure is scaled by {size:.2f}: one of their pixel sizes "
        f"seems to be wrong by this factor (that of the particles is {search.pixel_size:.4g} Å). Check both pixel "
        "sizes; the particles may also show something else."
    ]
