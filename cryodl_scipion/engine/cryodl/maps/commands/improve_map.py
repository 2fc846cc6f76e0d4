# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl improve-map`: a map, or two half-maps, in; the improved map on the same grid out."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import (
    ImproveMapConfig,
    ImproveMapOutputs,
    half_map_resolutions,
    half_map_verdict,
    network_words,
    resolution_in_words,
    split_verdict,
)
from ...io.memory import require_memory
from ...io.unfinished import check_output
from ...runner import PROGRAM, Run, command
from ..improvers.run import Improver, load_improver
from ..measures.atoms import check_overlap, read_atoms
from ..measures.density import dense_mask, soft_mask
from ..measures.half_map_test import half_map_test
from ..measures.measure import dependent
from ..measures.resolution import estimated_resolution
from ..measures.shells import shell_correlation
from ..measures.volume import (
    Volume,
    check_positive,
    check_same_grid,
    other_position,
    read_mask,
    read_volume,
    write_volume,
)
from .evaluate_map import SAME, check_contrast, check_halves

FINER = 0.9  # of the working pixel size: maps with smaller voxels lose detail
FINEST, COARSEST = 0.1, 8.0  # Å/px of maps that are improved
BYTES = 24  # of memory for each voxel at the working pixel size: the map, two outputs, their weights and copies
SMALLEST = 8  # voxels along an axis
FAR, COARSER = 0.1, 0.2  # of the resolutions that a model was trained on, at the fine and at the coarse end
LARGEST = 1.9  # of the working pixel size: larger voxels are in no simulated map of the training (simulated.COARSEST)
ESTIMATED = "estimated from the map"
UNTESTED = "Without half-maps it is not known what the network gains and what it invents; the half-map test shows it."


@command
def improve_map(config: ImproveMapConfig, run: Run) -> ImproveMapOutputs:
    """Improve and write. Raises ValueError for inputs that are no maps, or do not belong together, and for an output
    that would take the place of an input."""
    improver = load_improver(config.model, run.device)
    volume, halves = _read(config, run)
    _check_size(volume, improver.card["working_pixel_size"])
    mask = _mask(config, volume, run)
    run.warn(*_notes(improver.card, volume))
    output = config.output or f"{_stem(volume.path)}_improved.mrc"
    _check_output(output, config)
    resolution, finest, source = _resolution(config, volume, halves, mask, run)
    made = ImproveMapOutputs(
        map=output,
        confidence=None,
        half1=None,
        half2=None,
        pixel_size=volume.pixel_size,
        model=improver.card["name"],
        working_pixel_size=improver.card["working_pixel_size"],
        resolution=resolution,
        unchanged=_reason_to_leave(improver.card, volume, resolution, finest, source),
        half_map_test=None,
    )
    if resolution:
        run.summary(f"Resolution of {volume.path}: {resolution:.3g} Å, {source}.")
    if made.unchanged:
        run.warn(made.unchanged)
        run.methods("The map was outside the map improver's training range, and not changed.")
        write_volume(output, volume.data, volume)
        return made
    print(
        f"Improving {volume.path} ({' x '.join(str(n) for n in volume.data.shape[::-1])} px of "
        f"{volume.pixel_size:.4g} Å) by {improver.card['name']} on {run.device_name}."
    )
    return _improve(config, run, improver, volume, halves, mask, made)


def _improve(
    config: ImproveMapConfig,
    run: Run,
    improver: Improver,
    volume: Volume,
    halves: typing.Sequence[Volume],
    mask: np.ndarray | None,
    made: ImproveMapOutputs,
) -> ImproveMapOutputs:
    """Improve the map, and its halves if there are any; the map is written last."""
    improve = lambda v: improver.improve_with_confidence(
        v, config.overlap, config.batch_size, _said(), config.input_weight
    )
    improved, confidence = improve(volume)
    if halves:
        parts = [improve(half)[0] for half in halves]
        made = dataclasses.replace(
            made,
            half_map_test=_half_map_test(volume.path, halves, parts, mask, run),
            half1=_write(_beside(made.map, "half1"), parts[0], mask, volume),
            half2=_write(_beside(made.map, "half2"), parts[1], mask, volume),
        )
    if config.confidence and confidence is not None:
        made = dataclasses.replace(made, confidence=_write(_beside(made.map, "confidence"), confidence, mask, volume))
    _write(made.map, improved, mask, volume)
    files = (made.map, made.confidence, made.half1, made.half2)
    run.summary(f"Improved by the model {made.model}: " + ", ".join(path for path in files if path))
    if not halves:
        run.summary(UNTESTED)
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


def _check_size(volume: Volume, working_pixel_size: float) -> None:
    """Raises ValueError for a pixel size that no map to improve has, and for a map that is too large for the memory."""
    if not FINEST <= volume.pixel_size <= COARSEST:
        raise ValueError(
            f"{volume.path} has {volume.pixel_size:.4g} Å/px by its header or --pixel-size; it must be {FINEST:g} to "
            f"{COARSEST:g} Å/px. Give the correct --pixel-size."
        )
    voxels = float(np.prod(np.array(volume.data.shape) * volume.voxels_zyx / working_pixel_size))
    require_memory(
        BYTES * voxels + 32 * volume.data.size,
        f"{volume.path}, {volume.pixel_size:.4g} Å/px by its header or --pixel-size, resampled to "
        f"{working_pixel_size:g} Å/px,",
        "Check the pixel size, or crop the map around the molecule.",
    )


def _read(config: ImproveMapConfig, run: Run) -> tuple[Volume, list[Volume]]:
    """The Volume to improve, and the half-maps' ([] if there are none)."""
    halves = [read_volume(path, config.pixel_size, "half-map") for path in config.half_maps]
    if halves:
        check_same_grid(halves[0], halves[1], "half-map")
        check_halves(halves)
    if config.map:
        volume = read_volume(config.map, config.pixel_size)
        for half in halves:
            check_same_grid(volume, half, "half-map")
            run.warn(*other_position(volume, half, "half-map"))
            if check_contrast(half, volume) > SAME:
                raise ValueError(
                    f"The map {config.map} and the half-map {half.path} are the same. Give the full map as --map, or "
                    "only the half-maps."
                )
    else:
        volume = dataclasses.replace(halves[0], data=0.5 * (halves[0].data + halves[1].data))
        run.warn("The mean of the two half-maps was improved, without sharpening or masking before.")
    check_positive(volume)
    if min(volume.data.shape) < SMALLEST:
        raise ValueError(
            f"{volume.path} has {' x '.join(str(n) for n in volume.data.shape[::-1])} voxels; at least "
            f"{SMALLEST} along each axis are needed."
        )
    if not volume.isotropic:
        x, y, z = volume.voxels_zyx[::-1]
        run.summary(
            f"{volume.path} has voxels of {x:.4g} x {y:.4g} x {z:.4g} Å; it was improved on cubic voxels and "
            "resampled to its own grid."
        )
    return volume, halves


def _notes(card: typing.Mapping[str, typing.Any], volume: Volume) -> typing.Iterator[str]:
    """Sentences about a map that the model was not made for."""
    working = card["working_pixel_size"]
    if volume.pixel_size < FINER * working and volume.pixel_size < card["resolutions"][0] / 4:
        yield (
            f"The voxels of {volume.path} are {volume.pixel_size:.3g} Å, the working pixel size of the model is "
            f"{working:g} Å: detail finer than {2 * working:g} Å is lost. Use a model with a smaller "
            f"working pixel size for maps better than {card['resolutions'][0]:g} Å."
        )


def _resolution(
    config: ImproveMapConfig, volume: Volume, halves: typing.Sequence[Volume], mask: np.ndarray | None, run: Run
) -> tuple[float | None, float | None, str]:
    """(resolution in Å or None, the finest that it may be, where it is from in words).

    Half-maps that agree up to the last shell tell nothing of it: then the map itself does.
    """
    if config.resolution:
        return config.resolution, config.resolution, "as given (--resolution)"
    source = ESTIMATED
    if halves:
        inside = dense_mask(halves[0].data + halves[1].data, halves[0].voxels_zyx) if mask is None else mask
        curve = shell_correlation(halves[0].data * inside, halves[1].data * inside, halves[0].voxels_zyx)
        sentences = dependent(halves, curve)
        if not sentences:
            resolution = curve.resolution(0.143)
            return resolution, resolution, "by the FSC of the half-maps"
        run.warn(*sentences)
        source += ", because its half-maps agree up to the Nyquist limit"
    found = estimated_resolution(volume.data, volume.voxels_zyx)
    return (found.value, found.finest, f"{source}, {found.finest:.3g} Å at best") if found else (None, None, source)


def _reason_to_leave(
    card: typing.Mapping[str, typing.Any], volume: Volume, resolution: float | None, finest: float | None, source: str
) -> str | None:
    """Why a map must not be improved by a model, in a sentence; None if it may."""
    fine, coarse = card["resolutions"]
    trained = f"the model {card['name']} was trained on {fine:.3g} to {coarse:.3g} Å"
    if 2 * volume.pixel_size > (1 + COARSER) * coarse:
        return (
            f"The voxels of {volume.path} are {volume.pixel_size:.3g} Å, so its resolution is no better than "
            f"{2 * volume.pixel_size:.3g} Å, and {trained}: the map is not changed."
        )
    if resolution is None or finest is None:
        return (
            f"The resolution of {volume.path} is not known: the map does not show where its signal ends, up to "
            f"{2 * volume.voxels_zyx.max():.3g} Å, the Nyquist limit, and {trained}: the map is not changed. Give the "
            "resolution (--resolution)."
        )
    if source.startswith(ESTIMATED) and volume.pixel_size > LARGEST * card["working_pixel_size"]:
        return (
            f"The voxels of {volume.path} are {volume.pixel_size:.3g} Å, and the model {card['name']} was trained on "
            f"maps of up to {LARGEST * card['working_pixel_size']:.3g} Å/px: the map is not changed. Give half-maps "
            "(--half-maps), which show what is gained, or the resolution (--resolution), to improve it nevertheless."
        )
    if (1 - FAR) * fine <= finest and resolution <= (1 + COARSER) * coarse:
        return None
    way_out = (
        "If you know the resolution, give it (--resolution)."
        if source.startswith(ESTIMATED)
        else "Use a model that was trained for it."
    )
    return (
        f"The resolution of {volume.path} is {resolution:.3g} Å, {source}, and {trained}: the map is not changed. "
        + way_out
    )


def _mask(config: ImproveMapConfig, volume: Volume, run: Run) -> np.ndarray | None:
    """(z, y, x) factor of the result, or None."""
    mask = None
    if config.mask:
        mask, sentences = read_mask(config.mask, volume, config.pixel_size)
        run.warn(*sentences)
    if config.mask_structure:
        atoms = read_atoms(config.mask_structure)
        run.warn(*atoms.notes, *check_overlap(volume, atoms))
        around = soft_mask(atoms.xyz, volume, config.mask_radius)
        mask = around if mask is None else mask * around
    return mask


def _half_map_test(
    name: str, halves: typing.Sequence[Volume], improved: typing.Sequence[np.ndarray], mask: np.ndarray | None, run: Run
) -> dict[str, float | None]:
    """The metrics of the half-map test, in words in the summary. name: of the map.

    All in one mask, of the halves as they are if none is given: that the network empties the solvent must not count
    as a gain.
    """
    if mask is None:
        mask = dense_mask(halves[0].data + halves[1].data, halves[0].voxels_zyx)
    resolutions, curves, shared = half_map_test(halves, improved, mask)
    test = half_map_resolutions(dict(resolutions, **shared.metrics()))
    sentences, invented = split_verdict(half_map_verdict(test)[1])
    run.summary(*sentences)
    run.warn(*(f"{name}: {line}" for line in invented), *dependent(halves, curves["raw"]))
    return test


def _check_output(output: str, config: ImproveMapConfig) -> None:
    """Raises ValueError if a file to write is an input, FileExistsError if the map is there; makes the folder, before
    the work and not after it."""
    if Path(output).is_dir():
        check_output(output, "A folder of the name")
    written = [Path(output), *[Path(_beside(output, word)) for word in ("confidence", "half1", "half2")]]
    inputs = [Path(p).resolve() for p in (config.map, *config.half_maps, config.mask) if p]
    for path in written:
        if path.resolve() in inputs:
            raise ValueError(f"{path} is an input and would be overwritten. Give another name (--output).")
    check_output(output, "Map")  # it is written last: the files beside it may be of a run that was stopped
    Path(output).resolve().parent.mkdir(parents=True, exist_ok=True)


def _said() -> typing.Callable[..., typing.Any]:
    """A function that prints every tenth part of the boxes."""
    told = [0]

    def progress(done: int, total: int) -> None:
        if total >= 50 and done * 10 // total > told[0]:
            told[0] = done * 10 // total
            print(f"{done} of {total} boxes", flush=True)

    return progress


def _stem(path: str | os.PathLike[str]) -> str:
    """A map file's name without .mrc, .map, .ccp4 and .gz."""
    name = Path(path).name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if name.endswith((".mrc", ".map", ".ccp4")) else name


def _beside(output: str, word: str) -> str:
    path = Path(output)
    return str(path.with_name(f"{path.name.removesuffix('.mrc')}_{word}.mrc"))


def _write(path: str, data: np.ndarray, mask: np.ndarray | None, volume: Volume) -> str:
    write_volume(path, data if mask is None else data * mask, volume)
    return path
