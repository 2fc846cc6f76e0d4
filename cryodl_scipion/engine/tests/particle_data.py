# SPDX-License-Identifier: GPL-3.0-or-later
"""Small sets of simulated particles of which the ground truth is known."""

import dataclasses

from synthetic import lopsided_density, write_mrc

from cryodl.contract import Failure, Result
from cryodl.running.cli import main

BOX, PIXEL = 32, 4.0


def write_multiplied(name, particles):
    """NAME.star and NAME.mrcs of particles whose images are multiplied by their CTF, as the file states."""
    import torch

    from cryodl.io.particle_sets import write_particles_star
    from cryodl.io.particles import write_stack

    values = torch.fft.rfft2(particles.images(slice(None))) * particles.ctf(slice(None))
    write_stack(f"{name}.mrcs", torch.fft.irfft2(values, s=(particles.box,) * 2), particles.pixel_size)
    optics = dict(particles.optics_columns, rlnCtfDataAreCtfPremultiplied=["1"])
    stated = dataclasses.replace(particles, optics_columns=optics)
    write_particles_star(f"{name}.star", stated, stack=f"{name}.mrcs")


def simulate_particles(output="p.star", code=0, **options):
    """`cryodl simulate-particles` of map.mrc (made here if there is none) in the current folder.

    Returns the Result, or the failure's message if `code` is not 0.
    """
    from pathlib import Path

    options = dict(
        dict(
            structure="map.mrc",
            pixel_size=PIXEL,
            box=BOX,
            count=20,
            snr=0.5,
            snr_area="particle",
            per_micrograph=5,
            device="cpu",
            threads=1,
            output=output,
            result="result.json",
        ),
        **options,
    )
    if not Path(options["structure"]).exists() and options["structure"] == "map.mrc":
        write_mrc("map.mrc", lopsided_density(BOX), PIXEL)
    words = ["simulate-particles"]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message
