# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl extract-particles`: picks and micrographs in, RELION's STAR of particles with a stack per micrograph out.

Beside <output>.star lies the folder <output> with <micrograph>.mrcs and <micrograph>.json of each, written when it is
done; what is there is not cut again, unless its micrograph, its picks or its CTF have changed. Micrographs without a
list of picks, or without a CTF where a CTF file is given, are skipped."""

import dataclasses
from pathlib import Path

import numpy as np

from ...contract import ExtractParticlesConfig, ExtractParticlesOutputs, counted, refuse_if
from ...core.peaks import separate
from ...io import coordinates, micrograph_ctfs, micrographs, particle_positions, particles, pick_sets, stamps
from ...running.runner import PROGRAM, Run, command
from ..extract import cut_micrograph, earlier, records_of, source_of, write_record, write_star
from ..pickers.pick_record import OTHER_BINNING, diameter_of_picks, notes_of_picks


@command
def extract_particles(config: ExtractParticlesConfig, run: Run) -> ExtractParticlesOutputs:
    """Cut what is not cut yet, then write the table of all. Raises ValueError for an output that holds particles cut
    with other parameters, and for micrographs that lack what they need, which are skipped."""
    if config.particle_diameter is None:
        config = dataclasses.replace(config, particle_diameter=diameter_of_picks(config.coordinates))
        refuse_if(config.check_together())
    run.warn(*notes_of_picks(config.coordinates, config.contrast, config.pixel_size))
    named = micrographs.named_micrographs(config.micrographs, run.names, config.pixel_size)
    picks = coordinates.align_keys(
        particle_positions.read_centred(config.coordinates, config.pixel_size, config.particle_diameter or 0.0),
        [name for name, _ in named],
    )
    given = dict(zip(particles.MICROSCOPE, (config.voltage, config.spherical_aberration, config.amplitude_contrast)))
    ctfs = None if config.ctf is None else micrograph_ctfs.read_micrograph_ctfs(config.ctf, given)
    star = Path(config.output)
    folder = star.with_suffix("")
    files, box = records_of(folder, config, [name for name, _ in named]), config.box_in_pixels()
    files.prepare(named, particles.LABEL.encode(), star)
    side = config.scaled_box or box
    pixel_size = config.pixel_size * box / side
    # particles cut with other parameters are an error, not a micrograph to skip
    if any(record and record["source"]["ctf"] for record in [files.read(name) for name, _ in named]) and ctfs is None:
        raise ValueError(f"{star} was made with CTFs. Give the CTF file (--ctf) again, or another name (--output).")

    places = [np.zeros((0, 2))]  # of the picks that are cut now, in parts of height and width

    def cut_one(name: str, path: str) -> stamps.Record:
        """The record of one micrograph; it is cut unless an earlier run has done so."""
        optics = None if ctfs is None else micrograph_ctfs.ctf_of(ctfs, name, path)
        if ctfs is not None and optics is None:
            raise ValueError("it has no CTF (--ctf)")
        if name not in picks:
            raise ValueError("there is no list of picks of it")
        source = source_of(path, picks[name], optics)
        record = earlier(files, name, source)
        if record is not None:
            return record
        run.take_device()
        places.append(picks[name][0] / micrographs.micrograph_shape(path))
        cut = cut_micrograph(micrographs.read_micrograph(path), picks[name][0], config, optics)
        files.forget(name)  # a record never stands beside another stack
        if len(cut.images):
            particles.write_stack(folder / f"{name}.mrcs", cut.images, pixel_size)
        return write_record(files, name, path, source, cut, picks[name][1])

    records = run.each(named, "micrograph", "used", cut_one)
    write_star(star, folder, list(records.values()), config)
    counts = {name: len(record["rows"]) for name, record in records.items()}
    made = ExtractParticlesOutputs(
        particles=str(star),
        folder=str(folder),
        stacks={name: str(folder / f"{name}.mrcs") for name, count in counts.items() if count},
        counts=counts,
        at_edge={name: record["at_edge"] for name, record in records.items() if record["at_edge"]},
        unusable={name: record["unusable"] for name, record in records.items() if record["unusable"]},
        count=sum(counts.values()),
        box=side,
        pixel_size=pixel_size,
    )
    run.summary(_in_words(made))
    reach = particle_positions.SAME * (config.particle_diameter or 0.0)
    if pick_sets.helical_tables(config.coordinates):
        run.warn(
            f"{star} does not hold the tube numbers and angles of the filaments. For helical processing extract them "
            "with RELION; `cryodl export-relion` prints the command."
        )
    elif twice := sum(
        len(rows) - len(separate(np.array([pick[:2] for pick in rows]), reach / config.pixel_size))
        for rows in (record["rows"] for record in records.values())
    ):
        run.warn(
            f"{counted(twice, 'particle')} within {reach:.3g} Å of another: the same ones seem to be there twice, and "
            "random half sets may share them. Do not join sets of picks: `cryodl consensus-picks` combines them."
        )
    run.methods(f"Particles were extracted{' and normalised' if config.normalise else ''} with {PROGRAM}.")
    if sum(made.at_edge.values()) > made.count:
        run.warn(f"Most picks are at an edge or outside. {OTHER_BINNING}")
    if sum(map(len, places)) >= pick_sets.MIN_IN_CORNER and np.concatenate(places).max() < pick_sets.CORNER:
        run.warn(f"All picks lie in one corner of their micrographs. {OTHER_BINNING}")
    return made


def _in_words(made: ExtractParticlesOutputs) -> str:
    left = [
        f"{sum(counts.values())} {words}"
        for counts, words in ((made.at_edge, "at the edge"), (made.unusable, "with constant or non-finite values"))
        if counts
    ]
    return (
        f"{counted(made.count, 'particle')} of {made.box} px, {made.pixel_size:.4g} Å/px, from "
        f"{counted(len(made.counts), 'micrograph')}: {made.particles}."
        + (f" Left out: {', '.join(left)}." if left else "")
    )
