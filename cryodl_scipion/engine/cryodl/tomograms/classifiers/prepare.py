# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparation of subtomograms for a network, and measurement of their contrast and tilts."""

import numpy as np
import torch

from ...contract import say_if, some_names
from ...core.fourier import fourier_resize, from_middle, resampled_side
from ...core.half_transforms import HalfBall
from ...core.volumes import cube_crop
from ...io.messages import warn
from ...io.subtomograms import SubtomogramSet

SAMPLE = 256  # subtomograms that contrast and tilts are measured on
SURE = 5.0  # standard errors
DIAMETER = 0.8  # of the box, where none is given
MIN_WAVES = 3  # of the finest detail, over a particle
DETAIL = 25.0  # Å: the finest that tilts are measured on, as filters by dose take more and more of what is finer
WAVES = 6.0  # per box of this detail, at least
EDGES = range(20, 81)  # degrees: ends of a range of tilts that are tried
WIDTH = 8  # degrees that are compared on either side
EMPTY = 0.2  # of the power within the end, twice of the least at all tilts, below which none was measured beyond
OTHER_TILTS = 8.0  # degrees from the stated tilts that are said; in boxes of 16 px the measured ones may be 7 off
STEEP = 0.75  # of height along the tilt axis over that across it, between the halves of the power that must agree
REPEATS = 8  # subtomograms beyond one of each tomogram, from which it is known how much those of one tomogram differ
ROUNDED = 1e-5  # relative spread of matches below which they are of copies of one volume
# Rotations by 180° about z, y and x: a tilt series about y stays one. About y its range of tilts stays, about the
# others it is mirrored. No mirror images: they would be of the other hand. Axes to flip, of (..., z, y, x).
ROTATIONS = ((), (-2, -1), (-3, -1), (-3, -2))


def prepared(
    volumes: torch.Tensor, pixel_size: float, new_pixel_size: float, box: int, contrast: str = "bright"
) -> torch.Tensor:
    """(n, 1, box, box, box) of mean 0 and standard deviation 1 with bright protein, as networks see them. volumes: (n,
    d, d, d) as in the file. pixel_size, new_pixel_size: Å/px. They are cut, or surrounded by zeros, around voxel d //
    2. A volume without any variation becomes zero."""
    side, _ = resampled_side(volumes.shape[-1], pixel_size, new_pixel_size)
    volumes = fourier_resize(volumes, side, 3)
    if side > box:
        volumes = cube_crop(volumes, box)
    mean, deviation = volumes.mean((1, 2, 3), keepdim=True), volumes.std((1, 2, 3), keepdim=True)
    gain = torch.where(deviation > 1e-12, 1 / deviation.clamp(min=1e-12), torch.zeros_like(deviation))
    return cube_crop((volumes - mean) * (-gain if contrast == "dark" else gain), box)[:, None]


def rotated_by(volumes: torch.Tensor, rotation: int) -> torch.Tensor:
    """Volumes (..., z, y, x) after a rotation, the number of one of ROTATIONS, about voxel d // 2."""
    axes = ROTATIONS[rotation]
    return volumes.flip(axes).roll([1 - volumes.shape[axis] % 2 for axis in axes], axes) if axes else volumes


def subtomogram_diameter(subtomograms: SubtomogramSet, given: float | None) -> float:
    """Diameter (Å) of the sphere that holds every particle: the given one, or DIAMETER of the box. Raises ValueError
    for one that is larger than the box."""
    width = subtomograms.box * subtomograms.pixel_size
    diameter = given or DIAMETER * width
    if diameter > width:
        raise ValueError(
            f"Particle diameter (--particle-diameter) is {diameter:g} Å, but the subtomograms of {subtomograms.path} "
            f"are only {width:g} Å wide ({subtomograms.box} px x {subtomograms.pixel_size:g} Å). Extract them with a "
            "larger box, or give a smaller diameter."
        )
    return diameter


def resolution_notes(subtomograms: SubtomogramSet, diameter: float, resolution: float | None) -> list[str]:
    """Sentences, in a list, about a resolution (Å, or None) finer than the voxels of a SubtomogramSet can hold. Raises
    ValueError for one that leaves nothing of particles of a diameter (Å)."""
    if resolution is None:
        return []
    if resolution > diameter / MIN_WAVES:
        raise ValueError(
            f"Resolution (--resolution) is {resolution:g} Å, but the particles are {diameter:g} Å wide, and too "
            f"little of their detail would be left. Give {diameter / MIN_WAVES:.0f} Å or less."
        )
    finest = 2 * subtomograms.pixel_size
    return say_if(
        resolution < finest,
        f"Resolution (--resolution) is {resolution:g} Å, but {subtomograms.path} has voxels of "
        f"{subtomograms.pixel_size:g} Å, whose Nyquist limit is {finest:g} Å; all detail was used.",
    )


def find_subtomogram_contrast(subtomograms: SubtomogramSet, diameter: float, asked: str) -> str:
    """'bright' or 'dark', of protein in a SubtomogramSet; prints it, or warns of what is doubtful, also of the tilts.
    diameter: Å. asked: 'auto', 'bright' or 'dark'. A ball half as wide, with the wedge, is compared with them."""
    rows = np.unique(np.linspace(0, len(subtomograms) - 1, min(len(subtomograms), SAMPLE)).round().astype(int))
    parts, powers = zip(*(_matches(subtomograms, rows[i : i + 16], diameter) for i in range(0, len(rows), 16)))
    matches = torch.cat(parts)
    if subtomograms.wedged:
        _compare_tilts(subtomograms, subtomograms.tilts[rows], torch.stack(powers).sum(0))
    value, spread = float(matches.mean()), float(matches.std()) if len(rows) > 1 else 0.0
    error = spread / len(rows) ** 0.5 if spread > ROUNDED * abs(value) else float("inf")  # one volume tells nothing
    sure, found = abs(value) > SURE * error, "dark" if value < -SURE * error else "bright"
    said = f"Protein is {found} in the subtomograms (compared with a sphere, {abs(value) / error:.0f} standard errors)."
    if all(signs := _of_each_sign(matches.numpy(), np.array(subtomograms.tomograms)[rows])):
        warn(
            "Protein is bright in the subtomograms of {}, and dark in those of {} (tomograms). Multiply the volumes of "
            "one of these groups by -1.".format(*map(some_names, signs))
        )
    elif asked == "auto" and sure:
        print(said)
    elif asked == "auto":
        warn(
            "The contrast could not be determined by comparing the subtomograms with a sphere; protein is assumed to "
            "be bright. If it is dark, set --contrast dark."
        )
    elif sure and found != asked:
        warn(f"Contrast (--contrast) is {asked}, but: {said}")
    return found if asked == "auto" else asked


def _of_each_sign(matches: np.ndarray, tomograms: np.ndarray) -> tuple[list[str], list[str]]:
    """Names of the tomograms whose subtomograms surely have bright protein, and of those that surely have dark one; no
    names without REPEATS. matches: (n,) of _matches. tomograms: (n,) names."""
    names, which, counts = np.unique(tomograms, return_inverse=True, return_counts=True)
    repeats = len(matches) - len(names)
    if repeats < REPEATS:
        return [], []
    means = np.bincount(which, matches) / counts
    spread = np.square(matches - means[which]).sum() / repeats
    sure = np.abs(means) > np.maximum(SURE * np.sqrt(spread / counts), ROUNDED)
    return names[sure & (means > 0)].tolist(), names[sure & (means < 0)].tolist()


def _matches(subtomograms: SubtomogramSet, rows: np.ndarray, diameter: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(n,) correlations of subtomograms with a ball that lacks the same coefficients; and the sum of the powers of the
    subtomograms, each of deviation 1, (box, box, box // 2 + 1)."""
    box, volumes = subtomograms.box, subtomograms.volumes(rows)
    ball = (0.25 * diameter / subtomograms.pixel_size + 0.5 - from_middle(box, 3)).clamp(0, 1)
    seen = torch.fft.irfftn(torch.fft.rfftn(ball) * subtomograms.weights(rows), s=(box,) * 3, dim=(1, 2, 3))
    seen = seen - seen.mean((1, 2, 3), keepdim=True)
    volumes = volumes / volumes.std((1, 2, 3), keepdim=True).clamp(min=1e-12)
    return (volumes * seen).mean((1, 2, 3)), torch.fft.rfftn(volumes, dim=(1, 2, 3)).abs().square().sum(0)


def _compare_tilts(subtomograms: SubtomogramSet, stated: np.ndarray, power: torch.Tensor) -> None:
    """Warns of stated tilts (n, 2) about y none of which are those that the subtomograms' power shows, near the plane
    across the axis as far from it: membranes all of one tilt have an end of their own in one of these halves alone."""
    ball = HalfBall(subtomograms.box, subtomograms.box * subtomograms.pixel_size / DETAIL)
    power = ball.on_grid(power[None])[0]
    z, y, x = ball.waves
    for axis, across, along in (("y", x, y), ("x", y, x)):
        tilts = torch.rad2deg(torch.atan(z / across))
        flat = tilts.abs() < EDGES[0]
        level = power / (ball.ring_sum(power * flat) / ball.ring_sum(flat)).clamp(min=1e-30)[ball.ring]
        seen = (across != 0) & (across**2 + z**2 > (ball.radius / 3) ** 2)
        near = along**2 <= STEEP**2 * (across**2 + z**2)
        parts = (seen, seen & near, seen & ~near)
        ends = np.array([[_edge(sign * tilts[p], level[p]) or np.nan for sign in (-1, 1)] for p in parts])
        (low, high), told = ends[0], stated if axis == "y" else np.full((1, 2), np.inf)  # none are about x
        agree = ball.radius >= WAVES and np.abs(ends - ends[0]).max() <= OTHER_TILTS  # NaN does not
        if agree and np.abs(told - (-low, high)).max(axis=1).min() > OTHER_TILTS:
            warn(
                f"The subtomograms of {subtomograms.path} hold tilts about {axis} from about {-low:g} to {high:g}°, "
                f"but {stated[:, 0].min():g} to {stated[:, 1].max():g}° about y were taken, by cryodlTiltMin and "
                "cryodlTiltMax of the file or else --tilt-min and --tilt-max: what was not measured counts as "
                "measured, or the reverse. Give the tilts of the series, about y; turn volumes of others by 90°."
            )


def _edge(tilts: torch.Tensor, level: torch.Tensor) -> int | None:
    """The tilt, degrees, where the level falls most; None if slowly, or much is left beyond. tilts, level: (n,)."""
    mean = lambda low, high: level[(tilts > low) & (tilts <= high)].mean()  # NaN where there is none is never chosen
    edge = max(EDGES, key=lambda end: mean(end - WIDTH, end) - mean(end, end + WIDTH))
    within = [mean(end - WIDTH, end) for end in range(edge, -EDGES[0], -WIDTH)]  # membranes have most at one tilt
    sharp = EDGES[0] < edge < EDGES[-1] and mean(edge, edge + WIDTH) < within[0] / 2
    return edge if sharp and mean(edge + WIDTH / 2, 90) < EMPTY * min(within[0], 2 * min(within)) else None
