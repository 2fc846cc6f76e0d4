# SPDX-License-Identifier: GPL-3.0-or-later
"""Map of doubt: where an improved map shows what its data do not have. In overlapping spheres, of each improved
half-map what the other raw half-map (as its control) does not explain; what remains in both was added. How much remains
where nothing was added is known from the noise of the map, how much where all was from mirrored images of the data,
whose density is as strong and nowhere right."""

import dataclasses
import functools
import os
import typing
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, label, map_coordinates

from ...contract import doubt_script
from ...io.files import write_csv
from .atoms import Atoms, read_atoms
from .half_map_test import half_map_test
from .shells import Curve, shell_correlation, shell_filtered
from .volume import Volume, of_unit_width, write_volume

WIDTH = 1.5  # Å, standard deviation of a sphere's weight: a side chain has some of its own
TOLERANCE = 0.035  # mean of what a network changes of density that is in the data, as part of the power
ALARM = 0.05  # part of what is in the data that is called not to be, and of what is not that is called from the data
RARE = 0.01  # the same for a place of the map, in the verdict on the whole
COARSEST = 20.0  # Å; the end of the data is sought from here on
LEVEL = 0.2  # of the mean power, weighted by itself: there is density
SAMPLE = 50_000  # voxels that the limits are taken from
AROUND, LIKE = 3.0, 0.3  # Å, and correlation with the mean of the half-maps, below which a place is in none of them
BACKBONE = {"N", "CA", "C", "O", "P", "OP1", "OP2"}  # and the sugars, whose atoms have a prime
TITLES = ("chain", "number", "name", "doubt", "p_from_data", "p_invented", "verdict")
OUTSIDE = ("", "", "", "outside the map")


@dataclasses.dataclass(frozen=True)
class Doubt:
    """share: (z, y, x), part of the local power that both improved half-maps have and the data do not. genuine: such
    maps of noise alone. planted: of density that is not in the data. dense: (z, y, x) bool, where the improved map has
    density. edited: (z, y, x) bool, where it has some that is like nothing in the half-maps; else nowhere."""

    share: np.ndarray
    genuine: list[np.ndarray]
    planted: list[np.ndarray]
    dense: np.ndarray
    edited: np.ndarray

    @functools.cached_property
    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        """(z, y, x) float32, where there is density: the doubt, else 0, and the p of what is in the data, else 1."""
        found = np.zeros_like(self.share), np.ones_like(self.share)
        step = max(1, int(self.dense.sum()) // SAMPLE)
        at, nulls = np.linspace(-1, 1, 2001), (self.genuine, self.planted)
        levels = doubt_levels(at, *(np.concatenate([x[self.dense][::step] for x in null]) for null in nulls))
        for result, level in zip(found, levels):
            result[self.dense] = np.interp(self.share[self.dense], at, level)
        found[0][self.edited] = 1
        return found


def doubt_levels(
    share: np.ndarray, genuine: np.ndarray, planted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(doubt, p of density in the data, p of density that is not) of values (n,) by those of noise alone and of density
    that is not in the data. The first p is the part of density in the data that looks as doubtful or more, the second
    the part of density not in the data that looks no more doubtful; the doubt weighs one against the other: 0 to 1.
    Both are conformal p-values (Vovk, Gammerman and Shafer 2005)."""
    spread = np.random.default_rng(0).permutation(len(genuine)) + 0.5
    genuine, planted = np.sort(genuine - TOLERANCE * np.log(spread / len(genuine))), np.sort(planted)
    first = (len(genuine) - np.searchsorted(genuine, share, "left") + 1) / (len(genuine) + 1)
    second = (np.searchsorted(planted, share, "right") + 1) / (len(planted) + 1)
    return second / (first + second), first, second


def doubt_of(
    halves: typing.Sequence[Volume],
    improved: typing.Sequence[np.ndarray],
    controls: typing.Sequence[typing.Sequence[np.ndarray]],
    mask: np.ndarray,
) -> Doubt:
    """The Doubt of two improved half-maps. halves: the raw ones. improved: (z, y, x), made from one half each.
    controls: of half_map_test.control_halves: those that leave least are taken. mask: (z, y, x), about the molecule.
    All is filtered to where the raw half-maps agree: finer detail is in no data."""
    voxels, band = halves[0].voxels_zyx, _agreed(halves, mask)
    one, two = (band(x) for x in improved)
    left = lambda pair: float(((one - pair[0]) * (two - pair[1]) * mask).sum())
    first, second = min(([band(x) for x in pair] for pair in controls), key=left)
    local = lambda x: gaussian_filter(x, WIDTH / voxels, mode="constant")
    power = 0.5 * local(one**2 + two**2)
    power = np.maximum(power, 1e-6 * power.max())
    middle = [float((np.indices(mask.shape, sparse=True)[axis] * mask).sum() / mask.sum()) for axis in range(3)]
    back = [round(2 * place - side + 1) for place, side in zip(middle, mask.shape)]  # so that they turn about it
    flips = [
        lambda x, axes=axes: np.roll(np.flip(x, axes), [back[axis] for axis in axes], axes)
        for axes in ((0,), (1,), (2,), (0, 1, 2))
    ]
    noise = first - second
    return Doubt(
        local((one - first) * (two - second)) / power,
        [0.5 * local(noise * flip(noise)) / power for flip in flips],
        [local((one - flip(first)) * (two - flip(second))) / power for flip in flips],
        power > LEVEL * (power**2).sum() / power.sum(),
        np.zeros(power.shape, bool),
    )


def _agreed(halves: typing.Sequence[Volume], mask: np.ndarray) -> typing.Callable[[np.ndarray], np.ndarray]:
    """Filter to where the raw half-maps agree."""
    curve = shell_correlation(halves[0].data * mask, halves[1].data * mask, halves[0].voxels_zyx)
    value = np.convolve(np.pad(curve.value, 1, mode="edge"), np.ones(3) / 3, "valid")
    below = np.flatnonzero((value < 0.143) & (curve.frequency > 1 / COARSEST))
    end = curve.frequency[below[0] if len(below) else -1]
    kept = lambda s: np.clip((1.05 * end - s) / (0.1 * end), 0, 1)
    return lambda x: shell_filtered(x, halves[0].voxels_zyx, kept)


def in_no_half(improved: np.ndarray, halves: typing.Sequence[Volume], mask: np.ndarray) -> np.ndarray:
    """(z, y, x) bool: where an improved map has density and the mean of the raw half-maps nothing like it, as if the
    map was edited. Parameters: see doubt_of."""
    band, voxels = _agreed(halves, mask), halves[0].voxels_zyx
    whole = [of_unit_width(x) for x in (improved, halves[0].data + halves[1].data)]
    one, two = (band(x - np.median(x)) for x in whole)  # over the background
    local = lambda x: gaussian_filter(x, AROUND / voxels, mode="constant")
    power, cross = local(one**2), local(one * two)
    return (power > LEVEL * (power**2).sum() / power.sum()) & (cross < LIKE * np.sqrt(power * local(two**2)))


def residue_rows(doubt: Doubt, volume: Volume, atoms: Atoms) -> list[list[str]]:
    """Rows of TITLES, one for each residue: of its backbone or its side chain, whichever is more doubtful. Where the
    improved map has density at less than half of both there is nothing to doubt: the verdict is that there is none. Of
    atoms outside the map nothing is known."""
    inside = volume.holds(atoms.xyz)
    backbone = np.array([name in BACKBONE or "'" in name for name in atoms.atom_names])
    part, number = (2 * atoms.residue + backbone)[inside], 2 * len(atoms.residues)
    count, positions = np.bincount(part, minlength=number), volume.positions(atoms.xyz[inside]).T
    seen = count.reshape(-1, 2).max(axis=1) > 0

    def of(data: np.ndarray) -> np.ndarray:
        means = np.bincount(part, map_coordinates(data, positions, order=1, mode="nearest"), number)
        return np.where(count > 0, means / np.maximum(count, 1), -np.inf).reshape(-1, 2).max(axis=1)[seen]

    found = [np.concatenate([of(x) for x in maps]) for maps in ([doubt.share], doubt.genuine, doubt.planted)]
    mostly = lambda where: of(np.asarray(where, np.float32)) >= 0.5
    told = (
        [
            *(f"{v:.4f}" for v in ((1, *row[1:]) if alone else row)),
            "not in the half-maps" if alone else doubt_in_words(row[1], row[2]) if dense else "no density",
        ]
        for row, dense, alone in zip(np.transpose(doubt_levels(*found)), mostly(doubt.dense), mostly(doubt.edited))
    )
    return [[*residue, *(next(told) if known else OUTSIDE)] for residue, known in zip(atoms.residues, seen)]


def doubt_in_words(from_data: float, invented: float) -> str:
    """In words, by both p; wrong of ALARM of either kind."""
    return "not in the data" if from_data <= ALARM else "from the data" if invented <= ALARM else "undecided"


def tested_halves(
    halves: typing.Sequence[Volume], improved: typing.Sequence[np.ndarray], mask: np.ndarray
) -> tuple[dict[str, typing.Any], dict[str, Curve], Doubt]:
    """Metrics and curves of half_map_test, with those of the Doubt, and the Doubt. halves, improved, mask: as there."""
    improved = [of_unit_width(x) for x in improved]
    resolutions, curves, shared = half_map_test(halves, improved, mask)
    found = doubt_of(halves, improved, shared.controls, mask)
    numbers = dict(gain=shared.gain, unexplained=shared.unexplained, worst=shared.worst)
    return dict(resolutions, **numbers, **doubted(found, halves[0])), curves, found


def write_doubt(
    stem: str, shown: str, doubt: Doubt, volume: Volume, structure: str | os.PathLike[str] | None
) -> tuple[str, str | None]:
    """Write the map of doubt as stem.mrc, with a script for ChimeraX that colours a map by it, and, with a structure,
    the table of its residues. shown: path of that map from there. Returns the files of map and table."""
    write_volume(stem + ".mrc", doubt.maps[0], volume)
    Path(stem + ".cxc").write_text(doubt_script([(shown, Path(stem).name + ".mrc")]), encoding="utf-8")
    if structure:
        write_csv(stem + ".csv", TITLES, residue_rows(doubt, volume, read_atoms(structure)))
    return stem + ".mrc", stem + ".csv" if structure else None


def doubted(doubt: Doubt, volume: Volume) -> dict[str, typing.Any]:
    """doubted: part of a map's density that RARE of what is in the data would look like. piece, place: Å³ of its
    largest piece, and the middle of that (x, y, z in Å), [] if there is none."""
    doubtful = doubt.dense & (doubt.maps[1] <= RARE)
    size, place = largest_piece(doubtful, volume)
    return dict(doubted=float(doubtful.sum() / doubt.dense.sum()), piece=size, place=place)


def largest_piece(where: np.ndarray, volume: Volume) -> tuple[float, list[float]]:
    """Å³ and middle (x, y, z in Å) of the largest connected part of a (z, y, x) bool array on a Volume's grid; 0 and []
    if all of it is False."""
    pieces, _ = label(where)
    sizes = np.bincount(pieces.ravel())[1:]
    if not len(sizes):
        return 0.0, []
    middle = np.mean(np.nonzero(pieces == np.argmax(sizes) + 1), axis=1) * volume.voxels_zyx + volume.origin_zyx
    return float(sizes.max() * volume.voxels_zyx.prod()), middle[::-1].tolist()
