# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl extract-particles`: picks and micrographs in, RELION's STAR of particles with a stack per micrograph out.

Beside <output>.star lies the folder <output> with <micrograph>.mrcs and <micrograph>.json of each, written when it is
done; what is there is not cut again, unless its micrograph, its picks or its CTF have changed.
Result.outputs are the contract's ExtractParticlesOutputs. Micrographs that cannot be read, have no list of picks, or no
CTF where a CTF file is given, are in Result.skipped.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import AllSkipped, ExtractParticlesConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.micrographs.extracting import ExtractParticlesOutputs
from ...io.coordinates import align_keys, read_coordinates
from ...io.files import expand_paths, name_micrographs
from ...io.memory import TooLittleMemory, one_item
from ...io.micrographs import pixel_size_warnings
from ...io.particles import MICROSCOPE
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import numpy as np

    from ...core.optics import Optics


def run(config: ExtractParticlesConfig) -> Result:
    """Cut what is not cut yet, then write the table of all.

    Raises
    ------
    AllSkipped
        If no micrograph could be used.
    ValueError
        If the output holds particles that were cut with other parameters, or there is no particle at all.
    """
    from ..extract.records import write_star

    named = name_micrographs(expand_paths(config.micrographs), config.names)
    picks = align_keys(read_coordinates(config.coordinates), [name for name, _ in named])
    star = Path(config.output)
    folder = star.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    notes = list(pixel_size_warnings([path for _, path in named], config.pixel_size))
    for note in notes:
        warn(note)
    records, skipped, fresh = _cut_all(named, picks, config, folder)
    if len(skipped) == len(named):
        raise AllSkipped(
            f"No particle could be extracted from the {len(named)} micrographs. The first: {in_words(skipped[0])}"
        )
    counts = {name: len(record["rows"]) for name, record in records.items()}
    write_star(star, folder, list(records.values()), config)
    outputs = _outputs(config, star, folder, records, counts)
    print(_in_words(outputs))
    if not outputs["count"]:
        notes.append("No particle was extracted: the micrographs that could be used have no pick with a valid box.")
        warn(notes[-1])
    notes += said_skipped(skipped, "micrograph")
    device = "CPU" if fresh else "none: nothing was extracted"
    return Result("extract-particles", outputs, device=device, skipped=tuple(skipped), warnings=tuple(notes))


def _cut_all(
    named: list[tuple[str, str]], picks: dict[str, typing.Any], config: ExtractParticlesConfig, folder: Path
) -> tuple[dict[str, dict], list[Skipped], int]:
    """Records by name, what was skipped, and how many were cut now."""
    from tqdm import tqdm

    from ...core.devices import set_threads
    from ...io.micrograph_ctfs import read_micrograph_ctfs

    set_threads()
    constants = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    ctfs = None if config.ctf is None else read_micrograph_ctfs(config.ctf, dict(zip(MICROSCOPE, constants)))
    records, skipped, fresh = {}, [], 0
    for name, path in tqdm(named, unit="micrograph", mininterval=1.0):
        try:
            with one_item(path):
                records[name], new = _cut_one(name, path, picks.get(name), _ctf_of(name, path, ctfs), config, folder)
            fresh += new
        except (_Missing, FileNotFoundError, TooLittleMemory) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
    return records, skipped, fresh


class _Missing(ValueError):
    """A micrograph that is left out."""


def _ctf_of(name: str, path: str, ctfs: dict[str, Optics] | None) -> Optics | None:
    if ctfs is None:
        return None
    from ...io.micrograph_ctfs import ctf_of

    found = ctf_of(ctfs, name, path)
    if found is None:
        raise _Missing("it has no CTF in the CTF file (--ctf)")
    return found


def _cut_one(
    name: str,
    path: str,
    picks: tuple[np.ndarray, np.ndarray] | None,
    optics: Optics | None,
    config: ExtractParticlesConfig,
    folder: Path,
) -> tuple[dict, bool]:
    """The record of one micrograph, and whether it was cut now."""
    from ...io.micrographs import read_micrograph
    from ...io.particles import write_stack
    from ..extract.cut import cut_micrograph
    from ..extract.records import earlier, source_of, write_record

    if picks is None:
        raise _Missing("there is no list of picks of it")
    source = source_of(path, picks, optics)
    record = earlier(folder, name, source, config)
    if record is not None:
        return record, False
    try:
        image = read_micrograph(path)
    except ValueError as error:
        raise _Missing(str(error)) from None
    cut = cut_micrograph(image, picks[0], config, optics)
    stack = folder / f"{name}.mrcs"
    (folder / f"{name}.json").unlink(missing_ok=True)  # first: a record never stands beside another stack
    stack.unlink(missing_ok=True)
    if len(cut.images):
        side = config.box_in_pixels() / (config.scaled_box or config.box_in_pixels())
        write_stack(stack, cut.images, config.pixel_size * side)
    return write_record(folder, name, path, source, config, cut, picks[1]), True


def _outputs(
    config: ExtractParticlesConfig, star: Path, folder: Path, records: dict[str, dict], counts: dict[str, int]
) -> ExtractParticlesOutputs:
    box = config.box_in_pixels()
    side = config.scaled_box or box
    return ExtractParticlesOutputs(
        particles=str(star),
        folder=str(folder),
        stacks={name: str(folder / f"{name}.mrcs") for name, count in counts.items() if count},
        counts=counts,
        at_edge={name: record["at_edge"] for name, record in records.items() if record["at_edge"]},
        unusable={name: record["unusable"] for name, record in records.items() if record["unusable"]},
        count=sum(counts.values()),
        box=side,
        pixel_size=config.pixel_size * box / side,
    )


def _in_words(outputs: ExtractParticlesOutputs) -> str:
    """'812 particles of 128 px from 12 micrographs: particles.star. ...'."""
    left = [
        f"{sum(outputs[key].values())} {words}"
        for key, words in (("at_edge", "at the edge"), ("unusable", "with constant or non-finite values"))
        if outputs[key]
    ]
    return (
        f"{counted(outputs['count'], 'particle')} of {outputs['box']} px, {outputs['pixel_size']:.4g} Å/px, from "
        f"{counted(len(outputs['counts']), 'micrograph')}: {outputs['particles']}."
        + (f" Left out: {', '.join(left)}." if left else "")
    )
