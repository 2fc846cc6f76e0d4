# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of a map against its atomic model, and of its half-maps, as a whole and from position to position."""

import dataclasses
import itertools
import typing

import numpy as np
import scipy.fft
import torch
from scipy.ndimage import distance_transform_edt, map_coordinates, uniform_filter
from scipy.spatial.transform import Rotation

from ...core import fourier
from . import qscore, shells
from .atoms import MARGIN, SLAB, Atoms, dense_mask, model_density, soft_mask
from .volume import Volume, above_solvent

WINDOW = 7.0  # Å, radius of the surroundings that a local correlation looks at
SHELLS = 5  # of a window of local resolution at the whole map's: fewer tell nothing
STRIDE = 0.25  # of the window: distance of the positions that are measured
UNLIKE = 2.0  # times the resolution of the best pair, from which on a half-map is not one of the map's
STEP, MOST = 0.01, 4  # of a model's size: between those that are tried, and so many of them either way
THRESHOLD = 0.5  # of the local FSC: at 0.143 small windows are too noisy (Cardone, Heymann and Steven 2013)


def local_correlation(
    first: np.ndarray, second: np.ndarray, voxels_zyx: np.ndarray, positions: np.ndarray, radius: float = WINDOW
) -> np.ndarray:
    """(n,) correlation of two (z, y, x) arrays in a box of +-radius Å about each position (n, 3), zyx voxels. Constant
    surroundings give 0."""
    size = np.array([2 * int(round(radius / v)) + 1 for v in voxels_zyx])
    small = 1e-9 * float(first.std()) * float(second.std())
    index = np.rint(positions).astype(int)
    found = np.zeros(len(index))
    rows = np.flatnonzero(((index >= 0) & (index < first.shape)).all(axis=1))
    for slab in np.unique(index[rows, 0] // SLAB):  # only the surroundings of positions are filtered, part by part
        here = rows[index[rows, 0] // SLAB == slab]
        low, high = np.maximum(index[here].min(axis=0) - size, 0), index[here].max(axis=0) + size + 1
        one, other = (each[tuple(map(slice, low, high))].astype(np.float64) for each in (first, second))
        at = tuple((index[here] - low).T)
        mean = lambda x, at=at: uniform_filter(x, size, mode="nearest")[at]
        ours, theirs = mean(one), mean(other)
        cross = mean(one * other) - ours * theirs
        spread = np.sqrt(np.maximum(mean(one**2) - ours**2, 0) * np.maximum(mean(other**2) - theirs**2, 0))
        found[here] = np.where(spread > small, cross / np.maximum(spread, small or 1e-300), 0.0)
    return found


def local_resolution(
    half1: np.ndarray, half2: np.ndarray, pixel_size: float, mask: np.ndarray, resolution: float
) -> np.ndarray:
    """Local resolution by windowed FSC: (z, y, x) float32 array, Å; 0 outside of the mask. half1, half2: (z, y, x)
    arrays of cubic voxels. mask: (z, y, x), measured where it is above 0.5. resolution: Å, of the whole map: the window
    is so wide that it has SHELLS shells up to there. The FSC of a cosine window at each of a grid of places is compared
    with THRESHOLD; between the places it is interpolated (Cardone, Heymann and Steven 2013, J. Struct. Biol. 184). A
    position whose first shell is below has the window's width."""
    side = 2 * int(np.ceil(SHELLS * resolution / pixel_size / 2)) + 2
    side = min(side, *[n - n % 2 for n in half1.shape])
    ball = np.pi * fourier.from_middle(side, 3) / (side / 2)
    window, step = 0.5 + 0.5 * torch.cos(ball.clamp(max=np.pi)), max(1, int(STRIDE * side))
    grid = [_positions(n, side, step) for n in half1.shape]
    measured = np.full([len(g) for g in grid], np.nan, np.float32)
    wanted = [
        (k, j, i)
        for k, z in enumerate(grid[0])
        for j, y in enumerate(grid[1])
        for i, x in enumerate(grid[2])
        if (mask[tuple(slice(max(0, c - step), c + step + 1) for c in (z, y, x))] > 0.5).any()
    ]
    halves = [torch.from_numpy(np.array(h, np.float32)) for h in (half1, half2)]
    of = lambda position: tuple(slice(g[p] - side // 2, g[p] - side // 2 + side) for g, p in zip(grid, position))
    batch = max(1, int(4e6) // side**3)
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        boxes = [torch.stack([half[of(position)] for position in part]) for half in halves]
        boxes = [(b - (b * window).sum((1, 2, 3), keepdim=True) / window.sum()) * window for b in boxes]
        for position, curve in zip(part, fourier.fsc(*boxes)):
            measured[position] = fourier.resolution_at(curve, THRESHOLD, pixel_size, side) or side * pixel_size
    return _between(measured, grid, half1.shape) * (mask > 0.5)


def _positions(length: int, side: int, step: float) -> np.ndarray:
    first, last = side // 2, length - side // 2
    return np.unique(np.append(np.arange(first, last, step), last)) if last > first else np.array([length // 2])


def _between(measured: np.ndarray, grid: typing.Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Values on the grid of places, spread over all voxels; places that were not measured take the nearest ones'."""
    if np.isnan(measured).all():
        return np.zeros(shape, np.float32)
    filled = measured[tuple(distance_transform_edt(np.isnan(measured), return_distances=False, return_indices=True))]
    rows = [np.interp(np.arange(n), g, np.arange(len(g))) for n, g in zip(shape, grid)]
    result = np.empty(shape, np.float32)
    for z, row in enumerate(rows[0]):  # slice by slice: the coordinates of all voxels would take much memory
        plane = np.meshgrid([row], rows[1], rows[2], indexing="ij")
        result[z] = map_coordinates(filled, plane, order=1, mode="nearest")[0]
    return result


WIDTH = 0.6  # Å; atoms of the model map, wider where the grid is coarser. The FSC does not depend on it.
COARSEST = 0.55  # of a voxel: narrower Gaussians would slip between grid points


@dataclasses.dataclass(frozen=True)
class MapReference:
    """What maps on one grid are compared with. atoms: maps.atoms.Atoms. density: of the model. mask: (z, y, x), 0 to 1.
    inside: (n,) bool, atoms inside of the grid."""

    atoms: Atoms
    density: np.ndarray
    mask: np.ndarray
    inside: np.ndarray


def reference_for(
    volume: Volume, atoms: Atoms, mask: np.ndarray | None = None, mask_radius: float = 4.0
) -> MapReference:
    """Reference on the grid of a Volume. mask: (z, y, x) array, or None for a soft one around the atoms (Å)."""
    density = model_density(atoms, volume, max(WIDTH, COARSEST * float(volume.voxels_zyx.max())))
    if mask is None:
        mask = soft_mask(atoms.xyz, volume, mask_radius)
    return MapReference(atoms, density, mask, volume.holds(atoms.xyz))


def measure_map(volume: Volume, reference: MapReference) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """Metrics of one map against its model, and their details. Returns (metrics, details). metrics: fsc05_angstrom,
    fsc0143_angstrom (of map and model in the mask), the same _unmasked, q_score (mean of the atoms), q_score_chains,
    local_correlation (mean over the atoms). details: Curve fsc, Curve fsc_unmasked, q_residues, correlation."""
    voxels, mask, volume = volume.voxels_zyx, reference.mask, above_solvent(volume, reference.mask)
    masked = shells.shell_correlation(volume.data * mask, reference.density * mask, voxels)
    unmasked = shells.shell_correlation(volume.data, reference.density, voxels)
    scores = qscore.q_scores(volume, reference.atoms)
    near = local_correlation(volume.data, reference.density, voxels, volume.positions(reference.atoms.xyz))
    inside, chains = reference.inside, reference.atoms.chains
    metrics = dict(
        fsc05_angstrom=masked.resolution(0.5),
        fsc0143_angstrom=masked.resolution(0.143),
        fsc05_unmasked_angstrom=unmasked.resolution(0.5),
        fsc0143_unmasked_angstrom=unmasked.resolution(0.143),
        q_score=float(scores[inside].mean()),
        q_score_chains={str(c): float(scores[inside & (chains == c)].mean()) for c in dict.fromkeys(chains[inside])},
        local_correlation=float(near[inside].mean()),
    )
    return metrics, dict(
        fsc=masked, fsc_unmasked=unmasked, q_residues=qscore.residue_scores(scores, reference.atoms), correlation=near
    )


def better_place(volume: Volume, reference: MapReference, matrix: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Where the whole model overlaps the map most: its move, (3,) zyx voxels, and the mean local correlation there.
    matrix: (3, 3), which the model's xyz are multiplied by before, about their middle: mirrored, turned or scaled."""
    if matrix is not None:
        middle = reference.atoms.xyz.mean(axis=0)
        atoms = dataclasses.replace(reference.atoms, xyz=middle + (reference.atoms.xyz - middle) @ matrix)
        reference = reference_for(volume, atoms, reference.mask)
    data = volume.data
    overlap = scipy.fft.irfftn(
        scipy.fft.rfftn(data - data.mean()) * scipy.fft.rfftn(reference.density).conj(), data.shape
    )
    move = np.array(np.unravel_index(overlap.argmax(), overlap.shape))
    move -= np.where(2 * move > overlap.shape, overlap.shape, 0)
    positions = volume.positions(reference.atoms.xyz) + move
    near = local_correlation(data, np.roll(reference.density, move, (0, 1, 2)), volume.voxels_zyx, positions)
    return move, float(near[reference.inside].mean())


def better_scale(volume: Volume, reference: MapReference, there: float) -> tuple[float, float]:
    """By how much the model must be larger to fit the map best, wherever it lies, and its mean local correlation then;
    there: that of the model as it is. (1, there) if the correlation still rises at the largest changes: then the map
    shows too little detail to tell."""
    fits, best = {0: there}, 0
    while not {best - 1, best + 1} <= set(fits):
        for tried in {best - 1, best + 1} - set(fits):
            fits[tried] = better_place(volume, reference, np.eye(3) * (1 + STEP * tried))[1]
        best = max(fits, key=fits.__getitem__)
        if abs(best) > MOST:
            return 1.0, there
    return 1 + STEP * best, fits[best]


MIN_AGREEMENT = 0.1  # local correlation at the atoms, below which map and model are not of one molecule, or apart
BETTER = 0.1  # local correlation that a misplaced model gains where it belongs; a fitted one gains none elsewhere
SIZED = 0.025  # local correlation that another pixel size gains: models of the right size gain 0.013 at most
ONE_HAND = 0.5  # local correlation from which on the hand is right: mirrored real maps have 0.34 at most
TURNED = Rotation.random(12, random_state=0).as_matrix()
PART = 0.2  # of what a map shows: smaller models find places by chance


def misfits(volume: Volume, reference: MapReference) -> typing.Iterator[str]:
    """Sentences about a map that fits the model better elsewhere, mirrored, with other axes or of another size.

    A model of a small part of what the map shows finds such a place by chance: turned, it belongs nowhere, and what it
    finds then must be exceeded."""
    map_, model, xyz, voxels = volume.path, reference.atoms.path, reference.atoms.xyz, volume.voxels_zyx
    near = local_correlation(volume.data, reference.density, voxels, volume.positions(xyz))
    agreement = float(near[reference.inside].mean())
    move, there = better_place(volume, reference)
    ways = [*(np.diag(1 - 2 * axis) for axis in np.eye(3)), *map(np.array, [*itertools.permutations(np.eye(3))][1:])]
    fits = [better_place(volume, reference, way)[1] for way in ways] if agreement < ONE_HAND else [0.0]
    best, way = max(fits), ways[int(np.argmax(fits))]
    chance = (
        max(best, there) > agreement + BETTER
        and soft_mask(xyz, volume, MARGIN).sum() < PART * dense_mask(volume.data, voxels).sum()
        and any(better_place(volume, reference, one)[1] + BETTER >= max(best, there) for one in TURNED)
    )
    if chance:
        best = there = agreement
    offset = ", ".join(f"{d:.1f}" for d in (move * voxels)[::-1])
    better = f" Moved by ({offset}) Å (x, y, z), it has {there:.2f}." * (there > agreement + BETTER)
    if best > max(agreement, there) + BETTER and (way < 0).any():
        yield (
            f"{map_} is of the other hand than {model}, or the model is turned: their local "
            f"correlation is {agreement:.2f} at the model's atoms, and of the mirrored map {best:.2f}. Fit the "
            "model again; if that does not help, flip the map along one axis, or the model."
        )
    elif best > max(agreement, there) + BETTER:
        yield (
            f"{map_} and {model} have their axes in different orders: their local correlation is {agreement:.2f} "
            f"at the model's atoms, and {best:.2f} where the map's x, y and z are the model's "
            f"{', '.join('xyz'[n] for n in way.argmax(axis=0))}. Write the map again with its axes exchanged."
        )
    elif better or agreement < MIN_AGREEMENT:
        yield (
            f"{map_} and {model} {'agree better elsewhere' if better else 'hardly agree'}: their "
            f"local correlation is {agreement:.2f} at the model's atoms.{better} Check the fit of the model, the map's "
            "origin, its pixel size and its hand."
        )
    scale, sized = (1.0, there) if chance else better_scale(volume, reference, there)
    if sized > there + SIZED:
        yield (
            f"The pixel size of {map_} may be wrong by some {abs(scale - 1):.0%}: the model {model} fits it with "
            f"a local correlation of {sized:.2f} in place of {there:.2f} where the map's voxels are "
            f"{volume.pixel_size / scale:.4g} in place of {volume.pixel_size:.4g} Å wide. Calibrate the magnification."
        )


def measure_halves(
    halves: typing.Sequence[Volume], mask: np.ndarray, resolution: float | None = None
) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """(metrics, details) of two half-maps on one grid: the FSC in a mask, and local resolution. resolution: Å, of the
    whole map, for the windows of local resolution; that of the FSC if None. metrics: resolution_angstrom (FSC 0.143),
    resolution05_angstrom, local_resolution_angstrom {median, p10, p90} where the mask is above 0.5. details: Curve fsc,
    local: (z, y, x) array in Å."""
    curve = shells.shell_correlation(halves[0].data * mask, halves[1].data * mask, halves[0].voxels_zyx)
    metrics: dict[str, typing.Any] = dict(
        resolution_angstrom=curve.resolution(0.143), resolution05_angstrom=curve.resolution(0.5)
    )
    resolution, local = resolution or metrics["resolution_angstrom"], None
    if resolution and halves[0].isotropic:
        local = local_resolution(halves[0].data, halves[1].data, halves[0].pixel_size, mask, resolution)
        inside = local[local > 0]
        if inside.size:
            low, middle, high = np.percentile(inside, [10, 50, 90])
            metrics["local_resolution_angstrom"] = dict(p10=float(low), median=float(middle), p90=float(high))
    return metrics, dict(fsc=curve, local=local)


def dependent(halves: typing.Sequence[Volume], curve: shells.Curve) -> list[str]:
    """Sentences, in a list, if the Curve of half-maps falls below 0.143 nowhere: then they may not be independent."""
    if not (curve.value[1:] >= 0.143).all():
        return []
    return [
        f"The FSC of the half-maps {halves[0].path} and {halves[1].path} does not fall below 0.143 up to "
        f"{1 / curve.frequency[-1]:.2f} Å, the Nyquist limit. One of them may be the full map, or they share a mask "
        "or a filter, or the pixel size is too large for their resolution."
    ]


def unlike(volume: Volume, halves: typing.Sequence[Volume]) -> list[str]:
    """Sentences, in a list, about half-maps that agree with the map much less far than with each other, or than the
    other does. Their FSC with it is 0.5 where that of both is 0.143 (Rosenthal and Henderson 2003)."""
    fsc = lambda one, other: shells.shell_correlation(one.data, other.data, volume.voxels_zyx)
    own = [fsc(volume, half).resolution(0.5) or np.inf for half in halves]
    best = min(*own, fsc(*halves).resolution(0.143) or np.inf)
    return [
        f"{half.path} agrees with {volume.path} to {'no resolution' if found == np.inf else f'{found:.3g} Å'}, and the "
        f"best of the other pairs of half-maps and map to {best:.3g} Å. Check whether one of them is moved, mirrored, "
        "filtered, or of other data."
        for half, found in zip(halves, own)
        if found > UNLIKE * best
    ]
