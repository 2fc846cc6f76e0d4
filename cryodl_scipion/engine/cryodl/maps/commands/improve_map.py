# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl improve-map`: a map, or two half-maps, in; the improved map on the same grid out. Improve and write. Raises
ValueError for inputs that are no maps, or do not belong together, and for an output that would take the place of an
input."""

import dataclasses
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import (
    BY_NETWORK,
    PIECE,
    ImproveMapConfig,
    ImproveMapOutputs,
    half_map_resolutions,
    half_map_verdict,
    network_words,
    resolution_in_words,
    split_verdict,
)
from ...io.files import file_key, whole_file
from ...io.unfinished import check_output, working_folder
from ...running.runner import PROGRAM, Run, command
from ..improvers.inputs import check_size, pixel_size_notes, read_maps, reason_to_leave, stated_mask, stated_resolution
from ..improvers.run import Improver, load_improver
from ..measures import atoms, doubt, measure
from ..measures.volume import Volume, above_solvent, write_volume


@command
def improve_map(config: ImproveMapConfig, run: Run) -> ImproveMapOutputs:
    improver = load_improver(config.model, run.device)
    volume, halves = read_maps(config, run)
    check_size(volume, improver.card["working_pixel_size"], bool(halves))
    mask = stated_mask(config, volume, run)
    run.warn(*pixel_size_notes(improver.card, volume))
    output = config.output or f"{file_key(config.map or config.half_maps[0]).removesuffix('.ccp4')}_improved.mrc"
    if Path(output).is_dir():
        raise FileExistsError(f"{output} (--output) is a folder, and a map is written. Give the name of a file.")
    written = [Path(output), *[Path(_beside(output, word)) for word in ("doubt", "half1", "half2")]]
    inputs = [Path(p).resolve() for p in (config.map, *config.half_maps, config.mask) if p]
    for path in written:
        if path.resolve() in inputs:
            raise ValueError(f"{path} is an input and would be overwritten. Give another name (--output).")
    check_output(output, "Map")  # it is written last: the files beside it may be of a run that was stopped
    Path(output).resolve().parent.mkdir(parents=True, exist_ok=True)
    resolution, finest, source = stated_resolution(config, volume, halves, mask, run)
    made = ImproveMapOutputs(
        map=output,
        doubt=None,
        residues=None,
        half1=None,
        half2=None,
        pixel_size=volume.pixel_size,
        model=improver.card["name"],
        working_pixel_size=improver.card["working_pixel_size"],
        resolution=resolution,
        unchanged=reason_to_leave(improver.card, volume, resolution, finest, source),
        half_map_test=None,
    )
    if resolution:
        run.summary(f"Resolution of {volume.path}: {resolution:.3g} Å, {source}.")
    folder = working_folder(
        dataclasses.replace(config, output=output),
        settings=dict(run.settings, weights=improver.card["weights_sha256"]),  # others may have the same name
    )
    if made.unchanged:
        shutil.rmtree(folder)
        run.warn(made.unchanged + " The mask was not applied, either." * (mask is not None))
        run.methods("The map was outside the map improver's training range, and not changed.")
        write_volume(output, volume.data, volume)
        return made
    print(
        f"Improving {volume.path} ({' x '.join(str(n) for n in volume.data.shape[::-1])} px of "
        f"{volume.pixel_size:.4g} Å) by {improver.card['name']} on {run.device_name}."
    )
    return _improve(config, run, improver, volume, halves, mask, made, folder)


def _improve(
    config: ImproveMapConfig,
    run: Run,
    improver: Improver,
    volume: Volume,
    halves: typing.Sequence[Volume],
    mask: np.ndarray | None,
    made: ImproveMapOutputs,
    folder: Path,
) -> ImproveMapOutputs:
    parts = []
    for number, whole in enumerate((volume, *halves)):  # each takes minutes: a stopped run goes on with those it has
        kept = folder / f"{number}.npy"
        if not kept.exists():
            part = improver.improve(whole, config.overlap, config.batch_size, config.input_weight, made.resolution)
            with whole_file(kept) as temporary, open(temporary, "wb") as file:
                np.save(file, part)
        parts.append(np.load(kept))
    improved, *parts = parts
    if halves:
        # of the halves as they are if no mask is given: that the network empties the solvent must not count as a gain
        inside = atoms.dense_mask(halves[0].data + halves[1].data, volume.voxels_zyx) if mask is None else mask
        halves = [above_solvent(half, inside) for half in halves]
        metrics, curves, found = doubt.tested_halves(halves, parts, inside)
        test = half_map_resolutions(metrics)
        sentences, invented = split_verdict(half_map_verdict(test, BY_NETWORK)[1])
        run.summary(*sentences)
        run.warn(*(f"{volume.path}: {line}" for line in invented), *measure.dependent(halves, curves["raw"]))
        run.warn(*measure.unlike(volume, halves))
        edited = doubt.in_no_half(improved if mask is None else improved * mask, halves, inside)
        found, (size, place) = dataclasses.replace(found, edited=edited), doubt.largest_piece(edited, volume)
        if size > PIECE:
            run.warn(
                f"{volume.path} shows what is in neither half-map, most around ({', '.join(f'{x:.0f}' for x in place)}"
                ") Å (x, y, z): it was changed after they were made, or they are not its own. There the doubt is 1."
            )
        doubts, residues = doubt.write_doubt(
            _beside(made.map, "doubt").removesuffix(".mrc"), Path(made.map).name, found, volume, config.mask_structure
        )
        made = dataclasses.replace(
            made,
            half_map_test=test,
            half1=_write(_beside(made.map, "half1"), parts[0], mask, volume),
            half2=_write(_beside(made.map, "half2"), parts[1], mask, volume),
            doubt=doubts,
            residues=residues,
        )
    _write(made.map, improved, mask, volume)
    shutil.rmtree(folder)
    files = (made.map, made.doubt, made.residues, made.half1, made.half2)
    run.summary(f"Improved by the model {made.model}: " + ", ".join(path for path in files if path))
    if not halves:
        run.summary(
            "Without half-maps it is not known what the network gains and what it invents: there is no half-map test, "
            "and no map of doubt."
        )
    run.summary("Not for FSC-based resolution, and not for deposition alone.")
    network = network_words("map_improver", improver.card["network"])
    text = f"The local contrast of the map was improved with {PROGRAM} by the model {made.model} ({network})"
    if made.half_map_test:
        raw, both, crossed = (resolution_in_words(made.half_map_test[n]) for n in ("raw", "improved", "crossed"))
        text += (
            f"; the FSC of the half-maps falls to 0.143 at {raw}, that of both improved half-maps at {both}, and that "
            f"of one improved half-map with the control of the other half at {crossed}"
        )
    run.methods(text + ". Resolution was measured on the original map.")
    return made


def _beside(output: str, word: str) -> str:
    return f"{str(output).removesuffix('.mrc')}_{word}.mrc"


def _write(path: str, data: np.ndarray, mask: np.ndarray | None, volume: Volume) -> str:
    write_volume(path, data if mask is None else data * mask, volume)
    return path
