# SPDX-License-Identifier: GPL-3.0-or-later
"""CTFs of simulated particles: from ranges, or drawn from those of a STAR file."""

import functools
import os
import typing

import numpy as np

from ..contract import SimulateParticlesConfig
from ..io.relion_tables import groups_of_particles, modern_tables
from ..io.star import read_tables
from . import micrographs


def draw_optics(config: SimulateParticlesConfig, rng: np.random.Generator) -> micrographs.Optics:
    """Optics of one micrograph."""
    if not config.ctf_from:
        return micrographs.random_optics(config, rng)
    found = _optics_of(config.ctf_from, os.stat(config.ctf_from).st_mtime_ns)
    return found[int(rng.integers(len(found)))]


@functools.lru_cache(maxsize=4)
def _optics_of(path: str, changed: int) -> typing.Sequence[micrographs.Optics]:
    """(n,) Optics of the particles of a STAR file. Raises ValueError without a CTF or with several microscopes."""
    optics, columns = modern_tables(read_tables(path), path)
    found = groups_of_particles(optics, columns, path).optics
    if found is None:
        raise ValueError(
            f"{path} (--ctf-from) has particles without a CTF (rlnDefocusU ...). Give a STAR file with CTFs."
        )
    if len({(o.voltage_kv, o.cs_mm, o.amplitude_contrast) for o in found}) > 1:
        raise ValueError(
            f"{path} (--ctf-from) has particles of several microscopes (voltage, Cs or amplitude "
            "contrast); one is expected. Give the particles of one optics group."
        )
    return found
