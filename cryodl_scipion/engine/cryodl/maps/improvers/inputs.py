# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps to improve: what they must be, their resolution and mask, and when they are left as they are."""

import dataclasses
import typing

import numpy as np
from scipy.ndimage import gaussian_filter

from ...contract import ImproveMapConfig
from ...io.memory import require_memory
from ...io.tomograms import sides_of
from ...running.runner import Run
from ..measures import measure, shells
from ..measures.atoms import check_overlap, dense_mask, read_atoms
from ..measures.volume import (
    BLUR,
    SAME_MAP,
    Volume,
    above_solvent,
    check_contrast,
    check_density,
    check_halves,
    check_same_grid,
    read_mask,
    read_volume,
)

FINER = 0.9  # of the working pixel size: maps with smaller voxels lose detail
FINEST, COARSEST = 0.1, 8.0  # Å/px of maps that are improved
BYTES = 24  # of memory for each voxel at the working pixel size: the map, two outputs, their weights and copies
TEST_BYTES = 150  # for each voxel of the map, of the half-map test
SMALLEST = 8  # voxels along an axis
FAR, COARSER = 0.1, 0.2  # of the resolutions that a model was trained on, at the fine and at the coarse end
LARGEST = 1.9  # of the working pixel size: larger voxels are in no simulated map of the training (simulated.COARSEST)
ESTIMATED, BY_HALVES = "estimated from the map", "by the FSC of the half-maps"
AGREE = 0.5  # mean FSC of three shells that half-maps of noise reach nowhere, those of a molecule in coarse ones
NOISE = "agree at no resolution: this is noise."
UNEQUAL = 1.2  # times that one half-map may be as strong as the other: chance makes 1.07, 1.5 hides much of the doubt


def check_size(volume: Volume, working_pixel_size: float, tested: bool) -> None:
    """Raises ValueError for a pixel size that no map to improve has, and for a map that is too large for the memory.
    tested: there are half-maps."""
    if not FINEST <= volume.pixel_size <= COARSEST:
        raise ValueError(
            f"{volume.path} has {volume.pixel_size:.4g} Å/px by its header or --pixel-size; it must be {FINEST:g} to "
            f"{COARSEST:g} Å/px. Give the correct --pixel-size."
        )
    voxels = float(np.prod(np.array(volume.data.shape) * volume.voxels_zyx / working_pixel_size))
    require_memory(
        max(BYTES * voxels + 32 * volume.data.size, tested * TEST_BYTES * volume.data.size),
        f"{volume.path}, {volume.pixel_size:.4g} Å/px by its header or --pixel-size, resampled to "
        f"{working_pixel_size:g} Å/px,",
        "Check the pixel size, or crop the map around the molecule.",
    )


def read_maps(config: ImproveMapConfig, run: Run) -> tuple[Volume, list[Volume]]:
    """The Volume to improve, and the half-maps' ([] if there are none)."""
    halves = [read_volume(path, config.pixel_size, "half-map") for path in config.half_maps]
    if halves:
        moved = check_same_grid(halves[0], halves[1], "half-map")
        check_halves(halves)
        halves = [halves[0], _scaled_as(halves[0], halves[1], run)]
    if config.map:
        volume = read_volume(config.map, config.pixel_size)
        for half in halves:
            run.warn(*check_same_grid(volume, half, "half-map"))
            if check_contrast(half, volume) > SAME_MAP:
                raise ValueError(
                    f"The map {config.map} and the half-map {half.path} are the same. Give the full map as --map, or "
                    "only the half-maps."
                )
    else:
        mean, name = 0.5 * (halves[0].data + halves[1].data), f"the mean of {halves[0].path} and {halves[1].path}"
        volume = dataclasses.replace(halves[0], data=mean, path=name)
        run.warn("The map is the mean of the two half-maps, without sharpening or masking.", *moved)
    check_density(volume)
    if min(volume.data.shape) < SMALLEST:
        raise ValueError(
            f"{volume.path} has {sides_of(volume.data.shape)} voxels; at least {SMALLEST} along each axis are needed."
        )
    if not volume.isotropic:
        sides = " x ".join(f"{side:.4g}" for side in volume.voxels_zyx[::-1])
        run.summary(
            f"{volume.path} has voxels of {sides} Å; it was improved on cubic voxels and resampled to its own grid."
        )
    return volume, halves


def _scaled_as(first: Volume, second: Volume, run: Run) -> Volume:
    """The second half-map with density as strong as that of the first, by what a blur leaves of both."""
    spreads = [float(gaussian_filter(one.data, BLUR / one.voxels_zyx).std(dtype=float)) for one in (first, second)]
    if max(spreads) < UNEQUAL * min(spreads):
        return second
    run.warn(
        f"{second.path} has density {spreads[1] / spreads[0]:.2g} times as strong as {first.path}, as if they were "
        "scaled separately: its values are divided by that. Check that both are halves of one reconstruction."
    )
    return dataclasses.replace(second, data=second.data * np.float32(spreads[0] / spreads[1]))


def pixel_size_notes(card: typing.Mapping[str, typing.Any], volume: Volume) -> typing.Iterator[str]:
    """Sentences about a map that the model was not made for."""
    working = card["working_pixel_size"]
    if volume.pixel_size < FINER * working and volume.pixel_size < card["resolutions"][0] / 4:
        yield (
            f"The voxels of {volume.path} are {volume.pixel_size:.3g} Å, the working pixel size of the model is "
            f"{working:g} Å: detail finer than {2 * working:g} Å is lost. Use a model with a smaller "
            f"working pixel size for maps better than {card['resolutions'][0]:g} Å."
        )


def stated_resolution(
    config: ImproveMapConfig, volume: Volume, halves: typing.Sequence[Volume], mask: np.ndarray | None, run: Run
) -> tuple[float | None, float | None, str]:
    """(resolution in Å or None, the finest that it may be, where it is from in words). Half-maps that agree up to the
    last shell tell nothing of it: then the map itself does."""
    source = ESTIMATED
    if halves:
        inside = dense_mask(halves[0].data + halves[1].data, halves[0].voxels_zyx) if mask is None else mask
        one, two = (above_solvent(half, inside).data * inside for half in halves)
        curve = shells.shell_correlation(one, two, halves[0].voxels_zyx)
        agreement = np.convolve(curve.value[1:], np.ones(3) / 3, "valid")
        if agreement.max() < AGREE:
            source = f"The half-maps {halves[0].path} and {halves[1].path} {NOISE}"
            if not config.resolution:
                return None, None, source
            run.warn(source)
        elif not config.resolution:
            sentences, fallen = measure.dependent(halves, curve), int(np.argmax(curve.value[1:] < 0.143))
            finer = fallen < 3 and agreement[fallen + 1 :].max(initial=0) >= AGREE
            resolution = None if finer else curve.resolution(0.143)
            if not sentences:
                return resolution, resolution, BY_HALVES
            run.warn(*sentences)
            source += ", because its half-maps agree up to the Nyquist limit"
    if config.resolution:
        if config.resolution < 0.97 * (finest := 2 * float(volume.voxels_zyx.max())):  # given ones are rounded
            raise ValueError(
                f"Resolution (--resolution) is {config.resolution:g} Å; voxels as those of {volume.path} hold no "
                f"detail below {finest:.3g} Å. Give the resolution of the map, or a map with smaller voxels."
            )
        return config.resolution, config.resolution, "as given (--resolution)"
    found = shells.estimated_resolution(volume.data, volume.voxels_zyx)
    return (found.value, found.finest, f"{source}, {found.finest:.3g} Å at best") if found else (None, None, source)


def reason_to_leave(
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
    if source.endswith(NOISE):
        return f"{source} The map is not changed."
    if resolution is None or finest is None:
        why = (
            "its half-maps agree in fine detail, but not in the coarsest, as after a high-pass filter"
            if source == BY_HALVES
            else "the map does not show where its signal ends, up to "
            f"{2 * volume.voxels_zyx.max():.3g} Å, the Nyquist limit"
        )
        return (
            f"The resolution of {volume.path} is not known: {why}, and {trained}: the map is not changed. Give the "
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
        else "Check it, or use a model that was trained for it."
    )
    return (
        f"The resolution of {volume.path} is {resolution:.3g} Å, {source}, and {trained}: the map is not changed. "
        + way_out
    )


def stated_mask(config: ImproveMapConfig, volume: Volume, run: Run) -> np.ndarray | None:
    """(z, y, x) factor of the result, or None."""
    mask = None
    if config.mask:
        mask, sentences = read_mask(config.mask, volume, config.pixel_size)
        run.warn(*sentences)
    if config.mask_structure:
        atoms = read_atoms(config.mask_structure)
        run.warn(*atoms.notes, *check_overlap(volume, atoms))
        reference = measure.reference_for(volume, atoms, mask_radius=config.mask_radius)
        run.warn(*measure.misfits(volume, reference))
        mask = reference.mask if mask is None else mask * reference.mask
    return mask
